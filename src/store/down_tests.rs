//! A file comes whole and right over a wire that breaks, lies, stands still and changes its mind; or it does not come.
use std::ops::ControlFlow;
use std::time::Duration;

use super::*;
use crate::conf::{Conf, Role};
use crate::demo::site::{Site, SiteOptions};
use crate::demo::store::{FaultKind, FaultRule};
use crate::disk::{Disks, Need, Space};
use crate::package::Sha256Hex;
use crate::store::slots::Ask;
use crate::store::{Entry, Look, Reach};
use crate::supervisor::meter::Board;

pub(super) const KEY: &str = "tsd-import/samples/p/r1/f";
const MIB: usize = 1 << 20;
pub(super) const STEP: usize = 64 << 10;

pub(super) struct Bench {
    pub(super) site: Site,
    pub(super) sender: Store,
    pub(super) store: Store,
    pub(super) disks: Disks,
    pub(super) disk: Disk,
    pub(super) room: Arc<Room>,
    pub(super) part: PathBuf,
    _dir: tempfile::TempDir,
}

pub(super) fn bytes(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|n| ((n / 251 + seed) * 31 + n) as u8).collect()
}

impl Bench {
    pub(super) async fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let range_size = if more.contains("range_size") { "" } else { "store.range_size = \"64 KiB\"\n" };
        let more = format!("{range_size}{more}");
        let options = SiteOptions { token_life: Duration::from_secs(600), more, ..SiteOptions::default() };
        let site = Site::open(dir.path(), &options).await.unwrap();
        let disks = Disks::new(1, Duration::from_secs(60), Arc::new(|_, _, _| {}));
        let disk = disks.at("t", dir.path()).unwrap();
        let store = |role| {
            let conf = Conf::load_with(Some(&site.conf(role)), None, []).unwrap();
            Store::new(&conf.store, disk.clone(), crate::hashing::Hashing::start(1).unwrap()).unwrap()
        };
        let (sender, store) = (store(Role::Nsc), store(Role::Tsd));
        let room = Arc::new(Space::default().room(0, Need { bytes: 1 << 30, inodes: 10 }));
        crate::fs::create_dir(&dir.path().join("parts")).unwrap();
        let part = dir.path().join("parts/0");
        Self { site, sender, store, disks, disk, room, part, _dir: dir }
    }

    pub(super) async fn put(&self, bytes: &[u8]) {
        self.sender.put(KEY, Bytes::copy_from_slice(bytes)).await.unwrap();
    }

    pub(super) fn fault(&self, kind: FaultKind, times: u32) {
        let method = Some(http::Method::GET);
        self.site.store.fault(FaultRule { method, times, ..FaultRule::next(kind) });
    }

    pub(super) async fn fetch(&self, size: usize, begun: Option<Received>) -> Result<Digests, StoreError> {
        let meter = Board::default().begin("copier", "t".into());
        let hold = self.disks.hold("t").await.unwrap();
        let (path, size) = (self.part.clone(), size as u64);
        let (hold, disk, room) = (&hold, &self.disk, &self.room);
        let target = Target { hold, disk, path, size, begun, room, urgency: 0, flow: 0, lead: None };
        self.store.fetch_file(KEY, target, &meter, |_, _| Ok(())).await
    }

    /// It came as it is, and everything that was taken for it was given back.
    pub(super) async fn comes(&self, bytes: &[u8]) {
        let found = self.fetch(bytes.len(), None).await.unwrap();
        assert_eq!((found.sha256, found.size), (Sha256Hex::of(bytes), bytes.len() as u64));
        assert!(std::fs::read(&self.part).unwrap() == bytes);
        let all = Ask { urgency: 0, flow: 0, bytes: u64::MAX };
        let all = tokio::time::timeout(Duration::from_secs(5), self.store.slots.take(all)).await;
        assert!(all.is_ok(), "all room was given back");
    }

    /// Ranges of the GETs, in the order in which they were answered.
    pub(super) fn asked(&self) -> Vec<Option<String>> {
        let gets = self.site.store.requests().into_iter().filter(|r| r.operation() == "GetObject");
        gets.map(|r| r.range).collect()
    }
}

#[tokio::test]
async fn files_of_all_sizes_come_in_ranges_that_follow_each_other() {
    let bench = Bench::new("").await;
    for (size, requests) in [(0, 1), (1, 1), (STEP, 1), (STEP + 1, 2), (20 * STEP + 7, 21)] {
        let before = bench.asked().len();
        let bytes = bytes(size, size);
        bench.put(&bytes).await;
        bench.comes(&bytes).await;
        let asked = bench.asked().split_off(before);
        assert_eq!(asked.len(), requests, "{asked:?}");
        assert!(asked.iter().all(|range| range.is_some() == (requests > 1)), "{asked:?}");
    }
}

#[tokio::test]
async fn one_file_alone_fills_the_wire_but_no_more_than_its_memory() {
    // Each answer takes a while, and memory holds four ranges.
    let bench = Bench::new("store.memory = \"256 KiB\"").await;
    let bytes = bytes(16 * STEP, 1);
    bench.put(&bytes).await;
    bench.fault(FaultKind::Delay(Duration::from_millis(300)), 16);
    let begun = std::time::Instant::now();
    bench.comes(&bytes).await;
    let took = begun.elapsed();
    assert_eq!(bench.asked().len(), 16);
    assert!(took >= Duration::from_millis(4 * 300), "four at a time: {took:?}");
    assert!(took < Duration::from_millis(12 * 300), "several at a time: {took:?}");
}

#[tokio::test]
async fn a_disk_that_stands_still_does_not_sit_on_the_slots_of_the_others() {
    let bench = Bench::new("store.parts_in_flight = 8").await;
    let bytes = bytes(40 * STEP, 9);
    bench.put(&bytes).await;
    let hung = bench.disks.at("hung", bench.part.parent().unwrap()).unwrap();
    let (goes_on, waits) = std::sync::mpsc::channel::<()>();
    let stands = hung.read(move |_| waits.recv());
    let slow = async {
        let meter = Board::default().begin("copier", "slow".into());
        let hold = bench.disks.hold("slow").await.unwrap();
        let (path, size, room) = (bench.part.with_file_name("1"), bytes.len() as u64, &bench.room);
        let (hold, disk) = (&hold, &hung);
        let target = Target { hold, disk, path, size, begun: None, room, urgency: 0, flow: 1, lead: None };
        bench.store.fetch_file(KEY, target, &meter, |_, _| Ok(())).await.unwrap()
    };
    let other = async {
        while bench.asked().len() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let through = tokio::time::timeout(Duration::from_secs(20), bench.fetch(bytes.len(), None)).await;
        goes_on.send(()).unwrap();
        through.unwrap().unwrap()
    };
    let (slow, other, stood) = tokio::join!(slow, other, stands);
    stood.unwrap().unwrap();
    assert_eq!((slow.sha256, other.sha256), (Sha256Hex::of(&bytes), Sha256Hex::of(&bytes)));
}

#[tokio::test]
async fn a_range_that_is_cut_off_asks_only_for_the_rest_of_it() {
    let bench = Bench::new("store.parts_in_flight = 1").await;
    let bytes = bytes(3 * STEP, 2);
    bench.put(&bytes).await;
    bench.fault(FaultKind::CutBody(10_000), 1);
    bench.comes(&bytes).await;
    let asked: Vec<String> = bench.asked().into_iter().flatten().collect();
    let [first, rest, ..] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((first.as_str(), asked.len()), ("bytes=0-65535", 4), "{asked:?}");
    let from: u64 = rest.strip_prefix("bytes=").unwrap().split('-').next().unwrap().parse().unwrap();
    assert!(from > 0 && from <= 10_000, "{rest}: what came before the cut is not asked for again");

    // A small one too, and one that is cut off for ever is an outage that names the object.
    bench.put(&bytes[..STEP]).await;
    bench.fault(FaultKind::CutBody(20_000), 1);
    bench.comes(&bytes[..STEP]).await;
    bench.fault(FaultKind::CutBody(0), 100);
    let cut = bench.fetch(STEP, None).await.unwrap_err();
    assert!(cut.is_outage() && cut.to_string().contains(KEY), "{cut}");
}

#[tokio::test]
async fn a_body_that_stands_still_is_cut_and_one_that_trickles_is_not() {
    let bench = Bench::new("store.attempt_timeout = \"1 s\"").await;
    let bytes = bytes(4 * STEP, 3);
    bench.put(&bytes).await;
    bench.fault(FaultKind::StallBody(30_000), 2);
    let begun = std::time::Instant::now();
    bench.comes(&bytes).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    bench.fault(FaultKind::Trickle(Duration::from_millis(150)), 4);
    bench.comes(&bytes).await;
    assert_eq!(bench.asked().len(), 4 + 2 + 4, "nothing that moved was asked for again");
}

#[tokio::test]
async fn a_store_that_ignores_ranges_is_taken_as_it_is() {
    let bench = Bench::new("").await;
    let bytes = bytes(40 * STEP + 3, 4);
    bench.put(&bytes).await;
    // Whatever has come until it is noticed: nothing of it may keep the file waiting.
    bench.fault(FaultKind::Delay(Duration::from_millis(100)), 2);
    bench.fault(FaultKind::IgnoreRange, 1000);
    bench.comes(&bytes).await;
    assert!(bench.store.ranges_are_ignored());
    // From now on one request a file; a cut stream goes on behind what is here.
    let before = bench.asked().len();
    bench.site.store.mend();
    bench.fault(FaultKind::CutBody(20 * STEP as u64), 1);
    bench.fault(FaultKind::IgnoreRange, 1000);
    bench.comes(&bytes).await;
    assert_eq!(bench.asked().split_off(before), [None, None]);
    let small = &bytes[..STEP];
    bench.put(small).await;
    bench.comes(small).await;
    bench.site.store.mend();
    bench.fault(FaultKind::CutBody(5_000), 1);
    bench.fault(FaultKind::IgnoreRange, 1000);
    bench.comes(small).await;
}

#[tokio::test]
async fn an_answer_that_lies_is_not_taken() {
    let bench = Bench::new("store.attempts = 3").await;
    let bytes = bytes(4 * STEP, 5);
    bench.put(&bytes).await;
    bench.fault(FaultKind::WrongRange, 2);
    bench.comes(&bytes).await;
    bench.fault(FaultKind::WrongRange, 1000);
    let lie = bench.fetch(bytes.len(), None).await.unwrap_err();
    assert!(lie.is_outage() && lie.to_string().contains("Content-Range"), "{lie}");
    bench.site.store.mend();
    for listed in [bytes.len() + 1, bytes.len() - 1, 10 * bytes.len()] {
        let other = bench.fetch(listed, None).await.unwrap_err();
        assert!(matches!(other, StoreError::Replaced { .. }) && !other.is_outage(), "{listed}: {other}");
    }
    // Asked for as a whole, an answer of another length may as well be somebody else's: the listing tells, at the next attempt.
    for listed in [10, 0] {
        let other = bench.fetch(listed, None).await.unwrap_err();
        assert!(other.is_outage() && other.to_string().contains("262144 bytes"), "{listed}: {other}");
    }
}

#[tokio::test]
async fn an_object_that_is_replaced_in_the_middle_is_noticed() {
    let bench = Bench::new("store.parts_in_flight = 1").await;
    let (old, new) = (bytes(8 * STEP, 6), bytes(8 * STEP, 7));
    bench.put(&old).await;
    bench.fault(FaultKind::Delay(Duration::from_millis(300)), 8);
    let (found, ()) = tokio::join!(bench.fetch(old.len(), None), async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        bench.put(&new).await;
    });
    let found = found.unwrap_err();
    assert!(matches!(&found, StoreError::Replaced { why, .. } if why.contains("ETag")), "{found}");
    bench.site.store.mend();
    bench.comes(&new).await;
}

#[tokio::test]
async fn a_file_is_gone_on_with_where_it_was_last_brought_to_the_disk() {
    let bench = Bench::new("store.attempts = 1\nstore.range_size = \"8 MiB\"").await;
    let step = 8 * MIB;
    let bytes = bytes(SYNC_EVERY as usize + 3 * step, 8);
    bench.put(&bytes).await;
    // The whole file but for its last range arrives in a life that ends there.
    let find = |bench: &Bench| Received::find(&OnDisk::alone(), &bench.part, KEY).unwrap();
    assert!(find(&bench).is_none());
    let slow = FaultKind::Delay(Duration::from_secs(600));
    let last = (bytes.len() / step) as u32 - 1;
    bench.fault(FaultKind::Delay(Duration::ZERO), last);
    bench.fault(slow, 1);
    let cut = tokio::time::timeout(Duration::from_secs(20), async {
        let fetch = bench.fetch(bytes.len(), None);
        tokio::pin!(fetch);
        loop {
            tokio::select! {
                done = &mut fetch => panic!("{done:?}"),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            if find(&bench).is_some() {
                return;
            }
        }
    });
    cut.await.unwrap();
    bench.site.store.mend();
    let _no_call_of_it_is_out = bench.disks.hold("t").await.unwrap();
    drop(_no_call_of_it_is_out);
    let begun = find(&bench).unwrap();
    assert_eq!((begun.synced, begun.size()), (SYNC_EVERY, bytes.len() as u64));
    assert!(begun.taken() >= SYNC_EVERY, "allocated: {}", begun.taken());

    let before = bench.asked().len();
    let found = bench.fetch(bytes.len(), Some(begun.clone())).await.unwrap();
    assert_eq!((found.sha256, found.size), (Sha256Hex::of(&bytes), bytes.len() as u64));
    assert!(std::fs::read(&bench.part).unwrap() == bytes);
    let mut asked: Vec<String> = bench.asked().split_off(before).into_iter().flatten().collect();
    asked.sort();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.iter().all(|range| !range.starts_with("bytes=0-")), "{asked:?}");

    // Of another version of the object nothing is gone on with.
    let mut other = bytes;
    other[0] ^= 1;
    bench.put(&other).await;
    let replaced = bench.fetch(other.len(), Some(begun)).await.unwrap_err();
    assert!(matches!(replaced, StoreError::Replaced { .. }), "{replaced}");
    bench.comes(&other).await;
}

#[tokio::test]
async fn a_listing_goes_on_over_a_bad_request_and_ends() {
    let bench = Bench::new("").await;
    for n in 0..5 {
        bench.sender.put(&format!("tsd-import/a/{n}"), Bytes::from(vec![0; n])).await.unwrap();
    }
    bench.fault(FaultKind::SlowDown, 1);
    let sizes = bench.store.sizes("tsd-import/a/", 100, |key| !key.ends_with('3')).await.unwrap();
    let sizes: Vec<(&str, u64)> = sizes.iter().map(|(key, size)| (key.as_str(), *size)).collect();
    assert_eq!(
        sizes,
        [("tsd-import/a/0", 0), ("tsd-import/a/1", 1), ("tsd-import/a/2", 2), ("tsd-import/a/4", 4)]
    );
    assert_eq!(bench.store.sizes("tsd-import/a/", 2, |_| true).await.unwrap().len(), 2, "bounded");
    let mut all = 0;
    bench.store.list("tsd-import/", |_| all += 1).await.unwrap();
    assert_eq!(all, 5);
}

/// The names of what one browse finds, at most `most` of them, and how far it came.
async fn browse(bench: &Bench, shallow: bool, after: Option<&str>, most: usize) -> (Vec<String>, Reach) {
    let mut names = Vec::new();
    let each = |entry| {
        if names.len() == most {
            return ControlFlow::Break(());
        }
        names.push(match entry {
            Entry::Object(object) => object.key,
            Entry::Below(prefix) => prefix,
        });
        ControlFlow::Continue(())
    };
    let look = Look { below: "tsd-import/s/", after, shallow, pages: 3 };
    let seen = bench.store.browse(look, each).await.unwrap();
    (names, seen)
}

#[tokio::test]
async fn what_is_browsed_in_pieces_is_found_whole() {
    let bench = Bench::new("").await;
    let mut all = Vec::new();
    for name in ["a", "a-b", "a.b", "a0", "b"] {
        for file in ["r1/COMMIT", "r1/x"] {
            let key = format!("tsd-import/s/{name}/{file}");
            bench.sender.put(&key, Bytes::new()).await.unwrap();
            all.push(key);
        }
    }
    all.sort();
    assert_eq!(browse(&bench, false, None, 100).await, (all.clone(), Reach::All));
    let names = ["a-b/", "a.b/", "a/", "a0/", "b/"].map(|name| format!("tsd-import/s/{name}"));
    assert_eq!(browse(&bench, true, None, 100).await, (names.to_vec(), Reach::All));
    // Whoever breaks begins that page again; whoever goes on behind a name finds all that may come behind it.
    assert_eq!(browse(&bench, true, None, 2).await, (names[..2].to_vec(), Reach::Until(String::new())));
    let (behind, seen) = browse(&bench, true, Some("tsd-import/s/a"), 100).await;
    assert_eq!(
        (behind, seen),
        (names.to_vec(), Reach::All),
        "a-b comes before a/ here and behind it elsewhere"
    );
    let (behind, _) = browse(&bench, true, Some("tsd-import/s/a0"), 100).await;
    assert_eq!(behind, names[3..], "what lies in a0 comes behind it");
    assert_eq!(browse(&bench, false, Some(&all[4]), 100).await, (all[5..].to_vec(), Reach::All));
}
