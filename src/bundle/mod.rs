//! What somebody elsewhere needs to help, in one file that may leave: logs, configuration, journal, review, facts of the host.
//!
//! All names of packages, samples, files and orders are pseudonyms, the same ones in every file and in every message; what is secret is
//! gone. Nobody has to believe that: when the archive is written, it is read again and searched for every known name and every known
//! secret, and one hit is its end. It never holds the key of the pseudonyms, nor what is not text (progress of uploads, packages).
//!
//! Everything is bounded: by days, by megabytes, and a line by its length. What was left out stands in `index.json`.
mod archive;
mod check;
mod clean;
mod gather;
mod host;
mod secrets;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use crate::conf::{Conf, Settings};
use crate::fs::FsError;
use crate::journal::Fold;
use crate::snapshot::Snapshot;
use crate::tell::pseudonym::KeyError;

pub use secrets::Secrets;

/// A line longer than this is not taken: no line of ours is.
const LINE: usize = 1 << 20;

/// The directory into which it unpacks.
const TOP: &str = "tsd-import-support/";

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The file.
    pub out: PathBuf,
    /// Logs and journal of so many days.
    pub days: u32,
    /// All files together, before they are packed.
    pub bytes: u64,
}

/// What a bundle is made of.
pub struct Site<'a> {
    /// The configuration.
    pub conf: &'a Conf,
    /// The same, key by key.
    pub settings: &'a Settings,
    /// The present, by the journal.
    pub fold: &'a Fold,
    /// Why the journal could not be read to its end, if so: names behind that are taken from what still is JSON.
    pub damage: Option<String>,
    /// The daemon's last word.
    pub seen: Option<&'a Snapshot>,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is there already.
    #[error("{0} is there already; name another with --out")]
    Exists(PathBuf),
    /// A disk that refuses.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// No pseudonyms.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Too many names to search for.
    #[error("{0}")]
    Names(String),
    /// Something stood in it that may not leave.
    #[error(
        "the bundle was not kept: {file} in it still held {what}. Nothing has left. Please report this with the version; until it is \
         mended, send what is needed by hand"
    )]
    Leak {
        /// In which file of the bundle.
        file: String,
        /// What sort of thing; never the thing itself.
        what: &'static str,
    },
}

/// A file in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub what: String,
    /// Its size before it is packed.
    pub bytes: u64,
}

/// The table of contents.
#[derive(Clone, Debug, Serialize)]
pub struct Index {
    /// Of this format.
    pub version: u32,
    /// The program.
    pub program: String,
    /// When it was made.
    pub made: Timestamp,
    /// Which side.
    pub role: String,
    /// Which host.
    pub host: String,
    /// What names became.
    pub names: &'static str,
    /// What is in it.
    pub files: Vec<Entry>,
    /// What is not, and why.
    pub left_out: Vec<String>,
}

/// Makes it, checks it, and puts it where it is wanted; blocks on the disk.
pub fn make(site: &Site<'_>, wish: &Wish, now: Timestamp) -> Result<Index, BundleError> {
    if wish.out.symlink_metadata().is_ok() {
        return Err(BundleError::Exists(wish.out.clone()));
    }
    let (cleaner, mut left_out) = clean::Cleaner::of(site)?;
    let mut archive = archive::Archive::begin(parent(&wish.out), wish.bytes)?;
    gather::all(site, wish, now, &cleaner, &mut archive)?;
    left_out.append(&mut archive.left_out);
    let index = Index {
        version: 1,
        program: format!("tsd-import {}", env!("CARGO_PKG_VERSION")),
        made: now,
        role: site.conf.role.to_string(),
        host: site.conf.host.to_string(),
        names: "pseudonyms: `tsd-import pseudonym P-…` on the host says whom they mean; the journal's chain of digests does not hold here",
        files: archive.entries.clone(),
        left_out: left_out.iter().map(|line| cleaner.text(line)).collect(),
    };
    let written = archive.end(&cleaner.value(serde_json::json!(index)))?;
    check::search(&written, &cleaner)?;
    match crate::fs::publish(&written, &wish.out) {
        Ok(()) => Ok(index),
        Err(e) if e.source.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(BundleError::Exists(wish.out.clone()))
        }
        Err(e) => Err(e.into()),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
