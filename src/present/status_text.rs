//! The answer of `status` as text. Lines that begin with `!` want a person.
use super::Health;
use super::page::{Look, Page, Tone, relative, span};
use super::status::StatusAnswer;
use crate::package::{Priority, Reason, State};
use crate::review::{clip, count, length, minute, size};
use crate::supervisor::ChildStatus;
use crate::tsd::Standing;

/// Notices and units that are shown; there may be hundreds of either.
const MANY: usize = 20;

impl StatusAnswer {
    /// For a person. Nothing is asked or read for it.
    pub fn to_text(&self, look: Look) -> String {
        let mut page = Page::new(look);
        self.say_health(&mut page);
        self.say_actors(&mut page);
        page.gap();
        self.say_packages(&mut page);
        self.say_moving(&mut page);
        self.say_around(&mut page);
        self.say_resting(&mut page);
        self.say_trouble(&mut page);
        page.text()
    }

    /// For a program.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("an answer is plain data and always serialises")
    }

    fn say_health(&self, page: &mut Page) {
        let (role, host, now) = (&self.role, &self.host, self.at);
        match (&self.running, &self.daemon) {
            (Some(h), Some(s)) => {
                let (since, up, pid, version) = (minute(s.started), span(s.started, now), h.pid, &s.version);
                let line = format!(
                    "{role} on {host}: running since {since} ({up}; process {pid}, version {version})"
                );
                page.say(Tone::Head, &line);
            }
            (Some(h), None) => {
                let (pid, on, secs) = (h.pid, &h.host, self.silent_secs.unwrap_or(0));
                let line = format!(
                    "{role} on {host}: process {pid} on {on} runs, but has NOT REPORTED for {secs} s: it hangs or is stopped"
                );
                page.say(Tone::Bad, &line);
            }
            (None, _) => {
                page.say(Tone::Bad, &format!("{role} on {host}: NOT RUNNING; this is what the journal says"));
            }
        }
        if let Some(stopping) = self.daemon.as_ref().and_then(|s| s.stopping.as_ref()) {
            let (since, why) = (minute(stopping.since), &stopping.why);
            page.say(Tone::Odd, &format!("stopping since {since} ({why}): {stopping}"));
        }
        if let Some(stop) = &self.stop_file {
            let line = format!("! {} of {}: no daemon starts until it is removed", stop.file, stop.by);
            page.say(Tone::Bad, &line);
        }
        let channels = self.daemon.iter().flat_map(|seen| &seen.channels);
        for channel in channels.filter(|channel| channel.why.is_some() || channel.lost > 0) {
            page.say(Tone::Bad, &format!("! channel {channel}"));
        }
        for lever in &self.levers {
            page.say(Tone::Odd, lever);
        }
        for s in &self.silences {
            page.say(Tone::Bad, &format!("! silent: {} since {}: {}", s.what, minute(s.last), s.why));
        }
        if self.health == Health::Runs && !self.wants_a_person() {
            page.say(Tone::Good, "all is well: nothing waits for a person");
        }
    }

    /// Whether anything that is shown begins with `!`.
    pub fn wants_a_person(&self) -> bool {
        let sick = |a: &ChildStatus| !a.up || a.report.degraded.is_some();
        let remarks = |one: &Standing| one.missing_since.is_some() || one.remark.is_some();
        let daemon = self.daemon.as_ref().is_some_and(|seen| {
            let shared = seen.share.as_ref().is_some_and(|share| share.trouble.is_some());
            shared || seen.actors.iter().any(sick) || seen.senders.iter().any(remarks)
        });
        let lists = [self.stopped.shown.len(), self.orders.shown.len(), self.doubts.shown.len()];
        daemon
            || !self.health.is_alive()
            || self.stop_file.is_some()
            || !self.silences.is_empty()
            || self.levers.iter().any(|lever| lever.starts_with('!'))
            || lists.iter().any(|n| *n > 0)
    }

    fn say_actors(&self, page: &mut Page) {
        let Some(seen) = &self.daemon else { return };
        page.gap();
        let heads = ["in hand", "queue", "done", "errors", "restarts"];
        let [hand, queue, done, errors, restarts] = heads;
        page.say(
            Tone::Head,
            &format!(
                "{:<9} {:<9} {:<12} {hand:>7} {queue:>6} {done:>7} {errors:>6} {restarts:>8}",
                "actor", "state", "since"
            ),
        );
        for a in &seen.actors {
            let (state, tone) = word(a);
            let since =
                length(a.report.degraded_secs.unwrap_or(a.since_secs) as f64).replacen(".0 s", " s", 1);
            let r = &a.report;
            let line = format!(
                "{:<9} {state:<9} {since:<12} {:>7} {:>6} {:>7} {:>6} {:>8}",
                a.actor,
                r.in_hand.len(),
                r.queue,
                r.done,
                r.errors,
                a.restarts
            );
            page.say(tone, &line);
        }
        for a in seen.actors.iter().filter(|a| a.report.degraded.is_some()) {
            let (why, secs) =
                (a.report.degraded.as_deref().unwrap_or_default(), a.report.degraded_secs.unwrap_or(0));
            page.say(Tone::Bad, &format!("! {} cannot work for {secs} s: {why}", a.actor));
        }
        for a in seen.actors.iter().filter(|a| a.state == "given up") {
            let name = &a.actor;
            let line = format!(
                "! {name} was given up: `review --actor {name}` tells why; when that is mended, stop the daemon and start it again"
            );
            page.say(Tone::Bad, &line);
        }
        for a in seen.actors.iter().filter(|a| a.report.degraded.is_none()) {
            let Some(error) = &a.report.last_error else { continue };
            let ago = a.report.last_error_ms.map_or(String::new(), |ms| {
                format!(
                    " {} ago",
                    length((ms / 1000) as f64).replacen(".0 s", " s", 1).replacen("0 ms", "<1 s", 1)
                )
            });
            let over = if a.report.consecutive == 0 { ", worked since" } else { "" };
            let line = format!("  last error of {}{ago}{over}: {}", a.actor, clip(error, 200));
            page.say(if over.is_empty() { Tone::Odd } else { Tone::Aside }, &line);
        }
    }

    fn say_packages(&self, page: &mut Page) {
        let states: Vec<String> = self.states.iter().map(|(state, n)| format!("{n} {state}")).collect();
        let states = if states.is_empty() { "none yet".into() } else { states.join(", ") };
        page.say(Tone::Plain, &format!("packages: {states}"));
        for tally in &self.under_way {
            let urgent = Priority::ALL.iter().filter_map(|p| tally.count.get(p).map(|n| format!("{n} {p}")));
            let line = format!("  {:<11} {}", tally.state, urgent.collect::<Vec<_>>().join(", "));
            page.say(Tone::Plain, &line);
        }
    }

    fn say_moving(&self, page: &mut Page) {
        if let Some(wire) = self.daemon.as_ref().and_then(|s| s.wire.as_ref()).filter(|wire| !wire.is_idle())
        {
            page.say(Tone::Plain, &format!("wire: {wire}"));
        }
        for m in self.moving.iter().take(MANY) {
            let left = match m.left_secs {
                Some(secs) => format!("{} left", length(secs as f64).replacen(".0 s", " s", 1)),
                None => "stands still".into(),
            };
            let start = format!(
                "  {:<9} {:>3} % of {:>9}  {:>9}/s  {left:<17}",
                m.actor,
                m.per_cent(),
                size(m.total),
                size(m.per_second)
            );
            let whole = format!("{start} {}", m.unit);
            if whole.chars().count() <= page.width() {
                page.say(Tone::Plain, &whole);
            } else {
                page.say(Tone::Plain, &start);
                page.say(Tone::Plain, &format!("      {}", m.unit));
            }
        }
        more(page, self.moving.len().saturating_sub(MANY), "move", "`list --moving`");
    }

    /// What the daemon sees around it: other hosts, senders, what waits outside.
    fn say_around(&self, page: &mut Page) {
        let Some(seen) = &self.daemon else { return };
        for peer in seen.share.iter().flat_map(|share| &share.peers) {
            page.say(Tone::Plain, &format!("  shares the bucket with {} ({})", peer.host, peer.state));
        }
        if let Some(trouble) = seen.share.as_ref().and_then(|share| share.trouble.as_ref()) {
            page.say(Tone::Bad, &format!("! {trouble}"));
        }
        for one in &seen.senders {
            say_sender(page, one);
        }
        for (who, why) in seen.not_taken.iter().take(MANY) {
            page.say(Tone::Odd, &format!("  waits: {who}: {why}"));
        }
        more(
            page,
            seen.not_taken.len().saturating_sub(MANY),
            "wait",
            "`status --json`, or `why NAME` for one",
        );
    }

    /// What lies below `transferred/` and could leave it.
    fn say_resting(&self, page: &mut Page) {
        if let Some(rests) = &self.resting {
            let receipts =
                rests.receipts.map_or(String::new(), |n| format!("; a receipt came for {n} of them"));
            let (packages, bytes) = (rests.packages, size(rests.bytes));
            let line = format!("transferred/: {packages} package(s), {bytes} to be freed{receipts}");
            page.say(Tone::Plain, &line);
        }
        for (id, at) in &self.cleaning.shown {
            page.say(Tone::Odd, &format!("  its removal was begun at {}: {id}", minute(*at)));
        }
        more(page, self.cleaning.more, "are being removed", "`status --json`");
    }

    fn say_trouble(&self, page: &mut Page) {
        for f in &self.failing.shown {
            let next =
                f.retry_at.map_or(String::new(), |at| format!("; next attempt {}", relative(at, self.at)));
            let line =
                format!("  failing: {} ({}, {} so far): {}{next}", f.package, f.state, f.failures, f.error);
            page.say(Tone::Odd, &line);
        }
        more(page, self.failing.more, "fail", "`list --moving`");
        for o in &self.orders.shown {
            let (claim, detail) =
                (o.step.as_deref().unwrap_or("none"), o.detail.as_deref().unwrap_or_default());
            let (order, since) = (&o.order, minute(o.since));
            let line = format!("! order {order} (LIMS step {claim}) needs a person since {since}: {detail}");
            page.say(Tone::Bad, &line);
        }
        more(page, self.orders.more, "orders need a person", "`status --json`");
        for d in &self.doubts.shown {
            let (who, artifact, since) = (&d.doubt.who, &d.artifact, minute(d.doubt.since));
            let (times, code) = (d.doubt.times, d.doubt.reason.code());
            let end = refusal(d.doubt.refused);
            let line = format!("! doubted: {who} ({artifact}) since {since}, {times} look(s): {code}{end}");
            page.say(Tone::Bad, &line);
            say_cure(page, Some(&d.doubt.detail), Some(d.doubt.reason));
        }
        more(page, self.doubts.more, "are doubted", "`status --json`");
        if !self.stopped.shown.is_empty() {
            let all = self.stopped.shown.len() + self.stopped.more;
            page.gap();
            page.say(
                Tone::Bad,
                &format!(
                    "{} {} for a person:",
                    count(all as u64, "stopped package"),
                    if all == 1 { "waits" } else { "wait" }
                ),
            );
        }
        for s in &self.stopped.shown {
            let why = s.reason.map_or("held", Reason::code);
            page.say(Tone::Bad, &format!("! stopped: {} since {}: {why}", s.package, minute(s.since)));
            say_cure(page, s.detail.as_deref(), s.reason);
        }
        let held = self.states.get(&State::Held).copied().unwrap_or(0) > 0;
        let rest = if held { "`list --stopped`" } else { "`list --state quarantined`" };
        more(page, self.stopped.more, "are stopped", rest);
    }
}

/// What comes behind a doubt that was acted on.
pub(crate) fn refusal(refused: Option<bool>) -> &'static str {
    match refused {
        None => "",
        Some(false) => "; it is being put out of the queue",
        Some(true) => "; it was put out of the queue",
    }
}

fn say_cure(page: &mut Page, detail: Option<&str>, reason: Option<Reason>) {
    if let Some(detail) = detail {
        page.say(Tone::Plain, &format!("      {detail}"));
    }
    if let Some(reason) = reason {
        page.say(Tone::Plain, &format!("      what to do: {}", reason.remedy()));
    }
}

fn more(page: &mut Page, n: usize, what: &str, rest: &str) {
    if n > 0 {
        page.say(Tone::Aside, &format!("  … and {n} more {what}: {rest}"));
    }
}

/// How an actor is, in a word.
pub(crate) fn word(a: &ChildStatus) -> (&str, Tone) {
    match () {
        () if !a.up => (if a.state.is_empty() { "down" } else { a.state.as_str() }, Tone::Bad),
        () if a.state == "draining" => ("draining", Tone::Odd),
        () if a.report.degraded.is_some() => ("DEGRADED", Tone::Bad),
        () if a.report.in_hand.is_empty() => ("idle", Tone::Plain),
        () => ("busy", Tone::Good),
    }
}

/// What a receiver notices of one sender.
fn say_sender(page: &mut Page, one: &Standing) {
    let beat = one.beat.as_ref().map_or("no heartbeat".into(), |beat| {
        let waiting: u64 = beat.backlog.values().sum();
        format!("heartbeat of {}, {waiting} waiting there", minute(beat.at))
    });
    page.say(Tone::Plain, &format!("  sender: {}: last commit #{}, {beat}", one.sender, one.last));
    if let Some(since) = one.missing_since {
        let (missing, gaps, since) = (one.missing, one.gaps.join(", "), minute(since));
        page.say(Tone::Bad, &format!("  ! {missing} of its commits are not here, since {since}: {gaps}"));
    }
    if let Some(stuck) = one.stuck {
        let line = format!("  none of what waits there has come since {}", minute(stuck.since));
        page.say(Tone::Odd, &line);
    }
    if let Some(remark) = &one.remark {
        page.say(Tone::Bad, &format!("  ! {remark}"));
    }
}
