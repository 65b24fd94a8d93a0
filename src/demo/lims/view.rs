//! Looking at the world from outside: what is queued, what became of steps, what was asked.
//!
//! These views are for assertions of tests and for the demo's screen. They show the world as it is, whatever lag or
//! other fault its clients are being shown.

use jiff::Timestamp;

use super::Lims;
use super::settings::{StepState, Udf};

/// A run of the export step (or of one it leads to).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepView {
    /// `24-200017`.
    pub id: String,
    /// Id of the configured step.
    pub config: u32,
    /// Where it is.
    pub state: StepState,
    /// Artifacts in it, in the order they were given.
    pub inputs: Vec<String>,
    /// Artifact and action chosen; the action is empty while nobody has chosen.
    pub actions: Vec<(String, String)>,
    /// Comment of the escalation, if some artifact was escalated.
    pub escalation: Option<String>,
    /// Fields of the step.
    pub fields: Vec<Udf>,
    /// Who started it.
    pub technician: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
}

/// A request that was answered (or not).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLog {
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Status sent; 0 if the connection was closed instead.
    pub status: u16,
}

impl Lims {
    /// Artifacts in the export queue, the longest waiting first.
    pub fn queued(&self) -> Vec<String> {
        let step = self.lock().world.settings.export_step;
        self.queued_for(step)
    }

    /// Artifacts in the queue of any configured step, the longest waiting first.
    pub fn queued_for(&self, step: u32) -> Vec<String> {
        let inner = self.lock();
        let mut rows = inner.world.queues.get(&step).cloned().unwrap_or_default();
        rows.sort_by_key(|row| row.since);
        rows.into_iter().map(|row| row.artifact).collect()
    }

    /// All step runs, oldest first. Aborted ones are gone.
    pub fn steps(&self) -> Vec<StepView> {
        let inner = self.lock();
        let world = &inner.world;
        let views = world.steps.iter().filter_map(|(id, run)| {
            let process = world.processes.get(id)?;
            Some(StepView {
                id: id.clone(),
                config: run.config,
                state: run.state,
                inputs: process.maps.iter().map(|map| map.input.clone()).collect(),
                actions: run.actions.iter().map(|(id, next)| (id.clone(), next.action.clone())).collect(),
                escalation: run.escalation.as_ref().map(|escalation| escalation.comment.clone()),
                fields: process.udfs.clone(),
                technician: format!("{} {}", process.technician.first, process.technician.last),
                started_at: run.started,
                completed_at: run.completed,
            })
        });
        views.collect()
    }

    /// Workflow history of an artifact: configured step and status, oldest first.
    pub fn history(&self, artifact: &str) -> Vec<(u32, &'static str)> {
        let inner = self.lock();
        let stages =
            inner.world.artifacts.get(artifact).map(|found| found.stages.as_slice()).unwrap_or_default();
        stages.iter().map(|(step, status)| (*step, status.word())).collect()
    }

    /// UDFs of a project, sample, artifact, process or step run; empty if there is no such thing.
    pub fn udfs(&self, limsid: &str) -> Vec<Udf> {
        self.lock().world.udfs_of(limsid).map(|udfs| udfs.clone()).unwrap_or_default()
    }

    /// Requests in the order they were answered.
    pub fn requests(&self) -> Vec<RequestLog> {
        self.lock().record.clone()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.lock().record.clear();
    }
}
