//! What there was before: orders and packages of the journal, and packages that rest in the transfer tree.
//!
//! The tree knows more than the journal: what predecessors sent, or this program before its journal was lost.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::super::order::{NotYet, Past, PastState, Sent, dna_id};
use crate::journal::{Fold, Journal};
use crate::package::{Kind, Name, PackageId, State, without_uuid};

/// Which artifacts were ordered, how often, and whether such an order is still open.
#[derive(Debug, Default)]
pub(super) struct Orders {
    of: BTreeMap<String, (usize, bool)>,
    any: bool,
    steps: BTreeSet<String>,
}

impl Orders {
    pub(super) fn of(journal: &Journal) -> Self {
        let mut orders = Self::default();
        for row in journal.view().orders() {
            orders.any = true;
            orders.steps.extend(row.step.clone());
            for artifact in &row.order.artifacts {
                let known = orders.of.entry(artifact.clone()).or_default();
                known.0 += 1;
                known.1 |= !row.phase.is_end();
            }
        }
        orders
    }

    /// Whether an order has this step.
    pub(super) fn has_step(&self, step: &str) -> bool {
        self.steps.contains(step)
    }

    /// Whether the journal has no order at all.
    pub(super) fn none(&self) -> bool {
        !self.any
    }

    /// Whether it is being exported now.
    pub(super) fn is_open(&self, artifact: &str) -> bool {
        self.of.get(artifact).is_some_and(|(_, open)| *open)
    }

    /// In so many orders so far.
    pub(super) fn count(&self, artifact: &str) -> usize {
        self.of.get(artifact).map_or(0, |(count, _)| *count)
    }
}

/// The last revision of every package, by kind and name without uuid.
#[derive(Debug, Default)]
pub(super) struct History {
    last: BTreeMap<(Kind, String), (PackageId, Option<PathBuf>)>,
}

/// What is known of a package without another look at the disk.
pub(super) enum Known {
    /// All that is needed.
    Past(Past),
    /// It was sent; what it held can be read there.
    Rests(PackageId, PathBuf),
}

impl History {
    pub(super) fn new(journal: &Journal, resting: Vec<(PackageId, PathBuf)>) -> Self {
        let mut history = Self::default();
        for (id, place) in resting {
            history.note(id, Some(place));
        }
        for row in journal.view().packages() {
            if ["samples", "analyses"].contains(&row.id.kind.as_str()) {
                history.note(row.id.clone(), None);
            }
        }
        history
    }

    fn note(&mut self, id: PackageId, place: Option<PathBuf>) {
        let stem = without_uuid(id.name.as_str()).to_owned();
        let last = self.last.entry((id.kind.clone(), stem)).or_insert_with(|| (id.clone(), None));
        if id.revision > last.0.revision || last.0 == id {
            *last = (id, place.or(last.1.take()));
        }
    }

    /// The last revision of the package of this name.
    pub(super) fn find(&self, journal: &Journal, kind: &Kind, name: &Name) -> Option<Known> {
        let key = (kind.clone(), without_uuid(name.as_str()).to_owned());
        let (id, place) = self.last.get(&key)?;
        let view = journal.view();
        Some(match (state_of(&view, id), place) {
            (Some(PastState::Left(None)) | None, Some(place)) => Known::Rests(id.clone(), place.clone()),
            (Some(state), _) => Known::Past(Past { id: id.clone(), state }),
            (None, None) => Known::Past(Past { id: id.clone(), state: PastState::Left(None) }),
        })
    }

    /// The package of an earlier sample, by what the LIMS calls that: its number, its whole name or its package.
    pub(super) fn earlier_sample(&self, journal: &Journal, old: &str) -> Result<Name, NotYet> {
        let dna = dna_id(old);
        let ends = format!("-{dna}");
        let samples = || self.last.iter().filter(|((kind, _), _)| kind.as_str() == "samples");
        let whole = samples().find(|((_, stem), _)| stem == old);
        let by_number = samples().filter(|((_, stem), _)| !dna.is_empty() && stem.ends_with(&ends));
        let found: Vec<&PackageId> = match whole {
            Some((_, (id, _))) => vec![id],
            None => by_number.map(|(_, (id, _))| id).collect(),
        };
        let [id] = &found[..] else {
            let what = if found.is_empty() {
                format!(
                    "the earlier sample {old:?} that is to be analysed anew is not known here: no package of it was sent"
                )
            } else {
                let names: Vec<String> = found.iter().map(|id| id.name.to_string()).collect();
                format!(
                    "the earlier sample {old:?} that is to be analysed anew could be {}: give the whole name of the package",
                    names.join(" or ")
                )
            };
            return Err(NotYet::invalid(what));
        };
        match state_of(&journal.view(), id) {
            Some(PastState::UnderWay(state)) => {
                Err(NotYet::waits(format!("{id}, which is to be analysed anew, is {state}")))
            }
            Some(PastState::Stopped(state, ..)) => Err(NotYet::waits(format!(
                "{id}, which is to be analysed anew, is {state}: see to that one first"
            ))),
            Some(PastState::Left(_)) | None => Ok(id.name.clone()),
        }
    }
}

fn state_of(view: &Fold, id: &PackageId) -> Option<PastState> {
    let row = view.package(id)?;
    Some(match row.state {
        State::Transferred => PastState::Left(view.draft(id).map(|draft| Sent::of(&draft.content))),
        State::Quarantined | State::Held => {
            PastState::Stopped(row.state, row.facts.reason, row.facts.detail.clone())
        }
        state => PastState::UnderWay(state),
    })
}
