//! The state directory, at least once a second: `status.json` out, the stop file in.
//!
//! It may lie on a mount that hangs. So it is touched on a thread of its own, one call at a time; while that call does not
//! come back, the pulse, the signals and the service manager's watchdog go on.
use std::path::{Path, PathBuf};
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
    let (mut asked, mut trouble) = (false, None);
    loop {
        let (there, snapshot) = (dir.clone(), latest.borrow_and_update().clone());
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
        let (written, seen) = match answer {
            Ok(answer) => answer,
            Err(fell) => {
                return asker.ask(Wish::Fatal(format!("the desk of the state directory fell: {fell}")));
            }
        };
        let said = written.err().as_ref().or(seen.as_ref().err()).map(|e| chain(e));
        if let Ok(Some(stop)) = seen
            && !std::mem::replace(&mut asked, true)
        {
            asker.ask(Wish::Stop(format!("{} of {stop}", Stop::path(&dir).display())));
        }
        if said.is_some() && said != trouble {
            tracing::warn!(
                error = said,
                "could not look after the state directory; trying again every second"
            );
        }
        trouble = said;
        // News are written at once, so that `status` is never behind by more than one beat of the pulse.
        if let Ok(Err(_the_pulse_is_gone)) = timeout(EVERY, latest.changed()).await {
            return;
        }
    }
}

type Answer = (Result<(), FsError>, Result<Option<Stop>, FsError>);

/// Both are tried, whatever becomes of the other.
fn round(dir: &Path, snapshot: Option<&Snapshot>) -> Answer {
    fail::fail_point!("state-dir", |_| (Ok(()), Ok(None)));
    (snapshot.map_or(Ok(()), |s| s.write(dir)), Stop::look(dir))
}
