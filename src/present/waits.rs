//! What a package waits for, and what a person can do about it.
use jiff::Timestamp;

use super::page::relative;
use super::status::Moving;
use super::{Health, Present};
use crate::journal::{OrderRow, Phase, Row, UPLOADS};
use crate::nsc::{packager, uploader};
use crate::package::{Reason, State};
use crate::supervisor::ChildStatus;
use crate::tsd::{copier, verifier};

/// In words; `attempt`: the next one is not before.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Waits {
    pub waits_for: String,
    pub next_attempt: Option<Timestamp>,
    pub to_do: Option<String>,
    pub moving: Option<Moving>,
}

/// Who takes a package on from this state; nobody from its end.
fn next_actor(state: State) -> Option<(&'static str, &'static str)> {
    Some(match state {
        State::Found => (packager::NAME, "to be claimed in the LIMS"),
        State::Claimed => (packager::NAME, "to be built"),
        State::Packed => (uploader::NAME, "to be sent"),
        State::Uploading => (uploader::NAME, "to be sent to its end"),
        State::Committed => (uploader::NAME, "to be moved below transferred/"),
        State::Seen => (copier::NAME, "to be copied in"),
        State::Copying => (copier::NAME, "to be copied to its end"),
        State::Copied => (verifier::NAME, "to be read back and compared"),
        State::Verified => (verifier::NAME, "to be put in place and handed over"),
        State::Transferred | State::Ready | State::Duplicate => return None,
        State::Elsewhere | State::SettledElsewhere | State::Held | State::Quarantined => return None,
    })
}

/// Who carries the bytes between a side and the store.
pub(crate) fn carrier(role: &str) -> &'static str {
    if role == "nsc" { uploader::NAME } else { copier::NAME }
}

fn nothing(waits_for: impl Into<String>) -> Waits {
    Waits { waits_for: waits_for.into(), ..Waits::default() }
}

fn advised(waits_for: String, to_do: impl Into<String>) -> Waits {
    Waits { waits_for, to_do: Some(to_do.into()), ..Waits::default() }
}

impl Present<'_> {
    pub(super) fn waits(&self, row: &Row) -> Waits {
        match row.state {
            State::Transferred => nothing(
                "nothing: it was sent and acknowledged; what became of it at the receiving side is known there",
            ),
            State::Ready => nothing("nothing: it was handed over"),
            State::Duplicate => {
                nothing("nothing: the same bytes were handed over before, under another revision")
            }
            State::SettledElsewhere => {
                nothing(format!("nothing here: {} has brought it to its end", holder(row)))
            }
            State::Elsewhere => advised(
                format!("{}, which shares the bucket and has it in hand", holder(row)),
                "ask `why` there; it is taken over here if that host falls silent",
            ),
            State::Held => {
                advised("a person, who holds it".into(), "ask who held it; it goes on when it is released")
            }
            State::Quarantined => match row.facts.reason {
                Some(reason) => advised("a person: it was stopped".into(), reason.remedy()),
                None => advised("a person: it was stopped".into(), "read its last step below"),
            },
            _ => self.under_way(row),
        }
    }

    fn under_way(&self, row: &Row) -> Waits {
        let Some((actor, what)) = next_actor(row.state) else { return nothing("nothing") };
        match self.health() {
            Health::Down => {
                let to_do = match self.stop {
                    Some((stop, file)) => {
                        format!("{file} of {stop} forbids it: remove that, then start the daemon")
                    }
                    None => {
                        "start the daemon (`tsd-import run`, or the service); `review` tells why it ended"
                            .into()
                    }
                };
                return advised(format!("the daemon, which does not run; then {what}"), to_do);
            }
            Health::Hangs => {
                let to_do = "`status` names the process: is its disk alive? Then stop it and start it again";
                return advised(format!("the daemon, which hangs or is stopped; then {what}"), to_do);
            }
            Health::Runs | Health::Stops => {}
        }
        let seen = self.snapshot();
        let id = row.id.to_string();
        let actors = seen.map_or(&[][..], |seen| &seen.actors);
        let motion = seen.iter().flat_map(|seen| &seen.moving).find(|m| m.unit == id && m.total > 0);
        if let Some(holder) = actors.iter().find(|a| a.report.in_hand.contains(&id)) {
            let moving = motion.map(Moving::of);
            return Waits { moving, ..nothing(format!("the {}, which works on it now", holder.actor)) };
        }
        if let Some(at) = row.retry_at.filter(|at| *at > self.now) {
            let error = row.last_error.as_deref().unwrap_or("no reason is on record");
            let waits = format!(
                "its next attempt, {}, {what}; {} failed: {error}",
                relative(at, self.now),
                row.failures
            );
            let to_do =
                "nothing yet: it is tried again by itself, and stopped with a reason if that does not help";
            return Waits { next_attempt: Some(at), ..advised(waits, to_do) };
        }
        if let Some(why) = seen.and_then(|seen| seen.not_taken.get(&id)) {
            return advised(format!("{why}, then {what}"), "nothing, if that comes by itself");
        }
        if let Some(waits) = self.order_waits(row) {
            return waits;
        }
        let levers = self.fold.levers();
        let uploads = (actor == uploader::NAME).then_some(UPLOADS);
        let paused =
            [Some(actor), uploads].into_iter().flatten().find_map(|of| Some((of, levers.paused(of)?)));
        if let Some((of, word)) = paused {
            return advised(
                format!("{}, who has paused the {of} ({}), then {what}", word.by, word.why),
                "ask who paused it; `resume` has it go on",
            );
        }
        match actors.iter().find(|a| a.actor == actor) {
            None => advised(
                format!("the {actor}, {what}; that actor does not run in this daemon (--only)"),
                format!("ask where the {actor} runs"),
            ),
            Some(a) => self.actor_waits(a, row, what),
        }
    }

    fn actor_waits(&self, a: &ChildStatus, row: &Row, what: &str) -> Waits {
        let name = &a.actor;
        if let Some(why) = &a.report.degraded {
            let secs = a.report.degraded_secs.unwrap_or(0);
            let to_do = "mend what is named; it probes by itself, and nothing is lost meanwhile";
            return advised(
                format!("the {name}, {what}; it has not been able to work for {secs} s: {why}"),
                to_do,
            );
        }
        if !a.up {
            let to_do = format!("`review --actor {name}` tells why it is {}", a.state);
            return advised(format!("the {name}, {what}; that actor is {}", a.state), to_do);
        }
        if self.health() == Health::Stops {
            let to_do = "it goes on at the next start";
            return advised(format!("the next start: the daemon is on its way out; then {what}"), to_do);
        }
        let first = |other: &&Row| {
            let key = |r: &Row| (std::cmp::Reverse(r.priority), r.first_seen, r.id.clone());
            key(other) < key(row)
        };
        let due = |other: &&Row| other.retry_at.is_none_or(|at| at <= self.now);
        let ahead = self.fold.in_state(row.state).filter(due).filter(first).count();
        let turn = match ahead {
            0 => "it is next".to_owned(),
            1 => "one goes before it".into(),
            n => format!("{n} go before it"),
        };
        nothing(format!("its turn at the {name}, {what}; {turn}"))
    }

    /// What its order, or a package that must leave first, keeps it from.
    fn order_waits(&self, row: &Row) -> Option<Waits> {
        let order = self.fold.order(row.order.as_ref()?)?;
        if let Some(waits) = self.members(row) {
            return Some(waits);
        }
        if order.wants_a_person(self.now) {
            return Some(advised(
                format!("a person in the LIMS: order {}: {}", order.order.id, detail(order)),
                "see to its step in the LIMS as the detail says",
            ));
        }
        let at = order.retry_at.filter(|at| *at > self.now)?;
        let waits =
            format!("the LIMS step of its order, tried again {}: {}", relative(at, self.now), detail(order));
        Some(Waits { next_attempt: Some(at), ..nothing(waits) })
    }

    fn members(&self, row: &Row) -> Option<Waits> {
        let draft =
            self.fold.draft(&row.id).filter(|_| matches!(row.state, State::Found | State::Claimed))?;
        let not_left = draft.after.iter().filter_map(|id| self.fold.package(id));
        let not_left: Vec<&Row> = not_left.filter(|member| member.state != State::Transferred).collect();
        let (first, more) = (not_left.first()?, not_left.len() - 1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let reason = first.facts.reason.map_or(String::new(), |reason| format!(": {}", Reason::code(reason)));
        Some(advised(
            format!("{} ({}{reason}){more}, which must leave before it", first.id, first.state),
            format!("`why {}`", first.id),
        ))
    }
}

fn holder(row: &Row) -> String {
    row.facts.holder.clone().unwrap_or_else(|| "another host of the zone".into())
}

fn detail(order: &OrderRow) -> String {
    let phase = if order.phase == Phase::Opened { "its step is open" } else { "its step is not open yet" };
    order.detail.clone().unwrap_or_else(|| phase.into())
}
