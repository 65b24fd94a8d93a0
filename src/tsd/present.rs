//! What an earlier life has left of a package in the incoming area: whole files, and parts that can be gone on with.
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::copier::Way;
use crate::disk::{Need, OnDisk};
use crate::fs::{self, Fingerprint, FsError};
use crate::package::{RelPath, Sha256Hex};
use crate::store::Received;

/// Files and directories besides those of the package: the package itself, the area of parts, a temporary file, READY.
const OUR_OWN_FILES: u64 = 4;

/// A file of the package.
pub(super) struct File {
    /// Its place in the manifest, after which its part is named.
    pub number: usize,
    /// In the package.
    pub path: RelPath,
    /// As the manifest promises.
    pub digest: Sha256Hex,
    /// Its object.
    pub key: String,
    /// As the bucket lists it.
    pub size: u64,
}

/// What is there.
#[derive(Default)]
pub(super) struct Present {
    /// Whole files, with their sizes.
    pub whole: BTreeMap<PathBuf, u64>,
    /// Unfinished ones, by number.
    pub begun: BTreeMap<usize, Received>,
}

/// Looks what is there. What is of no use goes: it proves nothing and only takes up room.
pub(super) fn take_stock(on: &OnDisk, way: &Way, files: &[File]) -> Result<Present, FsError> {
    // An unmounted disk looks like an empty one, and like a package that was never begun.
    for area in [Some(way.place.destination.as_path()), way.incoming.parent()].into_iter().flatten() {
        fs::answers(area)?;
    }
    let mut present = Present::default();
    if fs::dir_exists(&way.incoming)? {
        for file in fs::plain_files(&way.incoming)? {
            let size = Fingerprint::of(&way.incoming.join(&file))?.size;
            let _none_before = present.whole.insert(file, size);
            on.moved();
        }
    }
    if fs::dir_exists(&way.parts)? {
        present.begun = begun(on, way, files, &present.whole)?;
    }
    Ok(present)
}

/// The parts that can be gone on with; whatever else lies there is removed.
fn begun(
    on: &OnDisk,
    way: &Way,
    files: &[File],
    whole: &BTreeMap<PathBuf, u64>,
) -> Result<BTreeMap<usize, Received>, FsError> {
    let (mut begun, mut kept) = (BTreeMap::new(), BTreeSet::<OsString>::new());
    for file in files.iter().filter(|file| !whole.contains_key(Path::new(file.path.as_str()))) {
        let part = way.part(file);
        // The bucket may list another object under its key by now.
        let found = Received::find(on, &part, &file.key)?.filter(|found| found.size() == file.size);
        on.moved();
        if let Some(found) = found {
            kept.extend(
                [&part, &Received::note(&part)].map(|path| path.file_name().unwrap_or_default().to_owned()),
            );
            let _none_before = begun.insert(file.number, found);
        }
    }
    if kept.is_empty() {
        fs::discard_scratch(&way.parts)?;
        return Ok(begun);
    }
    for entry in std::fs::read_dir(&way.parts).map_err(FsError::at("list", &way.parts))? {
        let name = entry.map_err(FsError::at("list", &way.parts))?.file_name();
        if !kept.contains(&name) {
            fs::remove_file(&way.parts.join(name))?;
            on.moved();
        }
    }
    // A note that a power cut brings back would lie beside the bytes of another life.
    fs::sync_dir(&way.parts)?;
    Ok(begun)
}

/// What is still to be written, and how many files and directories that makes.
pub(super) fn need(files: &[File], bytes: u64, present: &Present) -> Need {
    let (mut there, mut count, mut dirs) = (0u64, 0, BTreeSet::new());
    for file in files {
        let path = Path::new(file.path.as_str());
        match (present.whole.get(path), present.begun.get(&file.number)) {
            (Some(size), _) => there = there.saturating_add(*size),
            (None, begun) => {
                there = there.saturating_add(begun.map_or(0, Received::taken));
                count += 1;
                dirs.extend(path.ancestors().skip(1));
            }
        }
    }
    let inodes = count + dirs.len() as u64 + OUR_OWN_FILES;
    Need { bytes: bytes.saturating_sub(there), inodes }
}
