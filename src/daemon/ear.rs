//! Listens for silence, once a second; what it hears and does not hear goes into the journal.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::wishes::{Asker, Wish};
use crate::chain;
use crate::clock;
use crate::conf::AlarmConf;
use crate::journal::{Event, Journal};
use crate::silence::{Change, Witness, changes, facts};
use crate::snapshot::Snapshot;
use crate::supervisor::ChildStatus;

const EVERY: Duration = Duration::from_secs(1);

/// Listens until aborted, or until the journal takes nothing any more.
pub(super) async fn listen(
    journal: Journal,
    latest: watch::Receiver<Option<Arc<Snapshot>>>,
    limits: watch::Receiver<AlarmConf>,
    asker: Asker,
) {
    let mut counts = Counts::default();
    loop {
        tokio::time::sleep(EVERY).await;
        fail::fail_point!("ear");
        let Some(snapshot) = latest.borrow().clone() else { continue };
        if snapshot.stopping.is_some() {
            continue; // nothing new is taken, so nothing should happen any more
        }
        counts.take(&snapshot.actors, clock::now());
        let witness =
            Witness { started: snapshot.started, done: counts.last(), senders: snapshot.senders.clone() };
        let limits = *limits.borrow();
        let found = {
            let view = journal.view();
            let open = view.silences().map(|s| (s.what.clone(), s.last)).collect();
            let now = clock::now();
            changes(now, &limits, &facts(&witness, &view, now), &open)
        };
        for change in found {
            if let Err(e) = journal.record(event(change)).await {
                return asker.ask(Wish::Fatal(chain(&*e)));
            }
        }
    }
}

fn event(change: Change) -> Event {
    match change {
        Change::Silent { what, why, last } => Event::Silent { what: what.as_str().to_owned(), why, last },
        Change::Heard { what, after } => {
            Event::Heard { what, after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
        }
    }
}

/// When each actor's count of finished units last grew.
#[derive(Default)]
struct Counts(BTreeMap<String, (u64, Option<Timestamp>)>);

impl Counts {
    fn take(&mut self, actors: &[ChildStatus], now: Timestamp) {
        for actor in actors {
            let (count, last) = self.0.entry(actor.actor.clone()).or_default();
            if actor.report.done > *count {
                *last = Some(now);
            }
            *count = actor.report.done;
        }
    }

    fn last(&self) -> BTreeMap<String, Option<Timestamp>> {
        self.0.iter().map(|(actor, (_, last))| (actor.clone(), *last)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Report;

    #[test]
    fn an_actor_is_heard_when_its_count_grows() {
        let at = |secs: i64| Timestamp::from_second(1_800_000_000 + secs).unwrap();
        let poller = |done| ChildStatus {
            actor: "poller".into(),
            report: Report { done, ..Report::default() },
            ..ChildStatus::default()
        };
        let mut counts = Counts::default();
        counts.take(&[poller(0)], at(0));
        assert_eq!(counts.last(), [("poller".to_owned(), None)].into());
        counts.take(&[poller(2)], at(1));
        counts.take(&[poller(2)], at(2));
        assert_eq!(counts.last()["poller"], Some(at(1)));
        counts.take(&[poller(3)], at(9));
        assert_eq!(counts.last()["poller"], Some(at(9)));
    }
}
