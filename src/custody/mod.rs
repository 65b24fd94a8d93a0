//! Who had a package, when, on which host, with which digests: from the delivery of the sequencer to `READY`.
//!
//! Told from records alone: the journal of one side, and the other side's journal or export if there is one. What no record says is
//! said to be unknown. Each claim comes with the command by which anybody checks it without this program.
//!
//! - [`record`] one side's journal → its [`Record`] of one package. [`pick()`] what a person calls a package → which one.
//! - [`judge()`] pure: the records of both sides, and what was found on disk and in the bucket → what fits, what does not, what is not known.
//! - [`words`] as text. [`evidence`] as a directory that can be handed on.
#[cfg(test)]
mod custody_tests;
mod evidence;
mod judge;
mod pick;
mod record;
mod words;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use evidence::{Evidence, README, files, write};
pub use judge::{Check, Finding, Found, Mark, checks, judge};
pub use pick::pick;
pub use record::{Told, packages, read};

use crate::journal::Head;
use crate::package::{Md5Hex, PackageId, Sha256Hex, State};

/// The version of what `custody --json` prints and `--with` reads.
pub const FORMAT: u32 = 1;

/// What one side has on record about a package.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// `nsc` or `tsd`; `unknown` if no start of a daemon is on record.
    pub side: String,
    /// Which journal.
    pub journal: Ledger,
    /// Where it is now.
    pub state: State,
    /// What happened, in order.
    pub events: Vec<Entry>,
    /// The order it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Ordered>,
    /// The files of the delivery that went into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered: Vec<Delivered>,
    /// Payload files, and their bytes.
    pub files: Option<u64>,
    /// Their size.
    pub bytes: Option<u64>,
    /// Digest of `SHA256SUMS`.
    pub manifest_sha256: Option<Sha256Hex>,
    /// Digest of `COMMIT`.
    pub commit_sha256: Option<Sha256Hex>,
    /// Sender and number, `gdx-login/1#7`.
    pub sent_as: Option<String>,
    /// Digest of that sender's commit before.
    pub previous: Option<Sha256Hex>,
    /// The bytes of `COMMIT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The bytes of `COMMIT.sig`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Where it was put last.
    pub place: Option<String>,
    /// The lines themselves, for who wants to compare them with the journal.
    pub lines: Vec<String>,
}

/// A journal, as it was when it was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ledger {
    /// Where it lay.
    pub path: PathBuf,
    /// Its last whole line.
    pub head: Head,
    /// What is wrong with its chain; empty: it is whole.
    pub faults: Vec<String>,
    /// Whether this was told by an export and not read from the journal itself.
    #[serde(default)]
    pub exported: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The journal's line.
    pub line: u64,
    /// When, by the clock of that host.
    pub at: Timestamp,
    /// Where; `?` if no start of a daemon is on record before it.
    pub host: String,
    /// Who: an actor, or a person's command.
    pub by: String,
    /// In words, with places and digests.
    pub what: String,
}

/// The order that a package was made for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ordered {
    /// Its name.
    pub id: String,
    /// What was queued in the LIMS.
    pub artifacts: Vec<String>,
    /// The LIMS step.
    pub step: Option<String>,
}

/// A file of the delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Where it was delivered.
    pub from: PathBuf,
    /// Its name in the package.
    pub to: String,
    /// As the delivery's list of md5 said.
    pub md5: Option<Md5Hex>,
    /// Bytes.
    pub size: u64,
}

/// Everything that is known of a package.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Custody {
    /// [`FORMAT`].
    pub custody: u32,
    /// Which package.
    pub package: PackageId,
    /// In the order of flow.
    pub sides: Vec<Record>,
    /// What fits, what does not, what is not known.
    pub findings: Vec<Finding>,
    /// How to check it without us.
    pub checks: Vec<Check>,
}
