//! Receiving: listing, small objects, and files that are hashed while their bytes arrive.
use std::fs::File;
use std::io::Write;
use std::path::Path;

use bytes::{Bytes, BytesMut};

use super::{Store, StoreError};
use crate::fs::{self, FsError, Mode};
use crate::package::{Digests, HashState};
use crate::supervisor::meter::Meter;

/// Servers may send tiny chunks; writes are gathered to this size.
const GATHER: usize = 1 << 20;

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its whole key.
    pub key: String,
    /// Bytes.
    pub size: u64,
}

impl Store {
    /// Hands every object below `prefix` to `each`, in key order, page by page.
    pub async fn list(&self, prefix: &str, mut each: impl FnMut(Listed)) -> Result<(), StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = request.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(StoreError::from_sdk("list the bucket", prefix))?;
            for object in page.contents() {
                if let Some(key) = object.key() {
                    let size = object.size().and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
                    each(Listed { key: key.to_owned(), size });
                }
            }
        }
        Ok(())
    }

    /// A whole small object, at most `max` bytes whatever the server claims.
    pub async fn get_small(&self, key: &str, max: u64) -> Result<Bytes, StoreError> {
        let got = self.client.get_object().bucket(&self.bucket).key(key).send().await;
        let mut body = got.map_err(StoreError::from_sdk("hand out an object", key))?.body;
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

    /// Writes an object to `path` (which is replaced), fsyncs it and returns what its bytes were. More than `max` bytes are
    /// refused: the promise of the commit bounds what a hostile bucket can make us write.
    pub async fn fetch_file(
        &self,
        key: &str,
        path: &Path,
        max: u64,
        meter: &Meter,
    ) -> Result<Digests, StoreError> {
        let got = self.client.get_object().bucket(&self.bucket).key(key).send().await;
        let mut body = got.map_err(StoreError::from_sdk("hand out an object", key))?.body;
        let mut file = fs::open(path, Mode::Emptied)?;
        let (mut state, mut gathered, mut total) =
            (HashState::new(false), BytesMut::with_capacity(GATHER), 0u64);
        while let Some(chunk) = self.in_time(key, body.next()).await? {
            let chunk = chunk.map_err(|e| cut_short(key, &e))?;
            total += chunk.len() as u64;
            if total > max {
                return Err(StoreError::TooLarge { key: key.to_owned(), size: total, max });
            }
            meter.add(chunk.len() as u64);
            gathered.extend_from_slice(&chunk);
            if gathered.len() >= GATHER {
                let full = std::mem::replace(&mut gathered, BytesMut::with_capacity(GATHER)).freeze();
                (file, state) = self.write(path, file, state, full, false).await?;
            }
        }
        let (_, state) = self.write(path, file, state, gathered.freeze(), true).await?;
        Ok(state.finish())
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

    async fn write(
        &self,
        path: &Path,
        mut file: File,
        mut state: HashState,
        bytes: Bytes,
        last: bool,
    ) -> Result<(File, HashState), StoreError> {
        let path = path.to_owned();
        let job = move || {
            fs::permitted("write", &path)?;
            file.write_all(&bytes).map_err(FsError::at("write", &path))?;
            state.update(&bytes);
            if last {
                file.sync_all().map_err(FsError::at("fsync", &path))?;
            }
            Ok::<_, FsError>((file, state))
        };
        Ok(self.pool.run(job).await??)
    }
}

fn cut_short(key: &str, error: &dyn std::error::Error) -> StoreError {
    StoreError::Outage { what: "finish an answer", why: format!("{key}: {error}") }
}
