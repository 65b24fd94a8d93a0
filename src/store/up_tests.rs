//! A file is sent as it was decided to be sent, heard by whoever wants to, and does not appear when that one objects.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::conf::{CHECKSUMS, Conf, Role};
use crate::demo::site::{Site, SiteOptions};
use crate::demo::store::{FaultKind, FaultRule};
use crate::disk::Disks;
use crate::hashing::Hashing;
use crate::store::wire_tests::store;
use crate::store::{Heard, listening};
use crate::supervisor::meter::Board;

pub(in crate::store) const KEY: &str = "tsd-import/samples/p/r1/f";

pub(in crate::store) struct Bench {
    pub site: Site,
    pub store: Store,
    pub disks: Disks,
    pub disk: Disk,
    pub source: PathBuf,
    pub bytes: Vec<u8>,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn new(size: usize) -> Self {
        Self::with(size, "").await
    }

    pub async fn with(size: usize, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (token_life, more) = (Duration::from_secs(600), more.to_owned());
        let options = SiteOptions { token_life, more, ..SiteOptions::default() };
        let site = Site::open(dir.path(), &options).await.unwrap();
        let conf = Conf::load_with(Some(&site.conf(Role::Nsc)), None, []).unwrap();
        let disks = Disks::new(1, Duration::from_secs(60), Arc::new(|_, _, _| {}));
        let disk = disks.at("t", dir.path()).unwrap();
        let store = Store::new(&conf.store, disk.clone(), Hashing::start(1).unwrap()).unwrap();
        let bytes: Vec<u8> = (0..size).map(|n| (n % 253) as u8).collect();
        let source = dir.path().join("source");
        crate::fs::write_durably(&source, &bytes).unwrap();
        Self { site, store, disks, disk, source, bytes, dir }
    }

    async fn send(&self, listener: Option<Listener>, expected: Fingerprint) -> Result<Sent, StoreError> {
        self.send_kept(listener, expected, None).await
    }

    pub async fn send_kept(
        &self,
        listener: Option<Listener>,
        expected: Fingerprint,
        kept: Option<&Kept>,
    ) -> Result<Sent, StoreError> {
        let meter = Board::default().begin("uploader", "t".into());
        let hold = self.disks.hold("t").await.unwrap();
        let (disk, path) = (&self.disk, self.source.as_path());
        let from = Origin { hold: &hold, disk, path, expected, urgency: 0, flow: 0, kept };
        self.store.send_file(KEY, from, true, listener, &meter).await
    }

    pub fn digests(&self) -> Digests {
        let mut digests = HashState::new(true);
        digests.update(&self.bytes);
        digests.finish()
    }

    pub fn now(&self) -> Fingerprint {
        Fingerprint::of(&self.source).unwrap()
    }

    pub fn stored(&self) -> Option<Vec<u8>> {
        std::fs::read(self.site.dir.join("store/p22-import").join(KEY)).ok()
    }

    pub fn did(&self, operation: &str) -> usize {
        self.site.store.requests().iter().filter(|r| r.operation() == operation).count()
    }
}

pub(in crate::store) fn hears_all(mut heard: Heard) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(part) = heard.wait().unwrap() {
        all.extend_from_slice(&part);
    }
    all
}

const SMALL: usize = 100_000;
pub(in crate::store) const LARGE: usize = (12 << 20) + 5;

#[tokio::test]
async fn a_listener_hears_every_byte_in_order_and_one_that_objects_keeps_the_file_out() {
    for size in [0, SMALL, LARGE] {
        let bench = Bench::new(size).await;
        let (listener, heard) = listening();
        drop(heard);
        let sent = bench.send(Some(listener), bench.now()).await.unwrap();
        let digests = bench.digests();
        assert_eq!(
            sent,
            Sent { digests: digests.clone(), stored: false },
            "all is hashed, nothing is stored"
        );
        assert_eq!(bench.stored(), None);
        let large = size == LARGE;
        assert_eq!(bench.did("AbortMultipartUpload"), usize::from(large), "{size}");
        assert_eq!(bench.did("CompleteMultipartUpload"), 0);

        let (listener, heard) = listening();
        let hears = tokio::task::spawn_blocking(move || hears_all(heard));
        let sent = bench.send(Some(listener), bench.now()).await.unwrap();
        assert_eq!(sent, Sent { digests, stored: true });
        assert!(hears.await.unwrap() == bench.bytes && bench.stored().unwrap() == bench.bytes);
        let all = Ask { urgency: 0, flow: 0, bytes: u64::MAX };
        let all = tokio::time::timeout(Duration::from_secs(5), bench.store.slots.take(all)).await;
        assert!(all.is_ok(), "all room was given back");
    }
}

/// Under every kind of checksum: what arrives with one other bit is refused, and so is an answer about other bytes.
#[tokio::test]
async fn bytes_that_were_changed_on_the_way_are_refused() {
    for (word, kind) in CHECKSUMS {
        for (size, query) in [(SMALL, "x-id=PutObject"), (LARGE, "partNumber=2")] {
            let bench = Bench::with(size, &format!("store.checksum = \"{word}\"\nstore.attempts = 1")).await;
            let strike = |kind| {
                let (method, query) = (Some(http::Method::PUT), Some(query.to_owned()));
                let rule = FaultRule { method, query_contains: query, times: 1, ..FaultRule::next(kind) };
                bench.site.store.fault(rule);
            };
            strike(FaultKind::Flip);
            let refused = bench.send(None, bench.now()).await.unwrap_err();
            assert_eq!(bench.stored(), None, "{word} {size}: {refused}");
            let said = refused.to_string();
            assert!(said.contains("BadDigest") || said.contains("SHA256Mismatch"), "{word} {size}: {said}");
            if kind != Checksum::Md5 {
                strike(FaultKind::OtherSums);
                let refused = bench.send(None, bench.now()).await.unwrap_err();
                let said = refused.to_string();
                assert!(
                    refused.is_outage() && said.contains("bytes were changed on the way"),
                    "{word} {size}: {said}"
                );
            }
            let sent = bench.send(None, bench.now()).await.unwrap();
            assert_eq!(sent, Sent { digests: bench.digests(), stored: true }, "{word} {size}");
            assert!(bench.stored().unwrap() == bench.bytes);
        }
    }
}

/// A page of a proxy under a 200, and an answer about other bytes: neither is taken for success, and the next attempt is right.
#[tokio::test]
async fn an_answer_that_proves_nothing_is_asked_for_again() {
    for kind in [FaultKind::HtmlOk, FaultKind::OtherSums] {
        for (size, query) in [(SMALL, "x-id=PutObject"), (LARGE, "partNumber=2")] {
            let bench = Bench::with(size, "store.attempts = 2").await;
            let rule = FaultRule { query_contains: Some(query.to_owned()), ..FaultRule::next(kind) };
            bench.site.store.fault(rule.clone());
            let sent = bench.send(None, bench.now()).await.unwrap();
            assert_eq!(sent, Sent { digests: bench.digests(), stored: true }, "{kind:?} {size}");
            assert!(bench.stored().unwrap() == bench.bytes);
            let requests = if size == SMALL { bench.did("PutObject") } else { bench.did("UploadPart") - 2 };
            assert_eq!(requests, 2, "{kind:?} {size}");
            // And if it never is another: no success, and nobody's package is at fault.
            bench.site.store.fault(FaultRule { times: 2, ..rule });
            let failed = bench.send(None, bench.now()).await.unwrap_err();
            assert!(failed.is_outage(), "{kind:?} {size}: {failed}");
        }
    }
}

#[tokio::test]
async fn a_place_is_endpoint_bucket_and_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let place = |endpoint: &str, bucket: &str, prefix: &str| {
        let store = store(dir.path(), |conf| {
            conf.endpoint = endpoint.to_owned();
            (conf.bucket, conf.prefix) = (bucket.to_owned(), prefix.to_owned());
        });
        store.place().to_owned()
    };
    let here = place("https://s3.example", "b", "p");
    assert_eq!(here, place("https://S3.example/", "b", "p"), "the same, written in another way");
    let others = [
        ("https://s4.example", "b", "p"),
        ("https://s3.example", "c", "p"),
        ("https://s3.example", "b", "q"),
    ];
    for (endpoint, bucket, prefix) in others {
        assert_ne!(here, place(endpoint, bucket, prefix));
    }
}

#[tokio::test]
async fn a_commit_is_there_when_it_is_acknowledged() {
    const COMMIT: &str = "tsd-import/samples/p/r1/COMMIT";
    let bench = Bench::with(0, "store.attempts = 2").await;
    let there = || std::fs::read(bench.site.dir.join("store/p22-import").join(COMMIT)).ok();
    let strike = |times| {
        let key_contains = Some("/COMMIT".to_owned());
        bench.site.store.fault(FaultRule { key_contains, times, ..FaultRule::next(FaultKind::HtmlOk) });
    };
    strike(2);
    let failed = bench.store.put(COMMIT, Bytes::from_static(b"so be it")).await.unwrap_err();
    assert!(failed.is_outage() && failed.to_string().contains("the answer has no ETag"), "{failed}");
    assert_eq!(there(), None);
    strike(1);
    bench.store.put(COMMIT, Bytes::from_static(b"so be it")).await.unwrap();
    assert_eq!((there().unwrap().as_slice(), bench.did("PutObject")), (b"so be it".as_slice(), 4));
}

#[tokio::test]
async fn another_file_than_was_surveyed_is_not_sent() {
    let bench = Bench::new(SMALL).await;
    let surveyed = bench.now();
    for other in [
        Fingerprint { size: surveyed.size + 1, ..surveyed },
        Fingerprint { mtime_ns: surveyed.mtime_ns - 1, ..surveyed },
        Fingerprint { inode: surveyed.inode + 1, ..surveyed },
    ] {
        let refused = bench.send(None, other).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Changed(path) if *path == bench.source), "{refused}");
    }
    assert_eq!(bench.stored(), None);
    assert!(bench.send(None, surveyed).await.unwrap().stored);
}

/// Replaced while it is read: the bytes were the old file's, the name is the new one's.
#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_read_is_refused() {
    let bench = Bench::new(LARGE).await;
    let (listener, mut heard) = listening();
    let (source, other) = (bench.source.clone(), bench.dir.path().join("other"));
    crate::fs::write_durably(&other, &bench.bytes).unwrap();
    let replaces = tokio::task::spawn_blocking(move || {
        let first = heard.wait().unwrap().unwrap();
        replace(&other, &source);
        drop(first);
        while heard.wait().unwrap().is_some() {}
    });
    let refused = bench.send(Some(listener), bench.now()).await.unwrap_err();
    replaces.await.unwrap();
    assert!(matches!(refused, StoreError::Changed(_)), "{refused}");
}

fn replace(from: &Path, to: &Path) {
    crate::fs::remove_file(to).unwrap();
    crate::fs::publish(from, to).unwrap();
}
