//! Step runs: starting one from queued artifacts, reading it and its programs, undoing it.
//!
//! Starting a step is what takes artifacts out of the queue, all or none. Only artifacts queued for that very step are
//! taken. `DELETE` of an open step puts them back.
//!
//! Waiting is counted in reads, not in time: a step leaves `Started`, and a program ends, after so many looks at it.

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::config::{StepConfig, process_type_id};
use super::read::Received;
use super::resources::{person, udf_element};
use super::settings::{ProgramOutcome, StepState};
use super::world::{IoMap, NextAction, Process, Researcher, StageStatus, StepRun, World, clock_text};
use super::xml::Element;

impl World {
    pub(super) fn step_run(&self, id: &str) -> Result<&StepRun, Refusal> {
        self.steps.get(id).ok_or_else(|| Refusal::not_found("Step", id))
    }

    pub(super) fn step_run_mut(&mut self, id: &str) -> Result<&mut StepRun, Refusal> {
        self.steps.get_mut(id).ok_or_else(|| Refusal::not_found("Step", id))
    }

    /// `POST /steps`.
    pub(super) fn create_step(&mut self, body: &Received, who: Researcher, uris: &Uris) -> Outcome {
        if !body.is("stp:step-creation") {
            return Err(Refusal::bad("The request is not a step creation (stp:step-creation)"));
        }
        let config = self.config();
        let uri = body.child("configuration").and_then(|element| element.attr("uri")).unwrap_or_default();
        let step = uris
            .step_configuration(uri)
            .filter(|(protocol, _)| *protocol == config.protocol)
            .and_then(|(_, step)| config.step(step))
            .ok_or_else(|| Refusal::bad(format!("No such step configuration: {uri}")))?;
        for needless in ["container-type", "reagent-category"] {
            if body.child(needless).is_some() {
                return Err(Refusal::bad(format!(
                    "Step {} has no outputs and takes no {needless}",
                    step.name
                )));
            }
        }
        let mut inputs = Vec::new();
        for input in body.child("inputs").iter().flat_map(|inputs| inputs.children("input")) {
            let uri = match (input.attr("uri"), input.attr("control-type-uri")) {
                (Some(uri), None) => uri,
                _ => return Err(Refusal::bad("An input needs an artifact uri, or a control type, not both")),
            };
            if !input.attr("replicates").unwrap_or("1").parse::<u32>().is_ok_and(|count| count > 0) {
                return Err(Refusal::bad(format!("Replicates of {uri} is not a number above 0")));
            }
            let id =
                uris.id("artifacts", uri).ok_or_else(|| Refusal::bad(format!("Not an artifact: {uri}")))?;
            if inputs.contains(&id) {
                return Err(Refusal::bad(format!("Artifact {id} is given twice")));
            }
            inputs.push(id);
        }
        let id = self.start_step(step, &inputs, who)?;
        Ok(Answer { status: 201, body: Some(self.step_document(&id, uris)?) })
    }

    /// Opens a step for artifacts that must all be queued for it.
    pub(super) fn start_step(
        &mut self,
        step: &StepConfig,
        inputs: &[String],
        who: Researcher,
    ) -> Result<String, Refusal> {
        if inputs.is_empty() {
            return Err(Refusal::bad("A step needs at least one input"));
        }
        if let Some(absent) = inputs.iter().find(|id| !self.is_queued(step.id, id)) {
            return Err(Refusal::bad(format!("Artifact {absent} is not queued for step {}", step.name)));
        }
        let id = self.id("24");
        for input in inputs {
            self.made.entry(input.clone()).or_default().push(id.clone());
        }
        let mut maps = Vec::new();
        let mut actions = std::collections::BTreeMap::new();
        for input in inputs {
            let _ = self.dequeue(step.id, input, StageStatus::InProgress);
            let artifact = self.artifacts.get(input);
            let input_state = artifact.map_or(0, |found| found.state);
            maps.push(IoMap { input: input.clone(), input_state, output: None });
            if !artifact.is_some_and(|found| found.control) {
                let _ = actions.insert(input.clone(), NextAction::default());
            }
        }
        let process = Process {
            type_name: step.name.clone(),
            type_id: process_type_id(step.id),
            date_run: None,
            technician: who,
            maps,
            udfs: Vec::new(),
            modified: self.now(),
        };
        let _ = self.processes.insert(id.clone(), process);
        let reads = self.settings.started_reads;
        let run = StepRun {
            config: step.id,
            state: StepState::Started,
            started_reads: reads,
            started: self.now(),
            completed: None,
            actions,
            escalation: None,
            program: None,
            programs_done: Vec::new(),
            lots: Vec::new(),
        };
        let _ = self.steps.insert(id.clone(), run);
        if reads == 0 {
            self.leave_state(&id)?;
        }
        Ok(id)
    }

    /// Where a step comes to from `Started`.
    pub(super) fn first_state(&self) -> StepState {
        if self.settings.setup_screen { StepState::StepSetup } else { StepState::RecordDetails }
    }

    /// `GET /steps/{id}`. Looking is what makes a waiting step go on.
    pub(super) fn read_step(&mut self, id: &str, uris: &Uris) -> Outcome {
        let document = self.step_document(id, uris)?;
        self.look_at(id)?;
        Ok(Answer::ok(document))
    }

    /// `GET /steps/{id}/programstatus`.
    pub(super) fn read_program(&mut self, id: &str, uris: &Uris) -> Outcome {
        let run = self.step_run(id)?;
        let (index, reads_left) = match (&run.program, run.programs_done.last()) {
            (Some(program), _) => (program.index, program.reads_left),
            (None, Some(done)) => (*done, 0),
            (None, None) => return Err(Refusal::not_found("Program status", id)),
        };
        let program =
            self.settings.programs.get(index).ok_or_else(|| Refusal::not_found("Program status", id))?;
        let status = match (reads_left, program.outcome) {
            (0, ProgramOutcome::Ok) => "OK",
            (0, ProgramOutcome::Warning) => "WARNING",
            (0, ProgramOutcome::Error) => "ERROR",
            (left, _) if left == program.reads => "QUEUED",
            _ => "RUNNING",
        };
        let message = program.message.as_ref().filter(|_| reads_left == 0);
        let body = Element::root("stp:program-status", &[])
            .attr("uri", uris.to(format_args!("steps/{id}/programstatus")))
            .all(self.step_heading(id, run, uris))
            .child(Element::leaf("status", status))
            .maybe(message.map(|text| Element::leaf("message", text)));
        self.look_at(id)?;
        Ok(Answer::ok(body))
    }

    fn look_at(&mut self, id: &str) -> Result<(), Refusal> {
        let run = self.step_run_mut(id)?;
        if run.state == StepState::Started && run.started_reads > 0 {
            run.started_reads -= 1;
            return if run.started_reads == 0 { self.leave_state(id) } else { Ok(()) };
        }
        if let Some(program) = &mut run.program
            && program.reads_left > 0
        {
            program.reads_left -= 1;
            if program.reads_left == 0 {
                self.program_ended(id)?;
            }
        }
        Ok(())
    }

    /// The two links that most sub-documents of a step begin with.
    pub(super) fn step_heading(&self, id: &str, run: &StepRun, uris: &Uris) -> [Element; 2] {
        let config = self.config();
        let name = config.step(run.config).map_or("", |step| step.name.as_str());
        [
            Element::new("step").attr("uri", uris.to(format_args!("steps/{id}"))).attr("rel", "steps"),
            Element::leaf("configuration", name).attr("uri", config.step_uri(uris, run.config)),
        ]
    }

    pub(super) fn step_document(&self, id: &str, uris: &Uris) -> Result<Element, Refusal> {
        let run = self.step_run(id)?;
        let [_, configuration] = self.step_heading(id, run, uris);
        let part = |name: &str, path: &str| {
            Element::new(name).attr("uri", uris.to(format_args!("steps/{id}/{path}")))
        };
        let technician = self.processes.get(id).map(|process| person("technician", uris, process.technician));
        Ok(Element::root("stp:step", &[])
            .attr("current-state", run.state.word())
            .attr("limsid", id)
            .attr("uri", uris.to(format_args!("steps/{id}")))
            .child(configuration)
            .child(Element::leaf("date-started", clock_text(run.started)))
            .maybe(run.completed.map(|at| Element::leaf("date-completed", clock_text(at))))
            .child(part("actions", "actions"))
            .maybe((!self.settings.required_kits.is_empty()).then(|| part("reagent-lots", "reagentlots")))
            .maybe((!self.settings.programs.is_empty()).then(|| part("program-status", "programstatus")))
            .child(part("details", "details"))
            .child(Element::new("available-programs"))
            .maybe(technician))
    }

    pub(super) fn details_document(&self, id: &str, uris: &Uris) -> Result<Element, Refusal> {
        let run = self.step_run(id)?;
        let process = self.processes.get(id).ok_or_else(|| Refusal::not_found("Step", id))?;
        let maps = process.maps.iter().map(|map| {
            let uri = uris.to(format_args!("artifacts/{}", map.input));
            Element::new("input-output-map")
                .child(Element::new("input").attr("uri", uri).attr("limsid", &map.input))
        });
        Ok(Element::root("stp:details", &["udf"])
            .attr("uri", uris.to(format_args!("steps/{id}/details")))
            .all(self.step_heading(id, run, uris))
            .child(Element::new("input-output-maps").all(maps))
            .child(Element::new("fields").all(process.udfs.iter().map(udf_element))))
    }

    /// `DELETE /steps/{id}`: undoes an open step; its artifacts wait in the queue again.
    pub(super) fn delete_step(&mut self, id: &str) -> Outcome {
        let run = self.step_run(id)?;
        if run.state == StepState::Completed {
            return Err(Refusal::bad(format!("Step {id} is completed and cannot be aborted")));
        }
        let step = run.config;
        let now = self.now();
        let inputs = self.processes.remove(id).map(|process| process.maps).unwrap_or_default();
        let _ = self.steps.remove(id);
        for map in inputs {
            self.mark(step, &map.input, StageStatus::InProgress, StageStatus::Removed);
            self.enqueue(step, &map.input, now, None);
        }
        Ok(Answer { status: 204, body: None })
    }
}
