//! What a receiver, who cannot ask, notices of its senders by itself: commits that are missing, heartbeats that do not come, a chain that
//! was begun anew. Looked at by the watcher at each of its looks; shown by `status`, listened to by the alarms.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::package::{Chains, Gap, Heartbeat, Place, Sender};

/// Gaps that are named of each sender.
const NAMED: usize = 10;
/// Heartbeats that are read; nobody has so many hosts.
pub(super) const MOST: usize = 64;
/// A heartbeat that stands still for longer is of a host that was taken out of service; that a chain was begun anew is said for as long.
const GONE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// One sender, as it looks from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Host and epoch.
    pub sender: Sender,
    /// The highest number of its commits that is known here; 0: none.
    pub last: u64,
    /// How many of its commits are missing: below that number, and up to the one that its heartbeat tells.
    pub missing: u64,
    /// The first of them.
    pub gaps: Vec<String>,
    /// Since when the first of them should have been here.
    pub missing_since: Option<Timestamp>,
    /// Its last heartbeat.
    pub beat: Option<Heartbeat>,
    /// When that was found, by our own clock.
    pub beat_found: Option<Timestamp>,
    /// Packages that it says wait there, while none comes from it.
    #[serde(default)]
    pub stuck: Option<Stuck>,
    /// Something that a person should know.
    pub remark: Option<String>,
}

/// A backlog that is announced, and nothing of it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// How many packages the last heartbeat told of.
    pub waiting: u64,
    /// Since when there were some, and no commit of that sender came.
    pub since: Timestamp,
    /// Whether that began before our eyes; otherwise it may be older than this process.
    pub seen_to_begin: bool,
    /// When that was looked at last: what we did not look for, we cannot miss.
    pub looked: Timestamp,
}

/// Clones share.
#[derive(Clone, Default)]
pub struct Senders(Arc<Mutex<News>>);

#[derive(Default)]
struct News {
    beats: BTreeMap<Sender, Beat>,
    standing: Vec<Standing>,
}

struct Beat {
    heard: Heartbeat,
    found: Timestamp,
    /// Since when the number in it has been higher than what is known here, and which number that was.
    ahead: Option<(u64, Timestamp)>,
    /// Since when packages wait there and none comes, and how many commits were known here then.
    stuck: Option<(u64, Timestamp, bool)>,
    /// It was looked at before, so that what is new in it is new.
    looked_at: bool,
}

impl Beat {
    /// Takes what is known of its commits, up to number `last`, together with what waits there.
    fn stands(&mut self, last: u64, now: Timestamp) -> Option<Stuck> {
        let waiting = self.heard.backlog.values().fold(0, |sum: u64, n| sum.saturating_add(*n));
        let before = std::mem::replace(&mut self.looked_at, true);
        self.stuck = self.stuck.filter(|(then, ..)| waiting > 0 && *then == last);
        if waiting == 0 {
            return None;
        }
        let (_, since, seen_to_begin) = *self.stuck.get_or_insert((last, now, before));
        Some(Stuck { waiting, since, seen_to_begin, looked: now })
    }
}

/// The sender whose heartbeat lies under a key.
pub(super) fn sender_of(prefix: &str, key: &str) -> Option<Sender> {
    key.strip_prefix(prefix)?.strip_prefix("/heartbeat/")?.parse().ok()
}

impl Senders {
    fn news(&self) -> MutexGuard<'_, News> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As of the last look.
    pub fn now(&self) -> Vec<Standing> {
        self.news().standing.clone()
    }

    /// Takes a heartbeat in.
    pub(super) fn beats(&self, heard: Heartbeat, now: Timestamp) {
        let mut news = self.news();
        let before = news.beats.get(&heard.sender);
        let found = before.filter(|before| before.heard == heard).map_or(now, |before| before.found);
        let kept =
            before.map_or((None, None, false), |before| (before.ahead, before.stuck, before.looked_at));
        let (ahead, stuck, looked_at) = kept;
        drop(news.beats.insert(heard.sender.clone(), Beat { heard, found, ahead, stuck, looked_at }));
    }

    /// Puts together what is known now. `waiting`: commits that were read and wait for room. `since`: when our journal was begun.
    pub(super) fn look(&self, chains: &Chains, waiting: &BTreeSet<Place>, since: Timestamp, now: Timestamp) {
        let mut news = self.news();
        let mut known: BTreeMap<Sender, u64> =
            chains.last().map(|(sender, last)| (sender.clone(), last)).collect();
        for Place { sender, sequence } in waiting {
            let last = known.entry(sender.clone()).or_default();
            *last = (*last).max(*sequence);
        }
        for sender in news.beats.keys() {
            let _none_so_far = known.entry(sender.clone()).or_default();
        }
        let mut gaps: BTreeMap<Sender, Vec<Gap>> = BTreeMap::new();
        for gap in chains.gaps(waiting, since) {
            gaps.entry(gap.sender.clone()).or_default().push(gap);
        }
        let begun: Vec<(Sender, Timestamp)> =
            chains.epochs().map(|(sender, at)| (sender.clone(), at)).collect();
        let standing = known.into_iter().map(|(sender, last)| {
            let mut gaps = gaps.remove(&sender).unwrap_or_default();
            let beat = news.beats.get_mut(&sender);
            let mut stuck = None;
            if let Some(beat) = beat {
                stuck = beat.stands(last, now);
                let told = beat.heard.sequence;
                // One that was already ahead counts from then on, also when the sender has got further meanwhile.
                beat.ahead = beat.ahead.filter(|(then, _)| *then > last);
                if told > last {
                    let (_, since) = *beat.ahead.get_or_insert((told, now));
                    gaps.push(Gap { sender: sender.clone(), numbers: last + 1..=told, since });
                }
            }
            let beat = news.beats.get(&sender);
            Standing {
                last,
                missing: gaps.iter().fold(0, |sum: u64, gap| sum.saturating_add(gap.count())),
                missing_since: gaps.iter().map(|gap| gap.since).min(),
                gaps: gaps.iter().take(NAMED).map(ToString::to_string).collect(),
                beat: beat.map(|beat| beat.heard.clone()),
                beat_found: beat.map(|beat| beat.found),
                stuck,
                remark: begun_anew(&sender, &begun, now),
                sender,
            }
        });
        let standing: Vec<Standing> = standing.collect();
        for one in standing.iter().filter_map(|one| one.remark.as_ref()) {
            if !news.standing.iter().any(|before| before.remark.as_ref() == Some(one)) {
                tracing::warn!(remark = one, "a sender has begun a new chain of commits");
            }
        }
        news.standing = standing;
    }
}

/// Whether this host had another chain before.
fn begun_anew(sender: &Sender, begun: &[(Sender, Timestamp)], now: Timestamp) -> Option<String> {
    let (_, at) = begun.iter().find(|(one, _)| one == sender)?;
    let earlier = |one: &Sender| one.name == sender.name && one.epoch < sender.epoch;
    let before = begun.iter().rfind(|(one, then)| earlier(one) && then < at)?;
    let (name, old, epoch) = (&sender.name, before.0.epoch, sender.epoch);
    (now.duration_since(*at) < GONE).then(|| {
        format!(
            "{name} gives out a new chain of commits (epoch {epoch}, before: {old}): its journal was lost or set up anew; ask the sending side whether that was meant"
        )
    })
}

impl Standing {
    /// Whether its heartbeat should come.
    pub fn is_in_service(&self, now: Timestamp) -> bool {
        self.beat.as_ref().is_some_and(|beat| now.duration_since(beat.at) < GONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{Link, PackageId, Sha256Hex};

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn ever() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn learn(chains: &mut Chains, place: &str, since: i64) {
        let place: Place = place.parse().unwrap();
        let package: PackageId = format!("samples/p{}/r1", place.sequence).parse().unwrap();
        let digest = Sha256Hex::of(place.to_string().as_bytes());
        chains.learn(&package, &Link { place, digest, previous: None }, at(since));
    }

    fn beat(sender: &str, secs: i64, sequence: u64) -> Heartbeat {
        let (backlog, program) = (BTreeMap::new(), "0.1.0".into());
        let (at, sender, recent) = (at(secs), sender.parse().unwrap(), Vec::new());
        Heartbeat { version: 1, at, sender, program, backlog, sequence, recent }
    }

    #[test]
    fn keys_of_heartbeats() {
        assert_eq!(sender_of("in", "in/heartbeat/gdx-login/1").unwrap().to_string(), "gdx-login/1");
        for other in
            ["in/heartbeat/gdx-login", "in/heartbeat/", "in/samples/x/r1/COMMIT", "out/heartbeat/a/1"]
        {
            assert!(sender_of("in", other).is_none(), "{other}");
        }
    }

    #[test]
    fn what_is_missing_counts_below_the_highest_and_up_to_what_the_heartbeat_tells() {
        let (senders, mut chains) = (Senders::default(), Chains::default());
        for (place, since) in [("a/1#1", 0), ("a/1#4", 10), ("b/1#1", 0)] {
            learn(&mut chains, place, since);
        }
        senders.beats(beat("a/1", 5, 4), at(20));
        senders.beats(beat("b/1", 5, 3), at(20));
        let waiting = ["a/1#2".parse().unwrap()].into();
        senders.look(&chains, &waiting, ever(), at(21));
        senders.beats(beat("b/1", 60, 9), at(61));
        senders.look(&chains, &waiting, ever(), at(62));
        let [a, b] = &senders.now()[..] else { panic!("{:?}", senders.now()) };
        assert_eq!(
            (a.last, a.missing, a.missing_since, &a.gaps[..]),
            (4, 1, Some(at(10)), &["a/1#3".to_owned()][..])
        );
        assert_eq!((b.last, b.missing, b.missing_since), (1, 8, Some(at(21))), "since it was told first");
        assert_eq!((a.beat_found, b.beat_found), (Some(at(20)), Some(at(61))));
        // The same heartbeat once more is not another one.
        senders.beats(beat("a/1", 5, 4), at(500));
        for place in ["a/1#2", "a/1#3", "b/1#2", "b/1#3"] {
            learn(&mut chains, place, 70);
        }
        senders.look(&chains, &BTreeSet::new(), ever(), at(501));
        let [a, b] = &senders.now()[..] else { panic!("{:?}", senders.now()) };
        assert_eq!((a.missing, a.missing_since, a.beat_found), (0, None, Some(at(20))));
        assert_eq!((b.missing, b.missing_since), (6, Some(at(501))), "what was told first is here");
    }

    #[test]
    fn a_backlog_is_stuck_until_a_commit_comes_or_nothing_waits() {
        let (senders, mut chains) = (Senders::default(), Chains::default());
        learn(&mut chains, "a/1#1", 0);
        let told = |secs: i64, waiting: u64| Heartbeat {
            backlog: [(crate::package::Priority::Normal, waiting), (crate::package::Priority::High, waiting)]
                .into(),
            ..beat("a/1", secs, 1)
        };
        let stuck = |chains: &Chains, waiting: &BTreeSet<Place>, now: i64| {
            senders.look(chains, waiting, ever(), at(now));
            senders.now()[0].stuck.map(|s| {
                assert!(s.seen_to_begin, "nothing waited at the first look");
                (s.waiting, s.since, s.looked)
            })
        };
        let none = BTreeSet::new();
        senders.beats(told(5, 0), at(10));
        assert_eq!(stuck(&chains, &none, 10), None);
        senders.beats(told(60, 2), at(61));
        assert_eq!(stuck(&chains, &none, 62), Some((4, at(62), at(62))));
        senders.beats(told(120, 9), at(121));
        assert_eq!(stuck(&chains, &none, 130), Some((18, at(62), at(130))), "however it grows or shrinks");
        // A commit that was read and waits for room has come.
        assert_eq!(stuck(&chains, &["a/1#2".parse().unwrap()].into(), 140), Some((18, at(140), at(140))));
        learn(&mut chains, "a/1#2", 150);
        assert_eq!(stuck(&chains, &none, 160), Some((18, at(140), at(160))), "it is the same one");
        learn(&mut chains, "a/1#3", 170);
        assert_eq!(stuck(&chains, &none, 171), Some((18, at(171), at(171))));
        senders.beats(told(180, 0), at(181));
        assert_eq!(stuck(&chains, &none, 182), None);
        // Of a process that has just begun nobody knows how long it has been so.
        let senders = Senders::default();
        senders.beats(told(200, 1), at(200));
        senders.look(&chains, &none, ever(), at(201));
        assert!(!senders.now()[0].stuck.unwrap().seen_to_begin);
    }

    #[test]
    fn a_chain_that_is_begun_anew_is_said_for_a_while() {
        let (senders, mut chains) = (Senders::default(), Chains::default());
        for (place, since) in [("a/1#1", 0), ("a/7#1", 100), ("b/3#1", 0)] {
            learn(&mut chains, place, since);
        }
        let remarks = |now| {
            senders.look(&chains, &BTreeSet::new(), ever(), at(now));
            senders.now().into_iter().filter_map(|one| one.remark).collect::<Vec<_>>()
        };
        assert_eq!(remarks(200).len(), 1);
        assert!(remarks(200)[0].starts_with("a gives out a new chain of commits (epoch 7, before: 1)"));
        assert_eq!(remarks(100 + 15 * 86_400), Vec::<String>::new());
    }

    #[test]
    fn a_host_that_was_taken_out_of_service_is_not_waited_for() {
        let senders = Senders::default();
        senders.beats(beat("a/1", 0, 0), at(10));
        senders.look(&Chains::default(), &BTreeSet::new(), ever(), at(10));
        let [a] = &senders.now()[..] else { panic!() };
        assert!(a.is_in_service(at(1000)) && !a.is_in_service(at(15 * 86_400)));
    }
}
