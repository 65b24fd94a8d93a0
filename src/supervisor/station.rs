//! A station: the actor shell that all six actors share. It keeps a [`Work`] busy and puts each failure in its circle.
//!
//! - An activation carries no input. Woken by a neighbour ([`Wake`]) or by its own timer, a station asks its work what is
//!   waiting, most urgent first, and takes as much as it has room for. One code path for normal work, restart and crash.
//! - A unit that fails is blamed on the unit: its neighbours in flight do not notice. A panic inside a unit and a unit whose
//!   meter stands still are such failures too.
//! - An outage (LIMS, store, disk) is nobody's failure: the station says so once, waits with back-off, then probes with a
//!   single unit, and says when it is over.
//! - Only the journal's own failure is fatal.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, Supervised,
    WrapFuture,
};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tracing::{error, info, warn};

use super::meter::{Board, Meter};
use super::{Backoff, Drain, Env, Exit, jitter, panic_text};

/// A doorbell: there may be something for you in the journal. Losing one costs time only.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Wake;

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

    /// What is to be done, most urgent first. Must be cheap: it is asked at every turn.
    fn waiting(&mut self) -> Vec<Self::Unit>;
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
    /// Puts a panic or a stand-still into words of blame.
    fn accident(&self, what: String) -> Self::Blame;
    /// Counts the failure against the unit, or stops it for good. `Err` is fatal.
    fn blame(&self, unit: Self::Unit, blame: Self::Blame) -> LocalBoxFuture<'static, Result<(), String>>;
}

/// Told when a station cannot work (`Some(why)`) and when it can again (`None`, after this long).
pub type Weather = Arc<dyn Fn(&'static str, Option<&str>, Duration) + Send + Sync>;

/// How a station behaves.
#[derive(Clone)]
pub struct Manner {
    /// The actor's name.
    pub name: &'static str,
    /// Units at the same time.
    pub room: usize,
    /// Own timer.
    pub rhythm: Duration,
    /// A unit without a sign of life for this long is cut off.
    pub stall: Duration,
    /// Between probes during an outage.
    pub outage: Backoff,
    /// Whom to wake when a unit is done.
    pub next: Vec<Recipient<Wake>>,
    /// Where progress is shown.
    pub board: Board,
    /// Told of outages.
    pub weather: Weather,
}

/// The actor.
pub struct Station<W: Work> {
    env: Env,
    manner: Manner,
    make: Box<dyn Fn() -> W + Send>,
    work: W,
    /// Units in hand, and whether they need the outside.
    held: BTreeMap<String, bool>,
    /// Finished since the last tick; not taken again before the next, so that no mistake can make a hot loop.
    rested: BTreeSet<String>,
    /// Of the outside, and of what is here (disks).
    outages: [Option<Outage>; 2],
    /// Units that fell by an outage, with how often in a row and until when they stand back: the others probe first, so that
    /// one unit whose trouble is its own cannot keep everybody waiting.
    fell: BTreeMap<String, (u32, Instant)>,
    draining: bool,
}

struct Outage {
    since: Instant,
    streak: u32,
    until: Instant,
    why: String,
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
            rested: BTreeSet::new(),
            outages: [None, None],
            fell: BTreeMap::new(),
            draining: false,
        }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        fail::fail_point!(self.manner.name);
        if self.draining {
            if self.held.is_empty() {
                ctx.stop();
            }
            return;
        }
        let now = Instant::now();
        let rooms = [true, false].map(|outside| match &self.outages[usize::from(!outside)] {
            Some(outage) if now < outage.until => 0,
            Some(_) => 1, // a probe
            None => self.manner.room,
        });
        let waiting = self.work.waiting();
        let mut left = 0;
        for unit in waiting {
            let key = unit.to_string();
            if self.held.contains_key(&key) {
                continue;
            }
            let outside = self.work.needs_outside(&unit);
            let room = rooms[usize::from(!outside)];
            // A probe is alone among its kind; otherwise all share the room.
            let busy = if room == self.manner.room {
                self.held.len()
            } else {
                self.held.values().filter(|o| **o == outside).count()
            };
            let stands_back = self.fell.get(&key).is_some_and(|(_, until)| now < *until);
            if busy >= room || stands_back || self.rested.contains(&key) {
                left += 1;
                continue;
            }
            self.begin(unit, key, ctx);
        }
        let mut report = self.env.report();
        report.queue = left;
        report.in_hand = self.held.keys().cloned().collect();
    }

    fn begin(&mut self, unit: W::Unit, key: String, ctx: &mut Context<Self>) {
        let meter = self.manner.board.begin(self.manner.name, key.clone());
        let work = AssertUnwindSafe(self.work.perform(unit.clone(), meter.clone())).catch_unwind();
        let watched = watch(work, meter, self.manner.stall);
        let _new = self.held.insert(key.clone(), self.work.needs_outside(&unit));
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
            report.last_error = Some(match failure {
                Failure::Unit(blame) => format!("{key}: {blame}"),
                Failure::Outage(why) | Failure::Fatal(why) => why.clone(),
            });
        }
        let outside = self.work.needs_outside(&unit);
        match done {
            Ok(()) => {
                let _over = self.fell.remove(&key);
                self.fair(outside, None);
                {
                    let mut report = self.env.report();
                    report.done += 1;
                    report.consecutive = 0;
                }
                self.release(key, ctx);
                for next in &self.manner.next {
                    drop(next.try_send(Wake)); // full: it is awake; closed: it reads the journal when it starts
                }
            }
            Err(Failure::Outage(why)) => {
                let streak = self.fell.get(&key).map_or(1, |(n, _)| n + 1);
                let until = Instant::now() + self.manner.outage.delay(streak, jitter());
                let _earlier = self.fell.insert(key.clone(), (streak, until));
                self.fair(outside, Some(&why));
                self.release(key, ctx);
            }
            Err(Failure::Fatal(why)) => self.env.fail(ctx, Exit::Fatal(why)),
            Err(Failure::Unit(blame)) => {
                let _over = self.fell.remove(&key);
                self.fair(outside, None);
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

    /// Keeps account of outages, of the outside and of what is here; speaks once at the beginning and once at the end of each.
    fn fair(&mut self, outside: bool, why: Option<&str>) {
        let name = self.manner.name;
        let slot = &mut self.outages[usize::from(!outside)];
        match why {
            None => {
                if let Some(outage) = slot.take() {
                    info!(actor = name, after = ?outage.since.elapsed(), "works again");
                    (self.manner.weather)(name, None, outage.since.elapsed());
                }
            }
            Some(why) => {
                let now = Instant::now();
                if slot.is_none() {
                    error!(actor = name, why, "cannot work; will go on by itself when this is mended");
                    (self.manner.weather)(name, Some(why), Duration::ZERO);
                }
                let outage =
                    slot.get_or_insert(Outage { since: now, streak: 0, until: now, why: String::new() });
                why.clone_into(&mut outage.why);
                if now >= outage.until {
                    outage.streak += 1; // units in flight that fall together count once
                    outage.until = now + self.manner.outage.delay(outage.streak, jitter());
                }
            }
        }
        let whys: Vec<&str> = self.outages.iter().flatten().map(|o| o.why.as_str()).collect();
        self.env.report().degraded = (!whys.is_empty()).then(|| whys.join("; "));
    }
}

enum End<T> {
    Done(T),
    Still(Duration),
}

/// Runs `work` to its end, or until its meter has stood still for `limit`.
async fn watch<T>(work: impl Future<Output = T>, meter: Meter, limit: Duration) -> End<T> {
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
        let _for_life = ctx.run_interval(self.manner.rhythm, |me, ctx| {
            me.rested.clear();
            me.pump(ctx);
        });
    }
}

impl<W: Work> Supervised for Station<W> {
    fn restarting(&mut self, _: &mut Context<Self>) {
        (self.held, self.rested) = (BTreeMap::new(), BTreeSet::new());
        (self.outages, self.draining, self.fell) = ([None, None], false, BTreeMap::new());
        self.work = (self.make)();
    }
}

impl<W: Work> Handler<Wake> for Station<W> {
    type Result = ();
    fn handle(&mut self, _: Wake, ctx: &mut Context<Self>) {
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
