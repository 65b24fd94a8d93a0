//! Sorts an answer, or its absence: who must act, what to do, and whether to ask again.
//!
//! What comes back is not always S3's XML: a proxy answers in HTML, TSD's gate in JSON, a dying one with nothing. The code counts
//! before the status (a 200 may hold an `<Error>`), the status before the silence.
use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use jiff::Timestamp;

use super::StoreError;
use super::attempt::{Class, Failed};
use super::retry::advice;
use crate::clock;
use crate::lease;

/// An answer that is not a success, without the SDK around it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    /// S3's word for it; empty if the answer is not S3's.
    pub code: String,
    /// S3's explanation, or the library's.
    pub message: String,
    /// The store's clock against ours, in seconds: above zero if the store's is ahead.
    pub ahead: Option<i64>,
    /// What it says about when to come again.
    pub retry_after: Option<Duration>,
    /// No connection came about, so surely nothing was done.
    pub unconnected: bool,
}

/// The causes of an error, each once, without the inner workings of the libraries.
fn reasons(error: &dyn Error) -> String {
    let mut said: Vec<String> = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(e) = cause {
        let text = e.to_string();
        // Some layers repeat what is below them.
        if said.last().is_none_or(|last| !last.contains(&text)) {
            said.push(text);
        }
        cause = e.source();
    }
    said.join(": ")
}

/// Foreign words, for a line of a log: of bounded length, without control characters.
fn tame(text: &str) -> String {
    text.chars().take(400).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// By how many seconds the `Date` of an answer is ahead of `now`.
pub(crate) fn ahead(date: &str, now: Timestamp) -> Option<i64> {
    let theirs = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(theirs.as_second() - now.as_second())
}

/// The clocks in words: `this host's clock is 17 min behind the store's`.
pub(crate) fn clocks(ahead: i64) -> String {
    let apart = ahead.unsigned_abs();
    let apart = match apart {
        0..100 => format!("{apart} s"),
        100..6_000 => format!("{} min", (apart + 30) / 60),
        _ => format!("{} h", (apart + 1_800) / 3_600),
    };
    format!("this host's clock is {apart} {} the store's", if ahead > 0 { "behind" } else { "ahead of" })
}

impl Said {
    /// What an error of the SDK says.
    pub(crate) fn of<E>(error: &SdkError<E>, now: Timestamp) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let raw = error.raw_response();
        let header = |name: &str| raw.and_then(|r| r.headers().get(name));
        let service = error.as_service_error();
        let message = service.and_then(|e| e.message()).map(str::to_owned);
        let mut unconnected = false;
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(e) = cause {
            unconnected |= e.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
            cause = e.source();
        }
        Self {
            status: raw.map(|r| r.status().as_u16()),
            code: tame(service.and_then(|e| e.code()).unwrap_or_default()),
            message: tame(&message.unwrap_or_else(|| reasons(error))),
            ahead: header("date").and_then(|date| ahead(date, now)),
            retry_after: advice(header("x-amz-retry-after"), header("retry-after"), now),
            unconnected,
        }
    }

    /// As it stands in a log: `403 AccessDenied (Access Denied.)`.
    pub(crate) fn in_short(&self) -> String {
        match (self.status, self.code.as_str()) {
            (None, _) => self.message.clone(),
            (Some(200..=299), "") => format!("its answer cannot be understood: {}", self.message),
            (Some(status), "") => format!("{status} without a word of S3"),
            (Some(status), code) if self.message.is_empty() => format!("{status} {code}"),
            (Some(status), code) => format!("{status} {code} ({})", self.message),
        }
    }
}

/// How bytes are said to have been changed on the way.
pub(super) const CHANGED: &str = "bytes were changed on the way";

/// Who must act, and whether to ask again.
pub(super) fn judge(what: &'static str, key: &str, said: &Said) -> Failed {
    use Class::{Final, Throttled, Transient, Unclear};
    let short = said.in_short();
    let (class, why) = match (said.code.as_str(), said.status) {
        ("NoSuchKey" | "NotFound", _) => return StoreError::NotFound(key.to_owned()).into(),
        ("NoSuchUpload", _) => return StoreError::NoUpload(key.to_owned()).into(),
        ("InvalidPart" | "InvalidPartOrder", _) => {
            let why = format!("the store does not put its parts together: {short}");
            return StoreError::Lost { key: key.to_owned(), why }.into();
        }
        ("PreconditionFailed", _) | (_, Some(412)) => return StoreError::Exists(key.to_owned()).into(),
        ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) | (_, Some(401)) => (
            Final,
            "the access token is expired or unknown; put a fresh one into the file of store.header_files"
                .to_owned(),
        ),
        ("RequestTimeTooSkewed" | "RequestExpired", _) => {
            let clocks = said.ahead.map_or("this host's clock differs from the store's".to_owned(), clocks);
            (Final, format!("{clocks}; correct the clock"))
        }
        ("AuthorizationHeaderMalformed", _) => {
            (Final, format!("{short}: the signature names another region; correct store.region"))
        }
        ("PermanentRedirect" | "TemporaryRedirect", _) | (_, Some(300..=399)) => (
            Final,
            format!(
                "{short}: the bucket is not there; correct store.region, store.endpoint or store.path_style"
            ),
        ),
        ("NoSuchBucket" | "InvalidBucketName", _) => {
            (Final, format!("{short}: there is no such bucket; correct store.bucket or store.path_style"))
        }
        ("BadDigest" | "XAmzContentSHA256Mismatch" | "InvalidDigest" | "XAmzContentChecksumMismatch", _) => {
            (Transient, format!("{key}: {CHANGED} ({short})"))
        }
        ("EntityTooSmall", _) => {
            (Final, format!("{key}: {short}: its parts are too small for this store; raise store.part_size"))
        }
        ("EntityTooLarge", _) | (_, Some(413)) => (
            Final,
            format!(
                "{key}: {short}: a request is too large for it or for a proxy before it; lower store.part_size"
            ),
        ),
        ("RequestTimeout" | "OperationAborted" | "ConditionalRequestConflict", _) | (_, Some(408 | 409)) => {
            (Transient, format!("{key}: {short}"))
        }
        (
            "SlowDown" | "SlowDownRead" | "SlowDownWrite" | "TooManyRequests" | "ServiceUnavailable"
            | "Throttling",
            _,
        )
        | (_, Some(429 | 503)) => (Throttled, format!("{key}: {short}: it asks for fewer requests")),
        ("NotImplemented" | "MethodNotAllowed", _) | (_, Some(405 | 501)) => {
            (Final, format!("{key}: {short}: `tsd-import doctor` says what this store can do"))
        }
        (_, Some(407)) => (Final, format!("{short}: the proxy wants to know who asks; see store.proxy")),
        ("", Some(403)) => (
            Final,
            format!(
                "{short} for {key}: refused by something before the store, such as a proxy or a firewall, or by the rights of the key"
            ),
        ),
        ("SignatureDoesNotMatch" | "InvalidAccessKeyId", _) => (
            Final,
            format!(
                "{short}: correct store.access_key, store.secret_key_file or store.region; the key may have been replaced"
            ),
        ),
        ("AccessDenied" | "AllAccessDisabled", _) | (_, Some(403)) => (
            Final,
            format!(
                "{short} for {key}: the key or its rights are wrong; this needs put (nsc) or list and get (tsd)"
            ),
        ),
        // Behind a proxy that gave up waiting it may have been done.
        (_, Some(502 | 504)) => (Unclear, format!("{key}: {short}: a proxy before the store had no answer")),
        ("InternalError", _) | (_, Some(500..)) => (Transient, format!("{key}: {short}")),
        // Success, with an answer that breaks off or is somebody else's.
        (_, Some(200..=299)) => (Unclear, format!("{key}: {short}")),
        (_, None) => silence(key, said),
        _ => (Final, format!("{key}: {short}")),
    };
    Failed { error: StoreError::Outage { what, why }, class, retry_after: said.retry_after }
}

/// There was no answer.
fn silence(key: &str, said: &Said) -> (Class, String) {
    let text = &said.message;
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["UnknownIssuer", "SelfSigned", "CaUsedAsEndEntity"]) {
        let cure = "its certificate is vouched for by nobody whom this host trusts; name who does in store.ca_file (PEM)";
        return (Class::Final, format!("{cure}: {text}"));
    }
    if has(&["NotValidForName", "not valid for name"]) {
        let cure = "its certificate is for another name; correct store.endpoint";
        return (Class::Final, format!("{cure}: {text}"));
    }
    if has(&["invalid peer certificate"]) {
        return (
            Class::Final,
            format!("its certificate is not accepted (expired? this host's clock?): {text}"),
        );
    }
    let tunnelled = !has(&["failed to create underlying connection"]);
    if tunnelled
        && has(&["unsuccessful tunnel", "tunnel error", "proxy authorization", "proxy authentication"])
    {
        return (Class::Transient, format!("the proxy did not let it through; see store.proxy: {text}"));
    }
    if has(&["dns error", "failed to lookup"]) {
        let cure =
            "the name of store.endpoint (or store.proxy) is not found; is it right, and the name service up?";
        return (Class::Transient, format!("{cure} {text}"));
    }
    if said.unconnected {
        let cure = "no connection to store.endpoint (through store.proxy, if set) came about; is it up, and the network?";
        return (Class::Transient, format!("{cure} {text}"));
    }
    (Class::Unclear, format!("no answer for {key}: {text}; is it up, and the network?"))
}

/// Sorts an answer of the SDK. `what` is an infinitive: `accept a part`.
pub(super) fn sort<E>(what: &'static str, key: &str) -> impl FnOnce(SdkError<E>) -> Failed
where
    E: ProvideErrorMetadata + Error + Debug + 'static,
{
    let key = key.to_owned();
    move |error| {
        if let Some(fenced) = lease::cause(&error) {
            return StoreError::Fenced { what, fenced: fenced.clone() }.into();
        }
        judge(what, &key, &Said::of(&error, clock::now()))
    }
}

#[cfg(test)]
#[path = "sort_tests.rs"]
mod tests;
