//! The answer as plain data: what the text, the JSON and the page show.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::logs::LogReport;
use super::messages::LogCount;
use crate::journal::Incident;
use crate::package::State;

/// An incident and how it ended.
#[derive(Clone, Debug, Serialize)]
pub struct IncidentAt {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub incident: Incident,
    /// When it was over; none if it is not.
    pub over_at: Option<Timestamp>,
    /// How it ended: `restarted`, `went-on` (the actor worked again), `failed-again`, `new-start` or `stopped` (of the daemon).
    pub over_by: Option<&'static str>,
    /// From the failure to the first sign of life, in seconds; none if that is not known.
    pub down_secs: Option<f64>,
    #[serde(skip)]
    pub(super) stream: usize,
}

/// A time during which an actor could not work.
#[derive(Clone, Debug, Serialize)]
pub struct Outage {
    /// The actor.
    pub actor: String,
    /// What was wrong.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// How long, in seconds; none while it lasts.
    pub secs: Option<f64>,
}

/// A time during which something did not happen that should have.
#[derive(Clone, Debug, Serialize)]
pub struct Silence {
    /// What.
    pub what: String,
    /// In words.
    pub why: String,
    /// When it last happened.
    pub last: Timestamp,
    /// When that was noticed.
    pub noticed: Timestamp,
    /// How long it had not happened, in seconds; none while it lasts.
    pub secs: Option<f64>,
}

/// A package that was stopped and still is.
#[derive(Clone, Debug, Serialize)]
pub struct Stopped {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub package: String,
    /// The reason's code; none if a person holds it.
    pub reason: Option<String>,
    /// The details.
    pub detail: Option<String>,
    /// What to do.
    pub remedy: Option<&'static str>,
}

/// An order that a person has to end in the LIMS.
#[derive(Clone, Debug, Serialize)]
pub struct OpenOrder {
    /// Since when.
    pub at: Timestamp,
    /// Which.
    pub order: String,
    /// The LIMS step.
    pub step: Option<String>,
    /// In words.
    pub detail: Option<String>,
    /// Its claim has ended: nothing will tell when somebody has seen to it.
    pub flagged: bool,
}

/// Something queued that cannot be exported as it is.
#[derive(Clone, Debug, Serialize)]
pub struct Doubt {
    /// When that was found first.
    pub since: Timestamp,
    /// What is queued.
    pub artifact: String,
    /// What the laboratory calls it.
    pub who: String,
    /// The reason's code.
    pub reason: String,
    /// In words.
    pub detail: String,
    /// Looks that found it so, as far as they were counted.
    pub times: u32,
    /// It was put out of the queue; where to.
    pub refused: Option<String>,
}

/// A package at its end.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// Which.
    pub package: String,
    /// When.
    pub at: Timestamp,
    /// Which end.
    pub state: State,
    /// Its size.
    pub bytes: u64,
    /// From first seen here to its end here; none if it was first seen before what was read.
    pub secs: Option<f64>,
}

/// A package that took, or takes, much longer than others of its kind.
#[derive(Clone, Debug, Serialize)]
pub struct Slow {
    /// Which.
    pub package: String,
    /// First seen here.
    pub since: Timestamp,
    /// How long so far.
    pub secs: f64,
    /// The median of its kind, where there is one.
    pub median_secs: Option<f64>,
    /// Where it is.
    pub state: State,
    /// Its size.
    pub bytes: u64,
}

/// A failure that was tried again.
#[derive(Clone, Debug, Serialize)]
pub struct Retried {
    /// When.
    pub at: Timestamp,
    /// Which package or order.
    pub package: String,
    /// Who tried.
    pub by: String,
    /// How often it had failed.
    pub failures: u32,
    /// Why.
    pub error: String,
}

/// One start of a daemon.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// When.
    pub at: Timestamp,
    /// Nothing said that the life before it had ended: a crash, a kill, a power cut.
    pub after_crash: bool,
    /// The last that was heard of the life before.
    pub last_heard: Option<Timestamp>,
    /// The program's version.
    pub version: String,
}

/// One orderly end of a daemon, or one with an error.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Its exit code.
    pub exit: i32,
    /// In words.
    pub why: String,
}

/// Whether a daemon is there at the end of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alive {
    /// It runs and reports.
    Runs,
    /// Its process holds the state directory but has not reported for this many seconds.
    Hangs(u64),
    /// There is no process.
    Gone,
    /// That cannot be told from what was read.
    Unknown,
}

/// A daemon over the time.
#[derive(Clone, Debug, Serialize)]
pub struct Daemon {
    /// `nsc` or `tsd`; empty if no start was read.
    pub role: String,
    /// Where.
    pub host: String,
    /// Its starts in this time.
    pub starts: Vec<Start>,
    /// Its ends in this time.
    pub ends: Vec<End>,
    /// How long it ran in this time, as far as is proven.
    pub up_secs: f64,
    /// The last start has no end.
    pub running: bool,
    /// When its last life began.
    pub since: Option<Timestamp>,
    /// How its last life ended, if it did.
    pub last_end: Option<End>,
    /// The last that was heard of it.
    pub last_heard: Option<Timestamp>,
    /// Whether it is there now.
    pub alive: Alive,
    /// Parts of the time during which it ran, for the chart.
    #[serde(skip)]
    pub spans: Vec<(Timestamp, Timestamp)>,
}

/// What moved in one stretch of time. A package's bytes count when its last byte was acknowledged (nsc) or on the disk (tsd).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bucket {
    /// Bytes.
    pub bytes: u64,
    /// Packages that came to their end.
    pub packages: u64,
    /// Packages that were quarantined.
    pub quarantined: u64,
}

/// What moved over time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Throughput {
    /// All bytes.
    pub bytes: u64,
    /// Mean over all of the time.
    pub bytes_per_hour: f64,
    /// The same for packages at their end.
    pub packages_per_hour: f64,
    /// How long bytes were under way, without outages and downtimes.
    pub moving_secs: f64,
    /// Mean rate of that time, in bytes per second.
    pub bytes_per_second_moving: Option<f64>,
    /// Width of a bucket.
    pub bucket_secs: i64,
    /// From the beginning to the end of the time, without gaps.
    pub buckets: Vec<(Timestamp, Bucket)>,
}

/// One move or failure of a package that was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// Which package.
    pub package: String,
    /// In words.
    pub what: String,
}

/// Something that needs a person.
#[derive(Clone, Debug, Serialize)]
pub struct Act {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub cure: String,
}

/// The verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Somebody is needed.
    Act,
    /// Nothing was read that could tell.
    #[default]
    NoAnswer,
    /// Something happened, and is over.
    Over,
    /// Nothing happened that should not.
    Quiet,
}

/// What was read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sources {
    /// Whole lines of the journal.
    pub journal_lines: u64,
    /// What is wrong with the journal.
    pub journal_trouble: Option<String>,
    /// The journal ends within a line that is being written, or was cut off.
    pub journal_torn: bool,
    /// The happenings, or the newest of them, come from the log.
    pub from_log: bool,
    /// The logs.
    pub log: LogReport,
}

/// The answer. Lists are oldest first.
#[derive(Clone, Debug, Serialize)]
pub struct Review {
    /// From.
    pub since: Timestamp,
    /// To.
    pub until: Timestamp,
    /// Only this actor.
    pub actor: Option<String>,
    /// Only packages whose name contains this.
    pub package: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// What needs somebody.
    pub act: Vec<Act>,
    /// The daemons whose records were read.
    pub daemons: Vec<Daemon>,
    /// Incidents per actor and cause.
    pub causes: BTreeMap<String, BTreeMap<String, u64>>,
    /// Incidents.
    pub incidents: Vec<IncidentAt>,
    /// Outages.
    pub outages: Vec<Outage>,
    /// Silences.
    pub silences: Vec<Silence>,
    /// Readings of the configuration while it ran: when, what changed, what waits for a restart.
    pub reloads: Vec<(Timestamp, String, String)>,
    /// What people did to packages, actors and limits.
    pub levers: Vec<Step>,
    /// Packages that reached their end.
    pub delivered: usize,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Packages that left the sender's disk.
    pub cleaned: usize,
    /// Their bytes.
    pub cleaned_bytes: u64,
    /// Packages that were quarantined in this time.
    pub quarantined: usize,
    /// Packages that are stopped.
    pub stopped: Vec<Stopped>,
    /// Orders that a person has to end in the LIMS.
    pub open_orders: Vec<OpenOrder>,
    /// What is queued and cannot be exported as it is.
    pub doubts: Vec<Doubt>,
    /// Packages that were read of at all.
    pub known_packages: usize,
    /// Packages under way at the end.
    pub underway: usize,
    /// The one that is under way longest.
    pub oldest_underway: Option<Slow>,
    /// Slow packages, the slowest first.
    pub slow: Vec<Slow>,
    /// The slowest package that came to its end, slow or not.
    pub slowest: Option<Slow>,
    /// Packages that reached their end, with the time they took.
    pub done: Vec<Done>,
    /// How many failures were tried again.
    pub retried_count: u64,
    /// The newest of them.
    pub retried: Vec<Retried>,
    /// What moved when.
    pub throughput: Throughput,
    /// The way of each package that was asked for.
    pub steps: Vec<Step>,
    /// Lines of the log by level.
    pub log: LogCount,
    /// What was read.
    pub sources: Sources,
}

impl Review {
    /// Whether a person has to act, or could not be answered.
    pub fn needs_somebody(&self) -> bool {
        matches!(self.verdict, Verdict::Act | Verdict::NoAnswer)
    }

    /// Length of the time, in seconds.
    pub fn span_secs(&self) -> f64 {
        crate::clock::age(self.since, self.until).as_secs_f64()
    }
}
