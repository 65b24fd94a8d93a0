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

/// All fields that any event has; which of them must be there, the event says.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    timestamp: Text<'a>,
    level: Level,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    host: Option<Text<'a>>,
    pid: Option<u32>,
    #[serde(borrow)]
    version: Option<Text<'a>>,
    exit: Option<i32>,
    #[serde(borrow)]
    why: Option<Text<'a>>,
    #[serde(borrow)]
    packages: Option<Text<'a>>,
    #[serde(borrow)]
    order: Option<Text<'a>>,
    phase: Option<Phase>,
    #[serde(borrow)]
    step: Option<Text<'a>>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
    #[serde(borrow)]
    package: Option<Text<'a>>,
    #[serde(borrow)]
    from: Option<Text<'a>>,
    to: Option<State>,
    #[serde(borrow)]
    by: Option<Text<'a>>,
    bytes: Option<u64>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    failures: Option<u32>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
    #[serde(borrow)]
    actor: Option<Text<'a>>,
    incarnation: Option<u64>,
    #[serde(borrow)]
    cause: Option<Text<'a>>,
    #[serde(borrow)]
    in_hand: Option<Text<'a>>,
    streak: Option<u32>,
    budget_left: Option<usize>,
    next_delay_ms: Option<u64>,
    #[serde(borrow)]
    action: Option<Text<'a>>,
    #[serde(borrow)]
    outcome: Option<Text<'a>>,
    down_ms: Option<u64>,
    after_ms: Option<u64>,
    #[serde(borrow)]
    what: Option<Text<'a>>,
    last: Option<Timestamp>,
    #[serde(borrow)]
    changed: Option<Text<'a>>,
    #[serde(borrow)]
    needs_restart: Option<Text<'a>>,
}

/// Understands one line, without its newline; the error says what is damaged. Every byte is looked at: a line is right as a
/// whole or it is damaged.
pub fn understand<'a>(line: &'a [u8], event_mark: &memmem::Finder<'_>) -> Result<LogLine<'a>, String> {
    let text = std::str::from_utf8(line).map_err(|e| e.to_string())?;
    if event_mark.find(line).is_none() {
        return plain(text);
    }
    let mut fields: Fields<'a> = match serde_json::from_str(text) {
        Ok(fields) => fields,
        // Whole JSON whose words or types are others than ours is no damage.
        Err(e) if e.is_data() => return Ok(LogLine { foreign: Some(e.to_string()), ..plain(text)? }),
        Err(e) => return Err(e.to_string()),
    };
    let (at, level) = (moment(&fields.timestamp)?, fields.level);
    let message = fields.message.take().unwrap_or_else(|| "".into());
    let happening = happening(&mut fields);
    let lacks = || format!("event {:?} is not known here with these fields", &*fields.event);
    let foreign = happening.is_none().then(lacks);
    Ok(LogLine { at, level, message, happening, foreign })
}

fn plain(text: &str) -> Result<LogLine<'_>, String> {
    let head: Head<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let message = head.message.unwrap_or_else(|| "".into());
    Ok(LogLine { at: moment(&head.timestamp)?, level: head.level, message, happening: None, foreign: None })
}

/// What the lines of events have and no other line: a quote inside of a text would be escaped.
pub const EVENT_MARK: &[u8] = b"\"event\":\"";

/// Every line of the log begins with this.
pub const BEGIN: &[u8] = b"{\"timestamp\":\"";

/// The time of a line, without understanding the rest.
pub fn time(line: &[u8]) -> Option<Timestamp> {
    let behind = line.strip_prefix(BEGIN)?;
    let text = behind.get(..memchr::memchr(b'"', behind)?)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|e| format!("timestamp {text:?}: {e}"))
}

fn list(text: Text<'_>) -> Vec<String> {
    text.split(", ").filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

/// Takes the fields out one by one: moving all of them at once is what a million lines would spend their time on.
fn happening<'a>(f: &mut Fields<'a>) -> Option<Happening<'a>> {
    let owned = |text: Option<Text<'_>>| text.map(|t| t.to_string());
    Some(match &*f.event {
        "moved" => Happening::Moved {
            package: f.package.take()?,
            known: f.from.is_some(),
            to: f.to?,
            by: f.by.take()?,
            bytes: f.bytes,
            reason: f.reason.take(),
            detail: f.detail.take(),
        },
        "failed" => Happening::Failed {
            package: f.package.take()?,
            by: f.by.take()?,
            failures: f.failures?,
            error: f.error.take()?,
        },
        "ordered" => {
            Happening::Found { packages: list(f.packages.take()?).into_iter().map(Text::from).collect() }
        }
        "claim" => Happening::Claim {
            order: f.order.take()?,
            phase: f.phase?,
            step: f.step.take(),
            detail: f.detail.take(),
        },
        "order-failed" => {
            Happening::OrderFailed { order: f.order.take()?, failures: f.failures?, error: f.error.take()? }
        }
        "started" => Happening::Started {
            role: f.role.take()?,
            host: f.host.take()?,
            pid: f.pid?,
            version: f.version.take()?,
        },
        "stopped" => Happening::Stopped { exit: f.exit?, why: f.why.take()? },
        "incident" => Happening::Incident(Box::new(Incident {
            actor: owned(f.actor.take())?,
            incarnation: f.incarnation?,
            cause: owned(f.cause.take())?,
            detail: owned(f.detail.take())?,
            in_hand: list(f.in_hand.take()?),
            streak: f.streak?,
            budget_left: f.budget_left?,
            next_delay_ms: f.next_delay_ms,
            action: owned(f.action.take()).unwrap_or_default(),
            outcome: owned(f.outcome.take())?,
        })),
        "restarted" => Happening::Restarted { actor: f.actor.take()?, down_ms: f.down_ms? },
        "degraded" => Happening::Degraded { actor: f.actor.take()?, why: f.why.take()? },
        "recovered" => Happening::Recovered { actor: f.actor.take()?, after_ms: f.after_ms? },
        "silent" => Happening::Silent { what: f.what.take()?, why: f.why.take()?, last: f.last? },
        "heard" => Happening::Heard { what: f.what.take()?, after_ms: f.after_ms? },
        "reloaded" => {
            Happening::Reloaded { changed: f.changed.take()?, needs_restart: f.needs_restart.take()? }
        }
        "committing" => Happening::Else,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<LogLine<'_>, String> {
        understand(line.as_bytes(), &memmem::Finder::new(EVENT_MARK))
    }

    const HEAD: &str = r#"{"timestamp":"2026-11-23T03:50:29.676Z","level":"INFO","message":"m","#;

    #[test]
    fn events_and_other_lines_are_told_apart_and_nothing_is_copied() {
        let line = format!(
            r#"{HEAD}"event":"moved","package":"samples/a/r1","from":"packed","to":"uploading","by":"uploader","target":"t"}}"#
        );
        let read_it = read(&line).unwrap();
        let Some(Happening::Moved { package, known, to, bytes, .. }) = &read_it.happening else {
            panic!("{read_it:?}")
        };
        assert_eq!((&**package, *known, *to, *bytes), ("samples/a/r1", true, State::Uploading, None));
        let inside = line.as_bytes().as_ptr_range();
        assert!(inside.contains(&package.as_ptr()), "borrowed from the line");
        let other = format!(r#"{HEAD}"what":"says \"event\":\"moved\"","target":"t"}}"#);
        assert!(read(&other).unwrap().happening.is_none(), "a quoted event is only text");
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
            assert!(read(bad).is_err(), "{bad:?}");
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
            let line = read(&line).unwrap();
            assert!(line.foreign.is_some() && line.happening.is_none(), "{newer}: {line:?}");
        }
    }
}
