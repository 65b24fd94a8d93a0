//! The state of the server, and the few moves that keep it consistent: an artifact's stage history follows every change of its
//! queue. Rules about who may do what are with the requests (`steps`, `actions`, `advance`, `route`).
//!
//! Cloning a world is how lag is simulated: reads are answered from an older copy.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::{TimeZone, offset};

use super::config::Config;
pub(super) use super::entities::*;
use super::settings::Settings;

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) settings: Settings,
    next: u64,
    /// Steps the random numbers have taken.
    pub(super) random: u64,
    pub(super) projects: BTreeMap<String, Project>,
    pub(super) samples: BTreeMap<String, Sample>,
    pub(super) artifacts: BTreeMap<String, Artifact>,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) processes: BTreeMap<String, Process>,
    pub(super) steps: BTreeMap<String, StepRun>,
    pub(super) queues: BTreeMap<u32, Vec<QueueRow>>,
    /// Reagent lots in the store room, with the kit each is of.
    pub(super) lots: BTreeMap<String, String>,
    /// Every step run ever made with an artifact, aborted ones included.
    pub(super) made: BTreeMap<String, Vec<String>>,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            random: settings.seed,
            settings,
            next: 200_000,
            projects: BTreeMap::new(),
            samples: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            containers: BTreeMap::new(),
            processes: BTreeMap::new(),
            steps: BTreeMap::new(),
            queues: BTreeMap::new(),
            lots: BTreeMap::new(),
            made: BTreeMap::new(),
        }
    }

    /// A fresh limsid (`24-200001`). Six digits, so that text order is age order within a prefix.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}-{}", self.number())
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.settings.clock)()
    }

    pub(super) fn today(&self) -> String {
        zoned(self.now()).strftime("%Y-%m-%d").to_string()
    }

    pub(super) fn config(&self) -> Config {
        Config::of(&self.settings)
    }

    /// Puts an artifact into the queue of a step. If it is there already nothing happens, or it stands there twice, as
    /// [`Settings::routed_twice_is_twice`] says.
    pub(super) fn enqueue(&mut self, step: u32, artifact: &str, since: Timestamp, previous: Option<u32>) {
        let rows = self.queues.entry(step).or_default();
        if !self.settings.routed_twice_is_twice && rows.iter().any(|row| row.artifact == artifact) {
            return;
        }
        rows.push(QueueRow { artifact: artifact.to_owned(), since, previous });
        if let Some(found) = self.artifacts.get_mut(artifact) {
            found.stages.push((step, StageStatus::Queued));
        }
    }

    /// Takes an artifact out of a queue, with all its rows, and marks the stage; false if it was not there.
    pub(super) fn dequeue(&mut self, step: u32, artifact: &str, becomes: StageStatus) -> bool {
        let Some(rows) = self.queues.get_mut(&step) else { return false };
        let before = rows.len();
        rows.retain(|row| row.artifact != artifact);
        let taken = before - rows.len();
        for _ in 0..taken {
            self.mark(step, artifact, StageStatus::Queued, becomes);
        }
        taken > 0
    }

    /// Changes the newest history entry of this step and status.
    pub(super) fn mark(&mut self, step: u32, artifact: &str, from: StageStatus, to: StageStatus) {
        let Some(found) = self.artifacts.get_mut(artifact) else { return };
        if let Some(entry) = found.stages.iter_mut().rev().find(|entry| **entry == (step, from)) {
            entry.1 = to;
        }
        found.state += 1;
    }

    pub(super) fn is_queued(&self, step: u32, artifact: &str) -> bool {
        self.queues.get(&step).is_some_and(|rows| rows.iter().any(|row| row.artifact == artifact))
    }

    /// Pseudo-random numbers, the same for the same seed (splitmix64).
    pub(super) fn roll(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Local time of the lab. Real servers write an offset, not `Z`.
fn zoned(at: Timestamp) -> jiff::Zoned {
    at.to_zoned(TimeZone::fixed(offset(2)))
}

/// Time as the API writes it, with milliseconds and offset.
pub(super) fn clock_text(at: Timestamp) -> String {
    zoned(at).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed() -> Timestamp {
        Timestamp::from_millisecond(1_719_239_474_280).unwrap()
    }

    #[test]
    fn times_have_milliseconds_and_an_offset() {
        assert_eq!(clock_text(fixed()), "2024-06-24T16:31:14.280+02:00");
        let world = World::new(Settings { clock: fixed, ..Settings::default() });
        assert_eq!(world.today(), "2024-06-24");
    }

    #[test]
    fn the_same_seed_rolls_the_same_numbers() {
        let rolls = |seed| {
            let mut world = World::new(Settings { seed, ..Settings::default() });
            [world.roll(), world.roll()]
        };
        assert_eq!(rolls(7), rolls(7));
        assert_ne!(rolls(7), rolls(8));
    }
}
