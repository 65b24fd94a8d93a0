//! How a step is configured: what must be known before anything is started in it.
//!
//! A step that asks for an electronic signature, or has required reagents, cannot be completed by a program; which
//! actions are valid follows from its transitions. All of it is in the protocol document, so that a wrong step number
//! or a changed configuration shows at start-up and not with a sample in hand.
use super::fault::Fault;
use super::ids::number_in;
use super::ns;
use super::read::{Record, word};
use super::tree::Element;
use std::collections::BTreeMap;

/// One configured step of a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolStep {
    /// Its number, also that of its queue.
    pub number: u32,
    /// `…/configuration/protocols/P/steps/N`: what starting a step names.
    pub uri: String,
    /// Its name.
    pub name: Option<String>,
    /// Name of its process type, what searches call `type`.
    pub process_type: Option<String>,
    /// Where an artifact may go from here; empty in the last step of a protocol.
    pub transitions: Vec<Transition>,
    /// Container types for outputs; empty in a step without outputs.
    pub permitted_containers: Vec<String>,
    /// Reagent kits that must be named before the step can end.
    pub required_kits: Vec<String>,
    /// Fields of the step's screen; which are required is not said here.
    pub fields: Vec<String>,
    /// Programs that are attached.
    pub triggers: Vec<Trigger>,
    /// Switches, by name.
    pub properties: BTreeMap<String, String>,
}

/// A way on from a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Name of the step it leads to.
    pub name: Option<String>,
    /// What [`Action::NextStep`](super::Action::NextStep) must say.
    pub next_step_uri: String,
}

/// A program (EPP) attached to a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its name.
    pub name: Option<String>,
    /// `AUTOMATIC`, `MANUAL`, `UNUSED`.
    pub kind: Option<String>,
    /// At which state an automatic one runs.
    pub point: Option<String>,
    /// Before or after it.
    pub status: Option<String>,
}

impl ProtocolStep {
    /// Whether it is the last of its protocol: then artifacts are completed, not sent on.
    pub fn is_last(&self) -> bool {
        self.transitions.is_empty()
    }

    /// Whether a person must sign; then no program can complete the step.
    pub fn needs_signature(&self) -> bool {
        self.is_set("eSignatureRequired")
    }

    /// Whether a switch (`qcProtocolStep`, `eppLocksNextSteps`, `autoStartNextStep`…) is on.
    pub fn is_set(&self, property: &str) -> bool {
        self.properties.get(property).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Programs that run by themselves, for which the step must be waited for.
    pub fn automatic(&self) -> impl Iterator<Item = &Trigger> {
        let by_itself = |kind: &str| kind.eq_ignore_ascii_case("AUTOMATIC");
        self.triggers.iter().filter(move |trigger| trigger.kind.as_deref().is_some_and(by_itself))
    }
}

/// A protocol with its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// Its name.
    pub name: Option<String>,
    /// Its steps, in its order.
    pub steps: Vec<ProtocolStep>,
}

impl Record for Protocol {
    const NAMESPACE: &'static str = ns::PROTOCOL;
    const ROOT: &'static str = "protocol";
    const PATH: &'static str = "configuration/protocols";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let steps = e.child("steps").into_iter().flat_map(|list| list.all("step"));
        Ok(Self {
            name: e.attr("name").map(str::to_owned),
            steps: steps.map(step).collect::<Result<_, _>>()?,
        })
    }
}

fn step(e: &Element) -> Result<ProtocolStep, Fault> {
    let uri = e.attr("uri").ok_or_else(|| Fault::new("a step has no uri"))?;
    let number =
        number_in(uri, "steps").ok_or_else(|| Fault::new(format!("the step URI {uri} has no number")))?;
    let list = |name: &str, item: &'static str| {
        e.child(name).map(|list| list.all(item).collect::<Vec<_>>()).unwrap_or_default()
    };
    let attr = |item: &Element, name| item.attr(name).map(str::to_owned);
    let mut transitions = Vec::new();
    for transition in list("transitions", "transition") {
        let next =
            attr(transition, "next-step-uri").ok_or_else(|| Fault::new("a transition leads nowhere"))?;
        transitions.push(Transition { name: attr(transition, "name"), next_step_uri: next });
    }
    let trigger = |trigger: &Element| Trigger {
        name: attr(trigger, "name"),
        kind: attr(trigger, "type"),
        point: attr(trigger, "point"),
        status: attr(trigger, "status"),
    };
    let property = |property: &Element| Some((attr(property, "name")?, attr(property, "value")?));
    Ok(ProtocolStep {
        number,
        uri: uri.to_owned(),
        name: attr(e, "name"),
        process_type: word(e, "process-type"),
        transitions,
        permitted_containers: texts(&list("permitted-containers", "container-type")),
        required_kits: e
            .child("required-reagent-kits")
            .into_iter()
            .flat_map(Element::elements)
            .map(kit)
            .collect(),
        fields: list("step-fields", "step-field")
            .into_iter()
            .filter_map(|field| attr(field, "name"))
            .collect(),
        triggers: list("epp-triggers", "epp-trigger").into_iter().map(trigger).collect(),
        properties: list("step-properties", "step-property").into_iter().filter_map(property).collect(),
    })
}

fn texts(elements: &[&Element]) -> Vec<String> {
    elements.iter().map(|element| element.text().trim().to_owned()).collect()
}

/// A kit's name stands in its text or in an attribute; without either it still counts.
fn kit(element: &Element) -> String {
    let text = element.text().trim().to_owned();
    if text.is_empty() { element.attr("name").unwrap_or("a reagent kit").to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"<p:protocol xmlns:p="http://genologics.com/ri/protocolconfiguration" name="Export to TSD"
      uri="https://h/api/v2/configuration/protocols/5"><steps>
      <step name="Export" uri="https://h/api/v2/configuration/protocols/5/steps/60"><process-type uri="https://h/t/1">
        Export
        </process-type><permitted-containers/>
        <required-reagent-kits><reagent-kit name="K"/></required-reagent-kits>
        <transitions><transition name="Failed" sequence="2" next-step-uri="https://h/api/v2/configuration/protocols/5/steps/61"/></transitions>
        <step-fields><step-field name="Export key" attach-to="ConfiguredProcess"/></step-fields>
        <step-properties><step-property name="eSignatureRequired" value="TRUE"/><step-property name="heading" value=""/></step-properties>
        <epp-triggers><epp-trigger name="m" type="MANUAL"/><epp-trigger name="a" type="AUTOMATIC" point="RECORD_DETAILS" status="ENTER"/></epp-triggers>
      </step>
      <step name="Failed" uri="https://h/api/v2/configuration/protocols/5/steps/61"><permitted-containers>
        <container-type locked="false">Tube</container-type></permitted-containers></step>
      </steps></p:protocol>"#;

    #[test]
    fn a_protocol_tells_what_pre_flight_must_know() {
        let protocol = Protocol::read(&Element::parse(BODY.as_bytes()).unwrap()).unwrap();
        let [export, failed] = &protocol.steps[..] else { panic!("two steps") };
        assert_eq!((export.number, export.process_type.as_deref()), (60, Some("Export")));
        assert!(export.needs_signature() && !export.is_set("qcProtocolStep") && !export.is_last());
        assert_eq!(export.transitions[0].next_step_uri, failed.uri);
        assert_eq!(
            (&export.required_kits, &export.fields),
            (&vec!["K".to_owned()], &vec!["Export key".to_owned()])
        );
        assert_eq!(
            export.automatic().map(|t| t.point.as_deref()).collect::<Vec<_>>(),
            [Some("RECORD_DETAILS")]
        );
        assert!(export.permitted_containers.is_empty());
        assert!(failed.is_last() && !failed.needs_signature());
        assert_eq!(failed.permitted_containers, ["Tube"]);
    }
}
