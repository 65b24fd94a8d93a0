//! Where a package begins again that was held or stopped: the step that must be repeated, and never one behind it. Pure.
use super::{Refusal, Site};
use crate::conf::Role;
use crate::journal::{Fold, Phase, Row};
use crate::package::{Reason, State};

/// Where it goes, and what has to be said about that.
pub(super) type Way = (State, Vec<String>);

/// What no person overrides with a word: another command decides it, or the sending side, or nobody.
fn is_final(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BadSignature
            | Reason::BadCommit
            | Reason::CommitFork
            | Reason::Supersedes
            | Reason::StoppedElsewhere
            | Reason::HandoverUnknown
            | Reason::LandedBefore
            | Reason::LimsContradiction
            | Reason::LimsInvalid
    )
}

/// The last state in which it was before somebody or something stopped it.
fn before(row: &Row) -> Option<State> {
    let way = row.way.iter().rev().map(|(state, _)| *state);
    way.into_iter().find(|state| !matches!(state, State::Held | State::Quarantined))
}

/// Where a stopped package begins again. `from`: where a person wants it to.
pub(super) fn way(fold: &Fold, row: &Row, site: Site, from: Option<State>) -> Result<Way, Refusal> {
    let (id, reason) = (&row.id, row.facts.reason);
    if let Some(reason) = reason.filter(|reason| row.state == State::Quarantined && is_final(*reason)) {
        let detail = row.facts.detail.as_deref().unwrap_or_default();
        return Err(Refusal::with(
            format!("{id} was stopped as {reason}, which nobody may override: {detail}"),
            reason.remedy(),
        ));
    }
    let (to, notes) = match site.role {
        Role::Tsd => at_receiver(row, site)?,
        Role::Nsc => at_sender(fold, row, from)?,
    };
    if let Some(from) = from.filter(|from| *from != to) {
        return Err(Refusal::with(
            format!("{id} cannot be taken up again at {from}"),
            format!("it can at {to}: leave --from out"),
        ));
    }
    if !State::may_move(Some(row.state), to) {
        return Err(Refusal::new(format!("{id} is {}: nothing leads from there to {to}", row.state)));
    }
    Ok((to, notes))
}

fn at_receiver(row: &Row, site: Site) -> Result<Way, Refusal> {
    let id = &row.id;
    if row.placed {
        return Err(Refusal::with(
            format!("{id} was put in place already: its consumer may have it"),
            "see what lies at its destination; if it must come once more, have it sent as a new revision",
        ));
    }
    if row.facts.inherited.is_some() {
        return Err(Refusal::with(
            format!("{id} was another host's, which was about to put it in place"),
            Reason::HandoverUnknown.remedy(),
        ));
    }
    if row.facts.manifest_sha256.is_none() || row.facts.commit_sha256.is_none() {
        return Err(Refusal::with(
            format!("{id}: its COMMIT was never believed, so there is nothing to begin with"),
            "ask the sending side what it sent",
        ));
    }
    if row.state == State::Quarantined && site.shared {
        return Err(Refusal::with(
            format!("{id}: the other hosts that share the bucket have heard that it is stopped"),
            "ask the sending side to send the package again as a new revision",
        ));
    }
    Ok((
        State::Seen,
        vec!["it is copied (what is there already stays) and every byte is verified before READY".into()],
    ))
}

fn at_sender(fold: &Fold, row: &Row, from: Option<State>) -> Result<Way, Refusal> {
    let id = &row.id;
    let mut notes = Vec::new();
    let order = row.order.as_ref().and_then(|order| fold.order(order));
    let ended = order.filter(|order| order.phase.is_end());
    if before(row) == Some(State::Committed) {
        return Ok((
            State::Committed,
            vec!["its commit was put; only its way to transferred/ is repeated".into()],
        ));
    }
    if row.facts.reason == Some(Reason::Withdrawn) {
        notes.push("its sample was taken back in the LIMS: make sure that it is meant to be sent".into());
    }
    let built = row.way.iter().any(|(state, _)| *state == State::Packed);
    if built && from != Some(State::Found) {
        if let Some(order) = ended {
            let (order, phase) = (&order.order.id, order.phase);
            notes.push(format!(
                "its order {order} has ended in the LIMS ({phase}): see that the LIMS tells the truth"
            ));
        }
        notes.push("its bytes are read again and compared with the delivery before COMMIT".into());
        return Ok((State::Packed, notes));
    }
    if built {
        return Err(Refusal::with(
            format!("{id} is built already: it cannot be built once more under the same name"),
            "mend it where it lies in the transfer tree and leave --from out",
        ));
    }
    match order {
        None => Err(Refusal::new(format!("{id} was never built, and no order says how to"))),
        Some(order) if order.phase.is_end() => Err(Refusal::with(
            format!(
                "{id} was never built, and its order {} has ended in the LIMS ({})",
                order.order.id, order.phase
            ),
            "put its sample into the LIMS queue once more, under a new work order where orders come from a directory",
        )),
        Some(order) => {
            if order.phase == Phase::Review {
                notes.push("its order waits for a person in the LIMS, and goes on with it".into());
            }
            notes.push("it is built when it is its turn".into());
            Ok((State::Found, notes))
        }
    }
}
