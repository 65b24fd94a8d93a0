//! For tests: dies at a chosen line of the journal, before it is written or after, as kill -9 might.
//!
//! `FAILPOINTS="journal-written=return(claim:intent)"`. A release binary has no failpoints.
use jiff::Timestamp;

use super::event::Event;

/// What a line is about: `moved:packed`, `claim:opened`, `ordered`. None for the beginning and the end of a daemon's life.
pub fn point(event: &Event) -> Option<String> {
    Some(match event {
        Event::Started { .. } | Event::Stopped { .. } => return None,
        Event::Moved { to, .. } => format!("moved:{to}"),
        Event::Claim { phase, .. } => format!("claim:{phase}"),
        Event::Refused { done, .. } => format!("refused:{done}"),
        Event::Ordered { .. } => "ordered".into(),
        Event::OrderFailed { .. } => "order-failed".into(),
        Event::Doubted { .. } => "doubted".into(),
        Event::Failed { .. } => "failed".into(),
        Event::Committing { .. } => "committing".into(),
        Event::Placed { .. } => "placed".into(),
        Event::Cleaned { done, .. } => format!("cleaned:{done}"),
        Event::Incident(_) => "incident".into(),
        Event::Restarted { .. } => "restarted".into(),
        Event::Degraded { .. } => "degraded".into(),
        Event::Recovered { .. } => "recovered".into(),
        Event::Silent { .. } => "silent".into(),
        Event::Heard { .. } => "heard".into(),
        Event::Reloaded { .. } => "reloaded".into(),
        Event::Acted(acted) => format!("acted:{}", acted.act.word()),
    })
}

pub(super) fn may_die(at: &'static str, events: &[(Timestamp, Event)]) {
    if !fail::has_failpoints() {
        return;
    }
    for (_, event) in events {
        let _alive = fail::eval(at, |wanted| {
            if wanted.is_some() && wanted == point(event) {
                std::process::abort();
            }
        });
    }
}
