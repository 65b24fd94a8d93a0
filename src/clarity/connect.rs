//! How the LIMS is reached: address, account, certificates, deadline.
//!
//! The password goes to the configured host and nowhere else: redirects and the proxies of the environment are not
//! followed, plain http is accepted on loopback alone, an account inside the address is refused (addresses get logged).
//! What is wrong here is found at start-up and said so that it can be mended.
//!
//! Trap: an idle connection that the server is just closing loses the request written to it, and for a request that
//! changes something that means an alarm about nothing; so connections are kept for less than Apache's usual 5 s.
use super::error::Error;
use crate::secret::Secret;
use base64::Engine as _;
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use std::path::PathBuf;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_CONNECTION: Duration = Duration::from_secs(3);

/// How to reach the LIMS.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `https://host/api/v2`, with the name that is in the server's certificate.
    pub base: String,
    /// The account, local or LDAP.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// For one request, from connecting to the last byte of the answer.
    pub deadline: Duration,
    /// How often a request that only reads is tried, at least once.
    pub attempts: u32,
    /// Longest answer accepted, in bytes.
    pub max_body: u64,
    /// Certificates (PEM) to trust beside the system's, for a server certified by the house.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// The base without a slash at its end.
    pub(super) fn base(&self) -> Result<Url, Error> {
        let wrong = |what: &str| {
            Error::config(format!("the address of the LIMS {what}; it must look like https://host/api/v2"))
        };
        let mut url = Url::parse(&self.base).map_err(|_| wrong("is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("has an account in it"));
        }
        let host = url.host_str().unwrap_or("");
        let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(wrong("is not https, so the password would be seen on the way"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if !path.ends_with("/v2") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("does not end in /api/v2"));
        }
        url.set_path(&path);
        Ok(url)
    }

    pub(super) fn http(&self) -> Result<reqwest::Client, Error> {
        if self.user.is_empty() || self.user.contains(':') {
            return Err(Error::config(
                "the user for the LIMS is empty or has a colon in it; check the configuration",
            ));
        }
        if self.deadline.is_zero() || self.attempts == 0 || self.max_body == 0 {
            return Err(Error::config(
                "deadline, attempts and longest answer for the LIMS must be above zero",
            ));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/xml"));
        headers.insert(AUTHORIZATION, basic(&self.user, &self.password)?);
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .timeout(self.deadline)
            .connect_timeout(CONNECT_TIMEOUT.min(self.deadline))
            .pool_idle_timeout(IDLE_CONNECTION);
        if let Some(path) = &self.ca_file {
            let why = |what: &str| {
                format!("could not {what} the LIMS's CA file {}; it must be PEM", path.display())
            };
            let pem = std::fs::read(path)
                .map_err(|e| Error::Config { why: why("read"), source: Some(Box::new(e)) })?;
            let certs = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|e| Error::Config { why: why("understand"), source: Some(Box::new(e)) })?;
            if certs.is_empty() {
                return Err(Error::config(why("find a certificate in")));
            }
            builder = builder.tls_certs_merge(certs);
        }
        builder.build().map_err(|e| Error::Config {
            why: "could not prepare for TLS with the LIMS; check the system's certificates".to_owned(),
            source: Some(Box::new(e)),
        })
    }
}

fn basic(user: &str, password: &Secret) -> Result<HeaderValue, Error> {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.expose()));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).map_err(|_| {
        Error::config("the account for the LIMS cannot be sent; check user and password file")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::super::fake::settings;
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_wrong_address_is_refused_and_says_how_it_must_look() {
        let why = |base: &str| settings(base).base().unwrap_err().to_string();
        let like = "; it must look like https://host/api/v2";
        for (base, what) in [
            ("lims.example/api/v2", "is not a URL"),
            ("http://lims.example/api/v2", "is not https, so the password would be seen on the way"),
            ("ftp://127.0.0.1/api/v2", "is not https, so the password would be seen on the way"),
            ("https://a:b@lims.example/api/v2", "has an account in it"),
            ("https://lims.example/", "does not end in /api/v2"),
            ("https://lims.example/api/v2?a=b", "does not end in /api/v2"),
        ] {
            assert_eq!(why(base), format!("the address of the LIMS {what}{like}"));
        }
        let base = settings("https://lims.example/api/v2/").base().unwrap();
        assert_eq!(base.as_str(), "https://lims.example/api/v2");
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let good = || settings("https://lims.example/api/v2");
        assert!(good().http().is_ok());
        let why = |settings: Settings| settings.http().unwrap_err().to_string();
        let user = "the user for the LIMS is empty or has a colon in it; check the configuration";
        assert_eq!(why(Settings { user: "a:b".into(), ..good() }), user);
        assert_eq!(why(Settings { user: String::new(), ..good() }), user);
        let zero = "deadline, attempts and longest answer for the LIMS must be above zero";
        assert_eq!(why(Settings { attempts: 0, ..good() }), zero);
        assert_eq!(why(Settings { deadline: Duration::ZERO, ..good() }), zero);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"no certificate").unwrap();
        let path = file.path().to_owned();
        assert_eq!(
            why(Settings { ca_file: Some(path.clone()), ..good() }),
            format!("could not find a certificate in the LIMS's CA file {}; it must be PEM", path.display())
        );
        drop(file);
        assert_eq!(
            why(Settings { ca_file: Some(path.clone()), ..good() }),
            format!("could not read the LIMS's CA file {}; it must be PEM", path.display())
        );
    }

    #[test]
    fn settings_do_not_print_the_password() {
        let text = format!("{:?}", settings("https://lims.example/api/v2"));
        assert!(text.contains("password: ***") && !text.contains("hemmelig"), "{text}");
    }
}
