//! One file: is it whole, is it FASTQ, and what must its mate be compared with?
use std::io::{self, BufRead, BufReader};

use noodles_fastq::io::Reader;
use noodles_fastq::record::Record;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::plain::{Plain, Progress, Trouble};
use crate::package::Sha256Hex;

/// A longer name of a read is refused; Illumina's have about 50 characters.
pub const MOST_NAME: usize = 512;
/// Text is read in pieces of this size.
const PIECE: usize = 256 << 10;
/// Reads at the beginning whose bases and qualities are compared between mates that do not say which end they are.
const BEGINNING: u64 = 1024;
/// gzip's header is at least so long: a file refused within it never was gzip.
const HEADER: u64 = 10;

/// What was found in a good file. Stands in the ledger, so that a mate that comes after a crash can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How many reads.
    pub reads: u64,
    /// How many bases.
    pub bases: u64,
    /// Name of the first read, without what tells the ends apart.
    pub first: String,
    /// Name of the last one.
    pub last: String,
    /// Of all names in order, without what tells the ends apart.
    pub names: Sha256Hex,
    /// Which end, by the reads' own word (` 1:N:0:…` or `…/1`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u8>,
    /// Of bases and qualities at the beginning.
    pub beginning: Sha256Hex,
}

/// Why a file is not what its name says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not even a gzip header.
    #[error("is empty: it has 0 bytes")]
    Empty,
    /// It begins otherwise.
    #[error("is no gzip file")]
    NotGzip,
    /// Its last member has no end.
    #[error("is cut off: its gzip data ends in the middle, behind read {0}")]
    CutOff(u64),
    /// Does not decompress, or to something else than was compressed.
    #[error("is damaged behind read {0}: gzip says: {1}")]
    Damaged(u64, String),
    /// A member is followed by something else.
    #[error("goes on behind its end, after read {0}, with something that is no gzip")]
    Garbage(u64),
    /// The text is not FASTQ.
    #[error("is no FASTQ at read {0}: {1}")]
    Record(u64, String),
    /// No read in it.
    #[error("holds no read")]
    NoReads,
    /// All reads have length 0.
    #[error("holds {0} read(s) and not a single base")]
    NoBases(u64),
    /// Given up from outside; says nothing about the file.
    #[error("was not read to its end")]
    Cut,
}

/// Reads a whole file. `goes_on` is asked every `PIECE` bytes of text at the latest; when it says no, the file is left at once.
/// Memory: one piece, and a record of four lines that are bounded.
pub fn check(compressed: impl BufRead, goes_on: impl FnMut() -> bool) -> Result<Found, Fault> {
    let progress = Progress::default();
    let plain = Plain::new(compressed, &progress, goes_on);
    let mut reader = Reader::new(BufReader::with_capacity(PIECE, plain));
    let (mut record, mut tally) = (Record::default(), Tally::default());
    loop {
        match reader.read_record(&mut record) {
            Ok(0) => break,
            Ok(_) => tally.add(&record)?,
            Err(e) => return Err(fault(e, tally.reads, progress.taken.get())),
        }
    }
    match (progress.taken.get(), tally.reads, tally.bases) {
        (0, ..) => Err(Fault::Empty),
        (_, 0, _) => Err(Fault::NoReads),
        (_, reads, 0) => Err(Fault::NoBases(reads)),
        _ => Ok(tally.finish()),
    }
}

/// What an error behind `reads` good records means.
fn fault(error: io::Error, reads: u64, taken: u64) -> Fault {
    let bad = |what: String| Fault::Record(reads + 1, what);
    match error.downcast::<Trouble>() {
        Ok(Trouble::Cut(_)) => Fault::Cut,
        Ok(Trouble::Gzip(e)) => match e.kind() {
            io::ErrorKind::UnexpectedEof if taken == 0 => Fault::Empty,
            io::ErrorKind::UnexpectedEof => Fault::CutOff(reads),
            _ if taken <= HEADER && reads == 0 => Fault::NotGzip,
            _ if e.to_string() == "invalid gzip header" => Fault::Garbage(reads),
            _ => Fault::Damaged(reads, e.to_string()),
        },
        Ok(trouble) => bad(trouble.to_string()),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => bad("it ends in the middle".into()),
        Err(e) if e.to_string() == "invalid name prefix" => bad("its first line begins with no @".into()),
        Err(e) if e.to_string() == "invalid description prefix" => {
            bad("its third line begins with no +".into())
        }
        Err(e) => bad(e.to_string()),
    }
}

/// A read's name without what tells the ends apart, and which end it is, if it says so.
fn end_of<'a>(name: &'a [u8], description: &[u8]) -> (&'a [u8], Option<u8>) {
    let by_slash = match name {
        [stem @ .., b'/', n @ (b'1' | b'2')] => Some((stem, n - b'0')),
        _ => None,
    };
    let by_word = match description {
        [n @ b'1'..=b'9', b':', ..] => Some(n - b'0'),
        _ => None,
    };
    match by_slash {
        Some((stem, n)) => (stem, by_word.or(Some(n))),
        None => (name, by_word),
    }
}

/// What must be true of a record beside its four lines.
fn well_formed(record: &Record) -> Result<(), String> {
    let (name, bases, qualities) = (record.name(), record.sequence(), record.quality_scores());
    if name.is_empty() || name.len() > MOST_NAME {
        return Err(format!("its name has {} characters, allowed are 1 to {MOST_NAME}", name.len()));
    }
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err("its name holds a character that is no plain ASCII".into());
    }
    if bases.len() != qualities.len() {
        return Err(format!("it has {} bases and {} qualities", bases.len(), qualities.len()));
    }
    // Folds without a way out are what the compiler makes vector code of.
    // A base that was not called is N, or a point from Illumina's older programs.
    if !bases.iter().fold(true, |good, b| good & matches!(b, b'A' | b'C' | b'G' | b'T' | b'N' | b'.')) {
        return Err("it has bases other than A, C, G, T and N (or .)".into());
    }
    if !qualities.iter().fold(true, |good, q| good & (b'!'..=b'~').contains(q)) {
        return Err("it has qualities outside of ! to ~".into());
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    reads: u64,
    bases: u64,
    first: Vec<u8>,
    last: Vec<u8>,
    end: Option<u8>,
    names: Gathered,
    beginning: Gathered,
}

impl Tally {
    fn add(&mut self, record: &Record) -> Result<(), Fault> {
        let number = self.reads + 1;
        well_formed(record).map_err(|what| Fault::Record(number, what))?;
        let (name, end) = end_of(record.name(), record.description());
        if self.reads == 0 {
            (self.first, self.end) = (name.to_vec(), end);
        } else if end != self.end {
            let word = |end: Option<u8>| end.map_or("no end".into(), |n| format!("end {n}"));
            let (this, those) = (word(end), word(self.end));
            return Err(Fault::Record(number, format!("it says it is {this}, those before it say {those}")));
        }
        self.last.clear();
        self.last.extend_from_slice(name);
        self.names.line(name);
        if self.reads < BEGINNING {
            self.beginning.line(record.sequence());
            self.beginning.line(record.quality_scores());
        }
        self.reads = number;
        self.bases += record.sequence().len() as u64;
        Ok(())
    }

    fn finish(self) -> Found {
        let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned(); // plain ASCII by `well_formed`
        Found {
            reads: self.reads,
            bases: self.bases,
            first: text(self.first),
            last: text(self.last),
            names: self.names.finish(),
            end: self.end,
            beginning: self.beginning.finish(),
        }
    }
}

/// A digest over lines. Gathered, because many small updates cost more than the digest itself.
#[derive(Default)]
struct Gathered {
    digest: Sha256,
    waiting: Vec<u8>,
}

impl Gathered {
    fn line(&mut self, line: &[u8]) {
        self.waiting.extend_from_slice(line);
        self.waiting.push(b'\n');
        if self.waiting.len() >= 32 << 10 {
            self.digest.update(&self.waiting);
            self.waiting.clear();
        }
    }

    fn finish(mut self) -> Sha256Hex {
        self.digest.update(&self.waiting);
        hex::encode(self.digest.finalize()).parse().expect("a SHA-256 in hexadecimal is one")
    }
}
