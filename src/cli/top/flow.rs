//! How fast bytes went during the last minutes: one figure for each look, drawn as one bar for several.
use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

/// Looks are kept for so long.
pub(super) const MINUTES: i64 = 5;
/// A clock that jumps must not fill the memory.
const MOST: usize = 1200;

/// What was seen, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    looks: VecDeque<(Timestamp, Option<u64>)>,
}

impl Flow {
    /// Bytes a second at this moment; none: nobody could tell.
    pub(super) fn add(&mut self, at: Timestamp, bytes: Option<u64>) {
        let oldest = at - SignedDuration::from_mins(MINUTES);
        while self.looks.len() >= MOST || self.looks.front().is_some_and(|(then, _)| *then < oldest) {
            let _old = self.looks.pop_front();
        }
        self.looks.push_back((at, bytes));
    }

    /// At the last look.
    pub(super) fn last(&self) -> Option<u64> {
        self.looks.back().and_then(|(_, bytes)| *bytes)
    }

    /// The last minutes in so many bars, the newest last: each the mean of its looks, none where there was no figure. A look stays in
    /// its bar, whenever it is drawn, or the bars would flicker.
    pub(super) fn bars(&self, columns: u16, now: Timestamp) -> Vec<Option<u64>> {
        let columns = i64::from(columns.max(1));
        let step = (MINUTES * 60).div_euclid(columns).max(1);
        let newest = now.as_second().div_euclid(step);
        let mut sums = vec![(0u128, 0u128); usize::try_from(columns).unwrap_or(1)];
        for (at, bytes) in &self.looks {
            let back = newest - at.as_second().div_euclid(step);
            let bar = usize::try_from(columns - 1 - back).ok().and_then(|n| sums.get_mut(n));
            if let (Some(bar), Some(bytes)) = (bar, bytes) {
                *bar = (bar.0 + u128::from(*bytes), bar.1 + 1);
            }
        }
        let mean = |(sum, looks): (u128, u128)| u64::try_from(sum.checked_div(looks)?).ok();
        sums.into_iter().map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    #[test]
    fn bars_are_means_and_gaps_stay_gaps() {
        let mut flow = Flow::default();
        for n in 0..300 {
            flow.add(at(n), (n / 10 != 28).then_some(n.unsigned_abs() / 10));
        }
        let bars = flow.bars(30, at(299));
        assert_eq!((bars.len(), bars[29], bars[28], bars[27]), (30, Some(29), None, Some(27)));
        assert_eq!((flow.last(), Flow::default().last()), (Some(29), None));
        assert_eq!(flow.bars(30, at(300))[..29], bars[1..], "a second later all stand one further left");
        assert_eq!(flow.bars(30, at(309))[28], Some(29));
        assert!(flow.bars(0, at(0)).len() == 1 && Flow::default().bars(3, at(0)) == [None, None, None]);
    }

    #[test]
    fn it_forgets_also_when_the_clock_stands_still() {
        let mut flow = Flow::default();
        (0..5000).for_each(|_| flow.add(at(0), Some(1)));
        assert_eq!(flow.looks.len(), MOST);
        flow.add(at(10_000), Some(2));
        assert_eq!(flow.looks.len(), 1);
        flow.add(at(-10_000), Some(3));
        assert_eq!(flow.bars(10, at(10_000))[9], Some(2), "one that lies in the past is no bar of today's");
    }
}
