//! How many packages there are of each sort. There may be a hundred thousand, so they are counted in pieces: the writer of the journal
//! never waits for more than one. A package is counted once, in the state in which it was met.
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::clock;
use crate::journal::{Fold, Journal, Row};
use crate::package::{Kind, PackageId, Priority, Reason, State};

/// Rows that are counted under one hold of the journal's present.
const PIECE: usize = 1000;

/// The counts.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// By state, kind and priority.
    pub packages: BTreeMap<(State, Kind, Priority), u64>,
    /// Stopped by the program, by the code of the reason.
    pub quarantined: BTreeMap<&'static str, u64>,
    /// Under way, and the last attempt failed.
    pub failing: u64,
    /// When the oldest one under way came, by priority.
    pub oldest: BTreeMap<Priority, Timestamp>,
    /// Orders that are not at their end.
    pub orders: u64,
    /// Of these and the flagged ones, how many want a person.
    pub for_a_person: u64,
    /// Queued and impossible, by the code of the reason.
    pub doubts: BTreeMap<&'static str, u64>,
    /// Names of open alarms.
    pub alarms: Vec<String>,
    /// Lines of the journal.
    pub lines: u64,
}

impl Census {
    /// Of the present.
    pub fn of(journal: &Journal) -> Self {
        let mut census = Self::default();
        let mut last: Option<PackageId> = None;
        loop {
            let counted = {
                let view = journal.view();
                census.piece(&view, last.as_ref())
            };
            match counted {
                Some(next) => last = Some(next),
                None => break,
            }
        }
        let now = clock::now();
        census.rest(&journal.view(), now);
        census
    }

    /// Counts the next rows; the last of them, if there may be more.
    fn piece(&mut self, fold: &Fold, last: Option<&PackageId>) -> Option<PackageId> {
        let mut met = 0;
        let mut id = None;
        let mut count = |row: &Row| {
            self.row(row);
            met += 1;
            id = Some(row.id.clone());
        };
        match last {
            None => fold.packages().take(PIECE).for_each(&mut count),
            Some(last) => fold.from(last).filter(|row| row.id != *last).take(PIECE).for_each(&mut count),
        }
        id.filter(|_| met == PIECE)
    }

    fn row(&mut self, row: &Row) {
        *self.packages.entry((row.state, row.id.kind.clone(), row.priority)).or_default() += 1;
        if row.state == State::Quarantined {
            *self.quarantined.entry(row.facts.reason.map_or("none", Reason::code)).or_default() += 1;
        }
        if !row.state.is_settled() {
            self.failing += u64::from(row.failures > 0);
            let oldest = self.oldest.entry(row.priority).or_insert(row.first_seen);
            *oldest = (*oldest).min(row.first_seen);
        }
    }

    fn rest(&mut self, fold: &Fold, now: Timestamp) {
        self.orders = fold.open_orders().len() as u64;
        self.for_a_person = fold.orders().filter(|order| order.wants_a_person(now)).count() as u64;
        for doubt in fold.doubts().values() {
            *self.doubts.entry(doubt.reason.code()).or_default() += 1;
        }
        self.alarms = fold.silences().map(|silence| silence.what.clone()).collect();
        self.lines = fold.lines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Event, Facts, Line};
    use crate::package::Sha256Hex;

    fn fold(count: u32) -> Fold {
        let mut fold = Fold::default();
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for n in 0..count {
            let package: PackageId = format!("samples/P-{n:05}/r1").parse().unwrap();
            let (to, reason) = match n % 10 {
                0 => (State::Quarantined, Some(Reason::ALL[0])),
                _ => (State::Seen, None),
            };
            let priority = Some(Priority::ALL[(n % 3) as usize]);
            let facts = Box::new(Facts { priority, reason, ..Facts::default() });
            let event = Event::Moved { package, from: None, to, by: "t".into(), facts };
            let at = start + jiff::SignedDuration::from_secs(n.into());
            fold.apply(&Line { v: 1, seq: u64::from(n) + 1, at, prev: Sha256Hex::zero(), event });
        }
        fold
    }

    fn counted(fold: &Fold) -> (Census, usize) {
        let (mut census, mut last, mut pieces) = (Census::default(), None, 1);
        while let Some(next) = census.piece(fold, last.as_ref()) {
            (last, pieces) = (Some(next), pieces + 1);
        }
        census.rest(fold, clock::now());
        (census, pieces)
    }

    #[test]
    fn every_package_is_counted_once_in_pieces() {
        for (count, expected) in [(0, 1), (1, 1), (999, 1), (1000, 2), (2500, 3), (3000, 4)] {
            let fold = fold(count);
            let (census, pieces) = counted(&fold);
            assert_eq!((census.packages.values().sum::<u64>(), pieces), (u64::from(count), expected));
            assert_eq!(census.lines, u64::from(count));
            let by_state = |state| {
                census
                    .packages
                    .iter()
                    .filter(|((s, ..), _)| *s == state)
                    .map(|(_, n)| *n as usize)
                    .sum::<usize>()
            };
            for (state, n) in fold.tally() {
                assert_eq!(by_state(state), n);
            }
            assert_eq!(census.quarantined.values().sum::<u64>(), u64::from(count).div_ceil(10));
        }
        let (census, _) = counted(&fold(2500));
        let first = |priority: usize| census.oldest[&Priority::ALL[priority]].to_string();
        // The very first one is quarantined, so the fourth is the oldest of its priority.
        assert_eq!(first(0), "2026-01-01T00:00:03Z");
        assert_eq!((first(1).as_str(), first(2).as_str()), ("2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"));
    }

    #[test]
    fn the_writer_waits_for_one_piece_at_most() {
        let fold = fold(30_000);
        let (mut census, mut last, mut longest) = (Census::default(), None, std::time::Duration::ZERO);
        let begun = std::time::Instant::now();
        loop {
            let piece = std::time::Instant::now();
            let next = census.piece(&fold, last.as_ref());
            longest = longest.max(piece.elapsed());
            match next {
                Some(next) => last = Some(next),
                None => break,
            }
        }
        println!("30,000 packages in {:?}, the longest piece {longest:?}", begun.elapsed());
        assert_eq!(census.packages.values().sum::<u64>(), 30_000);
    }
}
