//! One line of the journal: what happened, as JSON.
//!
//! `{"v":1,"seq":7,"at":"…Z","prev":"<sha256 of the line before>","event":"moved",…}`. The hash covers the bytes of the line
//! without its newline. Unknown fields are ignored when read; an unknown `v` is refused.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::acted::Acted;
use crate::package::{Md5Hex, Order, OrderId, PackageId, Priority, Reason, Sender, Sha256Hex, State};

/// The version that is written.
pub const VERSION: u32 = 1;

/// A line with its place in the chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Format version.
    pub v: u32,
    /// From 1 up without gaps.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// SHA-256 of the line before; of nothing for the first.
    pub prev: Sha256Hex,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A daemon took the journal.
    Started {
        /// `nsc` or `tsd`.
        role: String,
        /// Where.
        host: String,
        /// Its process.
        pid: u32,
        /// The program's version.
        version: String,
    },
    /// The daemon left in order.
    Stopped {
        /// Its exit code.
        exit: i32,
        /// In words.
        why: String,
    },
    /// An order was read from the LIMS: its packages are `Found`.
    Ordered {
        /// All of it.
        order: Box<Order>,
    },
    /// The LIMS step of an order whose packages are at their end could not be ended.
    OrderFailed {
        /// Which order.
        order: OrderId,
        /// How often so far.
        failures: u32,
        /// Why.
        error: String,
        /// The next attempt is not before.
        retry_at: Timestamp,
    },
    /// An order's way through the LIMS.
    Claim {
        /// Which order.
        order: OrderId,
        /// Where it is now.
        phase: Phase,
        /// The LIMS step, once there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// As whom the LIMS knows us, told by a step that we opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        technician: Option<String>,
        /// In words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// A look found a queued sample that cannot be exported as it is, other than by waiting. Counted, until it is ordered
    /// or refused.
    Doubted {
        /// What is queued.
        artifact: String,
        /// What the laboratory calls it.
        who: String,
        /// What is wrong.
        reason: Reason,
        /// In words, with both names where two things contradict each other.
        detail: String,
        /// At so many looks so far; 0: it is not doubted any more, it left the queue or was corrected.
        times: u32,
    },
    /// A queued sample that was doubted for too long is put out of the queue, to where the site wants it.
    Refused {
        /// What is queued.
        artifact: String,
        /// False: it is about to be asked of the LIMS. True: it is there.
        done: bool,
        /// Why, and where it went.
        detail: String,
    },
    /// A package went from one state to another.
    Moved {
        /// Which.
        package: PackageId,
        /// From where; none for a package that is new here.
        from: Option<State>,
        /// To where.
        to: State,
        /// Actor or person.
        by: String,
        /// What became known with it.
        #[serde(flatten)]
        facts: Box<Facts>,
    },
    /// Work on a package failed and will be tried again.
    Failed {
        /// Which.
        package: PackageId,
        /// The actor.
        by: String,
        /// How often so far.
        failures: u32,
        /// Why.
        error: String,
        /// The next attempt is not before.
        retry_at: Timestamp,
    },
    /// The bytes of a `COMMIT` are decided; whatever happens now, these bytes are put.
    Committing {
        /// Which package.
        package: PackageId,
        /// In whose chain; older programs wrote it in the commit alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender: Option<Sender>,
        /// The sender's sequence number.
        sequence: u64,
        /// The exact bytes.
        commit: String,
    },
    /// A verified package was renamed into place; only from now on may its consumer have taken it.
    Placed {
        /// Which.
        package: PackageId,
        /// Where it lies.
        place: String,
    },
    /// A package that was transferred leaves the sender's disk.
    Cleaned {
        /// Which.
        package: PackageId,
        /// False: it is about to. True: nothing of it is left there.
        done: bool,
        /// Its payload.
        bytes: u64,
        /// How it is known that it arrived: whose receipt, or `none`.
        proof: String,
        /// Actor or person.
        by: String,
        /// Why.
        why: String,
    },
    /// An actor failed.
    Incident(Incident),
    /// A failed actor is up again and gave its first pulse: the incident is over.
    Restarted {
        /// The actor.
        actor: String,
        /// Which life of it began, from 2.
        incarnation: u64,
        /// From the failure to the pulse, in milliseconds.
        down_ms: u64,
    },
    /// An actor cannot work because something outside is out of order.
    Degraded {
        /// The actor.
        actor: String,
        /// What is wrong.
        why: String,
    },
    /// It works again.
    Recovered {
        /// The actor.
        actor: String,
        /// How long it could not work, in milliseconds.
        after_ms: u64,
    },
    /// Something that should have happened did not happen for longer than configured.
    Silent {
        /// What: `polled`, `committed`, `seen`, `ready`, `heartbeat`…
        what: String,
        /// In words, with what to look at.
        why: String,
        /// When it last happened; the start of the daemon if it never did.
        last: Timestamp,
    },
    /// It happened again.
    Heard {
        /// What.
        what: String,
        /// How long it had not happened, in milliseconds.
        after_ms: u64,
    },
    /// The configuration was read again while the daemon ran.
    Reloaded {
        /// Keys whose new values count from now on.
        changed: Vec<String>,
        /// Keys whose new values wait for a restart.
        needs_restart: Vec<String>,
    },
    /// A person pulled a lever that moves no package from one state to another.
    Acted(Acted),
}

/// An order's way through the LIMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Read and complete; nothing was done in the LIMS.
    Ordered,
    /// About to open a step. After a crash: find out whether it was opened.
    Intent,
    /// The step is open in our name.
    Opened,
    /// All packages are through; the step is completed.
    Completed,
    /// Nothing was delivered; the step was deleted and the samples are in the queue again.
    Withdrawn,
    /// The step is ended, and samples that were not delivered are where the site wants failed ones.
    Failed,
    /// A person has to decide in the LIMS.
    Review,
    /// The step has ended, and not as what was delivered: a person has to see to it, and nothing in the LIMS will tell that it
    /// was done. So it is an end, or the sample could never be ordered again.
    Flagged,
}

impl Phase {
    /// Whether nothing more is to be done about the order.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Withdrawn | Self::Failed | Self::Flagged)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ordered => "ordered",
            Self::Intent => "intent",
            Self::Opened => "opened",
            Self::Completed => "completed",
            Self::Withdrawn => "withdrawn",
            Self::Failed => "failed",
            Self::Review => "review",
            Self::Flagged => "flagged",
        })
    }
}

/// What became known about a package with a move. Every field stays known until a later event says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// How soon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Payload files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Their size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Digest of `SHA256SUMS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<Sha256Hex>,
    /// Digest of `COMMIT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_sha256: Option<Sha256Hex>,
    /// Sender and sequence of the commit, `gdx-login/1#7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<String>,
    /// Digest of the commit before it, by the same sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Sha256Hex>,
    /// tsd: the bytes of `COMMIT` as they were believed, if they are not too long to keep. In this line alone: no row keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The bytes of `COMMIT.sig`, as they were put (nsc) or believed (tsd). In this line alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Where it lies now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The details of that, or a remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Which host has it in hand or has settled it, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Whose work on it was taken over when it was about to be put in place: their seats, the last one last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited: Option<Vec<String>>,
    /// md5 as delivered and as found, where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<(Md5Hex, Md5Hex)>,
}

/// How a package left the sender's disk, or is about to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// When.
    pub at: Timestamp,
    /// Its payload.
    pub bytes: u64,
    /// How it is known that it arrived.
    pub proof: String,
    /// Actor or person.
    pub by: String,
    /// Why.
    pub why: String,
}

/// One failure of an actor as the supervisor saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// The actor.
    pub actor: String,
    /// Which life of it, from 1.
    pub incarnation: u64,
    /// `panic`, `error`, `hang`, `blocked`, `fatal` or `ended`.
    pub cause: String,
    /// Panic text and place, or the chain of errors.
    pub detail: String,
    /// What it had in hand.
    pub in_hand: Vec<String>,
    /// Failures in a row, this one included.
    pub streak: u32,
    /// Restarts left before the supervisor gives up.
    pub budget_left: usize,
    /// The restart comes after this many milliseconds; none: there will be none.
    #[serde(default)]
    pub next_delay_ms: Option<u64>,
    /// What was decided: `restart`, `given-up` (this actor stays down, the others go on) or `process-ends`.
    #[serde(default)]
    pub action: String,
    /// The same in words: `restarted in 200 ms`.
    pub outcome: String,
}
