//! How much room is left where we write. A disk that hangs takes a thread with it and no more: one call at a time is out for each
//! place, and until it comes back the place counts as one that does not answer.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::conf::{Conf, Side};
use crate::fs::Free;
use crate::supervisor::runtime;

const EVERY: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(10);

/// A place that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// As in the configuration: `state`, `landing.samples`.
    pub name: String,
    /// Where.
    pub path: PathBuf,
}

/// The places of a role.
pub fn of(conf: &Conf) -> Vec<Area> {
    let area = |name: &str, path: &PathBuf| Area { name: name.to_owned(), path: path.clone() };
    let mut areas = vec![area("state", &conf.state_dir), area("log", &conf.log.dir)];
    match &conf.side {
        Side::Nsc(nsc) => {
            areas.push(area("delivery", &nsc.delivery_root));
            areas.push(area("transfer", &nsc.transfer.root));
        }
        Side::Tsd(tsd) => {
            let landing = tsd.landing.iter();
            areas.extend(landing.map(|(kind, place)| area(&format!("landing.{kind}"), &place.destination)));
        }
    }
    areas
}

/// What was seen last; none: it does not answer.
#[derive(Clone, Default)]
pub struct Areas(Arc<Mutex<BTreeMap<String, Option<Free>>>>);

impl Areas {
    /// By name.
    pub fn now(&self) -> BTreeMap<String, Option<Free>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, name: &str, free: Option<Free>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _before = all.insert(name.to_owned(), free);
    }
}

/// Looks at a place until aborted.
pub(crate) async fn keep(area: Area, seen: Areas) {
    loop {
        let path = area.path.clone();
        let mut look = runtime().spawn_blocking(move || Free::at(&path));
        let answer = match timeout(PATIENCE, &mut look).await {
            Ok(answer) => answer,
            Err(_) => {
                seen.note(&area.name, None);
                look.await
            }
        };
        let free = match answer {
            Ok(Ok(free)) => Some(free),
            Ok(Err(error)) => {
                tracing::debug!(area = area.name, error = crate::chain(&error), "no room could be seen");
                None
            }
            Err(fell) => {
                tracing::debug!(area = area.name, %fell, "the look at a place fell");
                None
            }
        };
        seen.note(&area.name, free);
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_that_is_gone_does_not_answer() {
        let (dir, seen) = (tempfile::tempdir().unwrap(), Areas::default());
        let area = |name: &str, path: PathBuf| Area { name: name.into(), path };
        let there = tokio::spawn(keep(area("state", dir.path().to_owned()), seen.clone()));
        let gone = tokio::spawn(keep(area("log", dir.path().join("none")), seen.clone()));
        while seen.now().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        there.abort();
        gone.abort();
        let now = seen.now();
        assert!(now["state"].is_some_and(|free| free.bytes > 0));
        assert_eq!(now["log"], None);
    }
}
