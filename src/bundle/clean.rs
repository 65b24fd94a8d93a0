//! Takes names and secrets out of everything that goes into a bundle.
use serde_json::Value;

use super::secrets::Secrets;
use super::{BundleError, Site};
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
        let unknown = secrets.unknown.clone();
        Ok((Self::new(key, &Known::of(site.fold, site.seen), secrets)?, unknown))
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
