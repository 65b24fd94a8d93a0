//! Poller: looks at the queue of the LIMS, or of work orders; leaves `Found` packages in whole orders. Changes nothing there.
//!
//! Wakes by timer only. Before its first look it asks whether the source can be worked with unattended. A sample whose files, checksums or family are not there yet stays queued, and it is said once for
//! what it waits. A LIMS that does not answer, or answers nonsense, is an outage.
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::doubts::{self, Patience};
use super::order;
use super::source::{Look, Looking, Ready, Source};
use crate::blame::{Blame, Failure};
use crate::conf::OnInvalid;
use crate::disk::{Disk, Disks};
use crate::journal::{Event, Journal};
use crate::notices::Notices;
use crate::package::Window;
use crate::supervisor::meter::Meter;
use crate::supervisor::station::Work;
use crate::supervisor::timer::Timer;

/// The actor's name.
pub const NAME: &str = "poller";

/// One look at the queue.
#[derive(Clone, Debug)]
pub struct Round;

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("look at the LIMS queue")
    }
}

/// All that looking needs; clones share.
#[derive(Clone)]
pub struct Polling {
    /// Where orders come from.
    pub source: Arc<dyn Source>,
    /// The truth.
    pub journal: Journal,
    /// Who waits, and for what.
    pub waiting: Notices,
    /// Who works on what.
    pub disks: Disks,
    /// Of what is delivered.
    pub delivery: Disk,
    /// How far doubts go.
    pub patience: Patience,
}

/// What the poller knows between two looks.
pub struct Poller {
    polling: Polling,
    window: Window,
    timer: Timer,
    /// The source was found fit for unattended work, in this life.
    fit: Rc<Cell<bool>>,
}

impl Poller {
    /// A fresh one, for every incarnation.
    pub fn new(polling: Polling, window: Window, interval: Duration) -> Self {
        Self { polling, window, timer: Timer::new(interval), fit: Rc::default() }
    }
}

impl Polling {
    /// Before the first look: whatever stands in the way is an outage with its remedy, because it stands in everybody's.
    async fn prepare(&self) -> Result<(), Failure> {
        let remarks = self.source.preflight().await.map_err(|failure| match failure {
            Failure::Unit(blame) => Failure::Outage(blame.detail),
            failure => failure,
        })?;
        let source = self.source.name();
        for remark in remarks {
            tracing::warn!(source, remark, "worth knowing about where orders come from");
        }
        Ok(())
    }

    async fn look(&self, meter: &Meter, window: Window) -> Result<(), Failure> {
        let hold = self.disks.hold(&Round.to_string()).await?;
        let with = Looking { journal: &self.journal, meter, hold: &hold, disk: &self.delivery };
        let look = self.source.look(with).await?;
        self.doubt(&look).await?;
        let mut refused = look.waiting;
        let group = |ready: Ready| {
            let packages = &ready.order.packages;
            let priority = packages.iter().map(|d| d.priority).max().unwrap_or_default();
            (priority, packages.len(), ready)
        };
        let groups = look.orders.into_iter().map(group).collect();
        let (inside, outside) = window.let_in(self.journal.view().under_way(), groups);
        let limit = window.limit;
        let why =
            format!("wait in the queue until fewer than {limit} packages are under way (work.under_way)");
        self.waiting.crowd(outside, "order(s)", &why);
        for ready in inside {
            let (id, packages) = (ready.order.id.clone(), order::summary(&ready.order));
            let (priority, size, Ready { order, claim }) = group(ready);
            if !self.journal.order(order, claim, window.credit(priority)).await? {
                if !window.admits(self.journal.view().under_way(), size, priority) {
                    continue; // others were faster; it comes with a later look
                }
                let why = format!(
                    "an order of this name, or one with a package of the same name, exists ({packages})"
                );
                drop(refused.insert(id.to_string(), why));
            }
        }
        self.waiting.replace(refused);
        Ok(())
    }

    /// Puts on record what is doubted, and what is not doubted any more.
    async fn doubt(&self, look: &Look) -> Result<(), Failure> {
        let news = {
            let view = self.journal.view();
            doubts::news(view.doubts(), look, self.patience)
        };
        for event in news {
            if let Event::Doubted { artifact, who, reason, detail, times } = &event
                && *times >= self.patience.looks
                && self.patience.then == OnInvalid::Leave
            {
                let remedy = reason.remedy();
                tracing::error!(
                    artifact,
                    who,
                    reason = reason.code(),
                    detail,
                    remedy,
                    "stays queued until somebody corrects it"
                );
            }
            self.journal.record(event).await?;
        }
        Ok(())
    }
}

impl Work for Poller {
    type Unit = Round;
    type Blame = Blame;

    fn waiting(&mut self) -> Vec<Round> {
        let free = self.polling.disks.is_free(&Round.to_string());
        if self.timer.is_due() && free { vec![Round] } else { Vec::new() }
    }

    fn perform(&self, _: Round, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let (polling, window, fit) = (self.polling.clone(), self.window, self.fit.clone());
        let look = async move {
            if !fit.get() {
                polling.prepare().await?;
                fit.set(true);
                meter.alive();
            }
            polling.look(&meter, window).await
        };
        self.timer.round(look).boxed_local()
    }

    fn accident(&self, what: String) -> Blame {
        Blame::accident(what)
    }

    fn blame(&self, _: Round, _: Blame) -> LocalBoxFuture<'static, Result<(), String>> {
        futures_util::future::ready(Ok(())).boxed_local() // logged by the station; the next look comes by timer
    }
}
