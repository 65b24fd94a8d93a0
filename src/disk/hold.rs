//! Who works on what: one attempt per unit, until its last call has come back.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{Disk, DiskError, OnDisk};
use crate::clock;

/// The units in hand, and since when. Over all actors: the verifier must not move away what a late call of the copier is
/// still writing into.
#[derive(Clone, Default)]
pub(super) struct Claims {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    held: Mutex<BTreeMap<String, Timestamp>>,
    freed: Notify,
}

/// A unit in hand; clones are one hold. Free again when the last clone is gone, the jobs' own included.
#[derive(Clone)]
pub struct Hold {
    _held: Arc<Held>,
}

struct Held {
    unit: String,
    claims: Arc<Inner>,
}

impl Claims {
    pub(super) async fn hold(&self, unit: &str, patience: Duration) -> Result<Hold, DiskError> {
        let held = async {
            loop {
                // Registered before looking, so that a release in between is not missed.
                let mut freed = std::pin::pin!(self.inner.freed.notified());
                let _registered = freed.as_mut().enable();
                if let Some(hold) = self.take(unit) {
                    return hold;
                }
                freed.await;
            }
        };
        let since = |_| {
            let held = self.inner.held.lock().unwrap_or_else(PoisonError::into_inner);
            let since = held.get(unit).copied().unwrap_or_else(clock::now);
            DiskError::Busy { unit: unit.to_owned(), since }
        };
        tokio::time::timeout(patience, held).await.map_err(since)
    }

    fn take(&self, unit: &str) -> Option<Hold> {
        let mut held = self.inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains_key(unit) {
            return None;
        }
        let _none = held.insert(unit.to_owned(), clock::now());
        Some(Hold { _held: Arc::new(Held { unit: unit.to_owned(), claims: self.inner.clone() }) })
    }

    pub(super) fn is_free(&self, unit: &str) -> bool {
        !self.inner.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(unit)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.claims.held.lock().unwrap_or_else(PoisonError::into_inner);
        let _since = held.remove(&self.unit);
        drop(held);
        self.claims.freed.notify_waiters();
    }
}

impl Hold {
    /// Runs `work` on the disk's threads and waits for it, as long as it or the queue before it moves.
    pub async fn on<T: Send + 'static>(
        &self,
        disk: &Disk,
        work: impl FnOnce(&OnDisk) -> T + Send + 'static,
    ) -> Result<T, DiskError> {
        disk.run(Some(self.clone()), work).await
    }
}
