//! Stories: both roles as real processes against a store and a LIMS that are as strict as the real ones.
//!
//! Each module is one story. They share one binary, because linking costs more than running.
mod bad_input;
mod demo;
mod full_disk;
mod hostile_bucket;
mod kill_minus_nine;
mod panics;
mod real_reads;
mod world;
