//! Where orders come from, and who is told what became of them: the seam behind which a LIMS sits.
//!
//! What is asked of an implementor, whatever it talks to:
//! - [`look`](Source::look) and [`standing`](Source::standing) change nothing.
//! - [`claim`](Source::claim) takes an order for this program alone. It is asked once; when its outcome is not known,
//!   [`find_claim`](Source::find_claim) finds out, and it must not be asked again before.
//! - [`end`](Source::end) and [`refuse`](Source::refuse) may be repeated: they begin by reading how things stand.
//! - A contradiction is never resolved by choosing a side: it is a doubt, with both names, and a person's to resolve.
use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::LocalBoxFuture;

use crate::blame::Failure;
use crate::disk::{Disk, Hold};
use crate::journal::Journal;
use crate::package::{Order, Reason};
use crate::supervisor::meter::Meter;

/// An answer that takes time.
pub type Ask<'a, T> = LocalBoxFuture<'a, Result<T, Failure>>;

/// What a look may use.
#[derive(Clone, Copy)]
pub struct Looking<'a> {
    /// What is known here already.
    pub journal: &'a Journal,
    /// Shows that the look goes on.
    pub meter: &'a Meter,
    /// For disk work.
    pub hold: &'a Hold,
    /// Of the delivery.
    pub disk: &'a Disk,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Look {
    /// Orders that are complete.
    pub orders: Vec<Ready>,
    /// Who waits, and for what: time or somebody's work will help.
    pub waiting: BTreeMap<String, String>,
    /// What cannot be exported as it is: somebody must correct it.
    pub doubts: Vec<Doubtful>,
    /// Artifacts that are queued and were not read at this look: what is known of them still holds.
    pub unread: BTreeSet<String>,
}

/// An order that can be journalled.
#[derive(Debug)]
pub struct Ready {
    /// All of it.
    pub order: Order,
    /// The claim that was found open in our name although no journal knows of it; none: it is queued.
    pub claim: Option<String>,
}

/// Something queued that cannot be exported as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubtful {
    /// What is queued.
    pub artifact: String,
    /// What the laboratory calls it.
    pub who: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with something, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code.
    pub reason: Reason,
    /// In words, with both names where two things contradict each other.
    pub detail: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

/// An order that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What the source calls the claim: the LIMS step.
    pub id: String,
    /// As whom the source knows us, if it says so.
    pub us: Option<String>,
}

/// Whether a claim whose outcome was not known exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Still queued: it was never claimed.
    Queued,
    /// Claimed by us.
    Claimed(Claim),
    /// Neither: somebody else did something; what was found, in words.
    Lost(String),
}

/// How a claim of ours stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As we left it.
    Open,
    /// A person was asked and has not answered.
    InReview,
    /// Ended as exported, by us or by somebody else.
    Completed,
    /// Taken back by somebody: the claim is gone.
    Gone,
}

/// How an order is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was delivered.
    Delivered,
    /// Nothing was delivered, nor can it still be.
    Undelivered(Fault),
    /// These artifacts were not delivered, or may have been; the others were.
    Partly(BTreeMap<String, Fault>),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Exported.
    Completed,
    /// As if it had never been claimed; in words.
    Withdrawn(String),
    /// Ended, and what was not delivered is where the site wants failed ones; in words.
    Failed(String),
    /// A person has to decide; in words.
    Review(String),
}

/// Where orders come from.
pub trait Source: Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> &str;

    /// Whether it can be worked with unattended: `Ok` has remarks, `Err` what stands in the way and the remedy.
    fn preflight(&self) -> Ask<'_, Vec<String>>;

    /// Everything that could be exported now.
    fn look<'a>(&'a self, with: Looking<'a>) -> Ask<'a, Look>;

    /// Takes the order. Its outcome is unknown after an [`Failure::Outage`].
    fn claim<'a>(&'a self, order: &'a Order) -> Ask<'a, Claim>;

    /// Finds out what became of a claim. `us`: as whom the source knows us, if known.
    fn find_claim<'a>(&'a self, order: &'a Order, us: Option<&'a str>) -> Ask<'a, Found>;

    /// How a claim of ours stands.
    fn standing<'a>(&'a self, claim: &'a str, order: &'a Order) -> Ask<'a, Standing>;

    /// Ends a claim, by the site's rules.
    fn end<'a>(&'a self, claim: &'a str, order: &'a Order, ending: &'a Ending) -> Ask<'a, Ended>;

    /// Puts something out of the queue that cannot be exported. `again`: it was asked before, and it is not known whether it
    /// took. Says where it went.
    fn refuse<'a>(&'a self, artifact: &'a str, fault: &'a Fault, again: bool) -> Ask<'a, String>;
}
