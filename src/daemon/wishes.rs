//! Who may ask the daemon to end: signals, the stop file, a parent that is gone, a broken journal.
//!
//! Signals are heard on the shared runtime, not on the main thread: when that one is blocked, a second signal still ends the
//! process, the hard way.
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::end::End;
use crate::supervisor::runtime;

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Finish what is in hand and end; why.
    Stop(String),
    /// Leave at once; which signal said so.
    Leave(&'static str),
    /// Finish what is in hand and end with an error; why.
    Fatal(String),
}

/// Asks. Never blocks; the queue is long enough for everybody who asks once.
#[derive(Clone)]
pub(super) struct Asker(mpsc::Sender<Wish>);

impl Asker {
    pub(super) fn ask(&self, wish: Wish) {
        if let Err(e) = self.0.try_send(wish) {
            tracing::warn!(error = %e, "asked for again while on the way out");
        }
    }
}

/// The receiving end.
pub(super) struct Wishes {
    queue: mpsc::Receiver<Wish>,
    asker: Asker,
}

impl Wishes {
    pub(super) async fn next(&mut self) -> Wish {
        match self.queue.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await, // cannot be: we hold a sender ourselves
        }
    }

    pub(super) fn asker(&self) -> Asker {
        self.asker.clone()
    }

    pub(super) fn ask(&self, wish: Wish) {
        self.asker.ask(wish);
    }
}

/// The signals that a daemon understands. From the moment they are hooked none of them kills.
pub struct Signals {
    term: Signal,
    int: Signal,
    pub(super) hangup: Signal,
}

impl Signals {
    /// Before the start is on record, so that no signal can end a started daemon without a word. Not earlier: until then
    /// there is nothing to drain, and a wait for somebody else's lock should end with the first Ctrl-C.
    pub fn hook() -> Result<Self, String> {
        let _inside = runtime().enter();
        let hook = |kind| signal(kind).map_err(|e| format!("could not listen for signals: {e}"));
        Ok(Self {
            term: hook(SignalKind::terminate())?,
            int: hook(SignalKind::interrupt())?,
            hangup: hook(SignalKind::hangup())?,
        })
    }
}

/// Listens from now on; gives back the stream of SIGHUPs.
pub(super) fn listen(signals: Signals, until_eof: bool, end: Arc<End>) -> (Wishes, Signal) {
    let (tx, queue) = mpsc::channel(16);
    let asker = Asker(tx);
    let Signals { mut term, mut int, hangup } = signals;
    let by_signal = asker.clone();
    drop(runtime().spawn(async move {
        for n in 1.. {
            let name = tokio::select! { _ = term.recv() => "SIGTERM", _ = int.recv() => "SIGINT" };
            match n {
                1 => by_signal.ask(Wish::Stop(name.to_owned())),
                2 => {
                    end.or_else_the_hard_way(); // first of all: even a log can hang
                    tracing::warn!(signal = name, "a second signal: leaving at once");
                    by_signal.ask(Wish::Leave(name));
                }
                _ => {}
            }
        }
    }));
    if until_eof {
        let by_parent = asker.clone();
        drop(runtime().spawn(async move {
            let mut buffer = [0; 64];
            let mut stdin = tokio::io::stdin();
            while stdin.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
            by_parent.ask(Wish::Stop("end of stdin".to_owned()));
        }));
    }
    (Wishes { queue, asker }, hangup)
}

/// How long the orderly way of leaving at once may take, before the hard one.
pub(super) const ORDERLY: Duration = Duration::from_millis(1000);
