//! Faults on order: what a store and the proxies before it do on bad days, made to happen when a test wants it.
//!
//! A rule waits for requests that match it, strikes `times` times and is gone; of several that match the oldest strikes.
//! Rules are asked after the gate, so a request without a good token uses none up.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use http::request::Parts;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// 503 with `SlowDown`; nothing was done.
    SlowDown,
    /// 504 from a proxy, after the work was done all the same.
    GatewayTimeout,
    /// 200 with a page in HTML, as proxies and login pages answer; nothing was done.
    HtmlOk,
    /// 200 whose body is an `<Error>` (`InternalError`), as AWS answers a failed completion; nothing was done.
    ErrorInOk,
    /// The connection closes without an answer; nothing was done.
    Drop,
    /// The connection closes without an answer, after the work was done.
    DropAfterWork,
    /// The request waits this long (at most ten minutes), and is then served.
    Delay(Duration),
    /// 404 with `NoSuchUpload`; nothing was done.
    NoSuchUpload,
    /// 403 with `AccessDenied`; nothing was done.
    Denied,
    /// One bit of the body is another when it arrives.
    Flip,
    /// The answer states other checksums than those of the bytes that arrived.
    OtherSums,
    /// 400 with this code; nothing was done.
    Refuse(&'static str),
    /// The answer's body breaks off after so many bytes, and the connection with it.
    CutBody(u64),
    /// After so many bytes of the answer's body nothing comes any more.
    StallBody(u64),
    /// The answer's body comes in small pieces, each after such a pause.
    Trickle(Duration),
    /// The answer says of a range that it begins one byte later than it does.
    WrongRange,
    /// 409 with `ConditionalRequestConflict`, as to one of several that write a key at the same moment; nothing was done.
    Conflict,
    /// The conditions of a put are not looked at, as by stores that do not know them.
    ForgetConditions,
    /// A range is asked for and the whole object is answered, as simple servers do.
    IgnoreRange,
    /// 200 with a page of something before the store, instead of what was asked for.
    Portal(Portal),
}

/// What a login page, a virus filter or a maintenance server answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portal {
    /// HTML with its length.
    Plain,
    /// HTML without a length, in chunks; long enough for more than one range of a test.
    Chunked,
    /// A file of a web server: HTML with its length and an ETag of its own.
    Static,
    /// Some JSON with its length and an ETag, as no store of ours would send.
    Json,
    /// Nothing at all.
    Blank,
}

impl Portal {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Chunked, Self::Static, Self::Json, Self::Blank];
}

/// Which requests are struck, how often, and how.
#[derive(Debug, Clone)]
pub struct FaultRule {
    /// Any method if `None`.
    pub method: Option<Method>,
    /// Part of `/bucket/key`, as it stands in the request line (percent-encoded).
    pub key_contains: Option<String>,
    /// Part of the query, as it stands in the request line: `partNumber=2`, `uploadId`, `list-type`.
    pub query_contains: Option<String>,
    /// How many requests are struck.
    pub times: u32,
    /// How they are struck.
    pub kind: FaultKind,
}

impl FaultRule {
    /// Strikes the next request, whatever it is.
    pub fn next(kind: FaultKind) -> Self {
        Self { method: None, key_contains: None, query_contains: None, times: 1, kind }
    }

    fn matches(&self, head: &Parts) -> bool {
        let within =
            |part: &Option<String>, text: &str| part.as_ref().is_none_or(|part| text.contains(part.as_str()));
        self.method.as_ref().is_none_or(|method| *method == head.method)
            && within(&self.key_contains, head.uri.path())
            && within(&self.query_contains, head.uri.query().unwrap_or(""))
    }
}

/// The rules that still wait.
#[derive(Default)]
pub(super) struct Faults(Mutex<Vec<FaultRule>>);

impl Faults {
    pub(super) fn add(&self, rule: FaultRule) {
        if rule.times > 0 {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
        }
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The fault for this request, if one waits for it.
    pub(super) fn strike(&self, head: &Parts) -> Option<FaultKind> {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = rules.iter().position(|rule| rule.matches(head))?;
        let kind = rules[at].kind;
        rules[at].times -= 1;
        if rules[at].times == 0 {
            rules.remove(at);
        }
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_what_it_names_and_as_often_as_it_says() {
        let faults = Faults::default();
        let head = |method: Method, uri: &str| {
            http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0
        };
        faults.add(FaultRule {
            method: Some(Method::PUT),
            key_contains: Some("/R1".into()),
            query_contains: Some("partNumber=2".into()),
            times: 2,
            kind: FaultKind::SlowDown,
        });
        faults.add(FaultRule { times: 0, ..FaultRule::next(FaultKind::Drop) });
        let struck = head(Method::PUT, "/b/p/R1?partNumber=2&uploadId=x");
        for other in [
            head(Method::GET, "/b/p/R1?partNumber=2"),
            head(Method::PUT, "/b/p/R2?partNumber=2"),
            head(Method::PUT, "/b/p/R1?partNumber=1"),
            head(Method::PUT, "/b/p/R1"),
        ] {
            assert_eq!(faults.strike(&other), None, "{:?}", other.uri);
        }
        faults.add(FaultRule::next(FaultKind::Drop));
        let seen: Vec<_> = (0..4).map(|_| faults.strike(&struck)).collect();
        assert_eq!(seen, [Some(FaultKind::SlowDown), Some(FaultKind::SlowDown), Some(FaultKind::Drop), None]);
    }
}
