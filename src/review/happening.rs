//! What a review is made of: one happening, read from a line of the journal or from a line of the log.
//!
//! The journal is the truth; the log tells the same under the same names (`journal/told.rs`). Everything behind this type does
//! not know which of the two it was.
use std::borrow::Cow;
use std::ops::Deref;

use jiff::Timestamp;
use serde::Deserialize;

use crate::journal::{self, Event, Phase};
use crate::package::{Reason, State};

/// A text that stays in the buffer it was read into, unless its JSON had escapes. (`Option<Cow<str>>` would always be copied.)
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// What happened, as far as a review wants to know it. The fields are those of the journal.
#[derive(Clone, Debug)]
pub enum Happening<'a> {
    /// A daemon took the journal.
    Started {
        /// `nsc` or `tsd`.
        role: Text<'a>,
        /// Where.
        host: Text<'a>,
        /// Its process.
        pid: u32,
        /// The program's version.
        version: Text<'a>,
    },
    /// The daemon left and said so.
    Stopped {
        /// Its exit code.
        exit: i32,
        /// In words.
        why: Text<'a>,
    },
    /// Packages were found in the LIMS.
    Found {
        /// Their names.
        packages: Vec<Text<'a>>,
        /// What was queued for them.
        artifacts: Vec<Text<'a>>,
    },
    /// Something queued cannot be exported as it is.
    Doubted {
        /// What is queued.
        artifact: Text<'a>,
        /// What the laboratory calls it.
        who: Text<'a>,
        /// The code of what is wrong.
        reason: Text<'a>,
        /// In words.
        detail: Text<'a>,
        /// At so many looks so far; 0: not any more.
        times: u32,
    },
    /// Something queued is put out of the queue.
    Refused {
        /// What.
        artifact: Text<'a>,
        /// It is done.
        done: bool,
        /// Why, and where it went.
        detail: Text<'a>,
    },
    /// An order went on in the LIMS.
    Claim {
        /// Which.
        order: Text<'a>,
        /// To where.
        phase: Phase,
        /// The LIMS step.
        step: Option<Text<'a>>,
        /// In words.
        detail: Option<Text<'a>>,
    },
    /// The LIMS step of an order could not be ended and will be tried again.
    OrderFailed {
        /// Which.
        order: Text<'a>,
        /// How often so far.
        failures: u32,
        /// Why.
        error: Text<'a>,
    },
    /// A package went from one state to another.
    Moved {
        /// Which.
        package: Text<'a>,
        /// It was known before: this is not its first move.
        known: bool,
        /// To where.
        to: State,
        /// Actor or person.
        by: Text<'a>,
        /// Its size, once known.
        bytes: Option<u64>,
        /// The code of the reason why it was stopped.
        reason: Option<Text<'a>>,
        /// The details.
        detail: Option<Text<'a>>,
    },
    /// Work on a package failed and will be tried again.
    Failed {
        /// Which.
        package: Text<'a>,
        /// The actor.
        by: Text<'a>,
        /// How often so far.
        failures: u32,
        /// Why.
        error: Text<'a>,
    },
    /// A package has left the sender's disk.
    Cleaned {
        /// Which.
        package: Text<'a>,
        /// Its size.
        bytes: u64,
        /// Actor or person.
        by: Text<'a>,
        /// How it is known that it arrived.
        proof: Text<'a>,
    },
    /// An actor failed.
    Incident(Box<journal::Incident>),
    /// It is up again.
    Restarted {
        /// The actor.
        actor: Text<'a>,
        /// From the failure to the first pulse, in milliseconds.
        down_ms: u64,
    },
    /// An actor cannot work because something outside is out of order.
    Degraded {
        /// The actor.
        actor: Text<'a>,
        /// What is wrong.
        why: Text<'a>,
    },
    /// It works again.
    Recovered {
        /// The actor.
        actor: Text<'a>,
        /// How long it could not work, in milliseconds.
        after_ms: u64,
    },
    /// Something that should have happened did not.
    Silent {
        /// What.
        what: Text<'a>,
        /// In words.
        why: Text<'a>,
        /// When it last did.
        last: Timestamp,
    },
    /// It happened again.
    Heard {
        /// What.
        what: Text<'a>,
        /// How long it had not happened, in milliseconds.
        after_ms: u64,
    },
    /// The configuration was read again.
    Reloaded {
        /// Keys that count from now on.
        changed: Text<'a>,
        /// Keys that wait for a restart.
        needs_restart: Text<'a>,
    },
    /// A person pulled a lever that moves no package.
    Acted {
        /// Which package it is about, if it is about one.
        package: Option<Text<'a>>,
        /// The person.
        by: Text<'a>,
        /// Why.
        why: Text<'a>,
        /// What it comes to.
        detail: Text<'a>,
    },
    /// Something that a review does not need.
    Else,
}

impl<'a> From<&'a Event> for Happening<'a> {
    fn from(event: &'a Event) -> Self {
        let some = |text: &'a Option<String>| text.as_deref().map(Text::from);
        match event {
            Event::Started { role, host, pid, version } => Self::Started {
                role: role.as_str().into(),
                host: host.as_str().into(),
                pid: *pid,
                version: version.as_str().into(),
            },
            Event::Stopped { exit, why } => Self::Stopped { exit: *exit, why: why.as_str().into() },
            Event::Ordered { order } => Self::Found {
                packages: order.packages.iter().map(|d| d.id.to_string().into()).collect(),
                artifacts: order.artifacts.iter().map(|a| a.as_str().into()).collect(),
            },
            Event::Doubted { artifact, who, reason, detail, times } => Self::Doubted {
                artifact: artifact.as_str().into(),
                who: who.as_str().into(),
                reason: reason.code().into(),
                detail: detail.as_str().into(),
                times: *times,
            },
            Event::Refused { artifact, done, detail } => Self::Refused {
                artifact: artifact.as_str().into(),
                done: *done,
                detail: detail.as_str().into(),
            },
            Event::Claim { order, phase, step, detail, .. } => Self::Claim {
                order: order.0.as_str().into(),
                phase: *phase,
                step: some(step),
                detail: some(detail),
            },
            Event::OrderFailed { order, failures, error, .. } => Self::OrderFailed {
                order: order.0.as_str().into(),
                failures: *failures,
                error: error.as_str().into(),
            },
            Event::Moved { package, from, to, by, facts } => Self::Moved {
                package: package.to_string().into(),
                known: from.is_some(),
                to: *to,
                by: by.as_str().into(),
                bytes: facts.bytes,
                reason: facts.reason.map(|r| Reason::code(r).into()),
                detail: some(&facts.detail),
            },
            Event::Failed { package, by, failures, error, .. } => Self::Failed {
                package: package.to_string().into(),
                by: by.as_str().into(),
                failures: *failures,
                error: error.as_str().into(),
            },
            Event::Cleaned { package, done: true, bytes, proof, by, .. } => Self::Cleaned {
                package: package.to_string().into(),
                bytes: *bytes,
                by: by.as_str().into(),
                proof: proof.as_str().into(),
            },
            Event::Committing { .. } | Event::Placed { .. } | Event::Cleaned { .. } => Self::Else,
            Event::Acted(acted) => Self::Acted {
                package: acted.act.package().map(|id| id.to_string().into()),
                by: acted.by.as_str().into(),
                why: acted.why.as_str().into(),
                detail: acted.act.to_string().into(),
            },
            Event::Incident(incident) => Self::Incident(Box::new(incident.clone())),
            Event::Restarted { actor, down_ms, .. } => {
                Self::Restarted { actor: actor.as_str().into(), down_ms: *down_ms }
            }
            Event::Degraded { actor, why } => {
                Self::Degraded { actor: actor.as_str().into(), why: why.as_str().into() }
            }
            Event::Recovered { actor, after_ms } => {
                Self::Recovered { actor: actor.as_str().into(), after_ms: *after_ms }
            }
            Event::Silent { what, why, last } => {
                Self::Silent { what: what.as_str().into(), why: why.as_str().into(), last: *last }
            }
            Event::Heard { what, after_ms } => {
                Self::Heard { what: what.as_str().into(), after_ms: *after_ms }
            }
            Event::Reloaded { changed, needs_restart } => Self::Reloaded {
                changed: changed.join(", ").into(),
                needs_restart: needs_restart.join(", ").into(),
            },
        }
    }
}
