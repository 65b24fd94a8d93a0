//! Digests beside the disk and the wire: a few threads, fed over channels, that hash what others read and send.
//!
//! A file's digest is serial: its bytes must be fed in order. Files side by side are hashed side by side, SHA-256 and md5 of one
//! file too. The thread that reads a disk goes on reading meanwhile, and the part is on the wire before it is hashed to its end.
//!
//! md5 costs three times SHA-256 when it is alone, and half of it with seven others in lockstep. So a thread that has the
//! choice takes SHA-256, and md5 finds company meanwhile; one thread at a time takes md5, all of it that is there, and waits for nobody.
//!
//! Nothing here bounds what is fed: its callers hold a slot, or a few pieces of their own, until they know the state behind it.
mod book;
mod crew;
mod lockstep;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::package::HashState;
use book::Book;
use crew::Ready;

/// The threads; clones share them. They end when the last clone and the last stream are dropped and all that somebody still
/// waits for is hashed.
#[derive(Clone)]
pub struct Hashing {
    ready: Arc<Ready>,
}

/// One file on its way through the threads. When it is dropped, pieces behind which nobody waits for a state are let go.
pub struct Stream {
    ready: Arc<Ready>,
    queue: Arc<Queue>,
}

struct Queue(Mutex<Book>);

impl Queue {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads have ended or one panicked over this file: nothing is known about its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread that computed the digests has ended")]
pub struct Ended;

/// What the digest is behind a piece, once it is known.
pub struct Later(oneshot::Receiver<HashState>);

impl Later {
    /// Waits for it.
    pub async fn state(self) -> Result<HashState, Ended> {
        self.0.await.map_err(|_| Ended)
    }
}

impl Hashing {
    /// Starts so many threads; 0: one for each core.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        Ok(Self { ready: crew::start(threads)? })
    }

    /// A file whose digests stand at `state`: a new one, or one that is gone on with.
    pub fn stream(&self, state: HashState) -> Stream {
        Stream { ready: self.ready.clone(), queue: Arc::new(Queue(Mutex::new(Book::new(state)))) }
    }
}

impl Stream {
    /// The next bytes of the file. They are let go when they are hashed, before the state behind them is told; how many may wait
    /// is the caller's to bound.
    pub fn feed(&mut self, bytes: Bytes) -> Later {
        let (done, later) = oneshot::channel();
        let calls = self.queue.book().feed(bytes, done);
        self.ready.call(&self.queue, calls);
        Later(later)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.queue.book().leave();
    }
}

#[cfg(test)]
mod tests;
