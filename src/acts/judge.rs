//! Whether an act is done, what is journalled, what changes by it and how it is undone. Pure: the present and the time in, a plan out.
use jiff::Timestamp;

use super::find::{find, is_stopped};
use super::taking_up::{Way, way};
use super::{Act, Deed, Limit, Refusal, Site, Told};
use crate::conf::Role;
use crate::journal::{Facts, Fold, Lever, Row, UPLOADS};
use crate::package::{PackageId, Priority, Revision, State};
use crate::role;

/// What is done, and what is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// For the journal.
    pub deed: Deed,
    /// For the person.
    pub told: Told,
}

type Judged = Result<Plan, Refusal>;

/// Judges an act.
pub fn judge(fold: &Fold, act: &Act, site: Site, now: Timestamp) -> Judged {
    match act {
        Act::Hold { package } => hold(fold, find(fold, package, |row| !row.state.is_settled())?),
        Act::Release { package } => release(fold, find(fold, package, is_stopped)?, site),
        Act::Retry { package, from } => {
            let fits = |row: &Row| row.state == State::Quarantined || row.failures > 0;
            retry(fold, find(fold, package, fits)?, site, *from)
        }
        Act::Priority { package, priority } => {
            rank(find(fold, package, |row| !row.state.is_settled())?, *priority)
        }
        Act::Reexport { package } => {
            reexport(fold, find(fold, package, |row| row.state == State::Transferred)?, site)
        }
        Act::Pause { what } => pause(fold, what, site),
        Act::Resume { what } => resume(fold, what, site),
        Act::Bandwidth { limit, until } => bandwidth(fold, *limit, *until, now),
        Act::Undrain => {
            let told =
                Told { done: "the stop file is taken away: a daemon may start".into(), ..Told::default() };
            Ok(Plan { deed: Deed::Pull(Lever::Undrained, None), told })
        }
    }
}

fn nothing(row: &Row, done: String) -> Judged {
    let told = Told { package: Some(row.id.clone()), done, ..Told::default() };
    Ok(Plan { deed: Deed::Nothing, told })
}

fn hold(fold: &Fold, row: &Row) -> Judged {
    let id = &row.id;
    let too_late = |why: &str| Err(Refusal::new(format!("{id} is {}: {why}", row.state)));
    match row.state {
        State::Held => {
            let by = fold
                .levers()
                .held(id)
                .map_or(String::new(), |(_, word)| format!(" by {}: {}", word.by, word.why));
            return nothing(row, format!("{id} is held already{by}"));
        }
        State::Quarantined => return too_late("it is stopped already, and nobody works on it"),
        State::Committed | State::Transferred => return too_late("the receiver has it, so it is too late"),
        State::Uploading if fold.is_committed(id) => {
            return too_late("its commit is decided and the receiver may have it, so it is too late");
        }
        State::Verified => return too_late("it is being put in place, so it is too late"),
        State::Ready | State::Duplicate => return too_late("it has come to its end, so it is too late"),
        State::Elsewhere | State::SettledElsewhere => return too_late("another host has it: hold it there"),
        State::Copied if row.facts.inherited.is_some() => {
            return too_late(
                "another host was about to put it in place, and what became of that is found out first",
            );
        }
        State::Found | State::Claimed | State::Packed | State::Uploading => {}
        State::Seen | State::Copying | State::Copied => {}
    }
    let mut changes = vec!["no actor takes it until it is released, also after a restart".to_owned()];
    match row.state {
        State::Uploading => changes.push(
            "what is in hand of it just now is sent to its end, and not again after the release; COMMIT is not put".into(),
        ),
        State::Claimed => changes.push("if it is being built just now, it is built to its end and waits".into()),
        State::Copying => {
            changes.push("if it is being copied just now, that goes on to its end; it is not verified".into());
        }
        State::Copied => {
            changes.push("if it is being read back just now, that goes on to its end; it is not put in place".into());
        }
        _ => {}
    }
    if row.order.is_some() {
        changes.push("its order and what waits for it wait with it".into());
    }
    let told = Told {
        package: Some(id.clone()),
        done: format!("held: {id}, which was {}", row.state),
        changes,
        undo: Some(format!("release {id}")),
    };
    let deed = Deed::Move { package: id.clone(), from: row.state, to: State::Held, facts: Box::default() };
    Ok(Plan { deed, told })
}

/// Takes a stopped package up again.
fn take_up(row: &Row, (to, changes): Way, word: &str) -> Plan {
    let id = &row.id;
    let stopped = row.facts.reason.map_or("held".to_owned(), |reason| format!("stopped as {reason}"));
    // At the receiver a hold is always possible; a sender's package that was sent cannot be held back.
    let undo = (to != State::Committed).then(|| format!("hold {id}"));
    let told = Told {
        package: Some(id.clone()),
        done: format!("{word}: {id}, which was {stopped}, is {to}"),
        changes,
        undo,
    };
    Plan {
        deed: Deed::Move { package: id.clone(), from: row.state, to, facts: Box::<Facts>::default() },
        told,
    }
}

fn release(fold: &Fold, row: &Row, site: Site) -> Judged {
    if !is_stopped(row) {
        let why = format!("{} is {}: neither held nor stopped", row.id, row.state);
        return Err(match row.failures {
            0 => Refusal::new(why),
            _ => Refusal::with(why, "it failed and is tried again by itself: `retry` has it tried at once"),
        });
    }
    Ok(take_up(row, way(fold, row, site, None)?, "released"))
}

fn retry(fold: &Fold, row: &Row, site: Site, from: Option<State>) -> Judged {
    let id = &row.id;
    match row.state {
        State::Quarantined => return Ok(take_up(row, way(fold, row, site, from)?, "tried again")),
        State::Held => {
            return Err(Refusal::with(format!("{id} is held by a person"), "`release` takes it up again"));
        }
        state if state.is_settled() => {
            return Err(Refusal::new(format!("{id} is {state}: there is nothing to try again")));
        }
        _ => {}
    }
    if let Some(from) = from.filter(|from| *from != row.state) {
        return Err(Refusal::with(
            format!(
                "{id} is {}, under way: it cannot be taken back to {from} under the hands of an actor",
                row.state
            ),
            format!("`hold {id}`, then `release {id}`: it begins again at the step that can be repeated"),
        ));
    }
    let order = row.order.as_ref().and_then(|order| fold.order(order));
    let waits = row.retry_at.is_some() || row.failures > 0 || order.is_some_and(|order| order.failures > 0);
    if !waits {
        return nothing(
            row,
            format!("{id} is {} and has not failed since: there is nothing to try again", row.state),
        );
    }
    let told = Told {
        package: Some(id.clone()),
        done: format!("tried again: {id} is {}, its {} failure(s) are forgotten", row.state, row.failures),
        changes: vec!["it is taken as soon as there is room".into()],
        undo: None,
    };
    let lever = Lever::Retried { package: id.clone() };
    Ok(Plan { deed: Deed::Pull(lever, Some((id.clone(), row.state))), told })
}

fn rank(row: &Row, priority: Priority) -> Judged {
    let id = &row.id;
    if row.priority == priority {
        return nothing(row, format!("{id} is {priority} already"));
    }
    match row.state {
        State::Committed | State::Transferred | State::Ready | State::Duplicate | State::SettledElsewhere => {
            return Err(Refusal::new(format!("{id} is {}: it does not wait any more", row.state)));
        }
        State::Elsewhere => {
            return Err(Refusal::new(format!("{id} is in another host's hands: say it there")));
        }
        _ => {}
    }
    let mut changes =
        vec!["it counts from the next turn on; requests that are on the wire keep theirs".to_owned()];
    match row.state {
        State::Found | State::Claimed | State::Packed | State::Uploading => {
            changes.push("its COMMIT tells the receiver, unless it is decided already".into());
        }
        State::Seen | State::Copying | State::Copied | State::Verified => {
            changes.push("it counts here instead of what its COMMIT says".into());
        }
        _ => {}
    }
    let told = Told {
        package: Some(id.clone()),
        done: format!("{priority} from now on: {id}, which was {}", row.priority),
        changes,
        undo: Some(format!("priority {id} {}", row.priority)),
    };
    let lever = Lever::Ranked { package: id.clone(), priority };
    Ok(Plan { deed: Deed::Pull(lever, Some((id.clone(), row.state))), told })
}

fn reexport(fold: &Fold, row: &Row, site: Site) -> Judged {
    let id = &row.id;
    if site.role != Role::Nsc {
        return Err(Refusal::with(
            "only the sending side can send once more",
            "ask there: `tsd-import reexport` (role nsc)",
        ));
    }
    if row.state != State::Transferred {
        let remedy = match row.state {
            State::Held => "it was never sent: `release` it",
            State::Quarantined => "it was stopped before its end: see to that, then `release` it",
            _ => "it is on its way: wait until it has left",
        };
        return Err(Refusal::with(format!("{id} is {}, not transferred", row.state), remedy));
    }
    if let Some(newer) = fold.revisions(&id.kind, &id.name).find(|other| other.id.revision > id.revision) {
        return Err(Refusal::with(
            format!("{} came after {id} and is {}", newer.id, newer.state),
            format!("`reexport {}` sends that one once more", newer.id),
        ));
    }
    if row.facts.commit_sha256.is_none() {
        return Err(Refusal::with(
            format!("{id} was sent by the uploader of another host"),
            "ask there: its journal knows what was sent",
        ));
    }
    if let Some(cleaned) = &row.cleaned {
        return Err(Refusal::with(
            format!("{id} left transferred/ at {}, so there is nothing here to send", cleaned.at),
            "put its sample into the LIMS queue once more: it is exported anew, as the next revision if `orders.again` is \"revise\"",
        ));
    }
    let revised = PackageId { revision: Revision(id.revision.0.saturating_add(1)), ..id.clone() };
    if let Some(again) = fold.levers().wants(&revised) {
        return nothing(
            row,
            format!("{revised} is asked for already by {}: {}", again.word.by, again.word.why),
        );
    }
    let told = Told {
        package: Some(id.clone()),
        done: format!("to be sent once more: {id}, as {revised}"),
        changes: vec![
            "the uploader links what rests below transferred/ into the tree and sends all of it, checked as ever".into(),
            format!("the receiver lands {revised} if {id} was not handed over; if it was, the same bytes are not landed twice"),
            "the LIMS is not asked and not told".into(),
        ],
        undo: Some(format!("hold {revised}")),
    };
    let lever = Lever::Again { package: id.clone(), revised };
    Ok(Plan { deed: Deed::Pull(lever, Some((id.clone(), State::Transferred))), told })
}

fn known(what: &str, site: Site) -> Result<(), Refusal> {
    let actors = role::actors(site.role);
    let uploads = site.role == Role::Nsc && what == UPLOADS;
    if uploads || actors.contains(&what) {
        return Ok(());
    }
    let also = if site.role == Role::Nsc { format!(", and {UPLOADS}") } else { String::new() };
    Err(Refusal::new(format!("role {} has no actor {what:?}; it has {}{also}", site.role, actors.join(", "))))
}

fn pause(fold: &Fold, what: &str, site: Site) -> Judged {
    known(what, site)?;
    if let Some(word) = fold.levers().paused(what) {
        let told = Told {
            done: format!("{what} is paused already by {}: {}", word.by, word.why),
            ..Told::default()
        };
        return Ok(Plan { deed: Deed::Nothing, told });
    }
    let mut changes = vec![
        "what is in hand is finished; nothing new is taken until `resume`, also after a restart".to_owned(),
    ];
    if site.role == Role::Nsc && (what == UPLOADS || what == "uploader") {
        changes.push("heartbeats go on, so the receiver knows that we live".into());
    }
    let undo = Some(format!("resume {what}"));
    let told = Told { package: None, done: format!("paused: {what}"), changes, undo };
    Ok(Plan { deed: Deed::Pull(Lever::Paused { what: what.to_owned() }, None), told })
}

fn resume(fold: &Fold, what: &str, site: Site) -> Judged {
    known(what, site)?;
    let Some(word) = fold.levers().paused(what) else {
        let told = Told { done: format!("{what} is not paused"), ..Told::default() };
        return Ok(Plan { deed: Deed::Nothing, told });
    };
    let done = format!("goes on: {what}, which {} paused: {}", word.by, word.why);
    let told = Told { package: None, done, changes: Vec::new(), undo: Some(format!("pause {what}")) };
    Ok(Plan { deed: Deed::Pull(Lever::Resumed { what: what.to_owned() }, None), told })
}

fn bandwidth(fold: &Fold, limit: Limit, until: Option<Timestamp>, now: Timestamp) -> Judged {
    let counts = fold.levers().pace(now);
    let undo = match counts {
        None => "bandwidth as-configured".to_owned(),
        Some(pace) => {
            let limit = pace.limit.map_or("off".to_owned(), |limit| format!("{limit}B/s"));
            let until = pace.until.map_or(String::new(), |until| format!(" --until {until}"));
            format!("bandwidth {limit}{until}")
        }
    };
    let (lever, done) = match limit {
        Limit::AsConfigured if until.is_some() => {
            return Err(Refusal::new("as-configured has no end: leave --until out"));
        }
        Limit::AsConfigured if counts.is_none() => {
            let told = Told { done: "the configured limit counts already".into(), ..Told::default() };
            return Ok(Plan { deed: Deed::Nothing, told });
        }
        Limit::AsConfigured => (Lever::Unpaced, "the configured limit counts again".to_owned()),
        Limit::Bytes(0) => {
            return Err(Refusal::with(
                "with 0 bytes a second nothing would ever move",
                "`pause uploads` stops the sending",
            ));
        }
        Limit::Bytes(bytes) => {
            (Lever::Paced { limit: Some(bytes), until }, format!("held to {}/s", bytesize::ByteSize(bytes)))
        }
        Limit::Off => (Lever::Paced { limit: None, until }, "no limit of bytes a second".to_owned()),
    };
    if let Some(until) = until.filter(|until| *until <= now) {
        return Err(Refusal::new(format!("--until {until} is over: it is {now}")));
    }
    let mut changes = Vec::new();
    if lever != Lever::Unpaced {
        changes.push("it counts instead of store.limit and its timetable, also for what is on the wire and after a restart".into());
        changes.push(until.map_or("it stays until somebody says otherwise".to_owned(), |until| {
            format!("it ends by itself at {until}")
        }));
    }
    let told = Told { package: None, done, changes, undo: Some(undo) };
    Ok(Plan { deed: Deed::Pull(lever, None), told })
}
