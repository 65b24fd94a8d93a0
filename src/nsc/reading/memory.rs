//! What is remembered from one look to the next: in the process only, and bounded.
//!
//! Nothing here decides what is exported. It says whose turn it is when more is queued than one look reads in full, and keeps
//! what was said of those whose turn it is not, so that it neither vanishes from `status` nor is logged anew.
use std::collections::{BTreeMap, BTreeSet};

use super::super::order::NotYet;

/// So many samples read in vain are remembered; the others count as not read yet.
const REMEMBERED: usize = 20_000;

/// A sample that was read in full and could not be ordered.
#[derive(Clone, Debug)]
pub(super) struct Vain {
    /// At which look.
    pub(super) round: u64,
    /// What the laboratory calls it.
    pub(super) who: String,
    /// Why.
    pub(super) said: NotYet,
}

/// What a process remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Looks so far.
    pub(super) round: u64,
    /// The server has shown that it takes a repeated filter for alternatives.
    pub(super) takes_repeats: bool,
    /// Whether claims that no journal knows of were looked for.
    pub(super) looked_for_orphans: bool,
    /// Those claims, with their artifacts, until the journal knows them.
    pub(super) orphans: Vec<(String, Vec<String>)>,
    vain: BTreeMap<String, Vain>,
}

impl Memory {
    /// What was said of an artifact when it was last read in vain.
    pub(super) fn of(&self, artifact: &str) -> Option<&Vain> {
        self.vain.get(artifact)
    }

    /// Takes in what this look read in vain, and forgets what is not queued any more.
    pub(super) fn learn(
        &mut self,
        queued: &BTreeSet<String>,
        read: &BTreeSet<String>,
        vain: Vec<(String, Vain)>,
    ) {
        self.vain.retain(|artifact, _| queued.contains(artifact) && !read.contains(artifact));
        for (artifact, one) in vain {
            if self.vain.len() < REMEMBERED {
                drop(self.vain.insert(artifact, one));
            }
        }
    }
}
