//! Whose turn it is: urgent before normal with a bound on starvation, and no queue behind a large one. Pure.
//!
//! - The most urgent goes first, then the one that came first. After [`Rules::overtakes`] units in a row have gone before the
//!   one that waits longest, that one has its turn: with `p` units before it, a unit waits for at most
//!   `(overtakes + 1) × (p + 1)` turns, however much urgent work keeps coming.
//! - There is room for a number of units, and one express place beside them: for a unit more urgent than all in hand, and for
//!   a small one while all in hand are large.
//! - Service units (looks, heartbeats) need no room: long work must not silence a heartbeat.
//! - While something is out of order, one unit at a time probes it, or none until the next probe is due.
use std::collections::{BTreeMap, BTreeSet};

/// How a unit stands among others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Not a package: something that must happen in its rhythm.
    pub service: bool,
    /// More is sooner.
    pub urgency: u8,
    /// Bytes to move, if known.
    pub bytes: u64,
}

impl Weight {
    /// A unit that must happen in its rhythm.
    pub const SERVICE: Self = Self { service: true, urgency: u8::MAX, bytes: 0 };
}

/// How turns are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Units at the same time, without the express place and service units.
    pub room: usize,
    /// From this many bytes a unit is large.
    pub large: u64,
    /// So often in a row the one that waits longest may be overtaken.
    pub overtakes: u32,
}

/// What may be begun of one kind of work (that which needs the outside, and that which does not).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sky {
    /// All of it.
    Fair,
    /// One unit, to see whether it works again.
    Probe,
    /// Nothing before the next probe is due.
    Closed,
}

/// A unit that waits or is in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What identifies it.
    pub key: String,
    /// How it stands.
    pub weight: Weight,
    /// Which kind: whether it needs the outside.
    pub outside: bool,
}

/// What has to be remembered from turn to turn.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    overtaken: u32,
    arrivals: BTreeMap<String, u64>,
    next: u64,
}

impl Turn {
    /// Notes who waits; numbers tell who came first. Those that are gone are forgotten.
    pub fn arrive<'a>(&mut self, waiting: impl Iterator<Item = &'a str> + Clone) {
        for key in waiting.clone() {
            if !self.arrivals.contains_key(key) {
                let _new = self.arrivals.insert(key.to_owned(), self.next);
                self.next += 1;
            }
        }
        if self.arrivals.len() > waiting.clone().count() {
            let present: BTreeSet<&str> = waiting.collect();
            self.arrivals.retain(|key, _| present.contains(key.as_str()));
        }
    }

    /// Whether this one waits.
    pub fn knows(&self, key: &str) -> bool {
        self.arrivals.contains_key(key)
    }

    /// Which of `waiting` is begun now, beside what is in hand; none: nobody may. Ask again with it in hand.
    pub fn choose(
        &mut self,
        waiting: &[Candidate],
        in_hand: &[Candidate],
        rules: &Rules,
        sky: impl Fn(bool) -> Sky,
    ) -> Option<usize> {
        let may = |c: &Candidate| match sky(c.outside) {
            Sky::Closed => false,
            Sky::Probe => !in_hand.iter().any(|h| h.outside == c.outside),
            Sky::Fair => c.weight.service || has_room(c.weight, in_hand, rules),
        };
        let came = |c: &Candidate| self.arrivals.get(&c.key).copied().unwrap_or(u64::MAX);
        let free = || waiting.iter().enumerate().filter(|(_, c)| may(c));
        let (first, _) = free().min_by_key(|(_, c)| (std::cmp::Reverse(c.weight.urgency), came(c)))?;
        if waiting[first].weight.service {
            return Some(first); // takes nobody's place, overtakes nobody
        }
        let (oldest, _) = free().filter(|(_, c)| !c.weight.service).min_by_key(|(_, c)| came(c))?;
        let chosen = if self.overtaken >= rules.overtakes { oldest } else { first };
        self.overtaken = if chosen == oldest { 0 } else { self.overtaken + 1 };
        Some(chosen)
    }
}

fn has_room(weight: Weight, in_hand: &[Candidate], rules: &Rules) -> bool {
    let mut held = in_hand.iter().map(|h| h.weight).filter(|w| !w.service);
    match held.clone().count().cmp(&rules.room) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => {
            held.clone().all(|h| h.urgency < weight.urgency)
                || (weight.bytes < rules.large && held.all(|h| h.bytes >= rules.large))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules { room: 2, large: 100, overtakes: 3 };

    fn unit(key: &str, urgency: u8, bytes: u64) -> Candidate {
        Candidate { key: key.to_owned(), weight: Weight { service: false, urgency, bytes }, outside: true }
    }

    /// Takes turns until nothing more is begun.
    fn fill(turn: &mut Turn, waiting: &mut Vec<Candidate>, in_hand: &mut Vec<Candidate>) -> Vec<String> {
        let mut begun = Vec::new();
        turn.arrive(waiting.iter().map(|c| c.key.as_str()));
        while let Some(i) = turn.choose(waiting, in_hand, &RULES, |_| Sky::Fair) {
            let unit = waiting.remove(i);
            begun.push(unit.key.clone());
            in_hand.push(unit);
        }
        begun
    }

    #[test]
    fn urgent_first_then_who_came_first_then_the_express_place() {
        let mut waiting = vec![unit("n1", 0, 1), unit("n2", 0, 1), unit("u1", 2, 1), unit("h1", 1, 1)];
        let (mut turn, mut hand) = (Turn::default(), Vec::new());
        assert_eq!(fill(&mut turn, &mut waiting, &mut hand), ["u1", "h1"]);
        waiting.push(unit("u2", 2, 1));
        assert!(fill(&mut turn, &mut waiting, &mut hand).is_empty(), "not more urgent than all in hand");
        hand = vec![unit("a", 0, 500), unit("b", 0, 500)];
        assert_eq!(fill(&mut turn, &mut waiting, &mut hand), ["u2"], "one express place");
        hand = vec![unit("a", 0, 500), unit("b", 0, 500)];
        assert_eq!(fill(&mut turn, &mut waiting, &mut hand), ["n1"], "a small one passes large ones");
        hand = vec![unit("a", 0, 500), unit("b", 0, 5)];
        assert!(fill(&mut turn, &mut waiting, &mut hand).is_empty());
    }

    #[test]
    fn service_needs_no_room_and_an_outage_lets_one_through() {
        let beat = Candidate { key: "beat".into(), weight: Weight::SERVICE, outside: true };
        let hand = vec![unit("a", 2, 500), unit("b", 2, 500)];
        let mut turn = Turn::default();
        let waiting = [unit("n", 0, 500), beat];
        assert_eq!(turn.choose(&waiting, &hand, &RULES, |_| Sky::Fair), Some(1));
        assert_eq!(turn.choose(&waiting, &hand, &RULES, |_| Sky::Probe), None, "a probe is alone");
        assert_eq!(turn.choose(&waiting, &[], &RULES, |_| Sky::Probe), Some(1));
        assert_eq!(turn.choose(&waiting, &[], &RULES, |_| Sky::Closed), None);
        let local = Candidate { outside: false, ..unit("local", 0, 1) };
        let sky = |outside| if outside { Sky::Closed } else { Sky::Fair };
        assert_eq!(turn.choose(&[unit("n", 2, 1), local], &[], &RULES, sky), Some(1));
    }

    proptest! {
        /// However much urgent work keeps coming, and whenever it comes.
        #[test]
        fn nobody_starves(before in 0usize..6, arrivals in proptest::collection::vec(0usize..4, 200)) {
            let (mut turn, mut n) = (Turn::default(), 0);
            let mut waiting: Vec<Candidate> = (0..before).map(|i| unit(&format!("n{i}"), 0, 1)).collect();
            waiting.push(unit("poor", 0, 1));
            let bound = (RULES.overtakes as usize + 1) * (before + 1);
            for (turns, more) in arrivals.into_iter().enumerate() {
                for _ in 0..more {
                    n += 1;
                    waiting.push(unit(&format!("u{n}"), 2, 1));
                }
                turn.arrive(waiting.iter().map(|c| c.key.as_str()));
                let chosen = turn.choose(&waiting, &[], &RULES, |_| Sky::Fair).unwrap();
                if waiting.remove(chosen).key == "poor" {
                    prop_assert!(turns < bound, "it waited {turns} turns");
                    return Ok(());
                }
                prop_assert!(turns + 1 < bound, "it still waits after {turns} turns");
                prop_assert!(turn.arrivals.len() <= waiting.len() + 1);
            }
        }

        /// Whatever waits and is in hand: never more than the room and the express place, and never an idle place beside work.
        #[test]
        fn the_room_is_used_and_kept(waiting in proptest::collection::vec((0u8..3, 0u64..200), 0..12)) {
            let mut waiting: Vec<Candidate> =
                waiting.into_iter().enumerate().map(|(n, (u, b))| unit(&n.to_string(), u, b)).collect();
            let (mut turn, mut hand, before) = (Turn::default(), Vec::new(), waiting.len());
            let _begun = fill(&mut turn, &mut waiting, &mut hand);
            prop_assert!(hand.len() <= RULES.room + 1);
            prop_assert!(hand.len() >= RULES.room.min(before));
        }
    }
}
