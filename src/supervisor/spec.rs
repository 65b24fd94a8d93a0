//! What the supervisor is told about a child, and what it lends to it.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use actix::dev::channel;
use actix::{
    Actor, ActorContext, Addr, Arbiter, AsyncContext, Context, Handler, Message, Recipient, Supervised,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::cage::{Cage, Exit, Order, Phase};
use super::{ChildExit, runtime};

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
    /// What outside is out of order, so that it cannot work.
    pub degraded: Option<String>,
}

/// Lent to a child for life, across incarnations.
#[derive(Clone, Default)]
pub struct Env {
    beat: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<Exit>>>,
    report: Arc<Mutex<Report>>,
}

impl Env {
    /// Call in `started`. Beats inside the actor's own context, so a stuck `ctx.wait` or a blocked thread silences it.
    pub fn pulse<A: Child>(&self, ctx: &mut Context<A>) {
        self.touch();
        let env = self.clone();
        let _beats_for_life = ctx.run_interval(Duration::from_millis(100), move |_, _| env.touch());
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
        Duration::from_millis(now_ms().saturating_sub(self.beat.load(Relaxed)))
    }

    pub(super) fn touch(&self) {
        self.beat.store(now_ms(), Relaxed);
    }
}

/// The supervisor's end of a running child.
pub(super) struct Handle {
    pub drain: Recipient<Drain>,
    pub orders: mpsc::UnboundedSender<Order>,
    pub phase: watch::Receiver<Phase>,
    pub env: Env,
    pub arbiter: Arbiter,
}

type Launch = Box<dyn FnOnce(Recipient<ChildExit>) -> Handle>;

/// One child: what it is and how it is treated.
pub struct ChildSpec {
    pub(super) id: &'static str,
    pub(super) restart: Restart,
    pub(super) drain: Duration,
    pub(super) stall: Duration,
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
        let launch: Launch = Box::new(move |boss| {
            let (env, arbiter) = (Env::default(), Arbiter::with_tokio_rt(runtime));
            let (orders, inbox) = mpsc::unbounded_channel();
            let (phase_tx, phase) = watch::channel(Phase::Up);
            let lent = env.clone();
            lent.touch();
            let _sent = arbiter.spawn_fn(move || {
                let failure = lent.failure.clone();
                let body = Context::with_receiver(rx).into_future(make(lent));
                let report = Box::new(move |exit| boss.do_send(ChildExit { id, exit }));
                drop(actix_rt::spawn(Cage { body, orders: inbox, phase: phase_tx, failure, report }));
            });
            Handle { drain, orders, phase, env, arbiter }
        });
        let spec = Self {
            id,
            restart: Restart::Permanent,
            drain: Duration::from_secs(20),
            stall: Duration::from_secs(30),
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

/// Milliseconds on the monotonic clock since the process first asked.
fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}
