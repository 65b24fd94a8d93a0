//! `status.json`: what a running daemon is doing, written every second for whoever asks.
//!
//! It adds what the journal does not know (actors, bytes in motion) and is worthless once the daemon is gone, which its time
//! and the owner lock tell.
use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fs::{self, FsError};
use crate::supervisor::ChildStatus;
use crate::supervisor::meter::Motion;

const FILE: &str = "status.json";

/// What the daemon writes.
#[derive(Serialize)]
pub struct Snapshot {
    /// When.
    pub at: Timestamp,
    /// Since when it runs.
    pub started: Timestamp,
    /// The program's version.
    pub version: &'static str,
    /// All actors, in the order of flow.
    pub actors: Vec<ChildStatus>,
    /// What moves.
    pub moving: Vec<Motion>,
    /// What waits outside or was refused, with the reason.
    pub not_taken: BTreeMap<String, String>,
}

/// The same, read back; an older or newer program may have written less or more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// Since when it runs.
    pub started: Timestamp,
    /// The program's version.
    pub version: String,
    /// All actors.
    #[serde(default)]
    pub actors: Vec<ActorSeen>,
    /// What moves.
    #[serde(default)]
    pub moving: Vec<Motion>,
    /// What waits outside or was refused.
    #[serde(default)]
    pub not_taken: BTreeMap<String, String>,
}

/// One actor, read back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct ActorSeen {
    /// Its name.
    pub actor: String,
    /// Whether it runs.
    pub up: bool,
    /// Restarts since the daemon began.
    pub restarts: u64,
    /// Seconds since it (re)started.
    pub since_secs: u64,
    /// Units it works on.
    pub in_hand: Vec<String>,
    /// Units that wait for it.
    pub queue: usize,
    /// Units finished.
    pub done: u64,
    /// Failed attempts.
    pub errors: u64,
    /// Failed attempts in a row.
    pub consecutive: u32,
    /// The last one.
    pub last_error: Option<String>,
    /// What outside is out of order.
    pub degraded: Option<String>,
}

impl Snapshot {
    /// Replaces the file.
    pub fn write(&self, state_dir: &Path) -> Result<(), FsError> {
        let text = serde_json::to_vec(self).expect("plain fields always serialise");
        fs::write_volatile(&state_dir.join(FILE), &text)
    }
}

/// The last snapshot of a state directory, if there is a readable one.
pub fn read(state_dir: &Path) -> Option<Seen> {
    serde_json::from_slice(&std::fs::read(state_dir.join(FILE)).ok()?).ok()
}
