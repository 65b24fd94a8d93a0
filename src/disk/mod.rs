//! File systems as things that hang: every call on behalf of a unit of work runs on the lane of its place, with a deadline.
//!
//! A call on a hung mount does not come back and cannot be cut off. On an actor's thread it would stop the actor's pulse, and
//! the process would have to end; so no actor and no tokio thread touches a disk:
//!
//! - Each place (delivery, transfer tree, each landing, state …) has a [`Disk`]: its own few named threads and its own bounded
//!   queue. One that hangs costs the others nothing.
//! - A job that neither ended nor moved for `disk.patience` is given up by its caller ([`DiskError::Silent`], an outage that
//!   names the place). Its thread is lost until the call returns; a spare takes its place, up to a bound.
//! - Jobs run on behalf of a unit, under a [`Hold`]. The hold lives until the last job under it has come back, and a unit has
//!   one hold at a time, over all actors. **So a job that wakes up late finds the world as it left it**: no second attempt
//!   writes the same part, no other actor has moved the directory away. What it does then is what it would have done in time,
//!   and its unit goes on from there as after a crash. That is the whole argument why a late job does no harm.
//! - Code that may block takes [`&OnDisk`](OnDisk), which only a job is given; an open file is kept [`Parked`] between two
//!   jobs, because closing it may block too. `tests/architecture.rs` refuses other calls.
mod aligned;
mod hold;
mod lane;
mod parked;
mod space;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

pub use aligned::aligned;
pub use hold::Hold;
pub use lane::{Disk, OnDisk};
pub use parked::Parked;
pub use space::{Need, Room, Shortage, Space, Wanted};

use crate::notices::Notices;
use hold::Claims;

/// A job did not come back, or came back badly.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It panicked; its thread lives on.
    #[error("work on the disk panicked: {0}")]
    Panicked(String),
    /// All threads are gone, which only happens while the process ends.
    #[error("the threads of the disk have ended")]
    Ended,
    /// Calls on this place hang.
    #[error(
        "the disk of {place} does not answer since {since:.0}: is the mount alive? Work on it goes on by itself when it answers"
    )]
    Silent {
        /// The place.
        place: String,
        /// The last sign of life.
        since: Timestamp,
    },
    /// The unit cannot begin anew, because a call of its last attempt has not come back.
    #[error(
        "a call that {unit} made hangs since before {since:.0} and must come back first: is the mount alive?"
    )]
    Busy {
        /// The unit.
        unit: String,
        /// Since when it is held.
        since: Timestamp,
    },
}

impl DiskError {
    /// Whether the disk is at fault rather than the unit.
    pub fn is_outage(&self) -> bool {
        !matches!(self, Self::Panicked(_))
    }
}

/// Told when a disk falls silent (`Some(why)`) and when it answers again (`None`, after this long), with its name.
pub type Weather = Arc<dyn Fn(&str, Option<&str>, Duration) + Send + Sync>;

/// All places of a process; clones share.
#[derive(Clone)]
pub struct Disks {
    threads: usize,
    patience: Duration,
    weather: Weather,
    silent: Notices,
    places: Arc<Mutex<BTreeMap<String, Disk>>>,
    claims: Claims,
}

impl Disks {
    /// With this many threads for each place; silence is told after `patience`.
    pub fn new(threads: usize, patience: Duration, weather: Weather) -> Self {
        let (places, claims) = (Arc::default(), Claims::default());
        Self { threads: threads.max(1), patience, weather, silent: Notices::default(), places, claims }
    }

    /// The lane of a place, made at first need. `role` names its threads; two roles of one place have a lane each.
    pub fn at(&self, role: &'static str, place: &Path) -> Result<Disk, String> {
        let place = place.display().to_string();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{role} {place}");
        if let Some(disk) = places.get(&key) {
            return Ok(disk.clone());
        }
        let told = self.tellers(place.clone());
        let disk = Disk::start(role, place, self.threads, self.patience, told)
            .map_err(|e| format!("could not start the threads of {key}: {e}"))?;
        drop(places.insert(key, disk.clone()));
        Ok(disk)
    }

    fn tellers(&self, place: String) -> lane::Told {
        let (weather, silent) = (self.weather.clone(), self.silent.clone());
        let name = format!("disk of {place}");
        Box::new(move |why: Option<&str>, after| {
            silent.say(&name, why);
            weather(&name, why, after);
        })
    }

    /// Takes the unit in hand. Waits while calls of its last attempt are still out, no longer than patience allows.
    pub async fn hold(&self, unit: &str) -> Result<Hold, DiskError> {
        self.claims.hold(unit, self.patience).await
    }

    /// Whether nothing of the unit's last attempt is out any more. Asked before a unit is offered: one whose call hangs can
    /// only fail, and its coming back is the sign of life that everybody waits for.
    pub fn is_free(&self, unit: &str) -> bool {
        self.claims.is_free(unit)
    }

    /// The disks that do not answer now.
    pub fn silent(&self) -> Notices {
        self.silent.clone()
    }
}
