//! Answers whose bodies go wrong, and ranges that are not understood.
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use http::header::{CONTENT_RANGE, ETAG, HeaderValue};
use http::request::Parts;

use super::fault::{FaultKind, Portal};
use super::gate;

/// What a trickle brings at a time.
const DROP: usize = 16 << 10;

/// By then what came before a break is on its way; a server that breaks off at once takes it back.
const FLUSHED: Duration = Duration::from_millis(50);

/// Marks a request whose range is not looked at.
#[derive(Clone, Copy)]
pub(super) struct WithoutRange;

/// Marks a request whose conditions are not looked at.
#[derive(Clone, Copy)]
pub(super) struct WithoutConditions;

/// Before the work.
pub(super) fn request(kind: FaultKind, head: &mut Parts) {
    if kind == FaultKind::IgnoreRange {
        let _none_before = head.extensions.insert(WithoutRange);
    }
    if kind == FaultKind::ForgetConditions {
        let _none_before = head.extensions.insert(WithoutConditions);
    }
}

/// After the work.
pub(super) fn answer(kind: FaultKind, mut response: Response) -> Response {
    match kind {
        FaultKind::CutBody(after) => response.map(|body| ends(body, after, End::Breaks)),
        FaultKind::StallBody(after) => response.map(|body| ends(body, after, End::Stands)),
        FaultKind::Trickle(pause) => response.map(|body| trickles(body, pause)),
        FaultKind::WrongRange => {
            let said = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            let moved = said.and_then(|said| {
                let (from, rest) = said.strip_prefix("bytes ")?.split_once('-')?;
                format!("bytes {}-{rest}", from.parse::<u64>().ok()? + 1).parse().ok()
            });
            if let Some(moved) = moved {
                drop(response.headers_mut().insert(CONTENT_RANGE, moved));
            }
            response
        }
        _ => response,
    }
}

/// Instead of the work.
pub(super) fn portal(kind: Portal) -> Response {
    const PAGE: &str =
        "<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Please log in.</body></html>\n";
    const CHUNKS: usize = 2000;
    let tagged = |mut response: Response| {
        drop(response.headers_mut().insert(ETAG, HeaderValue::from_static("\"65f0c0de-6b\"")));
        response
    };
    match kind {
        Portal::Plain => gate::answer(StatusCode::OK, "text/html; charset=utf-8", PAGE),
        Portal::Chunked => {
            let pages =
                stream::iter((0..CHUNKS).map(|_| Ok::<_, axum::Error>(Bytes::from_static(PAGE.as_bytes()))));
            gate::answer(StatusCode::OK, "text/html", Body::from_stream(pages))
        }
        Portal::Static => tagged(gate::answer(StatusCode::OK, "text/html", PAGE)),
        Portal::Json => tagged(gate::answer(StatusCode::OK, "application/json", "{\"login\": \"/portal\"}")),
        Portal::Blank => Response::new(Body::empty()),
    }
}

enum End {
    Breaks,
    Stands,
}

fn ends(body: Body, after: u64, end: End) -> Body {
    let left = usize::try_from(after).unwrap_or(usize::MAX);
    let some = body.into_data_stream().scan(left, |left, piece| {
        let piece = piece.map(|mut bytes| bytes.split_to(bytes.len().min(*left)));
        *left -= piece.as_ref().map_or(0, Bytes::len);
        futures_util::future::ready(piece.as_ref().is_ok_and(|bytes| !bytes.is_empty()).then_some(piece))
    });
    let end = stream::once(async move {
        match end {
            End::Breaks => {
                tokio::time::sleep(FLUSHED).await;
                Err(axum::Error::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)))
            }
            End::Stands => std::future::pending().await,
        }
    });
    Body::from_stream(some.chain(end))
}

fn trickles(body: Body, pause: Duration) -> Body {
    let drops = body.into_data_stream().map_ok(|bytes| {
        let count = bytes.len().div_ceil(DROP);
        let drops = (0..count).map(move |n| Ok(bytes.slice(n * DROP..bytes.len().min((n + 1) * DROP))));
        stream::iter(drops.collect::<Vec<Result<Bytes, axum::Error>>>())
    });
    Body::from_stream(drops.try_flatten().then(move |one| async move {
        tokio::time::sleep(pause).await;
        one
    }))
}
