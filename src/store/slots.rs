//! Slots: who may have a part in memory and on the wire, and when. One for each request that carries bytes, in either direction.
//!
//! Whose turn it is stands in `queue.rs`, how many there are in `window.rs`; both are pure. Here is the lock around them. A slot
//! exists from the moment it is asked for, so that a wait that is given up gives back whatever it had come to.
//!
//! A request keeps its slot through all its attempts, because its bytes are in memory. So a number that falls counts at once only
//! if attempts after the first wait for room on the wire, too: [`OnWire`]. What counts there are attempts that are really under way; each
//! of them ends by its deadlines, so nobody waits for ever, also not for one whose slot waits for his own bytes.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::queue::{Queue, Ticket};
use super::window::{Bound, Present, Window};
use crate::supervisor::meter;

/// What somebody wants a slot for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// More is sooner.
    pub urgency: u8,
    /// What shares one turn: the same for all parts of a package.
    pub flow: u64,
    /// Of memory; more than there is counts as all of it.
    pub bytes: u64,
}

/// How a request that carried bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Acknowledged.
    Arrived,
    /// The store asks for fewer requests.
    Throttled,
    /// Cut off because too little moved.
    Slow,
    /// Anything else.
    Failed,
}

/// A request that carried bytes, once it is over.
#[derive(Clone, Copy, Debug)]
pub struct Trip {
    /// Of its body.
    pub bytes: u64,
    /// From the first byte of the request to the last of the answer.
    pub took: Duration,
    /// How it ended.
    pub end: End,
}

/// All slots; clones share.
#[derive(Clone)]
pub struct Slots {
    inner: Arc<Mutex<Inner>>,
    born: Instant,
}

struct Inner {
    queue: Queue,
    window: Window,
    doors: BTreeMap<Ticket, oneshot::Sender<()>>,
    /// Attempts under way, and those that wait for room; by their numbers.
    flying: BTreeSet<u64>,
    parked: BTreeMap<u64, oneshot::Sender<()>>,
    attempts: u64,
}

/// An attempt at a request with bytes, under way until this is dropped.
#[derive(Debug)]
pub(super) struct OnWire {
    number: u64,
    slots: Slots,
}

/// A slot; given back when it is dropped.
#[derive(Debug)]
pub struct Slot {
    ticket: Ticket,
    slots: Slots,
}

/// How the slots are used at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// In use, each by one request or by the reading before it.
    pub in_flight: usize,
    /// How many may be, as found at present.
    pub limit: usize,
    /// Bytes of memory in use.
    pub memory: u64,
    /// How many wait for one, by urgency.
    pub waiting: BTreeMap<u8, usize>,
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slots({:?})", self.snapshot())
    }
}

impl Inner {
    /// Lets in whoever may go now. To be called after every change.
    fn settle(&mut self) {
        // Those that were there before go first.
        while self.flying.len() < self.window.limit()
            && let Some((number, door)) = self.parked.pop_first()
        {
            let _new = self.flying.insert(number);
            let _woken = door.send(());
        }
        while let Some(ticket) = self.queue.grant(self.window.limit()) {
            if let Some(door) = self.doors.remove(&ticket) {
                // Nobody behind it: the wait was given up, and its slot is on its way back.
                let _woken = door.send(());
            }
        }
    }
}

impl Slots {
    /// At most so many at a time, with so many bytes of memory together.
    pub fn new(cap: usize, memory: u64) -> Self {
        let inner = Inner {
            queue: Queue::new(memory.max(1)),
            window: Window::new(cap),
            doors: BTreeMap::new(),
            flying: BTreeSet::new(),
            parked: BTreeMap::new(),
            attempts: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)), born: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for one. A wait that is dropped loses nothing. The unit that waits gives signs of life.
    pub async fn take(&self, ask: Ask) -> Slot {
        let (door, open) = oneshot::channel();
        let slot = {
            let mut inner = self.lock();
            let ticket = inner.queue.enter(ask);
            let _new = inner.doors.insert(ticket, door);
            inner.settle();
            Slot { ticket, slots: self.clone() }
        };
        // The door is dropped only by being opened, or with the slot.
        let _opened = meter::for_its_turn(open).await;
        slot
    }

    /// A first attempt: whoever has a slot may make it.
    pub(super) fn begins(&self) -> OnWire {
        let mut inner = self.lock();
        inner.attempts += 1;
        let number = inner.attempts;
        let _new = inner.flying.insert(number);
        OnWire { number, slots: self.clone() }
    }

    /// Another attempt: waits while as many are under way as may be. A wait that is dropped loses nothing.
    pub(super) async fn begins_again(&self) -> OnWire {
        let (door, open) = oneshot::channel();
        let attempt = {
            let mut inner = self.lock();
            inner.attempts += 1;
            let number = inner.attempts;
            let _new = inner.parked.insert(number, door);
            inner.settle();
            OnWire { number, slots: self.clone() }
        };
        let _opened = meter::for_its_turn(open).await;
        attempt
    }

    /// To be told of every attempt that carried bytes, while it still counts as under way and its slot is held: from this the number of slots is found.
    pub fn told(&self, trip: Trip) {
        let mut inner = self.lock();
        let (held, flying) = (inner.queue.held(), inner.flying.len());
        let bound = match (held >= inner.window.limit(), inner.queue.anybody_waits()) {
            (true, _) => Bound::Number,
            (false, true) => Bound::Memory,
            (false, false) => Bound::Work,
        };
        let before = inner.window.limit();
        inner.window.note(&trip, Present { held, flying, bound, now: self.born.elapsed() });
        let now = inner.window.limit();
        if now != before {
            tracing::debug!(before, now, why = ?trip.end, "another number of requests in flight");
            inner.settle();
        }
    }

    /// As they would be after a while on another link.
    #[cfg(test)]
    pub(super) fn were(&self, limit: usize) {
        self.lock().window.was(limit);
    }

    /// How they are used now.
    pub fn snapshot(&self) -> Use {
        let inner = self.lock();
        Use {
            in_flight: inner.queue.held(),
            limit: inner.window.limit(),
            memory: inner.queue.used(),
            waiting: inner.queue.waiting(),
        }
    }
}

impl Drop for OnWire {
    fn drop(&mut self) {
        let mut inner = self.slots.lock();
        let _was = inner.flying.remove(&self.number);
        drop(inner.parked.remove(&self.number));
        inner.settle();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut inner = self.slots.lock();
        inner.queue.leave(self.ticket);
        drop(inner.doors.remove(&self.ticket));
        inner.settle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    const ASK: Ask = Ask { urgency: 0, flow: 0, bytes: 10 };

    #[tokio::test]
    async fn a_wait_that_is_given_up_loses_nothing_whatever_it_had_come_to() {
        let slots = Slots::new(1, 100);
        let first = slots.take(ASK).await;
        let mut given_up = Box::pin(slots.take(ASK));
        let mut granted = Box::pin(slots.take(ASK));
        let mut last = Box::pin(slots.take(ASK));
        for wait in [&mut given_up, &mut granted] {
            assert!(futures_util::poll!(wait.as_mut()).is_pending());
        }
        assert!(futures_util::poll!(last.as_mut()).is_pending());
        assert_eq!(slots.snapshot().waiting, [(0, 3)].into());
        drop(given_up);
        assert_eq!(slots.snapshot().waiting, [(0, 2)].into());
        // The second was let in, did not look, and goes: its slot is the third's.
        drop(first);
        assert_eq!(slots.snapshot().in_flight, 1);
        assert_eq!(slots.snapshot().waiting, [(0, 1)].into());
        drop(granted);
        let slot = tokio::time::timeout(Duration::from_secs(5), last).await.unwrap();
        assert_eq!((slots.snapshot().in_flight, slots.snapshot().memory), (1, 10));
        drop(slot);
        let end = slots.snapshot();
        assert_eq!((end.in_flight, end.memory, end.waiting.len()), (0, 0, 0));
        assert!(slots.lock().doors.is_empty());
    }

    /// It may take hours if others are more urgent.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_slot_or_for_the_wire_gives_signs_of_life() {
        let slots = Slots::new(1, 100);
        let meter = meter::Board::default().begin("uploader", "t".into());
        let others = (slots.take(ASK).await, slots.begins());
        let hours = async {
            tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
            drop(others);
        };
        let waits = meter.on_behalf(async { (slots.take(ASK).await, slots.begins_again().await) });
        let (_mine, ()) = tokio::join!(waits, hours);
        assert!((358..=360).contains(&meter.ticks()), "{}", meter.ticks());
    }

    /// A number that falls counts for those, too, that have their slots already; also when one of them waits for another's end.
    #[tokio::test]
    async fn another_attempt_waits_for_room_on_the_wire_and_one_that_is_given_up_gives_it_back() {
        let slots = Slots::new(16, 100);
        let mut first: Vec<OnWire> = (0..8).map(|_| slots.begins()).collect();
        let slow = Trip { bytes: 10, took: Duration::ZERO, end: End::Slow };
        slots.told(slow);
        assert_eq!(slots.snapshot().limit, 4);
        let mut again: Vec<_> = (0..4).map(|_| Box::pin(slots.begins_again())).collect();
        for wait in &mut again {
            assert!(futures_util::poll!(wait.as_mut()).is_pending());
        }
        let given_up = again.remove(1);
        first.truncate(3); // there is room for one
        let mut on = vec![tokio::time::timeout(Duration::from_secs(5), again.remove(0)).await.unwrap()];
        assert!(futures_util::poll!(again[0].as_mut()).is_pending());
        first.pop();
        drop(given_up); // let in, and did not look
        on.push(tokio::time::timeout(Duration::from_secs(5), again.remove(0)).await.unwrap());
        assert!(futures_util::poll!(again[0].as_mut()).is_pending());
        drop(again);
        drop((first, on));
        let inner = slots.lock();
        assert!(inner.flying.is_empty() && inner.parked.is_empty());
    }

    /// Many at once, some impatient, on several threads: the bounds hold, and all come through.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wake_up_is_lost() {
        let slots = Slots::new(6, 1000);
        let (held, memory, done) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..400u64 {
            let slots = slots.clone();
            let (held, memory, done) = (held.clone(), memory.clone(), done.clone());
            let _aborted_with_the_set = tasks.spawn(async move {
                let ask = Ask { urgency: (n % 3) as u8, flow: n % 7, bytes: (n * 37) % 900 };
                for round in 0..5 {
                    let patience = Duration::from_micros((n * 97 + round) % 800);
                    if n % 4 == 0
                        && let Ok(slot) = tokio::time::timeout(patience, slots.take(ask)).await
                    {
                        drop(slot);
                        continue;
                    }
                    let slot = slots.take(ask).await;
                    assert!(held.fetch_add(1, Ordering::SeqCst) < 6);
                    assert!(memory.fetch_add(ask.bytes, Ordering::SeqCst) + ask.bytes <= 1000);
                    tokio::task::yield_now().await;
                    let end = if n % 50 == 7 { End::Throttled } else { End::Arrived };
                    let on_wire = slots.begins();
                    slots.told(Trip { bytes: ask.bytes, took: Duration::from_micros(50), end });
                    drop(on_wire);
                    held.fetch_sub(1, Ordering::SeqCst);
                    memory.fetch_sub(ask.bytes, Ordering::SeqCst);
                    drop(slot);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let all = async { while tasks.join_next().await.transpose().unwrap().is_some() {} };
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("somebody was forgotten");
        assert!(done.load(Ordering::SeqCst) >= 300 * 5);
        let end = slots.snapshot();
        assert_eq!((end.in_flight, end.memory, end.waiting.len()), (0, 0, 0));
    }
}
