//! Takes names out of texts.
//!
//! Known names go wherever they stand, in any case of letters, also inside of longer words; where several overlap, all that they
//! cover becomes one pseudonym, so that no piece of a name is left over. Short ones (they would be in half of all words) go
//! where they are words. Behind that goes whatever looks like the number of a sample or the name of a file of reads, for an
//! error may name what no journal knows.
use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use super::names::Known;
use super::pseudonym::{Given, Key};

/// Names shorter than this go only where they are words of their own.
const SHORT: usize = 5;

/// What is taken out of texts.
pub struct Scrubber {
    key: Key,
    names: Option<AhoCorasick>,
}

/// A stretch of a text, in bytes.
type Stretch = (usize, usize);

impl Scrubber {
    /// For these names; none if there are more than can be searched for.
    pub fn new(key: Key, known: &Known) -> Result<Self, String> {
        let mut builder = AhoCorasickBuilder::new();
        let built = builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(known.iter());
        let names = built
            .map_err(|e| format!("could not prepare to take {} names out: {e}", known.iter().count()))?;
        Ok(Self { key, names: Some(names).filter(|names| names.patterns_len() > 0) })
    }

    /// The text with a pseudonym for each name.
    pub fn text(&self, text: &str) -> String {
        self.noting(text, &mut Given::new())
    }

    /// The same, and which pseudonyms were given out.
    pub fn noting(&self, text: &str, given: &mut Given) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        let mut hidden = self.found(text);
        hidden.extend(looks_like(text));
        for (from, to) in merged(hidden) {
            let Some((before, name)) = text.get(at..from).zip(text.get(from..to)) else { continue };
            out.push_str(before);
            let pseudonym = self.key.pseudonym(name);
            out.push_str(&pseudonym);
            let _before = given.insert(pseudonym, name.to_owned());
            at = to;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }

    /// A name that stands in this text. To be asked of what is about to leave.
    pub fn leak(&self, text: &str) -> Option<String> {
        let (from, to) = self.found(text).into_iter().next()?;
        text.get(from..to).map(str::to_owned)
    }

    fn found(&self, text: &str) -> Vec<Stretch> {
        let Some(names) = &self.names else { return Vec::new() };
        let all = names.find_overlapping_iter(text).map(|found| (found.start(), found.end()));
        all.filter(|(from, to)| to - from >= SHORT || is_word(text, *from, *to)).collect()
    }
}

/// Whether it is a word of its own: no letter or digit stands beside one of its own.
fn is_word(text: &str, from: usize, to: usize) -> bool {
    let last = |t: &str| t.chars().next_back().is_some_and(char::is_alphanumeric);
    let first = |t: &str| t.chars().next().is_some_and(char::is_alphanumeric);
    let [before, name, behind] =
        [text.get(..from), text.get(from..to), text.get(to..)].map(Option::unwrap_or_default);
    let goes_on = last(before) && first(name) || last(name) && first(behind);
    !goes_on
}

/// Stretches that overlap become one; those that only touch stay apart.
fn merged(mut all: Vec<Stretch>) -> Vec<Stretch> {
    all.sort_unstable();
    let mut whole: Vec<Stretch> = Vec::new();
    for (from, to) in all {
        match whole.last_mut() {
            Some(last) if from < last.1 => last.1 = last.1.max(to),
            _ => whole.push((from, to)),
        }
    }
    whole
}

/// Endings of what lies in packages.
const ENDINGS: [&str; 9] =
    [".fastq", ".fq", ".bam", ".cram", ".vcf", ".sample", ".analysis", ".taqman", ".ora"];

/// What looks like the number of a sample, or like a file of a package, whether anybody knows it or not.
fn looks_like(text: &str) -> Vec<Stretch> {
    let mut found = Vec::new();
    for (from, file) in runs(text, |c| c.is_alphanumeric() || "._-+=@,~".contains(c)) {
        let lower = file.to_ascii_lowercase();
        let end = ENDINGS.iter().filter_map(|ending| lower.find(ending)).min();
        if end.is_some_and(|at| at > 1) {
            found.push((from, from + file.trim_end_matches(['.', ',', '-']).len()));
        }
        for (at, word) in runs(file, char::is_alphanumeric) {
            let behind = text.get(from + at + word.len()..).unwrap_or_default();
            if is_number_of_a_sample(word) && !behind.starts_with(" bytes") {
                found.push((from + at, from + at + word.len()));
            }
        }
    }
    found
}

/// Two letters and eight digits, or eleven digits, and what is like that; no digest and no time of day.
fn is_number_of_a_sample(word: &str) -> bool {
    let letters = word.chars().take_while(char::is_ascii_alphabetic).count();
    let digits = word.chars().skip(letters).take_while(char::is_ascii_digit).count();
    let is_hex = word.chars().all(|c| c.is_ascii_hexdigit());
    match letters {
        0 => digits == 11 && word.len() == 11,
        1..=4 => digits >= 6 && !(is_hex && [32, 40, 64].contains(&word.len())),
        _ => false,
    }
}

/// The longest runs of such characters, with where each begins.
fn runs(text: &str, good: impl Fn(char) -> bool) -> Vec<(usize, &str)> {
    let mut all = Vec::new();
    let mut from = None;
    for (at, c) in text.char_indices().chain([(text.len(), '\0')]) {
        match (good(c), from) {
            (true, None) => from = Some(at),
            (false, Some(begin)) => {
                all.extend(text.get(begin..at).map(|run| (begin, run)));
                from = None;
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
