//! Meters: how far each unit of work is, and proof that it moves.
//!
//! A unit counts the bytes it moved; `status` and the demo read them, and [`super::station`] takes a unit whose meter stands
//! still for hung. A meter disappears from the board when it is dropped, however its unit ended.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// All units that are being worked on.
#[derive(Clone, Default)]
pub struct Board {
    units: Arc<Mutex<BTreeMap<u64, Arc<Gauge>>>>,
    next: Arc<AtomicU64>,
}

struct Gauge {
    actor: &'static str,
    unit: String,
    done: AtomicU64,
    total: AtomicU64,
    /// Counts every sign of life, bytes or not.
    ticks: AtomicU64,
    since: Instant,
}

/// A unit in motion, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Motion {
    /// Who works on it.
    pub actor: String,
    /// On what.
    pub unit: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all; 0 while unknown.
    pub total: u64,
    /// Seconds since it began.
    pub secs: f64,
}

impl Board {
    /// Puts a unit on the board.
    pub fn begin(&self, actor: &'static str, unit: String) -> Meter {
        let gauge = Arc::new(Gauge {
            actor,
            unit,
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            since: Instant::now(),
        });
        let key = self.next.fetch_add(1, Relaxed);
        drop(self.units.lock().unwrap_or_else(PoisonError::into_inner).insert(key, gauge.clone()));
        Meter { inner: Arc::new(OnBoard { key, gauge, board: self.clone() }) }
    }

    /// What moves at this moment.
    pub fn motions(&self) -> Vec<Motion> {
        let units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let motion = |g: &Arc<Gauge>| Motion {
            actor: g.actor.to_owned(),
            unit: g.unit.clone(),
            done: g.done.load(Relaxed),
            total: g.total.load(Relaxed),
            secs: g.since.elapsed().as_secs_f64(),
        };
        units.values().map(motion).collect()
    }
}

struct OnBoard {
    key: u64,
    gauge: Arc<Gauge>,
    board: Board,
}

impl Drop for OnBoard {
    fn drop(&mut self) {
        drop(self.board.units.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key));
    }
}

/// One unit's meter; clones count together.
#[derive(Clone)]
pub struct Meter {
    inner: Arc<OnBoard>,
}

impl Meter {
    /// How many bytes there will be.
    pub fn expect(&self, total: u64) {
        self.inner.gauge.total.store(total, Relaxed);
        self.alive();
    }

    /// Bytes were moved.
    pub fn add(&self, bytes: u64) {
        let _before = self.inner.gauge.done.fetch_add(bytes, Relaxed);
        self.alive();
    }

    /// Something other than bytes went on.
    pub fn alive(&self) {
        let _before = self.inner.gauge.ticks.fetch_add(1, Relaxed);
    }

    /// Changes whenever the unit gave a sign of life.
    pub fn ticks(&self) -> u64 {
        self.inner.gauge.ticks.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_leaves_the_board_with_its_last_meter() {
        let board = Board::default();
        let meter = board.begin("uploader", "a".into());
        let clone = meter.clone();
        meter.expect(10);
        clone.add(4);
        clone.add(3);
        let seen = board.motions();
        assert_eq!((seen[0].done, seen[0].total, seen[0].unit.as_str()), (7, 10, "a"));
        drop(meter);
        assert_eq!(board.motions().len(), 1);
        drop(clone);
        assert!(board.motions().is_empty());
    }
}
