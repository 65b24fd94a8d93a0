//! What must be known of an upload to go on with it after a crash, and what follows from it for each part. Where it is written down
//! is the caller's business ([`Notebook`]).
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::disk::{Disk, Hold, OnDisk};
use crate::fs::{Fingerprint, FsError};
use crate::package::HashState;

/// An upload as it was begun. It is gone on with only by whoever would begin the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The store's name for it.
    pub upload: String,
    /// The object that it becomes.
    pub key: String,
    /// The file, at that time.
    pub source: Fingerprint,
    /// Of each part but the last.
    pub part_length: u64,
    /// What proves its parts on the wire, in the word of the configuration.
    pub checksum: String,
    /// Whether the digests behind its parts have an md5.
    pub md5: bool,
    /// Random; the object carries it as metadata, so that whoever may look can tell whose it is.
    pub mark: String,
}

/// A part that the store has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landed {
    /// From 1.
    pub number: i32,
    /// As the store gave it; it wants it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// As S3 writes it.
    pub sum: String,
}

/// A line about an upload.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    /// The store has given out an upload id.
    Begun(Begun),
    /// A part was acknowledged.
    Part {
        /// Of this upload.
        upload: String,
        /// Which.
        #[serde(flatten)]
        part: Landed,
        /// The digests of the file from its beginning to the end of this part; none: others are known from further behind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<HashState>,
    },
    /// The completion will be asked for: from here on the object may exist.
    Completing {
        /// Of this upload.
        upload: String,
    },
    /// Whether the object exists will be asked by an empty put that may only create: from here on it may exist as that.
    Proving {
        /// Of this upload.
        upload: String,
    },
    /// The object exists.
    Done {
        /// From this upload.
        upload: String,
    },
    /// The upload is aborted, or unknown to the store.
    Over {
        /// This upload.
        upload: String,
    },
}

impl Note {
    /// Whether more than time is lost with it: an upload that nobody knows stays in the store for ever, and one that may have
    /// been completed must not be taken for one that was not. All others cost a repeat.
    pub fn must_last(&self) -> bool {
        matches!(self, Self::Begun(_) | Self::Completing { .. } | Self::Proving { .. })
    }
}

/// Where notes about one file are written.
pub trait Notebook: Send + Sync {
    /// Writes it down, on a disk's thread. Late, a note is as true as in time.
    fn write(&self, on: &OnDisk, note: &Note) -> Result<(), FsError>;
}

/// An upload that has neither become a known file nor been aborted.
#[derive(Clone)]
pub struct Unfinished {
    /// As it was begun.
    pub begun: Begun,
    /// Acknowledged parts by their number.
    pub parts: BTreeMap<i32, Landed>,
    /// The digests that reach furthest.
    pub state: Option<HashState>,
    /// Its completion may have been asked for.
    pub completing: bool,
    /// The object may be an empty one of our making.
    pub proving: bool,
    /// It was completed.
    pub done: bool,
}

impl Unfinished {
    /// One without any part.
    pub fn new(begun: Begun) -> Self {
        Self { begun, parts: BTreeMap::new(), state: None, completing: false, proving: false, done: false }
    }

    /// One more line about it.
    pub fn learn(&mut self, note: Note) {
        match note {
            Note::Part { part, state, .. } => {
                drop(self.parts.insert(part.number, part));
                if state.as_ref().map(HashState::size) > self.state.as_ref().map(HashState::size) {
                    self.state = state;
                }
            }
            Note::Completing { .. } => self.completing = true,
            Note::Proving { .. } => self.proving = true,
            Note::Done { .. } => self.done = true,
            Note::Begun(_) | Note::Over { .. } => {}
        }
    }

    /// Why it cannot be gone on with; `Ok` if it can.
    pub(super) fn fits(&self, key: &str, source: Fingerprint, checksum: &str) -> Result<(), &'static str> {
        if self.begun.source != source {
            return Err("the file has changed since");
        }
        if self.begun.key != key || self.begun.checksum != checksum || self.begun.part_length == 0 {
            return Err("the store is configured in another way since");
        }
        Ok(())
    }

    /// The digests to go on with; new ones if none are known that end with a part and have all that is wanted.
    pub(super) fn digests(&self, with_md5: bool) -> HashState {
        let ends = |s: &HashState| {
            s.size() == self.begun.source.size || s.size().is_multiple_of(self.begun.part_length)
        };
        let known = self.state.clone().filter(|s| ends(s) && self.begun.md5 >= with_md5);
        known.unwrap_or_else(|| HashState::new(with_md5))
    }
}

/// What is known of a file from earlier attempts, and where to write down what this one does.
pub struct Kept {
    /// Where the notebook lies.
    pub disk: Disk,
    /// The notebook.
    pub book: Arc<dyn Notebook>,
    /// Oldest first.
    pub before: Vec<Unfinished>,
    /// Nothing can have been put under the file's key before the first of these; `false` if that is not known.
    pub alone: bool,
}

/// Writes notes on behalf of a unit; without a notebook nothing is kept.
#[derive(Clone)]
pub(super) struct Notes {
    hold: Hold,
    book: Option<(Disk, Arc<dyn Notebook>)>,
}

impl Notes {
    pub(super) fn new(hold: &Hold, kept: Option<&Kept>) -> Self {
        Self { hold: hold.clone(), book: kept.map(|k| (k.disk.clone(), k.book.clone())) }
    }

    /// Whether a later attempt will know of the upload.
    pub(super) fn are_kept(&self) -> bool {
        self.book.is_some()
    }

    pub(super) async fn write(&self, note: Note) -> Result<(), StoreError> {
        if let Some((disk, book)) = &self.book {
            let book = book.clone();
            self.hold.on(disk, move |on| book.write(on, &note)).await??;
        }
        Ok(())
    }
}

/// What is to be done with one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Todo {
    /// It is fed to the file's digests.
    pub hash: bool,
    /// It is put.
    pub send: bool,
    /// Somebody must hear it.
    pub heard: bool,
}

impl Todo {
    /// `hashed`: so many bytes of the file are in the digests already. `acknowledged`: the store has this part, or all of them.
    /// A listener cannot be told in the middle: what it made of the bytes before cannot be written down, so it hears all.
    pub(super) fn of(offset: u64, hashed: u64, acknowledged: bool, listened: bool) -> Self {
        Self { hash: offset >= hashed, send: !acknowledged, heard: listened }
    }

    /// Whether the part need not be read.
    pub(super) fn is_nothing(self) -> bool {
        !(self.hash || self.send || self.heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Fingerprint = Fingerprint { size: 25, mtime_ns: 1, inode: 2 };

    fn begun(md5: bool) -> Begun {
        let (upload, key, mark) = ("u".into(), "k".into(), "m".into());
        Begun { upload, key, source: SOURCE, part_length: 10, checksum: "signed".into(), md5, mark }
    }

    fn state(bytes: usize, md5: bool) -> HashState {
        let mut state = HashState::new(md5);
        state.update(&vec![0; bytes]);
        state
    }

    fn part(number: i32, state: Option<HashState>) -> Note {
        Note::Part { upload: "u".into(), part: Landed { number, etag: None, sum: "s".into() }, state }
    }

    #[test]
    fn a_part_is_read_only_for_what_is_missing() {
        let todo = |offset, hashed, known, listened| {
            let Todo { hash, send, heard } = Todo::of(offset, hashed, known, listened);
            (hash, send, heard)
        };
        assert_eq!(todo(0, 20, true, false), (false, false, false));
        assert!(Todo::of(0, 20, true, false).is_nothing());
        assert_eq!(todo(10, 20, false, false), (false, true, false), "read, not hashed a second time");
        assert_eq!(todo(20, 20, false, false), (true, true, false));
        assert_eq!(todo(0, 20, true, true), (false, false, true), "for the listener alone");
        assert_eq!(todo(0, 0, true, false), (true, false, false), "no digests are known");
    }

    #[test]
    fn the_digests_that_reach_furthest_are_gone_on_with() {
        let mut upload = Unfinished::new(begun(false));
        assert_eq!(upload.digests(false).size(), 0);
        upload.learn(part(2, Some(state(20, false))));
        upload.learn(part(1, Some(state(10, false))));
        upload.learn(part(3, None));
        assert_eq!(upload.parts.len(), 3);
        assert_eq!(upload.digests(false).finish(), state(20, false).finish());
        assert_eq!(upload.digests(true).size(), 0, "they have no md5");
        upload.learn(part(3, Some(state(23, false))));
        assert_eq!(upload.digests(false).size(), 0, "an odd length is not believed");
        upload.state = Some(state(25, false));
        assert_eq!(upload.digests(false).size(), 25, "the file's end");
    }

    #[test]
    fn only_the_very_same_upload_is_gone_on_with() {
        let upload = Unfinished::new(begun(true));
        assert_eq!(upload.fits("k", SOURCE, "signed"), Ok(()));
        for other in [
            Fingerprint { size: 26, ..SOURCE },
            Fingerprint { mtime_ns: 2, ..SOURCE },
            Fingerprint { inode: 3, ..SOURCE },
        ] {
            assert!(upload.fits("k", other, "signed").unwrap_err().contains("changed"));
        }
        assert!(upload.fits("l", SOURCE, "signed").is_err() && upload.fits("k", SOURCE, "md5").is_err());
    }

    #[test]
    fn notes_there_and_back() {
        let all = [Note::Begun(begun(true)), part(7, Some(state(70, true))), part(8, None)];
        let ends = ["u"].map(|u| Note::Completing { upload: u.into() });
        for note in all.into_iter().chain(ends) {
            let text = serde_json::to_string(&note).unwrap();
            let back: Note = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&back).unwrap(), text);
        }
        assert!(Note::Begun(begun(true)).must_last() && !part(1, None).must_last());
    }
}
