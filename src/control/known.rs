//! What a handler is lent: the last snapshot and how old it is, the journal's present, the counters. Clones share.
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::history::History;
use super::metrics::areas::Areas;
use super::metrics::census::Census;
use crate::acts::Acts;
use crate::conf::{Conf, Role};
use crate::journal::{Holder, Journal};
use crate::package::Name;
use crate::snapshot::Snapshot;
use crate::supervisor::meter::Board;

/// Who listens to events at the same time.
const STREAMS: usize = 32;

/// All of it.
#[derive(Clone)]
pub struct Known(Arc<Inner>);

struct Inner {
    role: Role,
    host: Name,
    state_dir: PathBuf,
    holder: Holder,
    log_dir: PathBuf,
    journal: Journal,
    board: Board,
    latest: watch::Receiver<Option<Arc<Snapshot>>>,
    acts: Acts,
    /// When the last snapshot came, by the clock that does not jump; at first, when we began.
    beat: Mutex<Instant>,
    areas: Areas,
    streams: Arc<Semaphore>,
    /// Counted at most once a second, by one at a time.
    census: tokio::sync::Mutex<Option<(Instant, Arc<Census>)>>,
    history: History,
    /// A review reads much: one at a time.
    reviews: Arc<Semaphore>,
    requests: AtomicU64,
    connections: AtomicUsize,
}

impl Known {
    pub(super) fn new(
        conf: &Conf,
        journal: Journal,
        board: Board,
        latest: watch::Receiver<Option<Arc<Snapshot>>>,
        acts: Acts,
    ) -> Self {
        Self(Arc::new(Inner {
            role: conf.role,
            host: conf.host.clone(),
            state_dir: conf.state_dir.clone(),
            log_dir: conf.log.dir.clone(),
            holder: Holder::this(conf.host.to_string(), conf.role.to_string()),
            journal,
            board,
            latest,
            acts,
            beat: Mutex::new(Instant::now()),
            areas: Areas::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            census: tokio::sync::Mutex::new(None),
            history: History::default(),
            reviews: Arc::new(Semaphore::new(1)),
            requests: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
        }))
    }

    /// Notes when snapshots come, until the daemon leaves.
    pub(super) async fn follow(self) {
        let mut latest = self.0.latest.clone();
        while latest.changed().await.is_ok() {
            *self.0.beat.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        std::future::pending::<()>().await;
    }

    /// Which side this is.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// The host's name.
    pub fn host(&self) -> &Name {
        &self.0.host
    }

    /// Where journal and snapshot lie.
    pub fn state_dir(&self) -> &Path {
        &self.0.state_dir
    }

    /// Where the log lies.
    pub(super) fn log_dir(&self) -> &Path {
        &self.0.log_dir
    }

    pub(super) fn history(&self) -> &History {
        &self.0.history
    }

    pub(super) fn reviews(&self) -> &Arc<Semaphore> {
        &self.0.reviews
    }

    /// Who we are: the owner of the state directory.
    pub(super) fn holder(&self) -> &Holder {
        &self.0.holder
    }

    /// The truth; look at it shortly, in pieces if there is much to see.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// The way to whoever does what people want.
    pub(super) fn acts(&self) -> &Acts {
        &self.0.acts
    }

    /// What is moving.
    pub fn board(&self) -> &Board {
        &self.0.board
    }

    /// What the supervisor said last; none before its first word.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.0.latest.borrow().clone()
    }

    /// How long the main thread has been silent.
    pub fn silence(&self) -> Duration {
        self.0.beat.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) fn areas(&self) -> &Areas {
        &self.0.areas
    }

    pub(super) fn streams(&self) -> &Arc<Semaphore> {
        &self.0.streams
    }

    pub(super) fn census(&self) -> &tokio::sync::Mutex<Option<(Instant, Arc<Census>)>> {
        &self.0.census
    }

    /// One more request came.
    pub(super) fn asked(&self) {
        let _before = self.0.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn requests(&self) -> u64 {
        self.0.requests.load(Relaxed)
    }

    /// Somebody is connected, as long as the answer lives.
    pub(super) fn connected(&self) -> Connected {
        let _before = self.0.connections.fetch_add(1, Relaxed);
        Connected(self.0.clone())
    }

    pub(super) fn connections(&self) -> usize {
        self.0.connections.load(Relaxed)
    }
}

/// One connection.
pub(super) struct Connected(Arc<Inner>);

impl Drop for Connected {
    fn drop(&mut self) {
        let _before = self.0.connections.fetch_sub(1, Relaxed);
    }
}
