//! The lab's configuration: workflows, stages, protocols, steps; and how the API shows them.
//!
//! Derived from [`Settings`] whenever it is asked for, so that a changed setting shows at once. Around the workflow in
//! use there are an archived and a pending one with alike names: who looks a workflow up by name must mind its status.
//!
//! Words: a *step* belongs to a protocol, a *stage* is that step inside one workflow. Queues are per step, routing and
//! the status of artifacts are per stage.

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::settings::{Settings, StepState};
use super::xml::Element;

/// A step of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepConfig {
    pub(super) id: u32,
    pub(super) name: String,
    /// Ids of steps that may come next; empty for the last.
    pub(super) transitions: Vec<u32>,
}

/// The configured steps and the addresses of their stages.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) protocol: u32,
    pub(super) workflow: u32,
    pub(super) workflow_name: String,
    protocol_name: String,
    export_step: u32,
    pub(super) steps: Vec<StepConfig>,
}

/// Stages have their own numbers: a step id in place of a stage id must not work by chance.
const STAGE_OFFSET: u32 = 5000;

impl Config {
    pub(super) fn of(settings: &Settings) -> Self {
        let named = |id: u32, what: &str| StepConfig { id, name: what.to_owned(), transitions: Vec::new() };
        let linked = settings.failed_step.filter(|_| settings.failed_step_linked);
        let mut steps = vec![StepConfig {
            id: settings.export_step,
            name: settings.export_step_name.clone(),
            transitions: settings.next_step.into_iter().chain(linked).collect(),
        }];
        steps.extend(settings.next_step.map(|id| named(id, "Exported")));
        steps.extend(settings.failed_step.map(|id| named(id, "Export failed")));
        Self {
            protocol: settings.protocol,
            workflow: settings.workflow,
            workflow_name: settings.workflow_name.clone(),
            protocol_name: settings.protocol_name.clone(),
            export_step: settings.export_step,
            steps,
        }
    }

    pub(super) fn step(&self, id: u32) -> Option<&StepConfig> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// Stage of a step in our workflow.
    pub(super) fn stage_of(step: u32) -> u32 {
        step + STAGE_OFFSET
    }

    /// Step of a stage, if there is such a stage in this workflow.
    pub(super) fn step_of_stage(&self, workflow: u32, stage: u32) -> Option<&StepConfig> {
        let step = stage.checked_sub(STAGE_OFFSET).filter(|_| workflow == self.workflow)?;
        self.step(step)
    }

    pub(super) fn step_uri(&self, uris: &Uris, step: u32) -> String {
        uris.to(format_args!("configuration/protocols/{}/steps/{step}", self.protocol))
    }

    pub(super) fn stage_uri(&self, uris: &Uris, step: u32) -> String {
        uris.to(format_args!("configuration/workflows/{}/stages/{}", self.workflow, Self::stage_of(step)))
    }

    /// Answers everything below `/configuration`.
    pub(super) fn answer(
        &self,
        path: &[&str],
        query: &[(String, String)],
        settings: &Settings,
        uris: &Uris,
    ) -> Outcome {
        let number = |text: &str| text.parse::<u32>().unwrap_or(0);
        match path {
            ["protocols"] => self.protocols(query, uris),
            ["protocols", id] if number(id) == self.protocol => {
                Ok(Answer::ok(self.protocol_document(settings, uris)))
            }
            ["protocols", id, "steps", step] if number(id) == self.protocol => {
                let step =
                    self.step(number(step)).ok_or_else(|| Refusal::not_found("Protocol step", step))?;
                let mut body = self.step_element("protstepcnf:step", step, settings, uris);
                body.attributes
                    .insert(0, ("xmlns:protstepcnf".to_owned(), super::xml::namespace("protstepcnf")));
                Ok(Answer::ok(body))
            }
            ["protocols", id, ..] => Err(Refusal::not_found("Protocol", id)),
            ["workflows"] => self.workflows(query, uris),
            ["workflows", id] => {
                let found = self.all_workflows().into_iter().find(|(known, _, _)| *known == number(id));
                let (id, name, status) = found.ok_or_else(|| Refusal::not_found("Workflow", id))?;
                Ok(Answer::ok(self.workflow_document(id, &name, status, uris)))
            }
            ["workflows", workflow, "stages", stage] => {
                let step = self.step_of_stage(number(workflow), number(stage));
                let step = step.ok_or_else(|| Refusal::not_found("Stage", stage))?;
                Ok(Answer::ok(self.stage_document(step, uris)))
            }
            ["workflows", id, ..] => Err(Refusal::not_found("Workflow", id)),
            _ => Err(Refusal::not_found("Configuration", &path.join("/"))),
        }
    }

    fn protocols(&self, query: &[(String, String)], uris: &Uris) -> Outcome {
        if let Some((name, _)) = query.iter().find(|(name, _)| name != "name") {
            return Err(Refusal::bad(format!("Unknown query parameter: {name}")));
        }
        let wanted = query.is_empty() || query.iter().any(|(_, value)| *value == self.protocol_name);
        let link = wanted.then(|| self.protocol_link(uris));
        Ok(Answer::ok(Element::root("protcnf:protocols", &[]).maybe(link)))
    }

    fn protocol_link(&self, uris: &Uris) -> Element {
        let uri = uris.to(format_args!("configuration/protocols/{}", self.protocol));
        Element::new("protocol").attr("name", &self.protocol_name).attr("uri", uri)
    }

    /// Id, name and status of all workflows.
    fn all_workflows(&self) -> [(u32, String, &'static str); 3] {
        [
            (self.workflow - 1, "Processing of HTS-data diag 1.4".to_owned(), "ARCHIVED"),
            (self.workflow, self.workflow_name.clone(), "ACTIVE"),
            (self.workflow + 1, format!("{} draft", self.workflow_name), "PENDING"),
        ]
    }

    fn workflows(&self, query: &[(String, String)], uris: &Uris) -> Outcome {
        if let Some((name, _)) = query.iter().find(|(name, _)| name != "name") {
            return Err(Refusal::bad(format!("Unknown query parameter: {name}")));
        }
        let wanted = |name: &str| query.is_empty() || query.iter().any(|(_, value)| value == name);
        let rows =
            self.all_workflows().into_iter().filter(|(_, name, _)| wanted(name)).map(|(id, name, status)| {
                let uri = uris.to(format_args!("configuration/workflows/{id}"));
                Element::new("workflow").attr("name", name).attr("uri", uri).attr("status", status)
            });
        Ok(Answer::ok(Element::root("wkfcnf:workflows", &[]).all(rows)))
    }

    /// Only the workflow in use has stages.
    fn workflow_document(&self, id: u32, name: &str, status: &str, uris: &Uris) -> Element {
        let steps = self.steps.iter().filter(|_| id == self.workflow);
        let stages = steps.map(|step| {
            Element::new("stage").attr("name", &step.name).attr("uri", self.stage_uri(uris, step.id))
        });
        let protocol = (id == self.workflow).then(|| self.protocol_link(uris));
        Element::root("wkfcnf:workflow", &[])
            .attr("name", name)
            .attr("uri", uris.to(format_args!("configuration/workflows/{id}")))
            .attr("status", status)
            .child(Element::new("protocols").maybe(protocol))
            .child(Element::new("stages").all(stages))
    }

    fn stage_document(&self, step: &StepConfig, uris: &Uris) -> Element {
        let link = |name: &str, uri: String| Element::new(name).attr("uri", uri);
        Element::root("stg:stage", &[])
            .attr("name", &step.name)
            .attr("uri", self.stage_uri(uris, step.id))
            .child(link("workflow", uris.to(format_args!("configuration/workflows/{}", self.workflow))))
            .child(link("protocol", uris.to(format_args!("configuration/protocols/{}", self.protocol))))
            .child(link("step", self.step_uri(uris, step.id)))
    }

    fn protocol_document(&self, settings: &Settings, uris: &Uris) -> Element {
        let steps = self.steps.iter().map(|step| self.step_element("step", step, settings, uris));
        Element::root("protcnf:protocol", &["protstepcnf"])
            .attr("name", &self.protocol_name)
            .attr("index", "-1")
            .attr("uri", uris.to(format_args!("configuration/protocols/{}", self.protocol)))
            .child(Element::new("steps").all(steps))
    }

    fn step_element(&self, tag: &str, step: &StepConfig, settings: &Settings, uris: &Uris) -> Element {
        let export = step.id == self.export_step;
        let index = self.steps.iter().position(|known| known.id == step.id).unwrap_or(0) + 1;
        let transitions = step.transitions.iter().enumerate().filter_map(|(place, id)| {
            let transition = Element::new("transition").attr("name", &self.step(*id)?.name);
            let sequence = (place + 1).to_string();
            Some(transition.attr("sequence", sequence).attr("next-step-uri", self.step_uri(uris, *id)))
        });
        let fields = settings.step_fields.iter().filter(|_| export).map(|field| {
            Element::new("step-field")
                .attr("name", &field.name)
                .attr("attach-to", "ConfiguredProcess")
                .attr("style", "USER_DEFINED")
                .attr("locked", "false")
        });
        let signed = if export && settings.e_signature { "true" } else { "false" };
        let properties = [
            ("qcProtocolStep", "false"),
            ("attemptAutoPlacement", "false"),
            ("eSignatureRequired", signed),
            ("eppLocksNextSteps", "false"),
            ("autoStartNextStep", "false"),
        ];
        let properties = properties.into_iter().map(|(name, value)| {
            Element::new("step-property").attr("name", name).attr("value", value).attr("locked", "false")
        });
        let kits = settings.required_kits.iter().filter(|_| export).enumerate().map(|(place, kit)| {
            let uri = uris.to(format_args!("reagentkits/{}", place + 1));
            Element::new("reagent-kit").attr("name", kit).attr("locked", "false").attr("uri", uri)
        });
        let triggers = settings.programs.iter().filter(|_| export).map(|program| {
            let status = match program.leaving {
                StepState::Started => "STARTED",
                StepState::AssignNextSteps => "COMPLETE",
                _ => "RECORD_DETAILS",
            };
            Element::new("epp-trigger")
                .attr("name", &program.name)
                .attr("type", "AUTOMATIC")
                .attr("point", "AFTER")
                .attr("status", status)
                .attr("locked", "false")
        });
        Element::new(tag)
            .attr("name", &step.name)
            .attr("uri", self.step_uri(uris, step.id))
            .attr("protocol-uri", uris.to(format_args!("configuration/protocols/{}", self.protocol)))
            .child(Element::leaf("protocol-step-index", index.to_string()))
            .child(
                Element::leaf("process-type", &step.name)
                    .attr("uri", uris.to(format_args!("processtypes/{}", process_type_id(step.id)))),
            )
            .child(Element::new("permitted-containers"))
            .child(Element::new("permitted-reagent-categories"))
            .child(Element::new("required-reagent-kits").all(kits))
            .child(Element::new("permitted-control-types"))
            .child(Element::new("permitted-instrument-types"))
            .child(Element::new("transitions").all(transitions))
            .child(Element::new("queue-fields"))
            .child(Element::new("ice-bucket-fields"))
            .child(Element::new("step-fields").all(fields))
            .child(Element::new("sample-fields"))
            .child(Element::new("step-properties").all(properties))
            .child(Element::new("epp-triggers").all(triggers))
    }
}

/// Number of the process type of a step; different from the step's own on purpose.
pub(super) fn process_type_id(step: u32) -> u32 {
    step + 700
}
