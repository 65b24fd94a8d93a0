//! One writer: who owns a state directory.
//!
//! A lock on `owner.lock` keeps a second daemon of this host out; the file says who holds it (host, process, boot, role)
//! so that the refusal can name the holder. On a network file system the lock may not reach other hosts, so an owner file
//! of another host is refused too, until a person says that that host is gone.
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fs::{self, FsError};

const FILE: &str = "owner.lock";

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

/// Why the directory was not given.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The file system said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A living process on this host has it.
    #[error("{dir} is in use by process {pid} on {host} (role {role}, since {since}); stop that one first", pid = holder.pid, host = holder.host, role = holder.role, since = holder.since)]
    Held {
        /// The state directory.
        dir: PathBuf,
        /// Who.
        holder: Box<Holder>,
    },
    /// Another host wrote its name and did not take it away.
    #[error("{dir} was last owned by host {host} (process {pid}, since {since}) and not released; if nothing runs there any more, start once with --take-over", host = holder.host, pid = holder.pid, since = holder.since)]
    Foreign {
        /// The state directory.
        dir: PathBuf,
        /// Who.
        holder: Box<Holder>,
    },
}

/// Proof of ownership; released when dropped.
#[derive(Debug)]
pub struct Owner {
    file: File,
}

impl Owner {
    /// Takes the directory or says who has it. `take_over` overrules a foreign host's name, never a living lock.
    pub fn acquire(dir: &Path, me: &Holder, take_over: bool) -> Result<Self, OwnerError> {
        fs::create_dir(dir)?;
        let path = dir.join(FILE);
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(&path);
        let mut file = opened.map_err(FsError::at("open", &path))?;
        let locked = file.try_lock();
        let mut text = String::new();
        let _read = file.read_to_string(&mut text).map_err(FsError::at("read", &path))?;
        let holder: Option<Holder> = serde_json::from_str(&text).ok();
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let unknown = || Holder {
                    host: "unknown".into(),
                    pid: 0,
                    boot: String::new(),
                    role: "unknown".into(),
                    since: me.since,
                };
                let holder = Box::new(holder.unwrap_or_else(unknown));
                return Err(OwnerError::Held { dir: dir.to_owned(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(FsError::at("lock", &path)(e).into()),
        }
        if let Some(holder) = holder.filter(|h| h.host != me.host && !take_over) {
            return Err(OwnerError::Foreign { dir: dir.to_owned(), holder: Box::new(holder) });
        }
        let text = serde_json::to_string(me).expect("plain fields always serialise");
        rewrite(&mut file, text.as_bytes()).map_err(FsError::at("write", &path))?;
        Ok(Self { file })
    }

    /// Who holds `dir` at this moment, if the lock tells so on this host. Reading needs no lock and disturbs nobody.
    pub fn look(dir: &Path) -> Option<Holder> {
        let file = File::open(dir.join(FILE)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _read = (&file).read_to_string(&mut text).ok()?;
                serde_json::from_str(&text).ok()
            }
            _ => None,
        }
    }
}

fn rewrite(file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl Drop for Owner {
    fn drop(&mut self) {
        // An empty file is nobody's. Should this fail, the next start on this host overrules it anyway.
        if let Err(e) = rewrite(&mut self.file, b"") {
            tracing::warn!(error = %e, "could not empty the owner file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(host: &str) -> Holder {
        Holder { host: host.into(), pid: 7, boot: "b".into(), role: "nsc".into(), since: crate::clock::now() }
    }

    #[test]
    fn a_second_one_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Owner::acquire(dir.path(), &holder("gdx-login"), false).unwrap();
        let refused = Owner::acquire(dir.path(), &holder("gdx-login"), true).unwrap_err().to_string();
        assert!(refused.contains("process 7 on gdx-login (role nsc"), "{refused}");
        assert_eq!(Owner::look(dir.path()).unwrap().host, "gdx-login");
        drop(first);
        assert_eq!(Owner::look(dir.path()), None);
        drop(Owner::acquire(dir.path(), &holder("sleipnir"), false).unwrap());
    }

    #[test]
    fn a_foreign_name_left_behind_needs_a_person() {
        let dir = tempfile::tempdir().unwrap();
        fs::write_durably(
            &dir.path().join(FILE),
            serde_json::to_string(&holder("p22-hpc-02")).unwrap().as_bytes(),
        )
        .unwrap();
        let refused = Owner::acquire(dir.path(), &holder("p22-hpc-03"), false).unwrap_err().to_string();
        assert!(refused.contains("p22-hpc-02") && refused.contains("--take-over"), "{refused}");
        drop(Owner::acquire(dir.path(), &holder("p22-hpc-03"), true).unwrap());
    }
}
