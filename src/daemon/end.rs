//! The last line of a daemon's life in the journal, written once, whoever comes first.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use super::wishes::ORDERLY;
use crate::chain;
use crate::journal::{Event, Journal};
use crate::supervisor::runtime;

/// The exit code of a daemon that left before everything was drained.
const CUT_OFF: u8 = 75;

/// Writes the end.
pub struct End {
    journal: Journal,
    written: AtomicBool,
    in_a_hurry: AtomicBool,
}

impl End {
    /// Of the daemon that has this journal.
    pub fn new(journal: Journal) -> Arc<Self> {
        Arc::new(Self { journal, written: AtomicBool::new(false), in_a_hurry: AtomicBool::new(false) })
    }

    /// Records the end, unless that was done. A disk that hangs does not keep the process: the time is limited.
    pub async fn record(&self, exit: u8, why: &str) {
        if self.written.swap(true, SeqCst) {
            return;
        }
        let limit =
            if self.in_a_hurry.load(SeqCst) { Duration::from_millis(500) } else { Duration::from_secs(10) };
        let event = Event::Stopped { exit: exit.into(), why: why.to_owned() };
        match tokio::time::timeout(limit, self.journal.record(event)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::error!(error = %chain(&*e), "could not record the end in the journal"),
            Err(_) => tracing::error!(?limit, "the journal did not take the record of the end in time"),
        }
    }

    /// From now on the process has a second to leave by itself, then it is ended from here, even when its main thread is
    /// blocked: a person who signals twice means it.
    pub(super) fn or_else_the_hard_way(self: &Arc<Self>) {
        self.in_a_hurry.store(true, SeqCst);
        let end = self.clone();
        drop(runtime().spawn(async move {
            tokio::time::sleep(ORDERLY).await;
            let why = "left the hard way on a second signal: the main thread is blocked or a disk hangs";
            tracing::error!(why, "the process ends here");
            end.record(CUT_OFF, why).await;
            // The log's own thread gets a moment for these lines.
            tokio::time::sleep(Duration::from_millis(100)).await;
            std::process::exit(CUT_OFF.into());
        }));
    }
}
