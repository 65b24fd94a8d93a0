//! Commits that did not fit when they were read. Pure: clock and dice are handed in.
//!
//! A package is stopped at the border only for what the bucket holds, and one answer does not prove that: something before the store
//! may have answered in its place. So a commit that does not fit is read again, with growing waits, as often as any failure of a
//! package is borne (`work.max_failures`). Kept in memory alone: after a restart it is looked at from the beginning.
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::conf::WorkConf;
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
    /// Only those that still lie in the bucket, undecided.
    pub(super) fn keep(&mut self, those: &BTreeSet<PackageId>) {
        self.0.retain(|id, _| those.contains(id));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn knows(&self, id: &PackageId) -> bool {
        self.0.contains_key(id)
    }

    /// Whether it is too early to read it again.
    pub(super) fn waits(&self, id: &PackageId, now: Timestamp) -> bool {
        self.0.get(id).is_some_and(|doubt| now < doubt.again)
    }

    /// It fits after all.
    pub(super) fn settle(&mut self, id: &PackageId) {
        let _doubt = self.0.remove(id);
    }

    /// It did not fit, this time too. So many times it will be read again; none: that was the last.
    pub(super) fn odd(&mut self, id: &PackageId, work: &WorkConf, now: Timestamp, dice: f64) -> Option<u32> {
        let times = self.0.get(id).map_or(0, |doubt| doubt.times) + 1;
        if times >= work.max_failures {
            self.settle(id);
            return None;
        }
        let doubt = Doubt { times, again: now + work.retry.delay(times, dice) };
        let _before = self.0.insert(id.clone(), doubt);
        Some(work.max_failures - times)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::conf::{Conf, Role};
    use crate::demo::site::{Site, SiteOptions};

    #[tokio::test]
    async fn one_that_does_not_fit_is_read_again_with_waits_and_then_it_is_final() {
        let dir = tempfile::tempdir().unwrap();
        let more = "work.max_failures = 3".to_owned();
        let site = Site::open(dir.path(), &SiteOptions { more, ..SiteOptions::default() }).await.unwrap();
        let work = Conf::load_with(Some(&site.conf(Role::Tsd)), None, []).unwrap().work;
        let (a, b): (PackageId, PackageId) =
            ("samples/a/r1".parse().unwrap(), "samples/b/r1".parse().unwrap());
        let (mut doubts, mut now) = (Doubts::default(), Timestamp::UNIX_EPOCH);
        for left in [2, 1] {
            assert!(!doubts.waits(&a, now));
            assert_eq!(doubts.odd(&a, &work, now, 0.5), Some(left));
            assert!(doubts.waits(&a, now) && doubts.knows(&a) && !doubts.knows(&b));
            now += Duration::from_secs(3600);
        }
        assert_eq!(doubts.odd(&b, &work, now, 0.5), Some(2), "each for itself");
        assert_eq!(doubts.odd(&a, &work, now, 0.5), None);
        assert_eq!(doubts.len(), 1, "what is decided is forgotten");
        doubts.settle(&b);
        assert_eq!(doubts.odd(&b, &work, now, 0.5), Some(2), "it fitted in between");
        doubts.keep(&BTreeSet::from([a]));
        assert_eq!(doubts.len(), 0);
    }
}
