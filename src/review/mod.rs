//! The supervisor's log, reviewed: what happened, is it over, does somebody have to act?
//!
//! ```text
//! journal ──────────────────────→ happening ─→ fold (flow) ─→ finish, verdict ─→ answer ─→ text │ JSON │ page (charts)
//! logfiles → lines → logline ──→ happening        messages ───────┘
//! ```
//! The journal is the truth where there is one; the log says the same under the same names, so that a copy of it is enough on
//! another host. All of it is pure but the reading of files; nothing locks, maps or changes what it reads.
mod answer;
mod by_hand;
pub(crate) mod charts;
mod finish;
mod flow;
mod fold;
mod happening;
mod lines;
mod logfiles;
mod logline;
mod logs;
mod messages;
mod page;
mod source;
mod summary;
mod text;
mod verdict;
mod words;

use jiff::Timestamp;

pub use answer::{Alive, Review, Sources, Verdict};
pub use logline::Level;
pub use source::{Source, SourceError, review};
pub use words::{clip, count, length, minute, number, size};

/// What a review looks at.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// From; none: from the beginning of what is read.
    pub since: Option<Timestamp>,
    /// To; none: to its end.
    pub until: Option<Timestamp>,
    /// Only this actor.
    pub actor: Option<String>,
    /// Only packages whose name contains this.
    pub package: Option<String>,
    /// Show the lines of the log of this level or worse.
    pub level: Option<Level>,
}

impl Scope {
    fn covers(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
    }

    fn of_actor(&self, actor: &str) -> bool {
        self.actor.as_deref().is_none_or(|a| a == actor)
    }

    fn of_package(&self, package: &str) -> bool {
        self.package.as_deref().is_none_or(|p| package.contains(p))
    }

    /// Whether a line of the log is about the actor and the package that were asked for.
    fn concerns(&self, raw: &[u8]) -> bool {
        let quoted = |a: &str| {
            let mut places = memchr::memmem::find_iter(raw, a);
            places.any(|at| at > 0 && raw.get(at - 1) == Some(&b'"') && raw.get(at + a.len()) == Some(&b'"'))
        };
        let within = |p: &str| memchr::memmem::find(raw, p.as_bytes()).is_some();
        self.actor.as_deref().is_none_or(quoted) && self.package.as_deref().is_none_or(within)
    }
}

#[cfg(test)]
mod tests;
