//! What of a package has been sent already: a small side file per package, so that a restart sends nothing twice.
//!
//! One JSON line per acknowledged file, with the file's fingerprint at that time. A line counts only while size, modification time and
//! inode are unchanged; otherwise the file is sent anew. What a check found in the file stands in the line too, so that its mate can be
//! compared with it; a line that does not tell what is wanted (written by an older program, or while nothing was checked) does not
//! count, and the file is read again. Of a large file there are also lines about its upload and each acknowledged part ([`Note`]).
//! A line is about one place: endpoint, bucket and prefix. After one of them was changed it does not count until it is changed back.
//!
//! What may be put under a file's key from now on is written down before (`putting`, `completing`), for it makes what an earlier line
//! says of the file untrue: a file that comes back as it was once is sent again, and not found in what was sent of it then.
//!
//! Lines are appended, many at a time if they come so, and most are not fsynced: kill -9 loses nothing that was written, and a power
//! cut at worst the last lines. Each is believed only for what the store had acknowledged before, so a lost one costs that a file or a
//! part is sent again, never data; a torn or damaged one is not counted. Only what would leave an upload in the store that nobody
//! knows of, or an earlier line in force that is untrue by now, is fsynced ([`Note::must_last`]).
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
    /// Where it was sent to; empty where an older program wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    place: String,
    #[serde(flatten)]
    known: Known,
}

/// A line about an upload of a file.
#[derive(Serialize, Deserialize)]
struct Noted {
    file: RelPath,
    note: Note,
}

/// From here on any of these may be put as it is now, in one request each.
#[derive(Serialize, Deserialize)]
struct Putting {
    putting: Vec<RelPath>,
    place: String,
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
    /// What its new lines are about.
    place: String,
    inner: Mutex<Inner>,
    writing: Mutex<()>,
}

#[derive(Default)]
struct Inner {
    sent: BTreeMap<RelPath, (Fingerprint, Known)>,
    uploads: BTreeMap<RelPath, Uploads>,
    /// So many lines are about another place.
    elsewhere: usize,
    /// Uploads that are open there, and their keys: nothing can be done about them here.
    abroad: BTreeMap<String, String>,
    /// Lines that are not written yet.
    waiting: Vec<u8>,
}

/// The uploads of one file.
#[derive(Default)]
struct Uploads {
    unfinished: Vec<Unfinished>,
    /// One that is over may have made the object, or a put.
    may_exist: bool,
}

impl Inner {
    /// False: the line cannot be understood.
    fn read(&mut self, line: &[u8], place: &str) -> bool {
        let here = |of: &str| of.is_empty() || of == place;
        if let Ok(entry) = serde_json::from_slice::<Entry>(line) {
            match here(&entry.place) {
                true => self.sent(entry),
                false => self.elsewhere += 1,
            }
        } else if let Ok(Noted { file, note }) = serde_json::from_slice(line) {
            match note {
                Note::Begun(begun) if !here(&begun.place) => {
                    self.elsewhere += 1;
                    drop(self.abroad.insert(begun.upload, begun.key));
                }
                note => self.learn(file, note), // of an upload abroad: no more than that it is over
            }
        } else if let Ok(Putting { putting, place }) = serde_json::from_slice(line) {
            match here(&place) {
                true => self.putting(putting),
                false => self.elsewhere += 1,
            }
        } else {
            return false;
        }
        true
    }

    fn sent(&mut self, entry: Entry) {
        drop(self.sent.insert(entry.file, (entry.source, entry.known)));
    }

    fn putting(&mut self, files: Vec<RelPath>) {
        for file in files {
            drop(self.sent.remove(&file));
            self.uploads.entry(file).or_default().may_exist = true;
        }
    }

    fn learn(&mut self, file: RelPath, note: Note) {
        let of_file = self.uploads.entry(file.clone()).or_default();
        let known = |upload: &str| of_file.unfinished.iter().position(|u| u.begun.upload == upload);
        let upload = match &note {
            // A line that could not be written with certainty is written twice.
            Note::Begun(begun) if known(&begun.upload).is_some() => return,
            Note::Begun(begun) => return of_file.unfinished.push(Unfinished::new(begun.clone())),
            Note::Part { upload, .. }
            | Note::Completing { upload }
            | Note::Proving { upload }
            | Note::Done { upload }
            | Note::Over { upload } => upload.clone(),
        };
        let Some(at) = known(&upload) else {
            if matches!(note, Note::Done { .. } | Note::Over { .. }) {
                drop(self.abroad.remove(&upload));
            }
            return;
        };
        if matches!(note, Note::Completing { .. }) {
            drop(self.sent.remove(&file));
        }
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
    /// Reads it below the state directory; there may be none yet. `place`: where the package goes now ([`crate::store::Store::place`]).
    pub fn open(on: &OnDisk, state_dir: &Path, package: &PackageId, place: &str) -> Result<Self, FsError> {
        let dir = folder(state_dir);
        fs::create_dir(&dir)?;
        let path = dir.join(format!("{}.jsonl", package.to_string().replace('/', "~")));
        let bytes = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            bytes => bytes.map_err(FsError::at("read", &path))?, // any bytes: a power cut leaves blocks that were never written
        };
        let mut inner = Inner::default();
        let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let bad = lines.filter(|line| !inner.read(line, place)).count();
        if bad > 0 {
            tracing::warn!(
                file = %path.display(),
                lines = bad,
                "lines of the upload progress are torn or damaged (a crash, a power cut); what they were about is sent again"
            );
        }
        inner.waiting.extend(bytes.last().filter(|b| **b != b'\n').map(|_| b'\n')); // ends a torn line, so that the next one is whole
        let (place, inner, writing) = (place.to_owned(), Mutex::new(inner), Mutex::new(()));
        let ledger = Self { path, place, inner, writing };
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

    /// How many lines are about another place.
    pub fn elsewhere(&self) -> usize {
        self.inner().elsewhere
    }

    /// Notes an acknowledged file. Late, the line is as true as in time: what the store has acknowledged it has.
    pub fn note(
        &self,
        on: &OnDisk,
        file: &RelPath,
        source: Fingerprint,
        known: &Known,
    ) -> Result<(), FsError> {
        let entry = Entry { file: file.clone(), source, place: self.place.clone(), known: known.clone() };
        {
            let mut inner = self.inner();
            inner.waiting.extend(line(&entry));
            inner.sent(entry);
        }
        self.write(on, false)
    }

    /// Notes that each of these may be put from now on; those of which that is known already are left out.
    pub fn note_putting(&self, on: &OnDisk, files: Vec<RelPath>) -> Result<(), FsError> {
        {
            let mut inner = self.inner();
            let known = |file: &RelPath| {
                !inner.sent.contains_key(file) && inner.uploads.get(file).is_some_and(|u| u.may_exist)
            };
            let putting: Vec<RelPath> = files.into_iter().filter(|file| !known(file)).collect();
            if putting.is_empty() {
                return Ok(());
            }
            let noted = Putting { putting, place: self.place.clone() };
            inner.waiting.extend(line(&noted));
            inner.putting(noted.putting);
        }
        self.write(on, true)
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

    /// Writes what waits: whoever comes first takes the lines of all, and the others find nothing to do. If that fails all lines
    /// wait again: the others' too, who would take it for done.
    fn write(&self, _: &OnDisk, lasting: bool) -> Result<(), FsError> {
        let _one_after_the_other = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut self.inner().waiting);
        if lines.is_empty() && !lasting {
            return Ok(());
        }
        let written = fs::open(&self.path, Mode::Append).and_then(|mut file| {
            let written =
                file.write_all(&lines).and_then(|()| if lasting { file.sync_data() } else { Ok(()) });
            written.map_err(FsError::at("write", &self.path))
        });
        if written.is_err() && !lines.is_empty() {
            let waiting = &mut self.inner().waiting;
            let since = std::mem::take(waiting);
            let torn = lines.first() != Some(&b'\n'); // or may be: behind a line's end the first of them is whole
            waiting.extend(torn.then_some(b'\n').into_iter().chain(lines).chain(since));
        }
        written
    }

    /// Everything is committed, or nobody goes on with it; the file has done its duty.
    pub fn close(&self, _: &OnDisk) -> Result<(), FsError> {
        for (upload, key) in &self.inner().abroad {
            tracing::warn!(
                key,
                upload,
                "an upload is left open in another place (store.endpoint, store.bucket or store.prefix were changed): abort it there"
            );
        }
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
#[path = "ledger_tests.rs"]
mod tests;
