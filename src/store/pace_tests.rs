//! The limit by the time of day, also on the days that have 23 or 25 hours, and that it is kept.
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn conf(timetable: &[(u16, Option<u64>)], zone: &str) -> PaceConf {
    PaceConf { limit: Some(7), timetable: timetable.to_vec(), zone: TimeZone::posix(zone).unwrap() }
}

/// The clocks go forward at 02:00 on 2026-03-29 and back at 03:00 on 2026-10-25.
const OSLO: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
/// Forward at midnight: 2026-04-24 begins at 01:00.
const CAIRO: &str = "EET-2EEST,M4.5.5/0,M10.5.4/24";

fn at(conf: &PaceConf, utc: &str) -> Option<u64> {
    rate_at(conf, format!("{utc}:00Z").parse().unwrap())
}

#[test]
fn an_entry_counts_until_the_next_also_over_midnight() {
    let conf = conf(&[(7 * 60 + 30, Some(200)), (18 * 60, None)], OSLO);
    for (utc, rate) in [
        ("2026-01-10T06:29", None),
        ("2026-01-10T06:30", Some(200)),
        ("2026-01-10T16:59", Some(200)),
        ("2026-01-10T17:00", None),
        ("2026-01-10T22:59", None),
        ("2026-01-10T23:00", None),
        ("2026-01-11T03:00", None),
        ("2026-07-10T05:29", None),
        ("2026-07-10T05:30", Some(200)),
    ] {
        assert_eq!(at(&conf, utc), rate, "{utc}");
    }
    let empty = PaceConf { timetable: Vec::new(), ..conf };
    assert_eq!(at(&empty, "2026-01-10T06:29"), Some(7), "without a timetable the plain limit counts");
}

#[test]
fn an_entry_in_the_hour_that_is_left_out_counts_from_the_jump_on() {
    let night = [(0, Some(1)), (2 * 60 + 30, Some(2)), (3 * 60 + 10, Some(3)), (4 * 60, Some(4))];
    let oslo = conf(&night, OSLO);
    for (utc, rate) in [
        ("2026-03-28T23:00", 1),
        ("2026-03-29T00:59", 1),
        ("2026-03-29T01:00", 2), // 03:00 there
        ("2026-03-29T01:09", 2),
        ("2026-03-29T01:10", 3),
        ("2026-03-29T01:40", 3),
        ("2026-03-29T02:00", 4),
    ] {
        assert_eq!(at(&oslo, utc), Some(rate), "{utc}");
    }
    // A day without a midnight.
    let cairo = conf(&[(0, Some(1)), (12 * 60, Some(2))], CAIRO);
    assert_eq!(at(&cairo, "2026-04-23T21:59"), Some(2));
    assert_eq!(at(&cairo, "2026-04-23T22:00"), Some(1));
}

#[test]
fn an_entry_in_the_hour_that_comes_twice_counts_from_its_first_time_on_and_stays() {
    let oslo = conf(&[(0, Some(1)), (2 * 60 + 30, Some(2)), (4 * 60, Some(3))], OSLO);
    for (utc, rate) in [
        ("2026-10-25T00:29", 1),
        ("2026-10-25T00:30", 2),
        ("2026-10-25T00:59", 2),
        ("2026-10-25T01:00", 2), // 02:00 again
        ("2026-10-25T01:29", 2),
        ("2026-10-25T01:30", 2),
        ("2026-10-25T02:59", 2),
        ("2026-10-25T03:00", 3),
    ] {
        assert_eq!(at(&oslo, utc), Some(rate), "{utc}");
    }
}

proptest! {
    /// Whoever asks whenever for how much: over any time since the beginning no more than rate × time and the burst is due.
    #[test]
    fn no_more_is_due_than_the_rate_allows(
        rate in 1000u64..1_000_000,
        asks in proptest::collection::vec((0u64..2000, 1u64..100_000), 1..200),
    ) {
        let (mut bucket, mut now, mut sum, mut last) = (Bucket::default(), Duration::from_secs(10), 0, Duration::ZERO);
        let began = now;
        for (pause, bytes) in asks {
            now += Duration::from_millis(pause);
            let due = bucket.book(bytes, rate, now);
            sum += bytes;
            prop_assert!(due >= last, "in the order in which they were booked");
            last = due;
            let allowed = (due.saturating_sub(began) + BURST).as_secs_f64() * rate as f64;
            prop_assert!(sum as f64 <= allowed + 1.0, "{sum} of {allowed}");
            // And no less: who asks for little does not wait for more than what was booked before.
            let needed = Duration::from_secs_f64(sum as f64 / rate as f64);
            prop_assert!(due <= now + needed);
        }
    }
}

/// Several at once keep to it together, a new limit reaches those that wait, and none lets them go.
#[tokio::test]
async fn it_is_kept_by_all_together_and_changes_under_those_who_wait() {
    let limited = |rate| PaceConf { limit: rate, timetable: Vec::new(), zone: TimeZone::UTC };
    let pace = Pace::new(&limited(Some(20 * MIB)));
    let began = Instant::now();
    let all = (0..8).map(|_| async {
        for _ in 0..80 {
            pace.pass(64 << 10).await;
        }
    });
    drop(futures_util::future::join_all(all).await);
    let rate = 40.0 / began.elapsed().as_secs_f64();
    assert!((18.0..22.0).contains(&rate), "{rate} MiB/s");
    assert_eq!(pace.piece(4 << 20), 20 << 16);

    pace.set(&limited(Some(1024)));
    let waiting = pace.pass(10 << 20);
    let lift = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        pace.set(&limited(None));
    };
    let both = async { tokio::join!(waiting, lift) };
    let _both: ((), ()) =
        tokio::time::timeout(Duration::from_secs(5), both).await.expect("it waits by the old limit");
    assert_eq!((pace.limit(), pace.piece(1 << 20)), (None, 1 << 20));
    assert!(!pace.must_wait(u64::MAX / 2));
}

#[test]
fn the_speed_is_that_of_the_last_whole_seconds() {
    let (mut speed, secs) = (Speed::default(), Duration::from_secs);
    assert_eq!(speed.mean(secs(0)), 0);
    for second in 0..20 {
        speed.add(60, secs(second));
        speed.add(40, secs(second));
    }
    assert_eq!((speed.mean(secs(19)), speed.mean(secs(20))), (100, 100));
    assert_eq!(speed.mean(secs(22)), 60);
    assert_eq!(speed.mean(secs(40)), 0);
    assert!(speed.seconds.len() <= 7);
}
