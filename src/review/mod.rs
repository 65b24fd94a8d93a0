//! What happened, is it over, does somebody have to act: the journal of a stretch of time, reviewed.
//!
//! A pure fold over journal lines: the same for a running daemon, a dead one, and a copy of the file on another host.
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::clock;
use crate::journal::{Event, Incident, Line};
use crate::package::{PackageId, Reason, State};
pub use text::{minute, size};

/// What a review looks at.
#[derive(Clone, Debug)]
pub struct Scope {
    /// From.
    pub since: Timestamp,
    /// To.
    pub until: Timestamp,
    /// Only this actor.
    pub actor: Option<String>,
    /// Only packages whose name contains this.
    pub package: Option<String>,
}

/// An incident with its time.
#[derive(Clone, Debug, Serialize)]
pub struct IncidentAt {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub incident: Incident,
}

/// A time during which an actor could not work.
#[derive(Clone, Debug, Serialize)]
pub struct Outage {
    /// The actor.
    pub actor: String,
    /// What was wrong.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// How long, in seconds; none while it lasts.
    pub secs: Option<f64>,
}

/// A package that was stopped.
#[derive(Clone, Debug, Serialize)]
pub struct Stopped {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub package: PackageId,
    /// Why.
    pub reason: Option<Reason>,
    /// The details.
    pub detail: Option<String>,
    /// What to do.
    pub remedy: Option<&'static str>,
}

/// A failure that was tried again.
#[derive(Clone, Debug, Serialize)]
pub struct Retried {
    /// When.
    pub at: Timestamp,
    /// Which package.
    pub package: PackageId,
    /// Who tried.
    pub by: String,
    /// How often it had failed.
    pub failures: u32,
    /// Why.
    pub error: String,
}

/// The answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Review {
    /// Starts of the daemon.
    pub starts: Vec<Timestamp>,
    /// Starts that found no orderly end before them: a crash or a kill.
    pub unclean_starts: Vec<Timestamp>,
    /// Incidents, oldest first.
    pub incidents: Vec<IncidentAt>,
    /// Outages, oldest first.
    pub outages: Vec<Outage>,
    /// Packages that reached their end.
    pub delivered: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// Packages that were stopped and still are.
    pub stopped: Vec<Stopped>,
    /// Failures that were tried again.
    pub retried: Vec<Retried>,
    /// Packages under way at the end.
    pub underway: usize,
    /// The last start has no end in the journal.
    running: bool,
    /// Whether a daemon holds the state directory now, where that can be told.
    pub alive: bool,
    #[serde(skip)]
    states: BTreeMap<PackageId, State>,
    #[serde(skip)]
    sizes: BTreeMap<PackageId, u64>,
}

impl Review {
    /// Takes one more line into account; lines come in order.
    pub fn take(&mut self, line: &Line, scope: &Scope) {
        let within = line.at >= scope.since && line.at <= scope.until;
        if line.at > scope.until {
            return;
        }
        let of_actor = |actor: &str| scope.actor.as_deref().is_none_or(|a| a == actor);
        let of_package = |id: &PackageId| scope.package.as_deref().is_none_or(|p| id.to_string().contains(p));
        match &line.event {
            Event::Started { .. } => {
                if self.running && within {
                    self.unclean_starts.push(line.at);
                }
                self.running = true;
                self.end_outages(line.at); // a new process begins with a fair look
                if within {
                    self.starts.push(line.at);
                }
            }
            Event::Stopped { .. } => {
                self.running = false;
                self.end_outages(line.at);
            }
            Event::Incident(incident) if within && of_actor(&incident.actor) => {
                self.incidents.push(IncidentAt { at: line.at, incident: incident.clone() });
            }
            Event::Degraded { actor, why } if of_actor(actor) => {
                self.outages.push(Outage {
                    actor: actor.clone(),
                    why: why.clone(),
                    since: line.at,
                    secs: None,
                });
            }
            Event::Recovered { actor, after_ms } => {
                let open = self.outages.iter_mut().rev().find(|o| o.actor == *actor && o.secs.is_none());
                if let Some(outage) = open {
                    outage.secs = Some(Duration::from_millis(*after_ms).as_secs_f64());
                }
            }
            Event::Ordered { order } => {
                for draft in order.packages.iter().filter(|d| of_package(&d.id)) {
                    let _earlier = self.states.insert(draft.id.clone(), State::Found);
                }
            }
            Event::Moved { package, to, facts, .. } if of_package(package) => {
                let _earlier = self.states.insert(package.clone(), *to);
                if let Some(bytes) = facts.bytes {
                    let _earlier = self.sizes.insert(package.clone(), bytes);
                }
                self.stopped.retain(|s| s.package != *package);
                if matches!(to, State::Transferred | State::Ready) && within {
                    self.delivered += 1;
                    self.bytes += self.sizes.get(package).copied().unwrap_or(0);
                }
                if matches!(to, State::Quarantined | State::Held) {
                    let (reason, detail) = (facts.reason, facts.detail.clone());
                    let remedy = reason.map(Reason::remedy);
                    self.stopped.push(Stopped {
                        at: line.at,
                        package: package.clone(),
                        reason,
                        detail,
                        remedy,
                    });
                }
            }
            Event::Failed { package, by, failures, error, .. }
                if within && of_package(package) && of_actor(by) =>
            {
                let (package, by, error) = (package.clone(), by.clone(), error.clone());
                self.retried.push(Retried { at: line.at, package, by, failures: *failures, error });
            }
            _ => {}
        }
    }

    fn end_outages(&mut self, at: Timestamp) {
        for outage in self.outages.iter_mut().filter(|o| o.secs.is_none()) {
            outage.secs = Some(clock::age(outage.since, at).as_secs_f64());
        }
    }

    /// Ends the review.
    pub fn finish(&mut self, scope: &Scope) {
        let before = |o: &Outage| {
            let secs = Duration::from_secs_f64(o.secs.unwrap_or(0.0).max(0.0));
            o.secs.is_some() && o.since + secs < scope.since
        };
        self.outages.retain(|o| !before(o));
        self.underway = self.states.values().filter(|s| !s.is_settled()).count();
    }

    /// The daemon ended without a word and was not started again.
    pub fn died(&self) -> bool {
        self.running && !self.alive
    }

    /// Packages that the filter lets through.
    pub fn packages(&self) -> usize {
        self.states.len()
    }

    /// Whether a person has to act.
    pub fn needs_somebody(&self) -> bool {
        !self.stopped.is_empty() || self.died() || self.outages.iter().any(|o| o.secs.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Facts;
    use crate::package::Sha256Hex;

    fn review(events: Vec<(i64, Event)>) -> (Review, Scope) {
        let at = |s: i64| Timestamp::from_second(1_800_000_000 + s).unwrap();
        let scope = Scope { since: at(0), until: at(10_000), actor: None, package: None };
        let mut review = Review { alive: true, ..Review::default() };
        for (seq, (secs, event)) in events.into_iter().enumerate() {
            review
                .take(&Line { v: 1, seq: seq as u64, at: at(secs), prev: Sha256Hex::zero(), event }, &scope);
        }
        review.finish(&scope);
        (review, scope)
    }

    fn moved(name: &str, to: State, facts: Facts) -> Event {
        Event::Moved {
            package: format!("samples/{name}/r1").parse().unwrap(),
            from: None,
            to,
            by: "t".into(),
            facts,
        }
    }

    fn started() -> Event {
        Event::Started { role: "nsc".into(), host: "h".into(), pid: 1, version: "0".into() }
    }

    #[test]
    fn a_quiet_night() {
        let facts = Facts { bytes: Some(1 << 30), ..Facts::default() };
        let (review, scope) = review(vec![
            (1, started()),
            (2, moved("a", State::Uploading, Facts::default())),
            (3, moved("a", State::Committed, facts)),
            (4, moved("a", State::Transferred, Facts::default())),
        ]);
        let text = review.to_text(&scope, "nsc");
        assert!(text.contains("Nothing to do, and nothing went wrong."), "{text}");
        assert!(text.contains("1 delivered (1.0 GiB)"), "{text}");
        assert_eq!((review.delivered, review.bytes, review.underway), (1, 1 << 30, 0));
    }

    #[test]
    fn a_night_with_everything() {
        let incident = Incident {
            actor: "copier".into(),
            incarnation: 2,
            cause: "panic".into(),
            detail: "index out of bounds (at x.rs:1)".into(),
            in_hand: vec!["samples/b/r1".into()],
            streak: 1,
            budget_left: 9,
            next_delay_ms: Some(150),
            action: "restart".into(),
            outcome: "restarted in 150 ms".into(),
        };
        let stopped = Facts {
            reason: Some(Reason::Md5Mismatch),
            detail: Some("x_R1 differs".into()),
            ..Facts::default()
        };
        let (review, scope) = review(vec![
            (-100, Event::Degraded { actor: "poller".into(), why: "LIMS down".into() }),
            (-50, Event::Recovered { actor: "poller".into(), after_ms: 50_000 }),
            (1, started()),
            (2, Event::Incident(incident)),
            (3, Event::Degraded { actor: "uploader".into(), why: "token expired".into() }),
            (9, Event::Recovered { actor: "uploader".into(), after_ms: 6_000 }),
            (10, started()),
            (11, Event::Degraded { actor: "uploader".into(), why: "503".into() }),
            (12, moved("b", State::Quarantined, stopped)),
            (13, moved("c", State::Uploading, Facts::default())),
        ]);
        assert_eq!(review.outages.len(), 2, "the one before the window is not shown");
        assert_eq!((review.unclean_starts.len(), review.underway), (1, 1));
        let text = review.to_text(&scope, "nsc");
        for expected in [
            "ACT: somebody is needed",
            "copier 1 × panic",
            "index out of bounds (at x.rs:1)",
            "in hand: samples/b/r1",
            "samples/b/r1 md5-mismatch",
            "what to do: have the file delivered again",
            "still going on",
            "6 s",
            "1 of them after a crash or kill: 2027-01-15 08:00:10Z",
        ] {
            assert!(text.contains(expected), "missing {expected:?} in\n{text}");
        }
    }

    #[test]
    fn a_daemon_that_died_needs_somebody() {
        let (mut review, scope) = review(vec![(1, started())]);
        assert!(!review.needs_somebody());
        review.alive = false;
        assert!(review.needs_somebody());
        assert!(review.to_text(&scope, "nsc").contains("! it ended without a word"));
    }

    #[test]
    fn a_package_that_was_released_is_not_stopped_any_more() {
        let (review, _) = review(vec![
            (1, moved("a", State::Quarantined, Facts::default())),
            (2, moved("a", State::Packed, Facts::default())),
        ]);
        assert!(review.stopped.is_empty() && !review.needs_somebody());
    }
}
