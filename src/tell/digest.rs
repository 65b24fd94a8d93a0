//! The summary of a day: what was delivered, what is under way, what is open, what happened; pure.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::memory::{Kind, Memory};
use super::trouble::shortened;
use crate::clock::age;
use crate::conf::Role;
use crate::journal::{Fold, Row};
use crate::package::{Reason, State};
use crate::review::{minute, size};

/// Packages and happenings that are named; the rest is counted.
const NAMED: usize = 10;
/// Different things that happened.
const THINGS: usize = 20;

/// In words, of what happened from `since` on.
pub fn digest(role: Role, fold: &Fold, memory: &Memory, since: Timestamp, now: Timestamp) -> String {
    let mut t = String::new();
    // Writing into a String cannot fail.
    macro_rules! say { ($($arg:tt)*) => { { let _ok = writeln!(t, $($arg)*); } } }
    let (end, word) = match role {
        Role::Nsc => (State::Committed, "sent"),
        Role::Tsd => (State::Ready, "handed over"),
    };
    say!("Summary from {} to {}", minute(since), minute(now));
    let came = |row: &&Row| row.way.iter().any(|(state, at)| *state == end && *at > since);
    let (mut packages, mut bytes) = (0u64, 0u64);
    let mut took: Vec<f64> = Vec::new();
    for row in fold.packages().filter(came) {
        packages += 1;
        bytes = bytes.saturating_add(row.facts.bytes.unwrap_or(0));
        let ended = row.way.iter().rev().find(|(state, _)| *state == end).map(|(_, at)| *at);
        took.extend(ended.map(|at| age(row.first_seen, at).as_secs_f64()));
    }
    took.sort_by(f64::total_cmp);
    let hours = age(since, now).as_secs_f64() / 3600.0;
    say!("  {packages} package(s) {word}, {}{}", size(bytes), rate(bytes, hours));
    if let Some(median) = took.get(took.len() / 2) {
        let slowest = took.last().copied().unwrap_or(0.0);
        say!(
            "  from the first sight to there: {} for half of them, {} at most",
            length(*median),
            length(slowest)
        );
    }
    let tally = fold.tally();
    let under_way: Vec<String> = tally
        .iter()
        .filter(|(state, _)| !state.is_settled())
        .map(|(state, n)| format!("{n} {state}"))
        .collect();
    say!("  under way: {}", if under_way.is_empty() { "nothing".to_owned() } else { under_way.join(", ") });
    let held = fold.in_state(State::Held).count();
    if held > 0 {
        say!("  held by a person: {held}");
    }
    let mut stopped: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in fold.in_state(State::Quarantined) {
        stopped.entry(row.facts.reason.map_or("unknown", Reason::code)).or_default().push(row);
    }
    for (code, rows) in &stopped {
        let named: Vec<String> = rows.iter().take(NAMED).map(|row| row.id.to_string()).collect();
        let more = rows.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        say!("  stopped, {code}: {}: {}{more}", rows.len(), named.join(", "));
    }
    let open: Vec<_> = memory.open.values().filter(|open| open.about.is_none()).collect();
    say!("  open: {}", if open.is_empty() && stopped.is_empty() { "nothing" } else { "see below and above" });
    for one in open.iter().take(THINGS) {
        say!("    since {}: {}", minute(one.since), shortened(&one.what, 200));
    }
    let mut day: BTreeMap<(Kind, &str), u32> = BTreeMap::new();
    for past in memory.day.iter().filter(|past| past.at > since) {
        *day.entry((past.kind, past.what.as_str())).or_default() += 1;
    }
    if !day.is_empty() {
        say!("  what happened:");
    }
    for ((kind, what), times) in day.iter().take(THINGS) {
        let word = match kind {
            Kind::Opened => "began",
            Kind::Escalated => "lasted",
            Kind::Cleared => "over",
            Kind::Happened | Kind::Digest | Kind::Test => "happened",
        };
        say!("    {times} × {word}: {}", shortened(what, 200));
    }
    if day.len() > THINGS {
        say!("    and {} more: `tsd-import review`", day.len() - THINGS);
    }
    let sick: Vec<&str> =
        memory.channels.iter().filter(|(_, o)| o.failing.is_some()).map(|(name, _)| name.as_str()).collect();
    if !sick.is_empty() {
        say!("  channels that cannot send: {}", sick.join(", "));
    }
    t.trim_end().to_owned()
}

fn rate(bytes: u64, hours: f64) -> String {
    if bytes == 0 || hours <= 0.0 {
        return String::new();
    }
    format!(" ({} an hour)", size((bytes as f64 / hours) as u64))
}

fn length(secs: f64) -> String {
    let whole = jiff::SignedDuration::from_secs(secs.max(0.0) as i64);
    format!("{whole:#}")
}

#[cfg(test)]
#[path = "digest_tests.rs"]
mod tests;
