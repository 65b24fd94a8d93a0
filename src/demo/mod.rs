//! The demonstration: a whole site on this machine, with both roles as processes of their own.
//!
//! The store and the LIMS are embedded and as strict as the real ones; `run --role nsc` and `run --role tsd` are started as
//! child processes with configuration files that anybody can read afterwards. Tests build their worlds from the same
//! [`site::Site`].
pub mod daemon;
#[allow(missing_docs)] // what fields and variants mean is said by their names and the items they are in
pub mod lims;
mod progress;
#[allow(missing_docs)] // the same
pub mod reads;
pub mod site;
#[allow(missing_docs)] // the same
pub mod store;
mod story;

use std::path::PathBuf;

use bytesize::ByteSize;

/// Options of the demonstration.
#[derive(clap::Args, Debug, Clone)]
pub struct Options {
    /// Where everything is put; must not exist or be empty
    #[arg(long, default_value = "demo")]
    pub dir: PathBuf,
    /// How many samples, from 4 up: three of them are a trio, the last one is damaged
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(4..=500))]
    pub samples: u32,
    /// Size of each FASTQ file that is made
    #[arg(long, default_value = "8 MiB")]
    pub size: ByteSize,
    /// Take these real reads (R1 and R2, gzipped FASTQ) for every sample instead of making some
    #[arg(long, num_args = 2, value_names = ["R1", "R2"])]
    pub reads: Option<Vec<PathBuf>>,
    /// Keep both roles running at the end, to look around; Ctrl-C ends it
    #[arg(long)]
    pub stay: bool,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 300, hide = true)]
    pub patience: u64,
}

/// Runs it. `Err` says what did not arrive.
pub fn run(options: &Options) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| format!("could not start: {e}"))?;
    runtime.block_on(story::tell(options))
}
