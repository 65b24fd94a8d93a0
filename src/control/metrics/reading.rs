//! From what is seen to numbers. Pure.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::census::Census;
use super::process::Process;
use crate::clock::age;
use crate::conf::Role;
use crate::fs::Free;
use crate::journal::Writing;
use crate::package::Priority;
use crate::silence::What;
use crate::snapshot::Snapshot;

/// What is seen of a daemon at one moment.
pub struct Seen<'a> {
    /// Which side.
    pub role: Role,
    /// When.
    pub now: Timestamp,
    /// What the supervisor said last.
    pub snapshot: Option<&'a Snapshot>,
    /// Since the supervisor last answered.
    pub silence: Duration,
    /// Whether it works.
    pub ready: bool,
    /// Packages.
    pub census: &'a Census,
    /// What the journal cost.
    pub writing: Writing,
    /// Bytes by actor.
    pub moved: BTreeMap<&'static str, u64>,
    /// Requests that were asked again.
    pub repeats: u64,
    /// Room.
    pub areas: BTreeMap<String, Option<Free>>,
    /// The process.
    pub(super) process: Process,
    /// That came to the control doors.
    pub requests: u64,
    /// That are open there.
    pub connections: usize,
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Of which family.
    pub name: &'static str,
    /// Its labels, `role` first.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

struct Out {
    role: &'static str,
    samples: Vec<Sample>,
}

impl Out {
    fn put(&mut self, name: &'static str, value: impl Number) {
        self.with(name, &[], value);
    }

    fn with(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: impl Number) {
        let role = [("role", self.role.to_owned())];
        let labels = role.into_iter().chain(labels.iter().map(|(k, v)| (*k, (*v).to_owned()))).collect();
        self.samples.push(Sample { name, labels, value: value.number() });
    }

    fn maybe(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: Option<impl Number>) {
        value.into_iter().for_each(|value| self.with(name, labels, value));
    }
}

/// Counts above 2^53 would lose their last digits, as they do in Prometheus itself.
trait Number {
    fn number(self) -> f64;
}

macro_rules! number {
    ($($what:ty => |$x:ident| $how:expr;)*) => { $(impl Number for $what { fn number(self) -> f64 { let $x = self; $how } })* };
}
number! {
    u64 => |x| x as f64;
    u32 => |x| f64::from(x);
    usize => |x| x as f64;
    f64 => |x| x;
    bool => |x| f64::from(u8::from(x));
    Duration => |x| x.as_secs_f64();
    Timestamp => |x| x.as_millisecond() as f64 / 1000.0;
}

/// All numbers.
pub fn read(seen: &Seen<'_>) -> Vec<Sample> {
    let mut out = Out { role: seen.role.as_str(), samples: Vec::new() };
    out.with("tsd_import_build_info", &[("version", env!("CARGO_PKG_VERSION"))], true);
    out.put("tsd_import_written_time_seconds", seen.now);
    out.put("tsd_import_ready", seen.ready);
    out.put("tsd_import_main_thread_silent_seconds", seen.silence);
    snapshot(&mut out, seen);
    census(&mut out, seen);
    for (actor, bytes) in &seen.moved {
        out.with("tsd_import_moved_bytes_total", &[("actor", actor)], *bytes);
    }
    out.put("tsd_import_wire_repeats_total", seen.repeats);
    out.put("tsd_import_journal_lines", seen.census.lines);
    out.put("tsd_import_journal_written_lines_total", seen.writing.lines);
    out.put("tsd_import_journal_syncs_total", seen.writing.syncs);
    out.put("tsd_import_journal_sync_seconds_total", seen.writing.spent);
    for (name, free) in &seen.areas {
        let area = [("area", name.as_str())];
        out.with("tsd_import_area_answers", &area, free.is_some());
        out.maybe("tsd_import_area_free_bytes", &area, free.map(|free| free.bytes));
        out.maybe("tsd_import_area_free_inodes", &area, free.and_then(|free| free.inodes));
    }
    out.maybe("tsd_import_process_resident_memory_bytes", &[], seen.process.memory);
    out.maybe("tsd_import_process_threads", &[], seen.process.threads);
    out.maybe("tsd_import_process_open_fds", &[], seen.process.fds);
    out.maybe("tsd_import_process_max_fds", &[], seen.process.max_fds);
    out.put("tsd_import_process_cpu_seconds_total", seen.process.cpu);
    out.put("tsd_import_control_connections", seen.connections);
    out.put("tsd_import_control_requests_total", seen.requests);
    out.samples
}

fn snapshot(out: &mut Out, seen: &Seen<'_>) {
    let Some(snapshot) = seen.snapshot else { return };
    out.put("tsd_import_start_time_seconds", snapshot.started);
    out.put("tsd_import_stopping", snapshot.stopping.is_some());
    for one in &snapshot.actors {
        let (actor, report) = ([("actor", one.actor.as_str())], &one.report);
        out.with("tsd_import_actor_up", &actor, one.up);
        out.with("tsd_import_actor_state", &[actor[0], ("state", &one.state)], true);
        out.with("tsd_import_actor_in_hand", &actor, report.in_hand.len());
        out.with("tsd_import_actor_queue", &actor, report.queue);
        out.with("tsd_import_actor_done_total", &actor, report.done);
        out.with("tsd_import_actor_errors_total", &actor, report.errors);
        out.with("tsd_import_actor_errors_in_a_row", &actor, report.consecutive);
        out.with("tsd_import_actor_restarts_total", &actor, one.restarts);
        let degraded = report.degraded.as_ref().map_or(0, |_| report.degraded_secs.unwrap_or(0).max(1));
        out.with("tsd_import_actor_degraded_seconds", &actor, degraded);
        out.maybe(
            "tsd_import_actor_last_done_seconds",
            &actor,
            report.last_done_ms.map(Duration::from_millis),
        );
    }
    out.put("tsd_import_not_taken", snapshot.not_taken.len());
    out.put("tsd_import_senders_missing_commits", snapshot.senders.iter().map(|s| s.missing).sum::<u64>());
    let Some(wire) = &snapshot.wire else { return };
    out.put("tsd_import_wire_bytes_per_second", wire.bytes_per_second);
    out.maybe("tsd_import_wire_limit_bytes_per_second", &[], wire.at_most);
    out.put("tsd_import_wire_in_flight", wire.in_flight);
    out.put("tsd_import_wire_window", wire.limit);
    for priority in Priority::ALL {
        let waiting = wire.waiting.get(&(priority as u8)).copied().unwrap_or(0);
        out.with("tsd_import_wire_waiting", &[("priority", priority.as_str())], waiting);
    }
}

fn census(out: &mut Out, seen: &Seen<'_>) {
    let census = seen.census;
    for ((state, kind, priority), count) in &census.packages {
        let labels = [("state", state.as_str()), ("kind", kind.as_str()), ("priority", priority.as_str())];
        out.with("tsd_import_packages", &labels, *count);
    }
    for (reason, count) in &census.quarantined {
        out.with("tsd_import_packages_quarantined", &[("reason", reason)], *count);
    }
    out.put("tsd_import_packages_failing", census.failing);
    for priority in Priority::ALL {
        let oldest = census.oldest.get(&priority).map_or(Duration::ZERO, |came| age(*came, seen.now));
        out.with("tsd_import_oldest_open_package_seconds", &[("priority", priority.as_str())], oldest);
    }
    out.put("tsd_import_orders_open", census.orders);
    out.put("tsd_import_orders_for_a_person", census.for_a_person);
    for (reason, count) in &census.doubts {
        out.with("tsd_import_doubts", &[("reason", reason)], *count);
    }
    // Only words that this program knows, so that nothing from a journal of another version gets into a label.
    for what in What::ALL.map(What::as_str) {
        out.with("tsd_import_alarm", &[("alarm", what)], census.alarms.iter().any(|open| open == what));
    }
    out.put("tsd_import_alarms_open", census.alarms.len());
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
