//! Lines of one log file, plain or gzipped, whatever its name says; nothing is locked, mapped or changed.
//!
//! A file may be growing, torn, cut or full of rubbish: that is told with the line's number and never ends the reading.
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// No line of the log is longer; what is longer is rubbish and must not fill the memory.
const MAX_LINE: u64 = 1 << 20;
const BUFFER: usize = 256 << 10;

/// Reads lines one after the other into one buffer.
pub struct Lines {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
}

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A line with its newline; see [`Lines::line`].
    Whole,
    /// The file ends within a line: it is being written at this moment, or its writer was cut off.
    Torn,
    /// A line too long to be one; it was skipped.
    TooLong,
    /// The file ends.
    End,
}

/// Names the packing of a file that this program does not unpack.
fn packed_otherwise(magic: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 4] = [
        (b"\x28\xb5\x2f\xfd", "zstd -d"),
        (b"\xfd7zXZ", "unxz"),
        (b"BZh", "bunzip2"),
        (b"PK\x03\x04", "unzip"),
    ];
    known.iter().find(|(begins, _)| magic.starts_with(begins)).map(|(_, tool)| *tool)
}

impl Lines {
    /// Lines of an open file, from its beginning.
    pub fn new(file: File) -> io::Result<Self> {
        let mut plain = BufReader::with_capacity(BUFFER, file);
        let magic = plain.fill_buf()?;
        if let Some(tool) = packed_otherwise(magic) {
            return Err(io::Error::other(format!(
                "it is packed in a way this program cannot read: unpack it first ({tool})"
            )));
        }
        let reader: Box<dyn BufRead> = if magic.starts_with(b"\x1f\x8b") {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Ok(Self { reader, line: Vec::new(), number: 0 })
    }

    /// The next line. After an error (a gzip file that is cut or damaged) there is nothing more.
    pub fn next(&mut self) -> io::Result<Next> {
        self.line.clear();
        let n = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.line)?;
        if n == 0 {
            return Ok(Next::End);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            let _newline = self.line.pop();
            return Ok(Next::Whole);
        }
        if (n as u64) < MAX_LINE {
            return Ok(Next::Torn);
        }
        self.skip_line()?;
        Ok(Next::TooLong)
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let ahead = self.reader.fill_buf()?;
            let (used, found) = match memchr::memchr(b'\n', ahead) {
                Some(at) => (at + 1, true),
                None => (ahead.len(), ahead.is_empty()),
            };
            self.reader.consume(used);
            if found {
                return Ok(());
            }
        }
    }

    /// The line that was read last, without its newline.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// Its number, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn all(bytes: &[u8]) -> (Vec<(String, Next)>, Option<String>) {
        let mut lines = Lines::new(file(bytes)).unwrap();
        let mut read = Vec::new();
        loop {
            match lines.next() {
                Ok(Next::End) => return (read, None),
                Ok(next) => read.push((String::from_utf8_lossy(lines.line()).into_owned(), next)),
                Err(e) => return (read, Some(e.to_string())),
            }
        }
    }

    #[test]
    fn plain_and_gzipped_in_several_members_are_the_same() {
        let whole = |t: &str| (t.to_owned(), Next::Whole);
        let (plain, _) = all(b"one\ntwo\n\nlast");
        assert_eq!(plain, [whole("one"), whole("two"), whole(""), ("last".into(), Next::Torn)]);
        let members = [gz(b"one\ntw"), gz(b""), gz(b"o\n\nlast")].concat();
        assert_eq!(all(&members), (plain, None));
        assert_eq!(all(b""), (vec![], None));
    }

    #[test]
    fn a_cut_or_damaged_gzip_file_gives_what_it_has_and_an_error() {
        let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let packed = gz(text.as_bytes());
        let (read, error) = all(&packed[..packed.len() / 2]);
        assert!(read.len() > 1000 && error.is_some(), "{} {error:?}", read.len());
        assert_eq!(read[0].0, "line 0");
        let behind = [packed.as_slice(), b"rubbish"].concat();
        let (read, error) = all(&behind);
        assert_eq!((read.len(), error.is_some()), (20_000, true));
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut bytes = vec![b'x'; 5 << 20];
        bytes.extend_from_slice(b"\nnext\n");
        let mut lines = Lines::new(file(&bytes)).unwrap();
        assert_eq!((lines.next().unwrap(), lines.number()), (Next::TooLong, 1));
        assert!(lines.line.capacity() <= 4 << 20);
        assert_eq!((lines.next().unwrap(), lines.line()), (Next::Whole, b"next".as_slice()));
        assert_eq!(lines.next().unwrap(), Next::End);
    }

    #[test]
    fn other_packings_are_named() {
        let refused = Lines::new(file(b"\x28\xb5\x2f\xfd....")).err().unwrap().to_string();
        assert!(refused.contains("zstd -d"), "{refused}");
    }
}
