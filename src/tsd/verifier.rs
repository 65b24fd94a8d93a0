//! Verifier: takes `Copied` packages, leaves them `Ready`: read back, compared, renamed into place, marked.
//!
//! Wakes when the copier finished something, and by timer. The order is fixed: read back every byte → journal `Verified` →
//! rename → fsync → `READY` → fsync → journal `Ready`. After a crash behind the rename the package is verified once more
//! where it lies. Stops a package with a reason at the first difference; a sick disk is an outage.
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::check::{self, Fault, InPlace, Verified};
use super::landing::Landing;
use crate::blame::{Blame, Failure, put_on_record, weight};
use crate::clock;
use crate::conf::WorkConf;
use crate::fs;
use crate::journal::{Facts, Journal};
use crate::package::{PackageId, Reason, RelPath, Sha256Hex, State};
use crate::pool::Pool;
use crate::supervisor::meter::Meter;
use crate::supervisor::station::Work;
use crate::supervisor::turn::Weight;

/// The actor's name.
pub const NAME: &str = "verifier";

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
    /// Where kinds land.
    pub landing: Landing,
    /// For the disk.
    pub pool: Pool,
    /// Files of one package at the same time.
    pub files_at_once: usize,
}

/// The verifier.
pub struct Verifier {
    verifying: Verifying,
    work: WorkConf,
    /// Stopped packages of which nothing lies in the incoming area any more.
    removed: Rc<RefCell<BTreeSet<PackageId>>>,
}

impl Verifier {
    /// A fresh one, for every incarnation.
    pub fn new(verifying: Verifying, work: WorkConf) -> Self {
        Self { verifying, work, removed: Rc::default() }
    }
}

impl Work for Verifier {
    type Unit = Unit;
    type Blame = Blame;

    fn waiting(&mut self) -> Vec<Unit> {
        let view = self.verifying.journal.view();
        let inbox = view.inbox(&[State::Copied, State::Verified], clock::now());
        let mut units: Vec<Unit> = inbox.into_iter().map(|row| Unit::Verify(row.id.clone())).collect();
        let removed = self.removed.borrow();
        let stopped = view.in_state(State::Quarantined).filter(|r| !removed.contains(&r.id));
        units.extend(stopped.map(|row| Unit::Remove(row.id.clone())));
        units
    }

    fn weight(&self, unit: &Unit) -> Weight {
        match unit {
            Unit::Verify(id) => weight(&self.verifying.journal.view(), id),
            Unit::Remove(_) => Weight::default(),
        }
    }

    fn perform(&self, unit: Unit, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let (verifying, removed) = (self.verifying.clone(), self.removed.clone());
        async move {
            match unit {
                Unit::Verify(id) => verifying.verify(&id, &meter).await,
                Unit::Remove(id) => {
                    let (remove, of) = (verifying.clone(), id.clone());
                    verifying.pool.run(move || remove.remove(&of)).await??;
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
            Fault::Wrong { reason, detail } => Blame::stop(reason, detail),
        }
    }
}

impl Verifying {
    async fn verify(&self, id: &PackageId, meter: &Meter) -> Result<(), Failure> {
        let Some(row) = self.journal.view().package(id).cloned() else { return Ok(()) };
        let unknown =
            || Blame::stop(Reason::UnknownKind, format!("there is no landing for kind {} any more", id.kind));
        let place = self.landing.of(&id.kind).ok_or_else(unknown)?.clone();
        let (incoming, destination) =
            self.landing.incoming(id).zip(self.landing.destination(id)).ok_or_else(unknown)?;
        meter.expect(row.facts.bytes.unwrap_or(0));
        let committed = row.facts.manifest_sha256.clone();
        let in_incoming = fs::dir_exists(&incoming)?;
        let in_place = if in_incoming {
            let verified = self.read_back(id, incoming, committed, meter).await?;
            if row.state == State::Copied {
                let moved = self
                    .journal
                    .step(id, Some(State::Copied), State::Verified, NAME, Facts::default())
                    .await?;
                if !moved {
                    return Ok(());
                }
            }
            let target = destination.clone();
            self.pool.run(move || verified.put_in_place(&target)).await??
        } else if row.state == State::Verified && fs::dir_exists(&destination)? {
            tracing::info!(package = %id, "verifying once more where it was put before the restart");
            self.read_back(id, destination.clone(), committed, meter).await?.is_in_place()
        } else if row.state == State::Verified {
            // Both areas must answer, or an unmounted disk would look like a package that was taken away.
            for area in [incoming.parent(), destination.parent()].into_iter().flatten() {
                fs::answers(area)?;
            }
            // Only our own rename takes a package out of the incoming area, and consumers take away only what is READY.
            tracing::warn!(package = %id, "was taken away by its consumer before its READY was recorded here");
            return self
                .record_ready(id, destination, Some("taken by its consumer during a restart".into()))
                .await;
        } else {
            incoming.parent().map_or(Ok(()), fs::answers)?;
            let detail = format!("{} is gone", incoming.display());
            return Err(Blame::stop(Reason::FileMissing, detail));
        };
        let hand_over = move |in_place: InPlace| in_place.hand_over(&place);
        self.pool.run(move || hand_over(in_place)).await??;
        self.record_ready(id, destination, None).await
    }

    async fn record_ready(
        &self,
        id: &PackageId,
        place: PathBuf,
        detail: Option<String>,
    ) -> Result<(), Failure> {
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
        meter: &Meter,
    ) -> Result<Verified, Failure> {
        let (at, of) = (dir.clone(), id.clone());
        let survey = move || {
            check::manifest_is(&at, committed.as_ref())?;
            check::survey(&at, Some(&of))
        };
        let survey = self.pool.run(survey).await??;
        let jobs = survey.manifest.iter().map(|(path, _)| {
            let (path, on_disk, meter) = (path.clone(), dir.join(path.as_str()), meter.clone());
            let with_md5 = survey.promised.contains_key(&path);
            let read = move || check::read_back(&on_disk, with_md5, |n| meter.add(n));
            async move { Ok::<(RelPath, _), Failure>((path, self.pool.run(read).await??)) }
        });
        let found = stream::iter(jobs).buffer_unordered(self.files_at_once).try_collect().await?;
        Ok(check::conclude(&dir, &survey, &found)?)
    }

    /// Nothing is deleted: what a stopped package left is moved aside, with the reason beside it.
    fn remove(&self, id: &PackageId) -> Result<(), Failure> {
        let Some((incoming, aside)) = self.landing.incoming(id).zip(self.landing.quarantine(id)) else {
            return Ok(());
        };
        let Some(row) = self.journal.view().package(id).cloned() else { return Ok(()) };
        if let Some(parts) = self.landing.parts(id) {
            fs::discard_scratch(&parts)?; // unfinished files prove nothing
        }
        if !fs::dir_exists(&incoming)? {
            return Ok(());
        }
        let reason = row.facts.reason;
        let text = json!({"package": id, "at": row.since, "reason": reason.map(Reason::code), "detail": row.facts.detail,
            "remedy": reason.map(Reason::remedy)});
        let note = aside.with_file_name(format!("{}.reason.json", id.to_string().replace('/', "~")));
        fs::write_durably(&note, format!("{text:#}\n").as_bytes())?;
        let mut place = aside.clone();
        for n in 2.. {
            if !place.exists() {
                break;
            }
            place = aside.with_file_name(format!("{}.{n}", id.to_string().replace('/', "~"))); // an earlier one stays
        }
        Ok(fs::publish(&incoming, &place)?)
    }
}
