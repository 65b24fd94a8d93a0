//! A work order as text: version 1, described in `docs/work-orders.md`. Pure; what is on the disk is handed in.
//!
//! The text comes from outside and nothing in it is believed: an unknown field, a field given twice, a path out of the delivery
//! or a document that is not what its kind wants is a fault that names the field. Nothing is guessed.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::once::Once;
use crate::nsc::source::Fault;
use crate::package::{
    Analysis, Content, Draft, Fastq, Kind, MAX_DOCUMENT_BYTES, Md5Hex, Name, Order, OrderId, PackageId,
    Priority, Read, Reason, RelPath, Revision, SampleDoc, check_structure,
};

/// The largest text that is read.
pub const MAX_BYTES: u64 = MAX_DOCUMENT_BYTES;
/// Packages of one order, and files of one package.
const MAX_PACKAGES: usize = 200;
const MAX_FILES: usize = 1000;

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// A work order as it was written, with its form checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkOrder {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(default)]
    priority: Priority,
    packages: Vec<Part>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    kind: Kind,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default)]
    revision: Option<Revision>,
    #[serde(default)]
    sample: Option<Once>,
    #[serde(default)]
    files: Vec<File>,
    #[serde(default)]
    analysis: Option<Once>,
    #[serde(default)]
    after: Vec<Name>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    from: PathBuf,
    to: RelPath,
    #[serde(default)]
    md5: Option<Md5Hex>,
    #[serde(default)]
    size: Option<u64>,
}

/// What is wrong with a field.
fn fault(reason: Reason, field: impl Display, what: impl Display) -> Fault {
    Fault { reason, detail: format!("{field}: {what}") }
}

fn bad(field: impl Display, what: impl Display) -> Fault {
    fault(Reason::BadDocument, field, what)
}

/// Reads a whole JSON text; the fault names the field.
fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let read =
        serde_path_to_error::deserialize(&mut text).map_err(|e| bad(e.path().to_string(), e.inner()))?;
    text.end().map_err(|e| bad("after its end", e))?;
    Ok(read)
}

/// A document out of an order's field.
fn document<T: DeserializeOwned>(field: &str, value: Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let at = if path == "." { field.to_owned() } else { format!("{field}.{path}") };
        bad(at, e.inner())
    })
}

/// What the disk says of a file that an order names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measured {
    /// A plain file of so many bytes, in the delivery.
    Bytes(u64),
    /// There is none (yet).
    Absent,
    /// Something that is not sent; in words.
    Odd(String),
}

/// Why an order cannot be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A file is not there yet.
    NotYet(String),
    /// Somebody must correct it.
    Wrong(Fault),
}

impl From<Fault> for Obstacle {
    fn from(fault: Fault) -> Self {
        Self::Wrong(fault)
    }
}

impl WorkOrder {
    /// Reads a text and checks its form.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let Versioned { version } = json(bytes)?;
        if version != 1 {
            return Err(bad("version", format!("{version} is not known here; this program reads version 1")));
        }
        let order: Self = json(bytes)?;
        if order.packages.is_empty() || order.packages.len() > MAX_PACKAGES {
            let count = order.packages.len();
            return Err(bad("packages", format!("there are {count}; an order has 1 to {MAX_PACKAGES}")));
        }
        for (n, part) in order.packages.iter().enumerate() {
            if part.files.len() > MAX_FILES {
                let (count, field) = (part.files.len(), format!("packages[{n}].files"));
                return Err(bad(field, format!("there are {count}; a package has at most {MAX_FILES}")));
            }
        }
        Ok(order)
    }

    /// Every file that it names, below the delivery's root.
    pub fn files(&self, root: &Path) -> Result<BTreeSet<PathBuf>, Fault> {
        let mut files = BTreeSet::new();
        for (n, part) in self.packages.iter().enumerate() {
            for (m, file) in part.files.iter().enumerate() {
                let field = format!("packages[{n}].files[{m}].from");
                let _new = files
                    .insert(below(root, &file.from).map_err(|why| fault(Reason::UnsafeContent, field, why))?);
            }
        }
        Ok(files)
    }

    /// The order that it stands for. `measured`: what the disk says of each of its files.
    pub fn order(
        self,
        id: OrderId,
        artifact: &str,
        root: &Path,
        measured: &BTreeMap<PathBuf, Measured>,
    ) -> Result<Order, Obstacle> {
        let mut packages: Vec<Draft> = Vec::new();
        let mut wait = Vec::new();
        for (n, part) in self.packages.into_iter().enumerate() {
            let field = format!("packages[{n}]");
            let priority = part.priority.unwrap_or(self.priority);
            let revision = part.revision.unwrap_or(Revision::FIRST);
            if revision < Revision::FIRST {
                return Err(bad(format!("{field}.revision"), "the first one is 1").into());
            }
            let (kind, after) = (part.kind.clone(), part.after.clone());
            let (name, content) = match kind.as_str() {
                "samples" => sample(&field, part, root, measured)?,
                "analyses" => analysis(&field, part, priority)?,
                other => {
                    let what = format!("{other:?} is not made from a work order; samples and analyses are");
                    return Err(bad(format!("{field}.kind"), what).into());
                }
            };
            let draft_id = PackageId { kind, name, revision };
            if packages.iter().any(|d| d.id.kind == draft_id.kind && d.id.name == draft_id.name) {
                return Err(bad(field, format!("the order has {} twice", draft_id.name)).into());
            }
            wait.push((field, after));
            let artifact = matches!(content, Content::Sample { .. }).then(|| artifact.to_owned());
            packages.push(Draft { id: draft_id, priority, artifact, after: Vec::new(), content });
        }
        let samples: BTreeMap<Name, PackageId> = {
            let samples = packages.iter().filter(|d| matches!(d.content, Content::Sample { .. }));
            samples.map(|d| (d.id.name.clone(), d.id.clone())).collect()
        };
        for (draft, (field, after)) in packages.iter_mut().zip(wait) {
            draft.after = leaves_after(&field, &draft.content, after, &samples)?;
        }
        Ok(Order { id, artifacts: vec![artifact.to_owned()], packages, note: None })
    }
}

/// An analysis leaves after the samples that the order says, and in any case after those of its own that are in the order.
fn leaves_after(
    field: &str,
    content: &Content,
    after: Vec<Name>,
    samples: &BTreeMap<Name, PackageId>,
) -> Result<Vec<PackageId>, Fault> {
    let Content::Analysis { doc } = content else {
        return match after.is_empty() {
            true => Ok(Vec::new()),
            false => Err(bad(format!("{field}.after"), "only an analysis waits for others")),
        };
    };
    if let Some(stranger) = after.iter().find(|name| !samples.contains_key(*name)) {
        return Err(bad(format!("{field}.after"), format!("{stranger} is no sample of this order")));
    }
    let all: BTreeSet<&PackageId> =
        after.iter().chain(&doc.samples).filter_map(|name| samples.get(name)).collect();
    Ok(all.into_iter().cloned().collect())
}

/// A path as it stands below the root, without a way out.
fn below(root: &Path, from: &Path) -> Result<PathBuf, String> {
    let rest = if from.is_absolute() {
        from.strip_prefix(root).map_err(|_| format!("{} is not below delivery.root", from.display()))?
    } else {
        from
    };
    // `components` forgives `a//b` and `a/./b`, which mean what they say.
    if rest.as_os_str().is_empty() || rest.components().any(|c| !matches!(c, Component::Normal(_))) {
        return Err(format!("{} leads out of delivery.root", from.display()));
    }
    Ok(root.join(rest))
}

fn sample(
    field: &str,
    part: Part,
    root: &Path,
    measured: &BTreeMap<PathBuf, Measured>,
) -> Result<(Name, Content), Obstacle> {
    let Some(Once(Value::Object(mut text))) = part.sample else {
        return Err(bad(format!("{field}.sample"), "a package of kind samples needs it, as an object").into());
    };
    if part.analysis.is_some() {
        return Err(bad(format!("{field}.analysis"), "a package of kind samples has none").into());
    }
    if text.contains_key("reads") {
        return Err(bad(format!("{field}.sample.reads"), "is made from `files`; leave it out").into());
    }
    let (mut files, mut reads) = (Vec::<Fastq>::new(), Vec::<Read>::new());
    let taqman = text.get("taqman").and_then(Value::as_str).map(str::to_owned);
    for (n, file) in part.files.into_iter().enumerate() {
        let at = |what: &str| format!("{field}.files[{n}].{what}");
        let from = below(root, &file.from).map_err(|why| fault(Reason::UnsafeContent, at("from"), why))?;
        let size = match measured.get(&from) {
            Some(Measured::Bytes(size)) => *size,
            Some(Measured::Odd(why)) => return Err(fault(Reason::UnsafeContent, at("from"), why).into()),
            Some(Measured::Absent) | None => {
                return Err(Obstacle::NotYet(format!("{}: {} is not there", at("from"), from.display())));
            }
        };
        if let Some(said) = file.size.filter(|said| *said != size) {
            let what = format!("{} has {size} bytes, the order says {said}", from.display());
            return Err(fault(Reason::SizeMismatch, at("size"), what).into());
        }
        if files.iter().any(|other| other.to == file.to) {
            return Err(bad(at("to"), format!("two files would become {}", file.to)).into());
        }
        let name = file.to.as_str();
        if name.ends_with(".fastq.gz") || name.ends_with(".fastq.ora") {
            let Some(md5) = file.md5.clone() else {
                return Err(bad(at("md5"), "a FASTQ file needs the md5 that its delivery gives").into());
            };
            reads.push(Read { path: file.to.clone(), md5, size });
        } else if taqman.as_deref() != Some(name) {
            let what = format!("{name} is neither .fastq.gz nor .fastq.ora nor what sample.taqman names");
            return Err(bad(at("to"), what).into());
        }
        if name.contains('/') {
            return Err(bad(at("to"), "a plain file name is wanted, without '/'").into());
        }
        files.push(Fastq { from, to: file.to, md5: file.md5, size });
    }
    drop(text.insert("reads".into(), json!(reads)));
    let doc: SampleDoc = document(&format!("{field}.sample"), Value::Object(text))?;
    let name = doc.name.clone();
    let there = |path: &RelPath| files.iter().any(|f| f.to == *path);
    whole(&format!("{field}.sample"), &part.kind, &name, "sample", &json!(doc), there)?;
    Ok((name, Content::Sample { doc: Box::new(doc), files }))
}

fn analysis(field: &str, part: Part, priority: Priority) -> Result<(Name, Content), Obstacle> {
    let Some(Once(Value::Object(mut text))) = part.analysis else {
        return Err(
            bad(format!("{field}.analysis"), "a package of kind analyses needs it, as an object").into()
        );
    };
    if part.sample.is_some() || !part.files.is_empty() {
        return Err(bad(field, "a package of kind analyses has neither `sample` nor `files`").into());
    }
    let ella = match priority {
        Priority::Urgent => "3",
        Priority::High => "2",
        Priority::Normal => "1",
    };
    let _given = text.entry("priority").or_insert_with(|| Value::from(ella));
    let _given = text.entry("params").or_insert_with(|| Value::Object(Map::new()));
    let doc: Analysis = document(&format!("{field}.analysis"), Value::Object(text))?;
    let name = doc.name.clone();
    whole(&format!("{field}.analysis"), &part.kind, &name, "analysis", &json!(doc), |_| false)?;
    Ok((name, Content::Analysis { doc: Box::new(doc) }))
}

/// The same question that is asked before `READY`: what could not pass there is not begun here.
fn whole(
    field: &str,
    kind: &Kind,
    name: &Name,
    ending: &str,
    doc: &Value,
    there: impl Fn(&RelPath) -> bool,
) -> Result<(), Fault> {
    let path: RelPath = format!("{name}.{ending}").parse().map_err(|e| bad(field, e))?;
    let documents = BTreeMap::from([(path, doc.to_string().into_bytes())]);
    check_structure(kind, name, &documents, there).map_err(|e| bad(field, e))
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
