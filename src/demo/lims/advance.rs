//! `POST /steps/{id}/advance`: the way of a step from state to state, and what becomes of its artifacts at the end.
//!
//! The caller must know where the step is: a stale `current-state` is refused. If the server has a program for leaving
//! a state, the first advance only starts it and the step stays; while it runs, or waits for a person to close its
//! message, further advances get the server's well-known refusal. No request can close that message, only
//! [`super::Lims::acknowledge`], which stands for a person at a screen.

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::read::Received;
use super::settings::{ProgramOutcome, StepState};
use super::world::{NextAction, RunningProgram, StageStatus, World};

/// The refusal real servers give while a program is in the way.
pub(super) const PROGRAM_IN_THE_WAY: &str =
    "Cannot advance a step that has an external program queued, running or pending acknowledgement";

impl World {
    pub(super) fn advance(&mut self, id: &str, body: &Received, uris: &Uris) -> Outcome {
        let run = self.step_run(id)?;
        let other_uri = body.attr("uri").is_some_and(|uri| uris.id("steps", uri).as_deref() != Some(id));
        if !body.is("stp:step") || body.attr("limsid").is_some_and(|given| given != id) || other_uri {
            return Err(Refusal::bad(format!("The request is not step {id} (stp:step)")));
        }
        let state = run.state;
        let told = body.attr("current-state").unwrap_or_default();
        if told != state.word() {
            let now = state.word();
            return Err(Refusal::bad(format!(
                "Step {id} is in state {now:?}, not in {told:?} as the request says"
            )));
        }
        if run.program.is_some() {
            return Err(Refusal::bad(PROGRAM_IN_THE_WAY));
        }
        match state {
            StepState::Started | StepState::UnderReview | StepState::Completed => {
                return Err(Refusal::bad(format!("Step {id} cannot be advanced in state {}", state.word())));
            }
            StepState::StepSetup => {}
            StepState::RecordDetails => self.check_details(id)?,
            StepState::AssignNextSteps => {
                if let Some((artifact, _)) = run.actions.iter().find(|(_, next)| next.action.is_empty()) {
                    return Err(Refusal::bad(format!("Artifact {artifact} of step {id} has no next action")));
                }
            }
        }
        self.leave_state(id)?;
        Ok(Answer::ok(self.step_document(id, uris)?))
    }

    fn check_details(&self, id: &str) -> Result<(), Refusal> {
        if self.settings.e_signature {
            return Err(Refusal::bad(format!("Step {id} must be signed before it can be advanced")));
        }
        let set = self.processes.get(id).map(|process| process.udfs.as_slice()).unwrap_or_default();
        let mut required = self.settings.step_fields.iter().filter(|field| field.required);
        match required.find(|field| !set.iter().any(|udf| udf.name == field.name)) {
            Some(field) => {
                Err(Refusal::bad(format!("Required field {:?} of step {id} is not set", field.name)))
            }
            None => match self.kit_without_lot(id) {
                Some(kit) => {
                    Err(Refusal::bad(format!("Step {id} has no lot of the required reagent kit {kit:?}")))
                }
                None => Ok(()),
            },
        }
    }

    /// Starts the next program that guards this state, or goes on to the next state.
    pub(super) fn leave_state(&mut self, id: &str) -> Result<(), Refusal> {
        let run = self.step_run(id)?;
        let programs = self.settings.programs.iter().enumerate();
        let next = programs
            .filter(|(index, program)| program.leaving == run.state && !run.programs_done.contains(index))
            .map(|(index, program)| RunningProgram { index, reads_left: program.reads })
            .next();
        let state = run.state;
        if let Some(program) = next {
            let at_once = program.reads_left == 0;
            self.step_run_mut(id)?.program = Some(program);
            return if at_once { self.program_ended(id) } else { Ok(()) };
        }
        let to = match state {
            StepState::Started => self.first_state(),
            StepState::StepSetup => StepState::RecordDetails,
            StepState::RecordDetails => StepState::AssignNextSteps,
            _ => return self.finish(id),
        };
        self.step_run_mut(id)?.state = to;
        Ok(())
    }

    /// The program of a step is through: without a message to close, a successful one lets the step go on.
    pub(super) fn program_ended(&mut self, id: &str) -> Result<(), Refusal> {
        let index = self.step_run(id)?.program.as_ref().map(|program| program.index);
        let clean = index
            .and_then(|index| self.settings.programs.get(index))
            .is_some_and(|program| program.outcome == ProgramOutcome::Ok && program.message.is_none());
        if clean { self.program_closed(id) } else { Ok(()) }
    }

    /// A person closed the message of a program that has ended, or there was none.
    pub(super) fn program_closed(&mut self, id: &str) -> Result<(), Refusal> {
        let run = self.step_run_mut(id)?;
        let Some(program) = run.program.take_if(|program| program.reads_left == 0) else {
            return Err(Refusal::bad(format!("Step {id} has no message to close")));
        };
        let failed =
            self.settings.programs.get(program.index).is_none_or(|it| it.outcome == ProgramOutcome::Error);
        if failed {
            return Ok(());
        }
        self.step_run_mut(id)?.programs_done.push(program.index);
        self.leave_state(id)
    }

    /// Closes the step, or hands it to a reviewer if an artifact is escalated.
    fn finish(&mut self, id: &str) -> Result<(), Refusal> {
        let run = self.step_run_mut(id)?;
        if run.actions.values().any(|next| next.action == "review") {
            run.state = StepState::UnderReview;
            return Ok(());
        }
        self.close_step(id)
    }

    /// Completes the step and sends every artifact where its action says.
    pub(super) fn close_step(&mut self, id: &str) -> Result<(), Refusal> {
        let now = self.now();
        let today = self.today();
        let run = self.step_run_mut(id)?;
        run.state = StepState::Completed;
        run.completed = Some(now);
        let (step, actions) = (run.config, run.actions.clone());
        let mut inputs: Vec<(String, NextAction)> = Vec::new();
        if let Some(process) = self.processes.get_mut(id) {
            process.date_run = Some(today);
            process.modified = now;
            let named = |input: &String| actions.get(input).cloned().unwrap_or_default();
            inputs.extend(process.maps.iter().map(|map| (map.input.clone(), named(&map.input))));
        }
        for (artifact, next) in inputs {
            let becomes = match next.action.as_str() {
                "remove" => StageStatus::Removed,
                "rework" => StageStatus::Reworked,
                _ => StageStatus::Complete,
            };
            self.mark(step, &artifact, StageStatus::InProgress, becomes);
            if matches!(next.action.as_str(), "nextstep" | "completerepeat")
                && let Some(to) = next.step
            {
                self.enqueue(to, &artifact, now, Some(step));
            }
            if matches!(next.action.as_str(), "repeat" | "completerepeat") {
                self.enqueue(step, &artifact, now, Some(step));
            }
            let reworked = next.rework.and_then(|earlier| self.steps.get(&earlier).map(|run| run.config));
            if let Some(back) = reworked.filter(|_| next.action == "rework") {
                self.enqueue(back, &artifact, now, Some(step));
            }
        }
        Ok(())
    }
}
