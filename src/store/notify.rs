//! Listening to a bucket: `GET /{bucket}/?events=…` as MinIO understands it (ListenBucketNotification), an answer without an end in which
//! each line tells of new objects. No other store has it, and what comes is believed by nobody: it may be a listing, a page of a proxy,
//! or anything else, so lines are bounded and read strictly. It takes no slot and is no attempt: it lasts.
use std::time::Duration;

use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::primitives::ByteStream;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use super::sort::Said;
use super::{Store, StoreError};
use crate::{chain, clock};

/// A line tells of a few objects, each in some two KiB.
const LONGEST: usize = 256 << 10;
/// What the SDK thinks it asks for; never sent.
const NOTHING: &str = "/tsd-import-listens";
/// So many pings may be missing before the connection counts as lost.
const MISSED: u32 = 3;

/// Why there is nothing to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoBell {
    /// The endpoint, or this key, has nothing of the kind; it is not worth asking soon.
    Unknown(String),
    /// It may be there again any time.
    Lost(String),
}

/// A bucket that is listened to.
pub struct Listening {
    body: ByteStream,
    lines: Lines,
    patience: Duration,
}

impl Listening {
    /// The keys of the next new objects; none with a sign of life.
    pub async fn next(&mut self) -> Result<Vec<String>, NoBell> {
        match tokio::time::timeout(self.patience, self.body.next()).await {
            Err(_) => Err(NoBell::Lost(format!("no sign of life for {:?}", self.patience))),
            Ok(None) => Err(NoBell::Lost("its answer has ended".into())),
            Ok(Some(Err(e))) => Err(NoBell::Lost(chain(&e))),
            Ok(Some(Ok(bytes))) => self.lines.feed(&bytes).map_err(NoBell::Unknown),
        }
    }
}

/// What has come so far of the line that is being received.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
}

#[derive(Deserialize)]
struct Record {
    s3: Where,
}

#[derive(Deserialize)]
struct Where {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

impl Lines {
    /// Takes what came; the keys of all lines that are whole with it.
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut keys = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.begun.is_empty() && piece.iter().all(u8::is_ascii_whitespace) {
                continue; // a sign of life
            }
            if self.begun.len() + piece.len() > LONGEST {
                return Err(format!(
                    "what comes has a line of more than {LONGEST} bytes, and is no notification"
                ));
            }
            self.begun.extend_from_slice(piece);
            // Said at its first byte: a page or a listing may be a single line without an end.
            if self.begun.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
                return Err("what comes is no notification but a page, a listing or something else".into());
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.begun);
                let line: Line = serde_json::from_slice(&line)
                    .map_err(|e| format!("what comes is no notification: {e}"))?;
                let told = line.records.unwrap_or_default().into_iter().map(|record| record.s3.object.key);
                // Some versions write keys as in a URL. A key of ours has nothing in it that this could change.
                keys.extend(told.map(|key| percent_decode_str(&key).decode_utf8_lossy().into_owned()));
            }
        }
        Ok(keys)
    }
}

fn query(prefix: &str, suffix: &str, ping: u32) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (events, prefix, suffix) = (encoded("s3:ObjectCreated:*"), encoded(prefix), encoded(suffix));
    format!("events={events}&ping={ping}&prefix={prefix}&suffix={suffix}")
}

/// From the address of an object to that of its bucket, whichever way that is named.
fn towards(address: &str, query: &str) -> Option<String> {
    let (address, _) = address.split_once('?').unwrap_or((address, ""));
    Some(format!("{}/?{query}", address.strip_suffix(NOTHING)?))
}

impl Store {
    /// Asks to be told of objects whose keys begin and end like this, with a sign of life every `ping` seconds.
    pub async fn listen(&self, prefix: &str, suffix: &str, ping: u32) -> Result<Listening, NoBell> {
        self.fresh_headers().await.map_err(|e| NoBell::Lost(chain(&e)))?;
        let (patience, query) = (Duration::from_secs(u64::from(ping * MISSED)), query(prefix, suffix, ping));
        let aim = move |request: &mut HttpRequest| {
            let aimed = towards(request.uri(), &query).map(|address| request.set_uri(address));
            if !matches!(aimed, Some(Ok(()))) {
                // It goes where there is nothing, and is answered so.
                tracing::warn!(address = request.uri(), "the bucket's address cannot be made of this");
            }
        };
        let get = self.client.get_object().bucket(&self.bucket).key(NOTHING.trim_start_matches('/'));
        let get = get.customize().mutate_request(aim).send();
        let answer = match tokio::time::timeout(patience, get).await {
            Err(_) => return Err(NoBell::Lost(format!("no answer within {patience:?}"))),
            Ok(Err(e)) => return Err(sorted(&Said::of(&e, clock::now()))),
            Ok(Ok(answer)) => answer,
        };
        let kind = answer.content_type().unwrap_or_default().to_ascii_lowercase();
        if ["html", "xml"].iter().any(|page| kind.contains(page)) {
            return Err(NoBell::Unknown(format!("it answers with something else ({kind})")));
        }
        Ok(Listening { body: answer.body, lines: Lines::default(), patience })
    }
}

/// A refusal of the request is for good; of the token, of the moment, or none at all, is not.
fn sorted(said: &Said) -> NoBell {
    const OF_THE_MOMENT: [&str; 6] = [
        "ExpiredToken",
        "InvalidToken",
        "TokenRefreshRequired",
        "RequestTimeTooSkewed",
        "RequestExpired",
        "RequestTimeout",
    ];
    let passing = OF_THE_MOMENT.contains(&said.code.as_str());
    match said.status {
        Some(300..=399 | 400 | 403 | 404 | 405 | 501) if !passing => NoBell::Unknown(said.in_short()),
        _ => NoBell::Lost(said.in_short()),
    }
}

impl From<StoreError> for NoBell {
    fn from(error: StoreError) -> Self {
        Self::Lost(chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str) -> String {
        format!(
            "{{\"Records\":[{{\"eventVersion\":\"2.0\",\"eventName\":\"s3:ObjectCreated:Put\",\"s3\":{{\"bucket\":{{\"name\":\"b\"}},\
             \"object\":{{\"key\":\"{key}\",\"size\":7}}}}}}]}}\n"
        )
    }

    #[test]
    fn lines_are_put_together_however_they_are_cut() {
        let text = format!(
            "  {}{{\"Records\":null}}\n \n{}",
            record("in/samples/a/r1/COMMIT"),
            record("in%2Fsamples%2Fb%2Fr1%2FCOMMIT")
        );
        for length in [1, 3, 64, 10_000] {
            let mut lines = Lines::default();
            let keys: Vec<String> =
                text.as_bytes().chunks(length).flat_map(|chunk| lines.feed(chunk).unwrap()).collect();
            assert_eq!(keys, ["in/samples/a/r1/COMMIT", "in/samples/b/r1/COMMIT"], "in pieces of {length}");
        }
        let mut lines = Lines::default();
        assert_eq!(lines.feed(&vec![b' '; 1 << 20]).unwrap(), [""; 0]);
        assert!(lines.begun.is_empty(), "signs of life are not kept");
    }

    #[test]
    fn what_is_no_notification_is_told_soon_and_never_kept() {
        for (odd, why) in [
            ("<?xml version", "no notification but a page"),
            ("\n\n<html>", "no notification but a page"),
            ("\u{0}\u{1}", "no notification but"),
            ("[]\n", "no notification but"),
            ("{}}\n", "no notification: "),
            ("{\"Records\":[{}]}\n", "no notification: "),
            ("{\"Records\":[{\"s3\":{\"object\":{\"key\":7}}}]}\n", "no notification: "),
            (&format!("{{\"Records\":{}", "[".repeat(1000)), ""),
        ] {
            let fed = Lines::default().feed(odd.as_bytes());
            match why {
                "" => assert_eq!(fed, Ok(Vec::new()), "its end has not come"),
                why => assert!(fed.as_ref().is_err_and(|said| said.contains(why)), "{odd}: {fed:?}"),
            }
        }
        let mut lines = Lines::default();
        let mut endless = std::iter::repeat_with(|| lines.feed(&[b'{'; 5000]).map(|_| lines.begun.len()));
        let ended = endless.by_ref().take(1000).find_map(Result::err).unwrap();
        assert!(ended.contains("a line of more than"), "{ended}");
        assert!(lines.begun.len() <= LONGEST);
    }

    #[test]
    fn the_bucket_is_named_as_its_objects_are() {
        let query = query("tsd-import/", "COMMIT", 10);
        assert_eq!(query, "events=s3%3AObjectCreated%3A%2A&ping=10&prefix=tsd%2Dimport%2F&suffix=COMMIT");
        for (object, bucket) in [
            ("http://h:1/b/tsd-import-listens?x-id=GetObject", "http://h:1/b/?q"),
            ("https://b.h/tsd-import-listens", "https://b.h/?q"),
        ] {
            assert_eq!(towards(object, "q").as_deref(), Some(bucket));
        }
        assert_eq!(towards("http://h/b/other?x-id=GetObject", "q"), None);
    }

    #[test]
    fn what_is_refused_for_good_is_told_from_what_is_of_the_moment() {
        let of = |status, code: &str| sorted(&Said { status, code: code.into(), ..Said::default() });
        for (status, code) in
            [(400, "InvalidArgument"), (403, "AccessDenied"), (404, ""), (405, ""), (501, "NotImplemented")]
        {
            assert!(matches!(of(Some(status), code), NoBell::Unknown(_)), "{status} {code}");
        }
        for (status, code) in [
            (Some(400), "ExpiredToken"),
            (Some(401), ""),
            (Some(503), "SlowDown"),
            (Some(500), ""),
            (None, ""),
        ] {
            assert!(matches!(of(status, code), NoBell::Lost(_)), "{status:?} {code}");
        }
    }
}
