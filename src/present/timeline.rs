//! The way of one package, step by step, with how long each took.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::journal::{Event, Facts, Line, Phase, Row};
use crate::package::State;
use crate::review::{clip, size};

/// One thing that happened to a package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What, in words.
    pub what: String,
    /// Actor or person, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Into which state it came thereby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Seconds until it came into the next state, or until now; none: it is at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secs: Option<f64>,
}

/// From what the journal's fold remembers: states and times.
pub(super) fn from_row(row: &Row, now: Timestamp) -> Vec<Step> {
    let step = |(state, at): &(State, Timestamp)| Step {
        at: *at,
        what: state.to_string(),
        by: None,
        state: Some(*state),
        secs: None,
    };
    timed(row.way.iter().map(step).collect(), now)
}

/// From the package's lines: everything.
pub(super) fn from_lines(lines: &[Line], now: Timestamp) -> Vec<Step> {
    timed(lines.iter().filter_map(step).collect(), now)
}

/// A state lasts until the next one.
fn timed(mut steps: Vec<Step>, now: Timestamp) -> Vec<Step> {
    let mut next: Option<Timestamp> = None;
    for step in steps.iter_mut().rev() {
        let Some(state) = step.state else { continue };
        let over = is_over(state) && next.is_none();
        step.secs = (!over).then(|| clock::age(step.at, next.unwrap_or(now)).as_secs_f64());
        next = Some(step.at);
    }
    steps
}

/// Nothing is waited for any more.
pub(super) fn is_over(state: State) -> bool {
    matches!(state, State::Transferred | State::Ready | State::Duplicate | State::SettledElsewhere)
}

fn step(line: &Line) -> Option<Step> {
    let of = |what: String, by: Option<&str>, state| {
        Some(Step { at: line.at, what, by: by.map(str::to_owned), state, secs: None })
    };
    match &line.event {
        Event::Ordered { order } => {
            let note = order.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
            of(format!("found: order {}{note}", order.id), Some("poller"), Some(State::Found))
        }
        Event::Claim { phase, step, detail, .. } => {
            let step = step.as_deref().unwrap_or("of its order");
            let detail = detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
            let what = match phase {
                Phase::Ordered => format!("its order waits{detail}"),
                Phase::Intent => format!("about to open a step in the LIMS{detail}"),
                Phase::Opened => format!("LIMS step {step} is open in our name{detail}"),
                Phase::Completed => format!("LIMS step {step} was completed{detail}"),
                Phase::Withdrawn | Phase::Failed | Phase::Review | Phase::Flagged => {
                    format!("LIMS step {step}: {phase}{detail}")
                }
            };
            of(what, Some("packager"), None)
        }
        Event::OrderFailed { failures, error, .. } => {
            of(format!("attempt {failures} at its LIMS step failed: {error}"), Some("packager"), None)
        }
        Event::Moved { to, by, facts, .. } => of(moved(*to, facts), Some(by), Some(*to)),
        Event::Failed { by, failures, error, .. } => {
            of(format!("attempt {failures} failed: {error}"), Some(by), None)
        }
        Event::Committing { sequence, .. } => {
            of(format!("the bytes of COMMIT were decided: number {sequence}"), None, None)
        }
        Event::Placed { place, .. } => of(format!("put in place: {place}"), None, None),
        Event::Cleaned { done, by, why, .. } => {
            let what = if *done { "removed here" } else { "about to be removed here" };
            of(format!("{what}: {why}"), Some(by), None)
        }
        Event::Acted(acted) => of(format!("{}: {}", acted.act, acted.why), Some(&acted.by), None),
        Event::Incident(incident) => {
            let what = format!("{} failed with it in hand: {}", incident.actor, clip(&incident.detail, 160));
            of(what, Some("supervisor"), None)
        }
        _ => None,
    }
}

fn moved(to: State, facts: &Facts) -> String {
    let mut text = to.to_string();
    if let Some(reason) = facts.reason {
        text.push_str(&format!(": {reason}"));
    }
    let more = [
        facts.detail.clone(),
        facts.bytes.filter(|_| matches!(to, State::Committed | State::Seen)).map(size),
        facts.holder.as_ref().map(|host| format!("by {host}")),
    ];
    let more: Vec<String> = more.into_iter().flatten().collect();
    if !more.is_empty() {
        text.push_str(&format!(" ({})", more.join("; ")));
    }
    text
}
