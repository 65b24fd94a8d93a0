//! The sample package: `.sample`, and which delivered files go in under which names.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{
    Delivery, LaneOutput, NotYet, Queued, RunId, Snp, dna_id, field, kind, package_name, site_fields, text,
};
use crate::clarity::{Sample, Udfs};
use crate::conf::LimsConf;
use crate::package::{Content, Decimal, Draft, Fastq, PackageId, Priority, Read, RelPath, SampleDoc, Stats};

/// What every `.sample` holds; a site's field cannot have one of these names.
const OWN: [&str; 16] = [
    "name",
    "sample_id",
    "project",
    "project_date",
    "sequence_date",
    "sequencer_id",
    "flowcell_id",
    "flowcell",
    "lane",
    "index",
    "capturekit",
    "taqman",
    "stats",
    "reads",
    "uuid",
    "READY",
];

/// Whether an output lacks a field that it must have. Clarity drops fields now and then, so such a one is read once more.
pub fn output_lacks(conf: &LimsConf, udfs: &Udfs) -> bool {
    ["sheet_id", "sheet_position", "read_passes"].iter().any(|ours| text(udfs, field(conf, ours)).is_none())
}

/// Whether a sample lacks a field without which it would be refused, or taken for another sort of order (a trio whose analysis
/// type was dropped is not a single sample). Then it is read once more.
pub fn sample_lacks(conf: &LimsConf, sample: &Sample) -> bool {
    let lacks = |ours: &str| text(&sample.udfs, field(conf, ours)).is_none();
    let trio = !lacks("family") || !lacks("relation");
    let kit = lacks("kit") && !sample.name.as_deref().is_some_and(|name| name.contains("-KIT-"));
    kit || lacks("gene_panel")
        || lacks("analysis_type")
        || sample.name.is_none()
        || (trio && (lacks("family") || lacks("relation")))
}

/// The sample package of a queued sample.
pub fn draft_sample(
    conf: &LimsConf,
    queued: &Queued,
    priority: Priority,
    delivery_root: &Path,
    deliveries: &BTreeMap<PathBuf, Delivery>,
    snp: Option<&Snp>,
) -> Result<Draft, NotYet> {
    let name = package_name(&queued.sample, &queued.project)?;
    let sample_name = queued.sample.name.as_deref().unwrap_or_default();
    let project = queued.project.name.as_deref().unwrap_or_default();
    let dna = dna_id(sample_name);
    if sample_name.contains('/') {
        let why = format!("no file can be called {sample_name:?}: a name with a '/' would be a directory");
        return Err(NotYet::invalid(why));
    }
    let Some(first) = queued.outputs.first() else {
        return Err(NotYet::waits("the LIMS has no demultiplexing output of it yet"));
    };
    let run = RunId::parse(&first.run_id)?;
    let mut lanes = Vec::new();
    for output in &queued.outputs {
        lanes.push(Lane::of(conf, output, sample_name, project, delivery_root)?);
    }
    one_output_per_lane(&queued.outputs)?;
    everything_is_explained(&lanes, deliveries)?;
    let mut files: Vec<Fastq> = Vec::new();
    for lane in &lanes {
        for file in lane.files(sample_name, lanes.len() > 1, deliveries)? {
            if let Some(other) = files.iter().find(|other| other.to == file.to) {
                let (a, b) = (other.from.display(), file.from.display());
                return Err(NotYet::contradiction(format!(
                    "{a} and {b} would both become {} in the package",
                    file.to
                )));
            }
            files.push(file);
        }
    }
    let reads: Vec<Read> = files
        .iter()
        .filter_map(|f| Some(Read { path: f.to.clone(), md5: f.md5.clone()?, size: f.size }))
        .collect();
    let kit = text(&queued.sample.udfs, field(conf, "kit"));
    let kit =
        kit.or_else(|| sample_name.split_once("-KIT-").map(|(_, kit)| kit).filter(|kit| !kit.is_empty()));
    let unset = || {
        NotYet::invalid(format!(
            "field {:?} of the sample is not set, nor does its name say -KIT-…",
            field(conf, "kit")
        ))
    };
    let taqman = snp.map(|_| format!("{name}{}", crate::nsc::pack::SNP_ID));
    let doc = SampleDoc {
        name: name.clone(),
        sample_id: dna.to_owned(),
        project: project.to_owned(),
        project_date: queued.project.opened.map(|d| d.to_string()),
        sequence_date: Some(run.date),
        sequencer_id: run.serial,
        flowcell_id: run.flowcell,
        flowcell: run.side,
        lane: first.lane,
        index: first.label.as_deref().map(index_of),
        capturekit: kit.ok_or_else(unset)?.to_owned(),
        taqman: taqman.clone(),
        stats: stats(conf, &queued.outputs)?,
        reads,
        uuid: None,
        more: more(conf, queued)?,
    };
    if let (Some(snp), Some(to)) = (snp, taqman) {
        let to: RelPath =
            to.parse().map_err(|e| NotYet::invalid(format!("no file can be called {to:?}: {e}")))?;
        files.push(Fastq { from: snp.path.clone(), to, md5: Some(snp.md5.clone()), size: snp.size });
    }
    let id = PackageId::first(kind("samples"), name);
    let artifact = Some(queued.artifact.clone());
    let content = Content::Sample { doc: Box::new(doc), files };
    Ok(Draft { id, priority, artifact, after: Vec::new(), content })
}

/// The site's own fields, of the sample, its project or its outputs.
fn more(conf: &LimsConf, queued: &Queued) -> Result<serde_json::Map<String, serde_json::Value>, NotYet> {
    let of = |udfs: &'_ Udfs, name: &str| udfs.get(name).map(|udf| udf.value.clone());
    let find = |spec: &str| -> Vec<String> {
        match spec.split_once(':') {
            Some(("project", name)) => of(&queued.project.udfs, name).into_iter().collect(),
            Some(("output", name)) => queued.outputs.iter().filter_map(|o| of(&o.udfs, name)).collect(),
            _ => of(&queued.sample.udfs, spec).into_iter().collect(),
        }
    };
    site_fields(&conf.sample_fields, &OWN, find)
}

fn one_output_per_lane(outputs: &[LaneOutput]) -> Result<(), NotYet> {
    let mut seen: BTreeMap<(&str, u32), &str> = BTreeMap::new();
    for output in outputs {
        if let Some(other) = seen.insert((&output.run_id, output.lane), &output.output) {
            let (run, lane) = (&output.run_id, output.lane);
            return Err(NotYet::contradiction(format!(
                "the LIMS has two outputs of one lane: {other} and {} of lane {lane} in {run}. Which one counts?",
                output.output
            )));
        }
    }
    Ok(())
}

/// The bases of a reagent label such as `BC04 (TTCGGATT-CCTATCGT)`; the label itself where it shows none.
fn index_of(label: &str) -> String {
    let inner =
        label.rsplit_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(bases, _)| bases.trim());
    inner.filter(|bases| !bases.is_empty()).unwrap_or(label).to_owned()
}

fn number(conf: &LimsConf, output: &LaneOutput, ours: &str) -> Result<Option<Decimal>, NotYet> {
    let name = field(conf, ours);
    let Some(text) = text(&output.udfs, name) else { return Ok(None) };
    let wrong = |e| NotYet::invalid(format!("field {name:?} of output {} says {text:?}: {e}", output.output));
    text.parse().map(Some).map_err(wrong)
}

/// Numbers of one lane as they are. Percentages of several lanes cannot be added; then only the reads are.
fn stats(conf: &LimsConf, outputs: &[LaneOutput]) -> Result<Stats, NotYet> {
    match outputs {
        [one] => Ok(Stats {
            reads: number(conf, one, "reads")?,
            q30_bases_pct: number(conf, one, "q30")?,
            mean_qual_score: number(conf, one, "quality")?,
            perfect_index_reads_pct: number(conf, one, "perfect_index")?,
            one_mismatch_index_pct: number(conf, one, "one_mismatch")?,
        }),
        many => {
            let mut sum = Some(0u64);
            for output in many {
                let reads = number(conf, output, "reads")?.and_then(|n| n.as_u64());
                sum = sum.zip(reads).and_then(|(sum, reads)| sum.checked_add(reads));
            }
            Ok(Stats { reads: sum.map(Decimal::from), ..Stats::default() })
        }
    }
}

/// Where the reads of one output lie, and what they are called.
struct Lane<'a> {
    sheet_id: &'a str,
    position: &'a str,
    passes: u32,
    ending: &'static str,
    lane: u32,
    dir: PathBuf,
}

impl<'a> Lane<'a> {
    fn of(
        conf: &LimsConf,
        output: &'a LaneOutput,
        sample_name: &str,
        project: &str,
        root: &Path,
    ) -> Result<Self, NotYet> {
        let id = &output.output;
        let must = |ours: &str| {
            let name = field(conf, ours);
            let unset = || NotYet::invalid(format!("field {name:?} of {id} is not set: set it in the LIMS"));
            text(&output.udfs, name).ok_or_else(unset)
        };
        let wrong = |ours: &str, value: &str, should: &str| {
            NotYet::invalid(format!(
                "field {:?} of {id} says {value:?}, it should be {should}",
                field(conf, ours)
            ))
        };
        let (sheet_id, position, passes) = (must("sheet_id")?, must("sheet_position")?, must("read_passes")?);
        if !sheet_id.split('_').any(|part| part == dna_id(sample_name)) {
            return Err(NotYet::contradiction(format!(
                "identity: the sample sheet calls it {sheet_id:?} (output {id}), the LIMS {sample_name:?}: compare the two"
            )));
        }
        if sheet_id.contains('/') || sheet_id.parse::<RelPath>().is_err() {
            return Err(wrong("sheet_id", sheet_id, "a plain file name"));
        }
        if position.is_empty() || position.len() > 9 || !position.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong("sheet_position", position, "a number"));
        }
        let passes = match passes {
            "1" => 1,
            "2" => 2,
            other => return Err(wrong("read_passes", other, "1 or 2")),
        };
        let ending = match text(&output.udfs, field(conf, "ora")).map(str::to_lowercase).as_deref() {
            None | Some("false") => "gz",
            Some("true") => "ora",
            Some(other) => return Err(wrong("ora", other, "true or false")),
        };
        let dir = RunId::parse(&output.run_id)?.delivery(root, project);
        Ok(Self { sheet_id, position, passes, ending, lane: output.lane, dir })
    }

    fn delivered(&self, pass: u32) -> String {
        let Self { sheet_id, position, lane, ending, .. } = self;
        format!("{sheet_id}_S{position}_L{lane:03}_R{pass}_001.fastq.{ending}")
    }

    fn files(
        &self,
        sample_name: &str,
        several: bool,
        deliveries: &BTreeMap<PathBuf, Delivery>,
    ) -> Result<Vec<Fastq>, NotYet> {
        let nothing = Delivery::default();
        let delivery = deliveries.get(&self.dir).unwrap_or(&nothing);
        let lane_part = if several { format!("_L{:03}", self.lane) } else { String::new() };
        let mut files = Vec::new();
        for pass in 1..=self.passes {
            let from = self.delivered(pass);
            let there = || NotYet::waits(format!("{} is not there", self.dir.join(&from).display()));
            let size = *delivery.sizes.get(&from).ok_or_else(there)?;
            let unsummed =
                || NotYet::waits(format!("{from} has no sum in {}", self.dir.join("md5sum.txt").display()));
            let md5 = delivery.md5.get(&from).ok_or_else(unsummed)?.clone();
            let to = format!("{sample_name}_S{}{lane_part}_R{pass}_001.fastq.{}", self.position, self.ending);
            let to: RelPath =
                to.parse().map_err(|e| NotYet::invalid(format!("no file can be called {to:?}: {e}")))?;
            files.push(Fastq { from: self.dir.join(from), to, md5: Some(md5), size });
        }
        Ok(files)
    }
}

/// Every delivered file of our sample sheet ids must be one that an output stands for. (An expected file that is there in the
/// other compression only is being compressed, or the LIMS will hear of it: that waits.)
fn everything_is_explained(
    lanes: &[Lane<'_>],
    deliveries: &BTreeMap<PathBuf, Delivery>,
) -> Result<(), NotYet> {
    let expected: BTreeSet<(&Path, String)> =
        lanes.iter().flat_map(|l| (1..=l.passes).map(|pass| (l.dir.as_path(), l.delivered(pass)))).collect();
    for lane in lanes {
        let Some(delivery) = deliveries.get(&lane.dir) else { continue };
        for found in delivery.reads_of(lane.sheet_id) {
            let other = match found.strip_suffix(".gz") {
                Some(stem) => format!("{stem}.ora"),
                None => format!("{}.gz", found.strip_suffix(".ora").unwrap_or(found)),
            };
            let known = |name: &str| expected.contains(&(lane.dir.as_path(), name.to_owned()));
            let in_the_making = known(&other) && !delivery.sizes.contains_key(&other);
            if !known(found) && !in_the_making {
                let (dir, named) = (lane.dir.display(), lane.delivered(1));
                return Err(NotYet::contradiction(format!(
                    "identity: {dir} holds {found}, which no demultiplexing output explains; the LIMS says {named}"
                )));
            }
        }
    }
    Ok(())
}
