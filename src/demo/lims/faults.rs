//! Faults: what real servers, and the proxies in front of them, do wrong, on demand.
//!
//! A [`FaultRule`] says which requests it meets and how often. A request meets every rule that fits it and is not used
//! up; of those that replace the answer the first one wins, those that only colour it (delay, lag, a row too many, a
//! field too few) add up. Rules are tried before the password is checked: a proxy does not know passwords.
//!
//! The difference to mind is before and after the work: `DropBeforeWork` and `DropAfterWork` look the same to the caller.

use std::time::Duration;

use super::answer::{Uris, exception};
use super::resources::link;
use super::xml::Element;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 503 with an HTML page, from the proxy; nothing was done.
    Html503,
    /// 504 with an HTML page, from a proxy that lost patience; the work was done.
    Html504AfterWork,
    /// 401 without a body.
    Empty401,
    /// 403 without a body.
    Empty403,
    /// 413; nothing was done.
    Status413,
    /// An exception document under this status; nothing was done.
    Exception {
        /// HTTP status and `code` attribute.
        status: u16,
        /// Text of the exception.
        message: String,
    },
    /// An exception document under status 200; nothing was done.
    ExceptionAt200,
    /// 301 to this address; nothing was done.
    Redirect(String),
    /// The connection is closed without an answer, nothing was done.
    DropBeforeWork,
    /// The connection is closed without an answer, the work was done.
    DropAfterWork,
    /// The connection is closed in the middle of the answer's body.
    CutBody,
    /// A complete answer, whose body is only the first half of the document.
    HalfXml,
    /// The first letter outside ASCII (or else the last byte but one) is sent in Latin-1.
    BrokenUtf8,
    /// The right status, no body.
    EmptyBody,
    /// The answer comes later; the work is done after the wait.
    Delay(Duration),
    /// If the request changes something, this many reads after it still show the world before it.
    LagReads(u32),
    /// A list or queue shows this id, which does not belong there.
    BogusRow(String),
    /// The UDF of this name is missing in the answer.
    MissingUdf(String),
}

/// Which requests meet a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRule {
    /// HTTP method; empty for any.
    pub method: String,
    /// Part of path and query. With a `$` behind it: the end of the path, query not counted, where `*` is any id
    /// (`/steps/*/actions$`).
    pub path_contains: String,
    /// So many fitting requests pass unharmed first.
    pub skip: u32,
    /// So many fitting requests are then met.
    pub times: u32,
    /// What happens to them.
    pub kind: Fault,
}

impl FaultRule {
    /// Meets the next fitting request.
    pub fn once(method: &str, path_contains: &str, kind: Fault) -> Self {
        Self { method: method.to_owned(), path_contains: path_contains.to_owned(), skip: 0, times: 1, kind }
    }

    /// Meets every fitting request until faults are cleared.
    pub fn always(method: &str, path_contains: &str, kind: Fault) -> Self {
        Self { times: u32::MAX, ..Self::once(method, path_contains, kind) }
    }

    /// Lets `skip` fitting requests pass first.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// True if this request is met; counts it.
    pub(super) fn meets(&mut self, method: &str, target: &str) -> bool {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let fits = match self.path_contains.strip_suffix('$') {
            Some(end) if end.contains('*') => ends_like(path, end),
            Some(end) => path.ends_with(end),
            None => target.contains(&self.path_contains),
        };
        if !fits || self.times == 0 || !(self.method.is_empty() || self.method == method) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if self.times != u32::MAX {
            self.times -= 1;
        }
        true
    }
}

/// Whether the last segments of a path are those of `end`, where `*` is one that holds a number: an id.
fn ends_like(path: &str, end: &str) -> bool {
    let (mut path, end) = (path.rsplit('/'), end.trim_start_matches('/').rsplit('/'));
    end.into_iter().all(|wanted| {
        path.next().is_some_and(|found| match wanted {
            "*" => found.bytes().any(|b| b.is_ascii_digit()),
            word => word == found,
        })
    })
}

/// An answer ready for the wire, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// A whole answer.
    Whole { status: u16, content_type: &'static str, location: Option<String>, body: Vec<u8> },
    /// Status and length of this body, but only half of its bytes.
    Cut { status: u16, body: Vec<u8> },
    /// The connection is closed.
    Dropped,
}

impl Reply {
    pub(super) fn xml(status: u16, body: Vec<u8>) -> Self {
        Self::Whole { status, content_type: "application/xml;charset=UTF-8", location: None, body }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self::xml(status, Vec::new())
    }

    fn html(status: u16, title: &str) -> Self {
        let page = format!(
            "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>{status} {title}</title>\n\
             </head><body>\n<h1>{title}</h1>\n<hr>\n</body></html>\n"
        );
        Self::Whole {
            status,
            content_type: "text/html; charset=iso-8859-1",
            location: None,
            body: page.into_bytes(),
        }
    }

    /// 0 for a dropped connection.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Whole { status, .. } | Self::Cut { status, .. } => *status,
            Self::Dropped => 0,
        }
    }
}

/// The answer of a fault that lets nothing happen.
pub(super) fn instead(faults: &[Fault]) -> Option<Reply> {
    let document = |status: u16, code: u16, message: &str| {
        Reply::xml(status, exception(code, message).to_document(false).into_bytes())
    };
    faults.iter().find_map(|fault| match fault {
        Fault::Html503 => Some(Reply::html(503, "Service Unavailable")),
        Fault::Empty401 => Some(Reply::empty(401)),
        Fault::Empty403 => Some(Reply::empty(403)),
        Fault::Status413 => Some(document(413, 413, "Request entity too large")),
        Fault::Exception { status, message } => Some(document(*status, *status, message)),
        Fault::ExceptionAt200 => Some(document(200, 500, "An unexpected error occurred")),
        Fault::Redirect(to) => {
            let mut reply = Reply::empty(301);
            if let Reply::Whole { location, .. } = &mut reply {
                *location = Some(to.clone());
            }
            Some(reply)
        }
        Fault::DropBeforeWork => Some(Reply::Dropped),
        _ => None,
    })
}

/// What faults make of a document before it becomes text.
pub(super) fn colour(faults: &[Fault], body: &mut Element, uris: &Uris) {
    for fault in faults {
        match fault {
            Fault::BogusRow(id) => match body.name.as_str() {
                "art:artifacts" => body.children.insert(0, link("artifact", uris, "artifacts", id)),
                "prc:processes" => body.children.insert(0, link("process", uris, "processes", id)),
                "que:queue" => {
                    for list in body.children.iter_mut().filter(|child| child.name == "artifacts") {
                        list.children.insert(0, link("artifact", uris, "artifacts", id));
                    }
                }
                _ => {}
            },
            Fault::MissingUdf(name) => {
                let _ = body.drop_udf(name);
            }
            _ => {}
        }
    }
}

/// What faults make of a finished answer.
pub(super) fn spoil(faults: &[Fault], reply: Reply) -> Reply {
    let Reply::Whole { status, content_type, location, mut body } = reply else { return reply };
    for fault in faults {
        match fault {
            Fault::DropAfterWork => return Reply::Dropped,
            Fault::Html504AfterWork => return Reply::html(504, "Gateway Timeout"),
            Fault::CutBody => return Reply::Cut { status, body },
            Fault::HalfXml => body.truncate(body.len() / 2),
            Fault::BrokenUtf8 => body = broken(&body),
            Fault::EmptyBody => body.clear(),
            _ => {}
        }
    }
    Reply::Whole { status, content_type, location, body }
}

fn broken(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let mut out = Vec::with_capacity(body.len());
    match text.char_indices().find(|(_, letter)| !letter.is_ascii()) {
        Some((at, letter)) => {
            out.extend_from_slice(&text.as_bytes()[..at]);
            out.push(u8::try_from(u32::from(letter)).unwrap_or(0x92));
            out.extend_from_slice(&text.as_bytes()[at + letter.len_utf8()..]);
        }
        None => {
            out.extend_from_slice(body);
            let at = out.len().saturating_sub(1);
            out.insert(at, 0xe5);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_lets_pass_then_meets_then_is_used_up() {
        let mut rule = FaultRule { times: 2, ..FaultRule::once("GET", "/queues/", Fault::Html503).after(1) };
        let met: Vec<bool> = (0..5).map(|_| rule.meets("GET", "/api/v2/queues/1")).collect();
        assert_eq!(met, [false, true, true, false, false]);
        let mut ends = FaultRule::always("", "/steps$", Fault::Html503);
        assert!(ends.meets("POST", "/api/v2/steps?x=1"));
        assert!(!ends.meets("POST", "/api/v2/steps/24-1/advance"));
        assert!(!FaultRule::always("PUT", "/", Fault::Html503).meets("GET", "/"));
    }

    #[test]
    fn a_star_is_one_id() {
        assert!(ends_like("/api/v2/steps/24-1/actions", "/steps/*/actions"));
        assert!(ends_like("/api/v2/steps/24-1", "/steps/*"));
        assert!(!ends_like("/api/v2/steps/24-1/actions", "/steps/*"));
        assert!(!ends_like("/api/v2/artifacts/batch/retrieve", "/artifacts/*/retrieve"));
    }

    #[test]
    fn broken_text_is_not_utf8_any_more() {
        assert_eq!(broken("Bjørn".as_bytes()), b"Bj\xf8rn");
        assert_eq!(broken("a–b".as_bytes()), b"a\x92b");
        assert_eq!(broken(b"<a/>"), b"<a/\xe5>");
    }
}
