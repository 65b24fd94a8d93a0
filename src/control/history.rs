//! `/v1/history`: throughput and backlog of the last hours, one sample every ten seconds, in memory alone: the journal tells of earlier
//! days (`review`). A restart begins it anew, and so does nothing else.
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State as Lent;
use axum::http::StatusCode;
use axum::routing::get;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::Known;
use super::openapi::answer;
use super::problem::json_answer;
use super::routes::Route;
use crate::clock;
use crate::package::State;
use crate::present::carrier;

/// Between two samples.
const EVERY: Duration = Duration::from_secs(10);
/// Six hours of them.
const MOST: usize = 6 * 360;

/// What was so at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sample {
    /// When.
    pub at: Timestamp,
    /// Payload between here and the store since the sample before.
    pub bytes_per_second: u64,
    /// Packages that are neither at their end nor stopped.
    pub under_way: usize,
    /// Packages that wait for a person.
    pub stopped: usize,
    /// What waits outside or was refused.
    pub not_taken: usize,
}

/// The newest samples.
#[derive(Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

impl History {
    fn push(&self, sample: Sample) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= MOST {
            let _oldest = ring.pop_front();
        }
        ring.push_back(sample);
    }

    /// All of them, the oldest first.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// Bytes a second between two readings of a counter that begins at 0 with the process.
fn speed(before: u64, now: u64, over: Duration) -> u64 {
    (now.saturating_sub(before) as f64 / over.as_secs_f64().max(0.001)) as u64
}

/// Takes samples until the daemon ends.
pub(super) async fn keep(known: Known) {
    let carrier = carrier(known.role().as_str());
    let moved = || known.board().moved().get(carrier).copied().unwrap_or(0);
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut last, mut bytes) = (Instant::now(), moved());
    loop {
        let _at = tick.tick().await;
        let (now, all) = (Instant::now(), moved());
        let (under_way, tally) = {
            let fold = known.journal().view();
            (fold.under_way(), fold.tally())
        };
        let waits = |state| tally.get(&state).copied().unwrap_or(0);
        known.history().push(Sample {
            at: clock::now(),
            bytes_per_second: speed(bytes, all, now - last),
            under_way,
            stopped: waits(State::Held) + waits(State::Quarantined),
            not_taken: known.snapshot().map_or(0, |seen| seen.not_taken.len()),
        });
        (last, bytes) = (now, all);
    }
}

/// The route.
pub(super) fn route() -> Route {
    let number = || json!({"type": "integer", "minimum": 0});
    let sample = json!({
        "type": "object",
        "required": ["at", "bytes_per_second", "under_way", "stopped", "not_taken"],
        "properties": {
            "at": {"type": "string", "format": "date-time"}, "bytes_per_second": number(), "under_way": number(),
            "stopped": number(), "not_taken": number(),
        },
    });
    let schema = json!({
        "type": "object",
        "required": ["every_seconds", "samples"],
        "properties": {"every_seconds": number(), "samples": {"type": "array", "maxItems": MOST, "items": sample}},
    });
    Route {
        path: "/v1/history",
        method: "get",
        says: json!({
            "summary": "Throughput and backlog of the last six hours at most, since the daemon started; the oldest sample first",
            "operationId": "history",
            "responses": {"200": answer("Samples", "application/json", &schema)},
        }),
        answers: get(async |Lent(known): Lent<Known>| {
            let said = json!({"every_seconds": EVERY.as_secs(), "samples": known.history().samples()});
            json_answer(StatusCode::OK, said)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_bounded_and_keeps_the_newest() {
        let history = History::default();
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for n in 0..MOST + 5 {
            let at = start + jiff::SignedDuration::from_secs(10 * n as i64);
            history.push(Sample { at, bytes_per_second: 0, under_way: n, stopped: 0, not_taken: 0 });
        }
        let samples = history.samples();
        assert_eq!((samples.len(), samples[0].under_way, samples[MOST - 1].under_way), (MOST, 5, MOST + 4));
    }

    #[test]
    fn speeds() {
        let ten = Duration::from_secs(10);
        assert_eq!((speed(0, 50, ten), speed(50, 50, ten), speed(60, 50, ten)), (5, 0, 0));
        assert_eq!(speed(7, 7, Duration::ZERO), 0);
    }
}
