//! What is journalled is also told in the log: one line per event, after it is on the disk.
//!
//! The log's field `event` is the journal's, and the other fields have the journal's names (lists are joined by `, `), so a
//! review can be made of either. ERROR: a person must act; WARN: it went on but was odd; INFO: something moved.
use tracing::{error, info, warn};

use super::event::{Event, Facts, Phase};
use crate::package::{PackageId, Reason, State};

/// Writes the log line of an event.
pub(super) fn tell(event: &Event) {
    match event {
        Event::Started { role, host, pid, version } => {
            info!(event = "started", role, host, pid, version, "tsd-import starts");
        }
        Event::Stopped { exit: 0, why } => info!(event = "stopped", exit = 0, why, "tsd-import ends"),
        Event::Stopped { exit, why } => error!(event = "stopped", exit, why, "tsd-import ends"),
        Event::Ordered { order } => {
            let packages: Vec<String> = order.packages.iter().map(|d| d.id.to_string()).collect();
            let artifacts = order.artifacts.join(", ");
            info!(event = "ordered", order = %order.id, packages = packages.join(", "), artifacts, "order found");
        }
        Event::OrderFailed { order, failures, error, retry_at } => {
            warn!(event = "order-failed", %order, failures, error, %retry_at, "the order's step will be tried again");
        }
        Event::Claim { order, phase, step, detail, .. }
            if matches!(phase, Phase::Review | Phase::Flagged) =>
        {
            error!(event = "claim", %order, %phase, step, detail, "a person has to see to this order");
        }
        Event::Claim { order, phase, step, detail, .. } => {
            info!(event = "claim", %order, %phase, step, detail, "order");
        }
        Event::Doubted { artifact, who, reason, detail, times: 0 } => {
            let reason = reason.code();
            info!(event = "doubted", artifact, who, reason, detail, times = 0, "not doubted any more");
        }
        Event::Doubted { artifact, who, reason, detail, times } => {
            let (reason, remedy) = (reason.code(), reason.remedy());
            warn!(
                event = "doubted",
                artifact, who, reason, detail, times, remedy, "cannot be exported as it is"
            );
        }
        Event::Refused { artifact, done: false, detail } => {
            info!(event = "refused", artifact, done = false, detail, "about to be put out of the queue");
        }
        Event::Refused { artifact, done, detail } => {
            error!(event = "refused", artifact, done, detail, "put out of the queue");
        }
        Event::Acted(acted) => {
            let (act, package) = (acted.act.word(), acted.act.package().map(ToString::to_string));
            let (by, why, detail) = (&acted.by, &acted.why, acted.act.to_string());
            info!(event = "acted", act, package, by, why, detail, "a person pulled a lever");
        }
        Event::Moved { package, from, to, by, facts } => moved(package, *from, *to, by, facts),
        Event::Failed { package, by, failures, error, retry_at } => {
            warn!(event = "failed", %package, by, failures, error, %retry_at, "will be tried again");
        }
        Event::Committing { package, sequence, .. } => {
            info!(event = "committing", %package, sequence, "commit decided");
        }
        Event::Placed { package, place } => info!(event = "placed", %package, place, "put in place"),
        Event::Cleaned { package, done, bytes, proof, by, why } => {
            let message = if *done { "cleaned from transferred/" } else { "about to leave transferred/" };
            info!(event = "cleaned", %package, done, bytes, proof, by, why, "{message}");
        }
        Event::Incident(i) => error!(
            event = "incident",
            actor = i.actor,
            incarnation = i.incarnation,
            cause = i.cause,
            detail = i.detail,
            in_hand = i.in_hand.join(", "),
            streak = i.streak,
            budget_left = i.budget_left,
            next_delay_ms = i.next_delay_ms,
            action = i.action,
            outcome = i.outcome,
            "actor failed"
        ),
        Event::Restarted { actor, incarnation, down_ms } => {
            info!(event = "restarted", actor, incarnation, down_ms, "actor restarted in place");
        }
        Event::Degraded { actor, why } => {
            error!(event = "degraded", actor, why, "cannot work; will go on by itself when this is mended");
        }
        Event::Recovered { actor, after_ms } => info!(event = "recovered", actor, after_ms, "works again"),
        Event::Silent { what, why, last } => error!(event = "silent", what, why, %last, "silence"),
        Event::Heard { what, after_ms } => info!(event = "heard", what, after_ms, "the silence is over"),
        Event::Reloaded { changed, needs_restart } => {
            let (changed, needs_restart) = (changed.join(", "), needs_restart.join(", "));
            info!(event = "reloaded", changed, needs_restart, "configuration read again");
        }
    }
}

fn moved(package: &PackageId, from: Option<State>, to: State, by: &str, facts: &Facts) {
    let (from, detail, bytes) = (from.map(State::as_str), facts.detail.as_deref(), facts.bytes);
    let (priority, reason) = (facts.priority.map(|p| p.as_str()), facts.reason.map(Reason::code));
    if to == State::Quarantined {
        let remedy = facts.reason.map(Reason::remedy);
        let to = to.as_str();
        error!(event = "moved", %package, from, to, by, reason, detail, remedy, "package quarantined");
    } else {
        let to = to.as_str();
        info!(event = "moved", %package, from, to, by, priority, bytes, reason, detail, "package moved");
    }
}
