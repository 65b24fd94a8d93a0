//! Slots: who may have a part in memory and on the wire, and when. One for each request that carries bytes, in either direction.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What somebody wants a slot for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// More is sooner.
    pub urgency: u8,
    /// What shares one turn: the same for all parts of a package.
    pub flow: u64,
    /// Of memory; more than there is counts as all of it.
    pub bytes: u64,
}

/// How a request that carried bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Acknowledged.
    Arrived,
    /// The store asks for fewer requests.
    Throttled,
    /// Anything else.
    Failed,
}

/// A request that carried bytes, once it is over.
#[allow(dead_code)]
#[derive(Clone, Copy, Debug)]
pub struct Trip {
    /// Of its body.
    pub bytes: u64,
    /// From the first byte of the request to the last of the answer.
    pub took: Duration,
    /// How it ended.
    pub end: End,
}

/// All slots; clones share.
#[derive(Clone)]
pub struct Slots {
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    all: u64,
}

/// Memory is counted in these.
const UNIT: u64 = 4 << 10;

/// A slot; given back when it is dropped.
#[derive(Debug)]
pub struct Slot {
    _place: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

impl Slots {
    /// At most so many at a time, with so many bytes of memory together.
    pub fn new(cap: usize, memory: u64) -> Self {
        let all = memory.div_ceil(UNIT).clamp(1, u64::from(u32::MAX));
        Self {
            places: Arc::new(Semaphore::new(cap)),
            memory: Arc::new(Semaphore::new(usize::try_from(all).unwrap_or(usize::MAX))),
            all,
        }
    }

    /// Waits for one.
    pub async fn take(&self, ask: Ask) -> Slot {
        let units = u32::try_from(ask.bytes.div_ceil(UNIT).min(self.all)).unwrap_or(u32::MAX);
        let place = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let memory =
            self.memory.clone().acquire_many_owned(units).await.expect("the semaphore is never closed");
        Slot { _place: place, _memory: memory }
    }

    /// To be told of every request that carried bytes: from this the number of slots is found.
    pub fn told(&self, trip: Trip) {
        tracing::trace!(?trip, "over");
    }
}
