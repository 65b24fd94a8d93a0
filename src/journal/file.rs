//! The journal on disk: append-only lines, each fsynced, each carrying the hash of the one before.
//!
//! Opening reads the whole file. A torn last line (the process or the machine died while writing) is cut off and kept
//! beside the journal; a wrong line with others behind it, a break in the chain or in the numbering refuses to start,
//! because then something else wrote here. A failed fsync is fatal for the process: the page may be lost, and trying
//! again would only hide that.
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::event::{Event, Line, VERSION};
use crate::fs::{self, FsError};
use crate::package::Sha256Hex;

/// The file's name in the state directory.
pub const FILE: &str = "journal.jsonl";
/// No line is longer; a longer one is damage (the largest order has some 100 KiB).
pub(super) const MAX_LINE: u64 = 16 << 20;

/// A journal that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A line is wrong and it is not the last one.
    #[error(
        "line {line} of {path} is damaged: {why}. Nothing was changed. Copy the state directory away, find out who wrote \
         to it, and restore the journal from its backup; do not edit it"
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// Written by a newer program.
    #[error(
        "line {line} of {path} has format version {found}; this program knows {VERSION}: install the newer release"
    )]
    Version {
        /// The journal.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// The version there.
        found: u32,
    },
    /// An earlier write failed, so nothing more is written.
    #[error("the journal stopped after an earlier failure ({0}); the process must end and be started again")]
    Broken(String),
    /// Somebody else writes here, so nothing that was read can be trusted to be the present.
    #[error(
        "{path} was changed by somebody else while this process owned it ({how}). Nothing more is written; copy the state \
         directory away and find out who writes to it"
    )]
    Foreign {
        /// The journal.
        path: PathBuf,
        /// What shows it.
        how: String,
    },
    /// The lease of this process is over.
    #[error(transparent)]
    Fenced(#[from] crate::lease::Fenced),
    /// A move that the table of states does not know.
    #[error("{package} may not go from {from} to {to}: a fault of the program, please report it")]
    Illegal {
        /// Which package.
        package: String,
        /// Its state.
        from: String,
        /// The asked-for state.
        to: String,
    },
}

/// The end of the chain.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pub seq: u64,
    pub hash: Sha256Hex,
    /// Where the last line begins.
    pub start: u64,
    /// Where it ends, behind its newline.
    pub end: u64,
}

impl Tail {
    /// Of an empty journal.
    pub(super) fn none() -> Self {
        Self { seq: 0, hash: Sha256Hex::zero(), start: 0, end: 0 }
    }

    /// Behind one more line of so many bytes, its newline included.
    fn and(&self, seq: u64, hash: Sha256Hex, bytes: u64) -> Self {
        Self { seq, hash, start: self.end, end: self.end.saturating_add(bytes) }
    }
}

/// What reading a journal found besides its lines.
#[derive(Debug, Default)]
pub struct ReadReport {
    /// Bytes of a torn last line.
    pub torn: u64,
    /// Bytes of whole lines.
    pub whole: u64,
}

/// Reads all whole lines of the journal in `dir` in order; a missing file has none. Never locks and never writes, so any
/// process on any host may do it at any time. A line is handed out when the next one vouches for it by its hash: of a line that was
/// changed nothing is believed, least of all its time. The last one has nobody to vouch for it.
pub fn read(dir: &Path, mut each: impl FnMut(Line)) -> Result<ReadReport, JournalError> {
    Ok(scan(&dir.join(FILE), &mut each)?.1)
}

fn scan(path: &Path, each: &mut dyn FnMut(Line)) -> Result<(Tail, ReadReport), JournalError> {
    scan_from(path, Tail::none(), each)
}

/// The same for the lines behind `tail`.
pub(super) fn scan_from(
    path: &Path,
    mut tail: Tail,
    each: &mut dyn FnMut(Line),
) -> Result<(Tail, ReadReport), JournalError> {
    let mut report = ReadReport { torn: 0, whole: tail.end };
    let mut file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((tail, report)),
        file => file.map_err(FsError::at("open the journal", path))?,
    };
    // As long as it is now: a line that a daemon is writing at this moment would come in two pieces, and the first would look torn with
    // something behind it.
    let length = file.metadata().map_err(FsError::at("look at", path))?.len();
    let _at = file.seek(SeekFrom::Start(tail.end)).map_err(FsError::at("read the journal", path))?;
    let mut reader = BufReader::with_capacity(1 << 20, file.take(length.saturating_sub(tail.end)));
    let mut buffer = Vec::new();
    let mut wrong: Option<JournalError> = None;
    let mut unproven: Option<Line> = None;
    loop {
        buffer.clear();
        let n = (&mut reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut buffer)
            .map_err(FsError::at("read the journal", path))?;
        if n == 0 {
            break;
        }
        if let Some(wrong) = wrong.take() {
            unproven.into_iter().for_each(each);
            return Err(wrong); // something follows it, so it is not a torn tail
        }
        let line = tail.seq + 1;
        match understand(&buffer, &tail) {
            Ok((parsed, hash)) => {
                tail = tail.and(parsed.seq, hash, n as u64);
                report.whole += n as u64;
                unproven.replace(parsed).into_iter().for_each(&mut *each);
            }
            Err(Wrong::Version(found)) => {
                return Err(JournalError::Version { path: path.to_owned(), line, found });
            }
            Err(Wrong::Chain(why)) => return Err(JournalError::Damaged { path: path.to_owned(), line, why }),
            Err(Wrong::Torn(why)) => {
                report.torn = n as u64;
                wrong = Some(JournalError::Damaged { path: path.to_owned(), line, why });
            }
        }
    }
    unproven.into_iter().for_each(each);
    Ok((tail, report))
}

enum Wrong {
    /// Can be the trace of an interrupted write, if nothing follows.
    Torn(String),
    /// A whole line that does not fit: never the trace of a crash.
    Chain(String),
    Version(u32),
}

fn understand(bytes: &[u8], tail: &Tail) -> Result<(Line, Sha256Hex), Wrong> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        v: u32,
    }
    let text = bytes.strip_suffix(b"\n").ok_or_else(|| Wrong::Torn("it has no end".into()))?;
    let Versioned { v } = serde_json::from_slice(text).map_err(|e| Wrong::Torn(e.to_string()))?;
    if v != VERSION {
        return Err(Wrong::Version(v));
    }
    let line: Line = serde_json::from_slice(text).map_err(|e| Wrong::Chain(e.to_string()))?;
    if line.seq != tail.seq + 1 {
        return Err(Wrong::Chain(format!("it has number {} after {}", line.seq, tail.seq)));
    }
    if line.prev != tail.hash {
        return Err(Wrong::Chain(
            "its `prev` is not the hash of the line before: one of the two was changed".into(),
        ));
    }
    Ok((line, Sha256Hex::of(text)))
}

/// The writing end; there is one per state directory, guarded by [`super::Owner`].
pub struct Appender {
    path: PathBuf,
    file: File,
    tail: Tail,
    broken: Option<String>,
}

impl Appender {
    /// Opens or creates the journal, hands every line to `each`, cuts a torn tail.
    pub fn open(dir: &Path, mut each: impl FnMut(Line)) -> Result<Self, JournalError> {
        fs::create_dir(dir)?;
        let path = dir.join(FILE);
        let (tail, report) = scan(&path, &mut each)?;
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&path);
        let file = file.map_err(FsError::at("open the journal for writing", &path))?;
        if report.torn > 0 {
            keep_torn(&path, report.whole)?;
            file.set_len(report.whole).map_err(FsError::at("cut the torn end of", &path))?;
            tracing::warn!(
                bytes = report.torn,
                "a torn last line was cut off the journal and kept beside it"
            );
        }
        file.sync_all().map_err(FsError::at("fsync", &path))?;
        fs::sync_dir(dir)?;
        Ok(Self { path, file, tail, broken: None })
    }

    /// Where the journal ends.
    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Only we write here: the file ends where we left it, and it still has its name.
    fn is_as_we_left_it(&self) -> Result<(), JournalError> {
        let now = self.file.metadata().map_err(FsError::at("look at", &self.path))?;
        let how = match (now.len() == self.tail.end, now.nlink()) {
            (true, 1..) => return Ok(()),
            (true, 0) => "it was replaced or removed".to_owned(),
            (false, _) => format!("it has {} bytes, we left it with {}", now.len(), self.tail.end),
        };
        Err(JournalError::Foreign { path: self.path.clone(), how })
    }

    /// Appends events as lines, fsyncs once, and only then hands the lines out: an event counts when it is on the disk.
    pub fn append(&mut self, events: Vec<(Timestamp, Event)>) -> Result<Vec<Line>, JournalError> {
        if let Some(why) = &self.broken {
            return Err(JournalError::Broken(why.clone()));
        }
        if let Err(e) = self.is_as_we_left_it() {
            self.broken = Some(e.to_string());
            return Err(e);
        }
        let (mut lines, mut bytes, mut tail) =
            (Vec::with_capacity(events.len()), Vec::new(), self.tail.clone());
        for (at, event) in events {
            let line = Line { v: VERSION, seq: tail.seq + 1, at, prev: tail.hash.clone(), event };
            let text = serde_json::to_vec(&line).expect("events are plain data and always serialise");
            tail = tail.and(line.seq, Sha256Hex::of(&text), text.len() as u64 + 1);
            bytes.extend_from_slice(&text);
            bytes.push(b'\n');
            lines.push(line);
        }
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            self.broken = Some(e.to_string());
            return Err(FsError::at("write to the journal", &self.path)(e).into());
        }
        self.tail = tail;
        Ok(lines)
    }
}

/// Gives the journal's content to a new file under its name. A holder that was taken over from may still have the old one
/// open; what it still writes there then reaches nobody.
pub fn into_new_file(dir: &Path) -> Result<(), JournalError> {
    let path = dir.join(FILE);
    let mut old = match File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        old => old.map_err(FsError::at("open the journal", &path))?,
    };
    let mut builder = tempfile::Builder::new();
    let new = builder.prefix(".tmp-").permissions(std::fs::Permissions::from_mode(0o640)).tempfile_in(dir);
    let mut new = new.map_err(FsError::at("create a temporary file in", dir))?;
    let _bytes = std::io::copy(&mut old, &mut new).map_err(FsError::at("copy the journal in", dir))?;
    new.as_file().sync_all().map_err(FsError::at("fsync the copy of", &path))?;
    drop(new.persist(&path).map_err(|e| FsError::at("replace", &path)(e.error))?);
    Ok(fs::sync_dir(dir)?)
}

fn keep_torn(path: &Path, whole: u64) -> Result<(), JournalError> {
    let bytes = std::fs::read(path).map_err(FsError::at("read", path))?;
    let torn = bytes.get(usize::try_from(whole).unwrap_or(usize::MAX)..).unwrap_or_default();
    let aside = path.with_file_name(format!("{FILE}.torn-at-{whole}"));
    Ok(fs::write_durably(&aside, torn)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u32) -> (Timestamp, Event) {
        (crate::clock::now(), Event::Stopped { exit: n as i32, why: format!("æ {n}") })
    }

    fn journal(n: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut a = Appender::open(dir.path(), |_| panic!("a new journal has no lines")).unwrap();
        for i in 0..n {
            assert_eq!(a.append(vec![event(i)]).unwrap()[0].seq, u64::from(i) + 1);
        }
        dir
    }

    fn reopen(dir: &Path) -> Result<Vec<u64>, JournalError> {
        let mut seen = Vec::new();
        Appender::open(dir, |l| seen.push(l.seq)).map(|_| seen)
    }

    #[test]
    fn the_chain_can_be_recomputed_with_sha256sum() {
        let dir = journal(3);
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            let next: Line = serde_json::from_str(pair[1]).unwrap();
            assert_eq!(next.prev, Sha256Hex::of(pair[0].as_bytes()));
        }
        assert_eq!(serde_json::from_str::<Line>(lines[0]).unwrap().prev, Sha256Hex::zero());
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_and_kept_and_writing_goes_on() {
        let whole = std::fs::read(journal(3).path().join(FILE)).unwrap();
        let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        for cut in [last + 1, last + 20, whole.len() - 2, whole.len() - 1] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::File::create(dir.path().join(FILE)).unwrap().write_all(&whole[..cut]).unwrap();
            assert_eq!(reopen(dir.path()).unwrap(), [1, 2], "cut at {cut}");
            let kept = std::fs::read(dir.path().join(format!("{FILE}.torn-at-{last}"))).unwrap();
            assert_eq!(kept, &whole[last..cut]);
            let mut a = Appender::open(dir.path(), |_| {}).unwrap();
            assert_eq!(a.append(vec![event(9)]).unwrap()[0].seq, 3);
            assert_eq!(reopen(dir.path()).unwrap(), [1, 2, 3]);
        }
    }

    #[test]
    fn damage_in_the_middle_refuses_and_changes_nothing() {
        let dir = journal(3);
        let path = dir.path().join(FILE);
        let good = std::fs::read(&path).unwrap();
        for at in [0, 5, good.len() / 3, good.len() / 2] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::File::create(&path).unwrap().write_all(&bad).unwrap();
            let refused = reopen(dir.path()).unwrap_err();
            assert!(
                matches!(refused, JournalError::Damaged { .. } | JournalError::Version { .. }),
                "flip at {at}: {refused}"
            );
            assert_eq!(std::fs::read(&path).unwrap(), bad);
        }
    }

    #[test]
    fn a_missing_line_is_noticed() {
        let dir = journal(3);
        let path = dir.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        let without: String =
            text.lines().enumerate().filter(|(n, _)| *n != 1).map(|(_, l)| format!("{l}\n")).collect();
        std::fs::File::create(&path).unwrap().write_all(without.as_bytes()).unwrap();
        assert!(reopen(dir.path()).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn a_failed_write_breaks_the_appender_for_good() {
        let dir = journal(1);
        let mut a = Appender::open(dir.path(), |_| {}).unwrap();
        a.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        a.tail.end = 0; // as the device says
        assert!(matches!(a.append(vec![event(1)]), Err(JournalError::Fs(_))));
        assert!(matches!(a.append(vec![event(2)]), Err(JournalError::Broken(_))));
    }

    #[test]
    fn what_somebody_else_wrote_breaks_the_appender_before_it_adds_to_it() {
        let dir = journal(1);
        let path = dir.path().join(FILE);
        let mut a = Appender::open(dir.path(), |_| {}).unwrap();
        let mut b = Appender::open(dir.path(), |_| {}).unwrap();
        b.append(vec![event(2)]).unwrap();
        let now = std::fs::read(&path).unwrap();
        let refused = a.append(vec![event(3)]).unwrap_err();
        assert!(refused.to_string().contains("was changed by somebody else"), "{refused}");
        assert!(matches!(a.append(vec![event(3)]), Err(JournalError::Broken(_))));
        assert_eq!(std::fs::read(&path).unwrap(), now);
    }

    #[test]
    fn what_the_one_before_still_writes_after_a_take_over_reaches_nobody() {
        let dir = journal(2);
        let mut a = Appender::open(dir.path(), |_| {}).unwrap();
        into_new_file(dir.path()).unwrap();
        a.file.write_all(b"stopped between the permit and the write").unwrap();
        assert_eq!(reopen(dir.path()).unwrap(), [1, 2]);
        a.tail.end = a.file.metadata().unwrap().len();
        let refused = a.append(vec![event(3)]).unwrap_err();
        assert!(refused.to_string().contains("it was replaced or removed"), "{refused}");
        let mut b = Appender::open(dir.path(), |_| {}).unwrap();
        assert_eq!(b.append(vec![event(3)]).unwrap()[0].seq, 3);
    }
}
