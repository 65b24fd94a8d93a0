//! Many at once: `batch/retrieve` for artifacts, samples and containers.
//!
//! One bad id refuses the whole call, so a refused call is split in halves until the id stands alone: it costs itself
//! and nobody else. The server answers in any order and is not trusted to answer completely: the result is keyed by
//! id, an id that was not asked for spoils its batch, one that did not come is missing by name.
use super::bodies::links;
use super::client::Client;
use super::error::Error;
use super::fault::Fault;
use super::ids::LimsId;
use super::model::{Artifact, Container, Sample};
use super::read::{Identified, id, root};
use super::tree::Element;
use std::collections::{BTreeMap, BTreeSet};

/// Illumina's advice; ten thousand at once is slower than twenty times this.
const CHUNK: usize = 500;
/// Splits in one call, enough for some thirty bad ids among 500. Past that something else is wrong than an id.
const MAX_SPLITS: usize = 256;

/// What a batch brought, by id.
#[derive(Debug)]
pub struct Batch<T> {
    /// What came.
    pub found: BTreeMap<LimsId, T>,
    /// What did not, each with its own reason. Together with `found` it has every id that was asked for.
    pub failed: BTreeMap<LimsId, Error>,
}

impl Client {
    /// Artifacts, in their latest state. `Err` only if the LIMS as a whole does not answer or refuses everything.
    pub async fn artifacts(&self, ids: &[LimsId]) -> Result<Batch<Artifact>, Error> {
        self.retrieve(ids).await
    }

    /// Samples; like [`Client::artifacts`].
    pub async fn samples(&self, ids: &[LimsId]) -> Result<Batch<Sample>, Error> {
        self.retrieve(ids).await
    }

    /// Containers; like [`Client::artifacts`].
    pub async fn containers(&self, ids: &[LimsId]) -> Result<Batch<Container>, Error> {
        self.retrieve(ids).await
    }

    async fn retrieve<T: Identified>(&self, ids: &[LimsId]) -> Result<Batch<T>, Error> {
        let unique: Vec<LimsId> = ids.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let mut waiting: Vec<&[LimsId]> = unique.chunks(CHUNK).rev().collect();
        let mut batch = Batch { found: BTreeMap::new(), failed: BTreeMap::new() };
        let mut splits = 0;
        while let Some(chunk) = waiting.pop() {
            match (self.chunk::<T>(chunk).await, chunk) {
                (Ok(part), _) => {
                    batch.found.extend(part.found);
                    batch.failed.extend(part.failed);
                }
                (Err(error), [alone]) if may_be_one_ids_fault(&error) => {
                    drop(batch.failed.insert(alone.clone(), error));
                }
                (Err(error), _) if may_be_one_ids_fault(&error) && splits < MAX_SPLITS => {
                    splits += 1;
                    let (first, second) = chunk.split_at(chunk.len() / 2);
                    waiting.extend([second, first]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(batch)
    }

    async fn chunk<T: Identified>(&self, ids: &[LimsId]) -> Result<Batch<T>, Error> {
        let url = self.wire.url(&format!("{}/batch/retrieve", T::PATH), &[]);
        let document = self.wire.ask(&url, &links(self.wire.spoken(), T::PATH, ids)).await?;
        let doing = format!("POST {}", url.path());
        sort::<T>(&document, ids, &doing).map_err(|fault| Error::malformed(&doing, fault))
    }
}

/// Whether to look for the culprit by halves.
fn may_be_one_ids_fault(error: &Error) -> bool {
    match error {
        Error::Refused { status, .. } => matches!(status, 400 | 413),
        Error::NotFound { .. } | Error::Malformed { .. } => true,
        _ => false,
    }
}

fn sort<T: Identified>(document: &Element, asked: &[LimsId], doing: &str) -> Result<Batch<T>, Fault> {
    root(document, T::NAMESPACE, "details")?;
    let mut batch = Batch { found: BTreeMap::new(), failed: BTreeMap::new() };
    let malformed = |fault| Error::malformed(doing, fault);
    for element in document.all_in(T::NAMESPACE, T::ROOT) {
        let own = id(element, T::PATH)?;
        if !asked.contains(&own) {
            return Err(Fault::new(format!("{own} came and was not asked for")));
        }
        let twice = batch.found.contains_key(&own) || batch.failed.contains_key(&own);
        match T::read(element) {
            _ if twice => drop(batch.failed.insert(own, malformed(Fault::new("it came twice")))),
            Ok(value) => drop(batch.found.insert(own, value)),
            Err(fault) => drop(batch.failed.insert(own, malformed(fault))),
        }
    }
    batch.found.retain(|id, _| !batch.failed.contains_key(id));
    for id in asked.iter().filter(|id| !batch.found.contains_key(id)) {
        batch.failed.entry(id.clone()).or_insert_with(|| Error::NotFound {
            doing: doing.to_owned(),
            message: Some(format!("{id} was asked for and did not come")),
        });
    }
    Ok(batch)
}
