//! The secure zone, in order of flow: [`watcher`] (bucket → packages that were committed) → [`copier`] (into the incoming
//! area) → [`verifier`] (read back from the disk, compare, put in place, `READY`). [`share`]: with other hosts on one bucket.
mod awaited;
pub mod border;
pub mod check;
pub mod copier;
pub mod doorbell;
mod doubts;
pub mod issuing;
mod known;
pub mod landing;
mod members;
mod present;
pub mod reading;
mod revisions;
mod scan;
pub mod senders;
pub mod share;
pub mod verifier;
pub mod watcher;

pub use landing::Landing;
pub use senders::{Senders, Standing, Stuck};
pub use share::Share;
