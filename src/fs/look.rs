//! What only looks: at what is there, how large it is, and how much room is left. Nothing is changed.
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::FsError;

/// All regular files below `dir`, sorted, relative. A link or special file is refused: a package holds plain files.
pub fn plain_files(dir: &Path) -> Result<Vec<PathBuf>, FsError> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(dir).follow_links(false).min_depth(1) {
        let entry = entry.map_err(|e| {
            let path = e.path().unwrap_or(dir).to_owned();
            FsError::at("list", &path)(
                e.into_io_error().unwrap_or_else(|| io::Error::other("a loop of links")),
            )
        })?;
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(dir).unwrap_or(entry.path());
            found.push(path.to_owned());
        } else if !entry.file_type().is_dir() {
            let odd = io::Error::other("neither a plain file nor a directory");
            return Err(FsError::at("accept", entry.path())(odd));
        }
    }
    found.sort();
    Ok(found)
}

/// What tells a source file's bytes from others without reading them. Who writes a file or puts another in its place changes it,
/// unless times are set back (`touch -r`, `rsync -t` in place) or the file system's clock is too coarse to tell two writes apart:
/// where bytes of two readings come together they are compared as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// Last modification, nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Inode number.
    pub inode: u64,
}

impl Fingerprint {
    /// Reads it from the file system.
    pub fn of(path: &Path) -> Result<Self, FsError> {
        Ok(Self::from(&fs::metadata(path).map_err(FsError::at("look at", path))?))
    }

    /// Of an open file, whatever bears its name meanwhile.
    pub fn of_open(file: &File, path: &Path) -> Result<Self, FsError> {
        Ok(Self::from(&file.metadata().map_err(FsError::at("look at", path))?))
    }
}

impl From<&fs::Metadata> for Fingerprint {
    fn from(m: &fs::Metadata) -> Self {
        let mtime_ns = i128::from(m.mtime()) * 1_000_000_000 + i128::from(m.mtime_nsec());
        Self { size: m.size(), mtime_ns, inode: m.ino() }
    }
}

/// What an unprivileged user may still put on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// Which file system.
    pub device: u64,
    /// Bytes.
    pub bytes: u64,
    /// Files and directories; none: the file system has no such limit, or does not tell.
    pub inodes: Option<u64>,
}

impl Free {
    /// Of the file system that holds `path`.
    pub fn at(path: &Path) -> Result<Self, FsError> {
        let s =
            rustix::fs::statvfs(path).map_err(|e| FsError::at("ask for free space at", path)(e.into()))?;
        let device = fs::metadata(path).map_err(FsError::at("look at", path))?.dev();
        let inodes = (s.f_files > 0).then_some(s.f_favail);
        Ok(Self { device, bytes: s.f_bavail.saturating_mul(s.f_frsize), inodes })
    }
}

/// Whether a directory is there. Only "there is none" is no: a mount that does not answer is an error, never an absence.
pub fn dir_exists(path: &Path) -> Result<bool, FsError> {
    Ok(found(path)?.is_some_and(|found| found.is_dir()))
}

/// The same for a file.
pub fn file_exists(path: &Path) -> Result<bool, FsError> {
    Ok(found(path)?.is_some_and(|found| found.is_file()))
}

fn found(path: &Path) -> Result<Option<fs::Metadata>, FsError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(FsError::at("look at", path)(e)),
    }
}

/// Makes sure that a place which must be there is there, before something missing below it is believed to be missing: an
/// unmounted disk looks like an empty one. What comes back counts as an outage.
pub fn answers(place: &Path) -> Result<(), FsError> {
    match fs::read_dir(place) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(FsError::at("find (is its disk mounted?)", place)(Errno::STALE.into()))
        }
        Err(e) => Err(FsError::at("list", place)(e)),
    }
}

/// Whether two existing paths lie on one file system, so that hard links and atomic renames work between them.
pub fn same_file_system(a: &Path, b: &Path) -> Result<bool, FsError> {
    let dev = |p: &Path| Ok(fs::metadata(p).map_err(FsError::at("look at", p))?.dev());
    Ok(dev(a)? == dev(b)?)
}
