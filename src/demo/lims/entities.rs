//! What the server knows: projects, samples, artifacts, containers, processes, step runs, queue rows.
//!
//! Plain data, keyed by limsid in [`super::world::World`]; an entity does not hold its own id. Links are limsids too.
//! Optional fields are those that real documents lack at times: a control has no project, a root artifact no parent, a
//! result file no location, an open process no date.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::settings::{StepState, Udf};

#[derive(Debug, Clone)]
pub(super) struct Project {
    pub(super) name: String,
    pub(super) opened: String,
    pub(super) udfs: Vec<Udf>,
    /// Samples made so far; gives the next one its number.
    pub(super) samples: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) name: String,
    /// Absent on controls.
    pub(super) project: Option<String>,
    pub(super) received: String,
    /// The root artifact.
    pub(super) artifact: String,
    pub(super) udfs: Vec<Udf>,
}

/// Kind of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Analyte,
    ResultFile,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Analyte => "Analyte",
            Self::ResultFile => "ResultFile",
        }
    }
}

/// Where an artifact stands in one stage. The history keeps old entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StageStatus {
    Queued,
    InProgress,
    Removed,
    Complete,
    Reworked,
}

impl StageStatus {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::InProgress => "IN_PROGRESS",
            Self::Removed => "REMOVED",
            Self::Complete => "COMPLETE",
            Self::Reworked => "REWORKED",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Artifact {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) parent: Option<String>,
    pub(super) qc: String,
    /// Container and well; result files have none.
    pub(super) location: Option<(String, String)>,
    pub(super) samples: Vec<String>,
    pub(super) labels: Vec<String>,
    pub(super) control: bool,
    pub(super) udfs: Vec<Udf>,
    /// Configured step and status, oldest first.
    pub(super) stages: Vec<(u32, StageStatus)>,
    /// Members, if this is a pool.
    pub(super) pool: Vec<String>,
    /// Version number that shows as `?state=`.
    pub(super) state: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) name: String,
    /// Name and number of the container type.
    pub(super) kind: (&'static str, u32),
    /// Artifact and well.
    pub(super) placements: Vec<(String, String)>,
}

/// A person or account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Researcher {
    pub(super) id: u32,
    pub(super) first: &'static str,
    pub(super) last: &'static str,
}

/// The account of the API user.
pub(super) const API_USER: Researcher = Researcher { id: 3, first: "API", last: "Access" };
/// Somebody at a screen in the lab.
pub(super) const LAB_USER: Researcher = Researcher { id: 64, first: "Ada", last: "Tester" };

/// One line of a process's input-output map.
#[derive(Debug, Clone)]
pub(super) struct IoMap {
    pub(super) input: String,
    /// Version of the input that the process saw.
    pub(super) input_state: u64,
    /// Artifact and how it came about (`PerInput`, `PerReagentLabel`…).
    pub(super) output: Option<(String, &'static str)>,
}

#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) type_name: String,
    pub(super) type_id: u32,
    /// `YYYY-MM-DD`; absent while the step is open.
    pub(super) date_run: Option<String>,
    pub(super) technician: Researcher,
    pub(super) maps: Vec<IoMap>,
    pub(super) udfs: Vec<Udf>,
    /// When it was last changed.
    pub(super) modified: Timestamp,
}

/// A program in progress or waiting for a person.
#[derive(Debug, Clone)]
pub(super) struct RunningProgram {
    /// Place in `Settings::programs`.
    pub(super) index: usize,
    pub(super) reads_left: u32,
}

/// What is to become of an artifact after the step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NextAction {
    /// Empty while nobody has chosen.
    pub(super) action: String,
    /// Configured step for `nextstep` and `completerepeat`.
    pub(super) step: Option<u32>,
    /// Earlier step run for `rework`.
    pub(super) rework: Option<String>,
}

/// A request that a person looks at some artifacts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Escalation {
    pub(super) comment: String,
    /// Number of the researcher who is asked.
    pub(super) reviewer: u32,
    pub(super) artifacts: Vec<String>,
    /// What the reviewer said, once the step is released.
    pub(super) review: Option<String>,
}

/// A run of a configured step. Shares its id with a [`Process`], which holds its map and fields.
#[derive(Debug, Clone)]
pub(super) struct StepRun {
    pub(super) config: u32,
    pub(super) state: StepState,
    /// Reads that still find it in `Started`.
    pub(super) started_reads: u32,
    pub(super) started: Timestamp,
    pub(super) completed: Option<Timestamp>,
    pub(super) actions: BTreeMap<String, NextAction>,
    pub(super) escalation: Option<Escalation>,
    pub(super) program: Option<RunningProgram>,
    /// Programs that ran and were acknowledged.
    pub(super) programs_done: Vec<usize>,
    /// Reagent lots named so far.
    pub(super) lots: Vec<String>,
}

/// One artifact waiting for a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueRow {
    pub(super) artifact: String,
    pub(super) since: Timestamp,
    /// Configured step it came from.
    pub(super) previous: Option<u32>,
}
