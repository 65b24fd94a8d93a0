//! Who is given the next slot. Pure: asks come, are granted and go.
//!
//! - The most urgent goes first. Among equals packages take turns: the one that holds the fewest slots, then the one whose last
//!   grant is longest ago; within a package who came first.
//! - An ask for which there is no memory yet is passed by others that fit, but only [`PASSES`] times: then memory is kept for
//!   it.
//! - After [`OVERTAKES`] grants in a row to others the one that waits longest has its turn, whatever it is; if its memory is not
//!   there yet, it is kept. With `p` asks before it one waits for at most `(OVERTAKES + 1) × (p + 1)` grants.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::slots::Ask;

/// So often in a row the one that waits longest may be overtaken.
pub(super) const OVERTAKES: u32 = 8;
/// So often the one whose turn it is may be passed for want of memory.
pub(super) const PASSES: u32 = 16;

/// Identifies an ask; a smaller one came earlier.
pub(super) type Ticket = u64;

/// Urgency (the highest first) and package.
type Lane = (Reverse<u8>, u64);

/// Those of one package with one urgency that wait.
#[derive(Debug, Default)]
struct Line {
    asks: BTreeMap<Ticket, u64>,
    /// By size, to see at once whether anything fits.
    sizes: BTreeSet<(u64, Ticket)>,
}

impl Line {
    fn first_that_fits(&self, free: u64) -> Option<Ticket> {
        self.sizes.first().filter(|(least, _)| *least <= free)?;
        self.asks.iter().find(|(_, bytes)| **bytes <= free).map(|(ticket, _)| *ticket)
    }
}

/// What a package has had.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    waiting: usize,
    held: usize,
    /// The number of its last grant.
    last: u64,
}

/// Everybody who waits or holds a slot.
#[derive(Debug)]
pub(super) struct Queue {
    memory: u64,
    used: u64,
    lines: BTreeMap<Lane, Line>,
    /// In the order in which they came.
    waiting: BTreeMap<Ticket, Ask>,
    held: BTreeMap<Ticket, Ask>,
    flows: BTreeMap<u64, Flow>,
    next: Ticket,
    grants: u64,
    overtaken: u32,
    /// Whose turn it was without memory for it, and how often it was passed.
    passed: Option<(Ticket, u32)>,
}

impl Queue {
    pub(super) fn new(memory: u64) -> Self {
        Self {
            memory,
            used: 0,
            lines: BTreeMap::new(),
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            flows: BTreeMap::new(),
            next: 0,
            grants: 0,
            overtaken: 0,
            passed: None,
        }
    }

    /// Somebody waits. One who wants more memory than there is wants all of it.
    pub(super) fn enter(&mut self, ask: Ask) -> Ticket {
        let (ticket, ask) = (self.next, Ask { bytes: ask.bytes.min(self.memory), ..ask });
        self.next += 1;
        let line = self.lines.entry((Reverse(ask.urgency), ask.flow)).or_default();
        let _new = line.asks.insert(ticket, ask.bytes);
        let _new = line.sizes.insert((ask.bytes, ticket));
        self.flows.entry(ask.flow).or_default().waiting += 1;
        let _new = self.waiting.insert(ticket, ask);
        ticket
    }

    /// Somebody goes, having had a slot or not.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        if let Some(ask) = self.unqueue(ticket) {
            self.forget_if_gone(ask.flow);
        } else if let Some(ask) = self.held.remove(&ticket) {
            self.used -= ask.bytes;
            if let Some(flow) = self.flows.get_mut(&ask.flow) {
                flow.held -= 1;
            }
            self.forget_if_gone(ask.flow);
        }
    }

    /// Gives a slot to the one whose turn it is, if at most `limit` are then held; none: nobody may.
    pub(super) fn grant(&mut self, limit: usize) -> Option<Ticket> {
        if self.held.len() >= limit {
            return None;
        }
        let ticket = self.choose()?;
        let oldest = self.waiting.keys().next().copied();
        self.overtaken = if oldest == Some(ticket) { 0 } else { self.overtaken + 1 };
        let ask = self.unqueue(ticket)?;
        self.used += ask.bytes;
        self.grants += 1;
        let flow = self.flows.entry(ask.flow).or_default();
        flow.held += 1;
        flow.last = self.grants;
        let _new = self.held.insert(ticket, ask);
        Some(ticket)
    }

    fn choose(&mut self) -> Option<Ticket> {
        let free = self.memory - self.used;
        if self.overtaken >= OVERTAKES {
            let (ticket, oldest) = self.waiting.first_key_value()?;
            return (oldest.bytes <= free).then_some(*ticket);
        }
        let turn = |(lane, line): (&Lane, &Line), first: Ticket| {
            let flow = self.flows.get(&lane.1).copied().unwrap_or_default();
            debug_assert!(line.asks.contains_key(&first));
            (lane.0, flow.held, flow.last, first)
        };
        let heads = self.lines.iter().filter_map(|l| Some(turn(l, *l.1.asks.keys().next()?)));
        let (.., due) = heads.min()?;
        let fits = self.lines.iter().filter_map(|l| Some(turn(l, l.1.first_that_fits(free)?)));
        let (.., first) = fits.min()?;
        let kept = self.waiting.get(&due).is_some_and(|ask| ask.bytes > free);
        if !kept {
            return Some(due);
        }
        let passes = match self.passed {
            Some((ticket, passes)) if ticket == due => passes,
            _ => 0,
        };
        if passes >= PASSES {
            return None;
        }
        self.passed = Some((due, passes + 1));
        Some(first)
    }

    fn unqueue(&mut self, ticket: Ticket) -> Option<Ask> {
        let ask = self.waiting.remove(&ticket)?;
        let lane = (Reverse(ask.urgency), ask.flow);
        if let Some(line) = self.lines.get_mut(&lane) {
            let _was = line.asks.remove(&ticket);
            let _was = line.sizes.remove(&(ask.bytes, ticket));
            if line.asks.is_empty() {
                drop(self.lines.remove(&lane));
            }
        }
        if let Some(flow) = self.flows.get_mut(&ask.flow) {
            flow.waiting -= 1;
        }
        Some(ask)
    }

    /// A package between two parts must not lose its place in the turns as long as it holds something.
    fn forget_if_gone(&mut self, flow: u64) {
        if self.flows.get(&flow).is_some_and(|f| f.held == 0 && f.waiting == 0) {
            let _gone = self.flows.remove(&flow);
        }
    }

    /// Slots in use.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Bytes of memory in use.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// How many wait, by urgency.
    pub(super) fn waiting(&self) -> BTreeMap<u8, usize> {
        let mut by_urgency = BTreeMap::new();
        for (lane, line) in &self.lines {
            *by_urgency.entry(lane.0.0).or_default() += line.asks.len();
        }
        by_urgency
    }

    /// Whether anybody waits.
    pub(super) fn anybody_waits(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
