//! What a station knows of outages: of the outside (LIMS, store) and of what is here (disks). Pure.
//!
//! An outage belongs to the station and not to a unit: it is said once when it begins and once when it is over. Between its
//! probes it is waited with back-off. A unit that fell by it stands back for a while of its own, so that the others probe
//! first: one unit whose trouble is its own cannot keep everybody waiting.
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::turn::Sky;
use super::{Backoff, Dice};

#[derive(Debug)]
struct Outage {
    since: Instant,
    streak: u32,
    until: Instant,
    why: String,
}

/// Both kinds, and the units that fell by them.
#[derive(Debug, Default)]
pub(super) struct Outages {
    kinds: [Option<Outage>; 2],
    /// How often in a row, and until when it stands back.
    fell: BTreeMap<String, (u32, Instant)>,
}

impl Outages {
    fn slot(&mut self, outside: bool) -> &mut Option<Outage> {
        &mut self.kinds[usize::from(outside)]
    }

    pub fn sky(&self, outside: bool, now: Instant) -> Sky {
        match &self.kinds[usize::from(outside)] {
            Some(outage) if now < outage.until => Sky::Closed,
            Some(_) => Sky::Probe,
            None => Sky::Fair,
        }
    }

    pub fn stands_back(&self, key: &str, now: Instant) -> bool {
        self.fell.get(key).is_some_and(|(_, until)| now < *until)
    }

    /// How often in a row it fell.
    pub fn times(&self, key: &str) -> u32 {
        self.fell.get(key).map_or(0, |(times, _)| *times)
    }

    /// A unit fell by an outage; true if that is how it began.
    pub fn fell(
        &mut self,
        key: &str,
        outside: bool,
        why: &str,
        now: Instant,
        backoff: Backoff,
        dice: &Dice,
    ) -> bool {
        let streak = self.fell.get(key).map_or(1, |(n, _)| n.saturating_add(1));
        let until = now + backoff.delay(streak, dice.roll());
        let _earlier = self.fell.insert(key.to_owned(), (streak, until));
        let slot = self.slot(outside);
        let began = slot.is_none();
        let outage = slot.get_or_insert(Outage { since: now, streak: 0, until: now, why: String::new() });
        why.clone_into(&mut outage.why);
        if now >= outage.until {
            outage.streak = outage.streak.saturating_add(1); // units in flight that fall together count once
            outage.until = now + backoff.delay(outage.streak, dice.roll());
        }
        began
    }

    /// A unit came to an end of its own, good or bad: what it needs works. How long the outage was that is over thereby.
    pub fn worked(&mut self, key: &str, outside: bool, now: Instant) -> Option<Duration> {
        let _over = self.fell.remove(key);
        self.slot(outside).take().map(|outage| now - outage.since)
    }

    /// Forgets units that do not wait any more.
    pub fn retain(&mut self, waits: impl Fn(&str) -> bool) {
        self.fell.retain(|key, _| waits(key));
    }

    /// All that is out of order in words, and since when the first of it.
    pub fn account(&self) -> (Option<String>, Option<Instant>) {
        let present = || self.kinds.iter().rev().flatten();
        let whys: Vec<&str> = present().map(|o| o.why.as_str()).collect();
        ((!whys.is_empty()).then(|| whys.join("; ")), present().map(|o| o.since).min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_once_is_probed_with_back_off_and_ends_once() {
        let backoff = Backoff::try_new(Duration::from_secs(1), Duration::from_secs(8)).unwrap();
        let (dice, start) = (Dice::seeded(1), Instant::now());
        let (mut o, at) = (Outages::default(), |s: u64| start + Duration::from_secs(s));
        assert_eq!(o.sky(true, start), Sky::Fair);
        assert!(o.fell("a", true, "store down", at(0), backoff, &dice));
        assert!(!o.fell("b", true, "store down", at(0), backoff, &dice), "in flight together");
        assert_eq!(o.kinds[1].as_ref().unwrap().streak, 1);
        assert_eq!((o.sky(true, at(0)), o.sky(false, at(0))), (Sky::Closed, Sky::Fair));
        assert_eq!(o.sky(true, at(1)), Sky::Probe);
        assert!(!o.fell("a", true, "503", at(1), backoff, &dice));
        assert_eq!(["a", "b", "c"].map(|key| o.times(key)), [2, 1, 0]);
        assert!(o.stands_back("a", at(1)) && !o.stands_back("b", at(1)), "another one probes first");
        assert_eq!(o.account(), (Some("503".into()), Some(start)));
        assert_eq!(o.worked("b", true, at(9)), Some(Duration::from_secs(9)));
        assert_eq!(o.worked("b", true, at(9)), None);
        o.retain(|key| key != "a");
        assert!(o.fell.is_empty());
    }
}
