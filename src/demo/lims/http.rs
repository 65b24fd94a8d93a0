//! The HTTP face: account, limits, paths, and what faults make of an answer.
//!
//! One handler for everything, because everything needs the same steps in the same order: faults that come before the
//! server, the account, the size of the body, the work, the record, faults that come after. The work itself is one
//! table from method and path to a rule of the world; it runs under the lock of the world and waits for nothing.

use std::io;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::answer::{Answer, Outcome, Refusal, Uris};
use super::faults::{Fault, Reply, instead, spoil};
use super::read::Received;
use super::wire::Line;
use super::world::{API_USER, World};
use super::xml::Element;
use super::{Lims, RequestLog, Settings, When};

#[derive(Clone)]
struct Served {
    lims: Lims,
    base: String,
}

/// Serves the API with `base` (`http://host/api/v2`) in front of its addresses.
pub(super) fn router(lims: Lims, base: String) -> Router {
    Router::new().fallback(handle).with_state(Served { lims, base })
}

/// A request as the rules see it.
pub(super) struct Call {
    pub(super) method: String,
    /// Path as it was sent.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Call {
    /// True if it changes nothing and shows what may lag behind.
    pub(super) fn is_read(&self) -> bool {
        let lags = self.path.starts_with("/api/v2/") && !self.path.starts_with("/api/v2/configuration");
        lags && (self.method == "GET" || self.path.ends_with("/batch/retrieve"))
    }
}

async fn handle(State(served): State<Served>, request: Request) -> Response {
    let line = request.extensions().get::<ConnectInfo<Line>>().map(|info| info.0.clone());
    let (parts, body) = request.into_parts();
    let method = parts.method.as_str().to_owned();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let faults = served.lims.take_faults(&method, &target);
    for fault in &faults {
        if let Fault::Delay(wait) = fault {
            tokio::time::sleep(*wait).await;
        }
    }
    let mut entry = RequestLog { method, path: target, status: 0 };
    served.lims.tell(&entry, When::Before);
    let reply = match instead(&faults) {
        Some(reply) => reply,
        None => spoil(&faults, serve_one(&served, &parts, body, &faults).await),
    };
    entry.status = reply.status();
    served.lims.record(entry.clone());
    served.lims.tell(&entry, When::After);
    match (&reply, line) {
        (Reply::Dropped, Some(line)) => {
            line.cut();
            Response::new(Body::empty())
        }
        _ => respond(reply),
    }
}

async fn serve_one(served: &Served, parts: &Parts, body: Body, faults: &[Fault]) -> Reply {
    let settings = served.lims.settings();
    let base = settings.advertised_base.clone().unwrap_or_else(|| served.base.clone());
    let paging = settings.next_page_base.clone().unwrap_or_else(|| base.clone());
    let uris = Uris { base, dialled: served.base.clone(), paging };
    if !is_our_user(parts, &settings) {
        return Reply::empty(401);
    }
    let outcome = match read_call(parts, body, settings.max_body).await {
        Ok(call) => served.lims.work(&call, &uris, faults),
        Err(refusal) => Err(refusal),
    };
    let (status, body) = match outcome {
        Ok(answer) => (answer.status, answer.body),
        Err(refusal) => (refusal.status, Some(refusal.body())),
    };
    Reply::xml(status, body.map(|body| body.to_document(settings.odd_xml).into_bytes()).unwrap_or_default())
}

fn is_our_user(parts: &Parts, settings: &Settings) -> bool {
    let wanted = STANDARD.encode(format!("{}:{}", settings.user, settings.password));
    let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|text| text.split_once(' ')).is_some_and(|(scheme, credentials)| {
        scheme.eq_ignore_ascii_case("Basic") && credentials.trim() == wanted
    })
}

async fn read_call(parts: &Parts, body: Body, max_body: usize) -> Result<Call, Refusal> {
    let body = to_bytes(body, max_body).await.map_err(|_| Refusal::new(413, "Request entity too large"))?;
    let kind =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepted = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    if !["application/xml", "text/xml", "*/*", "application/*"].iter().any(|kind| accepted.contains(kind)) {
        return Err(Refusal::new(406, format!("No match for accept header {accepted}")));
    }
    let fine = body.is_empty() || kind.starts_with("application/xml") || kind.starts_with("text/xml");
    if !fine {
        return Err(Refusal::new(415, format!("Cannot consume content type {kind}")));
    }
    let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map_err(|_| Refusal::bad("The query of the request cannot be read"))?;
    Ok(Call { method: parts.method.as_str().to_owned(), path: parts.uri.path().to_owned(), query, body })
}

fn respond(reply: Reply) -> Response {
    let (status, content_type, location, body, length) = match reply {
        Reply::Whole { status, content_type, location, body } => {
            (status, content_type, location, Body::from(body), None)
        }
        Reply::Cut { status, body } => {
            let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
            let broken = stream::iter([Ok(half), Err(io::Error::from(io::ErrorKind::ConnectionAborted))]);
            (status, "application/xml", None, Body::from_stream(broken), Some(body.len()))
        }
        // Only without a connection of our own (a router used on its own): there is nothing to cut.
        Reply::Dropped => (502, "text/plain", None, Body::empty(), None),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if status != 204 {
        let _ = headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if status == 401 {
        let _ =
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"GLSSecurity\""));
    }
    if let Some(to) = location.and_then(|to| HeaderValue::try_from(to).ok()) {
        let _ = headers.insert(header::LOCATION, to);
    }
    if let Some(length) = length {
        let _ = headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// The table of the API.
pub(super) fn dispatch(world: &mut World, call: &Call, uris: &Uris) -> Outcome {
    let parts: Vec<&str> = call.path.split('/').skip(1).collect();
    let unknown = || {
        let relative = call.path.strip_prefix("/api").unwrap_or(&call.path);
        let host = uris.base.trim_end_matches("/api/v2");
        Refusal::new(
            404,
            format!("Could not find resource for relative : {relative} of full path: {host}{}", call.path),
        )
    };
    let rest = match parts.as_slice() {
        // With a slash behind, as a client comes to it by way of `/api/v2/..`.
        ["api"] | ["api", ""] if call.method == "GET" => return Ok(versions(world, uris)),
        ["api", "v2"] | ["api", "v2", ""] if call.method == "GET" => return Ok(world.index(uris)),
        ["api", "v2", rest @ ..] => rest,
        _ => return Err(unknown()),
    };
    let body = || Received::parse(&call.body).map_err(|e| Refusal::bad(e.to_string()));
    let document = |found: Result<Element, Refusal>| found.map(Answer::ok);
    match (call.method.as_str(), rest) {
        ("GET", ["configuration", "udfs"]) => world.udf_list(&call.query, uris),
        ("GET", ["configuration", "udfs", id]) => world.udf_document(id, uris),
        ("GET", ["configuration", path @ ..]) if !path.is_empty() => {
            world.config().answer(path, &call.query, &world.settings, uris)
        }
        ("GET", ["queues", id]) => world.queue_list(id, &call.query, uris),
        ("GET", ["artifacts"]) => world.artifact_list(&call.query, uris),
        ("GET", ["artifacts", id]) => document(world.artifact_document(id, uris)),
        ("PUT", ["artifacts", id]) => world.put_artifact(id, &body()?, uris),
        ("GET", ["artifacts", id, "demux"]) => world.demux_document(id, uris),
        ("POST", [kind @ ("artifacts" | "samples" | "containers"), "batch", "retrieve"]) => {
            world.batch(kind, &body()?, uris)
        }
        ("GET", ["samples"]) => world.sample_list(&call.query, uris),
        ("GET", ["projects"]) => world.project_list(&call.query, uris),
        ("GET", ["containers"]) => world.container_list(&call.query, uris),
        ("GET", ["researchers"]) => world.researcher_list(&call.query, uris),
        ("GET", ["researchers", id]) => world.researcher_document(id, uris),
        ("GET", ["processtypes", id]) => world.process_type_document(id, uris),
        ("GET", ["samples", id]) => document(world.sample_document(id, uris)),
        ("GET", ["projects", id]) => world.project_document(id, uris),
        ("GET", ["containers", id]) => document(world.container_document(id, uris)),
        ("GET", ["processes"]) => world.process_list(&call.query, uris),
        ("GET", ["processes", id]) => world.process_document(id, uris),
        ("POST", ["steps"]) => world.create_step(&body()?, API_USER, uris),
        ("GET", ["steps", id]) => world.read_step(id, uris),
        ("DELETE", ["steps", id]) => world.delete_step(id),
        ("GET", ["steps", id, "details"]) => document(world.details_document(id, uris)),
        ("PUT", ["steps", id, "details"]) => world.put_details(id, &body()?, uris),
        ("GET", ["steps", id, "actions"]) => document(world.actions_document(id, uris)),
        ("PUT", ["steps", id, "actions"]) => world.put_actions(id, &body()?, uris),
        ("GET", ["steps", id, "reagentlots"]) => document(world.lots_document(id, uris)),
        ("PUT", ["steps", id, "reagentlots"]) => world.put_lots(id, &body()?, uris),
        ("GET", ["steps", id, "programstatus"]) => world.read_program(id, uris),
        ("POST", ["steps", id, "advance"]) => world.advance(id, &body()?, uris),
        ("POST", ["route", "artifacts"]) => world.route(&body()?, uris),
        (
            method,
            [
                "queues" | "samples" | "projects" | "containers" | "processes" | "steps" | "artifacts"
                | "researchers" | "processtypes",
                _,
            ]
            | ["artifacts" | "processes" | "steps" | "samples" | "projects" | "containers" | "researchers"]
            | ["artifacts", _, "demux"]
            | ["artifacts" | "samples" | "containers", "batch", "retrieve"]
            | ["steps", _, "details" | "actions" | "programstatus" | "advance" | "reagentlots"]
            | ["route", "artifacts"],
        ) => Err(Refusal::new(
            405,
            format!("No resource method found for {method}, return 405 with Allow header"),
        )),
        _ => Err(unknown()),
    }
}

fn versions(world: &World, uris: &Uris) -> Answer {
    let version = Element::new("version")
        .attr("uri", &uris.base)
        .attr("major", "v2")
        .attr("minor", &world.settings.minor);
    Answer::ok(Element::root("ver:versions", &[]).child(version))
}
