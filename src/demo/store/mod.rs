//! The demonstration's object store: S3 on loopback, in the dialect of TSD and as strict as the real thing.
//!
//! A request passes the gate (token and project, on every request), then the faults on order, then s3s (signature version
//! 4, payload digest, rights), then the bucket on disk; afterwards it stands in the log. The sender's key can only put,
//! the receiver's only look and fetch.
//!
//! Promises: an object is listed and readable only once it is whole and every digest the client sent was right; a refused
//! completion can be repeated; no wait for a client is endless. Not promised: durability.
//!
//! Why files of our own under s3s instead of `s3s-fs`: version 0.14.1 makes a put visible before it checks its digests,
//! ignores checksums of parts and the ETags in a completion, destroys an upload that it then refuses to complete, answers
//! `AccessDenied` for `NoSuchUpload`, lists without ETags, and fails on keys beyond about 130 bytes, which ours exceed.

mod bells;
mod bucket;
mod fault;
mod gate;
mod intake;
mod listing;
mod loan;
mod log;
mod reading;
mod rights;
mod shelf;
mod spoil;
mod sums;
#[cfg(test)]
mod tests;
mod token;
mod uploads;
mod wire;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use http::StatusCode;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;

pub use fault::{FaultKind, FaultRule, Portal};
pub use log::{RequestLog, Who};

use bells::{Bells, Door};
use bucket::Bucket;
use fault::Faults;
use gate::{Gate, answer, s3_error};
use loan::Loan;
use log::Ring;
use rights::Rights;
use shelf::Shelf;
use wire::{Cable, Wire};

/// How long a client may be silent in the middle of a request body.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest [`FaultKind::Delay`].
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// An access key and its secret. `Debug` hides the secret.
#[derive(Clone)]
pub struct Key {
    pub access: String,
    pub secret: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("access", &self.access).finish_non_exhaustive()
    }
}

/// What a store is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Created if missing. Objects lie as plain files in `<root>/<bucket>/<key>`.
    pub root: PathBuf,
    pub bucket: String,
    /// What `x-project-select` must say.
    pub project: String,
    /// May only put.
    pub sender: Key,
    /// May only list, get and head.
    pub receiver: Key,
    /// How long a token is good; rounded up to whole seconds, as a JWT's `exp` is.
    pub token_life: Duration,
}

/// Why a store could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0:?} is no bucket name; use 3 to 63 lower case letters, digits and hyphens")]
    BucketName(String),
    #[error("sender and receiver have the same access key {0:?}; give them different ones")]
    SameKey(String),
    #[error("could not prepare the store's directory {}; check that it is ours and writable", .path.display())]
    Root { path: PathBuf, source: io::Error },
}

/// The store. Clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    gate: Gate,
    faults: Faults,
    log: Ring,
    sender_looks: Arc<AtomicBool>,
    bells: Bells,
    receiver_claims: Arc<AtomicBool>,
    s3: S3Service,
}

impl Store {
    /// Makes the store and, where missing, its directory and bucket.
    ///
    /// # Errors
    /// A bucket name that S3 does not allow, one key for both, a directory that cannot be made.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        if !s3s::path::check_bucket_name(&settings.bucket) {
            return Err(Error::BucketName(settings.bucket));
        }
        let gate = Gate::new(&settings);
        let Settings { root, bucket, sender, receiver, .. } = settings;
        if sender.access == receiver.access {
            return Err(Error::SameKey(sender.access));
        }
        let shelf =
            Shelf::open_or_create(&root, &bucket).map_err(|source| Error::Root { path: root, source })?;
        let mut keys = SimpleAuth::new();
        keys.register(sender.access.clone(), sender.secret.into());
        keys.register(receiver.access.clone(), receiver.secret.into());
        let bells = Bells::default();
        let mut builder = S3ServiceBuilder::new(Bucket::new(&bucket, shelf, bells.clone()));
        builder.set_route(Door { bells: bells.clone(), bucket, receiver: receiver.access.clone() });
        builder.set_auth(keys);
        let looks: Arc<AtomicBool> = Arc::default();
        let claims: Arc<AtomicBool> = Arc::default();
        let (sender, receiver) = (sender.access, receiver.access);
        let (sender_looks, receiver_claims) = (looks.clone(), claims.clone());
        builder.set_access(Rights { sender, receiver, sender_looks, receiver_claims });
        let (faults, log, s3) = (Faults::default(), Ring::default(), builder.build());
        let inner = Inner { gate, faults, log, sender_looks: looks, receiver_claims: claims, bells, s3 };
        Ok(Self(Arc::new(inner)))
    }

    /// A fresh token, good for the store's token life. Tokens do not outlive the store.
    pub fn issue_token(&self) -> String {
        self.0.gate.issue(now())
    }

    /// Serves until dropped. Listens on loopback only: with any other listener it says so and returns.
    pub async fn serve(self, listener: TcpListener) {
        match listener.local_addr() {
            Ok(address) if address.ip().is_loopback() => {}
            address => {
                tracing::error!(
                    ?address,
                    "the demonstration's store serves on loopback only; bind it to 127.0.0.1"
                );
                return;
            }
        }
        let router = Router::new().fallback(handle).with_state(self);
        let service = router.into_make_service_with_connect_info::<Cable>();
        if let Err(error) = axum::serve(Wire(listener), service).await {
            tracing::error!(%error, "the demonstration's store stopped serving");
        }
    }

    /// Orders a fault.
    pub fn fault(&self, rule: FaultRule) {
        self.0.faults.add(rule);
    }

    /// The sender may ask what an object is from now on (`HeadObject`), which TSD does not allow.
    pub fn let_sender_look(&self) {
        self.0.sender_looks.store(true, Relaxed);
    }

    /// How many listen for new objects.
    pub fn listeners(&self) -> usize {
        self.0.bells.listeners()
    }

    /// Sends these bytes to all who listen, as something broken in between might.
    pub fn babble(&self, bytes: Bytes) {
        self.0.bells.babble(bytes);
    }

    /// Ends the answers of all who listen.
    pub fn hang_up(&self) {
        self.0.bells.hang_up();
    }

    /// The receiver may put below a directory `claims` from now on, and nowhere else.
    pub fn let_receiver_claim(&self) {
        self.0.receiver_claims.store(true, Relaxed);
    }

    /// Takes back all faults that still wait.
    pub fn mend(&self) {
        self.0.faults.clear();
    }

    /// The last requests, oldest first (at most 20,000).
    pub fn requests(&self) -> Vec<RequestLog> {
        self.0.log.all()
    }

    /// The answer to one request; `None` if the connection is to be cut instead.
    async fn answer(&self, request: Request) -> Option<Response> {
        let (head, body) = request.into_parts();
        let body = Loan::new(body, PATIENCE);
        let refused = self.0.gate.admit(&head, now()).err();
        let fault = if refused.is_some() { None } else { self.0.faults.strike(&head) };
        let response = match (refused, fault) {
            (Some(refusal), _) => *refusal,
            (None, None) => self.work(head, &body).await,
            (None, Some(FaultKind::Drop)) => return None,
            (None, Some(FaultKind::DropAfterWork)) => {
                self.work(head, &body).await;
                return None;
            }
            (None, Some(FaultKind::Delay(delay))) => {
                tokio::time::sleep(delay.min(LONGEST_DELAY)).await;
                self.work(head, &body).await
            }
            (None, Some(FaultKind::GatewayTimeout)) => {
                self.work(head, &body).await;
                let page = "<html><head><title>504 Gateway Time-out</title></head></html>";
                answer(StatusCode::GATEWAY_TIMEOUT, "text/html", page)
            }
            (None, Some(FaultKind::SlowDown)) => {
                s3_error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
            }
            (None, Some(FaultKind::Denied)) => {
                s3_error(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied.")
            }
            (None, Some(FaultKind::HtmlOk)) => {
                let page = "<html><head><title>Please log in</title></head></html>";
                answer(StatusCode::OK, "text/html", page)
            }
            (None, Some(FaultKind::ErrorInOk)) => s3_error(
                StatusCode::OK,
                "InternalError",
                "We encountered an internal error. Please try again.",
            ),
            (None, Some(FaultKind::Flip)) => {
                let flipped = body
                    .lend()
                    .enumerate()
                    .map(|(n, piece)| piece.map(|bytes| if n == 0 { flip(&bytes) } else { bytes }));
                self.served(head, s3s::Body::http_body_unsync(Body::from_stream(flipped))).await
            }
            (None, Some(FaultKind::OtherSums)) => {
                let mut response = self.work(head, &body).await;
                for (name, value) in response.headers_mut() {
                    if name.as_str().starts_with("x-amz-checksum-") {
                        *value = http::HeaderValue::from_static("AAAAAA==");
                    }
                }
                response
            }
            (None, Some(FaultKind::Refuse(code))) => {
                s3_error(StatusCode::BAD_REQUEST, code, "This store does not want it.")
            }
            (None, Some(FaultKind::Conflict)) => s3_error(
                StatusCode::CONFLICT,
                "ConditionalRequestConflict",
                "A conflicting operation occurred during this request.",
            ),
            (None, Some(FaultKind::NoSuchUpload)) => s3_error(
                StatusCode::NOT_FOUND,
                "NoSuchUpload",
                "The specified multipart upload does not exist.",
            ),
            (None, Some(FaultKind::Portal(kind))) => spoil::portal(kind),
            (None, Some(kind)) => {
                let mut head = head;
                spoil::request(kind, &mut head);
                spoil::answer(kind, self.work(head, &body).await)
            }
        };
        body.drain().await;
        Some(response)
    }

    async fn work(&self, head: http::request::Parts, body: &Loan) -> Response {
        // A stream has no known length, and s3s wants one: of a request without a body, that it is none.
        let lent = match body.empty {
            true => s3s::Body::empty(),
            false => s3s::Body::http_body_unsync(Body::from_stream(body.lend())),
        };
        self.served(head, lent).await
    }

    async fn served(&self, head: http::request::Parts, lent: s3s::Body) -> Response {
        let request = http::Request::from_parts(head, lent);
        match self.0.s3.call(request).await {
            Ok(response) => response.map(Body::new),
            Err(error) => {
                tracing::warn!(?error, "the store's S3 service failed on a request");
                s3_error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalError",
                    "We encountered an internal error.",
                )
            }
        }
    }
}

fn flip(bytes: &[u8]) -> Bytes {
    bytes.iter().enumerate().map(|(n, byte)| if n == 0 { byte ^ 1 } else { *byte }).collect()
}

async fn handle(
    State(store): State<Store>,
    ConnectInfo(cable): ConnectInfo<Cable>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let mut entry = RequestLog::of(store.0.gate.who(&head), &head);
    let answered = store.answer(Request::from_parts(head, body)).await;
    let response = answered.unwrap_or_else(|| {
        cable.cut();
        Response::new(Body::empty())
    });
    entry.status = if cable.is_cut() { 0 } else { response.status().as_u16() };
    tracing::debug!(who = ?entry.who, operation = entry.operation(), path = %entry.path, status = entry.status, "store");
    store.0.log.push(entry);
    response
}

/// Signatures and tokens are judged by the clock of this machine.
#[allow(clippy::disallowed_methods)] // nothing of the program's own is timed by it
fn now() -> SystemTime {
    SystemTime::now()
}
