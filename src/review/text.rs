//! The review as one screen of text: first the answer, then what it rests on.
//!
//! The screen stays a screen however much happened: each list gets as many of its newest entries as there is room for. Who asks
//! for an actor, a package or a level gets all of that.
use std::fmt::Write as _;

use super::answer::{IncidentAt, Review, Slow};
use super::flow::SLOW;
use super::words::{clip, count, length, minute, number};

/// Lines of a screen.
const SCREEN: usize = 40;
/// Lines for what needs somebody, and for lists that were asked for.
const ACTS: usize = 6;
/// A longer line is cut ...
const WIDE: usize = 200;
/// ... unless it was asked for.
const WHOLE: usize = 2000;

/// A list below the summary: a title, entries of one or more lines (the newest first), and how to see the rest.
struct Section {
    title: String,
    entries: Vec<Vec<String>>,
    rest: &'static str,
    /// It was asked for: it is shown whole.
    asked: bool,
}

impl Section {
    /// Lines it takes with `shown` of its entries.
    fn lines(&self, shown: usize) -> usize {
        let entries: usize = self.entries.iter().take(shown).map(Vec::len).sum();
        if shown == 0 { 0 } else { 2 + entries + usize::from(shown < self.entries.len()) }
    }
}

impl Review {
    /// One screen of text: first the answer, then what it rests on.
    pub fn to_text(&self) -> String {
        let mut t = format!("{}\n{}\n", self.sentence(), self.title());
        // Writing into a String cannot fail.
        macro_rules! say { ($($arg:tt)*) => { { let _ok = writeln!(t, $($arg)*); } } }
        if !self.act.is_empty() {
            say!();
        }
        for act in self.act.iter().take(ACTS) {
            say!("! {}", clip(&act.what, 2 * WIDE));
            say!("    → {}", act.cure);
        }
        if self.act.len() > ACTS {
            say!("! and {} more: --json or --html FILE shows all", self.act.len() - ACTS);
        }
        say!();
        for (name, what) in self.summary() {
            say!("{name:<11} {what}");
        }
        let sections = self.sections();
        let room = SCREEN.saturating_sub(t.lines().count());
        for (section, shown) in sections.iter().zip(fit(&sections, room)) {
            if shown == 0 {
                continue;
            }
            say!("\n{}", section.title);
            let most = if section.asked { WHOLE } else { WIDE };
            section.entries.iter().take(shown).flatten().for_each(|line| say!("  {}", clip(line, most)));
            if shown < section.entries.len() {
                say!("  and {} more: {}", number((section.entries.len() - shown) as u64), section.rest);
            }
        }
        t
    }

    fn sections(&self) -> Vec<Section> {
        let (actor, package) = (self.actor.is_some(), self.package.is_some());
        let outage = |o: &super::answer::Outage| {
            let for_ = o.secs.map_or("STILL GOING ON".to_owned(), length);
            vec![format!("{} {:<9} {for_:<14} {}", minute(o.since), o.actor, o.why)]
        };
        let silence = |s: &super::answer::Silence| {
            let for_ = s.secs.map_or("STILL GOING ON".to_owned(), length);
            vec![format!("{} {:<9} {for_:<14} {}", minute(s.last), s.what, s.why)]
        };
        let stopped = |s: &super::answer::Stopped| {
            let (reason, detail) =
                (s.reason.as_deref().unwrap_or("held"), s.detail.as_deref().unwrap_or_default());
            vec![format!("{} {} {reason} {detail}", minute(s.at), s.package)]
        };
        let slow = |s: &Slow| {
            let median = s.median_secs.map(|m| format!(", median {}", length(m))).unwrap_or_default();
            vec![format!("{} {}: {} since {}{median}", length(s.secs), s.package, s.state, minute(s.since))]
        };
        let damage =
            |d: &super::logs::Damage| vec![format!("{} line {}: {}", d.path.display(), d.line, d.why)];
        let message = |m: &super::messages::Message| {
            let times = if m.count == 1 {
                minute(m.last)
            } else {
                format!("{} to {}", minute(m.first), minute(m.last))
            };
            vec![
                format!("{:<5} {} × {} ({times})", m.level.as_str(), number(m.count), m.message),
                format!("      {}", m.fields),
            ]
        };
        let section =
            |title: &str, entries, rest, asked| Section { title: title.to_owned(), entries, rest, asked };
        vec![
            section(
                "way of the packages",
                self.steps
                    .iter()
                    .map(|s| vec![format!("{} {} {}", minute(s.at), s.package, s.what)])
                    .collect(),
                "--json",
                package,
            ),
            section(
                "by hand, the newest first",
                self.levers
                    .iter()
                    .rev()
                    .map(|s| vec![format!("{} {} {}", minute(s.at), s.package, s.what)])
                    .collect(),
                "--json",
                false,
            ),
            section(
                "stopped packages, the newest first",
                if self.stopped_together() {
                    self.stopped.iter().rev().map(stopped).collect()
                } else {
                    Vec::new()
                },
                "--json",
                false,
            ),
            section(
                "incidents, the newest first",
                self.incidents.iter().rev().map(incident).collect(),
                "--actor NAME shows all of one",
                actor,
            ),
            section(
                "outages, the newest first",
                self.outages.iter().rev().map(outage).collect(),
                "--actor NAME shows all of one",
                actor,
            ),
            section(
                "silences, the newest first",
                self.silences.iter().rev().map(silence).collect(),
                "--json",
                false,
            ),
            section(
                &format!("slow packages: {SLOW}"),
                self.slow.iter().map(slow).collect(),
                "--json",
                package,
            ),
            section(
                "failures that were tried again, the newest first",
                self.retried
                    .iter()
                    .rev()
                    .map(|r| {
                        vec![format!(
                            "{} {:<9} {} ({}): {}",
                            minute(r.at),
                            r.by,
                            r.package,
                            r.failures,
                            r.error
                        )]
                    })
                    .collect(),
                "--package NAME or --actor NAME shows all of one",
                actor || package,
            ),
            section(
                "lines of the log, the worst first",
                self.log.messages.iter().map(message).collect(),
                "--json",
                true,
            ),
            section(
                "damaged lines of the log (skipped)",
                self.sources.log.damages.iter().map(damage).collect(),
                "--json",
                false,
            ),
            section(
                "events not understood",
                self.sources.log.foreigns.iter().map(damage).collect(),
                "--json",
                false,
            ),
        ]
    }
}

fn incident(one: &IncidentAt) -> Vec<String> {
    let i = &one.incident;
    let down = one.down_secs.map(|s| format!("back after {}", length(s)));
    let over = match (one.over_by, down) {
        (Some("restarted"), Some(down)) => down,
        (Some("went-on"), Some(down)) => format!("{down} at most"),
        (Some("failed-again"), _) => "failed again".into(),
        (Some("new-start"), _) => "ended by a new start of the daemon".into(),
        (Some("stopped"), _) => "ended with the daemon".into(),
        _ => "NOT OVER".into(),
    };
    let mut lines = vec![format!(
        "{} {:<9} {:<7} {over}; {}, {} left",
        minute(one.at),
        i.actor,
        i.cause,
        match i.streak {
            0 | 1 => "first in a row".to_owned(),
            n => format!("{n} in a row"),
        },
        count(i.budget_left as u64, "restart"),
    )];
    let hand =
        if i.in_hand.is_empty() { String::new() } else { format!(" | in hand: {}", i.in_hand.join(", ")) };
    lines.push(format!("      {}{hand}", i.detail));
    lines
}

/// How many entries of each section are shown: one more of each in turn while there is room.
fn fit(sections: &[Section], room: usize) -> Vec<usize> {
    let mut shown: Vec<usize> = sections.iter().map(|s| if s.asked { s.entries.len() } else { 0 }).collect();
    let free: Vec<usize> =
        (0..sections.len()).filter(|n| sections.get(*n).is_some_and(|s| !s.asked)).collect();
    let lines = |shown: &[usize]| -> usize {
        free.iter().filter_map(|n| Some(sections.get(*n)?.lines(*shown.get(*n)?))).sum()
    };
    loop {
        let before = shown.clone();
        for n in &free {
            let (Some(section), Some(now)) = (sections.get(*n), shown.get(*n).copied()) else { continue };
            if now < section.entries.len() {
                let mut more = shown.clone();
                more[*n] += 1;
                if lines(&more) <= room {
                    shown = more;
                }
            }
        }
        if shown == before {
            return shown;
        }
    }
}
