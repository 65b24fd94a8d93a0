//! What went wrong with a request, as `application/problem+json` (RFC 9457): what, and what to do.
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The media type.
pub const PROBLEM: &str = "application/problem+json";

/// An answer that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Problem {
    /// `detail` says what was wrong and what to do.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), header: None }
    }

    /// With a header of its own.
    pub fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// Its code.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Problem");
        let said = json!({"type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail});
        let mut response = Response::new(Body::from(said.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let _new = headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if let Some((name, value)) = self.header {
            let _new = headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// An answer as JSON.
pub(super) fn json_answer(status: StatusCode, body: impl serde::Serialize) -> Response {
    let text = serde_json::to_vec(&body).expect("plain fields always serialise");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    let _new = response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
