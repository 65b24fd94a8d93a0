//! All routes: the router and the description are both made from this table. Beside it there are the pages for people ([`web`]).
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use serde_json::Value;

use super::guard::{self, Door};
use super::problem::Problem;
use super::{Known, acts, answers, events, health, history, metrics, openapi, snapshots, web};

/// Every answer must have begun by then.
const DEADLINE: Duration = Duration::from_secs(10);
/// Who answers; a client of another version can say so.
pub const SERVER: &str = concat!("tsd-import/", env!("CARGO_PKG_VERSION"));

/// One route with its description.
pub struct Route {
    /// Where.
    pub path: &'static str,
    /// `get` or `post`.
    pub method: &'static str,
    /// The OpenAPI operation.
    pub says: Value,
    /// What answers.
    pub answers: MethodRouter<Known>,
}

/// One line for each.
pub(super) fn table() -> Vec<Route> {
    vec![
        health::healthz(),
        health::readyz(),
        metrics::route(),
        answers::status(),
        answers::why(),
        answers::packages(),
        acts::route(),
        snapshots::route(),
        events::route(),
        history::route(),
        openapi::route(),
    ]
}

/// What answers, behind the guard.
pub(super) fn router(known: &Known) -> Router {
    let add = |router: Router<Known>, route: Route| router.route(route.path, route.answers);
    let routes = table().into_iter().fold(Router::new(), add);
    routes
        .merge(web::router())
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "there is nothing here; /v1/openapi.json lists what there is")
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "not with this method; /v1/openapi.json lists what there is",
            )
        })
        .layer(axum::extract::DefaultBodyLimit::max(guard::MAX_BODY))
        .layer(from_fn(in_time))
        .layer(from_fn_with_state(known.clone(), guarded))
        .with_state(known.clone())
}

async fn in_time(request: Request, next: Next) -> Response {
    let late =
        || Problem::new(StatusCode::GATEWAY_TIMEOUT, "the answer took too long; try again").into_response();
    tokio::time::timeout(DEADLINE, next.run(request)).await.unwrap_or_else(|_| late())
}

async fn guarded(State(known): State<Known>, request: Request, next: Next) -> Response {
    known.asked();
    let (parts, body) = request.into_parts();
    let admitted = match parts.extensions.get::<Door>() {
        Some(door) => guard::admit(door, &parts),
        None => Err(Problem::new(StatusCode::FORBIDDEN, "nobody knows how this came in")),
    };
    let mut response = match admitted {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => {
            tracing::debug!(status = problem.status().as_u16(), "a request was refused");
            problem.into_response()
        }
    };
    let refused = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    if refused {
        // Beside Bearer: a browser asks its user for it then.
        let basic =
            HeaderValue::from_static("Basic realm=\"tsd-import: any name, the token as the password\"");
        let _more = headers.append(header::WWW_AUTHENTICATE, basic);
    }
    for (name, value) in [
        (header::SERVER, SERVER),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        let _new = headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
