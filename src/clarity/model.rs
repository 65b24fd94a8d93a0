//! What the LIMS tells, as values: artifact, sample, project, container, process.
//!
//! Everything the schema calls optional is optional here, because real bodies leave all of it out somewhere: controls
//! have no project, a result file no location, a root artifact no parent process, an open process no run date. Only
//! what a thing is named by (its limsid) is required. Field values are verbatim: numbers stay decimal text, spaces count.
use super::ids::{LimsId, same_uri};
use super::words::{QcFlag, StageStatus, UdfKind};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// A user-defined field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udf {
    /// Its declared type. Sites keep dates and booleans as `String` too.
    pub kind: UdfKind,
    /// Its text, as it came.
    pub value: String,
}

/// The user-defined fields of one thing, by name. An unset field is absent, so an absent Boolean is not `false`.
pub type Udfs = BTreeMap<String, Udf>;

/// Where an artifact stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Plate, tube, flow cell.
    pub container: LimsId,
    /// `A:1`; on a flow cell `2:1` is lane 2.
    pub well: Option<String>,
}

/// One entry in an artifact's history of stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// `…/configuration/workflows/W/stages/S`: a stage, not a step.
    pub uri: String,
    /// Name of the stage.
    pub name: Option<String>,
    /// What became of it there.
    pub status: Option<StageStatus>,
}

/// Something that goes through the laboratory: a sample's material, a pool, a result file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its id.
    pub id: LimsId,
    /// Its name.
    pub name: Option<String>,
    /// `Analyte`, `ResultFile`…
    pub kind: Option<String>,
    /// The process that made it; none on a sample's root artifact.
    pub parent_process: Option<LimsId>,
    /// As of the state the server chose to show.
    pub qc: Option<QcFlag>,
    /// Container and well.
    pub location: Option<Location>,
    /// Working flag.
    pub working: Option<bool>,
    /// The samples in it: one, or a pool's many.
    pub samples: Vec<LimsId>,
    /// Index labels.
    pub reagent_labels: Vec<String>,
    /// Whether the LIMS gives it a control type.
    pub control: bool,
    /// Its fields.
    pub udfs: Udfs,
    /// Attached files, ids `40-…`.
    pub files: Vec<LimsId>,
    /// Its history of stages, oldest first as the server lists them.
    pub stages: Vec<Stage>,
    /// Whether the server offers to take the pool apart.
    pub has_demux: bool,
}

impl Artifact {
    /// Whether this is a control and nobody's sample, by its control type or by its id.
    pub fn is_control(&self) -> bool {
        self.control || self.id.is_control()
    }

    /// Whether it waits or is worked on in this stage. Any entry counts, for the list is a history without times.
    pub fn is_active_in(&self, stage_uri: &str) -> bool {
        self.stages.iter().any(|stage| {
            same_uri(&stage.uri, stage_uri)
                && matches!(stage.status, Some(StageStatus::Queued | StageStatus::InProgress))
        })
    }
}

/// What was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its id.
    pub id: LimsId,
    /// Its name.
    pub name: Option<String>,
    /// When it came.
    pub received: Option<Date>,
    /// When it was done.
    pub completed: Option<Date>,
    /// Its project; none on controls.
    pub project: Option<LimsId>,
    /// Its root artifact.
    pub artifact: Option<LimsId>,
    /// Its fields.
    pub udfs: Udfs,
    /// Attached files.
    pub files: Vec<LimsId>,
}

/// What samples are ordered under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: LimsId,
    /// Its name.
    pub name: Option<String>,
    /// When it was opened.
    pub opened: Option<Date>,
    /// When it was closed.
    pub closed: Option<Date>,
    /// Clarity 6 and later.
    pub priority: Option<String>,
    /// Its fields.
    pub udfs: Udfs,
    /// Attached files.
    pub files: Vec<LimsId>,
}

/// What stands in a well of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The artifact.
    pub artifact: LimsId,
    /// Its well.
    pub well: Option<String>,
}

/// Plate, tube, flow cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: LimsId,
    /// Its name; for a flow cell usually the barcode.
    pub name: Option<String>,
    /// Name of its type.
    pub kind: Option<String>,
    /// Number of wells in use.
    pub occupied_wells: Option<u32>,
    /// What stands where.
    pub placements: Vec<Placement>,
    /// Its fields.
    pub udfs: Udfs,
    /// `Populated`, `Empty`…
    pub state: Option<String>,
}

/// What a process or step made of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The artifact made.
    pub id: LimsId,
    /// `Analyte`, `ResultFile`…
    pub kind: Option<String>,
    /// `PerInput`, `PerAllInputs`, `PerReagentLabel`.
    pub generation: Option<String>,
}

/// Which input became which output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoMap {
    /// The artifact that went in.
    pub input: LimsId,
    /// The process that made the input.
    pub input_parent: Option<LimsId>,
    /// What came out; none in a step without outputs or for an unindexed lane.
    pub output: Option<Output>,
}

/// A step as the older part of the API shows it. Step id and process id are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub id: LimsId,
    /// Name of its type, what searches call `type`.
    pub kind: Option<String>,
    /// Absent while the step is open; confirm with the step before relying on it.
    pub date_run: Option<Date>,
    /// Name of its protocol.
    pub protocol: Option<String>,
    /// Researcher number of who ran it; the name is not read.
    pub technician: Option<LimsId>,
    /// Inputs and outputs.
    pub maps: Vec<IoMap>,
    /// Its fields.
    pub udfs: Udfs,
    /// Attached files.
    pub files: Vec<LimsId>,
}

impl Process {
    /// The ids that went in.
    pub fn inputs(&self) -> BTreeSet<&LimsId> {
        self.maps.iter().map(|map| &map.input).collect()
    }

    /// The inputs that this output was made from: one, for a demultiplexing output its lane.
    pub fn inputs_of(&self, output: &LimsId) -> BTreeSet<&LimsId> {
        let made = |map: &&IoMap| map.output.as_ref().is_some_and(|made| made.id == *output);
        self.maps.iter().filter(made).map(|map| &map.input).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> LimsId {
        LimsId::new(text).unwrap()
    }

    #[test]
    fn an_outputs_inputs_are_those_of_all_its_maps() {
        let map = |input: &str, output: Option<&str>| IoMap {
            input: id(input),
            input_parent: None,
            output: output.map(|made| Output { id: id(made), kind: None, generation: None }),
        };
        let maps = vec![
            map("2-1", Some("92-1")),
            map("2-2", Some("92-1")),
            map("2-3", Some("92-2")),
            map("2-4", None),
        ];
        let process = Process {
            id: id("24-1"),
            kind: None,
            date_run: None,
            protocol: None,
            technician: None,
            maps,
            udfs: Udfs::new(),
            files: Vec::new(),
        };
        assert_eq!(process.inputs_of(&id("92-1")), BTreeSet::from([&id("2-1"), &id("2-2")]));
        assert_eq!(process.inputs_of(&id("92-9")), BTreeSet::new());
        assert_eq!(process.inputs().len(), 4);
    }
}
