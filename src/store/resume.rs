//! What must be known of an upload to go on with it after a crash, and what follows from it for each part. Where it is written down
//! is the caller's business ([`Notebook`]).
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::checksum::is_etag;
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
    /// Which store, bucket and prefix it was begun in ([`super::Store::place`]); empty where an older program wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
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
        /// The digests of the file from its beginning to the end of this part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<HashState>,
        /// Which attempt has read what is in these digests, from 0.
        #[serde(default, skip_serializing_if = "is_first")]
        attempt: u32,
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

/// For lines of older programs, which do not count attempts.
fn is_first(attempt: &u32) -> bool {
    *attempt == 0
}

impl Note {
    /// Whether more than time is lost with it: an upload that nobody knows stays in the store for ever, one that may have been
    /// completed must not be taken for one that was not, and one that is over not for what is in the bucket. All others cost a repeat.
    pub fn must_last(&self) -> bool {
        matches!(self, Self::Begun(_) | Self::Completing { .. } | Self::Proving { .. } | Self::Over { .. })
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
    /// So many parts are acknowledged from the first one on without a gap.
    whole: i32,
    /// Digests of the file's beginning by its length: the furthest that ends before the first gap, and those behind it.
    states: BTreeMap<u64, HashState>,
    /// The number of the attempt that is on, or was the last one.
    pub attempt: u32,
    /// Its completion may have been asked for.
    pub completing: bool,
    /// The object may be an empty one of our making.
    pub proving: bool,
    /// It was completed.
    pub done: bool,
}

/// What the configuration allows an upload of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of one part, bytes.
    pub part_length: u64,
    /// Their number.
    pub parts: u64,
}

impl Unfinished {
    /// One without any part.
    pub fn new(begun: Begun) -> Self {
        let (parts, states) = Default::default();
        let (completing, proving, done) = (false, false, false);
        Self { begun, parts, whole: 0, states, attempt: 0, completing, proving, done }
    }

    /// The same, for another attempt.
    pub(super) fn once_more(&self) -> Self {
        Self { attempt: self.attempt + 1, ..self.clone() }
    }

    /// How much of the file is acknowledged from its beginning on without a gap.
    fn end(&self) -> u64 {
        let whole = u64::try_from(self.whole).unwrap_or_default();
        whole.saturating_mul(self.begun.part_length).min(self.begun.source.size)
    }

    /// One more line about it.
    pub fn learn(&mut self, note: Note) {
        match note {
            Note::Part { part, state, attempt, .. } => self.landed(part, state, attempt),
            Note::Completing { .. } => self.completing = true,
            Note::Proving { .. } => self.proving = true,
            Note::Done { .. } => self.done = true,
            Note::Begun(_) | Note::Over { .. } => {}
        }
    }

    fn landed(&mut self, part: Landed, state: Option<HashState>, attempt: u32) {
        // An older program took any 200 for the store's, a proxy's page too. The store has no such part, or none that can be named.
        if !part.etag.as_deref().is_some_and(is_etag) {
            return;
        }
        // What another attempt had hashed behind a gap stays apart from what closes the gap: that was read another time.
        if attempt != self.attempt || state.is_none() {
            let end = self.end();
            self.states.retain(|size, _| *size <= end);
        }
        let late = attempt < self.attempt;
        self.attempt = self.attempt.max(attempt);
        drop(self.parts.insert(part.number, part));
        while self.parts.contains_key(&(self.whole + 1)) {
            self.whole += 1;
        }
        if let Some(state) = state.filter(|_| !late) {
            drop(self.states.insert(state.size(), state));
        }
        if let Some(furthest) = self.states.range(..=self.end()).next_back().map(|(size, _)| *size) {
            self.states.retain(|size, _| *size >= furthest);
        }
    }

    /// Why it cannot be gone on with; `Ok` if it can. Its parts may be shorter than they would be now, not longer and not more than
    /// there may be: somebody may have lowered that because the store refuses them.
    pub(super) fn fits(
        &self,
        key: &str,
        source: Fingerprint,
        checksum: &str,
        limits: Limits,
    ) -> Result<(), &'static str> {
        if self.begun.source != source {
            return Err("the file has changed since");
        }
        if self.begun.key != key || self.begun.checksum != checksum || self.begun.part_length == 0 {
            return Err("the store is configured in another way since");
        }
        let length = self.begun.part_length;
        if !self.done && (length > limits.part_length || source.size.div_ceil(length) > limits.parts) {
            return Err("the store is configured for shorter or fewer parts since");
        }
        if self.done && self.end() < source.size {
            return Err("it was completed, and not all of its parts are on record");
        }
        Ok(())
    }

    /// The digests to go on with; new ones if none are known that end with a part and have all that is wanted. They never reach
    /// beyond the first part that is not acknowledged: each part is hashed as it was read when it was sent.
    pub(super) fn digests(&self, with_md5: bool) -> HashState {
        let fits = |s: &HashState| {
            let ends = s.size() == self.begun.source.size || s.size().is_multiple_of(self.begun.part_length);
            ends && s.has_md5() >= with_md5
        };
        let known = self.states.range(..=self.end()).rev().map(|(_, s)| s).find(|s| fits(s));
        known.cloned().unwrap_or_else(|| HashState::new(with_md5))
    }
}

/// What is known of a file from earlier attempts, and where to write down what this one does.
pub struct Kept {
    /// Where the notebook lies.
    pub disk: Disk,
    /// The notebook.
    pub book: Arc<dyn Notebook>,
    /// Oldest first; those in this place alone.
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
    /// `hashed`: so many bytes of the file are in the digests already. `acknowledged`: the store has this part, or shall not get it.
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
#[path = "notes_tests.rs"]
mod tests;
