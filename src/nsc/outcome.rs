//! What has become of an order, and what is to be done about it now: pure decisions over the fold, with the clock passed in.
use jiff::Timestamp;

use super::packager::Unit;
use super::source::{Ending, Fault};
use crate::conf::CompleteAfter;
use crate::journal::{Fold, OrderRow, Phase};
use crate::package::{Draft, PackageId, Reason, State};

/// What has become of an order's packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Underway,
    AllDelivered,
    NothingDelivered,
    PartlyDelivered,
}

/// One that a person holds is not: it waits, and its order with it.
fn is_stopped(fold: &Fold, id: &PackageId) -> bool {
    fold.package(id).is_some_and(|row| row.state == State::Quarantined)
}

/// Where an order stands, from the states of its packages. A stopped package whose commit was decided may be with the
/// receiver already, so it never counts as "not delivered". An order without packages is delivered: it was before.
pub(super) fn outcome(fold: &Fold, row: &OrderRow, after: CompleteAfter) -> Outcome {
    let state = |id: &PackageId| fold.package(id).map(|row| row.state);
    let packed = |draft: &Draft| {
        let beyond = [State::Packed, State::Uploading, State::Committed, State::Transferred];
        state(&draft.id).is_some_and(|state| beyond.contains(&state))
    };
    if after == CompleteAfter::Packing && row.order.packages.iter().all(packed) {
        return Outcome::AllDelivered;
    }
    let (mut through, mut unsure, mut ended) = (0, 0, 0);
    for draft in &row.order.packages {
        // A package that waits for a stopped one does not move either.
        let blocked = matches!(state(&draft.id), Some(State::Found | State::Claimed))
            && draft.after.iter().any(|id| is_stopped(fold, id));
        let stopped = is_stopped(fold, &draft.id);
        match state(&draft.id) {
            Some(State::Transferred) => through += 1,
            _ if stopped && fold.is_committed(&draft.id) => unsure += 1,
            _ if stopped || blocked => ended += 1,
            _ => return Outcome::Underway,
        }
    }
    match (through, unsure, ended) {
        (_, 0, 0) => Outcome::AllDelivered,
        (0, 0, _) => Outcome::NothingDelivered,
        _ => Outcome::PartlyDelivered,
    }
}

/// How an order that has come to its end is to end at its source.
pub(super) fn ending(fold: &Fold, row: &OrderRow, outcome: Outcome) -> Option<Ending> {
    let stopped = |draft: &Draft| {
        let package = fold.package(&draft.id)?;
        let state = Some(package.state).filter(|state| *state == State::Quarantined)?;
        let reason = package.facts.reason.unwrap_or(Reason::TooManyFailures);
        let detail = package.facts.detail.clone().unwrap_or_else(|| state.to_string());
        Some(Fault { reason, detail: format!("{}: {detail}", draft.id) })
    };
    let drafts = &row.order.packages;
    match outcome {
        Outcome::Underway => None,
        Outcome::AllDelivered => Some(Ending::Delivered),
        Outcome::NothingDelivered => drafts.iter().find_map(stopped).map(Ending::Undelivered),
        Outcome::PartlyDelivered => {
            let failed = drafts.iter().filter_map(|d| Some((d, stopped(d)?)));
            let of = |d: &Draft| d.artifact.clone().map_or_else(|| row.order.artifacts.clone(), |a| vec![a]);
            let each = failed.flat_map(|(d, fault)| of(d).into_iter().map(move |a| (a, fault.clone())));
            Some(Ending::Partly(each.rev().collect()))
        }
    }
}

/// What is to be done about an order now.
pub(super) fn next(fold: &Fold, row: &OrderRow, after: CompleteAfter, now: Timestamp) -> Option<Unit> {
    let (id, packages) = (&row.order.id, &row.order.packages);
    let unclaimed = |d: &Draft| fold.package(&d.id).is_some_and(|p| p.state == State::Found);
    let due = |at: Option<Timestamp>| at.is_none_or(|at| at <= now);
    if !due(row.retry_at) || !packages.iter().all(|d| due(fold.package(&d.id).and_then(|p| p.retry_at))) {
        return None;
    }
    match (row.phase, outcome(fold, row, after)) {
        (Phase::Ordered | Phase::Intent, Outcome::Underway) => Some(Unit::Claim(id.clone())),
        (Phase::Ordered | Phase::Intent, Outcome::AllDelivered) if packages.is_empty() => {
            Some(Unit::Claim(id.clone()))
        }
        // In review, if a person has released one of its packages that was never built.
        (Phase::Opened | Phase::Review, Outcome::Underway) if packages.iter().any(unclaimed) => {
            Some(Unit::Claim(id.clone()))
        }
        (Phase::Ordered | Phase::Intent, Outcome::NothingDelivered | Outcome::PartlyDelivered)
        | (Phase::Intent, _)
        | (Phase::Opened | Phase::Review, Outcome::AllDelivered)
        | (Phase::Opened, Outcome::NothingDelivered | Outcome::PartlyDelivered) => {
            Some(Unit::Settle(id.clone()))
        }
        _ => None,
    }
}

/// Orders that were called exported when they were packed, and of which a package was stopped since.
pub(super) fn regretted(fold: &Fold) -> Vec<Unit> {
    let orders = fold.in_state(State::Quarantined).filter_map(|row| fold.order(row.order.as_ref()?));
    let mut exported: Vec<_> = orders.filter(|o| o.phase == Phase::Completed).map(|o| &o.order.id).collect();
    exported.sort();
    exported.dedup();
    exported.into_iter().map(|id| Unit::Flag(id.clone())).collect()
}

/// Whether everything that must leave before this package has left: then it is built.
pub(super) fn may_leave(fold: &Fold, id: &PackageId) -> bool {
    let gone = |id: &PackageId| fold.package(id).is_some_and(|row| row.state == State::Transferred);
    fold.draft(id).is_none_or(|draft| draft.after.iter().all(gone))
}

/// The packages of an order by what has become of them: those that can still be stopped, with their state, those that are or
/// may be with the receiver, and those that were stopped before. `here`: nobody else sends what is packed.
pub(super) struct Sorted {
    pub stoppable: Vec<(PackageId, State)>,
    pub gone: Vec<PackageId>,
    pub stopped: Vec<PackageId>,
}

pub(super) fn sorted(fold: &Fold, row: &OrderRow, here: bool) -> Sorted {
    let mut sorted = Sorted { stoppable: Vec::new(), gone: Vec::new(), stopped: Vec::new() };
    for draft in &row.order.packages {
        let Some(state) = fold.package(&draft.id).map(|row| row.state) else { continue };
        let elsewhere = !here && matches!(state, State::Packed | State::Uploading);
        if fold.is_committed(&draft.id) || elsewhere {
            sorted.gone.push(draft.id.clone());
        } else if state.is_settled() && state != State::Held {
            sorted.stopped.push(draft.id.clone());
        } else {
            sorted.stoppable.push((draft.id.clone(), state));
        }
    }
    sorted
}
