//! `list`: which packages are there.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::status::is_stopped;
use super::{Health, Present};
use crate::journal::Row;
use crate::package::{Kind, PackageId, Priority, Reason, State};

/// Which ones are wanted; what is empty or none asks for nothing in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// In one of these states.
    pub states: Vec<State>,
    /// Of one of these kinds.
    pub kinds: Vec<Kind>,
    /// Of one of these priorities.
    pub priorities: Vec<Priority>,
    /// In their state since then or later.
    pub since: Option<Timestamp>,
    /// In their state since then or earlier.
    pub until: Option<Timestamp>,
    /// Held or quarantined.
    pub stopped: bool,
    /// Under way: neither stopped nor at their end.
    pub moving: bool,
    /// With this in their name; with `*` or `?` in it, a pattern for all of the name or of `kind/name/rN`.
    pub name: Option<String>,
    /// At most so many; none: all.
    pub limit: Option<usize>,
}

/// Packages, those whose state changed last first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListAnswer {
    /// When it was asked.
    pub at: Timestamp,
    /// Whether the daemon lives.
    pub health: Health,
    /// How many packages are known.
    pub known: usize,
    /// How many of them fit.
    pub fit: usize,
    /// The first of those.
    pub packages: Vec<ListRow>,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListRow {
    /// Which.
    pub package: PackageId,
    /// Where it is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// How soon.
    pub priority: Priority,
    /// Its payload.
    pub bytes: Option<u64>,
    /// Why it was stopped.
    pub reason: Option<Reason>,
    /// Failures since the last progress.
    pub failures: u32,
    /// The next attempt is not before.
    pub retry_at: Option<Timestamp>,
}

impl Filter {
    fn takes(&self, row: &Row) -> bool {
        let any = |wanted: bool, fits: bool| !wanted || fits;
        any(!self.states.is_empty(), self.states.contains(&row.state))
            && any(!self.kinds.is_empty(), self.kinds.contains(&row.id.kind))
            && any(!self.priorities.is_empty(), self.priorities.contains(&row.priority))
            && self.since.is_none_or(|since| row.since >= since)
            && self.until.is_none_or(|until| row.since <= until)
            && any(self.stopped, is_stopped(row.state))
            && any(self.moving, !row.state.is_settled())
            && self.name.as_deref().is_none_or(|name| named(name, &row.id))
    }
}

fn named(wanted: &str, id: &PackageId) -> bool {
    if wanted.contains(['*', '?']) {
        return fits(wanted, id.name.as_str()) || fits(wanted, &id.to_string());
    }
    if wanted.contains('/') { id.to_string().contains(wanted) } else { id.name.as_str().contains(wanted) }
}

/// Whether a pattern with `*` (anything) and `?` (one character) describes all of a text. Takes at most pattern × text steps.
fn fits(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j, mut star) = (0, 0, None);
    while let Some(c) = t.get(j) {
        match p.get(i) {
            Some('*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(x) if *x == '?' || x == c => (i, j) = (i + 1, j + 1),
            // The last star takes one character more.
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (i, j) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    p.iter().skip(i).all(|c| *c == '*')
}

impl Present<'_> {
    /// Those that are wanted.
    pub fn list(&self, filter: &Filter) -> ListAnswer {
        let mut rows: Vec<&Row> = self.fold.packages().filter(|row| filter.takes(row)).collect();
        rows.sort_by(|a, b| (b.since, &a.id).cmp(&(a.since, &b.id)));
        let fit = rows.len();
        rows.truncate(filter.limit.unwrap_or(usize::MAX));
        let row = |row: &Row| ListRow {
            package: row.id.clone(),
            state: row.state,
            since: row.since,
            priority: row.priority,
            bytes: row.facts.bytes,
            reason: row.facts.reason,
            failures: row.failures,
            retry_at: row.retry_at,
        };
        let packages = rows.into_iter().map(row).collect();
        ListAnswer { at: self.now, health: self.health(), known: self.fold.packages().count(), fit, packages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, fit) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*HG1?", "Diag-HG12", true),
            ("*HG1?", "Diag-HG1", false),
            ("?", "æ", true),
            ("a**b*", "ab", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
        let (begun, long) = (std::time::Instant::now(), "a".repeat(200));
        assert!(!fits(&format!("{}b", "a*".repeat(100)), &long) && begun.elapsed().as_secs() < 2);
    }
}
