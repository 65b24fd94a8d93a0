//! Reads settings one by one and gathers every complaint before giving up.
//!
//! Layers, later ones win: the built-in `conf/default.toml`, the site's file, the environment
//! (`TSD_IMPORT__STORE__ENDPOINT` sets `store.endpoint`). A key that nobody asked for is a complaint too, so a typing error
//! is never silently a default. Each complaint names where it stands, the key, and what is expected.
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use config::{Config, Environment, File, FileFormat, Source, Value, ValueKind};

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

/// The defaults, with a comment for every key.
pub const DEFAULTS: &str = include_str!("../../conf/default.toml");
const DEFAULTS_NAME: &str = "the built-in defaults";

/// Settings that were not asked for yet, and complaints so far.
pub struct Reader {
    left: BTreeMap<String, Value>,
    complaints: Vec<String>,
    file: String,
    required: bool,
}

impl Reader {
    /// Puts the layers on top of each other. Fails at once only if a file cannot be read or is not TOML.
    pub fn open(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Complaints> {
        let mut layers = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(path) = file {
            if let Err(e) = std::fs::read(path) {
                let what = format!("{}: cannot be read ({e}); name another with --config", path.display());
                return Err(Complaints(vec![what]));
            }
            layers = layers.add_source(File::from(path).format(FileFormat::Toml));
        }
        let env: std::collections::HashMap<String, String> = environment.into_iter().collect();
        let env = Environment::with_prefix("TSD_IMPORT").separator("__").source(Some(env));
        let name = file.map_or(DEFAULTS_NAME.to_owned(), |p| p.display().to_string());
        let built = layers.add_source(env).build().and_then(|c| c.collect());
        let tree = built.map_err(|e| Complaints(vec![e.to_string()]))?;
        let mut left = BTreeMap::new();
        for (key, value) in tree {
            flatten(key, value, &mut left);
        }
        Ok(Self { left, complaints: Vec::new(), file: name, required: true })
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
        let value = self.parsed(key, "a length of time such as \"90 s\" or \"10 min\"", |t| {
            let span: jiff::SignedDuration = t.parse().map_err(|e: jiff::Error| e.to_string())?;
            Duration::try_from(span).ok().filter(|d| !d.is_zero()).ok_or("must be above zero".to_owned())
        });
        self.must(key, before, value).unwrap_or(Duration::from_secs(1))
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

fn flatten(key: String, value: Value, into: &mut BTreeMap<String, Value>) {
    match value.kind {
        ValueKind::Table(table) => {
            for (name, value) in table {
                flatten(format!("{key}.{name}"), value, into);
            }
        }
        _ => drop(into.insert(key, value)),
    }
}
