//! The far ends of channels: a mail server that takes nothing that is not as RFC 5321 says, a webhook, a program.
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// How a far end behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// A mail server answers 451, a webhook 500.
    Failing,
    /// Takes the connection and says nothing.
    Hanging,
}

/// What came, and what was wrong with how it came.
#[derive(Clone)]
pub struct Far {
    pub port: u16,
    mood: Arc<Mutex<Mood>>,
    came: Arc<Mutex<Vec<String>>>,
    pub faults: Arc<Mutex<Vec<String>>>,
}

impl Far {
    pub fn new(port: u16) -> Self {
        let mood = Arc::new(Mutex::new(Mood::Well));
        Self { port, mood, came: Arc::default(), faults: Arc::default() }
    }

    pub fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    pub fn came(&self) -> Vec<String> {
        self.came.lock().unwrap().clone()
    }

    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap().clone()
    }
}

pub async fn mail_server() -> Far {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = Far::new(listener.local_addr().unwrap().port());
    let serving = far.clone();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let far = serving.clone();
            drop(tokio::spawn(async move {
                if let Err(fault) = converse(stream, &far, Stage::Plain).await {
                    far.faults.lock().unwrap().push(fault);
                }
            }));
        }
    }));
    far
}

/// What was before a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing.
    Plain,
    /// TLS from the first byte: whoever sends has to log in.
    Wrapped,
    /// The same, and it was greeted before.
    Begun,
}

/// User `u` with its password, as `AUTH PLAIN` says it.
const LOGIN: &str = "AUTH PLAIN AHUAbWFpbC1wYXNzd29yZC1zZWNyZXQ=";

/// One conversation, strictly in order: EHLO, (AUTH,) MAIL, RCPT…, DATA, QUIT; lines end with CRLF and are not longer than 1000.
pub async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    far: &Far,
    before: Stage,
) -> Result<(), String> {
    if far.mood() == Mood::Hanging {
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    let (needs_login, mut greeted) = (before != Stage::Plain, before == Stage::Begun);
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let (mut stage, mut mail) = (0, String::new());
    let mut answer = "220 strict.example.org".to_owned();
    loop {
        if !std::mem::take(&mut greeted) {
            stream.write_all(format!("{answer}\r\n").as_bytes()).await.map_err(|e| e.to_string())?;
            stream.flush().await.map_err(|e| e.to_string())?;
        }
        if answer.starts_with("221") || answer.starts_with("4") {
            return Ok(());
        }
        line.clear();
        if stream.read_line(&mut line).await.map_err(|e| e.to_string())? == 0 {
            return if stage == 0 || stage == 4 { Ok(()) } else { Err(format!("left at stage {stage}")) };
        }
        let said = line.strip_suffix("\r\n").ok_or_else(|| format!("no CRLF: {line:?}"))?;
        let verb = said.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        answer = match (verb.as_str(), stage) {
            ("EHLO", 0) if said.len() > 5 => {
                stage = if needs_login { 5 } else { 1 };
                let login = if needs_login { "250-AUTH PLAIN\r\n" } else { "" };
                format!("250-strict.example.org\r\n{login}250 8BITMIME")
            }
            ("AUTH", 5) if said == LOGIN => {
                stage = 1;
                "235 come in".into()
            }
            ("MAIL", 1 | 4) if said.starts_with("MAIL FROM:<") => {
                if far.mood() == Mood::Failing {
                    "451 try again later".into()
                } else {
                    (stage, mail) = (2, format!("{said}\n"));
                    "250 OK".into()
                }
            }
            ("RCPT", 2 | 3) if said.starts_with("RCPT TO:<") => {
                stage = 3;
                mail += &format!("{said}\n");
                "250 OK".into()
            }
            ("DATA", 3) => {
                stream.write_all(b"354 go on\r\n").await.map_err(|e| e.to_string())?;
                stream.flush().await.map_err(|e| e.to_string())?;
                loop {
                    line.clear();
                    if stream.read_line(&mut line).await.map_err(|e| e.to_string())? == 0 {
                        return Err("left within a mail".into());
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    if !line.ends_with("\r\n") || line.len() > 1000 || !line.is_ascii() {
                        return Err(format!("no line of a mail: {line:?}"));
                    }
                    mail += line.strip_prefix('.').unwrap_or(&line);
                }
                stage = 4;
                far.came.lock().unwrap().push(unquoted(&mail));
                "250 taken".into()
            }
            ("QUIT", _) => "221 bye".into(),
            ("RSET" | "NOOP", _) => "250 OK".into(),
            _ => return Err(format!("{said:?} at stage {stage}")),
        };
    }
}

/// Quoted-printable as text.
fn unquoted(mail: &str) -> String {
    let joined = mail.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = hex.filter(|_| *first == b'=').and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub async fn webhook() -> Far {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = Far::new(listener.local_addr().unwrap().port());
    let take = |State(far): State<Far>, headers: HeaderMap, body: String| async move {
        match far.mood() {
            Mood::Well => {
                let token = headers.get("authorization").and_then(|value| value.to_str().ok());
                if token != Some("Bearer hook-token-secret") {
                    far.faults.lock().unwrap().push(format!("no token: {headers:?}"));
                }
                far.came.lock().unwrap().push(body);
                StatusCode::OK
            }
            Mood::Failing => StatusCode::INTERNAL_SERVER_ERROR,
            Mood::Hanging => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                StatusCode::OK
            }
        }
    };
    let router =
        Router::new().route("/hooks/hook-url-secret", axum::routing::post(take)).with_state(far.clone());
    drop(tokio::spawn(async move { axum::serve(listener, router).await }));
    far
}

/// A program that keeps what it gets; what came, one text per call.
pub fn program(dir: &Path) -> PathBuf {
    let path = dir.join("page");
    let text = format!("#!/bin/sh\ncat > {0}/.page.$$ && mv {0}/.page.$$ {0}/page.$$.json\n", dir.display());
    tsd_import::fs::write_durably(&path, text.as_bytes()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

pub fn paged(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

pub fn secret(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    tsd_import::fs::write_durably(&path, text.as_bytes()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}
