//! One message as it leaves: news that say the same of several packages become one line with a count; names go out of it.
//!
//! Nothing leaves before the whole of it was searched for names once more. What should not be able to happen is that one is found:
//! then the message goes without its words, and says so.
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::memory::{Kind, News};
use super::scrub::Scrubber;
use super::trouble::Level;
use crate::review::{clip, minute};

/// Different things in one message; the rest is counted.
const ITEMS: usize = 40;
/// Packages named of one thing; the rest is counted.
const ABOUT: usize = 20;
/// Of a subject.
const SUBJECT: usize = 120;

/// Several pieces of news that say the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Why it is told.
    pub kind: Kind,
    /// How much it matters.
    pub level: Level,
    /// In words.
    pub what: String,
    /// Since when, of the oldest.
    pub since: Timestamp,
    /// Of so many packages or samples, or so often.
    pub count: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
    /// It came back: so often within six hours.
    #[serde(skip_serializing_if = "is_once")]
    pub times: u32,
}

fn is_once(times: &u32) -> bool {
    *times <= 1
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Of this format.
    pub version: u32,
    /// Which side.
    pub role: String,
    /// Which host.
    pub host: String,
    /// When it was written.
    pub at: Timestamp,
    /// In one line.
    pub subject: String,
    /// The worst of its items.
    pub level: Level,
    /// News that could not be told before this.
    pub lost: u64,
    /// What is told.
    pub items: Vec<Item>,
    /// More things than are listed.
    #[serde(skip_serializing_if = "is_none")]
    pub more: u64,
}

fn is_none(more: &u64) -> bool {
    *more == 0
}

/// Who speaks.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// Which side.
    pub role: String,
    /// Which host.
    pub host: String,
}

impl Letter {
    /// Of these news. `lost`: so many could not be told before. Without `scrubber` names stay as they are.
    pub fn compose<'a>(
        speaker: &Speaker,
        news: impl Iterator<Item = &'a News>,
        lost: u64,
        scrubber: Option<&Scrubber>,
        at: Timestamp,
    ) -> Self {
        let mut items = gathered(news);
        items.sort_by_key(|item| (item.kind, std::cmp::Reverse(item.level), item.since));
        let more = items.len().saturating_sub(ITEMS) as u64;
        items.truncate(ITEMS);
        for item in items.iter_mut() {
            if let Some(scrubber) = scrubber {
                item.what = scrubber.text(&item.what);
                item.about.iter_mut().for_each(|name| *name = scrubber.text(name));
            }
        }
        let subject = subject(speaker, &items);
        let level = items.iter().filter(|i| i.kind != Kind::Cleared).map(|item| item.level).max();
        let (role, host) = (speaker.role.clone(), speaker.host.clone());
        let level = level.unwrap_or(Level::Notice);
        let whole = Self { version: 1, role, host, at, subject, level, lost, items, more };
        match scrubber {
            Some(scrubber) if whole.leaks(scrubber) => whole.withheld(),
            _ => whole,
        }
    }

    fn leaks(&self, scrubber: &Scrubber) -> bool {
        let said = |item: &Item| {
            scrubber.leak(&item.what).is_some() || item.about.iter().any(|name| scrubber.leak(name).is_some())
        };
        self.items.iter().any(said)
    }

    fn withheld(mut self) -> Self {
        tracing::error!("a message would have held a name of a package or sample: it goes without its words");
        for item in &mut self.items {
            item.what =
                "the words are withheld, because a name stood in them: see `tsd-import status`".into();
            item.about.clear();
        }
        let speaker = Speaker { role: self.role.clone(), host: self.host.clone() };
        self.subject = subject(&speaker, &self.items);
        self
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut t = String::new();
        // Writing into a String cannot fail.
        macro_rules! say { ($($arg:tt)*) => { { let _ok = writeln!(t, $($arg)*); } } }
        say!("tsd-import {} on {}, {}", self.role, self.host, minute(self.at));
        if self.lost > 0 {
            say!();
            say!(
                "! {} earlier piece(s) of news could not be sent in time and are lost: see `tsd-import review`",
                self.lost
            );
        }
        for item in &self.items {
            say!();
            if item.kind == Kind::Digest {
                say!("{}", item.what);
                continue;
            }
            let count = if item.count > 1 { format!("{} × ", item.count) } else { String::new() };
            say!("{}: {count}{}", item.word(), item.what);
            let back = if item.times > 1 {
                format!(", for the {}. time within 6 h", item.times)
            } else {
                String::new()
            };
            if item.kind != Kind::Test {
                say!("    since {}{back}", minute(item.since));
            }
            if !item.about.is_empty() {
                let rest = item.count.saturating_sub(item.about.len() as u64);
                let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
                say!("    {}{rest}", item.about.join(", "));
            }
        }
        if self.more > 0 {
            say!();
            say!("and {} more: see `tsd-import status` on {}", self.more, self.host);
        }
        t
    }
}

impl Item {
    /// What stands before it.
    pub fn word(&self) -> &'static str {
        match (self.kind, self.level) {
            (Kind::Escalated, _) => "STILL OPEN",
            (Kind::Opened | Kind::Happened, Level::Alarm) => "ALARM",
            (Kind::Opened | Kind::Happened, Level::Notice) => "notice",
            (Kind::Cleared, _) => "over",
            (Kind::Digest, _) => "summary",
            (Kind::Test, _) => "test",
        }
    }
}

/// News that say the same in one item.
fn gathered<'a>(news: impl Iterator<Item = &'a News>) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for one in news {
        let same = |i: &&mut Item| i.kind == one.kind && i.level == one.level && i.what == one.what;
        let index = items.iter_mut().find(same);
        let count = if one.kind == Kind::Happened { u64::from(one.times) } else { 1 };
        let times = if one.kind == Kind::Opened { one.times } else { 1 };
        match index {
            Some(item) => {
                item.count += count;
                item.since = item.since.min(one.since);
                item.times = item.times.max(times);
                if item.about.len() < ABOUT {
                    item.about.extend(one.about.clone());
                }
            }
            None => items.push(Item {
                kind: one.kind,
                level: one.level,
                what: one.what.clone(),
                since: one.since,
                count,
                about: one.about.iter().cloned().collect(),
                times,
            }),
        }
    }
    items
}

fn subject(speaker: &Speaker, items: &[Item]) -> String {
    let begin = format!("[tsd-import {} {}] ", speaker.role, speaker.host);
    let one = |item: &Item| {
        let count = if item.count > 1 { format!("{} × ", item.count) } else { String::new() };
        match item.kind {
            Kind::Digest => "summary of the day".to_owned(),
            Kind::Cleared => format!("all clear: {count}{}", item.what),
            _ => format!("{}: {count}{}", item.word(), item.what),
        }
    };
    let rest = match items {
        [] => "nothing".to_owned(),
        [item] => one(item),
        [first, others @ ..] => format!("{} (and {} more)", clip(&one(first), SUBJECT - 30), others.len()),
    };
    begin + &clip(&rest, SUBJECT)
}

#[cfg(test)]
#[path = "letter_tests.rs"]
mod tests;
