//! The list that a person reads before anything is cleaned: what it says of each package must still be so when it is.
//!
//! As text, one line per package, so that it can be read, kept and looked through with `grep`; its digest covers each line's package,
//! commit, size and proof, so nobody confirms something else than what was shown.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::age;
use crate::journal::{Fold, Row};
use crate::package::{Kind, PackageId, Sha256Hex, State};

/// More packages than this are not listed at once.
pub const MOST: usize = 100_000;
/// The largest file that is read as a list, in bytes.
pub const MAX_BYTES: u64 = 64 << 20;

/// One package below `transferred/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub package: PackageId,
    /// When its commit was acknowledged.
    pub committed_at: Timestamp,
    /// Its payload.
    pub bytes: u64,
    /// What is known of its arrival.
    pub proof: Proof,
    /// Digest of the commit's bytes.
    pub commit_sha256: Sha256Hex,
}

/// What is known of a package's arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Nothing but that every part was acknowledged by the store.
    None,
    /// The receiver's receipt.
    Receipt,
}

impl Proof {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Receipt => "receipt",
        }
    }
}

impl std::str::FromStr for Proof {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::None, Self::Receipt].into_iter().find(|proof| proof.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no proof (none, receipt)"))
    }
}

/// When the commit of a package was acknowledged.
pub fn committed_at(row: &Row) -> Timestamp {
    let committed = row.way.iter().rev().find(|(state, _)| *state == State::Committed);
    committed.map_or(row.since, |(_, at)| *at)
}

/// Packages that rest below `transferred/`, as far as the journal knows what was sent of them.
pub fn resting(fold: &Fold) -> impl Iterator<Item = &Row> {
    let known = |row: &&Row| {
        let facts = &row.facts;
        row.cleaned.is_none() && facts.manifest_sha256.is_some() && facts.commit_sha256.is_some()
    };
    fold.in_state(State::Transferred).filter(known)
}

/// Whether a package was committed so long ago.
pub fn is_old(row: &Row, older_than: Duration, now: Timestamp) -> bool {
    age(committed_at(row), now) >= older_than
}

/// The list of what was committed longer ago than this, the oldest first. `kinds`: none means all.
pub fn list(
    fold: &Fold,
    older_than: Duration,
    kinds: &[Kind],
    now: Timestamp,
    proof: impl Fn(&Row) -> Proof,
) -> Vec<Entry> {
    let wanted =
        |row: &&Row| is_old(row, older_than, now) && (kinds.is_empty() || kinds.contains(&row.id.kind));
    let mut rows: Vec<&Row> = resting(fold).filter(wanted).collect();
    rows.sort_by_key(|row| (committed_at(row), row.id.clone()));
    let entry = |row: &Row| {
        let (package, committed_at, bytes) =
            (row.id.clone(), committed_at(row), row.facts.bytes.unwrap_or(0));
        let commit_sha256 = row.facts.commit_sha256.clone()?;
        Some(Entry { package, committed_at, bytes, proof: proof(row), commit_sha256 })
    };
    rows.into_iter().take(MOST).filter_map(entry).collect()
}

/// What names exactly this list.
pub fn digest(entries: &[Entry]) -> Sha256Hex {
    let line = |entry: &Entry| {
        let Entry { package, committed_at, bytes, proof, commit_sha256 } = entry;
        format!("{package} {committed_at} {bytes} {} {commit_sha256}\n", proof.as_str())
    };
    let text: String = entries.iter().map(line).collect();
    Sha256Hex::of(text.as_bytes())
}

/// As people read it, and [`parse`] too.
pub fn to_text(entries: &[Entry], now: Timestamp) -> String {
    let mut text = String::from("# package  committed  bytes  proof  days  sha256 of COMMIT\n");
    for entry in entries {
        let Entry { package, committed_at, bytes, proof, commit_sha256 } = entry;
        let (proof, days) = (proof.as_str(), age(*committed_at, now).as_secs() / 86_400);
        text += &format!("{package}  {committed_at}  {bytes}  {proof}  {days}  {commit_sha256}\n");
    }
    text
}

/// Reads a list back; lines that begin with `#` say nothing. In words why not.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries: BTreeMap<PackageId, usize> = BTreeMap::new();
    let mut list = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: String| format!("line {} of the list: {why}", n + 1);
        let words: Vec<&str> = line.split_whitespace().collect();
        let [package, committed_at, bytes, proof, _days, commit] = words[..] else {
            return Err(wrong("it is no line of a list as `clean --older-than` prints it".into()));
        };
        let entry = Entry {
            package: package.parse().map_err(|e| wrong(format!("{e}")))?,
            committed_at: committed_at
                .parse()
                .map_err(|e| wrong(format!("{committed_at:?} is no time ({e})")))?,
            bytes: bytes.parse().map_err(|e| wrong(format!("{bytes:?} is no number of bytes ({e})")))?,
            proof: proof.parse().map_err(wrong)?,
            commit_sha256: commit.parse().map_err(|e| wrong(format!("{e}")))?,
        };
        if let Some(earlier) = entries.insert(entry.package.clone(), n + 1) {
            return Err(wrong(format!("{} stands in line {earlier} already", entry.package)));
        }
        if list.len() == MOST {
            return Err(format!("the list has more than {MOST} packages; make it of fewer"));
        }
        list.push(entry);
    }
    Ok(list)
}

/// Whether a package is still what the list says; in words why not.
pub fn unchanged(entry: &Entry, row: Option<&Row>, proof: Proof) -> Result<(), String> {
    let Some(row) = row else { return Err("the journal does not know it".into()) };
    if let Some(cleaned) = &row.cleaned {
        return Err(format!("it was cleaned at {} by {} already", cleaned.at, cleaned.by));
    }
    if row.state != State::Transferred {
        return Err(format!("it is {} and not transferred", row.state));
    }
    if row.facts.commit_sha256.as_ref() != Some(&entry.commit_sha256) {
        return Err("its commit is another one than in the list".into());
    }
    let (committed, bytes) = (committed_at(row), row.facts.bytes.unwrap_or(0));
    if (committed, bytes) != (entry.committed_at, entry.bytes) {
        return Err(format!(
            "it has {bytes} bytes committed at {committed}, which is not what the list says"
        ));
    }
    if proof < entry.proof {
        return Err("the list says that there is a receipt, and there is no good one any more".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Event, Facts, Line};

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn fold(packages: &[(&str, i64)]) -> Fold {
        let (mut fold, mut seq) = (Fold::default(), 0);
        for (id, secs) in packages {
            let package: PackageId = id.parse().unwrap();
            for (from, to) in [
                (None, State::Packed),
                (Some(State::Packed), State::Committed),
                (Some(State::Committed), State::Transferred),
            ] {
                seq += 1;
                let digest = Some(Sha256Hex::of(id.as_bytes()));
                let facts = match to {
                    State::Committed => Facts {
                        bytes: Some(7),
                        files: Some(1),
                        manifest_sha256: digest.clone(),
                        commit_sha256: digest,
                        ..Facts::default()
                    },
                    _ => Facts::default(),
                };
                let event =
                    Event::Moved { package: package.clone(), from, to, by: "t".into(), facts: facts.into() };
                let at = at(*secs + i64::from(to == State::Transferred) * 1000);
                fold.apply(&Line { v: 1, seq, at, prev: Sha256Hex::zero(), event });
            }
        }
        fold
    }

    fn none(_: &Row) -> Proof {
        Proof::None
    }

    #[test]
    fn it_has_what_was_committed_long_ago_the_oldest_first() {
        let fold =
            fold(&[("samples/b/r1", 0), ("samples/a/r1", 50), ("analyses/c/r1", -10), ("samples/d/r1", 91)]);
        let names = |kinds: &[Kind]| -> Vec<String> {
            let listed = list(&fold, Duration::from_secs(10), kinds, at(100), none);
            listed.iter().map(|entry| entry.package.to_string()).collect()
        };
        assert_eq!(
            names(&[]),
            ["analyses/c/r1", "samples/b/r1", "samples/a/r1"],
            "since the commit, not the move"
        );
        assert_eq!(names(&["analyses".parse().unwrap()]), ["analyses/c/r1"]);
    }

    #[test]
    fn it_is_read_back_and_its_digest_names_exactly_it() {
        let fold = fold(&[("samples/b/r1", 0), ("samples/a/r2", 50)]);
        let listed = list(&fold, Duration::ZERO, &[], at(200_000), |row| match row.id.name.as_str() {
            "a" => Proof::Receipt,
            _ => Proof::None,
        });
        let text = to_text(&listed, at(200_000));
        assert!(text.contains("samples/a/r2  ") && text.contains("  7  receipt  2  "), "{text}");
        assert_eq!(parse(&text).unwrap(), listed);
        assert_eq!(parse(&to_text(&listed, at(900_000))).unwrap(), listed, "whenever it was printed");
        let mut other = listed.clone();
        other[0].bytes += 1;
        let fewer = &listed[1..];
        for changed in [&other[..], fewer, &[]] {
            assert_ne!(digest(changed), digest(&listed));
        }
        for (odd, why) in [
            ("samples/a/r1 x", "line 1 of the list: it is no line"),
            ("samples/../r1 2026-01-01T00:00:00Z 1 none 3 00", "line 1"),
            (
                &format!("{text}{}", text.lines().nth(1).unwrap()),
                "line 4 of the list: samples/b/r1 stands in line 2",
            ),
            (&text.replace("receipt", "trust-me"), "no proof"),
        ] {
            let said = parse(odd).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn what_changed_since_is_named() {
        let now = fold(&[("samples/a/r1", 0)]);
        let entry = list(&now, Duration::ZERO, &[], at(10), |_| Proof::Receipt).remove(0);
        let row = now.package(&entry.package);
        unchanged(&entry, row, Proof::Receipt).unwrap();
        let weaker = Entry { proof: Proof::None, ..entry.clone() };
        unchanged(&weaker, row, Proof::Receipt).unwrap();
        let said = |entry: &Entry, row, proof| unchanged(entry, row, proof).unwrap_err();
        assert!(said(&entry, row, Proof::None).contains("no good one any more"));
        assert!(said(&entry, None, Proof::None).contains("does not know it"));
        let other = Entry { commit_sha256: Sha256Hex::of(b"x"), ..entry.clone() };
        assert!(said(&other, row, Proof::Receipt).contains("its commit is another one"));
        let other = Entry { bytes: 8, ..entry.clone() };
        assert!(said(&other, row, Proof::Receipt).contains("7 bytes"));
        let mut gone = now.clone();
        let event = Event::Cleaned {
            package: entry.package.clone(),
            done: true,
            bytes: 7,
            proof: "none".into(),
            by: "anna".into(),
            why: "w".into(),
        };
        gone.apply(&Line { v: 1, seq: 9, at: at(9), prev: Sha256Hex::zero(), event });
        assert!(said(&entry, gone.package(&entry.package), Proof::Receipt).contains("by anna already"));
        assert!(list(&gone, Duration::ZERO, &[], at(10), none).is_empty());
    }
}
