//! Alarm on silence: which things that should happen have not happened for too long, and which happen again.
//!
//! Pure: the clock, the limits and the facts are handed in, the open alarms come from the journal, so a restart neither
//! forgets an alarm nor raises it twice. "Should have been" is the point: nothing committed is no alarm while nothing waits
//! to be sent, and a daemon that has just started gets the whole limit before it is blamed. What a first look shows anyway
//! (whether something new came) has no such grace, or a restart every night would keep that alarm off for ever.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::age;
use crate::conf::AlarmConf;
use crate::journal::{Fold, Row};
use crate::package::{Name, State};
use crate::tsd::Standing;
use crate::{nsc, tsd};

/// What is listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The LIMS queue was read through.
    Polled,
    /// A package was committed.
    Committed,
    /// The bucket was looked through.
    Listed,
    /// Something new came from a sender.
    Seen,
    /// All commits that the senders have given out are here.
    Whole,
    /// The senders gave signs of life.
    Beating,
    /// Something came of what senders say waits there.
    Backlog,
    /// A package was put in place.
    Ready,
}

impl What {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::Polled,
        Self::Committed,
        Self::Listed,
        Self::Seen,
        Self::Whole,
        Self::Beating,
        Self::Backlog,
        Self::Ready,
    ];

    /// The word in the journal, the log and `[alarm]`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Polled => "polled",
            Self::Committed => "committed",
            Self::Listed => "listed",
            Self::Seen => "seen",
            Self::Whole => "whole",
            Self::Beating => "heartbeat",
            Self::Backlog => "backlog",
            Self::Ready => "ready",
        }
    }

    /// Who makes it happen; a process without that actor is not asked for it.
    pub fn actor(self) -> &'static str {
        match self {
            Self::Polled => nsc::poller::NAME,
            Self::Committed => nsc::uploader::NAME,
            Self::Listed | Self::Seen | Self::Whole | Self::Beating | Self::Backlog => tsd::watcher::NAME,
            Self::Ready => tsd::verifier::NAME,
        }
    }

    fn limit(self, limits: &AlarmConf) -> Option<Duration> {
        match self {
            Self::Polled => limits.polled,
            Self::Committed => limits.committed,
            Self::Listed => limits.listed,
            Self::Seen => limits.seen,
            Self::Whole => limits.whole,
            Self::Beating => limits.heartbeat,
            Self::Backlog => limits.backlog,
            Self::Ready => limits.ready,
        }
    }

    fn why(self, quiet: Duration, need: &Need) -> String {
        let long = human(quiet);
        let waiting = match need {
            Need::Packages { count, .. } => *count,
            Need::Always => 0,
        };
        match self {
            Self::Polled => {
                format!(
                    "the LIMS queue was not read through for {long}: see what `status` says of the poller, then look at the LIMS"
                )
            }
            Self::Committed => format!(
                "{waiting} package(s) wait to be sent and none was committed for {long}: see what `status` says of the uploader, then look at the store and the way to it"
            ),
            Self::Listed => {
                format!(
                    "the bucket was not looked through for {long}: see what `status` says of the watcher, then look at the store"
                )
            }
            Self::Seen => format!(
                "nothing new came into the bucket for {long}: ask the sending side whether its daemon runs and has something to send"
            ),
            Self::Whole => format!(
                "{waiting} package(s) that were sent have not been seen here for {long}, though later ones have or their sender says so: see what `status` says of senders, then ask the sending side whether those packages are in the bucket and who may have removed them"
            ),
            Self::Beating => format!(
                "at least one of {waiting} sender(s) gave no sign of life for {long}: `status` shows which; ask the sending side whether its daemon runs and reaches the store"
            ),
            Self::Backlog => format!(
                "{waiting} package(s) wait at a sender, by its own heartbeats, and none of them came for {long}: `status` shows which sender; ask there what its `status` says of the uploader, and whether a very large package or a low store.limit is the reason"
            ),
            Self::Ready => format!(
                "{waiting} package(s) wait and none was put in place for {long}: see what `status` says of copier and verifier, then look at the disks"
            ),
        }
    }
}

/// When something should happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// At all times.
    Always,
    /// While packages wait for it.
    Packages {
        /// How many; 0: it need not happen.
        count: usize,
        /// Since when the one that waits longest does.
        oldest: Option<Timestamp>,
    },
}

/// What is known about one thing that should happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What.
    pub what: What,
    /// When it last happened, if that is known.
    pub last: Option<Timestamp>,
    /// When it should.
    pub need: Need,
    /// Before this nobody is blamed.
    pub fair: Timestamp,
}

/// What has to be put on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An alarm begins.
    Silent {
        /// What did not happen.
        what: What,
        /// In words, with what to look at.
        why: String,
        /// When it last did; the start of the daemon if it never did.
        last: Timestamp,
    },
    /// An alarm is over.
    Heard {
        /// What happened again, or need not happen any more.
        what: String,
        /// How long it had not.
        after: Duration,
    },
}

/// What begins and what ends at `now`. `open`: the alarms that are on record, with when the thing had last happened.
pub fn changes(
    now: Timestamp,
    limits: &AlarmConf,
    facts: &[Fact],
    open: &BTreeMap<String, Timestamp>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (what, recorded) in open {
        let fact = facts.iter().find(|f| f.what.as_str() == what);
        let last = fact.and_then(|f| f.last).filter(|last| last > recorded);
        if !fact.is_some_and(|f| still(now, limits, f, *recorded)) {
            changes.push(Change::Heard { what: what.clone(), after: age(*recorded, last.unwrap_or(now)) });
        }
    }
    for fact in facts.iter().filter(|f| !open.contains_key(f.what.as_str())) {
        let Some(limit) = fact.what.limit(limits) else { continue };
        // Not before somebody needs it, and not for the time in which nobody ran.
        let since = match fact.need {
            Need::Always => fact.last,
            Need::Packages { count: 0, .. } => continue,
            Need::Packages { oldest, .. } => fact.last.max(oldest),
        };
        if age(since.map_or(fact.fair, |s| s.max(fact.fair)), now) > limit {
            let last = fact.last.unwrap_or(fact.fair);
            let why = fact.what.why(age(last, now), &fact.need);
            changes.push(Change::Silent { what: fact.what, why, last });
        }
    }
    changes
}

/// Whether an open alarm goes on. The grace of a fresh start does not count here: a restart ends no silence.
fn still(now: Timestamp, limits: &AlarmConf, fact: &Fact, recorded: Timestamp) -> bool {
    let Some(limit) = fact.what.limit(limits) else { return false };
    let needed = match fact.need {
        Need::Always => true,
        Need::Packages { count, .. } => count > 0,
    };
    needed && age(fact.last.map_or(recorded, |last| last.max(recorded)), now) > limit
}

/// What a process knows besides its journal.
#[derive(Clone, Debug)]
pub struct Witness {
    /// When it began.
    pub started: Timestamp,
    /// Its actors, with when each of them last finished a unit since then.
    pub done: BTreeMap<String, Option<Timestamp>>,
    /// What is noticed of senders.
    pub senders: Vec<Standing>,
}

/// When the heartbeat of each host that is in service was last a new one; of its newest chain, for those of older ones stand still.
fn last_beats(senders: &[Standing], now: Timestamp) -> Vec<Timestamp> {
    let mut newest: BTreeMap<&Name, (u32, Timestamp)> = BTreeMap::new();
    for one in senders.iter().filter(|one| one.is_in_service(now)) {
        let Some(found) = one.beat_found else { continue };
        let this = (one.sender.epoch, found);
        let kept = newest.entry(&one.sender.name).or_insert(this);
        *kept = this.max(*kept);
    }
    newest.into_values().map(|(_, found)| found).collect()
}

/// How many packages wait at senders of which nothing comes, and since when. Of a host its newest chain counts; the time in which we did
/// not look ourselves does not. When it began is a time at which something happened only if we saw that: otherwise a restart would
/// look like a package that came.
fn backlog(senders: &[Standing], now: Timestamp) -> (Option<Timestamp>, Need) {
    let mut newest: BTreeMap<&Name, &Standing> = BTreeMap::new();
    for one in senders.iter().filter(|one| one.is_in_service(now)) {
        let kept = newest.entry(&one.sender.name).or_insert(one);
        if one.sender.epoch > kept.sender.epoch {
            *kept = one;
        }
    }
    let stuck: Vec<_> = newest.into_values().filter_map(|one| one.stuck).collect();
    let waiting = stuck.iter().fold(0, |sum: u64, stuck| sum.saturating_add(stuck.waiting));
    let since = stuck.iter().map(|stuck| now - age(stuck.since, stuck.looked)).min();
    let last = since.filter(|_| stuck.iter().all(|stuck| stuck.seen_to_begin));
    (last, Need::Packages { count: usize::try_from(waiting).unwrap_or(usize::MAX), oldest: since })
}

/// The facts of a process.
pub fn facts(witness: &Witness, fold: &Fold, now: Timestamp) -> Vec<Fact> {
    const TO_SEND: &[State] = &[State::Packed, State::Uploading];
    const TO_LAND: &[State] = &[State::Seen, State::Copying, State::Copied, State::Verified];
    let packages = |states: &[State]| {
        let waiting = fold.inbox(states, Timestamp::MAX); // also those whose next attempt is not due yet
        let oldest = waiting.iter().map(|row| waits_since(row, states)).min();
        Need::Packages { count: waiting.len(), oldest }
    };
    let fact = |what: What| {
        let by_actor = witness.done.get(what.actor()).copied().flatten();
        let by_senders = matches!(what, What::Whole | What::Beating | What::Backlog);
        let (last, need) = match what {
            // Nothing is known of senders before the first look: an open alarm stays, and none begins.
            _ if by_senders && by_actor.is_none() => (None, Need::Packages { count: 1, oldest: Some(now) }),
            What::Polled | What::Listed => (by_actor, Need::Always),
            What::Seen => {
                let beat = witness.senders.iter().filter_map(|one| one.beat_found).max();
                (fold.newest().max(beat), Need::Always)
            }
            What::Whole => {
                let count = witness.senders.iter().fold(0, |sum: u64, s| sum.saturating_add(s.missing));
                let since = witness.senders.iter().filter_map(|s| s.missing_since).min();
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                (since, Need::Packages { count, oldest: since })
            }
            What::Beating => {
                let last = last_beats(&witness.senders, now);
                let oldest = last.iter().min().copied();
                (oldest, Need::Packages { count: last.len(), oldest })
            }
            What::Backlog => backlog(&witness.senders, now),
            What::Committed => (fold.last_into(State::Committed), packages(TO_SEND)),
            What::Ready => (fold.last_into(State::Ready), packages(TO_LAND)),
        };
        let fair = match (what, by_actor, last) {
            (What::Seen, Some(_looked_once), Some(last)) => last,
            _ => witness.started,
        };
        Fact { what, last, need, fair }
    };
    What::ALL.into_iter().filter(|what| witness.done.contains_key(what.actor())).map(fact).collect()
}

/// Since when a package has been in one of `states` without having left them.
fn waits_since(row: &Row, states: &[State]) -> Timestamp {
    let here = row.way.iter().rev().take_while(|(state, _)| states.contains(state));
    here.last().map_or(row.since, |(_, at)| *at)
}

/// A length of time as people read it.
fn human(length: Duration) -> String {
    let secs = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
    format!("{:#}", SignedDuration::from_secs(secs))
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
