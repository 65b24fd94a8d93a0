//! One writer: who owns a state directory.
//!
//! - A lock on `owner.lock` keeps a second daemon of this host out, and proves that a holder of this host is gone.
//! - The file says who holds it (host, process, boot, role), so that a refusal can name the holder. On a network file system
//!   the lock may not reach other hosts or not exist at all; so the file also carries a token and is renewed, and
//!   [`crate::lease`] tells how that keeps two hosts apart.
//! - The file is taken only by being created or replaced as a whole, never written by two: what a holder that was thought dead
//!   still writes through its open file goes into one that has no name any more.
mod claim;
mod file;
mod keeper;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::fs::{self, FsError};
use crate::lease::{Lease, Moment};
use claim::Claim;
use file::{Content, Lock, OwnerFile, Record};
use keeper::Keeper;

/// The file's name in the state directory.
const FILE: &str = "owner.lock";
/// Others may take and leave the file while we look at it; more often than this is no accident.
const ROUNDS: usize = 5;

/// Who holds a state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The configured or the system's host name.
    pub host: String,
    /// Process id there.
    pub pid: u32,
    /// The kernel's boot id, so that a pid of an earlier boot is not mistaken for a living process.
    pub boot: String,
    /// `nsc` or `tsd`.
    pub role: String,
    /// Since when.
    pub since: Timestamp,
}

impl Holder {
    /// This process.
    pub fn this(host: String, role: String) -> Self {
        Self { host, pid: std::process::id(), boot: this_boot(), role, since: clock::now() }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, pid, role, since, .. } = self;
        write!(f, "process {pid} on {host} (role {role}, since {since})")
    }
}

/// Empty if the kernel does not say.
fn this_boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Why the directory was not given.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The file system said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A living process on this host has it.
    #[error("{dir} is in use by {holder}; stop that one first")]
    Held {
        /// The state directory.
        dir: PathBuf,
        /// Who.
        holder: Box<Holder>,
    },
    /// Another host wrote its name and did not take it away.
    #[error(
        "{dir} is owned by {holder}, which last renewed that {ago} s ago by the clocks of both hosts; if nothing runs there \
         any more, start once with --take-over, else stop it there first"
    )]
    Foreign {
        /// The state directory.
        dir: PathBuf,
        /// Who.
        holder: Box<Holder>,
        /// For information: clocks differ.
        ago: u64,
    },
    /// It renewed its lease while we watched.
    #[error(
        "{dir} is in use by {holder}: it renewed its lease while we watched, so it lives, and --take-over does not overrule \
         the living; stop that one first. If it calls itself as this host does, give the two different names (`host`)"
    )]
    Alive {
        /// The state directory.
        dir: PathBuf,
        /// Who.
        holder: Box<Holder>,
    },
    /// Several want it at the same time.
    #[error("another process takes {dir} at this moment ({by}); only one may be started")]
    Contended {
        /// The state directory.
        dir: PathBuf,
        /// Who, if it said so.
        by: String,
    },
}

/// Proof of ownership; given free when dropped, if it is still ours.
#[derive(Debug)]
pub struct Owner {
    file: OwnerFile,
    token: String,
    lease: Lease,
    keeper: Keeper,
    took_over: bool,
}

impl Owner {
    /// Takes the directory or says who has it. `take_over` overrules the name of another host, never a living holder; to
    /// know that, it watches for longer than the holder's lease. May block for that long.
    pub fn acquire(dir: &Path, me: &Holder, lease: Duration, take_over: bool) -> Result<Self, OwnerError> {
        fs::create_dir(dir)?;
        let wish = Wish { dir, record: Record::new(me.clone(), lease), take_over };
        for _ in 0..ROUNDS {
            if let Some(owner) = wish.attempt()? {
                return Ok(owner);
            }
        }
        Err(OwnerError::Contended { dir: dir.to_owned(), by: "it comes and goes".into() })
    }

    /// The lease that goes with it.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether a holder was replaced that may still be there, so that nothing may be shared with it that is open for writing.
    pub fn took_over(&self) -> bool {
        self.took_over
    }

    /// Who holds `dir` at this moment: by the lock, or where that does not tell, by the file having been renewed lately.
    /// Reading needs no lock and disturbs nobody.
    pub fn look(dir: &Path) -> Option<Holder> {
        let path = dir.join(FILE);
        let open = OwnerFile::open(&path).ok()??;
        let Content::Record(record, _) = OwnerFile::read(&path).ok()? else { return None };
        let recent = clock::age(record.renewed, clock::now()) < record.lease() * 2;
        let elsewhere = record.holder.boot != this_boot();
        match open.probe() {
            Lock::Theirs => Some(record.holder),
            Lock::Ours if !elsewhere => None,
            Lock::Ours | Lock::Unsupported => recent.then_some(record.holder),
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Err(why) = self.keeper.stop(&self.lease) {
            return tracing::warn!(why, "the owner file is left as it is");
        }
        if let Err(e) = self.file.remove_if(&self.token) {
            tracing::warn!(error = %crate::chain(&e), "could not give the owner file free; the next start on this host overrules it");
        }
    }
}

/// One who wants the directory.
struct Wish<'a> {
    dir: &'a Path,
    record: Record,
    take_over: bool,
}

impl Wish<'_> {
    /// `None`: the file changed hands while we looked, so look again.
    fn attempt(&self) -> Result<Option<Owner>, OwnerError> {
        let path = self.dir.join(FILE);
        let dir = || self.dir.to_owned();
        let Some(old) = OwnerFile::open(&path)? else {
            let began = Moment::now();
            // Of all who find nothing only one can create it.
            let file = OwnerFile::create(self.dir, &self.record)?;
            return file.map(|file| self.own(file, began, false)).transpose();
        };
        let lock = old.lock_patiently()?;
        let looked = clock::since_boot();
        let content = OwnerFile::read(&path)?;
        if lock == Lock::Theirs {
            let holder = content.holder().unwrap_or_else(|| self.unknown());
            return Err(OwnerError::Held { dir: dir(), holder: Box::new(holder) });
        }
        if !old.is_at(&path)? {
            return Ok(None);
        }
        if lock == Lock::Unsupported {
            tracing::warn!(dir = %self.dir.display(), "the file system of the state directory has no locks: only the owner file and its lease keep a second process out");
        }
        let claim = claim::decide(lock, &content, &self.record, self.take_over, file::lives);
        let lease = content.lease().max(self.record.lease());
        let looked = match claim {
            Claim::Take => looked,
            Claim::Held(holder) => return Err(OwnerError::Held { dir: dir(), holder }),
            Claim::Foreign(holder, renewed) => {
                let ago = clock::age(renewed, clock::now()).as_secs();
                return Err(OwnerError::Foreign { dir: dir(), holder, ago });
            }
            Claim::Watch => {
                let holder = content.holder().map_or("somebody unknown".to_owned(), |h| h.to_string());
                let (watch, settle) = (claim::watch(lease).as_secs(), claim::settle(lease).as_secs());
                tracing::warn!(%holder, "watching for {watch} s whether it still renews its lease; if not, the state directory is taken over, and work begins {settle} s later");
                match file::watch(&path, &content, claim::watch(lease))? {
                    Content::Absent => return Ok(None),
                    now if now == content => clock::since_boot(),
                    now => {
                        let holder = Box::new(now.holder().unwrap_or_else(|| self.unknown()));
                        return Err(OwnerError::Alive { dir: dir(), holder });
                    }
                }
            }
        };
        let mut began = Moment::now();
        let file = OwnerFile::replace(self.dir, &self.record)?;
        drop(old); // gives its lock free, on a file without a name
        let proven = claim == Claim::Take;
        if !proven || clock::since_boot().saturating_sub(looked) > claim::PROMPT {
            std::thread::sleep(claim::settle(lease));
            began = Moment::now();
            match OwnerFile::read(&path)? {
                Content::Record(record, _) if record.token == self.record.token => {}
                other => {
                    let by = other.holder().map_or("unknown".to_owned(), |h| h.to_string());
                    return Err(OwnerError::Contended { dir: dir(), by });
                }
            }
            tracing::warn!("nobody else wants it: the state directory is ours");
        }
        Ok(Some(self.own(file, began, !proven)?))
    }

    fn own(&self, file: OwnerFile, began: Moment, took_over: bool) -> Result<Owner, OwnerError> {
        let lease = Lease::new(self.record.lease(), began);
        let keeper = Keeper::start(file.try_clone()?, self.record.clone(), lease.clone())?;
        Ok(Owner { file, token: self.record.token.clone(), lease, keeper, took_over })
    }

    fn unknown(&self) -> Holder {
        let (host, role) = ("unknown".into(), "unknown".into());
        Holder { host, pid: 0, boot: String::new(), role, since: self.record.holder.since }
    }
}

#[cfg(test)]
mod tests;
