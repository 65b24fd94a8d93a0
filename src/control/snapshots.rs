//! `/v1/snapshot`: what the supervisor said last, as it stands in `status.json`.
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::Known;
use super::openapi::answer;
use super::problem::{Problem, json_answer};
use super::routes::Route;

/// The route.
pub(super) fn route() -> Route {
    let time = || json!({"type": "string", "format": "date-time"});
    let list = || json!({"type": "array", "items": {"type": "object"}});
    let schema = json!({
        "type": "object",
        "required": ["at", "started", "version", "actors", "moving", "not_taken", "silences"],
        "properties": {
            "at": time(), "started": time(), "version": {"type": "string"},
            "actors": list(), "moving": list(), "wire": {"type": "object"},
            "not_taken": {"type": "object", "additionalProperties": {"type": "string"}},
            "senders": list(), "resting": {"type": "object"}, "share": {"type": "object"},
            "silences": list(), "stopping": {"type": "object"},
        },
    });
    Route {
        path: "/v1/snapshot",
        method: "get",
        says: json!({
            "summary": "What moves now: actors, packages in motion, the wire, what waits outside, open alarms",
            "description": "At most a second old while the main thread answers; `at` tells. 503 until the supervisor has spoken once.",
            "operationId": "snapshot",
            "responses": {"200": answer("The last snapshot", "application/json", &schema)},
        }),
        answers: get(snapshot),
    }
}

async fn snapshot(State(known): State<Known>) -> Response {
    match known.snapshot() {
        Some(snapshot) => json_answer(StatusCode::OK, &*snapshot),
        None => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is starting; ask again in a second")
                .into_response()
        }
    }
}
