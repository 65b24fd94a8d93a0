//! Receiving: small objects, and files that are fetched in ranges, hashed beside the wire and the disk, and written in order.
//!
//! A file's ranges fly side by side, each in a slot that it holds until its bytes are written and hashed, so memory is bounded by the
//! slots whatever the file's size, and how many fly is found there too. Nothing can wait in a circle: a file takes its slots in its
//! own order, so the earliest range that is not written yet always has one; its request ends by its deadlines; and neither the disk
//! nor the digests ever wait for a slot. What was fsynced is on record beside the part, so a later life goes on from there.
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::attempt::{Asked, Failed};
use super::fetch::{Coming, Errand, Object, Piece};
use super::lead::Lead;
use super::part::{OpenPart, SYNC_EVERY};
use super::received::Received;
use super::sort::sort;
use super::{Store, StoreError, face};
use crate::disk::{Disk, DiskError, Hold, OnDisk, Parked, Room};
use crate::fs::FsError;
use crate::hashing::{Ended, Later, Stream};
use crate::package::{Digests, HashState};
use crate::supervisor::meter::Meter;

/// Where a fetched file is written.
pub struct Target<'a> {
    /// On whose behalf.
    pub hold: &'a Hold,
    /// On which disk.
    pub disk: &'a Disk,
    /// The file, which is replaced or gone on with. Nobody else writes it: the hold sees to that.
    pub path: PathBuf,
    /// As listed. The store must not answer with more or less.
    pub size: u64,
    /// What an earlier life has received of it.
    pub begun: Option<Received>,
    /// What it takes up.
    pub room: &'a Arc<Room>,
    /// How soon.
    pub urgency: u8,
    /// Files of one flow share its turns.
    pub flow: u64,
    /// For a file that takes one request: what it shares with the others that land in its place.
    pub lead: Option<Lead>,
}

/// A file between two pieces.
struct Growing<'a, 'b> {
    target: &'a Target<'b>,
    object: &'a Object,
    file: Option<Parked<OpenPart>>,
    digest: Stream,
    unsynced: u64,
}

/// The end of a file, in hand.
struct Last {
    piece: Piece,
    digest: Later,
}

impl Store {
    /// A whole small object, at most `max` bytes whatever the server claims.
    pub async fn get_small(&self, key: &str, max: u64) -> Result<Bytes, StoreError> {
        let asked = Asked { what: "hand out an object", key, bytes: 0 };
        let get = || async {
            let get = self.client.get_object().bucket(&self.bucket).key(key).send().await;
            let answer = get.map_err(sort(asked.what, key))?;
            let _any_version = face::etag(key, &answer)?;
            self.all_of_it(key, answer.body, max).await
        };
        Ok(self.ask(asked, get).await?)
    }

    /// The body of an answer, if it has no more than `max` bytes.
    pub(super) async fn all_of_it(&self, key: &str, mut body: ByteStream, max: u64) -> Result<Bytes, Failed> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.received(key, &mut body).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > max {
                let size = bytes.len() as u64;
                return Err(StoreError::TooLarge { key: key.to_owned(), size, max }.into());
            }
        }
        Ok(bytes.freeze())
    }

    /// Whether a file of this size takes several requests, so that few of them fill the wire.
    pub fn is_large(&self, size: u64) -> bool {
        size > self.range_size
    }

    pub(super) fn ranges_are_ignored(&self) -> bool {
        self.no_ranges.load(Relaxed)
    }

    /// Writes an object to a file, fsyncs it and returns what its bytes were. `seal` is called with that on the disk's thread
    /// right after the fsync, so that a small file is one job in all.
    pub async fn fetch_file(
        &self,
        key: &str,
        target: Target<'_>,
        meter: &Meter,
        seal: impl FnOnce(&OnDisk, &Digests) -> Result<(), FsError> + Send + 'static,
    ) -> Result<Digests, StoreError> {
        let from = target.begun.as_ref().map_or(0, |begun| begun.synced);
        let etag = target.begun.as_ref().map(|begun| begun.etag.clone().into()).unwrap_or_default();
        let object = Arc::new(Object { key: key.to_owned(), size: target.size, etag });
        meter.add(from);
        let (mut growing, last) = loop {
            let state = target.begun.as_ref().map_or_else(|| HashState::new(false), |b| b.state.clone());
            let digest = self.hashing.stream(state);
            let lead = target.lead.clone().unwrap_or_else(Lead::of_a_file);
            let errand = Errand { urgency: target.urgency, flow: target.flow, meter: meter.clone(), lead };
            let growing = Growing { target: &target, object: &object, file: None, digest, unsynced: 0 };
            let (to, coming) = unbounded_channel(); // each entry has its slot
            // Only what is written can fail here: no other failure may leave a write behind that is still under way.
            let pieces = async {
                self.pieces(&object, from, &errand, to).await;
                Ok(())
            };
            let (last, ()) = tokio::try_join!(growing.grow(coming), pieces)?;
            if let Some(landed) = last {
                break landed;
            }
            // The second time round there are no ranges that could be ignored.
            if !self.no_ranges.swap(true, Relaxed) {
                tracing::warn!(key, "the store ignores ranges, so each file comes over one connection");
            }
        };
        let digests = last.digest.state().await.map_err(no_digest)?.finish();
        let (file, disk, path) = (growing.file.take(), target.disk.clone(), target.path.clone());
        let (begun, room) = (target.begun.clone(), target.room.clone());
        // Slot and turn stay here: if the disk hangs they are free when that is noticed, not when the call comes back. Until then
        // the job has the bytes, beyond `store.memory`: at most a range for each job that a lane takes, 4 · work.pool_threads + 4.
        let Piece { bytes, slot, turn, .. } = last.piece;
        let job = move |on: &OnDisk| {
            let mut file = match file {
                Some(file) => file,
                None => Parked::new(&disk, OpenPart::open(on, &path, begun.as_ref(), &room)?),
            };
            let part = file.get_mut(on);
            part.write(on, &bytes)?;
            part.sync(on)?;
            seal(on, &digests)?;
            Ok::<_, FsError>(digests)
        };
        let done = target.hold.on(target.disk, job).await??;
        turn.written();
        drop(slot);
        Ok(done)
    }
}

impl<'a, 'b> Growing<'a, 'b> {
    /// Writes and hashes what comes, up to the last piece, which it gives back. None: the store ignores ranges.
    async fn grow(
        mut self,
        mut coming: UnboundedReceiver<Coming>,
    ) -> Result<Option<(Growing<'a, 'b>, Last)>, StoreError> {
        while let Some(next) = coming.recv().await {
            let Some(mut piece) = next.here().await? else { return Ok(None) };
            piece.turn.taken();
            let digest = self.digest.feed(piece.bytes.clone());
            if piece.range.until == self.object.size {
                return Ok(Some((self, Last { piece, digest })));
            }
            self.unsynced += piece.range.len();
            if self.unsynced < SYNC_EVERY {
                self.write(piece.bytes, None).await?;
                let slot = piece.slot;
                // The bytes are in memory until they are hashed, whether anybody still wants to know or not.
                drop(tokio::spawn(async move {
                    drop(digest.state().await);
                    drop(slot);
                }));
            } else {
                let state = digest.state().await.map_err(no_digest)?;
                self.write(piece.bytes, Some(state)).await?;
                self.unsynced = 0;
            }
            piece.turn.written();
        }
        let why = format!("{}: its end was not asked for", self.object.key);
        Err(StoreError::Outage { what: "finish an answer", why })
    }

    /// Work for the disk: the next bytes, into the file that is opened with the first of them. With a state: all is brought to the
    /// disk, and it is put on record how far the file has come.
    async fn write(&mut self, bytes: Bytes, state: Option<HashState>) -> Result<(), StoreError> {
        let (file, target) = (self.file.take(), self.target);
        let (disk, path, size) = (target.disk.clone(), target.path.clone(), target.size);
        let (begun, room) = (target.begun.clone(), target.room.clone());
        // Of which version: otherwise nobody could tell later whether the rest is of the same object.
        let note = state
            .zip(self.object.etag.get())
            .map(|(state, etag)| Received::new(&self.object.key, etag, size, state));
        let sync = self.unsynced >= SYNC_EVERY;
        let job = move |on: &OnDisk| {
            let mut file = match file {
                Some(file) => file,
                None => {
                    let mut part = OpenPart::open(on, &path, begun.as_ref(), &room)?;
                    part.allocate(on, size)?;
                    Parked::new(&disk, part)
                }
            };
            let part = file.get_mut(on);
            part.write(on, &bytes)?;
            if sync {
                part.sync(on)?;
            }
            if let Some(note) = note {
                note.keep(on, &path)?;
            }
            Ok::<_, FsError>(file)
        };
        self.file = Some(target.hold.on(target.disk, job).await??);
        Ok(())
    }
}

fn no_digest(e: Ended) -> StoreError {
    DiskError::Panicked(e.to_string()).into()
}

#[cfg(test)]
#[path = "down_tests.rs"]
mod receiving;
#[cfg(test)]
#[path = "trouble_tests.rs"]
mod trouble;
