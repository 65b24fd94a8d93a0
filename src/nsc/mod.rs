//! The sequencing centre, in order of flow: [`poller`] (LIMS queue → orders) → [`packager`] (orders → packages in the
//! transfer tree, and the LIMS step from claim to completion) → [`uploader`] (packages → the bucket, `COMMIT` last).
mod claim;
pub mod cleaning;
pub mod directory;
mod doubts;
pub mod exporter;
pub mod fastq;
pub(crate) mod ledger;
mod order;
mod outcome;
mod pack;
pub mod packager;
pub mod poller;
pub mod reading;
mod resend;
mod send;
mod settle;
pub mod source;
mod survey;
mod sweep;
mod tree;
pub mod uploader;

pub use tree::Tree;
