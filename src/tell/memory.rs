//! What must not be forgotten over a restart: what was told, what waits to be sent. One small file in the state directory.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::outbox::Outbox;
use super::trouble::Level;
use crate::fs::{self, FsError};

/// Its name in the state directory.
pub const FILE: &str = "tell.json";
/// Of what happened in the last day, for the digest.
const DAY: usize = 500;

/// A trouble that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// How much it matters.
    pub level: Level,
    /// In words.
    pub what: String,
    /// Whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Since when it is out of order.
    pub since: Timestamp,
    /// When it was told.
    pub opened: Timestamp,
    /// Since when it is not there any more; it may come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Timestamp>,
    /// Steps of escalation that were made.
    #[serde(default)]
    pub steps: usize,
    /// Channels that were told.
    #[serde(default)]
    pub told: BTreeSet<String>,
}

/// Why there is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Still open after a long time.
    Escalated,
    /// It began.
    Opened,
    /// It happened, and has no end.
    Happened,
    /// It is over.
    Cleared,
    /// The summary of a day.
    Digest,
    /// Somebody tries the channel.
    Test,
}

/// One piece of news.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// When it became news.
    pub at: Timestamp,
    /// Why.
    pub kind: Kind,
    /// How much it matters.
    pub level: Level,
    /// In words.
    pub what: String,
    /// Whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// How often: within the last hours, or since it was last told.
    pub times: u32,
}

/// A line of the day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub kind: Kind,
    /// In words.
    pub what: String,
}

/// What was told and what waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Troubles that were told, by key.
    pub open: BTreeMap<String, Open>,
    /// When each trouble began within the last hours; more than one: it comes and goes.
    pub lately: BTreeMap<String, Vec<Timestamp>>,
    /// What was news within the last day, of what is about no package.
    pub day: VecDeque<Past>,
    /// The last start of which was told how the life before it ended.
    pub start: Option<Timestamp>,
    /// Restarts of each actor in this life that were told.
    pub restarts: BTreeMap<String, u64>,
    /// By channel.
    pub channels: BTreeMap<String, Outbox>,
}

impl Memory {
    /// What the state directory keeps; nothing if telling begins now. A file that cannot be understood is said
    /// in the log, and begun anew.
    pub fn read(state_dir: &Path) -> Result<Self, FsError> {
        let path = state_dir.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(FsError::at("read", &path)(e)),
        };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            let path = path.display();
            tracing::error!(%path, %error, "cannot be understood: what is open is told once more, what waited to be sent is lost");
            Self::default()
        }))
    }

    /// Replaces the file, durably.
    pub fn write(&self, state_dir: &Path) -> Result<(), FsError> {
        let text = serde_json::to_vec(self).expect("plain fields always serialise");
        fs::write_durably(&state_dir.join(FILE), &text)
    }

    /// Notes it for the digest.
    pub(super) fn note(&mut self, news: &News) {
        if news.about.is_some() {
            return; // the journal has it
        }
        if self.day.len() >= DAY {
            drop(self.day.pop_front());
        }
        self.day.push_back(Past { at: news.at, kind: news.kind, what: news.what.clone() });
    }
}
