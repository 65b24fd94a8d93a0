//! How far a file's requests may run ahead of its disk, so that one slow or hanging disk does not sit on the slots of all.
//!
//! Slots are shared by all landings. A file whose disk is the bottleneck would take every slot that others give back and keep it
//! until its disk has come that far. So a file begins with few requests and gains one with each write that succeeds, and asks for
//! nothing new while its disk is busy and has enough lying ready. While it waits for the wire it may ask as much as slots allow.
use std::sync::Arc;

use tokio::sync::watch;

/// Requests before anything was written.
const AT_FIRST: u64 = 4;
/// Pieces that lie ready while another is being written.
const READY: u64 = 2;

#[derive(Clone, Copy, Debug, Default)]
struct State {
    asked: u64,
    arrived: u64,
    /// By the one who writes.
    taken: u64,
    written: u64,
}

impl State {
    fn may_ask(self) -> bool {
        let busy = self.taken > self.written;
        let ready = self.arrived.saturating_sub(self.taken);
        self.asked - self.written < AT_FIRST + self.written && !(busy && ready >= READY)
    }
}

/// One file's; clones share it.
#[derive(Clone)]
pub(super) struct Lead(Arc<watch::Sender<State>>);

impl Lead {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// Waits until another request may be made, and counts it.
    pub(super) async fn ask(&self) -> Turn {
        // We hold the sender, so it cannot be gone.
        drop(self.0.subscribe().wait_for(|state| state.may_ask()).await);
        self.0.send_modify(|state| state.asked += 1);
        Turn { lead: self.clone(), used: false }
    }

    /// It is being written.
    pub(super) fn taken(&self) {
        self.0.send_modify(|state| state.taken += 1);
    }

    /// It is written.
    pub(super) fn written(&self) {
        self.0.send_modify(|state| state.written += 1);
    }
}

/// A request that may be made; one that comes to nothing does not count.
pub(super) struct Turn {
    lead: Lead,
    used: bool,
}

impl Turn {
    /// Its answer is here.
    pub(super) fn arrived(mut self) {
        self.used = true;
        self.lead.0.send_modify(|state| state.arrived += 1);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.used {
            self.lead.0.send_modify(|state| state.asked -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many requests may be made at once.
    fn more(mut state: State) -> u64 {
        let before = state.asked;
        while state.may_ask() && state.asked - before < 100 {
            state.asked += 1;
        }
        state.asked - before
    }

    #[test]
    fn a_disk_that_hangs_holds_few_slots_and_one_that_is_slow_has_enough_lying_ready() {
        assert_eq!(more(State::default()), AT_FIRST);
        let hangs = State { asked: 4, arrived: 4, taken: 1, written: 0 };
        assert_eq!(more(hangs), 0);
        let slow = State { asked: 60, arrived: 60, taken: 55, written: 54 };
        assert_eq!(more(slow), 0);
        let slow = State { arrived: 56, ..slow };
        assert_eq!(more(slow), 54 + AT_FIRST - 6);
    }

    #[tokio::test]
    async fn a_request_that_came_to_nothing_does_not_count() {
        let lead = Lead::new();
        for _ in 0..100 {
            drop(lead.ask().await);
        }
        for _ in 0..100 {
            lead.ask().await.arrived();
            lead.taken();
            lead.written();
        }
        assert_eq!(lead.0.borrow().asked, 100);
    }

    #[test]
    fn a_wire_that_is_slow_is_filled() {
        // The earliest range is late; those behind it do not count against the file.
        let late = State { asked: 20, arrived: 15, taken: 10, written: 10 };
        assert_eq!(more(late), 10 + AT_FIRST - 10);
        let fast = State { asked: 200, arrived: 190, taken: 190, written: 190 };
        assert_eq!(more(fast), 100);
    }
}
