//! Reads settings one by one and gathers every complaint before giving up.
//!
//! A key that nobody asked for is a complaint too, so a typing error is never silently a default. Each complaint names
//! where it stands, the key, and what is expected.
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use config::Value;

use super::settings::{DEFAULTS_NAME, Settings};

/// Everything that is wrong with a configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaints(pub Vec<String>);

impl Display for Complaints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the configuration has {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|c| write!(f, "\n  - {c}"))
    }
}

impl std::error::Error for Complaints {}

/// Settings that were not asked for yet, and complaints so far.
pub struct Reader {
    left: BTreeMap<String, Value>,
    complaints: Vec<String>,
    file: String,
    required: bool,
}

impl Reader {
    /// Begins with all settings.
    pub fn over(settings: &Settings) -> Self {
        let (left, file) = (settings.values.clone(), settings.file.clone());
        Self { left, complaints: Vec::new(), file, required: true }
    }

    /// Whether an empty or missing value of the keys that follow is a complaint (those of another role are not).
    pub fn required(&mut self, required: bool) {
        self.required = required;
    }

    /// Notes a complaint about a key.
    pub fn complain(&mut self, key: &str, what: impl Display) {
        self.complaints.push(format!("{}: {key}: {what}", self.file));
    }

    fn origin(&self, value: &Value) -> String {
        match value.origin() {
            None => DEFAULTS_NAME.to_owned(),
            Some(o) if o.contains("environment") => "the environment".to_owned(),
            Some(o) => o.to_owned(),
        }
    }

    fn parsed<T, E: Display>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.left.remove(key)?;
        let origin = self.origin(&value);
        let text = match value.into_string() {
            Ok(text) => text,
            Err(_) => {
                self.complaints.push(format!("{origin}: {key}: expected {expected}"));
                return None;
            }
        };
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        match parse(text) {
            Ok(value) => Some(value),
            Err(e) => {
                self.complaints.push(format!("{origin}: {key}: expected {expected}, found {text:?} ({e})"));
                None
            }
        }
    }

    fn must<T>(&mut self, key: &str, before: usize, value: Option<T>) -> Option<T> {
        if value.is_none() && self.required && self.complaints.len() == before {
            self.complain(key, "must be set");
        }
        value
    }

    /// Any type that reads itself from text; missing or empty is a complaint.
    pub fn get<T: FromStr<Err: Display>>(&mut self, key: &str, expected: &str) -> Option<T> {
        let before = self.complaints.len();
        let value = self.parsed(key, expected, T::from_str);
        self.must(key, before, value)
    }

    /// The same, but empty means "none".
    pub fn optional<T: FromStr<Err: Display>>(&mut self, key: &str, expected: &str) -> Option<T> {
        self.parsed(key, expected, T::from_str)
    }

    /// Text that must pass a check of its own.
    pub fn checked(
        &mut self,
        key: &str,
        expected: &str,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<String> {
        let before = self.complaints.len();
        let value = self.parsed(key, expected, |t| check(t).map(|()| t.to_owned()));
        self.must(key, before, value)
    }

    /// A whole number from `least` up.
    pub fn number(&mut self, key: &str, least: usize) -> usize {
        let before = self.complaints.len();
        let expected = format!("a whole number from {least} up");
        let value = self.parsed(key, &expected, |t| match t.parse::<usize>() {
            Ok(n) if n >= least => Ok(n),
            Ok(_) => Err("too small".to_owned()),
            Err(e) => Err(e.to_string()),
        });
        self.must(key, before, value).unwrap_or(least)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &str) -> bool {
        self.get(key, "true or false").unwrap_or_default()
    }

    /// A length of time such as `90 s` or `1 h 30 min`, above zero.
    pub fn duration(&mut self, key: &str) -> Duration {
        let before = self.complaints.len();
        let value = self.parsed(key, LENGTH_OF_TIME, length_of_time);
        self.must(key, before, value).unwrap_or(Duration::from_secs(1))
    }

    /// A length of time; empty means "none".
    pub fn optional_duration(&mut self, key: &str) -> Option<Duration> {
        self.parsed(key, LENGTH_OF_TIME, length_of_time)
    }

    /// A number of bytes such as `64 MiB`.
    pub fn bytes(&mut self, key: &str) -> u64 {
        let before = self.complaints.len();
        let value = self.parsed(key, "a number of bytes such as \"64 MiB\"", bytesize::ByteSize::from_str);
        self.must(key, before, value).map_or(1, |b| b.as_u64())
    }

    /// An absolute path.
    pub fn path(&mut self, key: &str) -> PathBuf {
        let before = self.complaints.len();
        let value = self.optional_path(key);
        self.must(key, before, value).unwrap_or_default()
    }

    /// An absolute path; empty means "none".
    pub fn optional_path(&mut self, key: &str) -> Option<PathBuf> {
        self.parsed(key, "an absolute path", |t| {
            Some(PathBuf::from(t))
                .filter(|p| p.is_absolute())
                .ok_or("a relative path would depend on where one stands")
        })
    }

    /// File modes such as `2770`.
    pub fn mode(&mut self, key: &str) -> Option<u32> {
        self.parsed(key, "an octal mode such as \"0660\"", |t| u32::from_str_radix(t, 8))
    }

    /// A list of values.
    pub fn list<T: FromStr<Err: Display>>(&mut self, key: &str, expected: &str) -> Vec<T> {
        let before = self.complaints.len();
        let Some(value) = self.left.remove(key) else {
            return self.must(key, before, None).unwrap_or_default();
        };
        let origin = self.origin(&value);
        let Ok(items) = value.into_array() else {
            self.complaints.push(format!("{origin}: {key}: expected a list of {expected}"));
            return Vec::new();
        };
        let texts = items.into_iter().map(|v| v.into_string().unwrap_or_default());
        let mut good = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(value) => good.push(value),
                Err(e) => self
                    .complaints
                    .push(format!("{origin}: {key}: expected {expected}, found {text:?} ({e})")),
            }
        }
        good
    }

    /// All `prefix.NAME = text` settings.
    pub fn map(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let names = self.names(prefix);
        let pairs = names
            .into_iter()
            .filter_map(|n| Some((n.clone(), self.optional(&format!("{prefix}.{n}"), "text")?)));
        pairs.collect()
    }

    /// The distinct names that follow `prefix.`; a name may hold `/` but no dot.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let rest = self.left.keys().filter_map(|k| k.strip_prefix(prefix)?.strip_prefix('.'));
        let mut names: Vec<String> = rest.map(|k| k.split('.').next().unwrap_or(k).to_owned()).collect();
        names.dedup();
        names
    }

    /// Hands out `value` if there was nothing to complain about; a key that nobody asked for is a complaint.
    pub fn finish<T>(mut self, value: impl FnOnce() -> Option<T>) -> Result<T, Complaints> {
        for (key, value) in std::mem::take(&mut self.left) {
            let origin = self.origin(&value);
            self.complaints.push(format!("{origin}: {key}: unknown key; see conf/default.toml for all keys"));
        }
        if self.complaints.is_empty()
            && let Some(value) = value()
        {
            return Ok(value);
        }
        self.complaints.sort();
        self.complaints.dedup();
        Err(Complaints(self.complaints))
    }
}

const LENGTH_OF_TIME: &str = "a length of time such as \"90 s\" or \"10 min\"";

/// Reads a length of time as people write it, a day being 24 hours; zero and less make no sense anywhere.
pub fn length_of_time(text: &str) -> Result<Duration, String> {
    let in_days = |_: &jiff::Error| {
        let span: jiff::Span = text.trim().parse().ok()?;
        span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()
    };
    let span = text.trim().parse::<jiff::SignedDuration>();
    let span = span.or_else(|e| in_days(&e).ok_or_else(|| e.to_string()))?;
    Duration::try_from(span).ok().filter(|d| !d.is_zero()).ok_or("must be above zero".to_owned())
}
