//! Copier: takes `Seen` packages, leaves them `Copied` in the incoming area, every file hashed on its way and fsynced.
//!
//! Wakes when the watcher saw something, and by timer. The manifest must be the committed one before a payload byte is
//! fetched; a file is written aside and renamed when it is whole, so after a crash only unfinished files are fetched again.
//! What a package will write is reserved first, so that packages side by side do not fill the disk together.
//! Fails a package whose objects are not what its manifest promises; a store or a disk out of order is an outage.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use super::landing::{Landing, set_mode};
use crate::blame::{Blame, Failure, put_on_record, weight};
use crate::clock;
use crate::conf::{LandingConf, WorkConf};
use crate::disk::{Disk, Disks, Hold, Need, OnDisk, Room, Shortage, Space, Wanted};
use crate::fs::{self, Fingerprint, Free, FsError};
use crate::journal::{Facts, Journal, Row};
use crate::notices::Notices;
use crate::package::{MANIFEST, MAX_MANIFEST_BYTES, Manifest, PackageId, Reason, RelPath, Sha256Hex, State};
use crate::store::{Store, StoreError, Target};
use crate::supervisor::meter::Meter;
use crate::supervisor::station::Work;
use crate::supervisor::turn::Weight;

/// The actor's name.
pub const NAME: &str = "copier";

/// How often one that waits for room looks again, besides whenever some is given back.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Files and directories besides those of the package: the package itself, the area of parts, a temporary file, READY.
const OUR_OWN_FILES: u64 = 4;

/// All that copying needs; clones share.
#[derive(Clone)]
pub struct Copying {
    /// The truth.
    pub journal: Journal,
    /// The bucket.
    pub store: Store,
    /// Where kinds land.
    pub landing: Landing,
    /// Who works on what.
    pub disks: Disks,
    /// What is promised of the disks.
    pub space: Space,
    /// Who waits for room.
    pub waiting: Notices,
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
        let Copying { journal, landing, disks, .. } = &self.copying;
        let view = journal.view();
        let inbox = view.inbox(&[State::Seen, State::Copying], clock::now());
        inbox.into_iter().map(|row| row.id.clone()).filter(|id| landing.is_open(disks, id)).collect()
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

/// One package's way onto its disk.
#[derive(Clone)]
struct Way {
    hold: Hold,
    disk: Disk,
    place: LandingConf,
    incoming: PathBuf,
    parts: PathBuf,
}

/// What an earlier life has copied whole, with sizes. Unfinished files prove nothing and only take up room.
fn whole_files(on: &OnDisk, way: &Way) -> Result<BTreeMap<PathBuf, u64>, FsError> {
    // An unmounted disk looks like an empty one, and like a package that was never begun.
    for area in [Some(way.place.destination.as_path()), way.incoming.parent()].into_iter().flatten() {
        fs::answers(area)?;
    }
    fs::discard_scratch(&way.parts)?;
    if !fs::dir_exists(&way.incoming)? {
        return Ok(BTreeMap::new());
    }
    let mut whole = BTreeMap::new();
    for file in fs::plain_files(&way.incoming)? {
        let size = Fingerprint::of(&way.incoming.join(&file))?.size;
        let _none_before = whole.insert(file, size);
        on.moved();
    }
    Ok(whole)
}

fn free(_: &OnDisk, way: &Way) -> Result<Free, FsError> {
    Free::at(&way.place.destination)
}

fn make_dirs(on: &OnDisk, way: &Way) -> Result<(), FsError> {
    for dir in [&way.incoming, &way.parts] {
        fs::create_dir(dir)?;
        set_mode(on, dir, way.place.dir_mode)?;
    }
    Ok(())
}

/// A whole, right, fsynced part becomes the file. Late, it is one that the next attempt finds whole.
fn publish(on: &OnDisk, way: &Way, part: &Path, path: &RelPath) -> Result<(), FsError> {
    let target = way.incoming.join(path.as_str());
    set_mode(on, part, way.place.file_mode)?;
    if let Some(dir) = target.parent() {
        fs::create_dir(dir)?;
        for dir in target.ancestors().skip(1).take(path.as_str().matches('/').count()) {
            set_mode(on, dir, way.place.dir_mode)?;
        }
    }
    on.moved();
    fs::publish(part, &target)
}

/// The manifest is the last file; then nothing unfinished is left.
fn conclude(on: &OnDisk, way: &Way, text: &[u8]) -> Result<(), FsError> {
    let listed = way.incoming.join(MANIFEST);
    fs::write_durably_via(&way.parts, &listed, text)?;
    set_mode(on, &listed, way.place.file_mode)?;
    on.moved();
    fs::discard_scratch(&way.parts)
}

/// What is still to be written, and how many files and directories that makes.
fn need(manifest: &Manifest, bytes: u64, whole: &BTreeMap<PathBuf, u64>) -> Need {
    let (mut present, mut files, mut dirs) = (0, 0, BTreeSet::new());
    for path in manifest.iter().map(|(path, _)| Path::new(path.as_str())) {
        match whole.get(path) {
            Some(size) => present += size,
            None => {
                files += 1;
                dirs.extend(path.ancestors().skip(1));
            }
        }
    }
    let inodes = files + dirs.len() as u64 + OUR_OWN_FILES;
    Need { bytes: bytes.saturating_sub(present), inodes }
}

impl Copying {
    async fn copy(&self, id: &PackageId, meter: &Meter) -> Result<(), Failure> {
        let hold = self.disks.hold(&id.to_string()).await?;
        let Some(row) = self.journal.view().package(id).cloned() else { return Ok(()) };
        if row.state == State::Seen
            && !self.journal.step(id, Some(State::Seen), State::Copying, NAME, Facts::default()).await?
        {
            return Ok(());
        }
        let unknown =
            || Blame::stop(Reason::UnknownKind, format!("there is no landing for kind {} any more", id.kind));
        let place = self.landing.of(&id.kind).ok_or_else(unknown)?.clone();
        let disk = self.landing.disk(&id.kind).ok_or_else(unknown)?.clone();
        let (incoming, parts) = self.landing.incoming(id).zip(self.landing.parts(id)).ok_or_else(unknown)?;
        let way = Way { hold, disk, place, incoming, parts };
        let bytes = row.facts.bytes.unwrap_or(0);
        let (manifest, text) = self.manifest(id, &row).await?;
        let whole = way.on(whole_files).await?;
        let room = self.space.room(row.priority as u8, need(&manifest, bytes, &whole));
        self.wait_for(&room, id, &way, meter).await?;
        let room = Arc::new(room);
        meter.expect(bytes);
        way.on(make_dirs).await?;
        let jobs = manifest.iter().enumerate().map(|(n, (path, digest))| {
            let (way, room, whole) = (&way, &room, &whole);
            async move {
                match whole.get(Path::new(path.as_str())) {
                    // Since before a restart; the verifier reads every byte of it.
                    Some(size) => {
                        meter.add(*size);
                        Ok(*size)
                    }
                    None => self.file(id, way, path, digest, n, bytes, room, meter).await,
                }
            }
        });
        let sizes: Vec<u64> = stream::iter(jobs).buffer_unordered(self.files_at_once).try_collect().await?;
        let total: u64 = sizes.iter().sum();
        if total != bytes {
            let detail = format!("the files have {total} bytes together, COMMIT says {bytes}");
            return Err(Blame::stop(Reason::BytesDiffer, detail));
        }
        way.on(move |on, way| conclude(on, way, &text)).await?;
        let facts = Facts { place: Some(way.incoming.display().to_string()), ..Facts::default() };
        let _moved = self.journal.step(id, Some(State::Copying), State::Copied, NAME, facts).await?;
        Ok(())
    }

    /// The disk must hold what is still missing of the package beside what is promised to others, and keep its floor. Others
    /// that are being copied are waited for, in place: nothing is out of order then. Without others, somebody must make room.
    async fn wait_for(&self, room: &Room, id: &PackageId, way: &Way, meter: &Meter) -> Result<(), Failure> {
        let (posted, wanted) = (self.waiting.post(&id.to_string()), room.need());
        let disk = way.place.destination.display();
        loop {
            let free = way.on(free).await?;
            let (bytes, inodes) = (free.bytes, free.inodes.unwrap_or(0));
            match room.ask(&free, self.disk_floor) {
                Wanted::Granted => return Ok(()),
                Wanted::Later(others) => posted.say(&format!(
                    "waits until others are copied: it needs {} bytes and {} files; the disk of {disk} has {bytes} bytes free, \
                     of which {} are reserved for the others (and {} of its files)",
                    wanted.bytes, wanted.inodes, others.bytes, others.inodes
                )),
                Wanted::Short(Shortage::Bytes) => {
                    return Err(Failure::Outage(format!(
                        "the disk of {disk} has {bytes} bytes free; the next package needs {} and {} must stay free (disk.floor): make room",
                        wanted.bytes, self.disk_floor
                    )));
                }
                Wanted::Short(Shortage::Inodes) => {
                    return Err(Failure::Outage(format!(
                        "the disk of {disk} can hold {inodes} more files; the next package needs {}: make room (many small files use them up)",
                        wanted.inodes
                    )));
                }
            }
            meter.alive();
            room.change(LOOK_AGAIN).await;
        }
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
        way: &Way,
        path: &RelPath,
        digest: &Sha256Hex,
        number: usize,
        max: u64,
        room: &Arc<Room>,
        meter: &Meter,
    ) -> Result<u64, Failure> {
        let part = way.parts.join(number.to_string());
        let target = Target { hold: &way.hold, disk: &way.disk, path: part.clone(), max, room };
        let (to, as_file, promised, counted) = (way.clone(), path.clone(), digest.clone(), room.clone());
        let seal = move |on: &OnDisk, found: &crate::package::Digests| {
            if found.sha256 == promised {
                publish(on, &to, &part, &as_file)?;
                counted.used(Need { bytes: 0, inodes: 1 });
            }
            Ok(())
        };
        let key = self.store.file_key(id, path);
        let found = match self.store.fetch_file(&key, target, meter, seal).await {
            Err(e @ (StoreError::NotFound(_) | StoreError::TooLarge { .. })) => {
                return Err(Blame::again_then(Reason::BytesDiffer, e));
            }
            found => found?,
        };
        if found.sha256 != *digest {
            let detail = format!("{path} arrived with SHA-256 {}, SHA256SUMS says {digest}", found.sha256);
            return Err(Blame::again_then(Reason::BytesDiffer, detail));
        }
        Ok(found.size)
    }
}

impl Way {
    /// Runs a step of the package on its disk.
    async fn on<T: Send + 'static>(
        &self,
        step: impl FnOnce(&OnDisk, &Self) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, Failure> {
        let way = self.clone();
        Ok(self.hold.on(&self.disk, move |on| step(on, &way)).await??)
    }
}
