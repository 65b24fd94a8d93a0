//! Records what somebody has to tell who must not wait for the disk: the supervisor, a station, a disk's thread.
//!
//! One queue and one task, so that the journal has things in the order in which they happened: the end of an outage never
//! before its beginning, and an incident before the end of the process that it causes.
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::chain;
use crate::journal::{Event, Journal};
use crate::supervisor::runtime;

/// More than this waiting means that the journal does not get on; what does not fit is told in the log alone.
const QUEUE: usize = 1024;
/// For what still waits when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

enum Note {
    Event(Box<Event>),
    Settled(oneshot::Sender<()>),
}

/// The way into the journal for those who must not wait; clones share the queue.
#[derive(Clone)]
pub struct Aside {
    queue: mpsc::Sender<Note>,
}

impl Aside {
    /// Starts the task that writes.
    pub fn new(journal: Journal) -> Self {
        let (queue, mut inbox) = mpsc::channel(QUEUE);
        drop(runtime().spawn(async move {
            while let Some(note) = inbox.recv().await {
                match note {
                    Note::Event(event) => {
                        if let Err(e) = journal.record((*event).clone()).await {
                            tracing::error!(?event, error = %chain(&*e), "could not record it in the journal");
                        }
                    }
                    Note::Settled(tell) => drop(tell.send(())),
                }
            }
        }));
        Self { queue }
    }

    /// Hands an event over.
    pub fn note(&self, event: Event) {
        if let Err(e) = self.queue.try_send(Note::Event(Box::new(event))) {
            let (mpsc::error::TrySendError::Full(note) | mpsc::error::TrySendError::Closed(note)) = e;
            if let Note::Event(event) = note {
                tracing::error!(?event, "too much waits for the journal, so it is told here alone");
            }
        }
    }

    /// Waits until all that was handed over before is in the journal, but not for long.
    pub async fn settled(&self) {
        let (tell, told) = oneshot::channel();
        let all = async {
            if self.queue.send(Note::Settled(tell)).await.is_ok() {
                drop(told.await); // an error only if the task is gone, and with it the queue
            }
        };
        if timeout(LAST_WORDS, all).await.is_err() {
            tracing::error!("not everything that happened is in the journal: it does not get on");
        }
    }
}
