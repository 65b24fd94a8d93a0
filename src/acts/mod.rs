//! What a person may do to packages, actors and limits: hold, release, retry, priority, reexport, pause, resume, bandwidth.
//!
//! What is decided is pure ([`judge()`]): the present, an act and the time in, and out comes what is journalled and what is said, or a
//! refusal with its remedy. `--dry-run` is the same without the journal. The shell ([`perform()`]) writes by compare-and-set and judges
//! anew when somebody was faster. It runs in the daemon, or in the command while it owns the state directory: one writer in any case.
//!
//! An act is honoured between steps. Work in hand is not cut off; its result is dropped where the next move is journalled, because the
//! package is not in the state any more that the work began in. Nothing here leads to READY: what is released is verified as ever.
mod find;
mod judge;
pub mod levers;
mod perform;
mod queue;
pub mod shelf;
mod taking_up;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use judge::{Plan, judge};
pub use perform::perform;
pub use queue::{Acts, Asked, queue};

use crate::conf::{Conf, Role, Side};
use crate::journal::{Facts, Lever};
use crate::package::{PackageId, Priority, State};

/// A limit of bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// So many.
    Bytes(u64),
    /// None.
    Off,
    /// As the configuration says.
    AsConfigured,
}

/// What somebody wants. Packages are given as people do: whole, by name, by sample number, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum Act {
    /// Nobody works on it until it is released.
    Hold {
        /// Which.
        package: String,
    },
    /// What is held or was stopped is taken up again.
    Release {
        /// Which.
        package: String,
    },
    /// What failed or was stopped is tried again at once, or from an earlier step.
    Retry {
        /// Which.
        package: String,
        /// From there; none: from where it can be gone on with.
        #[serde(default)]
        from: Option<State>,
    },
    /// How soon.
    Priority {
        /// Which.
        package: String,
        /// How soon.
        priority: Priority,
    },
    /// What was sent is sent once more, as a new revision.
    Reexport {
        /// Which.
        package: String,
    },
    /// An actor, or `uploads`, take nothing new.
    Pause {
        /// Which.
        what: String,
    },
    /// They go on.
    Resume {
        /// Which.
        what: String,
    },
    /// Another limit of bytes a second.
    Bandwidth {
        /// Which.
        limit: Limit,
        /// It ends by itself then.
        #[serde(default)]
        until: Option<Timestamp>,
    },
    /// A stop file was taken away.
    Undrain,
}

/// What has to be known besides the journal.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Which side this is.
    pub role: Role,
    /// Several receivers share the bucket by claims.
    pub shared: bool,
}

impl Site {
    /// As configured.
    pub fn of(conf: &Conf) -> Self {
        let shared = matches!(&conf.side, Side::Tsd(tsd) if tsd.share.claims);
        Self { role: conf.role, shared }
    }
}

/// Who wants what, and why. Version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Of this format: 1.
    pub version: u32,
    /// Its own name.
    pub id: String,
    /// The person.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// One after the other; one that is refused does not keep the others.
    pub acts: Vec<Act>,
}

/// So many acts a request may have.
pub const MOST: usize = 1000;

/// Why an act is not done, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub why: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Refusal {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), remedy: None }
    }

    pub(crate) fn with(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { why: why.into(), remedy: Some(remedy.into()) }
    }
}

/// What is said of an act that is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which package it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageId>,
    /// What was done.
    pub done: String,
    /// What changes by that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The arguments that undo it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// What the journal is told. A package's deed is done only if it is in the state in which it was judged.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// There is nothing to do.
    Nothing,
    /// A move.
    Move {
        /// Which package.
        package: PackageId,
        /// From where.
        from: State,
        /// To where.
        to: State,
        /// With what; why is filled in.
        facts: Box<Facts>,
    },
    /// A lever, and the state in which its package must be.
    Pull(Lever, Option<(PackageId, State)>),
}

/// What became of one act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is done, or would be.
    Done(Told),
    /// It is not.
    Refused(Refusal),
}

/// What became of a request: one outcome for each act, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Nothing was done; this is what would be.
    pub dry_run: bool,
    /// One for each act.
    pub outcomes: Vec<Outcome>,
}

#[cfg(test)]
mod tests;
