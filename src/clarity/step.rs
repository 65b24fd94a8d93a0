//! A step at work: the step document, its details, and how its programs did.
//!
//! [`Step`] and [`StepDetails`] keep the document they were read from, because Clarity wants it back: `advance` takes
//! the step as just fetched, and a PUT of the details deletes whatever it leaves out.
use super::fault::Fault;
use super::ids::LimsId;
use super::model::{IoMap, Udf, Udfs};
use super::ns;
use super::read::{Record, id, io_map, parsed, udfs, word};
use super::tree::{Element, Node};
use super::words::{ProgramState, State};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// A step that was started: `24-…`, also the id of its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its id.
    pub id: LimsId,
    /// Where it stands.
    pub state: State,
    /// Which configured step it is a run of.
    pub configuration_uri: Option<String>,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When it was completed; only then is it done.
    pub completed: Option<Timestamp>,
    /// Researcher number of who works on it; Clarity 6 and later. The name is not read.
    pub technician: Option<LimsId>,
    /// Whether programs have run or run on it.
    pub has_program_status: bool,
    document: Element,
}

impl Step {
    /// The document as it was fetched, to be sent with `advance`.
    pub fn document(&self) -> &Element {
        &self.document
    }
}

impl Record for Step {
    const NAMESPACE: &'static str = ns::STEP;
    const ROOT: &'static str = "step";
    const PATH: &'static str = "steps";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let state = e.attr("current-state").ok_or_else(|| Fault::new("it has no current-state"))?;
        Ok(Self {
            id: id(e, Self::PATH)?,
            state: State::parse(state),
            configuration_uri: e.child("configuration").and_then(|c| c.attr("uri")).map(str::to_owned),
            started: parsed(e, "date-started", "a time")?,
            completed: parsed(e, "date-completed", "a time")?,
            technician: e.child("technician").map(|t| id(t, "researchers")).transpose()?,
            has_program_status: e.child("program-status").is_some(),
            document: e.clone(),
        })
    }
}

/// The step that a sub-resource belongs to, from its link or from its own URI.
pub(super) fn step_of(e: &Element) -> Result<LimsId, Fault> {
    let link = e.child("step").and_then(|step| step.attr("uri")).or(e.attr("uri"));
    LimsId::from_uri(link.ok_or_else(|| Fault::new("it does not say which step it is of"))?, "steps")
}

/// What went into a step and what its screen says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepDetails {
    /// The step.
    pub step: LimsId,
    /// Inputs and outputs; a step without outputs has inputs only.
    pub maps: Vec<IoMap>,
    /// The step's own fields.
    pub fields: Udfs,
    document: Element,
}

impl Record for StepDetails {
    const NAMESPACE: &'static str = ns::STEP;
    const ROOT: &'static str = "details";
    const PATH: &'static str = "steps";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let maps = e.child("input-output-maps").into_iter().flat_map(|list| list.all("input-output-map"));
        Ok(Self {
            step: step_of(e)?,
            maps: maps.map(io_map).collect::<Result<_, _>>()?,
            fields: e.child("fields").map(udfs).transpose()?.unwrap_or_default(),
            document: e.clone(),
        })
    }
}

impl StepDetails {
    /// The ids that went in: whose step this is.
    pub fn inputs(&self) -> BTreeSet<&LimsId> {
        self.maps.iter().map(|map| &map.input).collect()
    }

    /// The document to be PUT: as fetched, with the fields as they are now. A blank field is left out, for the server
    /// refuses blank values; to leave it out is to clear it.
    pub fn document(&self) -> Element {
        let mut document = self.document.clone();
        if document.child("fields").is_none() {
            document = document.with(Element::new("fields"));
        }
        let mut left = self.fields.clone();
        left.retain(|_, udf| !udf.value.trim().is_empty());
        if let Some(fields) = document.child_mut("fields") {
            fields.children.retain_mut(|node| match node {
                Node::Element(field) if field.is(ns::UDF, "field") => {
                    match field.attr("name").and_then(|name| left.remove(name)) {
                        Some(udf) => {
                            if field.text() != udf.value {
                                field.children = vec![Node::Text(udf.value)];
                            }
                            true
                        }
                        None => false,
                    }
                }
                _ => true,
            });
            fields.children.extend(left.into_iter().map(|(name, udf)| Node::Element(field(&name, &udf))));
        }
        document
    }
}

/// A field with its own namespace declaration, so that it can be put anywhere.
pub(super) fn field(name: &str, udf: &Udf) -> Element {
    let field = Element::root("udf", "field", ns::UDF).with_attr("type", udf.kind.as_str());
    field.with_attr("name", name).with_text(&udf.value)
}

/// How the last program (EPP) of a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramStatus {
    /// Its outcome.
    pub status: ProgramState,
    /// What it left to be read. A message that waits to be acknowledged blocks the step, and no request clears it.
    pub message: Option<String>,
}

impl Record for ProgramStatus {
    const NAMESPACE: &'static str = ns::STEP;
    const ROOT: &'static str = "program-status";
    const PATH: &'static str = "steps";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let status = word(e, "status").ok_or_else(|| Fault::new("it has no status"))?;
        Ok(Self { status: ProgramState::parse(&status), message: word(e, "message") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clarity::words::UdfKind;

    fn tree(body: &str) -> Element {
        Element::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_step_is_read_and_goes_back_as_it_came() {
        let body = r#"<stp:step xmlns:stp="http://genologics.com/ri/step" current-state="RECORD DETAILS" limsid="24-7"
            uri="https://h/api/v2/steps/24-7" hidden="x"><configuration uri="https://h/c">
            Export </configuration><date-started>2026-08-21T11:52:41.350-07:00</date-started>
            <technician uri="https://h/api/v2/researchers/64"><first-name>A</first-name></technician>
            <program-status uri="https://h/api/v2/steps/24-7/programstatus"/><novelty/></stp:step>"#;
        let step = Step::read(&tree(body)).unwrap();
        assert_eq!((step.id.as_str(), &step.state), ("24-7", &State::RecordDetails));
        assert_eq!(step.started, Some("2026-08-21T18:52:41.35Z".parse().unwrap()));
        assert_eq!((step.completed, step.has_program_status), (None, true));
        assert_eq!(step.technician.as_ref().map(LimsId::as_str), Some("64"));
        assert_eq!(step.document(), &tree(body));
        let without = Step::read(&tree(r#"<s:step xmlns:s="http://genologics.com/ri/step" limsid="24-7"/>"#));
        assert_eq!(without.unwrap_err().to_string(), "in <s:step>: it has no current-state");
    }

    const DETAILS: &str = r#"<s:details xmlns:s="http://genologics.com/ri/step" xmlns:u="http://genologics.com/ri/userdefined"
        uri="https://h/api/v2/steps/24-7/details"><step uri="https://h/api/v2/steps/24-7"/><preset>P</preset>
        <input-output-maps><input-output-map><input limsid="2-1"/></input-output-map>
        <input-output-map><input limsid="2-2"/></input-output-map></input-output-maps>
        <fields><u:field type="String" name="Key">old</u:field><u:field type="Numeric" name="N">1</u:field></fields>
        <instrument uri="i"/></s:details>"#;

    #[test]
    fn details_change_only_the_fields() {
        let mut details = StepDetails::read(&tree(DETAILS)).unwrap();
        assert_eq!(details.inputs().into_iter().map(LimsId::as_str).collect::<Vec<_>>(), ["2-1", "2-2"]);
        assert_eq!(details.document(), tree(DETAILS));
        let udf = |kind, value: &str| Udf { kind, value: value.to_owned() };
        details.fields.insert("Key".into(), udf(UdfKind::String, "nøkkel"));
        details.fields.insert("N".into(), udf(UdfKind::Numeric, " "));
        details.fields.insert("New".into(), udf(UdfKind::Text, "x"));
        let sent = details.document();
        let back = StepDetails::read(&tree(std::str::from_utf8(&sent.to_bytes()).unwrap())).unwrap();
        let want = [("Key".into(), udf(UdfKind::String, "nøkkel")), ("New".into(), udf(UdfKind::Text, "x"))];
        assert_eq!(back.fields, Udfs::from(want));
        assert_eq!(sent.child("preset").unwrap().text(), "P");
        assert_eq!(sent.child("instrument").unwrap().attr("uri"), Some("i"));
        assert_eq!(back.maps, details.maps);
    }

    #[test]
    fn a_program_status_is_read() {
        let body = r#"<s:program-status xmlns:s="http://genologics.com/ri/step"><status>WARNING</status>
            <message>look</message></s:program-status>"#;
        let status = ProgramStatus::read(&tree(body)).unwrap();
        assert_eq!(status, ProgramStatus { status: ProgramState::Warning, message: Some("look".into()) });
    }
}
