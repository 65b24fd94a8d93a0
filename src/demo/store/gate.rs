//! What stands before S3 in TSD: every request carries `token: <JWT>` and `x-project-select: <project>`.
//!
//! Both are checked on every request, so on every part. The proxy's own refusals (no token, an unknown one) are JSON with
//! 401, not S3's XML: a client must live with that. Older signatures than version 4 and unknown access keys end here too,
//! with the answers of AWS.

use std::time::SystemTime;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::Settings;
use super::log::Who;
use super::token::{Bad, Mint};

/// The checks before S3.
pub(super) struct Gate {
    mint: Mint,
    project: String,
    sender: String,
    receiver: String,
}

impl Gate {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            mint: Mint::new(&settings.project, settings.token_life),
            project: settings.project.clone(),
            sender: settings.sender.access.clone(),
            receiver: settings.receiver.access.clone(),
        }
    }

    pub(super) fn issue(&self, now: SystemTime) -> String {
        self.mint.issue(now)
    }

    /// Whose key the request names; whether it was signed with it, s3s finds out later.
    pub(super) fn who(&self, head: &Parts) -> Who {
        match access_key(head) {
            Some(key) if key == self.sender => Who::Sender,
            Some(key) if key == self.receiver => Who::Receiver,
            _ => Who::Unknown,
        }
    }

    /// Lets a request through, or gives the answer that refuses it.
    pub(super) fn admit(&self, head: &Parts, now: SystemTime) -> Result<(), Box<Response>> {
        let denied = |text| Err(Box::new(s3_error(StatusCode::FORBIDDEN, "AccessDenied", text)));
        let Some(token) = only(head, "token") else { return Err(unauthorized("Access token missing.")) };
        match self.mint.check(token, now) {
            Ok(()) => {}
            Err(Bad::Unknown) => return Err(unauthorized("Access token not valid.")),
            Err(Bad::Expired) => {
                let text = "The provided token has expired.";
                return Err(Box::new(s3_error(StatusCode::BAD_REQUEST, "ExpiredToken", text)));
            }
        }
        if only(head, "x-project-select") != Some(&self.project) {
            return denied("The token is not for the selected project.");
        }
        if only(head, "authorization").is_some_and(|value| !value.starts_with("AWS4-HMAC-SHA256 ")) {
            let text = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
            return Err(Box::new(s3_error(StatusCode::BAD_REQUEST, "InvalidRequest", text)));
        }
        match (access_key(head), self.who(head)) {
            (None, _) => denied("Access Denied."),
            (Some(_), Who::Unknown) => {
                let text = "The Access Key Id you provided does not exist in our records.";
                Err(Box::new(s3_error(StatusCode::FORBIDDEN, "InvalidAccessKeyId", text)))
            }
            _ => Ok(()),
        }
    }
}

/// The value of a header that must stand exactly once.
fn only<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    let mut values = head.headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The access key of a version 4 signature, in the header or in the query of a presigned URL.
fn access_key(head: &Parts) -> Option<&str> {
    if let Some(value) = only(head, "authorization") {
        return value.split_once("Credential=")?.1.split('/').next();
    }
    let pairs = head.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let credential = pairs.into_iter().find(|(name, _)| *name == "X-Amz-Credential")?.1;
    credential.split(['/', '%']).next()
}

fn unauthorized(text: &'static str) -> Box<Response> {
    let body = serde_json::json!({ "message": text }).to_string();
    Box::new(answer(StatusCode::UNAUTHORIZED, "application/json", body))
}

/// An error in S3's XML; `code` and `text` are ours and need no escaping.
pub(super) fn s3_error(status: StatusCode, code: &str, text: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{text}</Message></Error>"
    );
    answer(status, "application/xml", body)
}

pub(super) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;
    use std::time::Duration;

    fn gate() -> Gate {
        let key = |access: &str| Key { access: access.to_owned(), secret: "secret".to_owned() };
        Gate::new(&Settings {
            root: "/nowhere".into(),
            bucket: "import".to_owned(),
            project: "p22".to_owned(),
            sender: key("SEND"),
            receiver: key("RECEIVE"),
            token_life: Duration::from_secs(3600),
        })
    }

    fn head(uri: &str, headers: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const SIGNED: (&str, &str) =
        ("authorization", "AWS4-HMAC-SHA256 Credential=SEND/20260101/no/s3/aws4_request, x");

    #[test]
    fn each_lack_has_its_own_status() {
        let (gate, now) = (gate(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let token = gate.issue(now);
        let status = |headers: &[(&'static str, &str)], at: SystemTime| {
            gate.admit(&head("/import/x", headers), at)
                .map_or_else(|refusal| refusal.status().as_u16(), |()| 200)
        };
        let (good, project) = (("token", token.as_str()), ("x-project-select", "p22"));
        assert_eq!(status(&[good, project, SIGNED], now), 200);
        assert_eq!(status(&[project, SIGNED], now), 401);
        assert_eq!(status(&[("token", "x.y.z"), project, SIGNED], now), 401);
        assert_eq!(status(&[good, good, project, SIGNED], now), 401);
        assert_eq!(status(&[good, project, SIGNED], now + Duration::from_secs(3602)), 400);
        assert_eq!(status(&[good, ("x-project-select", "p23"), SIGNED], now), 403);
        assert_eq!(status(&[good, SIGNED], now), 403);
        assert_eq!(status(&[good, project], now), 403);
        assert_eq!(status(&[good, project, ("authorization", "AWS SEND:x")], now), 400);
        let other = ("authorization", "AWS4-HMAC-SHA256 Credential=OTHER/20260101/no/s3/aws4_request, x");
        assert_eq!(status(&[good, project, other], now), 403);
    }

    #[test]
    fn the_key_names_who_it_is() {
        let gate = gate();
        assert_eq!(gate.who(&head("/", &[SIGNED])), Who::Sender);
        let presigned = "/x?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=RECEIVE%2F20260101";
        assert_eq!(gate.who(&head(presigned, &[])), Who::Receiver);
        assert_eq!(gate.who(&head("/x?list-type=2", &[])), Who::Unknown);
    }
}
