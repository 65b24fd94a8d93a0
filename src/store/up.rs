//! Sending a file: every byte is read once, and in that one pass hashed (SHA-256, md5 where the delivery states one), heard by
//! whoever checks it, and sent.
//!
//! A thread of the disk reads a part into memory and feeds the file's digests in order; the part then flies on its own while the
//! next is read. Parts in flight are bounded over all packages, so memory is about `part_size × parts_in_flight`. The part's
//! own SHA-256 travels in the signed request and, where the server knows it, as its checksum, and is compared with the
//! answer. When anything fails the upload is aborted and the file is sent anew at the next attempt.
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::attempt::Asked;
use super::buffers::Buffers;
use super::error::sort;
use super::slots::{Ask, Slot};
use super::{Listener, Part, Store, StoreError};
use crate::disk::{Disk, DiskError, Hold, OnDisk, Parked};
use crate::fs::{Fingerprint, FsError};
use crate::package::{Digests, HashState, Sha256Hex};
use crate::supervisor::meter::Meter;

/// Read and hashed in one go, while it is hot in the cache.
const BLOCK: usize = 1 << 20;
const MIB: u64 = 1 << 20;

impl Store {
    /// Puts a small object whole, such as a manifest or a `COMMIT`.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let digest = Sha256Hex::of(&bytes);
        self.put_whole(key, bytes, &digest).await
    }

    /// Sends a file and returns what its bytes were. `with_md5` costs three times the SHA-256. A listener hears every byte; what
    /// it says must be asked before the file is believed to be stored.
    pub async fn send_file(
        &self,
        key: &str,
        from: Origin<'_>,
        with_md5: bool,
        listener: Option<Listener>,
        meter: &Meter,
    ) -> Result<Sent, StoreError> {
        let Origin { hold, disk, path, expected } = from;
        let (at, lane) = (path.to_owned(), disk.clone());
        let (now, file) = hold.on(disk, move |on| open(on, &lane, &at)).await??;
        if now != expected {
            return Err(StoreError::Changed(path.to_owned()));
        }
        let file = Arc::new(file);
        let buffers = &self.buffers;
        let source =
            Source { key, buffers, hold, disk, path, file: file.clone(), size: now.size, with_md5, meter };
        let sent = if source.size <= self.part_size {
            self.send_whole(&source, listener).await
        } else {
            self.send_parts(&source, listener).await
        };
        // Also after a failure: a file that is being written fails in many ways, and this is the word for all of them.
        if !matches!(&sent, Err(e) if e.is_outage() || e.is_fenced()) {
            let at = path.to_owned();
            if !hold.on(disk, move |on| is_still(on, &file, &at, expected)).await?? {
                return Err(StoreError::Changed(path.to_owned()));
            }
        }
        sent
    }

    async fn send_whole(&self, source: &Source<'_>, listener: Option<Listener>) -> Result<Sent, StoreError> {
        let room = self.room(source.size).await;
        let read = source.read(0, source.size, HashState::new(source.with_md5));
        let (bytes, state) = source.hold.on(source.disk, read).await??;
        let digests = state.finish();
        let part = Part::new(bytes, room);
        if let Some(mut listener) = listener {
            if !listener.hear(part.clone()).await {
                return Ok(Sent { digests, stored: false });
            }
            listener.end().await;
        }
        self.put_whole(source.key, part.bytes.clone(), &digests.sha256).await?;
        source.meter.add(source.size);
        Ok(Sent { digests, stored: true })
    }

    async fn put_whole(&self, key: &str, bytes: Bytes, digest: &Sha256Hex) -> Result<(), StoreError> {
        let checksum = base64_of(digest);
        let asked = Asked { what: "accept an object", key, bytes: bytes.len() as u64 };
        let put = || async {
            let put = self.client.put_object().bucket(&self.bucket).key(key).checksum_sha256(&checksum);
            put.body(ByteStream::from(bytes.clone())).send().await.map_err(sort(asked.what, key))
        };
        let answer = self.ask(asked, put).await?;
        agree(key, &checksum, answer.checksum_sha256())
    }

    async fn send_parts(&self, source: &Source<'_>, listener: Option<Listener>) -> Result<Sent, StoreError> {
        let key = source.key;
        let asked = Asked { what: "begin an upload", key, bytes: 0 };
        let create = || async {
            let create = self.client.create_multipart_upload().bucket(&self.bucket).key(key);
            create.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.map_err(sort(asked.what, key))
        };
        let created = self.ask(asked, create).await?;
        let none =
            || StoreError::Outage { what: "begin an upload", why: "its answer has no upload id".into() };
        let upload = created.upload_id().ok_or_else(none)?;
        let sent = self.fly(source, upload, listener).await;
        if !matches!(sent, Ok(Sent { stored: true, .. })) {
            let asked = Asked { what: "abort an upload", key, bytes: 0 };
            let abort = || async {
                let abort =
                    self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
                abort.send().await.map_err(sort(asked.what, key))
            };
            if let Err(also) = self.ask(asked, abort).await {
                tracing::warn!(key, upload, error = %also.error, "an unfinished upload stays behind in the store");
            }
        }
        sent
    }

    /// Reads part after part; each flies on its own while the next is read. Behind a listener's objection nothing flies any more,
    /// but the rest is hashed: whether the md5 is as delivered tells who must look after it.
    async fn fly(
        &self,
        source: &Source<'_>,
        upload: &str,
        mut listener: Option<Listener>,
    ) -> Result<Sent, StoreError> {
        let (key, size) = (source.key, source.size);
        let length = part_length(size, self.part_size, self.max_parts);
        let mut state = HashState::new(source.with_md5);
        let mut flying: JoinSet<Result<CompletedPart, StoreError>> = JoinSet::new();
        let (mut landed, mut stored) = (Vec::new(), true);
        for (number, offset) in (1..).zip((0..size).step_by(usize::try_from(length).unwrap_or(usize::MAX))) {
            let len = length.min(size - offset);
            let room = self.room(len).await;
            let read = source.read(offset, len, state);
            if !stored {
                (_, state) = source.hold.on(source.disk, read).await??;
                source.meter.add(len);
                continue;
            }
            let read = move |on: &OnDisk| {
                let (bytes, state) = read(on)?;
                let own = Sha256Hex::of(&bytes);
                Ok::<_, FsError>((bytes, state, own))
            };
            let (bytes, fed, own) = source.hold.on(source.disk, read).await??;
            state = fed;
            let part = Part::new(bytes, room);
            let (me, key, upload, meter) =
                (self.clone(), key.to_owned(), upload.to_owned(), source.meter.clone());
            let flies = part.clone();
            let _aborted_with_the_set = flying.spawn(async move {
                let landed = me.put_part(&key, &upload, number, flies.bytes.clone(), &own).await;
                meter.add(len);
                drop(flies);
                landed
            });
            if let Some(listener) = &mut listener
                && !listener.hear(part).await
            {
                flying.shutdown().await;
                stored = false;
            }
            while let Some(done) = flying.try_join_next() {
                landed.push(joined(done)?);
            }
        }
        if !stored {
            return Ok(Sent { digests: state.finish(), stored });
        }
        if let Some(listener) = listener {
            listener.end().await;
        }
        while let Some(done) = flying.join_next().await {
            landed.push(joined(done)?);
        }
        landed.sort_by_key(|p| p.part_number());
        let whole = CompletedMultipartUpload::builder().set_parts(Some(landed)).build();
        let asked = Asked { what: "complete an upload", key, bytes: 0 };
        let complete = || async {
            let complete =
                self.client.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
            complete.multipart_upload(whole.clone()).send().await.map_err(sort(asked.what, key))
        };
        drop(self.ask(asked, complete).await?);
        Ok(Sent { digests: state.finish(), stored })
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        bytes: Bytes,
        digest: &Sha256Hex,
    ) -> Result<CompletedPart, StoreError> {
        let checksum = base64_of(digest);
        let asked = Asked { what: "accept a part", key, bytes: bytes.len() as u64 };
        let put = || async {
            let put =
                self.client.upload_part().bucket(&self.bucket).key(key).upload_id(upload).part_number(number);
            let put = put.checksum_sha256(&checksum).body(ByteStream::from(bytes.clone()));
            put.send().await.map_err(sort(asked.what, key))
        };
        let answer = self.ask(asked, put).await?;
        agree(key, &checksum, answer.checksum_sha256())?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag().map(str::to_owned));
        Ok(part.checksum_sha256(checksum).build())
    }

    async fn room(&self, bytes: u64) -> Slot {
        self.slots.take(Ask { urgency: 0, flow: 0, bytes }).await
    }
}

fn joined(
    done: Result<Result<CompletedPart, StoreError>, tokio::task::JoinError>,
) -> Result<CompletedPart, StoreError> {
    done.unwrap_or_else(|e| Err(DiskError::Panicked(e.to_string()).into()))
}

/// Where a file is sent from.
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
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Of all its bytes.
    pub digests: Digests,
    /// Whether it is in the store now. Not so if its listener objected.
    pub stored: bool,
}

/// A file on its way.
struct Source<'a> {
    buffers: &'a Buffers,
    key: &'a str,
    hold: &'a Hold,
    disk: &'a Disk,
    path: &'a Path,
    file: Arc<Parked<File>>,
    size: u64,
    with_md5: bool,
    meter: &'a Meter,
}

fn open(_: &OnDisk, disk: &Disk, path: &Path) -> Result<(Fingerprint, Parked<File>), FsError> {
    let file = File::open(path).map_err(FsError::at("open", path))?;
    Ok((Fingerprint::of_open(&file, path)?, Parked::new(disk, file)))
}

/// Whether neither the file that we read nor what bears its name now is another than expected.
fn is_still(on: &OnDisk, file: &Parked<File>, path: &Path, expected: Fingerprint) -> Result<bool, FsError> {
    Ok(Fingerprint::of_open(file.get(on), path)? == expected && Fingerprint::of(path)? == expected)
}

/// The bytes of one part, read and hashed block by block.
fn stretch(
    on: &OnDisk,
    file: &File,
    path: &Path,
    offset: u64,
    bytes: &mut [u8],
    state: &mut HashState,
) -> Result<(), FsError> {
    let mut at = offset;
    for block in bytes.chunks_mut(BLOCK) {
        file.read_exact_at(block, at).map_err(FsError::at("read", path))?;
        on.moved();
        state.update(block);
        at += block.len() as u64;
    }
    Ok(())
}

impl Source<'_> {
    /// Work for the disk: reads a stretch and feeds the file's digests with it, block by block while it is hot.
    fn read(
        &self,
        offset: u64,
        length: u64,
        mut state: HashState,
    ) -> impl FnOnce(&OnDisk) -> Result<(Bytes, HashState), FsError> + Send + use<> {
        let (file, path) = (self.file.clone(), self.path.to_owned());
        let mut bytes = self.buffers.take(usize::try_from(length).unwrap_or(usize::MAX));
        move |on| {
            stretch(on, file.get(on), &path, offset, &mut bytes, &mut state)?;
            Ok((bytes.freeze(), state))
        }
    }
}

/// A part's length: as configured, or as much longer (in whole MiB) as the limit of parts demands.
fn part_length(size: u64, wished: u64, max_parts: u64) -> u64 {
    let least = size.div_ceil(max_parts.max(1));
    if least <= wished { wished } else { least.div_ceil(MIB) * MIB }
}

fn base64_of(digest: &Sha256Hex) -> String {
    BASE64.encode(hex::decode(digest.as_str()).expect("a digest is hexadecimal by its type"))
}

/// What the store says about the bytes must be what we say; saying nothing is allowed (the signature covered them).
fn agree(key: &str, ours: &str, theirs: Option<&str>) -> Result<(), StoreError> {
    match theirs {
        Some(theirs) if theirs != ours => {
            Err(StoreError::Digest { key: key.to_owned(), ours: ours.to_owned(), theirs: theirs.to_owned() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_only_when_there_would_be_too_many() {
        assert_eq!(part_length(100 * MIB, 16 * MIB, 10_000), 16 * MIB);
        let huge = part_length(200 << 30, 16 * MIB, 10_000);
        assert_eq!(huge, 21 * MIB);
        assert!((200u64 << 30).div_ceil(huge) <= 10_000);
        assert_eq!(part_length(50 * MIB, 5 * MIB, 10), 5 * MIB);
        assert_eq!(part_length(50 * MIB + 1, 5 * MIB, 10), 6 * MIB);
    }

    #[test]
    fn a_wrong_digest_in_the_answer_is_refused_and_silence_is_not() {
        assert!(agree("k", "a", Some("a")).is_ok() && agree("k", "a", None).is_ok());
        assert!(matches!(agree("k", "a", Some("b")), Err(StoreError::Digest { .. })));
    }

    #[test]
    fn base64_of_a_digest() {
        assert_eq!(base64_of(&Sha256Hex::of(b"")), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}

#[cfg(test)]
#[path = "up_tests.rs"]
mod sending;
