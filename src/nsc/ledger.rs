//! What of a package has been sent already: a small side file per package, so that a restart sends nothing twice.
//!
//! One JSON line per acknowledged file, fsynced, with the file's fingerprint at that time. A line counts only while size,
//! modification time and inode are unchanged; otherwise the file is sent anew. A torn line is simply not counted.
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::disk::OnDisk;
use crate::fs::{self, Fingerprint, FsError, Mode};
use crate::package::{Digests, PackageId, RelPath};

#[derive(Serialize, Deserialize)]
struct Entry {
    file: RelPath,
    source: Fingerprint,
    digests: Digests,
}

/// The side file of one package. It is open only while a line is written, so that nobody but a disk's thread ever closes it.
pub struct Ledger {
    path: PathBuf,
    writing: Mutex<()>,
    sent: BTreeMap<RelPath, (Fingerprint, Digests)>,
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
        let sent = entries.map(|e| (e.file, (e.source, e.digests))).collect();
        let ledger = Self { path, writing: Mutex::new(()), sent };
        if !text.is_empty() && !text.ends_with('\n') {
            ledger.write(on, b"\n")?; // ends a torn line, so that the next one is whole
        }
        Ok(ledger)
    }

    /// The digests of `file` if it was acknowledged and has not changed since.
    pub fn sent(&self, file: &RelPath, now: Fingerprint) -> Option<&Digests> {
        self.sent.get(file).filter(|(then, _)| *then == now).map(|(_, digests)| digests)
    }

    /// Notes an acknowledged file. Late, the line is as true as in time: what the store has acknowledged it has.
    pub fn note(
        &self,
        on: &OnDisk,
        file: &RelPath,
        source: Fingerprint,
        digests: &Digests,
    ) -> Result<(), FsError> {
        let entry = Entry { file: file.clone(), source, digests: digests.clone() };
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
    use crate::package::HashState;

    #[test]
    fn a_file_counts_while_it_is_unchanged_and_torn_lines_do_not_spoil_the_next() {
        let on = &OnDisk::alone();
        let dir = tempfile::tempdir().unwrap();
        let id: PackageId = "samples/a/r1".parse().unwrap();
        let (x, y): (RelPath, RelPath) = ("x".parse().unwrap(), "y".parse().unwrap());
        let source = Fingerprint { size: 3, mtime_ns: 5, inode: 7 };
        let digests = HashState::new(true).finish();
        Ledger::open(on, dir.path(), &id).unwrap().note(on, &x, source, &digests).unwrap();
        let ledger = Ledger::open(on, dir.path(), &id).unwrap();
        assert_eq!(ledger.sent(&x, source), Some(&digests));
        assert_eq!(ledger.sent(&x, Fingerprint { mtime_ns: 6, ..source }), None);
        ledger.write(on, b"{\"file\":\"y\",\"sou").unwrap();
        let ledger = Ledger::open(on, dir.path(), &id).unwrap();
        assert_eq!(ledger.sent(&y, source), None);
        ledger.note(on, &y, source, &digests).unwrap();
        let ledger = Ledger::open(on, dir.path(), &id).unwrap();
        assert!(ledger.sent(&x, source).is_some() && ledger.sent(&y, source).is_some());
        ledger.close(on).unwrap();
        assert_eq!(Ledger::open(on, dir.path(), &id).unwrap().sent(&x, source), None);
    }
}
