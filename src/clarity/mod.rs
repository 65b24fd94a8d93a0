//! Client of Illumina's (GenoLogics') Clarity LIMS, REST API v2.
//!
//! [`Client`] asks and acts; [`LimsId`] is what everything is keyed on; [`Error`] is sorted by who must act. In the
//! order of an export: [`Client::version`] and [`Client::protocol_step`] at start-up, [`Client::queue`] to find work,
//! [`Client::artifacts`], [`Client::samples`]… to read it, [`Client::start_step`] to claim it, and when it is delivered
//! [`Client::set_actions`] and [`Client::advance`] until the step is completed.
//!
//! Promises:
//! - credentials go to the configured host only; every request has a deadline, every answer a size cap, every list and
//!   every retry an end;
//! - what changes something is sent once; if its outcome is not known the error says so ([`Error::Unclear`]);
//! - every answer is checked against its question, and a document that goes back goes back as it came, but for what
//!   was changed on purpose.
//!
//! Traps of this LIMS that the types carry: `?state=` in URIs (dropped), one artifact twice in a queue (tidied), an
//! exception under status 200 (an error), unset fields (absent, not false), attributes and children in any order.
mod actions;
mod batch;
mod bodies;
mod change;
mod client;
mod configured;
mod connect;
mod error;
mod fault;
mod ids;
mod judge;
mod lists;
mod model;
mod ns;
mod parse;
mod people;
mod pool;
mod protocol;
mod read;
mod route;
mod settle;
mod step;
mod tree;
mod wire;
mod words;
mod work;

pub use actions::{Action, Actions, NextAction, Review};
pub use batch::Batch;
pub use client::Client;
pub use configured::{Field, FieldLink, StageConfig};
pub use connect::Settings;
pub use error::{Class, Error};
pub use fault::Fault;
pub use ids::{LimsId, number_in, same_uri};
pub use lists::{Exception, Listing, Queue, QueueItem};
pub use model::{
    Artifact, Container, IoMap, Location, Output, Placement, Process, Project, Sample, Stage, Udf, Udfs,
};
pub use people::Researcher;
pub use pool::{Demux, DemuxPart};
pub use protocol::{Protocol, ProtocolStep, Transition, Trigger};
pub use read::{Identified, Record};
pub use settle::Settle;
pub use step::{ProgramStatus, Step, StepDetails};
pub use tree::{Element, Node};
pub use words::{ActionWord, ProgramState, QcFlag, StageStatus, State, UdfKind};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod fixtures_facts;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod stories_hang;
#[cfg(test)]
mod stories_tls;
#[cfg(test)]
mod stories_work;
#[cfg(test)]
mod tree_properties;
