//! How soon the number is back at the cap after a bad moment or a bad hour, on links where more in flight is strictly better: each
//! request takes as long as it takes, whatever their number.
use std::time::Duration;

use super::*;

const PART: u64 = 16 << 20;

/// Such a link, and those who use it: there is always more to do.
struct Link {
    window: Window,
    cap: usize,
    now: f64,
    /// Of one request.
    takes: f64,
    /// Of those under way: when it began, when it ends, and which attempt it is.
    flying: Vec<(f64, f64, u32)>,
    /// Between these times all are refused, or cut off for being slow.
    bad: (f64, f64, End),
}

impl Link {
    /// At the cap.
    fn new(cap: usize, takes: f64) -> Self {
        let mut link = Self {
            window: Window::new(cap),
            cap,
            now: 0.0,
            takes,
            flying: Vec::new(),
            bad: (0.0, 0.0, End::Arrived),
        };
        assert!(link.at_the_cap(1000.0 * takes + 100.0).is_some(), "{:?}", link.window);
        link
    }

    fn present(&self, flying: usize) -> Present {
        let now = Duration::from_secs_f64(self.now);
        Present { held: flying, flying, bound: Bound::Number, now }
    }

    /// The next end.
    fn step(&mut self) {
        while self.flying.len() < self.window.limit() {
            // No two take exactly as long.
            let odd =
                0.95 + 0.1 * ((self.flying.len() * 7 + self.now.to_bits() as usize % 13) % 10) as f64 / 10.0;
            self.flying.push((self.now, self.now + self.takes * odd, 1));
        }
        let ends = self.flying.iter().enumerate().min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let (at, (began, ends, attempt)) = ends.map(|(at, one)| (at, *one)).unwrap();
        self.now = ends;
        let bad = (self.bad.0..self.bad.1).contains(&self.now);
        let end = if bad { self.bad.2 } else { End::Arrived };
        let took = Duration::from_secs_f64(self.now - began);
        self.window.note(&Trip { bytes: PART, took, end }, self.present(self.flying.len()));
        let done = self.flying.swap_remove(at);
        // As in `attempt`: four times, and only while there is room on the wire.
        if bad && attempt < 4 && self.flying.len() < self.window.limit() {
            self.flying.push((self.now, self.now + self.takes, done.2 + 1));
        }
    }

    fn until(&mut self, then: f64) {
        while self.now < then {
            self.step();
        }
    }

    /// After how many seconds it is at the cap, if that is soon enough.
    fn at_the_cap(&mut self, within: f64) -> Option<f64> {
        let began = self.now;
        while self.now - began < within {
            if self.window.limit() == self.cap {
                return Some(self.now - began);
            }
            self.step();
        }
        None
    }

    /// The bound that is promised: the wall, then a dozen times one and a half of what a request takes.
    fn promised(&self) -> f64 {
        WALL.as_secs_f64() + 12.0 * (1.5 * self.takes + CALM.as_secs_f64())
    }
}

/// Quick parts, and such that take half a minute.
const SPEEDS: [f64; 3] = [0.05, 1.5, 30.0];

#[test]
fn one_refusal_costs_a_minute_and_not_the_rest_of_the_process() {
    for (cap, takes) in [16, 64].into_iter().flat_map(|cap| SPEEDS.map(|takes| (cap, takes))) {
        for flying in 0..=4 {
            let mut link = Link::new(cap, takes);
            let promised = link.promised();
            let refused = Trip { bytes: PART, took: Duration::ZERO, end: End::Throttled };
            // So few were under way then: nobody had more to send.
            link.window.note(&refused, link.present(flying));
            assert_eq!(link.window.limit(), FLOOR, "{flying}");
            link.flying.truncate(flying);
            let took = link.at_the_cap(promised);
            println!("cap {cap}, {takes} s each, refused at {flying}: back after {took:?} of {promised}");
            assert!(took.is_some(), "cap {cap}, {takes} s each, refused at {flying}: {:?}", link.window);
        }
    }
}

#[test]
fn a_refused_listing_costs_nothing() {
    let mut link = Link::new(16, 1.0);
    for held in [0, 1, 16] {
        let listing = Trip { bytes: 0, took: Duration::from_millis(5), end: End::Throttled };
        link.window.note(&listing, link.present(held));
        assert_eq!(link.window.limit(), 16);
    }
}

#[test]
fn an_hour_of_refusals_is_forgotten_as_soon_as_one() {
    for (end, least) in [(End::Throttled, FLOOR), (End::Slow, ALONE)] {
        for (cap, takes) in [16, 64].into_iter().flat_map(|cap| SPEEDS.map(|takes| (cap, takes))) {
            let mut link = Link::new(cap, takes);
            let promised = link.promised();
            link.bad = (link.now, link.now + 3600.0, end);
            link.until(link.bad.1);
            assert_eq!(link.window.limit(), least, "{end:?}, cap {cap}, {takes} s each");
            let took = link.at_the_cap(promised);
            println!("{end:?}, cap {cap}, {takes} s each: back after {took:?} of {promised}");
            assert!(took.is_some(), "{end:?}, cap {cap}, {takes} s each: {:?}", link.window);
        }
    }
}

/// A real wall is found again after longer and longer, but never given up.
#[test]
fn a_wall_that_goes_after_a_day_is_noticed() {
    let mut link = Link::new(16, 1.0);
    for _ in 0..200 {
        let refused = Trip { bytes: PART, took: Duration::ZERO, end: End::Throttled };
        if link.window.limit() > 10 {
            link.window.note(&refused, link.present(link.window.limit()));
        }
        link.until(link.now + 60.0);
    }
    assert!(link.at_the_cap(WALL_MOST.as_secs_f64() + link.promised()).is_some(), "{:?}", link.window);
}

#[test]
fn a_link_that_carries_one_at_the_least_rate_gets_one() {
    let slow = |ms| Trip { bytes: PART, took: Duration::from_millis(ms), end: End::Slow };
    let mut window = Window::new(16);
    let present =
        |flying, secs| Present { held: 16, flying, bound: Bound::Number, now: Duration::from_secs(secs) };
    let limits: Vec<usize> = (1..7u64)
        .map(|n| {
            let flying = window.limit();
            window.note(&slow(40_000), present(flying, 50 * n));
            window.limit()
        })
        .collect();
    assert_eq!(limits, [4, 2, 1, 1, 1, 1]);
    window.note(&Trip { end: End::Throttled, ..slow(10) }, present(1, 400));
    assert_eq!(window.limit(), 1, "a refusal does not raise it");
    assert_eq!(Window::new(1).limit(), 1);
}
