//! `GET /{bucket}?events=…`: tells of new objects as they come, in MinIO's words and as strict as that.
//!
//! Each listener gets its own lines, filtered by prefix and suffix, with a line without records every `ping` seconds, or a space twice a
//! second if it did not ask for pings. One that does not read fast enough misses some, which a listener must survive anyway.
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body as Stream;
use bytes::Bytes;
use futures_util::stream;
use http::{Extensions, HeaderMap, HeaderValue, Method, Uri, header};
use percent_encoding::percent_decode_str;
use s3s::route::S3Route;
use s3s::{Body, S3Request, S3Response, S3Result, s3_error};
use serde_json::json;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, Interval, interval_at};

/// For those who read slowly.
const QUEUE: usize = 1000;
/// Without pings.
const SPACES: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
enum News {
    Created(String),
    /// Bytes that something broken in between puts there.
    Babble(Bytes),
    HangUp,
}

/// All who listen; clones ring the same bells.
#[derive(Clone, Debug)]
pub(super) struct Bells(broadcast::Sender<News>);

impl Default for Bells {
    fn default() -> Self {
        Self(broadcast::channel(QUEUE).0)
    }
}

impl Bells {
    /// An object is there. Nobody need listen.
    pub(super) fn created(&self, key: &str) {
        self.tell(News::Created(key.to_owned()));
    }

    pub(super) fn babble(&self, bytes: Bytes) {
        self.tell(News::Babble(bytes));
    }

    pub(super) fn hang_up(&self) {
        self.tell(News::HangUp);
    }

    pub(super) fn listeners(&self) -> usize {
        self.0.receiver_count()
    }

    fn tell(&self, news: News) {
        drop(self.0.send(news)); // an error only if nobody listens
    }
}

/// Who may listen to what.
pub(super) struct Door {
    pub(super) bells: Bells,
    pub(super) bucket: String,
    pub(super) receiver: String,
}

/// What a listener wants to hear of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    prefix: String,
    suffix: String,
    ping: Option<u64>,
}

impl Wanted {
    fn read(query: &str) -> S3Result<Self> {
        let mut wanted: [Option<String>; 3] = [None, None, None];
        let mut events = 0;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8().map(|text| text.into_owned());
            let Ok(value) = value else { return Err(s3_error!(InvalidArgument, "A value is not UTF-8.")) };
            let at = match name {
                "events" if value.starts_with("s3:ObjectCreated:") => {
                    events += 1;
                    continue;
                }
                "events" => return Err(s3_error!(InvalidArgument, "A specified event is not supported.")),
                "prefix" => 0,
                "suffix" => 1,
                "ping" => 2,
                _ => return Err(s3_error!(InvalidArgument, "This store does not know all of the query.")),
            };
            let odd = value.split('/').any(|level| matches!(level, "." | "..")) || value.len() > 1024;
            if odd || wanted[at].replace(value).is_some() {
                return Err(s3_error!(InvalidArgument, "A filter is wrong, or stands there twice."));
            }
        }
        let [prefix, suffix, ping] = wanted;
        let ping = match ping.map(|text| text.parse::<u64>()) {
            None => None,
            Some(Ok(seconds)) if seconds > 0 => Some(seconds),
            Some(_) => return Err(s3_error!(InvalidArgument, "ping is a number of seconds.")),
        };
        if events == 0 {
            return Err(s3_error!(InvalidArgument, "No event is named."));
        }
        Ok(Self { prefix: prefix.unwrap_or_default(), suffix: suffix.unwrap_or_default(), ping })
    }

    fn covers(&self, key: &str) -> bool {
        key.starts_with(&self.prefix) && key.ends_with(&self.suffix)
    }
}

fn record(bucket: &str, key: &str) -> Bytes {
    let line = json!({"Records": [{"eventVersion": "2.0", "eventSource": "minio:s3", "awsRegion": "",
        "eventName": "s3:ObjectCreated:Put", "s3": {"s3SchemaVersion": "1.0", "configurationId": "Config",
        "bucket": {"name": bucket}, "object": {"key": key}}}]});
    format!("{line}\n").into()
}

struct Listener {
    news: broadcast::Receiver<News>,
    wanted: Wanted,
    bucket: String,
    pings: Interval,
}

impl Listener {
    async fn next(mut self) -> Option<(std::io::Result<Bytes>, Self)> {
        loop {
            tokio::select! {
                news = self.news.recv() => match news {
                    Ok(News::Created(key)) if self.wanted.covers(&key) => {
                        return Some((Ok(record(&self.bucket, &key)), self));
                    }
                    Ok(News::Babble(bytes)) => return Some((Ok(bytes), self)),
                    Ok(News::Created(_)) | Err(RecvError::Lagged(_)) => {}
                    Ok(News::HangUp) | Err(RecvError::Closed) => return None,
                },
                _ = self.pings.tick() => {
                    let sign: &[u8] = if self.wanted.ping.is_some() { b"{\"Records\":null}\n" } else { b" " };
                    return Some((Ok(Bytes::copy_from_slice(sign)), self));
                }
            }
        }
    }
}

impl Door {
    fn open(&self, request: &S3Request<Body>) -> S3Result<S3Response<Body>> {
        if request.uri.path().trim_matches('/') != self.bucket {
            return Err(s3_error!(NoSuchBucket, "The specified bucket does not exist."));
        }
        let wanted = Wanted::read(request.uri.query().unwrap_or_default())?;
        let every = wanted.ping.map_or(SPACES, Duration::from_secs);
        let pings = interval_at(Instant::now() + every, every);
        let listener =
            Listener { news: self.bells.0.subscribe(), wanted, bucket: self.bucket.clone(), pings };
        let lines = Stream::from_stream(stream::unfold(listener, Listener::next));
        let mut response = S3Response::new(Body::http_body_unsync(lines));
        let kind = HeaderValue::from_static("text/event-stream");
        drop(response.headers.insert(header::CONTENT_TYPE, kind));
        Ok(response)
    }
}

// The signatures that `async_trait` would write. s3s asks here after it verified the request's signature.
impl S3Route for Door {
    fn is_match(&self, method: &Method, uri: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        let events =
            uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("events=")));
        method == Method::GET && events && !uri.path().trim_matches('/').contains('/')
    }

    fn check_access<'a, 'b, 'c>(
        &'a self,
        request: &'b mut S3Request<Body>,
    ) -> Pin<Box<dyn Future<Output = S3Result<()>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let allowed = request.credentials.as_ref().is_some_and(|keys| keys.access_key == self.receiver);
        Box::pin(async move { if allowed { Ok(()) } else { Err(s3_error!(AccessDenied, "Access Denied.")) } })
    }

    fn call<'a, 'b>(
        &'a self,
        request: S3Request<Body>,
    ) -> Pin<Box<dyn Future<Output = S3Result<S3Response<Body>>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let answer = self.open(&request);
        Box::pin(async move { answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_not_understood_whole_is_refused() {
        let wanted =
            Wanted::read("events=s3%3AObjectCreated%3A%2A&ping=10&prefix=in%2F&suffix=COMMIT").unwrap();
        assert_eq!(wanted, Wanted { prefix: "in/".into(), suffix: "COMMIT".into(), ping: Some(10) });
        assert!(
            wanted.covers("in/a/COMMIT") && !wanted.covers("in/a/COMMIT.sig") && !wanted.covers("out/COMMIT")
        );
        for odd in [
            "prefix=in",
            "events=s3:ObjectRemoved:*",
            "events=s3:ObjectCreated:*&prefix=a&prefix=b",
            "events=s3:ObjectCreated:*&prefix=a/../b",
            "events=s3:ObjectCreated:*&ping=0",
            "events=s3:ObjectCreated:*&ping=soon",
            "events=s3:ObjectCreated:*&x-id=GetObject",
            "events=s3:ObjectCreated:*&prefix=%ff",
        ] {
            assert!(Wanted::read(odd).is_err(), "{odd}");
        }
    }
}
