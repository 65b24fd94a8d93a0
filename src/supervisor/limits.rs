//! How much failing is too much, and a proof that too much can be reached.
use std::time::Duration;

use super::backoff::Backoff;

/// The budget of each child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// More restarts than this…
    pub max_restarts: usize,
    /// …within this time, and the child is given up.
    pub period: Duration,
    /// Between a failure and the restart.
    pub backoff: Backoff,
    /// A child that stayed up this long starts again at the first back-off step.
    pub reset_after: Duration,
}

/// A budget that a child failing at once, again and again, would never use up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{max_restarts} restarts cannot happen within {period:?}: with this back-off an actor that fails at once every time is \
     restarted only {reachable} times in that period and so for ever; allow at most {reachable}, or make the period longer"
)]
pub struct NeverTrips {
    max_restarts: usize,
    period: Duration,
    reachable: usize,
}

impl Limits {
    /// Refuses a combination of back-off and intensity that an endless panic loop might never exceed. Measured with the
    /// longest delays that jitter can give: whatever the dice say, the loop ends.
    pub fn check(&self) -> Result<(), NeverTrips> {
        let (mut at, mut failures) = (Duration::ZERO, 1_usize);
        while failures <= self.max_restarts {
            let streak = u32::try_from(failures).unwrap_or(u32::MAX);
            at = at.saturating_add(self.backoff.delay(streak, 1.0));
            if at > self.period {
                let (max_restarts, period) = (self.max_restarts, self.period);
                return Err(NeverTrips { max_restarts, period, reachable: failures - 1 });
            }
            failures += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_restarts: usize, period: u64, max: u64) -> Limits {
        let backoff = Backoff::try_new(Duration::from_millis(200), Duration::from_secs(max)).unwrap();
        let period = Duration::from_secs(period);
        Limits { max_restarts, period, backoff, reset_after: period }
    }

    #[test]
    fn a_budget_that_a_panic_loop_never_uses_up_is_refused() {
        assert_eq!(limits(10, 600, 30).check(), Ok(()));
        // 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 6.4 + 12.8 + 25.6 = 51 s, then 30 s each: 9 s short of the 9th.
        let refused = limits(10, 60, 30).check().unwrap_err();
        assert_eq!(refused.reachable, 8);
        assert!(refused.to_string().contains("allow at most 8"), "{refused}");
        assert_eq!(limits(8, 60, 30).check(), Ok(()), "what it advises is accepted");
        assert_eq!(limits(0, 1, 1).check(), Ok(()), "none at all trips at the first failure");
    }

    #[test]
    fn the_loop_does_trip_with_the_worst_dice() {
        let limits = limits(8, 60, 30);
        let at = (1..=8).map(|n| limits.backoff.delay(n, 1.0)).sum::<Duration>();
        assert!(at <= limits.period, "the ninth failure lies within the period of the first: {at:?}");
    }
}
