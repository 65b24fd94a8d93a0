//! How long to wait after the n-th failure in a row: doubling, capped, with jitter. Used by the supervisor and by clients.
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Exponential delays between `base` and `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
}

/// Delays that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a back-off from {base:?} to {max:?} makes no sense: the first must be above zero and not above the second"
)]
pub struct BackoffError {
    base: Duration,
    max: Duration,
}

impl Backoff {
    /// Refuses a zero base (a hot loop) and a base above the maximum.
    pub fn try_new(base: Duration, max: Duration) -> Result<Self, BackoffError> {
        if base.is_zero() || base > max {
            return Err(BackoffError { base, max });
        }
        Ok(Self { base, max })
    }

    /// The delay after `streak` failures in a row (from 1). `jitter` in 0..1 spreads it over 50–100 % of the ceiling, so
    /// that neighbours that fell together do not come back together.
    pub fn delay(&self, streak: u32, jitter: f64) -> Duration {
        let doublings = streak.saturating_sub(1).min(30);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.max);
        ceiling.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

/// Where jitter comes from; clones share. Seeded, everything that depends on it can be repeated.
#[derive(Clone, Debug)]
pub struct Dice(Arc<AtomicU64>);

impl Dice {
    /// The same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// Other numbers in every process.
    pub fn shaken() -> Self {
        Self::seeded(RandomState::new().hash_one(0u8))
    }

    /// A number in 0..1, by SplitMix64; good enough to spread retries, not for secrets.
    pub fn roll(&self) -> f64 {
        let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A number in 0..1 that differs from call to call; good enough to spread retries, not for secrets.
pub fn jitter() -> f64 {
    (RandomState::new().hash_one(0u8) % 4096) as f64 / 4096.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let b = Backoff::try_new(Duration::from_millis(100), Duration::from_secs(1)).unwrap();
        let full: Vec<u128> = (1..=6).map(|n| b.delay(n, 1.0).as_millis()).collect();
        assert_eq!(full, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(b.delay(1, 0.0).as_millis(), 50);
        assert_eq!(b.delay(u32::MAX, 1.0).as_millis(), 1000);
    }

    #[test]
    fn dice_repeat_by_seed_and_fill_the_range() {
        let rolls = |seed| {
            let dice = Dice::seeded(seed);
            (0..1000).map(|_| dice.roll()).collect::<Vec<f64>>()
        };
        assert_eq!(rolls(1), rolls(1));
        assert_ne!(rolls(1), rolls(2));
        let mean = rolls(7).iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!(rolls(7).iter().all(|r| (0.0..1.0).contains(r)));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Backoff::try_new(Duration::ZERO, Duration::from_secs(1)).is_err());
        assert!(Backoff::try_new(Duration::from_secs(2), Duration::from_secs(1)).is_err());
    }
}
