//! An OTP-style supervisor on actix: starts children in order, restarts them in place within limits and with back-off,
//! stops them in reverse order with deadlines, and gives up loudly. It knows nothing of packages.
//!
//! Four circles of failure, each failure held in the smallest that can hold it: *attempt* (retried inside a client) → *unit*
//! (one package's step, see [`station`]) → *actor* (restarted here; one that used up its budget stays down, the others go
//! on) → *process* (exit code 75, the service manager starts it again). What is decided stands in `core`, as a pure state
//! machine; this actor performs it. House rules: work runs as `ctx.spawn(..)`, never as a detached `ResponseFuture`, so that
//! it dies with its incarnation and its panic is seen; nothing in `stopping`, `stopped` or `Drop` may panic.
mod backoff;
mod cage;
mod core;
mod incident;
mod limits;
pub mod meter;
mod outages;
mod spec;
pub mod station;
pub mod timer;
pub mod turn;

use std::sync::OnceLock;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, Recipient,
    WrapFuture,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

use self::core::{Core, Do, Drained, Life, Policy};
pub use backoff::{Backoff, BackoffError, Dice, jitter};
pub use cage::{Exit, install_panic_hook, panic_text};
use cage::{Order, Phase, Word};
pub use incident::{Action, Happening, Incident, Observer};
pub use limits::{Limits, NeverTrips};
pub use spec::{Child, ChildSpec, Drain, Env, Report, Restart, Strategy};
use spec::{Handle, Launch, Place};

/// Every arbiter borrows this one pool, so connections outlive the actor that opened them (a pooled HTTP connection is a
/// task on the runtime that opened it and would die or stall with that arbiter).
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static POOL: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    POOL.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let builder = builder.thread_name("io").worker_threads(2).enable_all();
        builder.build().expect("the tokio runtime starts: without threads there is no program")
    })
}

/// A child as `status` shows it; read back from a program of another version, what is missing is empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChildStatus {
    /// Its name.
    pub actor: String,
    /// Whether it runs.
    pub up: bool,
    /// `up`, `down`, `starting`, `draining`, `waiting` (for one it depends on), `given up`.
    pub state: String,
    /// Restarts since the process began.
    pub restarts: u64,
    /// Seconds since that state began.
    pub since_secs: u64,
    /// Its own account.
    #[serde(flatten)]
    pub report: Report,
}

struct Slot {
    id: &'static str,
    drain: Duration,
    stall: Duration,
    place: Place,
    launch: Option<Launch>,
    handle: Option<Handle>,
    /// The present state began.
    since: Instant,
}

/// The supervisor of one process.
pub struct Supervisor {
    slots: Vec<Slot>,
    core: Core,
    dice: Dice,
    born: Instant,
    observer: Observer,
    verdict: Option<oneshot::Sender<Result<(), String>>>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct CageWord {
    id: &'static str,
    incarnation: u64,
    word: Word,
}

/// Stop all children in order; the verdict follows when they are gone.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Shutdown;

/// Other limits from now on; what was decided stays.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Retune(pub Limits);

/// Asks for the state of all children, in start order.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "Vec<ChildStatus>")]
pub struct Status;

/// Between the order to kill and the conclusion that the thread itself is blocked.
const GRACE: Duration = Duration::from_millis(250);
/// Between two looks at the pulses.
const WATCH: Duration = Duration::from_millis(250);

impl Supervisor {
    /// Children start in the order of `specs` and stop in the reverse one: put the sink first. The receiver yields once,
    /// when all are gone; `Err` says why the process must end with an error. Must be called on the runtime it will live on.
    pub fn new(
        limits: Limits,
        strategy: Strategy,
        dice: Dice,
        observer: Observer,
        specs: Vec<ChildSpec>,
    ) -> (Self, oneshot::Receiver<Result<(), String>>) {
        let (verdict, ended) = oneshot::channel();
        let policy = |s: &ChildSpec| Policy { id: s.id, restart: s.restart, significant: s.significant };
        let policies = specs.iter().map(policy).collect();
        let slot = |s: ChildSpec| Slot {
            id: s.id,
            drain: s.drain,
            stall: s.stall,
            place: s.place,
            launch: s.launch,
            handle: None,
            since: Instant::now(),
        };
        let slots = specs.into_iter().map(slot).collect();
        let core = Core::new(strategy, limits, policies, Duration::ZERO);
        (Self { slots, core, dice, born: Instant::now(), observer, verdict: Some(verdict) }, ended)
    }

    fn now(&self) -> Duration {
        self.born.elapsed()
    }

    fn perform(&mut self, todo: Vec<Do>, ctx: &mut Context<Self>) {
        for one in todo {
            match one {
                Do::Restart(i) => {
                    self.slots[i].since = Instant::now();
                    if let Some(handle) = &self.slots[i].handle {
                        handle.env.touch();
                        // Fails only if the cage has ended, which only an `End` order makes it do.
                        drop(handle.orders.send(Order::Restart));
                    }
                }
                Do::Kill(i) => self.kill(i, ctx),
                Do::Drain(i) => {
                    self.slots[i].since = Instant::now();
                    let drain = self.drain(i).into_actor(self);
                    let _lives_with_us = ctx.spawn(drain.map(move |how, me, ctx| me.drained(i, how, ctx)));
                }
                Do::TickIn(delay) => {
                    let pause = tokio::time::sleep(delay).into_actor(self);
                    let _lives_with_us = ctx.spawn(pause.map(|(), me, ctx| {
                        let todo = me.core.tick(me.now());
                        me.perform(todo, ctx);
                    }));
                }
                Do::Report(incident) => (self.observer)(Happening::Failed(incident)),
                Do::Recovered { child, down } => {
                    let (actor, incarnation) = (self.slots[child].id, self.core.restarts(child) + 1);
                    (self.observer)(Happening::Recovered { actor, incarnation, down });
                }
                Do::End(verdict) => self.end(verdict, ctx),
            }
        }
    }

    /// Lets go of all children and hands the verdict to `main`.
    fn end(&mut self, verdict: Result<(), String>, ctx: &mut Context<Self>) {
        for handle in self.slots.iter_mut().filter_map(|slot| slot.handle.take()) {
            drop(handle.orders.send(Order::End));
            let _stopped = handle.arbiter.map(|a| a.stop());
        }
        if let Some(tell) = self.verdict.take() {
            drop(tell.send(verdict)); // nobody listens any more only if main is already leaving
        }
        ctx.stop();
    }

    fn fell(&mut self, i: usize, incarnation: u64, exit: Exit, ctx: &mut Context<Self>) {
        let slot = &mut self.slots[i];
        slot.since = Instant::now();
        let report = slot.handle.as_ref().map(|h| std::mem::take(&mut h.env.report().in_hand));
        let in_hand = report.unwrap_or_default();
        let todo = self.core.fell(self.now(), self.dice.roll(), i, incarnation, exit, in_hand);
        self.perform(todo, ctx);
    }

    /// `None`: its thread is blocked and is abandoned.
    fn drained(&mut self, i: usize, how: Option<Drained>, ctx: &mut Context<Self>) {
        self.slots[i].since = Instant::now();
        match how {
            Some(how) => {
                let todo = self.core.drained(self.now(), i, how);
                self.perform(todo, ctx);
            }
            None => self.fell(i, self.core.restarts(i) + 1, Exit::Blocked, ctx),
        }
    }

    /// Kills a silent child. One whose thread is blocked cannot be killed: that is said, and the process ends.
    fn kill(&mut self, i: usize, ctx: &mut Context<Self>) {
        let (id, incarnation) = (self.slots[i].id, self.core.restarts(i) + 1);
        let Some(handle) = &self.slots[i].handle else { return };
        error!(actor = id, silence = ?handle.env.silence(), "no pulse, killing it");
        handle.env.touch();
        drop(handle.orders.send(Order::Kill));
        let mut phase = handle.phase.clone();
        let death = async move { is_down(timeout(GRACE, phase.wait_for(|p| *p == Phase::Down)).await) };
        let _lives_with_us = ctx.spawn(death.into_actor(self).map(move |dead, me, ctx| {
            if !dead {
                me.fell(i, incarnation, Exit::Blocked, ctx);
            }
        }));
    }

    /// Brings a child down: asks first, kills at the deadline, says when its thread is blocked.
    fn drain(&mut self, i: usize) -> impl Future<Output = Option<Drained>> + use<> {
        let slot = &self.slots[i];
        let (id, limit) = (slot.id, slot.drain);
        let handle = slot.handle.as_ref();
        let handle = handle.map(|h| (h.drain.clone(), h.orders.clone(), h.phase.clone(), h.env.clone()));
        async move {
            let Some((drain, orders, mut phase, env)) = handle else { return Some(Drained::Clean) };
            drain.do_send(Drain);
            let begun = Instant::now();
            while begun.elapsed() < limit {
                let step = (limit - begun.elapsed().min(limit)).min(Duration::from_secs(5));
                if is_down(timeout(step, phase.wait_for(|p| *p == Phase::Down)).await) {
                    info!(actor = id, "actor drained");
                    return Some(Drained::Clean);
                }
                let left = limit.saturating_sub(begun.elapsed()).as_secs();
                let in_hand = env.report().in_hand.join(", ");
                info!(actor = id, in_hand, seconds_left = left, "still draining");
            }
            warn!(actor = id, ?limit, "actor did not drain in time, killing it; its work is resumed later");
            drop(orders.send(Order::Kill));
            if is_down(timeout(GRACE, phase.wait_for(|p| *p == Phase::Down)).await) {
                return Some(Drained::CutOff);
            }
            error!(actor = id, "its thread is blocked and is abandoned");
            None
        }
    }

    fn watch_pulses(&mut self, ctx: &mut Context<Self>) {
        for i in 0..self.slots.len() {
            let slot = &self.slots[i];
            let up = |h: &&Handle| *h.phase.borrow() == Phase::Up && h.env.silence() > slot.stall;
            if slot.handle.as_ref().filter(up).is_some() {
                let todo = self.core.silent(i);
                self.perform(todo, ctx);
            }
        }
    }
}

/// A cage that is gone without a word is not one that went down in order.
fn is_down<T>(
    waited: Result<Result<T, tokio::sync::watch::error::RecvError>, tokio::time::error::Elapsed>,
) -> bool {
    matches!(waited, Ok(Ok(_)))
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        for slot in &mut self.slots {
            if let Some(launch) = slot.launch.take() {
                let boss: Recipient<CageWord> = ctx.address().recipient();
                slot.handle = Some(launch(boss, slot.place, slot.stall));
                info!(actor = slot.id, "actor started");
            }
        }
        let _for_life = ctx.run_interval(WATCH, |me, ctx| me.watch_pulses(ctx));
    }
}

impl Handler<CageWord> for Supervisor {
    type Result = ();
    fn handle(&mut self, msg: CageWord, ctx: &mut Context<Self>) {
        let Some(i) = self.slots.iter().position(|slot| slot.id == msg.id) else { return };
        match msg.word {
            Word::Fell(exit) => self.fell(i, msg.incarnation, exit, ctx),
            Word::Risen => {
                self.slots[i].since = Instant::now();
                let todo = self.core.risen(self.now(), i, msg.incarnation);
                self.perform(todo, ctx);
            }
        }
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ();
    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        let todo = self.core.stop(Ok(()));
        self.perform(todo, ctx);
    }
}

impl Handler<Retune> for Supervisor {
    type Result = ();
    fn handle(&mut self, msg: Retune, _: &mut Context<Self>) {
        self.core.limits = msg.0;
    }
}

impl Handler<Status> for Supervisor {
    type Result = MessageResult<Status>;
    fn handle(&mut self, _: Status, _: &mut Context<Self>) -> Self::Result {
        let status = |(i, slot): (usize, &Slot)| ChildStatus {
            actor: slot.id.to_owned(),
            up: self.core.is_up(i) || self.core.life(i) == Life::Draining,
            state: match self.core.life(i) {
                Life::Up { .. } => "up",
                Life::Down { .. } => "down",
                Life::Rising { .. } => "starting",
                Life::Draining => "draining",
                Life::Parked => "waiting",
                Life::Gone if self.core.is_stopping() => "ended",
                Life::Gone => "given up",
            }
            .to_owned(),
            restarts: self.core.restarts(i),
            since_secs: slot.since.elapsed().as_secs(),
            report: slot.handle.as_ref().map(|h| h.env.report().at_present()).unwrap_or_default(),
        };
        MessageResult(self.slots.iter().enumerate().map(status).collect())
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
