//! A request, as often as it is worth it: each attempt with fresh headers, a permit and a deadline of its own.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::retry::{Tried, wait};
use super::slots::{End, Trip};
use super::sort::CHANGED;
use super::{Store, StoreError};

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

impl Store {
    /// Asks, and asks again while the class of the failure allows it, attempts are left and the whole has not taken too long.
    pub(super) async fn ask<T, F>(&self, asked: Asked<'_>, send: impl Fn() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let deadline = self.patience + Duration::from_secs(asked.bytes / self.demand.min_rate.max(1));
        let pauses = self.whole_request.saturating_sub(self.patience.saturating_mul(self.attempts));
        let (begun, whole) = (Instant::now(), deadline.saturating_mul(self.attempts) + pauses);
        let mut attempt = 1;
        loop {
            self.fresh_headers().await?;
            let began = Instant::now();
            let answer = match Progress::default().watch(self.demand, send()).await {
                Ok(answer) => answer,
                Err(stalled) => Err(Failed {
                    error: StoreError::Outage { what: asked.what, why: format!("{}: {stalled}", asked.key) },
                    class: Class::Unclear,
                    retry_after: None,
                }),
            };
            let end = match &answer {
                Ok(_) => End::Arrived,
                Err(Failed { class: Class::Throttled, .. }) => End::Throttled,
                Err(_) => End::Failed,
            };
            self.slots.told(Trip { bytes: asked.bytes, took: began.elapsed(), end });
            let failed = match answer {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let tried = Tried {
                attempt,
                attempts: self.attempts,
                class: failed.class,
                advice: failed.retry_after,
                left: whole.saturating_sub(begun.elapsed()),
            };
            let pause = wait(tried, self.dice.roll());
            told(asked, &tried, &failed.error, pause);
            let Some(pause) = pause else { return Err(failed) };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
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
