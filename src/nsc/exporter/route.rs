//! Out of the queue, to where the site wants what cannot be exported; and the reason beside it.
//!
//! Nothing tells whether routing an artifact twice makes two entries in a queue, so before the request, and after one whose
//! answer was lost, the history of the artifact is read: an entry at the failure stage means that it took.
use std::collections::BTreeSet;

use super::super::source::Fault;
use super::plan::{self, Faults};
use super::{Exporter, lims_id, list};
use crate::blame::{Blame, Failure};
use crate::chain;
use crate::clarity::{Artifact, Class, LimsId, StageStatus, number_in, same_uri};

/// Stages in which one artifact waits that are looked up: it waits in one or two.
const MOST_STAGES: usize = 20;

/// Whether it is at this stage, or was there last. The list is a history: an older entry may be of an earlier time.
fn is_at(artifact: &Artifact, stage: &str) -> bool {
    artifact.is_active_in(stage) || artifact.stages.last().is_some_and(|last| same_uri(&last.uri, stage))
}

impl Exporter {
    /// Writes the reason into the artifacts' own field, if the site has one.
    pub(super) async fn note(&self, faults: &Faults) -> Result<(), Failure> {
        let Some(field) = &self.conf.failure_field else { return Ok(()) };
        for (artifact, fault) in faults {
            self.client.set_artifact_field(artifact, field, &plan::field_text(fault)).await?;
        }
        Ok(())
    }

    async fn artifact(&self, id: &LimsId) -> Result<Artifact, Failure> {
        let mut batch = self.client.artifacts(std::slice::from_ref(id)).await?;
        match (batch.found.remove(id), batch.failed.remove(id)) {
            (Some(artifact), _) => Ok(artifact),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Err(Blame::again(format!("the LIMS gave no answer about {id}"))),
        }
    }

    /// Those that are not at the stage yet.
    async fn on_their_way(&self, artifacts: &[LimsId], stage: (u32, u32)) -> Result<Vec<LimsId>, Failure> {
        let uri = self.client.stage_uri(stage.0, stage.1);
        let mut left = Vec::new();
        for id in artifacts {
            if !is_at(&self.artifact(id).await?, &uri) {
                left.push(id.clone());
            }
        }
        Ok(left)
    }

    /// Takes them out of these workflows and puts them into the stage, unless they are there.
    pub(super) async fn route(
        &self,
        artifacts: &[LimsId],
        out_of: &[u32],
        stage: (u32, u32),
    ) -> Result<(), Failure> {
        let left = self.on_their_way(artifacts, stage).await?;
        if left.is_empty() {
            return Ok(());
        }
        let unclear = match self.client.route(&left, out_of, stage).await {
            Ok(()) => None,
            Err(e) if e.class() == Class::Unclear => Some(e),
            Err(other) => return Err(other.into()),
        };
        if self.watch(async || Ok(self.on_their_way(&left, stage).await?.is_empty())).await? {
            return Ok(());
        }
        match unclear {
            Some(e) => Err(Failure::Outage(chain(&e))),
            None => Err(Blame::again(format!(
                "the LIMS took the routing of {} to stage {} of workflow {}, and does not show it there",
                list(&left),
                stage.1,
                stage.0
            ))),
        }
    }

    pub(super) async fn put_out(
        &self,
        artifact: &str,
        fault: &Fault,
        again: bool,
    ) -> Result<String, Failure> {
        let id = lims_id(artifact)?;
        let Some(stage) = self.conf.failed_stage else {
            return Err(Failure::Outage(
                "lims.failed_stage is not set, so nothing can be put out of the queue".into(),
            ));
        };
        let there = format!("to stage {} of workflow {}", stage.1, stage.0);
        let is_there = async || Ok(self.on_their_way(std::slice::from_ref(&id), stage).await?.is_empty());
        // What was asked a moment ago shows a moment later.
        if if again { self.watch(is_there).await? } else { is_there().await? } {
            return Ok(there);
        }
        if !self.queue().await?.items.iter().any(|item| item.id == id) {
            return Ok("nowhere: it is not in the queue any more, somebody took it out".into());
        }
        self.note(&Faults::from([(id.clone(), fault.clone())])).await?;
        let workflows = self.workflows_of(&self.artifact(&id).await?).await?;
        self.route(std::slice::from_ref(&id), &workflows, stage).await?;
        Ok(there)
    }

    /// The workflows in which it waits for the export step.
    async fn workflows_of(&self, artifact: &Artifact) -> Result<Vec<u32>, Failure> {
        let waiting = artifact.stages.iter().filter(|stage| stage.status == Some(StageStatus::Queued));
        let numbers = |uri: &str| number_in(uri, "workflows").zip(number_in(uri, "stages"));
        let stages: BTreeSet<(u32, u32)> = waiting.filter_map(|stage| numbers(&stage.uri)).collect();
        let mut workflows = Vec::new();
        for (workflow, stage) in stages.into_iter().take(MOST_STAGES) {
            if self.client.stage(workflow, stage).await?.step == Some(self.conf.step) {
                workflows.push(workflow);
            }
        }
        workflows.dedup();
        if workflows.is_empty() {
            return Err(Blame::again(format!(
                "{} is in the queue of step {}, but its history names no workflow in which it waits there: look at it in the LIMS",
                artifact.id, self.conf.step
            )));
        }
        Ok(workflows)
    }
}
