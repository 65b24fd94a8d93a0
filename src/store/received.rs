//! What an earlier life has received of a file: a note beside its part says how much of it is surely on the disk, of which
//! object, and where its digest stood there.
//!
//! The digest that a note holds is of what came off the wire. So two things keep a note and its part together: a part that is begun
//! anew loses its note first, durably ([`Received::forget`]), and whoever goes on with one reads the bytes back from the disk and
//! compares them with the note. A wrong note then costs time and nothing else.
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::OnDisk;
use crate::fs::{self, FsError};
use crate::package::{Digests, HashState};

/// A longer note is none of ours.
const MOST: u64 = 64 << 10;

/// A part that can be gone on with.
#[derive(Clone, Serialize, Deserialize)]
pub struct Received {
    /// Of which object: parts have numbers, and a number may mean another file by now.
    key: String,
    /// As the store named this version of it.
    pub(super) etag: String,
    size: u64,
    /// So much was fsynced before this was written.
    pub(super) synced: u64,
    pub(super) state: HashState,
    /// Bytes that the part takes up on the disk.
    #[serde(skip)]
    taken: u64,
}

impl Received {
    pub(super) fn new(key: &str, etag: &str, size: u64, state: HashState) -> Self {
        Self { key: key.into(), etag: etag.into(), size, synced: state.size(), state, taken: 0 }
    }

    /// Where the note of a part lies.
    pub fn note(part: &Path) -> PathBuf {
        part.with_extension("progress")
    }

    /// Looks for a part and its note. None: there is nothing of use, and what there is may go.
    pub fn find(_: &OnDisk, part: &Path, key: &str) -> Result<Option<Self>, FsError> {
        let note = Self::note(part);
        let about = match File::open(&note).and_then(|file| file.metadata()) {
            Ok(about) => about,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FsError::at("look at", &note)(e)),
        };
        let text = match about.len() {
            0..=MOST => std::fs::read(&note).map_err(FsError::at("read", &note))?,
            _ => Vec::new(),
        };
        let begun: Self = match serde_json::from_slice(&text) {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(note = %note.display(), %error, "is no note of a part; the file is received anew");
                return Ok(None);
            }
        };
        let there = match std::fs::metadata(part) {
            Ok(there) => there,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FsError::at("look at", part)(e)),
        };
        let right = begun.key == key
            && begun.synced == begun.state.size()
            && begun.synced < begun.size
            && begun.synced <= there.len()
            && there.len() <= begun.size;
        Ok(right.then(|| Self { taken: there.blocks().saturating_mul(512).min(begun.size), ..begun }))
    }

    /// Puts the note beside the part, after the bytes that it speaks of were fsynced.
    pub(super) fn keep(&self, _: &OnDisk, part: &Path) -> Result<(), FsError> {
        let text = serde_json::to_vec(self).map_err(|e| FsError::at("describe", part)(e.into()))?;
        let scratch = part.parent().unwrap_or(Path::new("."));
        fs::write_durably_via(scratch, &Self::note(part), &text)
    }

    /// Takes the note of a part away, for good: a power cut must not bring it back beside other bytes.
    pub fn forget(_: &OnDisk, part: &Path) -> Result<(), FsError> {
        match fs::remove_file(&Self::note(part)) {
            Err(e) if e.source.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(()) => part.parent().map_or(Ok(()), fs::sync_dir),
        }
    }

    /// So much of the part it speaks of.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// What those bytes were when they came.
    pub fn digests(&self) -> Digests {
        self.state.clone().finish()
    }

    /// Bytes that its part takes up on the disk already.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The size of the object that it was begun with.
    pub fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_believed_only_for_its_object_and_with_its_bytes() {
        let (dir, on) = (tempfile::tempdir().unwrap(), OnDisk::alone());
        let part = dir.path().join("7");
        let mut state = HashState::new(false);
        state.update(&[1; 100]);
        let begun = Received::new("p/f", "\"e\"", 1000, state);
        assert!(Received::find(&on, &part, "p/f").unwrap().is_none());
        begun.keep(&on, &part).unwrap();
        assert!(Received::find(&on, &part, "p/f").unwrap().is_none(), "no part");
        for (length, right) in [(99, false), (100, true), (1000, true), (1001, false)] {
            fs::write_durably(&part, &vec![1; length]).unwrap();
            let found = Received::find(&on, &part, "p/f").unwrap();
            assert_eq!(found.is_some(), right, "{length}");
            if let Some(found) = found {
                assert_eq!((found.synced, found.size(), found.etag.as_str()), (100, 1000, "\"e\""));
                assert_eq!(found.state.finish(), begun.state.clone().finish());
                assert!(found.taken <= 1000);
            }
        }
        fs::write_durably(&part, &[1; 100]).unwrap();
        Received::forget(&on, &part).unwrap();
        assert!(Received::find(&on, &part, "p/f").unwrap().is_none(), "forgotten");
        Received::forget(&on, &part).unwrap();
        begun.keep(&on, &part).unwrap();
        assert!(Received::find(&on, &part, "p/g").unwrap().is_none(), "another file has this number now");
        let text = std::fs::read_to_string(Received::note(&part)).unwrap();
        for odd in [
            text.replace("\"synced\":100", "\"synced\":90"),
            text[..text.len() / 2].to_owned(),
            "x".repeat(70_000),
        ] {
            fs::write_durably(&Received::note(&part), odd.as_bytes()).unwrap();
            assert!(Received::find(&on, &part, "p/f").unwrap().is_none(), "{odd}");
        }
    }
}
