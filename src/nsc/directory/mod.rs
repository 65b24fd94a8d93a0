//! A directory of JSON work orders as the source of orders: for a site without a LIMS, or with another one.
//!
//! `new/` is the queue, a rename is the claim, and `done/` and `refused/` are its ends. Nothing goes back to `new/`: an order
//! that was not delivered goes to `refused/` with the reason beside it, so nothing loops. An order that somebody takes out of
//! `claimed/` is taken back, like a step that is deleted in a LIMS.
mod once;
mod shelves;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use serde_json::json;

use super::source::{
    Ask, Claim, Doubtful, Ended, Ending, Fault, Found, Look, Looking, Ready, Source, Standing,
};
use crate::blame::{Blame, Failure};
use crate::clock;
use crate::disk::{Disk, Disks, OnDisk};
use crate::journal::{Fold, Journal, Phase};
use crate::package::{Name, Order, OrderId, Reason};
pub use shelves::Shelves;
use shelves::{Place, measure};
use text::{Obstacle, WorkOrder};

/// The directory of one site.
pub struct Directory {
    shelves: Shelves,
    delivery: PathBuf,
    disks: Disks,
    /// Of the shelves.
    disk: Disk,
    at_once: usize,
    /// The last one that was read: the next look goes on behind it.
    last: Mutex<String>,
}

/// What became of reading one file.
enum Said {
    Order(Order),
    Wait(String),
    Doubt(Fault),
    Gone,
}

impl From<Obstacle> for Said {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::NotYet(why) => Self::Wait(why),
            Obstacle::Wrong(fault) => Self::Doubt(fault),
        }
    }
}

impl Directory {
    /// `disk`: the lane of the shelves. `at_once`: orders read at one look.
    pub fn new(shelves: Shelves, delivery: PathBuf, disks: Disks, disk: Disk, at_once: usize) -> Self {
        Self { shelves, delivery, disks, disk, at_once, last: Mutex::default() }
    }

    /// Runs something that changes the shelves, on behalf of one order.
    async fn on<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&OnDisk, &Shelves) -> Result<T, crate::fs::FsError> + Send + 'static,
    ) -> Result<T, Failure> {
        let hold = self.disks.hold(&format!("work order {name}")).await?;
        let shelves = self.shelves.clone();
        Ok(hold.on(&self.disk, move |on| work(on, &shelves)).await??)
    }

    /// The order that a file stands for.
    async fn read(
        &self,
        shelf: &'static str,
        name: &str,
        id: OrderId,
        artifact: &str,
    ) -> Result<Said, Failure> {
        let (shelves, at) = (self.shelves.clone(), name.to_owned());
        let found = self.disk.read(move |on| shelves.read(on, shelf, &at)).await??;
        let file = format!("{name}.json");
        let named = |fault: Fault| Fault { detail: format!("{file}: {}", fault.detail), ..fault };
        let bytes = match found {
            shelves::Found::Bytes(bytes) => bytes,
            shelves::Found::Absent => return Ok(Said::Gone),
            shelves::Found::Odd(detail) => {
                return Ok(Said::Doubt(named(Fault { reason: Reason::UnsafeContent, detail })));
            }
        };
        let text = match WorkOrder::parse(&bytes) {
            Ok(text) => text,
            Err(fault) => return Ok(Said::Doubt(named(fault))),
        };
        let files = match text.files(&self.delivery) {
            Ok(files) => files,
            Err(fault) => return Ok(Said::Doubt(named(fault))),
        };
        let root = self.delivery.clone();
        let measured = move |on: &OnDisk| {
            files.into_iter().map(|path| Ok((path.clone(), measure(on, &root, &path)?))).collect()
        };
        let measured: Result<BTreeMap<_, _>, crate::fs::FsError> = self.disk.read(measured).await?;
        Ok(match text.order(id, artifact, &self.delivery, &measured?) {
            Ok(order) => Said::Order(order),
            Err(Obstacle::Wrong(fault)) => Said::Doubt(named(fault)),
            Err(Obstacle::NotYet(why)) => Said::Wait(why),
        })
    }

    async fn listed(&self, shelf: &'static str) -> Result<shelves::Listing, Failure> {
        let shelves = self.shelves.clone();
        Ok(self.disk.read(move |on| shelves.list(on, shelf)).await??)
    }

    /// Which of these are read at this look, behind the last one that was; the others keep.
    fn turn<'a>(&self, names: &'a [String]) -> (Vec<&'a String>, Vec<&'a String>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = names.partition_point(|name| *name <= *last);
        let (before, behind) = names.split_at(behind);
        let mut all: Vec<&String> = behind.iter().chain(before).collect();
        let rest = all.split_off(self.at_once.min(all.len()));
        if let Some(name) = all.last() {
            (*name).clone_into(&mut last);
        }
        (all, rest)
    }

    async fn look_through(&self, with: Looking<'_>) -> Result<Look, Failure> {
        let mut look = Look::default();
        self.adopt(&mut look, with.journal).await?;
        let listing = self.listed("new").await?;
        look.waiting.extend(listing.odd);
        let (now, later) = self.turn(&listing.names);
        look.unread.extend(later.into_iter().cloned());
        for name in now {
            with.meter.alive();
            match known(&with.journal.view(), name) {
                Known::New => {}
                Known::Taken => continue,
                Known::Before(why) => {
                    drop(look.waiting.insert(format!("new/{name}.json"), why));
                    continue;
                }
            }
            let said = self.fresh(name, with.journal).await?;
            let (artifact, who) = (name.clone(), format!("work order {name}"));
            match said {
                Said::Order(order) => look.orders.push(Ready { order, claim: None }),
                Said::Wait(why) => drop(look.waiting.insert(who, why)),
                Said::Doubt(fault) => look.doubts.push(Doubtful { artifact, who, fault }),
                Said::Gone => {}
            }
        }
        Ok(look)
    }

    /// A file in `new/`, read anew at each look, so one that changed is never taken for what it was.
    async fn fresh(&self, name: &str, journal: &Journal) -> Result<Said, Failure> {
        if let Err(e) = name.parse::<Name>() {
            let detail = format!("{name}.json: its name is no good for an order: {e}");
            return Ok(Said::Doubt(Fault { reason: Reason::BadDocument, detail }));
        }
        let (shelves, at) = (self.shelves.clone(), name.to_owned());
        if self.disk.read(move |on| shelves.is_at(on, "done", &at)).await?? {
            let detail = format!(
                "{name}.json: an order of this name was done before (done/{name}.json); give it another"
            );
            return Ok(Said::Doubt(Fault { reason: Reason::NameTaken, detail }));
        }
        let id = self.free_id(journal, name).await?;
        let said = self.read("new", name, id, name).await?;
        if let Said::Order(order) = &said
            && let Some(taken) = order.packages.iter().find(|d| journal.view().package(&d.id).is_some())
        {
            let detail = format!(
                "{name}.json: a package {} exists already; to send it again give it another revision",
                taken.id
            );
            return Ok(Said::Doubt(Fault { reason: Reason::NameTaken, detail }));
        }
        Ok(said)
    }

    /// The name itself, or with a number if there was an order of that name, by the journal or by what lies on a shelf.
    async fn free_id(&self, journal: &Journal, name: &str) -> Result<OrderId, Failure> {
        for n in 1..=u32::MAX {
            let id = OrderId(if n == 1 { name.to_owned() } else { format!("{name}#{n}") });
            if journal.view().order(&id).is_some() {
                continue;
            }
            let (shelves, at) = (self.shelves.clone(), id.0.clone());
            if self.disk.read(move |on| shelves.place(on, &at)).await?? == Place::Nowhere {
                return Ok(id);
            }
        }
        Err(Failure::Outage(format!("there is no number left for another order called {name}")))
    }

    /// Orders that were claimed in our name and that no journal knows of: it was lost.
    async fn adopt(&self, look: &mut Look, journal: &Journal) -> Result<(), Failure> {
        let listing = self.listed("claimed").await?;
        look.waiting.extend(listing.odd);
        for id in listing.names {
            let said = format!("claimed/{id}.json");
            let phase = journal.view().order(&OrderId(id.clone())).map(|row| row.phase);
            match phase {
                Some(phase) if phase.is_end() => {
                    let why = "lies here although its order is at its end: see what became of it (`status`), then move it away";
                    drop(look.waiting.insert(said, why.into()));
                    continue;
                }
                Some(_) => continue,
                None => {}
            }
            let artifact = id.split('#').next().unwrap_or(&id).to_owned();
            match self.read("claimed", &id, OrderId(id.clone()), &artifact).await? {
                Said::Order(order) => look.orders.push(Ready { order, claim: Some(id) }),
                Said::Wait(why) => drop(look.waiting.insert(said, why)),
                Said::Doubt(fault) => drop(look.waiting.insert(
                    said,
                    format!(
                        "was claimed by nobody we know and cannot be gone on with ({fault}); move it away"
                    ),
                )),
                Said::Gone => {}
            }
        }
        Ok(())
    }

    /// Renames the file and makes sure that it still says what was ordered.
    async fn take(&self, order: &Order) -> Result<Claim, Failure> {
        let (id, name) = (order.id.0.clone(), artifact(order)?.to_owned());
        let (to, from) = (id.clone(), name.clone());
        if !self.on(&id, move |on, shelves| shelves.put(on, ("new", &from), ("claimed", &to))).await? {
            return Err(Blame::again(format!(
                "new/{name}.json is not there any more: taken away, or taken up already"
            )));
        }
        match self.read("claimed", &id, order.id.clone(), &name).await? {
            Said::Order(found) if found == *order => Ok(Claim { id, us: None }),
            _ => {
                let detail = format!(
                    "{name}.json, or the size of a file that it names, was changed after it was read: write an order under another \
                     name and rename it when it is complete"
                );
                Err(Blame::stop(Reason::SourceChanged, detail))
            }
        }
    }

    async fn find(&self, order: &Order) -> Result<Found, Failure> {
        let (id, name) = (order.id.0.clone(), artifact(order)?.to_owned());
        let (shelves, at) = (self.shelves.clone(), id.clone());
        // `claimed` before `new`: in between the file can only go from new to claimed by our own hand, and that hand is us.
        let place = self.disk.read(move |on| Ok((shelves.place(on, &at)?, shelves.is_at(on, "new", &name)?)));
        Ok(match place.await?.map_err(|e: crate::fs::FsError| Failure::from(e))? {
            (Place::Claimed | Place::Done | Place::Refused, _) => Found::Claimed(Claim { id, us: None }),
            (Place::Nowhere, true) => Found::Queued,
            (Place::Nowhere, false) => Found::Lost("the work order was taken away".into()),
        })
    }

    async fn stands(&self, claim: &str) -> Result<Standing, Failure> {
        let (shelves, at) = (self.shelves.clone(), claim.to_owned());
        Ok(match self.disk.read(move |on| shelves.place(on, &at)).await?? {
            Place::Claimed => Standing::Open,
            Place::Done => Standing::Completed,
            Place::Refused | Place::Nowhere => Standing::Gone,
        })
    }

    async fn finish(&self, claim: &str, ending: &Ending) -> Result<Ended, Failure> {
        let faults: Vec<Fault> = match ending {
            Ending::Delivered => {
                let id = claim.to_owned();
                let put = move |on: &OnDisk, s: &Shelves| s.put(on, ("claimed", &id), ("done", &id));
                if self.on(claim, put).await? || self.stands(claim).await? == Standing::Completed {
                    return Ok(Ended::Completed);
                }
                let why = "everything was delivered, but its file is not in claimed/ any more: somebody took it away";
                return Ok(Ended::Failed(why.into()));
            }
            Ending::Undelivered(fault) => vec![fault.clone()],
            Ending::Partly(faults) => {
                let mut faults: Vec<Fault> = faults.values().cloned().collect();
                faults.dedup();
                faults
            }
        };
        let partly = matches!(ending, Ending::Partly(_));
        match self.to_refused("claimed", claim, &faults, partly).await? {
            Some(name) => Ok(Ended::Failed(format!("refused/{name}.json, with the reason beside it"))),
            None if self.stands(claim).await? == Standing::Completed => Ok(Ended::Failed(format!(
                "it was put into done/{claim}.json by somebody, but was not delivered as a whole"
            ))),
            None => Ok(Ended::Failed("its file is not in claimed/ any more".into())),
        }
    }

    async fn to_refused(
        &self,
        shelf: &'static str,
        name: &str,
        faults: &[Fault],
        partly: bool,
    ) -> Result<Option<String>, Failure> {
        let faults: Vec<_> = faults
            .iter()
            .map(|f| json!({"reason": f.reason.code(), "detail": f.detail, "what_to_do": f.reason.remedy()}))
            .collect();
        let reason = json!({"version": 1, "order": name, "refused_at": clock::now(),
            "delivered": if partly { "in part, see `tsd-import status`" } else { "nothing" }, "faults": faults});
        let (at, text) = (name.to_owned(), format!("{reason:#}\n"));
        self.on(name, move |on, shelves| shelves.refuse(on, shelf, &at, text.as_bytes())).await
    }
}

/// The packages that a work order stands for, if every file that it names had so many bytes; what is wrong with it otherwise.
pub fn judge(text: &[u8], delivery: &std::path::Path, bytes: u64) -> Result<Vec<String>, String> {
    let order = WorkOrder::parse(text).map_err(|fault| fault.to_string())?;
    let files = order.files(delivery).map_err(|fault| fault.to_string())?;
    let measured = files.into_iter().map(|path| (path, text::Measured::Bytes(bytes))).collect();
    match order.order(OrderId("judged".into()), "judged", delivery, &measured) {
        Ok(order) => Ok(order.packages.iter().map(|d| d.id.to_string()).collect()),
        Err(Obstacle::Wrong(fault)) => Err(fault.to_string()),
        Err(Obstacle::NotYet(why)) => Err(why),
    }
}

/// How the journal stands to a name in `new/`.
enum Known {
    New,
    /// It is being claimed or refused right now.
    Taken,
    /// An earlier one of this name is under way.
    Before(String),
}

fn known(fold: &Fold, name: &str) -> Known {
    if fold.doubts().get(name).is_some_and(|doubt| doubt.refused == Some(false)) {
        return Known::Taken;
    }
    let of_this_name = |row: &&crate::journal::OrderRow| row.order.artifacts.iter().any(|a| a == name);
    match fold.open_orders().into_iter().find(of_this_name) {
        None => Known::New,
        Some(row) if matches!(row.phase, Phase::Ordered | Phase::Intent) => Known::Taken,
        Some(_) => Known::Before(
            "waits until the order of the same name that is under way has come to its end".into(),
        ),
    }
}

fn artifact(order: &Order) -> Result<&str, Failure> {
    let first = order.artifacts.first().map(String::as_str);
    first.ok_or_else(|| Failure::Fatal(format!("order {} of a directory has no file", order.id)))
}

impl Source for Directory {
    fn name(&self) -> &str {
        "the directory of work orders"
    }

    fn preflight(&self) -> Ask<'_, Vec<String>> {
        async move {
            let shelves = self.shelves.clone();
            match self.disk.read(move |on| shelves.obstacle(on)).await?? {
                Some(obstacle) => Err(Failure::Outage(obstacle)),
                None => Ok(Vec::new()),
            }
        }
        .boxed_local()
    }

    fn look<'a>(&'a self, with: Looking<'a>) -> Ask<'a, Look> {
        self.look_through(with).boxed_local()
    }

    fn claim<'a>(&'a self, order: &'a Order) -> Ask<'a, Claim> {
        self.take(order).boxed_local()
    }

    fn find_claim<'a>(&'a self, order: &'a Order, _: Option<&'a str>) -> Ask<'a, Found> {
        self.find(order).boxed_local()
    }

    fn standing<'a>(&'a self, claim: &'a str, _: &'a Order) -> Ask<'a, Standing> {
        self.stands(claim).boxed_local()
    }

    fn end<'a>(&'a self, claim: &'a str, _: &'a Order, ending: &'a Ending) -> Ask<'a, Ended> {
        self.finish(claim, ending).boxed_local()
    }

    fn refuse<'a>(&'a self, artifact: &'a str, fault: &'a Fault, _: bool) -> Ask<'a, String> {
        async move {
            Ok(match self.to_refused("new", artifact, std::slice::from_ref(fault), false).await? {
                Some(name) => format!("refused/{name}.json, with the reason beside it"),
                None => "it is not in new/ any more".to_owned(),
            })
        }
        .boxed_local()
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
