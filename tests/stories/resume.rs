//! kill -9 in the middle of a large upload: what the store has acknowledged is not sent again, what was hashed is not read again, and
//! what nobody goes on with is aborted. Counted from the store's log and from what the kernel says the process has read.
use std::collections::BTreeMap;
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::package::{Priority, State};

use crate::world::{World, sample_ids};

const PART: u64 = 5 << 20;
const IN_FLIGHT: u64 = 4;
const KIND: &str = "analyses-results/singles";

async fn world(checksum: &str) -> World {
    let more = format!("store.parts_in_flight = {IN_FLIGHT}\nstore.checksum = \"{checksum}\"\n");
    let (token_life, more_of) = (Duration::from_secs(600), vec![(Role::Nsc, more)]);
    let world = World::with(SiteOptions { token_life, more_of, ..SiteOptions::default() }).await;
    // A little slower than a loopback, so that there is a middle.
    let (query_contains, times) = (Some("partNumber=".to_owned()), u32::MAX);
    let slow = FaultRule::next(FaultKind::Delay(Duration::from_millis(150)));
    world.site.store.fault(FaultRule { query_contains, times, ..slow });
    world
}

fn bytes(mib: u64) -> Vec<u8> {
    let block: Vec<u8> =
        (0..1u64 << 20).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect();
    let mut all = Vec::new();
    for n in 0..mib {
        all.extend_from_slice(&n.to_le_bytes());
        all.extend_from_slice(&block[8..]);
    }
    all
}

/// How often each part of each object was acknowledged.
fn acknowledged(world: &World) -> BTreeMap<(String, u16), u64> {
    let mut parts = BTreeMap::new();
    for r in world.site.store.requests() {
        if let (Some(part), 200) = (r.part, r.status) {
            *parts.entry((r.path, part)).or_default() += 1;
        }
    }
    parts
}

fn did(world: &World, operation: &str) -> usize {
    let all = world.site.store.requests();
    all.iter().filter(|r| r.operation() == operation && r.status < 300).count()
}

/// Bytes that the daemon has read so far.
fn has_read(world: &World) -> u64 {
    let pid = world.daemons.iter().find(|(role, _)| *role == Role::Nsc).and_then(|(_, d)| d.pid()).unwrap();
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    io.lines().find_map(|l| l.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_large_upload_is_gone_on_with_after_each_of_three_kills() {
    let mut world = world("crc64nvme").await;
    // What is sent or read again does not depend on the size; whoever wants to see that names a larger one.
    let mib = std::env::var("TSD_IMPORT_RESUME_MIB").map_or(256, |mib| mib.parse().unwrap());
    let size = mib << 20;
    let payload = [("calls.bam", bytes(mib)), ("small.txt", b"x".to_vec())];
    world.site.drop_in(KIND, "large", Priority::Normal, &payload).unwrap();
    world.start(Role::Nsc, &[]);
    let mut known = 0;
    for percent in [18, 43, 73] {
        let stage = size.div_ceil(PART) * percent / 100;
        world.until("some parts have arrived", |w| acknowledged(w).len() as u64 >= stage).await;
        world.kill(Role::Nsc).await;
        known = acknowledged(&world).len() as u64;
        assert!(known * PART < size, "it was killed in the middle");
        world.start(Role::Nsc, &[]);
    }
    let sent = |w: &World| w.state(Role::Nsc, &format!("{KIND}/large/r1")) == Some(State::Transferred);
    world.until("it is sent", sent).await;
    let read = has_read(&world);
    let missing = size - known * PART;
    let slack = IN_FLIGHT * PART + (16 << 20); // not noted yet when it was killed; libraries, configuration, journal
    assert!(read <= missing + slack, "read {read} bytes in its last life, when {missing} had not arrived");
    let parts = acknowledged(&world);
    assert_eq!(parts.len() as u64, size.div_ceil(PART));
    let twice: u64 = parts.values().map(|n| n - 1).sum();
    assert!(twice <= 3 * IN_FLIGHT, "{twice} parts were sent twice in three lives");
    println!("sent twice: {twice} of {} parts; read in the last life: {read} for {missing}", parts.len());
    assert_eq!((did(&world, "CreateMultipartUpload"), did(&world, "CompleteMultipartUpload")), (1, 1));
    assert_eq!(world.stderr(Role::Nsc).matches("an upload is gone on with").count(), 3);
    for operation in ["HeadObject", "ListParts", "ListObjectsV2", "GetObject"] {
        assert!(!world.site.store.requests().iter().any(|r| r.operation() == operation), "{operation}");
    }
    world.start(Role::Tsd, &[]);
    world.see_it_through(&[format!("{KIND}/large/r1")]).await;
    let left = std::fs::read_dir(world.site.state(Role::Nsc).join("uploads")).unwrap().count();
    assert_eq!(left, 0, "the side file has done its duty");
}

/// Somebody checks the reads, and what the check has made of them so far cannot be written down: they are read again, not sent.
#[tokio::test]
async fn reads_that_are_checked_are_read_again_and_not_sent_again() {
    let mut world = world("signed").await;
    let dna = world.samples(1, 24 << 20);
    world.start(Role::Nsc, &[]);
    world.until("some parts have arrived", |w| acknowledged(w).len() >= 4).await;
    world.kill(Role::Nsc).await;
    world.start_both();
    world.see_it_through(&sample_ids(&dna)).await;
    let twice: u64 = acknowledged(&world).values().map(|n| n - 1).sum();
    assert!(twice <= IN_FLIGHT, "{twice} parts were sent twice");
    assert_eq!(did(&world, "CreateMultipartUpload"), 2);
    world.reads_are_those_delivered(&dna[0], Priority::ALL[0]);
}

/// A proxy before the store has answered in its place, under a 200: for a part, for a small file, for the manifest, for the `COMMIT`.
#[tokio::test]
async fn what_a_proxy_acknowledges_is_put_again() {
    let mut world = world("signed").await;
    world.site.store.mend();
    let struck = ["calls.bam", "small.txt", "SHA256SUMS", "COMMIT"];
    for key in struck {
        let (method, key_contains) = (Some(http::Method::PUT), Some(key.to_owned()));
        world.site.store.fault(FaultRule { method, key_contains, ..FaultRule::next(FaultKind::HtmlOk) });
    }
    let payload = [("calls.bam", bytes(12)), ("small.txt", b"x".to_vec())];
    world.site.drop_in(KIND, "foreign", Priority::Normal, &payload).unwrap();
    world.start_both();
    world.see_it_through(&[format!("{KIND}/foreign/r1")]).await;
    let log = world.stderr(Role::Nsc);
    for key in struck {
        let told = |l: &&str| l.contains(key) && l.contains("has no ETag") && l.contains("asked again");
        assert_eq!(log.lines().filter(told).count(), 1, "{key}\n{log}");
    }
}

/// A package whose large file is sent while another one is held back, until the store is mended.
async fn held_back(name: &str) -> (World, std::path::PathBuf) {
    let world = world("signed").await;
    world.site.store.mend();
    let (key_contains, kind) = (Some("held-back.txt".to_owned()), FaultKind::Refuse("InternalError"));
    world.site.store.fault(FaultRule { key_contains, times: u32::MAX, ..FaultRule::next(kind) });
    let payload = [("calls.bam", bytes(12)), ("held-back.txt", b"x".to_vec())];
    let place = world.site.drop_in(KIND, name, Priority::Normal, &payload).unwrap();
    (world, place)
}

/// How often the large file was sent, by the side file.
fn sent(world: &World, name: &str) -> usize {
    let file = format!("{}~{name}~r1.jsonl", KIND.replace('/', "~"));
    let text = std::fs::read_to_string(world.site.state(Role::Nsc).join("uploads").join(file));
    let text = text.unwrap_or_default();
    text.lines().filter(|l| l.starts_with(r#"{"file":"calls.bam","source""#)).count()
}

/// A large file gives way to a small one of its name and comes back, while its package waits for another file.
#[tokio::test]
async fn what_was_there_last_is_what_is_sent() {
    let (mut world, place) = held_back("back").await;
    let (file, aside) = (place.join("calls.bam"), world.path().join("calls.bam"));
    world.start(Role::Nsc, &[]);
    world.until("the large one is sent", |w| sent(w, "back") == 1).await;
    world.kill(Role::Nsc).await;
    tsd_import::fs::publish(&file, &aside).unwrap();
    tsd_import::fs::write_durably(&file, b"small").unwrap();
    world.start(Role::Nsc, &[]);
    world.until("the small one is sent", |w| sent(w, "back") == 2).await;
    world.kill(Role::Nsc).await;
    tsd_import::fs::remove_file(&file).unwrap();
    tsd_import::fs::publish(&aside, &file).unwrap();
    world.site.store.mend();
    world.start_both();
    world.see_it_through(&[format!("{KIND}/back/r1")]).await;
    let landed = world.site.landing(KIND).join("back/calls.bam");
    assert!(std::fs::read(landed).unwrap() == bytes(12));
}

/// The prefix is changed in the middle of a package: what lies under the old one is not under the new one.
#[tokio::test]
async fn what_was_sent_elsewhere_is_sent_again() {
    let (mut world, _) = held_back("moved").await;
    world.start(Role::Nsc, &[]);
    world.until("the large one is sent", |w| sent(w, "moved") == 1).await;
    world.kill(Role::Nsc).await;
    world.site.store.mend();
    let env = [("TSD_IMPORT__STORE__PREFIX", "elsewhere")];
    world.start(Role::Nsc, &env);
    world.start(Role::Tsd, &env);
    world.see_it_through(&[format!("{KIND}/moved/r1")]).await;
    let log = world.stderr(Role::Nsc);
    assert_eq!(log.matches("upload progress is about another store.endpoint").count(), 1, "{log}");
    assert_eq!(did(&world, "CompleteMultipartUpload"), 2);
}

#[tokio::test]
async fn the_upload_of_a_package_that_is_stopped_is_aborted() {
    let mut world = world("signed").await;
    let place = world.site.drop_in(KIND, "gone", Priority::Normal, &[("calls.bam", bytes(48))]).unwrap();
    world.start(Role::Nsc, &[]);
    world.until("some parts have arrived", |w| acknowledged(w).len() >= 2).await;
    world.kill(Role::Nsc).await;
    tsd_import::fs::discard_scratch(&place).unwrap();
    world.start(Role::Nsc, &[]);
    let stopped = |w: &World| w.state(Role::Nsc, &format!("{KIND}/gone/r1")) == Some(State::Quarantined);
    world.until("it is stopped", stopped).await;
    world.stop().await;
    world.start(Role::Nsc, &[]); // sweeps at once; one that runs on sweeps every minute
    world.until("its upload is aborted", |w| did(w, "AbortMultipartUpload") == 1).await;
    let uploads = world.site.state(Role::Nsc).join("uploads");
    world.until("its side file is gone", |_| std::fs::read_dir(&uploads).unwrap().count() == 0).await;
    world.stop().await;
}
