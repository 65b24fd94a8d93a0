//! The threads: who is ready stands in two channels, one for each digest; a file stands in each at most once, so they are short.
//!
//! One thread at a time is at md5, unless full company waits: meanwhile the others' files gather, and go side by side in its next
//! turn. Two threads that each took what is there would each have a file or two, at two to three times the price.
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use sha2::Digest;

use super::Queue;
use super::book::{Calls, Tell, Turn};
use super::lockstep::{self, MOST};
use crate::supervisor::panic_text;

/// A thread takes so many turns of SHA-256 before md5 that waits without full company.
const PATIENCE: u32 = 16;

/// The ends into which those that are ready are put.
pub(super) struct Ready {
    sha256: Sender<Arc<Queue>>,
    md5: Sender<Arc<Queue>>,
    /// Makes one of those who leave md5 to another look again.
    look: Sender<()>,
}

impl Ready {
    /// Without threads a book is dropped with its queue, and whoever waits learns that nothing is known.
    pub(super) fn call(&self, queue: &Arc<Queue>, calls: Calls) {
        if calls.sha256 {
            drop(self.sha256.send(queue.clone()));
        }
        if calls.md5 {
            drop(self.md5.send(queue.clone()));
            if self.md5.len() >= MOST {
                let _full = self.look.try_send(()); // if it is full, somebody is about to look
            }
        }
    }
}

pub(super) fn start(threads: usize) -> std::io::Result<Arc<Ready>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let ((sha256, shas), (md5, md5s)) = (unbounded(), unbounded());
    let ((look, looks), at_md5) = (bounded(1), Arc::<AtomicUsize>::default());
    let ready = Arc::new(Ready { sha256, md5, look: look.clone() });
    for n in 0..if threads == 0 { cores } else { threads } {
        let (ready, shas, md5s) = (Arc::downgrade(&ready), shas.clone(), md5s.clone());
        let (look, looks, at_md5) = (look.clone(), looks.clone(), at_md5.clone());
        let hand = Hand { ready, shas, md5s, look, looks, at_md5, own: VecDeque::new(), passed: 0 };
        drop(thread::Builder::new().name(format!("hash-{n}")).spawn(move || hand.work())?);
    }
    Ok(ready)
}

enum Job {
    Sha256(Arc<Queue>),
    Md5(Arc<Queue>),
}

/// One thread.
struct Hand {
    /// Weak: only those who feed keep the channels open.
    ready: Weak<Ready>,
    shas: Receiver<Arc<Queue>>,
    md5s: Receiver<Arc<Queue>>,
    look: Sender<()>,
    looks: Receiver<()>,
    /// How many threads are at md5.
    at_md5: Arc<AtomicUsize>,
    /// What is left to do after the channels were closed.
    own: VecDeque<Job>,
    /// Turns of SHA-256 that were taken while md5 waited.
    passed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Md5,
    Sha256,
    /// SHA-256 when there is some; what is there of md5 goes with the next turn of the one who is at it.
    LeaveMd5,
}

/// What is next, with so many ready and so many threads at md5.
fn what_is_next(shas: usize, md5s: usize, passed: u32, at_md5: usize) -> Next {
    match () {
        () if md5s >= MOST => Next::Md5,
        () if md5s > 0 && at_md5 > 0 => Next::LeaveMd5,
        () if md5s > 0 && (shas == 0 || passed >= PATIENCE) => Next::Md5,
        () => Next::Sha256,
    }
}

impl Hand {
    fn work(mut self) {
        while let Some(job) = self.next() {
            match job {
                Job::Sha256(queue) => {
                    self.passed = if self.md5s.is_empty() { 0 } else { self.passed + 1 };
                    self.sha256(&queue);
                }
                Job::Md5(queue) => {
                    self.passed = 0;
                    self.md5(queue);
                }
            }
        }
    }

    /// Waits for it. None: everything is dropped and done.
    fn next(&mut self) -> Option<Job> {
        loop {
            let sha256 = |hand: &Self| hand.shas.try_recv().ok().map(Job::Sha256);
            let md5 = |hand: &Self| hand.md5s.try_recv().ok().map(Job::Md5);
            // Behind closed channels nothing gathers any more.
            let at_md5 = if self.ready.strong_count() == 0 { 0 } else { self.at_md5.load(Ordering::Acquire) };
            let next = what_is_next(self.shas.len(), self.md5s.len(), self.passed, at_md5);
            let found = match next {
                Next::Md5 => md5(self).or_else(|| sha256(self)),
                Next::Sha256 => sha256(self).or_else(|| md5(self)),
                Next::LeaveMd5 => sha256(self),
            };
            if let Some(job) = found.or_else(|| self.own.pop_front()) {
                return Some(job);
            }
            let got = if next == Next::LeaveMd5 {
                select! {
                    recv(self.shas) -> queue => queue.map(Job::Sha256),
                    recv(self.looks) -> _ => continue,
                }
            } else {
                select! {
                    recv(self.shas) -> queue => queue.map(Job::Sha256),
                    recv(self.md5s) -> queue => queue.map(Job::Md5),
                }
            };
            match got {
                Ok(job) => return Some(job),
                // One is closed, so both are; what is still in the other is not forgotten.
                Err(_) if self.shas.is_empty() && self.md5s.is_empty() => return None,
                Err(_) => {}
            }
        }
    }

    fn sha256(&mut self, queue: &Arc<Queue>) {
        let Some(turn) = queue.book().begin_sha256() else { return };
        let done = guarded(std::slice::from_ref(queue), || {
            let Turn { mut digest, bytes, ends } = turn;
            digest.update(&bytes);
            (digest, ends) // and the bytes are gone before anybody is told
        });
        let Some((digest, ends)) = done else { return };
        let (more, tell) = queue.book().sha256_is(digest, ends);
        tell_them(tell);
        if more {
            self.again(Job::Sha256(queue.clone()));
        }
    }

    /// With whoever else is ready, each in its own lane.
    fn md5(&mut self, first: Arc<Queue>) {
        let _at_it = AtMd5::begin(&self.at_md5, &self.look);
        let company = self.md5s.try_iter().take(MOST - 1);
        let (queues, turns): (Vec<Arc<Queue>>, Vec<Turn<_>>) = std::iter::once(first)
            .chain(company)
            .filter_map(|queue| {
                let turn = queue.book().begin_md5()?;
                Some((queue, turn))
            })
            .unzip();
        let done = guarded(&queues, || {
            let mut files: Vec<_> = turns.iter().map(|t| (t.digest.clone(), &*t.bytes)).collect();
            lockstep::advance(&mut files);
            let digests: Vec<_> = files.into_iter().map(|(digest, _)| digest).collect();
            let ends = turns.iter().map(|t| t.ends).collect::<Vec<_>>();
            drop(turns); // and with them the bytes, before anybody is told
            digests.into_iter().zip(ends).collect::<Vec<_>>()
        });
        for (queue, (digest, ends)) in queues.into_iter().zip(done.unwrap_or_default()) {
            let (more, tell) = queue.book().md5_is(digest, ends);
            tell_them(tell);
            if more {
                self.again(Job::Md5(queue));
            }
        }
    }

    /// At the end of those that are ready. Behind closed channels somebody may still wait for an answer: that is done here.
    fn again(&mut self, job: Job) {
        match (self.ready.upgrade(), job) {
            (Some(ready), Job::Sha256(queue)) => ready.call(&queue, Calls { sha256: true, md5: false }),
            (Some(ready), Job::Md5(queue)) => ready.call(&queue, Calls { sha256: false, md5: true }),
            (None, job) => self.own.push_back(job),
        }
    }
}

/// One more is at md5, as long as this lives.
struct AtMd5 {
    many: Arc<AtomicUsize>,
    look: Sender<()>,
}

impl AtMd5 {
    fn begin(many: &Arc<AtomicUsize>, look: &Sender<()>) -> Self {
        many.fetch_add(1, Ordering::AcqRel);
        Self { many: many.clone(), look: look.clone() }
    }
}

impl Drop for AtMd5 {
    fn drop(&mut self) {
        self.many.fetch_sub(1, Ordering::AcqRel);
        let _full = self.look.try_send(()); // if it is full, somebody is about to look
    }
}

fn tell_them(tell: Option<Tell>) {
    if let Some((done, state)) = tell {
        drop(done.send(state)); // nobody may want to know any more
    }
}

/// A panic in here ends these files, never the thread.
pub(super) fn guarded<T>(queues: &[Arc<Queue>], work: impl FnOnce() -> T) -> Option<T> {
    let panic = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => return Some(done),
        Err(panic) => panic_text(&*panic),
    };
    tracing::error!(panic, files = queues.len(), "computing digests failed; their files are begun anew");
    queues.iter().for_each(|queue| queue.book().end());
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_comes_first_so_that_md5_finds_company_but_not_for_ever() {
        assert_eq!(what_is_next(0, 0, 0, 0), Next::Sha256);
        assert_eq!(what_is_next(3, 0, PATIENCE, 0), Next::Sha256);
        assert_eq!(what_is_next(1, MOST - 1, PATIENCE - 1, 0), Next::Sha256, "more may come");
        assert_eq!(what_is_next(9, MOST, 0, 1), Next::Md5, "full company");
        assert_eq!(what_is_next(0, 1, 0, 0), Next::Md5, "nothing else to do");
        assert_eq!(what_is_next(9, 1, PATIENCE, 0), Next::Md5, "it has waited long enough");
        assert_eq!(what_is_next(0, MOST - 1, PATIENCE, 1), Next::LeaveMd5, "they will go together");
    }
}
