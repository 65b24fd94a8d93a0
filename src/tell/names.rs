//! Which names may not be said: all that journal and snapshot know of packages, samples, files, orders and artifacts.
use std::collections::BTreeSet;

use crate::journal::Fold;
use serde_json::Value;

use crate::package::{Content, Draft, PackageId};
use crate::snapshot::Snapshot;

/// Shorter ones are no names but letters.
const SHORTEST: usize = 2;

/// A set of names.
#[derive(Clone, Debug, Default)]
pub struct Known(BTreeSet<String>);

impl Known {
    /// Of a journal, and of what a daemon did not take.
    pub fn of(fold: &Fold, seen: Option<&Snapshot>) -> Self {
        let mut known = Self::default();
        for row in fold.packages() {
            known.package(row.id.name.as_str());
        }
        for row in fold.orders() {
            known.add(&row.order.id.0);
            row.order.artifacts.iter().for_each(|artifact| known.add(artifact));
            row.order.packages.iter().for_each(|draft| known.draft(draft));
        }
        for (artifact, doubt) in fold.doubts() {
            known.add(artifact);
            known.package(&doubt.who);
        }
        for who in seen.iter().flat_map(|seen| seen.not_taken.keys()) {
            // A path, an id or a sentence: of the last only what looks like a number of a sample, which the scrubbing finds by itself.
            if !who.contains(' ') {
                who.split('/')
                    .filter(|part| part.len() > 4 && !is_word(part))
                    .for_each(|part| known.package(part));
            }
        }
        for id in seen.iter().flat_map(|seen| &seen.actors).flat_map(|actor| &actor.report.in_hand) {
            if let Ok(id) = id.parse::<PackageId>() {
                known.package(id.name.as_str());
            }
        }
        known
    }

    fn draft(&mut self, draft: &Draft) {
        self.package(draft.id.name.as_str());
        draft.artifact.iter().for_each(|artifact| self.add(artifact));
        match &draft.content {
            Content::Sample { doc, files } => {
                self.package(&doc.sample_id);
                doc.uuid.iter().for_each(|uuid| self.add(uuid));
                doc.taqman.iter().for_each(|file| self.add(file));
                for file in files {
                    self.package(file.to.as_str());
                    file.from
                        .file_name()
                        .and_then(|name| name.to_str())
                        .iter()
                        .for_each(|name| self.add(name));
                }
            }
            Content::Analysis { doc } => doc.samples.iter().for_each(|sample| self.package(sample.as_str())),
        }
    }

    /// A name and the parts of it that are names by themselves: the number of a sample in the name of its package.
    pub fn package(&mut self, name: &str) {
        self.add(name);
        for part in name.split(|c: char| "-_.,=+@~ /".contains(c)) {
            if part.chars().filter(char::is_ascii_digit).count() >= 4 {
                self.add(part);
            }
        }
    }

    /// All names in a line of a journal that could not be read as one.
    pub fn json(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                if let Ok(id) = text.parse::<PackageId>() {
                    self.package(id.name.as_str());
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.json(item)),
            Value::Object(fields) => {
                for (field, value) in fields {
                    let named = ["artifact", "who", "order", "to", "sample_id"].contains(&field.as_str());
                    match value {
                        // The id of an order stands under `order`, and so does all of one; `to` is also a state.
                        Value::String(text) if named && text.chars().any(|c| c.is_ascii_digit()) => {
                            self.package(text)
                        }
                        other => self.json(other),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// One name, and how it looks in an address.
    pub fn add(&mut self, name: &str) {
        let name = name.trim();
        if name.chars().count() < SHORTEST {
            return;
        }
        let encoded =
            percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string();
        // The marks that no client encodes.
        let usual = encoded.replace("%2D", "-").replace("%2E", ".").replace("%5F", "_").replace("%7E", "~");
        for form in [encoded, usual] {
            if form != name {
                let _new = self.0.insert(form);
            }
        }
        let _new = self.0.insert(name.to_owned());
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

/// A level of a path that names no package: a kind, a priority, a revision.
fn is_word(part: &str) -> bool {
    part.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

impl<T: AsRef<str>> FromIterator<T> for Known {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        let mut known = Self::default();
        names.into_iter().for_each(|name| known.package(name.as_ref()));
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_sample_is_a_name_by_itself() {
        let known: Known = ["Diag-wgs1-HG12345677-PM", "a+b@c"].into_iter().collect();
        let all: Vec<&str> = known.iter().map(String::as_str).collect();
        for name in ["Diag-wgs1-HG12345677-PM", "HG12345677", "a+b@c", "a%2Bb%40c"] {
            assert!(all.contains(&name), "{name} in {all:?}");
        }
        assert!(!all.contains(&"wgs1") && !all.contains(&"PM"), "{all:?}");
    }
}
