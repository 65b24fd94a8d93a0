//! Who works in a landing's areas, so that a second daemon is noticed before it does any harm.
//!
//! Two daemons with journals of their own on one bucket each land every package: whoever shares no claims must be alone. So each process
//! keeps a file of its own in `.hosts/` beside the destination, and renews it. One that starts writes its file *first* and then looks at
//! the others: of two that start at the same moment at least one sees the other.
//!
//! The limit: it is noticed where the file system is shared. Hosts that see only the same bucket cannot notice each other without the
//! right to put, and whoever has that can share claims.
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::chain;
use crate::clock;
use crate::conf::TsdConf;
use crate::disk::OnDisk;
use crate::fs::{self, FsError};
use crate::tsd::share::Refusal;

/// Beside the destination.
const DIR: &str = ".hosts";
/// Larger ones are nobody's.
const MOST_BYTES: u64 = 16 << 10;

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sign {
    /// Names its journal.
    seat: String,
    /// Its host.
    host: String,
    /// Its state directory.
    state_dir: String,
    /// Whether it claims packages in the bucket.
    shares: bool,
    /// Whether it has worked here; one that only watched whether it may has landed nothing.
    worked: bool,
    /// Counts up while it lives.
    beat: u64,
    /// How long a living one may take to the next.
    lease_ms: u64,
    /// By its clock; for people.
    at: Timestamp,
}

impl Sign {
    /// Whether both can work here.
    fn gets_on_with(&self, other: &Self) -> bool {
        self.seat == other.seat || (self.shares && other.shares)
    }

    /// Whether nothing is lost with that one, which stands still: it has never worked, or can only be of an earlier journal of this very
    /// state directory, which was lost and rebuilt.
    fn replaces(&self, silent: &Self) -> bool {
        !silent.worked || (&self.host, &self.state_dir) == (&silent.host, &silent.state_dir)
    }

    /// The next sign of life.
    fn renew(&mut self) {
        (self.beat, self.at) = (self.beat + 1, clock::now());
    }
}

/// Keeps the files of this process, until it is dropped.
pub struct Areas {
    files: Arc<Mutex<Vec<PathBuf>>>,
    ends: Arc<AtomicBool>,
}

impl Drop for Areas {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
        // A disk that hangs in the middle of a renewal keeps its names; it must not keep the process.
        let Ok(files) = self.files.try_lock() else { return };
        if let Err(e) = files.iter().try_for_each(|file| forgotten(&OnDisk::alone(), file)) {
            tracing::warn!(error = %chain(&e), "could not take our name away; the next start of another host asks about it");
        }
    }
}

/// A process that wants to work.
pub struct Wish {
    /// Names its journal.
    pub seat: String,
    /// Its host.
    pub host: String,
    /// Its state directory.
    pub state_dir: PathBuf,
    /// How long it may be silent.
    pub lease: Duration,
}

/// Enters the areas of all landings, or says who is there. Blocks on their disks; for longer than a lease if another host's name stands
/// there.
pub fn enter(on: &OnDisk, tsd: &TsdConf, wish: &Wish) -> Result<Areas, Refusal> {
    let later = |e: FsError| Refusal::Later(chain(&e));
    let parent = |destination: &Path| destination.parent().unwrap_or(destination).join(DIR);
    let dirs: BTreeSet<PathBuf> = tsd.landing.values().map(|place| parent(&place.destination)).collect();
    let mut sign = Sign {
        seat: wish.seat.clone(),
        host: wish.host.clone(),
        state_dir: wish.state_dir.display().to_string(),
        shares: tsd.share.claims,
        worked: false,
        beat: 0,
        lease_ms: u64::try_from(wish.lease.as_millis()).unwrap_or(u64::MAX),
        at: clock::now(),
    };
    let files: Vec<PathBuf> = dirs.iter().map(|dir| dir.join(format!("{}.json", wish.seat))).collect();
    // Who worked here in an earlier life and is killed while it watches in this one has worked here.
    sign.worked = files.iter().any(|file| worked(on, file));
    for (dir, file) in dirs.iter().zip(&files) {
        fs::create_dir(dir).map_err(later)?;
        write(on, file, &sign).map_err(later)?;
        on.moved();
    }
    let areas = Areas { files: Arc::new(Mutex::new(files)), ends: Arc::default() };
    let mut first = sign.clone();
    let watched = alone(on, &dirs, &sign, |pause| {
        std::thread::sleep(pause);
        first.renew(); // of two that watch each other neither is silent
        renewed(on, &areas.files, &first, &areas.ends)
    });
    watched?;
    (sign.worked, sign.beat) = (true, first.beat);
    sign.renew();
    renewed(on, &areas.files, &sign, &areas.ends).map_err(later)?;
    let (files, ends, every) = (areas.files.clone(), areas.ends.clone(), wish.lease / 6);
    let beat = move || {
        let (mut trouble, mut last) = (None, clock::since_boot());
        while !ends.load(Relaxed) {
            std::thread::sleep(every.min(Duration::from_millis(500)));
            if clock::since_boot().saturating_sub(last) < every {
                continue;
            }
            last = clock::since_boot();
            sign.renew();
            let written = renewed(&OnDisk::alone(), &files, &sign, &ends);
            let said = written.err().map(|e| chain(&e));
            if said.is_some() && said != trouble {
                tracing::warn!(error = said, "could not renew our name beside a landing; tried again");
            }
            trouble = said;
        }
    };
    let spawned = std::thread::Builder::new().name("areas".into()).spawn(beat);
    spawned.map(|_ends_with_us| areas).map_err(|e| Refusal::Later(format!("could not start a thread: {e}")))
}

/// A file whose area does not answer keeps those of the others waiting: then somebody who starts there sees an old name, and asks.
fn renewed(on: &OnDisk, files: &Mutex<Vec<PathBuf>>, sign: &Sign, ends: &AtomicBool) -> Result<(), FsError> {
    // Held while it is written: who takes the names away waits, and none comes back behind it.
    let files = files.lock().unwrap_or_else(PoisonError::into_inner);
    files.iter().filter(|_| !ends.load(Relaxed)).try_for_each(|file| write(on, file, sign))
}

fn write(_: &OnDisk, file: &Path, sign: &Sign) -> Result<(), FsError> {
    fs::write_volatile(file, &serde_json::to_vec(sign).expect("plain fields always serialise"))
}

/// Whether the owner of this file has worked here, as far as its last life told. What cannot be read may have.
fn worked(_: &OnDisk, file: &Path) -> bool {
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice::<Sign>(&bytes).map_or(true, |sign| sign.worked),
        Err(e) => e.kind() != ErrorKind::NotFound,
    }
}

fn forgotten(_: &OnDisk, file: &Path) -> Result<(), FsError> {
    fs::remove_file(file)
}

/// The others' signs in one area, by file. What cannot be read is nobody's: it is being written, or was never ours.
fn others(_: &OnDisk, dir: &Path, me: &Sign) -> Result<BTreeMap<PathBuf, Sign>, FsError> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(FsError::at("list", dir))? {
        let path = entry.map_err(FsError::at("list", dir))?.path();
        let small = std::fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= MOST_BYTES);
        if path.extension().is_none_or(|e| e != "json") || !small {
            continue;
        }
        // Gone by now: its process has ended in order.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        if let Ok(sign) = serde_json::from_slice::<Sign>(&bytes)
            && !me.gets_on_with(&sign)
        {
            drop(found.insert(path, sign));
        }
    }
    Ok(found)
}

/// Watches those with whom this process does not get on, until each has moved, gone, or stood still for a lease and a third.
fn alone(
    on: &OnDisk,
    dirs: &BTreeSet<PathBuf>,
    me: &Sign,
    mut sleep: impl FnMut(Duration) -> Result<(), FsError>,
) -> Result<(), Refusal> {
    let later = |e: FsError| Refusal::Later(chain(&e));
    // A living one renews its name in all areas: who was silent in one is not watched in the next.
    let mut silent = BTreeSet::new();
    for dir in dirs {
        let mut first = others(on, dir, me).map_err(later)?;
        for file in first.extract_if(.., |_, sign| silent.contains(&sign.seat)).map(|(file, _)| file) {
            forgotten(on, &file).map_err(later)?;
        }
        let Some(longest) = first.values().map(|sign| sign.lease_ms).max() else { continue };
        let lease = Duration::from_millis(longest.max(me.lease_ms)).min(crate::lease::LONGEST);
        let (span, began) = (lease + lease / 3, clock::since_boot());
        let hosts: Vec<&str> = first.values().map(|sign| sign.host.as_str()).collect();
        tracing::warn!(dir = %dir.display(), hosts = hosts.join(", "), "another daemon's name stands here; watching whether it lives");
        loop {
            let elapsed = clock::since_boot().saturating_sub(began);
            let now = others(on, dir, me).map_err(later)?;
            if let Some((path, sign)) = now.iter().find(|(path, sign)| first.get(*path) != Some(*sign)) {
                return Err(refused(path, sign, true));
            }
            if now.is_empty() {
                break;
            }
            if elapsed >= span {
                if let Some((path, sign)) = now.iter().find(|(_, sign)| !me.replaces(sign)) {
                    return Err(refused(path, sign, false));
                }
                now.keys().try_for_each(|file| forgotten(on, file)).map_err(later)?;
                silent.extend(now.into_values().map(|sign| sign.seat));
                break;
            }
            sleep((span / 50).min(Duration::from_millis(500))).map_err(later)?;
        }
    }
    Ok(())
}

fn refused(path: &Path, sign: &Sign, lives: bool) -> Refusal {
    let Sign { host, state_dir, at, .. } = sign;
    let cure = "set share.claims = true on all hosts that receive from this bucket (`tsd-import doctor` tells whether the store can do that)";
    let file = path.display();
    Refusal::Config(match lives {
        true => format!(
            "another daemon lives and lands packages in the same place ({host}, state directory {state_dir}, {file}): with two journals \
             each package would land twice. Stop one of the two, or {cure}"
        ),
        false => format!(
            "another daemon worked here and did not end in order ({host}, state directory {state_dir}, last sign of life {at}, {file}). Only \
             its journal knows what has landed, and without it everything in the bucket would land again: start with that state directory \
             (--take-over), or {cure}. If that journal is lost and nothing of it is needed, remove {file}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn sign(seat: &str, shares: bool) -> Sign {
        Sign {
            seat: seat.into(),
            host: format!("host-{seat}"),
            state_dir: "/s".into(),
            shares,
            worked: true,
            beat: 1,
            lease_ms: 100,
            at: clock::now(),
        }
    }

    fn put(dir: &Path, sign: &Sign) {
        write(&OnDisk::alone(), &dir.join(format!("{}.json", sign.seat)), sign).unwrap();
    }

    fn slept(pause: Duration) -> Result<(), FsError> {
        std::thread::sleep(pause);
        Ok(())
    }

    fn of(dir: &Path) -> BTreeSet<PathBuf> {
        [dir.to_owned()].into()
    }

    #[test]
    fn who_shares_gets_on_with_who_shares_and_with_nobody_else() {
        for (a, b, both) in
            [(false, false, false), (true, false, false), (false, true, false), (true, true, true)]
        {
            assert_eq!(sign("a", a).gets_on_with(&sign("b", b)), both);
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), &sign("b", b));
            let pauses = Cell::new(0);
            let alone = alone(&OnDisk::alone(), &of(dir.path()), &sign("a", a), |pause| {
                pauses.set(pauses.get() + 1);
                slept(pause)
            });
            assert_eq!((alone.is_ok(), pauses.get() == 0), (both, both), "{alone:?}");
        }
        assert!(sign("a", false).gets_on_with(&sign("a", false)), "the same journal, before a restart");
    }

    #[test]
    fn the_living_the_dead_and_the_one_that_goes() {
        let dir = tempfile::tempdir().unwrap();
        let said = |sleep: &dyn Fn(Duration) -> Result<(), FsError>| match alone(
            &OnDisk::alone(),
            &of(dir.path()),
            &sign("a", false),
            sleep,
        ) {
            Ok(()) => String::new(),
            Err(Refusal::Config(why)) => why,
            Err(other) => panic!("{other:?}"),
        };
        put(dir.path(), &sign("b", false));
        std::fs::File::create(dir.path().join(".tmp-x")).unwrap();
        std::fs::File::create(dir.path().join("damaged.json")).unwrap();
        let dead = said(&slept);
        assert!(dead.contains("did not end in order (host-b") && dead.contains("remove"), "{dead}");
        let living = said(&|_| {
            put(dir.path(), &Sign { beat: 2, ..sign("b", false) });
            Ok(())
        });
        assert!(living.contains("lives and lands packages in the same place (host-b"), "{living}");
        let goes = |_| {
            std::fs::remove_file(dir.path().join("b.json")).unwrap_or_default();
            Ok(())
        };
        assert_eq!(said(&goes), "");
    }

    #[test]
    fn an_earlier_journal_of_the_same_directory_is_replaced_once_it_stands_still() {
        let dir = tempfile::tempdir().unwrap();
        let me = Sign { host: "host-b".into(), ..sign("a", false) };
        put(dir.path(), &sign("b", false));
        let living = alone(&OnDisk::alone(), &of(dir.path()), &me, |_| {
            put(dir.path(), &Sign { beat: 2, ..sign("b", false) });
            Ok(())
        });
        assert!(matches!(living, Err(Refusal::Config(why)) if why.contains("lives")));
        alone(&OnDisk::alone(), &of(dir.path()), &me, slept).unwrap();
        assert!(!dir.path().join("b.json").exists(), "nobody is asked about it again");
    }

    #[test]
    fn who_only_watched_leaves_nothing_to_ask_about() {
        let dir = tempfile::tempdir().unwrap();
        let watched = Sign { worked: false, ..sign("b", false) };
        put(dir.path(), &watched);
        let living = alone(&OnDisk::alone(), &of(dir.path()), &sign("a", false), |_| {
            put(dir.path(), &Sign { beat: 2, ..watched.clone() });
            Ok(())
        });
        assert!(matches!(living, Err(Refusal::Config(why)) if why.contains("lives")));
        alone(&OnDisk::alone(), &of(dir.path()), &sign("a", false), slept).unwrap();
        assert!(!dir.path().join("b.json").exists());
    }

    #[test]
    fn who_has_worked_here_has_worked_here_whatever_its_next_life_does() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.json");
        assert!(!worked(&OnDisk::alone(), &file));
        for (once, says) in [(false, false), (true, true)] {
            put(dir.path(), &Sign { worked: once, ..sign("a", false) });
            assert_eq!(worked(&OnDisk::alone(), &file), says);
        }
        fs::write_durably(&file, b"{").unwrap();
        assert!(worked(&OnDisk::alone(), &file));
    }
}
