//! The review as one screen of text: first the answer, then what it rests on.
//!
//! The screen stays a screen however much happened: each list gets as many of its newest entries as there is room for. Who asks
//! for an actor, a package or a level gets all of that.
use std::fmt::Write as _;

use super::answer::{Alive, Daemon, IncidentAt, Review, Slow};
use super::flow::SLOW;
use super::words::{clip, count, length, minute, number, rate, size};

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

    /// What was reviewed, of when.
    pub(super) fn title(&self) -> String {
        let who = |d: &Daemon| match (d.role.as_str(), d.host.as_str()) {
            ("", _) => "a daemon whose start was not read".to_owned(),
            (role, host) => format!("{role} on {host}"),
        };
        let who: Vec<String> = self.daemons.iter().map(who).collect();
        let who = if who.is_empty() { "nothing".to_owned() } else { who.join(", ") };
        let mut only = String::new();
        if let Some(actor) = &self.actor {
            let _ok = write!(only, "; only actor {actor}");
        }
        if let Some(package) = &self.package {
            let _ok = write!(only, "; only packages with {package:?}");
        }
        let (from, to) = (minute(self.since), minute(self.until));
        format!("Review of {who}, {from} to {to} ({}){only}", length(self.span_secs()))
    }

    /// Name and text of each line of the summary.
    pub(super) fn summary(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<(&'static str, String)> = Vec::new();
        for d in &self.daemons {
            let name =
                if self.daemons.len() > 1 { format!("{} on {}: ", d.role, d.host) } else { String::new() };
            lines.push(("daemon", name + &self.of_daemon(d)));
        }
        lines.push(("incidents", self.of_incidents()));
        lines.push(("outages", self.of_outages()));
        lines.push(("silences", self.of_silences()));
        lines.push(("packages", self.of_packages()));
        lines.push(("slow", self.of_slow()));
        lines.push(("throughput", self.of_throughput()));
        if !self.reloads.is_empty() {
            let waits = self.reloads.last().filter(|(_, _, w)| !w.is_empty());
            let waits = waits.map(|(_, _, w)| format!("; waits for a restart: {w}")).unwrap_or_default();
            lines.push((
                "settings",
                format!("read again {}{waits}", count(self.reloads.len() as u64, "time")),
            ));
        }
        lines.push(("log", self.of_log()));
        lines.push(("read from", self.of_sources()));
        lines
    }

    fn of_daemon(&self, d: &Daemon) -> String {
        let crashes: Vec<String> = d.starts.iter().filter(|s| s.after_crash).map(|s| minute(s.at)).collect();
        let since = d.since.map(|at| format!(" since {}", minute(at))).unwrap_or_default();
        let now = match (d.running, d.alive, &d.last_end) {
            (true, Alive::Runs, _) => format!("runs{since}"),
            (true, Alive::Hangs(_), _) => format!("HANGS, runs{since}"),
            (true, Alive::Gone, _) => "DOES NOT RUN, ended without a word".to_owned(),
            (true, Alive::Unknown, _) => {
                format!("ran at the end of this time{}", since.replace(" since", ", started"))
            }
            (false, _, Some(end)) if end.exit == 0 => {
                format!("does not run, was stopped in order at {}", minute(end.at))
            }
            (false, _, Some(end)) => {
                format!("does not run, gave up at {} (exit code {})", minute(end.at), end.exit)
            }
            (false, _, None) => "not known: neither a start nor an end of it was read".to_owned(),
        };
        let mut text = format!("{now}; up {}", length(d.up_secs));
        if !crashes.is_empty() || (d.running && d.alive == Alive::Gone) {
            text.push_str(" at least");
        }
        let _ok = write!(text, " of {}; {}", length(self.span_secs()), count(d.starts.len() as u64, "start"));
        if !crashes.is_empty() {
            let newest = crashes.iter().rev().take(3).cloned().collect::<Vec<_>>().join(", ");
            let more = if crashes.len() > 3 { " …" } else { "" };
            let _ok = write!(text, ", {} after a crash or kill: {newest}{more}", crashes.len());
        }
        text
    }

    fn of_incidents(&self) -> String {
        if self.incidents.is_empty() {
            return "none".into();
        }
        let actors = self.causes.iter().map(|(actor, causes)| {
            let causes: Vec<String> = causes.iter().map(|(cause, n)| format!("{n} × {cause}")).collect();
            format!("{actor} {}", causes.join(", "))
        });
        let mut text = actors.collect::<Vec<_>>().join("; ");
        if text.is_empty() {
            text.push_str("none new, one from before");
        }
        let open = self.incidents.iter().filter(|i| i.over_at.is_none()).count();
        text.push_str(&if open == 0 { "; all over".to_owned() } else { format!("; {open} NOT OVER") });
        let mut back: Vec<f64> = self.incidents.iter().filter_map(|i| i.down_secs).collect();
        back.sort_by(f64::total_cmp);
        match (back.first(), back.last()) {
            (Some(short), Some(long)) if back.len() > 1 => {
                let _ok = write!(text, "; back after {} to {}", length(*short), length(*long));
            }
            (Some(one), _) => {
                let _ok = write!(text, "; back after {}", length(*one));
            }
            _ => {}
        }
        text
    }

    fn of_outages(&self) -> String {
        if self.outages.is_empty() {
            return "none".into();
        }
        let open = self.outages.iter().filter(|o| o.secs.is_none()).count();
        let of = |o: &super::answer::Outage| {
            o.secs.unwrap_or_else(|| crate::clock::age(o.since, self.until).as_secs_f64())
        };
        let longest = self.outages.iter().map(of).fold(0.0, f64::max);
        let still = if open == 0 { "all over".to_owned() } else { format!("{open} STILL GOING ON") };
        format!("{}; {still}; the longest {}", self.outages.len(), length(longest))
    }

    fn of_silences(&self) -> String {
        let open = self.silences.iter().filter(|s| s.secs.is_none()).count();
        match (self.silences.len(), open) {
            (0, _) => "none".into(),
            (n, 0) => format!("{n}; all over"),
            (n, open) => format!("{n}; {open} STILL GOING ON"),
        }
    }

    fn of_packages(&self) -> String {
        let end = |state| self.done.iter().filter(|d| d.state == state).count();
        let (left, ready) = (end(crate::package::State::Transferred), end(crate::package::State::Ready));
        let sides = if left > 0 && ready > 0 {
            format!(" ({left} transferred, {ready} ready)")
        } else {
            String::new()
        };
        let mut text = format!(
            "{} delivered{sides} ({}), {} under way, {} stopped now",
            number(self.delivered as u64),
            size(self.delivered_bytes),
            number(self.underway as u64),
            number(self.stopped.len() as u64)
        );
        if self.quarantined > 0 {
            let _ok = write!(text, ", {} quarantined in this time", self.quarantined);
        }
        if self.retried_count > 0 {
            let _ok = write!(text, "; {} tried again", count(self.retried_count, "failure"));
        }
        text
    }

    fn of_slow(&self) -> String {
        let mut text = match self.slow.len() {
            0 => format!("none ({SLOW})"),
            n => format!("{n} ({SLOW})"),
        };
        if let Some(s) = self.slowest.as_ref().filter(|_| self.slow.is_empty()) {
            let _ok = write!(text, "; the slowest took {}", length(s.secs));
        }
        if let Some(s) = &self.oldest_underway {
            let _ok = write!(text, "; under way longest: {} ({}, {})", s.package, s.state, length(s.secs));
        }
        text
    }

    fn of_throughput(&self) -> String {
        let t = &self.throughput;
        if t.bytes == 0 && self.delivered == 0 {
            return "nothing moved".into();
        }
        if self.span_secs() < 3600.0 {
            let (bytes, span) = (size(t.bytes), length(self.span_secs()));
            return format!("{bytes} and {} in {span}", count(self.delivered as u64, "package"));
        }
        let mean = t.bytes_per_second_moving.filter(|_| t.moving_secs >= 1.0);
        let mean = mean.map(|b| format!("; while something moved ({}) {}/s", length(t.moving_secs), rate(b)));
        format!(
            "{} per hour, {:.1} packages per hour{}",
            rate(t.bytes_per_hour),
            t.packages_per_hour,
            mean.unwrap_or_default()
        )
    }

    fn of_log(&self) -> String {
        let counts = format!("{}, {}", count(self.log.errors, "error"), count(self.log.warnings, "warning"));
        if self.sources.log.files == 0 {
            return "no log files of this time".into();
        }
        let asked = !self.log.messages.is_empty() || self.log.errors + self.log.warnings == 0;
        if asked { counts } else { format!("{counts} (--level warn lists them)") }
    }

    fn of_sources(&self) -> String {
        let s = &self.sources;
        let mut parts = Vec::new();
        if s.journal_lines > 0 {
            parts.push(format!("journal ({})", count(s.journal_lines, "line")));
        }
        if s.log.files > 0 {
            parts.push(format!("{} ({})", count(s.log.files as u64, "log file"), count(s.log.lines, "line")));
        }
        if s.log.damaged > 0 {
            let first = s.log.damages.first();
            let first = first.map(|d| format!(", the first: {} line {}", d.path.display(), d.line));
            parts.push(format!(
                "{} skipped{}",
                count(s.log.damaged, "damaged line"),
                first.unwrap_or_default()
            ));
        }
        if s.log.foreign > 0 {
            parts.push(format!("{} of another version not understood", count(s.log.foreign, "event")));
        }
        if s.journal_torn {
            parts.push("the journal's last line is not whole (yet) and was not counted".into());
        }
        if s.log.torn {
            parts.push("the log's last line is not whole (yet)".into());
        }
        parts.join("; ")
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
