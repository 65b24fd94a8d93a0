//! What the supervisor is told about a child, and what it lends to it.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::dev::channel;
use actix::{
    Actor, ActorContext, Addr, Arbiter, AsyncContext, Context, Handler, Message, Recipient, Supervised,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::cage::{Cage, Exit, Order, Phase, Word};
use super::{CageWord, runtime};

/// Finish what is in hand, take nothing new, then `ctx.stop()`.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Drain;

/// When a child that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// After an error, a panic or a hang, but not after a normal end.
    Transient,
    /// Never.
    Temporary,
}

/// Who is restarted when a child fails. Children stand in start order, sink first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// That child alone: enough where addresses are stable and the truth is in a journal.
    #[default]
    OneForOne,
    /// Also those that were started after it: they are drained, and begin again once it is up.
    RestForOne,
}

/// An actor the supervisor can keep. `restarting` must renew the whole state: nothing of a failed incarnation may survive.
pub trait Child: Actor<Context = Context<Self>> + Handler<Drain> + Supervised + Unpin {}
impl<A: Actor<Context = Context<A>> + Handler<Drain> + Supervised + Unpin> Child for A {}

/// What an actor tells about itself; shown by `status`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Units it works on.
    pub in_hand: Vec<String>,
    /// Units that wait for it.
    pub queue: usize,
    /// Units finished since the process began.
    pub done: u64,
    /// Failed attempts since the process began.
    pub errors: u64,
    /// Failed attempts in a row.
    pub consecutive: u32,
    /// The last one in words.
    pub last_error: Option<String>,
    /// Milliseconds since then.
    pub last_error_ms: Option<u64>,
    /// What is out of order, so that it cannot work.
    pub degraded: Option<String>,
    /// Seconds since that began.
    pub degraded_secs: Option<u64>,
    /// Milliseconds since its last finished unit; none: there was none since the process began.
    pub last_done_ms: Option<u64>,
    /// The moment behind `degraded_secs`, kept by the actor.
    #[serde(skip)]
    pub degraded_since: Option<Instant>,
    /// The moment behind `last_done_ms`, kept by the actor.
    #[serde(skip)]
    pub done_at: Option<Instant>,
    /// The moment behind `last_error_ms`, kept by the actor.
    #[serde(skip)]
    pub error_at: Option<Instant>,
}

impl Report {
    /// The account with its ages filled in.
    pub(super) fn at_present(&self) -> Self {
        let ms = |at: Instant| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self {
            degraded_secs: self.degraded_since.map(|at| at.elapsed().as_secs()),
            last_done_ms: self.done_at.map(ms),
            last_error_ms: self.error_at.map(ms),
            ..self.clone()
        }
    }
}

/// Lent to a child for life, across incarnations.
#[derive(Clone)]
pub struct Env {
    /// Milliseconds after `born`.
    beat: Arc<AtomicU64>,
    born: Instant,
    rhythm: Duration,
    failure: Arc<Mutex<Option<Exit>>>,
    report: Arc<Mutex<Report>>,
}

impl Env {
    fn new(stall: Duration) -> Self {
        let (beat, failure, report) = (Arc::default(), Arc::default(), Arc::default());
        // Often enough that a few late ones are no silence, seldom enough that idle actors cost nothing.
        let rhythm = (stall / 10).clamp(Duration::from_millis(20), Duration::from_millis(500));
        Self { beat, born: Instant::now(), rhythm, failure, report }
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Call in `started`. Beats inside the actor's own context, so a stuck `ctx.wait` or a blocked thread silences it.
    pub fn pulse<A: Child>(&self, ctx: &mut Context<A>) {
        self.touch();
        let env = self.clone();
        let _beats_for_life = ctx.run_interval(self.rhythm, move |_, _| env.touch());
    }

    /// Ends this incarnation; the supervisor decides what follows.
    pub fn fail<A: Child>(&self, ctx: &mut Context<A>, exit: Exit) {
        let _first_reason_counts =
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(exit);
        ctx.stop();
    }

    /// The actor's own account, to be kept up to date by it.
    pub fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn silence(&self) -> Duration {
        Duration::from_millis(self.age_ms().saturating_sub(self.beat.load(Relaxed)))
    }

    pub(super) fn touch(&self) {
        self.beat.store(self.age_ms(), Relaxed);
    }
}

/// The supervisor's end of a running child.
pub(super) struct Handle {
    pub drain: Recipient<Drain>,
    pub orders: mpsc::UnboundedSender<Order>,
    pub phase: watch::Receiver<Phase>,
    pub env: Env,
    /// None: it lives on the supervisor's thread.
    pub arbiter: Option<Arbiter>,
}

pub(super) type Launch = Box<dyn FnOnce(Recipient<CageWord>, Place, Duration) -> Handle>;

/// Where a child lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On a thread of its own, so that one that blocks blocks nobody else.
    Thread,
    /// On the thread of the supervisor.
    Here,
}

/// One child: what it is and how it is treated.
pub struct ChildSpec {
    pub(super) id: &'static str,
    pub(super) restart: Restart,
    pub(super) drain: Duration,
    pub(super) stall: Duration,
    pub(super) significant: bool,
    pub(super) place: Place,
    pub(super) launch: Option<Launch>,
}

impl ChildSpec {
    /// Prepares a child with a mailbox of `capacity` and returns its address, which stays valid over all restarts. `make`
    /// only moves things into place; whatever can fail belongs into `started`.
    pub fn new<A: Child>(
        id: &'static str,
        capacity: usize,
        make: impl FnOnce(Env) -> A + Send + 'static,
    ) -> (Self, Addr<A>) {
        let (tx, rx) = channel::channel::<A>(capacity);
        let addr = Addr::new(tx);
        let drain = addr.clone().recipient();
        let launch: Launch = Box::new(move |boss, place, stall| {
            let env = Env::new(stall);
            let (orders, inbox) = mpsc::unbounded_channel();
            let (phase_tx, phase) = watch::channel(Phase::Up);
            let lent = env.clone();
            let begin = move || {
                let failure = lent.failure.clone();
                let body = Context::with_receiver(rx).into_future(make(lent));
                let report = move |incarnation, word: Word| boss.do_send(CageWord { id, incarnation, word });
                drop(actix_rt::spawn(Cage {
                    body,
                    orders: inbox,
                    phase: phase_tx,
                    failure,
                    report: Box::new(report),
                    incarnation: 1,
                    rising: false,
                }));
            };
            let arbiter = match place {
                Place::Thread => {
                    let arbiter = Arbiter::with_tokio_rt(runtime);
                    let _sent = arbiter.spawn_fn(begin);
                    Some(arbiter)
                }
                Place::Here => {
                    begin();
                    None
                }
            };
            Handle { drain, orders, phase, env, arbiter }
        });
        let spec = Self {
            id,
            restart: Restart::Permanent,
            drain: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            significant: false,
            place: Place::Thread,
            launch: Some(launch),
        };
        (spec, addr)
    }

    /// Its name.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// When it is started again.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Nothing useful can go on without it: when it is given up, everything ends.
    #[must_use]
    pub fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// Lets it live on the supervisor's own thread: for simulations in virtual time, which know one thread only.
    #[must_use]
    pub fn here(mut self) -> Self {
        self.place = Place::Here;
        self
    }

    /// How long a `Drain` may take before the child is killed.
    #[must_use]
    pub fn drain_within(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// How long the pulse may be silent before the child counts as hung.
    #[must_use]
    pub fn stall_after(mut self, limit: Duration) -> Self {
        self.stall = limit;
        self
    }
}
