//! One place's threads and queue, and how they notice that the place does not answer.
//!
//! There are as many permits as places in the queue and each is held until its job is done, so handing over never blocks.
//! Whoever waits for a job watches it: a job that runs must end or [move](OnDisk::moved), one that waits must see the lane move.
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use jiff::Timestamp;
use tokio::sync::{Semaphore, oneshot};

use super::{DiskError, Hold};
use crate::clock;
use crate::supervisor::panic_text;

/// Threads that may take the place of ones that hang.
pub(super) const SPARES: usize = 4;
/// Jobs that wait, for each thread.
const QUEUE: usize = 4;

type Job = Box<dyn FnOnce(&Arc<Shared>) + Send>;
pub(super) type Told = Box<dyn Fn(Option<&str>, Duration) + Send + Sync>;

/// When something last moved.
#[derive(Debug)]
struct Pulse {
    began: Instant,
    /// Milliseconds after `began`.
    last: AtomicU64,
}

impl Pulse {
    fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0) }
    }

    fn beat(&self) {
        self.last.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    fn silence(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.last.load(Relaxed)))
    }
}

/// A job from the moment it is handed over.
struct Run {
    pulse: Pulse,
    begun: AtomicBool,
}

/// Proof that this code runs on a disk's thread, where it may block. Cannot leave it.
pub struct OnDisk {
    signs: Option<(Arc<Run>, Arc<Shared>)>,
    _stays: PhantomData<*const ()>,
}

impl OnDisk {
    /// For commands and for the start, where one thread does everything and nobody is kept waiting.
    pub fn alone() -> Self {
        Self { signs: None, _stays: PhantomData }
    }

    /// A sign of life: work that may take longer than `disk.patience` in all must give one after every call that came back.
    pub fn moved(&self) {
        if let Some((run, lane)) = &self.signs {
            run.pulse.beat();
            lane.pulse.beat();
        }
    }
}

struct Shared {
    place: String,
    threads: usize,
    patience: Duration,
    told: Told,
    pulse: Pulse,
    crew: Mutex<Crew>,
    attic: Mutex<Vec<Box<dyn Any + Send>>>,
    /// A request to look into the attic is in the queue.
    called: AtomicBool,
}

#[derive(Default)]
struct Crew {
    workers: usize,
    /// What runs, and since when it is given up.
    running: Vec<(Arc<Run>, Option<Timestamp>)>,
    /// When the present silence began.
    silent: Option<Instant>,
}

impl Crew {
    fn stuck(&self) -> usize {
        self.running.iter().filter(|(_, since)| since.is_some()).count()
    }

    fn since(&self) -> Option<Timestamp> {
        self.running.iter().filter_map(|(_, since)| *since).min()
    }
}

impl Shared {
    fn crew(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silent(&self, since: Timestamp) -> DiskError {
        DiskError::Silent { place: self.place.clone(), since }
    }

    fn begin(&self, run: &Arc<Run>) {
        run.begun.store(true, Relaxed);
        run.pulse.beat();
        self.pulse.beat();
        self.crew().running.push((run.clone(), None));
    }

    /// A job has come back, late or in time.
    fn end(&self, run: &Arc<Run>) {
        self.pulse.beat();
        let mut crew = self.crew();
        crew.running.retain(|(other, _)| !Arc::ptr_eq(other, run));
        if crew.stuck() == 0
            && let Some(silent) = crew.silent.take()
        {
            (self.told)(None, silent.elapsed());
        }
    }

    /// Gives up what has not moved for too long. Looks at every job, because the one who waited for it may be gone.
    fn judge(&self) -> Option<Timestamp> {
        let (mut crew, mut longest) = (self.crew(), Duration::ZERO);
        for (run, since) in crew.running.iter_mut().filter(|(_, since)| since.is_none()) {
            let silence = run.pulse.silence();
            if silence >= self.patience {
                *since = Some(clock::now() - silence);
                longest = longest.max(silence);
            }
        }
        let since = crew.since()?;
        if crew.silent.is_none() {
            crew.silent = Instant::now().checked_sub(longest);
            (self.told)(Some(&self.silent(since).to_string()), Duration::ZERO);
        }
        Some(since)
    }

    /// After each job: whether there is one thread too many, because one that hung is back.
    fn may_leave(&self) -> bool {
        let mut crew = self.crew();
        let spare = crew.workers - crew.stuck() > self.threads;
        crew.workers -= usize::from(spare);
        spare
    }

    /// Closes what was left to be closed. May hang like everything else, so it counts as a job.
    fn sweep(&self) {
        self.called.store(false, Relaxed); // before looking: what comes later calls again
        let old = std::mem::take(&mut *self.attic.lock().unwrap_or_else(PoisonError::into_inner));
        if !old.is_empty() {
            let run = Arc::new(Run { pulse: Pulse::new(), begun: AtomicBool::new(true) });
            self.begin(&run);
            for one in old {
                drop(one);
                run.pulse.beat();
            }
            self.end(&run);
        }
    }
}

/// The lane of one place; clones share it. Its threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Disk {
    role: &'static str,
    shared: Arc<Shared>,
    jobs: Sender<Job>,
    inbox: Receiver<Job>,
    permits: Arc<Semaphore>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.role, self.shared.place)
    }
}

impl Disk {
    pub(super) fn start(
        role: &'static str,
        place: String,
        threads: usize,
        patience: Duration,
        told: Told,
    ) -> std::io::Result<Self> {
        let permits = threads * QUEUE + SPARES;
        let (jobs, inbox) = unbounded(); // the permits bound it; calls to the attic come on top, one at a time
        let (pulse, crew, attic, called) =
            (Pulse::new(), Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { place, threads, patience, told, pulse, crew, attic, called });
        let disk = Self { role, shared, jobs, inbox, permits: Arc::new(Semaphore::new(permits)) };
        for _ in 0..threads {
            disk.hire()?;
        }
        Ok(disk)
    }

    fn hire(&self) -> std::io::Result<()> {
        let (shared, inbox) = (self.shared.clone(), self.inbox.clone());
        let mut crew = self.shared.crew();
        let thread = thread::Builder::new().name(format!("{}-{}", self.role, crew.workers));
        let work = move || {
            for job in &inbox {
                job(&shared);
                shared.sweep();
                if shared.may_leave() {
                    return;
                }
            }
        };
        drop(thread.spawn(work)?);
        crew.workers += 1;
        Ok(())
    }

    /// Whether new work has a thread to run on. Not so while as many calls hang as there may be threads.
    pub fn takes_work(&self) -> bool {
        let crew = self.shared.crew();
        crew.workers > crew.stuck()
    }

    /// For reading what belongs to no unit; whatever writes needs a [`Hold`].
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&OnDisk) -> T + Send + 'static,
    ) -> Result<T, DiskError> {
        self.run(None, work).await
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        hold: Option<Hold>,
        work: impl FnOnce(&OnDisk) -> T + Send + 'static,
    ) -> Result<T, DiskError> {
        if !self.takes_work() {
            let since = self.shared.crew().since();
            return Err(since.map_or(DiskError::Ended, |since| self.shared.silent(since)));
        }
        let run = Arc::new(Run { pulse: Pulse::new(), begun: AtomicBool::new(false) });
        let mut answer = std::pin::pin!(self.hand_over(hold, run.clone(), work));
        loop {
            let silence = match run.begun.load(Relaxed) {
                true => run.pulse.silence(),
                // It waits its turn, which may rightly take long.
                false => run.pulse.silence().min(self.shared.pulse.silence()),
            };
            let left = self.shared.patience.saturating_sub(silence);
            // Also looks for the answer when nothing is left: it may have come in this moment.
            match tokio::time::timeout(left, answer.as_mut()).await {
                Ok(done) => return done,
                Err(_) if left.is_zero() => return Err(self.give_up(silence)),
                Err(_) => {}
            }
        }
    }

    async fn hand_over<T: Send + 'static>(
        &self,
        hold: Option<Hold>,
        run: Arc<Run>,
        work: impl FnOnce(&OnDisk) -> T + Send + 'static,
    ) -> Result<T, DiskError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| DiskError::Ended)?;
        let (home, answer) = oneshot::channel();
        let job = move |lane: &Arc<Shared>| {
            let _until_done = permit;
            if home.is_closed() {
                return; // whoever waited is gone; nothing has been touched
            }
            lane.begin(&run);
            let on = OnDisk { signs: Some((run.clone(), lane.clone())), _stays: PhantomData };
            let done = catch_unwind(AssertUnwindSafe(|| {
                fail::fail_point!("disk");
                work(&on)
            }));
            lane.end(&run);
            // Before the answer, so that whoever gets it finds the unit free; `work` and all it held are gone by now.
            drop(hold);
            drop(home.send(done.map_err(|p| panic_text(&*p))));
        };
        self.jobs.send(Box::new(job)).map_err(|_| DiskError::Ended)?;
        answer.await.map_err(|_| DiskError::Ended)?.map_err(DiskError::Panicked)
    }

    /// Names the silence, and lets spares take the place of threads that hang.
    fn give_up(&self, silence: Duration) -> DiskError {
        let since = self.shared.judge().unwrap_or_else(|| clock::now() - silence);
        loop {
            let (workers, stuck) = {
                let crew = self.shared.crew();
                (crew.workers, crew.stuck())
            };
            if workers - stuck >= self.shared.threads || workers >= self.shared.threads + SPARES {
                return self.shared.silent(since);
            }
            if let Err(e) = self.hire() {
                tracing::error!(disk = self.shared.place, error = %e, "could not start a spare thread");
                return self.shared.silent(since);
            }
        }
    }

    /// Drops something on the disk's own threads, soon.
    pub(super) fn bury(&self, thing: Box<dyn Any + Send>) {
        self.shared.attic.lock().unwrap_or_else(PoisonError::into_inner).push(thing);
        if !self.shared.called.swap(true, Relaxed) {
            drop(self.jobs.send(Box::new(|_: &Arc<Shared>| {}))); // every thread sweeps after every job
        }
    }
}
