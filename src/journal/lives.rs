//! The lives of daemons on a journal: whether the last one before this one ended with a word, and with which.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a life ended that was followed by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// When the next one began.
    pub restarted: Timestamp,
    /// What it said at its end; nothing after a kill or a power cut.
    pub last_words: Option<String>,
}

/// What is known of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lives {
    runs: bool,
    /// The last words, if it ended with an error.
    failed: Option<String>,
    broken: Option<Broken>,
}

impl Lives {
    pub(super) fn begin(&mut self, at: Timestamp) {
        let failed = self.failed.take();
        let broken = self.runs || failed.is_some();
        self.broken = broken.then_some(Broken { restarted: at, last_words: failed });
        self.runs = true;
    }

    pub(super) fn end(&mut self, exit: i32, why: &str) {
        self.runs = false;
        self.failed = (exit != 0).then(|| format!("exit code {exit}: {why}"));
    }

    /// Set if the present life followed one that did not end in order.
    pub fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_that_ends_without_a_word_or_with_an_error_is_broken() {
        let at = |secs: i64| Timestamp::from_second(1_800_000_000 + secs).unwrap();
        let mut lives = Lives::default();
        lives.begin(at(0));
        assert_eq!(lives.broken(), None, "the first one");
        lives.begin(at(1));
        assert_eq!(lives.broken(), Some(&Broken { restarted: at(1), last_words: None }));
        lives.end(0, "SIGTERM");
        lives.begin(at(2));
        assert_eq!(lives.broken(), None);
        lives.end(75, "the disk is full");
        lives.begin(at(3));
        let words = lives.broken().and_then(|b| b.last_words.clone());
        assert_eq!(words.as_deref(), Some("exit code 75: the disk is full"));
    }
}
