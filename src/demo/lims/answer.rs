//! Answers, refusals, and the addresses in both.
//!
//! A request either gets an [`Answer`] or a [`Refusal`], which becomes an `exc:exception` body under its status. Texts
//! that are known from real servers are given as they are there; the others are our own wording of the same rule.
//!
//! Addresses: everything the server hands out starts with its own configured base, which need not be the one dialled.
//! Addresses in requests are taken if they start with either; any other host is refused.

use super::xml::Element;

/// A good answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// No body for 204.
    pub(super) body: Option<Element>,
}

impl Answer {
    pub(super) fn ok(body: Element) -> Self {
        Self { status: 200, body: Some(body) }
    }
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400: the data or the moment is wrong.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// 404 for a thing that does not exist (`Sample not found: X`).
    pub(super) fn not_found(what: &str, id: &str) -> Self {
        Self::new(404, format!("{what} not found: {id}"))
    }

    /// The body that carries it.
    pub(super) fn body(&self) -> Element {
        exception(self.status, &self.message)
    }
}

/// An `exc:exception` document.
pub(super) fn exception(code: u16, message: &str) -> Element {
    Element::root("exc:exception", &[])
        .attr("code", code.to_string())
        .child(Element::leaf("message", message))
}

pub(super) type Outcome = Result<Answer, Refusal>;

/// Addresses of one request.
#[derive(Debug, Clone)]
pub(super) struct Uris {
    /// What answers start with: `scheme://host/api/v2`.
    pub(super) base: String,
    /// What the client dialled.
    pub(super) dialled: String,
    /// What `next-page` starts with.
    pub(super) paging: String,
}

impl Uris {
    /// The address of a resource (`artifacts/2-1`).
    pub(super) fn to(&self, path: impl std::fmt::Display) -> String {
        format!("{}/{path}", self.base)
    }

    /// An artifact with the version number the server adds by itself.
    pub(super) fn artifact(&self, id: &str, state: u64) -> String {
        format!("{}/artifacts/{id}?state={state}", self.base)
    }

    /// Path parts behind the base, without the query; `None` for an address that is not ours.
    pub(super) fn parts<'a>(&self, uri: &'a str) -> Option<Vec<&'a str>> {
        let rest =
            uri.strip_prefix(self.base.as_str()).or_else(|| uri.strip_prefix(self.dialled.as_str()))?;
        let path = rest.strip_prefix('/')?;
        Some(path.split_once('?').map_or(path, |(path, _)| path).split('/').collect())
    }

    /// The limsid in an address of this kind (`artifacts`).
    pub(super) fn id(&self, kind: &str, uri: &str) -> Option<String> {
        match self.parts(uri)?.as_slice() {
            [found, id] if *found == kind && !id.is_empty() => Some((*id).to_owned()),
            _ => None,
        }
    }

    /// Protocol and step of a step configuration address.
    pub(super) fn step_configuration(&self, uri: &str) -> Option<(u32, u32)> {
        match self.parts(uri)?.as_slice() {
            ["configuration", "protocols", protocol, "steps", step] => {
                Some((protocol.parse().ok()?, step.parse().ok()?))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uris() -> Uris {
        Uris {
            base: "https://lims/api/v2".to_owned(),
            dialled: "http://127.0.0.1:1/api/v2".to_owned(),
            paging: String::new(),
        }
    }

    #[test]
    fn takes_ours_and_nobody_elses() {
        let uris = uris();
        assert_eq!(uris.id("artifacts", "https://lims/api/v2/artifacts/2-1?state=7").as_deref(), Some("2-1"));
        assert_eq!(uris.id("artifacts", "http://127.0.0.1:1/api/v2/artifacts/2-1").as_deref(), Some("2-1"));
        assert_eq!(uris.id("samples", "https://lims/api/v2/artifacts/2-1"), None);
        assert_eq!(uris.id("artifacts", "https://evil/api/v2/artifacts/2-1"), None);
        assert_eq!(uris.id("artifacts", "https://lims/api/v2/artifacts/"), None);
        let step = "https://lims/api/v2/configuration/protocols/9/steps/16";
        assert_eq!(uris.step_configuration(step), Some((9, 16)));
        assert_eq!(uris.step_configuration("https://lims/api/v2/steps/24-16"), None);
    }

    #[test]
    fn a_refusal_is_an_exception_document() {
        let text = Refusal::not_found("Sample", "X1").body().to_document(false);
        assert!(
            text.contains("<exc:exception xmlns:exc=\"http://genologics.com/ri/exception\" code=\"404\">"),
            "{text}"
        );
        assert!(text.contains("<message>Sample not found: X1</message>"), "{text}");
    }
}
