//! The other end of the control socket, for commands: a request with a deadline, and what to do when there is no answer.
//!
//! [`ask`] is what a command uses; where there is no answer it goes on with what the journal says, and says so.
mod trouble;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::routes::SERVER;
pub use trouble::Trouble;

/// A daemon that lives answers within it.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// For the thread that asks to come home.
const GRACE: Duration = Duration::from_millis(500);
/// No answer is longer.
const MAX_ANSWER: usize = 64 << 20;

/// Asks the daemon behind one socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    deadline: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its code.
    pub status: StatusCode,
    /// Who answered: `tsd-import/0.1.0`.
    pub server: String,
    /// All of it.
    pub body: Bytes,
}

impl Answer {
    /// Whether it is an answer and not a refusal.
    pub fn is_good(&self) -> bool {
        self.status.is_success()
    }
}

/// An answer that has no end: it is read as it comes.
pub struct Stream {
    /// Its code.
    pub status: StatusCode,
    body: Incoming,
}

impl Stream {
    /// The next piece; none when the daemon has closed it in order.
    pub async fn next(&mut self) -> Option<Result<Bytes, String>> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some(Ok(data)),
                    Err(_trailers) => {}
                },
                Err(e) => return Some(Err(crate::chain(&e))),
            }
        }
    }
}

impl Client {
    /// Of the daemon that listens there.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), deadline: DEADLINE }
    }

    /// Asks for a path, such as `/v1/snapshot`.
    pub async fn get(&self, path: &str) -> Result<Answer, Trouble> {
        self.send(self.request("GET", path, Bytes::new())?).await
    }

    /// Sends JSON to a path.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Answer, Trouble> {
        self.send(self.request("POST", path, Bytes::from(body.to_string()))?).await
    }

    /// Asks for a path and reads the answer as what it should be. One that cannot be read says of which version the daemon is, if it is
    /// another one than ours.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.understood(path, self.get(path).await?)
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn patient(&self, deadline: Duration) -> Self {
        Self { socket: self.socket.clone(), deadline }
    }

    /// An answer as what it should be.
    pub(super) fn understood<T: DeserializeOwned>(&self, path: &str, answer: Answer) -> Result<T, Trouble> {
        let odd = |why: String| match answer.server == SERVER {
            true => Trouble::Odd { path: path.to_owned(), why },
            false => Trouble::Version { theirs: answer.server.clone(), ours: SERVER },
        };
        if !answer.is_good() {
            let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let detail = said.get("detail").and_then(|d| d.as_str()).unwrap_or_default();
            return Err(match answer.status {
                StatusCode::NOT_FOUND if answer.server != SERVER => odd(String::new()),
                status => Trouble::Refused {
                    path: path.to_owned(),
                    status: status.as_u16(),
                    detail: detail.to_owned(),
                },
            });
        }
        serde_json::from_slice(&answer.body).map_err(|e| odd(e.to_string()))
    }

    /// Asks for an answer that has no end, such as `/v1/events`; the deadline counts until it begins.
    pub async fn stream(&self, path: &str, after: Option<u64>) -> Result<Stream, Trouble> {
        let mut request = self.request("GET", path, Bytes::new())?;
        if let Some(after) = after {
            let _new = request.headers_mut().insert("last-event-id", after.into());
        }
        let response = self.in_time(self.begin(request)).await?;
        Ok(Stream { status: response.status(), body: response.into_body() })
    }

    fn request(&self, method: &str, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Trouble> {
        let odd = |e: http::Error| Trouble::Odd { path: path.to_owned(), why: e.to_string() };
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        let request = request.header(header::USER_AGENT, SERVER);
        let request =
            if body.is_empty() { request } else { request.header(header::CONTENT_TYPE, "application/json") };
        request.body(Full::new(body)).map_err(odd)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, Trouble> {
        let whole = async {
            let response = self.begin(request).await?;
            let status = response.status();
            let server = response.headers().get(header::SERVER).and_then(|name| name.to_str().ok());
            let server = server.unwrap_or("something that is not tsd-import").to_owned();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|e| Trouble::CutOff { why: e.to_string() })?.to_bytes();
            Ok(Answer { status, server, body })
        };
        self.in_time(whole).await
    }

    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let hangs = || Trouble::Hangs { socket: self.socket.clone(), after: self.deadline };
        timeout(self.deadline, asked).await.unwrap_or_else(|_| Err(hangs()))
    }

    async fn begin(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Trouble> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|e| Trouble::of_connecting(&self.socket, e))?;
        trouble::is_ours(&self.socket, &stream)?;
        let cut_off = |e: hyper::Error| Trouble::CutOff { why: crate::chain(&e) };
        let (mut asking, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(cut_off)?;
        // It ends when its last part is dropped, or with the runtime of the command.
        drop(tokio::spawn(async move { drop(connection.await) }));
        asking.send_request(request).await.map_err(cut_off)
    }
}

/// Asks the daemon on a thread of its own: a state directory on a mount that hangs would take the command with it otherwise.
pub fn ask<T, F, A>(socket: &Path, question: F) -> Result<T, Trouble>
where
    T: Send + 'static,
    A: Future<Output = Result<T, Trouble>>,
    F: FnOnce(Client) -> A + Send + 'static,
{
    ask_within(socket, DEADLINE, question)
}

/// The same with another deadline.
pub fn ask_within<T, F, A>(socket: &Path, deadline: Duration, question: F) -> Result<T, Trouble>
where
    T: Send + 'static,
    A: Future<Output = Result<T, Trouble>>,
    F: FnOnce(Client) -> A + Send + 'static,
{
    let client = Client::new(socket).patient(deadline);
    let hangs = Trouble::Hangs { socket: socket.to_owned(), after: client.deadline };
    let (home, answer) = mpsc::sync_channel(1);
    let job = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let asked = match runtime {
            Ok(runtime) => runtime.block_on(async {
                let limit = client.deadline;
                let hangs = Trouble::Hangs { socket: client.socket.clone(), after: limit };
                timeout(limit, question(client)).await.unwrap_or(Err(hangs))
            }),
            Err(e) => Err(Trouble::CutOff { why: format!("no runtime for the question: {e}") }),
        };
        drop(home.send(asked)); // nobody may be waiting any more
    };
    let thread = std::thread::Builder::new().name("asks".into()).spawn(job);
    drop(thread.map_err(|e| Trouble::CutOff { why: format!("no thread for the question: {e}") })?);
    match answer.recv_timeout(deadline + GRACE) {
        Ok(asked) => asked,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(hangs),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(Trouble::CutOff { why: "the thread that asked fell".to_owned() })
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
