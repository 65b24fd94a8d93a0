//! Reading a file back from the disk: the disk's thread only reads, the threads for digests hash what it has read.
//!
//! A file has [`AHEAD`] pieces with the hashing threads and one in the hands of the disk, so it costs `(AHEAD + 1) · PIECE` of
//! memory, and the pieces are used again.
use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use rustix::fs::Advice;

use crate::blame::{Blame, Failure};
use crate::disk::{Disk, Hold, OnDisk, Parked, aligned};
use crate::fs::{Fingerprint, FsError};
use crate::hashing::{Ended, Hashing, Later};
use crate::package::{Digests, HashState};
use crate::supervisor::meter::Meter;

/// Read in one go; then other files have their turn on the disk.
const PIECE: usize = 1 << 20;
/// Of one file, read and not hashed.
const AHEAD: usize = 3;

/// A file that is read back from the disk itself: its pages are dropped from the cache first, so that what is hashed is what
/// the disk holds. That works only for pages that were fsynced, which is why copying ends with it.
pub struct Reading {
    file: File,
    path: PathBuf,
    size: u64,
    /// Bytes that are still wanted.
    left: u64,
}

/// A piece of a file.
struct Piece {
    bytes: BytesMut,
    /// Nothing comes behind it.
    last: bool,
}

impl Reading {
    /// Opens it.
    pub fn open(_: &OnDisk, path: &Path) -> Result<Self, FsError> {
        let file = File::open(path).map_err(FsError::at("open", path))?;
        let size = Fingerprint::of_open(&file, path)?.size;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)
            .map_err(|e| FsError::at("drop the cached pages of", path)(e.into()))?;
        // Only for speed: the kernel reads twice as far ahead.
        rustix::fs::fadvise(&file, 0, None, Advice::Sequential)
            .map_err(|e| FsError::at("announce reading in order of", path)(e.into()))?;
        Ok(Self { file, path: path.to_owned(), size, left: u64::MAX })
    }

    /// Only so many of its first bytes.
    fn first(self, bytes: u64) -> Self {
        Self { size: self.size.min(bytes), left: bytes, ..self }
    }

    /// As much as a piece of it needs: one byte more than a small file has, so that its end is seen in the same go.
    fn buffer(&self) -> BytesMut {
        aligned(usize::try_from(self.size).map_or(PIECE, |size| PIECE.min(size.saturating_add(1))))
    }

    /// The next piece, as much as the buffer holds. `seen` hears of what was read, at each sign of life.
    fn piece(
        &mut self,
        on: &OnDisk,
        mut bytes: BytesMut,
        mut seen: impl FnMut(u64),
    ) -> Result<Piece, FsError> {
        let mut filled = 0;
        fail::fail_point!("read-back", |e| Err(FsError::at("read back", &self.path)(crate::fs::injected(
            e.as_deref()
        ))));
        while let Some(free) = bytes.get_mut(filled..).filter(|free| !free.is_empty()) {
            let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(free.len());
            match self.file.read(free.get_mut(..wanted).unwrap_or_default()) {
                Ok(0) => {
                    bytes.truncate(filled);
                    return Ok(Piece { bytes, last: true });
                }
                Ok(n) => {
                    on.moved();
                    filled += n;
                    self.left -= n as u64;
                    seen(n as u64);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(FsError::at("read back", &self.path)(e)),
            }
        }
        Ok(Piece { bytes, last: false })
    }
}

/// Reads a whole file back and hashes it on the same thread: for the manifest, for commands.
pub fn read_back_alone(
    on: &OnDisk,
    path: &Path,
    with_md5: bool,
    mut seen: impl FnMut(u64),
) -> Result<Digests, FsError> {
    let mut reading = Reading::open(on, path)?;
    let (mut state, mut buffer) = (HashState::new(with_md5), reading.buffer());
    loop {
        let piece = reading.piece(on, buffer, &mut seen)?;
        state.update(&piece.bytes);
        if piece.last {
            return Ok(state.finish());
        }
        buffer = piece.bytes;
    }
}

/// Where a file is read back from.
#[derive(Clone, Copy)]
pub struct Back<'a> {
    /// On whose behalf.
    pub hold: &'a Hold,
    /// On which disk it lies.
    pub disk: &'a Disk,
    /// Who hashes it.
    pub hashing: &'a Hashing,
    /// What was read is counted here.
    pub meter: &'a Meter,
}

/// An open file that rests between two jobs.
type Begun = Box<Parked<Reading>>;

/// Which bytes of a file are read back, and who hears of each that was.
#[derive(Clone, Copy)]
struct Wanted {
    first: u64,
    seen: fn(&Meter, u64),
}

/// A job on the disk: opens the file if it is not open, and reads its next piece. One that is through is closed here.
fn next(
    on: &OnDisk,
    (lane, path): (&Disk, &Path),
    begun: Option<Begun>,
    buffer: Option<BytesMut>,
    (wanted, meter): (Wanted, &Meter),
) -> Result<(Piece, Option<Begun>), FsError> {
    let mut begun = match begun {
        Some(begun) => begun,
        None => Box::new(Parked::new(lane, Reading::open(on, path)?.first(wanted.first))),
    };
    let reading = begun.get_mut(on);
    let buffer = buffer.unwrap_or_else(|| reading.buffer());
    let piece = reading.piece(on, buffer, |n| (wanted.seen)(meter, n))?;
    let begun = (!piece.last).then_some(begun);
    Ok((piece, begun))
}

impl Back<'_> {
    /// Reads a whole file back.
    pub async fn read(self, path: &Path, with_md5: bool) -> Result<Digests, Failure> {
        self.digest(path, with_md5, Wanted { first: u64::MAX, seen: Meter::add }).await
    }

    /// Reads so many of a file's first bytes back, or as many as it has. They are counted as a sign of life, not as work done.
    pub async fn first(self, path: &Path, bytes: u64) -> Result<Digests, Failure> {
        self.digest(path, false, Wanted { first: bytes, seen: |meter, _| meter.alive() }).await
    }

    /// While a piece is hashed the next ones are read.
    async fn digest(self, path: &Path, with_md5: bool, wanted: Wanted) -> Result<Digests, Failure> {
        let ended = |e: Ended| Blame::again(format!("hash {} as it was read back: {e}", path.display()));
        let mut stream = self.hashing.stream(HashState::new(with_md5));
        let mut away: VecDeque<(Bytes, Later)> = VecDeque::with_capacity(AHEAD);
        let mut begun = None;
        loop {
            let mut buffer = None;
            if away.len() >= AHEAD
                && let Some((bytes, later)) = away.pop_front()
            {
                let _known_later = later.state().await.map_err(ended)?;
                buffer = bytes.try_into_mut().ok(); // ours alone again, now that it is hashed
            }
            let (lane, path, meter, from) =
                (self.disk.clone(), path.to_owned(), self.meter.clone(), begun.take());
            let job = move |on: &OnDisk| next(on, (&lane, &path), from, buffer, (wanted, &meter));
            let (piece, rest) = self.hold.on(self.disk, job).await??;
            let bytes = piece.bytes.freeze();
            let later = stream.feed(bytes.clone());
            if piece.last {
                return Ok(later.state().await.map_err(ended)?.finish());
            }
            away.push_back((bytes, later));
            begun = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::disk::Disks;
    use crate::supervisor::meter::Board;

    #[tokio::test]
    async fn files_of_every_size_are_read_back_whole_side_by_side() {
        let dir = tempfile::tempdir().unwrap();
        let disks = Disks::new(2, Duration::from_secs(60), Arc::new(|_, _, _| {}));
        let disk = disks.at("t", dir.path()).unwrap();
        let hashing = Hashing::start(2).unwrap();
        let board = Board::default();
        let (meter, hold) = (board.begin("verifier", "t".into()), disks.hold("t").await.unwrap());
        let back = Back { hold: &hold, disk: &disk, hashing: &hashing, meter: &meter };
        let sizes = [0, 1, 9_000, PIECE - 1, PIECE, PIECE + 1, 7 * PIECE, 9 * PIECE + 17];
        let files = sizes.into_iter().enumerate().map(|(n, size)| {
            let path = dir.path().join(n.to_string());
            let bytes: Vec<u8> = (0..size).map(|at| (at * 13 / 5 + n) as u8).collect();
            crate::fs::write_durably(&path, &bytes).unwrap();
            let mut state = HashState::new(n % 2 == 0);
            state.update(&bytes);
            (path, n % 2 == 0, state.finish())
        });
        let files: Vec<_> = files.collect();
        let all = files.iter().map(|(path, with_md5, digests)| async move {
            assert_eq!(back.read(path, *with_md5).await.unwrap(), *digests, "{}", path.display());
            let mut seen = 0;
            let alone = read_back_alone(&OnDisk::alone(), path, *with_md5, |n| seen += n).unwrap();
            assert_eq!((&alone, seen), (digests, digests.size));
            let bytes = std::fs::read(path).unwrap();
            for first in [0, 1, bytes.len() / 2, bytes.len(), bytes.len() + PIECE] {
                let mut state = HashState::new(false);
                state.update(&bytes[..first.min(bytes.len())]);
                assert_eq!(back.first(path, first as u64).await.unwrap(), state.finish(), "{first}");
            }
        });
        drop(futures_util::future::join_all(all).await);
        let counted: u64 = board.motions().iter().map(|m| m.done).sum();
        assert_eq!(counted, sizes.iter().map(|s| *s as u64).sum::<u64>());
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_has_no_digest() {
        let dir = tempfile::tempdir().unwrap();
        let disks = Disks::new(1, Duration::from_secs(60), Arc::new(|_, _, _| {}));
        let (disk, hold) = (disks.at("t", dir.path()).unwrap(), disks.hold("t").await.unwrap());
        let (hashing, meter) = (Hashing::start(1).unwrap(), Board::default().begin("verifier", "t".into()));
        let back = Back { hold: &hold, disk: &disk, hashing: &hashing, meter: &meter };
        let failed = back.read(&dir.path().join("gone"), true).await.unwrap_err();
        assert!(format!("{failed:?}").contains("gone"), "{failed:?}");
    }
}
