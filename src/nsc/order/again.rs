//! Queued again: is it what was sent before, and what then?
//!
//! A package is known by its kind and its name without a uuid; revisions of it are told apart by their number. What was sent is
//! compared field by field and file by file: identical is not sent again, different is the site's choice (`orders.again`),
//! and what is stopped or still under way is waited for. Nothing here ever replaces anything.
use std::collections::BTreeMap;

use serde_json::Value;

use super::NotYet;
use crate::conf::Again;
use crate::package::{Analysis, Content, Draft, Md5Hex, PackageId, Reason, Revision, SampleDoc, State};

/// So many differences are told; more do not help anybody to decide.
const TOLD: usize = 6;

/// The last revision of a package that there is.
#[derive(Clone, Debug)]
pub struct Past {
    /// Which.
    pub id: PackageId,
    /// How it stands.
    pub state: PastState,
}

/// How an earlier package stands.
#[derive(Clone, Debug)]
pub enum PastState {
    /// Not through yet.
    UnderWay(State),
    /// Stopped, and why.
    Stopped(State, Option<Reason>, Option<String>),
    /// Sent; with what was sent, as far as it is known.
    Left(Option<Sent>),
}

/// What was sent, as far as it can be compared.
#[derive(Clone, Debug)]
pub enum Sent {
    /// A sample. Names, sums and sizes of its reads stand in the document.
    Sample {
        /// The document.
        doc: Box<SampleDoc>,
        /// Of the SNP-ID result.
        taqman: Option<Md5Hex>,
    },
    /// An analysis.
    Analysis(Box<Analysis>),
}

impl Sent {
    /// Of a draft.
    pub fn of(content: &Content) -> Self {
        match content {
            Content::Sample { doc, files } => {
                let snp = doc.taqman.as_ref().and_then(|name| files.iter().find(|f| f.to.as_str() == name));
                Self::Sample { doc: doc.clone(), taqman: snp.and_then(|f| f.md5.clone()) }
            }
            Content::Analysis { doc } => Self::Analysis(doc.clone()),
        }
    }

    fn as_value(&self) -> Value {
        let mut value = match self {
            Self::Sample { doc, taqman } => {
                let mut value = serde_json::to_value(doc).unwrap_or_default();
                if let (Some(all), Some(md5)) = (value.as_object_mut(), taqman) {
                    drop(all.insert("SNP-ID result, md5".into(), Value::from(md5.as_str())));
                }
                value
            }
            Self::Analysis(doc) => serde_json::to_value(doc).unwrap_or_default(),
        };
        if let Some(all) = value.as_object_mut() {
            drop(all.remove("uuid")); // of the directory, not of what is in it
        }
        value
    }
}

/// What becomes of one package of an order.
#[derive(Clone, Debug)]
pub enum Part {
    /// It is sent.
    Send {
        /// The draft, with its revision.
        draft: Box<Draft>,
        /// Why, if there was one before.
        note: Option<String>,
    },
    /// It was sent before, and is the same.
    Sent(PackageId),
}

/// Decides about a draft, given the last revision of its package. `anew`: something that it depends on is sent anew, so it
/// must be too.
pub fn judge(mut draft: Draft, past: Option<Past>, rule: Again, anew: bool) -> Result<Part, NotYet> {
    let Some(Past { id, state }) = past else {
        return Ok(Part::Send { draft: Box::new(draft), note: None });
    };
    let sent = match state {
        PastState::Left(sent) => sent,
        PastState::UnderWay(state) => {
            return Err(NotYet::waits(format!(
                "queued again, but {id} is {state}: it waits until that one has left"
            )));
        }
        PastState::Stopped(state, reason, detail) => {
            let why = reason.map_or_else(String::new, |r| format!(" ({r}: {})", detail.unwrap_or_default()));
            return Err(NotYet::waits(format!(
                "queued again, but {id} is {state}{why}: see to that one first"
            )));
        }
    };
    let mut different = match sent {
        None => vec!["what was sent is not known here any more".to_owned()],
        Some(sent) => differences(&sent.as_value(), &Sent::of(&draft.content).as_value()),
    };
    if different.is_empty() && anew {
        different.push("a sample of it is sent anew".to_owned());
    }
    if different.is_empty() {
        return Ok(Part::Sent(id));
    }
    let more = different.len().saturating_sub(TOLD);
    different.truncate(TOLD);
    if more > 0 {
        different.push(format!("and {more} more"));
    }
    let different = different.join("; ");
    match rule {
        Again::Ask => Err(NotYet::waits(format!(
            "queued again, but {id} was sent before, and this one is different ({different}): take it out of the queue, or set \
             orders.again = \"revise\" to have it sent as {}",
            next(&id)
        ))),
        Again::Revise => {
            draft.id = PackageId { revision: next(&id), ..draft.id };
            Ok(Part::Send {
                note: Some(format!("{} after {id}: {different}", draft.id)),
                draft: Box::new(draft),
            })
        }
    }
}

fn next(id: &PackageId) -> Revision {
    Revision(id.revision.0.saturating_add(1))
}

/// In words, with both values.
fn differences(before: &Value, now: &Value) -> Vec<String> {
    let (mut before_flat, mut now_flat) = (BTreeMap::new(), BTreeMap::new());
    flatten(String::new(), before, &mut before_flat);
    flatten(String::new(), now, &mut now_flat);
    let mut keys: Vec<&String> = before_flat.keys().chain(now_flat.keys()).collect();
    keys.sort();
    keys.dedup();
    let show =
        |value: Option<&String>| value.map_or("nothing".to_owned(), |text| text.chars().take(200).collect());
    let differs = |key: &&String| before_flat.get(*key) != now_flat.get(*key);
    let told = |key: &String| {
        format!("{key}: {} before, {} now", show(before_flat.get(key)), show(now_flat.get(key)))
    };
    keys.into_iter().filter(differs).map(told).collect()
}

/// Every leaf under its path; read files under their names. What is null is as good as absent.
fn flatten(path: String, value: &Value, into: &mut BTreeMap<String, String>) {
    let under = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Null => {}
        Value::Object(all) => all.iter().for_each(|(key, value)| flatten(under(key), value, into)),
        Value::Array(all) => {
            for (n, value) in all.iter().enumerate() {
                let name =
                    value.get("path").and_then(Value::as_str).map_or_else(|| n.to_string(), str::to_owned);
                flatten(under(&name), value, into);
            }
        }
        leaf => drop(into.insert(path, leaf.to_string())),
    }
}
