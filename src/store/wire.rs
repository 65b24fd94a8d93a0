//! What goes on between us and the store, for whoever asks.
use std::collections::BTreeMap;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// One moment of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wire {
    /// Requests with bytes that are under way or about to be.
    pub in_flight: usize,
    /// How many may be, as found at present.
    pub limit: usize,
    /// How many wait, by urgency.
    #[serde(default)]
    pub waiting: BTreeMap<u8, usize>,
    /// Over the last seconds, both ways.
    #[serde(default)]
    pub bytes_per_second: u64,
    /// The limit of bytes a second that holds now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
}

impl Wire {
    /// Whether there is nothing to be told.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty() && self.bytes_per_second == 0 && self.at_most.is_none()
    }
}

impl std::fmt::Display for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (speed, waiting) = (ByteSize(self.bytes_per_second), self.waiting.values().sum::<usize>());
        write!(f, "{} of {} in flight, {speed}/s", self.in_flight, self.limit)?;
        if waiting > 0 {
            write!(f, ", {waiting} wait")?;
        }
        match self.at_most {
            Some(limit) => write!(f, "; held to {}/s by store.limit or its timetable", ByteSize(limit)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_moves_who_waits_and_that_a_limit_holds() {
        let mut wire = Wire { in_flight: 8, limit: 9, bytes_per_second: 412 << 20, ..Wire::default() };
        assert_eq!(wire.to_string(), "8 of 9 in flight, 412.0 MiB/s");
        wire.waiting = [(0, 1), (2, 2)].into();
        wire.at_most = Some(500 << 20);
        let said =
            "8 of 9 in flight, 412.0 MiB/s, 3 wait; held to 500.0 MiB/s by store.limit or its timetable";
        assert_eq!(wire.to_string(), said);
        assert!(!wire.is_idle() && Wire { limit: 8, ..Wire::default() }.is_idle());
        let read: Wire = serde_json::from_str(&serde_json::to_string(&wire).unwrap()).unwrap();
        assert_eq!(read, wire);
    }
}
