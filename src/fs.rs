//! Crash-safe files: what is written here is on the disk when the function returns, whole or not at all.
//!
//! `write_durably` = temporary file, write, fsync, rename, fsync of the directory. `publish` = rename that never
//! replaces anything, then fsync of both directories. Elsewhere `std::fs::write` and `rename` are refused by clippy.
//! Everything here that changes something asks the lease of this process first ([`permitted`]), so nobody can forget it; the
//! actors change files through this module alone, which a test keeps so.
//! A failed fsync is never repeated: the kernel may have dropped the page, so a second success would prove nothing.
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, RenameFlags};
use rustix::io::Errno;

use crate::lease::{self, Fenced};

mod look;

pub use look::{Fingerprint, Free, answers, dir_exists, file_exists, plain_files, same_file_system};

/// What went wrong with which file; the text names both.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} {path}")]
pub struct FsError {
    /// What we did, as an infinitive: `read`, `rename into place`.
    pub what: &'static str,
    /// To what.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FsError {
    /// For `map_err`: `File::open(p).map_err(FsError::at("open", p))`.
    pub fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { what, path, source }
    }

    /// Why this process must not write any more, if that is what went wrong.
    pub fn fenced(&self) -> Option<&Fenced> {
        lease::cause(&self.source)
    }

    /// True when the disk or its file system is at fault rather than this one file: work waits until it is mended.
    pub fn is_outage(&self) -> bool {
        is_outage(&self.source)
    }
}

/// Full, over quota, read-only, broken, vanished, or cut off from its server: the place is sick, not the package.
pub fn is_outage(error: &io::Error) -> bool {
    const SICK: [Errno; 19] = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::IO,
        Errno::ROFS,
        Errno::STALE,
        Errno::NOTCONN,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::TIMEDOUT,    // a soft mount of NFS
        Errno::CONNABORTED, // FUSE, for calls that were out when its server died
        Errno::CONNRESET,
        Errno::SHUTDOWN, // Lustre, after an eviction
        Errno::REMOTEIO,
        Errno::KEYEXPIRED, // a Kerberos ticket of NFS
        Errno::NODEV,
        Errno::NXIO,
        Errno::MFILE, // ours or the system's limits: no package is at fault
        Errno::NFILE,
        Errno::NOMEM,
    ];
    // Libraries wrap the system's error in one of their own that has no code (tempfile adds the path).
    let mut inner: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|e| e as _);
    let mut code = error.raw_os_error();
    while let (None, Some(e)) = (code, inner) {
        code = e.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        inner = e.source();
    }
    code.is_some_and(|code| SICK.iter().any(|sick| sick.raw_os_error() == code))
}

/// A permit for one change that follows at once; an error if another may have taken over.
pub fn permitted(what: &'static str, path: &Path) -> Result<(), FsError> {
    lease::check().map_err(|fenced| FsError::at(what, path)(io::Error::other(fenced)))
}

/// Makes the entries of a directory (creations, renames) survive a power cut.
pub fn sync_dir(dir: &Path) -> Result<(), FsError> {
    let handle = File::open(dir).map_err(FsError::at("open the directory", dir))?;
    handle.sync_all().map_err(FsError::at("fsync the directory", dir))
}

/// Creates the directory and its parents; each new entry is durable.
pub fn create_dir(dir: &Path) -> Result<(), FsError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        create_dir(parent)?;
    }
    permitted("create the directory", dir)?;
    match fs::create_dir(dir) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        done => done.map_err(FsError::at("create the directory", dir)),
    }?;
    dir.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}

/// Creates a directory and what is missing between it and `area`, which must be there already: an unmounted disk looks like an empty
/// directory, and nothing may be created in that. It is the kernel that says so, at the moment of the creation.
pub fn create_dir_below(area: &Path, dir: &Path) -> Result<(), FsError> {
    if dir.is_dir() {
        return Ok(());
    }
    let Some(parent) = dir.parent().filter(|parent| parent.starts_with(area)) else {
        return answers(area);
    };
    if parent != area {
        create_dir_below(area, parent)?;
    }
    permitted("create the directory", dir)?;
    match fs::create_dir(dir) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {
            answers(area)?;
            return Err(FsError::at("create the directory", dir)(e));
        }
        done => done.map_err(FsError::at("create the directory", dir))?,
    }
    sync_dir(parent)
}

/// What a failpoint makes of a call: the error that it names.
#[cfg(feature = "failpoints")]
pub fn injected(errno: Option<&str>) -> io::Error {
    match errno {
        Some("ENOSPC") => Errno::NOSPC,
        Some("EDQUOT") => Errno::DQUOT,
        Some("EROFS") => Errno::ROFS,
        _ => Errno::IO,
    }
    .into()
}

/// Writes a whole file so that a reader sees the old bytes or the new ones, and a power cut changes nothing of that.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    write_durably_via(dir, path, bytes)
}

/// The same with the temporary file in `scratch`, on the same file system: a kill -9 in between must not leave a scrap in a
/// package, where it would be taken for payload.
pub fn write_durably_via(scratch: &Path, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    permitted("write", path)?;
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(fs::Permissions::from_mode(0o640))
        .tempfile_in(scratch)
        .map_err(FsError::at("create a temporary file in", scratch))?;
    file.write_all(bytes).map_err(FsError::at("write", path))?;
    file.as_file().sync_all().map_err(FsError::at("fsync", path))?;
    permitted("replace", path)?;
    drop(file.persist(path).map_err(|e| FsError::at("replace", path)(e.error))?);
    sync_dir(dir)
}

/// Replaces a small file at once but not durably: for what is written every second and worthless after a power cut.
pub fn write_volatile(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    write_volatile_with(path, bytes, 0o640)
}

/// The same for a file that every user of the host may read.
pub fn write_volatile_for_all(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    write_volatile_with(path, bytes, 0o644)
}

fn write_volatile_with(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    permitted("write", path)?;
    let mut builder = tempfile::Builder::new();
    let file = builder.prefix(".tmp-").permissions(fs::Permissions::from_mode(mode)).tempfile_in(dir);
    let mut file = file.map_err(FsError::at("create a temporary file in", dir))?;
    file.write_all(bytes).map_err(FsError::at("write", path))?;
    drop(file.persist(path).map_err(|e| FsError::at("replace", path)(e.error))?);
    Ok(())
}

/// Renames without ever replacing: an existing `to` is an `AlreadyExists` error and stays untouched.
pub fn publish(from: &Path, to: &Path) -> Result<(), FsError> {
    rename(from, to)?;
    for parent in [to.parent(), from.parent()].into_iter().flatten() {
        sync_dir(parent)?;
    }
    Ok(())
}

/// The same without the fsync of the directories, for many files in a row: the caller fsyncs their directories at the end.
pub fn publish_unsynced(from: &Path, to: &Path) -> Result<(), FsError> {
    rename(from, to)
}

fn rename(from: &Path, to: &Path) -> Result<(), FsError> {
    permitted("rename into place", to)?;
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // Some network file systems do not know the flag. One writer per tree makes the check before it sound.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            if to.symlink_metadata().is_ok() {
                return Err(FsError::at("rename into place", to)(ErrorKind::AlreadyExists.into()));
            }
            rustix::fs::rename(from, to).map_err(|e| FsError::at("rename into place", to)(e.into()))?;
        }
        Err(e) => return Err(FsError::at("rename into place", to)(e.into())),
    }
    Ok(())
}

/// Removes a scratch directory of ours (half-built or half-copied work); a missing one is fine.
#[allow(clippy::disallowed_methods)] // the one caller; names make plain that only scratch is meant
pub fn discard_scratch(dir: &Path) -> Result<(), FsError> {
    permitted("remove the scratch directory", dir)?;
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map_err(FsError::at("remove the scratch directory", dir)),
    }
}

/// Removes one file of ours that has done its duty.
pub fn remove_file(path: &Path) -> Result<(), FsError> {
    permitted("remove", path)?;
    fs::remove_file(path).map_err(FsError::at("remove", path))
}

/// Removes a directory in which nothing lies; one in which something does is an error and stays.
pub fn remove_dir(path: &Path) -> Result<(), FsError> {
    permitted("remove the directory", path)?;
    fs::remove_dir(path).map_err(FsError::at("remove the directory", path))
}

/// How [`open`] finds or makes its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// There must be none.
    New,
    /// Empty, whatever there was.
    Emptied,
    /// What there is stays, and what is written follows it.
    Append,
    /// What there is stays; the writer says where he writes.
    Kept,
}

/// Opens a file for writing. Long writing asks for permits of its own on the way.
pub fn open(path: &Path, mode: Mode) -> Result<File, FsError> {
    permitted("open for writing", path)?;
    let mut options = File::options();
    let options = match mode {
        Mode::New => options.write(true).create_new(true),
        Mode::Emptied => options.write(true).create(true).truncate(true),
        Mode::Append => options.append(true).create(true),
        Mode::Kept => options.write(true),
    };
    options.open(path).map_err(FsError::at("open for writing", path))
}

/// Takes the room of `bytes` bytes on the disk at once, so that a disk that is too full says so before anything is written, and a
/// large file lies in one piece. `moved` is called after each step. False: this file system cannot do it.
pub fn allocate(file: &File, path: &Path, bytes: u64, moved: impl Fn()) -> Result<bool, FsError> {
    /// No single call has more to do than a slow disk does in little time.
    const STEP: u64 = 16 << 30;
    let mut at = 0;
    while at < bytes {
        permitted("allocate room for", path)?;
        match rustix::fs::fallocate(file, FallocateFlags::empty(), at, STEP.min(bytes - at)) {
            Ok(()) => at += STEP,
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Err(e) => return Err(FsError::at("allocate room for", path)(e.into())),
        }
        moved();
    }
    Ok(true)
}

/// A second name for a file, on the same file system.
pub fn hard_link(from: &Path, to: &Path) -> Result<(), FsError> {
    permitted("link", to)?;
    fs::hard_link(from, to).map_err(FsError::at("link into the package", from))
}

/// Sets permission bits.
pub fn set_mode(path: &Path, mode: u32) -> Result<(), FsError> {
    permitted("set the mode of", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(FsError::at("set the mode of", path))
}

/// Gives it to a group. Only its owner may, and only to a group of which it is a member.
pub fn set_group(path: &Path, gid: u32) -> Result<(), FsError> {
    permitted("give to its group", path)?;
    std::os::unix::fs::lchown(path, None, Some(gid)).map_err(FsError::at("give to its group", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        create_dir(&a).unwrap();
        create_dir(&b).unwrap();
        write_durably(&b.join("keep"), b"old").unwrap();
        let refused = publish(&a, &b).unwrap_err();
        assert_eq!(refused.source.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(b.join("keep")).unwrap(), b"old");
        assert!(a.is_dir());
        publish(&a, &dir.path().join("c")).unwrap();
        assert!(!a.exists() && dir.path().join("c").is_dir());
    }

    #[test]
    fn write_durably_replaces_whole_files_and_leaves_no_scraps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_durably(&path, b"one").unwrap();
        write_durably(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(plain_files(dir.path()).unwrap(), [PathBuf::from("f")]);
    }

    #[test]
    fn links_are_not_plain_files() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("x")).unwrap();
        let refused = plain_files(dir.path()).unwrap_err();
        assert!(refused.to_string().ends_with("/x"), "{refused}");
    }

    #[test]
    fn a_full_disk_is_an_outage_and_a_missing_file_is_not() {
        assert!(is_outage(&io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error())));
        assert!(!is_outage(&ErrorKind::NotFound.into()));
        let full = || io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error());
        #[derive(Debug, thiserror::Error)]
        #[error("at some path")]
        struct WithPath(#[source] io::Error);
        assert!(
            is_outage(&io::Error::new(ErrorKind::StorageFull, WithPath(full()))),
            "wrapped as tempfile does it"
        );
        let full = File::options().write(true).open("/dev/full").unwrap().write_all(b"x").unwrap_err();
        assert!(is_outage(&full), "{full}");
    }

    #[test]
    fn a_place_that_vanished_is_an_outage() {
        let dir = tempfile::tempdir().unwrap();
        answers(dir.path()).unwrap();
        let gone = answers(&dir.path().join("mnt")).unwrap_err();
        assert!(gone.is_outage() && gone.to_string().contains("is its disk mounted?"), "{gone}");
        assert!(!dir_exists(&dir.path().join("mnt")).unwrap());
    }

    #[test]
    fn nothing_is_created_where_an_area_has_vanished() {
        let dir = tempfile::tempdir().unwrap();
        let area = dir.path().join("mnt/area");
        let gone = create_dir_below(&area, &area.join("a/b")).unwrap_err();
        assert!(gone.is_outage(), "{gone}");
        assert!(create_dir_below(&area, &area).unwrap_err().is_outage());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        create_dir(&area).unwrap();
        create_dir_below(&area, &area.join("a/b")).unwrap();
        create_dir_below(&area, &area.join("a/b")).unwrap();
        assert!(area.join("a/b").is_dir());
    }

    #[test]
    fn a_changed_file_has_another_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_durably(&path, b"one").unwrap();
        let before = Fingerprint::of(&path).unwrap();
        assert_eq!(before, Fingerprint::of(&path).unwrap());
        write_durably(&path, b"two").unwrap();
        assert_ne!(before, Fingerprint::of(&path).unwrap());
    }
}
