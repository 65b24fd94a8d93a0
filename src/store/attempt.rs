//! A request, as often as it is worth it: each attempt with fresh headers, a permit and a deadline of its own.
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::slots::{End, Trip};
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

const PAUSE: Duration = Duration::from_millis(200);

impl Store {
    /// Asks, and asks again while the class of the failure allows it and attempts are left.
    pub(super) async fn ask<T, F>(&self, asked: Asked<'_>, send: impl Fn() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>>,
    {
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
            match answer {
                Err(failed) if failed.class != Class::Final && attempt < self.attempts => {
                    tokio::time::sleep(failed.retry_after.unwrap_or(PAUSE * attempt)).await;
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }
}
