//! How fast it may go: a limit in bytes a second that both directions share, by the time of day.
//!
//! What is decided is pure ([`rate_at`], [`Bucket`]); [`Pace`] is the clock and the sleep around it. Who wants to move bytes
//! books them and sleeps until they are due. Nobody sleeps for longer than [`GLANCE`] without looking whether another limit counts
//! by now, so a reload and the timetable reach those that wait, too.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::AmbiguousOffset;

use super::progress;
use crate::clock;
use crate::conf::PaceConf;

/// Who waits looks up this often.
const GLANCE: Duration = Duration::from_millis(200);
/// What was not used is not lost for this long.
const BURST: Duration = Duration::from_millis(100);
/// At a limit a piece takes this part of a second, so that all who send share it evenly.
const PIECES: u64 = 16;
/// But smaller pieces would be all overhead.
const LEAST_PIECE: u64 = 1 << 10;
/// Of how many seconds the speed is the mean.
const MEAN: u64 = 5;

/// The limit that counts at `now`; none: none.
///
/// An entry counts from its time of day on until the next one. When the clocks are put forward over it, it counts from the jump on;
/// when they are put back, from the first time on, and it stays.
pub fn rate_at(conf: &PaceConf, now: Timestamp) -> Option<u64> {
    if conf.timetable.is_empty() {
        return conf.limit;
    }
    let here = now.to_zoned(conf.zone.clone());
    let passed = |day: Date, minute: u16| {
        // A minute of a day, by the type of the timetable.
        let (hour, minute) =
            (i8::try_from(minute / 60).unwrap_or(23), i8::try_from(minute % 60).unwrap_or(59));
        let due = day.at(hour, minute, 0, 0);
        let instant = conf.zone.to_ambiguous_timestamp(due);
        match instant.offset() {
            AmbiguousOffset::Gap { .. } => here.datetime() >= due,
            _ => instant.compatible().is_ok_and(|due| due <= now),
        }
    };
    let today = here.date();
    let reached = conf.timetable.iter().rev().find(|(minute, _)| passed(today, *minute));
    // Before the first entry of today yesterday's last one counts.
    reached.or(conf.timetable.last()).and_then(|(_, rate)| *rate)
}

/// Books bytes at a rate. Pure; the time is that since any beginning.
#[derive(Debug, Default)]
struct Bucket {
    /// All that was booked is due by then.
    booked: Duration,
}

impl Bucket {
    /// When these bytes are due.
    fn book(&mut self, bytes: u64, rate: u64, now: Duration) -> Duration {
        let from = self.booked.max(now.saturating_sub(BURST));
        let needed = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        self.booked = from.saturating_add(needed);
        self.booked
    }
}

/// How many bytes moved lately.
#[derive(Debug, Default)]
struct Speed {
    /// By second.
    seconds: VecDeque<(u64, u64)>,
}

impl Speed {
    fn add(&mut self, bytes: u64, now: Duration) {
        let second = now.as_secs();
        match self.seconds.back_mut() {
            Some((last, sum)) if *last == second => *sum += bytes,
            _ => self.seconds.push_back((second, bytes)),
        }
        while self.seconds.front().is_some_and(|(first, _)| first + MEAN < second) {
            let _old = self.seconds.pop_front();
        }
    }

    /// A second, over the last whole seconds.
    fn mean(&self, now: Duration) -> u64 {
        let second = now.as_secs();
        let whole = self.seconds.iter().filter(|(s, _)| *s < second && s + MEAN >= second);
        whole.map(|(_, bytes)| bytes).sum::<u64>() / MEAN.min(second.max(1))
    }
}

/// A limit that counts instead of the configured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Bytes a second; none: no limit.
    pub rate: Option<u64>,
    /// It ends by itself then.
    pub until: Option<Timestamp>,
}

/// The limit of one store; clones share it.
#[derive(Clone)]
pub struct Pace {
    inner: Arc<Mutex<Inner>>,
    born: Instant,
}

struct Inner {
    conf: PaceConf,
    /// What a person said; it counts instead of that.
    over: Option<Over>,
    /// The second in which the clock was last looked at.
    looked: Option<u64>,
    rate: Option<u64>,
    /// Grows with every change: what was booked before is void.
    age: u64,
    bucket: Bucket,
    speed: Speed,
}

/// Bytes that wait for their time.
#[derive(Clone, Copy, Debug)]
struct Booked {
    due: Duration,
    age: u64,
}

impl Inner {
    /// The limit that counts; read at most once a second from the wall clock.
    fn rate(&mut self, now: Duration) -> Option<u64> {
        if self.looked != Some(now.as_secs()) {
            self.looked = Some(now.as_secs());
            let at = clock::now();
            let over = self.over.filter(|over| over.until.is_none_or(|until| at < until));
            self.set(over.map_or_else(|| rate_at(&self.conf, at), |over| over.rate), now);
        }
        self.rate
    }

    fn set(&mut self, rate: Option<u64>, now: Duration) {
        if self.rate != rate {
            tracing::info!(
                before = said(self.rate),
                now = said(rate),
                "another limit of bytes a second counts"
            );
            self.rate = rate;
            self.age += 1;
            self.bucket = Bucket { booked: now };
        }
    }
}

fn said(rate: Option<u64>) -> String {
    rate.map_or("none".to_owned(), |rate| bytesize::ByteSize(rate).to_string())
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pace({:?})", self.lock().rate)
    }
}

impl Pace {
    /// By these settings.
    pub fn new(conf: &PaceConf) -> Self {
        let rate = rate_at(conf, clock::now());
        let inner = Inner {
            conf: conf.clone(),
            over: None,
            looked: None,
            rate,
            age: 0,
            bucket: Bucket::default(),
            speed: Speed::default(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), born: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on by these; also for those that wait.
    pub fn set(&self, conf: &PaceConf) {
        let (now, mut inner) = (self.born.elapsed(), self.lock());
        inner.conf = conf.clone();
        inner.looked = None;
        let _counts = inner.rate(now);
    }

    /// From now on this instead of the settings, until it is over or taken back; also for those that wait.
    pub fn overrule(&self, over: Option<Over>) {
        let (now, mut inner) = (self.born.elapsed(), self.lock());
        inner.over = over;
        inner.looked = None;
        let _counts = inner.rate(now);
    }

    /// The limit that counts now.
    pub fn limit(&self) -> Option<u64> {
        let now = self.born.elapsed();
        self.lock().rate(now)
    }

    /// Bytes a second that moved lately, both ways.
    pub fn speed(&self) -> u64 {
        let now = self.born.elapsed();
        self.lock().speed.mean(now)
    }

    /// How many of `wished` bytes should move in one piece.
    pub(super) fn piece(&self, wished: usize) -> usize {
        let least = |rate: u64| usize::try_from((rate / PIECES).max(LEAST_PIECE)).unwrap_or(usize::MAX);
        self.limit().map_or(wished, |rate| wished.min(least(rate)))
    }

    /// Waits until these bytes may move, and counts them. For who receives: after each piece, before reading on, on the task of the
    /// attempt, so that this wait is not taken for a stall of the store.
    pub async fn pass(&self, bytes: u64) {
        let progress = progress::current();
        progress.moved(bytes);
        if !self.must_wait(bytes) {
            return;
        }
        let waiting = progress.pause();
        self.passed(bytes).await;
        drop(waiting);
    }

    /// Counts bytes that may move at once. True: they may not, and were not counted; wait for [`Self::passed`].
    pub(super) fn must_wait(&self, bytes: u64) -> bool {
        let (now, mut inner) = (self.born.elapsed(), self.lock());
        let free = inner.rate(now).is_none();
        if free {
            inner.speed.add(bytes, now);
        }
        !free
    }

    /// Comes back when these bytes may move.
    pub(super) async fn passed(&self, bytes: u64) {
        let mut booked = None;
        while let Some(left) = self.look(bytes, &mut booked) {
            tokio::time::sleep(left.min(GLANCE)).await;
        }
    }

    /// How long these bytes must still wait at least.
    fn look(&self, bytes: u64, booked: &mut Option<Booked>) -> Option<Duration> {
        let (now, mut inner) = (self.born.elapsed(), self.lock());
        let due = match (inner.rate(now), *booked) {
            (None, _) => now,
            (Some(_), Some(booked)) if booked.age == inner.age => booked.due,
            (Some(rate), _) => inner.bucket.book(bytes, rate, now),
        };
        *booked = Some(Booked { due, age: inner.age });
        if due <= now {
            inner.speed.add(bytes, now);
            return None;
        }
        Some(due - now)
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
