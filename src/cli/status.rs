//! `status`: what is going on, on one screen, from the journal and the daemon's last snapshot.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::ConfArgs;
use super::exit::{Exit, say};
use crate::clock;
use crate::conf::{Conf, Role};
use crate::journal::{self, Fold, Holder, Owner, Row};
use crate::nsc::cleaning::list;
use crate::package::{Reason, State};
use crate::review::{minute, size};
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::tsd::Standing;

/// Options of `status`.
#[derive(Args, Debug, Clone)]
pub struct StatusArgs {
    #[command(flatten)]
    conf: ConfArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// A snapshot older than this tells of a daemon that is gone or hangs.
const FRESH: Duration = Duration::from_secs(10);

/// Doubts that are shown; there may be as many as samples in the queue.
const DOUBTS: usize = 20;

struct Present {
    fold: Fold,
    holder: Option<Holder>,
    seen: Option<Snapshot>,
    stop: Option<Stop>,
}

/// Prints the present. Exit code 1 if the daemon does not run or hangs.
pub fn status(args: &StatusArgs) -> Result<(), Exit> {
    let conf = args.conf.load()?;
    let mut fold = Fold::default();
    let read = journal::read(&conf.state_dir, |line| fold.apply(&line));
    let _report = read.map_err(|e| Exit::no(crate::chain(&e)))?;
    let (holder, seen) = (Owner::look(&conf.state_dir), Snapshot::read(&conf.state_dir));
    let stop = Stop::look(&conf.state_dir).map_err(|e| Exit::no(crate::chain(&e)))?;
    let present = Present { fold, holder, seen, stop };
    if args.json {
        say(format_args!("{:#}", present.to_json(&conf)))?;
    } else {
        say(format_args!("{}", present.to_text(&conf).trim_end()))?;
    }
    if present.holder.is_some() && present.snapshot().is_some() {
        Ok(())
    } else {
        Err(Exit { code: 1, why: String::new() })
    }
}

impl Present {
    fn stopped(&self) -> impl Iterator<Item = &Row> {
        self.fold.packages().filter(|r| matches!(r.state, State::Quarantined | State::Held))
    }

    fn snapshot(&self) -> Option<&Snapshot> {
        let fresh = |s: &&Snapshot| clock::age(s.at, clock::now()) < FRESH;
        self.seen.as_ref().filter(|_| self.holder.is_some()).filter(fresh)
    }

    fn to_json(&self, conf: &Conf) -> serde_json::Value {
        let tally: BTreeMap<&str, usize> =
            self.fold.tally().into_iter().map(|(s, n)| (s.as_str(), n)).collect();
        let packages: Vec<&Row> = self.fold.packages().collect();
        let orders: Vec<_> = self
            .fold
            .orders()
            .map(|o| json!({"order": o.order.id, "phase": o.phase, "step": o.step, "since": o.since, "detail": o.detail}))
            .collect();
        json!({"role": conf.role.as_str(), "host": conf.host, "running": self.holder, "daemon": self.snapshot(),
            "states": tally, "packages": packages, "orders": orders, "stop_file": self.stop,
            "doubts": self.fold.doubts(), "silences": self.fold.silences().collect::<Vec<_>>()})
    }

    fn to_text(&self, conf: &Conf) -> String {
        let mut t = String::new();
        // Writing into a String cannot fail.
        macro_rules! say { ($($arg:tt)*) => { { let _ok = writeln!(t, $($arg)*); } } }
        match (&self.holder, self.snapshot()) {
            (Some(h), Some(s)) => say!(
                "{} on {}: running since {} (process {}, version {})",
                conf.role,
                conf.host,
                minute(s.started),
                h.pid,
                s.version
            ),
            (Some(h), None) => say!(
                "{} on {}: process {} on {} runs, but has NOT REPORTED for {} s: it hangs or is stopped",
                conf.role,
                conf.host,
                h.pid,
                h.host,
                self.seen.as_ref().map_or(0, |s| clock::age(s.at, clock::now()).as_secs())
            ),
            (None, _) => say!("{} on {}: NOT RUNNING; this is what the journal says", conf.role, conf.host),
        }
        if let Some(stopping) = self.snapshot().and_then(|s| s.stopping.as_ref()) {
            say!("stopping since {} ({}): {stopping}", minute(stopping.since), stopping.why);
        }
        if let Some(stop) = &self.stop {
            say!(
                "! {} of {stop}: no daemon starts until it is removed",
                Stop::path(&conf.state_dir).display()
            );
        }
        for channel in
            self.snapshot().iter().flat_map(|s| &s.channels).filter(|c| c.why.is_some() || c.lost > 0)
        {
            say!("! channel {channel}");
        }
        for s in self.fold.silences() {
            say!("! silent: {} since {}: {}", s.what, minute(s.last), s.why);
        }
        if let Some(seen) = self.snapshot() {
            say!();
            say!(
                "{:<10} {:<9} {:>7} {:>6} {:>6} {:>7} {:>8}",
                "actor",
                "state",
                "in hand",
                "queue",
                "done",
                "errors",
                "restarts"
            );
            for a in &seen.actors {
                let state = if !a.up {
                    if a.state.is_empty() { "down" } else { a.state.as_str() }
                } else if a.state == "draining" {
                    "draining"
                } else if a.report.degraded.is_some() {
                    "DEGRADED"
                } else if a.report.in_hand.is_empty() {
                    "idle"
                } else {
                    "busy"
                };
                say!(
                    "{:<10} {state:<9} {:>7} {:>6} {:>6} {:>7} {:>8}",
                    a.actor,
                    a.report.in_hand.len(),
                    a.report.queue,
                    a.report.done,
                    a.report.errors,
                    a.restarts
                );
            }
            for a in seen.actors.iter().filter(|a| a.report.degraded.is_some()) {
                let (why, secs) = (a.report.degraded.as_deref(), a.report.degraded_secs.unwrap_or(0));
                say!("! {} cannot work for {secs} s: {}", a.actor, why.unwrap_or_default());
            }
            for a in seen.actors.iter().filter(|a| a.state == "given up") {
                say!(
                    "! {} was given up: `review --actor {}` tells why; when that is mended, stop the daemon and start it again",
                    a.actor,
                    a.actor
                );
            }
        }
        say!();
        let tally = self.fold.tally();
        let states: Vec<String> = tally.iter().map(|(state, n)| format!("{n} {state}")).collect();
        say!("packages: {}", if states.is_empty() { "none yet".into() } else { states.join(", ") });
        if let Some(seen) = self.snapshot() {
            if let Some(wire) = seen.wire.as_ref().filter(|wire| !wire.is_idle()) {
                say!("wire: {wire}");
            }
            for m in seen.moving.iter().filter(|m| m.total > 0) {
                let rate = m.done as f64 / m.secs.max(0.1);
                let left = m.total.saturating_sub(m.done) as f64 / rate.max(1.0);
                let per_cent = 100 * m.done.min(m.total) / m.total.max(1);
                say!(
                    "  {:<9} {:>3} % of {:>9}  {:>9}/s  {:>5.0} s left  {}",
                    m.actor,
                    per_cent,
                    size(m.total),
                    size(rate as u64),
                    left,
                    m.unit
                );
            }
            for peer in seen.share.iter().flat_map(|share| &share.peers) {
                say!("  shares the bucket with {} ({})", peer.host, peer.state);
            }
            if let Some(trouble) = seen.share.as_ref().and_then(|share| share.trouble.as_ref()) {
                say!("! {trouble}");
            }
            for one in &seen.senders {
                self.say_sender(&mut t, one);
            }
            for (who, why) in &seen.not_taken {
                say!("  waits: {who}: {why}");
            }
        }
        self.say_resting(&mut t, conf);
        for row in self.fold.packages().filter(|r| r.failures > 0 && !r.state.is_settled()) {
            let error = row.last_error.as_deref().unwrap_or_default();
            say!("  failing: {} ({}, {} so far): {error}", row.id, row.state, row.failures);
        }
        let now = clock::now();
        for o in self.fold.orders().filter(|o| o.wants_a_person(now)) {
            let (claim, detail) =
                (o.step.as_deref().unwrap_or("none"), o.detail.as_deref().unwrap_or_default());
            say!(
                "! order {} (LIMS step {claim}) needs a person since {}: {detail}",
                o.order.id,
                minute(o.since)
            );
        }
        self.say_doubts(&mut t);
        for row in self.stopped() {
            say!(
                "! stopped: {} since {}: {}",
                row.id,
                minute(row.since),
                row.facts.reason.map_or("held", Reason::code)
            );
            if let Some(detail) = &row.facts.detail {
                say!("      {detail}");
            }
            if let Some(reason) = row.facts.reason {
                say!("      what to do: {}", reason.remedy());
            }
        }
        t
    }

    /// What lies below `transferred/` and could leave it.
    fn say_resting(&self, t: &mut String, conf: &Conf) {
        let (mut packages, mut bytes) = (0u64, 0u64);
        for row in list::resting(&self.fold) {
            packages += 1;
            bytes = bytes.saturating_add(row.facts.bytes.unwrap_or(0));
        }
        if conf.role != Role::Nsc || packages == 0 {
            return;
        }
        let receipts = self.snapshot().and_then(|seen| seen.resting).and_then(|resting| resting.receipts);
        let receipts = receipts.map_or(String::new(), |n| format!("; a receipt came for {n} of them"));
        let _ok = writeln!(t, "transferred/: {packages} package(s), {} to be freed{receipts}", size(bytes));
        for (id, cleaned) in self.fold.cleaning() {
            let _ok = writeln!(t, "  its removal was begun at {}: {id}", minute(cleaned.at));
        }
    }

    /// What a receiver notices of one sender.
    fn say_sender(&self, t: &mut String, one: &Standing) {
        let beat = one.beat.as_ref().map_or("no heartbeat".into(), |beat| {
            let waiting: u64 = beat.backlog.values().sum();
            format!("heartbeat of {}, {waiting} waiting there", minute(beat.at))
        });
        let _ok = writeln!(t, "  sender: {}: last commit #{}, {beat}", one.sender, one.last);
        if let Some(since) = one.missing_since {
            let (missing, gaps, since) = (one.missing, one.gaps.join(", "), minute(since));
            let _ok = writeln!(t, "  ! {missing} of its commits are not here, since {since}: {gaps}");
        }
        if let Some(stuck) = one.stuck {
            let _ok = writeln!(t, "  none of what waits there has come since {}", minute(stuck.since));
        }
        if let Some(remark) = &one.remark {
            let _ok = writeln!(t, "  ! {remark}");
        }
    }

    /// Queued samples that cannot be exported as they are; many of them must not hide the rest.
    fn say_doubts(&self, t: &mut String) {
        let doubts = self.fold.doubts();
        for (artifact, doubt) in doubts.iter().take(DOUBTS) {
            let (who, since, code) = (&doubt.who, minute(doubt.since), doubt.reason.code());
            let end = match doubt.refused {
                None => "",
                Some(false) => "; it is being put out of the queue",
                Some(true) => "; it was put out of the queue",
            };
            let _ok = writeln!(
                t,
                "! doubted: {who} ({artifact}) since {since}, {} look(s): {code}{end}",
                doubt.times
            );
            let _ok = writeln!(t, "      {}\n      what to do: {}", doubt.detail, doubt.reason.remedy());
        }
        if doubts.len() > DOUBTS {
            let _ok = writeln!(t, "! and {} more are doubted: --json shows all", doubts.len() - DOUBTS);
        }
    }
}
