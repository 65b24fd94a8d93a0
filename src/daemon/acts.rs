//! The desk for what people want of a running daemon: requests come through a short queue (from its socket) or lie in its state
//! directory; each is judged, journalled and answered here, and the actors are told to look again.
use std::path::PathBuf;
use std::time::Duration;

use actix::Recipient;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::acts::shelf::Shelf;
use crate::acts::{Acts, Answer, Asked, Request, Site, levers, perform, queue};
use crate::chain;
use crate::clock;
use crate::journal::Journal;
use crate::store::Store;
use crate::supervisor::runtime;
use crate::supervisor::station::Wake;

/// Between looks at the state directory.
const EVERY: Duration = Duration::from_millis(250);
/// A request that takes longer is answered with that; what of it is done stands in the journal.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whoever has this sits at the desk.
pub struct Desk {
    journal: Journal,
    store: Store,
    wakes: Vec<Recipient<Wake>>,
    site: Site,
    shelf: Shelf,
    queue: mpsc::Receiver<Asked>,
}

/// A desk, and the way to it.
pub fn desk(
    journal: Journal,
    store: Store,
    wakes: Vec<Recipient<Wake>>,
    site: Site,
    state_dir: PathBuf,
) -> (Acts, Desk) {
    let (acts, queue) = queue();
    (acts, Desk { journal, store, wakes, site, shelf: Shelf::of(&state_dir), queue })
}

impl Desk {
    /// Serves until aborted.
    pub async fn keep(mut self) {
        let mut trouble = None;
        loop {
            // The directory may hang; requests by the queue are served meanwhile.
            let shelf = self.shelf.clone();
            let mut looking = runtime().spawn_blocking(move || shelf.take(clock::now()));
            let taken = loop {
                tokio::select! {
                    taken = &mut looking => break taken,
                    Some((request, home)) = self.queue.recv() => drop(home.send(self.serve(&request).await)),
                }
            };
            let said = match taken {
                Ok(Ok(requests)) => self.serve_all(requests).await.err(),
                Ok(Err(e)) => Some(chain(&e)),
                Err(fell) => Some(fell.to_string()),
            };
            if said.is_some() && said != trouble {
                tracing::warn!(
                    error = said,
                    "could not look for what people want in the state directory; trying again"
                );
            }
            trouble = said;
            let pause = tokio::time::sleep(EVERY);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some((request, home)) = self.queue.recv() => drop(home.send(self.serve(&request).await)),
                }
            }
        }
    }

    async fn serve_all(&self, requests: Vec<Request>) -> Result<(), String> {
        for request in requests {
            let answer = self.serve(&request).await;
            let (shelf, id) = (self.shelf.clone(), request.id);
            let put = runtime().spawn_blocking(move || shelf.answer(&id, &answer)).await;
            put.map_err(|fell| fell.to_string())?.map_err(|e| chain(&e))?;
        }
        Ok(())
    }

    async fn serve(&self, request: &Request) -> Result<Answer, String> {
        let answer = match timeout(PATIENCE, perform(&self.journal, self.site, request)).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(format!(
                    "not all of it was done within {PATIENCE:?}; the journal tells what was"
                ));
            }
        };
        if !request.dry_run {
            self.store.overrule(levers::over(&self.journal.view(), clock::now()));
            for wake in &self.wakes {
                drop(wake.try_send(Wake)); // full: it is awake; closed: it reads the journal when it starts
            }
        }
        Ok(answer)
    }
}
