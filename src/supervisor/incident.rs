//! Incidents: one complete record for every failure of an actor, and another when it is over.
use std::sync::Arc;
use std::time::Duration;

use super::cage::Exit;

/// What was decided about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The actor comes up again.
    Restart,
    /// It stays down, the others go on.
    GivenUp,
    /// Everything is brought down in order and the process ends.
    ProcessEnds,
    /// Nothing: it was being stopped anyway.
    Stopping,
}

impl Action {
    /// The word in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::GivenUp => "given-up",
            Self::ProcessEnds => "process-ends",
            Self::Stopping => "stopping",
        }
    }
}

/// One failure of a child, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The child.
    pub actor: &'static str,
    /// Which life of it, from 1.
    pub incarnation: u64,
    /// Why.
    pub exit: Exit,
    /// What it had in hand.
    pub in_hand: Vec<String>,
    /// Failures in a row, this one included.
    pub streak: u32,
    /// Restarts left in the present window.
    pub budget_left: usize,
    /// When it comes up again.
    pub next_delay: Option<Duration>,
    /// What is done about it.
    pub action: Action,
    /// The same in words.
    pub outcome: String,
}

/// What a supervisor has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A child failed.
    Failed(Incident),
    /// It is up again.
    Recovered {
        /// The child.
        actor: &'static str,
        /// Which life of it began.
        incarnation: u64,
        /// From the failure to the first sign of life.
        down: Duration,
    },
}

/// Told of everything that happens to children. It must not block; it is responsible for log and journal.
pub type Observer = Arc<dyn Fn(Happening) + Send + Sync>;
