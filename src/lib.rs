//! tsd-import: packages sequencing samples at the sequencing centre and brings them safely into the secure zone.
//!
//! The way of a package:
//!
//! ```text
//! nsc   Found → Claimed → Packed → Uploading → Committed → Transferred      poller → packager → uploader
//! tsd   Seen  → Copying → Copied → Verified  → Ready                        watcher → copier → verifier
//! ```
//!
//! - [`role`] draws the pipeline, once. [`nsc`] and [`tsd`] are the two sides, in order of flow.
//! - [`daemon`] is the process around the supervisor: signals, pulse, state directory, silence; [`reload`], [`stop`], [`notify`].
//! - [`control`] is how a running daemon is asked: a socket, metrics, events.
//! - [`tell`] tells people: alarms, what is over, a summary of the day.
//! - [`supervisor`] keeps actors alive and knows nothing of packages. [`package`] is what flows and knows nothing of actors.
//! - [`journal`] is the truth; a message between actors is a doorbell. A lost or doubled message costs time, never data.
//! - [`store`] (S3) and [`clarity`] (LIMS) are clients; [`disk`] keeps what blocks off the actors, [`fs`] writes so that a
//!   power cut changes nothing.
//! - [`demo`] holds an S3 server and a LIMS, both as strict as the real ones, for the demonstration and for tests.
//!
//! Dependencies point one way, `cli → daemon → role → {nsc, tsd} → {journal, store, clarity, disk, supervisor} → {package, fs, …}`; a test
//! keeps it so.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::string_slice))] // a test that slices wrongly fails, which is its job

#[cfg(not(panic = "unwind"))]
compile_error!("the supervisor catches panics: build with panic = \"unwind\"");

pub mod acts;
pub mod aside;
pub mod blame;
pub mod bundle;
pub mod clarity;
pub mod cli;
pub mod clock;
pub mod conf;
pub mod control;
pub mod custody;
pub mod daemon;
pub mod demo;
pub mod disk;
pub mod doctor;
pub mod fs;
pub mod hashing;
pub mod journal;
pub mod lease;
pub mod log;
pub mod notices;
pub mod notify;
pub mod nsc;
pub mod package;
pub mod present;
pub mod reconcile;
pub mod reload;
pub mod review;
pub mod role;
pub mod secret;
pub mod signature;
pub mod silence;
pub mod snapshot;
pub mod stop;
pub mod store;
pub mod supervisor;
pub mod tell;
pub mod tsd;

/// An error with all its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text
}

/// Arms the named points of failure from the environment variable `FAILPOINTS`, in test builds. Elsewhere it does nothing,
/// because the points are not there.
pub fn failpoints() -> Option<fail::FailScenario<'static>> {
    fail::has_failpoints().then(fail::FailScenario::setup)
}
