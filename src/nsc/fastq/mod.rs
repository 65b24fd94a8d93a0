//! FASTQ, checked in the pass that sends it: each file for itself while its bytes are read, and R1 against R2 when both are through.
//!
//! - [`check`](check()): compressed bytes in, [`Found`] or what is wrong out. gzip is `flate2` (zlib-rs), FASTQ is `noodles`; ours
//!   is what neither says: bounds on what a hostile file can make us do, and what must be true of a record.
//! - [`begin`]: the same on a thread of its own, fed by the store's [`Listener`](crate::store::Listener). It never holds up a disk's
//!   thread, and ends by itself when the transfer ends, fails or is given up.
//! - [`belong`]: whether two files are the two ends of the same fragments, in whole: as many reads, of the same names, in the same
//!   order, and not the same end twice. From what was [`Found`] alone, which the ledger keeps over a crash.
mod check;
mod pair;
mod plain;
#[cfg(test)]
mod tests;
mod thread;

pub use check::{Fault, Found, MOST_NAME, check};
pub use pair::belong;
pub use plain::{LONGEST_LINE, Pipe};
pub use thread::{Check, Verdict, begin};
