//! What is said against a package, and how it is put on record.
//!
//! A failure is sorted where it is born: an outage (the same for every package) makes the actor wait; a blame with a
//! [`Reason`] stops the package at once because trying again cannot help; a blame without one is counted, retried with
//! back-off, and stops the package when it has happened too often. Only the journal's own failure is fatal, and a
//! lease that is over.
use std::fmt;
use std::sync::Arc;

use crate::chain;
use crate::clock;
use crate::conf::WorkConf;
use crate::disk::DiskError;
use crate::fs::FsError;
use crate::journal::{Event, Facts, Fold, Journal, JournalError, Row};
use crate::package::{PackageId, Reason, State};
use crate::store::StoreError;
use crate::supervisor::turn::Weight;
use crate::supervisor::{jitter, station};

/// What is said against a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// Why trying again cannot help; none: it may.
    pub reason: Option<Reason>,
    /// The reason once it has not helped too often.
    pub finally: Reason,
    /// What was done, to what, and what came of it.
    pub detail: String,
}

/// A failed step of a package.
pub type Failure = station::Failure<Blame>;

impl Blame {
    /// Stops the package for good.
    pub fn stop(reason: Reason, detail: impl fmt::Display) -> Failure {
        Failure::Unit(Self { reason: Some(reason), finally: reason, detail: detail.to_string() })
    }

    /// May help to try again.
    pub fn again(detail: impl fmt::Display) -> Failure {
        Self::again_then(Reason::TooManyFailures, detail)
    }

    /// May help to try again; if it does not, this is the reason.
    pub fn again_then(finally: Reason, detail: impl fmt::Display) -> Failure {
        Failure::Unit(Self { reason: None, finally, detail: detail.to_string() })
    }

    /// A panic or a stand-still in the work on it.
    pub fn accident(what: String) -> Self {
        Self { reason: None, finally: Reason::TooManyFailures, detail: what }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Some(reason) => write!(f, "{reason}: {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

impl From<Arc<JournalError>> for Failure {
    fn from(error: Arc<JournalError>) -> Self {
        Self::Fatal(chain(&*error))
    }
}

impl From<FsError> for Failure {
    fn from(error: FsError) -> Self {
        match &error {
            e if e.fenced().is_some() => Self::Fatal(chain(&error)),
            e if e.is_outage() => Self::Outage(chain(&error)),
            _ => Blame::again(chain(&error)),
        }
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        if error.is_outage() { Self::Outage(chain(&error)) } else { Blame::again(error) }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            e if e.is_fenced() => Self::Fatal(chain(&error)),
            e if e.is_outage() => Self::Outage(chain(&error)),
            StoreError::Changed(_) => Blame::stop(Reason::SourceChanged, chain(&error)),
            _ => Blame::again(chain(&error)),
        }
    }
}

/// Puts a blame on record: another attempt later, or quarantine. `Err` is fatal.
pub async fn put_on_record(
    journal: &Journal,
    work: &WorkConf,
    by: &'static str,
    package: &PackageId,
    blame: Blame,
) -> Result<(), String> {
    let known = journal.view().package(package).map(|row| (row.state, row.failures + 1));
    let Some((state, failures)) = known.filter(|(state, _)| !state.is_settled()) else { return Ok(()) };
    let said = if blame.reason.is_none() && failures < work.max_failures {
        let retry_at = clock::now() + work.retry.delay(failures, jitter());
        let error = blame.detail;
        journal
            .record(Event::Failed { package: package.clone(), by: by.into(), failures, error, retry_at })
            .await
    } else {
        let reason = blame.reason.unwrap_or(blame.finally);
        let facts = Facts { reason: Some(reason), detail: Some(blame.detail), ..Facts::default() };
        journal.step(package, Some(state), State::Quarantined, by, facts).await.map(drop)
    };
    said.map_err(|e| chain(&*e))
}

/// How a package stands among others that wait.
pub fn weight(fold: &Fold, id: &PackageId) -> Weight {
    let of = |row: &Row| Weight {
        service: false,
        urgency: row.priority as u8,
        bytes: row.facts.bytes.unwrap_or(0),
    };
    fold.package(id).map_or_else(Weight::default, of)
}
