//! Stories: both roles as real processes against a store and a LIMS that are as strict as the real ones.
//!
//! Each module is one story. They share one binary, because linking costs more than running.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions; a story that cannot be set up must fail loudly

mod bad_input;
mod demo;
mod full_disk;
mod half_way;
mod hostile_bucket;
mod kill_minus_nine;
mod panics;
mod real_reads;
mod review;
mod split;
mod world;
