//! Packager: takes orders, leaves `Packed` packages, and sees each order's LIMS step from its claim to its end.
//!
//! Wakes when the poller found something or the uploader finished something, and by timer. The step is completed only after
//! all packages of the order were committed (or packed, if the site wants that), so the LIMS never calls exported what did
//! not get through. What becomes of an order otherwise is the source's and the site's choice ([`super::source::Ending`]). A
//! claim that somebody else ended stops what was not committed yet. Fails a package whose delivery is missing or changed; a
//! LIMS that does not answer is an outage.
//!
//! What is to be done is decided in `outcome.rs` and `doubts.rs`; `claim.rs` and `settle.rs` do it.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::time::Instant;

pub use super::doubts::Patience;
use super::doubts::{refusal, to_refuse};
use super::outcome::{may_leave, next, regretted};
use super::pack;
use super::source::Source;
use super::tree::Tree;
use crate::blame::{Blame, Failure, put_on_record, weight};
use crate::clock;
use crate::conf::{CompleteAfter, WorkConf};
use crate::disk::{Disk, Disks};
use crate::journal::{Event, Facts, Fold, Journal, OrderRow, Phase};
use crate::notices::Notices;
use crate::package::{Draft, OrderId, PackageId, State};
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
    /// Put a doubted artifact out of the queue.
    Refuse(String),
    /// Say that an order was called exported and is not delivered.
    Flag(OrderId),
    /// See whether our claims stand as we left them.
    Check,
    /// See what an uploader on another host has finished.
    Look,
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Claim(id) => write!(f, "claim of order {id}"),
            Self::Pack(id) => id.fmt(f),
            Self::Settle(id) => write!(f, "end of order {id}"),
            Self::Refuse(artifact) => f.write_str(&refusal(artifact)),
            Self::Flag(id) => write!(f, "flag on order {id}"),
            Self::Check => f.write_str("look at what became of our claims"),
            Self::Look => f.write_str("look at what was transferred"),
        }
    }
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
    /// When an order is called exported.
    pub after: CompleteAfter,
    /// How far doubts go.
    pub patience: Patience,
    /// Whether this process also sends: then what is packed here leaves through nobody else's hands.
    pub sends_here: bool,
    /// Refusals that do not succeed.
    pub refusals: Notices,
}

/// What the packager knows between two turns.
pub struct Packager {
    packing: Packing,
    work: WorkConf,
    look: Timer,
    check: Timer,
    /// Refusals that failed: how often, and not before. In memory, because a restart may well try at once.
    refusing: Rc<RefCell<BTreeMap<String, (u32, Instant)>>>,
}

impl Packager {
    /// A fresh one, for every incarnation.
    pub fn new(packing: Packing, work: WorkConf, scan_every: Duration, check_every: Duration) -> Self {
        let (look, check) = (Timer::new(scan_every), Timer::new(check_every));
        Self { packing, work, look, check, refusing: Rc::default() }
    }

    fn refusals(&self, view: &Fold) -> Vec<Unit> {
        let mut failed = self.refusing.borrow_mut();
        let refuse = to_refuse(view, self.packing.patience);
        failed.retain(|artifact, _| refuse.contains(artifact));
        let due = |artifact: &String| failed.get(artifact).is_none_or(|(_, at)| *at <= Instant::now());
        refuse.into_iter().filter(due).map(Unit::Refuse).collect()
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
        let (after, now) = (self.packing.after, clock::now());
        units.extend(view.open_orders().into_iter().filter_map(|row| next(&view, row, after, now)));
        units.extend(regretted(&view));
        units.extend(self.refusals(&view));
        if self.check.is_due() {
            units.push(Unit::Check);
        }
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
            Unit::Refuse(_) => Weight::default(),
            Unit::Flag(_) | Unit::Check | Unit::Look => Weight::SERVICE,
        }
    }

    fn perform(&self, unit: Unit, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let packing = self.packing.clone();
        match unit {
            Unit::Claim(id) => async move { packing.claim(&id).await }.boxed_local(),
            Unit::Pack(id) => async move { packing.pack(&id, &meter).await }.boxed_local(),
            Unit::Settle(id) => async move { packing.settle(&id).await }.boxed_local(),
            Unit::Refuse(artifact) => async move { packing.refuse(&artifact).await }.boxed_local(),
            Unit::Flag(id) => async move { packing.flag(&id).await }.boxed_local(),
            Unit::Check => self.check.round(async move { packing.check(&meter).await }).boxed_local(),
            Unit::Look => self.look.round(async move { packing.look().await }).boxed_local(),
        }
    }

    fn needs_outside(&self, unit: &Unit) -> bool {
        matches!(unit, Unit::Claim(_) | Unit::Settle(_) | Unit::Refuse(_) | Unit::Check)
    }

    fn accident(&self, what: String) -> Blame {
        Blame::accident(what)
    }

    fn blame(&self, unit: Unit, blame: Blame) -> LocalBoxFuture<'static, Result<(), String>> {
        let (packing, journal, work) = (self.packing.clone(), self.packing.journal.clone(), self.work);
        let (refusing, refusals) = (self.refusing.clone(), self.packing.refusals.clone());
        async move {
            let (order, packages) = match unit {
                Unit::Pack(id) => (None, vec![id]),
                Unit::Claim(id) => {
                    let view = journal.view();
                    let of = |row: &OrderRow| row.order.packages.iter().map(|d| d.id.clone()).collect();
                    let packages = view.order(&id).map(of).unwrap_or_default();
                    (Some(id), packages)
                }
                // Its packages are at their end, or on their way and not to blame.
                Unit::Settle(id) => (Some(id), Vec::new()),
                Unit::Refuse(artifact) => {
                    let failures = refusing.borrow().get(&artifact).map_or(0, |(n, _)| *n).saturating_add(1);
                    let next = Instant::now() + work.retry.delay(failures, jitter());
                    refusals.say(&refusal(&artifact), Some(&blame.detail));
                    let _earlier = refusing.borrow_mut().insert(artifact, (failures, next));
                    return Ok(());
                }
                Unit::Flag(_) | Unit::Check | Unit::Look => (None, Vec::new()),
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
                Some(order) => packing.blame_order(&work, order, blame.detail).await,
                None => Ok(()),
            }
        }
        .boxed_local()
    }
}

impl Packing {
    pub(super) fn order(&self, id: &OrderId) -> Option<OrderRow> {
        self.journal.view().order(id).cloned()
    }

    pub(super) async fn say(
        &self,
        order: &OrderId,
        phase: Phase,
        step: Option<String>,
        detail: Option<String>,
    ) -> Result<(), Failure> {
        let event = Event::Claim { order: order.clone(), phase, step, technician: None, detail };
        Ok(self.journal.record(event).await?)
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
            if let Some(rest) =
                hold.on(&self.tree_disk, move |on| pack::is_transferred(on, &tree, &of)).await??
            {
                let facts = Facts { place: Some(rest.display().to_string()), ..Facts::default() };
                let _moved = self
                    .journal
                    .step(&draft.id, Some(State::Packed), State::Transferred, NAME, facts)
                    .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
