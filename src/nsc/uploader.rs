//! Uploader: takes `Packed` packages, leaves them `Transferred`, in the bucket and below `transferred/`.
//!
//! Wakes when the packager made something, and by timer. Looks through the transfer tree for packages that others dropped,
//! sends what is most urgent first, and puts a heartbeat every minute so that the receiver notices silence. Stops a package
//! whose bytes are not what the delivery promised; an unreachable store or an expired token is an outage, not a failure. What a
//! package left behind that came to an end on its way, its open uploads, is swept up every minute ([`super::sweep`]).
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::cleaning::Cleaning;
pub use super::send::Sending;
use super::tree::Tree;
use crate::blame::{Blame, Failure, put_on_record, weight};
use crate::clock;
use crate::conf::WorkConf;
use crate::disk::OnDisk;
use crate::fs::{self, FsError};
use crate::journal::{Facts, UPLOADS};
use crate::package::{Heartbeat, PackageId, Priority, Reason, Revision, State, Window};
use crate::supervisor::meter::Meter;
use crate::supervisor::station::Work;
use crate::supervisor::timer::Timer;
use crate::supervisor::turn::Weight;

/// The actor's name.
pub const NAME: &str = "uploader";
const HEARTBEAT: Duration = Duration::from_secs(60);
const SWEEP: Duration = Duration::from_secs(60);

/// One piece of work.
#[derive(Clone, Debug)]
pub enum Unit {
    /// Look through the transfer tree.
    Scan,
    /// Say that we are alive.
    Heartbeat,
    /// Look for side files of packages that are at their end.
    Sweep,
    /// Abort the uploads that this package left behind.
    Abort(PackageId),
    /// Let go what rests below `transferred/` and may go.
    Clean,
    /// Put what was sent into the tree once more, as this revision.
    Again(PackageId),
    /// Bring this package one step further.
    Send(PackageId),
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scan => f.write_str("scan of the transfer tree"),
            Self::Heartbeat => f.write_str("heartbeat"),
            Self::Sweep => f.write_str("sweep of upload progress"),
            Self::Abort(id) => write!(f, "unfinished uploads of {id}"),
            Self::Clean => f.write_str("cleaning of transferred/"),
            Self::Again(id) => write!(f, "once more as {id}"),
            Self::Send(id) => id.fmt(f),
        }
    }
}

/// What the uploader knows between two turns.
pub struct Uploader {
    sending: Sending,
    cleaning: Cleaning,
    work: WorkConf,
    scan: Timer,
    beat: Timer,
    sweep: Timer,
    clean: Timer,
    /// What a sweep has found.
    left: Rc<RefCell<BTreeSet<PackageId>>>,
}

impl Uploader {
    /// A fresh one, for every incarnation.
    pub fn new(sending: Sending, cleaning: Cleaning, work: WorkConf, scan_every: Duration) -> Self {
        let (scan, beat, sweep) = (Timer::new(scan_every), Timer::new(HEARTBEAT), Timer::new(SWEEP));
        let clean = Timer::new(scan_every);
        Self { sending, cleaning, work, scan, beat, sweep, clean, left: Rc::default() }
    }
}

impl Work for Uploader {
    type Unit = Unit;
    type Blame = Blame;

    fn waiting(&mut self) -> Vec<Unit> {
        let mut units = Vec::new();
        let Sending { disks, tree_disk, .. } = &self.sending;
        if self.scan.is_due() && disks.is_free(&Unit::Scan.to_string()) {
            units.push(Unit::Scan);
        }
        if self.beat.is_due() {
            units.push(Unit::Heartbeat);
        }
        if self.sweep.is_due() {
            units.push(Unit::Sweep);
        }
        if self.clean.is_due() && tree_disk.takes_work() {
            units.push(Unit::Clean);
        }
        let left = self.left.borrow();
        units.extend(left.iter().filter(|id| disks.is_free(&id.to_string())).cloned().map(Unit::Abort));
        if tree_disk.takes_work() {
            units.extend(self.sending.asked_again().into_iter().map(Unit::Again));
        }
        let view = self.sending.journal.view();
        if view.levers().paused(UPLOADS).is_some() {
            return units;
        }
        let inbox = view.inbox(&[State::Packed, State::Uploading, State::Committed], clock::now());
        let free = |id: &&PackageId| disks.is_free(&id.to_string()) && tree_disk.takes_work();
        units.extend(inbox.iter().map(|row| &row.id).filter(free).cloned().map(Unit::Send));
        units
    }

    fn weight(&self, unit: &Unit) -> Weight {
        match unit {
            Unit::Send(id) => weight(&self.sending.journal.view(), id),
            Unit::Scan | Unit::Heartbeat | Unit::Sweep | Unit::Clean | Unit::Abort(_) => Weight::SERVICE,
            Unit::Again(_) => Weight::default(),
        }
    }

    fn perform(&self, unit: Unit, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let sending = self.sending.clone();
        match unit {
            Unit::Scan => {
                let window = self.work.window;
                self.scan.round(async move { sending.scan(window).await }).boxed_local()
            }
            Unit::Heartbeat => self.beat.round(async move { sending.heartbeat().await }).boxed_local(),
            Unit::Sweep => {
                let left = self.left.clone();
                let sweep = async move { sending.sweep().await.map(|found| left.borrow_mut().extend(found)) };
                self.sweep.round(sweep).boxed_local()
            }
            Unit::Clean => {
                let cleaning = self.cleaning.clone();
                self.clean.round(async move { cleaning.turn().await }).boxed_local()
            }
            Unit::Abort(id) => {
                let left = self.left.clone();
                let abort = async move {
                    let hold = sending.disks.hold(&id.to_string()).await?;
                    let done = sending.forget(&id, &hold).await;
                    if !matches!(done, Err(Failure::Outage(_))) {
                        let _was_there = left.borrow_mut().remove(&id);
                    }
                    done
                };
                abort.boxed_local()
            }
            Unit::Again(id) => {
                let window = self.work.window;
                async move { sending.send_again(&id, window, &meter).await }.boxed_local()
            }
            Unit::Send(id) => async move { sending.further(&id, &meter).await }.boxed_local(),
        }
    }

    fn needs_outside(&self, unit: &Unit) -> bool {
        !matches!(unit, Unit::Scan | Unit::Sweep | Unit::Clean | Unit::Again(_))
    }

    fn goes_on_paused(&self, unit: &Unit) -> bool {
        matches!(unit, Unit::Heartbeat)
    }

    fn accident(&self, what: String) -> Blame {
        Blame::accident(what)
    }

    fn blame(&self, unit: Unit, blame: Blame) -> LocalBoxFuture<'static, Result<(), String>> {
        let (journal, work) = (self.sending.journal.clone(), self.work);
        async move {
            match unit {
                Unit::Send(id) => put_on_record(&journal, &work, NAME, &id, blame).await,
                // Logged by the station; the next one comes by timer.
                Unit::Scan
                | Unit::Heartbeat
                | Unit::Sweep
                | Unit::Clean
                | Unit::Abort(_)
                | Unit::Again(_) => Ok(()),
            }
        }
        .boxed_local()
    }
}

fn is_there(_: &OnDisk, dir: &Path) -> Result<bool, FsError> {
    fs::dir_exists(dir)
}

/// Brings a committed package to its rest. Late, it is one that the next attempt finds there.
fn lay_to_rest(on: &OnDisk, tree: &Tree, place: &Path, rest: &Path) -> Result<(), FsError> {
    if is_there(on, place)? || !is_there(on, rest)? {
        on.moved();
        fs::answers(&tree.scratch())?;
        fs::publish(place, rest)?;
    }
    Ok(())
}

impl Sending {
    /// Takes in what others put into the tree, as `Packed`.
    async fn scan(&self, window: Window) -> Result<(), Failure> {
        let (tree, hold) = (self.tree.clone(), self.disks.hold(&Unit::Scan.to_string()).await?);
        let scan = hold.on(&self.tree_disk, move |on| tree.scan(on, clock::now())).await??;
        let mut refused: BTreeMap<String, String> =
            scan.odd.into_iter().map(|(path, why)| (path.display().to_string(), why)).collect();
        let mut new = Vec::new();
        for (id, priority, path) in scan.whole {
            let known = self.journal.view().package(&id).map(|row| row.state);
            match known {
                None => new.push((priority, 1, (id, priority, path))),
                Some(State::Transferred) => {
                    let next = Revision(id.revision.0 + 1);
                    let why = format!(
                        "{id} was sent before; if this is a new revision of it, call its directory {}~{next}",
                        id.name
                    );
                    drop(refused.insert(path.display().to_string(), why));
                }
                Some(_) => {}
            }
        }
        let (inside, outside) = window.let_in(self.journal.view().under_way(), new);
        let why =
            format!("wait in the tree until fewer than {} are under way (work.under_way)", window.limit);
        self.refused.replace(refused);
        self.refused.crowd(outside, "package(s)", &why);
        for (id, priority, path) in inside {
            let place = Some(path.display().to_string());
            let facts = Facts { priority: Some(priority), place, ..Facts::default() };
            let _entered =
                self.journal.enter(&id, State::Packed, NAME, facts, window.credit(priority)).await?;
        }
        Ok(())
    }

    fn is_held(&self, id: &PackageId) -> bool {
        self.journal.view().package(id).is_some_and(|row| row.state == State::Held)
    }

    async fn heartbeat(&self) -> Result<(), Failure> {
        let beat = {
            let view = self.journal.view();
            let mut backlog: BTreeMap<Priority, u64> = Priority::ALL.map(|p| (p, 0)).into();
            for row in [State::Packed, State::Uploading].into_iter().flat_map(|s| view.in_state(s)) {
                *backlog.entry(row.priority).or_default() += 1;
            }
            let sender = view.sender(&self.host);
            let sent = view.sent(&sender);
            let (sequence, recent) = (sent.sequence, sent.recent.into());
            let (at, program) = (clock::now(), env!("CARGO_PKG_VERSION").to_owned());
            Heartbeat { version: 1, at, sender, program, backlog, sequence, recent }
        };
        let key = format!("{}/heartbeat/{}", self.store.prefix(), beat.sender);
        Ok(self.store.put(&key, Bytes::from(beat.to_text())).await?)
    }

    /// Brings a package to its end, from whatever step an earlier life left it at.
    async fn further(&self, id: &PackageId, meter: &Meter) -> Result<(), Failure> {
        let hold = self.disks.hold(&id.to_string()).await?;
        let Some((mut state, priority, place)) = self.journal.view().package(id).map(|row| {
            let place = row.facts.place.as_ref().map(PathBuf::from);
            (row.state, row.priority, place.unwrap_or_else(|| self.tree.waiting(id, row.priority)))
        }) else {
            return Ok(());
        };
        let rest = self.tree.transferred(id, priority);
        let at = rest.clone();
        if matches!(state, State::Packed | State::Uploading)
            && hold.on(&self.tree_disk, move |on| is_there(on, &at)).await??
        {
            let detail = format!("{} exists: a package of this name was sent before", rest.display());
            return Err(Blame::stop(Reason::NameTaken, detail));
        }
        if state == State::Packed {
            if !self.journal.step(id, Some(State::Packed), State::Uploading, NAME, Facts::default()).await? {
                return Ok(());
            }
            state = State::Uploading;
        }
        if state == State::Uploading {
            let facts = match self.send(id, &hold, &place, priority, meter).await {
                Err(Failure::Unit(blame)) if self.is_held(id) => {
                    tracing::info!(package = %id, %blame, "held meanwhile; its bytes are not sent again when it is released");
                    return Ok(());
                }
                facts => facts?,
            };
            if !self.journal.step(id, Some(State::Uploading), State::Committed, NAME, facts).await? {
                return Ok(());
            }
            state = State::Committed;
        }
        if state == State::Committed {
            // A person may have changed its priority while it was sent; from now on nobody can.
            let rest =
                self.journal.view().package(id).map_or(rest, |row| self.tree.transferred(id, row.priority));
            let (tree, to) = (self.tree.clone(), rest.clone());
            hold.on(&self.tree_disk, move |on| lay_to_rest(on, &tree, &place, &to)).await??;
            let facts = Facts { place: Some(rest.display().to_string()), ..Facts::default() };
            let _moved =
                self.journal.step(id, Some(State::Committed), State::Transferred, NAME, facts).await?;
            self.forget(id, &hold).await?;
        }
        Ok(())
    }
}
