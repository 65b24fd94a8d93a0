//! Where a review is read from: journal and log of a state directory, or logs alone.
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::answer::{Alive, Review, Sources};
use super::finish::Ending;
use super::fold::Fold;
use super::happening::Happening;
use super::logfiles::{self, Found, Trouble};
use super::messages::Messages;
use super::{Scope, logs};
use crate::clock;
use crate::fs::FsError;
use crate::journal::{self, Owner};
use crate::snapshot::Snapshot;

/// A daemon reports every second; one that is silent for longer than this hangs.
const REPORTS_WITHIN: Duration = Duration::from_secs(10);
/// A report this old is worth waiting for the next one, if nothing else proves that there is a process.
const WORTH_A_WAIT: Duration = Duration::from_secs(120);
/// Two reports and some delay of a network file system.
const WAIT: Duration = Duration::from_millis(2500);

/// What to read.
#[derive(Clone, Debug)]
pub enum Source {
    /// The journal of `state`, and for the rest the files in `log`.
    Site {
        /// The state directory.
        state: PathBuf,
        /// The log directory.
        log: PathBuf,
    },
    /// These log files and directories alone.
    Logs(Vec<PathBuf>),
}

/// Why there is no review.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither journal nor log.
    #[error(
        "there is no journal in {state} and no log file in {log}: are state.dir and log.dir right, and was the daemon ever started? Logs from elsewhere are read with --log FILE-or-DIR"
    )]
    Nothing {
        /// The state directory.
        state: PathBuf,
        /// The log directory.
        log: PathBuf,
    },
    /// No log where one was named.
    #[error(
        "no log file in {0}: logs are called like tsd-import.2026-11-22.jsonl, perhaps with .gz or a number behind it; name the file itself if it is called otherwise"
    )]
    NoLogs(String),
    /// What was named could not be read or is no log.
    #[error("nothing of what was named can be read as a log: {0}")]
    Unreadable(String),
    /// What was named is not there.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// Reads all there is and answers. `now` ends the time where nothing else does.
pub fn review(source: &Source, scope: &Scope, now: Timestamp) -> Result<Review, SourceError> {
    let (mut fold, mut sources) = (Fold::new(scope.clone()), Sources::default());
    let mut messages = Messages::default();
    let (found, from) = match source {
        Source::Logs(places) => {
            let found = logfiles::find(places)?;
            if found.groups.is_empty() && found.troubles.is_empty() {
                let places: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
                return Err(SourceError::NoLogs(places.join(", ")));
            }
            if found.groups.is_empty() {
                let why = found.troubles.iter().map(|t| format!("{}: {}", t.path.display(), t.why));
                return Err(SourceError::Unreadable(why.collect::<Vec<_>>().join("; ")));
            }
            (found, Some(Timestamp::MIN))
        }
        Source::Site { state, log } => site(state, log, scope, &mut fold, &mut sources)?,
    };
    sources.from_log = from.is_some();
    let mut troubles = found.troubles;
    sources.log = logs::read(found.groups, |stream, line, raw| {
        messages.take(line, raw, scope);
        if from.is_none_or(|from| line.at < from) || scope.until.is_some_and(|until| line.at > until) {
            return;
        }
        match &line.happening {
            Some(happening) => fold.take(stream, line.at, happening),
            None => fold.heard(stream, line.at),
        }
    });
    troubles.append(&mut sources.log.troubles);
    sources.log.troubles = troubles;
    let (until, alive) = match source {
        Source::Logs(_) => (sources.log.last.unwrap_or(now), Alive::Unknown),
        // What is true now says nothing of an earlier time.
        Source::Site { .. } if scope.until.is_some_and(|until| until < now) => (now, Alive::Unknown),
        Source::Site { state, .. } => (now, look(state, &fold)),
    };
    Ok(fold.finish(Ending { until, alive, sources, log: messages.finish() }))
}

/// Reads the journal; says which log files are to be read, and from when on their events count, if they do.
fn site(
    state: &Path,
    log: &Path,
    scope: &Scope,
    fold: &mut Fold,
    sources: &mut Sources,
) -> Result<(Found, Option<Timestamp>), SourceError> {
    // The journal is the answer; a log that cannot be read is told and does not keep it back.
    let mut found = match crate::fs::dir_exists(log) {
        Ok(false) => Found::default(),
        Ok(true) => logfiles::find(&[log.to_owned()]).unwrap_or_else(|e| unread(log, &e)),
        Err(e) => unread(log, &e),
    };
    let path = state.join(journal::FILE);
    let there = !std::fs::metadata(&path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
    if !there && found.groups.is_empty() && found.troubles.is_empty() {
        return Err(SourceError::Nothing { state: state.to_owned(), log: log.to_owned() });
    }
    let mut last = None;
    let read = journal::read(state, |line| {
        sources.journal_lines += 1;
        last = Some(line.at);
        fold.take(0, line.at, &Happening::from(&line.event));
    });
    match read {
        Ok(report) => sources.journal_torn = report.torn > 0,
        Err(e) => sources.journal_trouble = Some(crate::chain(&e)),
    }
    if !there {
        sources.journal_trouble = Some(format!("there is none in {}; is state.dir right?", state.display()));
    }
    // The line behind the damage was told at that time or later; what was told before is told twice, and counts once.
    let from = sources.journal_trouble.is_some().then(|| last.unwrap_or(Timestamp::MIN));
    if let Some(last) = last.filter(|_| from.is_some()) {
        fold.goes_on_with_log(last);
    }
    if let Some(since) = scope.since {
        found.only_since(from.map_or(since, |from| from.min(since)));
    }
    Ok((found, from))
}

fn unread(log: &Path, e: &FsError) -> Found {
    let trouble = Trouble { path: log.to_owned(), why: crate::chain(e) };
    Found { troubles: vec![trouble], ..Found::default() }
}

/// Whether the daemon is there: by its lock, or, where locks do not reach this host, by the next of its reports.
fn look(state: &Path, fold: &Fold) -> Alive {
    let held = Owner::look(state).is_some();
    let reported = Snapshot::read(state).map(|s| s.at);
    let age = |at: Timestamp| clock::age(at, clock::now());
    let young = fold.last_start().is_some_and(|at| age(at) < REPORTS_WITHIN);
    match reported {
        Some(at) if held && !young && age(at) > REPORTS_WITHIN => return Alive::Hangs(age(at).as_secs()),
        _ if held => return Alive::Runs,
        _ => {}
    }
    let ended = fold.ended();
    let Some(at) = reported.filter(|at| !ended && age(*at) < WORTH_A_WAIT) else { return Alive::Gone };
    std::thread::sleep(WAIT);
    if Snapshot::read(state).is_some_and(|s| s.at > at) { Alive::Runs } else { Alive::Gone }
}
