//! The review as one screen of text: first the answer, then what it rests on.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::{IncidentAt, Review, Scope};
use crate::package::Reason;

impl Review {
    /// One screen of text: first the answer, then what it rests on.
    pub fn to_text(&self, scope: &Scope, role: &str) -> String {
        let mut t = String::new();
        // Writing into a String cannot fail.
        macro_rules! say { ($($arg:tt)*) => { { let _ok = writeln!(t, $($arg)*); } } }
        say!("Review of {role}, {} to {}", minute(scope.since), minute(scope.until));
        say!();
        match (self.needs_somebody(), self.incidents.is_empty() && self.unclean_starts.is_empty()) {
            (true, _) => say!("ACT: somebody is needed, see the lines marked with !"),
            (false, true) => say!("Nothing to do, and nothing went wrong."),
            (false, false) => say!("Nothing to do: what happened is over."),
        }
        say!();
        say!(
            "packages   {} delivered ({}), {} under way, {} stopped",
            self.delivered,
            size(self.bytes),
            self.underway,
            self.stopped.len()
        );
        let crashes: Vec<String> = self.unclean_starts.iter().map(|at| minute(*at)).collect();
        let after = if crashes.is_empty() { String::new() } else { format!(": {}", crashes.join(", ")) };
        let now = match (self.running, self.alive) {
            (true, true) => "it runs",
            (true, false) => "",
            (false, _) => "it was stopped in order",
        };
        say!(
            "daemon     {} start(s), {} of them after a crash or kill{after}; {now}",
            self.starts.len(),
            crashes.len()
        );
        if self.died() {
            say!("! it ended without a word and does not run: start it again");
        }
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
