//! Stores that take bytes at a trickle, stop in the middle or never answer, and a limit that is not mistaken for one of these.
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::progress::Demand;
use super::super::{Store, StoreError};
use crate::conf::{Conf, PaceConf, Role};
use crate::demo::site::{Site, SiteOptions};
use crate::disk::Disks;
use crate::hashing::Hashing;

const MIB: usize = 1 << 20;
const DEMAND: Demand =
    Demand { min_rate: 4 << 20, window: Duration::from_millis(500), patience: Duration::from_millis(700) };

async fn site(dir: &std::path::Path) -> Site {
    let options = SiteOptions { token_life: Duration::from_secs(600), ..SiteOptions::default() };
    Site::open(dir, &options).await.unwrap()
}

fn store(site: &Site, endpoint: Option<String>) -> Store {
    let mut conf = Conf::load_with(Some(&site.conf(Role::Nsc)), None, []).unwrap();
    conf.store.attempts = 1;
    if let Some(endpoint) = endpoint {
        conf.store.endpoint = endpoint;
    }
    let disks = Disks::new(1, Duration::from_secs(60), std::sync::Arc::new(|_, _, _| {}));
    let mut store =
        Store::new(&conf.store, disks.at("t", &site.dir).unwrap(), Hashing::start(1).unwrap()).unwrap();
    store.demand = DEMAND;
    store
}

/// Reads as much as it likes of each connection, then at this speed (bytes each 50 ms); answers nothing.
async fn sluggish(likes: usize, trickle: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let _ends_with_the_test = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ends_with_the_test = tokio::spawn(async move {
                let (mut bytes, mut read) = (vec![0; 64 << 10], 0);
                while read < likes {
                    match socket.read(&mut bytes).await {
                        Ok(n) if n > 0 => read += n,
                        _ => return,
                    }
                }
                loop {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    if trickle > 0 && socket.read(&mut bytes[..trickle]).await.is_err() {
                        return;
                    }
                    if trickle == 0 && socket.write_all(b"").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    endpoint
}

async fn cut(likes: usize, trickle: usize) -> (String, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path()).await;
    let store = store(&site, Some(sluggish(likes, trickle).await));
    let began = Instant::now();
    let put = store.put("k", Bytes::from(vec![7; 24 * MIB]));
    let refused =
        tokio::time::timeout(Duration::from_secs(20), put).await.expect("it was not cut off").unwrap_err();
    assert!(matches!(refused, StoreError::Outage { .. }), "{refused}");
    (refused.to_string(), began.elapsed())
}

#[tokio::test]
async fn a_store_that_takes_a_trickle_is_cut_off() {
    let (said, _) = cut(0, 1024).await;
    assert!(said.contains("k: only ") && said.contains("less than store.min_rate"), "{said}");
}

#[tokio::test]
async fn a_store_that_stops_in_the_middle_of_a_part_is_cut_off() {
    let (said, took) = cut(4 * MIB, 0).await;
    assert!(said.contains("less than store.min_rate"), "{said}");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test]
async fn a_store_that_never_answers_has_the_time_for_an_answer() {
    let (said, took) = cut(usize::MAX, 0).await;
    assert!(said.contains("no answer within 700ms (store.attempt_timeout)"), "{said}");
    assert!(took >= DEMAND.patience, "{took:?}");
}

/// Reads heads alone and says no; then takes what comes at a trickle, and keeps the connection.
async fn says_no_and_reads_on() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let _ends_with_the_test = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ends_with_the_test = tokio::spawn(async move {
                let mut bytes = vec![0; 16 << 10];
                let _some = socket.read(&mut bytes).await.unwrap();
                socket.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                while socket.read(&mut bytes).await.is_ok_and(|n| n > 0) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
    });
    endpoint
}

/// 24 MiB that say when nobody has them any more.
struct Watched(Vec<u8>, std::sync::mpsc::Sender<Instant>);

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.1.send(Instant::now()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_ends_with_its_attempt_also_when_the_answer_came_first() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path()).await;
    let store = store(&site, Some(says_no_and_reads_on().await));
    let (gone, is_gone) = std::sync::mpsc::channel();
    let bytes = Bytes::from_owner(Watched(vec![7; 24 * MIB], gone));
    let refused = store.put("k", bytes).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
    let answered = Instant::now();
    // All of it would take that store half a minute.
    let gone = is_gone.recv_timeout(Duration::from_secs(60)).unwrap();
    let after = gone.saturating_duration_since(answered);
    assert!(after < Duration::from_secs(5), "the bytes were held for {after:?} more");
}

/// Several at once keep to the limit together, which is far below the least rate of the store; lifted, the rest goes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_limit_holds_back_is_not_cut_off_and_the_limit_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path()).await;
    let mut store = store(&site, None);
    // A busy machine must not fail this; the limit does.
    store.demand.patience = Duration::from_secs(30);
    let limit = |limit| PaceConf { limit, timetable: Vec::new(), zone: jiff::tz::TimeZone::UTC };
    store.repace(&limit(Some(2 << 20)));
    let put = |name: &str, mib: usize| {
        let (store, key) = (store.clone(), format!("tsd-import/samples/p/r1/{name}"));
        async move { store.put(&key, Bytes::from(vec![7; mib * MIB])).await.unwrap() }
    };
    let began = Instant::now();
    let _all: ((), (), ()) = tokio::join!(put("a", 3), put("b", 2), put("c", 3));
    let rate = 8.0 / began.elapsed().as_secs_f64();
    assert!((1.8..2.2).contains(&rate), "{rate} MiB/s");
    assert_eq!(store.wire().at_most, Some(2 << 20));
    assert!(store.wire().bytes_per_second > 1 << 20, "{:?}", store.wire());

    store.repace(&limit(Some(64 << 10)));
    let began = Instant::now();
    let lift = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        store.repace(&limit(None));
    };
    let _both: ((), ()) = tokio::join!(put("d", 12), lift);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(store.wire().at_most, None);
}
