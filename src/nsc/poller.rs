//! Poller: looks at the LIMS queue, leaves `Found` packages in whole orders. Changes nothing in the LIMS.
//!
//! Wakes by timer only. A sample whose files, checksums or family are not there yet stays queued, and it is said once for
//! what it waits. A LIMS that does not answer, or answers nonsense, is an outage.
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::order;
use super::source::{Looking, Ready, Source};
use crate::blame::{Blame, Failure};
use crate::disk::{Disk, Disks};
use crate::journal::Journal;
use crate::notices::Notices;
use crate::package::{Order, Window};
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

/// What the poller knows between two looks.
pub struct Poller {
    source: Arc<dyn Source>,
    disks: Disks,
    delivery: Disk,
    journal: Journal,
    waiting: Notices,
    window: Window,
    timer: Timer,
}

impl Poller {
    /// A fresh one, for every incarnation. `delivery`: the disk of what is delivered.
    pub fn new(
        source: Arc<dyn Source>,
        journal: Journal,
        waiting: Notices,
        (disks, delivery): (Disks, Disk),
        window: Window,
        interval: Duration,
    ) -> Self {
        Self { source, disks, delivery, journal, waiting, window, timer: Timer::new(interval) }
    }
}

impl Work for Poller {
    type Unit = Round;
    type Blame = Blame;

    fn waiting(&mut self) -> Vec<Round> {
        if self.timer.is_due() && self.disks.is_free(&Round.to_string()) { vec![Round] } else { Vec::new() }
    }

    fn perform(&self, _: Round, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let (source, journal) = (self.source.clone(), self.journal.clone());
        let (waiting, window) = (self.waiting.clone(), self.window);
        let (disks, delivery) = (self.disks.clone(), self.delivery.clone());
        let look = async move {
            let hold = disks.hold(&Round.to_string()).await?;
            let with = Looking { journal: &journal, meter: &meter, hold: &hold, disk: &delivery };
            let look = source.look(with).await?;
            let mut refused = look.waiting;
            refused.extend(look.doubts.into_iter().map(|doubt| (doubt.who, doubt.fault.detail)));
            let group = |order: Order| {
                let priority = order.packages.iter().map(|d| d.priority).max().unwrap_or_default();
                (priority, order.packages.len(), order)
            };
            let groups = look.orders.into_iter().map(|ready: Ready| group(ready.order)).collect();
            let (inside, outside) = window.let_in(journal.view().under_way(), groups);
            let limit = window.limit;
            let why = format!(
                "wait in the LIMS queue until fewer than {limit} packages are under way (work.under_way)"
            );
            waiting.crowd(outside, "order(s)", &why);
            for order in inside {
                let (id, packages) = (order.id.clone(), order::summary(&order));
                let (priority, size, order) = group(order);
                if !journal.order(order, window.credit(priority)).await? {
                    if !window.admits(journal.view().under_way(), size, priority) {
                        continue; // others were faster; it comes with a later look
                    }
                    let why = format!("another order has a package of the same name ({packages})");
                    drop(refused.insert(id.to_string(), why));
                }
            }
            waiting.replace(refused);
            Ok(())
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
