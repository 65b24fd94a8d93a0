//! Being told of every request at the moment it is worked on: how a test strikes at exactly that moment.
//!
//! A crash test kills a daemon *between* the work of the server and its answer, or before the work is done. Waiting for
//! an entry in the record would be too late: by then the answer is on its way.
//!
//! Traps: the function runs on the server's own thread and holds up that request (no other), so it must come to an end;
//! it runs without the world's lock, so it may look at the world and change it through its own handle.

use std::sync::Arc;

use super::{Lims, RequestLog};

/// The moment a request is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The request is here whole or in part, any [`super::Fault::Delay`] is over, nothing was done yet. The entry's
    /// status is 0.
    Before,
    /// What the request asked was done or refused, and nothing of the answer was sent. The entry has the status that is
    /// to be sent (0 if the connection will be closed instead).
    After,
}

pub(super) type Hook = Arc<dyn Fn(&RequestLog, When) + Send + Sync>;

impl Lims {
    /// Calls this function twice for every request, in place of any function given before.
    pub fn on_request(&self, hook: impl Fn(&RequestLog, When) + Send + Sync + 'static) {
        self.lock().hook = Some(Arc::new(hook));
    }

    /// Calls no function any more.
    pub fn off_request(&self) {
        self.lock().hook = None;
    }

    /// Tells the function, outside the lock.
    pub(super) fn tell(&self, entry: &RequestLog, when: When) {
        let hook = self.lock().hook.clone();
        if let Some(hook) = hook {
            hook(entry, when);
        }
    }
}
