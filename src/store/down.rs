//! Receiving: listing, small objects, and files that are hashed while their bytes arrive.
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::attempt::Asked;
use super::sort::sort;
use super::{Store, StoreError};
use crate::disk::{Disk, Hold, Need, OnDisk, Parked, Room};
use crate::fs::{self, FsError, Mode};
use crate::package::{Digests, HashState};
use crate::supervisor::meter::Meter;

/// Servers may send tiny chunks; writes are gathered to this size.
const GATHER: usize = 1 << 20;
/// What is written is brought to the disk after so much, so that no single fsync has more to do than a slow disk does within
/// `disk.patience`, and so that its room is given back while a large file grows.
const SYNC_EVERY: u64 = 256 << 20;

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its whole key.
    pub key: String,
    /// Bytes.
    pub size: u64,
}

/// Where a fetched file is written.
pub struct Target<'a> {
    /// On whose behalf.
    pub hold: &'a Hold,
    /// On which disk.
    pub disk: &'a Disk,
    /// The file, which is replaced. Nobody else writes it: the hold sees to that.
    pub path: PathBuf,
    /// More bytes than this are refused: the promise of the commit bounds what a hostile bucket can make us write.
    pub max: u64,
    /// What it takes up.
    pub room: &'a Arc<Room>,
}

/// A file that grows.
struct Growing {
    file: File,
    state: HashState,
    unsynced: u64,
}

impl Store {
    /// Hands every object below `prefix` to `each`, in key order, page by page.
    pub async fn list(&self, prefix: &str, mut each: impl FnMut(Listed)) -> Result<(), StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = request.into_paginator().send();
        loop {
            self.fresh_headers().await?;
            let Some(page) = pages.next().await else { return Ok(()) };
            let page = page.map_err(|e| StoreError::from(sort("list the bucket", prefix)(e)))?;
            for object in page.contents() {
                if let Some(key) = object.key() {
                    let size = object.size().and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
                    each(Listed { key: key.to_owned(), size });
                }
            }
        }
    }

    /// A whole small object, at most `max` bytes whatever the server claims.
    pub async fn get_small(&self, key: &str, max: u64) -> Result<Bytes, StoreError> {
        let asked = Asked { what: "hand out an object", key, bytes: 0 };
        let get = || async {
            let get = self.client.get_object().bucket(&self.bucket).key(key).send().await;
            get.map_err(sort(asked.what, key))
        };
        let mut body = self.ask(asked, get).await?.body;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.in_time(key, body.next()).await? {
            let chunk = chunk.map_err(|e| cut_short(key, &e))?;
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > max {
                return Err(StoreError::TooLarge { key: key.to_owned(), size: bytes.len() as u64, max });
            }
        }
        Ok(bytes.freeze())
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
        let asked = Asked { what: "hand out an object", key, bytes: 0 };
        let get = || async {
            let get = self.client.get_object().bucket(&self.bucket).key(key).send().await;
            get.map_err(sort(asked.what, key))
        };
        let mut body = self.ask(asked, get).await?.body;
        let (mut growing, mut gathered, mut total) = (None, BytesMut::with_capacity(GATHER), 0u64);
        while let Some(chunk) = self.in_time(key, body.next()).await? {
            let chunk = chunk.map_err(|e| cut_short(key, &e))?;
            total += chunk.len() as u64;
            if total > target.max {
                return Err(StoreError::TooLarge { key: key.to_owned(), size: total, max: target.max });
            }
            meter.add(chunk.len() as u64);
            gathered.extend_from_slice(&chunk);
            if gathered.len() >= GATHER {
                let full = std::mem::replace(&mut gathered, BytesMut::with_capacity(GATHER)).freeze();
                let job = target.grows(growing.take(), full);
                growing = Some(target.hold.on(target.disk, job).await??);
            }
        }
        let last = target.grows(growing.take(), gathered.freeze());
        let (path, room) = (target.path.clone(), target.room.clone());
        let job = move |on: &OnDisk| {
            let mut growing = last(on)?;
            growing.get_mut(on).sync(on, &path, &room)?;
            on.moved();
            let state = std::mem::replace(&mut growing.get_mut(on).state, HashState::new(false));
            let digests = state.finish();
            seal(on, &digests)?;
            Ok::<_, FsError>(digests)
        };
        Ok(target.hold.on(target.disk, job).await??)
    }

    /// The SDK's deadlines end with the headers of an answer; a body that stands still must not be waited for for ever, and
    /// it is the store's fault, not the package's.
    async fn in_time<T>(&self, key: &str, chunk: impl Future<Output = T>) -> Result<T, StoreError> {
        let late = |_| StoreError::Outage {
            what: "go on with an answer",
            why: format!("{key}: nothing came for {:?}", self.patience),
        };
        tokio::time::timeout(self.patience, chunk).await.map_err(late)
    }
}

impl Target<'_> {
    /// Work for the disk: the next bytes, into the file that is created with the first of them.
    fn grows(
        &self,
        growing: Option<Parked<Growing>>,
        bytes: Bytes,
    ) -> impl FnOnce(&OnDisk) -> Result<Parked<Growing>, FsError> + Send + use<> {
        let (disk, path, room) = (self.disk.clone(), self.path.clone(), self.room.clone());
        move |on| {
            let mut growing = match growing {
                Some(growing) => growing,
                None => Parked::new(&disk, Growing::create(on, &path)?),
            };
            growing.get_mut(on).write(on, &path, &bytes, &room)?;
            Ok(growing)
        }
    }
}

impl Growing {
    fn create(_: &OnDisk, path: &Path) -> Result<Self, FsError> {
        let file = fs::open(path, Mode::Emptied)?;
        Ok(Self { file, state: HashState::new(false), unsynced: 0 })
    }

    fn write(&mut self, on: &OnDisk, path: &Path, bytes: &[u8], room: &Room) -> Result<(), FsError> {
        fs::permitted("write", path)?;
        self.file.write_all(bytes).map_err(FsError::at("write", path))?;
        on.moved();
        self.state.update(bytes);
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_EVERY { self.sync(on, path, room) } else { Ok(()) }
    }

    fn sync(&mut self, _: &OnDisk, path: &Path, room: &Room) -> Result<(), FsError> {
        self.file.sync_all().map_err(FsError::at("fsync", path))?;
        room.used(Need { bytes: std::mem::take(&mut self.unsynced), inodes: 0 });
        Ok(())
    }
}

fn cut_short(key: &str, error: &dyn std::error::Error) -> StoreError {
    StoreError::Outage { what: "finish an answer", why: format!("{key}: {error}") }
}
