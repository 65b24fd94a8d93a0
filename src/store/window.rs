//! How many requests that carry bytes may be under way: found from how they fare. Pure, the clock is passed in.
//!
//! The number is tried, not computed: a *round* is measured at the number that counts, then one at another number, and the
//! better one stays. What is compared is work done in a second, and work is counted request by request in terms of what a
//! request of that size took before; so neither small files nor large parts nor a change from one to the other pass for a change
//! of the link. More is kept only if it brings clearly more, less if it loses next to nothing: what is gained by a number
//! that small is that an urgent part waits for fewer others.
//!
//! - It begins with some, doubles while that pays, then tries a neighbour now and then, more and more rarely while nothing changes.
//! - A store that asks for fewer requests gets half as many at once. The number at which it did so is a wall for a while; behind
//!   that it is tried again, so whatever a bad hour has done to the number is gone soon after.
//! - So does a link on which a request is cut off for being slow: each of fewer has more of it, and one alone has all.
//! - Nothing is learnt while there is not enough to do.
use std::collections::BTreeMap;
use std::time::Duration;

use super::slots::{End, Trip};

/// Fewer than this are never allowed (unless the cap is lower, or requests are cut off for being slow).
pub(super) const FLOOR: usize = 2;
/// Where the link does not carry two at the least rate.
const ALONE: usize = 1;
/// To begin with.
const START: usize = 8;
/// A shorter round would measure the scheduler.
const LEAST: Duration = Duration::from_millis(100);
/// Once there is no hurry any more.
const CALM: Duration = Duration::from_millis(300);
/// A round waits for a turn of its longest request, but not for ever.
const MOST: Duration = Duration::from_secs(30);
/// Rounds between two tries at most.
const RAREST: u32 = 64;
/// How long a wall stands at first, and at most.
const WALL: Duration = Duration::from_secs(20);
const WALL_MOST: Duration = Duration::from_secs(600);
/// Per cent of throughput that one per cent of more requests must bring.
const WORTH: f64 = 0.2;
/// And that one per cent less may cost.
const CHEAP: f64 = 0.06;
/// A throughput that differs by so much (as a logarithm) at the same number means that the link is another now.
const OTHER: f64 = 0.25;

/// What held back more requests when one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// Nothing: nobody waited.
    Work,
    /// Memory.
    Memory,
    /// The number that is found here.
    Number,
}

/// How things stand when a request ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    /// Slots in use, that of the request among them.
    pub held: usize,
    /// Requests on the wire, that one among them. Fewer than are held while some are read, written, or wait for another attempt.
    pub flying: usize,
    /// What held back more.
    pub bound: Bound,
    /// The time, from any beginning.
    pub now: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Up, as long as it pays.
    Rising,
    Resting,
    /// Something else than `back` is tried, from `from` in flight.
    Trying {
        from: usize,
        back: usize,
    },
}

/// The number, and what is known about it.
#[derive(Debug)]
pub(super) struct Window {
    cap: usize,
    limit: usize,
    phase: Phase,
    round: Round,
    /// The last good round at the number that counts.
    base: Option<Round>,
    /// Rounds until the next try, and what that is after one in vain.
    rest: u32,
    pause: u32,
    upward: bool,
    /// On the way up.
    hurry: bool,
    /// Since when the number is what it is by order of the store.
    cut: Option<Duration>,
    wall: Option<Wall>,
}

/// Where the store asked for fewer.
#[derive(Clone, Copy, Debug)]
struct Wall {
    at: usize,
    until: Duration,
    stood: Duration,
    /// It has come down by itself, and somebody looks what is behind.
    looked: bool,
}

/// What is measured at one number.
#[derive(Debug)]
struct Round {
    /// Ends that still belong to the number before.
    settling: usize,
    since: Duration,
    ends: usize,
    longest: Duration,
    held: usize,
    by_number: usize,
    by_memory: usize,
    /// By order of magnitude of their size.
    sizes: BTreeMap<u32, Size>,
    took: f64,
    length: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    count: f64,
    busy: f64,
}

impl Round {
    fn new(now: Duration, settling: usize) -> Self {
        Self {
            settling,
            since: now,
            ends: 0,
            longest: Duration::ZERO,
            held: 0,
            by_number: 0,
            by_memory: 0,
            sizes: BTreeMap::new(),
            took: 0.0,
            length: 0.0,
        }
    }

    /// True when it is complete. Whole multiples of `limit`, because large parts tend to end in bursts of as many as are in flight.
    fn add(&mut self, trip: &Trip, present: Present, limit: usize, least: Duration) -> bool {
        self.longest = self.longest.max(trip.took).min(MOST);
        if self.settling > 0 {
            self.settling -= 1;
            self.since = present.now;
            return false;
        }
        self.ends += 1;
        self.held += present.held;
        match present.bound {
            Bound::Work => {}
            Bound::Memory => self.by_memory += 1,
            Bound::Number => self.by_number += 1,
        }
        if trip.end == End::Arrived {
            let took = trip.took.as_secs_f64();
            let size = self.sizes.entry(trip.bytes.max(1).ilog2()).or_default();
            size.count += 1.0;
            size.busy += took;
            self.took += took;
        }
        let length = present.now.saturating_sub(self.since);
        self.length = length.as_secs_f64();
        self.ends.is_multiple_of(limit.max(1)) && length >= self.longest.max(least)
    }

    /// Whether there was always enough to do.
    fn was_full(&self) -> bool {
        4 * (self.by_number + self.by_memory) >= 3 * self.ends && self.took > 0.0
    }

    fn was_bound_by_number(&self) -> bool {
        2 * self.by_number >= self.ends
    }

    fn mean_held(&self) -> usize {
        self.held.div_ceil(self.ends.max(1))
    }

    /// How many times as much work was done in a second as in `base`; none if the two have nothing in common.
    fn gain(&self, base: &Self) -> Option<f64> {
        let (mut worth, mut busy) = (0.0, 0.0);
        for (size, mine) in &self.sizes {
            if let Some(theirs) = base.sizes.get(size) {
                worth += mine.count * theirs.busy / theirs.count;
                busy += mine.busy;
            }
        }
        let comparable = busy > self.took / 3.0 && base.took > 0.0 && self.length > 0.0 && base.length > 0.0;
        comparable.then(|| (self.took / self.length) / (base.took / base.length) * worth / busy)
    }
}

impl Window {
    pub(super) fn new(cap: usize) -> Self {
        let cap = cap.max(1);
        let limit = START.min(cap);
        Self {
            cap,
            limit,
            phase: Phase::Rising,
            round: Round::new(Duration::ZERO, limit),
            base: None,
            rest: 1,
            pause: 1,
            upward: true,
            hurry: true,
            cut: None,
            wall: None,
        }
    }

    /// As it would be after a while on another link.
    #[cfg(test)]
    pub(super) fn was(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// How many may be under way now.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A request has ended.
    pub(super) fn note(&mut self, trip: &Trip, present: Present) {
        if trip.bytes == 0 {
            return; // a listing that is refused says nothing about parts
        }
        if matches!(trip.end, End::Throttled | End::Slow) {
            return self.cut(trip, present);
        }
        if present.bound == Bound::Work && present.held <= 1 {
            // The wire is idle now for nobody knows how long.
            return self.begin_round(present.now, self.limit);
        }
        let least = if self.hurry { LEAST } else { CALM };
        if self.round.add(trip, present, self.limit, least) {
            let round = std::mem::replace(&mut self.round, Round::new(present.now, 0));
            self.judge(round, present.now);
        }
    }

    fn cut(&mut self, trip: &Trip, present: Present) {
        let began = present.now.saturating_sub(trip.took);
        if self.cut.is_some_and(|cut| began < cut || present.flying > self.limit) {
            return; // it left before the last cut, or beside others that did
        }
        let least = if trip.end == End::Slow { ALONE } else { FLOOR };
        let at = self.limit.min(present.flying.max(1));
        let stood = match self.wall {
            // Refused with so few it is not their number.
            _ if at <= least => WALL,
            Some(wall) if at >= wall.at.saturating_sub(1) => (wall.stood * 2).min(WALL_MOST),
            _ => WALL,
        };
        // One that left no room above the least number would never be looked behind.
        let wall = at.max(least + 1);
        self.wall = Some(Wall { at: wall, until: present.now + stood, stood, looked: false });
        self.cut = Some(present.now);
        (self.phase, self.hurry) = (Phase::Rising, true);
        self.base = None;
        self.pause = 1;
        self.limit = (at / 2).max(least).min(self.limit);
        // What is held now still belongs to the number before; with one in flight as many as the old number would take for ever.
        self.begin_round(present.now, present.held.max(self.limit));
    }

    fn judge(&mut self, round: Round, now: Duration) {
        if !round.was_full() {
            if let Phase::Trying { back, .. } = self.phase {
                self.give_up(back, now);
            }
            self.base = None;
            return;
        }
        if self.phase == Phase::Resting
            && let Some(wall) = self.wall.as_mut().filter(|wall| now >= wall.until && !wall.looked)
        {
            // At once: the rests have become long while there was nothing to try below it.
            wall.looked = true;
            (self.phase, self.hurry) = (Phase::Rising, true);
            (self.rest, self.pause) = (1, 1);
        }
        match self.phase {
            Phase::Rising => self.rise(round, now),
            Phase::Resting => self.rest(round, now),
            Phase::Trying { from, back } => self.weigh(round, from, back, now),
        }
    }

    /// The highest number that may be tried.
    fn ceiling(&self, now: Duration) -> usize {
        // One that has come down is stepped over, not jumped over.
        let wall = self.wall.map(|wall| match now < wall.until {
            true => wall.at.saturating_sub(1),
            false => wall.at.max(self.limit) + 1,
        });
        wall.unwrap_or(self.cap).clamp(ALONE, self.cap)
    }

    fn rise(&mut self, round: Round, now: Duration) {
        let doubled = if self.wall.is_some() { self.limit + self.limit.div_ceil(2) } else { 2 * self.limit };
        let next = doubled.min(self.ceiling(now));
        if next <= self.limit || !round.was_bound_by_number() {
            self.phase = Phase::Resting;
            (self.upward, self.hurry) = (false, false);
            return self.rest(round, now);
        }
        let (from, back) = (self.limit, self.limit);
        self.base = Some(round);
        self.phase = Phase::Trying { from, back };
        self.set(next, now);
    }

    fn rest(&mut self, round: Round, now: Duration) {
        let gain = self.base.as_ref().and_then(|base| round.gain(base));
        let other = gain.is_some_and(|gain| gain.ln().abs() > OTHER);
        if other {
            (self.rest, self.pause) = (1, 1);
            // A link that carries less needs fewer, as a rule.
            self.upward = gain.is_some_and(|gain| gain > 1.0);
        }
        // The base is a little older than the round before a try, so that a change that creeps in is seen too.
        if self.rest > 1 && !other && self.base.is_some() {
            self.rest -= 1;
            return;
        }
        // More only helps where the number was what held them back.
        let up = self.upward && round.was_bound_by_number();
        let from = if round.was_bound_by_number() { self.limit } else { self.limit.min(round.mean_held()) };
        let next = match up {
            true => (from + from.div_ceil(2)).min(self.ceiling(now)),
            false => (2 * from / 3).max(FLOOR.min(self.cap)).min(from),
        };
        self.base = Some(round);
        if (up && next <= self.limit) || (!up && next >= from) {
            self.upward = !self.upward;
            (self.rest, self.pause) = (self.pause, (2 * self.pause).min(RAREST));
            return;
        }
        self.phase = Phase::Trying { from, back: self.limit };
        self.set(next, now);
    }

    /// Was the other number better?
    fn weigh(&mut self, round: Round, from: usize, back: usize, now: Duration) {
        if self.wall.is_some_and(|wall| now >= wall.until && self.limit >= wall.at) {
            self.wall = None; // not refused there: gone, worth while or not
        }
        let up = self.limit > from;
        let ratio = self.limit as f64 / from as f64;
        let gain = self.base.as_ref().and_then(|base| round.gain(base));
        let slope = gain.map(|gain| gain.ln() / ratio.ln());
        let better = slope.is_some_and(|slope| if up { slope >= WORTH } else { slope <= CHEAP });
        if !better || (up && !round.was_bound_by_number()) {
            return self.give_up(back, now);
        }
        self.base = None;
        (self.rest, self.pause) = (1, 1);
        self.upward = up;
        self.phase = if up { Phase::Rising } else { Phase::Resting };
        match self.phase {
            Phase::Rising => self.rise(round, now),
            _ => self.rest(round, now),
        }
    }

    fn give_up(&mut self, back: usize, now: Duration) {
        (self.phase, self.hurry) = (Phase::Resting, false);
        self.upward = !self.upward;
        (self.rest, self.pause) = (self.pause, (2 * self.pause).min(RAREST));
        self.set(back, now);
    }

    fn set(&mut self, limit: usize, now: Duration) {
        let settling = limit.max(self.limit);
        self.limit = limit;
        self.begin_round(now, settling);
    }

    fn begin_round(&mut self, now: Duration, settling: usize) {
        self.round = Round::new(now, settling);
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "window_recovery_tests.rs"]
mod recovery;
