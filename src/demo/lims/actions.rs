//! Next actions of a step: `GET` and `PUT /steps/{id}/actions`.
//!
//! The rules of a PUT, as documented: only in Record Details or Assign Next Steps; every active artifact exactly once
//! and no other; an action that this step allows, with exactly the addresses that action needs. An action left out is
//! unset again; a missing `escalation` clears the one there was. Controls are not active: naming one is refused.

use std::collections::BTreeMap;

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::config::StepConfig;
use super::read::Received;
use super::resources::person;
use super::settings::StepState;
use super::world::{API_USER, Escalation, LAB_USER, NextAction, StepRun, World, clock_text};
use super::xml::Element;

impl World {
    pub(super) fn actions_document(&self, id: &str, uris: &Uris) -> Result<Element, Refusal> {
        let run = self.step_run(id)?;
        let config = self.config();
        let actions = run.actions.iter().map(|(artifact, next)| {
            let mut element = Element::new("next-action")
                .attr("artifact-uri", uris.to(format_args!("artifacts/{artifact}")));
            if !next.action.is_empty() {
                element = element.attr("action", &next.action);
            }
            if let Some(step) = next.step {
                element = element.attr("step-uri", config.step_uri(uris, step));
            }
            if let Some(rework) = &next.rework {
                element = element.attr("rework-step-uri", uris.to(format_args!("steps/{rework}")));
            }
            element
        });
        let escalation = run.escalation.as_ref().map(|escalation| escalation_element(escalation, run, uris));
        Ok(Element::root("stp:actions", &[])
            .attr("uri", uris.to(format_args!("steps/{id}/actions")))
            .all(self.step_heading(id, run, uris))
            .child(Element::new("next-actions").all(actions))
            .maybe(escalation))
    }

    pub(super) fn put_actions(&mut self, id: &str, body: &Received, uris: &Uris) -> Outcome {
        let run = self.step_run(id)?;
        if !body.is("stp:actions") {
            return Err(Refusal::bad("The request is not step actions (stp:actions)"));
        }
        if !matches!(run.state, StepState::RecordDetails | StepState::AssignNextSteps) {
            return Err(Refusal::bad(format!(
                "Actions of step {id} cannot be set in state {}",
                run.state.word()
            )));
        }
        let named = [body.attr("uri"), body.child("step").and_then(|step| step.attr("uri"))];
        for uri in named.into_iter().flatten() {
            if uris
                .parts(uri)
                .is_none_or(|parts| !matches!(parts.as_slice(), ["steps", own, ..] if *own == id))
            {
                return Err(Refusal::bad(format!("{uri} is not step {id}")));
            }
        }
        let escalation = read_escalation(body, run, uris)?;
        let mut actions = BTreeMap::new();
        for given in body.child("next-actions").iter().flat_map(|list| list.children("next-action")) {
            let uri = given.attr("artifact-uri").unwrap_or_default();
            let artifact = uris.id("artifacts", uri).filter(|artifact| run.actions.contains_key(artifact));
            let artifact =
                artifact.ok_or_else(|| Refusal::bad(format!("{uri} is not an artifact of step {id}")))?;
            let next = self.legal_action(&artifact, given, run, escalation.as_ref(), uris)?;
            if actions.insert(artifact, next).is_some() {
                return Err(Refusal::bad(format!("{uri} has more than one action")));
            }
        }
        if let Some(missing) = run.actions.keys().find(|artifact| !actions.contains_key(*artifact)) {
            return Err(Refusal::bad(format!(
                "Artifact {missing} of step {id} has no action in the request"
            )));
        }
        let run = self.step_run_mut(id)?;
        run.actions = actions;
        run.escalation = escalation;
        Ok(Answer::ok(self.actions_document(id, uris)?))
    }

    fn legal_action(
        &self,
        artifact: &str,
        given: &Received,
        run: &StepRun,
        escalation: Option<&Escalation>,
        uris: &Uris,
    ) -> Result<NextAction, Refusal> {
        let config = self.config();
        let transitions = config.step(run.config).map(|step| step.transitions.as_slice()).unwrap_or_default();
        let action = given.attr("action").filter(|action| *action != "unknown").unwrap_or_default();
        let refuse =
            |why: &str| Err(Refusal::bad(format!("Action {action:?} for artifact {artifact}: {why}")));
        let step = match given.attr("step-uri") {
            None => None,
            Some(uri) => {
                let known = uris.step_configuration(uri).filter(|(protocol, _)| *protocol == config.protocol);
                match known.and_then(|(_, step)| config.step(step)) {
                    Some(StepConfig { id, .. }) => Some(*id),
                    None => return refuse("step-uri is not a configured step"),
                }
            }
        };
        let rework = given.attr("rework-step-uri").map(|uri| uris.id("steps", uri).unwrap_or_default());
        match action {
            "nextstep" | "completerepeat" if !step.is_some_and(|step| transitions.contains(&step)) => {
                return refuse("needs the step-uri of one of the transitions of this step");
            }
            "nextstep" | "completerepeat" => {}
            "rework" if !rework.as_ref().is_some_and(|earlier| self.took_part(earlier, artifact)) => {
                return refuse("needs the rework-step-uri of an earlier step of this artifact");
            }
            "rework" => {}
            _ if step.is_some() => return refuse("takes no step-uri"),
            "complete" if !transitions.is_empty() && !self.settings.complete_beside_transitions => {
                return refuse("not valid for a step that has next steps");
            }
            "review" if !escalation.is_some_and(|it| it.artifacts.iter().any(|id| id == artifact)) => {
                return refuse("needs an escalation that names this artifact");
            }
            "" | "complete" | "repeat" | "remove" | "store" | "review" => {}
            "leave" => return refuse("only for steps of a QC protocol"),
            _ => return refuse("no such action"),
        }
        if rework.is_some() && action != "rework" {
            return refuse("takes no rework-step-uri");
        }
        Ok(NextAction { action: action.to_owned(), step, rework })
    }

    fn took_part(&self, step: &str, artifact: &str) -> bool {
        self.steps.get(step).is_some_and(|run| run.state == StepState::Completed)
            && self
                .processes
                .get(step)
                .is_some_and(|process| process.maps.iter().any(|map| map.input == artifact))
    }
}

fn read_escalation(body: &Received, run: &StepRun, uris: &Uris) -> Result<Option<Escalation>, Refusal> {
    let Some(escalation) = body.child("escalation") else { return Ok(None) };
    let request = escalation.child("request");
    let reviewer =
        request.and_then(|request| request.child("reviewer")).and_then(|reviewer| reviewer.attr("uri"));
    let known = [API_USER, LAB_USER].map(|who| who.id);
    let reviewer = reviewer.and_then(|uri| uris.id("researchers", uri)).and_then(|id| id.parse().ok());
    let reviewer = reviewer.filter(|id| known.contains(id));
    let reviewer = reviewer.ok_or_else(|| Refusal::bad("An escalation needs a reviewer that exists"))?;
    let comment =
        request.and_then(|request| request.child("comment")).map(|comment| comment.text().to_owned());
    let mut artifacts = Vec::new();
    for one in
        escalation.child("escalated-artifacts").iter().flat_map(|all| all.children("escalated-artifact"))
    {
        let uri = one.attr("uri").unwrap_or_default();
        let id = uris.id("artifacts", uri).filter(|id| run.actions.contains_key(id));
        artifacts
            .push(id.ok_or_else(|| Refusal::bad(format!("Escalated artifact {uri} is not in the step")))?);
    }
    if artifacts.is_empty() {
        return Err(Refusal::bad("An escalation needs at least one artifact"));
    }
    // Sent back with a document that was got: what the reviewer said stays.
    let review = run.escalation.as_ref().and_then(|known| known.review.clone());
    Ok(Some(Escalation { comment: comment.unwrap_or_default(), reviewer, artifacts, review }))
}

fn escalation_element(escalation: &Escalation, run: &StepRun, uris: &Uris) -> Element {
    let artifacts = escalation
        .artifacts
        .iter()
        .map(|id| Element::new("escalated-artifact").attr("uri", uris.to(format_args!("artifacts/{id}"))));
    let comment = (!escalation.comment.is_empty()).then(|| Element::leaf("comment", &escalation.comment));
    let request = Element::new("request")
        .child(person("author", uris, API_USER))
        .child(person("reviewer", uris, if escalation.reviewer == API_USER.id { API_USER } else { LAB_USER }))
        .child(Element::leaf("date", clock_text(run.started)))
        .maybe(comment);
    let review = escalation.review.as_ref().map(|said| {
        let review = Element::new("review").child(person("author", uris, LAB_USER));
        review.child(Element::leaf("date", clock_text(run.started))).child(Element::leaf("comment", said))
    });
    Element::new("escalation")
        .child(request)
        .maybe(review)
        .child(Element::new("escalated-artifacts").all(artifacts))
}
