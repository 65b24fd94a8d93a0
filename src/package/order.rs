//! A work order: what the LIMS wants exported together, decided before anything is claimed.
//!
//! One order is one LIMS step: a single sample, or a trio with its analysis. It is journalled whole before the claim, so
//! that after a crash nothing has to be asked again to know what was meant.
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Analysis, Md5Hex, PackageId, Priority, RelPath, SampleDoc};

/// Identifies an order: the LIMS id of its first artifact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub String);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is to be exported in one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// LIMS ids of the queued artifacts, each once.
    pub artifacts: Vec<String>,
    /// The packages to make. None: everything that the artifacts stand for was delivered before.
    pub packages: Vec<Draft>,
    /// Why, if its samples were exported before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A package to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// Its id.
    pub id: PackageId,
    /// How soon.
    pub priority: Priority,
    /// The queued artifact that is exported by it; none: it concerns all of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// It leaves only when these have left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<PackageId>,
    /// What goes in.
    pub content: Content,
}

/// What goes into a package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// A sample with its reads.
    Sample {
        /// The `.sample`, complete.
        doc: Box<SampleDoc>,
        /// The delivered files that are linked in.
        files: Vec<Fastq>,
    },
    /// An analysis.
    Analysis {
        /// The `.analysis`, complete.
        doc: Box<Analysis>,
    },
}

/// A delivered file and its name in the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fastq {
    /// Where it was delivered.
    pub from: PathBuf,
    /// Its name in the package.
    pub to: RelPath,
    /// As the delivery's `md5sum.txt` says; none for files that are not listed there (SNP-ID results).
    pub md5: Option<Md5Hex>,
    /// Bytes when the order was made.
    pub size: u64,
}
