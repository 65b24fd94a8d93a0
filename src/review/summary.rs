//! The review in a dozen lines, the same on the screen and on the page: a name and a sentence each.
use std::fmt::Write as _;

use super::answer::{Alive, Daemon, Review};
use super::flow::SLOW;
use super::words::{count, length, minute, number, rate, size};

impl Review {
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
        if let Some(last) = self.levers.last() {
            let times = count(self.levers.len() as u64, "time");
            lines.push(("by hand", format!("{times}, the last at {}", minute(last.at))));
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
        if self.cleaned > 0 {
            let _ok = write!(text, ", {} cleaned ({})", self.cleaned, size(self.cleaned_bytes));
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
}
