//! `tsd-import doctor`: what this store can do, found by asking it, in words and as configuration.
//!
//! Probing ([`exam`]) collects [`facts`]; judging ([`judge`]) is pure. Everything that is put lies below `<prefix>/doctor/<random>/`,
//! which no watcher takes for a package, and is removed again if the key may; what stays is named.
mod addressing;
#[cfg(test)]
mod doctor_tests;
mod exam;
pub mod facts;
pub mod judge;
mod limits;
mod lines;
#[cfg(test)]
mod odd_tests;
mod only_new;
mod parts;
mod refusal;
mod sharing;
mod sums;
mod throughput;

use std::time::Duration;

pub use facts::Facts;
pub use judge::{Finding, Mark, Report};

use addressing::Elsewhere;
use exam::Exam;
use refusal::Pauses;

use crate::conf::{Conf, Role};
use crate::disk::Disk;
use crate::store::{Probe, StoreError};

/// Each request has so much time, and what its bytes take at `store.min_rate`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Before an answer that may be of the moment is asked for again.
const PAUSES: Pauses = [Duration::from_millis(500), Duration::from_secs(2)];

/// Asks the store. `seconds` for each measurement of throughput; zero: none. `secrets`: for the files of headers.
pub async fn examine(conf: &Conf, secrets: Disk, seconds: u64) -> Result<Facts, StoreError> {
    asked(conf, secrets, seconds, PAUSES).await
}

async fn asked(conf: &Conf, secrets: Disk, seconds: u64, pauses: Pauses) -> Result<Facts, StoreError> {
    let patience = PATIENCE.min(conf.store.attempt_timeout);
    let probe = Probe::new(&conf.store, secrets.clone(), patience)?;
    let elsewhere = Elsewhere { conf: conf.store.clone(), secrets, patience };
    let exam = Exam::new(conf, probe, elsewhere, Duration::from_secs(seconds), pauses);
    match conf.role {
        Role::Nsc => exam.sender().await,
        Role::Tsd => exam.receiver().await,
    }
}
