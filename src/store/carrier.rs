//! What carries the SDK's requests: `reqwest`, as for the LIMS, instead of the SDK's own connector.
//!
//! That one offers HTTP/2 to every TLS server and cannot be told not to. A store (or a proxy before it) that takes the offer
//! would get all parts over one TCP connection: one congestion window, one core for TLS, one lost packet that halts them all.
//! Here a part has a connection of its own, and connections are used again.
//!
//! - The proxies of the environment are not used, redirects are not followed: requests go where the configuration says.
//! - Nothing is repeated here (see `attempt`).
//! - An idle connection is kept for less than the 20–60 s after which stores and what stands before them close it: a request
//!   written to a connection that is just being closed is lost.
use std::fmt;
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use reqwest::{Body, Certificate, Client, Proxy};

use super::StoreError;
use crate::chain;
use crate::conf::StoreConf;

/// For which an idle connection is kept.
const IDLE: Duration = Duration::from_secs(15);

/// Carries requests; clones share the connections.
#[derive(Clone)]
pub(super) struct Carrier(Client);

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier")
    }
}

impl Carrier {
    pub(super) fn new(conf: &StoreConf) -> Result<Self, StoreError> {
        let mut builder = Client::builder()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(conf.connect_timeout)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true);
        if let Some(proxy) = &conf.proxy {
            // The address may hold a password, and one that cannot be read cannot be shown without it for sure.
            let wrong = |e: reqwest::Error| {
                let why = chain(&e.without_url());
                StoreError::Config(format!(
                    "store.proxy is no address such as http://HOST:PORT: {why}; correct it"
                ))
            };
            builder = builder.proxy(Proxy::all(proxy.expose()).map_err(wrong)?);
        }
        let secure = [Some(conf.endpoint.as_str()), conf.proxy.as_ref().map(|proxy| proxy.expose())];
        let secure = secure.into_iter().flatten().any(|address| address.starts_with("https://"));
        builder = match &conf.ca_file {
            Some(path) => builder.tls_certs_only(vouchers(path)?),
            None if secure => builder,
            // Nobody has to be believed, so a host without certificates of its own is good enough.
            None => builder.tls_certs_only([]),
        };
        let client = builder.build().map_err(|e| {
            let why = chain(&e);
            StoreError::Config(format!(
                "could not prepare for TLS with the store: {why}; check the system's certificates, or name some in store.ca_file"
            ))
        })?;
        Ok(Self(client))
    }
}

/// The certificates in a PEM file.
fn vouchers(path: &Path) -> Result<Vec<Certificate>, StoreError> {
    let wrong =
        |why: String| StoreError::Config(format!("store.ca_file {}: {why}; it must be PEM", path.display()));
    let certificates = Certificate::from_pem_bundle(&pem(path)?).map_err(|e| wrong(chain(&e)))?;
    if certificates.is_empty() {
        Err(wrong("there is no certificate in it".into()))
    } else {
        Ok(certificates)
    }
}

/// Read once, before any actor lives.
fn pem(path: &Path) -> Result<Vec<u8>, StoreError> {
    let wrong = |e| StoreError::Config(format!("could not read store.ca_file {}: {e}", path.display()));
    std::fs::read(path).map_err(wrong)
}

impl HttpClient for Carrier {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Carrier {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(carry(client, request))
    }
}

async fn carry(client: Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|e| ConnectorError::user(Box::new(e)))?;
    let request = request.map(Body::wrap);
    let request = request.try_into().map_err(|e: reqwest::Error| ConnectorError::user(Box::new(e)))?;
    let answer = client.execute(request).await.map_err(|e| {
        // The address stands in the configuration; in an error it hides the cause behind a line of escapes.
        let (connecting, late) = (e.is_connect(), e.is_timeout());
        let source = Box::new(e.without_url());
        let error = if late { ConnectorError::timeout(source) } else { ConnectorError::io(source) };
        if connecting { error.never_connected() } else { error }
    })?;
    let answer: http::Response<Body> = answer.into();
    let answer = answer.map(SdkBody::from_body_1_x);
    HttpResponse::try_from(answer).map_err(|e| ConnectorError::other(Box::new(e), None))
}
