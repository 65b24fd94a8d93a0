//! The object store: S3 in the dialect of a secure zone's proxy. No actor here and no package.
//!
//! - Two more headers may be wanted on every request; header files are read afresh for each request, so a token that is
//!   renewed on disk is used at once. An expired one is an outage (wait for the next), never a failure of a package.
//! - Bodies are in memory and signed: the server checks the SHA-256 of every part that it acknowledges. What it says about
//!   digests in its answer must equal ours. An ETag is never taken for a content hash.
//! - The sender needs put rights only: nothing here lists, heads or reads on its behalf.
//! - No request leaves without a permit of the lease, not even a repeat (`fence`).
//! - Stalled-stream protection is off; instead every attempt has a deadline.
//! - Files are read and written on the lanes of their disks ([`crate::disk`]), which the caller names.
mod attempt;
mod begun;
mod buffers;
mod connect;
mod down;
mod error;
mod fence;
mod fetch;
mod headers;
mod lead;
mod listen;
mod listing;
mod part;
mod ranges;
mod slots;
mod up;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_sdk_s3::Client;

pub use begun::Begun;
pub use down::Target;
pub use error::StoreError;
pub use listen::{Cut, Heard, Listener, Part, listening};
pub use listing::Listed;
pub use part::SYNC_EVERY;
pub use up::{Origin, Sent};

use crate::conf::StoreConf;
use crate::disk::Disk;
use crate::hashing::Hashing;
use crate::package::{PackageId, RelPath};
use buffers::Buffers;
use slots::Slots;

/// A connection to one bucket; clones share it.
#[derive(Clone)]
pub struct Store {
    client: Client,
    headers: headers::Headers,
    /// Where the files of the headers lie.
    secrets: Disk,
    bucket: String,
    prefix: String,
    part_size: u64,
    max_parts: u64,
    range_size: u64,
    /// Found out: it answers with the whole object whatever range is asked for.
    no_ranges: Arc<AtomicBool>,
    slots: Slots,
    buffers: Buffers,
    hashing: Hashing,
    /// Of one request.
    attempts: u32,
    /// For an answer, and for its next bytes.
    patience: Duration,
    /// Bytes a second.
    min_rate: u64,
}

impl Store {
    /// Prepares the client; nothing is sent yet. `secrets`: for the files of headers.
    pub fn new(conf: &StoreConf, secrets: Disk) -> Result<Self, StoreError> {
        let headers = headers::Headers::new(&conf.headers, &conf.header_files)?;
        let client = connect::client(conf, headers.clone())?;
        let no_threads = |e| StoreError::Config(format!("could not start the threads for digests: {e}"));
        Ok(Self {
            client,
            headers,
            secrets,
            bucket: conf.bucket.clone(),
            prefix: conf.prefix.clone(),
            part_size: conf.part_size,
            max_parts: conf.max_parts as u64,
            range_size: conf.range_size,
            no_ranges: Arc::default(),
            slots: Slots::new(conf.parts_in_flight, conf.memory),
            buffers: Buffers::default(),
            hashing: Hashing::start(conf.hash_threads).map_err(no_threads)?,
            attempts: conf.attempts,
            patience: conf.attempt_timeout,
            min_rate: conf.min_rate,
        })
    }

    /// To be called before every request.
    async fn fresh_headers(&self) -> Result<(), StoreError> {
        if !self.headers.has_files() {
            return Ok(());
        }
        let headers = self.headers.clone();
        self.secrets.read(move |on| headers.refresh(on)).await?
    }

    /// The key of a package's file: `<prefix>/<kind>/<package>/r<revision>/<file>`.
    pub fn key(&self, package: &PackageId, file: &str) -> String {
        format!("{}/{package}/{file}", self.prefix)
    }

    /// The same for a payload file.
    pub fn file_key(&self, package: &PackageId, file: &RelPath) -> String {
        self.key(package, file.as_str())
    }

    /// What stands before all package keys.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}
