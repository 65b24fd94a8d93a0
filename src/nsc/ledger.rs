//! What of a package has been sent already: a small side file per package, so that a restart sends nothing twice.
//!
//! One JSON line per acknowledged file, fsynced, with the file's fingerprint at that time. A line counts only while size,
//! modification time and inode are unchanged; otherwise the file is sent anew. A torn line is simply not counted. What a check found
//! in the file stands in the line too, so that its mate can be compared with it; a line that does not tell what is wanted
//! (written by an older program, or while nothing was checked) does not count, and the file is read again.
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::fastq::Found;
use crate::disk::OnDisk;
use crate::fs::{self, Fingerprint, FsError, Mode};
use crate::package::{Digests, PackageId, RelPath};

#[derive(Serialize, Deserialize)]
struct Entry {
    file: RelPath,
    source: Fingerprint,
    #[serde(flatten)]
    known: Known,
}

/// What is known of a file that the store has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Of its bytes.
    pub digests: Digests,
    /// What stands in it, if it was checked.
    #[serde(default, rename = "reads", skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
}

/// What must be known of a file, or it is read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// The md5, to compare it with the delivery's.
    pub md5: bool,
    /// What stands in it.
    pub found: bool,
}

/// The side file of one package. It is open only while a line is written, so that nobody but a disk's thread ever closes it.
pub struct Ledger {
    path: PathBuf,
    writing: Mutex<()>,
    sent: BTreeMap<RelPath, (Fingerprint, Known)>,
}

impl Ledger {
    /// Reads it below the state directory; there may be none yet.
    pub fn open(on: &OnDisk, state_dir: &Path, package: &PackageId) -> Result<Self, FsError> {
        let dir = state_dir.join("uploads");
        fs::create_dir(&dir)?;
        let path = dir.join(format!("{}.jsonl", package.to_string().replace('/', "~")));
        let text = match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(FsError::at("read", &path))?,
        };
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
        let sent = entries.map(|e| (e.file, (e.source, e.known))).collect();
        let ledger = Self { path, writing: Mutex::new(()), sent };
        if !text.is_empty() && !text.ends_with('\n') {
            ledger.write(on, b"\n")?; // ends a torn line, so that the next one is whole
        }
        Ok(ledger)
    }

    /// What is known of `file` if it was acknowledged, has not changed since, and all that is wanted is known.
    pub fn sent(&self, file: &RelPath, now: Fingerprint, want: Want) -> Option<&Known> {
        let (then, known) = self.sent.get(file)?;
        let enough = known.digests.md5.is_some() >= want.md5 && known.found.is_some() >= want.found;
        (*then == now && enough).then_some(known)
    }

    /// Notes an acknowledged file. Late, the line is as true as in time: what the store has acknowledged it has.
    pub fn note(
        &self,
        on: &OnDisk,
        file: &RelPath,
        source: Fingerprint,
        known: &Known,
    ) -> Result<(), FsError> {
        let entry = Entry { file: file.clone(), source, known: known.clone() };
        let mut line = serde_json::to_vec(&entry).expect("plain fields always serialise");
        line.push(b'\n');
        self.write(on, &line)
    }

    fn write(&self, _: &OnDisk, bytes: &[u8]) -> Result<(), FsError> {
        let _one_line_at_a_time = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = fs::open(&self.path, Mode::Append)?;
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(FsError::at("write", &self.path))
    }

    /// Everything is committed; the file has done its duty.
    pub fn close(self, _: &OnDisk) -> Result<(), FsError> {
        fs::remove_file(&self.path) // a package without any file sent by us has none
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{HashState, Sha256Hex};

    #[test]
    fn a_file_counts_while_it_is_unchanged_and_torn_lines_do_not_spoil_the_next() {
        let on = &OnDisk::alone();
        let dir = tempfile::tempdir().unwrap();
        let id: PackageId = "samples/a/r1".parse().unwrap();
        let (x, y): (RelPath, RelPath) = ("x".parse().unwrap(), "y".parse().unwrap());
        let source = Fingerprint { size: 3, mtime_ns: 5, inode: 7 };
        let digests = HashState::new(false).finish();
        let known = Known { digests, found: None };
        Ledger::open(on, dir.path(), &id).unwrap().note(on, &x, source, &known).unwrap();
        let ledger = Ledger::open(on, dir.path(), &id).unwrap();
        assert_eq!(ledger.sent(&x, source, Want::default()), Some(&known));
        assert_eq!(ledger.sent(&x, Fingerprint { mtime_ns: 6, ..source }, Want::default()), None);
        ledger.write(on, b"{\"file\":\"y\",\"sou").unwrap();
        let ledger = Ledger::open(on, dir.path(), &id).unwrap();
        assert_eq!(ledger.sent(&y, source, Want::default()), None);
        ledger.note(on, &y, source, &known).unwrap();
        let ledger = Ledger::open(on, dir.path(), &id).unwrap();
        assert!(
            ledger.sent(&x, source, Want::default()).is_some()
                && ledger.sent(&y, source, Want::default()).is_some()
        );
        ledger.close(on).unwrap();
        assert_eq!(Ledger::open(on, dir.path(), &id).unwrap().sent(&x, source, Want::default()), None);
    }

    #[test]
    fn a_line_that_does_not_tell_enough_does_not_count() {
        let on = &OnDisk::alone();
        let dir = tempfile::tempdir().unwrap();
        let id: PackageId = "samples/a/r1".parse().unwrap();
        let source = Fingerprint { size: 0, mtime_ns: 5, inode: 7 };
        let names = Sha256Hex::of(b"");
        let found = Found {
            reads: 1,
            bases: 1,
            first: "r".into(),
            last: "r".into(),
            names: names.clone(),
            end: Some(1),
            beginning: names,
        };
        let ledger = Ledger::open(on, dir.path(), &id).unwrap();
        let mut wants = Vec::new();
        for (name, md5, reads) in [("none", false, false), ("md5", true, false), ("all", true, true)] {
            let path: RelPath = name.parse().unwrap();
            let known = Known { digests: HashState::new(md5).finish(), found: reads.then(|| found.clone()) };
            ledger.note(on, &path, source, &known).unwrap();
            wants.push((path, md5, reads, known));
        }
        // As a program wrote it that checked no reads.
        let old = r#"{"file":"old","source":{"size":0,"mtime_ns":5,"inode":7},"digests":DIGESTS}"#;
        let digests = serde_json::to_string(&HashState::new(true).finish()).unwrap();
        ledger.write(on, format!("{}\n", old.replace("DIGESTS", &digests)).as_bytes()).unwrap();
        wants.push((
            "old".parse().unwrap(),
            true,
            false,
            Known { digests: HashState::new(true).finish(), found: None },
        ));
        let ledger = Ledger::open(on, dir.path(), &id).unwrap();
        for (path, has_md5, has_reads, known) in wants {
            for (md5, found) in [(false, false), (true, false), (true, true)] {
                let told = ledger.sent(&path, source, Want { md5, found });
                let enough = (has_md5 || !md5) && (has_reads || !found);
                assert_eq!(told, enough.then_some(&known), "{path} {md5} {found}");
            }
        }
    }
}
