//! Whether there is another attempt, and when. Pure: the dice and the time that is left are handed in.
use std::time::Duration;

use jiff::Timestamp;

use super::attempt::Class;

/// The first ceiling, and the highest: they double. A wait lies anywhere below its ceiling ("full jitter"), so that many
/// requests that failed together do not come back together.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));
/// The same after a store asked for fewer requests.
const THROTTLED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A store that wants to be left alone for longer than this is asked again all the same: it may have said so to everybody.
const PATIENT: Duration = Duration::from_secs(120);

/// What decides about another attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    /// That failed now, from 1.
    pub attempt: u32,
    /// In all.
    pub attempts: u32,
    /// Of the failure.
    pub class: Class,
    /// What the store said about when to come again.
    pub advice: Option<Duration>,
    /// Until the whole operation is given up.
    pub left: Duration,
}

/// How long to wait for the next attempt; none: there is none. `dice` in 0..1.
pub(super) fn wait(tried: Tried, dice: f64) -> Option<Duration> {
    let (first, highest) = match tried.class {
        Class::Final => return None,
        Class::Transient | Class::Unclear => AGAIN,
        Class::Throttled => THROTTLED,
    };
    if tried.attempt >= tried.attempts {
        return None;
    }
    let doublings = tried.attempt.saturating_sub(1).min(20);
    let spread = first.saturating_mul(1 << doublings).min(highest).mul_f64(dice.clamp(0.0, 1.0));
    // Never before the store said, and behind it spread out.
    let wait = tried.advice.map_or(spread, |advice| advice.min(PATIENT) + spread);
    (wait < tried.left).then_some(wait)
}

/// What an answer says about when to come again: `x-amz-retry-after` in milliseconds, or `Retry-After` in seconds or as a date.
pub(super) fn advice(amz: Option<&str>, plain: Option<&str>, now: Timestamp) -> Option<Duration> {
    if let Some(millis) = amz.and_then(|text| text.trim().parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let plain = plain?.trim();
    if let Ok(seconds) = plain.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(plain).ok()?;
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(attempt: u32, class: Class) -> Tried {
        Tried { attempt, attempts: 10, class, advice: None, left: Duration::from_secs(3600) }
    }

    fn millis(attempt: u32, class: Class, dice: f64) -> Option<u128> {
        wait(tried(attempt, class), dice).map(|w| w.as_millis())
    }

    #[test]
    fn waits_double_below_a_ceiling_and_the_throttled_wait_longer() {
        let full = |class| (1..10).map(|n| millis(n, class, 1.0).unwrap()).collect::<Vec<_>>();
        assert_eq!(full(Class::Transient), [200, 400, 800, 1600, 3200, 6400, 12_800, 20_000, 20_000]);
        assert_eq!(full(Class::Unclear), full(Class::Transient));
        assert_eq!(full(Class::Throttled), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(millis(3, Class::Transient, 0.0), Some(0), "anywhere below the ceiling");
        assert_eq!(millis(3, Class::Transient, 0.5), Some(400));
    }

    #[test]
    fn there_is_an_end() {
        assert_eq!(millis(1, Class::Final, 0.5), None);
        assert_eq!(millis(10, Class::Transient, 0.0), None, "the last attempt");
        let late = Tried { left: Duration::from_millis(150), ..tried(1, Class::Transient) };
        assert_eq!(wait(late, 1.0), None, "the whole operation would take too long");
        assert_eq!(wait(late, 0.5), Some(Duration::from_millis(100)));
        assert!(wait(Tried { attempts: u32::MAX, ..tried(u32::MAX - 1, Class::Throttled) }, 1.0).is_some());
    }

    #[test]
    fn what_the_store_says_is_waited_for_within_reason() {
        let told =
            |seconds| Tried { advice: Some(Duration::from_secs(seconds)), ..tried(1, Class::Throttled) };
        assert_eq!(wait(told(7), 0.0), Some(Duration::from_secs(7)));
        assert_eq!(wait(told(7), 1.0), Some(Duration::from_secs(8)));
        assert_eq!(wait(told(86_400), 0.0), Some(PATIENT));
        let short = Tried { left: Duration::from_secs(5), ..told(7) };
        assert_eq!(wait(short, 0.0), None, "rather than to ask before the time");
    }

    #[test]
    fn seconds_milliseconds_and_dates_are_read_and_nonsense_is_not() {
        let now: Timestamp = "2026-11-23T11:00:00Z".parse().unwrap();
        let read = |amz, plain| advice(amz, plain, now).map(|d| d.as_millis());
        assert_eq!(read(None, Some("3")), Some(3000));
        assert_eq!(read(Some("1500"), Some("3")), Some(1500));
        assert_eq!(read(None, Some("Mon, 23 Nov 2026 11:00:30 GMT")), Some(30_000));
        assert_eq!(read(None, Some("Mon, 23 Nov 2026 10:00:30 GMT")), Some(0), "it is past");
        for nonsense in ["", "soon", "-3", "1e9", "2026-11-23"] {
            assert_eq!(read(None, Some(nonsense)), None, "{nonsense}");
        }
        assert_eq!(read(Some("x"), None), None);
    }
}
