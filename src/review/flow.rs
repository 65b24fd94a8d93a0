//! Packages over the time: where each is, how long it took, how many bytes moved when.
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::Scope;
use super::answer::{Bucket, Done, Slow, Stopped, Throughput};
use crate::clock;
use crate::package::{Reason, State};

/// A package is slow beyond this many times the median of its kind ...
const TIMES: f64 = 3.0;
/// ... and only beyond this many seconds ...
const FLOOR: f64 = 600.0;
/// ... if so many of its kind came to their end that there is a median to speak of.
const ENOUGH: usize = 5;
/// As many buckets fit a chart.
const BUCKETS: i64 = 100;
/// Widths of buckets, in seconds, that fall on full hours and days.
const WIDTHS: [i64; 14] =
    [60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 604_800, 2_592_000];

/// What slow means, in words.
pub const SLOW: &str = "over 3 × the median of its kind, and over 10 min";

struct Track {
    state: State,
    /// None: it was under way before what was read.
    first: Option<Timestamp>,
    bytes: u64,
}

/// A move of a package.
pub(super) struct Move<'a> {
    pub at: Timestamp,
    pub package: &'a str,
    pub known: bool,
    pub to: State,
    pub by: &'a str,
    pub bytes: Option<u64>,
    pub reason: Option<&'a str>,
    pub detail: Option<&'a str>,
}

/// The packages of one daemon.
#[derive(Default)]
pub(super) struct Flow {
    tracks: HashMap<Box<str>, Track>,
    pub stopped: BTreeMap<String, Stopped>,
    pub done: Vec<Done>,
    pub quarantined: usize,
    /// Packages that left the sender's disk, with their bytes.
    pub cleaned: HashMap<Box<str>, u64>,
    minutes: BTreeMap<i64, Bucket>,
    /// Packages whose bytes are under way now, and which actor moves them.
    in_transport: usize,
    pub transporter: Option<String>,
    moving_since: Option<Timestamp>,
    moving_secs: f64,
}

fn in_transport(state: State) -> bool {
    matches!(state, State::Uploading | State::Copying)
}

impl Flow {
    /// A package was found in the LIMS.
    pub fn found(&mut self, package: &str, at: Timestamp) {
        if !self.tracks.contains_key(package) {
            let track = Track { state: State::Found, first: Some(at), bytes: 0 };
            let _none = self.tracks.insert(package.into(), track);
        }
    }

    /// A package moved. False: it is there already, which happens when journal and log are read one after the other.
    pub fn moved(&mut self, m: &Move<'_>, scope: &Scope) -> bool {
        let was = self.tracks.get(m.package).map(|track| track.state);
        if was == Some(m.to) || matches!(was, Some(State::Transferred | State::Ready)) {
            return false;
        }
        if was.is_none() {
            let first = (!m.known).then_some(m.at);
            let _none = self.tracks.insert(m.package.into(), Track { state: m.to, first, bytes: 0 });
        }
        let Some(track) = self.tracks.get_mut(m.package) else { return false };
        (track.state, track.bytes) = (m.to, m.bytes.unwrap_or(track.bytes));
        match (was.is_some_and(in_transport), in_transport(m.to)) {
            (false, true) => {
                self.in_transport += 1;
                self.transporter = Some(m.by.to_owned());
            }
            (true, false) => self.in_transport = self.in_transport.saturating_sub(1),
            _ => {}
        }
        if !self.stopped.is_empty() {
            drop(self.stopped.remove(m.package));
        }
        if matches!(m.to, State::Quarantined | State::Held) {
            let remedy = Reason::ALL.iter().find(|r| Some(r.code()) == m.reason).map(|r| r.remedy());
            let stopped = Stopped {
                at: m.at,
                package: m.package.to_owned(),
                reason: m.reason.map(str::to_owned),
                detail: m.detail.map(str::to_owned),
                remedy,
            };
            drop(self.stopped.insert(m.package.to_owned(), stopped));
        }
        if !scope.covers(m.at) {
            return true;
        }
        let minute = self.minutes.entry(m.at.as_second().div_euclid(60)).or_default();
        match m.to {
            State::Committed | State::Copied => minute.bytes += track.bytes,
            State::Quarantined => {
                minute.quarantined += 1;
                self.quarantined += 1;
            }
            State::Transferred | State::Ready => {
                minute.packages += 1;
                let secs = track.first.map(|first| clock::age(first, m.at).as_secs_f64());
                let (package, bytes) = (m.package.to_owned(), track.bytes);
                self.done.push(Done { package, at: m.at, state: m.to, bytes, secs });
            }
            _ => {}
        }
        true
    }

    /// From now on bytes can move, or they cannot (no daemon, an outage).
    pub fn clock(&mut self, at: Timestamp, can_move: bool, scope: &Scope) {
        let moves = can_move && self.in_transport > 0;
        match (self.moving_since, moves) {
            (None, true) => self.moving_since = Some(at),
            (Some(since), false) => {
                self.moving_since = None;
                let from = scope.since.map_or(since, |s| s.max(since));
                self.moving_secs += clock::age(from, at).as_secs_f64();
            }
            _ => {}
        }
    }

    /// How many packages are known.
    pub fn known(&self) -> usize {
        self.tracks.len()
    }

    /// Packages under way: name, state, first seen, bytes.
    fn underway(&self) -> impl Iterator<Item = (&str, &Track)> {
        self.tracks.iter().filter(|(_, t)| !t.state.is_settled()).map(|(name, track)| (&**name, track))
    }
}

/// Everything about packages that a review tells.
pub(super) struct Packages {
    pub cleaned: (usize, u64),
    pub done: Vec<Done>,
    pub stopped: Vec<Stopped>,
    pub quarantined: usize,
    pub underway: usize,
    pub oldest_underway: Option<Slow>,
    pub slow: Vec<Slow>,
    pub slowest: Option<Slow>,
    pub throughput: Throughput,
}

fn kind(package: &str) -> &str {
    let name = package.rsplit_once('/').map_or(package, |(rest, _revision)| rest);
    name.rsplit_once('/').map_or(name, |(kind, _name)| kind)
}

fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    (all.len() >= ENOUGH).then(|| all.get(all.len() / 2).copied()).flatten()
}

/// Puts the packages of all daemons together.
pub(super) fn finish(flows: Vec<Flow>, since: Timestamp, until: Timestamp, scope: &Scope) -> Packages {
    let mut flows = flows;
    flows.iter_mut().for_each(|f| f.clock(until, false, scope));
    let mut underway: Vec<Slow> = Vec::new();
    let mut count = 0;
    for (name, track) in flows.iter().flat_map(Flow::underway) {
        count += 1;
        if let Some(first) = track.first {
            let secs = clock::age(first, until).as_secs_f64();
            let (package, state) = (name.to_owned(), track.state);
            underway.push(Slow { package, since: first, secs, median_secs: None, state, bytes: track.bytes });
        }
    }
    let oldest_underway = underway.iter().max_by(|a, b| a.secs.total_cmp(&b.secs)).cloned();
    let throughput = throughput(&flows, since, until);
    let mut done: Vec<Done> = flows.iter_mut().flat_map(|f| std::mem::take(&mut f.done)).collect();
    done.sort_by_key(|d| d.at);
    let mut times: HashMap<(&str, State), Vec<f64>> = HashMap::new();
    for (one, secs) in done.iter().filter_map(|d| Some((d, d.secs?))) {
        times.entry((kind(&one.package), one.state)).or_default().push(secs);
    }
    let medians: HashMap<(&str, State), f64> =
        times.into_iter().filter_map(|(kind, all)| Some((kind, median(all)?))).collect();
    let as_slow = |d: &Done, secs: f64| Slow {
        package: d.package.clone(),
        since: d.at - std::time::Duration::from_secs_f64(secs),
        secs,
        median_secs: medians.get(&(kind(&d.package), d.state)).copied(),
        state: d.state,
        bytes: d.bytes,
    };
    let too_slow = |s: &Slow| s.secs > FLOOR && s.median_secs.is_some_and(|m| s.secs > TIMES * m);
    let timed = || done.iter().filter_map(|d| Some((d, d.secs?)));
    let slowest = timed().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(d, secs)| as_slow(d, secs));
    let mut slow: Vec<Slow> = timed()
        .filter(|(_, secs)| *secs > FLOOR)
        .map(|(d, secs)| as_slow(d, secs))
        .filter(too_slow)
        .collect();
    // A package under way is slow already when it is slower than those that arrived, whichever their end.
    for mut one in underway {
        let of_kind = medians.iter().filter(|((k, _), _)| *k == kind(&one.package));
        one.median_secs = of_kind.map(|(_, m)| *m).max_by(f64::total_cmp);
        slow.extend(Some(one).filter(too_slow));
    }
    slow.sort_by(|a, b| b.secs.total_cmp(&a.secs));
    let cleaned = flows.iter().flat_map(|f| f.cleaned.values());
    let cleaned = cleaned.fold((0, 0u64), |(n, sum), bytes| (n + 1, sum.saturating_add(*bytes)));
    Packages {
        cleaned,
        quarantined: flows.iter().map(|f| f.quarantined).sum(),
        stopped: {
            let mut all: Vec<Stopped> = flows.into_iter().flat_map(|f| f.stopped.into_values()).collect();
            all.sort_by_key(|s| s.at);
            all
        },
        done,
        underway: count,
        oldest_underway,
        slow,
        slowest,
        throughput,
    }
}

fn throughput(flows: &[Flow], since: Timestamp, until: Timestamp) -> Throughput {
    let span = clock::age(since, until).as_secs_f64();
    let (from, to) = (since.as_second(), until.as_second());
    let width = WIDTHS.into_iter().find(|w| (to - from) / w < BUCKETS).unwrap_or(2_592_000);
    let begin = from.div_euclid(width);
    let mut buckets: Vec<(Timestamp, Bucket)> = (begin..=to.div_euclid(width).min(begin + 10 * BUCKETS))
        .filter_map(|n| Some((Timestamp::from_second(n * width).ok()?, Bucket::default())))
        .collect();
    let mut sum = Bucket::default();
    for (minute, part) in flows.iter().flat_map(|f| &f.minutes) {
        let n = usize::try_from((minute * 60).div_euclid(width) - begin).ok();
        let places = n.and_then(|n| buckets.get_mut(n)).map(|(_, bucket)| bucket);
        for place in places.into_iter().chain(std::iter::once(&mut sum)) {
            place.bytes += part.bytes;
            place.packages += part.packages;
            place.quarantined += part.quarantined;
        }
    }
    let hours = (span / 3600.0).max(1.0 / 3600.0);
    let moving_secs: f64 = flows.iter().map(|f| f.moving_secs).sum();
    Throughput {
        bytes: sum.bytes,
        bytes_per_hour: sum.bytes as f64 / hours,
        packages_per_hour: sum.packages as f64 / hours,
        moving_secs,
        bytes_per_second_moving: (moving_secs > 0.0).then(|| sum.bytes as f64 / moving_secs),
        bucket_secs: width,
        buckets,
    }
}
