//! The pipeline, drawn once: which actors a role has, who wakes whom, what each is lent.
//!
//! ```text
//! nsc   poller  → packager → uploader
//! tsd   watcher → copier   → verifier
//! ```
//! Children start sink first and stop source first. With `--only` a process runs a part of its role; the parts meet in the
//! transfer tree (nsc) or in the journal (they must then share nothing else).
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use actix::Recipient;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::acts::levers;
use crate::aside::Aside;
use crate::clock;
use crate::conf::{Conf, Notifications, NscConf, OrderSource, Role, Side, TsdConf, WorkConf};
use crate::disk::{Disk, Disks, OnDisk, Space};
use crate::hashing::Hashing;
use crate::journal::Journal;
use crate::notices::Notices;
use crate::nsc::cleaning::{Cleaning, Stock};
use crate::nsc::directory::{Directory, Shelves};
use crate::nsc::exporter::Exporter;
use crate::nsc::packager::{Packager, Packing, Patience};
use crate::nsc::poller::{Poller, Polling};
use crate::nsc::reading::Desk;
use crate::nsc::source::Source;
use crate::nsc::uploader::{Sending, Uploader};
use crate::nsc::{self, Tree};
use crate::signature::{AllowedSigners, Signer};
use crate::store::Store;
use crate::supervisor::meter::Board;
use crate::supervisor::station::{Manner, Renew, Station, Tuning, Wake, Work};
use crate::supervisor::turn::Rules;
use crate::supervisor::{ChildSpec, Dice};
use crate::tsd::copier::{Copier, Copying};
use crate::tsd::doorbell::{Bell, Doorbell};
use crate::tsd::issuing::Issuing;
use crate::tsd::verifier::{Verifier, Verifying};
use crate::tsd::watcher::{Watcher, Watching};
use crate::tsd::{self, Landing, Senders, Share};

mod records;

pub use records::observer;
use records::{disk_weather, paused, weather};

/// Receipts are looked at once in so many looks at the transfer tree.
const RECEIPTS: u32 = 6;
/// Messages that an actor's mailbox holds; all of them are doorbells.
const MAILBOX: usize = 16;

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
    /// Whose wire is shown.
    pub store: Store,
    /// What waits outside or was refused.
    pub notices: Vec<Notices>,
    /// What a receiver notices of its senders.
    pub senders: Senders,
    /// What rests at a sender.
    pub stock: Stock,
    /// What runs beside the actors and is no actor; ends with the process.
    pub beside: Vec<Beside>,
    /// With other hosts on one bucket; to be opened before the actors start.
    pub share: Share,
    /// The way into the journal for those who must not wait.
    pub aside: Aside,
    /// Has all actors look again.
    pub wakes: Vec<Recipient<Wake>>,
    retune: Retune,
}

/// Runs beside the actors. It never ends by itself; one that falls takes the process with it.
pub type Beside = BoxFuture<'static, ()>;

type Retune = Box<dyn Fn(&Conf) -> Result<(), String>>;

impl Assembly {
    /// Gives the actors what may change while they run: `work` (but for the threads), the rhythms, the disk's floor and where
    /// kinds land, and the limit of bytes a second. Units in hand go on as they were begun. On `Err` nothing was changed.
    pub fn retune(&self, conf: &Conf) -> Result<(), String> {
        (self.retune)(conf)
    }
}

/// The part of the settings that every actor follows. A look at a queue has room for itself only.
fn tuned(work: &WorkConf, looks: bool) -> Tuning {
    let room = if looks { 1 } else { work.packages_at_once };
    Tuning {
        rules: Rules { room, large: work.large, overtakes: work.overtakes },
        rhythm: work.rhythm,
        stall: work.unit_stall,
        outage: work.outage,
    }
}

/// Creates the directories that work needs and checks where they lie; blocks on their disks. Before a start, and before a
/// configuration that was read again is taken over.
pub fn prepare(conf: &Conf) -> Result<(), String> {
    let on = &OnDisk::alone();
    match &conf.side {
        Side::Nsc(nsc) => {
            if let OrderSource::Directory(root) = &nsc.orders.source {
                Shelves::new(root).prepare(on).map_err(|e| crate::chain(&e))?;
            }
            Tree::new(&nsc.transfer).prepare(on).map_err(|e| crate::chain(&e))
        }
        Side::Tsd(tsd) => tsd::landing::prepare(on, &tsd.landing),
    }
}

/// Puts a role together, after [`prepare`]. What can fail before work begins fails there or here, in words for an operator.
pub fn assemble(conf: &Conf, journal: &Journal, only: &[String]) -> Result<Assembly, String> {
    check(conf.role, only)?;
    let aside = Aside::new(journal.clone());
    let disks = Disks::new(conf.work.pool_threads, conf.work.disk_patience, disk_weather(aside.clone()));
    let state_disk = disks.at("state", &conf.state_dir)?;
    let secrets = conf.store.header_files.values().next().and_then(|file| file.parent());
    let secrets = disks.at("secrets", secrets.unwrap_or(&conf.state_dir))?;
    let no_threads = |e| format!("could not start the threads for digests: {e}");
    let hashing = Hashing::start(conf.store.hash_threads).map_err(no_threads)?;
    let store = Store::new(&conf.store, secrets, hashing.clone()).map_err(|e| crate::chain(&e))?;
    let (board, dice) = (Board::default(), Dice::shaken());
    let kit = Kit { conf, journal, aside, disks, state_disk, hashing, store, board, dice, only };
    match &conf.side {
        Side::Nsc(nsc) => kit.nsc(nsc),
        Side::Tsd(tsd) => kit.tsd(tsd),
    }
}

struct Kit<'a> {
    conf: &'a Conf,
    journal: &'a Journal,
    aside: Aside,
    disks: Disks,
    state_disk: Disk,
    hashing: Hashing,
    store: Store,
    board: Board,
    dice: Dice,
    only: &'a [String],
}

/// An actor before it starts, and how it is reached.
struct Child {
    spec: ChildSpec,
    wake: Recipient<Wake>,
    renew: Recipient<Renew>,
    tuning: watch::Sender<Tuning>,
    looks: bool,
}

/// What may change while an nsc runs.
#[derive(Clone)]
struct NscLive {
    work: WorkConf,
    tree: Tree,
    scan: Duration,
    interval: Duration,
}

impl NscLive {
    fn of(work: WorkConf, nsc: &NscConf) -> Self {
        let tree = Tree::new(&nsc.transfer);
        Self { work, tree, scan: nsc.transfer.scan, interval: nsc.lims.interval }
    }
}

/// What may change while a tsd runs.
#[derive(Clone)]
struct TsdLive {
    work: WorkConf,
    interval: Duration,
    whole: Duration,
    disk_floor: u64,
    landing: Landing,
}

impl TsdLive {
    fn of(work: WorkConf, tsd: &TsdConf, disks: &Disks, share: &Share) -> Result<Self, String> {
        let landing = Landing::new(tsd.landing.clone(), disks, share.seat())?;
        Ok(Self { work, interval: tsd.interval, whole: tsd.whole, disk_floor: tsd.disk_floor, landing })
    }
}

impl Kit<'_> {
    fn nsc(self, nsc: &NscConf) -> Result<Assembly, String> {
        let tree = Tree::new(&nsc.transfer);
        let delivery = self.disks.at("delivery", &nsc.delivery_root)?;
        let building = self.disks.at("building", &nsc.delivery_root)?;
        let tree_disk = self.disks.at("transfer", &nsc.transfer.root)?;
        let source = self.source(nsc, &tree_disk)?;
        let signer = nsc.signing_key.as_deref().map(Signer::from_file).transpose();
        let (waiting, refused, refusals) = (Notices::default(), Notices::default(), Notices::default());
        let patience = Patience::of(&nsc.orders);
        let (set, live) = watch::channel(NscLive::of(self.conf.work, nsc));
        let (journal, disks) = (self.journal.clone(), self.disks.clone());
        let sending = Sending {
            journal: journal.clone(),
            store: self.store.clone(),
            tree: tree.clone(),
            disks: self.disks.clone(),
            tree_disk: tree_disk.clone(),
            state_disk: self.state_disk.clone(),
            state_dir: self.conf.state_dir.clone(),
            files_at_once: self.conf.store.files_at_once,
            host: self.conf.host.clone(),
            signer: signer.map_err(|e| crate::chain(&e))?,
            refused: refused.clone(),
            reads: nsc.orders.reads,
        };
        let cleaning = self.cleaning(nsc, &tree, &tree_disk)?;
        let (stock, stuck) = (cleaning.stock.clone(), cleaning.notices.clone());
        let packing = Packing {
            journal: journal.clone(),
            source: source.clone(),
            tree,
            disks: disks.clone(),
            building,
            tree_disk,
            after: nsc.orders.complete_after,
            patience,
            sends_here: self.runs(nsc::uploader::NAME),
            refusals: refusals.clone(),
        };
        let polling = Polling { source, journal, waiting: waiting.clone(), disks, delivery, patience };
        let (check, now) = (nsc.orders.check_every, live.clone());
        let uploader = self.child(nsc::uploader::NAME, false, None, move || {
            let NscLive { work, tree, scan, .. } = now.borrow().clone();
            let cleaning = Cleaning { tree: tree.clone(), every: scan * RECEIPTS, ..cleaning.clone() };
            Uploader::new(Sending { tree, ..sending.clone() }, cleaning, work, scan)
        });
        let now = live.clone();
        let packager = self.child(nsc::packager::NAME, false, Some(&uploader), move || {
            let NscLive { work, scan, .. } = now.borrow().clone();
            Packager::new(packing.clone(), work, scan, check)
        });
        let poller = self.child(nsc::poller::NAME, true, Some(&packager), move || {
            let NscLive { work, interval, .. } = live.borrow().clone();
            Poller::new(polling.clone(), work.window, interval)
        });
        let set = move |conf: &Conf| {
            if let Side::Nsc(nsc) = &conf.side {
                let _before = set.send_replace(NscLive::of(conf.work, nsc));
            }
            Ok(())
        };
        let notices = vec![waiting, refused, refusals, stuck];
        Ok(Assembly { stock, ..self.assembly([uploader, packager, poller], notices, set) })
    }

    fn cleaning(&self, nsc: &NscConf, tree: &Tree, tree_disk: &Disk) -> Result<Cleaning, String> {
        let (state_dir, every) = (&self.conf.state_dir, nsc.transfer.scan * RECEIPTS);
        let (tree, disks) = ((tree.clone(), tree_disk.clone()), (&self.disks, self.state_disk.clone()));
        Cleaning::new(self.journal.clone(), &nsc.cleaning, state_dir, tree, disks, every)
    }

    fn source(&self, nsc: &NscConf, tree_disk: &Disk) -> Result<Arc<dyn Source>, String> {
        Ok(match &nsc.orders.source {
            OrderSource::Clarity => {
                let snp_disk = nsc.taqman.as_deref().map(|dir| self.disks.at("taqman", dir)).transpose()?;
                let desk = Desk::new(nsc, tree_disk.clone(), snp_disk);
                Arc::new(Exporter::new(nsc)?.with_desk(desk))
            }
            OrderSource::Directory(root) => {
                let disk = self.disks.at("orders", root)?;
                let (delivery, at_once) = (nsc.delivery_root.clone(), nsc.orders.read_at_once);
                Arc::new(Directory::new(Shelves::new(root), delivery, self.disks.clone(), disk, at_once))
            }
        })
    }

    fn tsd(self, tsd: &TsdConf) -> Result<Assembly, String> {
        let share = Share::new(&tsd.share, &self.store, &self.conf.host, &self.conf.state_dir);
        let (set, live) = watch::channel(TsdLive::of(self.conf.work, tsd, &self.disks, &share)?);
        let signers = tsd.allowed_signers.as_deref().map(AllowedSigners::from_file).transpose();
        let signers = signers.map_err(|e| crate::chain(&e))?;
        let (refused, waiting, space) = (Notices::default(), Notices::default(), Space::default());
        let senders = Senders::default();
        let files_at_once = self.conf.store.files_at_once;
        let (journal, store, disks) = (self.journal.clone(), self.store.clone(), self.disks.clone());

        let (now, own, on, hashing) = (live.clone(), journal.clone(), disks.clone(), self.hashing.clone());
        let members = Arc::<AtomicUsize>::default();
        let (claims, held, members_held) = (share.clone(), waiting.clone(), members.clone());
        let verifier = self.child(tsd::verifier::NAME, false, None, move || {
            let TsdLive { work, landing, .. } = now.borrow().clone();
            let (journal, share) = (own.clone(), claims.clone());
            let (disks, hashing, waiting) = (on.clone(), hashing.clone(), held.clone());
            let held = members_held.clone();
            let verifying =
                Verifying { journal, share, landing, disks, hashing, waiting, held, files_at_once };
            Verifier::new(verifying, work)
        });
        let (now, own, from, on) = (live.clone(), journal.clone(), store.clone(), disks.clone());
        let (full, hashing, claims) = (waiting.clone(), self.hashing.clone(), share.clone());
        let copier = self.child(tsd::copier::NAME, false, Some(&verifier), move || {
            let TsdLive { work, landing, disk_floor, .. } = now.borrow().clone();
            let (journal, store, disks, share) = (own.clone(), from.clone(), on.clone(), claims.clone());
            let (space, waiting, hashing) = (space.clone(), full.clone(), hashing.clone());
            let copying = Copying {
                journal,
                store,
                share,
                landing,
                disks,
                hashing,
                space,
                waiting,
                disk_floor,
                files_at_once,
            };
            Copier::new(copying, work)
        });
        let (bell, (noted, noticed)) = (Bell::default(), (refused.clone(), senders.clone()));
        let (rung, claims) = (bell.clone(), share.clone());
        let watcher = self.child(tsd::watcher::NAME, true, Some(&copier), move || {
            let TsdLive { work, landing, interval, whole, .. } = live.borrow().clone();
            let (journal, store, refused) = (journal.clone(), store.clone(), noted.clone());
            let (signers, senders) = (signers.clone(), noticed.clone());
            let (bell, share, held) = (rung.clone(), claims.clone(), members.clone());
            let watching = Watching {
                journal,
                store,
                share,
                landing,
                signers,
                refused,
                senders,
                held,
                interval,
                whole,
                bell,
            };
            Watcher::new(watching, work)
        });
        let shared = share.clone();
        let set = move |conf: &Conf| {
            if let Side::Tsd(tsd) = &conf.side {
                let _before = set.send_replace(TsdLive::of(conf.work, tsd, &disks, &shared)?);
            }
            Ok(())
        };
        let mut beside: Vec<Beside> = Vec::new();
        if self.runs(tsd::watcher::NAME) && tsd.notifications == Notifications::Auto {
            let store = self.store.clone();
            beside.push(Doorbell { store, bell }.keep().boxed());
        }
        if self.runs(tsd::verifier::NAME)
            && let Some(receipts) = &tsd.receipts
        {
            let disk = self.disks.at("receipts", &receipts.dir)?;
            let signer = receipts.key_file.as_deref().map(Signer::from_file).transpose();
            let signer = signer.map_err(|e| crate::chain(&e))?;
            let (journal, notices) = (self.journal.clone(), waiting.clone());
            let (dir, host) = (receipts.dir.clone(), self.conf.host.clone());
            beside.push(Issuing { journal, dir, disk, signer, host, notices }.keep().boxed());
        }
        let assembly = self.assembly([verifier, copier, watcher], vec![refused, waiting], set);
        Ok(Assembly { senders, beside, share, ..assembly })
    }

    /// Whether this process has that actor.
    fn runs(&self, actor: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| o == actor)
    }

    /// One actor. When it has done a unit, `next` is woken; one that only looks does so alone.
    fn child<W: Work>(
        &self,
        name: &'static str,
        looks: bool,
        next: Option<&Child>,
        make: impl Fn() -> W + Send + 'static,
    ) -> Child {
        let (tuning, present) = watch::channel(tuned(&self.conf.work, looks));
        let manner = Manner {
            name,
            tuning: present,
            next: next.map(|child| child.wake.clone()).into_iter().collect(),
            board: self.board.clone(),
            weather: weather(self.aside.clone()),
            paused: paused(self.journal, name),
            dice: self.dice.clone(),
        };
        let supervision = &self.conf.supervisor;
        let (spec, addr) = ChildSpec::new(name, MAILBOX, move |env| Station::new(env, manner, make));
        let spec = spec.drain_within(supervision.drain).stall_after(supervision.stall);
        Child { spec, wake: addr.clone().recipient(), renew: addr.recipient(), tuning, looks }
    }

    fn assembly(
        &self,
        children: [Child; 3],
        mut notices: Vec<Notices>,
        set: impl Fn(&Conf) -> Result<(), String> + 'static,
    ) -> Assembly {
        notices.push(self.disks.silent());
        let (mut specs, mut reach, mut wakes) = (Vec::new(), Vec::new(), Vec::new());
        for child in children {
            if self.runs(child.spec.id()) {
                // Without the sink of this process nothing is delivered, and the others can only pile up: the process ends,
                // and is started again.
                specs.push(if specs.is_empty() { child.spec.significant() } else { child.spec });
                wakes.push(child.wake);
                reach.push((child.renew, child.tuning, child.looks));
            }
        }
        let paced = self.store.clone();
        let retune = move |conf: &Conf| {
            set(conf)?;
            paced.repace(&conf.store.pace);
            for (renew, tuning, looks) in &reach {
                let _before = tuning.send_replace(tuned(&conf.work, *looks));
                renew.do_send(Renew);
            }
            Ok(())
        };
        let (board, store, aside) = (self.board.clone(), self.store.clone(), self.aside.clone());
        let (senders, share) = (Senders::default(), Share::default());
        let (stock, beside, retune) = (Stock::default(), Vec::new(), Box::new(retune));
        self.store.overrule(levers::over(&self.journal.view(), clock::now()));
        Assembly { specs, board, store, notices, senders, share, stock, beside, aside, wakes, retune }
    }
}
