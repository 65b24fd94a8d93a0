//! From parts of a file to plain text, within bounds: [`Pipe`] hands parts on as one stream, [`Plain`] decompresses it.
//!
//! Traps: `noodles` takes an unexpected end for the end of the file where a record could begin, so an error of the decoder must
//! not keep its kind; it also reads a line of any length into memory, and drops a carriage return without a word.
use std::cell::Cell;
use std::io::{self, BufRead, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use memchr::{memchr, memrchr};

use crate::store::{Cut, Heard};

/// A longer line is refused: a sequencer's reads have some hundreds of bases, and a bomb has no line ends.
pub const LONGEST_LINE: u64 = 1 << 20;

/// What a FASTQ reader above cannot know; travels through it inside an `io::Error`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("gzip: {0}")]
    Gzip(io::Error),
    #[error("a line is longer than {LONGEST_LINE} bytes")]
    LongLine,
    #[error("a line ends with a carriage return")]
    Return,
    #[error(transparent)]
    Cut(#[from] Cut),
}

impl Trouble {
    /// As an error without a kind that anybody could take for an end.
    fn wrapped(self) -> io::Error {
        io::Error::other(self)
    }
}

/// The parts as a stream of bytes, none of them copied.
pub struct Pipe {
    heard: Heard,
    part: Option<Bytes>,
    at: usize,
    ended: bool,
}

impl Pipe {
    /// Of what is heard.
    pub fn new(heard: Heard) -> Self {
        Self { heard, part: None, at: 0, ended: false }
    }
}

impl BufRead for Pipe {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while !self.ended && self.part.as_ref().is_none_or(|part| self.at >= part.len()) {
            self.part = None; // its room is free before the next is waited for
            self.at = 0;
            self.part = self.heard.wait().map_err(|cut| Trouble::Cut(cut).wrapped())?;
            self.ended = self.part.is_none();
        }
        Ok(self.part.as_ref().and_then(|part| part.get(self.at..)).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}

/// How far it is, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Compressed bytes.
    pub taken: Cell<u64>,
}

/// Counts what the decoder takes.
struct Counted<'a, R> {
    inner: R,
    progress: &'a Progress,
}

impl<R: BufRead> BufRead for Counted<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.progress.taken.set(self.progress.taken.get() + amount as u64);
        self.inner.consume(amount);
    }
}

impl<R: BufRead> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.progress.taken.set(self.progress.taken.get() + n as u64);
        Ok(n)
    }
}

/// Decompressed text whose lines are bounded. `goes_on` is asked for each piece, so however much comes out of few bytes, the
/// meter moves and giving up is noticed.
pub(super) struct Plain<'a, R, F> {
    gzip: MultiGzDecoder<Counted<'a, R>>,
    goes_on: F,
    /// Length of the line that the last piece left open.
    open: u64,
}

impl<'a, R: BufRead, F: FnMut() -> bool> Plain<'a, R, F> {
    pub(super) fn new(inner: R, progress: &'a Progress, goes_on: F) -> Self {
        Self { gzip: MultiGzDecoder::new(Counted { inner, progress }), goes_on, open: 0 }
    }

    fn lines(&mut self, text: &[u8]) -> Result<(), Trouble> {
        // A line within one piece is shorter than the piece, and that is shorter than LONGEST_LINE.
        let first = memchr(b'\n', text);
        self.open += first.unwrap_or(text.len()) as u64;
        if self.open > LONGEST_LINE {
            return Err(Trouble::LongLine);
        }
        if let Some(last) = memrchr(b'\n', text) {
            self.open = (text.len() - last - 1) as u64;
        }
        if memchr(b'\r', text).is_some() { Err(Trouble::Return) } else { Ok(()) }
    }
}

impl<R: BufRead, F: FnMut() -> bool> Read for Plain<'_, R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !(self.goes_on)() {
            return Err(Trouble::Cut(Cut).wrapped());
        }
        let piece = buffer.len().min(LONGEST_LINE as usize);
        let buffer = &mut buffer[..piece];
        let read = self.gzip.read(buffer);
        let n = read.map_err(|e| match e.downcast::<Trouble>() {
            Ok(trouble) => trouble.wrapped(),
            Err(e) => Trouble::Gzip(e).wrapped(),
        })?;
        self.lines(&buffer[..n]).map_err(Trouble::wrapped)?;
        Ok(n)
    }
}
