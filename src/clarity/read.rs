//! [`Element`] to value: the readers of the plain resources (artifact, sample, project, container, process).
//!
//! [`Record::read`] checks that the root is the one it reads, so that an answer to another question is not taken for
//! this one. It fails where an id is missing or no id, where a date or a number cannot be read, and where one field is
//! there twice: for patient data, guessing is worse than stopping.
use super::fault::Fault;
use super::ids::LimsId;
use super::model::{
    Artifact, Container, IoMap, Location, Output, Placement, Process, Project, Sample, Stage, Udf, Udfs,
};
use super::ns;
use super::tree::Element;
use super::words::{QcFlag, StageStatus, UdfKind};
use jiff::civil::Date;

/// Something that can be read out of a document, and that is found under a path of the API.
pub trait Record: Sized {
    /// Namespace of its root element.
    const NAMESPACE: &'static str;
    /// Name of its root element.
    const ROOT: &'static str;
    /// Path under the base, and the `kind` in URIs.
    const PATH: &'static str;

    /// Reads it; the root has been checked.
    fn from_element(element: &Element) -> Result<Self, Fault>;

    /// Reads it out of a document that must be one of these.
    fn read(element: &Element) -> Result<Self, Fault> {
        root(element, Self::NAMESPACE, Self::ROOT)?;
        Self::from_element(element).map_err(|fault| fault.within(element.name()))
    }
}

/// A record that is known by an id of its own.
pub trait Identified: Record {
    /// That id.
    fn id(&self) -> &LimsId;
}

pub(super) fn root(element: &Element, namespace: &str, local: &str) -> Result<(), Fault> {
    if element.is(namespace, local) {
        return Ok(());
    }
    let found = element.namespace().unwrap_or("no namespace");
    Err(Fault::new(format!("expected <{local}> of {namespace}, found <{}> of {found}", element.local())))
}

/// The id that an element names: its `limsid`, or else the one in its `uri`.
pub(super) fn id(element: &Element, kind: &str) -> Result<LimsId, Fault> {
    match (element.attr("limsid"), element.attr("uri")) {
        (Some(id), _) => LimsId::new(id),
        (None, Some(uri)) => LimsId::from_uri(uri, kind),
        (None, None) => Err(Fault::new("it has neither limsid nor uri")),
    }
    .map_err(|fault| fault.within(element.name()))
}

pub(super) fn ids<'a>(elements: impl Iterator<Item = &'a Element>, kind: &str) -> Result<Vec<LimsId>, Fault> {
    elements.map(|element| id(element, kind)).collect()
}

fn child_id(element: &Element, child: &str, kind: &str) -> Result<Option<LimsId>, Fault> {
    element.child(child).map(|child| id(child, kind)).transpose()
}

/// A child's text, verbatim; an empty one counts as absent.
fn verbatim(element: &Element, child: &str) -> Option<String> {
    element.child(child).map(Element::text).filter(|text| !text.is_empty())
}

/// A child's text without the spaces around it; a blank one counts as absent.
pub(super) fn word(element: &Element, child: &str) -> Option<String> {
    element.child(child).map(|child| child.text().trim().to_owned()).filter(|text| !text.is_empty())
}

pub(super) fn parsed<T: std::str::FromStr>(
    element: &Element,
    child: &str,
    what: &str,
) -> Result<Option<T>, Fault> {
    let Some(text) = word(element, child) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Fault::new(format!("<{child}> is not {what}")))
}

fn date(element: &Element, child: &str) -> Result<Option<Date>, Fault> {
    parsed(element, child, "a date (YYYY-MM-DD)")
}

/// The user-defined fields directly inside an element.
pub(super) fn udfs(element: &Element) -> Result<Udfs, Fault> {
    let mut udfs = Udfs::new();
    for field in element.all_in(ns::UDF, "field") {
        let name = field.attr("name").ok_or_else(|| Fault::new("a udf:field has no name"))?;
        let kind = UdfKind::parse(field.attr("type").unwrap_or(""));
        if udfs.insert(name.to_owned(), Udf { kind, value: field.text() }).is_some() {
            return Err(Fault::new(format!("the field {name:?} is there twice")));
        }
    }
    Ok(udfs)
}

fn files(element: &Element) -> Result<Vec<LimsId>, Fault> {
    ids(element.all_in(ns::FILE, "file"), "files")
}

pub(super) fn location(element: &Element) -> Result<Option<Location>, Fault> {
    let Some(location) = element.child("location") else { return Ok(None) };
    let Some(container) = child_id(location, "container", "containers")? else { return Ok(None) };
    Ok(Some(Location { container, well: word(location, "value") }))
}

pub(super) fn names(element: &Element, child: &str) -> Vec<String> {
    element.all(child).filter_map(|label| label.attr("name")).map(str::to_owned).collect()
}

pub(super) fn io_map(map: &Element) -> Result<IoMap, Fault> {
    let input = map.child("input").ok_or_else(|| Fault::new("an input-output-map has no input"))?;
    let output = match map.child("output") {
        Some(output) => Some(Output {
            id: id(output, "artifacts")?,
            // A process says `output-type`, a step's details say `type`.
            kind: output.attr("output-type").or(output.attr("type")).map(str::to_owned),
            generation: output.attr("output-generation-type").map(str::to_owned),
        }),
        None => None,
    };
    let input_parent = child_id(input, "parent-process", "processes")?;
    Ok(IoMap { input: id(input, "artifacts")?, input_parent, output })
}

impl Record for Artifact {
    const NAMESPACE: &'static str = ns::ARTIFACT;
    const ROOT: &'static str = "artifact";
    const PATH: &'static str = "artifacts";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let mut stages = Vec::new();
        for stage in e.child("workflow-stages").into_iter().flat_map(|list| list.all("workflow-stage")) {
            let uri = stage.attr("uri").ok_or_else(|| Fault::new("a workflow-stage has no uri"))?;
            stages.push(Stage {
                uri: uri.to_owned(),
                name: stage.attr("name").map(str::to_owned),
                status: stage.attr("status").map(StageStatus::parse),
            });
        }
        Ok(Self {
            id: id(e, Self::PATH)?,
            name: verbatim(e, "name"),
            kind: word(e, "type"),
            parent_process: child_id(e, "parent-process", "processes")?,
            qc: word(e, "qc-flag").map(|flag| QcFlag::parse(&flag)),
            location: location(e)?,
            working: parsed(e, "working-flag", "true or false")?,
            samples: ids(e.all("sample"), "samples")?,
            reagent_labels: names(e, "reagent-label"),
            control: e.child("control-type").is_some(),
            udfs: udfs(e)?,
            files: files(e)?,
            stages,
            has_demux: e.child("demux").is_some(),
        })
    }
}

impl Record for Sample {
    const NAMESPACE: &'static str = ns::SAMPLE;
    const ROOT: &'static str = "sample";
    const PATH: &'static str = "samples";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        Ok(Self {
            id: id(e, Self::PATH)?,
            name: verbatim(e, "name"),
            received: date(e, "date-received")?,
            completed: date(e, "date-completed")?,
            project: child_id(e, "project", "projects")?,
            artifact: child_id(e, "artifact", "artifacts")?,
            udfs: udfs(e)?,
            files: files(e)?,
        })
    }
}

impl Record for Project {
    const NAMESPACE: &'static str = ns::PROJECT;
    const ROOT: &'static str = "project";
    const PATH: &'static str = "projects";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        Ok(Self {
            id: id(e, Self::PATH)?,
            name: verbatim(e, "name"),
            opened: date(e, "open-date")?,
            closed: date(e, "close-date")?,
            priority: word(e, "priority"),
            udfs: udfs(e)?,
            files: files(e)?,
        })
    }
}

impl Record for Container {
    const NAMESPACE: &'static str = ns::CONTAINER;
    const ROOT: &'static str = "container";
    const PATH: &'static str = "containers";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        let mut placements = Vec::new();
        for placement in e.all("placement") {
            placements
                .push(Placement { artifact: id(placement, "artifacts")?, well: word(placement, "value") });
        }
        Ok(Self {
            id: id(e, Self::PATH)?,
            name: verbatim(e, "name"),
            kind: e.child("type").and_then(|kind| kind.attr("name")).map(str::to_owned),
            occupied_wells: parsed(e, "occupied-wells", "a number")?,
            placements,
            udfs: udfs(e)?,
            state: word(e, "state"),
        })
    }
}

impl Record for Process {
    const NAMESPACE: &'static str = ns::PROCESS;
    const ROOT: &'static str = "process";
    const PATH: &'static str = "processes";

    fn from_element(e: &Element) -> Result<Self, Fault> {
        Ok(Self {
            id: id(e, Self::PATH)?,
            kind: word(e, "type"),
            date_run: date(e, "date-run")?,
            protocol: word(e, "protocol-name"),
            technician: child_id(e, "technician", "researchers")?,
            maps: e.all("input-output-map").map(io_map).collect::<Result<_, _>>()?,
            udfs: udfs(e)?,
            files: files(e)?,
        })
    }
}

macro_rules! identified {
    ($($record:ty => $field:ident),*) => {
        $(impl Identified for $record {
            fn id(&self) -> &LimsId {
                &self.$field
            }
        })*
    };
}
identified!(Artifact => id, Sample => id, Project => id, Container => id, Process => id);

#[cfg(test)]
mod tests {
    use super::*;

    const ARTIFACT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ns3:artifact xmlns:ns7="http://genologics.com/ri/userdefined" xmlns:ns9="http://genologics.com/ri/file"
    xmlns:ns3="http://genologics.com/ri/artifact" uri="https://lims.example/api/v2/artifacts/92-77?state=4" limsid="92-77">
  <name>HG12345677 æ</name><type>ResultFile</type><output-type>ResultFile</output-type>
  <parent-process uri="https://lims.example/api/v2/processes/24-9" limsid="24-9"/>
  <qc-flag>CONTINUE</qc-flag><working-flag>true</working-flag>
  <location><container uri="https://lims.example/api/v2/containers/27-3"/><value> 2:1 </value></location>
  <sample limsid="KIT1A1" uri="https://lims.example/api/v2/samples/KIT1A1"/>
  <reagent-label name="BC04 (ACGT)"/>
  <ns7:field type="Numeric" name="Reads">0.50</ns7:field>
  <ns7:field name="Note" type="Text"> two
lines </ns7:field>
  <ns9:file limsid="40-5" uri="https://lims.example/api/v2/files/40-5"/>
  <workflow-stages>
    <workflow-stage status="COMPLETE" name="Export" uri="https://lims.example/api/v2/configuration/workflows/7/stages/8"/>
    <workflow-stage status="QUEUED" name="Export" uri="https://lims.example/api/v2/configuration/workflows/7/stages/8"/>
    <workflow-stage status="REMOVED" name="Old" uri="https://lims.example/api/v2/configuration/workflows/7/stages/9"/>
  </workflow-stages>
</ns3:artifact>"#;

    fn tree(body: &str) -> Element {
        Element::parse(body.as_bytes()).unwrap()
    }

    fn lims(id: &str) -> LimsId {
        LimsId::new(id).unwrap()
    }

    #[test]
    fn an_artifact_is_read_to_the_last_space() {
        let artifact = Artifact::read(&tree(ARTIFACT)).unwrap();
        let udf = |kind, value: &str| Udf { kind, value: value.to_owned() };
        let uri = |n| format!("https://lims.example/api/v2/configuration/workflows/7/stages/{n}");
        let stage =
            |n, name: &str, status| Stage { uri: uri(n), name: Some(name.to_owned()), status: Some(status) };
        assert_eq!(
            artifact,
            Artifact {
                id: lims("92-77"),
                name: Some("HG12345677 æ".into()),
                kind: Some("ResultFile".into()),
                parent_process: Some(lims("24-9")),
                qc: Some(QcFlag::Continue),
                location: Some(Location { container: lims("27-3"), well: Some("2:1".into()) }),
                working: Some(true),
                samples: vec![lims("KIT1A1")],
                reagent_labels: vec!["BC04 (ACGT)".into()],
                control: false,
                udfs: Udfs::from([
                    ("Note".into(), udf(UdfKind::Text, " two\nlines ")),
                    ("Reads".into(), udf(UdfKind::Numeric, "0.50")),
                ]),
                files: vec![lims("40-5")],
                stages: vec![
                    stage(8, "Export", StageStatus::Complete),
                    stage(8, "Export", StageStatus::Queued),
                    stage(9, "Old", StageStatus::Removed),
                ],
                has_demux: false,
            }
        );
        assert!(artifact.is_active_in("http://other/api/v2/configuration/workflows/7/stages/8"));
        assert!(
            !artifact.is_active_in(&uri(9)) && !artifact.is_active_in(&uri(80)) && !artifact.is_control()
        );
    }

    #[test]
    fn what_is_optional_may_be_missing_and_what_is_not_may_not() {
        let bare = r#"<a:artifact xmlns:a="http://genologics.com/ri/artifact" limsid="8C-5PA1"/>"#;
        let artifact = Artifact::read(&tree(bare)).unwrap();
        assert!(artifact.is_control() && artifact.samples.is_empty() && artifact.location.is_none());
        let fault = |body: &str| Artifact::read(&tree(body)).unwrap_err().to_string();
        assert_eq!(
            fault(r#"<a:artifact xmlns:a="http://genologics.com/ri/artifact"/>"#),
            "in <a:artifact>: in <a:artifact>: it has neither limsid nor uri"
        );
        assert_eq!(
            fault(r#"<a:sample xmlns:a="http://genologics.com/ri/sample" limsid="A1"/>"#),
            "expected <artifact> of http://genologics.com/ri/artifact, found <sample> of http://genologics.com/ri/sample"
        );
        assert_eq!(
            fault(&ARTIFACT.replace("\"Note\"", "\"Reads\"")),
            "in <ns3:artifact>: the field \"Reads\" is there twice"
        );
        assert_eq!(
            fault(&ARTIFACT.replace("true", "perhaps")),
            "in <ns3:artifact>: <working-flag> is not true or false"
        );
    }
}
