//! What waits for one channel: when it may leave, what becomes of it when it cannot; pure.
//!
//! All that waits goes in one message. So a channel that was out of order for an hour gets one when it is back, and one that had its
//! share of this hour gets the rest together in the next; nothing is dropped for being too much, but by number and by age, and
//! then it is counted and said.
use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::memory::{Kind, News};
use crate::clock::age;
use crate::conf::{ChannelConf, OfDay, TellConf};
use crate::supervisor::Backoff;

/// As much waits at most.
const WAITING: usize = 1000;
/// Between attempts: first, most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(900));
const HOUR: Duration = Duration::from_secs(3600);
/// A digest that is later than this is left out: the next one comes soon.
const TOO_LATE: SignedDuration = SignedDuration::from_hours(12);

/// A channel that cannot send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// In a row.
    pub times: u32,
    /// Not before.
    pub next: Timestamp,
    /// In words, without secrets.
    pub why: String,
}

/// What waits for one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// The oldest first.
    pub waiting: VecDeque<News>,
    /// Dropped and not yet said.
    pub lost: u64,
    /// Messages of the last hour.
    pub sent: VecDeque<Timestamp>,
    /// The last one that left.
    pub last_sent: Option<Timestamp>,
    /// When the last digest was made, or the channel was first known.
    pub last_digest: Timestamp,
    /// Set while it cannot send.
    pub failing: Option<Failing>,
}

impl Outbox {
    /// Of a channel that is new.
    pub fn new(now: Timestamp) -> Self {
        let (waiting, sent) = (VecDeque::new(), VecDeque::new());
        Self { waiting, lost: 0, sent, last_sent: None, last_digest: now, failing: None }
    }

    /// One more.
    pub fn put(&mut self, news: News) {
        if self.waiting.len() >= WAITING {
            drop(self.waiting.pop_front());
            self.lost = self.lost.saturating_add(1);
        }
        self.waiting.push_back(news);
    }

    /// Drops what is too old to be news.
    pub fn expire(&mut self, give_up: Duration, now: Timestamp) {
        while self.waiting.front().is_some_and(|news| age(news.at, now) >= give_up) {
            drop(self.waiting.pop_front());
            self.lost = self.lost.saturating_add(1);
        }
        self.sent.retain(|at| age(*at, now) < HOUR);
    }

    /// How many of those that wait leave now; none if it is not time.
    pub fn due(&self, channel: &ChannelConf, rules: &TellConf, now: Timestamp) -> Option<usize> {
        let oldest = self.waiting.front()?;
        let urgent = self.waiting.iter().any(|news| news.kind == Kind::Escalated);
        let at_once = urgent || self.waiting.iter().any(|news| news.kind == Kind::Digest);
        if self.failing.as_ref().is_some_and(|failing| now < failing.next)
            || self.sent.len() >= channel.per_hour
        {
            return None;
        }
        if channel.quiet.is_some_and(|span| span.holds(of_day(now))) && !urgent {
            return None;
        }
        // What comes a moment later goes with it.
        (at_once || age(oldest.at, now) >= rules.gather).then_some(self.waiting.len())
    }

    /// The first `count` of them left. True: the channel was out of order before.
    pub fn left(&mut self, count: usize, lost: u64, now: Timestamp) -> bool {
        drop(self.waiting.drain(..count.min(self.waiting.len())));
        self.lost = self.lost.saturating_sub(lost);
        self.sent.push_back(now);
        self.last_sent = Some(now);
        self.failing.take().is_some()
    }

    /// They could not be sent. True: that is new.
    pub fn failed(&mut self, why: String, roll: f64, now: Timestamp) -> bool {
        let (since, times) = self.failing.as_ref().map_or((now, 1), |f| (f.since, f.times.saturating_add(1)));
        let pause =
            Backoff::try_new(PAUSES.0, PAUSES.1).map_or(PAUSES.1, |backoff| backoff.delay(times, roll));
        let next = now.checked_add(pause).unwrap_or(now);
        self.failing.replace(Failing { since, times, next, why }).is_none()
    }
}

/// The minute of the day, UTC.
pub fn of_day(now: Timestamp) -> u16 {
    let time = now.to_zoned(jiff::tz::TimeZone::UTC).time();
    u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or(0)
}

/// The time for which a digest is due at `now`, if one is.
pub fn digest_due(at: OfDay, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let midnight = now.to_zoned(jiff::tz::TimeZone::UTC).start_of_day().ok()?.timestamp();
    let today = midnight.checked_add(SignedDuration::from_mins(at.0.into())).ok()?;
    let newest = if today <= now { today } else { today.checked_sub(SignedDuration::from_hours(24)).ok()? };
    (last < newest && now.duration_since(newest) < TOO_LATE).then_some(newest)
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
