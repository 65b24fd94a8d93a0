//! Copier: takes `Seen` packages, leaves them `Copied` in the incoming area, every file hashed on its way and fsynced.
//!
//! Wakes when the watcher saw something, and by timer. The manifest must be the committed one and the bucket must list the
//! committed bytes before a payload byte is fetched; a file is written aside and renamed when it is whole. After a crash whole
//! files stay, and an unfinished one is gone on with where it was last brought to the disk (`present`).
//! What a package will write is reserved first, so that packages side by side do not fill the disk together.
//! Fails a package whose objects are not what its manifest promises; a store or a disk out of order is an outage.
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use super::landing::{Landing, adopt_dir, adopt_file};
use super::present::{File, Present, need, take_stock};
use super::reading::Back;
use super::revisions::{self, Standing};
use super::share::{Held, Share, heir};
use crate::blame::{Blame, Failure, put_on_record, weight};
use crate::clock;
use crate::conf::{LandingConf, WorkConf};
use crate::disk::{Disk, Disks, Hold, Need, OnDisk, Room, Shortage, Space, Wanted};
use crate::fs::{self, Free, FsError};
use crate::hashing::Hashing;
use crate::journal::{Facts, Journal, Row};
use crate::notices::Notices;
use crate::package::{
    Digests, MANIFEST, MAX_MANIFEST_BYTES, Manifest, PackageId, Reason, RelPath, Sha256Hex, State,
};
use crate::store::{Lead, Received, Store, StoreError, Target};
use crate::supervisor::meter::Meter;
use crate::supervisor::station::Work;
use crate::supervisor::turn::Weight;

/// The actor's name.
pub const NAME: &str = "copier";

/// How often one that waits for room looks again, besides whenever some is given back.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Files of one package at the same time that take one request each; the slots bound what they have in memory.
const SMALL_AT_ONCE: usize = 64;

/// All that copying needs; clones share.
#[derive(Clone)]
pub struct Copying {
    /// The truth.
    pub journal: Journal,
    /// The bucket.
    pub store: Store,
    /// Whose the packages are, where several hosts share the bucket.
    pub share: Share,
    /// Where kinds land.
    pub landing: Landing,
    /// Who works on what.
    pub disks: Disks,
    /// Who hashes what an earlier life has left.
    pub hashing: Hashing,
    /// What is promised of the disks.
    pub space: Space,
    /// Who waits for room.
    pub waiting: Notices,
    /// Bytes that stay free on the disk.
    pub disk_floor: u64,
    /// Large files of one package at the same time.
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
        async move {
            let done = copying.copy(&id, &meter).await;
            copying.landing.unless_it_vanished(&copying.disks, &id, done).await
        }
        .boxed_local()
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
pub(super) struct Way {
    hold: Hold,
    disk: Disk,
    pub(super) place: LandingConf,
    pub(super) incoming: PathBuf,
    pub(super) parts: PathBuf,
    /// How soon, and with whom its files share turns on the wire.
    urgency: u8,
    flow: u64,
    /// What its small files share with those of other packages that land there.
    lead: Lead,
}

fn free(_: &OnDisk, way: &Way) -> Result<Free, FsError> {
    Free::at(&way.place.destination)
}

fn make_dirs(on: &OnDisk, way: &Way) -> Result<(), FsError> {
    for dir in [&way.incoming, &way.parts] {
        fs::create_dir_below(dir.parent().unwrap_or(dir), dir)?;
        adopt_dir(on, dir, &way.place)?;
    }
    Ok(())
}

/// A whole, right, fsynced part becomes the file. The directories are fsynced once, in the end: a name that a power cut takes
/// back only means to fetch the file again. Late, it is one that the next attempt finds whole.
fn publish(on: &OnDisk, way: &Way, part: &Path, path: &RelPath) -> Result<(), FsError> {
    let target = way.incoming.join(path.as_str());
    adopt_file(on, part, &way.place)?;
    if let Some(dir) = target.parent() {
        fs::create_dir_below(&way.incoming, dir)?;
        for dir in target.ancestors().skip(1).take(path.as_str().matches('/').count()) {
            adopt_dir(on, dir, &way.place)?;
        }
    }
    on.moved();
    fs::publish_unsynced(part, &target)
}

/// All names are brought to the disk. The manifest is the last file; then nothing unfinished is left.
fn conclude(on: &OnDisk, way: &Way, files: &[File], text: &[u8]) -> Result<(), FsError> {
    let below = files.iter().flat_map(|file| Path::new(file.path.as_str()).ancestors().skip(1));
    fail::fail_point!("conclude", |errno| Err(FsError::at("fsync the directory", &way.incoming)(
        fs::injected(errno.as_deref())
    )));
    for dir in below.collect::<BTreeSet<_>>() {
        fs::sync_dir(&way.incoming.join(dir))?;
        on.moved();
    }
    let listed = way.incoming.join(MANIFEST);
    fs::write_durably_via(&way.parts, &listed, text)?;
    adopt_file(on, &listed, &way.place)?;
    on.moved();
    fs::discard_scratch(&way.parts)
}

impl Copying {
    async fn copy(&self, id: &PackageId, meter: &Meter) -> Result<(), Failure> {
        let hold = self.disks.hold(&id.to_string()).await?;
        let Some(row) = self.journal.view().package(id).cloned() else { return Ok(()) };
        if let Held::Lost { clear } = self.share.holds(&self.journal, id, NAME).await? {
            let Some(disk) = self.landing.disk(&id.kind).filter(|_| clear) else { return Ok(()) };
            let (landing, id) = (self.landing.clone(), id.clone());
            return Ok(hold.on(disk, move |on| heir::clear(on, &landing, &id)).await??);
        }
        // Taken over from a host that had not come to say what it thought of the other revisions.
        if row.state == State::Seen && row.way.iter().any(|(state, _)| *state == State::Elsewhere) {
            let manifest = row.facts.manifest_sha256.as_ref();
            match revisions::in_journal(&self.journal.view(), &self.landing, id, manifest) {
                Standing::Welcome | Standing::Follows(_) | Standing::Waits(_) => {}
                Standing::Same(other) => {
                    let detail = format!("it has the same bytes as {other}, which was handed over");
                    return Err(Blame::stop(Reason::Supersedes, detail));
                }
                Standing::Asks(why) => return Err(Blame::stop(Reason::Supersedes, why)),
            }
        }
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
        let lead = self.landing.lead(&id.kind, row.priority).ok_or_else(unknown)?.clone();
        let mut flow = DefaultHasher::new();
        id.hash(&mut flow);
        let (urgency, flow) = (row.priority as u8, flow.finish());
        let way = Way { hold, disk, place, incoming, parts, urgency, flow, lead };
        let bytes = row.facts.bytes.unwrap_or(0);
        let (manifest, text) = self.manifest(id, &row).await?;
        let files = Arc::new(self.listed(id, &manifest, bytes).await?);
        let asked = files.clone();
        let present = way.on(move |on, way| take_stock(on, way, &asked)).await?;
        let room = self.space.room(row.priority as u8, need(&files, bytes, &present));
        self.wait_for(&room, id, &way, meter).await?;
        let room = Arc::new(room);
        meter.expect(bytes);
        way.on(make_dirs).await?;
        let Present { whole, mut begun } = present;
        let (mut large, mut small, mut total) = (Vec::new(), Vec::new(), 0);
        for file in files.iter() {
            if let Some(size) = whole.get(Path::new(file.path.as_str())) {
                // Since before a restart; the verifier reads every byte of it.
                meter.add(*size);
                total += size;
                continue;
            }
            let of = if self.store.is_large(file.size) { &mut large } else { &mut small };
            of.push(self.file(&way, file, begun.remove(&file.number), &room, meter));
        }
        let all = |jobs, at_once| stream::iter(jobs).buffer_unordered(at_once).try_collect::<Vec<u64>>();
        let (large, small) = tokio::try_join!(all(large, self.files_at_once), all(small, SMALL_AT_ONCE))?;
        total += large.into_iter().chain(small).sum::<u64>();
        if total != bytes {
            let detail = format!("the files have {total} bytes together, COMMIT says {bytes}");
            return Err(Blame::stop(Reason::BytesDiffer, detail));
        }
        way.on(move |on, way| conclude(on, way, &files, &text)).await?;
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
        // One answer proves nothing: it may be somebody else's. What has the committed digest is the committed manifest.
        let odd = |detail: String| Blame::again_then(Reason::BadManifest, detail);
        let text = match self.store.get_small(&self.store.key(id, MANIFEST), MAX_MANIFEST_BYTES as u64).await
        {
            Err(e @ (StoreError::NotFound(_) | StoreError::TooLarge { .. })) => {
                return Err(odd(e.to_string()));
            }
            text => text?,
        };
        let (found, committed) = (Sha256Hex::of(&text), row.facts.manifest_sha256.as_ref());
        if committed != Some(&found) {
            let committed = committed.map_or("none", |d| d.as_str());
            return Err(odd(format!("SHA256SUMS has digest {found}, COMMIT says {committed}")));
        }
        let manifest = Manifest::parse(&text).map_err(|e| bad(e.to_string()))?;
        let (lists, promised) = (manifest.len() as u64, row.facts.files.unwrap_or(0));
        if lists != promised {
            return Err(bad(format!("SHA256SUMS lists {lists} files, COMMIT says {promised}")));
        }
        Ok((manifest, text.to_vec()))
    }

    /// The files with the sizes that the bucket lists. It must list all of them, with the committed number of bytes: more would fill
    /// the disk, and to fetch fewer would be in vain.
    async fn listed(&self, id: &PackageId, manifest: &Manifest, bytes: u64) -> Result<Vec<File>, Failure> {
        let keys = manifest.iter().map(|(path, _)| self.store.file_key(id, path));
        let keys: BTreeMap<String, usize> = keys.zip(0..).collect();
        // Nothing but our own few files lies there besides; what else a hostile bucket holds there is not looked at for ever.
        let most = 2 * keys.len() + 1000;
        let listed = self.store.sizes(&self.store.key(id, ""), most, |key| keys.contains_key(key)).await?;
        let files = manifest.iter().enumerate().map(|(number, (path, digest))| {
            let key = self.store.file_key(id, path);
            let size = listed.get(&key).copied().ok_or_else(|| {
                Blame::again_then(Reason::BytesDiffer, format!("the bucket lists no object {key}"))
            })?;
            Ok(File { number, path: path.clone(), digest: digest.clone(), key, size })
        });
        let files: Vec<File> = files.collect::<Result<_, Failure>>()?;
        let total = files.iter().fold(0u64, |sum, file| sum.saturating_add(file.size));
        if total != bytes {
            let detail = format!("the bucket lists files of {total} bytes together, COMMIT says {bytes}");
            return Err(Blame::again_then(Reason::BytesDiffer, detail));
        }
        Ok(files)
    }

    /// Fetches a file; its size. What an earlier life began is gone on with if its bytes are on the disk as they came; if that does
    /// not come out right, it is fetched anew before anybody is blamed.
    async fn file(
        &self,
        way: &Way,
        file: &File,
        begun: Option<Received>,
        room: &Arc<Room>,
        meter: &Meter,
    ) -> Result<u64, Failure> {
        let mut found = None;
        if let Some(begun) = begun {
            if self.stands(way, file, &begun, meter).await? {
                found = match self.fetch(way, file, Some(begun), room, meter).await {
                    Ok(found) => Some(found).filter(|found| found.sha256 == file.digest),
                    Err(StoreError::Replaced { .. }) => None,
                    Err(e) => return Err(e.into()),
                };
            }
            if found.is_none() {
                tracing::warn!(
                    key = file.key,
                    "what was received of it before a restart is of no use; fetching it anew"
                );
            }
        }
        let found = match found {
            Some(found) => found,
            None => match self.fetch(way, file, None, room, meter).await {
                Err(e @ (StoreError::NotFound(_) | StoreError::Replaced { .. })) => {
                    return Err(Blame::again_then(Reason::BytesDiffer, e));
                }
                found => found?,
            },
        };
        if found.sha256 != file.digest {
            let (path, promised) = (&file.path, &file.digest);
            let detail = format!("{path} arrived with SHA-256 {}, SHA256SUMS says {promised}", found.sha256);
            return Err(Blame::again_then(Reason::BytesDiffer, detail));
        }
        Ok(found.size)
    }

    /// Whether the bytes that a note speaks of are on the disk. They are read back: the note's digest is of what came off the wire,
    /// and went on with over other bytes it would come out right for a file that is wrong.
    async fn stands(&self, way: &Way, file: &File, begun: &Received, meter: &Meter) -> Result<bool, Failure> {
        let back = Back { hold: &way.hold, disk: &way.disk, hashing: &self.hashing, meter };
        let there = back.first(&way.part(file), begun.synced()).await?;
        Ok(there == begun.digests())
    }

    async fn fetch(
        &self,
        way: &Way,
        file: &File,
        begun: Option<Received>,
        room: &Arc<Room>,
        meter: &Meter,
    ) -> Result<Digests, StoreError> {
        let part = way.part(file);
        let (urgency, flow, path, size) = (way.urgency, way.flow, part.clone(), file.size);
        let lead = (!self.store.is_large(size)).then(|| way.lead.clone());
        let target =
            Target { hold: &way.hold, disk: &way.disk, path, size, begun, room, urgency, flow, lead };
        let (to, as_file, promised, counted) =
            (way.clone(), file.path.clone(), file.digest.clone(), room.clone());
        let seal = move |on: &OnDisk, found: &Digests| {
            if found.sha256 == promised {
                publish(on, &to, &part, &as_file)?;
                counted.used(Need { bytes: 0, inodes: 1 });
            }
            Ok(())
        };
        self.store.fetch_file(&file.key, target, meter, seal).await
    }
}

impl Way {
    /// Where a file lies until it is whole.
    pub(super) fn part(&self, file: &File) -> PathBuf {
        self.parts.join(file.number.to_string())
    }

    /// Runs a step of the package on its disk.
    async fn on<T: Send + 'static>(
        &self,
        step: impl FnOnce(&OnDisk, &Self) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, Failure> {
        let way = self.clone();
        Ok(self.hold.on(&self.disk, move |on| step(on, &way)).await??)
    }
}
