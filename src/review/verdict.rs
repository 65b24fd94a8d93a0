//! Does somebody have to act, and on what? Rather too often than a wrong "nothing to do".
use std::collections::BTreeMap;

use super::answer::{Act, Alive, Daemon, Doubt, IncidentAt, Review, Stopped, Verdict};
use super::words::{clip, length, minute};
use crate::clock;
use crate::package::Reason;

/// An actor that is not back this long after its restart was due does not come back by itself.
const GRACE_SECS: f64 = 60.0;
/// More packages stopped for the same reason are one thing to do.
const FEW: usize = 3;
/// The reason of what a person stopped.
const HELD: &str = "held by a person";
/// A longer text is cut in a line of the screen; the JSON has all of it.
const CLIP: usize = 300;

/// Everything that needs somebody, the worst first.
pub(super) fn acts(r: &Review, twice: bool) -> Vec<Act> {
    let mut acts = Vec::new();
    let mut act = |what: String, cure: &str| acts.push(Act { what, cure: cure.to_owned() });
    if let Some(why) = &r.sources.journal_trouble {
        act(
            format!("journal: {why}"),
            "do what it says before the next start; this answer rests on the log for what the journal does not tell",
        );
    }
    for daemon in &r.daemons {
        of_daemon(daemon, &mut act);
    }
    for one in r.incidents.iter().filter(|i| i.over_at.is_none()) {
        of_incident(one, r, &mut act);
    }
    for o in r.outages.iter().filter(|o| o.secs.is_none()) {
        let (for_, why) = (length(clock::age(o.since, r.until).as_secs_f64()), clip(&o.why, CLIP));
        act(
            format!("outage: {} cannot work since {} ({for_}): {why}", o.actor, minute(o.since)),
            "mend what it names; work goes on by itself then (docs/operations.md, DEGRADED)",
        );
    }
    for s in r.silences.iter().filter(|s| s.secs.is_none()) {
        let for_ = length(clock::age(s.last, r.until).as_secs_f64());
        act(format!("silence: not {} since {} ({for_})", s.what, minute(s.last)), &clip(&s.why, CLIP));
    }
    for o in &r.open_orders {
        let step = o.step.as_deref().unwrap_or("none");
        let detail = clip(o.detail.as_deref().unwrap_or_default(), CLIP);
        act(
            format!(
                "order {} (LIMS step {step}) waits for a person since {}: {detail}",
                o.order,
                minute(o.at)
            ),
            if o.flagged {
                "see to what it says; it is said for 14 days"
            } else {
                "look at the step in the LIMS and end it there"
            },
        );
    }
    of_doubts(r, &mut act);
    of_stopped(r, &mut act);
    for t in &r.sources.log.troubles {
        act(
            format!("not read: {}: {}", t.path.display(), clip(&t.why, CLIP)),
            "this answer lacks what stands there; make it readable and ask again",
        );
    }
    if twice {
        act(
            "not sure: the same log was given from two places".into(),
            "numbers are doubled; give each log once",
        );
    }
    acts
}

fn of_daemon(d: &Daemon, act: &mut dyn FnMut(String, &str)) {
    let heard = d.last_heard.map(|at| format!(", last heard of at {}", minute(at))).unwrap_or_default();
    match (d.running, d.alive, &d.last_end) {
        (true, Alive::Gone, _) => act(
            format!("daemon: it ended without a word (crash, kill or power cut){heard}, and does not run"),
            "start it again; nothing is lost, it resumes where it was",
        ),
        (true, Alive::Hangs(secs), _) => act(
            format!("daemon: its process is there but has not reported for {}", length(secs as f64)),
            "look whether it is suspended or its disk hangs; if it stays so, kill it and start it again",
        ),
        (false, Alive::Gone | Alive::Unknown, Some(end)) if end.exit != 0 => act(
            format!(
                "daemon: it gave up at {} with exit code {}: {}",
                minute(end.at),
                end.exit,
                clip(&end.why, CLIP)
            ),
            "mend that and start it again; the service manager should have done so (docs/operations.md, Other endings)",
        ),
        _ => {}
    }
}

fn of_incident(one: &IncidentAt, r: &Review, act: &mut dyn FnMut(String, &str)) {
    let i = &one.incident;
    let said = format!("{} at {}: {}", i.cause, minute(one.at), clip(&i.detail, CLIP));
    let running = r.daemons.get(one.stream).is_none_or(|d| d.running && d.alive != Alive::Gone);
    if !running {
        return; // what is said of the daemon is the whole of it
    }
    let late = clock::age(one.at, r.until).as_secs_f64() - i.next_delay_ms.unwrap_or(0) as f64 / 1000.0;
    match i.action.as_str() {
        "given-up" => act(
            format!("incident: {} stays down after too many restarts, the others go on: {said}", i.actor),
            "mend the cause, then restart the daemon",
        ),
        _ if late > GRACE_SECS => act(
            format!("incident: {} did not come back: {said}", i.actor),
            "look at `status`; if it stays down, restart the daemon and report the fault",
        ),
        _ => {} // it is being restarted
    }
}

/// Queued samples that somebody must correct; many with one reason are one thing to do.
fn of_doubts(r: &Review, act: &mut dyn FnMut(String, &str)) {
    let mut by_reason: BTreeMap<&str, Vec<&Doubt>> = BTreeMap::new();
    for doubt in r.doubts.iter().filter(|d| d.refused.is_none()) {
        by_reason.entry(&doubt.reason).or_default().push(doubt);
    }
    for (code, doubts) in by_reason {
        let known = Reason::ALL.iter().find(|reason| reason.code() == code);
        let cure = known.map_or("see what `status` says of it", |reason| reason.remedy());
        if doubts.len() > FEW {
            let names: Vec<&str> = doubts.iter().take(FEW).map(|d| d.who.as_str()).collect();
            act(
                format!("doubted: {} queued samples {code}, among them {}", doubts.len(), names.join(", ")),
                cure,
            );
            continue;
        }
        for d in doubts {
            let detail = clip(&d.detail, CLIP);
            act(
                format!("doubted: {} ({}) {code} since {}: {detail}", d.who, d.artifact, minute(d.since)),
                cure,
            );
        }
    }
}

/// Packages stopped for one reason want one thing done; many of them must not hide the rest.
fn of_stopped(r: &Review, act: &mut dyn FnMut(String, &str)) {
    let unknown = "find out who stopped it and why (`review --package NAME`)";
    for group in r.stopped_by_reason() {
        let Some(newest) = group.last() else { continue };
        let (reason, cure) = (newest.reason.as_deref().unwrap_or(HELD), newest.remedy.unwrap_or(unknown));
        if group.len() > FEW {
            let names: Vec<&str> = group.iter().rev().take(FEW).map(|s| s.package.as_str()).collect();
            let (count, since) = (group.len(), group.first().map_or(newest.at, |first| first.at));
            act(
                format!(
                    "stopped: {count} packages {reason} since {}, the newest {}",
                    minute(since),
                    names.join(", ")
                ),
                cure,
            );
            continue;
        }
        for s in group.iter().rev() {
            let detail = s.detail.as_deref().map(|d| format!(": {}", clip(d, CLIP))).unwrap_or_default();
            act(format!("stopped: {} {reason} since {}{detail}", s.package, minute(s.at)), cure);
        }
    }
}

/// The verdict.
pub(super) fn verdict(r: &Review, anything: bool) -> Verdict {
    if !r.act.is_empty() {
        return Verdict::Act;
    }
    // A journal says what was true at a time also if nothing happened in it, but not before its first line.
    if r.daemons.is_empty() || (!anything && r.sources.journal_lines == 0) {
        return Verdict::NoAnswer;
    }
    let odd = r.daemons.iter().flat_map(|d| &d.starts).any(|s| s.after_crash)
        || r.daemons.iter().flat_map(|d| &d.ends).any(|e| e.exit != 0)
        || !r.incidents.is_empty()
        || !r.outages.is_empty()
        || !r.silences.is_empty()
        || r.quarantined > 0
        || r.retried_count > 0;
    if odd { Verdict::Over } else { Verdict::Quiet }
}

impl Review {
    /// Stopped packages by reason, each group oldest first, the group with the newest first.
    fn stopped_by_reason(&self) -> Vec<Vec<&Stopped>> {
        let mut groups: BTreeMap<Option<&str>, Vec<&Stopped>> = BTreeMap::new();
        for s in &self.stopped {
            groups.entry(s.reason.as_deref()).or_default().push(s);
        }
        let mut groups: Vec<Vec<&Stopped>> = groups.into_values().collect();
        groups.sort_by_key(|g| std::cmp::Reverse(g.last().map(|s| s.at)));
        groups
    }

    /// Stopped packages that were put together where it says what to do, so that a list of them is wanted.
    pub(super) fn stopped_together(&self) -> bool {
        self.stopped_by_reason().iter().any(|g| g.len() > FEW)
    }

    /// The verdict in one sentence.
    pub fn sentence(&self) -> String {
        let mut sentence = match (self.verdict, self.act.len()) {
            (Verdict::Act, 1) => "ACT: one thing needs somebody, see the line marked with !".to_owned(),
            (Verdict::Act, n) => format!("ACT: {n} things need somebody, see the lines marked with !"),
            (Verdict::Over, _) => "Nothing to do: what happened is over.".to_owned(),
            (Verdict::Quiet, _) => "Nothing to do, and nothing went wrong.".to_owned(),
            (Verdict::NoAnswer, _) if self.sources.journal_lines > 0 => {
                format!("NO ANSWER: the journal begins after {}", minute(self.until))
            }
            (Verdict::NoAnswer, _) => match self.sources.log.last {
                Some(last) => format!(
                    "NO ANSWER: the log has nothing of this time, it ends at {}; ask with an earlier --since",
                    minute(last)
                ),
                None => "NO ANSWER: there is no journal, and no line of a log could be read".to_owned(),
            },
        };
        if matches!(self.verdict, Verdict::Over | Verdict::Quiet) {
            if self.daemons.iter().any(|d| d.alive == Alive::Unknown && d.last_end.is_none()) {
                sentence.push_str(" (As far as was read: whether it runs now, a log cannot tell.)");
            } else if self.daemons.iter().any(|d| d.last_end.is_some()) {
                sentence.push_str(" (But it does not run: it was stopped in order.)");
            }
        }
        sentence
    }
}
