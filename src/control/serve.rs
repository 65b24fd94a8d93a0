//! Serves what comes through the doors, each bound named: connections, the size of heads and bodies, how long a head may take,
//! how long an answer, and how long a reader may not read.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use super::doors;
use super::guard::Door;
use super::known::{Connected, Known};
use crate::conf;
use crate::notices::Notices;
use crate::supervisor::runtime;

/// At the same time, of each door.
const CONNECTIONS: usize = 256;
/// For the head of a request, and between two requests of a connection.
const HEAD: Duration = Duration::from_secs(10);
/// Of a head.
const MAX_HEAD: usize = 32 * 1024;
/// Somebody who reads nothing for so long is let go; an event stream can be gone on with where it ended.
const UNREAD: Duration = Duration::from_secs(120);
/// The socket's file is looked for so often.
const LOOK: Duration = Duration::from_secs(10);
/// After a connection that the system could not give (too many open files).
const BREATH: Duration = Duration::from_millis(200);

/// What somebody gets who comes when all places are taken.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\
    retry-after: 10\r\n\r\n{\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections are open: close some\"}";

/// What a connection is handed to.
#[derive(Clone)]
pub(super) struct Desk {
    /// Counts who is connected.
    pub known: Known,
    /// Answers.
    pub router: Router,
}

/// Answers on the socket until it cannot be reached any more, or cannot be opened; that stands in the notices meanwhile.
pub(super) async fn socket(path: PathBuf, desk: Desk, notices: Notices) {
    let me = rustix::process::geteuid().as_raw();
    let (name, ours) = ("control socket", path.starts_with(desk.known.state_dir()));
    let door = match doors::Door::open(&path, me, ours).await {
        Ok(door) => door,
        Err(e) => {
            return refused(&notices, name, format!("{e}. Packages go on; nobody can ask this daemon"));
        }
    };
    notices.say(name, None);
    tracing::info!(path = %path.display(), "the control socket is open");
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Beside the answers: the disk of the socket may hang.
    let mut gone = std::pin::pin!(async {
        while door.is_there().await {
            tokio::time::sleep(LOOK).await;
        }
    });
    loop {
        tokio::select! {
            accepted = door.listener.accept() => match accepted {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) => receive(stream, Door::Socket { peer: peer.uid(), me }, &places, &desk),
                    Err(error) => tracing::debug!(%error, "a connection whose peer is unknown was closed"),
                },
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    tokio::time::sleep(BREATH).await;
                }
            },
            () = &mut gone => {
                return tracing::warn!(path = %path.display(), "the control socket was removed; it is opened anew");
            }
        }
    }
}

/// Says once that a door stays closed; it is tried again until it opens.
fn refused(notices: &Notices, name: &str, why: String) {
    if notices.now().get(name) != Some(&why) {
        tracing::warn!(name, why, "cannot be opened; tried again every few seconds");
    }
    notices.say(name, Some(&why));
}

/// The same on a port of the loopback.
pub(super) async fn port(at: SocketAddr, token_file: PathBuf, desk: Desk, notices: Notices) {
    let name = "control port";
    let refuse = |why: String| refused(&notices, name, format!("{why}. Packages go on"));
    let token = match runtime().spawn_blocking(move || conf::token(&token_file)).await {
        Ok(Ok(token)) => token,
        Ok(Err(why)) => return refuse(why),
        Err(fell) => return refuse(fell.to_string()),
    };
    let listener = match TcpListener::bind(at).await {
        Ok(listener) => listener,
        Err(e) => return refuse(format!("could not listen on {at}: {e}; set another control.listen")),
    };
    notices.say(name, None);
    tracing::info!(%at, "the control port is open");
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => receive(stream, Door::Port { token: token.clone() }, &places, &desk),
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Serves a connection beside us, if there is a place for it.
fn receive<S>(stream: S, door: Door, places: &Arc<Semaphore>, desk: &Desk)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match places.clone().try_acquire_owned() {
        Ok(place) => {
            drop(tokio::spawn(attend(stream, door, desk.router.clone(), (place, desk.known.connected()))))
        }
        Err(_) => drop(tokio::spawn(turn_away(stream))),
    }
}

async fn turn_away<S: AsyncWrite + Unpin>(mut stream: S) {
    // A few hundred bytes fit into any buffer; who does not take them is gone anyway.
    drop(tokio::time::timeout(BREATH, stream.write_all(FULL)).await);
}

async fn attend<S>(stream: S, door: Door, router: Router, _place: (OwnedSemaphorePermit, Connected))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(UNREAD));
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        drop(request.extensions_mut().insert(door.clone()));
        router.clone().oneshot(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    let http = http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD);
    if let Err(error) = http.serve_connection(TokioIo::new(Box::pin(stream)), service).await {
        tracing::debug!(%error, "a connection to the control door ended");
    }
}
