//! The one place where the wall clock is read.
//!
//! Every time that is written, sent or shown comes from [`now`]: UTC, RFC 3339, milliseconds. Durations are measured
//! with [`std::time::Instant`], never with the difference of two wall clock readings, because the wall clock jumps.
use std::time::Duration;

use jiff::{Timestamp, Unit};
use rustix::time::{ClockId, clock_gettime};

/// The present moment, rounded to milliseconds; its `Display` is RFC 3339 with a `Z`.
#[allow(clippy::disallowed_methods)] // this is the one function the rule points to
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}

/// How long ago `then` was, never negative (a clock set back must not make an age enormous).
pub fn age(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// Time since the machine was booted, time in which it was suspended included (`CLOCK_BOOTTIME`). [`std::time::Instant`]
/// leaves that out, so it must not judge what has run out.
pub fn since_boot() -> Duration {
    let t = clock_gettime(ClockId::Boottime);
    // Neither part of this clock is ever negative.
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_printed_as_utc_with_milliseconds_at_most() {
        let text = now().to_string();
        assert!(text.ends_with('Z'), "{text}");
        let fraction = text.trim_end_matches('Z').split('.').nth(1).unwrap_or("");
        assert!(fraction.len() <= 3, "{text}");
    }

    #[test]
    fn an_age_is_never_negative() {
        let (early, late): (Timestamp, Timestamp) =
            ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-01T00:01:00Z".parse().unwrap());
        assert_eq!(age(early, late).as_secs(), 60);
        assert_eq!(age(late, early).as_secs(), 0);
    }
}
