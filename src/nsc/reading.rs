//! Reading the queue: everything about each new sample, sorted into whole orders and those that wait.
//!
//! Changes nothing in the LIMS. Every search result is checked against its own question; what is wrong with one sample holds
//! up that sample only, in words for the laboratory.
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::exporter::Exporter;
use super::order::{self, Delivery, LaneOutput, NotYet, Queued};
use super::source::{Look, Looking, Ready};
use crate::blame::Failure;
use crate::clarity::{Artifact, LimsId, Process, Project, Sample};
use crate::disk::{Disk, Hold, OnDisk};
use crate::fs::FsError;
use crate::journal::{Journal, Phase};
use crate::package::{Draft, Order, PackageId};
use crate::supervisor::meter::Meter;

/// Reads everything that is queued and new, and sorts it into orders and those that wait.
pub async fn look(exporter: &Exporter, with: Looking<'_>) -> Result<Look, Failure> {
    let Looking { journal, meter, hold, disk } = with;
    let (known, taken) = known(journal);
    let (known, taken) = (&known, &taken);
    let mut look = Look::default();
    let queue = exporter.queue().await?;
    let (old, ids): (Vec<LimsId>, Vec<LimsId>) =
        queue.items.into_iter().map(|i| i.id).partition(|id| known.contains_key(id.as_str()));
    for id in old {
        if let Some((name, Phase::Completed | Phase::Withdrawn)) = known.get(id.as_str()) {
            let why = format!(
                "queued again, but {name} was ordered before; exporting it again needs a new revision"
            );
            drop(look.waiting.insert(id.to_string(), why));
        }
    }
    if ids.is_empty() {
        return Ok(look);
    }
    let _as_configured = exporter.step_as_configured().await?;
    let mut reading = Reading {
        exporter,
        meter,
        hold,
        disk,
        processes: BTreeMap::new(),
        projects: BTreeMap::new(),
        deliveries: BTreeMap::new(),
    };
    let mut queued = Vec::new();
    for (who, read) in reading.samples(&ids).await? {
        match read {
            Ok(one) => queued.push(one),
            Err(why) => drop(look.waiting.insert(who, why)),
        }
    }
    let mut families: BTreeMap<String, Vec<(&'static str, &Queued)>> = BTreeMap::new();
    for one in &queued {
        match order::family(&exporter.conf, &one.sample) {
            Err(why) => drop(look.waiting.insert(title(&one.sample, &one.artifact), why)),
            Ok(Some((number, relation))) => families.entry(number).or_default().push((relation, one)),
            Ok(None) => match own_fault(reading.draft(one).await).map(|d| d.and_then(|d| free(d, taken)))? {
                Ok(draft) => look.orders.push(ready(order::single(one, draft))),
                Err(why) => drop(look.waiting.insert(title(&one.sample, &one.artifact), why)),
            },
        }
    }
    for (number, members) in families {
        match reading.trio(&number, &members, taken).await? {
            Ok(order) => look.orders.push(ready(order)),
            Err(why) => members.iter().for_each(|(_, one)| {
                drop(look.waiting.insert(title(&one.sample, &one.artifact), why.clone()))
            }),
        }
    }
    Ok(look)
}

fn ready(order: Order) -> Ready {
    Ready { order, claim: None }
}

/// Artifacts that were ordered, with the package and the order's phase, and all packages: nothing is ordered twice.
fn known(journal: &Journal) -> (BTreeMap<String, (String, Phase)>, BTreeSet<PackageId>) {
    let view = journal.view();
    let mut artifacts = BTreeMap::new();
    for row in view.orders() {
        let name = row.order.packages.first().map_or_else(String::new, |d| d.id.to_string());
        artifacts.extend(row.order.artifacts.iter().map(|a| (a.clone(), (name.clone(), row.phase))));
    }
    (artifacts, view.packages().map(|row| row.id.clone()).collect())
}

/// Names are not unique in a LIMS; the artifact is.
fn title(sample: &Sample, artifact: &str) -> String {
    format!("{} ({artifact})", sample.name.as_deref().unwrap_or("nameless"))
}

/// What is wrong with one sample holds up that sample only.
fn own_fault<T>(read: Result<Result<T, NotYet>, Failure>) -> Result<Result<T, NotYet>, Failure> {
    match read {
        Err(Failure::Unit(blame)) => Ok(Err(blame.detail)),
        read => read,
    }
}

/// A package of this name must not be known yet, with or without a uuid behind it.
fn free(draft: Draft, taken: &BTreeSet<PackageId>) -> Result<Draft, NotYet> {
    let stem = crate::package::without_uuid(draft.id.name.as_str());
    let same =
        |id: &&PackageId| id.kind == draft.id.kind && crate::package::without_uuid(id.name.as_str()) == stem;
    match taken.iter().find(same) {
        None => Ok(draft),
        Some(id) => Err(format!("a package {id} exists already; exporting it again needs a new revision")),
    }
}

struct Reading<'a> {
    exporter: &'a Exporter,
    meter: &'a Meter,
    hold: &'a Hold,
    /// Of the delivery.
    disk: &'a Disk,
    processes: BTreeMap<LimsId, Process>,
    projects: BTreeMap<LimsId, Project>,
    deliveries: BTreeMap<PathBuf, Delivery>,
}

impl Reading<'_> {
    /// Everything about the queued samples, each with its title. One of which something is missing or contradictory says so.
    async fn samples(&mut self, ids: &[LimsId]) -> Result<Vec<(String, Result<Queued, NotYet>)>, Failure> {
        let client = &self.exporter.client;
        let artifacts = client.artifacts(ids).await?;
        let mut result = Vec::new();
        for (id, error) in artifacts.failed {
            result.push((id.to_string(), Err(crate::chain(&error))));
        }
        let own = |a: &Artifact| match &a.samples[..] {
            [one] if !a.is_control() => Some(one.clone()),
            _ => None, // controls and pools are nobody's sample
        };
        let wanted: Vec<LimsId> = artifacts.found.values().filter_map(own).collect();
        let samples = client.samples(&wanted).await?;
        for artifact in artifacts.found.values() {
            self.meter.alive();
            let Some(sample) = own(artifact) else { continue };
            let (who, read) = match samples.found.get(&sample) {
                Some(sample) => {
                    (title(sample, artifact.id.as_str()), own_fault(self.complete(artifact, sample).await)?)
                }
                None => (artifact.id.to_string(), Err(format!("the LIMS does not give out sample {sample}"))),
            };
            result.push((who, read));
        }
        Ok(result)
    }

    async fn complete(
        &mut self,
        artifact: &Artifact,
        sample: &Sample,
    ) -> Result<Result<Queued, NotYet>, Failure> {
        let Some(project) = sample.project.clone() else { return Ok(Err("it has no project".into())) };
        if !self.projects.contains_key(&project) {
            let read = self.exporter.client.project(&project).await?;
            drop(self.projects.insert(project.clone(), read));
        }
        let project = self.projects[&project].clone();
        if let Err(why) = order::package_name(sample, &project) {
            return Ok(Err(why));
        }
        let outputs = match self.outputs(&sample.id).await? {
            Ok(outputs) => outputs,
            Err(why) => return Ok(Err(why)),
        };
        Ok(Ok(Queued { artifact: artifact.id.to_string(), sample: sample.clone(), project, outputs }))
    }

    /// The demultiplexing outputs of a sample, each with lane and run, and with its identity checked.
    async fn outputs(&mut self, sample: &LimsId) -> Result<Result<Vec<LaneOutput>, NotYet>, Failure> {
        let (client, conf) = (&self.exporter.client, &self.exporter.conf);
        let filters = [
            ("samplelimsid", sample.as_str()),
            ("process-type", conf.demultiplexing.as_str()),
            ("type", "ResultFile"),
        ];
        let found = client.find_artifacts(&filters).await?;
        let batch = client.artifacts(&found).await?;
        // An output that cannot be read may be a lane of this sample: without it the sample would be delivered in part.
        if let Some((id, error)) = batch.failed.iter().next() {
            return Ok(Err(format!("output {id}: {}", crate::chain(error))));
        }
        let mut outputs = Vec::new();
        for output in batch.found.values() {
            // A search may bring rows that do not match it.
            let Some(process) = output.parent_process.clone().filter(|_| output.samples == [sample.clone()])
            else {
                continue;
            };
            let process = self.process(&process).await?;
            if process.kind.as_deref() != Some(conf.demultiplexing.as_str()) {
                continue;
            }
            let per_label = process
                .maps
                .iter()
                .filter_map(|m| m.output.as_ref())
                .any(|o| o.id == output.id && o.generation.as_deref() == Some("PerReagentLabel"));
            if !per_label {
                continue;
            }
            let inputs: Vec<LimsId> = process.inputs_of(&output.id).into_iter().cloned().collect();
            let [lane] = &inputs[..] else {
                return Ok(Err(format!("output {} has {} lanes instead of one", output.id, inputs.len())));
            };
            match self.lane_output(sample, output, lane).await? {
                Ok(output) => outputs.push(output),
                Err(why) => return Ok(Err(why)),
            }
        }
        outputs.sort_by(|a: &LaneOutput, b: &LaneOutput| (&a.run_id, a.lane).cmp(&(&b.run_id, b.lane)));
        if outputs.is_empty() {
            return Ok(Err("the LIMS has no demultiplexing output of it yet".into()));
        }
        Ok(Ok(outputs))
    }

    async fn lane_output(
        &mut self,
        sample: &LimsId,
        output: &Artifact,
        lane: &LimsId,
    ) -> Result<Result<LaneOutput, NotYet>, Failure> {
        let client = &self.exporter.client;
        let demux = client.demux(lane).await?;
        if demux.pooled {
            let [label] = &output.reagent_labels[..] else {
                return Ok(Err(format!(
                    "output {} has {} reagent labels instead of one",
                    output.id,
                    output.reagent_labels.len()
                )));
            };
            let labelled = demux.samples_with(label);
            if labelled != BTreeSet::from([sample]) {
                let named: Vec<String> = labelled.iter().map(ToString::to_string).collect();
                return Ok(Err(format!(
                    "identity: output {} claims sample {sample}, but label {label:?} in lane {lane} is {}: the LIMS contradicts itself",
                    output.id,
                    if named.is_empty() { "nobody".to_owned() } else { named.join(" and ") }
                )));
            }
        }
        let lanes = client.artifacts(std::slice::from_ref(lane)).await?;
        let well = lanes.found.get(lane).and_then(|a| a.location.as_ref()).and_then(|l| l.well.clone());
        let number = well.as_deref().and_then(|w| w.split(':').next()).and_then(|n| n.parse().ok());
        let Some(number) = number else {
            return Ok(Err(format!("lane artifact {lane} does not say which lane it is")));
        };
        let filters =
            [("inputartifactlimsid", lane.as_str()), ("type", self.exporter.conf.sequencing.as_str())];
        let mut runs = client.find_processes(&filters).await?;
        runs.sort_by_key(|id| id.as_str().rsplit('-').next().and_then(|n| n.parse::<u64>().ok()));
        let mut run_id = None;
        for id in runs {
            let process = self.process(&id).await?;
            if process.inputs().contains(lane) {
                let own = order::text(&process.udfs, self.exporter.field("run_id")).map(str::to_owned);
                run_id = own.or(run_id); // the last one counts
            }
        }
        let Some(run_id) = run_id else {
            return Ok(Err(format!("the LIMS knows no sequencing run of lane {lane}")));
        };
        Ok(Ok(LaneOutput {
            output: output.id.to_string(),
            udfs: output.udfs.clone(),
            lane: number,
            run_id,
            label: output.reagent_labels.first().cloned(),
        }))
    }

    async fn process(&mut self, id: &LimsId) -> Result<Process, Failure> {
        if let Some(known) = self.processes.get(id) {
            return Ok(known.clone());
        }
        let read = self.exporter.client.process(id).await?;
        drop(self.processes.insert(id.clone(), read.clone()));
        Ok(read)
    }

    async fn draft(&mut self, one: &Queued) -> Result<Result<Draft, NotYet>, Failure> {
        let (conf, root) = (&self.exporter.conf, &self.exporter.delivery_root);
        let priority = match order::priority(conf, &one.sample) {
            Ok(priority) => priority,
            Err(why) => return Ok(Err(why)),
        };
        for output in &one.outputs {
            let Ok(run) = order::RunId::parse(&output.run_id) else { continue };
            let dir = run.delivery(root, one.project.name.as_deref().unwrap_or_default());
            if let Entry::Vacant(new) = self.deliveries.entry(dir) {
                let dir = new.key().clone();
                let delivery = self.hold.on(self.disk, move |on| read_delivery(on, &dir)).await??;
                let _kept = new.insert(delivery);
            }
        }
        Ok(order::draft_sample(conf, one, priority, root, &self.deliveries))
    }

    async fn trio(
        &mut self,
        number: &str,
        members: &[(&'static str, &Queued)],
        taken: &BTreeSet<PackageId>,
    ) -> Result<Result<Order, NotYet>, Failure> {
        let mut drafted = Vec::new();
        for relation in ["proband", "father", "mother"] {
            let of: Vec<&Queued> =
                members.iter().filter(|(r, _)| *r == relation).map(|(_, one)| *one).collect();
            let one = match of[..] {
                [one] => one,
                [] => return Ok(Err(format!("family {number}: the {relation} is not in the queue yet"))),
                _ => return Ok(Err(format!("family {number} has more than one {relation} in the queue"))),
            };
            match own_fault(self.draft(one).await)?.and_then(|d| free(d, taken)) {
                Ok(draft) => drafted.push((one, draft)),
                Err(why) => return Ok(Err(format!("family {number}: {relation}: {why}"))),
            }
        }
        match <order::Trio<'_>>::try_from(drafted) {
            Ok(members) => Ok(order::trio(&self.exporter.conf, members)),
            Err(_) => Ok(Err(format!("family {number} is not complete"))),
        }
    }
}

/// What lies in a delivery directory; one that is not there (yet) is empty.
fn read_delivery(on: &OnDisk, dir: &Path) -> Result<Delivery, FsError> {
    let mut delivery = Delivery::default();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(delivery),
        entries => entries.map_err(FsError::at("list", dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(FsError::at("list", dir))?;
        on.moved();
        let meta = entry.metadata().map_err(FsError::at("look at", &entry.path()))?;
        if meta.is_file() {
            let _none_before =
                delivery.sizes.insert(entry.file_name().to_string_lossy().into_owned(), meta.len());
        }
    }
    on.moved();
    let sums = dir.join("md5sum.txt");
    match std::fs::read_to_string(&sums) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        text => delivery.md5 = order::parse_md5sums(&text.map_err(FsError::at("read", &sums))?),
    }
    Ok(delivery)
}
