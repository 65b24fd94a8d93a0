//! The export of a sample, cut off and disturbed at every point: real daemons, a LIMS as strict as the real one.
//!
//! What must come of it is always the same: every artifact is exported once, or stands in the queue, or with a person who is
//! told why; no step is left open by nobody; no package is sent twice.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions; a story that cannot be set up must fail loudly

#[path = "../stories/world.rs"]
#[allow(dead_code)]
mod world;

mod every_call;
mod every_fault;
mod every_line;
mod lost_journal;
mod random;
mod rig;
