//! What actors and disks tell of themselves, on its way into the journal.
use std::sync::Arc;
use std::time::Duration;

use crate::aside::Aside;
use crate::disk;
use crate::journal::{self, Event, Journal};
use crate::supervisor::station::Weather;
use crate::supervisor::{Happening, Observer};

/// Writes the beginning and the end of each outage into the journal.
pub(super) fn weather(aside: Aside) -> Weather {
    Arc::new(move |actor: &'static str, why: Option<&str>, after: Duration| {
        let actor = actor.to_owned();
        let event = match why {
            Some(why) => Event::Degraded { actor, why: why.to_owned() },
            None => {
                Event::Recovered { actor, after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
            }
        };
        aside.note(event);
    })
}

/// Whether a person has paused an actor.
pub(super) fn paused(journal: &Journal, actor: &'static str) -> Arc<dyn Fn() -> bool + Send + Sync> {
    let journal = journal.clone();
    Arc::new(move || journal.view().levers().paused(actor).is_some())
}

/// The same for disks that do not answer.
pub(super) fn disk_weather(aside: Aside) -> disk::Weather {
    Arc::new(move |disk: &str, why: Option<&str>, after: Duration| {
        let actor = disk.to_owned();
        let event = match why {
            Some(why) => Event::Degraded { actor, why: why.to_owned() },
            None => {
                Event::Recovered { actor, after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
            }
        };
        aside.note(event);
    })
}

/// Writes every incident and its end into the journal, which tells the log.
pub fn observer(aside: Aside) -> Observer {
    let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    Arc::new(move |happening: Happening| {
        let event = match happening {
            Happening::Failed(incident) => Event::Incident(journal::Incident {
                actor: incident.actor.to_owned(),
                incarnation: incident.incarnation,
                cause: incident.exit.word().to_owned(),
                detail: incident.exit.detail().to_owned(),
                in_hand: incident.in_hand,
                streak: incident.streak,
                budget_left: incident.budget_left,
                next_delay_ms: incident.next_delay.map(ms),
                action: incident.action.as_str().to_owned(),
                outcome: incident.outcome,
            }),
            Happening::Recovered { actor, incarnation, down } => {
                Event::Restarted { actor: actor.to_owned(), incarnation, down_ms: ms(down) }
            }
        };
        aside.note(event);
    })
}
