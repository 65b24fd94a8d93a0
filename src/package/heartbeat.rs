//! A sender's sign of life, put every minute: that it runs, what waits there, and the last number that it gave out.
//!
//! It is not signed, so nothing is decided by it: it raises alarms and is shown.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{PackageId, Priority, Sender};

/// So many packages are told of.
pub const RECENT: usize = 50;

/// Described in `docs/format.md`. Unknown fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Of this format: 1.
    pub version: u32,
    /// When, by the sender's clock.
    pub at: Timestamp,
    /// Whose.
    pub sender: Sender,
    /// The version of its program.
    pub program: String,
    /// Packages that wait to be sent or are being sent.
    pub backlog: BTreeMap<Priority, u64>,
    /// Of its last commit; 0: none so far.
    pub sequence: u64,
    /// Its last packages, committed or about to be: where a receiver looks first. Older programs do not tell.
    #[serde(default)]
    pub recent: Vec<PackageId>,
}

impl Heartbeat {
    /// The bytes that are put.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("plain fields always serialise")
    }

    /// Reads one that was found under the key of `sender`; in words why not.
    pub fn parse(bytes: &[u8], sender: &Sender) -> Result<Self, String> {
        let mut beat: Self = serde_json::from_slice(bytes).map_err(|e| format!("it is no heartbeat: {e}"))?;
        beat.recent.truncate(RECENT); // anybody who may put can write one
        match beat.version {
            1 if beat.sender == *sender => Ok(beat),
            1 => Err(format!("it says that it is of {}", beat.sender)),
            version => Err(format!("it has version {version}; this program knows version 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_and_nobody_elses() {
        let sender: Sender = "gdx-login/1".parse().unwrap();
        let beat = Heartbeat {
            version: 1,
            at: "2026-06-12T10:00:00Z".parse().unwrap(),
            sender: sender.clone(),
            program: "0.1.0".into(),
            backlog: [(Priority::Urgent, 2), (Priority::Normal, 0)].into(),
            sequence: 17,
            recent: vec!["samples/a/r2".parse().unwrap()],
        };
        let text = beat.to_text();
        assert!(text.contains(r#""backlog":{"#) && text.contains(r#""urgent":2"#), "{text}");
        assert_eq!(Heartbeat::parse(text.as_bytes(), &sender).unwrap(), beat);
        assert!(Heartbeat::parse(text.as_bytes(), &"gdx-login/2".parse().unwrap()).is_err());
        let older = text.replace(r#","recent":["samples/a/r2"]"#, "");
        assert_eq!(
            Heartbeat::parse(older.as_bytes(), &sender).unwrap(),
            Heartbeat { recent: vec![], ..beat }
        );
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert!(Heartbeat::parse(newer.as_bytes(), &sender).unwrap_err().contains("version 2"));
        for odd in ["", "{}", "[1]", "null"] {
            assert!(Heartbeat::parse(odd.as_bytes(), &sender).is_err(), "{odd}");
        }
    }
}
