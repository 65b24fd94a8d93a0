//! Stories: both roles as real processes against a store and a LIMS that are as strict as the real ones.
//!
//! Each module is one story. They share one binary, because linking costs more than running.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions; a story that cannot be set up must fail loudly

mod again;
mod answers;
mod back_pressure;
mod bad_input;
mod bad_reads;
mod before_the_store;
mod cargo;
mod cleaning;
mod config_check;
mod control;
mod corpus;
mod custody;
mod demo;
mod doctor;
mod doorbell;
mod duty;
mod ella;
mod fault_matrix;
mod full_disk;
mod go_on;
mod half_way;
mod hostile_bucket;
mod hung_disk;
mod journal_verify;
mod kill_minus_nine;
mod large_bucket;
mod levers;
mod members;
mod mutants;
mod notify;
mod overtaking;
mod pace;
mod power_loss;
mod reading;
mod real_reads;
mod real_tools;
mod reconcile;
mod reload;
mod resume;
mod review;
mod revisions;
mod senders;
mod sharing;
mod sick_disk;
mod signals;
mod silence;
mod split;
mod stop;
mod telling;
mod top;
mod two_hosts;
mod work_orders;
mod world;
