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
mod about;
mod acted;
mod checkpoint;
mod event;
mod file;
mod fold;
mod glance;
mod latest;
mod levers;
mod lives;
mod news;
mod owner;
mod pending;
mod points;
mod proof;
mod replay;
mod rows;
mod told;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::Timestamp;
use tokio::sync::oneshot;

pub use about::{About, about};
pub use acted::{Acted, Lever};
pub use checkpoint::FILE as CHECKPOINT;
pub use event::{Cleaned, Event, Facts, Incident, Line, Phase};
use file::Appender;
pub use file::{FILE, JournalError, ReadReport, read};
pub use fold::Fold;
pub use glance::Glance;
pub use latest::latest;
pub use levers::{Again, Levers, PaceWord, UPLOADS, Word};
pub use lives::{Broken, Lives};
use news::News;
pub use news::{Subscription, Writing};
pub use owner::{Holder, Owner, OwnerError};
pub use points::point;
pub use proof::{Fault, Head, Proof, prove};
pub use rows::{Doubt, FLAGGED_FOR, OrderRow, Row, SentChain, Silence};

use crate::clock;
use crate::lease::Lease;
use crate::package::{Order, OrderId, PackageId, Place, State};
use checkpoint::{Checkpoints, Source};
use pending::{Condition, Pending};

/// Events waiting for the disk; more callers than this wait their turn.
const QUEUE: usize = 1024;

struct Command {
    condition: Condition,
    /// Written together or not at all, but for a power cut between two lines: any first part of them must make sense.
    events: Vec<Event>,
    home: oneshot::Sender<Result<bool, Arc<JournalError>>>,
}

/// A handle to the journal; clones share it.
#[derive(Clone)]
pub struct Journal {
    fold: Arc<RwLock<Fold>>,
    commands: Sender<Command>,
    checkpoints: Checkpoints,
    news: News,
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
        let news = News::new();
        let source = Source { fold: fold.clone(), tail: Arc::new(Mutex::new(appender.tail().clone())) };
        let started = Checkpoints::start(dir, source.clone());
        let checkpoints = started.map_err(crate::fs::FsError::at("start the thread of", dir))?;
        let (told, heard) = (checkpoints.clone(), news.clone());
        let thread = std::thread::Builder::new().name("journal".into());
        let spawned = thread.spawn(move || write_on(appender, &lease, &inbox, &source, &told, &heard));
        drop(spawned.map_err(crate::fs::FsError::at("start the thread of", dir))?);
        Ok(Self { fold, commands, checkpoints, news })
    }

    /// The lines behind this one, as they are written; without one only those that are written from now on.
    pub fn listen(&self, after: Option<u64>) -> Subscription {
        self.news.subscribe(after, || self.view().lines)
    }

    /// What the writing cost since the process began.
    pub fn writing(&self) -> Writing {
        self.news.writing()
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
        let event =
            Event::Moved { package: package.clone(), from, to, by: by.to_owned(), facts: facts.into() };
        self.send(Condition::From(package.clone(), from, to), vec![event]).await
    }

    /// Decides the bytes of a commit. `Ok(false)`: another commit took this sequence number, this package has its commit
    /// already, or it is not `Uploading` (any more); look again.
    pub async fn decide_commit(
        &self,
        package: &PackageId,
        place: &Place,
        commit: String,
    ) -> Result<bool, Arc<JournalError>> {
        let (sender, sequence) = (Some(place.sender.clone()), place.sequence);
        let event = Event::Committing { package: package.clone(), sender, sequence, commit };
        self.send(Condition::NextCommit(package.clone(), place.clone()), vec![event]).await
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
        let event =
            Event::Moved { package: package.clone(), from: None, to, by: by.to_owned(), facts: facts.into() };
        self.send(Condition::Enter(package.clone(), to, credit), vec![event]).await
    }

    /// Takes a new order: its packages are `Found`. `claim`: it was found claimed in our name. `Ok(false)`: its name or one of
    /// its packages is known already, one of its artifacts is in an order that is not at its end or is being refused, or there
    /// is no credit.
    pub async fn order(
        &self,
        order: Order,
        claim: Option<String>,
        credit: usize,
    ) -> Result<bool, Arc<JournalError>> {
        let packages = order.packages.iter().map(|d| d.id.clone()).collect();
        let id = order.id.clone();
        let condition = Condition::NewOrder(id.clone(), order.artifacts.clone(), packages, credit);
        let mut events = vec![Event::Ordered { order: Box::new(order) }];
        // Should only the first line survive: opening it anew is refused by the source, and then the claim is looked for.
        events.extend(claim.map(|step| Event::Claim {
            order: id,
            phase: Phase::Opened,
            step: Some(step),
            technician: None,
            detail: None,
        }));
        self.send(condition, events).await
    }

    /// Ends an order whose claim has ended by other hands, and stops these packages of it with the same breath. `Ok(false)`: the
    /// order is not in phase `from`, one of the packages is not in the state it was believed in, or its commit is decided;
    /// nothing was written, look again.
    pub async fn withdraw(
        &self,
        (order, from): (&OrderId, Phase),
        stop: &[(PackageId, State)],
        (by, facts): (&str, Facts),
        (to, detail): (Phase, String),
    ) -> Result<bool, Arc<JournalError>> {
        let moved = |(package, from): &(PackageId, State)| Event::Moved {
            package: package.clone(),
            from: Some(*from),
            to: State::Quarantined,
            by: by.to_owned(),
            facts: Box::new(facts.clone()),
        };
        let mut events: Vec<Event> = stop.iter().map(moved).collect();
        let detail = Some(detail);
        events.push(Event::Claim { order: order.clone(), phase: to, step: None, technician: None, detail });
        self.send(Condition::Withdraw(order.clone(), from, stop.to_vec()), events).await
    }

    /// Journals that a doubted artifact is about to be refused. `Ok(false)`: it is not doubted any more, or it is ordered.
    pub async fn refuse(&self, artifact: &str, detail: String) -> Result<bool, Arc<JournalError>> {
        let event = Event::Refused { artifact: artifact.to_owned(), done: false, detail };
        self.send(Condition::Refusal(artifact.to_owned()), vec![event]).await
    }

    /// Leaves a checkpoint for those who ask while nobody runs. Waits some seconds at most.
    pub async fn leave_checkpoint(&self) {
        self.checkpoints.last().await;
    }

    /// Records what a person did. `Ok(false)`: the package that it is about is not in the state any more in which that was judged.
    pub async fn act(
        &self,
        acted: Acted,
        still: Option<(PackageId, State)>,
    ) -> Result<bool, Arc<JournalError>> {
        let condition = still.map_or(Condition::Always, |(package, state)| Condition::Still(package, state));
        self.send(condition, vec![Event::Acted(acted)]).await
    }

    /// Records what happened.
    pub async fn record(&self, event: Event) -> Result<(), Arc<JournalError>> {
        self.send(Condition::Always, vec![event]).await.map(drop)
    }

    async fn send(&self, condition: Condition, events: Vec<Event>) -> Result<bool, Arc<JournalError>> {
        let (home, answer) = oneshot::channel();
        let gone = || Arc::new(JournalError::Broken("its writing thread has ended".into()));
        let mut command = Command { condition, events, home };
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
fn write_on(
    mut appender: Appender,
    lease: &Lease,
    inbox: &Receiver<Command>,
    shared: &Source,
    checkpoints: &Checkpoints,
    news: &News,
) {
    let (fold, mut told) = (&shared.fold, appender.tail().seq);
    while let Ok(first) = inbox.recv() {
        let batch: Vec<Command> = std::iter::once(first).chain(inbox.try_iter().take(QUEUE)).collect();
        let now = clock::now();
        let (mut events, mut waiting): (Vec<(Timestamp, Event)>, Vec<_>) = (Vec::new(), Vec::new());
        let mut pending = Pending::default();
        {
            let fold = fold.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            for command in batch {
                if pending.allows(&command.condition, &fold) {
                    events.extend(command.events.into_iter().map(|event| (now, event)));
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
        let began = Instant::now();
        let done = lease.check().map_err(JournalError::from);
        let done = done.and_then(|()| {
            points::may_die("journal-writing", &events);
            let dying = if fail::has_failpoints() { events.clone() } else { Vec::new() };
            let lines = appender.append(events)?;
            points::may_die("journal-written", &dying);
            Ok(lines)
        });
        let done = done.and_then(|lines| Ok(lease.check().map(|()| lines)?)).map_err(Arc::new);
        let answer = done.as_ref().map(|_| true).map_err(Arc::clone);
        if let Ok(lines) = done {
            let mut fold = fold.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            lines.iter().for_each(|line| fold.apply(line));
            shared.tail.lock().unwrap_or_else(PoisonError::into_inner).clone_from(appender.tail());
            drop(fold);
            checkpoints.grown(&mut told, appender.tail().seq);
            lines.iter().for_each(|line| told::tell(&line.event));
            news.written(lines, began.elapsed());
        }
        for home in waiting {
            drop(home.send(answer.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
