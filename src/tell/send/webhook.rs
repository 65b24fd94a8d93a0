//! A POST to an address that is a secret itself: whoever knows it can post. So no error shows it.
use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use super::super::letter::Letter;
use super::Files;
use crate::chain;
use crate::conf::Format;

/// Where it goes.
pub(super) struct Place<'a> {
    pub url_file: &'a Path,
    pub token_file: Option<&'a Path>,
    pub ca_file: Option<&'a Path>,
}

/// Posts it; anything but a 2xx is a failure, a redirect too: the message goes where the configuration says.
pub(super) async fn send(
    place: &Place<'_>,
    format: Format,
    letter: &Letter,
    deadline: Duration,
    files: &Files,
) -> Result<(), String> {
    let url = files.secret(place.url_file).await?;
    let odd = || format!("the line in {} is no http:// or https:// address", place.url_file.display());
    let address: reqwest::Url = url.expose().trim().parse().map_err(|_| odd())?;
    if !["http", "https"].contains(&address.scheme()) {
        return Err(odd());
    }
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .timeout(deadline);
    if let Some(path) = place.ca_file {
        let bundle = Certificate::from_pem_bundle(&files.bytes(path).await?);
        let bundle = bundle.map_err(|e| format!("{} is no PEM: {}", path.display(), chain(&e)))?;
        builder = builder.tls_certs_only(bundle);
    } else if address.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    let client =
        builder.build().map_err(|e| format!("could not prepare the request: {}", chain(&e.without_url())))?;
    let text = serde_json::to_vec(&body(format, letter)).map_err(|e| e.to_string())?;
    let mut request = client
        .post(address)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("tsd-import/", env!("CARGO_PKG_VERSION")))
        .body(text);
    if let Some(path) = place.token_file {
        let token = files.secret(path).await?;
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut value =
            value.map_err(|_| format!("what stands in {} cannot be sent as a header", path.display()))?;
        value.set_sensitive(true);
        request = request.header(reqwest::header::AUTHORIZATION, value);
    }
    let answer = request.send().await.map_err(|e| format!("no answer: {}", chain(&e.without_url())))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("the answer was {status}")),
    }
}

/// As the far side wants it.
fn body(format: Format, letter: &Letter) -> Value {
    match format {
        Format::Json => {
            let mut all = json!(letter);
            if let Some(fields) = all.as_object_mut() {
                drop(fields.insert("text".into(), letter.text().into()));
            }
            all
        }
        Format::Slack => {
            let text = format!("{}\n{}", letter.subject, letter.text());
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            json!({"text": text})
        }
        Format::Teams => {
            let block = |text: &str, weight: &str| json!({"type": "TextBlock", "text": text, "weight": weight, "wrap": true});
            let mut blocks = vec![block(&letter.subject, "Bolder")];
            blocks.extend(
                letter.text().lines().filter(|line| !line.is_empty()).map(|line| block(line, "Default")),
            );
            let card = json!({"type": "AdaptiveCard", "version": "1.4", "body": blocks});
            let kind = "application/vnd.microsoft.card.adaptive";
            json!({"type": "message", "attachments": [{"contentType": kind, "content": card}]})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tell::letter::Speaker;

    #[tokio::test]
    async fn an_error_shows_neither_address_nor_token() {
        let dir = tempfile::tempdir().unwrap();
        let secret = |name: &str, text: &str| {
            let path = dir.path().join(name);
            crate::fs::write_durably(&path, text.as_bytes()).unwrap();
            crate::fs::set_mode(&path, 0o600).unwrap();
            path
        };
        let token = secret("token", "hush-hush\n");
        let at = "2026-11-24T04:00:00Z".parse().unwrap();
        let speaker = Speaker { role: "nsc".into(), host: "h".into() };
        let letter = Letter::compose(&speaker, std::iter::empty(), 0, None, at);
        for address in [
            "http://127.0.0.1:1/hooks/s3cret",
            "ftp://h/s3cret",
            "s3cret",
            "http://no.such.host.invalid/s3cret",
        ] {
            let url = secret("url", &format!("{address}\n"));
            let place = Place { url_file: &url, token_file: Some(&token), ca_file: None };
            let sent = send(&place, Format::Json, &letter, Duration::from_secs(5), &Files::default()).await;
            let why = sent.unwrap_err();
            assert!(!why.contains("s3cret") && !why.contains("hush"), "{why}");
        }
    }
}
