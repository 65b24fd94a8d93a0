//! A doorbell at the bucket: where the endpoint tells of new objects, a commit is looked at within seconds instead of at the next look.
//!
//! Nothing follows from what it tells but where that look looks first: it believes no more than ever, and the watcher's own timer goes on. So a
//! notification that is lost costs time, one that lies costs a look, and many of them cost no more looks than [`GAP`] allows.
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::scan::package_of;
use crate::package::{COMMIT, PackageId};
use crate::store::{NoBell, Store};
use crate::supervisor::{Backoff, jitter, panic_text};

/// Between the beginnings of two looks that were rung for.
const GAP: Duration = Duration::from_secs(3);
/// Packages that are remembered between two looks; those beyond are found by looking.
const TOLD: usize = 100;
/// Seconds between two signs of life.
const PING: u32 = 10;
/// Before an endpoint is asked again that does not have it.
const RARELY: Duration = Duration::from_secs(3600);
/// Before a connection that was lost is made anew; doubles …
const FIRST: Duration = Duration::from_secs(1);
/// … up to this.
const MOST: Duration = Duration::from_secs(300);
/// A connection that held for so long was a good one.
const GOOD: Duration = Duration::from_secs(60);

/// Whether somebody rang; clones share.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Mutex<Rung>>);

#[derive(Debug, Default)]
struct Rung {
    rung: bool,
    /// What it rang for, as far as there is room.
    told: BTreeSet<PackageId>,
    looked: Option<Instant>,
}

impl Bell {
    fn inner(&self) -> MutexGuard<'_, Rung> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be something new: these, and others.
    pub fn ring(&self, told: impl IntoIterator<Item = PackageId>) {
        let mut inner = self.inner();
        inner.rung = true;
        for id in told {
            if inner.told.len() >= TOLD {
                break;
            }
            let _first = inner.told.insert(id);
        }
    }

    /// Whether to look now.
    pub fn is_due(&self) -> bool {
        let inner = self.inner();
        inner.rung && inner.looked.is_none_or(|looked| looked.elapsed() >= GAP)
    }

    /// A look begins, and is told where to look first: whoever rings from now on wants another.
    pub fn looks(&self) -> BTreeSet<PackageId> {
        let now = Rung { rung: false, told: BTreeSet::new(), looked: Some(Instant::now()) };
        std::mem::replace(&mut *self.inner(), now).told
    }
}

/// What has become of listening so far.
#[derive(Debug, Default)]
struct Course {
    /// In a row.
    losses: u32,
    /// What was said last about it, so that it is said once.
    said: Option<String>,
}

impl Course {
    /// Whether to say this.
    fn is_news(&mut self, what: &str) -> bool {
        let news = self.said.as_deref() != Some(what);
        self.said = Some(what.to_owned());
        news
    }

    /// How long to wait before it is tried again. `held`: for how long it could be listened.
    fn pause(&mut self, ended: &NoBell, held: Option<Duration>, jitter: f64) -> Duration {
        match ended {
            NoBell::Unknown(_) => RARELY,
            NoBell::Lost(_) => {
                self.losses =
                    if held.is_some_and(|held| held >= GOOD) { 1 } else { self.losses.saturating_add(1) };
                Backoff::try_new(FIRST, MOST).map_or(MOST, |backoff| backoff.delay(self.losses, jitter))
            }
        }
    }
}

/// All that listening needs.
pub struct Doorbell {
    /// The bucket.
    pub store: Store,
    /// What is rung.
    pub bell: Bell,
}

impl Doorbell {
    /// Listens as long as the process lives.
    pub async fn keep(self) {
        let mut course = Course::default();
        loop {
            let mut since = None;
            let listened = AssertUnwindSafe(self.listen(&mut since, &mut course)).catch_unwind().await;
            let ended = listened
                .unwrap_or_else(|payload| NoBell::Unknown(format!("panic: {}", panic_text(&*payload))));
            let held = since.map(|since: Instant| since.elapsed());
            let pause = course.pause(&ended, held, jitter());
            match &ended {
                NoBell::Unknown(why) if course.is_news("unknown") => tracing::info!(
                    why,
                    "the endpoint does not tell of new objects; the bucket is looked through every watch.interval, as ever"
                ),
                NoBell::Lost(why) if held.is_none() && course.is_news("lost") => tracing::info!(
                    why,
                    "the endpoint cannot be listened to now; the bucket is looked through every watch.interval meanwhile"
                ),
                NoBell::Unknown(why) | NoBell::Lost(why) => {
                    tracing::debug!(why, ?held, ?pause, "not listening")
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn listen(&self, since: &mut Option<Instant>, course: &mut Course) -> NoBell {
        let prefix = self.store.prefix();
        let mut listening = match self.store.listen(&format!("{prefix}/"), COMMIT, PING).await {
            Ok(listening) => listening,
            Err(ended) => return ended,
        };
        *since = Some(Instant::now());
        if course.is_news("listening") {
            tracing::info!("the endpoint tells of new objects: commits are looked at as they come");
        }
        self.bell.ring([]); // for what came while nobody listened
        loop {
            match listening.next().await {
                Ok(keys) => {
                    let told: Vec<PackageId> = keys.iter().filter_map(|key| told(prefix, key)).collect();
                    if !told.is_empty() {
                        self.bell.ring(told);
                    }
                }
                Err(ended) => return ended,
            }
        }
    }
}

/// The package whose commit lies there.
fn told(prefix: &str, key: &str) -> Option<PackageId> {
    package_of(prefix, key)?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rings_for_commits_below_the_prefix_alone() {
        for (key, rings) in [
            ("in/samples/a/r1/COMMIT", true),
            ("in/samples/a/r1/COMMIT.sig", false),
            ("in/samples/a/r1/UNCOMMIT", false),
            ("in/heartbeat/gdx-login/1", false),
            ("out/samples/a/r1/COMMIT", false),
            ("in/COMMIT", false),
            ("", false),
        ] {
            assert_eq!(told("in", key).is_some(), rings, "{key}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn however_often_it_rings_looks_keep_their_distance() {
        let bell = Bell::default();
        assert!(!bell.is_due());
        let ids = |n: usize| (0..n).map(|n| format!("samples/p{n}/r1").parse::<PackageId>().unwrap());
        bell.ring(ids(2));
        assert!(bell.is_due(), "nobody has looked yet");
        assert_eq!(bell.looks(), ids(2).collect());
        assert!(!bell.is_due(), "answered");
        for n in 0..1000 {
            bell.ring(ids(n));
        }
        assert!(!bell.is_due(), "too soon");
        tokio::time::advance(GAP).await;
        assert!(bell.is_due());
        assert_eq!(bell.looks().len(), TOLD, "no more are remembered");
        tokio::time::advance(GAP * 10).await;
        assert!(!bell.is_due(), "nobody rang");
    }

    #[test]
    fn a_lost_connection_is_made_anew_with_longer_pauses_and_a_missing_one_is_asked_for_rarely() {
        let (mut course, lost) = (Course::default(), NoBell::Lost("cut".into()));
        let short = Some(Duration::from_secs(5));
        let pauses: Vec<Duration> = (0..12).map(|_| course.pause(&lost, short, 1.0)).collect();
        assert!(pauses.is_sorted() && pauses[0] <= FIRST * 2 && pauses[11] <= MOST, "{pauses:?}");
        assert!(pauses[11] >= MOST / 2, "{pauses:?}");
        assert!(course.pause(&lost, Some(GOOD), 1.0) <= pauses[0], "it was a good one");
        assert_eq!(course.pause(&NoBell::Unknown("501".into()), None, 1.0), RARELY);
        assert!(course.is_news("a") && !course.is_news("a") && course.is_news("b") && course.is_news("a"));
    }
}
