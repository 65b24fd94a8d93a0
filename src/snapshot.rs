//! `status.json`: what a running daemon is doing, written every second for whoever asks.
//!
//! It adds what the journal does not know (actors, bytes in motion) and is worthless once the daemon is gone, which its time
//! and the owner lock tell.
use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fs::{self, FsError};
use crate::journal::Silence;
use crate::nsc::cleaning::Resting;
use crate::store::Wire;
use crate::supervisor::ChildStatus;
use crate::supervisor::meter::Motion;
use crate::tell::ChannelStatus;
use crate::tsd::Standing;
use crate::tsd::share::Sharing;

/// Its name in the state directory.
pub const FILE: &str = "status.json";

/// One moment of a daemon. Written by an older or newer program it may say less or more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// When.
    pub at: Timestamp,
    /// Since when it runs.
    pub started: Timestamp,
    /// The program's version.
    pub version: String,
    /// All actors, in the order of flow.
    #[serde(default)]
    pub actors: Vec<ChildStatus>,
    /// What moves.
    #[serde(default)]
    pub moving: Vec<Motion>,
    /// Between us and the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<Wire>,
    /// What waits outside or was refused, with the reason.
    #[serde(default)]
    pub not_taken: BTreeMap<String, String>,
    /// What a receiver notices of its senders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<Standing>,
    /// What rests at a sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resting: Option<Resting>,
    /// With other hosts on one bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Sharing>,
    /// Open alarms about something that does not happen.
    #[serde(default)]
    pub silences: Vec<Silence>,
    /// The ways by which people are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChannelStatus>,
    /// Set while it is on the way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<Stopping>,
}

/// On the way out: nothing new is taken, what is in hand is finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// Since when.
    pub since: Timestamp,
    /// Who wanted it.
    pub why: String,
    /// Who has not finished yet, whose turn it is first.
    pub late: Vec<Late>,
    /// It takes at most this many seconds more.
    pub left_secs: u64,
}

impl std::fmt::Display for Stopping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let late = |l: &Late| match l.in_hand.is_empty() {
            true => l.actor.clone(),
            false => format!("{} with {}", l.actor, l.in_hand.join(", ")),
        };
        let late: Vec<String> = self.late.iter().map(late).collect();
        let late = if late.is_empty() { "nobody".to_owned() } else { late.join("; ") };
        write!(f, "waiting for {late}; at most {} s left", self.left_secs)
    }
}

/// An actor that has not finished yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Who.
    pub actor: String,
    /// What it has in hand.
    pub in_hand: Vec<String>,
}

impl Snapshot {
    /// Of a daemon that has just started.
    pub fn empty(now: Timestamp) -> Self {
        Self {
            at: now,
            started: now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            actors: Vec::new(),
            moving: Vec::new(),
            wire: None,
            not_taken: BTreeMap::new(),
            senders: Vec::new(),
            resting: None,
            share: None,
            silences: Vec::new(),
            channels: Vec::new(),
            stopping: None,
        }
    }

    /// Replaces the file.
    pub fn write(&self, state_dir: &Path) -> Result<(), FsError> {
        let text = serde_json::to_vec(self).expect("plain fields always serialise");
        fs::write_volatile(&state_dir.join(FILE), &text)
    }

    /// The last one of a state directory, if there is a readable one.
    pub fn read(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(state_dir.join(FILE)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn it_is_read_back_also_when_another_version_wrote_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Snapshot::read(dir.path()).is_none());
        let now = clock::now();
        let actor = ChildStatus { actor: "poller".into(), up: true, restarts: 2, ..ChildStatus::default() };
        let not_taken = [("a".to_owned(), "b".to_owned())].into();
        let written = Snapshot { actors: vec![actor], not_taken, ..Snapshot::empty(now) };
        written.write(dir.path()).unwrap();
        let read = Snapshot::read(dir.path()).unwrap();
        assert_eq!((read.at, read.actors[0].restarts, read.not_taken["a"].as_str()), (now, 2, "b"));
        let other = format!(
            "{{\"at\": \"{now}\", \"started\": \"{now}\", \"version\": \"9\", \"actors\": [{{\"actor\": \"x\", \"mood\": 1}}]}}"
        );
        fs::write_volatile(&dir.path().join(FILE), other.as_bytes()).unwrap();
        assert_eq!(Snapshot::read(dir.path()).unwrap().actors[0].actor, "x");
    }
}
