//! What happened, is it over, does somebody have to act: the journal of a stretch of time, reviewed.
//!
//! A pure fold over journal lines: the same for a running daemon, a dead one, and a copy of the file on another host.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::clock;
use crate::journal::{Event, Incident, Line};
use crate::package::{PackageId, Reason, State};

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
    /// Starts that found no orderly end before them.
    pub unclean_starts: usize,
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
    running: bool,
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
                self.unclean_starts += usize::from(self.running && within);
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

    /// Whether a person has to act.
    pub fn needs_somebody(&self) -> bool {
        !self.stopped.is_empty() || self.outages.iter().any(|o| o.secs.is_none())
    }

    /// One screen of text: first the answer, then what it rests on.
    pub fn to_text(&self, scope: &Scope, role: &str) -> String {
        let mut t = String::new();
        let span = clock::age(scope.since, scope.until);
        // Writing into a String cannot fail.
        macro_rules! say { ($($arg:tt)*) => { { let _ok = writeln!(t, $($arg)*); } } }
        say!("Review of {role}, {} to {}", minute(scope.since), minute(scope.until));
        say!();
        match (self.needs_somebody(), self.incidents.is_empty() && self.unclean_starts == 0) {
            (true, _) => say!("ACT: somebody is needed, see the lines marked with !"),
            (false, true) => say!("Nothing to do, and nothing happened."),
            (false, false) => say!("Nothing to do: what happened is over."),
        }
        say!();
        let rate = self.bytes as f64 / span.as_secs_f64().max(1.0);
        say!(
            "packages   {} delivered ({}, {}/s on average), {} under way, {} stopped",
            self.delivered,
            size(self.bytes),
            size(rate as u64),
            self.underway,
            self.stopped.len()
        );
        say!(
            "daemon     {} start(s), {} of them after a crash or kill{}",
            self.starts.len(),
            self.unclean_starts,
            if self.running { "; running or killed" } else { "; stopped" }
        );
        let mut restarts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for one in &self.incidents {
            *restarts.entry(&one.incident.actor).or_default().entry(&one.incident.cause).or_default() += 1;
        }
        say!(
            "incidents  {}",
            if restarts.is_empty() {
                "none".to_owned()
            } else {
                let list = restarts.iter().map(|(actor, causes)| {
                    let causes: Vec<String> =
                        causes.iter().map(|(cause, n)| format!("{n} × {cause}")).collect();
                    format!("{actor} {}", causes.join(", "))
                });
                list.collect::<Vec<_>>().join("; ")
            }
        );
        if !self.stopped.is_empty() {
            say!("\nstopped packages");
            for s in &self.stopped {
                say!("! {} {} {}", minute(s.at), s.package, s.reason.map_or("held", Reason::code));
                if let Some(detail) = &s.detail {
                    say!("      {detail}");
                }
                if let Some(remedy) = s.remedy {
                    say!("      what to do: {remedy}");
                }
            }
        }
        if !self.outages.is_empty() {
            say!("\noutages");
            for o in &self.outages {
                let (mark, length) =
                    o.secs.map_or(("!", "still going on".to_owned()), |s| (" ", format!("{s:.0} s")));
                say!("{mark} {} {:<9} {length:<14} {}", minute(o.since), o.actor, o.why);
            }
        }
        if !self.incidents.is_empty() {
            say!("\nincidents");
            for IncidentAt { at, incident: i } in &self.incidents {
                say!(
                    "  {} {:<9} life {:<3} {:<6} {}",
                    minute(*at),
                    i.actor,
                    i.incarnation,
                    i.cause,
                    i.outcome
                );
                say!("      {}", i.detail);
                if !i.in_hand.is_empty() {
                    say!("      in hand: {}", i.in_hand.join(", "));
                }
                say!("      {} failure(s) in a row, {} restart(s) left", i.streak, i.budget_left);
            }
        }
        if !self.retried.is_empty() {
            say!("\nfailures that were tried again");
            for r in self.retried.iter().rev().take(20) {
                say!("  {} {:<9} {} ({}): {}", minute(r.at), r.by, r.package, r.failures, r.error);
            }
            if self.retried.len() > 20 {
                say!("  and {} earlier ones", self.retried.len() - 20);
            }
        }
        t
    }
}

/// A time to the second.
pub fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Facts;
    use crate::package::Sha256Hex;

    fn review(events: Vec<(i64, Event)>) -> (Review, Scope) {
        let at = |s: i64| Timestamp::from_second(1_800_000_000 + s).unwrap();
        let scope = Scope { since: at(0), until: at(10_000), actor: None, package: None };
        let mut review = Review::default();
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
        assert!(text.contains("Nothing to do, and nothing happened."), "{text}");
        assert!(text.contains("1 delivered (1.0 GiB"), "{text}");
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
        assert_eq!((review.unclean_starts, review.underway), (1, 1));
        let text = review.to_text(&scope, "nsc");
        for expected in [
            "ACT: somebody is needed",
            "copier 1 × panic",
            "index out of bounds (at x.rs:1)",
            "in hand: samples/b/r1",
            "samples/b/r1 md5-mismatch",
            "what to do: deliver the file again",
            "still going on",
            "6 s",
            "1 of them after a crash or kill",
        ] {
            assert!(text.contains(expected), "missing {expected:?} in\n{text}");
        }
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
