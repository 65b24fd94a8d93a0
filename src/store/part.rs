//! A file while it is being received: on the disk's threads, in few large writes, in order.
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::received::Received;
use crate::disk::{Need, OnDisk, Room};
use crate::fs::{self, FsError, Mode};

/// What is written is brought to the disk after so much, so that no single fsync has more to do than a slow disk does within
/// `disk.patience`, and so that a restart has to fetch no more again than this and what was on the wire.
pub const SYNC_EVERY: u64 = 64 << 20;

/// An open part.
pub(super) struct OpenPart {
    file: File,
    path: PathBuf,
    written: u64,
    unsynced: u64,
    room: Arc<Room>,
    /// Its room is taken and given back already.
    allocated: bool,
}

impl OpenPart {
    /// Begins one, in place of whatever bears its name, or goes on with one. What was noted of one that bore its name is taken back
    /// before its bytes are: allocated, the new one is as long, and after a crash the note would seem to be its own.
    pub(super) fn open(
        on: &OnDisk,
        path: &Path,
        begun: Option<&Received>,
        room: &Arc<Room>,
    ) -> Result<Self, FsError> {
        if begun.is_none() {
            Received::forget(on, path)?;
            on.moved();
        }
        let file = fs::open(path, if begun.is_some() { Mode::Kept } else { Mode::Emptied })?;
        on.moved();
        let written = begun.map_or(0, |begun| begun.synced);
        let (path, room) = (path.to_owned(), room.clone());
        Ok(Self { file, path, written, unsynced: 0, room, allocated: false })
    }

    /// Takes the room of the whole file, where the file system can do that; not worth while for one that is written in one go.
    pub(super) fn allocate(&mut self, on: &OnDisk, size: u64) -> Result<(), FsError> {
        let about = self.file.metadata().map_err(FsError::at("look at", &self.path))?;
        let taken = about.blocks().saturating_mul(512);
        self.allocated = fs::allocate(&self.file, &self.path, size, || on.moved())?;
        if self.allocated {
            // The file system counts it from now on.
            self.room.used(Need { bytes: size.saturating_sub(taken), inodes: 0 });
        }
        Ok(())
    }

    /// The next bytes.
    pub(super) fn write(&mut self, on: &OnDisk, bytes: &[u8]) -> Result<(), FsError> {
        fs::permitted("write", &self.path)?;
        fail::fail_point!("part-write", |e| Err(FsError::at("write", &self.path)(fs::injected(
            e.as_deref()
        ))));
        self.file.write_all_at(bytes, self.written).map_err(FsError::at("write", &self.path))?;
        on.moved();
        self.written += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        Ok(())
    }

    /// Brings it to the disk.
    pub(super) fn sync(&mut self, on: &OnDisk) -> Result<(), FsError> {
        fail::fail_point!("part-fsync", |e| Err(FsError::at("fsync", &self.path)(fs::injected(
            e.as_deref()
        ))));
        self.file.sync_all().map_err(FsError::at("fsync", &self.path))?;
        on.moved();
        let synced = std::mem::take(&mut self.unsynced);
        if !self.allocated {
            self.room.used(Need { bytes: synced, inodes: 0 });
        }
        Ok(())
    }
}
