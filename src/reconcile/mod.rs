//! What journal, bucket, disks and LIMS say about the same packages, where they do not say the same, and what can safely be done about it.
//!
//! - [`landing`] pure, for the receiver: facts → differences, each with what to do and, where that is safe, the [`Fix`].
//! - [`sending`] pure, for the sender: the same, without fixes.
//! - [`gather`] the facts of a receiver's disks. [`guard`] why a receiver does not begin a new journal where one was lost.
//!
//! A fix never deletes, never overwrites, and never lets a package land that may have landed before.
pub mod gather;
pub mod guard;
pub mod landing;
#[cfg(test)]
mod landing_tests;
pub mod sending;

use std::path::PathBuf;

use serde::Serialize;

use crate::journal::Facts;
use crate::package::{PackageId, Reason};

/// Whether somebody has to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It settles by itself, or is as it should be and worth knowing.
    Note,
    /// It does not.
    Act,
}

/// Two of them do not say the same.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// A word that never changes its meaning.
    pub code: &'static str,
    /// Whether somebody has to do something.
    pub level: Level,
    /// Which package; none: it is about something else.
    pub package: Option<PackageId>,
    /// What is different.
    pub what: String,
    /// What to do.
    pub todo: String,
    /// What `--fix` does about it; none: nothing.
    pub fix: Option<Fix>,
}

/// What `--fix` does.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "fix", rename_all = "kebab-case")]
pub enum Fix {
    /// Reads the whole package back and journals it as landed if every byte is the committed one.
    Adopt {
        /// Where it lies.
        place: PathBuf,
        /// What is known of it.
        #[serde(skip)]
        facts: Box<Facts>,
    },
    /// Journals it as stopped, so that it does not land before somebody has decided.
    Stop {
        /// Why.
        reason: Reason,
        /// In words.
        detail: String,
        /// What is known of it.
        #[serde(skip)]
        facts: Box<Facts>,
    },
    /// A person says that it has not landed: it is taken up again.
    Release,
    /// Moves it into the quarantine area, whole.
    Aside {
        /// From where.
        from: PathBuf,
    },
}

impl std::fmt::Display for Fix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Adopt { .. } => f.write_str("reads it back and journals it as landed"),
            Self::Stop { reason, .. } => write!(
                f,
                "journals it as stopped ({reason}), so that it does not land before a person has decided"
            ),
            Self::Release => f.write_str("has it land"),
            Self::Aside { .. } => f.write_str("moves it into .quarantine"),
        }
    }
}
