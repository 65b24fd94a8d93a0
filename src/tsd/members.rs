//! An analysis waits until the samples that it needs have landed, so that the automation system never begins with a part of a family.
//!
//! A sample has landed if this receiver handed it over, or if it lies at the place of samples with its `READY`: it may have come before
//! this receiver's records were begun.
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::disk::OnDisk;
use crate::fs::{self, FsError};
use crate::journal::{Fold, Row};
use crate::notices::{Notices, Posted};
use crate::package::{Kind, Name, PackageId, READY, Revision, State, without_uuid};

/// Between two looks whether they are there.
const AGAIN: Duration = Duration::from_secs(5);

/// The analyses that wait. Kept in memory alone: after a restart each is looked at from the beginning. Clones share.
#[derive(Clone)]
pub(super) struct Waiting {
    held: Rc<RefCell<BTreeMap<PackageId, (Instant, Posted)>>>,
    /// How many, for those who let packages in.
    count: Arc<AtomicUsize>,
}

impl Waiting {
    pub(super) fn new(count: Arc<AtomicUsize>) -> Self {
        count.store(0, Relaxed);
        Self { held: Rc::default(), count }
    }

    /// Only those that are still to be verified.
    pub(super) fn keep(&self, those: &BTreeSet<&PackageId>) {
        let mut held = self.held.borrow_mut();
        held.retain(|id, _| those.contains(id));
        self.count.store(held.len(), Relaxed);
    }

    /// Whether it waits, as far as is known.
    pub(super) fn knows(&self, id: &PackageId) -> bool {
        self.held.borrow().contains_key(id)
    }

    /// Whether it is not to be looked at now.
    pub(super) fn holds(&self, id: &PackageId) -> bool {
        self.held.borrow().get(id).is_some_and(|(again, _)| Instant::now() < *again)
    }

    /// It waits for these, or, if there are none, no longer.
    pub(super) fn note(&self, id: &PackageId, missing: &[Name], notices: &Notices) {
        let mut waiting = self.held.borrow_mut();
        if missing.is_empty() {
            drop(waiting.remove(id));
            self.count.store(waiting.len(), Relaxed);
            return;
        }
        let again = Instant::now() + AGAIN;
        let (next, posted) =
            waiting.entry(id.clone()).or_insert_with(|| (again, notices.post(&id.to_string())));
        *next = again;
        let names: Vec<&str> = missing.iter().map(Name::as_str).collect();
        posted.say(&format!("waits for its samples, which have not landed: {}", names.join(", ")));
        self.count.store(waiting.len(), Relaxed);
    }
}

/// Whether this receiver, or one that shares the bucket with it, handed the sample over. A package may carry a uuid behind the name that an analysis uses.
pub(super) fn is_ready(view: &Fold, samples: &Kind, name: &Name) -> bool {
    let first = PackageId { kind: samples.clone(), name: name.clone(), revision: Revision(0) };
    let named = view
        .from(&first)
        .take_while(|row| row.id.kind == *samples && row.id.name.as_str().starts_with(name.as_str()));
    let of_it = |found: &Name| found == name || without_uuid(found.as_str()) == name.as_str();
    let landed = |row: &Row| {
        row.state == State::Ready || row.state == State::SettledElsewhere && row.facts.reason.is_none()
    };
    named.into_iter().any(|row| of_it(&row.id.name) && landed(row))
}

/// Those of `names` that do not lie at the place of samples either.
pub(super) fn not_there(on: &OnDisk, samples: &Path, names: Vec<Name>) -> Result<Vec<Name>, FsError> {
    let mut missing = Vec::new();
    for name in names {
        let ready: PathBuf = samples.join(name.as_str()).join(READY);
        if !fs::file_exists(&ready)? {
            missing.push(name);
        }
        on.moved();
    }
    Ok(missing)
}
