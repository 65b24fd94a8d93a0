//! `tsd-import doctor`: what this store can do, found by asking it, in words and as configuration.
//!
//! Probing ([`exam`]) collects [`facts`]; judging ([`judge`]) is pure. Everything that is put lies below `<prefix>/doctor/<random>/`,
//! which no watcher takes for a package, and is removed again if the key may; what stays is named.
#[cfg(test)]
mod doctor_tests;
mod exam;
pub mod facts;
pub mod judge;
mod parts;
mod sums;
mod throughput;

use std::time::Duration;

pub use facts::Facts;
pub use judge::{Finding, Mark, Report};

use crate::conf::{Conf, Role};
use crate::disk::Disk;
use crate::store::{Probe, StoreError};

/// Each request has so much time, and what its bytes take at `store.min_rate`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the store. `seconds` for each measurement of throughput; zero: none. `secrets`: for the files of headers.
pub async fn examine(conf: &Conf, secrets: Disk, seconds: u64) -> Result<Facts, StoreError> {
    let patience = PATIENCE.min(conf.store.attempt_timeout);
    let probe = Probe::new(&conf.store, secrets, patience)?;
    let exam = exam::Exam::new(conf, probe, Duration::from_secs(seconds));
    Ok(match conf.role {
        Role::Nsc => exam.sender().await,
        Role::Tsd => exam.receiver().await,
    })
}
