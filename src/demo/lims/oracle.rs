//! What became of one artifact: the oracle for "exactly once".
//!
//! A queue and a list of steps show the present. That an artifact was never exported twice, that no step was opened for
//! it beside the one that is known, needs the past: every step ever made is counted, aborted ones too.

use super::Lims;
use super::settings::StepState;
use super::view::StepView;
use super::world::{StageStatus, World};

/// One artifact, now and before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactView {
    /// Configured steps in whose queue it waits; one that is there twice is named twice.
    pub queued: Vec<u32>,
    /// Open step runs that it is in.
    pub in_progress: Vec<String>,
    /// Completed step runs that it was in, oldest first, each with the action it left with.
    pub ended: Vec<(String, String)>,
    /// Times that it left the export step for good: with `complete`, or with `nextstep` or `completerepeat` to another
    /// step than the one for failures.
    pub exported: usize,
    /// Times that it was taken out of a stage: by an action, by routing, by a person, by aborting its step.
    pub removed: usize,
    /// Whether it waits, is worked on or was worked on in the step for failed exports.
    pub at_failed_step: bool,
    /// Every step run ever made with it, oldest first, aborted ones included.
    pub steps_made: Vec<String>,
    /// Quality flag.
    pub qc: String,
}

impl Lims {
    /// What is and was of an artifact; `None` if there is no such artifact.
    pub fn artifact(&self, id: &str) -> Option<ArtifactView> {
        self.lock().world.artifact_view(id)
    }

    /// Steps that nobody has completed or aborted, oldest first.
    pub fn open_steps(&self) -> Vec<StepView> {
        let mut steps = self.steps();
        steps.retain(|step| step.state != StepState::Completed);
        steps
    }

    /// How many step runs were ever made with this artifact, aborted ones included.
    pub fn steps_made(&self, artifact: &str) -> usize {
        self.lock().world.made.get(artifact).map_or(0, Vec::len)
    }
}

impl World {
    fn artifact_view(&self, id: &str) -> Option<ArtifactView> {
        let artifact = self.artifacts.get(id)?;
        let rows = self.queues.iter().flat_map(|(step, rows)| rows.iter().map(move |row| (*step, row)));
        let runs = self.made.get(id).cloned().unwrap_or_default();
        let known = |run: &String| self.steps.get(run).map(|found| (run.clone(), found));
        let (ended, open): (Vec<_>, Vec<_>) =
            runs.iter().filter_map(known).partition(|(_, run)| run.completed.is_some());
        let failed = self.settings.failed_step;
        let left_well = |run: &super::world::StepRun| {
            let next = run.actions.get(id);
            run.config == self.settings.export_step
                && next.is_some_and(|next| match next.action.as_str() {
                    "complete" => true,
                    "nextstep" | "completerepeat" => next.step != failed,
                    _ => false,
                })
        };
        Some(ArtifactView {
            queued: rows.filter(|(_, row)| row.artifact == id).map(|(step, _)| step).collect(),
            exported: ended.iter().filter(|(_, run)| left_well(run)).count(),
            in_progress: open.into_iter().map(|(run, _)| run).collect(),
            ended: ended
                .into_iter()
                .map(|(name, run)| {
                    (name, run.actions.get(id).map(|next| next.action.clone()).unwrap_or_default())
                })
                .collect(),
            removed: artifact.stages.iter().filter(|(_, status)| *status == StageStatus::Removed).count(),
            at_failed_step: artifact
                .stages
                .iter()
                .any(|(step, status)| Some(*step) == failed && *status != StageStatus::Removed),
            steps_made: runs,
            qc: artifact.qc.clone(),
        })
    }
}
