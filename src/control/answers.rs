//! `/v1/status`, `/v1/why`, `/v1/packages`: what the commands of the same names answer, by the same functions.
//!
//! The present is looked at on a thread that may block: the stop file lies on a disk that may hang, and a long list is not made on a
//! thread that others wait for. The journal's present is held for as long as one answer is made and no longer.
use std::path::Path;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Known;
use super::client::{Client, Trouble};
use super::openapi::answer;
use super::problem::{Problem, json_answer};
use super::routes::Route;
use crate::clock;
use crate::journal;
use crate::present::{Filter, ListAnswer, Present, StatusAnswer, WhyAnswer};
use crate::stop::Stop;

/// Of each list of a status.
const MOST: usize = 1000;

/// How long lists may be.
#[derive(Debug, Deserialize)]
struct Length {
    most: Option<usize>,
}

/// What is sought.
#[derive(Debug, Deserialize)]
struct Sought {
    what: String,
}

/// A [`Filter`] as one line.
#[derive(Debug, Deserialize)]
struct Wanted {
    filter: Option<String>,
}

/// An object with these fields, and more.
fn with(fields: &[&str]) -> Value {
    json!({"type": "object", "required": fields})
}

fn parameter(name: &str, required: bool, schema: &Value, what: &str) -> Value {
    json!([{"name": name, "in": "query", "required": required, "schema": schema, "description": what}])
}

/// `/v1/status`.
pub(super) fn status() -> Route {
    let most = json!({"type": "integer", "minimum": 0, "maximum": MOST, "default": MOST});
    Route {
        path: "/v1/status",
        method: "get",
        says: json!({
            "summary": "What is going on: actors, packages by state, what moves, what is stopped and what to do",
            "operationId": "status",
            "parameters": parameter("most", false, &most, "of each list; `more` counts the rest"),
            "responses": {"200": answer("As `tsd-import status --json`", "application/json", &with(&["at", "role", "host", "health", "running", "daemon", "states", "under_way"]))},
        }),
        answers: get(async |State(known): State<Known>, length: Result<Query<Length>, QueryRejection>| {
            let most = match length {
                Ok(Query(length)) => length.most.unwrap_or(MOST).min(MOST),
                Err(why) => return refused(&why),
            };
            answered(known, move |present| json_answer(StatusCode::OK, present.status(most))).await
        }),
    }
}

/// `/v1/why`.
pub(super) fn why() -> Route {
    let text = json!({"type": "string", "minLength": 1});
    let what = "kind/name/rN, a name, a sample's number, a LIMS artifact or order, the beginning or a part of a name";
    Route {
        path: "/v1/why",
        method: "get",
        says: json!({
            "summary": "Where one package or sample is, what it waits for, what to do, and all its steps",
            "operationId": "why",
            "parameters": parameter("what", true, &text, what),
            "responses": {"200": answer("As `tsd-import why --json`; also when nothing or several were found", "application/json", &with(&["at", "found"]))},
        }),
        answers: get(async |State(known): State<Known>, sought: Result<Query<Sought>, QueryRejection>| {
            let what = match sought {
                Ok(Query(sought)) if !sought.what.trim().is_empty() => sought.what,
                Ok(_) => {
                    return Problem::new(StatusCode::BAD_REQUEST, "what: say what is sought").into_response();
                }
                Err(why) => return refused(&why),
            };
            let dir = known.state_dir().to_owned();
            let add = move |answer| match told_whole(&dir, answer) {
                Ok(answer) => json_answer(StatusCode::OK, answer),
                Err(problem) => problem.into_response(),
            };
            made(known, move |present| present.why(&what), add).await
        }),
    }
}

/// `/v1/packages`.
pub(super) fn packages() -> Route {
    let text = json!({"type": "string", "contentMediaType": "application/json"});
    let what = "a JSON object with any of states, kinds, priorities (lists of words), since, until (times), stopped, moving (true), \
        name (part or pattern), limit";
    Route {
        path: "/v1/packages",
        method: "get",
        says: json!({
            "summary": "Which packages are there, those whose state changed last first",
            "operationId": "packages",
            "parameters": parameter("filter", false, &text, what),
            "responses": {"200": answer("As `tsd-import list --json`", "application/json", &with(&["at", "health", "known", "fit", "packages"]))},
        }),
        answers: get(async |State(known): State<Known>, wanted: Result<Query<Wanted>, QueryRejection>| {
            let filter = match wanted {
                Ok(Query(wanted)) => {
                    wanted.filter.map_or(Ok(Filter::default()), |text| serde_json::from_str(&text))
                }
                Err(why) => return refused(&why),
            };
            match filter {
                Ok(filter) => {
                    answered(known, move |present| json_answer(StatusCode::OK, present.list(&filter))).await
                }
                Err(e) => Problem::new(StatusCode::BAD_REQUEST, format!("filter: {e}")).into_response(),
            }
        }),
    }
}

/// The same with what the package's own lines tell; reads the journal, so it may block.
pub(super) fn told_whole(dir: &Path, answer: WhyAnswer) -> Result<WhyAnswer, Problem> {
    let Some((package, order)) = answer.wants() else { return Ok(answer) };
    match journal::about(dir, package, order) {
        Ok(about) => Ok(answer.with(&about)),
        Err(e) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(&e))),
    }
}

pub(super) fn refused(why: &QueryRejection) -> Response {
    Problem::new(StatusCode::BAD_REQUEST, why.body_text()).into_response()
}

async fn answered(known: Known, say: impl FnOnce(Present<'_>) -> Response + Send + 'static) -> Response {
    made(known, say, |response| response).await
}

/// `look` sees the present, `then` goes on without it.
pub(super) async fn made<T>(
    known: Known,
    look: impl FnOnce(Present<'_>) -> T + Send + 'static,
    then: impl FnOnce(T) -> Response + Send + 'static,
) -> Response {
    let job = move || {
        let dir = known.state_dir();
        let stop = match Stop::look(dir) {
            Ok(stop) => stop,
            Err(e) => {
                return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(&e)).into_response();
            }
        };
        let place = Stop::path(dir).display().to_string();
        let seen = known.snapshot();
        let seen_now = look(Present {
            role: known.role().as_str(),
            host: known.host().as_str(),
            fold: &known.journal().view(),
            seen: seen.as_deref(),
            holder: Some(known.holder()),
            stop: stop.as_ref().map(|stop| (stop, place.as_str())),
            now: clock::now(),
        });
        then(seen_now)
    };
    tokio::task::spawn_blocking(job).await.unwrap_or_else(|fell| {
        tracing::error!(%fell, "an answer could not be made");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made; the log says why")
            .into_response()
    })
}

impl Client {
    /// What is going on, with lists of at most this length.
    pub async fn status(&self, most: usize) -> Result<StatusAnswer, Trouble> {
        self.read(&format!("/v1/status?most={most}")).await
    }

    /// Where it is and why.
    pub async fn why(&self, what: &str) -> Result<WhyAnswer, Trouble> {
        self.read(&format!("/v1/why?what={}", utf8_percent_encode(what, NON_ALPHANUMERIC))).await
    }

    /// Which packages are there.
    pub async fn list(&self, filter: &Filter) -> Result<ListAnswer, Trouble> {
        let text = serde_json::to_string(filter).expect("plain fields always serialise");
        self.read(&format!("/v1/packages?filter={}", utf8_percent_encode(&text, NON_ALPHANUMERIC))).await
    }
}
