//! What one says to have a world built: runs, samples, their data; and what one gets back.
//!
//! Field names of the site are in one place here and in [`super::Settings`]: the statistics and sample sheet fields of
//! demultiplexing outputs are named as the sequencing centre names them. Values are taken as given and not checked
//! against each other, so that a world can also be wrong on purpose (two samples with one label, a sample without data).

use std::collections::BTreeMap;

use super::settings::Udf;

/// The world could not be built as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the simulated LIMS has no {what} {id:?}; create it first")]
pub struct Unknown {
    /// What was looked for.
    pub what: &'static str,
    /// The id or name given.
    pub id: String,
}

impl Unknown {
    pub(super) fn new(what: &'static str, id: impl ToString) -> Self {
        Self { what, id: id.to_string() }
    }
}

/// A sequencing run to be created.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// `20260612_LH00534_0123_A22ABCDLT4`; the date in front becomes the date of the processes.
    pub run_id: String,
    /// Value of the UDF `Flow Cell ID`.
    pub flowcell_id: String,
    /// Process type of sequencing.
    pub sequencing_type: String,
    /// Process type of demultiplexing.
    pub demux_type: String,
    /// Lanes of the flow cell, numbered from 1.
    pub lanes: u32,
    /// More UDFs of the sequencing process, besides `Run ID` and `Flow Cell ID`.
    pub udfs: Vec<Udf>,
}

/// A run that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Sequencing process.
    pub sequencing: String,
    /// Demultiplexing process.
    pub demux: String,
    /// Flow cell.
    pub container: String,
    /// Lane number → pool artifact in that lane.
    pub lanes: BTreeMap<u32, String>,
    /// Process that made the libraries.
    pub(super) indexing: String,
    /// Process that made the pools.
    pub(super) pooling: String,
}

/// Statistics of one demultiplexing output, under the site's field names.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// `# Reads`, both mates counted.
    pub reads: u64,
    /// `% Bases >=Q30`, 0 to 100.
    pub q30_bases_pct: f64,
    /// `Ave Q Score`; the site leaves it out where it is not a number.
    pub mean_qual_score: Option<f64>,
    /// `% Perfect Index Read`, 0 to 100.
    pub perfect_index_reads_pct: f64,
    /// `% One Mismatch Reads (Index)`, 0 to 100.
    pub one_mismatch_index_pct: f64,
}

impl Stats {
    /// As fields of the output, in the site's order.
    pub(super) fn udfs(&self) -> Vec<Udf> {
        let mut udfs =
            vec![Udf::numeric("# Reads", self.reads), Udf::numeric("% Bases >=Q30", self.q30_bases_pct)];
        udfs.extend(self.mean_qual_score.map(|score| Udf::numeric("Ave Q Score", score)));
        udfs.push(Udf::numeric("% Perfect Index Read", self.perfect_index_reads_pct));
        udfs.push(Udf::numeric("% One Mismatch Reads (Index)", self.one_mismatch_index_pct));
        udfs
    }
}

/// Data of a sample from one lane.
#[derive(Debug, Clone)]
pub struct NewData {
    /// Run it comes from.
    pub run: Run,
    /// Lane of that run.
    pub lane: u32,
    /// `BC04 (TTCGGATT-CCTATCGT)`.
    pub reagent_label: String,
    /// `SampleSheet Sample_ID`: `<batch>_<dna id>_<uuid>`.
    pub sheet_id: String,
    /// `Dataset UUID`, if set.
    pub dataset_uuid: Option<String>,
    /// `Sample sheet position`: the N of `_SN_` in file names.
    pub sheet_position: u32,
    /// `Number of data read passes`: 1 or 2.
    pub read_passes: u32,
    /// `ORA compression`; not set at all where `None`.
    pub ora: Option<bool>,
    /// Statistics, if imported.
    pub stats: Option<Stats>,
    /// More UDFs of the output.
    pub udfs: Vec<Udf>,
}

/// A sample to be created.
#[derive(Debug, Clone)]
pub struct NewSample {
    /// `HG12345677-Nett-KIT-wgs`.
    pub name: String,
    /// Limsid of its project.
    pub project: String,
    /// UDFs of the sample.
    pub udfs: Vec<Udf>,
    /// What has been sequenced of it; more can come by [`super::Lims::add_data`].
    pub data: Vec<NewData>,
}

/// A sample that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSampleIds {
    /// `OUS1A1`.
    pub limsid: String,
    /// `OUS1A1PA1`: what is queued for export.
    pub root_artifact: String,
    /// Demultiplexing outputs (`92-…`), in the order of the data given.
    pub outputs: Vec<String>,
}
