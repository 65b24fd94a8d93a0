//! A station: the actor shell that all six actors share. It keeps a [`Work`] busy and puts each failure in its circle.
//!
//! - An activation carries no input. Woken by a neighbour ([`Wake`]) or by its own timer, a station asks its work what is
//!   waiting, most urgent first, and takes as much as it has room for. One code path for normal work, restart and crash.
//! - A unit that fails is blamed on the unit: its neighbours in flight do not notice. A panic inside a unit and a unit whose
//!   meter stands still are such failures too.
//! - Whose turn it is among those that wait is decided in [`super::turn`].
//! - An outage (LIMS, store, disk) is nobody's failure: the station says so once, waits with back-off, then probes with a
//!   single unit, and says when it is over.
//! - Only the journal's own failure is fatal.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, Supervised,
    WrapFuture,
};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use super::meter::{Board, Meter};
use super::outages::Outages;
use super::turn::{Candidate, Rules, Sky, Turn, Weight};
use super::{Backoff, Dice, Drain, Env, Exit, panic_text};

/// A doorbell: there may be something for you in the journal. Losing one costs time only.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Wake;

/// Other settings from now on: the work is made anew, units in hand go on as they were begun.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Renew;

/// Why a unit did not succeed, sorted by who must act.
#[derive(Debug)]
pub enum Failure<B> {
    /// Something outside is out of order; the unit is innocent and will be tried again.
    Outage(String),
    /// The unit itself.
    Unit(B),
    /// The journal or the program; the process must end.
    Fatal(String),
}

/// What a station does. All decisions about packages are in here; the station itself knows none.
pub trait Work: Unpin + 'static {
    /// One piece of work; its text identifies it.
    type Unit: Clone + Display + 'static;
    /// What is said against a unit.
    type Blame: Display + 'static;

    /// What is to be done, in the order in which it came. Must be cheap: it is asked at every turn.
    fn waiting(&mut self) -> Vec<Self::Unit>;
    /// How this unit stands among those that wait.
    fn weight(&self, _unit: &Self::Unit) -> Weight {
        Weight::default()
    }
    /// Does one unit. Must be safe to repeat after having been cut off anywhere.
    fn perform(
        &self,
        unit: Self::Unit,
        meter: Meter,
    ) -> LocalBoxFuture<'static, Result<(), Failure<Self::Blame>>>;
    /// Whether this unit needs LIMS or store. One that needs only what is here goes on during an outage of those, and its
    /// success says nothing about them; and the other way round.
    fn needs_outside(&self, _unit: &Self::Unit) -> bool {
        true
    }
    /// Whether this unit is begun also while the station is paused: what tells others that we live.
    fn goes_on_paused(&self, _unit: &Self::Unit) -> bool {
        false
    }
    /// Puts a panic or a stand-still into words of blame.
    fn accident(&self, what: String) -> Self::Blame;
    /// Counts the failure against the unit, or stops it for good. `Err` is fatal.
    fn blame(&self, unit: Self::Unit, blame: Self::Blame) -> LocalBoxFuture<'static, Result<(), String>>;
}

/// Told when a station cannot work (`Some(why)`) and when it can again (`None`, after this long).
pub type Weather = Arc<dyn Fn(&'static str, Option<&str>, Duration) + Send + Sync>;

/// What may be tuned while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How turns are given.
    pub rules: Rules,
    /// Own timer.
    pub rhythm: Duration,
    /// A unit without a sign of life for this long is cut off.
    pub stall: Duration,
    /// Between probes during an outage.
    pub outage: Backoff,
}

/// How a station behaves.
#[derive(Clone)]
pub struct Manner {
    /// The actor's name.
    pub name: &'static str,
    /// As it is now.
    pub tuning: watch::Receiver<Tuning>,
    /// Whom to wake when a unit is done.
    pub next: Vec<Recipient<Wake>>,
    /// Where progress is shown.
    pub board: Board,
    /// Told of outages.
    pub weather: Weather,
    /// Whether it takes nothing new for now, because somebody said so. Asked at every turn.
    pub paused: Arc<dyn Fn() -> bool + Send + Sync>,
    /// For jitter.
    pub dice: Dice,
}

/// The actor.
pub struct Station<W: Work> {
    env: Env,
    manner: Manner,
    make: Box<dyn Fn() -> W + Send>,
    work: W,
    /// Units in hand.
    held: BTreeMap<String, Candidate>,
    turn: Turn,
    /// Finished since the last tick; not taken again before the next, so that no mistake can make a hot loop.
    rested: BTreeSet<String>,
    outages: Outages,
    draining: bool,
}

impl<W: Work> Station<W> {
    /// `make` builds the work anew for every incarnation.
    pub fn new(env: Env, manner: Manner, make: impl Fn() -> W + Send + 'static) -> Self {
        let work = make();
        Self {
            env,
            manner,
            make: Box::new(make),
            work,
            held: BTreeMap::new(),
            turn: Turn::default(),
            rested: BTreeSet::new(),
            outages: Outages::default(),
            draining: false,
        }
    }

    fn tuning(&self) -> Tuning {
        *self.manner.tuning.borrow()
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        // `eval` and not the macro: the code is the same, and checked, in a release binary, where there are no failpoints.
        if fail::eval(self.manner.name, |how: Option<String>| self.fall_sick(how.as_deref(), ctx)).is_some() {
            return;
        }
        if self.draining {
            if self.held.is_empty() {
                ctx.stop();
            }
            return;
        }
        let (now, rules) = (Instant::now(), self.tuning().rules);
        let units = self.work.waiting();
        let keys: Vec<String> = units.iter().map(ToString::to_string).collect();
        // What is in hand keeps its place and its stand-back: it may come back.
        let in_hand_alone = self.held.keys().filter(|key| !keys.contains(key));
        self.turn.arrive(keys.iter().chain(in_hand_alone).map(String::as_str));
        self.outages.retain(|key| self.turn.knows(key));
        let paused = (self.manner.paused)();
        let (mut waiting, mut left) = (Vec::new(), 0);
        let mut candidates = Vec::new();
        for (unit, key) in units.into_iter().zip(keys) {
            if self.held.contains_key(&key) {
                continue;
            }
            left += 1;
            if paused && !self.work.goes_on_paused(&unit) {
                continue;
            }
            if !self.outages.stands_back(&key, now) && !self.rested.contains(&key) {
                let (weight, outside) = (self.work.weight(&unit), self.work.needs_outside(&unit));
                candidates.push(Candidate { key, weight, outside });
                waiting.push(unit);
            }
        }
        let mut in_hand: Vec<Candidate> = self.held.values().cloned().collect();
        let skies = [false, true].map(|outside| self.outages.sky(outside, now));
        let sky = |outside| skies[usize::from(outside)];
        // Who fell least often probes first. By age alone two whose disk is sick would probe for ever, and the others never.
        for outside in [false, true].into_iter().filter(|outside| sky(*outside) == Sky::Probe) {
            let times = |c: &Candidate| if c.outside == outside { self.outages.times(&c.key) } else { 0 };
            let of_kind = candidates.iter().filter(|c| c.outside == outside);
            let fewest = of_kind.map(times).min().unwrap_or(0);
            let pairs = candidates.into_iter().zip(waiting);
            (candidates, waiting) = pairs.filter(|(c, _)| c.outside != outside || times(c) == fewest).unzip();
        }
        while let Some(i) = self.turn.choose(&candidates, &in_hand, &rules, sky) {
            let (unit, candidate) = (waiting.remove(i), candidates.remove(i));
            in_hand.push(candidate.clone());
            left -= 1;
            self.begin(unit, candidate, ctx);
        }
        let mut report = self.env.report();
        report.queue = left;
        report.in_hand = self.held.keys().cloned().collect();
    }

    /// What a failpoint named like the actor can make of it, beside a panic and a blocked thread.
    fn fall_sick(&self, how: Option<&str>, ctx: &mut Context<Self>) {
        match how {
            Some("hang") => ctx.wait(std::future::pending::<()>().into_actor(self)),
            Some("spawned") => {
                let _panics = ctx.spawn(async { panic!("injected into spawned work") }.into_actor(self));
            }
            _ => self.env.fail(ctx, Exit::Error(format!("injected: {}", how.unwrap_or("error")))),
        }
    }

    fn begin(&mut self, unit: W::Unit, candidate: Candidate, ctx: &mut Context<Self>) {
        let (name, key) = (self.manner.name, candidate.key.clone());
        let meter = self.manner.board.begin(name, key.clone());
        let work = self.work.perform(unit.clone(), meter.clone());
        let work = async move {
            sick_unit(name).await?;
            work.await
        };
        let work = meter.on_behalf(work);
        let watched = watch(AssertUnwindSafe(work).catch_unwind(), meter, self.tuning().stall);
        let _new = self.held.insert(key.clone(), candidate);
        let _dies_with_us = ctx.spawn(watched.into_actor(self).map(move |end, me, ctx| {
            let done = match end {
                End::Done(Ok(done)) => done,
                End::Done(Err(payload)) => {
                    Err(Failure::Unit(me.work.accident(format!("panic: {}", panic_text(&*payload)))))
                }
                End::Still(limit) => {
                    Err(Failure::Unit(me.work.accident(format!("no sign of life for {limit:?}"))))
                }
            };
            me.settle(unit, key, done, ctx);
        }));
    }

    fn settle(
        &mut self,
        unit: W::Unit,
        key: String,
        done: Result<(), Failure<W::Blame>>,
        ctx: &mut Context<Self>,
    ) {
        if let Err(failure) = &done {
            let mut report = self.env.report();
            report.errors += 1;
            report.consecutive += 1;
            report.error_at = Some(Instant::now());
            report.last_error = Some(match failure {
                Failure::Unit(blame) => format!("{key}: {blame}"),
                Failure::Outage(why) | Failure::Fatal(why) => why.clone(),
            });
        }
        let outside = self.work.needs_outside(&unit);
        match done {
            Ok(()) => {
                self.works(&key, outside);
                {
                    let mut report = self.env.report();
                    report.done += 1;
                    report.consecutive = 0;
                    report.done_at = Some(Instant::now());
                }
                self.release(key, ctx);
                for next in &self.manner.next {
                    drop(next.try_send(Wake)); // full: it is awake; closed: it reads the journal when it starts
                }
            }
            Err(Failure::Outage(why)) => {
                self.fails(&key, outside, &why);
                self.release(key, ctx);
            }
            Err(Failure::Fatal(why)) => self.env.fail(ctx, Exit::Fatal(why)),
            Err(Failure::Unit(blame)) => {
                self.works(&key, outside);
                warn!(actor = self.manner.name, unit = key, why = %blame, "unit failed");
                let noted = self.work.blame(unit, blame).into_actor(self);
                let _dies_with_us = ctx.spawn(noted.map(move |noted, me, ctx| match noted {
                    Ok(()) => {
                        me.release(key, ctx);
                        for next in &me.manner.next {
                            drop(next.try_send(Wake));
                        }
                    }
                    Err(why) => me.env.fail(ctx, Exit::Fatal(why)),
                }));
            }
        }
    }

    fn release(&mut self, key: String, ctx: &mut Context<Self>) {
        let _was_held = self.held.remove(&key);
        let _first = self.rested.insert(key);
        self.pump(ctx);
    }

    fn works(&mut self, key: &str, outside: bool) {
        if let Some(after) = self.outages.worked(key, outside, Instant::now()) {
            (self.manner.weather)(self.manner.name, None, after);
        }
        self.give_account();
    }

    fn fails(&mut self, key: &str, outside: bool, why: &str) {
        let (now, backoff) = (Instant::now(), self.tuning().outage);
        if self.outages.fell(key, outside, why, now, backoff, &self.manner.dice) {
            (self.manner.weather)(self.manner.name, Some(why), Duration::ZERO);
        }
        self.give_account();
    }

    fn give_account(&self) {
        let mut report = self.env.report();
        (report.degraded, report.degraded_since) = self.outages.account();
    }
}

/// What the failpoint `ACTOR.unit` can do to a unit, beside a panic and a blocked thread.
async fn sick_unit<B>(name: &str) -> Result<(), Failure<B>> {
    let how = fail::eval(&format!("{name}.unit"), |how: Option<String>| how).flatten();
    match how.as_deref() {
        Some("hang") => std::future::pending().await,
        Some(why) => Err(Failure::Outage(format!("injected: {why}"))),
        None => Ok(()),
    }
}

/// How a unit came to its end.
#[derive(Debug)]
pub(crate) enum End<T> {
    Done(T),
    Still(Duration),
}

/// Runs `work` to its end, or until its meter has stood still for `limit`.
pub(crate) async fn watch<T>(work: impl Future<Output = T>, meter: Meter, limit: Duration) -> End<T> {
    let mut work = std::pin::pin!(work);
    loop {
        let seen = meter.ticks();
        match tokio::time::timeout(limit, &mut work).await {
            Ok(done) => return End::Done(done),
            Err(_) if meter.ticks() == seen => return End::Still(limit),
            Err(_) => {}
        }
    }
}

impl<W: Work> Actor for Station<W> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.env.pulse(ctx);
        self.pump(ctx);
        self.tick_on(ctx);
    }
}

impl<W: Work> Station<W> {
    /// Own timer; armed anew each time, because its rhythm may be tuned.
    fn tick_on(&mut self, ctx: &mut Context<Self>) {
        let _for_life = ctx.run_later(self.tuning().rhythm, |me, ctx| {
            me.rested.clear();
            me.pump(ctx);
            me.tick_on(ctx);
        });
    }
}

impl<W: Work> Supervised for Station<W> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        (self.held, self.rested, self.turn) = (BTreeMap::new(), BTreeSet::new(), Turn::default());
        (self.outages, self.draining) = (Outages::default(), false);
        self.give_account();
        self.work = (self.make)();
    }
}

impl<W: Work> Handler<Wake> for Station<W> {
    type Result = ();
    fn handle(&mut self, _: Wake, ctx: &mut Context<Self>) {
        self.pump(ctx);
    }
}

impl<W: Work> Handler<Renew> for Station<W> {
    type Result = ();
    fn handle(&mut self, _: Renew, ctx: &mut Context<Self>) {
        self.work = (self.make)();
        self.pump(ctx);
    }
}

impl<W: Work> Handler<Drain> for Station<W> {
    type Result = ();
    fn handle(&mut self, _: Drain, ctx: &mut Context<Self>) {
        self.draining = true;
        self.pump(ctx);
    }
}

#[cfg(test)]
#[path = "station_tests.rs"]
mod tests;
