//! Searching for many at once: a filter repeated is an "or", where the server takes it so.
//!
//! Whether it does is not taken for granted: answers are sorted by whom they concern, and everybody is asked for alone as well
//! until the server has shown, in an answer with rows of two different samples, that it takes repeats for alternatives. Until then
//! no answer to many is believed to be the whole truth of any of them.
use std::collections::{BTreeMap, BTreeSet};

use super::super::order::NotYet;
use super::depth::own;
use crate::blame::Failure;
use crate::clarity::{Artifact, Client, LimsId};
use crate::conf::LimsConf;
use crate::supervisor::meter::Meter;

/// So many values of one filter in one request: their addresses stay well below what servers take.
const AT_ONCE: usize = 40;

/// The creation order of things of one sort: their numbers.
pub(super) fn number(id: &LimsId) -> Option<u64> {
    id.as_str().rsplit('-').next().and_then(|n| n.parse().ok())
}

/// All that a search needs.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) client: &'a Client,
    pub(super) conf: &'a LimsConf,
    pub(super) meter: &'a Meter,
}

type Rows = Result<Vec<Artifact>, NotYet>;

/// Readable outputs of one sample each, by that sample; and why the others cannot be read.
#[derive(Default)]
struct Retrieved {
    found: BTreeMap<LimsId, Vec<Artifact>>,
    unreadable: BTreeMap<LimsId, String>,
}

impl Search<'_> {
    /// The result files of demultiplexings that name exactly one sample each, by that sample.
    pub(super) async fn outputs(
        self,
        samples: &[LimsId],
        takes_repeats: &mut bool,
    ) -> Result<BTreeMap<LimsId, Rows>, Failure> {
        let mut answers = Vec::new();
        for chunk in samples.chunks(AT_ONCE) {
            answers.push((chunk, self.find(chunk).await?));
        }
        let all: BTreeSet<LimsId> =
            answers.iter().flat_map(|(_, ids)| ids.iter().flatten()).cloned().collect();
        let mut retrieved = self.retrieve(&all.into_iter().collect::<Vec<_>>()).await?;
        let given = |chunk: &[LimsId]| chunk.iter().filter(|s| retrieved.found.contains_key(s)).count();
        *takes_repeats |= answers.iter().any(|(chunk, ids)| ids.is_ok() && given(chunk) > 1);
        let mut outputs = BTreeMap::new();
        for (chunk, ids) in answers {
            // An output that cannot be read may be a lane of any of them: each is asked for alone, to know of whom.
            let whole = ids.is_ok_and(|ids| !ids.iter().any(|id| retrieved.unreadable.contains_key(id)));
            for sample in chunk {
                let rows = retrieved.found.remove(sample).unwrap_or_default();
                let sure = whole && (*takes_repeats || chunk.len() == 1);
                let of = if sure { Ok(rows) } else { self.alone(sample).await? };
                drop(outputs.insert(sample.clone(), of));
            }
        }
        Ok(outputs)
    }

    /// An output that cannot be read may be a lane of this sample: without it the sample would be delivered in part.
    async fn alone(self, sample: &LimsId) -> Result<Rows, Failure> {
        let ids = match self.find(std::slice::from_ref(sample)).await? {
            Ok(ids) => ids,
            Err(why) => return Ok(Err(NotYet::waits(why))),
        };
        let mut retrieved = self.retrieve(&ids).await?;
        Ok(match retrieved.unreadable.pop_first() {
            Some((id, why)) => Err(NotYet::waits(format!("output {id}: {why}"))),
            None => Ok(retrieved.found.remove(sample).unwrap_or_default()),
        })
    }

    async fn find(self, samples: &[LimsId]) -> Result<Result<Vec<LimsId>, String>, Failure> {
        let mut filters: Vec<(&str, &str)> = samples.iter().map(|id| ("samplelimsid", id.as_str())).collect();
        filters.push(("process-type", &self.conf.demultiplexing));
        filters.push(("type", "ResultFile"));
        let found = own(self.client.find_artifacts(&filters).await)?;
        self.meter.alive();
        Ok(found)
    }

    async fn retrieve(self, ids: &[LimsId]) -> Result<Retrieved, Failure> {
        let mut all = Retrieved::default();
        for ids in ids.chunks(500) {
            let batch = self.client.artifacts(ids).await?;
            self.meter.alive();
            all.unreadable.extend(batch.failed.iter().map(|(id, error)| (id.clone(), crate::chain(error))));
            for output in batch.found.into_values() {
                // What names many samples is a lane's own result; in a large pool it is a large document. A search may also
                // bring what it was not asked for: everything is kept by the sample that it names.
                if let [sample] = &output.samples[..] {
                    all.found.entry(sample.clone()).or_default().push(output);
                }
            }
        }
        Ok(all)
    }

    /// Processes that may have sequenced each of these lanes; to be checked against their inputs.
    pub(super) async fn sequencings(
        self,
        lanes: &[LimsId],
        takes_repeats: bool,
    ) -> Result<BTreeMap<LimsId, Result<Vec<LimsId>, String>>, Failure> {
        let mut all = BTreeMap::new();
        for chunk in lanes.chunks(if takes_repeats { AT_ONCE } else { 1 }) {
            let mut filters: Vec<(&str, &str)> =
                chunk.iter().map(|id| ("inputartifactlimsid", id.as_str())).collect();
            filters.push(("type", &self.conf.sequencing));
            let found = own(self.client.find_processes(&filters).await)?;
            self.meter.alive();
            all.extend(chunk.iter().map(|lane| (lane.clone(), found.clone())));
        }
        Ok(all)
    }
}
