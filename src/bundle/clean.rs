//! Takes names and secrets out of everything that goes into a bundle.
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::Value;

use super::secrets::Secrets;
use super::{BundleError, LINE, Site};
use crate::fs::FsError;
use crate::journal;
use crate::tell::names::Known;
use crate::tell::pseudonym::Key;
use crate::tell::scrub::Scrubber;

/// Cleans texts and JSON.
pub(super) struct Cleaner {
    scrubber: Scrubber,
    secrets: Secrets,
    key_digits: String,
}

impl Cleaner {
    /// For a site; and what could not be searched for.
    pub fn of(site: &Site<'_>) -> Result<(Self, Vec<String>), BundleError> {
        let key = Key::of(&site.conf.state_dir)?;
        let secrets = Secrets::of(site.conf, site.settings).map_err(BundleError::Names)?;
        let mut unknown = secrets.unknown.clone();
        let mut known = Known::of(site.fold, site.seen);
        if let Some(damage) = &site.damage {
            unknown.push(format!("{damage}: names behind that were taken from lines that are whole"));
            let path = site.conf.state_dir.join(journal::FILE);
            let file = File::open(&path).map_err(FsError::at("open", &path))?;
            let mut file = BufReader::new(file);
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = file.by_ref().take(LINE as u64).read_until(b'\n', &mut line);
                if read.map_err(FsError::at("read", &path))? == 0 {
                    break;
                }
                if let Ok(value) = serde_json::from_slice(&line) {
                    known.json(&value);
                }
            }
        }
        Ok((Self::new(key, &known, secrets)?, unknown))
    }

    pub fn new(key: Key, known: &Known, secrets: Secrets) -> Result<Self, BundleError> {
        let key_digits = key.digits();
        let scrubber = Scrubber::new(key, known).map_err(BundleError::Names)?;
        Ok(Self { scrubber, secrets, key_digits })
    }

    /// A text without either.
    pub fn text(&self, text: &str) -> String {
        self.scrubber.text(&self.secrets.clean(text))
    }

    /// JSON without either; numbers stay.
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (self.text(&name), self.value(value))).collect()
            }
            other => other,
        }
    }

    /// A line of a log or a journal.
    pub fn line(&self, line: &str) -> String {
        match serde_json::from_str::<Value>(line) {
            Ok(value) => self.value(value).to_string(),
            Err(_) => self.text(line),
        }
    }

    /// What stands in this text that may not leave.
    pub fn leak(&self, text: &str) -> Option<&'static str> {
        if self.scrubber.leak(text).is_some() {
            Some("a name of a package, sample, file or order")
        } else if self.secrets.is_in(text) {
            Some("a secret")
        } else if text.contains(&self.key_digits) {
            Some("the key of the pseudonyms")
        } else {
            None
        }
    }
}
