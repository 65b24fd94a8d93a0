//! What the watcher knows of commits in the bucket between two looks. Worth nothing but the time to read them again.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::awaited::Awaited;
use super::border::Believed;
use super::doubts::Doubts;
use super::scan::{Found, Scan};
use crate::package::{Kind, Name, PackageId, Place, Priority, Revision};

/// So many commits are read at one look, so that a flood of them does not keep the first ones waiting…
const AT_A_LOOK: usize = 500;
/// …of which so many may be ones that were looked at before…
const AGAIN: usize = 100;
/// …and of so many waiting ones the priorities are kept; those beyond are read when others have gone.
const KEPT: usize = 20_000;

/// Clones share.
#[derive(Clone, Default)]
pub(super) struct Known {
    books: Arc<Mutex<Books>>,
    scan: Arc<Mutex<Scan>>,
}

impl Known {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the looks have got. A look that is cut off does not put it back, and the next begins anew.
    pub(super) fn take_scan(&self) -> Scan {
        std::mem::take(&mut *self.scan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn put_scan(&self, scan: Scan) {
        *self.scan.lock().unwrap_or_else(PoisonError::into_inner) = scan;
    }
}

/// The packages, each in one of the books.
#[derive(Default)]
pub(super) struct Books {
    /// They were believed and wait until there is room: with their priorities, so that the urgent ones come in first.
    judged: BTreeMap<PackageId, Believed>,
    /// They did not fit and are read again.
    doubts: Doubts,
    /// They could not be read, so often, and are read again.
    unread: BTreeMap<PackageId, u32>,
    /// They are not committed.
    open: Awaited,
    /// Keys that are nobody's package, as of the last pass.
    odd: BTreeMap<String, String>,
}

impl Books {
    /// How many new ones may be found at this look. What is not committed does not count: a bucket full of what senders gave up must
    /// not keep out what is.
    pub(super) fn room(&self) -> usize {
        let kept = self.judged.len() + self.doubts.len() + self.unread.len();
        KEPT.saturating_sub(kept).min(AT_A_LOOK - AGAIN)
    }

    /// What is looked at again now.
    pub(super) fn again(&mut self, now: Timestamp) -> Vec<PackageId> {
        let mut unread: Vec<(&PackageId, u32)> = self.unread.iter().map(|(id, times)| (id, *times)).collect();
        // Those that fell least often first, or a few that cannot be read at all would keep the others from being read.
        unread.sort_by_key(|(_, times)| *times);
        let mut again: Vec<PackageId> = unread.into_iter().map(|(id, _)| id.clone()).collect();
        again.extend(self.doubts.due(now));
        again.extend(self.open.due(now));
        again.truncate(AGAIN);
        again
    }

    /// Takes in what a look has found: what is to be read now, and what is nobody's.
    pub(super) fn find(&mut self, found: Found) -> (BTreeSet<PackageId>, BTreeMap<String, String>) {
        self.odd = found.odd.unwrap_or_else(|| std::mem::take(&mut self.odd));
        (found.packages, self.odd.clone())
    }

    /// Whether its commit was read, or was tried to be.
    pub(super) fn has_read(&self, id: &PackageId) -> bool {
        self.judged.contains_key(id) || self.doubts.knows(id) || self.unread.contains_key(id)
    }

    /// Whether it had no commit.
    pub(super) fn awaits(&self, id: &PackageId) -> bool {
        self.open.knows(id)
    }

    pub(super) fn knows_name(&self, kind: &Kind, name: &Name) -> bool {
        let first = PackageId { kind: kind.clone(), name: name.clone(), revision: Revision(0) };
        let next = [
            self.judged.range(&first..).next().map(|(id, _)| id),
            self.doubts.from(&first),
            self.unread.range(&first..).next().map(|(id, _)| id),
            self.open.from(&first),
        ];
        next.into_iter().flatten().any(|id| id.kind == *kind && id.name == *name)
    }

    /// It cannot be read now. `tried`: it was asked for.
    pub(super) fn unread(&mut self, id: PackageId, tried: bool) {
        let times = self.unread.entry(id).or_default();
        *times = times.saturating_add(u32::from(tried));
    }

    pub(super) fn absent(&mut self, id: &PackageId, now: Timestamp, shortest: Duration) {
        self.doubts.settle(id);
        let _times = self.unread.remove(id);
        if self.open.len() < KEPT || self.open.knows(id) {
            self.open.absent(id, now, shortest);
        }
    }

    pub(super) fn believe(&mut self, id: PackageId, believed: Believed) {
        self.doubts.settle(&id);
        self.open.settle(&id);
        let _times = self.unread.remove(&id);
        drop(self.judged.insert(id, believed));
    }

    /// See [`Doubts::odd`].
    pub(super) fn odd(
        &mut self,
        id: &PackageId,
        now: Timestamp,
        most: u32,
        pause: impl FnOnce(u32) -> Duration,
    ) -> Option<u32> {
        self.open.settle(id);
        let _times = self.unread.remove(id);
        self.doubts.odd(id, now, most, pause)
    }

    pub(super) fn judged(&self, id: &PackageId) -> Option<Believed> {
        self.judged.get(id).cloned()
    }

    /// It is the journal's now.
    pub(super) fn leave(&mut self, id: &PackageId) {
        drop(self.judged.remove(id));
        self.doubts.settle(id);
        self.open.settle(id);
        let _times = self.unread.remove(id);
    }

    /// Those that wait for room, the oldest first.
    pub(super) fn groups(&self) -> Vec<(Priority, usize, PackageId)> {
        let mut judged: Vec<(&PackageId, &Believed)> = self.judged.iter().collect();
        judged.sort_by_key(|(id, believed)| (believed.committed_at, *id));
        judged
            .into_iter()
            .map(|(id, believed)| (believed.facts.priority.unwrap_or_default(), 1, id.clone()))
            .collect()
    }

    /// Their places in their senders' chains.
    pub(super) fn waiting(&self) -> BTreeSet<Place> {
        self.judged.values().map(|believed| believed.link.place.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_that_cannot_be_read_do_not_keep_the_others_from_being_read() {
        let id = |n: usize| -> PackageId { format!("samples/p{n:03}/r1").parse().unwrap() };
        let (mut books, now) = (Books::default(), Timestamp::UNIX_EPOCH);
        // At the first look five fall, and those behind them are not asked for.
        (0..5).for_each(|n| books.unread(id(n), true));
        (5..150).for_each(|n| books.unread(id(n), false));
        assert!(books.has_read(&id(0)) && books.knows_name(&id(149).kind, &id(149).name));
        let again = books.again(now);
        assert_eq!((again.len(), &again[0], &again[99]), (AGAIN, &id(5), &id(104)));
        // They are absent or read; then it is the turn of the rest, and of those that fell at last.
        for id in again {
            books.absent(&id, now, Duration::from_secs(60));
        }
        let rest = books.again(now);
        assert_eq!((rest.len(), &rest[0], &rest[49]), (50, &id(105), &id(4)));
        assert_eq!(books.again(now), rest, "a look that was cut off loses nobody");
    }

    #[test]
    fn what_was_given_up_takes_no_room_from_what_is_committed() {
        let (mut books, now) = (Books::default(), Timestamp::UNIX_EPOCH);
        for n in 0..KEPT + 10 {
            let id = format!("samples/p{n}/r1").parse().unwrap();
            books.absent(&id, now, Duration::from_secs(60));
        }
        assert_eq!((books.open.len(), books.room()), (KEPT, AT_A_LOOK - AGAIN));
    }
}
