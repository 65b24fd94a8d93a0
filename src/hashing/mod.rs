//! Digests beside the disk and the wire: a few threads, fed over a channel, that hash what others read and send.
//!
//! A file's digest is serial: its bytes must be fed in order. Files side by side are hashed side by side. The thread that reads a
//! disk goes on reading meanwhile, and the part is on the wire before it is hashed to its end.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Sender, unbounded};
use tokio::sync::oneshot;

use crate::package::HashState;

/// The threads; clones share them. They end when the last clone is dropped and all that was fed is hashed.
#[derive(Clone)]
pub struct Hashing {
    ready: Sender<Arc<Queue>>,
}

/// One file on its way through the threads.
pub struct Stream {
    ready: Sender<Arc<Queue>>,
    queue: Arc<Queue>,
}

struct Queue {
    inner: Mutex<Inner>,
}

struct Inner {
    state: HashState,
    waiting: VecDeque<Fed>,
    /// In the channel or in a thread's hands.
    scheduled: bool,
}

struct Fed {
    bytes: Bytes,
    done: oneshot::Sender<HashState>,
}

/// The threads have ended or one panicked: nothing is known about the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the threads that compute digests have ended")]
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
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (ready, work) = unbounded::<Arc<Queue>>(); // at most one entry for each stream
        for n in 0..if threads == 0 { cores } else { threads } {
            let work = work.clone();
            drop(thread::Builder::new().name(format!("hash-{n}")).spawn(move || {
                for queue in &work {
                    queue.drain();
                }
            })?);
        }
        Ok(Self { ready })
    }

    /// A file whose digests stand at `state`: a new one, or one that is gone on with.
    pub fn stream(&self, state: HashState) -> Stream {
        let inner = Mutex::new(Inner { state, waiting: VecDeque::new(), scheduled: false });
        Stream { ready: self.ready.clone(), queue: Arc::new(Queue { inner }) }
    }
}

impl Stream {
    /// The next bytes of the file. They are let go when they are hashed; how many may wait is the caller's to bound.
    pub fn feed(&mut self, bytes: Bytes) -> Later {
        let (done, later) = oneshot::channel();
        let mut inner = self.queue.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.waiting.push_back(Fed { bytes, done });
        if !std::mem::replace(&mut inner.scheduled, true) {
            drop(self.ready.send(self.queue.clone())); // without threads `done` is dropped with the queue
        }
        Later(later)
    }
}

impl Queue {
    fn drain(&self) {
        loop {
            let (fed, mut state) = {
                let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(fed) = inner.waiting.pop_front() else {
                    inner.scheduled = false;
                    return;
                };
                (fed, inner.state.clone())
            };
            state.update(&fed.bytes);
            self.inner.lock().unwrap_or_else(PoisonError::into_inner).state = state.clone();
            drop(fed.bytes);
            drop(fed.done.send(state)); // nobody may want to know
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_hashed_in_order_and_each_tells_the_state_behind_it() {
        let hashing = Hashing::start(2).unwrap();
        let mut stream = hashing.stream(HashState::new(true));
        let laters: Vec<Later> = (0..50u8).map(|n| stream.feed(Bytes::from(vec![n; 1000]))).collect();
        let mut whole = HashState::new(true);
        for (n, later) in laters.into_iter().enumerate() {
            whole.update(&[u8::try_from(n).unwrap(); 1000]);
            assert_eq!(later.state().await.unwrap().finish(), whole.clone().finish(), "{n}");
        }
    }
}
