//! `/v1/events`: every line of the journal as it is written, as server-sent events, and a beat in between.
//!
//! `line` has the line's number as its id, so a listener that was cut off goes on where it was (`Last-Event-ID`, or `?after=`).
//! A listener that is too slow, or comes back too late, is told `lagged` with the number of lines that it missed, and goes on.
//! `beat` says that the daemon lives though nothing happens.
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Interval;

use super::Known;
use super::openapi::answer;
use super::problem::Problem;
use super::routes::Route;
use crate::clock;
use crate::journal::Line;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(5);
/// Who was cut off comes back after this.
const RETRY: Duration = Duration::from_secs(2);

/// The route.
pub(super) fn route() -> Route {
    let number = json!({"type": "integer", "minimum": 0});
    Route {
        path: "/v1/events",
        method: "get",
        says: json!({
            "summary": "Every line of the journal as it is written, as server-sent events",
            "description": "Events: `line` (data: the line; id: its number), `lagged` (data: {missed}; you were too slow or came back too \
                late, those lines stand in the journal) and, every 5 s, `beat` (data: {at, lines, silent_seconds, stopping}). The last \
                thousand lines are kept for who comes back.",
            "operationId": "events",
            "parameters": [
                {"name": "Last-Event-ID", "in": "header", "schema": number, "description": "go on behind this line"},
                {"name": "after", "in": "query", "schema": number, "description": "the same; 0: everything that is kept"},
            ],
            "responses": {"200": answer("Events, until you or the daemon end", "text/event-stream", &json!({"type": "string"}))},
        }),
        answers: get(events),
    }
}

#[derive(Deserialize)]
struct Wish {
    after: Option<String>,
}

/// Behind which line to begin; a wish that cannot be read is refused, or lines would be missing silently.
fn behind(headers: &HeaderMap, after: Option<&str>) -> Result<Option<u64>, Problem> {
    let header = headers.get("last-event-id").map(|id| id.to_str().unwrap_or("?"));
    let Some(text) = header.or(after) else { return Ok(None) };
    let no = |_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "Last-Event-ID and ?after= take the number of a line of the journal",
        )
    };
    text.trim().parse().map(Some).map_err(no)
}

async fn events(State(known): State<Known>, Query(wish): Query<Wish>, headers: HeaderMap) -> Response {
    let after = match behind(&headers, wish.after.as_deref()) {
        Ok(after) => after,
        Err(problem) => return problem.into_response(),
    };
    let Ok(place) = known.streams().clone().try_acquire_owned() else {
        let why = "too many listen to events: close one of them";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    Sse::new(feed(known, after, place)).into_response()
}

struct Listening {
    known: Known,
    missed: u64,
    kept: VecDeque<Arc<Line>>,
    live: Receiver<Arc<Line>>,
    beat: Interval,
    _place: OwnedSemaphorePermit,
}

fn feed(
    known: Known,
    after: Option<u64>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let heard = known.journal().listen(after);
    let beat = tokio::time::interval(BEAT);
    let (missed, kept, live) = (heard.missed, heard.kept.into(), heard.live);
    stream::unfold(Listening { known, missed, kept, live, beat, _place: place }, |mut listening| async {
        let event = listening.next().await?;
        Some((Ok(event), listening))
    })
}

impl Listening {
    async fn next(&mut self) -> Option<Event> {
        let missed = std::mem::take(&mut self.missed);
        if missed > 0 {
            return Some(lagged(missed));
        }
        if let Some(next) = self.kept.pop_front() {
            return Some(line(&next));
        }
        tokio::select! {
            heard = self.live.recv() => match heard {
                Ok(next) => Some(line(&next)),
                Err(RecvError::Lagged(missed)) => Some(lagged(missed)),
                Err(RecvError::Closed) => None,
            },
            _ = self.beat.tick() => Some(self.beat()),
        }
    }

    fn beat(&self) -> Event {
        let stopping = self.known.snapshot().is_some_and(|snapshot| snapshot.stopping.is_some());
        let (lines, silent) = (self.known.journal().view().lines, self.known.silence().as_secs_f64());
        let said =
            json!({"at": clock::now(), "lines": lines, "silent_seconds": silent, "stopping": stopping});
        event("beat", &said).retry(RETRY)
    }
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

fn line(line: &Line) -> Event {
    let data = serde_json::to_string(line).expect("events are plain data and always serialise");
    Event::default().event("line").id(line.seq.to_string()).data(data)
}

fn lagged(missed: u64) -> Event {
    event("lagged", &json!({"missed": missed}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_cannot_be_read_is_refused() {
        let header = |value: &str| {
            [("last-event-id".parse().unwrap(), value.parse().unwrap())].into_iter().collect::<HeaderMap>()
        };
        assert_eq!(behind(&HeaderMap::new(), None), Ok(None));
        assert_eq!(behind(&HeaderMap::new(), Some("7")), Ok(Some(7)));
        assert_eq!(
            behind(&header("9"), Some("7")),
            Ok(Some(9)),
            "the header is what a browser sends when it comes back"
        );
        for wrong in ["x", "-1", "", "1.5"] {
            assert_eq!(behind(&header(wrong), None).unwrap_err().status(), 400, "{wrong}");
        }
    }
}
