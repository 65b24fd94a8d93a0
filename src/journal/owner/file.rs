//! The owner file itself: one JSON object, padded to a fixed size so that a renewal is a single write of one block.
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{FILE, Holder};
use crate::clock;
use crate::fs::{FsError, sync_dir};
use crate::lease;

/// A record is padded to this, so that it is overwritten as a whole.
const BLOCK: usize = 1024;
/// A status command holds its shared lock for a moment; a daemon holds its own for ever.
const LOCK_TRIES: u32 = 6;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub holder: Holder,
    /// Of this process start alone.
    pub token: String,
    /// How long the holder may work without having read this file.
    pub lease_ms: u64,
    /// Counts up as long as the holder lives.
    pub renewals: u64,
    /// The last one by the holder's wall clock: for people.
    pub renewed: Timestamp,
    /// When the process started, in the kernel's ticks: with the pid it names a process for sure.
    pub ticks: u64,
}

impl Record {
    pub(super) fn new(holder: Holder, lease: Duration) -> Self {
        let token = uuid::Uuid::new_v4().to_string();
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let ticks = process(holder.pid).map_or(0, |(_, ticks)| ticks);
        Self { holder, token, lease_ms, renewals: 0, renewed: clock::now(), ticks }
    }

    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms).min(lease::LONGEST)
    }

    fn block(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("plain fields always serialise");
        bytes.resize(bytes.len().max(BLOCK - 1), b' ');
        bytes.push(b'\n');
        bytes
    }
}

/// State and start time of a process of this machine.
fn process(pid: u32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, more of them included.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Whether the very process that wrote this is there, on this machine.
pub(super) fn lives(record: &Record) -> bool {
    process(record.holder.pid)
        .is_some_and(|(state, ticks)| ticks == record.ticks && !matches!(state, 'Z' | 'X'))
}

/// What stands at the file's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Absent,
    /// Not a record: empty, damaged, or just being written.
    Unreadable(Vec<u8>),
    /// With the bytes as they are.
    Record(Box<Record>, Vec<u8>),
}

impl Content {
    pub(super) fn holder(&self) -> Option<Holder> {
        match self {
            Self::Record(record, _) => Some(record.holder.clone()),
            _ => None,
        }
    }

    pub(super) fn lease(&self) -> Duration {
        match self {
            Self::Record(record, _) => record.lease(),
            _ => Duration::ZERO,
        }
    }
}

/// What a lock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// Nobody of this host has it; we have it now.
    Ours,
    /// A living process has it.
    Theirs,
    /// The file system knows no locks.
    Unsupported,
}

fn judged(locked: Result<(), TryLockError>) -> Result<Lock, std::io::Error> {
    const NONE: [Errno; 3] = [Errno::NOSYS, Errno::NOLCK, Errno::OPNOTSUPP];
    match locked {
        Ok(()) => Ok(Lock::Ours),
        Err(TryLockError::WouldBlock) => Ok(Lock::Theirs),
        Err(TryLockError::Error(e)) if NONE.iter().any(|n| Some(n.raw_os_error()) == e.raw_os_error()) => {
            Ok(Lock::Unsupported)
        }
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct OwnerFile {
    path: PathBuf,
    file: File,
}

impl OwnerFile {
    /// The one that is there.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, FsError> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            // Who only looks may have no right to write.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                let file = File::open(path).map_err(FsError::at("open", path))?;
                Ok(Some(Self { path: path.to_owned(), file }))
            }
            file => {
                let file = file.map_err(FsError::at("open", path))?;
                Ok(Some(Self { path: path.to_owned(), file }))
            }
        }
    }

    pub(super) fn try_clone(&self) -> Result<Self, FsError> {
        let file = self.file.try_clone().map_err(FsError::at("open again", &self.path))?;
        Ok(Self { path: self.path.clone(), file })
    }

    /// What stands at the path now: opened afresh, because a network file system looks at the server only then.
    pub(super) fn read(path: &Path) -> Result<Content, FsError> {
        match std::fs::read(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Content::Absent),
            Err(e) => Err(FsError::at("read", path)(e)),
            Ok(bytes) => Ok(match serde_json::from_slice(&bytes) {
                Ok(record) => Content::Record(Box::new(record), bytes),
                Err(_) => Content::Unreadable(bytes),
            }),
        }
    }

    fn try_lock(&self) -> Result<Lock, FsError> {
        fail::fail_point!("owner-lock", |how| Ok(match how.as_deref() {
            Some("unsupported") => Lock::Unsupported,
            _ => Lock::Ours, // as where locks do not reach the other host
        }));
        judged(self.file.try_lock()).map_err(FsError::at("lock", &self.path))
    }

    /// Locks it; who only looks is waited for.
    pub(super) fn lock_patiently(&self) -> Result<Lock, FsError> {
        let mut lock = self.try_lock()?;
        for _ in 1..LOCK_TRIES {
            if lock != Lock::Theirs {
                break;
            }
            std::thread::sleep(BETWEEN_TRIES);
            lock = self.try_lock()?;
        }
        Ok(lock)
    }

    /// Whether somebody has locked it, without taking it.
    pub(super) fn probe(&self) -> Lock {
        judged(self.file.try_lock_shared()).unwrap_or(Lock::Unsupported)
    }

    /// Whether this file still stands at the path.
    pub(super) fn is_at(&self, path: &Path) -> Result<bool, FsError> {
        let inode = |m: std::fs::Metadata| (m.dev(), m.ino());
        let mine = self.file.metadata().map(inode).map_err(FsError::at("look at", path))?;
        match std::fs::metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            there => Ok(there.map(inode).map_err(FsError::at("look at", path))? == mine),
        }
    }

    /// A new file with a record, locked, without its name yet.
    fn prepare(dir: &Path, record: &Record) -> Result<(PathBuf, tempfile::NamedTempFile), FsError> {
        let path = dir.join(FILE);
        let mut new = tempfile::Builder::new()
            .prefix(".tmp-")
            .permissions(std::fs::Permissions::from_mode(0o640))
            .tempfile_in(dir)
            .map_err(FsError::at("create a temporary file in", dir))?;
        let handle = Self {
            path: path.clone(),
            file: new.as_file().try_clone().map_err(FsError::at("open again", &path))?,
        };
        let _nobody_else_knows_it = handle.try_lock()?;
        new.write_all(&record.block()).map_err(FsError::at("write", &path))?;
        new.as_file().sync_all().map_err(FsError::at("fsync", &path))?;
        Ok((path, new))
    }

    /// Creates it where none is. `None`: somebody was faster.
    pub(super) fn create(dir: &Path, record: &Record) -> Result<Option<Self>, FsError> {
        let (path, new) = Self::prepare(dir, record)?;
        match new.persist_noclobber(&path) {
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(e) => Err(FsError::at("create", &path)(e.error)),
            Ok(file) => {
                sync_dir(dir)?;
                Ok(Some(Self { path, file }))
            }
        }
    }

    /// Puts a new one in place of the old.
    pub(super) fn replace(dir: &Path, record: &Record) -> Result<Self, FsError> {
        let (path, new) = Self::prepare(dir, record)?;
        let file = new.persist(&path).map_err(|e| FsError::at("replace", &path)(e.error))?;
        sync_dir(dir)?;
        Ok(Self { path, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the record into *this* file, whatever stands at the path, and says whether it still has a name.
    pub(super) fn write(&self, record: &Record) -> Result<bool, FsError> {
        self.file.write_all_at(&record.block(), 0).map_err(FsError::at("write", &self.path))?;
        self.file.sync_data().map_err(FsError::at("fsync", &self.path))?;
        Ok(self.file.metadata().map_err(FsError::at("look at", &self.path))?.nlink() > 0)
    }

    /// Removes the file at the path if it carries this token: no file, nobody's.
    pub(super) fn remove_if(&self, token: &str) -> Result<(), FsError> {
        match Self::read(&self.path)? {
            Content::Record(record, _) if record.token == token => {
                std::fs::remove_file(&self.path).map_err(FsError::at("remove", &self.path))
            }
            _ => Ok(()),
        }
    }
}

/// Looks at the file again and again: what stands there as soon as it is not the same any more, else the same at the end.
pub(super) fn watch(path: &Path, seen: &Content, span: Duration) -> Result<Content, FsError> {
    let begun = clock::since_boot();
    loop {
        std::thread::sleep((span / 50).min(Duration::from_millis(500)));
        let elapsed = clock::since_boot().saturating_sub(begun);
        let now = OwnerFile::read(path)?; // after the clock, so that the last look comes after the end
        if now != *seen || elapsed >= span {
            return Ok(now);
        }
    }
}
