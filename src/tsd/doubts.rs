//! Commits that did not fit when they were read. Pure: the clock is handed in.
//!
//! A package is stopped at the border only for what the bucket holds, and one answer does not prove that: something before the store
//! may have answered in its place. So a commit that does not fit is read again, with growing waits, as often as any failure of a
//! package is borne (`work.max_failures`). Kept in memory alone: after a restart it is looked at from the beginning.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::package::PackageId;

/// How often one did not fit, and when it is read again.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    times: u32,
    again: Timestamp,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<PackageId, Doubt>);

impl Doubts {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn knows(&self, id: &PackageId) -> bool {
        self.0.contains_key(id)
    }

    /// Those to be read again now.
    pub(super) fn due(&self, now: Timestamp) -> impl Iterator<Item = PackageId> {
        self.0.iter().filter(move |(_, doubt)| doubt.again <= now).map(|(id, _)| id.clone())
    }

    /// The first of this name and beyond, in order.
    pub(super) fn from(&self, first: &PackageId) -> Option<&PackageId> {
        self.0.range(first..).next().map(|(id, _)| id)
    }

    /// It fits after all.
    pub(super) fn settle(&mut self, id: &PackageId) {
        let _doubt = self.0.remove(id);
    }

    /// It did not fit, this time too. So many times it will be read again; none: that was the last of `most`. `pause`: how long it
    /// waits behind its first time, its second ...
    pub(super) fn odd(
        &mut self,
        id: &PackageId,
        now: Timestamp,
        most: u32,
        pause: impl FnOnce(u32) -> Duration,
    ) -> Option<u32> {
        let times = self.0.get(id).map_or(0, |doubt| doubt.times) + 1;
        if times >= most {
            self.settle(id);
            return None;
        }
        let _before = self.0.insert(id.clone(), Doubt { times, again: now + pause(times) });
        Some(most - times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_fit_is_read_again_with_waits_and_then_it_is_final() {
        let (a, b): (PackageId, PackageId) =
            ("samples/a/r1".parse().unwrap(), "samples/b/r1".parse().unwrap());
        let (mut doubts, mut now) = (Doubts::default(), Timestamp::UNIX_EPOCH);
        let pause = |times: u32| Duration::from_secs(5 * u64::from(times));
        for (left, waits) in [(2, 5), (1, 10)] {
            assert_eq!(doubts.odd(&a, now, 3, pause), Some(left));
            assert!(doubts.knows(&a) && !doubts.knows(&b) && doubts.due(now).next().is_none());
            now += Duration::from_secs(waits - 1);
            assert_eq!(doubts.due(now).next(), None, "{waits} s");
            now += Duration::from_secs(1);
        }
        assert_eq!(doubts.odd(&b, now, 3, pause), Some(2), "each for itself");
        assert_eq!(doubts.odd(&a, now, 3, pause), None);
        assert_eq!(doubts.len(), 1, "what is decided is forgotten");
        doubts.settle(&b);
        assert_eq!(doubts.odd(&b, now, 3, pause), Some(2), "it fitted in between");
        doubts.settle(&b);
        assert_eq!(doubts.len(), 0);
        assert_eq!(doubts.odd(&a, now, 1, pause), None, "where no failure is borne");
    }
}
