//! `SHA256SUMS`: what is in a package, in the format that `sha256sum -c --strict` reads.
//!
//! One line `<64 hex>  <relative path>` per payload file, sorted bytewise, each ended by a newline. Reading is as strict as
//! writing: what we would not have written is refused, so two different texts can never mean the same package.
use std::collections::BTreeMap;

use super::{RelPath, Sha256Hex};

/// The manifest's file name.
pub const MANIFEST: &str = "SHA256SUMS";

/// The largest manifest that is read: 200,000 files with long names.
pub const MAX_BYTES: usize = 64 << 20;

/// Every payload file with its digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    files: BTreeMap<RelPath, Sha256Hex>,
}

/// A manifest we would not have written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManifestError {
    /// Not UTF-8.
    #[error("SHA256SUMS is not UTF-8 text")]
    NotText,
    /// Longer than [`MAX_BYTES`].
    #[error("SHA256SUMS has {0} bytes, more than is accepted")]
    TooLong(usize),
    /// Two names that a file system may take for one.
    #[error("SHA256SUMS has {0} and {1}, which not every file system can tell from each other")]
    Alike(String, String),
    /// A line of another shape.
    #[error("line {line} of SHA256SUMS is wrong: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl Manifest {
    /// Adds a file; the last digest given for a path counts.
    pub fn insert(&mut self, path: RelPath, digest: Sha256Hex) {
        drop(self.files.insert(path, digest));
    }

    /// The files in bytewise order.
    pub fn iter(&self) -> impl Iterator<Item = (&RelPath, &Sha256Hex)> {
        self.files.iter()
    }

    /// The digest of one file.
    pub fn get(&self, path: &RelPath) -> Option<&Sha256Hex> {
        self.files.get(path)
    }

    /// How many files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The exact text of the file.
    pub fn to_text(&self) -> String {
        self.files.iter().map(|(path, digest)| format!("{digest}  {path}\n")).collect()
    }

    /// Reads a manifest; refuses duplicates, disorder, unsafe paths and a missing last newline.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_BYTES {
            return Err(ManifestError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ManifestError::NotText)?;
        let mut files = BTreeMap::new();
        for (n, line) in text.split_inclusive('\n').enumerate() {
            let wrong = |why: String| ManifestError::Line { line: n + 1, why };
            let line =
                line.strip_suffix('\n').ok_or_else(|| wrong("no newline at its end (cut off?)".into()))?;
            let (digest, path) =
                line.split_once("  ").ok_or_else(|| wrong("not `<digest>  <path>`".into()))?;
            if digest.bytes().any(|b| b.is_ascii_uppercase()) {
                return Err(wrong("upper-case digest".into()));
            }
            let digest: Sha256Hex = digest.parse().map_err(|e| wrong(format!("{e}")))?;
            let path: RelPath = path.parse().map_err(|e| wrong(format!("{e}")))?;
            if files.last_key_value().is_some_and(|(last, _)| *last >= path) {
                return Err(wrong(format!("{path} is out of order or twice")));
            }
            files.insert(path, digest);
        }
        let manifest = Self { files };
        match alike(manifest.files.keys()) {
            Some((one, other)) => Err(ManifestError::Alike(one, other)),
            None => Ok(manifest),
        }
    }
}

/// Two of these names that differ in case alone, or of which one is a directory of the other. Names are ASCII ([`RelPath`]), so they have
/// no other forms.
pub fn alike<'a>(paths: impl IntoIterator<Item = &'a RelPath>) -> Option<(String, String)> {
    let mut taken: BTreeMap<String, (&str, bool)> = BTreeMap::new();
    for path in paths {
        let text = path.as_str();
        let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
        for end in ends {
            let name = text.get(..end).unwrap_or(text);
            let is_file = end == text.len();
            match taken.get(&name.to_ascii_lowercase()) {
                Some((other, other_is_file)) if *other != name || is_file || *other_is_file => {
                    return Some(((*other).to_owned(), name.to_owned()));
                }
                Some(_) => {}
                None => drop(taken.insert(name.to_ascii_lowercase(), (name, is_file))),
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(n: u8) -> Sha256Hex {
        Sha256Hex::of(&[n])
    }

    #[test]
    fn the_text_is_sorted_bytewise_and_reads_back() {
        let mut m = Manifest::default();
        for (n, path) in ["b", "a/z", "a.x", "C"].into_iter().enumerate() {
            m.insert(path.parse().unwrap(), digest(n as u8));
        }
        let text = m.to_text();
        let paths: Vec<&str> = text.lines().map(|l| &l[66..]).collect();
        assert_eq!(paths, ["C", "a.x", "a/z", "b"]);
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), m);
    }

    #[test]
    fn what_we_would_not_write_is_refused() {
        let d = digest(0);
        for (text, why) in [
            (format!("{d}  a"), "newline"),
            (format!("{d} a\n"), "not `<digest>"),
            (format!("{d}  ../a\n"), "file path"),
            (format!("{d}  b\n{d}  a\n"), "out of order"),
            (format!("{d}  a\n{d}  a\n"), "out of order"),
            (format!("{}  a\n", d.as_str().to_uppercase()), "upper-case"),
            (format!("{d}  a\r\n"), "file path"),
            ("\n".to_owned(), "not `<digest>"),
        ] {
            let refused = Manifest::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(why), "{text:?} → {refused}");
        }
        assert_eq!(Manifest::parse(&[0xff]).unwrap_err(), ManifestError::NotText);
    }

    proptest! {
        #[test]
        fn any_accepted_text_is_the_one_text_of_its_manifest(bytes in "[0-9a-f]{64}  [a-c./]{1,4}\n([0-9a-f]{64}  [a-c./]{1,4}\n)?") {
            if let Ok(m) = Manifest::parse(bytes.as_bytes()) {
                prop_assert_eq!(m.to_text(), bytes);
            }
        }
    }

    #[test]
    fn names_that_a_file_system_may_take_for_one_are_refused() {
        let found_alike = |paths: &[&str]| {
            let mut manifest = Manifest::default();
            for path in paths {
                manifest.insert(path.parse().unwrap(), Sha256Hex::of(b""));
            }
            let found = super::alike(manifest.files.keys());
            let read = Manifest::parse(manifest.to_text().as_bytes());
            assert_eq!(matches!(read, Err(ManifestError::Alike(..))), found.is_some(), "{paths:?}");
            found
        };
        for good in
            [&["a", "b"][..], &["d/a", "d/b", "e/a", "da"], &["d.a", "d/a", "d-a"], &["a/a/a", "a/a/b"]]
        {
            assert_eq!(found_alike(good), None, "{good:?}");
        }
        for bad in [
            &["A.vcf", "a.vcf"][..],
            &["a", "a/b"],
            &["D/a", "d/b"],
            &["x/Y", "x/y/z"],
            &["x/y/Z/a", "x/y/z/b"],
        ] {
            assert!(found_alike(bad).is_some(), "{bad:?}");
        }
    }
}
