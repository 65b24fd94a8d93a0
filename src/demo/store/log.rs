//! The last requests as the store saw them: who asked for what, and what was answered.
//!
//! Query values but part numbers are left out (a presigned URL carries its signature there), and so are headers but for the range:
//! nothing secret is kept.
//! The ring is bounded; the oldest go first.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use http::request::Parts;

const KEPT: usize = 20_000;

/// Whose key a request named. Whether it was signed with that key shows in the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Sender,
    Receiver,
    /// No key, or none of ours.
    Unknown,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLog {
    pub who: Who,
    pub method: String,
    /// `/bucket/key`, percent-encoded as it came.
    pub path: String,
    /// The names in the query, in their order.
    pub query: Vec<String>,
    /// Which part of an upload.
    pub part: Option<u16>,
    /// Which bytes were asked for, as it came: `bytes=0-99`.
    pub range: Option<String>,
    /// What was answered; 0 if the connection was cut instead.
    pub status: u16,
}

impl RequestLog {
    pub(super) fn of(who: Who, head: &Parts) -> Self {
        let names = head.uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty());
        let query = head.uri.query().unwrap_or("");
        let pairs = |name| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name);
        let pairs = |name| pairs(name).map(|(_, value)| value);
        Self {
            who,
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: names.map(|pair| pair.split('=').next().unwrap_or(pair).to_owned()).collect(),
            part: pairs("partNumber").and_then(|number| number.parse().ok()),
            range: head.headers.get("range").and_then(|range| range.to_str().ok()).map(str::to_owned),
            status: 0,
        }
    }

    /// The S3 operation this looks like, for people and tests; `Other` for what the store does not offer.
    pub fn operation(&self) -> &'static str {
        let has = |name: &str| self.query.iter().any(|one| one == name);
        let on_object = self.path.trim_matches('/').contains('/');
        match (self.method.as_str(), on_object) {
            ("PUT", true) if has("partNumber") => "UploadPart",
            ("PUT", true) if !has("tagging") && !has("acl") => "PutObject",
            ("POST", true) if has("uploads") => "CreateMultipartUpload",
            ("POST", true) if has("uploadId") => "CompleteMultipartUpload",
            ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
            ("DELETE", true) => "DeleteObject",
            ("GET", true) if has("uploadId") => "ListParts",
            ("GET", true) if !has("tagging") && !has("acl") => "GetObject",
            ("HEAD", true) => "HeadObject",
            ("HEAD", false) => "HeadBucket",
            ("GET", false) if has("list-type") => "ListObjectsV2",
            ("GET", false) if has("uploads") => "ListMultipartUploads",
            _ => "Other",
        }
    }
}

/// The ring.
#[derive(Default)]
pub(super) struct Ring(Mutex<VecDeque<RequestLog>>);

impl Ring {
    pub(super) fn push(&self, entry: RequestLog) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(entry);
    }

    pub(super) fn all(&self) -> Vec<RequestLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(method: &str, uri: &str) -> RequestLog {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        RequestLog::of(Who::Sender, &request.into_parts().0)
    }

    #[test]
    fn values_of_the_query_are_not_kept() {
        let entry = entry("PUT", "/b/p/x%20y?partNumber=2&X-Amz-Signature=abc&acl");
        assert_eq!(entry.query, ["partNumber", "X-Amz-Signature", "acl"]);
        assert_eq!((entry.path.as_str(), entry.status), ("/b/p/x%20y", 0));
    }

    #[test]
    fn requests_have_their_operation_s_name() {
        for (method, uri, operation) in [
            ("PUT", "/b/k", "PutObject"),
            ("PUT", "/b/k?x-id=PutObject", "PutObject"),
            ("PUT", "/b/k?partNumber=1&uploadId=x", "UploadPart"),
            ("POST", "/b/k?uploads", "CreateMultipartUpload"),
            ("POST", "/b/k?uploadId=x", "CompleteMultipartUpload"),
            ("DELETE", "/b/k?uploadId=x", "AbortMultipartUpload"),
            ("GET", "/b?list-type=2", "ListObjectsV2"),
            ("GET", "/b/?list-type=2", "ListObjectsV2"),
            ("GET", "/b/k", "GetObject"),
            ("HEAD", "/b/k", "HeadObject"),
            ("PUT", "/b", "Other"),
        ] {
            assert_eq!(entry(method, uri).operation(), operation, "{method} {uri}");
        }
    }

    #[test]
    fn the_ring_is_bounded() {
        let ring = Ring::default();
        for n in 0..KEPT + 2 {
            ring.push(RequestLog { status: u16::try_from(n % 60_000).unwrap(), ..entry("GET", "/b/k") });
        }
        let all = ring.all();
        assert_eq!((all.len(), all[0].status), (KEPT, 2));
    }
}
