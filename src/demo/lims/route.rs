//! `POST /route/artifacts`: assigning artifacts to a stage or workflow, and taking them out.
//!
//! Everything is checked before anything is done, and all `unassign` are done before any `assign`, as the real server
//! does. A stage is named by its address inside a workflow; the address of a step is not one and is refused.
//!
//! What the real server does to an artifact that is inside an open step is not documented; here it is refused.

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::read::Received;
use super::world::{Kind, StageStatus, World};
use super::xml::Element;

/// One checked instruction: configured steps it concerns, and artifacts.
struct Instruction {
    assign: bool,
    steps: Vec<u32>,
    artifacts: Vec<String>,
}

impl World {
    pub(super) fn route(&mut self, body: &Received, uris: &Uris) -> Outcome {
        if !body.is("rt:routing") {
            return Err(Refusal::bad("The request is not a routing (rt:routing)"));
        }
        let mut instructions = Vec::new();
        for child in &body.children {
            instructions.push(self.instruction(child, uris)?);
        }
        if instructions.is_empty() {
            return Err(Refusal::bad("The routing assigns and unassigns nothing"));
        }
        let now = self.now();
        for one in instructions.iter().filter(|one| !one.assign) {
            for (step, artifact) in
                one.steps.iter().flat_map(|step| one.artifacts.iter().map(move |id| (step, id)))
            {
                let _ = self.dequeue(*step, artifact, StageStatus::Removed);
            }
        }
        for one in instructions.iter().filter(|one| one.assign) {
            for artifact in &one.artifacts {
                one.steps.iter().take(1).for_each(|step| self.enqueue(*step, artifact, now, None));
            }
        }
        Ok(Answer::ok(Element::root("rt:routing", &[]).all(body.children.iter().map(repeated))))
    }

    fn instruction(&self, given: &Received, uris: &Uris) -> Result<Instruction, Refusal> {
        let assign = given.is("assign");
        if !assign && !given.is("unassign") {
            return Err(Refusal::bad("A routing has only assign and unassign"));
        }
        let config = self.config();
        let steps = match (given.attr("stage-uri"), given.attr("workflow-uri")) {
            (Some(uri), None) => {
                let step = match uris.parts(uri).as_deref() {
                    Some(["configuration", "workflows", workflow, "stages", stage]) => {
                        let numbers = workflow.parse().ok().zip(stage.parse().ok());
                        numbers.and_then(|(workflow, stage)| config.step_of_stage(workflow, stage))
                    }
                    _ => None,
                };
                vec![step.ok_or_else(|| Refusal::bad(format!("No such stage: {uri}")))?.id]
            }
            (None, Some(uri)) => match uris.parts(uri).as_deref() {
                Some(["configuration", "workflows", workflow])
                    if *workflow == config.workflow.to_string() =>
                {
                    config.steps.iter().map(|step| step.id).collect()
                }
                _ => return Err(Refusal::bad(format!("No such active workflow: {uri}"))),
            },
            _ => return Err(Refusal::bad("A routing needs either stage-uri or workflow-uri")),
        };
        let mut artifacts = Vec::new();
        for artifact in given.children("artifact") {
            let uri = artifact.attr("uri").unwrap_or_default();
            let id = uris.id("artifacts", uri).unwrap_or_default();
            match self.artifacts.get(&id) {
                None => return Err(Refusal::bad(format!("No such artifact: {uri}"))),
                Some(found) if found.kind != Kind::Analyte => {
                    return Err(Refusal::bad(format!("Artifact {id} is a result file and cannot be routed")));
                }
                Some(found) if found.stages.iter().any(|(_, status)| *status == StageStatus::InProgress) => {
                    return Err(Refusal::bad(format!("Artifact {id} is in progress in a step")));
                }
                Some(_) => artifacts.push(id),
            }
        }
        if artifacts.is_empty() {
            return Err(Refusal::bad("An instruction of the routing names no artifact"));
        }
        Ok(Instruction { assign, steps, artifacts })
    }
}

/// The payload again, as the server answers it.
fn repeated(given: &Received) -> Element {
    let name = if given.is("assign") { "assign" } else { "unassign" };
    let mut element = Element::new(name);
    for key in ["stage-uri", "workflow-uri"] {
        if let Some(uri) = given.attr(key) {
            element = element.attr(key, uri);
        }
    }
    let artifacts = given.children("artifact").filter_map(|artifact| artifact.attr("uri"));
    element.all(artifacts.map(|uri| Element::new("artifact").attr("uri", uri)).collect::<Vec<_>>())
}
