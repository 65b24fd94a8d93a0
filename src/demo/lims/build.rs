//! Building the world: projects, sequencing runs, samples with their demultiplexing outputs, controls.
//!
//! Everything is linked as the laboratory leaves it behind: sample → root artifact → library (151-) → pool of a lane on
//! the flow cell (122-) → sequencing process → demultiplexing process with one result file per sample and lane
//! (`PerReagentLabel`) and one per lane (`PerInput`, all samples of the lane: a reader has to tell them apart).

use std::collections::BTreeMap;

use super::recipe::{NewData, NewRun, NewSample, NewSampleIds, Run, Stats, Unknown};
use super::settings::Udf;
use super::world::{Artifact, Container, IoMap, Kind, LAB_USER, Process, Project, Sample, World};

impl World {
    pub(super) fn add_project(&mut self, name: &str, udfs: Vec<Udf>) -> String {
        let id = format!("OUS{}", self.projects.len() + 1);
        let project = Project { name: name.to_owned(), opened: self.today(), udfs, samples: 0 };
        let _ = self.projects.insert(id.clone(), project);
        id
    }

    fn add_process(&mut self, prefix: &str, type_name: &str, date: &str, udfs: Vec<Udf>) -> String {
        let id = self.id(prefix);
        let type_id =
            self.processes.values().find(|known| known.type_name == type_name).map(|known| known.type_id);
        let type_id = type_id.unwrap_or_else(|| 100 + u32::try_from(self.processes.len()).unwrap_or(0));
        let process = Process {
            type_name: type_name.to_owned(),
            type_id,
            date_run: Some(date.to_owned()),
            technician: LAB_USER,
            maps: Vec::new(),
            udfs,
            modified: self.now(),
        };
        let _ = self.processes.insert(id.clone(), process);
        id
    }

    fn add_artifact(&mut self, id: String, artifact: Artifact) -> String {
        if let Some((container, well)) = &artifact.location
            && let Some(found) = self.containers.get_mut(container)
        {
            found.placements.push((id.clone(), well.clone()));
        }
        let _ = self.artifacts.insert(id.clone(), artifact);
        id
    }

    fn add_container(&mut self, name: Option<&str>, kind: (&'static str, u32)) -> String {
        let id = self.id("27");
        let name = name.unwrap_or(&id).to_owned();
        let _ = self.containers.insert(id.clone(), Container { name, kind, placements: Vec::new() });
        id
    }

    fn analyte(&mut self, name: &str, container: &str, well: &str) -> Artifact {
        Artifact {
            name: name.to_owned(),
            kind: Kind::Analyte,
            parent: None,
            qc: "UNKNOWN".to_owned(),
            location: Some((container.to_owned(), well.to_owned())),
            samples: Vec::new(),
            labels: Vec::new(),
            control: false,
            udfs: Vec::new(),
            stages: Vec::new(),
            pool: Vec::new(),
            state: self.number(),
        }
    }

    fn map(&mut self, process: &str, input: &str, output: Option<(&str, &'static str)>) {
        let input_state = self.artifacts.get(input).map_or(0, |found| found.state);
        if let Some(found) = self.processes.get_mut(process) {
            let output = output.map(|(id, how)| (id.to_owned(), how));
            found.maps.push(IoMap { input: input.to_owned(), input_state, output });
        }
    }

    pub(super) fn add_run(&mut self, new: &NewRun) -> Run {
        let digits = new.run_id.get(..8).filter(|start| start.bytes().all(|b| b.is_ascii_digit()));
        let date = digits.map_or_else(
            || self.today(),
            |d| {
                d.chars().enumerate().fold(String::new(), |date, (n, c)| {
                    if n == 4 || n == 6 { format!("{date}-{c}") } else { format!("{date}{c}") }
                })
            },
        );
        let container = self.add_container(Some(&new.flowcell_id), ("Illumina Flow Cell", 8));
        let indexing = self.add_process("151", "Library indexing", &date, Vec::new());
        let pooling = self.add_process("122", "Library pooling", &date, Vec::new());
        let mut udfs =
            vec![Udf::string("Run ID", &new.run_id), Udf::string("Flow Cell ID", &new.flowcell_id)];
        udfs.extend(new.udfs.iter().cloned());
        let sequencing = self.add_process("24", &new.sequencing_type, &date, udfs);
        let demux = self.add_process("24", &new.demux_type, &date, Vec::new());
        let mut lanes = BTreeMap::new();
        for lane in 1..=new.lanes {
            let id = self.id("2");
            let mut pool = self.analyte(
                &format!("Pool {} lane {lane}", new.flowcell_id),
                &container,
                &format!("{lane}:1"),
            );
            pool.parent = Some(pooling.clone());
            let pool = self.add_artifact(id, pool);
            self.map(&sequencing, &pool, None);
            let result = self.id("92");
            let mut per_lane = self.analyte(&format!("Lane {lane} demultiplexing"), "", "");
            per_lane.kind = Kind::ResultFile;
            per_lane.location = None;
            per_lane.parent = Some(demux.clone());
            let per_lane = self.add_artifact(result, per_lane);
            self.map(&demux, &pool, Some((&per_lane, "PerInput")));
            let _ = lanes.insert(lane, pool);
        }
        Run { sequencing, demux, container, lanes, indexing, pooling }
    }

    pub(super) fn add_sample(&mut self, new: &NewSample) -> Result<NewSampleIds, Unknown> {
        let today = self.today();
        let project =
            self.projects.get_mut(&new.project).ok_or_else(|| Unknown::new("project", &new.project))?;
        project.samples += 1;
        let limsid = format!("{}A{}", new.project, project.samples);
        let root = format!("{limsid}PA1");
        let tube = self.add_container(None, ("Tube", 2));
        let mut artifact = self.analyte(&new.name, &tube, "1:1");
        artifact.samples.push(limsid.clone());
        let root_artifact = self.add_artifact(root, artifact);
        let sample = Sample {
            name: new.name.clone(),
            project: Some(new.project.clone()),
            received: today,
            artifact: root_artifact.clone(),
            udfs: new.udfs.clone(),
        };
        let _ = self.samples.insert(limsid.clone(), sample);
        let outputs = new.data.iter().map(|data| self.add_data(&limsid, data)).collect::<Result<_, _>>()?;
        Ok(NewSampleIds { limsid, root_artifact, outputs })
    }

    /// A control: a sample without a project, whose artifact turns up in queues like any other.
    pub(super) fn add_control(&mut self, name: &str) -> String {
        let id = format!("8C-{}", self.number());
        let tube = self.add_container(None, ("Tube", 2));
        let mut artifact = self.analyte(name, &tube, "1:1");
        artifact.samples.push(id.clone());
        artifact.control = true;
        let root = self.add_artifact(format!("{id}PA1"), artifact);
        let received = self.today();
        let sample = Sample {
            name: name.to_owned(),
            project: None,
            received,
            artifact: root.clone(),
            udfs: Vec::new(),
        };
        let _ = self.samples.insert(id, sample);
        root
    }

    pub(super) fn add_data(&mut self, sample: &str, data: &NewData) -> Result<String, Unknown> {
        let known = self.samples.get(sample).ok_or_else(|| Unknown::new("sample", sample))?;
        let (name, root) = (known.name.clone(), known.artifact.clone());
        let pool = data.run.lanes.get(&data.lane).ok_or_else(|| Unknown::new("lane", data.lane))?.clone();
        if !self.processes.contains_key(&data.run.demux) || !self.artifacts.contains_key(&pool) {
            return Err(Unknown::new("run", &data.run.demux));
        }
        let library = self.library(sample, &name, &root, data);
        self.map(&data.run.pooling, &library, Some((&pool, "PerAllInputs")));
        if let Some(found) = self.artifacts.get_mut(&pool) {
            found.pool.push(library);
            if !found.samples.iter().any(|known| known == sample) {
                found.samples.push(sample.to_owned());
            }
            found.labels.push(data.reagent_label.clone());
        }
        self.name_on_lane_result(&data.run.demux, &pool, sample);

        let id = self.id("92");
        let mut output = self.analyte(&name, "", "");
        output.kind = Kind::ResultFile;
        output.location = None;
        output.parent = Some(data.run.demux.clone());
        output.samples.push(sample.to_owned());
        output.labels.push(data.reagent_label.clone());
        output.udfs.push(Udf::string("SampleSheet Sample_ID", &data.sheet_id));
        output.udfs.extend(data.dataset_uuid.iter().map(|uuid| Udf::string("Dataset UUID", uuid)));
        output.udfs.push(Udf::numeric("Sample sheet position", data.sheet_position));
        output.udfs.push(Udf::numeric("Number of data read passes", data.read_passes));
        output.udfs.extend(data.ora.map(|ora| Udf::boolean("ORA compression", ora)));
        output.udfs.extend(data.stats.iter().flat_map(Stats::udfs));
        output.udfs.extend(data.udfs.iter().cloned());
        let output = self.add_artifact(id, output);
        self.map(&data.run.demux, &pool, Some((&output, "PerReagentLabel")));
        Ok(output)
    }

    /// The library of a sample with this label in this run; one library may lie in several lanes.
    fn library(&mut self, sample: &str, name: &str, root: &str, data: &NewData) -> String {
        let same = self.artifacts.iter().find(|(_, known)| {
            known.parent.as_ref() == Some(&data.run.indexing)
                && known.samples.iter().any(|known| known == sample)
                && known.labels.contains(&data.reagent_label)
        });
        if let Some((id, _)) = same {
            return id.clone();
        }
        let tube = self.add_container(None, ("Tube", 2));
        let id = self.id("2");
        let mut library = self.analyte(name, &tube, "1:1");
        library.parent = Some(data.run.indexing.clone());
        library.samples.push(sample.to_owned());
        library.labels.push(data.reagent_label.clone());
        let library = self.add_artifact(id, library);
        self.map(&data.run.indexing, root, Some((&library, "PerInput")));
        library
    }

    fn name_on_lane_result(&mut self, demux: &str, pool: &str, sample: &str) {
        let maps = self.processes.get(demux).map(|process| process.maps.as_slice()).unwrap_or_default();
        let per_lane =
            maps.iter().find(|map| map.input == pool && matches!(map.output, Some((_, "PerInput"))));
        let Some((id, _)) = per_lane.and_then(|map| map.output.clone()) else { return };
        if let Some(found) = self.artifacts.get_mut(&id)
            && !found.samples.iter().any(|known| known == sample)
        {
            found.samples.push(sample.to_owned());
        }
    }

    /// UDFs of anything that has some.
    pub(super) fn udfs_of(&mut self, id: &str) -> Option<&mut Vec<Udf>> {
        if let Some(found) = self.artifacts.get_mut(id) {
            return Some(&mut found.udfs);
        }
        if let Some(found) = self.samples.get_mut(id) {
            return Some(&mut found.udfs);
        }
        if let Some(found) = self.projects.get_mut(id) {
            return Some(&mut found.udfs);
        }
        self.processes.get_mut(id).map(|found| &mut found.udfs)
    }
}
