//! What leaves by itself: counted at each look, and let go a few at a time.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::list::{committed_at, is_old, resting};
use super::{AT_A_TURN, Cleaning, Ground, Judged, TURN};
use crate::blame::Failure;
use crate::chain;
use crate::clock;
use crate::nsc::uploader;
use crate::package::PackageId;

/// A package that is not what was sent is not looked at again sooner: many of them must not keep those behind them from leaving.
const PUT_OFF: Duration = Duration::from_secs(600);

/// What rests below `transferred/`, for `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resting {
    /// How many packages.
    pub packages: u64,
    /// Their payload.
    pub bytes: u64,
    /// For how many of them something came that is called like their receipt; none: no receipts are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts: Option<u64>,
}

/// The last one that was counted; clones share.
#[derive(Clone, Default)]
pub struct Stock(Arc<Mutex<Option<Resting>>>);

impl Stock {
    /// None: nobody has counted yet.
    pub fn now(&self) -> Option<Resting> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, resting: Resting) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(resting);
    }
}

impl Cleaning {
    /// Counts what rests, and lets go what is old enough and has a good receipt. What does not go though it should is given back.
    pub(super) async fn policy(&self) -> Result<BTreeMap<String, String>, Failure> {
        let (mut odd, mut count, now) = (BTreeMap::new(), Resting::default(), clock::now());
        let arrived = match &self.receipts {
            None => None,
            Some((receipts, disk)) => {
                let (from, dir) = (receipts.clone(), receipts.dir.display().to_string());
                match disk.read(move |on| from.arrived(on)).await {
                    Ok(Ok(arrived)) => Some(arrived),
                    Ok(Err(e)) => {
                        drop(odd.insert(
                            dir,
                            format!("no receipts can be read, so nothing is cleaned: {}", chain(&e)),
                        ));
                        None
                    }
                    Err(e) => {
                        drop(odd.insert(dir, format!("no receipts can be read, so nothing is cleaned: {e}")));
                        None
                    }
                }
            }
        };
        let mut due = Vec::new();
        {
            let view = self.journal.view();
            for row in resting(&view) {
                count.packages += 1;
                count.bytes = count.bytes.saturating_add(row.facts.bytes.unwrap_or(0));
                if arrived.as_ref().is_some_and(|arrived| arrived.contains(&row.id)) {
                    *count.receipts.get_or_insert(0) += 1;
                    if self.after.is_some_and(|after| is_old(row, after, now)) {
                        due.push((committed_at(row), row.id.clone()));
                    }
                }
            }
        }
        if arrived.is_some() {
            let _some = count.receipts.get_or_insert(0);
        }
        self.stock.is(count);
        due.sort();
        let (begun, mut gone) = (Instant::now(), 0);
        for (_, id) in due {
            if gone == AT_A_TURN || begun.elapsed() >= TURN {
                *self.next.lock().unwrap_or_else(PoisonError::into_inner) = None; // there is more to be done
                break;
            }
            if let Some(why) = self.is_put_off(&id) {
                drop(odd.insert(id.to_string(), format!("not cleaned: {why}")));
                continue;
            }
            let Some(row) = self.journal.view().package(&id).cloned() else { continue };
            let cleaned = match self.judge(&row).await? {
                Judged::Missing => continue,
                Judged::Bad(why) => Err(format!("its receipt is no good: {why}")),
                Judged::Good(proof) => {
                    let why = "cleaning.after is over".to_owned();
                    let by = uploader::NAME.to_owned();
                    let cleaned = self.clean(&id, Ground { proof, by, why }).await?;
                    if let Err(why) = &cleaned {
                        drop(self.stuck().insert(id.clone(), (Instant::now(), why.clone())));
                    }
                    cleaned
                }
            };
            match cleaned {
                Ok(_) => gone += 1,
                Err(why) => drop(odd.insert(id.to_string(), format!("not cleaned: {why}"))),
            }
        }
        Ok(odd)
    }

    fn stuck(&self) -> MutexGuard<'_, BTreeMap<PackageId, (Instant, String)>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a package is not looked at now.
    fn is_put_off(&self, id: &PackageId) -> Option<String> {
        let mut stuck = self.stuck();
        stuck.retain(|_, (since, _)| since.elapsed() < PUT_OFF);
        stuck.get(id).map(|(_, why)| why.clone())
    }
}
