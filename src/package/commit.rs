//! `COMMIT`: the last object put for a package, and what it promises.
//!
//! JSON in UTF-8, described in `docs/format.md`. Unknown fields are ignored, so a later sender can say more; an unknown
//! `version` is refused. The bytes are decided once and journalled before they are put, so a repeat after a crash puts
//! the same bytes; its digest is the `previous` of the sender's next commit.
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{IdError, Kind, Link, Name, PackageId, Place, Priority, Revision, Sha256Hex};

/// The largest `COMMIT` that is read, in bytes.
pub const MAX_BYTES: u64 = 64 << 10;

/// Who sent it: the host's configured name and an epoch, `gdx-login/1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sender {
    /// The configured name of the sending host.
    pub name: Name,
    /// From 1 up; a sender that lost its journal starts the next one.
    pub epoch: u32,
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.epoch)
    }
}

impl FromStr for Sender {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let form = || IdError::Form { what: "sender (name/epoch)", text: text.chars().take(120).collect() };
        let (name, epoch) = text.split_once('/').ok_or_else(form)?;
        Ok(Self { name: name.parse()?, epoch: epoch.parse().map_err(|_| form())? })
    }
}

impl TryFrom<String> for Sender {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Sender> for String {
    fn from(sender: Sender) -> Self {
        sender.to_string()
    }
}

/// The promise of a sender about one package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Of this format: 1.
    pub version: u32,
    /// The package's name.
    pub package: Name,
    /// Its kind.
    pub kind: Kind,
    /// Which export of it.
    pub revision: Revision,
    /// How soon the receiver should take it.
    pub priority: Priority,
    /// Payload files, without `SHA256SUMS` and `COMMIT*`.
    pub files: u64,
    /// Their total size in bytes.
    pub bytes: u64,
    /// Of the bytes of `SHA256SUMS`.
    pub manifest_sha256: Sha256Hex,
    /// Who sent it.
    pub sender: Sender,
    /// From 1 up, without gaps, per sender.
    pub sequence: u64,
    /// The digest of the bytes of this sender's commit before; null for the first.
    pub previous: Option<Sha256Hex>,
    /// When the bytes were decided.
    pub committed_at: Timestamp,
}

/// A `COMMIT` that cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Not JSON, or a field missing or of the wrong shape.
    #[error("COMMIT cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Of a version this program does not know.
    #[error("COMMIT has version {0}; this program knows version 1: update the receiver")]
    Version(u32),
    /// Its contents name another package than its place in the bucket.
    #[error("COMMIT under {key} is about {says}: moved or forged")]
    Misplaced {
        /// The place it was read from.
        key: PackageId,
        /// The package it names.
        says: PackageId,
    },
    /// Without a place in its sender's chain.
    #[error(
        "COMMIT has number {0} and {1} digest of the one before: the first has none, all others have one"
    )]
    Chain(u64, &'static str),
    /// Numbers no sender writes.
    #[error("COMMIT promises {files} files and sequence {sequence}: both start at 1")]
    Nonsense {
        /// As promised.
        files: u64,
        /// As stated.
        sequence: u64,
    },
}

impl Commit {
    /// The package it is about.
    pub fn id(&self) -> PackageId {
        PackageId { kind: self.kind.clone(), name: self.package.clone(), revision: self.revision }
    }

    /// The bytes that are journalled, signed and put.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain fields always serialise");
        text.push('\n');
        text
    }

    /// Reads a commit found under the key of `place` and checks that it is about that package.
    pub fn parse(bytes: &[u8], place: &PackageId) -> Result<Self, CommitError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != 1 {
            return Err(CommitError::Version(version));
        }
        let commit: Self = serde_json::from_slice(bytes)?;
        if commit.id() != *place {
            return Err(CommitError::Misplaced { key: place.clone(), says: commit.id() });
        }
        if commit.files == 0 || commit.sequence == 0 {
            return Err(CommitError::Nonsense { files: commit.files, sequence: commit.sequence });
        }
        match (commit.sequence, &commit.previous) {
            (1, Some(_)) => Err(CommitError::Chain(1, "a")),
            (2.., None) => Err(CommitError::Chain(commit.sequence, "no")),
            _ => Ok(commit),
        }
    }

    /// Its place in the chain of its sender. `text`: its bytes.
    pub fn link(&self, text: &[u8]) -> Link {
        let place = Place { sender: self.sender.clone(), sequence: self.sequence };
        Link { place, digest: Sha256Hex::of(text), previous: self.previous.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        Commit {
            version: 1,
            package: "Diag-wgs1-HG12345677".parse().unwrap(),
            kind: "samples".parse().unwrap(),
            revision: Revision::FIRST,
            priority: Priority::Urgent,
            files: 3,
            bytes: 4096,
            manifest_sha256: Sha256Hex::of(b"m"),
            sender: "gdx-login/1".parse().unwrap(),
            sequence: 7,
            previous: Some(Sha256Hex::of(b"p")),
            committed_at: "2026-06-12T10:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn reads_back_and_keeps_its_place() {
        let c = commit();
        assert_eq!(Commit::parse(c.to_text().as_bytes(), &c.id()).unwrap(), c);
        let elsewhere = "samples/Diag-wgs1-HG99999999/r1".parse().unwrap();
        let refused = Commit::parse(c.to_text().as_bytes(), &elsewhere).unwrap_err();
        assert!(matches!(refused, CommitError::Misplaced { .. }), "{refused}");
    }

    #[test]
    fn the_future_is_refused_but_more_fields_are_not() {
        let c = commit();
        let newer = c.to_text().replace("\"version\": 1", "\"version\": 2");
        assert!(matches!(Commit::parse(newer.as_bytes(), &c.id()), Err(CommitError::Version(2))));
        let more = c.to_text().replacen('{', "{ \"receipt_to\": [1, {\"x\": null}],", 1);
        assert_eq!(Commit::parse(more.as_bytes(), &c.id()).unwrap(), c);
    }

    #[test]
    fn nonsense_is_refused() {
        let c = commit();
        for (from, to) in [
            ("\"files\": 3", "\"files\": 0"),
            ("\"files\": 3", "\"files\": -3"),
            ("\"sequence\": 7", "\"sequence\": 0"),
            ("\"sequence\": 7", "\"sequence\": 1"),
            ("\"previous\": \"", "\"earlier\": \""),
            ("\"urgent\"", "\"soon\""),
            ("gdx-login/1", "gdx-login"),
            ("\"samples\"", "\"../samples\""),
        ] {
            let text = c.to_text().replace(from, to);
            assert_ne!(text, c.to_text(), "{from} stands in the text");
            assert!(Commit::parse(text.as_bytes(), &c.id()).is_err(), "{to} must be refused");
        }
    }
}
