//! From what the LIMS says to a work order: pure decisions, no network.
//!
//! Identity is checked before anything is claimed: the demultiplexing output's sample must be the one that its reagent label
//! stands for in the lane (Clarity is known to put the wrong sample there), and the sample sheet id must contain the DNA id.
//! A contradiction is never resolved by choosing one: the sample waits for a person, with both names.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Number, Value, json};

use crate::clarity::{Project, Sample, Udfs};
use crate::conf::LimsConf;
use crate::package::{
    Analysis, Content, Draft, Fastq, Kind, Md5Hex, Member, Name, Order, OrderId, PackageId, Params, Pedigree,
    Priority, Read, RelPath, SampleDoc, Stats,
};

/// One demultiplexing output of a sample, with what was found out about it.
#[derive(Clone, Debug)]
pub struct LaneOutput {
    /// LIMS id of the output.
    pub output: String,
    /// Its fields.
    pub udfs: Udfs,
    /// From 1.
    pub lane: u32,
    /// Run id of the sequencing.
    pub run_id: String,
    /// Its index label.
    pub label: Option<String>,
}

/// A queued sample, read completely.
#[derive(Clone, Debug)]
pub struct Queued {
    /// The queued artifact.
    pub artifact: String,
    /// The sample.
    pub sample: Sample,
    /// Its project.
    pub project: Project,
    /// One per lane.
    pub outputs: Vec<LaneOutput>,
}

/// Why a sample cannot be exported now; in words for the laboratory.
pub type NotYet = String;

/// The parts of a run id `20260612_LH00534_0123_A22ABCDLT4`.
#[derive(Debug, PartialEq, Eq)]
pub struct RunId {
    /// `2026-06-12`.
    pub date: String,
    /// `260612`.
    pub short_date: String,
    /// `LH00534`.
    pub serial: String,
    /// `A`.
    pub side: String,
    /// `22ABCDLT4`.
    pub flowcell: String,
}

impl RunId {
    /// Takes a run id apart.
    pub fn parse(text: &str) -> Result<Self, NotYet> {
        let wrong = || format!("run id {text:?} is not YYYYMMDD_SERIAL_NUMBER_SIDEFLOWCELL");
        let parts: Vec<&str> = text.split('_').collect();
        let [date, serial, _, last] = parts[..] else { return Err(wrong()) };
        let digits = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
        let (side, flowcell) = last.split_at_checked(1).ok_or_else(wrong)?;
        if !digits || !["A", "B"].contains(&side) || flowcell.is_empty() || serial.is_empty() {
            return Err(wrong());
        }
        let (year, rest) = date.split_at_checked(4).ok_or_else(wrong)?;
        let (month, day) = rest.split_at_checked(2).ok_or_else(wrong)?;
        Ok(Self {
            date: format!("{year}-{month}-{day}"),
            short_date: date.get(2..).ok_or_else(wrong)?.to_owned(),
            serial: serial.to_owned(),
            side: side.to_owned(),
            flowcell: flowcell.to_owned(),
        })
    }

    /// Where the run's FASTQ of a project is delivered.
    pub fn delivery(&self, root: &Path, project: &str) -> PathBuf {
        root.join(format!("{}_{}.{}.Project_{project}", self.short_date, self.serial, self.side))
            .join("fastq")
    }
}

/// What the delivery says of its files.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// md5 of each file in `md5sum.txt`.
    pub md5: BTreeMap<String, Md5Hex>,
    /// Bytes of each file that is there.
    pub sizes: BTreeMap<String, u64>,
}

/// Reads `md5sum.txt` as md5sum writes it; names are relative, with or without `./` and `*`.
pub fn parse_md5sums(text: &str) -> BTreeMap<String, Md5Hex> {
    let entry = |line: &str| {
        let (digest, name) = line.split_once(char::is_whitespace)?;
        let name = name.trim_start().trim_start_matches('*').trim_start_matches("./");
        Some((name.to_owned(), digest.parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

/// A field's text, without spaces around it; none if it is not set or blank.
pub fn text<'a>(udfs: &'a Udfs, field: &str) -> Option<&'a str> {
    udfs.get(field).map(|u| u.value.trim()).filter(|t| !t.is_empty())
}

fn field<'a>(conf: &'a LimsConf, ours: &str) -> &'a str {
    conf.fields.get(ours).map_or("", String::as_str)
}

/// The laboratory's number of a sample: what stands before the first dash of its LIMS name.
pub fn dna_id(sample_name: &str) -> &str {
    sample_name.split('-').next().unwrap_or(sample_name)
}

fn number(udfs: &Udfs, field: &str) -> Option<Number> {
    text(udfs, field).and_then(|t| serde_json::from_str(t).ok())
}

/// How soon, by the site's words. An absent word is normal; an unknown one is a question for a person.
pub fn priority(conf: &LimsConf, sample: &Sample) -> Result<Priority, NotYet> {
    let name = field(conf, "priority");
    let Some(word) = text(&sample.udfs, name) else { return Ok(Priority::Normal) };
    let known = conf.priorities.get(&word.to_lowercase()).copied();
    known.ok_or_else(|| format!("field {name:?} says {word:?}, which is not in lims.priorities"))
}

/// What the package of a sample is called: project and DNA id. Checked before anything else, because it comes from outside.
pub fn package_name(sample: &Sample, project: &Project) -> Result<Name, NotYet> {
    let sample = sample.name.as_deref().ok_or("the sample has no name in the LIMS")?;
    let project = project.name.as_deref().ok_or("the project has no name in the LIMS")?;
    format!("{project}-{}", dna_id(sample)).parse().map_err(|e| format!("no package name: {e}"))
}

/// The sample package of a queued sample.
pub fn draft_sample(
    conf: &LimsConf,
    queued: &Queued,
    priority: Priority,
    delivery_root: &Path,
    deliveries: &BTreeMap<PathBuf, Delivery>,
) -> Result<Draft, NotYet> {
    let sample_name = queued.sample.name.as_deref().ok_or("the sample has no name in the LIMS")?;
    let project = queued.project.name.as_deref().ok_or("the project has no name in the LIMS")?;
    let (dna, name) = (dna_id(sample_name), package_name(&queued.sample, &queued.project)?);
    let first = queued.outputs.first().ok_or("the LIMS has no demultiplexing output of it")?;
    let run = RunId::parse(&first.run_id)?;
    let mut files = Vec::new();
    for output in &queued.outputs {
        let several = queued.outputs.len() > 1;
        files.extend(files_of(conf, sample_name, dna, project, output, several, delivery_root, deliveries)?);
    }
    for (n, file) in files.iter().enumerate() {
        if let Some(other) = files.iter().take(n).find(|other| other.to == file.to) {
            let (a, b) = (other.from.display(), file.from.display());
            return Err(format!(
                "{a} and {b} would both become {}: the LIMS has two outputs of one lane",
                file.to
            ));
        }
    }
    let reads: Vec<Read> = files
        .iter()
        .filter_map(|f| Some(Read { path: f.to.clone(), md5: f.md5.clone()?, size: f.size }))
        .collect();
    let kit = text(&queued.sample.udfs, field(conf, "kit"));
    let kit = kit.or_else(|| sample_name.split_once("-KIT-").map(|(_, kit)| kit));
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
        capturekit: kit.ok_or_else(|| format!("field {:?} is not set", field(conf, "kit")))?.to_owned(),
        taqman: None,
        stats: stats(conf, &queued.outputs),
        reads,
        uuid: None,
        more: serde_json::Map::new(),
    };
    let id = PackageId::first(kind("samples"), name);
    let artifact = Some(queued.artifact.clone());
    let content = Content::Sample { doc: Box::new(doc), files };
    Ok(Draft { id, priority, artifact, after: Vec::new(), content })
}

/// The bases of a reagent label such as `BC04 (TTCGGATT-CCTATCGT)`; the label itself where it shows none.
fn index_of(label: &str) -> String {
    let inner =
        label.rsplit_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(bases, _)| bases.trim());
    inner.filter(|bases| !bases.is_empty()).unwrap_or(label).to_owned()
}

fn kind(word: &str) -> Kind {
    word.parse().expect("a kind of the program's own is well-formed")
}

/// Numbers of one lane as they are. Percentages of several lanes cannot be added; then only the reads are.
fn stats(conf: &LimsConf, outputs: &[LaneOutput]) -> Stats {
    let of = |output: &LaneOutput, ours: &str| number(&output.udfs, field(conf, ours));
    match outputs {
        [one] => Stats {
            reads: of(one, "reads"),
            q30_bases_pct: of(one, "q30"),
            mean_qual_score: of(one, "quality"),
            perfect_index_reads_pct: of(one, "perfect_index"),
            one_mismatch_index_pct: of(one, "one_mismatch"),
        },
        many => {
            let reads: Option<Vec<u64>> = many.iter().map(|o| of(o, "reads")?.as_u64()).collect();
            Stats { reads: reads.map(|r| r.into_iter().sum::<u64>().into()), ..Stats::default() }
        }
    }
}

#[allow(clippy::too_many_arguments)] // what a file's name is made of
fn files_of(
    conf: &LimsConf,
    sample_name: &str,
    dna: &str,
    project: &str,
    output: &LaneOutput,
    several_lanes: bool,
    delivery_root: &Path,
    deliveries: &BTreeMap<PathBuf, Delivery>,
) -> Result<Vec<Fastq>, NotYet> {
    let must = |ours: &str| {
        let name = field(conf, ours);
        text(&output.udfs, name).ok_or_else(|| format!("field {name:?} of {} is not set", output.output))
    };
    let (sheet_id, position) = (must("sheet_id")?, must("sheet_position")?);
    if !sheet_id.split('_').any(|part| part == dna) {
        return Err(format!(
            "the sample sheet calls it {sheet_id:?}, the LIMS {sample_name:?}: compare the two"
        ));
    }
    let passes: u32 =
        must("read_passes")?.parse().map_err(|_| format!("{:?} is no number", field(conf, "read_passes")))?;
    let ora = text(&output.udfs, field(conf, "ora")).is_some_and(|t| t.eq_ignore_ascii_case("true"));
    let ending = if ora { "ora" } else { "gz" };
    let dir = RunId::parse(&output.run_id)?.delivery(delivery_root, project);
    let nothing = Delivery::default();
    let delivery = deliveries.get(&dir).unwrap_or(&nothing);
    let lane_part = if several_lanes { format!("_L{:03}", output.lane) } else { String::new() };
    let mut files = Vec::new();
    for n in 1..=passes {
        let from = format!("{sheet_id}_S{position}_L{:03}_R{n}_001.fastq.{ending}", output.lane);
        let size = *delivery
            .sizes
            .get(&from)
            .ok_or_else(|| format!("{} is not there", dir.join(&from).display()))?;
        let unsummed = || format!("{from} is not in {}", dir.join("md5sum.txt").display());
        let md5 = delivery.md5.get(&from).ok_or_else(unsummed)?.clone();
        let to = format!("{sample_name}_S{position}{lane_part}_R{n}_001.fastq.{ending}");
        let to: RelPath = to.parse().map_err(|e| format!("no file name: {e}"))?;
        files.push(Fastq { from: dir.join(from), to, md5: Some(md5), size });
    }
    Ok(files)
}

/// An order of a single sample.
pub fn single(queued: &Queued, draft: Draft) -> Order {
    Order {
        id: OrderId(queued.artifact.clone()),
        artifacts: vec![queued.artifact.clone()],
        packages: vec![draft],
        note: None,
    }
}

/// The three of a family, in the order proband, father, mother, each with its package.
pub type Trio<'a> = [(&'a Queued, Draft); 3];

/// An order of a trio: three samples, and the analysis, which leaves after them.
pub fn trio(conf: &LimsConf, members: Trio<'_>) -> Result<Order, NotYet> {
    let [proband, father, mother] = &members;
    let of = |m: &(&Queued, Draft)| Member { sample: m.1.id.name.clone() };
    let name: Name =
        format!("{}-TRIO", proband.1.id.name).parse().map_err(|e| format!("no analysis name: {e}"))?;
    let priority = members.iter().map(|m| m.1.priority).max().unwrap_or_default();
    let ella = match priority {
        Priority::Urgent => "3",
        Priority::High => "2",
        Priority::Normal => "1",
    };
    let asked = |ours: &str| text(&proband.0.sample.udfs, field(conf, ours)).map(str::to_owned);
    let doc = Analysis {
        name: name.clone(),
        kind: Some("trio".into()),
        samples: members.iter().map(|m| m.1.id.name.clone()).collect(),
        priority: Value::from(ella),
        params: Params {
            genepanel: asked("gene_panel"),
            pedigree: Some(Pedigree { proband: of(proband), father: of(father), mother: of(mother) }),
            more: serde_json::Map::new(),
        },
        date_analysis_requested: asked("registered"),
        more: serde_json::Map::new(),
    };
    let id = PackageId::first(kind("analyses"), name);
    let after = members.iter().map(|m| m.1.id.clone()).collect();
    let artifacts: Vec<String> = members.iter().map(|m| m.0.artifact.clone()).collect();
    let mut packages: Vec<Draft> = members
        .into_iter()
        .map(|(_, mut draft)| {
            draft.priority = priority; // the analysis waits for the slowest of the three
            draft
        })
        .collect();
    let content = Content::Analysis { doc: Box::new(doc) };
    packages.push(Draft { id, priority, artifact: None, after, content });
    Ok(Order { id: OrderId(artifacts[0].clone()), artifacts, packages, note: None })
}

/// Which member of which family, if the LIMS calls it a trio.
pub fn family(conf: &LimsConf, sample: &Sample) -> Result<Option<(String, &'static str)>, NotYet> {
    let kind = text(&sample.udfs, field(conf, "analysis_type")).unwrap_or_default();
    if !kind.eq_ignore_ascii_case("trio") {
        return Ok(None);
    }
    let must = |ours: &str| {
        let name = field(conf, ours);
        text(&sample.udfs, name).ok_or_else(|| format!("a trio needs field {name:?}"))
    };
    let (number, relation) = (must("family")?, must("relation")?);
    for ours in ["proband", "father", "mother"] {
        if conf.relations.get(ours).is_some_and(|word| word.eq_ignore_ascii_case(relation)) {
            return Ok(Some((number.to_owned(), ours)));
        }
    }
    Err(format!("field {:?} says {relation:?}, which is not in lims.relations", field(conf, "relation")))
}

/// What is shown of an order in the log, without more than needed.
pub fn summary(order: &Order) -> Value {
    json!(order.packages.iter().map(|d| d.id.to_string()).collect::<Vec<_>>())
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
