//! `POST /v1/acts`: what a person wants of packages, actors and limits, as the commands `hold`, `release` and their like ask for it.
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;

use super::Known;
use super::client::{Client, Trouble};
use super::openapi::answer;
use super::problem::{Problem, json_answer};
use super::routes::Route;
use crate::acts::{Answer, Request};

/// Less than every answer's deadline, so that this one's words arrive.
const PATIENCE: Duration = Duration::from_secs(8);

/// The route.
pub(super) fn route() -> Route {
    let act = json!({"type": "object", "required": ["act"], "properties": {"act": {"enum":
        ["hold", "release", "retry", "priority", "reexport", "pause", "resume", "bandwidth", "undrain"]}}});
    let request = json!({
        "type": "object",
        "required": ["version", "id", "by", "at", "reason", "acts"],
        "properties": {
            "version": {"const": 1}, "id": {"type": "string"}, "by": {"type": "string", "description": "the person"},
            "at": {"type": "string", "format": "date-time"}, "reason": {"type": "string", "minLength": 1},
            "dry_run": {"type": "boolean", "default": false}, "acts": {"type": "array", "items": act},
        },
    });
    let said = json!({"type": "object", "required": ["dry_run", "outcomes"]});
    Route {
        path: "/v1/acts",
        method: "post",
        says: json!({
            "summary": "Does what a person wants, or says what would be done; each act by itself is done or refused",
            "description": "Each outcome is `done` (what was done, what changes, how to undo it) or `refused` (why, what to do instead).",
            "operationId": "acts",
            "requestBody": {"required": true, "content": {"application/json": {"schema": request}}},
            "responses": {"200": answer("One outcome for each act, in their order", "application/json", &said)},
        }),
        answers: post(act_on),
    }
}

async fn act_on(State(known): State<Known>, body: Bytes) -> Response {
    let request = match serde_json::from_slice::<Request>(&body) {
        Ok(request) if request.version == 1 => request,
        Ok(request) => {
            let why = format!("version {} is not known here; this is version 1", request.version);
            return Problem::new(StatusCode::BAD_REQUEST, why).into_response();
        }
        Err(e) => return Problem::new(StatusCode::BAD_REQUEST, format!("the request: {e}")).into_response(),
    };
    match known.acts().ask(request, PATIENCE).await {
        Ok(answer) => json_answer(StatusCode::OK, answer),
        Err(why) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

impl Client {
    /// Has a request done.
    pub async fn act(&self, request: &Request) -> Result<Answer, Trouble> {
        let body = serde_json::to_value(request).expect("plain fields always serialise");
        self.understood("/v1/acts", self.patient(PATIENCE).post("/v1/acts", &body).await?)
    }
}
