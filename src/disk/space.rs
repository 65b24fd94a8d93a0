//! Who will write how much: packages that would fit alone but not together must not meet in a full disk.
//!
//! What is on the disk already is in what the file system says; what a package has still to write is kept here, per file
//! system, and given back when its work ends, however it ends. A package that does not fit beside the others waits in its
//! place: it is not sick, and neither is the disk. One that would not fit into what is free if it were alone is another
//! matter: then somebody must make room.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::fs::Free;

/// So much room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Bytes.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

impl Need {
    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            inodes: self.inodes.saturating_add(other.inodes),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            inodes: self.inodes.saturating_sub(other.inodes),
        }
    }

    /// Whether it fits into what is free.
    fn fits(self, free: &Free) -> bool {
        self.bytes <= free.bytes && free.inodes.is_none_or(|inodes| self.inodes <= inodes)
    }
}

/// What may be said to someone who wants room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It is yours.
    Granted,
    /// When others are done: so much is promised to them.
    Later(Need),
    /// Not even if nobody else wrote.
    Short(Shortage),
}

/// Of what there is too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Bytes.
    Bytes,
    /// Files and directories.
    Inodes,
}

#[derive(Clone, Copy)]
struct Entry {
    need: Need,
    rank: u8,
    /// The file system on which it is granted, or on which it was last refused.
    device: Option<u64>,
    granted: bool,
}

/// The books of all file systems; clones share.
#[derive(Clone, Default)]
pub struct Space {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    books: Mutex<Books>,
    changed: Notify,
}

#[derive(Default)]
struct Books {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

impl Books {
    /// Decides and enters it. Those who have asked before with the same or a higher rank come first: a large package must not
    /// wait for ever because small ones always find a gap.
    fn ask(&mut self, id: u64, free: &Free, floor: u64) -> Wanted {
        let Some(mine) = self.entries.get(&id).copied() else { return Wanted::Granted };
        if mine.granted {
            return Wanted::Granted;
        }
        let alone = mine.need.plus(Need { bytes: floor, inodes: 0 });
        let here = self.entries.iter().filter(|(_, e)| e.device == Some(free.device));
        let before = here.filter(|(n, e)| e.granted || (**n < id && e.rank >= mine.rank));
        let promised = before.fold(Need::default(), |sum, (_, e)| sum.plus(e.need));
        let (fits, alone_fits) = (alone.plus(promised).fits(free), alone.fits(free));
        if let Some(entry) = self.entries.get_mut(&id) {
            // One that cannot fit at all keeps no place in line.
            (entry.granted, entry.device) = (fits, alone_fits.then_some(free.device));
        }
        match (fits, alone_fits) {
            (true, _) => Wanted::Granted,
            (false, true) => Wanted::Later(promised),
            (false, false) if alone.bytes > free.bytes => Wanted::Short(Shortage::Bytes),
            (false, false) => Wanted::Short(Shortage::Inodes),
        }
    }
}

impl Space {
    /// Somebody will write so much. Higher ranks come first.
    pub fn room(&self, rank: u8, need: Need) -> Room {
        let mut books = self.books();
        let id = books.next;
        books.next += 1;
        let entry = Entry { need, rank, device: None, granted: false };
        let _none = books.entries.insert(id, entry);
        drop(books);
        Room { id, space: self.clone() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.inner.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in line, and then the room itself; given back when it is dropped.
pub struct Room {
    id: u64,
    space: Space,
}

impl Room {
    /// Asks for it. `floor` bytes must stay free in any case.
    pub fn ask(&self, free: &Free, floor: u64) -> Wanted {
        self.space.books().ask(self.id, free, floor)
    }

    /// What is still to be written.
    pub fn need(&self) -> Need {
        self.space.books().entries.get(&self.id).map_or_else(Need::default, |entry| entry.need)
    }

    /// So much of it is on the disk now, where the file system itself counts it.
    pub fn used(&self, used: Need) {
        if let Some(entry) = self.space.books().entries.get_mut(&self.id) {
            entry.need = entry.need.minus(used);
        }
    }

    /// Waits until somebody gives something back, no longer than this.
    pub async fn change(&self, most: Duration) {
        // Waking too early or too late only means to ask again.
        let _either = tokio::time::timeout(most, self.space.inner.changed.notified()).await;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _entry = self.space.books().entries.remove(&self.id);
        self.space.inner.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Free = Free { device: 1, bytes: 100, inodes: Some(10) };

    fn need(bytes: u64) -> Need {
        Need { bytes, inodes: 1 }
    }

    #[test]
    fn what_fits_alone_but_not_together_comes_one_after_the_other() {
        let space = Space::default();
        let (a, b) = (space.room(0, need(60)), space.room(0, need(60)));
        assert_eq!(a.ask(&FREE, 10), Wanted::Granted);
        assert_eq!(b.ask(&FREE, 10), Wanted::Later(need(60)));
        // 40 bytes are written: the file system counts them, the books do not any more.
        a.used(need(40));
        assert_eq!(b.ask(&Free { bytes: 60, ..FREE }, 10), Wanted::Short(Shortage::Bytes));
        drop(a);
        assert_eq!(b.ask(&FREE, 10), Wanted::Granted, "its consumer has taken it away");
        assert_eq!(b.ask(&Free { bytes: 1, ..FREE }, 10), Wanted::Granted, "what is granted stays so");
    }

    #[test]
    fn another_file_system_has_its_own_room() {
        let space = Space::default();
        let (a, b) = (space.room(0, need(90)), space.room(0, need(90)));
        assert_eq!(a.ask(&FREE, 0), Wanted::Granted);
        assert_eq!(b.ask(&Free { device: 2, ..FREE }, 0), Wanted::Granted);
    }

    #[test]
    fn who_waits_is_overtaken_only_by_what_is_more_urgent_or_fits_beside_it() {
        let space = Space::default();
        let (first, large) = (space.room(1, need(50)), space.room(1, need(70)));
        assert_eq!(first.ask(&FREE, 0), Wanted::Granted);
        assert_eq!(large.ask(&FREE, 0), Wanted::Later(need(50)));
        let (small, urgent) = (space.room(1, need(40)), space.room(2, need(40)));
        assert_eq!(small.ask(&FREE, 0), Wanted::Later(Need { bytes: 120, inodes: 2 }));
        assert_eq!(urgent.ask(&FREE, 0), Wanted::Granted);
        drop((first, urgent));
        assert_eq!(small.ask(&FREE, 0), Wanted::Later(need(70)), "the large one is before it");
        assert_eq!(large.ask(&FREE, 0), Wanted::Granted);
        drop(large);
        assert_eq!(small.ask(&FREE, 0), Wanted::Granted);
    }

    #[test]
    fn one_that_cannot_fit_at_all_keeps_nobody_waiting() {
        let space = Space::default();
        let (huge, small) = (space.room(1, need(500)), space.room(1, need(50)));
        assert_eq!(huge.ask(&FREE, 0), Wanted::Short(Shortage::Bytes));
        assert_eq!(small.ask(&FREE, 0), Wanted::Granted);
        let many = space.room(1, Need { bytes: 1, inodes: 11 });
        assert_eq!(many.ask(&FREE, 0), Wanted::Short(Shortage::Inodes));
        assert_eq!(many.ask(&Free { inodes: None, ..FREE }, 0), Wanted::Granted, "without a limit");
    }

    #[tokio::test]
    async fn who_waits_hears_that_room_was_given_back() {
        let space = Space::default();
        let (a, b) = (space.room(0, need(60)), space.room(0, need(60)));
        assert_eq!(a.ask(&FREE, 0), Wanted::Granted);
        assert!(matches!(b.ask(&FREE, 0), Wanted::Later(_)));
        let begun = std::time::Instant::now();
        let give = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(a);
        };
        tokio::join!(b.change(Duration::from_secs(60)), give);
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!(b.ask(&FREE, 0), Wanted::Granted);
    }

    #[test]
    fn a_real_disk_tells() {
        let dir = tempfile::tempdir().unwrap();
        let free = Free::at(dir.path()).unwrap();
        assert!(free.bytes > 0 && free.device > 0);
    }
}
