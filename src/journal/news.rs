//! The newest lines for those who listen, and what the writing costs: fed by the writing thread, read by whoever shows it.
//!
//! The last lines are kept in memory, a bounded number of them; who comes late or reads slowly is told how many it missed.
//! Nobody who listens can hold the writer up: it never waits here.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;

use super::event::Line;

/// Lines that are kept for listeners. Most have a few hundred bytes; an order has some ten thousand.
const KEPT: usize = 1024;

/// What the writing cost so far, since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writing {
    /// Lines that are on the disk.
    pub lines: u64,
    /// Batches, each with one fsync.
    pub syncs: u64,
    /// Time spent writing and waiting for the disk.
    pub spent: Duration,
}

/// The newest lines.
#[derive(Clone)]
pub(super) struct News {
    kept: Arc<Mutex<VecDeque<Arc<Line>>>>,
    live: broadcast::Sender<Arc<Line>>,
    lines: Arc<AtomicU64>,
    syncs: Arc<AtomicU64>,
    spent_us: Arc<AtomicU64>,
}

/// Lines that were kept, how many before them are not kept any more, and those that will come.
pub struct Subscription {
    /// Lines behind the wanted one that are kept, the oldest first.
    pub kept: Vec<Arc<Line>>,
    /// Lines behind the wanted one that are not kept any more; the journal has them.
    pub missed: u64,
    /// What comes from now on. A listener that is too slow gets `Lagged`, and goes on behind what it missed.
    pub live: broadcast::Receiver<Arc<Line>>,
}

impl News {
    pub(super) fn new() -> Self {
        let (live, _) = broadcast::channel(KEPT);
        let (lines, syncs, spent_us) = Default::default();
        Self { kept: Arc::default(), live, lines, syncs, spent_us }
    }

    /// A batch is on the disk.
    pub(super) fn written(&self, lines: Vec<Line>, spent: Duration) {
        let _before = self.lines.fetch_add(lines.len() as u64, Relaxed);
        let _before = self.syncs.fetch_add(1, Relaxed);
        let us = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        let _before = self.spent_us.fetch_add(us, Relaxed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.into_iter().map(Arc::new) {
            if kept.len() == KEPT {
                drop(kept.pop_front());
            }
            kept.push_back(line.clone());
            drop(self.live.send(line)); // nobody may be listening
        }
    }

    pub(super) fn writing(&self) -> Writing {
        Writing {
            lines: self.lines.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            spent: Duration::from_micros(self.spent_us.load(Relaxed)),
        }
    }

    /// Everything behind line `after` of which `last` is the newest; only what comes from now on if `after` is none.
    pub(super) fn subscribe(&self, after: Option<u64>, last: impl FnOnce() -> u64) -> Subscription {
        // Under the lock, so that no line comes twice or falls in between.
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live.subscribe();
        let Some(after) = after else { return Subscription { kept: Vec::new(), missed: 0, live } };
        let newest = kept.back().map_or_else(last, |line| line.seq);
        let oldest = kept.front().map_or(newest + 1, |line| line.seq);
        let missed = oldest.saturating_sub(after.saturating_add(1));
        Subscription { kept: kept.iter().filter(|line| line.seq > after).cloned().collect(), missed, live }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::journal::Event;
    use crate::package::Sha256Hex;

    fn line(seq: u64) -> Line {
        let event = Event::Stopped { exit: 0, why: String::new() };
        Line { v: 1, seq, at: clock::now(), prev: Sha256Hex::zero(), event }
    }

    #[tokio::test]
    async fn a_listener_gets_what_it_missed_and_what_comes_without_gap() {
        let news = News::new();
        let none = news.subscribe(Some(7), || 9);
        assert_eq!(
            (none.kept.len(), none.missed),
            (0, 2),
            "lines of an earlier process are in the journal alone"
        );
        assert_eq!(news.subscribe(Some(9), || 9).missed, 0);
        news.written(vec![line(10), line(11)], Duration::from_millis(3));
        let mut behind = news.subscribe(Some(10), || 0);
        assert_eq!((behind.kept.len(), behind.kept[0].seq, behind.missed), (1, 11, 0));
        assert!(news.subscribe(None, || 0).kept.is_empty());
        news.written(vec![line(12)], Duration::ZERO);
        assert_eq!(behind.live.recv().await.unwrap().seq, 12);
        assert_eq!(news.writing(), Writing { lines: 3, syncs: 2, spent: Duration::from_millis(3) });
        assert_eq!(news.subscribe(Some(999), || 0).missed, 0, "an id of the future");
    }

    #[tokio::test]
    async fn memory_is_bounded_and_who_is_slow_is_told() {
        let news = News::new();
        let mut slow = news.subscribe(None, || 0);
        news.written((1..=5000).map(line).collect(), Duration::ZERO);
        let late = news.subscribe(Some(0), || 0);
        assert_eq!((late.kept.len(), late.missed), (KEPT, 5000 - KEPT as u64));
        let lagged = slow.live.recv().await.unwrap_err();
        assert_eq!(lagged, broadcast::error::RecvError::Lagged(5000 - KEPT as u64));
        assert_eq!(slow.live.recv().await.unwrap().seq, 5000 - KEPT as u64 + 1, "it goes on");
    }
}
