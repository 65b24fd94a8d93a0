//! Any bytes as an answer of the LIMS: the XML reader and every typed reader behind it, searched by coverage.
//!
//! The reader's own files are compiled in, not the whole program: a fuzzer has to compile its subject with
//! instrumentation, and the rest (HTTP, S3) would cost minutes and add nothing. What a finding is: a panic, an overflow,
//! an input that takes longer than the time limit or more memory than the limit, or a document that was read and does not
//! come back the same after writing. `scripts/fuzz-xml` sets the limits.
#![no_main]
#![allow(dead_code, unreachable_pub)]

#[path = "../../../src/clarity"]
mod clarity {
    pub mod actions;
    pub mod fault;
    pub mod ids;
    pub mod lists;
    pub mod model;
    pub mod ns;
    pub mod parse;
    pub mod pool;
    pub mod protocol;
    pub mod read;
    pub mod step;
    pub mod tree;
    pub mod words;
}

use clarity::actions::{Action, Actions};
use clarity::lists::{Exception, Listing, Queue};
use clarity::model::{Artifact, Container, Process, Project, Sample};
use clarity::pool::Demux;
use clarity::protocol::Protocol;
use clarity::read::Record;
use clarity::step::{ProgramStatus, Step, StepDetails};
use clarity::tree::Element;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tree) = Element::parse(bytes) else { return };
    let written = tree.to_bytes();
    let again = Element::parse(&written).expect("what was written can be read");
    assert_eq!(again, tree, "a document changes on its way back");
    let _exception = Exception::read(&tree);
    let _listing = Listing::read(&tree);
    let _read = (
        Artifact::read(&tree).map(|artifact| artifact.is_control()),
        Sample::read(&tree),
        Project::read(&tree),
        Container::read(&tree),
        Process::read(&tree).map(|process| process.inputs().len()),
        Demux::read(&tree).map(|demux| demux.samples_with("A").len()),
        Protocol::read(&tree),
        Step::read(&tree),
        ProgramStatus::read(&tree),
    );
    if let Ok(mut queue) = Queue::read(&tree) {
        let before = queue.items.len();
        queue.tidy();
        assert!(queue.items.len() <= before);
    }
    if let Ok(details) = StepDetails::read(&tree) {
        let _sent = details.document().to_bytes();
    }
    if let Ok(mut actions) = Actions::read(&tree) {
        actions.set(|_| Action::Complete);
        assert!(actions.undecided().is_empty(), "an action was set and is still undecided");
    }
});
