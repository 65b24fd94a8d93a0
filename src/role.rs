//! The pipeline, drawn once: which actors a role has, who wakes whom, what each is lent.
//!
//! ```text
//! nsc   poller  → packager → uploader
//! tsd   watcher → copier   → verifier
//! ```
//! Children start sink first and stop source first. With `--only` a process runs a part of its role; the parts meet in the
//! transfer tree (nsc) or in the journal (they must then share nothing else).
use std::sync::Arc;
use std::time::Duration;

use crate::conf::{Conf, NscConf, Role, Side, TsdConf};
use crate::journal::{self, Event, Journal};
use crate::notices::Notices;
use crate::nsc::exporter::Exporter;
use crate::nsc::packager::{Packager, Packing};
use crate::nsc::poller::Poller;
use crate::nsc::uploader::{Sending, Uploader};
use crate::nsc::{self, Tree};
use crate::package::Sender;
use crate::pool::Pool;
use crate::signature::{AllowedSigners, Signer};
use crate::store::Store;
use crate::supervisor::meter::Board;
use crate::supervisor::station::{Manner, Station, Wake, Weather, Work};
use crate::supervisor::{ChildSpec, Incident, Observer};
use crate::tsd::copier::{Copier, Copying};
use crate::tsd::verifier::{Verifier, Verifying};
use crate::tsd::watcher::{Watcher, Watching};
use crate::tsd::{self, Landing};

/// Messages that an actor's mailbox holds; all of them are doorbells.
const MAILBOX: usize = 16;
/// The pool's queue: enough that its workers never wait, few enough that memory stays small.
const QUEUE_PER_THREAD: usize = 4;

/// The actors of a role, in the order of flow.
pub fn actors(role: Role) -> [&'static str; 3] {
    match role {
        Role::Nsc => [nsc::poller::NAME, nsc::packager::NAME, nsc::uploader::NAME],
        Role::Tsd => [tsd::watcher::NAME, tsd::copier::NAME, tsd::verifier::NAME],
    }
}

/// Whether the role has all these actors.
pub fn check(role: Role, only: &[String]) -> Result<(), String> {
    let known = actors(role);
    match only.iter().find(|o| !known.contains(&o.as_str())) {
        Some(odd) => Err(format!("role {role} has no actor {odd:?}; it has {}", known.join(", "))),
        None => Ok(()),
    }
}

/// A role, ready to be started.
pub struct Assembly {
    /// Sink first.
    pub specs: Vec<ChildSpec>,
    /// What is moving.
    pub board: Board,
    /// What waits outside or was refused.
    pub notices: Vec<Notices>,
}

impl Assembly {
    /// Hands the actors a configuration that was read again. Only keys that may change while the daemon runs have new
    /// values in it (see [`crate::conf::class`]). On `Err` nothing was changed.
    pub fn retune(&self, _conf: &Conf) -> Result<(), String> {
        Ok(())
    }
}

/// Puts a role together. Everything that can fail before work begins fails here, in words for an operator.
pub fn assemble(conf: &Conf, journal: &Journal, only: &[String]) -> Result<Assembly, String> {
    check(conf.role, only)?;
    let threads = conf.work.pool_threads;
    let pool = Pool::new("work", threads, threads * QUEUE_PER_THREAD);
    let pool = pool.map_err(|e| format!("could not start the worker threads: {e}"))?;
    let store = Store::new(&conf.store, pool.clone()).map_err(|e| crate::chain(&e))?;
    let kit = Kit { conf, journal, pool, store, board: Board::default(), only };
    match &conf.side {
        Side::Nsc(nsc) => kit.nsc(nsc),
        Side::Tsd(tsd) => kit.tsd(tsd),
    }
}

struct Kit<'a> {
    conf: &'a Conf,
    journal: &'a Journal,
    pool: Pool,
    store: Store,
    board: Board,
    only: &'a [String],
}

type Child = (ChildSpec, actix::Recipient<Wake>);

impl Kit<'_> {
    fn nsc(self, nsc: &NscConf) -> Result<Assembly, String> {
        let tree = Tree::new(&nsc.transfer);
        tree.prepare().map_err(|e| crate::chain(&e))?;
        let exporter = Exporter::new(&nsc.lims, nsc.delivery_root.clone())?;
        let signer = nsc.signing_key.as_deref().map(Signer::from_file).transpose();
        let (waiting, refused, work, scan) =
            (Notices::default(), Notices::default(), self.conf.work, nsc.transfer.scan);
        let sending = Sending {
            journal: self.journal.clone(),
            store: self.store.clone(),
            tree: tree.clone(),
            pool: self.pool.clone(),
            state_dir: self.conf.state_dir.clone(),
            files_at_once: self.conf.store.files_at_once,
            sender: Sender { name: self.conf.host.clone(), epoch: 1 },
            signer: signer.map_err(|e| crate::chain(&e))?,
            refused: refused.clone(),
        };
        let (journal, pool) = (self.journal.clone(), self.pool.clone());
        let packing =
            Packing { journal: journal.clone(), exporter: exporter.clone(), tree, pool: pool.clone() };
        let seen = waiting.clone();
        let at_once = work.packages_at_once;

        let (uploader, wake) = self
            .child(nsc::uploader::NAME, at_once, None, move || Uploader::new(sending.clone(), work, scan));
        let (packager, wake) = self.child(nsc::packager::NAME, at_once, Some(wake), move || {
            Packager::new(packing.clone(), work, scan)
        });
        let (poller, _) = self.child(nsc::poller::NAME, 1, Some(wake), move || {
            Poller::new(exporter.clone(), journal.clone(), seen.clone(), pool.clone())
        });
        Ok(self.assembly([uploader, packager, poller], vec![waiting, refused]))
    }

    fn tsd(self, tsd: &TsdConf) -> Result<Assembly, String> {
        let landing = Landing::new(tsd.landing.clone());
        landing.prepare()?;
        let signers = tsd.allowed_signers.as_deref().map(AllowedSigners::from_file).transpose();
        let (refused, work, files_at_once) =
            (Notices::default(), self.conf.work, self.conf.store.files_at_once);
        let watching = Watching {
            journal: self.journal.clone(),
            store: self.store.clone(),
            landing: landing.clone(),
            signers: signers.map_err(|e| crate::chain(&e))?,
            refused: refused.clone(),
        };
        let copying = Copying {
            journal: self.journal.clone(),
            store: self.store.clone(),
            landing: landing.clone(),
            disk_floor: tsd.disk_floor,
            files_at_once,
        };
        let verifying =
            Verifying { journal: self.journal.clone(), landing, pool: self.pool.clone(), files_at_once };
        let (at_once, interval) = (work.packages_at_once, tsd.interval);

        let (verifier, wake) =
            self.child(tsd::verifier::NAME, at_once, None, move || Verifier::new(verifying.clone(), work));
        let (copier, wake) =
            self.child(tsd::copier::NAME, at_once, Some(wake), move || Copier::new(copying.clone(), work));
        let (watcher, _) =
            self.child(tsd::watcher::NAME, 1, Some(wake), move || Watcher::new(watching.clone(), interval));
        Ok(self.assembly([verifier, copier, watcher], vec![refused]))
    }

    /// One actor and the way to wake it. `room` units at a time; when one is done, `next` is woken.
    fn child<W: Work>(
        &self,
        name: &'static str,
        room: usize,
        next: Option<actix::Recipient<Wake>>,
        make: impl Fn() -> W + Send + 'static,
    ) -> Child {
        let manner = Manner {
            name,
            room,
            rhythm: self.conf.work.rhythm,
            stall: self.conf.work.unit_stall,
            outage: self.conf.work.outage,
            next: next.into_iter().collect(),
            board: self.board.clone(),
            weather: weather(self.journal.clone()),
        };
        let supervision = &self.conf.supervisor;
        let (spec, addr) = ChildSpec::new(name, MAILBOX, move |env| Station::new(env, manner, make));
        (spec.drain_within(supervision.drain).stall_after(supervision.stall), addr.recipient())
    }

    fn assembly(&self, specs: [ChildSpec; 3], notices: Vec<Notices>) -> Assembly {
        let chosen = |spec: &ChildSpec| self.only.is_empty() || self.only.iter().any(|o| o == spec.id());
        Assembly { specs: specs.into_iter().filter(chosen).collect(), board: self.board.clone(), notices }
    }
}

/// Writes the beginning and the end of each outage into the journal.
fn weather(journal: Journal) -> Weather {
    Arc::new(move |actor: &'static str, why: Option<&str>, after: Duration| {
        let actor = actor.to_owned();
        let event = match why {
            Some(why) => Event::Degraded { actor, why: why.to_owned() },
            None => {
                Event::Recovered { actor, after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) }
            }
        };
        record_aside(&journal, event);
    })
}

/// Writes every incident into the journal.
pub fn observer(journal: Journal) -> Observer {
    Arc::new(move |incident: Incident| {
        let record = journal::Incident {
            actor: incident.actor.to_owned(),
            incarnation: incident.incarnation,
            cause: incident.exit.word().to_owned(),
            detail: incident.exit.detail().to_owned(),
            in_hand: incident.in_hand,
            streak: incident.streak,
            budget_left: incident.budget_left,
            next_delay_ms: None,
            action: "restart".into(),
            outcome: incident.outcome,
        };
        record_aside(&journal, Event::Incident(record));
    })
}

/// Records without making the caller wait for the disk.
fn record_aside(journal: &Journal, event: Event) {
    let journal = journal.clone();
    let _detached = crate::supervisor::runtime().spawn(async move {
        if let Err(e) = journal.record(event).await {
            tracing::error!(error = %crate::chain(&*e), "could not record it in the journal");
        }
    });
}
