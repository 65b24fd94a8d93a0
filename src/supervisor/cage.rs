//! The cage: runs one actor, catches its panics, and restarts it in place.
//!
//! actix's own `Supervisor` restarts on `ctx.stop()` but dies with the actor on a panic. The two halves it is built from are
//! public: `Context::into_future` and `ContextFut::restart`. The cage puts `catch_unwind` between them, so the mailbox and
//! every `Addr` outlive the failure, and what was queued behind it is still answered.
//!
//! On a fall the state is renewed at once (hung futures and their permits are dropped), then the cage waits for an order of
//! the supervisor. Trap: a renewed body that never runs again would be `started` by `ContextFut`'s own drop, outside the
//! runtime; hence the `terminate` in `Drop`.
use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};

use actix::dev::ContextFut;
use actix::{Actor, ActorContext, Context, Supervised};
use tokio::sync::{mpsc, watch};

/// Why an incarnation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It stopped by itself.
    Normal,
    /// It gave up with an error of its own.
    Error(String),
    /// It panicked; text and place.
    Panic(String),
    /// The supervisor killed it because it hung.
    Killed,
    /// Its thread does not answer, so that it cannot even be killed.
    Blocked,
    /// Something that no restart can mend, such as a journal that cannot be written: the process must end.
    Fatal(String),
}

impl Exit {
    /// One word for logs and incidents.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Normal => "ended",
            Self::Error(_) => "error",
            Self::Panic(_) => "panic",
            Self::Killed => "hang",
            Self::Blocked => "blocked",
            Self::Fatal(_) => "fatal",
        }
    }

    /// The rest of the story.
    pub fn detail(&self) -> &str {
        match self {
            Self::Normal => "stopped by itself",
            Self::Killed => "no pulse for longer than allowed",
            Self::Blocked => "its thread does not answer and cannot be killed",
            Self::Error(text) | Self::Panic(text) | Self::Fatal(text) => text,
        }
    }
}

/// Whether a cage runs its actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Up,
    Down,
}

/// What the supervisor may tell a cage.
pub(super) enum Order {
    /// Drop the incarnation and everything it spawned, now.
    Kill,
    /// Begin the next incarnation.
    Restart,
    /// Leave; there will be no next incarnation.
    End,
}

/// What a cage tells the supervisor, with the incarnation it is about.
#[derive(Debug)]
pub(super) enum Word {
    /// Began again, and its `started` came to its end.
    Risen,
    Fell(Exit),
}

pub(super) struct Cage<A: Actor<Context = Context<A>> + Supervised> {
    pub body: ContextFut<A, Context<A>>,
    pub orders: mpsc::UnboundedReceiver<Order>,
    pub phase: watch::Sender<Phase>,
    /// Left behind by [`Env::fail`](super::Env::fail) just before `ctx.stop()`.
    pub failure: Arc<Mutex<Option<Exit>>>,
    pub report: Box<dyn Fn(u64, Word)>,
    /// Which life this is, from 1.
    pub incarnation: u64,
    pub rising: bool,
}

impl<A: Actor<Context = Context<A>> + Supervised + Unpin> Cage<A> {
    fn up(&self) -> bool {
        *self.phase.borrow() == Phase::Up
    }

    /// Renews the state and drops whatever was spawned, but does not run yet: that needs an order.
    fn fall(&mut self, exit: Exit) {
        // What is dropped here is others' code. Should it panic, the state is of no use and no restart can mend it.
        let renewed = panic::catch_unwind(AssertUnwindSafe(|| self.body.restart()));
        let exit = match renewed {
            Ok(_accepted) => exit,
            Err(payload) => {
                let (text, first) = (panic_text(&*payload), exit.detail());
                Exit::Fatal(format!("its state could not be renewed: {text} (after: {first})"))
            }
        };
        let _was = self.phase.send_replace(Phase::Down);
        self.rising = false;
        (self.report)(self.incarnation, Word::Fell(exit));
    }
}

impl<A: Actor<Context = Context<A>> + Supervised> Drop for Cage<A> {
    fn drop(&mut self) {
        if *self.phase.borrow() == Phase::Down {
            self.body.ctx().terminate();
        }
    }
}

impl<A: Actor<Context = Context<A>> + Supervised + Unpin> Future for Cage<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let me = &mut *self;
        loop {
            match me.orders.poll_recv(cx) {
                Poll::Ready(Some(Order::Kill)) if me.up() => me.fall(Exit::Killed),
                Poll::Ready(Some(Order::Restart)) => {
                    if !me.up() {
                        (me.incarnation, me.rising) = (me.incarnation + 1, true);
                        let _was = me.phase.send_replace(Phase::Up);
                    }
                }
                Poll::Ready(Some(Order::End) | None) => return Poll::Ready(()),
                Poll::Ready(Some(Order::Kill)) => {}
                Poll::Pending if !me.up() => return Poll::Pending,
                Poll::Pending => {
                    let body = Pin::new(&mut me.body);
                    match panic::catch_unwind(AssertUnwindSafe(|| body.poll(cx))) {
                        Ok(Poll::Pending) => {
                            if std::mem::take(&mut me.rising) {
                                (me.report)(me.incarnation, Word::Risen);
                            }
                            return Poll::Pending;
                        }
                        Ok(Poll::Ready(())) => {
                            let failure = me.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
                            me.fall(failure.unwrap_or(Exit::Normal));
                        }
                        Err(payload) => me.fall(Exit::Panic(panic_text(&*payload))),
                    }
                }
            }
        }
    }
}

thread_local!(static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) });

/// Sends every panic with its place into the log, and keeps the place for [`Exit::Panic`]. Call once, early in `main`.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(|info| {
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        tracing::error!(at, thread, text = info.payload_as_str().unwrap_or("not a text"), "panic");
        tracing::debug!("{}", std::backtrace::Backtrace::force_capture());
        LAST_PANIC.set(Some(at));
    }));
}

/// The text and, where the hook saw it on this thread, the place of a caught panic.
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "not a text".into());
    match LAST_PANIC.take() {
        Some(at) => format!("{text} (at {at})"),
        None => text,
    }
}
