//! Lines of the log by level: how many, and on request which, with repetitions put together.
use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::Scope;
use super::logline::{Level, LogLine};

/// As many different messages are told apart; more than this is noise, and is counted together.
const MOST: usize = 300;
/// A longer example is cut.
const CLIP: usize = 200;

/// A message that was logged, perhaps often.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// How bad.
    pub level: Level,
    /// The message.
    pub message: String,
    /// How often.
    pub count: u64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// The other fields of the last one.
    pub fields: String,
}

/// Counts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogCount {
    /// ERROR.
    pub errors: u64,
    /// WARN.
    pub warnings: u64,
    /// Messages of the level that was asked for or worse; the worst first, then the newest.
    pub messages: Vec<Message>,
    /// Lines whose messages were not told apart any more.
    pub others: u64,
}

#[derive(Default)]
struct Group {
    count: u64,
    first: Timestamp,
    last: Timestamp,
    line: Vec<u8>,
}

/// Gathers.
#[derive(Default)]
pub struct Messages {
    count: LogCount,
    groups: HashMap<String, (Level, Group)>,
    key: String,
}

impl Messages {
    /// Takes one more line into account.
    pub fn take(&mut self, line: &LogLine<'_>, raw: &[u8], scope: &Scope) {
        let wanted = scope.level.is_some_and(|most| line.level <= most);
        if (line.level > Level::Warn && !wanted) || !scope.covers(line.at) || !scope.concerns(raw) {
            return;
        }
        match line.level {
            Level::Error => self.count.errors += 1,
            Level::Warn => self.count.warnings += 1,
            _ => {}
        }
        if !wanted {
            return;
        }
        self.key.clear();
        self.key.push_str(line.level.as_str());
        let mut digits = false; // numbers in a message do not make it another one
        for c in line.message.chars() {
            if !(digits && c.is_ascii_digit()) {
                self.key.push(if c.is_ascii_digit() { '#' } else { c });
            }
            digits = c.is_ascii_digit();
        }
        if !self.groups.contains_key(&self.key) {
            if self.groups.len() >= MOST {
                self.count.others += 1;
                return;
            }
            let group = Group { first: line.at, last: line.at, ..Group::default() };
            drop(self.groups.insert(self.key.clone(), (line.level, group)));
        }
        if let Some((_, group)) = self.groups.get_mut(&self.key) {
            group.count += 1;
            (group.first, group.last) = (group.first.min(line.at), group.last.max(line.at));
            group.line.clear();
            group.line.extend_from_slice(raw);
        }
    }

    /// The result.
    pub fn finish(self) -> LogCount {
        let mut count = self.count;
        count.messages = self.groups.into_values().map(|(level, group)| shown(level, &group)).collect();
        count.messages.sort_by(|a, b| (a.level, b.last, &a.message).cmp(&(b.level, a.last, &b.message)));
        count
    }
}

fn shown(level: Level, group: &Group) -> Message {
    let fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&group.line).unwrap_or_default();
    let mut message = String::new();
    let mut rest = String::new();
    for (name, value) in &fields {
        match (name.as_str(), value) {
            ("message", value) => message = value.as_str().unwrap_or_default().to_owned(),
            ("timestamp" | "level" | "target" | "event", _) => {}
            (name, serde_json::Value::String(text)) => {
                let _into_a_string = write!(rest, " {name}={text}");
            }
            (name, value) => {
                let _into_a_string = write!(rest, " {name}={value}");
            }
        }
    }
    let mut fields: String = rest.trim_start().chars().take(CLIP).collect();
    if rest.chars().count() > CLIP + 1 {
        fields.push('…');
    }
    Message { level, message, count: group.count, first: group.first, last: group.last, fields }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::logline;

    fn take(messages: &mut Messages, scope: &Scope, second: u32, level: &str, message: &str, more: &str) {
        let line = format!(
            "{{\"timestamp\":\"2026-11-23T03:00:{second:02}.000Z\",\"level\":\"{level}\",\"message\":\"{message}\"{more}}}"
        );
        let mark = memchr::memmem::Finder::new(logline::EVENT_MARK);
        messages.take(&logline::understand(line.as_bytes(), &mark).unwrap(), line.as_bytes(), scope);
    }

    #[test]
    fn repetitions_are_one_message_with_the_fields_of_the_last() {
        let scope = Scope { level: Some(Level::Warn), ..Scope::default() };
        let mut messages = Messages::default();
        for n in 0..40 {
            take(
                &mut messages,
                &scope,
                n,
                "WARN",
                &format!("try {n} of 99 failed"),
                &format!(",\"error\":\"e{n}\""),
            );
            take(&mut messages, &scope, n, "INFO", "all is well", "");
        }
        take(&mut messages, &scope, 50, "ERROR", "it burns", ",\"event\":\"x\",\"actor\":\"copier\",\"n\":1");
        let count = messages.finish();
        assert_eq!((count.errors, count.warnings, count.messages.len()), (1, 40, 2));
        assert_eq!(
            (count.messages[0].message.as_str(), count.messages[0].fields.as_str()),
            ("it burns", "actor=copier n=1")
        );
        let many = &count.messages[1];
        assert_eq!(
            (many.count, many.message.as_str(), many.fields.as_str()),
            (40, "try 39 of 99 failed", "error=e39")
        );
        assert_eq!(crate::clock::age(many.first, many.last).as_secs(), 39);
    }

    #[test]
    fn filters_hold_for_lines_too_and_different_messages_are_bounded() {
        let scope = Scope { actor: Some("copier".into()), level: Some(Level::Info), ..Scope::default() };
        let mut messages = Messages::default();
        take(&mut messages, &scope, 1, "ERROR", "m", ",\"actor\":\"verifier\"");
        take(&mut messages, &scope, 1, "ERROR", "m", ",\"by\":\"copier\"");
        for n in 0..2 * MOST {
            let word: String = n.to_string().chars().map(|c| char::from(c as u8 + 49)).collect();
            take(&mut messages, &scope, 2, "INFO", &word, ",\"actor\":\"copier\"");
        }
        let count = messages.finish();
        assert_eq!((count.errors, count.messages.len()), (1, MOST));
        assert_eq!(count.others as usize, 2 * MOST - (MOST - 1));
    }
}
