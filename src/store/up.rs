//! Sending: what a file is sent from, small objects, and files of at most one part. Larger ones: `multipart.rs`.
//!
//! Every byte is read once, and in that one pass hashed (SHA-256, md5 where the delivery states one), summed for the wire, heard by
//! whoever checks it, and sent. A small file is one job of its disk and one request, so that thousands of them go side by side.
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tokio::task::{JoinError, JoinSet};

use super::attempt::Asked;
use super::buffers::Buffer;
use super::checksum::{Proof, Summer};
use super::resume::Notes;
use super::slots::Ask;
use super::sort::sort;
use super::{Kept, Listener, Store, StoreError};
use crate::conf::Checksum;
use crate::disk::{Disk, DiskError, Hold, OnDisk, Parked};
use crate::fs::{Fingerprint, FsError};
use crate::package::{Digests, HashState};
use crate::supervisor::meter::Meter;

/// Read in one go, and summed while it is hot in a cache. Smaller ones cost more in calls than nearer caches give back (measured, four large
/// files, CPU s/GiB: 1.61 with 256 KiB, 1.52 with this).
const BLOCK: usize = 1 << 20;

/// Where a file is sent from, and how soon.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// On whose behalf.
    pub hold: &'a Hold,
    /// On which disk it lies.
    pub disk: &'a Disk,
    /// The file.
    pub path: &'a Path,
    /// As it was when it was decided to send it; one that looks different before or after it was read is refused.
    pub expected: Fingerprint,
    /// More is sooner.
    pub urgency: u8,
    /// What shares one turn: the same for all files of a package.
    pub flow: u64,
    /// What earlier attempts left; none: nothing is kept, and a large file begins anew each time.
    pub kept: Option<&'a Kept>,
}

impl Origin<'_> {
    pub(super) fn ask(&self, bytes: u64) -> Ask {
        Ask { urgency: self.urgency, flow: self.flow, bytes }
    }
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Of all its bytes.
    pub digests: Digests,
    /// Whether it is in the store now. Not so if its listener objected.
    pub stored: bool,
}

impl Store {
    /// Whether a file of this size is one request: many of them may be sent side by side.
    pub fn is_small(&self, size: u64) -> bool {
        size <= self.part_size
    }

    /// Puts a small object whole, such as a manifest or a `COMMIT`.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let proof = Proof::of(self.checksum, &bytes);
        self.put_proven(key, bytes, &proof).await
    }

    /// Sends a file and returns what its bytes were. `with_md5` costs three times the SHA-256. A listener hears every byte; what
    /// it says must be asked before the file is believed to be stored. [`StoreError::NoUpload`]: nothing was wrong with the file, and
    /// it begins anew if it is sent again.
    pub async fn send_file(
        &self,
        key: &str,
        from: Origin<'_>,
        with_md5: bool,
        listener: Option<Listener>,
        meter: &Meter,
    ) -> Result<Sent, StoreError> {
        match self.is_small(from.expected.size) {
            true => self.send_small(key, from, with_md5, listener, meter).await,
            false => self.send_large(key, from, with_md5, listener, meter).await,
        }
    }

    async fn send_small(
        &self,
        key: &str,
        from: Origin<'_>,
        with_md5: bool,
        listener: Option<Listener>,
        meter: &Meter,
    ) -> Result<Sent, StoreError> {
        let size = from.expected.size;
        // Of a file that was larger once. The next one that looks as that did must not be taken for what is in the bucket.
        let notes = Notes::new(from.hold, from.kept);
        for old in from.kept.map(|k| k.before.as_slice()).unwrap_or_default() {
            let (key, upload) = (&old.begun.key, &old.begun.upload);
            tracing::warn!(key, upload, "an upload is not gone on with: the file is a small one now");
            self.leave(old, &notes).await?;
        }
        let room = self.slots.take(from.ask(size)).await;
        let buffer = self.buffers.take(usize::try_from(size).unwrap_or(usize::MAX));
        let (path, kind) = (from.path.to_owned(), self.checksum);
        let read = move |on: &OnDisk| whole(on, &path, from.expected, buffer, kind, with_md5);
        let Origin { hold, disk, .. } = from;
        let changed = || StoreError::Changed(from.path.to_owned());
        let Whole { buffer, digests, proof } = hold.on(disk, read).await??.ok_or_else(changed)?;
        let bytes = buffer.freeze_in(room);
        if let Some(mut listener) = listener {
            if !listener.hear(bytes.clone()).await {
                return Ok(Sent { digests, stored: false });
            }
            listener.end().await;
        }
        let (me, key) = (self.clone(), key.to_owned());
        // A task of its own, so that many small requests are prepared on all threads and not on the one actor's.
        let mut put = JoinSet::new();
        drop(put.spawn(meter.on_behalf(async move { me.put_proven(&key, bytes, &proof).await })));
        put.join_next().await.map_or(Ok(()), joined)?;
        meter.add(size);
        Ok(Sent { digests, stored: true })
    }

    async fn put_proven(&self, key: &str, bytes: Bytes, proof: &Proof) -> Result<(), StoreError> {
        let asked = Asked { what: "accept an object", key, bytes: bytes.len() as u64 };
        let put = || async {
            let put = self.client.put_object().bucket(&self.bucket).key(key);
            let put = put.body(ByteStream::from(bytes.clone())).customize().interceptor(proof.dress());
            let answer = put.send().await.map_err(sort(asked.what, key))?;
            proof.accept(asked.what, key, answer)
        };
        let _answer = self.ask(asked, put).await?;
        Ok(())
    }
}

/// What a task came to.
pub(super) fn joined<T>(done: Result<Result<T, StoreError>, JoinError>) -> Result<T, StoreError> {
    done.unwrap_or_else(|e| Err(DiskError::Panicked(e.to_string()).into()))
}

/// A small file in memory.
struct Whole {
    buffer: Buffer,
    digests: Digests,
    proof: Proof,
}

/// All of a small file; none: it is not what was expected, before or after it was read.
fn whole(
    on: &OnDisk,
    path: &Path,
    expected: Fingerprint,
    mut buffer: Buffer,
    kind: Checksum,
    with_md5: bool,
) -> Result<Option<Whole>, FsError> {
    let file = File::open(path).map_err(FsError::at("open", path))?;
    if Fingerprint::of_open(&file, path)? != expected {
        return Ok(None);
    }
    let mut state = HashState::new(with_md5);
    let read = stretch(on, &file, path, 0, &mut buffer, |block| state.update(block));
    // Also after a failure: a file that is being written fails in many ways, and this is the word for all of them.
    if Fingerprint::of_open(&file, path)? != expected || Fingerprint::of(path)? != expected {
        return Ok(None);
    }
    read?;
    let digests = state.finish();
    let proof = Proof::among(kind, &digests).unwrap_or_else(|| Proof::of(kind, &buffer));
    Ok(Some(Whole { buffer, digests, proof }))
}

/// Opens a file, and says what it is.
pub(super) fn open(_: &OnDisk, disk: &Disk, path: &Path) -> Result<(Fingerprint, Parked<File>), FsError> {
    let file = File::open(path).map_err(FsError::at("open", path))?;
    Ok((Fingerprint::of_open(&file, path)?, Parked::new(disk, file)))
}

/// Whether neither the file that we read nor what bears its name now is another than expected.
pub(super) fn is_still(
    on: &OnDisk,
    file: &Parked<File>,
    path: &Path,
    expected: Fingerprint,
) -> Result<bool, FsError> {
    Ok(Fingerprint::of_open(file.get(on), path)? == expected && Fingerprint::of(path)? == expected)
}

/// One part, read and summed for the wire if it is to be sent.
pub(super) fn part(
    on: &OnDisk,
    file: &Parked<File>,
    path: &Path,
    offset: u64,
    mut buffer: Buffer,
    kind: Option<Checksum>,
) -> Result<(Buffer, Option<Proof>), FsError> {
    let mut summer = kind.map(Summer::new);
    let sum = |block: &[u8]| {
        if let Some(summer) = &mut summer {
            summer.update(block);
        }
    };
    stretch(on, file.get(on), path, offset, &mut buffer, sum)?;
    Ok((buffer, summer.map(Summer::finish)))
}

fn stretch(
    on: &OnDisk,
    file: &File,
    path: &Path,
    offset: u64,
    bytes: &mut [u8],
    mut each: impl FnMut(&[u8]),
) -> Result<(), FsError> {
    let mut at = offset;
    for block in bytes.chunks_mut(BLOCK) {
        file.read_exact_at(block, at).map_err(FsError::at("read", path))?;
        on.moved();
        each(block);
        at += block.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
#[path = "up_tests.rs"]
pub(super) mod sending;
