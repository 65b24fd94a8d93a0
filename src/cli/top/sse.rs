//! The daemon's events, as they come: `/v1/events`, read by its form (server-sent events), again and again while there is a daemon.
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::model::Input;
use crate::control::client::Client;
use crate::journal::Line;

/// A beat comes every 5 s.
const SILENT: Duration = Duration::from_secs(20);
/// Between two attempts.
const AGAIN: Duration = Duration::from_secs(2);
/// What has no end in this many bytes is no event of ours.
const LONGEST: usize = 32 << 20;

/// Listens on a thread of its own until nobody wants to hear any more; an error: there is no such thread.
pub(super) fn start(socket: PathBuf, home: mpsc::Sender<Input>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listen = move || {
        runtime.block_on(async {
            let mut last = 0;
            while !home.is_closed() {
                listen(&Client::new(&socket), &mut last, &home).await;
                sleep(AGAIN).await;
            }
        });
    };
    drop(std::thread::Builder::new().name("top-hears".into()).spawn(listen)?);
    Ok(())
}

/// Until it is cut off, falls silent, or nobody listens. That the daemon does not answer is told by those who ask it.
async fn listen(client: &Client, last: &mut u64, home: &mpsc::Sender<Input>) {
    let Ok(mut stream) = client.stream("/v1/events", Some(*last)).await else { return };
    if !stream.status.is_success() {
        return;
    }
    let mut parser = Parser::default();
    while let Ok(Some(Ok(piece))) = timeout(SILENT, stream.next()).await {
        let Some(inputs) = parser.take(&piece) else { return };
        for input in inputs {
            match &input {
                Input::Line(line) => *last = line.seq,
                // What was before somebody began to look was not missed.
                Input::Missed(_) if *last == 0 => continue,
                _ => {}
            }
            if home.send(input).await.is_err() {
                return;
            }
        }
    }
}

/// Pieces of any size → events.
#[derive(Default)]
struct Parser {
    rest: Vec<u8>,
    event: String,
    data: String,
}

impl Parser {
    /// None: this is no stream of events.
    fn take(&mut self, piece: &[u8]) -> Option<Vec<Input>> {
        self.rest.extend_from_slice(piece);
        let mut inputs = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &self.rest) {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            inputs.extend(self.line(line.trim_end_matches(['\r', '\n'])));
        }
        (self.rest.len() + self.data.len() <= LONGEST).then_some(inputs)
    }

    fn line(&mut self, line: &str) -> Option<Input> {
        if line.is_empty() {
            let (event, data) = (std::mem::take(&mut self.event), std::mem::take(&mut self.data));
            return understood(&event, &data);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => self.data.push_str(value),
            // Comments, ids (the line has its own) and when to come back.
            _ => {}
        }
        None
    }
}

/// A line of another version that cannot be understood counts as missed: it is in the journal, and not on the screen.
fn understood(event: &str, data: &str) -> Option<Input> {
    match event {
        "line" => {
            let line = serde_json::from_str::<Line>(data);
            Some(line.map_or(Input::Missed(1), |line| Input::Line(Box::new(line))))
        }
        "lagged" => {
            let said: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
            Some(Input::Missed(said.get("missed").and_then(serde_json::Value::as_u64).unwrap_or(1)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let line = |seq: u64| {
            format!(
                "event: line\nid: {seq}\ndata: {{\"v\":1,\"seq\":{seq},\"at\":\"2026-01-01T00:00:00Z\",\"prev\":\"{}\",\"event\":\"heard\",\"what\":\"æ\",\"after_ms\":1}}\n\n",
                "0".repeat(64)
            )
        };
        let text = format!(
            ": hello\r\n\r\n{}event: beat\ndata: {{}}\nretry: 2000\n\nevent: lagged\ndata: {{\"missed\":7}}\n\nevent: line\ndata: {{\"v\":9}}\n\n{}",
            line(1),
            line(2)
        );
        for size in [1, 2, 3, 7, 50, 5000] {
            let mut parser = Parser::default();
            let inputs: Vec<Input> =
                text.as_bytes().chunks(size).flat_map(|piece| parser.take(piece).unwrap()).collect();
            let said: Vec<String> = inputs
                .iter()
                .map(|input| match input {
                    Input::Line(line) => format!("line {}", line.seq),
                    Input::Missed(n) => format!("missed {n}"),
                    _ => panic!("what else?"),
                })
                .collect();
            assert_eq!(said, ["line 1", "missed 7", "missed 1", "line 2"], "{size}");
        }
        let mut parser = Parser::default();
        assert!(parser.take(&vec![b'x'; LONGEST]).is_some() && parser.take(b"x").is_none(), "no end");
    }
}
