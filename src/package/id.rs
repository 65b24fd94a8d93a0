//! Names at the edge: what a package, a kind, a file in a package may be called.
//!
//! Everything here is parsed once, where it comes in, and then trusted by its type. The rules are stricter than any one
//! consumer's: names become directory names, object keys and journal entries, and those from the bucket are hostile
//! until proven. Hence: ASCII letters, digits and `._-+=@,` only, no leading dot or dash, bounded length.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name was refused; says which rule and shows the name safely quoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty, or longer than the limit.
    #[error("the {what} {text:?} must have 1 to {max} characters")]
    Length {
        /// Which sort of name.
        what: &'static str,
        /// The refused text.
        text: String,
        /// The limit.
        max: usize,
    },
    /// A character outside the allowed set, a leading dot or dash, or a path trick.
    #[error(
        "the {what} {text:?} may hold only letters, digits and . _ - + = @ , and must begin with a letter or digit"
    )]
    Characters {
        /// Which sort of name.
        what: &'static str,
        /// The refused text.
        text: String,
    },
    /// A name that has a meaning of its own.
    #[error("the {what} {text:?} is reserved")]
    Reserved {
        /// Which sort of name.
        what: &'static str,
        /// The refused text.
        text: String,
    },
    /// Not of the form `kind/name/rN`, or an unknown word.
    #[error("{text:?} is not a {what}")]
    Form {
        /// What it should have been.
        what: &'static str,
        /// The refused text.
        text: String,
    },
}

fn clipped(text: &str) -> String {
    text.chars().take(120).collect()
}

fn plain(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    if text.is_empty() || text.len() > max {
        return Err(IdError::Length { what, text: clipped(text), max });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+=@,".contains(c);
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(allowed) {
        return Err(IdError::Characters { what, text: clipped(text) });
    }
    Ok(())
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
    };
}

text_type! {
    /// A package's name: a single directory name, at most 200 bytes.
    Name
}

impl FromStr for Name {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        plain("package name", text, 200)?;
        if [super::READY, super::COMMIT, super::COMMIT_SIG, super::MANIFEST].contains(&text) {
            return Err(IdError::Reserved { what: "package name", text: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }
}

text_type! {
    /// A kind of package: one or two lower-case words joined by `/`, such as `analyses-results/trios`.
    Kind
}

impl FromStr for Kind {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let word = |w: &str| {
            plain("kind", w, 40).is_ok()
                && w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        let words: Vec<&str> = text.split('/').collect();
        if words.len() > 2 || !words.iter().all(|w| word(w)) {
            return Err(IdError::Form {
                what: "kind (lower-case words, at most one '/')",
                text: clipped(text),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

text_type! {
    /// A file's path inside a package: relative, at most 10 levels and 500 bytes, each level a plain name.
    RelPath
}

impl FromStr for RelPath {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() > 500 || text.split('/').count() > 10 {
            return Err(IdError::Length { what: "file path", text: clipped(text), max: 500 });
        }
        for level in text.split('/') {
            // Pipelines leave dot files such as `.command.sh`; a leading dot is fine below a package, `.` and `..` are not.
            let visible = level.strip_prefix('.').unwrap_or(level);
            plain("file path", visible, 255)
                .map_err(|_| IdError::Characters { what: "file path", text: clipped(text) })?;
        }
        let reserved = [super::READY, super::COMMIT, super::COMMIT_SIG, super::MANIFEST];
        if reserved.iter().any(|r| r.eq_ignore_ascii_case(text)) {
            return Err(IdError::Reserved { what: "file path", text: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }
}

/// How many times a package of this name was exported on purpose; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u32);

impl Revision {
    /// The revision of a first export.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl FromStr for Revision {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits =
            text.strip_prefix('r').filter(|d| !d.starts_with('0') && d.chars().all(|c| c.is_ascii_digit()));
        let number = digits.and_then(|d| d.parse().ok());
        number.map(Self).ok_or(IdError::Form { what: "revision such as r1", text: clipped(text) })
    }
}

/// Which package: kind, name and revision; prints as `samples/Diag-wgs1-HG12345677/r1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageId {
    /// What sort of package.
    pub kind: Kind,
    /// Its directory's name.
    pub name: Name,
    /// Which export of it.
    pub revision: Revision,
}

impl PackageId {
    /// The first export of a package.
    pub fn first(kind: Kind, name: Name) -> Self {
        Self { kind, name, revision: Revision::FIRST }
    }

    /// What its directory is called beside other revisions: `NAME`, from the second revision on `NAME~r2`. No name can hold
    /// a `~`, so neither is taken for the other.
    pub fn dir_name(&self) -> String {
        if self.revision == Revision::FIRST {
            self.name.to_string()
        } else {
            format!("{}~{}", self.name, self.revision)
        }
    }

    /// The package that a directory of this name holds.
    pub fn of_dir(kind: Kind, dir_name: &str) -> Result<Self, IdError> {
        let Some((name, revision)) = dir_name.rsplit_once('~') else {
            return Ok(Self::first(kind, dir_name.parse()?));
        };
        let (name, revision): (Name, Revision) = (name.parse()?, revision.parse()?);
        if revision <= Revision::FIRST {
            return Err(IdError::Form {
                what: "directory of a revision (NAME~r2 and up)",
                text: clipped(dir_name),
            });
        }
        Ok(Self { kind, name, revision })
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.name, self.revision)
    }
}

impl FromStr for PackageId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let form = || IdError::Form { what: "package (kind/name/rN)", text: clipped(text) };
        let (rest, revision) = text.rsplit_once('/').ok_or_else(form)?;
        let (kind, name) = rest.rsplit_once('/').ok_or_else(form)?;
        Ok(Self { kind: kind.parse()?, name: name.parse()?, revision: revision.parse()? })
    }
}

impl From<PackageId> for String {
    fn from(id: PackageId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for PackageId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

/// How soon; the greater goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// The ordinary way.
    #[default]
    Normal,
    /// Before the normal ones.
    High,
    /// Before everything.
    Urgent,
}

impl Priority {
    /// All, most urgent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::High, Self::Normal];

    /// The word that is a directory in the transfer tree and a value in `COMMIT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::High => "high",
            Self::Normal => "normal",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Priority {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let found = Self::ALL.into_iter().find(|p| p.as_str() == text);
        found.ok_or(IdError::Form { what: "priority (urgent, high or normal)", text: clipped(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names() {
        for good in ["Diag-wgs1-HG12345677", "Diag-wgs1-HG12345677-3c52f4e7-826d-40dd-bd98-f4356deeb098", "a"]
        {
            assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
        }
        let long = "x".repeat(201);
        for bad in
            ["", "..", ".hidden", "a/b", "a\\b", "a b", "-rf", "READY", "å", "a\n", "a\0", long.as_str()]
        {
            assert!(bad.parse::<Name>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn file_paths() {
        for good in ["a.fastq.gz", "sub/dir/x.vcf", ".command.sh", "a/READY"] {
            assert!(good.parse::<RelPath>().is_ok(), "{good:?}");
        }
        for bad in [
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            ".",
            "a\tb",
            "READY",
            "ready",
            "SHA256SUMS",
            "COMMIT",
        ] {
            assert!(bad.parse::<RelPath>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn kinds_and_ids() {
        let id: PackageId = "analyses-results/trios/Diag-x-TRIO/r3".parse().unwrap();
        assert_eq!(
            (id.kind.as_str(), id.name.as_str(), id.revision),
            ("analyses-results/trios", "Diag-x-TRIO", Revision(3))
        );
        assert_eq!(id.to_string(), "analyses-results/trios/Diag-x-TRIO/r3");
        for bad in [
            "samples",
            "samples/x",
            "samples/x/1",
            "samples/x/r0",
            "samples/x/r01",
            "a/b/c/x/r1",
            "Samples/x/r1",
        ] {
            assert!(bad.parse::<PackageId>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn each_revision_has_a_directory_of_its_own() {
        let kind: Kind = "samples".parse().unwrap();
        for (id, dir) in [
            ("samples/Diag-x@r2/r1", "Diag-x@r2"),
            ("samples/Diag-x/r2", "Diag-x~r2"),
            ("samples/a/r12", "a~r12"),
        ] {
            let id: PackageId = id.parse().unwrap();
            assert_eq!(id.dir_name(), dir);
            assert_eq!(PackageId::of_dir(kind.clone(), dir).unwrap(), id);
        }
        for bad in ["a~r1", "a~r0", "a~r02", "a~2", "a~", "~r2", "a~r2~r3", "a~r99999999999"] {
            assert!(PackageId::of_dir(kind.clone(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urgent_comes_first() {
        assert!(Priority::Urgent > Priority::High && Priority::High > Priority::Normal);
    }
}
