//! Packager: takes orders, leaves `Packed` packages, and sees each order's LIMS step from its claim to its end.
//!
//! Wakes when the poller found something or the uploader finished something, and by timer. The step is completed only after
//! all packages of the order were committed, so the LIMS never calls exported what did not get through. An order of which
//! nothing was delivered has its step deleted (its samples are queued again); one that was delivered in part stays open for
//! a person. Fails a package whose delivery is missing or changed; a LIMS that does not answer is an outage.
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;

use super::pack;
use super::source::{Claim, Ended, Ending, Fault, Found, Source};
use super::tree::Tree;
use crate::blame::{Blame, Failure, put_on_record, weight};
use crate::clock;
use crate::conf::WorkConf;
use crate::disk::{Disk, Disks};
use crate::journal::{Event, Facts, Fold, Journal, OrderRow, Phase};
use crate::package::{Draft, OrderId, PackageId, Reason, State};
use crate::supervisor::jitter;
use crate::supervisor::meter::Meter;
use crate::supervisor::station::Work;
use crate::supervisor::timer::Timer;
use crate::supervisor::turn::Weight;

/// The actor's name.
pub const NAME: &str = "packager";

/// One piece of work.
#[derive(Clone, Debug)]
pub enum Unit {
    /// Open the order's step.
    Claim(OrderId),
    /// Build the package.
    Pack(PackageId),
    /// End the order's step.
    Settle(OrderId),
    /// See what an uploader on another host has finished.
    Look,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Claim(id) => write!(f, "claim of order {id}"),
            Self::Pack(id) => id.fmt(f),
            Self::Settle(id) => write!(f, "end of order {id}"),
            Self::Look => f.write_str("look at what was transferred"),
        }
    }
}

/// What has become of an order's packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Underway,
    AllDelivered,
    NothingDelivered,
    PartlyDelivered,
}

/// Where an order stands, from the states of its packages. A stopped package whose commit was decided may be with the
/// receiver already, so it never counts as "not delivered".
fn outcome(fold: &Fold, row: &OrderRow) -> Outcome {
    let state = |id: &PackageId| fold.package(id).map(|row| row.state);
    let stopped = |id: &PackageId| matches!(state(id), Some(State::Quarantined | State::Held));
    let committed = |id: &PackageId| {
        fold.committing(id).is_some() || fold.package(id).is_some_and(|row| row.facts.commit_sha256.is_some())
    };
    let (mut through, mut unsure, mut ended) = (0, 0, 0);
    for draft in &row.order.packages {
        // A package that waits for a stopped one does not move either.
        let blocked = matches!(state(&draft.id), Some(State::Found | State::Claimed))
            && draft.after.iter().any(stopped);
        match state(&draft.id) {
            Some(State::Transferred) => through += 1,
            _ if stopped(&draft.id) && committed(&draft.id) => unsure += 1,
            _ if stopped(&draft.id) || blocked => ended += 1,
            _ => return Outcome::Underway,
        }
    }
    match (through, unsure, ended) {
        (_, 0, 0) => Outcome::AllDelivered,
        (0, 0, _) => Outcome::NothingDelivered,
        _ => Outcome::PartlyDelivered,
    }
}

/// How an order that has come to its end is to end at its source.
fn ending(fold: &Fold, row: &OrderRow, outcome: Outcome) -> Option<Ending> {
    let stopped = |draft: &Draft| {
        let package = fold.package(&draft.id)?;
        let state = matches!(package.state, State::Quarantined | State::Held).then_some(package.state)?;
        let reason = package.facts.reason.unwrap_or(Reason::TooManyFailures);
        let detail = package.facts.detail.clone().unwrap_or_else(|| state.to_string());
        Some(Fault { reason, detail: format!("{}: {detail}", draft.id) })
    };
    let drafts = &row.order.packages;
    match outcome {
        Outcome::Underway => None,
        Outcome::AllDelivered => Some(Ending::Delivered),
        Outcome::NothingDelivered => drafts.iter().find_map(stopped).map(Ending::Undelivered),
        Outcome::PartlyDelivered => {
            let failed = drafts.iter().filter_map(|d| Some((d, stopped(d)?)));
            let of = |d: &Draft| d.artifact.clone().map_or_else(|| row.order.artifacts.clone(), |a| vec![a]);
            let each = failed.flat_map(|(d, fault)| of(d).into_iter().map(move |a| (a, fault.clone())));
            Some(Ending::Partly(each.rev().collect()))
        }
    }
}

/// What is to be done about an order now.
fn next(fold: &Fold, row: &OrderRow, now: Timestamp) -> Option<Unit> {
    let id = &row.order.id;
    let unclaimed = |d: &Draft| fold.package(&d.id).is_some_and(|p| p.state == State::Found);
    let due = |at: Option<Timestamp>| at.is_none_or(|at| at <= now);
    if !due(row.retry_at)
        || !row.order.packages.iter().all(|d| due(fold.package(&d.id).and_then(|p| p.retry_at)))
    {
        return None;
    }
    match (row.phase, outcome(fold, row)) {
        (Phase::Ordered | Phase::Intent, Outcome::Underway) => Some(Unit::Claim(id.clone())),
        (Phase::Opened, Outcome::Underway) if row.order.packages.iter().any(unclaimed) => {
            Some(Unit::Claim(id.clone()))
        }
        (Phase::Intent, _) => Some(Unit::Settle(id.clone())),
        (Phase::Opened | Phase::Review, Outcome::AllDelivered) => Some(Unit::Settle(id.clone())),
        (Phase::Opened, Outcome::NothingDelivered | Outcome::PartlyDelivered) => {
            Some(Unit::Settle(id.clone()))
        }
        _ => None,
    }
}

/// Whether everything that must leave before this package has left: then it is built.
fn may_leave(fold: &Fold, id: &PackageId) -> bool {
    let gone = |id: &PackageId| fold.package(id).is_some_and(|row| row.state == State::Transferred);
    fold.draft(id).is_none_or(|draft| draft.after.iter().all(gone))
}

/// All that packing needs; clones share.
#[derive(Clone)]
pub struct Packing {
    /// The truth.
    pub journal: Journal,
    /// Where orders come from.
    pub source: Arc<dyn Source>,
    /// The transfer tree.
    pub tree: Tree,
    /// Who works on what.
    pub disks: Disks,
    /// For building: it touches the delivery as well as the tree, so it has a lane of its own, and a delivery that hangs does
    /// not hold up what is sent from the tree.
    pub building: Disk,
    /// For the tree alone.
    pub tree_disk: Disk,
}

/// What the packager knows between two turns.
pub struct Packager {
    packing: Packing,
    work: WorkConf,
    look: Timer,
}

impl Packager {
    /// A fresh one, for every incarnation.
    pub fn new(packing: Packing, work: WorkConf, scan_every: Duration) -> Self {
        Self { packing, work, look: Timer::new(scan_every) }
    }
}

impl Work for Packager {
    type Unit = Unit;
    type Blame = Blame;

    fn waiting(&mut self) -> Vec<Unit> {
        let view = self.packing.journal.view();
        let inbox = view.inbox(&[State::Claimed], clock::now());
        let Packing { disks, building, .. } = &self.packing;
        let leaving = inbox.iter().filter(|row| {
            may_leave(&view, &row.id) && disks.is_free(&row.id.to_string()) && building.takes_work()
        });
        let mut units: Vec<Unit> = leaving.map(|row| Unit::Pack(row.id.clone())).collect();
        units.extend(view.open_orders().into_iter().filter_map(|row| next(&view, row, clock::now())));
        if self.look.is_due() && disks.is_free(&Unit::Look.to_string()) {
            units.push(Unit::Look);
        }
        units
    }

    fn weight(&self, unit: &Unit) -> Weight {
        let view = self.packing.journal.view();
        match unit {
            Unit::Pack(id) => weight(&view, id),
            Unit::Claim(order) | Unit::Settle(order) => {
                let drafts = view.order(order).into_iter().flat_map(|row| &row.order.packages);
                Weight { urgency: drafts.map(|d| d.priority as u8).max().unwrap_or(0), ..Weight::default() }
            }
            Unit::Look => Weight::SERVICE,
        }
    }

    fn perform(&self, unit: Unit, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let packing = self.packing.clone();
        match unit {
            Unit::Claim(id) => async move { packing.claim(&id).await }.boxed_local(),
            Unit::Pack(id) => async move { packing.pack(&id, &meter).await }.boxed_local(),
            Unit::Settle(id) => async move { packing.settle(&id).await }.boxed_local(),
            Unit::Look => self.look.round(async move { packing.look().await }).boxed_local(),
        }
    }

    fn needs_outside(&self, unit: &Unit) -> bool {
        matches!(unit, Unit::Claim(_) | Unit::Settle(_))
    }

    fn accident(&self, what: String) -> Blame {
        Blame::accident(what)
    }

    fn blame(&self, unit: Unit, blame: Blame) -> LocalBoxFuture<'static, Result<(), String>> {
        let (journal, work) = (self.packing.journal.clone(), self.work);
        async move {
            let (order, packages) = match unit {
                Unit::Pack(id) => (None, vec![id]),
                Unit::Claim(id) | Unit::Settle(id) => {
                    let view = journal.view();
                    let of = |row: &OrderRow| row.order.packages.iter().map(|d| d.id.clone()).collect();
                    let packages = view.order(&id).map(of).unwrap_or_default();
                    (Some(id), packages)
                }
                Unit::Look => (None, Vec::new()),
            };
            let mut counted = false;
            for id in packages {
                let settled = journal.view().package(&id).is_none_or(|row| row.state.is_settled());
                if !settled {
                    put_on_record(&journal, &work, NAME, &id, blame.clone()).await?;
                    counted = true;
                }
            }
            match order.filter(|_| !counted) {
                Some(order) => blame_order(&journal, &work, order, blame).await,
                None => Ok(()),
            }
        }
        .boxed_local()
    }
}

/// All packages are at their end, and only the LIMS step cannot be ended: it is tried again with back-off, and after too many
/// failures a person is asked, while it is still tried now and then.
async fn blame_order(journal: &Journal, work: &WorkConf, order: OrderId, blame: Blame) -> Result<(), String> {
    let Some((phase, failures)) = journal.view().order(&order).map(|row| (row.phase, row.failures + 1))
    else {
        return Ok(());
    };
    let retry_at = clock::now() + work.retry.delay(failures, jitter());
    let event = Event::OrderFailed { order: order.clone(), failures, error: blame.detail.clone(), retry_at };
    journal.record(event).await.map_err(|e| crate::chain(&*e))?;
    if failures >= work.max_failures && phase != Phase::Review {
        tracing::error!(%order, failures, error = blame.detail, "its LIMS step cannot be ended: look at it in the LIMS");
        let detail = Some(format!("the step cannot be ended: {}", blame.detail));
        let event = Event::Claim { order, phase: Phase::Review, step: None, technician: None, detail };
        journal.record(event).await.map_err(|e| crate::chain(&*e))?;
    }
    Ok(())
}

impl Packing {
    fn order(&self, id: &OrderId) -> Option<OrderRow> {
        self.journal.view().order(id).cloned()
    }

    async fn say(
        &self,
        order: &OrderId,
        phase: Phase,
        step: Option<String>,
        detail: Option<String>,
    ) -> Result<(), Failure> {
        let event = Event::Claim { order: order.clone(), phase, step, technician: None, detail };
        Ok(self.journal.record(event).await?)
    }

    /// Opens the step, or finds out that it is open; then every package of the order is `Claimed`.
    async fn claim(&self, id: &OrderId) -> Result<(), Failure> {
        let Some(row) = self.order(id) else { return Ok(()) };
        let us = self.journal.view().technician.clone();
        let found = match (row.phase, row.step.clone()) {
            (Phase::Ordered, _) => Found::Queued,
            (_, Some(id)) => Found::Claimed(Claim { id, us: None }),
            (_, None) => self.source.find_claim(&row.order, us.as_deref()).await?,
        };
        let claim = match found {
            Found::Claimed(claim) => claim,
            Found::Queued => {
                self.say(id, Phase::Intent, None, None).await?;
                self.source.claim(&row.order).await?
            }
            // Not for good yet: the LIMS shows things late.
            Found::Lost(why) => return Err(Blame::again_then(Reason::LimsStepLost, why)),
        };
        if row.phase != Phase::Opened {
            let (order, step, technician) = (id.clone(), Some(claim.id), claim.us);
            let event = Event::Claim { order, phase: Phase::Opened, step, technician, detail: None };
            self.journal.record(event).await?;
        }
        for draft in &row.order.packages {
            let _moved = self
                .journal
                .step(&draft.id, Some(State::Found), State::Claimed, NAME, Facts::default())
                .await?;
        }
        Ok(())
    }

    async fn pack(&self, id: &PackageId, meter: &Meter) -> Result<(), Failure> {
        let hold = self.disks.hold(&id.to_string()).await?;
        let Some(draft) = self.journal.view().draft(id).cloned() else {
            return Err(Failure::Fatal(format!("{id} is claimed but has no order in the journal")));
        };
        let (tree, priority, meter) = (self.tree.clone(), draft.priority, meter.clone());
        let built = hold.on(&self.building, move |on| pack::build(on, &tree, &draft, &meter)).await??;
        let place = self.tree.waiting(id, priority).display().to_string();
        let facts = Facts {
            files: Some(built.files),
            bytes: Some(built.bytes),
            place: Some(place),
            ..Facts::default()
        };
        let _moved = self.journal.step(id, Some(State::Claimed), State::Packed, NAME, facts).await?;
        Ok(())
    }

    /// Ends the step of an order whose packages have come to their end.
    async fn settle(&self, id: &OrderId) -> Result<(), Failure> {
        let Some((row, outcome)) = ({
            let view = self.journal.view();
            view.order(id).map(|row| (row.clone(), outcome(&view, row)))
        }) else {
            return Ok(());
        };
        let us = self.journal.view().technician.clone();
        let claim = match (row.step.clone(), row.phase) {
            (Some(claim), _) => claim,
            // Stopped between the intent and the answer: the step may or may not exist.
            (None, Phase::Intent) => match self.source.find_claim(&row.order, us.as_deref()).await? {
                Found::Claimed(claim) => claim.id,
                Found::Queued => {
                    let why = "the step was never opened".into();
                    return self.say(id, Phase::Withdrawn, None, Some(why)).await;
                }
                Found::Lost(why) => {
                    let why = format!("its step cannot be found: {why}");
                    return self.say(id, Phase::Review, None, Some(why)).await;
                }
            },
            (None, _) => {
                return self.say(id, Phase::Review, None, Some("the order has no step".into())).await;
            }
        };
        if matches!(outcome, Outcome::NothingDelivered | Outcome::PartlyDelivered) {
            self.stop_blocked(&row).await?;
        }
        let Some(ending) = ending(&self.journal.view(), &row, outcome) else { return Ok(()) };
        let (phase, detail) = match self.source.end(&claim, &row.order, &ending).await? {
            Ended::Completed => (Phase::Completed, None),
            Ended::Withdrawn(how) => (Phase::Withdrawn, Some(how)),
            Ended::Failed(how) => (Phase::Failed, Some(how)),
            Ended::Review(how) => {
                tracing::error!(order = %id, claim, how, "a person has to decide about it in the LIMS");
                (Phase::Review, Some(how))
            }
        };
        self.say(id, phase, Some(claim), detail).await
    }

    /// What waits for a package that was stopped comes to its end too: nothing may be under way for ever.
    async fn stop_blocked(&self, row: &OrderRow) -> Result<(), Failure> {
        for draft in &row.order.packages {
            let (state, stopped) = {
                let view = self.journal.view();
                let state = |id: &PackageId| view.package(id).map(|row| row.state);
                let is_stopped =
                    |id: &&PackageId| matches!(state(id), Some(State::Quarantined | State::Held));
                (state(&draft.id), draft.after.iter().find(is_stopped).cloned())
            };
            if let (Some(state @ (State::Found | State::Claimed)), Some(stopped)) = (state, stopped) {
                let detail = Some(format!("{stopped} was stopped"));
                let facts = Facts { reason: Some(Reason::MemberStopped), detail, ..Facts::default() };
                let _moved =
                    self.journal.step(&draft.id, Some(state), State::Quarantined, NAME, facts).await?;
            }
        }
        Ok(())
    }

    /// When the uploader runs elsewhere, its work shows in the tree: the package has moved below `transferred/`.
    async fn look(&self) -> Result<(), Failure> {
        let hold = self.disks.hold(&Unit::Look.to_string()).await?;
        let packed: Vec<Draft> = {
            let view = self.journal.view();
            let mine = view.in_state(State::Packed).filter(|r| r.order.is_some());
            mine.filter_map(|r| view.draft(&r.id).cloned()).collect()
        };
        for draft in packed {
            let (tree, of) = (self.tree.clone(), draft.clone());
            if hold.on(&self.tree_disk, move |on| pack::is_transferred(on, &tree, &of)).await?? {
                let place = self.tree.transferred(&draft.id, draft.priority).display().to_string();
                let facts = Facts { place: Some(place), ..Facts::default() };
                let _moved = self
                    .journal
                    .step(&draft.id, Some(State::Packed), State::Transferred, NAME, facts)
                    .await?;
            }
        }
        Ok(())
    }
}
