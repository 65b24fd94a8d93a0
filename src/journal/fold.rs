//! The present as the sum of all events: one row per package, one per order, one per actor.
//!
//! `Fold::apply` is the only place where an event gets its meaning, for the daemon that wrote it and for every command that
//! reads the file.
mod kept;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;

use super::acted::{Acted, Lever};
use super::event::{Cleaned, Event, Facts, Line, Phase};
use super::levers::{self, Levers};
use super::lives::Lives;
use super::rows::{Doubt, OrderRow, Row, SentChain, Silence};
use crate::package::{
    Chains, Draft, Kind, Link, Name, OrderId, PackageId, Priority, RECENT, Revision, Sender, Sha256Hex, State,
};

pub(super) use kept::FORM;

/// What is read of a commit that was decided here.
#[derive(Deserialize)]
struct BySender {
    sender: Sender,
}

/// The present.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    packages: BTreeMap<PackageId, Row>,
    /// The same, by state: actors ask for a few states at every turn, while packages at their end become ever more.
    by_state: BTreeMap<State, BTreeSet<PackageId>>,
    orders: BTreeMap<OrderId, OrderRow>,
    /// Those that may still need something.
    open_orders: BTreeSet<OrderId>,
    committing: BTreeMap<PackageId, String>,
    /// Packages whose removal was begun and not ended.
    cleaning: BTreeMap<PackageId, Cleaned>,
    sent: BTreeMap<Sender, SentChain>,
    /// The last one of each name under which we sent.
    epochs: BTreeMap<Name, u32>,
    chains: Chains,
    born: Option<Timestamp>,
    /// See [`Fold::seat`].
    seat: Option<String>,
    silences: BTreeMap<String, Silence>,
    lives: Lives,
    /// By artifact.
    doubts: BTreeMap<String, Doubt>,
    /// The last move into each state.
    entered: BTreeMap<State, Timestamp>,
    /// Where people's levers stand.
    levers: Levers,
    /// When the last new package came.
    newest: Option<Timestamp>,
    /// As whom the LIMS knows us, once a step of ours has told.
    pub technician: Option<String>,
    /// Lines read so far.
    pub lines: u64,
    /// The last daemon start.
    pub started: Option<Timestamp>,
}

/// From what tells one first line from all others, and never from how a program writes it down.
fn seat(first: &Line) -> String {
    let who = match &first.event {
        Event::Started { host, pid, .. } => format!("{host} {pid}"),
        _ => String::new(),
    };
    let digest = Sha256Hex::of(format!("{} {who}", first.at).as_bytes());
    digest.as_str().chars().take(16).collect()
}

impl Fold {
    /// Takes one more line into account.
    pub fn apply(&mut self, line: &Line) {
        self.lines += 1;
        self.levers.apply(line);
        let at = line.at;
        let _of_the_first_line = self.born.get_or_insert(at);
        let _once = self.seat.get_or_insert_with(|| seat(line));
        match &line.event {
            Event::Doubted { artifact, times: 0, .. } => drop(self.doubts.remove(artifact)),
            Event::Doubted { artifact, who, reason, detail, times } => {
                let before = self.doubts.get(artifact).filter(|d| d.reason == *reason && *times > 1);
                let since = before.map_or(at, |before| before.since);
                let (who, detail) = (who.clone(), detail.clone());
                let doubt = Doubt { who, reason: *reason, detail, times: *times, since, refused: None };
                drop(self.doubts.insert(artifact.clone(), doubt));
            }
            Event::Refused { artifact, done, .. } => {
                if let Some(doubt) = self.doubts.get_mut(artifact) {
                    doubt.refused = Some(*done);
                }
            }
            Event::Ordered { order } => {
                for artifact in &order.artifacts {
                    drop(self.doubts.remove(artifact));
                }
                for draft in &order.packages {
                    self.found(draft, &order.id, at);
                }
                let row = OrderRow {
                    order: (**order).clone(),
                    phase: Phase::Ordered,
                    since: at,
                    step: None,
                    detail: None,
                    failures: 0,
                    retry_at: None,
                };
                let _new = self.open_orders.insert(order.id.clone());
                drop(self.orders.insert(order.id.clone(), row));
            }
            Event::Claim { order, phase, step, technician, detail } => {
                if technician.is_some() {
                    self.technician.clone_from(technician);
                }
                if let Some(row) = self.orders.get_mut(order) {
                    (row.phase, row.since) = (*phase, at);
                    row.step = step.clone().or(row.step.take());
                    row.detail.clone_from(detail);
                    let _changed = if phase.is_end() {
                        self.open_orders.remove(order)
                    } else {
                        self.open_orders.insert(order.clone())
                    };
                }
            }
            Event::OrderFailed { order, failures, retry_at, .. } => {
                if let Some(row) = self.orders.get_mut(order) {
                    (row.failures, row.retry_at) = (*failures, Some(*retry_at));
                }
            }
            Event::Moved { package, from, to, facts, .. } => {
                if from.is_none() {
                    self.received(package, facts, at);
                }
                self.moved(package, *to, facts, at);
            }
            Event::Failed { package, failures, error, retry_at, .. } => {
                if let Some(row) = self.packages.get_mut(package) {
                    (row.failures, row.retry_at) = (*failures, Some(*retry_at));
                    row.last_error = Some(error.clone());
                }
            }
            Event::Committing { package, sender, sequence, commit } => {
                let digest = Sha256Hex::of(commit.as_bytes());
                let told = || serde_json::from_str(commit).ok().map(|BySender { sender }| sender);
                if let Some(sender) = sender.clone().or_else(told) {
                    let _before = self.epochs.insert(sender.name.clone(), sender.epoch);
                    let chain = self.sent.entry(sender).or_default();
                    (chain.sequence, chain.previous) = (*sequence, Some(digest));
                    chain.recent.push_back(package.clone());
                    if chain.recent.len() > RECENT {
                        drop(chain.recent.pop_front());
                    }
                }
                drop(self.committing.insert(package.clone(), commit.clone()));
            }
            Event::Placed { package, place } => {
                if let Some(row) = self.packages.get_mut(package) {
                    (row.facts.place, row.placed) = (Some(place.clone()), true);
                }
            }
            Event::Cleaned { package, done, bytes, proof, by, why } => {
                let (proof, by, why) = (proof.clone(), by.clone(), why.clone());
                self.cleaned(package, *done, Cleaned { at, bytes: *bytes, proof, by, why });
            }
            Event::Acted(Acted { act, .. }) => self.acted(act),
            Event::Started { .. } => {
                self.started = Some(at);
                self.lives.begin(at);
            }
            Event::Stopped { exit, why } => self.lives.end(*exit, why),
            Event::Silent { what, why, last } => {
                let silence = Silence { what: what.clone(), why: why.clone(), last: *last, since: at };
                drop(self.silences.insert(what.clone(), silence));
            }
            Event::Heard { what, .. } => drop(self.silences.remove(what)),
            Event::Incident(_)
            | Event::Restarted { .. }
            | Event::Degraded { .. }
            | Event::Recovered { .. }
            | Event::Reloaded { .. } => {}
        }
    }

    /// A package that is new here and came with a commit that was believed: it has its place in its sender's chain, whatever becomes of it.
    fn received(&mut self, id: &PackageId, facts: &Facts, at: Timestamp) {
        let place = facts.sent_as.as_deref().and_then(|place| place.parse().ok());
        if let Some((place, digest)) = place.zip(facts.commit_sha256.clone()) {
            self.chains.learn(id, &Link { place, digest, previous: facts.previous.clone() }, at);
        }
    }

    fn acted(&mut self, act: &Lever) {
        let Some(row) = act.package().and_then(|id| self.packages.get_mut(id)) else { return };
        levers::bear_on(act, row);
        let Some(order) = row.order.as_ref().and_then(|order| self.orders.get_mut(order)) else { return };
        match act {
            Lever::Retried { .. } => (order.failures, order.retry_at) = (0, None),
            Lever::Ranked { package, priority } => {
                let drafts = order.order.packages.iter_mut().filter(|draft| draft.id == *package);
                drafts.for_each(|draft| draft.priority = *priority);
            }
            _ => {}
        }
    }

    fn cleaned(&mut self, id: &PackageId, done: bool, cleaned: Cleaned) {
        if !done {
            return drop(self.cleaning.insert(id.clone(), cleaned));
        }
        drop(self.cleaning.remove(id));
        if let Some(row) = self.packages.get_mut(id) {
            (row.facts.place, row.cleaned) = (None, Some(cleaned));
        }
    }

    fn found(&mut self, draft: &Draft, order: &OrderId, at: Timestamp) {
        let row = self.enter(&draft.id, State::Found, at);
        (row.priority, row.order) = (draft.priority, Some(order.clone()));
        row.way.push((State::Found, at));
    }

    fn moved(&mut self, id: &PackageId, to: State, facts: &Facts, at: Timestamp) {
        if !self.packages.contains_key(id) {
            self.newest = Some(at);
        }
        let _before = self.entered.insert(to, at);
        let rank = self.levers.rank(id);
        let row = self.enter(id, to, at);
        (row.failures, row.retry_at) = (0, None);
        row.way.push((to, at));
        row.priority = rank.or(facts.priority).unwrap_or(row.priority);
        let keep = &mut row.facts;
        macro_rules! learn {
            ($($field:ident),*) => { $( if facts.$field.is_some() { keep.$field.clone_from(&facts.$field); } )* };
        }
        learn!(
            priority,
            files,
            bytes,
            manifest_sha256,
            commit_sha256,
            sent_as,
            previous,
            place,
            holder,
            inherited,
            md5
        );
        (keep.reason, keep.detail) = (facts.reason, facts.detail.clone());
        if to == State::Seen {
            keep.inherited = None; // it begins anew, here
        }
        if matches!(to, State::Committed | State::Transferred) {
            drop(self.committing.remove(id));
        }
    }

    /// The row of a package, which is in `state` from now on.
    fn enter(&mut self, id: &PackageId, state: State, at: Timestamp) -> &mut Row {
        if let Some(before) = self.packages.get(id).map(|row| row.state)
            && let Some(ids) = self.by_state.get_mut(&before)
        {
            let _was_there = ids.remove(id);
        }
        let _new = self.by_state.entry(state).or_default().insert(id.clone());
        let row = self.packages.entry(id.clone()).or_insert_with(|| Row {
            id: id.clone(),
            state,
            since: at,
            first_seen: at,
            priority: Priority::default(),
            failures: 0,
            retry_at: None,
            last_error: None,
            order: None,
            placed: false,
            cleaned: None,
            facts: Facts::default(),
            way: Vec::new(),
        });
        (row.state, row.since) = (state, at);
        row
    }

    /// One package.
    pub fn package(&self, id: &PackageId) -> Option<&Row> {
        self.packages.get(id)
    }

    /// All packages.
    pub fn packages(&self) -> impl Iterator<Item = &Row> {
        self.packages.values()
    }

    /// One order.
    pub fn order(&self, id: &OrderId) -> Option<&OrderRow> {
        self.orders.get(id)
    }

    /// Orders that are not at their end, in the order in which they came.
    pub fn open_orders(&self) -> Vec<&OrderRow> {
        let mut rows: Vec<&OrderRow> = self.open_orders.iter().filter_map(|id| self.orders.get(id)).collect();
        rows.sort_by(|a, b| {
            let came = |r: &OrderRow| {
                r.order.packages.first().and_then(|d| self.packages.get(&d.id)).map(|p| p.first_seen)
            };
            (came(a), &a.order.id).cmp(&(came(b), &b.order.id))
        });
        rows
    }

    /// All orders.
    pub fn orders(&self) -> impl Iterator<Item = &OrderRow> {
        self.orders.values()
    }

    /// Queued samples that cannot be exported as they are, by artifact.
    pub fn doubts(&self) -> &BTreeMap<String, Doubt> {
        &self.doubts
    }

    /// Whether an order that is not at its end has this artifact.
    pub fn is_ordered(&self, artifact: &str) -> bool {
        let mut open = self.open_orders.iter().filter_map(|id| self.orders.get(id));
        open.any(|row| row.order.artifacts.iter().any(|a| a == artifact))
    }

    /// Whether the bytes of the package's commit were ever decided: then the receiver may have it.
    pub fn is_committed(&self, id: &PackageId) -> bool {
        self.committing.contains_key(id)
            || self.packages.get(id).is_some_and(|row| {
                row.facts.commit_sha256.is_some()
                    || matches!(row.state, State::Committed | State::Transferred)
            })
    }

    /// The draft of a package that came from an order.
    pub fn draft(&self, id: &PackageId) -> Option<&Draft> {
        let order = self.packages.get(id)?.order.as_ref()?;
        self.orders.get(order)?.order.packages.iter().find(|d| d.id == *id)
    }

    /// The commit bytes decided for a package that is not committed yet.
    pub fn committing(&self, id: &PackageId) -> Option<&str> {
        self.committing.get(id).map(String::as_str)
    }

    /// Packages whose removal from the sender's disk was begun and not ended.
    pub fn cleaning(&self) -> impl Iterator<Item = (&PackageId, &Cleaned)> {
        self.cleaning.iter()
    }

    /// Where people's levers stand.
    pub fn levers(&self) -> &Levers {
        &self.levers
    }

    /// When a package last came into this state.
    pub fn last_into(&self, state: State) -> Option<Timestamp> {
        self.entered.get(&state).copied()
    }

    /// When the last package came that was not known before, good or bad, other than by an order.
    pub fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Open alarms about something that does not happen. They outlive the process: only `Heard` ends one.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.values()
    }

    /// How the lives of daemons on this journal ended.
    pub fn lives(&self) -> &Lives {
        &self.lives
    }

    /// The chains of commits of those whose packages came here.
    pub fn chains(&self) -> &Chains {
        &self.chains
    }

    /// Names the journal for ever, whatever host it is on: whoever has another one does not know what was done under this. None if it is empty.
    pub fn seat(&self) -> Option<&str> {
        self.seat.as_deref()
    }

    /// When the journal was begun; none if it is empty.
    pub fn born(&self) -> Option<Timestamp> {
        self.born
    }

    /// The last commit given out in this chain.
    pub fn sent(&self, sender: &Sender) -> SentChain {
        self.sent.get(sender).cloned().unwrap_or_default()
    }

    /// Who a host of this name is as a sender. A journal that was lost is begun at another time, so its chain has another epoch: the receiver
    /// takes that neither for a gap nor for a number that is given out twice.
    pub fn sender(&self, host: &Name) -> Sender {
        let begun = || self.born.map_or(1, |born| u32::try_from(born.as_second()).unwrap_or(u32::MAX));
        Sender { name: host.clone(), epoch: self.epochs.get(host).copied().unwrap_or_else(begun) }
    }

    /// All packages from this one on, in order.
    pub fn from(&self, first: &PackageId) -> impl Iterator<Item = &Row> {
        self.packages.range(first..).map(|(_, row)| row)
    }

    /// All revisions of a package that are known, in order.
    pub fn revisions(&self, kind: &Kind, name: &Name) -> impl Iterator<Item = &Row> {
        let first = PackageId { kind: kind.clone(), name: name.clone(), revision: Revision(0) };
        let last = PackageId { revision: Revision(u32::MAX), ..first.clone() };
        self.packages.range(first..=last).map(|(_, row)| row)
    }

    /// Packages in a state, by name.
    pub fn in_state(&self, state: State) -> impl Iterator<Item = &Row> {
        self.by_state.get(&state).into_iter().flatten().filter_map(|id| self.packages.get(id))
    }

    /// Packages that have not come to an end, good or bad.
    pub fn under_way(&self) -> usize {
        self.by_state.iter().filter(|(state, _)| !state.is_settled()).map(|(_, ids)| ids.len()).sum()
    }

    /// Packages in one of `states` that are due at `now`, in the order in which they came.
    pub fn inbox(&self, states: &[State], now: Timestamp) -> Vec<&Row> {
        let mut rows: Vec<&Row> = states.iter().flat_map(|state| self.in_state(*state)).collect();
        rows.retain(|row| row.retry_at.is_none_or(|at| at <= now));
        rows.sort_by(|a, b| (a.first_seen, &a.id).cmp(&(b.first_seen, &b.id)));
        rows
    }

    /// How many packages are in each state.
    pub fn tally(&self) -> BTreeMap<State, usize> {
        let filled = self.by_state.iter().filter(|(_, ids)| !ids.is_empty());
        filled.map(|(state, ids)| (*state, ids.len())).collect()
    }
}
