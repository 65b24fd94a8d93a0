//! From what the LIMS says to a work order: pure decisions, no network.
//!
//! Identity is checked before anything is claimed: the demultiplexing output's sample must be the one that its reagent label
//! stands for in the lane (Clarity is known to put the wrong sample there), the sample sheet id must contain the DNA id, and
//! every delivered file of that sample sheet id must be explained by an output. A contradiction is never resolved by choosing
//! one side: it is a doubt, with both names. What time will cure is told from what somebody must correct: [`NotYet`].
mod again;
mod analysis;
mod delivery;
mod family;
mod sample;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use again::{Part, Past, PastState, Sent, judge};
pub use analysis::{Subject, assemble, draft_analysis};
pub use delivery::{Delivery, RunId, Snp, SnpEntry, parse_md5sums};
pub use family::{Relation, family};
pub use sample::{draft_sample, output_lacks, sample_lacks};

use super::source::Fault;
use crate::clarity::{Project, Sample, Udfs};
use crate::conf::LimsConf;
use crate::package::{Kind, Name, Order, OrderId, Priority, Reason};

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

/// What people are told: names are not unique in a LIMS, the artifact is.
pub fn title(name: Option<&str>, artifact: &str) -> String {
    format!("{} ({artifact})", name.unwrap_or("nameless"))
}

/// Why a sample cannot be exported now; in words for the laboratory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotYet {
    /// Time will cure it, or somebody's work that is still to come.
    Waits(String),
    /// Somebody must correct it.
    Wrong(Fault),
}

impl NotYet {
    /// It waits for this.
    pub fn waits(why: impl Into<String>) -> Self {
        Self::Waits(why.into())
    }

    /// The LIMS holds a value that nothing can be made of.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::Wrong(Fault { reason: Reason::LimsInvalid, detail: detail.into() })
    }

    /// Two things that must agree do not.
    pub fn contradiction(detail: impl Into<String>) -> Self {
        Self::Wrong(Fault { reason: Reason::LimsContradiction, detail: detail.into() })
    }

    /// The words.
    pub fn words(&self) -> &str {
        match self {
            Self::Waits(why) => why,
            Self::Wrong(fault) => &fault.detail,
        }
    }
}

/// A field's text, without spaces around it; none if it is not set or blank.
pub fn text<'a>(udfs: &'a Udfs, field: &str) -> Option<&'a str> {
    udfs.get(field).map(|u| u.value.trim()).filter(|t| !t.is_empty())
}

/// The site's name for one of the program's fields.
fn field<'a>(conf: &'a LimsConf, ours: &str) -> &'a str {
    conf.fields.get(ours).map_or("", String::as_str)
}

/// The laboratory's number of a sample: what stands before the first dash of its LIMS name.
pub fn dna_id(sample_name: &str) -> &str {
    sample_name.split('-').next().unwrap_or(sample_name)
}

/// How soon, by the site's words. An absent word is normal; an unknown one is a question for a person.
pub fn priority(conf: &LimsConf, sample: &Sample) -> Result<Priority, NotYet> {
    let name = field(conf, "priority");
    let Some(word) = text(&sample.udfs, name) else { return Ok(Priority::Normal) };
    let known = conf.priorities.get(&word.to_lowercase()).copied();
    known.ok_or_else(|| {
        NotYet::invalid(format!(
            "field {name:?} says {word:?}, which is not in lims.priorities: correct one of the two"
        ))
    })
}

/// What the package of a sample is called: project and DNA id. Checked before anything else, because it comes from outside.
pub fn package_name(sample: &Sample, project: &Project) -> Result<Name, NotYet> {
    let nameless = |what: &str| NotYet::invalid(format!("the {what} has no name in the LIMS"));
    let sample = sample.name.as_deref().ok_or_else(|| nameless("sample"))?;
    let project = project.name.as_deref().ok_or_else(|| nameless("project"))?;
    if dna_id(sample).is_empty() {
        return Err(NotYet::invalid(format!("the sample's name {sample:?} does not begin with a DNA id")));
    }
    let name = format!("{project}-{}", dna_id(sample)).parse();
    name.map_err(|e| {
        NotYet::invalid(format!(
            "no package name can be made of sample {sample:?} in project {project:?}: {e}"
        ))
    })
}

fn kind(word: &str) -> Kind {
    word.parse().expect("a kind of the program's own is well-formed")
}

/// The sample an earlier one of which is to be analysed anew, as the LIMS calls it.
pub fn reanalysis<'a>(conf: &LimsConf, sample: &'a Sample) -> Option<&'a str> {
    text(&sample.udfs, field(conf, "reanalysis"))
}

/// The id of an order whose first artifact was in so many orders before.
pub fn order_id(artifact: &str, before: usize) -> OrderId {
    OrderId(if before == 0 { artifact.to_owned() } else { format!("{artifact}#{}", before + 1) })
}

/// The site's own fields, their texts as they came. A blank or absent one is left out; one that is there already under
/// `taken`, or comes with different texts, is a question for a person.
fn site_fields(
    fields: &BTreeMap<String, String>,
    taken: &[&str],
    find: impl Fn(&str) -> Vec<String>,
) -> Result<Map<String, Value>, NotYet> {
    if let Some((ours, theirs)) = fields.iter().find(|(ours, _)| taken.contains(&ours.as_str())) {
        return Err(NotYet::invalid(format!(
            "the configuration calls field {theirs:?} {ours:?}, but every document has that already: call it something else"
        )));
    }
    let mut more = Map::new();
    for (ours, theirs) in fields {
        let mut texts = find(theirs);
        texts.retain(|text| !text.trim().is_empty());
        texts.dedup();
        match &texts[..] {
            [] => {}
            [text] => drop(more.insert(ours.clone(), Value::from(text.as_str()))),
            [a, b, ..] => {
                return Err(NotYet::contradiction(format!("field {theirs:?} says both {a:?} and {b:?}")));
            }
        }
    }
    Ok(more)
}

/// What is shown of an order in the log, without more than needed.
pub fn summary(order: &Order) -> Value {
    json!(order.packages.iter().map(|d| d.id.to_string()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
