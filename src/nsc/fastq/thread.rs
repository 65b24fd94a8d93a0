//! The check on a thread of its own: decompressing costs several times the digests, and must keep neither a disk nor an actor.
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::sync::oneshot;

use super::{Fault, Found, Pipe, check};
use crate::store::{Listener, listening};
use crate::supervisor::meter::Meter;
use crate::supervisor::panic_text;

/// What came of a check.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A good file.
    Good(Found),
    /// Not what its name says.
    Bad(Fault),
    /// It was not read to its end, or the check itself failed: nothing is known about the file.
    Unknown(String),
}

/// A check under way. Whoever drops it gives it up, and its thread ends with the piece it has in hand.
pub struct Check {
    verdict: oneshot::Receiver<Verdict>,
}

/// Begins a check of what the listener will be told. The meter moves while text comes out, however little goes in.
pub fn begin(meter: &Meter) -> io::Result<(Listener, Check)> {
    let (listener, heard) = listening();
    let (home, verdict) = oneshot::channel();
    let meter = meter.clone();
    let work = move || {
        let goes_on = || {
            meter.alive();
            !home.is_closed()
        };
        let done = catch_unwind(AssertUnwindSafe(|| {
            fail::fail_point!("fastq");
            check(Pipe::new(heard), goes_on)
        }));
        let verdict = match done {
            Ok(Ok(found)) => Verdict::Good(found),
            Ok(Err(fault @ Fault::Cut)) => Verdict::Unknown(format!("the file {fault}")),
            Ok(Err(fault)) => Verdict::Bad(fault),
            Err(panic) => Verdict::Unknown(format!("its check panicked: {}", panic_text(&*panic))),
        };
        drop(home.send(verdict)); // given up: nobody wants to know
    };
    drop(thread::Builder::new().name("fastq".into()).spawn(work)?);
    Ok((listener, Check { verdict }))
}

impl Check {
    /// What came of it; waits until what was heard is checked.
    pub async fn verdict(self) -> Verdict {
        self.verdict.await.unwrap_or_else(|_| Verdict::Unknown("its check ended without a word".into()))
    }
}
