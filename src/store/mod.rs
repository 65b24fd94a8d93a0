//! The object store: S3 in the dialect of a secure zone's proxy. No actor here and no package.
//!
//! - Two more headers may be wanted on every request; header files are read afresh for each request, so a token that is
//!   renewed on disk is used at once. An expired one is an outage (wait for the next), never a failure of a package.
//! - Bodies are in memory and proven by a checksum that the server compares, signed or not (`checksum`). What it says about
//!   digests in its answer must equal ours. An ETag is never taken for a content hash.
//! - The sender needs put rights only. The one thing that it tries to look at is an object whose completion got no clear answer, and
//!   a refusal is allowed (`complete`).
//! - What an upload has reached is told to whoever keeps it (`resume`): a crash costs the parts in flight.
//! - No request leaves without a permit of the lease, not even a repeat, and none faster than the limit (`body`).
//! - Stalled-stream protection is off; instead every attempt is cut off when it moves too little (`progress`).
//! - Listening to a bucket (`notify`) is a request that lasts; nothing of what it tells is believed.
//! - Files are read and written on the lanes of their disks ([`crate::disk`]), which the caller names.
mod attempt;
mod body;
mod buffers;
mod carrier;
mod checksum;
mod complete;
mod connect;
mod down;
mod error;
mod face;
mod fetch;
mod headers;
mod lead;
mod listen;
mod listing;
mod multipart;
mod notify;
mod pace;
mod part;
mod probe;
mod progress;
mod queue;
mod race;
mod ranges;
mod received;
mod resume;
mod retry;
mod slots;
mod sort;
mod stream;
mod swap;
mod up;
mod window;
mod wire;
#[cfg(test)]
mod wire_tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_sdk_s3::Client;

pub use attempt::repeats;
pub use complete::Aborted;
pub use down::Target;
pub use error::StoreError;
pub use lead::Lead;
pub use listen::{Cut, Heard, Listener, listening};
pub use listing::{Entry, Listed, Look, Reach};
pub use notify::{Listening, NoBell};
pub use pace::{Over, Pace};
pub use part::SYNC_EVERY;
pub(crate) use probe::{Answer, Load, Probe};
pub use progress::not_the_store;
pub use race::{NoRace, Seen};
pub use received::Received;
pub use resume::{Begun, Kept, Landed, Note, Notebook, Unfinished};
pub(crate) use sort::{Said, clocks};
pub use swap::{Only, Swapped, Tag};
pub use up::{Origin, Sent};
pub use wire::Wire;

use crate::conf::{Checksum, Endurance, PaceConf, StoreConf};
use crate::disk::Disk;
use crate::hashing::Hashing;
use crate::package::{PackageId, RelPath, Sha256Hex};
use crate::supervisor::Dice;
use buffers::Buffers;
use progress::{Demand, WINDOW};
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
    place: String,
    checksum: Checksum,
    conditional: bool,
    part_size: u64,
    max_parts: u64,
    range_size: u64,
    /// Found out: it answers with the whole object whatever range is asked for.
    no_ranges: Arc<AtomicBool>,
    slots: Slots,
    /// Bodies keep to it by themselves; who reads an answer calls [`Pace::pass`].
    pace: Pace,
    buffers: Buffers,
    hashing: Hashing,
    /// Of one request.
    attempts: u32,
    /// How long a request may take.
    endurance: Endurance,
    /// Spreads attempts.
    dice: Dice,
    /// For an answer, and for its next bytes.
    patience: Duration,
    demand: Demand,
}

/// See [`Store::place`]. Short, for it stands in every line of upload progress.
fn place(conf: &StoreConf) -> String {
    let endpoint = conf.endpoint.trim_end_matches('/').to_ascii_lowercase();
    let text = [endpoint.as_str(), &conf.bucket, &conf.prefix].join("\n");
    Sha256Hex::of(text.as_bytes()).as_str().chars().take(16).collect()
}

impl Store {
    /// Prepares the client; nothing is sent yet. `secrets`: for the files of headers. `hashing`: the process's own.
    pub fn new(conf: &StoreConf, secrets: Disk, hashing: Hashing) -> Result<Self, StoreError> {
        let headers = headers::Headers::new(&conf.headers, &conf.header_files)?;
        let pace = Pace::new(&conf.pace);
        let client = connect::client(conf, headers.clone(), pace.clone())?;
        Ok(Self {
            client,
            headers,
            secrets,
            bucket: conf.bucket.clone(),
            prefix: conf.prefix.clone(),
            place: place(conf),
            checksum: conf.checksum,
            conditional: conf.conditional,
            part_size: conf.part_size,
            max_parts: conf.max_parts as u64,
            range_size: conf.range_size,
            no_ranges: Arc::default(),
            slots: Slots::new(conf.parts_in_flight, conf.memory),
            buffers: Buffers::new(conf.memory),
            hashing,
            attempts: conf.attempts,
            endurance: conf.endurance(),
            dice: Dice::shaken(),
            patience: conf.attempt_timeout,
            demand: Demand { min_rate: conf.min_rate, window: WINDOW, patience: conf.attempt_timeout },
            pace,
        })
    }

    /// Another limit counts from now on, also for what is under way.
    pub fn repace(&self, conf: &PaceConf) {
        self.pace.set(conf);
    }

    /// A person's limit instead of the configured one, or that one again.
    pub fn overrule(&self, over: Option<Over>) {
        self.pace.overrule(over);
    }

    /// What goes on between us and the store.
    pub fn wire(&self) -> Wire {
        let slots = self.slots.snapshot();
        Wire {
            in_flight: slots.in_flight,
            limit: slots.limit,
            waiting: slots.waiting,
            bytes_per_second: self.pace.speed(),
            at_most: self.pace.limit(),
        }
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

    /// Names endpoint, bucket and prefix: what was done in one place says nothing about another.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What stands before all package keys.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}
