//! `/v1/openapi.json`: what can be asked, made from the table of routes.
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Map, Value, json};

use super::problem::{PROBLEM, json_answer};
use super::routes::{Route, table};

/// The route.
pub(super) fn route() -> Route {
    Route {
        path: "/v1/openapi.json",
        method: "get",
        says: json!({
            "summary": "This description", "operationId": "openapi",
            "responses": {"200": answer("OpenAPI 3.1", "application/json", &json!({"type": "object", "required": ["openapi", "paths"]}))},
        }),
        answers: get(async || json_answer(StatusCode::OK, document())),
    }
}

/// One answer of an operation.
pub(super) fn answer(what: &str, media: &str, schema: &Value) -> Value {
    json!({"description": what, "content": {media: {"schema": schema}}})
}

/// The whole description.
pub fn document() -> Value {
    let mut paths = Map::new();
    let problem =
        answer("What was wrong and what to do", PROBLEM, &json!({"$ref": "#/components/schemas/Problem"}));
    for route in table() {
        let mut says = route.says;
        if let Some(responses) = says.get_mut("responses").and_then(Value::as_object_mut) {
            let _before = responses.insert("default".into(), problem.clone());
        }
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            let _before = path.insert(route.method.to_owned(), says);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tsd-import", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "MIT", "identifier": "MIT"},
            "description": "Asked over the Unix socket control.sock in the state directory, as the daemon's own user or root. Over \
                a port of the loopback, if one is configured, each request brings the token. Paths below /v1 keep their meaning; \
                fields may be added.",
        },
        "servers": [{"url": "http://localhost", "description": "over the socket: curl --unix-socket STATE_DIR/control.sock"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "over a port only: control.token_file"}},
            "schemas": {"Problem": {
                "type": "object", "required": ["title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                    "detail": {"type": "string", "description": "what was wrong and what to do"},
                },
            }},
        },
    })
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
