//! Meters: how far each unit of work is, and proof that it moves.
//!
//! A unit counts the bytes it moved; `status` and the demo read them, and [`super::station`] takes a unit whose meter stands
//! still for hung. A meter disappears from the board when it is dropped, however its unit ended.
//!
//! The meter of the unit that a task works for is a value of that task ([`Meter::on_behalf`]; the station sets it), so that what is deep
//! below, such as a request whose body a limit holds back, can say that it lives without knowing for whom.
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Who waits for its turn says so often that it lives.
const STILL_WAITING: Duration = Duration::from_secs(30);

tokio::task_local!(static CURRENT: Meter);

/// Something went on for the unit that this task works for, if it works for one.
pub fn alive() {
    // Tasks of no unit have nobody who would take them for hung.
    CURRENT.try_with(Meter::alive).unwrap_or_default();
}

/// Waits for a turn among others: long perhaps, but each of them has its deadlines, so nothing hangs, and the unit says so.
pub async fn for_its_turn<T>(turn: impl Future<Output = T>) -> T {
    let mut turn = std::pin::pin!(turn);
    loop {
        if let Ok(come) = tokio::time::timeout(STILL_WAITING, &mut turn).await {
            return come;
        }
        alive();
    }
}

/// All units that are being worked on.
#[derive(Clone, Default)]
pub struct Board {
    units: Arc<Mutex<BTreeMap<u64, Arc<Gauge>>>>,
    next: Arc<AtomicU64>,
    /// Bytes that each actor moved since the process began.
    moved: Arc<Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>>,
}

struct Gauge {
    actor: &'static str,
    unit: String,
    done: AtomicU64,
    /// Of all units of its actor.
    moved: Arc<AtomicU64>,
    total: AtomicU64,
    /// Counts every sign of life, bytes or not.
    ticks: AtomicU64,
    since: Instant,
    /// How far it was at earlier looks, the oldest first.
    earlier: Mutex<VecDeque<(Instant, u64)>>,
}

/// Looks are kept for so long, and no closer together than that: at most some sixty of each unit.
const MINUTE: Duration = Duration::from_secs(60);
const APART: Duration = Duration::from_secs(1);

impl Gauge {
    /// The rate since the oldest look that is kept; and keeps this one.
    fn last_minute(&self, done: u64, now: Instant) -> Option<u64> {
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is older than a minute stays until the next one is, or there would be less than a minute to go by.
        while earlier.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= MINUTE) {
            let _old = earlier.pop_front();
        }
        let (at, before) = earlier.front().copied().unwrap_or((self.since, 0));
        if earlier.back().is_none_or(|(at, _)| now.duration_since(*at) >= APART) {
            earlier.push_back((now, done));
        }
        let secs = now.duration_since(at).as_secs_f64();
        (secs >= 0.5).then(|| (done.saturating_sub(before) as f64 / secs) as u64)
    }
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
    /// Bytes a second over the last minute, or since it began if that is later; none: it began just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_minute: Option<u64>,
}

impl Board {
    /// Puts a unit on the board.
    pub fn begin(&self, actor: &'static str, unit: String) -> Meter {
        let mut all = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = all.entry(actor).or_default().clone();
        drop(all);
        let gauge = Arc::new(Gauge {
            actor,
            unit,
            done: AtomicU64::new(0),
            moved,
            total: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            since: Instant::now(),
            earlier: Mutex::default(),
        });
        let key = self.next.fetch_add(1, Relaxed);
        drop(self.units.lock().unwrap_or_else(PoisonError::into_inner).insert(key, gauge.clone()));
        Meter { inner: Arc::new(OnBoard { key, gauge, board: self.clone() }) }
    }

    /// Bytes that each actor moved since the process began, repeats included.
    pub fn moved(&self) -> BTreeMap<&'static str, u64> {
        let all = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(actor, bytes)| (*actor, bytes.load(Relaxed))).collect()
    }

    /// What moves at this moment.
    pub fn motions(&self) -> Vec<Motion> {
        let units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let motion = |g: &Arc<Gauge>| {
            let (done, now) = (g.done.load(Relaxed), Instant::now());
            Motion {
                actor: g.actor.to_owned(),
                unit: g.unit.clone(),
                done,
                total: g.total.load(Relaxed),
                secs: now.duration_since(g.since).as_secs_f64(),
                last_minute: g.last_minute(done, now),
            }
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
        let _before = self.inner.gauge.moved.fetch_add(bytes, Relaxed);
        self.alive();
    }

    /// Something other than bytes went on.
    pub fn alive(&self) {
        let _before = self.inner.gauge.ticks.fetch_add(1, Relaxed);
    }

    /// Does `work` for this unit: [`alive`] in it, on the same task, is a sign of this one's life. A task that it spawns needs its own.
    pub fn on_behalf<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), work)
    }

    /// Changes whenever the unit gave a sign of life.
    pub fn ticks(&self) -> u64 {
        self.inner.gauge.ticks.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_its_turn_lives_and_what_is_spawned_works_for_nobody() {
        let meter = Board::default().begin("uploader", "a".into());
        let hour = tokio::time::sleep(Duration::from_secs(3601));
        meter.on_behalf(for_its_turn(hour)).await;
        assert_eq!(meter.ticks(), 120);
        alive();
        meter.on_behalf(async { tokio::spawn(async { alive() }).await.unwrap() }).await;
        assert_eq!(meter.ticks(), 120, "outside, and on a task of its own");
        meter.on_behalf(async { alive() }).await;
        assert_eq!(meter.ticks(), 121);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_that_of_the_last_minute_and_not_of_all_the_time() {
        let board = Board::default();
        let meter = board.begin("uploader", "a".into());
        let rate = || board.motions()[0].last_minute;
        assert_eq!(rate(), None, "it began just now");
        for _ in 0..120 {
            tokio::time::advance(Duration::from_secs(1)).await;
            meter.add(1000);
            assert_eq!(rate(), Some(1000));
        }
        for _ in 0..30 {
            tokio::time::advance(Duration::from_secs(1)).await;
            let _rate = rate();
        }
        assert_eq!(rate(), Some(500), "half of the last minute it stood still");
        for _ in 0..31 {
            tokio::time::advance(Duration::from_secs(1)).await;
            let _rate = rate();
        }
        assert_eq!(rate(), Some(0));
        assert!(meter.inner.gauge.earlier.lock().unwrap().len() <= 62);
    }

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
