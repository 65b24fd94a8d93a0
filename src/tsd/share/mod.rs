//! Several hosts on one bucket: who has which package, kept in the bucket itself by its conditional writes. No broker of our own.
//!
//! - Each host has a *session*: one small object that it replaces every sixth of `share.lease` ([`session`]).
//! - Each package has a *claim*: one small object, created once, that names its holder and how far it is ([`record`]). A claim is good
//!   as long as its holder's session is: one request per renewal, whatever the number of packages.
//! - A host that is silent is ended by another, under the condition that it is still silent ([`sight`]); then its claims are taken over
//!   one by one, each under the condition that nobody else was faster.
//! - `placing` is written before the rename into place, `landed` behind `READY`. Whoever takes over what is `placing` does not know
//!   whether the other came to its rename; the directory in the incoming area tells, which each holder has for itself, and which is
//!   taken over by a rename: of that and the rename into place only one can succeed ([`heir`]).
//! - A bucket is shared from the moment at which one journal has said what it knows of the packages in it ([`adopt`]): without that, the
//!   next host would land once more what was landed before.
//! - A store is trusted with that only after it was seen to hold its conditions, at every start ([`proof`]).
mod adopt;
mod claims;
pub mod heir;
mod open;
mod peers;
mod proof;
mod record;
mod session;
mod sight;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

pub use claims::{Entered, Held};
pub use record::Phase;
pub use session::NoPermit;

use crate::conf::ShareConf;
use crate::journal::Journal;
use crate::package::{Name, PackageId};
use crate::store::{Store, Tag};
use crate::supervisor::runtime;
use adopt::Alone;
use open::Wish;
use record::{Claim, Holder};
use session::Own;
use sight::Sight;

/// Why sharing cannot begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It may work later.
    Later(String),
    /// A person must mend something.
    Config(String),
}

/// The bucket, and where sessions and claims lie in it.
#[derive(Clone)]
struct Bucket {
    store: Store,
    /// `<store.prefix>/<share.prefix>`.
    base: String,
}

impl Bucket {
    fn sessions(&self) -> String {
        format!("{}/sessions/", self.base)
    }

    fn session(&self, seat: &str) -> String {
        format!("{}{seat}", self.sessions())
    }

    fn claim(&self, package: &PackageId) -> String {
        format!("{}/packages/{package}", self.base)
    }

    fn proof(&self, seat: &str) -> String {
        format!("{}/proof/{seat}", self.base)
    }

    /// There as long as the bucket is shared by claims.
    fn mode(&self) -> String {
        format!("{}/shared", self.base)
    }

    /// In words, what to do about a put that is not allowed.
    fn denied(&self, said: &str) -> String {
        format!(
            "share.claims: the store does not take conditional puts below {}/ from this key ({said}): have the key granted put there \
             (and nowhere else), or set share.claims = false and let one host alone receive",
            self.base
        )
    }
}

/// Names the journal of this process, once that is known. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Seat(Arc<OnceLock<String>>);

impl Seat {
    /// None if this process shares with nobody.
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// What one process knows of sharing. Clones share it; the default one shares with nobody.
#[derive(Clone, Default)]
pub struct Share {
    on: Option<Arc<Shared>>,
    /// If it is off: whether others share the bucket all the same.
    off: Option<Arc<Alone>>,
}

struct Shared {
    bucket: Bucket,
    conf: ShareConf,
    host: Name,
    state_dir: PathBuf,
    seat: Seat,
    own: OnceLock<Own>,
    /// Claims that this life of the process has written, of packages that are under way.
    mine: Mutex<BTreeMap<PackageId, Mine>>,
    /// By seat.
    peers: Mutex<BTreeMap<String, Sight>>,
    /// Where the last look at the others' claims ended.
    last: Mutex<Option<PackageId>>,
}

/// A claim of ours, as it lies in the bucket.
#[derive(Clone)]
struct Mine {
    claim: Claim,
    tag: Tag,
}

/// Asked directly before what cannot be done twice.
#[derive(Clone, Default)]
pub struct Permit(Option<Own>);

impl Permit {
    /// Whether what follows at once may be done. Waits for nothing.
    pub fn ask(&self) -> Result<(), NoPermit> {
        self.0.as_ref().map_or(Ok(()), Own::permit)
    }
}

/// Another host, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub host: String,
    /// `shares`, `silent` or `ended`.
    pub state: String,
}

/// The present, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// Names our journal in the bucket.
    pub seat: String,
    /// Seconds since our session was renewed.
    pub renewed_secs: u64,
    /// Why nothing may be put in place now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The others.
    pub peers: Vec<Peer>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Share {
    /// As configured. Nothing is asked before [`Share::open`].
    pub fn new(conf: &ShareConf, store: &Store, host: &Name, state_dir: &std::path::Path) -> Self {
        let bucket = Bucket { store: store.clone(), base: format!("{}/{}", store.prefix(), conf.prefix) };
        if !conf.claims {
            return Self { on: None, off: Some(Arc::new(Alone::new(bucket))) };
        }
        let shared = Shared {
            bucket,
            conf: conf.clone(),
            host: host.clone(),
            state_dir: state_dir.to_owned(),
            seat: Seat::default(),
            own: OnceLock::new(),
            mine: Mutex::default(),
            peers: Mutex::default(),
            last: Mutex::default(),
        };
        Self { on: Some(Arc::new(shared)), off: None }
    }

    /// Names our journal, if it is shared.
    pub fn seat(&self) -> Seat {
        self.on.as_ref().map(|shared| shared.seat.clone()).unwrap_or_default()
    }

    /// Proves the store and begins the session of this process. The journal must have its first line.
    pub async fn open(&self, journal: &Journal) -> Result<(), Refusal> {
        if let Some(alone) = &self.off {
            return alone.at_start().await;
        }
        let Some(shared) = &self.on else { return Ok(()) };
        let seat = journal.view().seat().map(str::to_owned);
        let seat = seat.ok_or_else(|| Refusal::Later("the journal has no first line yet".into()))?;
        let life = uuid::Uuid::new_v4().simple().to_string();
        let holder = Holder { seat: seat.clone(), life, host: shared.host.to_string() };
        let state_dir = shared.state_dir.display().to_string();
        let own = open::begin(&shared.bucket, &Wish { holder, state_dir, lease: shared.conf.lease }).await?;
        tracing::info!(seat, lease = ?shared.conf.lease, "shares the bucket with other hosts by claims");
        let _the_only_time = shared.seat.0.set(seat);
        drop(runtime().spawn(own.clone().keep()));
        let _the_only_time = shared.own.set(own);
        shared.join(journal).await
    }

    /// For what is to be done at once.
    pub fn permit(&self) -> Permit {
        Permit(self.on.as_ref().and_then(|shared| shared.own.get().cloned()))
    }

    /// The present; none if it shares with nobody.
    pub fn now(&self) -> Option<Sharing> {
        let shared = self.on.as_ref()?;
        let own = shared.own.get()?;
        Some(Sharing {
            seat: own.holder().seat,
            renewed_secs: own.silent().as_secs(),
            trouble: own.permit().err().map(|none| none.to_string()),
            peers: shared.peers_now(),
        })
    }
}

impl Shared {
    /// The session; there is one whenever an actor lives.
    fn own(&self) -> Result<&Own, crate::blame::Failure> {
        let none = || crate::blame::Failure::Outage("the session in the bucket has not begun yet".into());
        self.own.get().ok_or_else(none)
    }
}
