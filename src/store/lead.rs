//! How far requests may run ahead of a disk, so that one slow or hanging disk does not sit on the slots of all.
//!
//! Slots are shared by all landings. A file whose disk is the bottleneck would take every slot that others give back and keep it
//! until its disk has come that far. So a file begins with few requests and gains one with each write that succeeds, and asks for
//! nothing new while its disk is busy and has enough lying ready. While it waits for the wire it may ask as much as slots allow.
//!
//! A large file has a lead of its own. Small files are one request each, so all of them that land in one place share one.
use std::sync::Arc;

use tokio::sync::watch;

/// Requests before anything was written.
const AT_FIRST: u64 = 4;
/// Pieces of a large file that lie ready while another is being written.
const READY: u64 = 2;
/// The same of small files: several are written side by side, and each takes the disk little time.
const READY_SMALL: u64 = 8;

#[derive(Clone, Copy, Debug, Default)]
struct State {
    asked: u64,
    arrived: u64,
    /// By the one who writes.
    taken: u64,
    written: u64,
}

impl State {
    fn may_ask(self, ready: u64) -> bool {
        self.asked - self.written < AT_FIRST + self.written && !self.has_enough(ready)
    }

    /// Whether the disk has enough to do.
    fn has_enough(self, ready: u64) -> bool {
        let busy = self.taken > self.written;
        // All that is here but the one that is being written.
        let lies = self.arrived.saturating_sub(self.written).saturating_sub(1);
        busy && lies >= ready
    }
}

/// Of one large file, or of all small ones of one place; clones share it.
#[derive(Clone, Debug)]
pub struct Lead {
    state: Arc<watch::Sender<State>>,
    ready: u64,
}

impl Lead {
    /// For one file that takes many requests.
    pub(super) fn of_a_file() -> Self {
        Self { state: Arc::default(), ready: READY }
    }

    /// For all files of one place that take one request each.
    pub fn of_small_files() -> Self {
        Self { state: Arc::default(), ready: READY_SMALL }
    }

    /// Waits until another request may be made, and counts it.
    pub(super) async fn ask(&self) -> Turn {
        let mut news = self.state.subscribe();
        // Looked at and counted in one go: others may wait for the same.
        let count = |state: &mut State| {
            let may = state.may_ask(self.ready);
            state.asked += u64::from(may);
            may
        };
        while !self.state.send_if_modified(count) {
            // We hold the sender, so it cannot be gone.
            drop(news.changed().await);
        }
        Turn { lead: self.clone(), stage: Stage::Asked }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Asked,
    Arrived,
    Taken,
    Written,
}

/// A request that may be made, and what becomes of its bytes. One that comes to nothing, wherever that happens, does not count: the
/// lead of a place outlives many files that fail.
#[derive(Debug)]
pub(super) struct Turn {
    lead: Lead,
    stage: Stage,
}

impl Turn {
    /// Whether it is still wanted, now that there is a slot for it. Many turns may have been given out while the disk was idle, and then
    /// it hangs: each of them would take a slot and keep it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.lead.state.borrow().has_enough(self.lead.ready)
    }

    /// Its answer is here.
    pub(super) fn arrived(&mut self) {
        self.stage = Stage::Arrived;
        self.lead.state.send_modify(|state| state.arrived += 1);
    }

    /// It is being written.
    pub(super) fn taken(&mut self) {
        self.stage = Stage::Taken;
        self.lead.state.send_modify(|state| state.taken += 1);
    }

    /// It is written.
    pub(super) fn written(mut self) {
        self.stage = Stage::Written;
        self.lead.state.send_modify(|state| state.written += 1);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.stage < Stage::Written {
            self.lead.state.send_modify(|state| {
                state.asked -= 1;
                state.arrived -= u64::from(self.stage >= Stage::Arrived);
                state.taken -= u64::from(self.stage >= Stage::Taken);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many requests may be made at once.
    fn more(mut state: State) -> u64 {
        let before = state.asked;
        while state.may_ask(READY) && state.asked - before < 100 {
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
    async fn a_request_that_came_to_nothing_does_not_count_however_far_it_came() {
        let lead = Lead::of_small_files();
        for n in 0..100 {
            let mut turn = lead.ask().await;
            if n % 3 > 0 {
                turn.arrived();
            }
            if n % 3 > 1 {
                turn.taken();
            }
        }
        for _ in 0..100 {
            let mut turn = lead.ask().await;
            turn.arrived();
            turn.taken();
            turn.written();
        }
        let State { asked, arrived, taken, written } = *lead.state.borrow();
        assert_eq!((asked, arrived, taken, written), (100, 100, 100, 100));
    }

    #[tokio::test]
    async fn small_files_share_what_may_lie_before_their_disk() {
        let lead = Lead::of_small_files();
        let here = async |lead: &Lead| {
            let mut turn = lead.ask().await;
            turn.arrived();
            turn.taken();
            turn
        };
        for _ in 0..100 {
            here(&lead).await.written();
        }
        let mut lie = Vec::new();
        for _ in 0..=READY_SMALL {
            lie.push(here(&lead).await);
        }
        let mut waits: Vec<_> = (0..20).map(|_| Box::pin(here(&lead))).collect();
        for wait in &mut waits {
            assert!(futures_util::poll!(wait.as_mut()).is_pending(), "the disk has enough to do");
        }
        // One is written and the others are given up: those who waited go on, and no more than may.
        lie.remove(0).written();
        drop(lie);
        let mut through = Vec::new();
        for wait in &mut waits {
            if let std::task::Poll::Ready(turn) = futures_util::poll!(wait.as_mut()) {
                through.push(turn);
            }
        }
        assert_eq!(through.len() as u64, READY_SMALL + 1);
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
