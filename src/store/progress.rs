//! Whether an attempt gets on: it is cut off for moving too little, not for taking long.
//!
//! While its bytes move, at least `min_rate` must move over each [`WINDOW`], the time in which we ourselves hold them back (the
//! pace, a disk) not counted. Before the first byte and behind the last one of a body, the store has `patience` for its answer. What
//! counts as moved up is what the network's buffers took; the last few MiB of a body may still lie there when the wait for the
//! answer begins.
//!
//! Moving, and being held back by ourselves, are signs of life of the unit that the attempt is made for: neither a slow link nor a low
//! limit makes it pass for hung.
//!
//! The progress of an attempt reaches the body of its request, and who reads its answer, as a value of the task: that
//! is set in the one place where attempts are made, so that no new request can forget it.
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::conf::RATE_WINDOW;
use crate::supervisor::meter;

/// Over which the least rate is measured.
pub(super) const WINDOW: Duration = RATE_WINDOW;

tokio::task_local!(static CURRENT: Progress);

/// That of the attempt on whose task this is called. Outside of one it is one that nobody watches.
pub(super) fn current() -> Progress {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Time that the store is not to blame for: while `work` is done the attempt of this task is not judged.
pub async fn not_the_store<T>(work: impl Future<Output = T>) -> T {
    let _waiting = current().pause();
    work.await
}

/// What an attempt must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    /// Bytes a second.
    pub min_rate: u64,
    /// Over which.
    pub window: Duration,
    /// For an answer.
    pub patience: Duration,
}

/// Why an attempt was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalled {
    /// Of so many bytes in the window.
    Slow { moved: u64, demand: Demand },
    /// For so long.
    Silent(Duration),
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow { moved, demand } => write!(
                f,
                "only {moved} bytes moved in {:?}, less than store.min_rate asks for ({} a second); is the network or the store overloaded?",
                demand.window, demand.min_rate
            ),
            Self::Silent(patience) => write!(f, "no answer within {patience:?} (store.attempt_timeout)"),
        }
    }
}

/// How far an attempt has come; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    moved: u64,
    /// All of the request's body is handed out.
    sent: bool,
    /// Its attempt has ended.
    over: bool,
    /// How many things hold it back on this side, since when, and for how long it was held back before.
    pauses: u32,
    paused_at: Option<Instant>,
    paused: Duration,
}

/// While it lives, the time does not count.
pub(super) struct Pause(Progress);

impl Drop for Pause {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.pauses = inner.pauses.saturating_sub(1);
        if inner.pauses == 0
            && let Some(since) = inner.paused_at.take()
        {
            inner.paused += since.elapsed();
        }
    }
}

/// Ends the attempt with it, however that ends.
struct End(Progress);

impl Drop for End {
    fn drop(&mut self) {
        self.0.lock().over = true;
    }
}

impl Inner {
    /// For how long it was held back on this side until now.
    fn held(&self) -> Duration {
        self.paused + self.paused_at.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many more bytes, either way.
    pub(super) fn moved(&self, bytes: u64) {
        self.lock().moved += bytes;
    }

    /// The whole body is handed out.
    pub(super) fn sent(&self) {
        self.lock().sent = true;
    }

    /// Whether nobody waits for it any more: it was answered, cut off or given up.
    pub(super) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// We hold it back ourselves.
    pub(super) fn pause(&self) -> Pause {
        let mut inner = self.lock();
        if inner.pauses == 0 {
            inner.paused_at = Some(Instant::now());
        }
        inner.pauses += 1;
        Pause(self.clone())
    }

    /// For how long we held it back until now.
    pub(super) fn held(&self) -> Duration {
        self.lock().held()
    }

    /// Follows an attempt to its end, or cuts it off.
    pub(super) async fn watch<F: Future>(&self, demand: Demand, attempt: F) -> Result<F::Output, Stalled> {
        let (began, mut judge, _end) = (Instant::now(), Judge::default(), End(self.clone()));
        let beat = (demand.window.min(demand.patience) / 20)
            .clamp(Duration::from_millis(10), Duration::from_secs(1));
        let mut moved = 0;
        let mut attempt = std::pin::pin!(CURRENT.scope(self.clone(), attempt));
        loop {
            match tokio::time::timeout(beat, &mut attempt).await {
                Ok(answer) => return Ok(answer),
                Err(_) => {
                    let (seen, waits) = {
                        let inner = self.lock();
                        let at = began.elapsed().saturating_sub(inner.held());
                        (Seen { at, moved: inner.moved, sent: inner.sent }, inner.pauses > 0)
                    };
                    if waits || seen.moved != moved {
                        moved = seen.moved;
                        meter::alive();
                    }
                    if let Some(stalled) = judge.look(seen, demand) {
                        return Err(stalled);
                    }
                }
            }
        }
    }
}

/// One look at an attempt.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Since its beginning, without what we held it back.
    at: Duration,
    moved: u64,
    sent: bool,
}

/// Judges look by look. Pure.
#[derive(Debug, Default)]
struct Judge {
    /// Where the window began.
    from: Option<Seen>,
    /// When the wait for the answer did.
    waits: Duration,
    /// What had moved when the body was out: more is the answer's.
    up: Option<u64>,
}

impl Judge {
    fn look(&mut self, seen: Seen, demand: Demand) -> Option<Stalled> {
        if seen.sent && self.up.is_none() {
            self.up = Some(seen.moved);
            self.waits = seen.at;
        }
        // Nothing yet, of the body or of the answer: a connection that is made, or a store that thinks.
        if seen.moved == self.up.unwrap_or(0) {
            self.from = None;
            return (seen.at.saturating_sub(self.waits) >= demand.patience)
                .then_some(Stalled::Silent(demand.patience));
        }
        let Some(from) = self.from else {
            self.from = Some(seen);
            return None;
        };
        if seen.at.saturating_sub(from.at) < demand.window {
            return None;
        }
        let moved = seen.moved - from.moved;
        self.from = Some(seen);
        let wanted = demand.min_rate as f64 * demand.window.as_secs_f64();
        ((moved as f64) < wanted).then_some(Stalled::Slow { moved, demand })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand =
        Demand { min_rate: 1000, window: Duration::from_secs(20), patience: Duration::from_secs(300) };

    fn looks(looks: impl IntoIterator<Item = (u64, u64, bool)>) -> Option<(u64, Stalled)> {
        let mut judge = Judge::default();
        looks.into_iter().find_map(|(secs, moved, sent)| {
            let seen = Seen { at: Duration::from_secs(secs), moved, sent };
            judge.look(seen, DEMAND).map(|stalled| (secs, stalled))
        })
    }

    #[test]
    fn it_may_take_as_long_as_it_likes_while_it_moves() {
        assert_eq!(looks((0..100_000).map(|s| (s, s * 1001, false))), None);
        let trickle = looks((0..1000).map(|s| (s, s * 900, false)));
        assert_eq!(trickle, Some((21, Stalled::Slow { moved: 18_000, demand: DEMAND })));
        // It stops in the middle: noticed at most two windows later.
        let (at, stalled) = looks((0..1000).map(|s| (s, s.min(100) * 1_000_000, false))).unwrap();
        assert!(
            (120..=141).contains(&at) && matches!(stalled, Stalled::Slow { moved: 0, .. }),
            "{at} {stalled}"
        );
    }

    #[test]
    fn before_the_first_byte_and_behind_the_last_it_has_patience() {
        assert_eq!(looks((0..1000).map(|s| (s, 0, false))), Some((300, Stalled::Silent(DEMAND.patience))));
        let sent = |s: u64| (s, s.min(50) * 1_000_000, s >= 50);
        assert_eq!(looks((0..1000).map(sent)), Some((350, Stalled::Silent(DEMAND.patience))));
        // An answer that comes late, and then in time.
        assert_eq!(looks((0..1000u64).map(|s| (s, s.saturating_sub(290) * 2000, false))), None);
        // Body and answer, each in its time; the answer trickles.
        let both = |s: u64| (s, s.min(50) * 1_000_000 + s.saturating_sub(300) * 100, s >= 50);
        let (at, stalled) = looks((0..1000).map(both)).unwrap();
        assert!(at > 300 && at < 345 && matches!(stalled, Stalled::Slow { .. }), "{at} {stalled}");
    }

    /// For a unit that would count as hung after a tenth of this.
    #[tokio::test]
    async fn what_moves_or_is_held_back_lives_and_what_stands_still_does_not() {
        let ms = Duration::from_millis;
        let demand = Demand { min_rate: 1, window: ms(200), patience: ms(1500) };
        let meter = meter::Board::default().begin("uploader", "a".into());
        let lives = async |attempt: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
            let before = meter.ticks();
            let progress = Progress::default();
            assert_eq!(meter.on_behalf(progress.watch(demand, attempt)).await, Ok(()));
            meter.ticks() - before
        };
        let moves = async {
            for _ in 0..50 {
                current().moved(1);
                tokio::time::sleep(ms(20)).await;
            }
        };
        assert!(lives(Box::pin(moves)).await >= 10);
        assert!(lives(Box::pin(not_the_store(tokio::time::sleep(ms(1000))))).await >= 10);
        assert_eq!(lives(Box::pin(tokio::time::sleep(ms(1000)))).await, 0);
    }

    #[tokio::test]
    async fn what_we_hold_back_ourselves_is_not_the_stores_fault() {
        let ms = Duration::from_millis;
        let demand = Demand { min_rate: 1000, window: ms(200), patience: ms(200) };
        let progress = Progress::default();
        let held = progress.watch(demand, not_the_store(tokio::time::sleep(ms(600)))).await;
        assert_eq!(held, Ok(()));
        assert!(progress.held() >= ms(600) && Progress::default().held().is_zero());
        let slept = Progress::default().watch(demand, tokio::time::sleep(ms(5000))).await;
        assert_eq!(slept, Err(Stalled::Silent(ms(200))));
        let moves = async {
            for _ in 0..60 {
                current().moved(100);
                tokio::time::sleep(ms(10)).await;
            }
        };
        assert_eq!(Progress::default().watch(demand, moves).await, Ok(()));
    }
}
