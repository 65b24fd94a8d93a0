//! `.sample` and `.analysis`: the automation system's own files, and what must be true of a package that holds them.
//!
//! Field names and order are vcpipe's. Fields this program does not know are kept, because a site may add its own.
//! [`check_structure`] is the last question before `READY`: directory, file stem and `name` are one, every read file
//! that the `.sample` names is there, and R1 and R2 come in pairs ([`super::mates()`]).
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::family::{self, FamilyError};
use super::mates::{Unpaired, mates};
use super::{Decimal, Kind, Md5Hex, Name, RelPath};

/// The largest document that is read, in bytes.
pub const MAX_BYTES: u64 = 4 << 20;

/// `<package>.sample`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleDoc {
    /// The package's name.
    pub name: Name,
    /// The laboratory's number of the sample.
    pub sample_id: String,
    /// The LIMS project.
    pub project: String,
    /// `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_date: Option<String>,
    /// `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_date: Option<String>,
    /// Serial number of the instrument.
    pub sequencer_id: String,
    /// Barcode of the flowcell.
    pub flowcell_id: String,
    /// Side of the instrument, `A` or `B`.
    pub flowcell: String,
    /// Lane, from 1.
    pub lane: u32,
    /// Index sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Capture kit, `wgs` for none.
    pub capturekit: String,
    /// File name of the SNP-ID result, null if there is none.
    pub taqman: Option<String>,
    /// Numbers of the demultiplexing.
    pub stats: Stats,
    /// The read files, each with what the delivery says of it.
    pub reads: Vec<Read>,
    /// Of the data set, if the site uses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Fields of the site.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Numbers of the demultiplexing; absent ones are absent, never zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Reads, both mates counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<Decimal>,
    /// Per cent of bases with quality of at least 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q30_bases_pct: Option<Decimal>,
    /// Mean quality score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_qual_score: Option<Decimal>,
    /// Per cent of reads whose index had no mismatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perfect_index_reads_pct: Option<Decimal>,
    /// Per cent of reads whose index had one mismatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_mismatch_index_pct: Option<Decimal>,
}

impl SampleDoc {
    /// Reads a document with the texts of its statistics kept.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Exact<'a> {
            #[serde(borrow, default)]
            stats: BTreeMap<&'a str, &'a RawValue>,
        }
        let mut doc: Self = serde_json::from_slice(json)?;
        // A document that serde took may still be written in a way that cannot be borrowed (escapes in a field's name).
        let Ok(exact) = serde_json::from_slice::<Exact<'_>>(json) else { return Ok(doc) };
        let stats = &mut doc.stats;
        for (name, number) in [
            ("reads", &mut stats.reads),
            ("q30_bases_pct", &mut stats.q30_bases_pct),
            ("mean_qual_score", &mut stats.mean_qual_score),
            ("perfect_index_reads_pct", &mut stats.perfect_index_reads_pct),
            ("one_mismatch_index_pct", &mut stats.one_mismatch_index_pct),
        ] {
            if let Some(text) = exact.stats.get(name)
                && number.is_some()
                && let Ok(kept) = text.get().parse()
            {
                *number = Some(kept);
            }
        }
        Ok(doc)
    }
}

/// One FASTQ file as the delivery describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Relative to the package.
    pub path: RelPath,
    /// As delivered.
    pub md5: Md5Hex,
    /// Bytes.
    pub size: u64,
}

/// `<package>.analysis`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// The package's name.
    pub name: Name,
    /// `exome`, `genome`, …
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Names of the sample packages it needs.
    pub samples: Vec<Name>,
    /// `1` normal, `2` high, `3` urgent (ELLA's words), as text or number.
    pub priority: Value,
    /// Gene panel and family.
    pub params: Params,
    /// `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_analysis_requested: Option<String>,
    /// Fields of the site.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What an analysis is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// `<name>_<version>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genepanel: Option<String>,
    /// The family of a trio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pedigree: Option<Pedigree>,
    /// Fields of the site.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The three of a trio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pedigree {
    /// The patient.
    pub proband: Member,
    /// The patient's father.
    pub father: Member,
    /// The patient's mother.
    pub mother: Member,
}

/// One of a trio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Name of the sample package.
    pub sample: Name,
}

/// Why a package is not what its kind wants.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Missing, or more than one.
    #[error("a package of kind {kind} needs exactly one *.{ending} file; there are {found}")]
    Count {
        /// The kind.
        kind: Kind,
        /// `sample` or `analysis`.
        ending: &'static str,
        /// How many there are.
        found: usize,
    },
    /// Not JSON of the right shape.
    #[error("{path} cannot be read: {error}")]
    Unreadable {
        /// The document.
        path: RelPath,
        /// What serde says; names the field.
        error: serde_json::Error,
    },
    /// Directory, stem and name differ.
    #[error("{path} calls itself {name:?}, but the package is {package}")]
    Name {
        /// The document.
        path: RelPath,
        /// What it calls itself.
        name: String,
        /// The package's directory.
        package: Name,
    },
    /// A file that the document names is not there.
    #[error("{path} names {missing}, which is not in the package")]
    Missing {
        /// The document.
        path: RelPath,
        /// The absent file.
        missing: String,
    },
    /// Samples and pedigree contradict each other.
    #[error("{path}: {why}")]
    Family {
        /// The document.
        path: RelPath,
        /// Who, and what is wrong.
        why: FamilyError,
    },
    /// R1 without R2 or the other way round, or none at all.
    #[error("{path}: {why}")]
    Unpaired {
        /// The document.
        path: RelPath,
        /// Which file, and what is missing.
        why: Unpaired,
    },
}

/// The reads that a package's `.sample` promises; empty for packages without one.
pub fn expected_reads(files: &BTreeMap<RelPath, Vec<u8>>) -> Result<Vec<Read>, DocumentError> {
    let mut reads = Vec::new();
    for (path, bytes) in files.iter().filter(|(path, _)| is_top_level(path, "sample")) {
        reads.extend(read::<SampleDoc>(path, bytes)?.reads);
    }
    Ok(reads)
}

/// Checks a package against its kind. `documents` are its `.sample` and `.analysis` files with their bytes, `exists` says
/// whether a payload file is there. Kinds other than samples and analyses have no rules here.
pub fn check_structure(
    kind: &Kind,
    package: &Name,
    documents: &BTreeMap<RelPath, Vec<u8>>,
    exists: impl Fn(&RelPath) -> bool,
) -> Result<(), DocumentError> {
    match kind.as_str() {
        "samples" => {
            let (path, bytes) = only(kind, "sample", documents)?;
            let sample: SampleDoc = read(path, bytes)?;
            same_name(path, &sample.name, package)?;
            for read in &sample.reads {
                need(path, &read.path, &exists)?;
            }
            if let Some(taqman) = &sample.taqman {
                let missing = || DocumentError::Missing { path: path.clone(), missing: taqman.clone() };
                need(path, &taqman.parse().map_err(|_| missing())?, &exists)?;
            }
            let unpaired = |why| DocumentError::Unpaired { path: path.clone(), why };
            mates(&sample.reads, &exists).map(drop).map_err(unpaired)
        }
        "analyses" => {
            let (path, bytes) = only(kind, "analysis", documents)?;
            let analysis: Analysis = read(path, bytes)?;
            same_name(path, &analysis.name, package)?;
            let contradicts = |why| DocumentError::Family { path: path.clone(), why };
            family::check(&analysis).map_err(contradicts)
        }
        _ => Ok(()),
    }
}

/// Whether `path` is a `.sample` or `.analysis` of the package itself.
pub fn is_document(path: &RelPath) -> bool {
    is_top_level(path, "sample") || is_top_level(path, "analysis")
}

/// Not of something further down in the package.
fn is_top_level(path: &RelPath, ending: &str) -> bool {
    !path.as_str().contains('/') && path.as_str().strip_suffix(ending).is_some_and(|stem| stem.ends_with('.'))
}

fn only<'a>(
    kind: &Kind,
    ending: &'static str,
    documents: &'a BTreeMap<RelPath, Vec<u8>>,
) -> Result<(&'a RelPath, &'a Vec<u8>), DocumentError> {
    let mut found = documents.iter().filter(|(path, _)| is_top_level(path, ending));
    match (found.next(), found.count()) {
        (Some(one), 0) => Ok(one),
        (first, more) => Err(DocumentError::Count {
            kind: kind.clone(),
            ending,
            found: usize::from(first.is_some()) + more,
        }),
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &RelPath, bytes: &[u8]) -> Result<T, DocumentError> {
    serde_json::from_slice(bytes).map_err(|error| DocumentError::Unreadable { path: path.clone(), error })
}

fn need(path: &RelPath, file: &RelPath, exists: &impl Fn(&RelPath) -> bool) -> Result<(), DocumentError> {
    if exists(file) {
        return Ok(());
    }
    Err(DocumentError::Missing { path: path.clone(), missing: file.to_string() })
}

/// The directory may carry a uuid4 behind the name (`Diag-wgs1-HG12345677-<uuid>`); the stem and the name may not differ.
fn same_name(path: &RelPath, name: &Name, package: &Name) -> Result<(), DocumentError> {
    let stem = path.as_str().rsplit_once('.').map_or("", |(stem, _)| stem);
    if stem == name.as_str() && (package == name || without_uuid(package.as_str()) == name.as_str()) {
        return Ok(());
    }
    Err(DocumentError::Name { path: path.clone(), name: name.to_string(), package: package.clone() })
}

/// The name without a trailing `-<uuid>`.
pub fn without_uuid(name: &str) -> &str {
    let cut = name.len().wrapping_sub(37);
    match (name.get(..cut), name.get(cut..).and_then(|tail| tail.strip_prefix('-'))) {
        (Some(stem), Some(tail)) if uuid::Uuid::try_parse(tail).is_ok() => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(name: &str, reads: &[&str]) -> Value {
        let reads: Vec<_> = reads
            .iter()
            .map(|p| json!({"path": p, "md5": "900150983cd24fb0d6963f7d28e17f72", "size": 3}))
            .collect();
        json!({"name": name, "sample_id": "HG12345677", "project": "Diag-wgs1", "sequencer_id": "LH00534",
            "flowcell_id": "A22", "flowcell": "A", "lane": 3, "capturekit": "wgs", "taqman": null,
            "stats": {"q30_bases_pct": 88.94, "reads": 121434860}, "reads": reads, "site_field": "æøå"})
    }

    fn check(dir: &str, stem: &str, doc: &Value) -> Result<(), DocumentError> {
        let path: RelPath = format!("{stem}.sample").parse().unwrap();
        let docs = BTreeMap::from([(path, serde_json::to_vec(doc).unwrap())]);
        check_structure(&"samples".parse().unwrap(), &dir.parse().unwrap(), &docs, |p| {
            !["gone_R2_001", "single_R2_001.fastq.gz"].contains(&p.as_str())
        })
    }

    #[test]
    fn unknown_fields_and_numbers_survive() {
        let doc: SampleDoc = serde_json::from_value(sample("a", &["x_R1_001.fastq.gz"])).unwrap();
        let text = serde_json::to_string(&doc).unwrap();
        assert!(
            text.contains("\"site_field\":\"æøå\"") && text.contains("88.94") && text.contains("121434860")
        );
    }

    #[test]
    fn a_document_is_read_with_the_texts_of_its_numbers() {
        let text = sample("a", &["x_R1_001.fastq.gz"]).to_string().replace("88.94", "88.940");
        let doc = SampleDoc::parse(text.as_bytes()).unwrap();
        assert_eq!(doc.stats.q30_bases_pct.as_ref().unwrap().as_str(), "88.940");
        assert_eq!(doc.stats.mean_qual_score, None);
        assert_eq!(SampleDoc::parse(serde_json::to_string(&doc).unwrap().as_bytes()).unwrap(), doc);
        assert!(SampleDoc::parse(b"{}").is_err());
    }

    #[test]
    fn a_right_package_passes_with_and_without_uuid() {
        let doc = sample("Diag-1-HG1", &["x_R1_001.fastq.gz", "x_R2_001.fastq.gz"]);
        check("Diag-1-HG1", "Diag-1-HG1", &doc).unwrap();
        check("Diag-1-HG1-3c52f4e7-826d-40dd-bd98-f4356deeb098", "Diag-1-HG1", &doc).unwrap();
        check("a", "a", &sample("a", &["single_R1_001.fastq.gz"])).unwrap();
    }

    #[test]
    fn wrong_packages_are_named() {
        let good = ["x_R1_001.fastq.gz", "x_R2_001.fastq.gz"];
        for (dir, stem, doc, why) in [
            ("Diag-1-HG2", "Diag-1-HG1", sample("Diag-1-HG1", &good), "calls itself"),
            ("Diag-1-HG1", "Diag-1-HG1", sample("Diag-1-HG2", &good), "calls itself"),
            ("a", "a", sample("a", &["x_R1_001.fastq.gz"]), "x_R2_001.fastq.gz lies in the package"),
            (
                "a",
                "a",
                sample("a", &["x_R1_001.fastq.gz", "y_R2_001.fastq.gz"]),
                "there is no y_R1_001.fastq.gz",
            ),
            ("a", "a", sample("a", &[]), "no reads"),
            ("a", "a", sample("a", &["gone_R1_001", "gone_R2_001"]), "names gone_R2_001"),
            ("a", "a", json!({"name": "a"}), "missing field `sample_id`"),
        ] {
            let refused = check(dir, stem, &doc).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused} should say {why}");
        }
        let none =
            check_structure(&"samples".parse().unwrap(), &"a".parse().unwrap(), &BTreeMap::new(), |_| true);
        assert!(none.unwrap_err().to_string().contains("there are 0"));
    }

    #[test]
    fn only_a_uuid_is_cut() {
        assert_eq!(without_uuid("Diag-1-HG1-3c52f4e7-826d-40dd-bd98-f4356deeb098"), "Diag-1-HG1");
        assert_eq!(
            without_uuid("Diag-1-HG1-3c52f4e7-826d-40dd-bd98-f4356deebXYZ"),
            "Diag-1-HG1-3c52f4e7-826d-40dd-bd98-f4356deebXYZ"
        );
        assert_eq!(without_uuid("short"), "short");
        assert_eq!(
            without_uuid("ææææææææææææææææææææææææææææææææææææææ"),
            "ææææææææææææææææææææææææææææææææææææææ"
        );
    }
}
