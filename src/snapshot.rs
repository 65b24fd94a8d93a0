//! `status.json`: what a running daemon is doing, written every second for whoever asks.
//!
//! It adds what the journal does not know (actors, bytes in motion) and is worthless once the daemon is gone, which its time
//! and the owner lock tell.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;

use crossbeam_channel::{Sender, bounded};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fs::{self, FsError};
use crate::supervisor::ChildStatus;
use crate::supervisor::meter::Motion;

const FILE: &str = "status.json";

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
    /// What waits outside or was refused, with the reason.
    #[serde(default)]
    pub not_taken: BTreeMap<String, String>,
}

impl Snapshot {
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

/// Writes snapshots on a thread of its own: the supervisor's must not wait for the disk of the state directory.
pub struct Clerk {
    desk: Sender<Snapshot>,
}

impl Clerk {
    /// Starts the thread; it ends with the clerk.
    pub fn start(state_dir: PathBuf) -> std::io::Result<Self> {
        let (desk, inbox) = bounded::<Snapshot>(1);
        let write = move || {
            for snapshot in inbox {
                if let Err(e) = snapshot.write(&state_dir) {
                    tracing::debug!(error = %crate::chain(&e), "could not write status.json"); // the next comes in a second
                }
            }
        };
        drop(thread::Builder::new().name("status".into()).spawn(write)?);
        Ok(Self { desk })
    }

    /// Hands it over. While the disk hangs, one waits and the others are left out: the old file shows its age.
    pub fn write(&self, snapshot: Snapshot) {
        drop(self.desk.try_send(snapshot));
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
        let written = Snapshot {
            at: now,
            started: now,
            version: "1".into(),
            actors: vec![actor],
            moving: vec![],
            not_taken,
        };
        written.write(dir.path()).unwrap();
        let read = Snapshot::read(dir.path()).unwrap();
        assert_eq!((read.at, read.actors[0].restarts, read.not_taken["a"].as_str()), (now, 2, "b"));
        let other = format!(
            "{{\"at\": \"{now}\", \"started\": \"{now}\", \"version\": \"9\", \"actors\": [{{\"actor\": \"x\", \"mood\": 1}}]}}"
        );
        fs::write_volatile(&dir.path().join(FILE), other.as_bytes()).unwrap();
        assert_eq!(Snapshot::read(dir.path()).unwrap().actors[0].actor, "x");
    }
    #[test]
    fn a_clerk_writes_and_nobody_waits_for_him() {
        let dir = tempfile::tempdir().unwrap();
        let clerk = Clerk::start(dir.path().join("hangs").join("not-there")).unwrap();
        let (at, begun) = (clock::now(), std::time::Instant::now());
        let one = || Snapshot {
            at,
            started: at,
            version: "1".into(),
            actors: vec![],
            moving: vec![],
            not_taken: BTreeMap::new(),
        };
        (0..1000).for_each(|_| clerk.write(one()));
        assert!(begun.elapsed().as_secs() < 5);
        let clerk = Clerk::start(dir.path().to_owned()).unwrap();
        clerk.write(one());
        while Snapshot::read(dir.path()).is_none() {
            assert!(begun.elapsed().as_secs() < 10, "nothing was written");
            thread::yield_now();
        }
    }
}
