//! The numbers of a daemon, for Prometheus: over `/metrics` and as a file for node_exporter.
//!
//! What numbers there are stands in one table ([`families`]); [`reading`] (pure) fills it; [`text`] writes it down. No label holds the
//! name of a package or of a sample, and no number is read from where the work is done but by a short look.
pub mod areas;
pub mod census;
pub mod families;
mod process;
pub mod reading;
pub mod text;
pub mod textfile;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::Known;
use super::health::hindrances;
use super::problem::Problem;
use super::routes::Route;
use crate::clock;
use crate::store;
use crate::supervisor::runtime;
use census::Census;
use reading::Seen;

/// Packages are not counted more often, however many ask.
const FRESH: Duration = Duration::from_secs(1);

/// The route.
pub(super) fn route() -> Route {
    let text = json!({"schema": {"type": "string"}});
    Route {
        path: "/metrics",
        method: "get",
        says: json!({
            "summary": "All numbers, for Prometheus", "operationId": "metrics",
            "description": "Text format 0.0.4, or OpenMetrics 1.0 if that is asked for. No label names a package or a sample.",
            "responses": {"200": {"description": "The numbers", "content": {
                "text/plain": text, "application/openmetrics-text": text,
            }}},
        }),
        answers: get(metrics),
    }
}

async fn metrics(State(known): State<Known>, headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let numbers = match render(&known).await {
        Ok(numbers) => numbers,
        Err(why) => return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
    };
    let (media, body) = if accepts.contains("application/openmetrics-text") {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", numbers)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", text::classic(&numbers))
    };
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media))], body).into_response()
}

/// All numbers of now, as OpenMetrics.
pub(super) async fn render(known: &Known) -> Result<String, String> {
    let census = counted(known).await?;
    let known = known.clone();
    let job = move || {
        let (snapshot, silence) = (known.snapshot(), known.silence());
        let hindrances = hindrances(snapshot.as_deref(), silence);
        let seen = Seen {
            role: known.role(),
            now: clock::now(),
            snapshot: snapshot.as_deref(),
            silence,
            ready: hindrances.is_empty(),
            census: &census,
            writing: known.journal().writing(),
            moved: known.board().moved(),
            repeats: store::repeats(),
            areas: known.areas().now(),
            process: process::now(),
            requests: known.requests(),
            connections: known.connections(),
        };
        text::openmetrics(&reading::read(&seen))
            .map_err(|e| format!("the numbers could not be written down: {e}"))
    };
    runtime().spawn_blocking(job).await.map_err(|fell| format!("counting fell: {fell}"))?
}

/// The packages of now, or of a second ago.
async fn counted(known: &Known) -> Result<Arc<Census>, String> {
    let mut last = known.census().lock().await;
    if let Some((_, census)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return Ok(census.clone());
    }
    let journal = known.journal().clone();
    let count = runtime().spawn_blocking(move || Arc::new(Census::of(&journal)));
    let census = count.await.map_err(|fell| format!("counting packages fell: {fell}"))?;
    *last = Some((Instant::now(), census.clone()));
    Ok(census)
}
