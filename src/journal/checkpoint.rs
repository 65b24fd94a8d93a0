//! `checkpoint.json`: the fold as it was at some line, so that a question is answered without reading a long journal from its beginning.
//!
//! Written by the owner of the journal and nobody else, from what it has in memory: in the background at the start, every so many
//! lines or minutes, and at the end in order. It is never believed where work is decided: a daemon folds its whole journal, which
//! proves the chain. Whoever only asks believes it if all of this fits: its own digest, the number of its form, the program's version,
//! and that the journal has at that place the very line that it names (whose hash stands for all lines before it). Otherwise the whole journal
//! is read. What was changed in a line before that place is therefore not noticed by who asks: `journal verify` and the next start do.
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::file::{MAX_LINE, Tail};
use super::fold::{FORM, Fold};
use crate::fs::{self, FsError};
use crate::package::Sha256Hex;

/// The file's name in the state directory.
pub const FILE: &str = "checkpoint.json";

/// A journal that is shorter is read faster than this is worth.
const WORTH: u64 = 1000;
/// So many new lines make a new one,
const LINES: u64 = 2000;
/// or so much time with any.
const EVERY: Duration = Duration::from_secs(300);
/// A larger file is not ours (a package takes about 1 KiB).
const MOST: u64 = 1 << 30;
/// The end of the process does not wait longer for the last one.
const LAST: Duration = Duration::from_secs(5);

/// What must fit. Stands in front of the fold, as one line of JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    form: u32,
    program: String,
    /// The last line that is in it: its number, where it begins and ends in the journal, its digest.
    seq: u64,
    start: u64,
    end: u64,
    line: Sha256Hex,
}

/// `<digest of all that follows>\n<head>\n<fold>`.
fn text(fold: &Fold, tail: &Tail) -> Vec<u8> {
    let Tail { seq, hash, start, end } = tail.clone();
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let head = Head { form: FORM, program, seq, start, end, line: hash };
    let mut rest = serde_json::to_vec(&head).expect("plain fields always serialise");
    rest.push(b'\n');
    rest.extend(fold.bytes());
    let mut text = format!("{}\n", Sha256Hex::of(&rest)).into_bytes();
    text.extend(rest);
    text
}

/// The checkpoint of a state directory, if there is one and everything fits. Whatever is wrong with it, the journal has the answer.
pub(super) fn read(dir: &Path, journal: &File) -> Option<(Fold, Tail)> {
    let file = File::open(dir.join(FILE)).ok()?;
    let length = file.metadata().ok().map(|meta| meta.len()).filter(|length| *length <= MOST)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).ok()?);
    let _n = file.take(MOST).read_to_end(&mut bytes).ok()?;
    let cut = |bytes: &'_ [u8]| memchr::memchr(b'\n', bytes);
    let (digest, rest) = bytes.split_at_checked(cut(&bytes)?)?;
    let rest = rest.get(1..)?;
    if Sha256Hex::of(rest).as_str().as_bytes() != digest {
        return None;
    }
    let (head, body) = rest.split_at_checked(cut(rest)?)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    let Head { form, program, seq, start, end, line: hash } = head;
    let tail = Tail { seq, hash, start, end };
    if form != FORM || program != env!("CARGO_PKG_VERSION") || !tail.is_in(journal) {
        return None;
    }
    let fold = Fold::restored(body).filter(|fold| fold.lines == seq)?;
    Some((fold, tail))
}

impl Tail {
    /// Whether a journal has this very line at its place, as a whole line.
    pub(super) fn is_in(&self, journal: &File) -> bool {
        let length = self.end.checked_sub(self.start).filter(|n| (1..=MAX_LINE).contains(n));
        let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else { return false };
        let mut line = vec![0; length];
        if journal.read_exact_at(&mut line, self.start).is_err() {
            return false; // it is shorter than it was
        }
        let text = line.strip_suffix(b"\n").filter(|text| !text.contains(&b'\n'));
        text.is_some_and(|text| Sha256Hex::of(text) == self.hash)
    }
}

/// The fold and where it ends. The end is set while the fold is locked for writing, so under a lock for reading the two belong together.
#[derive(Clone)]
pub(super) struct Source {
    pub fold: Arc<RwLock<Fold>>,
    pub tail: Arc<Mutex<Tail>>,
}

impl Source {
    fn tail(&self) -> Tail {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serialising ten thousand packages takes some 20 ms, in which nothing can be journalled: rarely enough.
    fn text(&self) -> (Vec<u8>, u64) {
        let fold = self.fold.read().unwrap_or_else(PoisonError::into_inner);
        let tail = self.tail();
        (text(&fold, &tail), tail.seq)
    }
}

/// None: there are many new lines. Some: now, and say when it is done.
type Wish = Option<oneshot::Sender<()>>;

/// The thread that writes checkpoints, seen from outside; it ends with its last handle.
#[derive(Clone)]
pub(super) struct Checkpoints(Sender<Wish>);

impl Checkpoints {
    /// Starts it; the first one is written at once.
    pub(super) fn start(dir: &Path, source: Source) -> std::io::Result<Self> {
        let (wishes, inbox) = bounded(4);
        let mut keeper = Keeper { dir: dir.to_owned(), source, written: 0, trouble: None };
        let thread = std::thread::Builder::new().name("checkpoint".into());
        drop(thread.spawn(move || keeper.keep(&inbox))?);
        Ok(Self(wishes))
    }

    /// Tells that the journal has so many lines now. Never waits.
    pub(super) fn grown(&self, told: &mut u64, lines: u64) {
        if lines.saturating_sub(*told) < LINES {
            return;
        }
        *told = lines;
        match self.0.try_send(None) {
            // Full: it will write one anyway. Gone: without it questions take longer, and nothing else.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// One more, at the end; waits for it, but not for ever.
    pub(super) async fn last(&self) {
        let (home, done) = oneshot::channel();
        if self.0.try_send(Some(home)).is_ok() && tokio::time::timeout(LAST, done).await.is_err() {
            tracing::warn!(after = ?LAST, "the last checkpoint was not written in time; questions read the journal instead");
        }
    }
}

struct Keeper {
    dir: PathBuf,
    source: Source,
    /// The number of the last line in the last one.
    written: u64,
    trouble: Option<String>,
}

impl Keeper {
    fn keep(&mut self, inbox: &Receiver<Wish>) {
        self.write();
        loop {
            let wish = match inbox.recv_timeout(EVERY) {
                Ok(wish) => wish,
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.write();
            if let Some(home) = wish {
                let _asker_may_be_gone = home.send(());
            }
        }
    }

    fn write(&mut self) {
        let lines = self.source.tail().seq;
        if lines < WORTH || lines == self.written {
            return;
        }
        let (text, seq) = self.source.text();
        self.written = seq;
        let said = written(&self.dir, &text).err().map(|e| crate::chain(&e));
        if let Some(error) = said.as_ref().filter(|said| self.trouble.as_ref() != Some(*said)) {
            tracing::warn!(
                error,
                "no checkpoint could be written; questions take longer, nothing else depends on it"
            );
        }
        self.trouble = said;
    }
}

/// Not durably: after a power cut its digest tells whether it is whole.
fn written(dir: &Path, text: &[u8]) -> Result<(), FsError> {
    fs::write_volatile(&dir.join(FILE), text)
}

/// Opens the journal for reading; none if there is none.
pub(super) fn open(path: &Path) -> Result<Option<File>, FsError> {
    match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(Some).map_err(FsError::at("open the journal", path)),
    }
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
