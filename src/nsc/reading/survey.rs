//! The survey: a little about everybody in the queue, in three requests for each five hundred.
//!
//! Of each sample only what decides whose turn it is is kept; the documents are dropped chunk by chunk.
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::exporter::Exporter;
use super::super::order::{self, NotYet};
use super::super::source::Doubtful;
use super::pick::Seen;
use crate::blame::Failure;
use crate::chain;
use crate::clarity::{Artifact, LimsId};
use crate::supervisor::meter::Meter;

/// What is kept at the same time as documents.
const CHUNK: usize = 500;

/// An artifact that is to be looked at.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) artifact: LimsId,
    pub(super) queued_at: Option<Timestamp>,
    pub(super) claim: Option<String>,
}

/// What the survey found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) seen: Vec<Seen>,
    pub(super) waiting: BTreeMap<String, String>,
    pub(super) doubts: Vec<Doubtful>,
}

impl Survey {
    /// Says why something cannot be ordered now.
    pub(super) fn say(&mut self, artifact: &str, who: String, said: NotYet) {
        match said {
            NotYet::Waits(why) => drop(self.waiting.insert(who, why)),
            NotYet::Wrong(fault) => self.doubts.push(Doubtful { artifact: artifact.to_owned(), who, fault }),
        }
    }
}

/// Asks for the artifacts and their samples.
pub(super) async fn survey(exporter: &Exporter, entries: &[Entry], meter: &Meter) -> Result<Survey, Failure> {
    let mut survey = Survey::default();
    for chunk in entries.chunks(CHUNK) {
        let by_id: BTreeMap<&LimsId, &Entry> = chunk.iter().map(|e| (&e.artifact, e)).collect();
        let ids: Vec<LimsId> = by_id.keys().map(|id| (*id).clone()).collect();
        let artifacts = exporter.client.artifacts(&ids).await?;
        meter.alive();
        for (id, error) in artifacts.failed {
            survey.say(id.as_str(), id.to_string(), NotYet::waits(chain(&error)));
        }
        let mut wanted = Vec::new();
        for artifact in artifacts.found.values() {
            match sample_of(artifact) {
                Ok(Some(sample)) => wanted.push((artifact.id.clone(), sample)),
                Ok(None) => {}
                Err(said) => survey.say(artifact.id.as_str(), artifact.id.to_string(), said),
            }
        }
        let samples: Vec<LimsId> = wanted.iter().map(|(_, sample)| sample.clone()).collect();
        let mut samples = exporter.client.samples(&samples).await?;
        meter.alive();
        for (artifact, sample) in wanted {
            let Some(found) = samples.found.get(&sample) else {
                let why =
                    samples.failed.remove(&sample).map_or_else(String::new, |e| format!(" ({})", chain(&e)));
                let why = format!("the LIMS does not give out sample {sample}{why}");
                survey.say(artifact.as_str(), artifact.to_string(), NotYet::waits(why));
                continue;
            };
            let who = order::title(found.name.as_deref(), artifact.as_str());
            let read = order::priority(&exporter.conf, found)
                .and_then(|p| Ok((p, order::family(&exporter.conf, found)?)));
            let entry = by_id.get(&artifact);
            match read {
                // A field that was dropped on the way may be there at the next reading, so this one is read in full.
                Err(_) if order::sample_lacks(&exporter.conf, found) => {
                    survey.seen.push(Seen { family: None, ..seen(artifact, sample, found, entry) });
                }
                Err(said) => survey.say(artifact.as_str(), who, said),
                Ok((priority, family)) => {
                    survey.seen.push(Seen { priority, family, ..seen(artifact, sample, found, entry) });
                }
            }
        }
    }
    Ok(survey)
}

fn seen(artifact: LimsId, sample: LimsId, found: &crate::clarity::Sample, entry: Option<&&Entry>) -> Seen {
    Seen {
        artifact,
        sample,
        name: found.name.clone(),
        priority: crate::package::Priority::default(),
        family: None,
        queued_at: entry.and_then(|e| e.queued_at),
        claim: entry.and_then(|e| e.claim.clone()),
    }
}

/// Controls are nobody's sample; a pool is a mistake.
fn sample_of(artifact: &Artifact) -> Result<Option<LimsId>, NotYet> {
    match &artifact.samples[..] {
        _ if artifact.is_control() => Ok(None),
        [one] => Ok(Some(one.clone())),
        others => Err(NotYet::invalid(format!(
            "it holds {} samples; only what holds one can be exported: take it out of the queue",
            others.len()
        ))),
    }
}
