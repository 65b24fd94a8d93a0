//! The secure zone, in order of flow: [`watcher`] (bucket → packages that were committed) → [`copier`] (into the incoming
//! area) → [`verifier`] (read back from the disk, compare, put in place, `READY`).
pub mod check;
pub mod copier;
mod doubts;
pub mod landing;
mod present;
pub mod reading;
pub mod senders;
pub mod verifier;
pub mod watcher;

pub use landing::Landing;
pub use senders::{Senders, Standing};
