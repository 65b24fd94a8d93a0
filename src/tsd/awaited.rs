//! Packages that lie in the bucket without a `COMMIT`: they are being sent, or were given up by their sender. Pure: the clock is handed in.
//!
//! Looked at again with growing waits, because nothing tells when one is committed but a heartbeat, and because what was given up
//! stays in the bucket for good.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::package::PackageId;

/// The longest wait between two looks at one.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);
/// Then it is forgotten, and found again at some later look, if it still lies there.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(7 * 24);

#[derive(Clone, Copy, Debug)]
struct Open {
    since: Timestamp,
    again: Timestamp,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Awaited(BTreeMap<PackageId, Open>);

impl Awaited {
    /// It has no commit now.
    pub(super) fn absent(&mut self, id: &PackageId, now: Timestamp, shortest: Duration) {
        let since = self.0.get(id).map_or(now, |open| open.since);
        let age = now.duration_since(since);
        if age >= FORGOTTEN {
            self.settle(id);
            return;
        }
        let shortest = SignedDuration::try_from(shortest).unwrap_or(LONGEST).min(LONGEST);
        let wait = (age / 4).clamp(shortest, LONGEST);
        let _before = self.0.insert(id.clone(), Open { since, again: now + wait });
    }

    /// It has one, or is not there any more.
    pub(super) fn settle(&mut self, id: &PackageId) {
        let _open = self.0.remove(id);
    }

    /// Those to be looked at now, the longest due first.
    pub(super) fn due(&self, now: Timestamp) -> Vec<PackageId> {
        let mut due: Vec<_> = self.0.iter().filter(|(_, open)| open.again <= now).collect();
        due.sort_by_key(|(_, open)| open.again);
        due.into_iter().map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it waits.
    pub(super) fn knows(&self, id: &PackageId) -> bool {
        self.0.contains_key(id)
    }

    /// Those of one name and beyond, in order.
    pub(super) fn from(&self, first: &PackageId) -> Option<&PackageId> {
        self.0.range(first..).next().map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_its_age_and_end() {
        let id: PackageId = "samples/a/r1".parse().unwrap();
        let (mut awaited, start) = (Awaited::default(), Timestamp::UNIX_EPOCH);
        let shortest = Duration::from_secs(30);
        let mut now = start;
        let mut looks = Vec::new();
        awaited.absent(&id, now, shortest);
        assert!(awaited.knows(&id) && awaited.due(now).is_empty());
        while awaited.knows(&id) {
            now += SignedDuration::from_secs(1);
            if awaited.due(now) == [id.clone()] {
                looks.push(now.as_second());
                awaited.absent(&id, now, shortest);
            }
        }
        assert_eq!(looks[..4], [30, 60, 90, 120]);
        assert!(looks.windows(2).all(|two| (30..=900).contains(&(two[1] - two[0]))), "{looks:?}");
        assert!(looks.len() < 800, "an hour takes few looks, a week {}", looks.len());
        assert_eq!(now.duration_since(start).as_hours(), 7 * 24);
    }

    #[test]
    fn the_longest_due_comes_first() {
        let (a, b): (PackageId, PackageId) =
            ("samples/a/r1".parse().unwrap(), "samples/b/r1".parse().unwrap());
        let (mut awaited, start) = (Awaited::default(), Timestamp::UNIX_EPOCH);
        awaited.absent(&b, start, Duration::from_secs(30));
        awaited.absent(&a, start + Duration::from_secs(1), Duration::from_secs(30));
        let later = start + Duration::from_secs(60);
        assert_eq!(awaited.due(later), [b.clone(), a.clone()]);
        assert_eq!(awaited.from(&a), Some(&a));
        awaited.settle(&b);
        assert_eq!(awaited.due(later), [a]);
    }
}
