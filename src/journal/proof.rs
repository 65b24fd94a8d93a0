//! Is this journal what was written? Every line is looked at, and a line that was changed is told from one that was not.
//!
//! [`super::read`] stops at the first line that does not fit, because nothing may be built on it. Somebody who has to find out what
//! happened wants to know *which* lines were touched: each line carries the digest of the one before, so a line whose digest does not
//! stand in the one behind it was changed; if that one does not fit its own successor either, it is itself the changed one.
//! Nothing proves the last line, nor a chain that was rewritten from some line to its end, but a head that was noted elsewhere: [`Head`].
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Line, VERSION};
use super::file::MAX_LINE;
use super::replay::Replay;
use super::{JournalError, SentChain};
use crate::fs::FsError;
use crate::package::{Sender, Sha256Hex};

/// So many faults are named; one who changed more than this is not found by reading lists.
const NAMED: usize = 50;

/// The last line of a journal as it was at some time: `LINE:DIGEST`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number; 0 in an empty journal.
    pub line: u64,
    /// Digest of its bytes without the newline.
    pub sha256: Sha256Hex,
}

impl FromStr for Head {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let odd = || format!("{text:?} is no LINE:DIGEST such as `journal verify` prints it behind `head`");
        let (line, sha256) = text.split_once(':').ok_or_else(odd)?;
        Ok(Self { line: line.parse().map_err(|_| odd())?, sha256: sha256.parse().map_err(|_| odd())? })
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.sha256)
    }
}

/// What is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Counted from 1.
    pub line: u64,
    /// `changed`, `changed-or-before`, `unreadable`, `number`, `version`, `illegal`, `head`.
    pub code: &'static str,
    /// In words.
    pub what: String,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Whole lines.
    pub lines: u64,
    /// Time of the first line.
    pub first: Option<Timestamp>,
    /// Time of the last line.
    pub last: Option<Timestamp>,
    /// The last whole line.
    pub head: Head,
    /// Bytes behind it without an end: being written at this moment, or cut off by a crash. The next start sets them aside.
    pub torn: u64,
    /// Moves of packages that were replayed.
    pub moves: u64,
    /// Packages that the journal knows.
    pub packages: u64,
    /// The chains of commits that were given out here.
    pub sent: Vec<(Sender, u64)>,
    /// Behind this line nothing was replayed, because it or the one before it was changed.
    pub replayed_until: u64,
    /// Lines that are older than the one before, by the clock; clocks are set back now and then, so this is no fault.
    pub clock_went_back: Vec<u64>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// How many more faults there are than are named.
    pub more_faults: u64,
}

impl Proof {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }
}

/// One line of which the next has not been seen.
struct Before {
    line: u64,
    hash: Sha256Hex,
    /// It names another digest than that of the line before it.
    suspect: bool,
}

/// How far the numbers are from the places of their lines. One odd number is one changed line; behind lines that were taken out or put
/// in all are odd, which is said once.
#[derive(Default)]
struct Numbers {
    shift: i128,
    odd: Option<i128>,
}

impl Numbers {
    /// Which number should stand in this line, if another one does.
    fn odd(&mut self, line: u64, seq: u64) -> Option<i128> {
        let (line, shift) = (i128::from(line), i128::from(seq) - i128::from(line));
        let before = self.odd.take();
        if shift == self.shift {
            return None;
        }
        if before == Some(shift) {
            self.shift = shift;
            return None;
        }
        self.odd = Some(shift);
        Some(line + self.shift)
    }
}

/// Looks at lines one after the other. Pure: bytes in, findings out.
struct Auditor<'a> {
    proof: Proof,
    before: Before,
    replay: Replay,
    numbers: Numbers,
    heads: &'a [Head],
    at: Option<Timestamp>,
}

impl<'a> Auditor<'a> {
    fn new(heads: &'a [Head]) -> Self {
        let head = Head { line: 0, sha256: Sha256Hex::zero() };
        let proof = Proof {
            lines: 0,
            first: None,
            last: None,
            head: head.clone(),
            torn: 0,
            moves: 0,
            packages: 0,
            sent: Vec::new(),
            replayed_until: 0,
            clock_went_back: Vec::new(),
            faults: Vec::new(),
            more_faults: 0,
        };
        let before = Before { line: 0, hash: head.sha256, suspect: false };
        Self { proof, before, replay: Replay::default(), numbers: Numbers::default(), heads, at: None }
    }

    fn fault(&mut self, line: u64, code: &'static str, what: String) {
        if self.proof.faults.iter().any(|f| f.line == line && f.code == code) {
            return;
        }
        if self.proof.faults.len() < NAMED {
            self.proof.faults.push(Fault { line, code, what });
        } else {
            self.proof.more_faults += 1;
        }
    }

    /// A whole line, without its newline.
    fn line(&mut self, text: &[u8]) {
        let (number, hash) = (self.before.line + 1, Sha256Hex::of(text));
        self.proof.lines = number;
        self.proof.head = Head { line: number, sha256: hash.clone() };
        self.noted_heads(number, &hash);
        let read = understand(text);
        let fits = read.as_ref().ok().map(|line| line.prev == self.before.hash);
        self.link(fits);
        match read {
            Ok(line) => self.look_at(number, &line),
            Err((code, why)) => self.fault(number, code, why),
        }
        self.before = Before { line: number, hash, suspect: fits == Some(false) };
    }

    /// Whether the line before is as it was when this one was written. `fits`: none if this one cannot be read, so cannot say.
    fn link(&mut self, fits: Option<bool>) {
        let Before { line: before, suspect, .. } = self.before;
        match fits {
            // This one vouches for the line before, which names another one before it: so that one was changed.
            Some(true) if suspect => self.changed(before - 1),
            Some(false) if suspect => self.changed(before),
            None if suspect => self.either(before),
            _ => {}
        }
    }

    fn changed(&mut self, line: u64) {
        let what = match line {
            0 => "it names a line before it, but it is the first: the beginning of the journal was cut off"
                .to_owned(),
            _ => format!(
                "its bytes are not those whose digest stands in line {}: it was changed after that was written",
                line + 1
            ),
        };
        self.fault(line.max(1), "changed", what);
    }

    fn either(&mut self, line: u64) {
        let what = match line {
            1 => "it names a line before it, but it is the first: the beginning of the journal was cut off, or this line was changed".to_owned(),
            _ => format!("its `prev` is not the digest of line {}: one of the two was changed, and no line behind them tells which", line - 1),
        };
        self.fault(line, "changed-or-before", what);
    }

    /// What the line says; it is replayed as long as nothing before it was changed.
    fn look_at(&mut self, number: u64, line: &Line) {
        if let Some(expected) = self.numbers.odd(number, line.seq) {
            let what = format!(
                "it has number {} where {expected} must stand: lines were taken out, put in or exchanged here, or its number was changed",
                line.seq
            );
            self.fault(number, "number", what);
        }
        let _first = self.proof.first.get_or_insert(line.at);
        if self.at.is_some_and(|before| line.at < before) && self.proof.clock_went_back.len() < NAMED {
            self.proof.clock_went_back.push(number);
        }
        (self.at, self.proof.last) = (Some(line.at), Some(line.at));
        let whole = self.proof.replayed_until == number - 1
            && !self.proof.faults.iter().any(|f| f.code != "illegal")
            && line.prev == self.before.hash;
        if whole {
            self.proof.replayed_until = number;
            for illegal in self.replay.step(line) {
                self.fault(number, "illegal", illegal);
            }
        }
    }

    fn noted_heads(&mut self, number: u64, hash: &Sha256Hex) {
        let odd = self.heads.iter().find(|head| head.line == number && head.sha256 != *hash).cloned();
        if let Some(head) = odd {
            let what = format!(
                "its digest is {hash}, and was noted as {}: this line or one before it was rewritten",
                head.sha256
            );
            self.fault(number, "head", what);
        }
    }

    fn finish(mut self, torn: u64) -> Proof {
        if self.before.suspect {
            self.either(self.before.line);
        }
        let lines = self.proof.lines;
        for head in self.heads.iter().filter(|head| head.line > lines) {
            let what = format!(
                "line {} was noted as head {head}, and the journal ends before it: lines were cut off",
                head.line
            );
            if self.proof.faults.len() < NAMED {
                self.proof.faults.push(Fault { line: lines, code: "head", what });
            }
        }
        let (moves, packages, sent) = self.replay.told();
        let sent = sent.into_iter().map(|(sender, SentChain { sequence, .. })| (sender, sequence)).collect();
        self.proof.faults.sort_by_key(|f| f.line);
        Proof { torn, moves, packages, sent, ..self.proof }
    }
}

fn understand(text: &[u8]) -> Result<Line, (&'static str, String)> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        v: u32,
    }
    let unreadable = |e: serde_json::Error| ("unreadable", format!("it cannot be read: {e}"));
    let Versioned { v } = serde_json::from_slice(text).map_err(unreadable)?;
    if v != VERSION {
        let what = format!(
            "it has format version {v}, this program knows {VERSION}: changed, or written by a newer release"
        );
        return Err(("version", what));
    }
    serde_json::from_slice(text).map_err(unreadable)
}

/// Looks at the journal in this file from its first line to its last, as long as it was when we began: a daemon may write meanwhile.
/// `heads`: what was noted of it earlier. `each` is handed every line that can be read, with its bytes.
pub fn prove(path: &Path, heads: &[Head], mut each: impl FnMut(Line, &str)) -> Result<Proof, JournalError> {
    let file = File::open(path).map_err(FsError::at("open the journal", path))?;
    let length = file.metadata().map_err(FsError::at("look at", path))?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file.take(length));
    let (mut auditor, mut buffer) = (Auditor::new(heads), Vec::new());
    loop {
        buffer.clear();
        let n = (&mut reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut buffer)
            .map_err(FsError::at("read the journal", path))?;
        match buffer.strip_suffix(b"\n") {
            Some(text) => {
                auditor.line(text);
                if let (Ok(line), Ok(text)) = (understand(text), std::str::from_utf8(text)) {
                    each(line, text);
                }
            }
            None if n as u64 == MAX_LINE => {
                let what = format!(
                    "it has more than {MAX_LINE} bytes, which no line has; nothing behind it was looked at"
                );
                auditor.fault(auditor.before.line + 1, "unreadable", what);
                return Ok(auditor.finish(0));
            }
            None => return Ok(auditor.finish(n as u64)),
        }
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
