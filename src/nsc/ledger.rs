//! What of a package has been sent already: a small side file per package, so that a restart sends nothing twice.
//!
//! One JSON line per acknowledged file, with the file's fingerprint at that time. A line counts only while size, modification time and
//! inode are unchanged; otherwise the file is sent anew. What a check found in the file stands in the line too, so that its mate can be
//! compared with it; a line that does not tell what is wanted (written by an older program, or while nothing was checked) does not
//! count, and the file is read again. Of a large file there are also lines about its upload and each acknowledged part ([`Note`]).
//!
//! Lines are appended, many at a time if they come so, and most are not fsynced: kill -9 loses nothing that was written, and a power
//! cut at worst the last lines. Each is believed only for what the store had acknowledged before, so a lost one costs that a file or a
//! part is sent again, never data; a torn one is not counted. Only what would leave an upload in the store that nobody knows of is
//! fsynced ([`Note::must_last`]).
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::fastq::Found;
use crate::disk::OnDisk;
use crate::fs::{self, Fingerprint, FsError, Mode};
use crate::package::{Digests, PackageId, RelPath};
use crate::store::{Note, Notebook, Unfinished};

#[derive(Serialize, Deserialize)]
struct Entry {
    file: RelPath,
    source: Fingerprint,
    #[serde(flatten)]
    known: Known,
}

/// A line about an upload of a file.
#[derive(Serialize, Deserialize)]
struct Noted {
    file: RelPath,
    note: Note,
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

/// The side file of one package. It is open only while lines are written, so that nobody but a disk's thread ever closes it.
pub struct Ledger {
    path: PathBuf,
    inner: Mutex<Inner>,
    writing: Mutex<()>,
}

#[derive(Default)]
struct Inner {
    sent: BTreeMap<RelPath, (Fingerprint, Known)>,
    uploads: BTreeMap<RelPath, Uploads>,
    /// Lines that are not written yet.
    waiting: Vec<u8>,
}

/// The uploads of one file.
#[derive(Default)]
struct Uploads {
    unfinished: Vec<Unfinished>,
    /// One that is over may have made the object.
    may_exist: bool,
}

impl Inner {
    fn sent(&mut self, entry: Entry) {
        drop(self.sent.insert(entry.file, (entry.source, entry.known)));
    }

    fn learn(&mut self, file: RelPath, note: Note) {
        let of_file = self.uploads.entry(file).or_default();
        let upload = match &note {
            Note::Begun(begun) => return of_file.unfinished.push(Unfinished::new(begun.clone())),
            Note::Part { upload, .. }
            | Note::Completing { upload }
            | Note::Proving { upload }
            | Note::Done { upload }
            | Note::Over { upload } => upload.clone(),
        };
        let Some(at) = of_file.unfinished.iter().position(|u| u.begun.upload == upload) else { return };
        match note {
            Note::Over { .. } => {
                let over = of_file.unfinished.remove(at);
                of_file.may_exist |= over.completing || over.done;
            }
            note => of_file.unfinished[at].learn(note),
        }
    }
}

fn line(what: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(what).expect("plain fields always serialise");
    line.push(b'\n');
    line
}

/// Where the side files of all packages lie.
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("uploads")
}

/// The packages that have a side file; what is called otherwise is not ours.
pub fn packages(on: &OnDisk, state_dir: &Path) -> Result<Vec<PackageId>, FsError> {
    let dir = folder(state_dir);
    if !fs::dir_exists(&dir)? {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for path in fs::plain_files(&dir)? {
        on.moved();
        let id = path.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        found.extend(id.and_then(|id| id.replace('~', "/").parse().ok())); // no name holds a `~`
    }
    Ok(found)
}

impl Ledger {
    /// Reads it below the state directory; there may be none yet.
    pub fn open(on: &OnDisk, state_dir: &Path, package: &PackageId) -> Result<Self, FsError> {
        let dir = folder(state_dir);
        fs::create_dir(&dir)?;
        let path = dir.join(format!("{}.jsonl", package.to_string().replace('/', "~")));
        let text = match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(FsError::at("read", &path))?,
        };
        let mut inner = Inner::default();
        for line in text.lines() {
            if let Ok(entry) = serde_json::from_str(line) {
                inner.sent(entry);
            } else if let Ok(Noted { file, note }) = serde_json::from_str(line) {
                inner.learn(file, note);
            }
        }
        let torn = !text.is_empty() && !text.ends_with('\n');
        inner.waiting.extend(torn.then_some(b'\n')); // ends the torn line, so that the next one is whole
        let ledger = Self { path, inner: Mutex::new(inner), writing: Mutex::new(()) };
        ledger.write(on, false)?;
        Ok(ledger)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of `file` if it was acknowledged, has not changed since, and all that is wanted is known.
    pub fn sent(&self, file: &RelPath, now: Fingerprint, want: Want) -> Option<Known> {
        let inner = self.inner();
        let (then, known) = inner.sent.get(file)?;
        let enough = known.digests.md5.is_some() >= want.md5 && known.found.is_some() >= want.found;
        (*then == now && enough).then(|| known.clone())
    }

    /// Uploads of `file` that are not over, oldest first, and whether one that is over may have made the object.
    pub fn uploads(&self, file: &RelPath) -> (Vec<Unfinished>, bool) {
        let inner = self.inner();
        inner.uploads.get(file).map(|u| (u.unfinished.clone(), u.may_exist)).unwrap_or_default()
    }

    /// Uploads of all files that nobody has completed or aborted: key and upload id.
    pub fn open_uploads(&self) -> Vec<(RelPath, String, String)> {
        let inner = self.inner();
        let all = inner.uploads.iter().flat_map(|(file, of)| of.unfinished.iter().map(move |u| (file, u)));
        let open = all.filter(|(_, u)| !u.done);
        open.map(|(file, u)| (file.clone(), u.begun.key.clone(), u.begun.upload.clone())).collect()
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
        {
            let mut inner = self.inner();
            inner.waiting.extend(line(&entry));
            inner.sent(entry);
        }
        self.write(on, false)
    }

    /// Notes what became of an upload of a file.
    pub fn note_upload(&self, on: &OnDisk, file: &RelPath, note: &Note) -> Result<(), FsError> {
        let noted = Noted { file: file.clone(), note: note.clone() };
        {
            let mut inner = self.inner();
            inner.waiting.extend(line(&noted));
            inner.learn(noted.file, noted.note);
        }
        self.write(on, note.must_last())
    }

    /// Writes what waits: whoever comes first takes the lines of all, and the others find nothing to do.
    fn write(&self, _: &OnDisk, lasting: bool) -> Result<(), FsError> {
        let _one_after_the_other = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut self.inner().waiting);
        if lines.is_empty() && !lasting {
            return Ok(());
        }
        let mut file = fs::open(&self.path, Mode::Append)?;
        let written = file.write_all(&lines).and_then(|()| if lasting { file.sync_data() } else { Ok(()) });
        if written.is_err() {
            self.inner().waiting.insert(0, b'\n'); // what was written of them may be torn
        }
        written.map_err(FsError::at("write", &self.path))
    }

    /// Everything is committed, or nobody goes on with it; the file has done its duty.
    pub fn close(&self, _: &OnDisk) -> Result<(), FsError> {
        match fs::remove_file(&self.path) {
            Err(e) if e.source.kind() == std::io::ErrorKind::NotFound => Ok(()), // nothing was ever noted
            done => done,
        }
    }
}

/// The part of a ledger that is about one file.
pub struct Page {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// The file.
    pub file: RelPath,
}

impl Notebook for Page {
    fn write(&self, on: &OnDisk, note: &Note) -> Result<(), FsError> {
        self.ledger.note_upload(on, &self.file, note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::{HashState, Sha256Hex};
    use crate::store::{Begun, Landed};

    fn append(ledger: &Ledger, bytes: &[u8]) {
        fs::open(&ledger.path, Mode::Append).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn uploads_are_known_until_they_are_over_and_their_doubts_longer() {
        let on = &OnDisk::alone();
        let dir = tempfile::tempdir().unwrap();
        let id: PackageId = "samples/a/r1".parse().unwrap();
        let x: RelPath = "d/x".parse().unwrap();
        let source = Fingerprint { size: 30, mtime_ns: 5, inode: 7 };
        let begun = |upload: &str| {
            let (upload, key, checksum, mark) = (upload.into(), "k/d/x".into(), "signed".into(), "m".into());
            Note::Begun(Begun { upload, key, source, part_length: 10, checksum, md5: true, mark })
        };
        let part = |number: i32| {
            let part = Landed { number, etag: Some("e".into()), sum: "s".into() };
            let mut state = HashState::new(true);
            state.update(&vec![0; 10 * usize::try_from(number).unwrap()]);
            Note::Part { upload: "u1".into(), part, state: Some(state) }
        };
        let ledger = Ledger::open(on, dir.path(), &id).unwrap();
        assert_eq!(packages(on, dir.path()).unwrap(), [], "none before there is something to tell");
        for note in [begun("u1"), part(2), part(1), begun("u2")] {
            ledger.note_upload(on, &x, &note).unwrap();
        }
        assert_eq!(packages(on, dir.path()).unwrap(), vec![id.clone()]);
        let again = Ledger::open(on, dir.path(), &id).unwrap();
        let (uploads, may_exist) = again.uploads(&x);
        assert_eq!((uploads.len(), may_exist), (2, false));
        assert_eq!((uploads[0].parts.len(), uploads[0].state.as_ref().unwrap().size()), (2, 20));
        assert_eq!(again.open_uploads().len(), 2);
        let (u1, u2) = (|| "u1".to_owned(), || "u2".to_owned());
        let ends = [
            Note::Over { upload: u2() },
            Note::Completing { upload: u1() },
            Note::Over { upload: u1() },
            Note::Done { upload: "unknown".into() },
        ];
        for note in ends {
            again.note_upload(on, &x, &note).unwrap();
        }
        for ledger in [again, Ledger::open(on, dir.path(), &id).unwrap()] {
            let (uploads, may_exist) = ledger.uploads(&x);
            assert_eq!((uploads.len(), may_exist), (0, true), "the first may have made the object");
        }
        std::fs::File::create(folder(dir.path()).join("notes.txt")).unwrap();
        assert_eq!(
            packages(on, dir.path()).unwrap(),
            vec![id.clone()],
            "what others put there is left alone"
        );
        let ledger = Ledger::open(on, dir.path(), &id).unwrap();
        ledger.close(on).unwrap();
        ledger.close(on).unwrap();
        assert_eq!(packages(on, dir.path()).unwrap(), []);
    }

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
        assert_eq!(ledger.sent(&x, source, Want::default()), Some(known.clone()));
        assert_eq!(ledger.sent(&x, Fingerprint { mtime_ns: 6, ..source }, Want::default()), None);
        append(&ledger, b"{\"file\":\"y\",\"sou");
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
        append(&ledger, format!("{}\n", old.replace("DIGESTS", &digests)).as_bytes());
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
                assert_eq!(told, enough.then(|| known.clone()), "{path} {md5} {found}");
            }
        }
    }
}
