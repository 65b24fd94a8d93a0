//! The desk for what people want of a running daemon: requests come through a short queue (from its socket) or lie in its state
//! directory; each is judged, journalled and answered here, and the actors are told to look again.
use std::path::PathBuf;
use std::time::Duration;

use actix::Recipient;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::acts::shelf::Shelf;
use crate::acts::{Answer, Request, Site, levers, perform};
use crate::chain;
use crate::clock;
use crate::journal::Journal;
use crate::store::Store;
use crate::supervisor::runtime;
use crate::supervisor::station::Wake;

/// Requests that wait; more are refused.
const QUEUE: usize = 16;
/// Between looks at the state directory.
const EVERY: Duration = Duration::from_millis(250);
/// A request that takes longer is answered with that; what of it is done stands in the journal.
const PATIENCE: Duration = Duration::from_secs(30);

type Asked = (Request, oneshot::Sender<Result<Answer, String>>);

/// The way to the desk; clones share it.
#[derive(Clone, Debug)]
pub struct Acts(mpsc::Sender<Asked>);

impl Acts {
    /// Has a request done. `Err`: there is no answer, and why.
    pub async fn ask(&self, request: Request, within: Duration) -> Result<Answer, String> {
        let (tell, told) = oneshot::channel();
        let full = |e: mpsc::error::TrySendError<Asked>| match e {
            mpsc::error::TrySendError::Full(_) => "too many requests wait already: ask again".to_owned(),
            mpsc::error::TrySendError::Closed(_) => "the daemon is on its way out".to_owned(),
        };
        self.0.try_send((request, tell)).map_err(full)?;
        match timeout(within, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the daemon is on its way out".into()),
            Err(_) => Err(format!("no answer within {within:?}; the journal tells whether it was done")),
        }
    }
}

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
    let (acts, queue) = mpsc::channel(QUEUE);
    (Acts(acts), Desk { journal, store, wakes, site, shelf: Shelf::of(&state_dir), queue })
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
                tracing::warn!(error = said, "could not look for what people want in the state directory; trying again");
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
            Err(_) => return Err(format!("not all of it was done within {PATIENCE:?}; the journal tells what was")),
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
