//! Searching for many at once: a filter repeated is an "or", where the server takes it so.
//!
//! Whether it does is not taken for granted: answers are sorted by whom they concern, and who got nothing is asked for alone,
//! until the server has shown in an answer of its own (rows of two different samples) that it takes repeats for alternatives.
use std::collections::BTreeMap;

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

impl Search<'_> {
    /// The result files of demultiplexings that name exactly one sample each, by that sample.
    pub(super) async fn outputs(
        self,
        samples: &[LimsId],
        takes_repeats: &mut bool,
    ) -> Result<BTreeMap<LimsId, Rows>, Failure> {
        let mut all: BTreeMap<LimsId, Rows> = BTreeMap::new();
        for chunk in samples.chunks(AT_ONCE) {
            let shared = self.rows(chunk).await?;
            let readable = shared.is_ok();
            let mut rows: BTreeMap<LimsId, Vec<Artifact>> = BTreeMap::new();
            for output in shared.unwrap_or_default() {
                // A search may bring what it was not asked for.
                if let [sample] = &output.samples[..]
                    && chunk.contains(sample)
                {
                    rows.entry(sample.clone()).or_default().push(output);
                }
            }
            *takes_repeats |= rows.len() > 1;
            for sample in chunk {
                let of = match rows.remove(sample) {
                    Some(rows) => Ok(rows),
                    None if readable && (*takes_repeats || chunk.len() == 1) => Ok(Vec::new()),
                    None => self.alone(sample).await?,
                };
                drop(all.insert(sample.clone(), of));
            }
        }
        Ok(all)
    }

    /// An output that cannot be read may be a lane of this sample: without it the sample would be delivered in part.
    async fn alone(self, sample: &LimsId) -> Result<Rows, Failure> {
        let only = |rows: Vec<Artifact>| {
            rows.into_iter().filter(|output| output.samples == [sample.clone()]).collect()
        };
        Ok(self.rows(std::slice::from_ref(sample)).await?.map(only).map_err(NotYet::waits))
    }

    /// Unless all of them can be read, none are given.
    async fn rows(self, samples: &[LimsId]) -> Result<Result<Vec<Artifact>, String>, Failure> {
        let mut filters: Vec<(&str, &str)> = samples.iter().map(|id| ("samplelimsid", id.as_str())).collect();
        filters.push(("process-type", &self.conf.demultiplexing));
        filters.push(("type", "ResultFile"));
        let found = own(self.client.find_artifacts(&filters).await)?;
        self.meter.alive();
        let found = match found {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        let mut all = Vec::new();
        for ids in found.chunks(500) {
            let batch = self.client.artifacts(ids).await?;
            self.meter.alive();
            if let Some((id, error)) = batch.failed.iter().next() {
                return Ok(Err(format!("output {id}: {}", crate::chain(error))));
            }
            // What names many samples is a lane's own result; in a large pool it is a large document.
            all.extend(batch.found.into_values().filter(|output| output.samples.len() == 1));
        }
        Ok(Ok(all))
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
