//! One line of the log → when, how bad, and what happened, without copying.
use jiff::Timestamp;
use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::happening::{Happening, Text};
use crate::journal::{Incident, Phase};
use crate::package::State;

/// How bad; ERROR: a person must act, WARN: it went on but was odd, INFO: something moved.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "UPPERCASE")]
#[value(rename_all = "lower")]
pub enum Level {
    /// A person must act.
    Error,
    /// It went on but was odd.
    Warn,
    /// Something moved.
    Info,
    /// For developers.
    #[value(skip)]
    Debug,
    /// For developers.
    #[value(skip)]
    Trace,
}

impl Level {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }
}

/// A line, understood.
#[derive(Debug)]
pub struct LogLine<'a> {
    /// When.
    pub at: Timestamp,
    /// How bad.
    pub level: Level,
    /// The message without its fields.
    pub message: Text<'a>,
    /// What happened, if it is a line of the journal's.
    pub happening: Option<Happening<'a>>,
    /// Why an event was not understood: another version of the program wrote it.
    pub foreign: Option<String>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    timestamp: Text<'a>,
    level: Level,
    #[serde(borrow)]
    message: Option<Text<'a>>,
}

/// The fields of one event besides those that every line has: texts, then values. Small structures, because a million lines
/// spend their time on moving large ones.
macro_rules! events {
    ($($name:ident { $($text:ident: $text_type:ty,)* ; $($value:ident: $value_type:ty,)* })*) => { $(
        #[derive(Deserialize)]
        struct $name<'a> {
            #[serde(borrow)]
            timestamp: Text<'a>,
            level: Level,
            #[serde(borrow)]
            message: Option<Text<'a>>,
            $(#[serde(borrow)] $text: $text_type,)*
            $($value: $value_type,)*
        }

        impl<'a> Event<'a> for $name<'a> {
            fn head(&mut self) -> Head<'a> {
                let timestamp = std::mem::replace(&mut self.timestamp, "".into());
                Head { timestamp, level: self.level, message: self.message.take() }
            }
        }
    )* };
}

trait Event<'a>: Deserialize<'a> {
    fn head(&mut self) -> Head<'a>;
}

events! {
    Started { role: Text<'a>, host: Text<'a>, version: Text<'a>, ; pid: u32, }
    Stopped { why: Text<'a>, ; exit: i32, }
    Ordered { packages: Text<'a>, artifacts: Option<Text<'a>>, ; }
    Doubted { artifact: Text<'a>, who: Text<'a>, reason: Text<'a>, detail: Text<'a>, ; times: u32, }
    Refused { artifact: Text<'a>, detail: Text<'a>, ; done: bool, }
    Claim { order: Text<'a>, step: Option<Text<'a>>, detail: Option<Text<'a>>, ; phase: Phase, }
    OrderFailed { order: Text<'a>, error: Text<'a>, ; failures: u32, }
    Moved {
        package: Text<'a>, from: Option<Text<'a>>, by: Text<'a>, reason: Option<Text<'a>>, detail: Option<Text<'a>>, ;
        to: State, bytes: Option<u64>,
    }
    Cleaned { package: Text<'a>, by: Text<'a>, proof: Text<'a>, ; done: bool, bytes: u64, }
    Failed { package: Text<'a>, by: Text<'a>, error: Text<'a>, ; failures: u32, }
    Fell {
        actor: Text<'a>, cause: Text<'a>, detail: Text<'a>, in_hand: Text<'a>, action: Option<Text<'a>>, outcome: Text<'a>, ;
        incarnation: u64, streak: u32, budget_left: usize, next_delay_ms: Option<u64>,
    }
    Restarted { actor: Text<'a>, ; down_ms: u64, }
    Degraded { actor: Text<'a>, why: Text<'a>, ; }
    Recovered { actor: Text<'a>, ; after_ms: u64, }
    Silent { what: Text<'a>, why: Text<'a>, ; last: Timestamp, }
    Heard { what: Text<'a>, ; after_ms: u64, }
    Reloaded { changed: Text<'a>, needs_restart: Text<'a>, ; }
    Acted { package: Option<Text<'a>>, by: Text<'a>, why: Text<'a>, detail: Text<'a>, ; }
}

/// What the lines of events have and no other line: a quote inside of a text would be escaped.
pub const EVENT_MARK: &[u8] = b"\"event\":\"";

/// Every line of the log begins with this.
pub const BEGIN: &[u8] = b"{\"timestamp\":\"";

/// The time of a line, without understanding the rest.
pub fn time(line: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(word(line.strip_prefix(BEGIN)?)?).ok()?.parse().ok()
}

/// What stands before the next quote.
fn word(text: &[u8]) -> Option<&[u8]> {
    text.get(..memchr::memchr(b'"', text)?)
}

/// Understands one line, without its newline; the error says what is damaged. Every byte is looked at: a line is right as a
/// whole or it is damaged.
pub fn understand<'a>(line: &'a [u8], event_mark: &memmem::Finder<'_>) -> Result<LogLine<'a>, String> {
    let text = std::str::from_utf8(line).map_err(|e| e.to_string())?;
    let behind = event_mark.find(line).and_then(|at| line.get(at + EVENT_MARK.len()..));
    match behind.and_then(word) {
        Some(event) => happening(event, text),
        None => plain(text),
    }
}

fn happening<'a>(event: &[u8], text: &'a str) -> Result<LogLine<'a>, String> {
    use Happening as H;
    let list = |text: Text<'_>| -> Vec<String> {
        text.split(", ").filter(|t| !t.is_empty()).map(str::to_owned).collect()
    };
    match event {
        b"moved" => read(text, |f: Moved<'a>| H::Moved {
            package: f.package,
            known: f.from.is_some(),
            to: f.to,
            by: f.by,
            bytes: f.bytes,
            reason: f.reason,
            detail: f.detail,
        }),
        b"claim" => read(text, |f: Claim<'a>| H::Claim {
            order: f.order,
            phase: f.phase,
            step: f.step,
            detail: f.detail,
        }),
        b"ordered" => read(text, |f: Ordered<'a>| H::Found {
            packages: list(f.packages).into_iter().map(Text::from).collect(),
            artifacts: f.artifacts.map(list).unwrap_or_default().into_iter().map(Text::from).collect(),
        }),
        b"doubted" => read(text, |f: Doubted<'a>| H::Doubted {
            artifact: f.artifact,
            who: f.who,
            reason: f.reason,
            detail: f.detail,
            times: f.times,
        }),
        b"refused" => {
            read(text, |f: Refused<'a>| H::Refused { artifact: f.artifact, done: f.done, detail: f.detail })
        }
        b"committing" | b"placed" => plain(text),
        b"cleaned" => read(text, |f: Cleaned<'a>| match f.done {
            true => H::Cleaned { package: f.package, bytes: f.bytes, by: f.by, proof: f.proof },
            false => H::Else,
        }),
        b"failed" => read(text, |f: Failed<'a>| H::Failed {
            package: f.package,
            by: f.by,
            failures: f.failures,
            error: f.error,
        }),
        b"order-failed" => read(text, |f: OrderFailed<'a>| H::OrderFailed {
            order: f.order,
            failures: f.failures,
            error: f.error,
        }),
        b"started" => read(text, |f: Started<'a>| H::Started {
            role: f.role,
            host: f.host,
            pid: f.pid,
            version: f.version,
        }),
        b"stopped" => read(text, |f: Stopped<'a>| H::Stopped { exit: f.exit, why: f.why }),
        b"incident" => read(text, |f: Fell<'a>| {
            H::Incident(Box::new(Incident {
                actor: f.actor.to_string(),
                incarnation: f.incarnation,
                cause: f.cause.to_string(),
                detail: f.detail.to_string(),
                in_hand: list(f.in_hand),
                streak: f.streak,
                budget_left: f.budget_left,
                next_delay_ms: f.next_delay_ms,
                action: f.action.map(|a| a.to_string()).unwrap_or_default(),
                outcome: f.outcome.to_string(),
            }))
        }),
        b"restarted" => read(text, |f: Restarted<'a>| H::Restarted { actor: f.actor, down_ms: f.down_ms }),
        b"degraded" => read(text, |f: Degraded<'a>| H::Degraded { actor: f.actor, why: f.why }),
        b"recovered" => read(text, |f: Recovered<'a>| H::Recovered { actor: f.actor, after_ms: f.after_ms }),
        b"silent" => read(text, |f: Silent<'a>| H::Silent { what: f.what, why: f.why, last: f.last }),
        b"heard" => read(text, |f: Heard<'a>| H::Heard { what: f.what, after_ms: f.after_ms }),
        b"acted" => {
            read(text, |f: Acted<'a>| H::Acted { package: f.package, by: f.by, why: f.why, detail: f.detail })
        }
        b"reloaded" => {
            read(text, |f: Reloaded<'a>| H::Reloaded { changed: f.changed, needs_restart: f.needs_restart })
        }
        other => {
            let foreign = format!("the event {:?} is not known here", String::from_utf8_lossy(other));
            Ok(LogLine { foreign: Some(foreign), ..plain(text)? })
        }
    }
}

fn read<'a, E: Event<'a>>(
    text: &'a str,
    make: impl FnOnce(E) -> Happening<'a>,
) -> Result<LogLine<'a>, String> {
    match serde_json::from_str::<E>(text) {
        Ok(mut fields) => {
            let line = from_head(fields.head())?;
            Ok(LogLine { happening: Some(make(fields)), ..line })
        }
        // Whole JSON whose words or types are others than ours is no damage.
        Err(e) if e.is_data() => Ok(LogLine { foreign: Some(e.to_string()), ..plain(text)? }),
        Err(e) => Err(e.to_string()),
    }
}

fn plain(text: &str) -> Result<LogLine<'_>, String> {
    from_head(serde_json::from_str(text).map_err(|e| e.to_string())?)
}

fn from_head(head: Head<'_>) -> Result<LogLine<'_>, String> {
    let at = head.timestamp.parse().map_err(|e| format!("timestamp {:?}: {e}", &*head.timestamp))?;
    let message = head.message.unwrap_or_else(|| "".into());
    Ok(LogLine { at, level: head.level, message, happening: None, foreign: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<LogLine<'_>, String> {
        understand(line.as_bytes(), &memmem::Finder::new(EVENT_MARK))
    }

    const HEAD: &str = r#"{"timestamp":"2026-11-23T03:50:29.676Z","level":"INFO","message":"m","#;

    #[test]
    fn events_and_other_lines_are_told_apart_and_nothing_is_copied() {
        let line = format!(
            r#"{HEAD}"event":"moved","package":"samples/a/r1","from":"packed","to":"uploading","by":"uploader","target":"t"}}"#
        );
        let read_it = parse(&line).unwrap();
        let Some(Happening::Moved { package, known, to, bytes, .. }) = &read_it.happening else {
            panic!("{read_it:?}")
        };
        assert_eq!((&**package, *known, *to, *bytes), ("samples/a/r1", true, State::Uploading, None));
        let inside = line.as_bytes().as_ptr_range();
        assert!(inside.contains(&package.as_ptr()), "borrowed from the line");
        let other = format!(r#"{HEAD}"what":"says \"event\":\"moved\"","target":"t"}}"#);
        assert!(parse(&other).unwrap().happening.is_none(), "a quoted event is only text");
    }

    #[test]
    fn a_line_is_damaged_only_if_it_is() {
        for bad in [
            "",
            "x",
            r#"{"timestamp":"2026-11-23T03:50:29.676Z","level":"INFO"#,
            r#"{"timestamp":"2026-11-23T03:99:29.676Z","level":"INFO"}"#,
            r#"{"level":"INFO","message":"m"}"#,
            "{\"timestamp\":\"2026-11-23T03:50:29.676Z\",\"level\":\"INFO\",\"x\":\"\0\"}",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let mark = memmem::Finder::new(EVENT_MARK);
        assert!(
            understand(
                b"{\"timestamp\":\"2026-11-23T03:50:29.676Z\",\"level\":\"INFO\",\"x\":\"\xff\"}",
                &mark
            )
            .is_err()
        );
        for newer in [
            r#""event":"teleported"}"#,
            r#""event":"moved","package":"samples/a/r1","to":"beamed","by":"x"}"#,
            r#""event":"moved","package":"samples/a/r1"}"#,
        ] {
            let line = format!("{HEAD}{newer}");
            let line = parse(&line).unwrap();
            assert!(line.foreign.is_some() && line.happening.is_none(), "{newer}: {line:?}");
        }
    }
}
