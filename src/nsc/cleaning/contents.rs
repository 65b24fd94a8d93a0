//! What lies in a package that is to leave, and its removal: only what its own `SHA256SUMS` names, and that only if the journal knows
//! that `SHA256SUMS`. Whatever else turns up stays, and the package with it.
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::Access;

use crate::disk::OnDisk;
use crate::fs::{self, FsError};
use crate::package::{MANIFEST, MAX_MANIFEST_BYTES, Manifest, RelPath, Sha256Hex};

/// A package as the journal remembers it.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Digest of its `SHA256SUMS`.
    pub manifest: Sha256Hex,
    /// Payload files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Since when nothing in it has any business to change.
    pub since: Timestamp,
    /// The file that said that it was whole; it was not sent.
    pub marker: String,
}

/// What was found, and may go.
#[derive(Debug, Default)]
pub(super) struct Contents {
    payload: Vec<PathBuf>,
    /// Of ours: marker and manifest, in the order in which they go.
    last: Vec<PathBuf>,
    /// The deepest first.
    dirs: Vec<PathBuf>,
}

/// Why a package may not go.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It is not what was sent; in words.
    Odd(String),
    /// It could not be looked at.
    Fs(FsError),
}

impl From<FsError> for Unfit {
    fn from(error: FsError) -> Self {
        Self::Fs(error)
    }
}

fn odd<T>(why: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit::Odd(why.into()))
}

/// How much of the package there must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// What an interrupted removal has left.
    Rest,
}

/// Looks whether the package in `dir` is what was sent, and whether we may remove it. Nothing is followed: not a link in it, and not
/// one in its place.
pub(super) fn look(on: &OnDisk, dir: &Path, expected: &Expected, extent: Extent) -> Result<Contents, Unfit> {
    let about = std::fs::symlink_metadata(dir).map_err(FsError::at("look at", dir))?;
    if !about.is_dir() {
        return odd("it is no directory");
    }
    let Some((manifest, written)) = manifest(on, dir, expected)? else {
        return match extent {
            Extent::Whole => odd(format!("its {MANIFEST} is missing")),
            // It goes last, so that nothing else may be there.
            Extent::Rest if is_empty(on, dir)? => Ok(Contents::default()),
            Extent::Rest => odd(format!("its {MANIFEST} is missing, and something else lies in it")),
        };
    };
    let known: BTreeSet<&RelPath> = manifest.iter().map(|(path, _)| path).collect();
    let dirs: BTreeSet<&Path> =
        known.iter().flat_map(|path| Path::new(path.as_str()).ancestors().skip(1)).collect();
    let until = written.max(expected.since.as_nanosecond());
    let (mut found, mut bytes) = (Contents::default(), 0u64);
    for entry in walkdir::WalkDir::new(dir).follow_links(false).contents_first(true) {
        let entry = entry.map_err(|e| {
            let path = e.path().unwrap_or(dir).to_owned();
            FsError::at("list", &path)(e.into_io_error().unwrap_or_else(|| std::io::Error::other("a loop")))
        })?;
        on.moved();
        let (path, inside) = (entry.path(), entry.path().strip_prefix(dir).unwrap_or(entry.path()));
        let about = std::fs::symlink_metadata(path).map_err(FsError::at("look at", path))?;
        if about.is_dir() && dirs.contains(inside) {
            writable(on, path)?;
            found.dirs.push(path.to_owned());
            continue;
        }
        let of_ours = inside == Path::new(MANIFEST) || inside == Path::new(&expected.marker);
        let named = inside
            .to_str()
            .and_then(|text| text.parse().ok())
            .is_some_and(|path: RelPath| known.contains(&path));
        if !about.is_file() || !(of_ours || named) {
            return odd(format!("{} is in it, which was not sent with it", inside.display()));
        }
        if of_ours {
            found.last.push(path.to_owned());
            continue;
        }
        let changed = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
        if changed > until {
            return odd(format!("{} was changed after it was sent", inside.display()));
        }
        bytes = bytes.saturating_add(about.size());
        found.payload.push(path.to_owned());
    }
    // Without it nobody could tell what the rest of an interrupted removal was.
    found.last.sort_by_key(|path| path.ends_with(MANIFEST));
    let files = found.payload.len() as u64;
    if extent == Extent::Whole && (files, bytes) != (expected.files, expected.bytes) {
        return odd(format!(
            "{files} file(s) of {bytes} bytes lie in it, and {} of {} bytes were sent",
            expected.files, expected.bytes
        ));
    }
    Ok(found)
}

/// The package's own manifest, if it is the one that was sent, and when it was written: behind the last byte that was read of the
/// package, by the clock of the same file system.
fn manifest(on: &OnDisk, dir: &Path, expected: &Expected) -> Result<Option<(Manifest, i128)>, Unfit> {
    let path = dir.join(MANIFEST);
    let about = match std::fs::symlink_metadata(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        about => about.map_err(FsError::at("look at", &path))?,
    };
    if !about.is_file() || about.size() > MAX_MANIFEST_BYTES as u64 {
        return odd(format!("its {MANIFEST} is none"));
    }
    let file = std::fs::File::open(&path).map_err(FsError::at("open", &path))?;
    let mut bytes = Vec::new();
    let _read = file
        .take(MAX_MANIFEST_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(FsError::at("read", &path))?;
    on.moved();
    if Sha256Hex::of(&bytes) != expected.manifest {
        return odd(format!("its {MANIFEST} is not the one that was sent"));
    }
    let manifest = Manifest::parse(&bytes).map_err(|e| Unfit::Odd(e.to_string()))?;
    let written = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
    Ok(Some((manifest, written)))
}

fn is_empty(_: &OnDisk, dir: &Path) -> Result<bool, FsError> {
    Ok(std::fs::read_dir(dir).map_err(FsError::at("list", dir))?.next().is_none())
}

/// Asked before anything is done: a package of which half cannot be removed is worse than a whole one.
fn writable(_: &OnDisk, dir: &Path) -> Result<(), Unfit> {
    match rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
            odd(format!("this user may not remove what lies in {}", dir.display()))
        }
        Err(e) => Err(FsError::at("look at", dir)(e.into()).into()),
    }
}

/// Removes what was found. In an order that leaves, wherever it is cut off, something that [`look`] still knows.
pub(super) fn remove(on: &OnDisk, dir: &Path, contents: &Contents) -> Result<(), FsError> {
    for file in &contents.payload {
        fs::remove_file(file)?;
        on.moved();
        let _alive: Option<()> = fail::eval("cleaning", |_| std::process::abort());
    }
    for below in contents.dirs.iter().filter(|below| *below != dir) {
        fs::remove_dir(below)?;
        on.moved();
    }
    // Otherwise a power cut could bring files back and not the manifest that tells what they are.
    fs::sync_dir(dir)?;
    for file in &contents.last {
        fs::remove_file(file)?;
        on.moved();
    }
    fs::remove_dir(dir)?;
    dir.parent().map_or(Ok(()), fs::sync_dir)
}

#[cfg(test)]
#[path = "contents_tests.rs"]
mod tests;
