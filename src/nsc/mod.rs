//! The sequencing centre, in order of flow: [`poller`] (LIMS queue → orders) → [`packager`] (orders → packages in the
//! transfer tree, and the LIMS step from claim to completion) → [`uploader`] (packages → the bucket, `COMMIT` last).
pub mod exporter;
mod ledger;
mod order;
mod pack;
pub mod packager;
pub mod poller;
pub mod reading;
mod send;
pub mod source;
mod tree;
pub mod uploader;

pub use tree::Tree;
