//! The truth: an append-only, fsynced, hash-chained journal with one writer.
//!
//! The state of everything is the fold of its events. A message between actors is only a doorbell; what is to be done is
//! read from here, at the start and by timer, so a lost or doubled message costs time and never data.
//!
//! - [`Journal::step`] moves a package by compare-and-set along the table of legal moves. `false` means that somebody was
//!   faster and there is nothing to do.
//! - An event counts only when its line is on the disk; readers never see a state that a power cut could take back.
//! - All writing is done by one thread that gathers what arrives while it waits for the disk: many actors, one fsync.
//! - Every batch needs a permit of the owner's lease; without one nothing is written any more.
//! - A failed write or fsync breaks the journal for good. Every caller then gets an error and the process ends with 75.
//! - Any process may read the file at any time ([`read`]); nobody but the owner writes. Why not a database: the state
//!   directory may lie on a network file system, where those either fail or can be destroyed by a second reader.
mod event;
mod file;
mod fold;
mod owner;
mod points;
mod told;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::Timestamp;
use tokio::sync::oneshot;

pub use event::{Event, Facts, Incident, Line, Phase};
use file::Appender;
pub use file::{FILE, JournalError, ReadReport, read};
pub use fold::{Fold, OrderRow, Row, SentChain, Silence};
pub use owner::{Holder, Owner, OwnerError};
pub use points::point;

use crate::clock;
use crate::lease::Lease;
use crate::package::{Order, PackageId, State};

/// Events waiting for the disk; more callers than this wait their turn.
const QUEUE: usize = 1024;

enum Condition {
    Always,
    /// Only if the package is in this state.
    From(PackageId, Option<State>, State),
    /// Only if this is the sender's next commit and the package has none decided yet.
    NextCommit(PackageId, u64),
    /// Only if none of the order's artifacts and packages is known, and there is credit for them.
    NewOrder(Vec<String>, Vec<PackageId>, usize),
    /// Only if the package is new, and there is credit for it.
    Enter(PackageId, State, usize),
}

struct Command {
    condition: Condition,
    event: Event,
    home: oneshot::Sender<Result<bool, Arc<JournalError>>>,
}

/// A handle to the journal; clones share it.
#[derive(Clone)]
pub struct Journal {
    fold: Arc<RwLock<Fold>>,
    commands: Sender<Command>,
}

impl Journal {
    /// Opens the journal of a state directory that the caller owns, and starts the writing thread.
    pub fn open(dir: &Path, owner: &Owner) -> Result<Self, JournalError> {
        if owner.took_over() {
            file::into_new_file(dir)?;
        }
        let (mut fold, lease) = (Fold::default(), owner.lease().clone());
        let appender = Appender::open(dir, |line| fold.apply(&line))?;
        let fold = Arc::new(RwLock::new(fold));
        let (commands, inbox) = bounded(QUEUE);
        let shared = fold.clone();
        let thread = std::thread::Builder::new().name("journal".into());
        let spawned = thread.spawn(move || write_on(appender, &lease, &inbox, &shared));
        drop(spawned.map_err(crate::fs::FsError::at("start the thread of", dir))?);
        Ok(Self { fold, commands })
    }

    /// The present. Hold it shortly and never over an `.await`.
    pub fn view(&self) -> RwLockReadGuard<'_, Fold> {
        self.fold.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Moves a package if it is in state `from`. `Ok(false)`: it is not, nothing was written.
    pub async fn step(
        &self,
        package: &PackageId,
        from: Option<State>,
        to: State,
        by: &str,
        facts: Facts,
    ) -> Result<bool, Arc<JournalError>> {
        if !State::may_move(from, to) {
            let word = |s: Option<State>| s.map_or("nowhere".to_owned(), |s| s.to_string());
            let (package, from, to) = (package.to_string(), word(from), to.to_string());
            return Err(Arc::new(JournalError::Illegal { package, from, to }));
        }
        let event = Event::Moved { package: package.clone(), from, to, by: by.to_owned(), facts };
        self.send(Condition::From(package.clone(), from, to), event).await
    }

    /// Decides the bytes of a commit. `Ok(false)`: another commit took this sequence number, or this package has its commit
    /// already; look again.
    pub async fn decide_commit(
        &self,
        package: &PackageId,
        sequence: u64,
        commit: String,
    ) -> Result<bool, Arc<JournalError>> {
        let event = Event::Committing { package: package.clone(), sequence, commit };
        self.send(Condition::NextCommit(package.clone(), sequence), event).await
    }

    /// Takes in a new package while fewer than `credit` are under way: counted where it is written, so that two sources
    /// cannot give the same credit away. `Ok(false)`: it is known already, or there is no credit.
    pub async fn enter(
        &self,
        package: &PackageId,
        to: State,
        by: &str,
        facts: Facts,
        credit: usize,
    ) -> Result<bool, Arc<JournalError>> {
        let event = Event::Moved { package: package.clone(), from: None, to, by: by.to_owned(), facts };
        self.send(Condition::Enter(package.clone(), to, credit), event).await
    }

    /// Takes a new order: its packages are `Found`. `Ok(false)`: one of its artifacts or packages is known already, or there
    /// is no credit for them.
    pub async fn order(&self, order: Order, credit: usize) -> Result<bool, Arc<JournalError>> {
        let packages = order.packages.iter().map(|d| d.id.clone()).collect();
        let condition = Condition::NewOrder(order.artifacts.clone(), packages, credit);
        self.send(condition, Event::Ordered { order: Box::new(order) }).await
    }

    /// Records what happened.
    pub async fn record(&self, event: Event) -> Result<(), Arc<JournalError>> {
        self.send(Condition::Always, event).await.map(drop)
    }

    async fn send(&self, condition: Condition, event: Event) -> Result<bool, Arc<JournalError>> {
        let (home, answer) = oneshot::channel();
        let gone = || Arc::new(JournalError::Broken("its writing thread has ended".into()));
        let mut command = Command { condition, event, home };
        // The queue empties at the speed of one fsync per batch, so waiting is short; a thread must not block on it.
        loop {
            match self.commands.try_send(command) {
                Ok(()) => break,
                Err(crossbeam_channel::TrySendError::Full(back)) => command = back,
                Err(crossbeam_channel::TrySendError::Disconnected(_)) => return Err(gone()),
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        answer.await.map_err(|_| gone())?
    }
}

/// The writing thread: gathers commands, decides compare-and-set, writes, fsyncs, publishes, answers.
fn write_on(mut appender: Appender, lease: &Lease, inbox: &Receiver<Command>, fold: &RwLock<Fold>) {
    while let Ok(first) = inbox.recv() {
        let batch: Vec<Command> = std::iter::once(first).chain(inbox.try_iter().take(QUEUE)).collect();
        let now = clock::now();
        let (mut events, mut waiting): (Vec<(Timestamp, Event)>, Vec<_>) = (Vec::new(), Vec::new());
        let mut pending = Pending::default();
        {
            let fold = fold.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            for command in batch {
                if pending.allows(&command.condition, &fold) {
                    events.push((now, command.event));
                    waiting.push(command.home);
                } else {
                    drop(command.home.send(Ok(false)));
                }
            }
        }
        if events.is_empty() {
            continue;
        }
        // Asked before, so that nothing is written without a permit; and after, because what was written while the process
        // was suspended may have gone into a file that is not the journal any more.
        let done = lease.check().map_err(JournalError::from);
        let done = done.and_then(|()| {
            points::may_die("journal-writing", &events);
            let dying = if fail::has_failpoints() { events.clone() } else { Vec::new() };
            let lines = appender.append(events)?;
            points::may_die("journal-written", &dying);
            Ok(lines)
        });
        let done = done.and_then(|lines| Ok(lease.check().map(|()| lines)?)).map_err(Arc::new);
        if let Ok(lines) = &done {
            let mut fold = fold.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            lines.iter().for_each(|line| fold.apply(line));
            drop(fold);
            lines.iter().for_each(|line| told::tell(&line.event));
        }
        let answer = done.map(|_| true);
        for home in waiting {
            drop(home.send(answer.clone()));
        }
    }
}

/// What earlier commands of a batch lead to, before they are on the disk.
#[derive(Default)]
struct Pending {
    states: HashMap<PackageId, State>,
    committing: HashMap<PackageId, u64>,
    artifacts: HashSet<String>,
    entered: usize,
}

impl Pending {
    /// A group larger than all credit is let in when it is alone.
    fn has_credit(&self, fold: &Fold, more: usize, credit: usize) -> bool {
        let under_way = fold.under_way() + self.entered;
        under_way == 0 || under_way + more <= credit
    }

    fn allows(&mut self, condition: &Condition, fold: &Fold) -> bool {
        match condition {
            Condition::Always => true,
            Condition::From(id, from, to) => {
                let present = self.states.get(id).copied().or_else(|| fold.package(id).map(|row| row.state));
                if present == *from {
                    let _earlier = self.states.insert(id.clone(), *to);
                }
                present == *from
            }
            Condition::Enter(id, to, credit) => {
                let new = !self.states.contains_key(id) && fold.package(id).is_none();
                let may = new && State::may_move(None, *to) && self.has_credit(fold, 1, *credit);
                if may {
                    self.entered += 1;
                    let _earlier = self.states.insert(id.clone(), *to);
                }
                may
            }
            Condition::NewOrder(artifacts, packages, credit) => {
                let known = |a: &String| {
                    self.artifacts.contains(a) || fold.orders().any(|row| row.order.artifacts.contains(a))
                };
                let taken = |id: &PackageId| self.states.contains_key(id) || fold.package(id).is_some();
                let distinct = packages.iter().collect::<HashSet<_>>().len() == packages.len();
                let new = distinct && !artifacts.iter().any(known) && !packages.iter().any(taken);
                let new = new && self.has_credit(fold, packages.len(), *credit);
                if new {
                    self.entered += packages.len();
                    self.artifacts.extend(artifacts.iter().cloned());
                    self.states.extend(packages.iter().map(|id| (id.clone(), State::Found)));
                }
                new
            }
            Condition::NextCommit(id, sequence) => {
                let last = self.committing.values().copied().max().unwrap_or(fold.sent().sequence);
                let free = fold.committing(id).is_none() && !self.committing.contains_key(id);
                let next = *sequence == last + 1 && free;
                if next {
                    let _earlier = self.committing.insert(id.clone(), *sequence);
                }
                next
            }
        }
    }
}

#[cfg(test)]
mod tests;
