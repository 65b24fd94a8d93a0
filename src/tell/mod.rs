//! Tells people: alarms, what lasts, what is over, and a summary of the day, by mail, webhook or command.
//!
//! - [`trouble`] looks at snapshot and journal once a second: what is out of order? [`decide`] says what of that is news and for
//!   whom, [`outbox`] when it leaves and what becomes of it when it cannot. All three are pure.
//! - [`letter`] makes one message of what waits, [`scrub`] takes the [`names`] out of it and puts [`pseudonym`]s in.
//! - [`send`](mod@send) is the way out. [`keep()`] performs: a task of its own on the shared runtime, with one attempt per channel at a
//!   time. Nobody waits for it, and if it falls it begins again; packages never notice.
//! - What was told and what waits lies in `tell.json`, written before anything leaves: after a crash a message may come twice, and
//!   none is lost.
pub mod decide;
pub mod digest;
mod keep;
pub mod letter;
pub mod memory;
pub mod names;
pub mod outbox;
pub mod pseudonym;
pub mod scrub;
pub mod send;
pub mod trouble;

pub use keep::{Board, ChannelStatus, Teller, keep};
