//! Who may ask. Pure: what is known of a connection and a request goes in, a refusal with its reason comes out.
//!
//! Over the socket the kernel says who it is: the daemon's own user, or root. Over the port everybody on the host can connect, so
//! a token is asked for. In both cases the name that was asked for must be one of this host's loopback: a page in somebody's
//! browser can have its own name resolved to 127.0.0.1 (DNS rebinding) and so reach a port, or a socket behind `ssh -L`.
use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::secret::Secret;

/// No request needs a longer body.
pub const MAX_BODY: usize = 64 * 1024;

/// How a connection came in.
#[derive(Clone, Debug)]
pub enum Door {
    /// Over the socket.
    Socket {
        /// Whose process connected, as the kernel says.
        peer: u32,
        /// Whose process this is.
        me: u32,
    },
    /// Over the port.
    Port {
        /// What it must bring.
        token: Secret,
    },
}

/// Refuses what may not come in.
pub fn admit(door: &Door, request: &Parts) -> Result<(), Problem> {
    if let Door::Socket { peer, me } = door
        && peer != me
        && *peer != 0
    {
        let why = format!(
            "this daemon answers its own user (uid {me}) and root alone, and you are uid {peer}: run it as that user"
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    }
    host(request)?;
    origin(request)?;
    if let Door::Port { token } = door {
        bearer(&request.headers, token)?;
    }
    length(&request.headers)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether this is a name of the loopback, with or without a port.
fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<axum::http::uri::Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let of_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    (of_loopback || host.eq_ignore_ascii_case("localhost")) && !authority.as_str().contains('@')
}

fn host(request: &Parts) -> Result<(), Problem> {
    let named = request.uri.authority().map(|authority| authority.as_str());
    let mut hosts =
        request.headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or_default());
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "say one Host, such as localhost"));
    };
    match named.into_iter().chain([host]).find(|name| !is_loopback(name)) {
        None => Ok(()),
        Some(_) => Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "only requests to localhost, 127.0.0.1 or [::1] are answered here: use one of these names in the address",
        )),
    }
}

/// A browser says where a page came from: another site's has no business here.
/// Following a link from there is no business: the answer is seen by the person and not by that site.
fn origin(request: &Parts) -> Result<(), Problem> {
    let headers = &request.headers;
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|said| said == value);
    let follows = request.method == Method::GET
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document");
    let foreign = match text(headers, header::ORIGIN) {
        None => headers.contains_key(header::ORIGIN),
        Some(origin) => {
            let authority = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
            !authority.is_some_and(is_loopback)
        }
    };
    let cross = says("sec-fetch-site", "cross-site") && !follows;
    if foreign || cross {
        return Err(Problem::new(StatusCode::FORBIDDEN, "a page of another site may not ask here"));
    }
    Ok(())
}

/// A browser can send a name and a password only; the name is nobody's.
fn password(pair: &str) -> Option<Vec<u8>> {
    let mut pair = STANDARD.decode(pair).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair.split_off(colon + 1))
}

fn bearer(headers: &HeaderMap, token: &Secret) -> Result<(), Problem> {
    let brought = text(headers, header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(token.trim().as_bytes().to_vec()),
            "basic" => password(token.trim()),
            _ => None,
        }
    });
    // The length of a token is no secret.
    let right = brought.as_ref().is_some_and(|b| bool::from(b.ct_eq(token.expose().as_bytes())));
    if right {
        return Ok(());
    }
    let why = match brought {
        None => "bring the token of control.token_file: Authorization: Bearer TOKEN",
        Some(_) => "this is not the token of control.token_file",
    };
    Err(Problem::new(StatusCode::UNAUTHORIZED, why).with(header::WWW_AUTHENTICATE, "Bearer"))
}

fn length(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(said) = headers.get(header::CONTENT_LENGTH) else { return Ok(()) };
    let length = said.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    match length {
        Some(length) if length <= MAX_BODY => Ok(()),
        _ => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("no request has more than {MAX_BODY} bytes"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn refused(door: &Door, uri: &str, headers: &[(&str, &str)]) -> Option<u16> {
        admit(door, &parts(uri, headers)).err().map(|problem| problem.status().as_u16())
    }

    fn socket(peer: u32) -> Door {
        Door::Socket { peer, me: 1000 }
    }

    #[test]
    fn over_the_socket_its_own_user_and_root_come_in() {
        for (peer, expected) in [(1000, None), (0, None), (1001, Some(403)), (65_534, Some(403))] {
            assert_eq!(refused(&socket(peer), "/healthz", &[("host", "localhost")]), expected, "{peer}");
        }
        let why = admit(&socket(7), &parts("/", &[("host", "localhost")])).unwrap_err();
        assert!(format!("{why:?}").contains("(uid 1000) and root alone, and you are uid 7"));
    }

    #[test]
    fn only_names_of_the_loopback_are_answered() {
        let ok = ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:9", "127.8.9.1"];
        for host in ok {
            assert_eq!(refused(&socket(1000), "/", &[("host", host)]), None, "{host}");
        }
        let bad = [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "127.0.0.1.evil.example:80",
            "user@localhost",
        ];
        for host in bad {
            assert_eq!(refused(&socket(1000), "/", &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(refused(&socket(1000), "/", &[]), Some(400));
        assert_eq!(refused(&socket(1000), "/", &[("host", "localhost"), ("host", "localhost")]), Some(400));
        assert_eq!(refused(&socket(1000), "http://evil.example/", &[("host", "localhost")]), Some(421));
    }

    #[test]
    fn a_page_of_another_site_may_not_ask() {
        let from = |name, value| refused(&socket(1000), "/", &[("host", "localhost:8080"), (name, value)]);
        assert_eq!(from("origin", "http://localhost:8080"), None);
        assert_eq!(from("origin", "http://evil.example"), Some(403));
        assert_eq!(from("origin", "null"), Some(403));
        assert_eq!(from("sec-fetch-site", "cross-site"), Some(403));
        assert_eq!(from("sec-fetch-site", "same-origin"), None);
        let link = |method: &str, dest| {
            let request = Request::builder().method(method).uri("/").header("host", "localhost:8080");
            let request = request.header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "navigate");
            let parts = request.header("sec-fetch-dest", dest).body(()).unwrap().into_parts().0;
            admit(&socket(1000), &parts).err().map(|problem| problem.status().as_u16())
        };
        assert_eq!(link("GET", "document"), None, "a link may be followed");
        assert_eq!((link("POST", "document"), link("GET", "iframe")), (Some(403), Some(403)));
    }

    #[test]
    fn over_the_port_the_token_is_asked_for() {
        let token = "0123456789abcdef0123456789abcdef";
        let port = Door::Port { token: Secret::new(token) };
        let with =
            |value: &str| refused(&port, "/healthz", &[("host", "127.0.0.1:9"), ("authorization", value)]);
        assert_eq!(with(&format!("Bearer {token}")), None);
        assert_eq!(with(&format!("bearer {token}")), None);
        let basic = |pair: &str| with(&format!("Basic {}", STANDARD.encode(pair)));
        assert_eq!(basic(&format!("duty:{token}")), None, "as a browser sends it");
        for wrong in [token.to_owned(), "duty:x".into(), format!("duty:{token}:"), String::new()] {
            assert_eq!(basic(&wrong), Some(401), "{wrong}");
        }
        for wrong in ["Bearer", "Bearer x", &format!("Basic {token}"), &format!("Bearer {token}0"), token] {
            assert_eq!(with(wrong), Some(401), "{wrong}");
        }
        assert_eq!(refused(&port, "/healthz", &[("host", "127.0.0.1:9")]), Some(401));
        assert!(!format!("{port:?}").contains(token));
    }

    #[test]
    fn a_long_body_is_refused_before_it_is_read() {
        let with =
            |length: &str| refused(&socket(0), "/", &[("host", "localhost"), ("content-length", length)]);
        assert_eq!((with("65536"), with("65537"), with("-1")), (None, Some(413), Some(413)));
    }
}
