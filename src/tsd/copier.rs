//! Copier: takes `Seen` packages, leaves them `Copied` in the incoming area, every file hashed on its way and fsynced.
//!
//! Wakes when the watcher saw something, and by timer. The manifest must be the committed one before a payload byte is
//! fetched; a file is written aside and renamed when it is whole, so after a crash only unfinished files are fetched again.
//! Fails a package whose objects are not what its manifest promises; a store or a disk out of order is an outage.
use std::path::Path;

use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use super::landing::{Landing, set_mode};
use crate::blame::{Blame, Failure, put_on_record, weight};
use crate::clock;
use crate::conf::{LandingConf, WorkConf};
use crate::fs::{self, Fingerprint};
use crate::journal::{Facts, Journal, Row};
use crate::package::{MANIFEST, MAX_MANIFEST_BYTES, Manifest, PackageId, Reason, RelPath, Sha256Hex, State};
use crate::store::{Store, StoreError};
use crate::supervisor::meter::Meter;
use crate::supervisor::station::Work;
use crate::supervisor::turn::Weight;

/// The actor's name.
pub const NAME: &str = "copier";

/// All that copying needs; clones share.
#[derive(Clone)]
pub struct Copying {
    /// The truth.
    pub journal: Journal,
    /// The bucket.
    pub store: Store,
    /// Where kinds land.
    pub landing: Landing,
    /// Bytes that stay free on the disk.
    pub disk_floor: u64,
    /// Files of one package at the same time.
    pub files_at_once: usize,
}

/// The copier.
pub struct Copier {
    copying: Copying,
    work: WorkConf,
}

impl Copier {
    /// A fresh one, for every incarnation.
    pub fn new(copying: Copying, work: WorkConf) -> Self {
        Self { copying, work }
    }
}

impl Work for Copier {
    type Unit = PackageId;
    type Blame = Blame;

    fn waiting(&mut self) -> Vec<PackageId> {
        let view = self.copying.journal.view();
        view.inbox(&[State::Seen, State::Copying], clock::now())
            .into_iter()
            .map(|row| row.id.clone())
            .collect()
    }

    fn weight(&self, id: &PackageId) -> Weight {
        weight(&self.copying.journal.view(), id)
    }

    fn perform(&self, id: PackageId, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let copying = self.copying.clone();
        async move { copying.copy(&id, &meter).await }.boxed_local()
    }

    fn accident(&self, what: String) -> Blame {
        Blame::accident(what)
    }

    fn blame(&self, id: PackageId, blame: Blame) -> LocalBoxFuture<'static, Result<(), String>> {
        let (journal, work) = (self.copying.journal.clone(), self.work);
        async move { put_on_record(&journal, &work, NAME, &id, blame).await }.boxed_local()
    }
}

/// What an earlier life has copied already.
fn bytes_in(dir: &Path) -> Result<u64, fs::FsError> {
    if !fs::dir_exists(dir)? {
        return Ok(0);
    }
    fs::plain_files(dir)?.iter().map(|file| Ok(Fingerprint::of(&dir.join(file))?.size)).sum()
}

impl Copying {
    async fn copy(&self, id: &PackageId, meter: &Meter) -> Result<(), Failure> {
        let Some(row) = self.journal.view().package(id).cloned() else { return Ok(()) };
        if row.state == State::Seen
            && !self.journal.step(id, Some(State::Seen), State::Copying, NAME, Facts::default()).await?
        {
            return Ok(());
        }
        let unknown =
            || Blame::stop(Reason::UnknownKind, format!("there is no landing for kind {} any more", id.kind));
        let place = self.landing.of(&id.kind).ok_or_else(unknown)?;
        let (incoming, parts) = self.landing.incoming(id).zip(self.landing.parts(id)).ok_or_else(unknown)?;
        let bytes = row.facts.bytes.unwrap_or(0);
        let present = [&incoming, &parts].into_iter().map(|dir| bytes_in(dir)).sum::<Result<u64, _>>()?;
        self.room_for(&place.destination, bytes.saturating_sub(present))?;
        meter.expect(bytes);
        let (manifest, text) = self.manifest(id, &row).await?;
        for dir in [&incoming, &parts] {
            fs::create_dir(dir)?;
            set_mode(dir, place.dir_mode)?;
        }
        let jobs = manifest.iter().enumerate().map(|(n, (path, digest))| {
            let part = parts.join(n.to_string());
            let target = incoming.join(path.as_str());
            async move { self.file(id, place, path, digest, &part, &target, bytes, meter).await }
        });
        let sizes: Vec<u64> = stream::iter(jobs).buffer_unordered(self.files_at_once).try_collect().await?;
        let total: u64 = sizes.iter().sum();
        if total != bytes {
            let detail = format!("the files have {total} bytes together, COMMIT says {bytes}");
            return Err(Blame::stop(Reason::BytesDiffer, detail));
        }
        let listed = incoming.join(MANIFEST);
        fs::write_durably_via(&parts, &listed, &text)?;
        set_mode(&listed, place.file_mode)?;
        fs::discard_scratch(&parts)?;
        let facts = Facts { place: Some(incoming.display().to_string()), ..Facts::default() };
        let _moved = self.journal.step(id, Some(State::Copying), State::Copied, NAME, facts).await?;
        Ok(())
    }

    /// The disk must hold what is still missing of the package and keep its floor.
    fn room_for(&self, destination: &Path, bytes: u64) -> Result<(), Failure> {
        let free = fs::free_bytes(destination)?;
        if free < bytes.saturating_add(self.disk_floor) {
            let floor = self.disk_floor;
            return Err(Failure::Outage(format!(
                "the disk of {} has {free} bytes free; the next package needs {bytes} and {floor} must stay free (disk.floor): make room",
                destination.display()
            )));
        }
        Ok(())
    }

    /// Fetches `SHA256SUMS` and makes sure that it is the committed one.
    async fn manifest(&self, id: &PackageId, row: &Row) -> Result<(Manifest, Vec<u8>), Failure> {
        let bad = |detail: String| Blame::stop(Reason::BadManifest, detail);
        let text = match self.store.get_small(&self.store.key(id, MANIFEST), MAX_MANIFEST_BYTES as u64).await
        {
            Err(e @ (StoreError::NotFound(_) | StoreError::TooLarge { .. })) => {
                return Err(bad(e.to_string()));
            }
            text => text?,
        };
        let (found, committed) = (Sha256Hex::of(&text), row.facts.manifest_sha256.as_ref());
        if committed != Some(&found) {
            let committed = committed.map_or("none", |d| d.as_str());
            return Err(bad(format!("SHA256SUMS has digest {found}, COMMIT says {committed}")));
        }
        let manifest = Manifest::parse(&text).map_err(|e| bad(e.to_string()))?;
        let (lists, promised) = (manifest.len() as u64, row.facts.files.unwrap_or(0));
        if lists != promised {
            return Err(bad(format!("SHA256SUMS lists {lists} files, COMMIT says {promised}")));
        }
        Ok((manifest, text.to_vec()))
    }

    #[allow(clippy::too_many_arguments)] // one file's way
    async fn file(
        &self,
        id: &PackageId,
        place: &LandingConf,
        path: &RelPath,
        digest: &Sha256Hex,
        part: &Path,
        target: &Path,
        max: u64,
        meter: &Meter,
    ) -> Result<u64, Failure> {
        if target.is_file() {
            let size = Fingerprint::of(target)?.size; // whole since before a restart; the verifier reads every byte of it
            meter.add(size);
            return Ok(size);
        }
        let key = self.store.file_key(id, path);
        let found = match self.store.fetch_file(&key, part, max, meter).await {
            Err(e @ (StoreError::NotFound(_) | StoreError::TooLarge { .. })) => {
                return Err(Blame::again_then(Reason::BytesDiffer, e));
            }
            found => found?,
        };
        if found.sha256 != *digest {
            let detail = format!("{path} arrived with SHA-256 {}, SHA256SUMS says {digest}", found.sha256);
            return Err(Blame::again_then(Reason::BytesDiffer, detail));
        }
        set_mode(part, place.file_mode)?;
        if let Some(dir) = target.parent() {
            fs::create_dir(dir)?;
            for level in 0..path.as_str().matches('/').count() {
                if let Some(dir) = target.ancestors().nth(level + 1) {
                    set_mode(dir, place.dir_mode)?;
                }
            }
        }
        fs::publish(part, target)?;
        Ok(found.size)
    }
}
