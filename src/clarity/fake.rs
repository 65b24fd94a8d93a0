//! A LIMS for tests: answers by a script, remembers what it was asked.
//!
//! The script is a function from a request (and how many came before it) to a [`Reply`]. It can hang, break off in the
//! middle of an answer, and redirect, which is what the client is tested against.
use super::{Client, Settings};
use crate::secret::Secret;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    /// Path below `/api/v2/`, with the query.
    pub path: String,
    pub body: String,
    pub authorization: String,
}

impl Seen {
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }
}

pub enum Reply {
    Xml(u16, String),
    Html(u16),
    Redirect(String),
    /// Says nothing until the client gives up.
    Hang,
    /// Promises an answer and breaks off.
    BreakOff,
}

type Script = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

#[derive(Clone)]
pub struct Fake {
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Seen>>>,
    port: u16,
}

impl Fake {
    pub async fn start(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Self { script: Arc::new(script), seen: Arc::default(), port };
        let router = axum::Router::new().fallback(answer).with_state(fake.clone());
        drop(tokio::spawn(async move { axum::serve(listener, router).await }));
        fake
    }

    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}/api/v2", self.port)
    }

    pub fn client(&self) -> Client {
        Client::new(self.settings()).unwrap()
    }

    /// Gives up soon, for a server that hangs.
    pub fn impatient_client(&self) -> Client {
        Client::new(Settings { deadline: Duration::from_millis(400), ..self.settings() }).unwrap()
    }

    pub fn settings(&self) -> Settings {
        Settings { deadline: Duration::from_secs(20), max_body: 100_000, ..settings(&self.base()) }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Methods and paths, in order.
    pub fn asked(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }

    pub fn count(&self, method: &str, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.is(method, path)).count()
    }
}

async fn answer(
    State(fake): State<Fake>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let header =
        |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let seen = Seen {
        method: method.to_string(),
        path: path.strip_prefix("/api/v2/").unwrap_or(path).to_owned(),
        body: String::from_utf8(body.to_vec()).unwrap(),
        authorization: header("authorization"),
    };
    let before = {
        let mut all = fake.seen.lock().unwrap();
        let before = all.iter().filter(|one| one.is(&seen.method, &seen.path)).count();
        all.push(seen.clone());
        before
    };
    let plain = |status: u16| Response::builder().status(status);
    match (fake.script)(&seen, before) {
        Reply::Xml(status, text) => {
            plain(status).header("content-type", "application/xml").body(Body::from(text)).unwrap()
        }
        Reply::Html(status) => {
            let page = "<!DOCTYPE HTML><html><body>Service Unavailable</body></html>";
            plain(status)
                .header("content-type", "text/html; charset=iso-8859-1")
                .body(Body::from(page))
                .unwrap()
        }
        Reply::Redirect(to) => plain(301).header("location", to).body(Body::empty()).unwrap(),
        Reply::Hang => std::future::pending().await,
        Reply::BreakOff => {
            let pieces = [Ok("<half".to_owned()), Err(std::io::Error::other("broken off"))];
            plain(200).body(Body::from_stream(futures_util::stream::iter(pieces))).unwrap()
        }
    }
}

pub fn exception(message: &str) -> String {
    format!(
        r#"<exc:exception xmlns:exc="http://genologics.com/ri/exception"><message>{message}</message></exc:exception>"#
    )
}

/// Settings that are good for any server.
pub fn settings(base: &str) -> Settings {
    Settings {
        base: base.to_owned(),
        user: "export".to_owned(),
        password: Secret::new("hemmelig"),
        deadline: Duration::from_secs(5),
        attempts: 2,
        max_body: 1 << 20,
        ca_file: None,
    }
}
