//! The archive: files one after the other, each written beside it first, because its size stands before it.
use std::fs::{File, Permissions};
use std::io::{Read, Seek as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::{NamedTempFile, TempPath};

use super::{BundleError, Entry};
use crate::clock;
use crate::fs::FsError;

/// A bundle that is being written.
pub(super) struct Archive {
    dir: PathBuf,
    tar: tar::Builder<GzEncoder<NamedTempFile>>,
    room: u64,
    /// What is in it.
    pub entries: Vec<Entry>,
    /// What is not.
    pub left_out: Vec<String>,
}

impl Archive {
    /// In `dir`, with room for so many bytes.
    pub fn begin(dir: &Path, room: u64) -> Result<Self, BundleError> {
        let file = tempfile::Builder::new()
            .prefix(".tmp-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(dir)
            .map_err(FsError::at("create a temporary file in", dir))?;
        let tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        Ok(Self { dir: dir.to_owned(), tar, room, entries: Vec::new(), left_out: Vec::new() })
    }

    /// Room that is left.
    pub fn room(&self) -> u64 {
        self.room
    }

    /// One more file, from its text.
    pub fn text(&mut self, name: &str, what: &str, text: &str) -> Result<(), BundleError> {
        if text.len() as u64 > self.room {
            self.left_out.push(format!("{name}: there was no room for its {} bytes (--max-mb)", text.len()));
            return Ok(());
        }
        self.add(name, what, text.len() as u64, text.as_bytes())
    }

    /// One more file, written by `fill` piece by piece.
    pub fn spooled(
        &mut self,
        name: &str,
        what: &str,
        fill: impl FnOnce(&mut Spool) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        let file =
            tempfile::tempfile_in(&self.dir).map_err(FsError::at("create a temporary file in", &self.dir))?;
        let mut spool = Spool { file: std::io::BufWriter::new(file), bytes: 0, at: self.dir.join(name) };
        fill(&mut spool)?;
        let (at, bytes) = (spool.at, spool.bytes);
        let mut file = spool.file.into_inner().map_err(|e| FsError::at("write", &at)(e.into_error()))?;
        file.rewind().map_err(FsError::at("rewind", &at))?;
        self.add(name, what, bytes, file)
    }

    fn add(&mut self, name: &str, what: &str, bytes: u64, text: impl Read) -> Result<(), BundleError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(clock::now().as_second()).unwrap_or(0));
        let path = format!("{}{name}", super::TOP);
        let added = self.tar.append_data(&mut header, path, text);
        added.map_err(FsError::at("write the bundle beside", &self.dir))?;
        self.room = self.room.saturating_sub(bytes);
        self.entries.push(Entry { name: name.to_owned(), what: what.to_owned(), bytes });
        Ok(())
    }

    /// Closes it with its table of contents; the file goes when it is dropped, unless it is kept.
    pub fn end(mut self, index: &serde_json::Value) -> Result<TempPath, BundleError> {
        let text = serde_json::to_string_pretty(index).expect("plain fields always serialise");
        self.add("index.json", "what is in it", text.len() as u64, text.as_bytes())?;
        let failed = |e| BundleError::from(FsError::at("write the bundle beside", &self.dir)(e));
        let file = self.tar.into_inner().and_then(GzEncoder::finish).map_err(failed)?;
        file.as_file().sync_all().map_err(FsError::at("fsync", file.path()))?;
        Ok(file.into_temp_path())
    }
}

/// A file on its way into the archive.
pub(super) struct Spool {
    file: std::io::BufWriter<File>,
    at: PathBuf,
    /// So far.
    pub bytes: u64,
}

impl Spool {
    /// One more line.
    pub fn line(&mut self, line: &str) -> Result<(), BundleError> {
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(FsError::at("write", &self.at))?;
        self.bytes += line.len() as u64 + 1;
        Ok(())
    }
}
