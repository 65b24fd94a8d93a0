//! The connection, against servers made here: TLS, a proxy, reuse, and who is believed.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{Store, StoreError};
use crate::conf::{Checksum, Conf, PaceConf, Role, StoreConf};
use crate::demo::site::{Site, SiteOptions};
use crate::disk::Disks;
use crate::hashing::Hashing;

/// A store with settings that the test changes.
pub(super) fn store(dir: &Path, change: impl FnOnce(&mut StoreConf)) -> Store {
    let mut conf = settings(dir);
    change(&mut conf);
    open(dir, &conf).unwrap()
}

fn settings(dir: &Path) -> StoreConf {
    let secret = dir.join("secret");
    crate::fs::write_durably(&secret, b"hush\n").unwrap();
    crate::fs::set_mode(&secret, 0o600).unwrap();
    StoreConf {
        endpoint: String::new(),
        region: "us-east-1".into(),
        bucket: "b".into(),
        prefix: "p".into(),
        path_style: true,
        access_key: "k".into(),
        secret_key_file: secret,
        ca_file: None,
        proxy: None,
        checksum: Checksum::Signed,
        conditional: false,
        part_size: 5 << 20,
        max_parts: 100,
        parts_in_flight: 4,
        memory: 64 << 20,
        range_size: 8 << 20,
        files_at_once: 1,
        attempts: 3,
        attempt_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        min_rate: 1 << 20,
        pace: PaceConf { limit: None, timetable: Vec::new(), zone: jiff::tz::TimeZone::UTC },
        hash_threads: 1,
        headers: Default::default(),
        header_files: Default::default(),
    }
}

fn open(dir: &Path, conf: &StoreConf) -> Result<Store, StoreError> {
    let disks = Disks::new(1, Duration::from_secs(60), Arc::new(|_, _, _| {}));
    Store::new(conf, disks.at("t", dir).unwrap(), Hashing::start(1).unwrap())
}

pub(super) fn one_try(conf: &mut StoreConf, endpoint: &str) {
    (conf.endpoint, conf.attempts) = (endpoint.to_owned(), 1);
}

/// Answers with texts prepared before, each on a connection of its own; the last one again and again.
pub(super) struct Canned {
    pub endpoint: String,
    pub asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Canned {
    pub(super) async fn serve(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<AtomicUsize> = Arc::default();
        let count = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((line, _)) = listener.accept().await {
                let n = count.fetch_add(1, SeqCst);
                let mut line = BufReader::new(line);
                let (mut length, mut header) = (0u64, String::new());
                while line.read_line(&mut header).await.unwrap_or(0) > 2 {
                    if let Some(text) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = text.trim().parse().unwrap();
                    }
                    header.clear();
                }
                let mut body = Vec::new();
                drop((&mut line).take(length).read_to_end(&mut body).await);
                // A client that went away is its own test's affair.
                drop(line.write_all(answers[n.min(answers.len() - 1)].as_bytes()).await);
            }
        });
        Self { endpoint, asked, task }
    }
}

const SLOW: &str =
    "HTTP/1.1 503 Slow Down\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const GOOD: &str = "HTTP/1.1 200 OK\r\netag: \"x\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_throttled_request_waits_as_it_was_told_and_then_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let canned = Canned::serve(vec![SLOW.into(), GOOD.into()]).await;
    let store = store(dir.path(), |conf| conf.endpoint = canned.endpoint.clone());
    let begun = Instant::now();
    store.put("p/k", Bytes::from_static(b"x")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(canned.asked.load(SeqCst), 2);
}

#[tokio::test]
async fn attempts_are_counted_and_what_is_final_is_asked_once() {
    let denied = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let broken = "HTTP/1.1 500 Broken\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for (answer, times) in [(denied, 1), (broken, 3), ("", 3)] {
        let dir = tempfile::tempdir().unwrap();
        let canned = Canned::serve(vec![answer.into()]).await;
        let store = store(dir.path(), |conf| conf.endpoint = canned.endpoint.clone());
        let error = store.put("p/k", Bytes::from_static(b"x")).await.unwrap_err();
        assert!(error.is_outage(), "{error}");
        assert_eq!(canned.asked.load(SeqCst), times, "{answer}");
    }
}

/// A demonstration's store behind TLS and the connections that were made to it.
struct Behind {
    site: Site,
    port: u16,
    accepted: Arc<AtomicUsize>,
    http2: Arc<AtomicUsize>,
    task: JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Behind {
    /// A server that would rather speak HTTP/2, as many proxies do.
    async fn tls() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = SiteOptions { token_life: Duration::from_secs(600), ..SiteOptions::default() };
        let site = Site::open(&dir.path().join("site"), &options).await.unwrap();
        let house = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        crate::fs::write_durably(&dir.path().join("ca.pem"), house.cert.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(house.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![house.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = site.endpoint.strip_prefix("http://").unwrap().to_owned();
        let (accepted, http2): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let (lines, twos) = (accepted.clone(), http2.clone());
        let task = tokio::spawn(async move {
            while let Ok((line, _)) = listener.accept().await {
                lines.fetch_add(1, SeqCst);
                let (acceptor, inner, twos) = (acceptor.clone(), inner.clone(), twos.clone());
                drop(tokio::spawn(async move {
                    let Ok(mut line) = acceptor.accept(line).await else { return };
                    if line.get_ref().1.alpn_protocol() == Some(b"h2") {
                        twos.fetch_add(1, SeqCst);
                        return;
                    }
                    let mut inner = TcpStream::connect(inner).await.unwrap();
                    drop(copy_bidirectional(&mut line, &mut inner).await);
                }));
            }
        });
        Self { site, port, accepted, http2, task, dir }
    }

    fn conf(&self) -> StoreConf {
        let mut conf = Conf::load_with(Some(&self.site.conf(Role::Nsc)), None, []).unwrap().store;
        conf.endpoint = format!("https://localhost:{}", self.port);
        conf.ca_file = Some(self.dir.path().join("ca.pem"));
        conf.attempts = 1;
        conf
    }

    async fn put(&self, conf: &StoreConf) -> Result<(), StoreError> {
        let store = open(self.dir.path(), conf)?;
        store.put("tsd-import/samples/p/r1/f", Bytes::from_static(b"hello")).await
    }
}

#[tokio::test]
async fn who_vouches_for_the_store_is_configured_and_others_are_refused_with_the_cure() {
    let behind = Behind::tls().await;
    behind.put(&behind.conf()).await.unwrap();
    assert_eq!(behind.http2.load(SeqCst), 0, "HTTP/2 was offered to us and not taken");

    let unknown = behind.put(&StoreConf { ca_file: None, ..behind.conf() }).await.unwrap_err();
    assert!(
        unknown.is_outage() && unknown.to_string().contains("name who does in store.ca_file"),
        "{unknown}"
    );

    let other = format!("https://127.0.0.1:{}", behind.port);
    let misnamed = behind.put(&StoreConf { endpoint: other, ..behind.conf() }).await.unwrap_err();
    assert!(misnamed.to_string().contains("its certificate is for another name"), "{misnamed}");

    let plain = format!("http://127.0.0.1:{}", behind.port);
    let garbled = behind.put(&StoreConf { endpoint: plain, ..behind.conf() }).await.unwrap_err();
    assert!(garbled.is_outage(), "{garbled}");

    let file = behind.dir.path().join("nothing.pem");
    let missing = behind.put(&StoreConf { ca_file: Some(file.clone()), ..behind.conf() }).await.unwrap_err();
    assert!(missing.to_string().contains("could not read store.ca_file"), "{missing}");
    crate::fs::write_durably(&file, b"no certificate").unwrap();
    let empty = behind.put(&StoreConf { ca_file: Some(file), ..behind.conf() }).await.unwrap_err();
    assert!(empty.to_string().contains("there is no certificate in it; it must be PEM"), "{empty}");
}

#[tokio::test]
async fn connections_are_used_again() {
    let behind = Behind::tls().await;
    let store = open(behind.dir.path(), &behind.conf()).unwrap();
    for _ in 0..5 {
        let put = |n: usize| {
            let store = store.clone();
            async move { store.put(&format!("tsd-import/samples/p/r1/f{n}"), Bytes::from(vec![7; 50_000])).await }
        };
        let puts = futures_util::future::join_all((0..4).map(put)).await;
        puts.into_iter().for_each(|put| put.unwrap());
    }
    let (lines, requests) = (behind.accepted.load(SeqCst), behind.site.store.requests().len());
    assert_eq!(requests, 20);
    assert!(lines <= 4, "{lines} connections for {requests} requests, four at a time");
}

/// A proxy that tunnels on CONNECT and passes other requests on; how many of each.
async fn proxy() -> (String, Arc<AtomicUsize>, Arc<AtomicUsize>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tunnels, passed): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
    let counts = (tunnels.clone(), passed.clone());
    let task = tokio::spawn(async move {
        while let Ok((mut line, _)) = listener.accept().await {
            let (tunnels, passed) = counts.clone();
            drop(tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(line.read_u8().await.unwrap());
                }
                let text = String::from_utf8(head.clone()).unwrap();
                let mut words = text.split_ascii_whitespace();
                let (method, target) = (words.next().unwrap(), words.next().unwrap());
                let host = target.trim_start_matches("http://").split('/').next().unwrap().to_owned();
                let mut inner = TcpStream::connect(&host).await.unwrap();
                if method == "CONNECT" {
                    tunnels.fetch_add(1, SeqCst);
                    line.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                } else {
                    // Only the first request of a connection is looked at, which is all that the test sends.
                    passed.fetch_add(1, SeqCst);
                    inner
                        .write_all(text.replacen(&format!("http://{host}"), "", 1).as_bytes())
                        .await
                        .unwrap();
                }
                drop(copy_bidirectional(&mut line, &mut inner).await);
            }));
        }
    });
    (address, tunnels, passed, task)
}

#[tokio::test]
async fn all_requests_go_through_the_proxy_if_there_is_one() {
    let behind = Behind::tls().await;
    let (address, tunnels, passed, task) = proxy().await;
    let through = |endpoint: &str| {
        let proxy = address.parse().ok();
        StoreConf { endpoint: endpoint.to_owned(), proxy, ..behind.conf() }
    };
    behind.put(&through(&behind.conf().endpoint)).await.unwrap();
    assert_eq!((tunnels.load(SeqCst), passed.load(SeqCst)), (1, 0), "https: a tunnel");
    behind.put(&through(&behind.site.endpoint)).await.unwrap();
    assert_eq!((tunnels.load(SeqCst), passed.load(SeqCst)), (1, 1), "http: passed on");
    task.abort();
    drop(task.await);
    let refused = behind.put(&through(&behind.conf().endpoint)).await.unwrap_err();
    let text = refused.to_string();
    assert!(
        refused.is_outage() && text.contains("through store.proxy") && text.contains("refused"),
        "{text}"
    );
}

#[tokio::test]
async fn a_proxy_that_does_not_let_us_through_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for answer in ["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTP/1.1 403 Forbidden\r\n\r\n"] {
        let canned = Canned::serve(vec![answer.into()]).await;
        let store = store(dir.path(), |conf| {
            one_try(conf, "https://store.example");
            conf.proxy = canned.endpoint.parse().ok();
        });
        let error = store.put("p/k", Bytes::from_static(b"x")).await.unwrap_err().to_string();
        assert!(error.contains("the proxy did not let it through; see store.proxy"), "{error}");
    }
}

/// Whatever is wrong with it, and also where nothing is: no word of the password is shown.
#[test]
fn the_password_of_a_proxy_is_shown_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    for address in [
        "http://someone:sesame@proxy:99999999",
        "http://someone:sesame@",
        "http://someone:ses/ame@proxy:port",
        "http://someone:sesame",
    ] {
        let conf = StoreConf { proxy: address.parse().ok(), ..settings(dir.path()) };
        let said = open(dir.path(), &conf).map(drop).unwrap_err().to_string();
        assert!(said.contains("store.proxy is no address") && !said.contains("ame"), "{address}: {said}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_known_and_a_port_that_is_closed_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (endpoint, words) in [
        (format!("http://{closed}"), "no connection to store.endpoint"),
        ("http://no-such-host.invalid".to_owned(), "the name of store.endpoint"),
    ] {
        let store = store(dir.path(), |conf| one_try(conf, &endpoint));
        let error = store.put("p/k", Bytes::from_static(b"x")).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
