//! Reading in full: samples, demultiplexing outputs, lanes, runs, projects; each thing once per look, however many share it.
//!
//! Every search result is checked against its own question. Identity is settled here, where pool and output can be compared:
//! an output counts for a sample only if the pool in its lane says so under its label, and where the pool holds the sample
//! there must be an output of it; without that check a sample whose output the LIMS gave to another would leave in part.
use std::collections::{BTreeMap, BTreeSet};

use super::super::exporter::Exporter;
use super::super::order::{self, LaneOutput, NotYet, Queued};
use super::pick::Seen;
use super::search::{self, Search};
use crate::blame::Failure;
use crate::clarity::{Artifact, Demux, Error, LimsId, Process, Project, Sample, Udfs};
use crate::supervisor::meter::Meter;

/// What one look has read so far.
pub(super) struct Depth<'a> {
    exporter: &'a Exporter,
    meter: &'a Meter,
    processes: BTreeMap<LimsId, Result<Process, String>>,
    projects: BTreeMap<LimsId, Result<Project, String>>,
    demuxes: BTreeMap<LimsId, Result<Demux, String>>,
    lanes: BTreeMap<LimsId, Result<u32, NotYet>>,
    /// The samples that a lane artifact itself names.
    held_by: BTreeMap<LimsId, Vec<LimsId>>,
    runs: BTreeMap<LimsId, Result<String, NotYet>>,
}

/// A demultiplexing output with the lane that it was made from.
struct Found {
    output: Artifact,
    process: LimsId,
    lane: LimsId,
}

/// What is one thing's own fault is kept as words; the rest ends the look.
pub(super) fn own<T>(read: Result<T, Error>) -> Result<Result<T, String>, Failure> {
    match read.map_err(Failure::from) {
        Ok(value) => Ok(Ok(value)),
        Err(Failure::Unit(blame)) => Ok(Err(blame.detail)),
        Err(failure) => Err(failure),
    }
}

/// Clarity drops a field now and then and never makes one up, so what either reading has is there.
fn both(first: &mut Udfs, second: Udfs) {
    for (name, udf) in second {
        let _kept = first.entry(name).or_insert(udf);
    }
}

impl<'a> Depth<'a> {
    pub(super) fn new(exporter: &'a Exporter, meter: &'a Meter) -> Self {
        Self {
            exporter,
            meter,
            processes: BTreeMap::new(),
            projects: BTreeMap::new(),
            demuxes: BTreeMap::new(),
            lanes: BTreeMap::new(),
            held_by: BTreeMap::new(),
            runs: BTreeMap::new(),
        }
    }

    /// Everything about these, by artifact. `takes_repeats`: see `search.rs`.
    pub(super) async fn read(
        &mut self,
        picked: &[&Seen],
        takes_repeats: &mut bool,
    ) -> Result<BTreeMap<LimsId, Result<Queued, NotYet>>, Failure> {
        let mut samples = self.samples(picked).await?;
        let conf = &self.exporter.conf;
        // What is analysed anew has no reads of its own.
        let fresh = |sample: &Sample| order::reanalysis(conf, sample).is_none();
        let wanted: BTreeSet<LimsId> =
            samples.values().flatten().filter(|s| fresh(s)).map(|s| s.id.clone()).collect();
        let wanted: Vec<LimsId> = wanted.into_iter().collect();
        let search = Search { client: &self.exporter.client, conf, meter: self.meter };
        let mut outputs = search.outputs(&wanted, takes_repeats).await?;
        let mut found: BTreeMap<LimsId, Result<Vec<Found>, NotYet>> = BTreeMap::new();
        for sample in wanted {
            let of = match outputs.remove(&sample).unwrap_or_else(|| Ok(Vec::new())) {
                Ok(outputs) => self.demultiplexed(outputs).await?,
                Err(said) => Err(said),
            };
            drop(found.insert(sample, of));
        }
        self.once_more(&mut found).await?;
        self.pools(&found).await?;
        self.sequenced(&found, *takes_repeats).await?;
        let mut queued = BTreeMap::new();
        for one in picked {
            self.meter.alive();
            let read = match samples.remove(&one.artifact) {
                Some(Ok(sample)) => self.complete(one, sample, &found).await?,
                Some(Err(said)) => Err(said),
                None => Err(NotYet::waits(format!("the LIMS does not give out sample {}", one.sample))),
            };
            drop(queued.insert(one.artifact.clone(), read));
        }
        Ok(queued)
    }

    /// The samples, by artifact; what lacks a field that matters is read once more.
    async fn samples(&self, picked: &[&Seen]) -> Result<BTreeMap<LimsId, Result<Sample, NotYet>>, Failure> {
        let (client, conf) = (&self.exporter.client, &self.exporter.conf);
        let ids: Vec<LimsId> = picked.iter().map(|one| one.sample.clone()).collect();
        let mut batch = client.samples(&ids).await?;
        let lacking: Vec<LimsId> =
            batch.found.values().filter(|s| order::sample_lacks(conf, s)).map(|s| s.id.clone()).collect();
        if !lacking.is_empty() {
            for (id, second) in client.samples(&lacking).await?.found {
                if let Some(first) = batch.found.get_mut(&id) {
                    both(&mut first.udfs, second.udfs);
                    first.name = first.name.take().or(second.name);
                    first.project = first.project.take().or(second.project);
                }
            }
        }
        self.meter.alive();
        let of = |one: &&Seen| {
            let read = match batch.found.get(&one.sample) {
                Some(sample) => Ok(sample.clone()),
                None => {
                    let why = batch.failed.get(&one.sample).map_or_else(String::new, |e| crate::chain(e));
                    Err(NotYet::waits(format!("the LIMS does not give out sample {}: {why}", one.sample)))
                }
            };
            (one.artifact.clone(), read)
        };
        Ok(picked.iter().map(of).collect())
    }

    /// Those that a demultiplexing made under a label, each with its one lane.
    async fn demultiplexed(&mut self, outputs: Vec<Artifact>) -> Result<Result<Vec<Found>, NotYet>, Failure> {
        let mut found = Vec::new();
        for output in outputs {
            let Some(id) = output.parent_process.clone() else { continue };
            self.read_process(&id).await?;
            let process = match &self.processes[&id] {
                Ok(process) => process,
                Err(why) => return Ok(Err(NotYet::waits(format!("output {}: {why}", output.id)))),
            };
            let per_label = process.maps.iter().filter_map(|m| m.output.as_ref());
            let per_label = per_label.filter(|o| o.generation.as_deref() == Some("PerReagentLabel"));
            // A search may bring what it was not asked for.
            if process.kind.as_deref() != Some(self.exporter.conf.demultiplexing.as_str())
                || !per_label.into_iter().any(|o| o.id == output.id)
            {
                continue;
            }
            let inputs: Vec<LimsId> = process.inputs_of(&output.id).into_iter().cloned().collect();
            let [lane] = &inputs[..] else {
                let what = format!("output {} has {} lanes instead of one", output.id, inputs.len());
                return Ok(Err(NotYet::contradiction(what)));
            };
            found.push(Found { lane: lane.clone(), process: id, output });
        }
        Ok(Ok(found))
    }

    /// Reads outputs that lack a field once more before that counts.
    async fn once_more(
        &self,
        found: &mut BTreeMap<LimsId, Result<Vec<Found>, NotYet>>,
    ) -> Result<(), Failure> {
        let conf = &self.exporter.conf;
        let all = || found.values().flatten().flatten();
        let lacking: Vec<LimsId> = all()
            .filter(|f| order::output_lacks(conf, &f.output.udfs))
            .map(|f| f.output.id.clone())
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let mut second = self.exporter.client.artifacts(&lacking).await?;
        for one in found.values_mut().flatten().flatten() {
            if let Some(again) = second.found.remove(&one.output.id) {
                both(&mut one.output.udfs, again.udfs);
            }
        }
        Ok(())
    }

    /// The pools of all lanes of the demultiplexings, and which lane each is.
    async fn pools(&mut self, found: &BTreeMap<LimsId, Result<Vec<Found>, NotYet>>) -> Result<(), Failure> {
        let used: BTreeSet<&LimsId> = found.values().flatten().flatten().map(|f| &f.process).collect();
        let processes = used.into_iter().filter_map(|id| self.processes.get(id)?.as_ref().ok());
        let pools: BTreeSet<LimsId> = processes.flat_map(Process::inputs).cloned().collect();
        let pools: Vec<LimsId> = pools.into_iter().collect();
        let client = &self.exporter.client;
        let mut batch = if pools.is_empty() { None } else { Some(client.artifacts(&pools).await?) };
        for pool in pools {
            let trouble = batch.as_mut().and_then(|b| b.failed.remove(&pool));
            let read = batch.as_mut().and_then(|b| b.found.remove(&pool));
            let samples = read.as_ref().map(|a| a.samples.clone()).unwrap_or_default();
            drop(self.held_by.insert(pool.clone(), samples));
            let well = read.and_then(|a| a.location).and_then(|l| l.well);
            let number = well.as_deref().and_then(|w| w.split(':').next()).and_then(|n| n.parse().ok());
            let lane = number.ok_or_else(|| match trouble {
                Some(error) => NotYet::waits(format!("lane artifact {pool}: {}", crate::chain(&error))),
                None => NotYet::invalid(format!("lane artifact {pool} does not say which lane it is")),
            });
            drop(self.lanes.insert(pool.clone(), lane));
            let demux = own(client.demux(&pool).await)?;
            self.meter.alive();
            drop(self.demuxes.insert(pool, demux));
        }
        Ok(())
    }

    /// The run of each lane that has an output: of its last sequencing.
    async fn sequenced(
        &mut self,
        found: &BTreeMap<LimsId, Result<Vec<Found>, NotYet>>,
        takes_repeats: bool,
    ) -> Result<(), Failure> {
        let lanes: BTreeSet<LimsId> = found.values().flatten().flatten().map(|f| f.lane.clone()).collect();
        let lanes: Vec<LimsId> = lanes.into_iter().collect();
        let search = Search { client: &self.exporter.client, conf: &self.exporter.conf, meter: self.meter };
        for (lane, ids) in search.sequencings(&lanes, takes_repeats).await? {
            let run = match ids {
                Ok(ids) => self.last_run(&lane, ids).await?,
                Err(why) => Err(NotYet::waits(why)),
            };
            drop(self.runs.insert(lane, run));
        }
        Ok(())
    }

    async fn last_run(
        &mut self,
        lane: &LimsId,
        mut ids: Vec<LimsId>,
    ) -> Result<Result<String, NotYet>, Failure> {
        ids.sort_by_key(|id| std::cmp::Reverse(search::number(id)));
        let field = self.exporter.field("run_id").to_owned();
        for id in ids {
            self.read_process(&id).await?;
            let process = match &self.processes[&id] {
                Ok(process) => process,
                Err(why) => return Ok(Err(NotYet::waits(format!("sequencing {id} of lane {lane}: {why}")))),
            };
            let sequencing = process.kind.as_deref() == Some(self.exporter.conf.sequencing.as_str());
            if !sequencing || !process.inputs().contains(lane) {
                continue;
            }
            if let Some(run) = order::text(&process.udfs, &field) {
                return Ok(Ok(run.to_owned()));
            }
            let again = own(self.exporter.client.process(&id).await)?;
            let run = again.ok().and_then(|p| order::text(&p.udfs, &field).map(str::to_owned));
            return Ok(run.ok_or_else(|| {
                NotYet::invalid(format!("field {field:?} of sequencing {id} is not set: set it in the LIMS"))
            }));
        }
        Ok(Err(NotYet::waits(format!("the LIMS knows no sequencing run of lane {lane}"))))
    }

    async fn complete(
        &mut self,
        one: &Seen,
        sample: Sample,
        found: &BTreeMap<LimsId, Result<Vec<Found>, NotYet>>,
    ) -> Result<Result<Queued, NotYet>, Failure> {
        let Some(project) = sample.project.clone() else {
            return Ok(Err(NotYet::invalid("it has no project: give it one in the LIMS")));
        };
        if !self.projects.contains_key(&project) {
            let read = own(self.exporter.client.project(&project).await)?;
            drop(self.projects.insert(project.clone(), read));
        }
        let project = match &self.projects[&project] {
            Ok(project) => project.clone(),
            Err(why) => return Ok(Err(NotYet::waits(format!("project {project}: {why}")))),
        };
        let outputs = || {
            let _can_be_called = order::package_name(&sample, &project)?;
            match found.get(&sample.id) {
                None => Ok(Vec::new()), // analysed anew
                Some(Ok(found)) if found.is_empty() => {
                    Err(NotYet::waits("the LIMS has no demultiplexing output of it yet"))
                }
                Some(Ok(found)) => self.identified(&sample.id, found),
                Some(Err(said)) => Err(said.clone()),
            }
        };
        let outputs = outputs();
        let artifact = one.artifact.to_string();
        Ok(outputs.map(|outputs| Queued { artifact, sample, project, outputs }))
    }

    /// The outputs of a sample, if pools and outputs tell the same of it.
    fn identified(&self, sample: &LimsId, found: &[Found]) -> Result<Vec<LaneOutput>, NotYet> {
        let unread = |lane: &LimsId| NotYet::waits(format!("the pool of lane {lane} was not read"));
        let demux = |lane: &LimsId| match self.demuxes.get(lane) {
            Some(Ok(demux)) => Ok(demux),
            Some(Err(why)) => Err(NotYet::waits(format!("the pool of lane {lane}: {why}"))),
            None => Err(unread(lane)),
        };
        let mut outputs = Vec::new();
        for Found { output, lane, .. } in found {
            identity(sample, output, lane, demux(lane)?)?;
            let alone = !demux(lane)?.pooled;
            let holds = self.held_by.get(lane).map(Vec::as_slice).unwrap_or_default();
            if alone && !holds.is_empty() && holds != std::slice::from_ref(sample) {
                let holds: Vec<&str> = holds.iter().map(LimsId::as_str).collect();
                return Err(NotYet::contradiction(format!(
                    "identity: output {} claims sample {sample}, but lane {lane} holds {}",
                    output.id,
                    holds.join(" and ")
                )));
            }
            let number = self.lanes.get(lane).ok_or_else(|| unread(lane))?.clone();
            let run_id = self.runs.get(lane).ok_or_else(|| unread(lane))?.clone()?;
            outputs.push(LaneOutput {
                output: output.id.to_string(),
                udfs: output.udfs.clone(),
                lane: number?,
                run_id,
                label: output.reagent_labels.first().cloned(),
            });
        }
        let processes: BTreeSet<&LimsId> = found.iter().map(|f| &f.process).collect();
        for id in processes {
            let Some(Ok(process)) = self.processes.get(id) else { continue };
            for lane in process.inputs() {
                let here = demux(lane)?.parts.iter().filter(|part| part.samples.contains(sample));
                let labels: BTreeSet<&str> = here.flat_map(|part| &part.labels).map(String::as_str).collect();
                let has = |label: &str| {
                    let here = |f: &&Found| f.process == *id && f.lane == *lane;
                    found.iter().filter(here).any(|f| f.output.reagent_labels.iter().any(|own| own == label))
                };
                let missing: Vec<&str> = labels.into_iter().filter(|label| !has(label)).collect();
                if !missing.is_empty() {
                    let labels = missing.join(" and ");
                    return Err(NotYet::contradiction(format!(
                        "identity: the pool of lane {lane} holds sample {sample} under label {labels:?}, but demultiplexing {id} \
                         has no output of it there: was it given to another sample?"
                    )));
                }
            }
        }
        outputs.sort_by(|a, b| (&a.run_id, a.lane).cmp(&(&b.run_id, b.lane)));
        Ok(outputs)
    }

    async fn read_process(&mut self, id: &LimsId) -> Result<(), Failure> {
        if !self.processes.contains_key(id) {
            let read = own(self.exporter.client.process(id).await)?;
            self.meter.alive();
            drop(self.processes.insert(id.clone(), read));
        }
        Ok(())
    }
}

/// The sample that an output claims must be the one that its label stands for in the lane.
fn identity(sample: &LimsId, output: &Artifact, lane: &LimsId, demux: &Demux) -> Result<(), NotYet> {
    if !demux.pooled {
        return Ok(());
    }
    let [label] = &output.reagent_labels[..] else {
        let count = output.reagent_labels.len();
        return Err(NotYet::contradiction(format!(
            "output {} has {count} reagent labels instead of one",
            output.id
        )));
    };
    let labelled = demux.samples_with(label);
    if labelled == BTreeSet::from([sample]) {
        return Ok(());
    }
    let named: Vec<String> = labelled.iter().map(ToString::to_string).collect();
    let named = if named.is_empty() { "nobody".to_owned() } else { named.join(" and ") };
    Err(NotYet::contradiction(format!(
        "identity: output {} claims sample {sample}, but label {label:?} in lane {lane} is {named}: the LIMS contradicts itself",
        output.id
    )))
}
