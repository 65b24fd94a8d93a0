//! Where the levers stand that people have pulled: who holds what, who is paused, which limit counts. Folded from the journal, so
//! it survives a restart.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::acted::{Acted, Lever};
use super::event::{Event, Line};
use super::rows::Row;
use crate::package::{PackageId, Priority, State, without_uuid};

/// Pausing this stops the sending of packages; the uploader's looks and its heartbeat go on.
pub const UPLOADS: &str = "uploads";

/// Who said so, why and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The person.
    pub by: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// Another limit of bytes a second than the configured one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaceWord {
    /// Bytes a second; none: no limit.
    pub limit: Option<u64>,
    /// Until then; none: until somebody says otherwise.
    pub until: Option<Timestamp>,
    /// Who said so.
    pub word: Word,
}

/// A package that was sent and is to be sent once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// What was sent.
    pub sent: PackageId,
    /// Who said so.
    pub word: Word,
}

/// All levers that are not at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levers {
    /// From which state, and who said so.
    held: BTreeMap<PackageId, (Option<State>, Word)>,
    paused: BTreeMap<String, Word>,
    /// Of packages that are not at their end.
    ranks: BTreeMap<PackageId, Priority>,
    pace: Option<PaceWord>,
    /// By the revision that is to come.
    again: BTreeMap<PackageId, Again>,
}

impl Levers {
    /// Takes one more line into account.
    pub(super) fn apply(&mut self, line: &Line) {
        let word = |by: &String, why: &String| Word { by: by.clone(), why: why.clone(), at: line.at };
        match &line.event {
            Event::Moved { package, from, to, by, facts } => {
                match to {
                    State::Held => {
                        let word = word(by, &facts.detail.clone().unwrap_or_default());
                        drop(self.held.insert(package.clone(), (*from, word)));
                    }
                    _ => drop(self.held.remove(package)),
                }
                if matches!(
                    to,
                    State::Transferred | State::Ready | State::Duplicate | State::SettledElsewhere
                ) {
                    let _its_end = self.ranks.remove(package);
                }
                if from.is_none() {
                    self.came(package);
                }
            }
            Event::Ordered { order } => order.packages.iter().for_each(|draft| self.came(&draft.id)),
            Event::Acted(Acted { act, by, why }) => match act {
                Lever::Ranked { package, priority } => {
                    let _before = self.ranks.insert(package.clone(), *priority);
                }
                Lever::Again { package, revised } => {
                    let again = Again { sent: package.clone(), word: word(by, why) };
                    drop(self.again.insert(revised.clone(), again));
                }
                Lever::Paused { what } => drop(self.paused.insert(what.clone(), word(by, why))),
                Lever::Resumed { what } => drop(self.paused.remove(what)),
                Lever::Paced { limit, until } => {
                    self.pace = Some(PaceWord { limit: *limit, until: *until, word: word(by, why) });
                }
                Lever::Unpaced => self.pace = None,
                Lever::Retried { .. } | Lever::Undrained => {}
            },
            _ => {}
        }
    }

    /// A revision came, asked for or not: what was to become this one or an earlier one is done with.
    fn came(&mut self, id: &PackageId) {
        let stem = without_uuid(id.name.as_str());
        self.again.retain(|wish, _| {
            wish.kind != id.kind || without_uuid(wish.name.as_str()) != stem || wish.revision > id.revision
        });
    }

    /// Who holds this package, and in which state it was.
    pub fn held(&self, id: &PackageId) -> Option<(Option<State>, &Word)> {
        self.held.get(id).map(|(from, word)| (*from, word))
    }

    /// Who has paused this actor, or the uploads.
    pub fn paused(&self, what: &str) -> Option<&Word> {
        self.paused.get(what)
    }

    /// All that is paused.
    pub fn all_paused(&self) -> impl Iterator<Item = (&str, &Word)> {
        self.paused.iter().map(|(what, word)| (what.as_str(), word))
    }

    /// What a person said about how soon this package is.
    pub fn rank(&self, id: &PackageId) -> Option<Priority> {
        self.ranks.get(id).copied()
    }

    /// The limit that a person set, if it still counts.
    pub fn pace(&self, now: Timestamp) -> Option<&PaceWord> {
        self.pace.as_ref().filter(|pace| pace.until.is_none_or(|until| now < until))
    }

    /// What is to be sent once more: the revision that is to come, and of what.
    pub fn again(&self) -> impl Iterator<Item = (&PackageId, &Again)> {
        self.again.iter()
    }

    /// Whether this revision is to come.
    pub fn wants(&self, revised: &PackageId) -> Option<&Again> {
        self.again.get(revised)
    }
}

/// What a lever does to the row of its package.
pub(super) fn bear_on(act: &Lever, row: &mut Row) {
    match act {
        Lever::Retried { .. } => (row.failures, row.retry_at) = (0, None),
        Lever::Ranked { priority, .. } => row.priority = *priority,
        _ => {}
    }
}
