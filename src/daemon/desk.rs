//! The state directory, once a second: `status.json` out, the stop file in.
//!
//! It may lie on a mount that hangs. So it is touched on a thread of its own, one call at a time; while that call does not
//! come back, the pulse, the signals and the service manager's watchdog go on.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::wishes::{Asker, Wish};
use crate::chain;
use crate::fs::FsError;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::supervisor::runtime;

const EVERY: Duration = Duration::from_secs(1);
/// A directory that has not answered for this long is worth a line in the log.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps the directory until aborted.
pub(super) async fn keep(dir: PathBuf, mut latest: watch::Receiver<Option<Arc<Snapshot>>>, asker: Asker) {
    let (mut asked, mut leaving, mut trouble) = (false, false, None);
    loop {
        let (there, snapshot) = (dir.clone(), latest.borrow().clone());
        let mut looked = runtime().spawn_blocking(move || round(&there, snapshot.as_deref()));
        let answer = match timeout(PATIENCE, &mut looked).await {
            Ok(answer) => answer,
            Err(_) => {
                let dir = dir.display();
                tracing::error!(%dir, "the state directory does not answer: is its mount alive? Until it does, no stop file is seen and status.json is old");
                let answer = looked.await;
                tracing::info!(%dir, "the state directory answers again");
                answer
            }
        };
        let said = match answer {
            Ok(Ok(Some(stop))) if !asked => {
                asked = true;
                let file = Stop::path(&dir);
                asker.ask(Wish::Stop(format!("{} of {stop}", file.display())));
                None
            }
            Ok(Ok(_)) => None,
            Ok(Err(e)) => Some(chain(&e)),
            Err(e) => Some(e.to_string()),
        };
        if said.is_some() && said != trouble {
            tracing::warn!(
                error = said,
                "could not look after the state directory; trying again every second"
            );
        }
        trouble = said;
        // That it is on the way out is told at once: somebody may be waiting for it.
        let on_the_way = |s: &Option<Arc<Snapshot>>| s.as_ref().is_some_and(|s| s.stopping.is_some());
        if leaving {
            tokio::time::sleep(EVERY).await;
        } else {
            leaving = timeout(EVERY, latest.wait_for(on_the_way)).await.is_ok();
        }
    }
}

/// Both are tried, whatever becomes of the other.
fn round(dir: &std::path::Path, snapshot: Option<&Snapshot>) -> Result<Option<Stop>, FsError> {
    fail::fail_point!("state-dir", |_| Ok(None));
    let written = snapshot.map_or(Ok(()), |s| s.write(dir));
    let stop = Stop::look(dir)?;
    match (written, stop) {
        (Err(e), None) => Err(e),
        (_, stop) => Ok(stop),
    }
}
