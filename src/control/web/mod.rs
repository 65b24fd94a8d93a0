//! The same answers as pages for a browser, over `ssh -L` before the socket or over the port: overview, package, list, review.
//!
//! The server draws everything, so that the pages work without a script; `page.js` only fetches a page again when the journal moves and
//! puts what changed into its place. Nothing is fetched from elsewhere, nothing inline runs. The pages only read: what acts comes
//! in its own routes, with a header that a foreign page cannot send, and gets its place in [`package`].
mod charts;
mod listing;
mod overview;
mod package;
mod shell;
#[cfg(test)]
mod tests;
mod wants;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use jiff::SignedDuration;
use maud::Markup;
use serde::Deserialize;

use super::Known;
use super::answers::{made, refused, told_whole};
use super::problem::Problem;
use crate::clock;
use crate::present::Present;
use crate::review::{self, Scope, Source};
use listing::Asked;

/// Of each list of an overview.
const MOST: usize = 50;
/// What a review looks back on.
const HOURS: i64 = 24;

/// What a browser may do with a page of ours, whatever stands in a name or an error.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";
/// The review brings its style along and has no script.
const POLICY_OF_REVIEW: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// The pages.
pub(super) fn router() -> Router<Known> {
    Router::new()
        .route("/", get(front))
        .route("/why", get(why))
        .route("/packages", get(packages))
        .route("/review", get(looked_back))
        .route("/page.css", get(async || file("text/css; charset=utf-8", include_str!("page.css"))))
        .route("/page.js", get(async || file("text/javascript; charset=utf-8", include_str!("page.js"))))
        .route("/favicon.svg", get(async || file("image/svg+xml", include_str!("favicon.svg"))))
}

fn file(media: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media)], text).into_response()
}

fn page(markup: Markup) -> Response {
    under(POLICY, markup.into_string())
}

fn under(policy: &'static str, text: String) -> Response {
    let mut response = Html(text).into_response();
    let headers = response.headers_mut();
    let _new = headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    let _new = headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

async fn front(State(known): State<Known>) -> Response {
    let samples = known.history().samples();
    made(known, |present| present.status(MOST), move |status| page(overview::page(&status, &samples))).await
}

/// What is sought.
#[derive(Debug, Deserialize)]
struct Sought {
    what: Option<String>,
}

async fn why(State(known): State<Known>, sought: Result<Query<Sought>, QueryRejection>) -> Response {
    let what = match sought {
        Ok(Query(sought)) => sought.what.unwrap_or_default(),
        Err(rejection) => return refused(&rejection),
    };
    let dir = known.state_dir().to_owned();
    let look = move |present: Present<'_>| {
        let asked = !what.trim().is_empty();
        (present.status(MOST), asked.then(|| present.why(&what)))
    };
    let say = move |(status, answer)| match answer {
        None => page(package::nothing_asked(&status)),
        Some(answer) => match told_whole(&dir, answer) {
            Ok(answer) => page(package::page(&status, &answer)),
            Err(problem) => problem.into_response(),
        },
    };
    made(known, look, say).await
}

async fn packages(State(known): State<Known>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return refused(&rejection),
    };
    let filter = match asked.filter() {
        Ok(filter) => filter,
        Err(why) => return Problem::new(StatusCode::BAD_REQUEST, why).into_response(),
    };
    let look = move |present: Present<'_>| (present.status(MOST), present.list(&filter));
    made(known, look, move |(status, list)| page(listing::page(&status, &asked, &list))).await
}

/// Journal and log of the last day, as the command `review --html` writes it.
async fn looked_back(State(known): State<Known>) -> Response {
    let Ok(place) = known.reviews().clone().try_acquire_owned() else {
        let why = "another review is being made; ask again in a few seconds";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let job = move || {
        let _place = place; // until it is made, also if nobody waits for it any more
        let now = clock::now();
        let source = Source::Site { state: known.state_dir().to_owned(), log: known.log_dir().to_owned() };
        let since = now.checked_sub(SignedDuration::from_hours(HOURS)).ok();
        let review = review::review(&source, &Scope { since, ..Scope::default() }, now);
        let review = review.map_err(|e| crate::chain(&e))?;
        review.to_html(now).map_err(|e| format!("could not draw the charts: {e}"))
    };
    let failed = |why: String| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    match tokio::task::spawn_blocking(job).await {
        Ok(Ok(text)) => under(POLICY_OF_REVIEW, text),
        Ok(Err(why)) => failed(why),
        Err(fell) => {
            tracing::error!(%fell, "a review could not be made");
            failed("the review could not be made; the log says why".into())
        }
    }
}
