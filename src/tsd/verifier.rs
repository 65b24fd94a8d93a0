//! Verifier: takes `Copied` packages, leaves them `Ready`: read back, compared, renamed into place, marked.
//!
//! Wakes when the copier finished something, and by timer. The order is fixed: read back every byte → journal `Verified` →
//! rename → fsync → `READY` → fsync → journal `Ready`. After a crash behind the rename the package is verified once more
//! where it lies. Stops a package with a reason at the first difference; a sick disk is an outage.
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::check::{self, Fault, Verified};
use super::landing::Landing;
use super::members::{self, Waiting};
use super::reading::Back;
use super::share::{Held, Phase, Share, heir};
use crate::blame::{Blame, Failure, put_on_record, weight};
use crate::clock;
use crate::conf::{Members, WorkConf};
use crate::disk::{Disk, Disks, Hold, OnDisk};
use crate::fs::{self, FsError};
use crate::hashing::Hashing;
use crate::journal::{Event, Facts, Journal, Row};
use crate::notices::Notices;
use crate::package::{Kind, Name, PackageId, Reason, RelPath, Sha256Hex, State};
use crate::supervisor::meter::Meter;
use crate::supervisor::station::Work;
use crate::supervisor::turn::Weight;

/// The actor's name.
pub const NAME: &str = "verifier";

/// So many stopped packages are moved aside at a turn; a flood of them must not keep the good ones waiting.
const AT_A_TURN: usize = 20;

/// One piece of work.
#[derive(Clone, Debug)]
pub enum Unit {
    /// Verify and hand over.
    Verify(PackageId),
    /// Move what a stopped package left in the incoming area into quarantine.
    Remove(PackageId),
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Verify(id) => id.fmt(f),
            Self::Remove(id) => write!(f, "quarantine of {id}"),
        }
    }
}

/// All that verifying needs; clones share.
#[derive(Clone)]
pub struct Verifying {
    /// The truth.
    pub journal: Journal,
    /// Whose the packages are, where several hosts share the bucket.
    pub share: Share,
    /// Where kinds land.
    pub landing: Landing,
    /// Who works on what.
    pub disks: Disks,
    /// Who hashes what is read back.
    pub hashing: Hashing,
    /// Who waits for others.
    pub waiting: Notices,
    /// How many do.
    pub held: Arc<AtomicUsize>,
    /// Files of one package at the same time.
    pub files_at_once: usize,
}

/// The verifier.
pub struct Verifier {
    verifying: Verifying,
    work: WorkConf,
    /// Stopped packages of which nothing lies in the incoming area any more.
    removed: Rc<RefCell<BTreeSet<PackageId>>>,
    /// Analyses that wait for their samples.
    held: Waiting,
}

impl Verifier {
    /// A fresh one, for every incarnation.
    pub fn new(verifying: Verifying, work: WorkConf) -> Self {
        let held = Waiting::new(verifying.held.clone());
        Self { verifying, work, removed: Rc::default(), held }
    }
}

impl Work for Verifier {
    type Unit = Unit;
    type Blame = Blame;

    fn waiting(&mut self) -> Vec<Unit> {
        let view = self.verifying.journal.view();
        let inbox = view.inbox(&[State::Copied, State::Verified], clock::now());
        self.held.keep(&view.in_state(State::Copied).map(|row| &row.id).collect());
        let mut units: Vec<Unit> = inbox.into_iter().map(|row| Unit::Verify(row.id.clone())).collect();
        // One that was released may be stopped once more.
        let is_stopped = |id: &PackageId| view.package(id).is_some_and(|row| row.state == State::Quarantined);
        self.removed.borrow_mut().retain(is_stopped);
        let (removed, Verifying { landing, disks, .. }) = (self.removed.borrow(), &self.verifying);
        let stopped = view.in_state(State::Quarantined).filter(|row| !removed.contains(&row.id));
        let stopped = stopped.filter(|row| landing.is_open(disks, &row.id)).take(AT_A_TURN);
        units.extend(stopped.map(|row| Unit::Remove(row.id.clone())));
        units.retain(|unit| !matches!(unit, Unit::Verify(id) if self.held.holds(id)));
        units.retain(|(Unit::Verify(id) | Unit::Remove(id))| landing.is_open(disks, id));
        units
    }

    /// One that waits for its samples says nothing about disks.
    fn needs_outside(&self, unit: &Unit) -> bool {
        !matches!(unit, Unit::Verify(id) if self.held.knows(id))
    }

    fn weight(&self, unit: &Unit) -> Weight {
        match unit {
            Unit::Verify(id) => weight(&self.verifying.journal.view(), id),
            Unit::Remove(_) => Weight::default(),
        }
    }

    fn perform(&self, unit: Unit, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let (verifying, removed, held) = (self.verifying.clone(), self.removed.clone(), self.held.clone());
        async move {
            match unit {
                Unit::Verify(id) => {
                    let done = verifying.verify(&id, &held, &meter).await;
                    verifying.landing.unless_it_vanished(&verifying.disks, &id, done).await
                }
                Unit::Remove(id) => {
                    verifying.remove(&id).await?;
                    let _first = removed.borrow_mut().insert(id);
                    Ok(())
                }
            }
        }
        .boxed_local()
    }

    fn accident(&self, what: String) -> Blame {
        Blame::accident(what)
    }

    fn blame(&self, unit: Unit, blame: Blame) -> LocalBoxFuture<'static, Result<(), String>> {
        let (journal, work) = (self.verifying.journal.clone(), self.work);
        async move {
            match unit {
                Unit::Verify(id) => put_on_record(&journal, &work, NAME, &id, blame).await,
                Unit::Remove(_) => Ok(()), // logged by the station, tried again at the next turn
            }
        }
        .boxed_local()
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Fs(e) => e.into(),
            Fault::NoPermit(none) => none.into(),
            Fault::Wrong { reason, detail } => Blame::stop(reason, detail),
        }
    }
}

/// Where a package lies.
enum Lies {
    /// In the incoming area.
    Incoming,
    /// At its destination, where an earlier life has put it.
    InPlace,
    /// Nowhere: its consumer has taken it.
    Taken,
    /// Nowhere, and nobody had a right to take it.
    Gone,
}

/// `placed`: that it came to its destination is on record. Without that, one that is nowhere was not taken by its consumer.
fn find(
    on: &OnDisk,
    incoming: &Path,
    destination: &Path,
    (state, placed): (State, bool),
) -> Result<Lies, FsError> {
    if !placed && fs::dir_exists(incoming)? {
        return Ok(Lies::Incoming);
    }
    on.moved();
    if state == State::Verified && fs::dir_exists(destination)? {
        return Ok(Lies::InPlace);
    }
    on.moved();
    // Both areas must answer, or an unmounted disk would look like a package that was taken away.
    for area in [incoming.parent(), destination.parent()].into_iter().flatten() {
        fs::answers(area)?;
    }
    Ok(if placed { Lies::Taken } else { Lies::Gone })
}

/// Nothing is deleted: what a stopped package left is moved aside, with the reason beside it. Late, it has done just that,
/// and the next attempt finds nothing to move.
fn move_aside(on: &OnDisk, landing: &Landing, row: &Row) -> Result<(), FsError> {
    let id = &row.id;
    let incoming = if row.facts.inherited.is_some() { landing.heir(id) } else { landing.incoming(id) };
    let Some((incoming, aside)) = incoming.zip(landing.quarantine(id)) else {
        return Ok(());
    };
    if let Some(parts) = landing.parts(id) {
        fs::discard_scratch(&parts)?; // unfinished files prove nothing
    }
    on.moved();
    if !fs::dir_exists(&incoming)? {
        return incoming.parent().map_or(Ok(()), fs::answers); // unmounted, it is not gone
    }
    let reason = row.facts.reason;
    let text = json!({"package": id, "at": row.since, "reason": reason.map(Reason::code), "detail": row.facts.detail,
        "remedy": reason.map(Reason::remedy)});
    let note = aside.with_file_name(format!("{}.reason.json", id.to_string().replace('/', "~")));
    fs::write_durably(&note, format!("{text:#}\n").as_bytes())?;
    let mut place = aside.clone();
    for n in 2.. {
        on.moved();
        if !fs::dir_exists(&place)? {
            break;
        }
        place = aside.with_file_name(format!("{}.{n}", id.to_string().replace('/', "~"))); // an earlier one stays
    }
    fs::publish(&incoming, &place)
}

impl Verifying {
    async fn verify(&self, id: &PackageId, held: &Waiting, meter: &Meter) -> Result<(), Failure> {
        let hold = self.disks.hold(&id.to_string()).await?;
        let Some(row) = self.journal.view().package(id).cloned() else { return Ok(()) };
        let phase = match self.share.holds(&self.journal, id, NAME).await? {
            Held::Ours(phase) => phase,
            Held::Lost { clear } => return self.leave(id, &hold, clear).await,
        };
        let unknown =
            || Blame::stop(Reason::UnknownKind, format!("there is no landing for kind {} any more", id.kind));
        let place = self.landing.of(&id.kind).ok_or_else(unknown)?.clone();
        let disk = self.landing.disk(&id.kind).ok_or_else(unknown)?;
        let (incoming, destination) =
            self.landing.incoming(id).zip(self.landing.destination(id)).ok_or_else(unknown)?;
        // It lies where it was put when it was copied, whatever is configured by now.
        let heir = row.facts.inherited.as_ref().and_then(|_| self.landing.heir(id));
        // Of an heir it tells where the package was before it was another host's.
        let recorded = row.facts.place.as_ref().filter(|_| row.placed || heir.is_none()).map(PathBuf::from);
        let destination = recorded.clone().filter(|_| row.placed).unwrap_or(destination);
        // The name has the host's seat in it since the bucket is shared.
        let copied = recorded.clone().filter(|place| self.landing.is_incoming(id, place)).unwrap_or(incoming);
        let incoming = heir.unwrap_or(copied);
        if let Some(recorded) = recorded.filter(|place| !row.placed && *place != incoming) {
            return Err(Failure::Outage(format!(
                "{id} was copied to {} before landing.{}.destination was changed: set that back until the package is through, \
                 then change it again",
                recorded.display(),
                id.kind
            )));
        }
        meter.expect(row.facts.bytes.unwrap_or(0));
        let committed = row.facts.manifest_sha256.clone();
        let (here, there, state) = (incoming.clone(), destination.clone(), (row.state, row.placed));
        let lies = match row.facts.inherited.clone().filter(|_| row.state == State::Copied) {
            Some(others) => self.inherited(id, (&hold, disk), others).await?,
            None => hold.on(disk, move |on| find(on, &here, &there, state)).await??,
        };
        let permit = self.share.permit();
        let in_place = match lies {
            Lies::Incoming => {
                let missing = match (row.state, place.members) {
                    (State::Copied, Members::Landed) => self.missing(&incoming, (&hold, disk)).await?,
                    _ => Vec::new(),
                };
                held.note(id, &missing, &self.waiting);
                if !missing.is_empty() {
                    return Ok(());
                }
                let verified = self.read_back(id, incoming, committed, (&hold, disk), meter).await?;
                // From here on nobody but this journal knows whether its consumer may have it.
                if !self.is_verified(&row).await? {
                    return Ok(());
                }
                if let Held::Lost { clear } =
                    self.share.reach(&self.journal, id, NAME, Phase::Placing).await?
                {
                    return self.leave(id, &hold, clear).await;
                }
                let (target, permit) = (destination.clone(), permit.clone());
                hold.on(disk, move |on| verified.put_in_place(on, &target, &permit)).await??
            }
            Lies::InPlace => {
                tracing::info!(package = %id, claim = phase.as_str(), "verifying once more where it was put before");
                let there = destination.clone();
                let verified = self.read_back(id, there, committed, (&hold, disk), meter).await?;
                if !self.is_verified(&row).await? {
                    return Ok(());
                }
                verified.is_in_place()
            }
            Lies::Taken => {
                // Only our own rename takes a package out of the incoming area, and consumers take away only what is READY.
                tracing::warn!(package = %id, "was taken away by its consumer before its READY was recorded here");
                let detail = Some("taken by its consumer during a restart".into());
                return self.record_ready(id, destination, detail).await;
            }
            Lies::Gone => {
                let detail = format!("{} is gone", incoming.display());
                return Err(Blame::stop(Reason::FileMissing, detail));
            }
        };
        if !row.placed {
            let place = destination.display().to_string();
            self.journal.record(Event::Placed { package: id.clone(), place }).await?;
        }
        hold.on(disk, move |on| in_place.hand_over(on, &place, &permit)).await??;
        self.record_ready(id, destination, None).await
    }

    /// The samples that an analysis needs and that have not landed.
    async fn missing(&self, dir: &Path, (hold, disk): (&Hold, &Disk)) -> Result<Vec<Name>, Failure> {
        let samples: Kind = "samples".parse().expect("a kind");
        let at = dir.to_owned();
        let mut names = hold.on(disk, move |on| check::needed(on, &at)).await??;
        names.retain(|name| !members::is_ready(&self.journal.view(), &samples, name));
        let (Some(place), Some(disk)) = (self.landing.of(&samples), self.landing.disk(&samples)) else {
            return Ok(names);
        };
        let place = place.destination.clone();
        Ok(hold.on(disk, move |on| members::not_there(on, &place, names)).await??)
    }

    /// Another host has it. What it does not look for goes.
    async fn leave(&self, id: &PackageId, hold: &Hold, clear: bool) -> Result<(), Failure> {
        let Some(disk) = self.landing.disk(&id.kind).filter(|_| clear) else { return Ok(()) };
        let (landing, id) = (self.landing.clone(), id.clone());
        Ok(hold.on(disk, move |on| heir::clear(on, &landing, &id)).await??)
    }

    /// Puts on record that every byte was read back. False: somebody was faster.
    async fn is_verified(&self, row: &Row) -> Result<bool, Failure> {
        if row.state != State::Copied {
            return Ok(true);
        }
        Ok(self.journal.step(&row.id, Some(State::Copied), State::Verified, NAME, Facts::default()).await?)
    }

    /// Looks what a host that fell silent while it put the package in place has left.
    async fn inherited(
        &self,
        id: &PackageId,
        (hold, disk): (&Hold, &Disk),
        others: Vec<String>,
    ) -> Result<Lies, Failure> {
        let (landing, of) = (self.landing.clone(), id.clone());
        Ok(match hold.on(disk, move |on| heir::take(on, &landing, &of, &others)).await?? {
            heir::Left::Incoming => Lies::Incoming,
            heir::Left::InPlace => Lies::InPlace,
            heir::Left::Nowhere => {
                let row = self.journal.view().package(id).and_then(|row| row.facts.detail.clone());
                let detail = format!(
                    "{}; it lies neither in the incoming area nor at its destination",
                    row.unwrap_or_default()
                );
                return Err(Blame::stop(Reason::HandoverUnknown, detail));
            }
        })
    }

    async fn record_ready(
        &self,
        id: &PackageId,
        place: PathBuf,
        detail: Option<String>,
    ) -> Result<(), Failure> {
        // Not afterwards: what is READY here and still on its way for the others would be for ever.
        if let Held::Lost { .. } = self.share.reach(&self.journal, id, NAME, Phase::Landed).await? {
            return Ok(());
        }
        let facts = Facts { place: Some(place.display().to_string()), detail, ..Facts::default() };
        let _moved = self.journal.step(id, Some(State::Verified), State::Ready, NAME, facts).await?;
        Ok(())
    }

    /// Reads every file back from the disk, several side by side, and compares.
    async fn read_back(
        &self,
        id: &PackageId,
        dir: PathBuf,
        committed: Option<Sha256Hex>,
        (hold, disk): (&Hold, &Disk),
        meter: &Meter,
    ) -> Result<Verified, Failure> {
        let (at, of) = (dir.clone(), id.clone());
        let survey = move |on: &OnDisk| {
            check::manifest_is(on, &at, committed.as_ref())?;
            check::survey(on, &at, Some(&of))
        };
        let survey = hold.on(disk, survey).await??;
        let back = Back { hold, disk, hashing: &self.hashing, meter };
        let jobs = survey.manifest.iter().map(|(path, _)| {
            let (file, with_md5) = (dir.join(path.as_str()), survey.promised.contains_key(path));
            async move { Ok::<(RelPath, _), Failure>((path.clone(), back.read(&file, with_md5).await?)) }
        });
        let found = stream::iter(jobs).buffer_unordered(self.files_at_once).try_collect().await?;
        Ok(check::conclude(&dir, &survey, &found)?)
    }

    async fn remove(&self, id: &PackageId) -> Result<(), Failure> {
        let hold = self.disks.hold(&id.to_string()).await?;
        let row = self.journal.view().package(id).cloned();
        let Some(row) = row.filter(|row| row.state == State::Quarantined) else { return Ok(()) };
        self.share.stopped(id).await?;
        let Some(disk) = self.landing.disk(&id.kind) else { return Ok(()) };
        let landing = self.landing.clone();
        Ok(hold.on(disk, move |on| move_aside(on, &landing, &row)).await??)
    }
}
