//! A large download that is killed in the middle is gone on with, and an urgent package does not wait for it to end.
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::package::{Priority, State};
use tsd_import::store::SYNC_EVERY;

use crate::world::World;

const KIND: &str = "analyses-results/trios";
const RANGE: u64 = 8 << 20;
const FLYING: u64 = 4;
const SIZE: u64 = 256 << 20;

/// A world whose receiver has few ranges of the usual size on the wire.
async fn world() -> World {
    let conf = format!(
        "store.parts_in_flight = {FLYING}\nstore.memory = \"32 MiB\"\nstore.range_size = \"8 MiB\"\n"
    );
    let options = SiteOptions {
        token_life: Duration::from_secs(600),
        more_of: vec![(Role::Tsd, conf)],
        ..SiteOptions::default()
    };
    World::with(options).await
}

/// Bytes that no two ranges have in common.
fn large() -> Vec<u8> {
    (0..SIZE / 8).flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()).collect()
}

fn drop_in(world: &World, name: &str, priority: Priority, bytes: Vec<u8>) -> String {
    drop(world.site.drop_in(KIND, name, priority, &[("data.vcf", bytes)]).unwrap());
    format!("{KIND}/{name}/r1")
}

/// Each answer takes a while, so that there is a middle.
fn slowly(world: &World, name: &str, each: Duration) {
    world.site.store.fault(FaultRule {
        method: Some(http::Method::GET),
        key_contains: Some(format!("/{name}/r1/data.vcf")),
        query_contains: None,
        times: 10_000,
        kind: FaultKind::Delay(each),
    });
}

/// The ranges that were asked for of an object, in order.
fn asked(world: &World, name: &str) -> Vec<u64> {
    let of = format!("/{name}/r1/data.vcf");
    let gets = world.site.store.requests().into_iter();
    let ranges = gets.filter(|r| r.method == "GET" && r.path.ends_with(&of)).filter_map(|r| r.range);
    let from =
        |range: String| range.strip_prefix("bytes=").unwrap().split('-').next().unwrap().parse().unwrap();
    ranges.map(from).collect()
}

fn note(world: &World, name: &str) -> PathBuf {
    let area = world.site.dir.join("tsd/production/data/analyses-results/.incoming");
    area.join(format!("analyses-results~trios~{name}~r1.parts/0.progress"))
}

/// The most memory that the receiver ever had.
fn peak(world: &World) -> u64 {
    let pid = world.daemons.iter().find(|(role, _)| *role == Role::Tsd).unwrap().1.pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() << 10
}

async fn sent(world: &mut World, ids: &[String]) {
    let all = |w: &World| ids.iter().all(|id| w.state(Role::Nsc, id) == Some(State::Transferred));
    world.until("they are in the bucket", all).await;
}

#[tokio::test]
async fn a_large_download_that_is_killed_in_the_middle_fetches_little_again() {
    let mut world = world().await;
    let ids = [drop_in(&world, "Diag-large", Priority::Normal, large())];
    world.start(Role::Nsc, &[]);
    sent(&mut world, &ids).await;
    slowly(&world, "Diag-large", Duration::from_millis(150));
    world.start(Role::Tsd, &[]);
    // Twice, each time behind another fsync.
    for life in 1..=2 {
        let synced = move |w: &World| {
            let text = std::fs::read_to_string(note(w, "Diag-large")).unwrap_or_default();
            text.contains(&format!("\"synced\":{}", life * SYNC_EVERY))
        };
        world.until("some of it is on record", synced).await;
        world.kill(Role::Tsd).await;
        world.start(Role::Tsd, &[]);
    }
    world.see_it_through(&ids).await;
    let asked = asked(&world, "Diag-large");
    let once: BTreeSet<u64> = asked.iter().copied().collect();
    assert_eq!(once.len() as u64, SIZE / RANGE, "every byte was asked for: {asked:?}");
    let again = (asked.len() - once.len()) as u64 * RANGE;
    println!("asked for again after two kills: {} MiB of {} MiB", again >> 20, SIZE >> 20);
    assert!(again <= 2 * (SYNC_EVERY + FLYING * RANGE), "{again} bytes were asked for again: {asked:?}");
    let second = asked.iter().rposition(|from| *from == 0).unwrap();
    assert!(second < FLYING as usize, "it never began anew: {asked:?}");
}

/// What `spoils` has done to what a killed receiver had begun (it is told where its note lies) is noticed: the file is fetched anew.
async fn is_fetched_anew(spoils: impl FnOnce(PathBuf)) -> World {
    let mut world = world().await;
    let ids = [drop_in(&world, "Diag-large", Priority::Normal, large())];
    world.start(Role::Nsc, &[]);
    sent(&mut world, &ids).await;
    slowly(&world, "Diag-large", Duration::from_millis(150));
    world.start(Role::Tsd, &[]);
    world.until("some of it is on record", |w| note(w, "Diag-large").is_file()).await;
    world.kill(Role::Tsd).await;
    spoils(note(&world, "Diag-large"));
    world.site.store.mend();
    world.start(Role::Tsd, &[]);
    world.see_it_through(&ids).await;
    let log = world.stderr(Role::Tsd);
    assert!(log.contains("is of no use; fetching it anew"), "{log}");
    world
}

/// As if it had been begun from another object: other bytes, and a digest that goes with them.
#[tokio::test]
async fn what_was_begun_of_an_object_that_was_replaced_is_fetched_anew() {
    let another = |path: PathBuf| {
        let mut note: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        note["etag"] = "\"another\"".into();
        tsd_import::fs::write_durably(&path, note.to_string().as_bytes()).unwrap();
    };
    drop(is_fetched_anew(another).await);
}

/// As a power cut can leave it: the note is there, and beneath it are zeros.
#[tokio::test]
async fn what_was_begun_and_is_not_on_the_disk_as_it_came_is_fetched_anew() {
    let zeros = |note: PathBuf| {
        let part = note.with_extension("");
        let mut bytes = std::fs::read(&part).unwrap();
        bytes[5 << 20..6 << 20].fill(0);
        tsd_import::fs::write_durably(&part, &bytes).unwrap();
    };
    let world = is_fetched_anew(zeros).await;
    let begun_again = asked(&world, "Diag-large").iter().filter(|from| **from == 0).count();
    assert_eq!(begun_again, 2, "from its first byte");
}

#[tokio::test]
async fn an_urgent_package_does_not_wait_for_a_large_one_to_end() {
    let mut world = world().await;
    let normal = drop_in(&world, "Diag-large", Priority::Normal, large());
    world.start(Role::Nsc, &[]);
    sent(&mut world, std::slice::from_ref(&normal)).await;
    // At four a time it would take most of a minute.
    slowly(&world, "Diag-large", Duration::from_secs(5));
    world.start(Role::Tsd, &[]);
    world.until("the large one is on its way", |w| asked(w, "Diag-large").len() >= FLYING as usize).await;
    let urgent = drop_in(&world, "Diag-urgent", Priority::Urgent, vec![7; 20 << 20]);
    world.until("the urgent one is READY", |w| w.state(Role::Tsd, &urgent) == Some(State::Ready)).await;
    assert_eq!(world.state(Role::Tsd, &normal), Some(State::Copying), "the large one is still on its way");
    let gets = world.site.store.requests().into_iter().filter(|r| r.method == "GET").map(|r| r.path);
    let behind = gets.skip_while(|path| !path.ends_with("/Diag-urgent/r1/COMMIT"));
    let before = behind.take_while(|path| !path.ends_with("/Diag-urgent/r1/data.vcf"));
    let before = before.filter(|path| path.ends_with("/Diag-large/r1/data.vcf")).count();
    assert!(before <= 2 * FLYING as usize, "{before} ranges of the large one came first");
    world.site.store.mend();
    world.until("so is the large one", |w| w.state(Role::Tsd, &normal) == Some(State::Ready)).await;
    let peak = peak(&world);
    println!(
        "peak of the receiver: {} MiB, of which {} may be for ranges",
        peak >> 20,
        (FLYING * RANGE) >> 20
    );
    assert!(peak < FLYING * RANGE + (120 << 20), "{peak} bytes");
    world.see_it_through(&[normal, urgent]).await;
}
