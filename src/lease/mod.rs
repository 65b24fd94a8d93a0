//! May this process still change anything? Asked directly before every change.
//!
//! The state directory has one owner. A process that was suspended (SIGSTOP, a sleeping machine, a disk that hangs) does not
//! know what happened meanwhile: another may have taken over. So it holds a *lease*, which a thread of the journal renews by
//! reading the owner file; what changes anything asks the lease first, and a lease that ran out is never good again.
//!
//! Why no two processes change anything at the same time, with clocks that are never compared:
//! - a permit is given only if a reading of the owner file that found our own token *began* less than **half** a lease ago;
//! - whoever replaces the record of a holder that is not proven dead waits **two thirds** of that holder's lease after the
//!   replacement, and looks again, before its first change;
//! - so the permits of the replaced one have ended before those of the other begin; a sixth of the lease is left for clocks
//!   that run unequally and for the change that was just permitted.
//!
//! The limit: between a permit and the system call that it is for lie some microseconds, in which a process can be stopped as
//! well. What such a straggler could do is harmless by the nature of the changes: the journal was moved to a new file, renames
//! never replace, objects have the same bytes whoever puts them, a step of the LIMS cannot be claimed twice.
mod body;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

pub use body::{FRAME, Guarded};

use crate::clock;

/// A shorter lease would be ended by a busy disk.
pub const SHORTEST: Duration = Duration::from_secs(2);
/// Who takes over waits for a lease; longer ones are not believed.
pub const LONGEST: Duration = Duration::from_secs(600);
/// Who waits for a renewal looks at the clock at least this often.
const GLANCE: Duration = Duration::from_millis(100);

/// Why this process must not change anything any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// It did not run for too long.
    #[error(
        "this process was suspended{} for {} s, longer than its lease of {} s; another may have taken over. It writes nothing \
         more and ends; start it again if no other is to go on",
        if *.busy { ", or its state directory did not answer," } else { "" }, .silent.as_secs(), .lease.as_secs()
    )]
    Suspended {
        /// Since the last renewal.
        silent: Duration,
        /// As configured.
        lease: Duration,
        /// A renewal was under way, so it may have been the disk.
        busy: bool,
    },
    /// It ran, but could not renew.
    #[error(
        "the lease of this process could not be renewed for {} s ({why}), longer than its {} s; another may have taken over. \
         It writes nothing more and ends; mend the state directory's disk and start it again", .silent.as_secs(), .lease.as_secs()
    )]
    NotRenewed {
        /// Since the last renewal.
        silent: Duration,
        /// As configured.
        lease: Duration,
        /// What the disk said.
        why: String,
    },
    /// The owner file names another.
    #[error(
        "{by} has taken over {path}. This process writes nothing more and ends; stop one of the two for good"
    )]
    TakenOver {
        /// The owner file.
        path: PathBuf,
        /// Host, process and role.
        by: String,
    },
    /// The owner file is not ours any more, and nobody's that we know.
    #[error(
        "{path} does not name this process any more (removed, damaged or replaced), so another may have started. This process \
         writes nothing more and ends; see who owns the directory now before starting it again"
    )]
    Lost {
        /// The owner file.
        path: PathBuf,
    },
    /// The end was orderly.
    #[error("this process has given up its state directory and ends")]
    Released,
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The one that decides.
    boot: Duration,
    /// A virtual machine that was paused from outside does not see it on the other clock; a jump of this one makes us look.
    wall: Timestamp,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { boot: clock::since_boot(), wall: clock::now() }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Fit,
    /// The owner file must be read again first.
    Doubtful,
    Over(Duration),
}

fn standing(lease: Duration, renewed: Moment, now: Moment) -> Standing {
    let age = now.boot.saturating_sub(renewed.boot);
    let by_wall = clock::age(renewed.wall, now.wall);
    if age >= lease {
        Standing::Over(age)
    } else if age >= lease / 2 || by_wall >= age + lease / 2 {
        Standing::Doubtful
    } else {
        Standing::Fit
    }
}

/// The right to change things, as long as it is renewed; clones share it.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    length: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    renewed: Moment,
    fenced: Option<Fenced>,
    /// Somebody waits for a renewal.
    wanted: bool,
    /// A renewal is under way.
    busy: bool,
    /// Why the last one failed.
    trouble: Option<String>,
}

impl State {
    /// Once fenced, always fenced.
    fn judge(&mut self, lease: Duration, now: Moment) -> Result<Standing, Fenced> {
        if let Some(fenced) = &self.fenced {
            return Err(fenced.clone());
        }
        let silent = match standing(lease, self.renewed, now) {
            Standing::Over(silent) => silent,
            other => return Ok(other),
        };
        let fenced = match self.trouble.clone() {
            Some(why) => Fenced::NotRenewed { silent, lease, why },
            None => Fenced::Suspended { silent, lease, busy: self.busy },
        };
        self.fenced = Some(fenced.clone());
        Err(fenced)
    }
}

impl Lease {
    /// Good from `began` on, a moment before the ownership was found to be ours.
    pub fn new(length: Duration, began: Moment) -> Self {
        let state = State { renewed: began, fenced: None, wanted: false, busy: false, trouble: None };
        Self(Arc::new(Inner { length, state: Mutex::new(state), changed: Condvar::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit for one change that follows at once. One clock is read; only after half a lease without a renewal does it
    /// wait for one, at most until the lease is over.
    pub fn check(&self) -> Result<(), Fenced> {
        let mut state = self.state();
        loop {
            match state.judge(self.0.length, Moment::now()) {
                Ok(Standing::Fit) => return Ok(()),
                Ok(_) => {
                    state.wanted = true;
                    self.0.changed.notify_all();
                    let waited = self.0.changed.wait_timeout(state, GLANCE);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Err(fenced) => {
                    self.0.changed.notify_all();
                    return Err(fenced);
                }
            }
        }
    }

    /// Whether it is over. Reads the clock and waits for nothing, so that it also answers while the disk hangs.
    pub fn over(&self) -> Option<Fenced> {
        self.state().judge(self.0.length, Moment::now()).err()
    }

    /// Comes back when it is over.
    pub async fn run_out(&self) -> Fenced {
        loop {
            if let Some(fenced) = self.over() {
                return fenced;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// For the renewing thread: waits for its next turn. False when there is nothing to renew any more.
    pub fn await_turn(&self, pause: Duration) -> bool {
        let idle = |s: &mut State| !s.wanted && s.fenced.is_none();
        let waited = self.0.changed.wait_timeout_while(self.state(), pause, idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        // A holder that was silent for too long does not speak again.
        let going_on = state.judge(self.0.length, Moment::now()).is_ok();
        (state.wanted, state.busy) = (false, going_on);
        going_on
    }

    /// What came of a renewal that began at `began`: it is ours still, the disk said no, or it is not ours any more.
    pub fn settle(&self, began: Moment, outcome: Result<(), Trouble>) {
        let mut state = self.state();
        state.busy = false;
        // What has run out while the renewal was under way stays over.
        if state.judge(self.0.length, Moment::now()).is_ok() {
            match outcome {
                Ok(()) => (state.renewed, state.trouble) = (began, None),
                Err(Trouble::Disk(why)) => state.trouble = Some(why),
                Err(Trouble::Fenced(fenced)) => state.fenced = Some(fenced),
            }
        }
        self.0.changed.notify_all();
    }

    /// Ends it in order, before the owner file is given free. `Err` if it was over already, and then the owner file may be
    /// another's.
    pub fn release(&self) -> Result<(), Fenced> {
        let mut state = self.state();
        let was_good = state.judge(self.0.length, Moment::now()).map(drop);
        if was_good.is_ok() {
            state.fenced = Some(Fenced::Released);
        }
        self.0.changed.notify_all();
        was_good
    }
}

/// Why a renewal failed.
#[derive(Debug)]
pub enum Trouble {
    /// The disk said no; it may be mended before the lease is over.
    Disk(String),
    /// We are not the owner any more.
    Fenced(Fenced),
}

/// The lease that governs this process. One process owns one state directory at most.
static OURS: OnceLock<Lease> = OnceLock::new();

/// From now on every change that this process makes (files, store, LIMS) asks `lease`. It is of the whole process so that
/// nobody who writes a new piece of work can forget to hand it on. The first one stays.
pub fn govern(lease: Lease) {
    let _the_first_stays = OURS.set(lease);
}

/// A permit for one change that follows at once. A process that owns no state directory (a command, a test) is not bound.
pub fn check() -> Result<(), Fenced> {
    OURS.get().map_or(Ok(()), Lease::check)
}

/// Finds the fence among the causes of an error of a library.
pub fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Fenced> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(fenced) = e.downcast_ref() {
            return Some(fenced);
        }
        // An io::Error keeps what it wraps to itself and shows only the cause of that.
        if let Some(inner) = e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
            && let Some(fenced) = inner.downcast_ref()
        {
            return Some(fenced);
        }
        next = e.source();
    }
    None
}

#[cfg(test)]
mod tests;
