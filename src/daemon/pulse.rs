//! Asks the supervisor how it is, at least every second. Its answer is the proof of life: without one the service manager's
//! watchdog gets no ping and `status.json` grows old.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Addr;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Stopping;
use crate::clock;
use crate::journal::Journal;
use crate::notices::Notices;
use crate::notify::Notifier;
use crate::nsc::cleaning::Stock;
use crate::package::State;
use crate::snapshot::{self, Late, Snapshot};
use crate::store::Store;
use crate::supervisor::meter::Board;
use crate::supervisor::{ChildStatus, Status, Supervisor};
use crate::tell;
use crate::tsd::{Senders, Share};

const EVERY: Duration = Duration::from_secs(1);
/// A supervisor that has not answered for this long is worth a line in the log.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the rest of the process needs after the last actor is gone.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// What the pulse needs; it runs beside the main thread.
pub(super) struct Pulse {
    pub supervisor: Addr<Supervisor>,
    pub journal: Journal,
    pub board: Board,
    pub store: Store,
    pub notices: Vec<Notices>,
    pub senders: Senders,
    pub stock: Stock,
    pub share: Share,
    pub notifier: Arc<Notifier>,
    pub drain: Duration,
    pub channels: tell::Board,
    pub stopping: watch::Receiver<Option<Stopping>>,
    pub started: Timestamp,
}

impl Pulse {
    /// Beats until aborted, or until the supervisor is gone.
    pub(super) async fn beat(mut self, news: watch::Sender<Option<Arc<Snapshot>>>) {
        // Asked twice within half the watchdog's time, so that one slow answer is not the end.
        let pause = self.notifier.watchdog().map_or(EVERY, |limit| (limit / 4).min(EVERY));
        let (mut ready, mut silent) = (false, None::<Instant>);
        let (mut queue, mut told) = (Queue::default(), String::new());
        loop {
            let asked = Instant::now();
            match timeout(PATIENCE, self.supervisor.send(Status)).await {
                Ok(Ok(mut actors)) => {
                    if let Some(since) = silent.take() {
                        tracing::info!(after = ?since.elapsed(), "the supervisor answers again");
                    }
                    actors.reverse(); // shown in the order of flow
                    self.notifier.alive();
                    let snapshot = self.snapshot(actors, &mut queue);
                    if !ready && snapshot.stopping.is_none() && snapshot.actors.iter().all(|a| a.up) {
                        ready = true;
                        self.notifier.ready();
                    }
                    if let Some(stopping) = &snapshot.stopping {
                        self.notifier.extend(Duration::from_secs(stopping.left_secs) + AFTERWARDS);
                    }
                    let line = line(&snapshot, &self.journal.view().tally());
                    if line != told {
                        self.notifier.status(&line);
                        told = line;
                    }
                    let _was = news.send_replace(Some(Arc::new(snapshot)));
                }
                Ok(Err(_gone)) => return,
                Err(_) if silent.is_none() => {
                    silent = Some(asked);
                    tracing::error!(after = ?PATIENCE, "the supervisor does not answer; the service manager gets no sign of life until it does");
                }
                Err(_) => {}
            }
            drop(timeout(pause, self.stopping.changed()).await); // no later than a wish to stop
        }
    }

    fn snapshot(&self, actors: Vec<ChildStatus>, queue: &mut Queue) -> Snapshot {
        let mut not_taken = BTreeMap::new();
        self.notices.iter().for_each(|n| not_taken.extend(n.now()));
        let stopping = self.stopping.borrow().clone().map(|stopping| {
            let (late, left) = queue.late(&actors, self.drain, Instant::now());
            snapshot::Stopping { since: stopping.since, why: stopping.why, late, left_secs: left.as_secs() }
        });
        Snapshot {
            at: clock::now(),
            started: self.started,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            actors,
            moving: self.board.motions(),
            wire: Some(self.store.wire()),
            not_taken,
            senders: self.senders.now(),
            resting: self.stock.now(),
            share: self.share.now(),
            silences: self.journal.view().silences().cloned().collect(),
            channels: self.channels.now(),
            stopping,
        }
    }
}

/// Actors leave one after the other, sources first: whose turn it is, and since when.
#[derive(Default)]
struct Queue(Option<(String, Instant)>);

impl Queue {
    /// Who has not left yet, and how long that can take at most.
    fn late(&mut self, actors: &[ChildStatus], drain: Duration, now: Instant) -> (Vec<Late>, Duration) {
        let up: Vec<&ChildStatus> = actors.iter().filter(|a| a.up).collect();
        let Some(turn) = up.first() else { return (Vec::new(), Duration::ZERO) };
        if self.0.as_ref().is_none_or(|(actor, _)| *actor != turn.actor) {
            self.0 = Some((turn.actor.clone(), now));
        }
        let used = self.0.as_ref().map_or(Duration::ZERO, |(_, since)| now - *since);
        let others = drain.saturating_mul(u32::try_from(up.len() - 1).unwrap_or(u32::MAX));
        let late = |a: &&ChildStatus| Late { actor: a.actor.clone(), in_hand: a.report.in_hand.clone() };
        (up.iter().map(late).collect(), drain.saturating_sub(used).saturating_add(others))
    }
}

/// One line for the service manager, whose log is read by more people than ours: counts and actors, no names of packages and
/// no texts of errors, which may hold them.
fn line(snapshot: &Snapshot, tally: &BTreeMap<State, usize>) -> String {
    let count = |wanted: fn(State) -> bool| -> usize {
        tally.iter().filter(|(state, _)| wanted(**state)).map(|(_, n)| n).sum()
    };
    let underway = count(|s| !s.is_settled());
    let stopped = count(|s| matches!(s, State::Quarantined | State::Held));
    let mut parts = vec![format!("{underway} package(s) under way")];
    if let Some(stopping) = &snapshot.stopping {
        let late: Vec<String> =
            stopping.late.iter().map(|l| format!("{} ({} in hand)", l.actor, l.in_hand.len())).collect();
        parts.insert(
            0,
            format!("stopping, at most {} s left, waiting for {}", stopping.left_secs, names(&late)),
        );
    }
    if stopped > 0 {
        parts.push(format!("{stopped} stopped and waiting for a person"));
    }
    let of = |wanted: fn(&ChildStatus) -> bool| -> Vec<String> {
        snapshot.actors.iter().filter(|a| wanted(a)).map(|a| a.actor.clone()).collect()
    };
    let (down, degraded) = (of(|a| !a.up), of(|a| a.up && a.report.degraded.is_some()));
    if !down.is_empty() && snapshot.stopping.is_none() {
        parts.push(format!("down: {}", names(&down)));
    }
    if !degraded.is_empty() {
        parts.push(format!("DEGRADED: {}", names(&degraded)));
    }
    if !snapshot.silences.is_empty() {
        let silent: Vec<String> = snapshot.silences.iter().map(|s| s.what.clone()).collect();
        parts.push(format!("SILENT: {}", names(&silent)));
    }
    parts.join("; ")
}

fn names(list: &[String]) -> String {
    if list.is_empty() { "nobody".to_owned() } else { list.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Silence;
    use crate::supervisor::Report;

    fn actor(name: &str, up: bool, in_hand: &[&str], degraded: Option<&str>) -> ChildStatus {
        let report = Report {
            in_hand: in_hand.iter().map(ToString::to_string).collect(),
            degraded: degraded.map(str::to_owned),
            ..Report::default()
        };
        ChildStatus { actor: name.into(), up, report, ..ChildStatus::default() }
    }

    fn snapshot(actors: Vec<ChildStatus>) -> Snapshot {
        let now = clock::now();
        Snapshot { actors, ..Snapshot::empty(now) }
    }

    #[test]
    fn the_line_counts_and_names_no_package() {
        let tally =
            [(State::Ready, 90), (State::Copying, 2), (State::Seen, 1), (State::Quarantined, 1)].into();
        let id = "samples/Diag-wgs1-HG12345677/r1";
        let why = format!("the store did not put {id}");
        let mut seen = snapshot(vec![
            actor("watcher", true, &[], None),
            actor("copier", true, &[id], Some(&why)),
            actor("verifier", false, &[], None),
        ]);
        let said = line(&seen, &tally);
        let expected =
            "3 package(s) under way; 1 stopped and waiting for a person; down: verifier; DEGRADED: copier";
        assert_eq!(said, expected);
        let now = clock::now();
        seen.silences = vec![Silence { what: "ready".into(), why, last: now, since: now }];
        let late = vec![Late { actor: "copier".into(), in_hand: vec![id.into()] }];
        seen.stopping = Some(snapshot::Stopping { since: now, why: "SIGTERM".into(), late, left_secs: 14 });
        let said = line(&seen, &tally);
        assert!(
            said.starts_with("stopping, at most 14 s left, waiting for copier (1 in hand); 3 pack"),
            "{said}"
        );
        assert!(said.ends_with("; SILENT: ready") && !said.contains("HG1"), "{said}");
    }

    #[test]
    fn who_is_late_and_how_long_is_left() {
        let (mut queue, start, drain) = (Queue::default(), Instant::now(), Duration::from_secs(20));
        let after = |secs| start + Duration::from_secs(secs);
        let all = [actor("a", true, &[], None), actor("b", true, &["x"], None), actor("c", true, &[], None)];
        let (late, left) = queue.late(&all, drain, start);
        assert_eq!((late.len(), left.as_secs()), (3, 60));
        assert_eq!(queue.late(&all, drain, after(5)).1.as_secs(), 55);
        let rest = [actor("a", false, &[], None), all[1].clone(), all[2].clone()];
        let (late, left) = queue.late(&rest, drain, after(6));
        assert_eq!((late[0].actor.as_str(), late[0].in_hand[0].as_str(), left.as_secs()), ("b", "x", 40));
        assert_eq!(
            queue.late(&rest, drain, after(90)).1.as_secs(),
            20,
            "overdue itself, the next one still has its time"
        );
        let none = [actor("a", false, &[], None)];
        assert_eq!(queue.late(&none, drain, after(91)), (vec![], Duration::ZERO));
    }
}
