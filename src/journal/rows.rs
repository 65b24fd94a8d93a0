//! What is known of one thing: a package, an order, a queued sample, a chain, a silence.
use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::event::{Cleaned, Facts, Phase};
use crate::package::{Order, OrderId, PackageId, Priority, Reason, Sha256Hex, State};

/// What is known of a package.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which.
    pub id: PackageId,
    /// Where it is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// When it was first known here.
    pub first_seen: Timestamp,
    /// How soon.
    pub priority: Priority,
    /// Failures since the last progress.
    pub failures: u32,
    /// Not before.
    pub retry_at: Option<Timestamp>,
    /// The last failure in words.
    pub last_error: Option<String>,
    /// The order it belongs to.
    pub order: Option<OrderId>,
    /// Whether it was renamed to its destination, where its consumer may have taken it since.
    pub placed: bool,
    /// Set when it left the sender's disk after its transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleaned: Option<Cleaned>,
    /// All facts so far.
    #[serde(flatten)]
    pub facts: Facts,
    /// The way so far.
    pub way: Vec<(State, Timestamp)>,
}

/// What is known of an order.
#[derive(Clone, Debug)]
pub struct OrderRow {
    /// All of it.
    pub order: Order,
    /// Where it is in the LIMS.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Its step.
    pub step: Option<String>,
    /// The last remark.
    pub detail: Option<String>,
    /// Failures to open or end its step.
    pub failures: u32,
    /// Not before.
    pub retry_at: Option<Timestamp>,
}

/// For so long it is said of an order that it did not end as what was delivered: nothing tells when somebody has seen to it.
pub const FLAGGED_FOR: SignedDuration = SignedDuration::from_hours(14 * 24);

impl OrderRow {
    /// Whether a person has to see to it.
    pub fn wants_a_person(&self, now: Timestamp) -> bool {
        match self.phase {
            Phase::Review => true,
            Phase::Flagged => now.duration_since(self.since) < FLAGGED_FOR,
            _ => false,
        }
    }
}

/// A queued sample that cannot be exported as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Doubt {
    /// What the laboratory calls it.
    pub who: String,
    /// What is wrong.
    pub reason: Reason,
    /// In words.
    pub detail: String,
    /// At so many looks so far.
    pub times: u32,
    /// When it was first found so.
    pub since: Timestamp,
    /// Whether it is being put out of the queue (`false`), or was (`true`).
    pub refused: Option<bool>,
}

/// The sender's own chain of commits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SentChain {
    /// The last number given out.
    pub sequence: u64,
    /// Digest of the last commit's bytes.
    pub previous: Option<Sha256Hex>,
    /// The last packages, the newest last.
    pub recent: VecDeque<PackageId>,
}

/// Something that should have happened and did not, until now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Silence {
    /// What.
    pub what: String,
    /// In words.
    pub why: String,
    /// When it last happened.
    pub last: Timestamp,
    /// Since when it is an alarm.
    pub since: Timestamp,
}
