//! A request, as often as it is worth it: each attempt with fresh headers, a permit and a deadline of its own.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::progress::{Progress, Stalled};
use super::retry::{Tried, wait};
use super::slots::{End, Trip};
use super::sort::CHANGED;
use super::{Store, StoreError};
use crate::supervisor::meter;

/// Why an attempt failed, for the decision whether there is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It would fail again.
    Final,
    /// It may succeed next time, and surely nothing was done.
    Transient,
    /// The store asks for fewer requests.
    Throttled,
    /// No answer, or one of a proxy: it may have been done.
    Unclear,
}

impl Class {
    fn word(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Unclear => "unclear",
        }
    }
}

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub error: StoreError,
    pub class: Class,
    /// What the store said about when to come again.
    pub retry_after: Option<Duration>,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self { error, class: Class::Final, retry_after: None }
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// What is asked of the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// As an infinitive: `accept a part`.
    pub what: &'static str,
    pub key: &'a str,
    /// That travel in its body or in its answer's.
    pub bytes: u64,
}

/// Requests whose bytes came to the store changed, since the process began. One is a line that a memory or a network card
/// should be looked at.
static CHANGES: AtomicU64 = AtomicU64::new(0);
/// Requests that were asked again, since the process began.
static REPEATS: AtomicU64 = AtomicU64::new(0);

/// How many requests to the store were asked again since the process began.
pub fn repeats() -> u64 {
    REPEATS.load(Relaxed)
}

/// One more.
pub(super) fn repeated() {
    let _before = REPEATS.fetch_add(1, Relaxed);
}

impl Store {
    /// Asks, and asks again while the class of the failure allows it, attempts are left and the whole has not taken too long. What does
    /// not count there is the time in which we held it back ourselves: by the limit, or because enough others are under way.
    pub(super) async fn ask<T, F>(&self, asked: Asked<'_>, send: impl Fn() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        // Another attempt is made only if it fits in whole.
        let most = self.endurance.whole(asked.bytes).saturating_sub(self.endurance.attempt(asked.bytes));
        let (mut attempt, mut spent) = (1, Duration::ZERO);
        let mut on_wire = (asked.bytes > 0).then(|| self.slots.begins());
        loop {
            self.fresh_headers().await?;
            let (began, progress) = (Instant::now(), Progress::default());
            let watched = progress.watch(self.demand, send()).await;
            let took = began.elapsed();
            spent += took.saturating_sub(progress.held());
            let end = match &watched {
                Ok(Ok(_)) => End::Arrived,
                Ok(Err(Failed { class: Class::Throttled, .. })) => End::Throttled,
                Err(Stalled::Slow { .. }) => End::Slow,
                Ok(Err(_)) | Err(Stalled::Silent(_)) => End::Failed,
            };
            self.slots.told(Trip { bytes: asked.bytes, took, end });
            drop(on_wire.take());
            // Attempts are bounded: a store that answers none makes an outage in the end, and is not to make a unit look hung.
            meter::alive();
            let failed = match watched.unwrap_or_else(|stalled| Err(cut_off(asked, stalled))) {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let tried = Tried {
                attempt,
                attempts: self.attempts,
                class: failed.class,
                advice: failed.retry_after,
                left: most.saturating_sub(spent),
            };
            let pause = wait(tried, self.dice.roll());
            told(asked, &tried, &failed.error, pause);
            let Some(pause) = pause else { return Err(failed) };
            repeated();
            tokio::time::sleep(pause).await;
            (spent, attempt) = (spent + pause, attempt + 1);
            if asked.bytes > 0 {
                on_wire = Some(self.slots.begins_again().await);
            }
        }
    }
}

/// Nobody knows what the store has made of it.
fn cut_off(asked: Asked<'_>, stalled: Stalled) -> Failed {
    Failed {
        error: StoreError::Outage { what: asked.what, why: format!("{}: {stalled}", asked.key) },
        class: Class::Unclear,
        retry_after: None,
    }
}

/// Puts a failed attempt on record.
fn told(asked: Asked<'_>, tried: &Tried, error: &StoreError, pause: Option<Duration>) {
    let Asked { what, key, bytes } = asked;
    let (attempt, attempts, class) = (tried.attempt, tried.attempts, tried.class.word());
    if error.to_string().contains(CHANGED) {
        let changes = CHANGES.fetch_add(1, Relaxed) + 1;
        tracing::warn!(key, bytes, changes, %error, "bytes were changed on the way to the store");
    }
    match pause {
        Some(pause) => {
            let wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(what, key, bytes, attempt, attempts, class, wait_ms, %error, "asked again after a pause");
        }
        None if attempt > 1 => {
            tracing::info!(what, key, bytes, attempt, attempts, class, %error, "not asked again");
        }
        None => tracing::debug!(what, key, bytes, attempt, attempts, class, %error, "not asked again"),
    }
}

#[cfg(test)]
#[path = "slow_tests.rs"]
mod slow;
