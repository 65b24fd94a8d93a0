//! One exchange with the LIMS: where it goes, and who may repeat what.
//!
//! - Requests go to the configured host and nowhere else: a URI out of an answer is used for its path only.
//! - [`Wire::read`] and [`Wire::ask`] only read and are repeated, with a growing, random pause, up to the configured
//!   number of times. [`Wire::act`] is sent **once**; what is not a clear answer is [`Error::Unclear`].
//! - What changes something needs a permit of the lease.
//! - Worst case for a read: attempts × (deadline + 10 s).
use super::connect::Settings;
use super::error::Error;
use super::fault::Fault;
use super::judge::{Question, Raw, judge};
use super::tree::Element;
use crate::lease::{self, Guarded};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method, Url};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Wire {
    http: reqwest::Client,
    base: Url,
    /// The base as the server writes it, learned from its first answer.
    spoken: OnceLock<String>,
    user: String,
    attempts: u32,
    max_body: u64,
}

enum Trip {
    /// The connection never came to be: nothing was sent.
    NotSent(reqwest::Error),
    /// Lost on the way, there or back.
    Lost(reqwest::Error),
    TooLarge,
}

impl Wire {
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let base = settings.base()?;
        let http = settings.http()?;
        let Settings { user, attempts, max_body, .. } = settings;
        Ok(Self { http, base, spoken: OnceLock::new(), user, attempts, max_body })
    }

    /// The base to name things under in bodies.
    pub(super) fn spoken(&self) -> &str {
        self.spoken.get().map_or(self.base.as_str(), String::as_str)
    }

    /// A URL under the base. Path segments are ids and fixed words; values of the query are encoded here.
    pub(super) fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path()));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The address of `/api` itself, which lists versions.
    pub(super) fn root_url(&self) -> Url {
        let mut url = self.base.clone();
        let path = self.base.path();
        url.set_path(path.rsplit_once('/').map_or("", |(root, _)| root));
        url
    }

    /// A URI out of an answer, brought to our host. `Err` if it leads out of the API.
    pub(super) fn follow(&self, uri: &str) -> Result<Url, Fault> {
        let foreign = || Fault::new(format!("the URI {uri:?} leads out of the API"));
        let theirs = Url::parse(uri).map_err(|_| foreign())?;
        let inside = theirs.path().strip_prefix(self.base.path()).is_some_and(|rest| rest.starts_with('/'));
        if !inside || !matches!(theirs.scheme(), "http" | "https") {
            return Err(foreign());
        }
        let mut ours = self.base.clone();
        ours.set_path(theirs.path());
        ours.set_query(theirs.query());
        Ok(ours)
    }

    /// GET, repeated while the LIMS is out. The document is there, or it is an error.
    pub(super) async fn read(&self, url: &Url) -> Result<Element, Error> {
        self.repeated(Method::GET, url, None).await
    }

    /// A POST that only reads, repeated like [`Wire::read`].
    pub(super) async fn ask(&self, url: &Url, body: &Element) -> Result<Element, Error> {
        self.repeated(Method::POST, url, Some(body.to_bytes())).await
    }

    async fn repeated(&self, method: Method, url: &Url, body: Option<Vec<u8>>) -> Result<Element, Error> {
        let doing = format!("{method} {}", url.path());
        let mut tried = 0;
        loop {
            tried += 1;
            let outcome = self.once(&method, url, body.clone(), &doing, false).await;
            match outcome.and_then(|answer| answer.map_err(|fault| Error::malformed(&doing, fault))) {
                Ok(Some(document)) => {
                    self.learn(&document);
                    return Ok(document);
                }
                Ok(None) if tried == self.attempts => {
                    let why = format!("the answer is empty (tried {tried} times)");
                    return Err(Error::Outage { doing, why, source: None });
                }
                Err(Error::Outage { doing, why, source }) if tried == self.attempts => {
                    let why = if tried == 1 { why } else { format!("{why} (tried {tried} times)") };
                    return Err(Error::Outage { doing, why, source });
                }
                Ok(None) | Err(Error::Outage { .. }) => tokio::time::sleep(pause(tried)).await,
                Err(other) => return Err(other),
            }
        }
    }

    /// A request that changes something, sent once. `Ok` means that the LIMS said yes; the inner result tells whether
    /// its answer can be read.
    pub(super) async fn act(
        &self,
        method: Method,
        url: &Url,
        body: Option<&Element>,
    ) -> Result<Result<Option<Element>, Fault>, Error> {
        let doing = format!("{method} {}", url.path());
        self.once(&method, url, body.map(Element::to_bytes), &doing, true).await
    }

    async fn once(
        &self,
        method: &Method,
        url: &Url,
        body: Option<Vec<u8>>,
        doing: &str,
        changes: bool,
    ) -> Result<Result<Option<Element>, Fault>, Error> {
        let name = doing.to_owned();
        if changes {
            lease::check().map_err(|fenced| Error::Fenced { doing: name.clone(), fenced })?;
        }
        match self.trip(method, url, body, changes).await {
            Ok(raw) => judge(Question { doing, changes, user: &self.user }, &raw),
            Err(Trip::NotSent(e)) if is_about_certificates(&e) => Err(Error::Config {
                why: "the certificate of the LIMS is not trusted; check the host name in the configuration, the \
                      certificate's dates, and ca_file"
                    .to_owned(),
                source: Some(Box::new(e)),
            }),
            Err(Trip::NotSent(e)) => {
                Err(Error::Outage { doing: name, why: "no connection".to_owned(), source: Some(e) })
            }
            Err(Trip::Lost(e)) => {
                let why = if e.is_timeout() { "no answer within the deadline" } else { "the connection was lost" };
                let (why, source) = (why.to_owned(), Some(e));
                Err(match changes {
                    true => Error::Unclear { doing: name, why, source },
                    false => Error::Outage { doing: name, why, source },
                })
            }
            Err(Trip::TooLarge) => {
                let why = format!("the answer is longer than {} bytes", self.max_body);
                Err(match changes {
                    true => Error::Unclear { doing: name, why, source: None },
                    false => Error::malformed(doing, Fault::new(why)),
                })
            }
        }
    }

    async fn trip(
        &self,
        method: &Method,
        url: &Url,
        body: Option<Vec<u8>>,
        changes: bool,
    ) -> Result<Raw, Trip> {
        let mut request = self.http.request(method.clone(), url.clone());
        if let Some(body) = body {
            // Connecting may have taken long, so what changes something is guarded to its last byte.
            let guarded = |body: Vec<u8>| Body::wrap(Guarded::new(Body::from(body)));
            let body = if changes { guarded(body) } else { body.into() };
            request = request.header(CONTENT_TYPE, "application/xml").body(body);
        }
        let sent = request.send().await.map_err(reqwest::Error::without_url);
        let mut answer = sent.map_err(|e| if e.is_connect() { Trip::NotSent(e) } else { Trip::Lost(e) })?;
        let status = answer.status().as_u16();
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let html = kind.trim_start().to_ascii_lowercase().starts_with("text/html");
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| Trip::Lost(e.without_url()))? {
            if (body.len() + chunk.len()) as u64 > self.max_body {
                return Err(Trip::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Raw { status, html, body })
    }

    /// Most answers carry their own URI, and with it the base that the server knows itself by.
    fn learn(&self, document: &Element) {
        if self.spoken.get().is_some() {
            return;
        }
        let Some(uri) = document.attr("uri") else { return };
        let own =
            Url::parse(uri).ok().filter(|own| own.path().starts_with(&format!("{}/", self.base.path())));
        if let Some(mut own) = own {
            own.set_query(None);
            own.set_fragment(None);
            own.set_path(self.base.path());
            // Losing a race is no matter: the other answer came from the same server.
            let _lost = self.spoken.set(own.into());
        }
    }
}

fn is_about_certificates(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(e) = cause {
        if e.to_string().to_ascii_lowercase().contains("certificate") {
            return true;
        }
        cause = e.source();
    }
    false
}

/// Doubles with each try up to the longest, and takes between half and all of it, so that clients that failed together
/// do not come back together.
fn pause(tried: u32) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    let random = RandomState::new().hash_one(tried) % 1000;
    full / 2 + full.mul_f64(0.5 * (random as f64 / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::super::fake::settings;
    use super::*;

    fn wire(base: &str) -> Wire {
        Wire::new(settings(base)).unwrap()
    }

    #[test]
    fn pauses_grow_to_the_cap_and_vary() {
        for (tried, full) in [(1, 250), (2, 500), (3, 1000), (6, 8000), (7, 10_000), (4_000_000, 10_000)] {
            let got = pause(tried).as_millis();
            assert!((full / 2..=full).contains(&got), "{tried}: {got}");
        }
        assert!((0..20).map(|_| pause(7)).any(|one| one != pause(7)));
    }

    #[test]
    fn uris_of_another_host_come_back_to_ours_and_those_outside_the_api_are_refused() {
        let wire = wire("https://lims.example/api/v2");
        let ours =
            wire.follow("http://inner:8080/api/v2/queues/60?start-index=500&projectname=Run+1").unwrap();
        assert_eq!(ours.as_str(), "https://lims.example/api/v2/queues/60?start-index=500&projectname=Run+1");
        for bad in [
            "https://lims.example/clarity/queues/60",
            "https://lims.example/api/v2/../../etc",
            "https://lims.example/api/v22/queues",
            "/api/v2/queues/60",
            "file:///api/v2/queues/60",
        ] {
            assert!(wire.follow(bad).is_err(), "{bad}");
        }
        assert_eq!(wire.root_url().as_str(), "https://lims.example/api");
        let found = wire.url("artifacts", &[("name", "a b&c=æ"), ("udf.Key", "1")]);
        assert_eq!(found.as_str(), "https://lims.example/api/v2/artifacts?name=a+b%26c%3D%C3%A6&udf.Key=1");
    }

    #[test]
    fn the_password_is_never_printed() {
        let wire = wire("https://lims.example/api/v2");
        use base64::Engine as _;
        let pair = base64::engine::general_purpose::STANDARD.encode("export:hemmelig");
        let text = format!("{wire:?}");
        assert!(!text.contains("hemmelig") && !text.contains(&pair), "{text}");
    }

    #[test]
    fn the_base_that_the_server_uses_is_learned_once() {
        let wire = wire("https://alias/api/v2");
        let answer = |uri: &str| Element::new("x").with_attr("uri", uri);
        wire.learn(&answer("https://own/elsewhere/1"));
        assert_eq!(wire.spoken(), "https://alias/api/v2");
        wire.learn(&answer("http://own:8080/api/v2/queues/60?start-index=5"));
        wire.learn(&answer("http://third/api/v2/queues/60"));
        assert_eq!(wire.spoken(), "http://own:8080/api/v2");
    }
}
