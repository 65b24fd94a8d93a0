//! The present, as people ask for it: what is going on (`status`), where is this package (`why`), which ones are there (`list`).
//!
//! ```text
//! Fold (journal) + Snapshot (daemon) + holder + stop file ─→ Present ─→ answer ─→ text │ JSON
//! ```
//! An answer is plain data that can be sent, read again and printed by somebody else; text is made of the answer and of nothing else. All
//! of it is pure: it reads no file and asks nobody, so a command, the daemon itself and a test call the same functions.
mod list;
mod list_text;
mod page;
mod seek;
mod status;
mod status_text;
mod timeline;
mod waits;
mod why;
mod why_text;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use list::{Filter, ListAnswer, ListRow};
pub use page::Look;
pub(crate) use page::{Tone, relative, span};
pub use status::{
    Doubted, Failing, Few, Moving, OrderTrouble, Rests, StatusAnswer, StopFile, Stopped, Tally,
};
pub(crate) use status_text::{refusal, word};
pub use timeline::Step;
pub(crate) use waits::carrier;
pub use why::{Found, Looked, Match, PackageAnswer, WaitingAnswer, WhyAnswer};

use crate::clock;
use crate::journal::{Fold, Holder};
use crate::snapshot::Snapshot;
use crate::stop::Stop;

/// A snapshot older than this tells of a daemon that is gone or hangs.
const FRESH: Duration = Duration::from_secs(10);

/// Everything that is known at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// `nsc` or `tsd`.
    pub role: &'a str,
    /// The configured or the system's host name.
    pub host: &'a str,
    /// What the journal says.
    pub fold: &'a Fold,
    /// What a daemon said last; none: it never did.
    pub seen: Option<&'a Snapshot>,
    /// Who holds the state directory; none: nobody, so no daemon runs.
    pub holder: Option<&'a Holder>,
    /// The stop file, and where it lies.
    pub stop: Option<(&'a Stop, &'a str)>,
    /// Now.
    pub now: Timestamp,
}

/// Whether anything can move at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// The daemon runs and says so every second.
    Runs,
    /// It is on the way out.
    Stops,
    /// It holds the state directory and has not reported for longer than it should.
    Hangs,
    /// No daemon runs.
    Down,
}

impl Health {
    /// Whether the daemon answers.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Runs | Self::Stops)
    }

    /// What a person must know before anything else; none if the daemon answers.
    pub(crate) fn caution(self) -> Option<&'static str> {
        match self {
            Self::Runs | Self::Stops => None,
            Self::Hangs => {
                Some("The daemon hangs or is stopped: nothing moves. This is what the journal says.")
            }
            Self::Down => Some("The daemon does not run: nothing moves. This is what the journal says."),
        }
    }
}

impl<'a> Present<'a> {
    /// What the daemon says, if it lives.
    fn snapshot(&self) -> Option<&'a Snapshot> {
        let fresh = |s: &&Snapshot| clock::age(s.at, self.now) < FRESH;
        self.seen.filter(|_| self.holder.is_some()).filter(fresh)
    }

    /// Whether it lives.
    pub fn health(&self) -> Health {
        match (self.holder, self.snapshot()) {
            (None, _) => Health::Down,
            (Some(_), None) => Health::Hangs,
            (Some(_), Some(seen)) if seen.stopping.is_some() => Health::Stops,
            (Some(_), Some(_)) => Health::Runs,
        }
    }
}

#[cfg(test)]
mod tests;
