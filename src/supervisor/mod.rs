//! An OTP-style supervisor on actix: starts children in order, restarts them in place within limits and with back-off,
//! stops them in reverse order with deadlines, and gives up loudly. It knows nothing of packages.
//!
//! Four circles of failure, each failure held in the smallest that can hold it: *attempt* (retried inside a client) → *unit*
//! (one package's step, see [`station`]) → *actor* (restarted here) → *process* (exit code 75, the service manager starts
//! it again). House rules: work runs as `ctx.spawn(..)`, never as a detached `ResponseFuture`, so that it dies with its
//! incarnation and its panic is seen; nothing in `stopping`, `stopped` or `Drop` may panic.
mod backoff;
mod cage;
pub mod meter;
mod spec;
pub mod station;
pub mod timer;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{error, info, warn};

pub use backoff::{Backoff, BackoffError, jitter};
pub use cage::{Exit, install_panic_hook, panic_text};
use cage::{Order, Phase};
use spec::Handle;
pub use spec::{Child, ChildSpec, Drain, Env, Report, Restart};

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

/// How much failing is too much.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// More restarts than this…
    pub max_restarts: usize,
    /// …within this time, and the supervisor gives up.
    pub period: Duration,
    /// Between a failure and the restart.
    pub backoff: Backoff,
    /// A child that stayed up this long starts again at the first back-off step.
    pub reset_after: Duration,
}

/// One failure of a child, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The child.
    pub actor: &'static str,
    /// Which life of it, from 1.
    pub incarnation: u64,
    /// Why.
    pub exit: Exit,
    /// What it had in hand.
    pub in_hand: Vec<String>,
    /// Failures in a row.
    pub streak: u32,
    /// Restarts left in the present window.
    pub budget_left: usize,
    /// What is done about it.
    pub outcome: String,
}

/// Told of every incident.
pub type Observer = Arc<dyn Fn(Incident) + Send + Sync>;

/// A child as `status` shows it; read back from a program of another version, what is missing is empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChildStatus {
    /// Its name.
    pub actor: String,
    /// Whether it runs.
    pub up: bool,
    /// Restarts since the process began.
    pub restarts: u64,
    /// Seconds since it (re)started or fell.
    pub since_secs: u64,
    /// Its own account.
    #[serde(flatten)]
    pub report: Report,
}

struct Slot {
    spec: ChildSpec,
    handle: Option<Handle>,
    since: Instant,
    streak: u32,
    restarts: u64,
    /// Being brought down on purpose; its exit is nobody's failure.
    draining: bool,
}

/// The supervisor of one process.
pub struct Supervisor {
    slots: Vec<Slot>,
    limits: Limits,
    recent: VecDeque<Instant>,
    stopping: bool,
    observer: Observer,
    verdict: Option<oneshot::Sender<Result<(), String>>>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct ChildExit {
    id: &'static str,
    exit: Exit,
}

/// Stop all children in order; the verdict follows when they are gone.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Shutdown;

/// Asks for the state of all children, in start order.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "Vec<ChildStatus>")]
pub struct Status;

/// Between the order to kill and the conclusion that the thread itself is blocked.
const GRACE: Duration = Duration::from_millis(250);

impl Supervisor {
    /// Children start in the order of `specs` and stop in the reverse one: put the sink first. The receiver yields once,
    /// when all are gone; `Err` says why the process must end with an error.
    pub fn new(
        limits: Limits,
        observer: Observer,
        specs: Vec<ChildSpec>,
    ) -> (Self, oneshot::Receiver<Result<(), String>>) {
        let (verdict, ended) = oneshot::channel();
        let slot = |spec| Slot {
            spec,
            handle: None,
            since: Instant::now(),
            streak: 0,
            restarts: 0,
            draining: false,
        };
        let slots = specs.into_iter().map(slot).collect();
        let (recent, stopping, verdict) = (VecDeque::new(), false, Some(verdict));
        (Self { slots, limits, recent, stopping, observer, verdict }, ended)
    }

    /// A child fell: leave it, restart it, or give up.
    fn fell(&mut self, i: usize, exit: Exit, ctx: &mut Context<Self>) {
        let slot = &mut self.slots[i];
        let wanted = match slot.spec.restart {
            Restart::Permanent => true,
            Restart::Transient => exit != Exit::Normal,
            Restart::Temporary => false,
        };
        let (id, ran) = (slot.spec.id, slot.since.elapsed());
        slot.since = Instant::now();
        if self.stopping || !wanted {
            return info!(actor = id, cause = exit.word(), "actor ended");
        }
        let slot = &mut self.slots[i];
        slot.streak = if ran >= self.limits.reset_after { 1 } else { slot.streak + 1 };
        let (streak, incarnation) = (slot.streak, slot.restarts + 1);
        let in_hand =
            slot.handle.as_ref().map(|h| std::mem::take(&mut h.env.report().in_hand)).unwrap_or_default();
        let delay = self.limits.backoff.delay(streak, jitter());
        let fatal = matches!(exit, Exit::Fatal(_));
        let exhausted = self.exhausted();
        let budget_left = self.limits.max_restarts.saturating_sub(self.recent.len());
        let outcome = match (fatal, exhausted) {
            (true, _) => "the process ends".to_owned(),
            (_, true) => format!(
                "more than {} restarts in {:?}: the process ends",
                self.limits.max_restarts, self.limits.period
            ),
            _ => format!("restarted in {} ms", delay.as_millis()),
        };
        let why = format!("{id}: {}: {}", exit.word(), exit.detail());
        error!(
            actor = id,
            incarnation,
            cause = exit.word(),
            detail = exit.detail(),
            streak,
            budget_left,
            outcome,
            "actor failed"
        );
        (self.observer)(Incident { actor: id, incarnation, exit, in_hand, streak, budget_left, outcome });
        if fatal || exhausted {
            return self.stop_all(Err(why), ctx);
        }
        self.slots[i].restarts += 1;
        let pause = tokio::time::sleep(delay).into_actor(self);
        let _lives_with_us = ctx.spawn(pause.map(move |(), me, _| me.order_restart(i)));
    }

    fn exhausted(&mut self) -> bool {
        let now = Instant::now();
        self.recent.push_back(now);
        self.recent.retain(|t| now - *t <= self.limits.period);
        self.recent.len() > self.limits.max_restarts
    }

    fn is_up(&self, i: usize) -> bool {
        self.slots[i].handle.as_ref().is_some_and(|h| *h.phase.borrow() == Phase::Up)
    }

    fn order_restart(&mut self, i: usize) {
        if self.stopping || self.is_up(i) {
            return;
        }
        let slot = &mut self.slots[i];
        (slot.since, slot.draining) = (Instant::now(), false);
        if let Some(handle) = &slot.handle {
            handle.env.touch();
            // Fails only if the cage has ended, which only an `End` order makes it do.
            drop(handle.orders.send(Order::Restart));
            info!(actor = slot.spec.id, restarts = slot.restarts, "actor restarted in place");
        }
    }

    /// Brings a child down: asks first, kills at the deadline, says when its thread is blocked.
    fn drain(&mut self, i: usize) -> impl Future<Output = ()> + use<> {
        let (id, limit) = (self.slots[i].spec.id, self.slots[i].spec.drain);
        self.slots[i].draining = true;
        let handle = self.slots[i].handle.as_ref();
        let handle = handle.map(|h| (h.drain.clone(), h.orders.clone(), h.phase.clone(), h.env.clone()));
        async move {
            let Some((drain, orders, mut phase, env)) = handle else { return };
            if *phase.borrow() == Phase::Down {
                return;
            }
            drain.do_send(Drain);
            let begun = Instant::now();
            while begun.elapsed() < limit {
                let step = (limit - begun.elapsed().min(limit)).min(Duration::from_secs(5));
                if timeout(step, phase.wait_for(|p| *p == Phase::Down)).await.is_ok() {
                    return info!(actor = id, "actor drained");
                }
                let left = limit.saturating_sub(begun.elapsed()).as_secs();
                let in_hand = env.report().in_hand.join(", ");
                info!(actor = id, in_hand, seconds_left = left, "still draining");
            }
            warn!(
                actor = id,
                ?limit,
                "actor did not drain in time, killing it; its work is resumed at the next start"
            );
            drop(orders.send(Order::Kill));
            if timeout(GRACE, phase.wait_for(|p| *p == Phase::Down)).await.is_err() {
                error!(actor = id, "its thread is blocked and is abandoned");
            }
        }
    }

    /// Stops all children, last started first, and hands the verdict to `main`.
    fn stop_all(&mut self, verdict: Result<(), String>, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.stopping, true) {
            return;
        }
        let drains: Vec<_> = (0..self.slots.len()).rev().map(|i| self.drain(i)).collect();
        let all = async move {
            for drain in drains {
                drain.await;
            }
        };
        let _lives_with_us = ctx.spawn(all.into_actor(self).map(move |(), me, ctx| {
            for handle in me.slots.iter_mut().filter_map(|slot| slot.handle.take()) {
                drop(handle.orders.send(Order::End));
                let _stopped = handle.arbiter.stop();
            }
            if let Some(tell) = me.verdict.take() {
                drop(tell.send(verdict)); // nobody listens any more only if main is already leaving
            }
            ctx.stop();
        }));
    }

    /// Kills silent children. One whose thread is blocked cannot be killed, so the process ends.
    fn watch_pulses(&mut self, ctx: &mut Context<Self>) {
        for slot in self.slots.iter().filter(|_| !self.stopping) {
            let Some(handle) = &slot.handle else { continue };
            let silence = handle.env.silence();
            if *handle.phase.borrow() != Phase::Up || silence <= slot.spec.stall {
                continue;
            }
            error!(actor = slot.spec.id, ?silence, "no pulse, killing it");
            handle.env.touch();
            drop(handle.orders.send(Order::Kill));
            let (id, mut phase) = (slot.spec.id, handle.phase.clone());
            let death = async move { timeout(GRACE, phase.wait_for(|p| *p == Phase::Down)).await.is_ok() };
            let _lives_with_us = ctx.spawn(death.into_actor(self).map(move |dead, me, ctx| {
                if !dead {
                    me.stop_all(Err(format!("{id}: its thread is blocked")), ctx);
                }
            }));
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        for slot in &mut self.slots {
            if let Some(launch) = slot.spec.launch.take() {
                slot.handle = Some(launch(ctx.address().recipient()));
                info!(actor = slot.spec.id, "actor started");
            }
        }
        let _for_life = ctx.run_interval(Duration::from_millis(200), |me, ctx| me.watch_pulses(ctx));
    }
}

impl Handler<ChildExit> for Supervisor {
    type Result = ();
    fn handle(&mut self, msg: ChildExit, ctx: &mut Context<Self>) {
        let found = self.slots.iter().position(|slot| slot.spec.id == msg.id);
        if let Some(i) = found.filter(|i| !self.slots[*i].draining) {
            self.fell(i, msg.exit, ctx);
        }
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ();
    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        self.stop_all(Ok(()), ctx);
    }
}

impl Handler<Status> for Supervisor {
    type Result = MessageResult<Status>;
    fn handle(&mut self, _: Status, _: &mut Context<Self>) -> Self::Result {
        let status = |(i, slot): (usize, &Slot)| ChildStatus {
            actor: slot.spec.id.to_owned(),
            up: self.is_up(i),
            restarts: slot.restarts,
            since_secs: slot.since.elapsed().as_secs(),
            report: slot.handle.as_ref().map(|h| h.env.report().clone()).unwrap_or_default(),
        };
        MessageResult(self.slots.iter().enumerate().map(status).collect())
    }
}

#[cfg(test)]
mod tests;
