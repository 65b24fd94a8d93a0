//! A bucket that holds far more than is new: a look costs a bounded number of requests and flat memory, and what is new is found.
//! `TSD_IMPORT_OBJECTS=1000000 cargo test --test stories large_bucket -- --nocapture` does it at full size and prints the figures.
use std::path::Path;
use std::time::{Duration, Instant};

use tsd_import::conf::Role;
use tsd_import::package::{PackageId, State};

use crate::cargo::{Cargo, RESULTS, Sender, put};
use crate::world::World;

/// Objects of packages that were never committed, as old uploads leave them; in the embedded store an object is a file.
fn plant(bucket: &Path, objects: usize) {
    let of_one = (objects / 1000).max(100);
    for n in 0..objects / of_one {
        let dir = bucket.join(RESULTS).join(format!("Diag-old-{:06}/r1", n * 7919 % 1_000_000));
        tsd_import::fs::create_dir(&dir).unwrap();
        for file in 0..of_one {
            drop(std::fs::File::create_new(dir.join(format!("{file:04}.vcf"))).unwrap());
        }
    }
}

fn peak(world: &World) -> u64 {
    let pid = world.daemons.last().unwrap().1.pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
}

fn lists(world: &World) -> (usize, usize) {
    let lists: Vec<_> =
        world.site.store.requests().into_iter().filter(|r| r.operation() == "ListObjectsV2").collect();
    let shallow = lists.iter().filter(|r| r.query.iter().any(|name| name == "delimiter")).count();
    (lists.len() - shallow, shallow)
}

async fn lands(world: &World, id: &PackageId) -> Duration {
    let since = Instant::now();
    let what = format!("{id} has landed");
    world.until(&what, |w| w.state(Role::Tsd, &id.to_string()) == Some(State::Ready)).await;
    since.elapsed()
}

#[tokio::test]
async fn what_is_new_in_a_large_bucket_is_found_at_a_bounded_cost() {
    let objects = std::env::var("TSD_IMPORT_OBJECTS").map_or(20_000, |n| n.parse().unwrap());
    let mut world = World::new().await;
    let mut sender = Sender::of(&world);
    // The first, one in the middle and the last of all names.
    let names = ["A-first", "Diag-old-500000-between", "zz-last"];
    let early = names.map(|name| sender.put(&Cargo::results(name)));
    world.start(Role::Tsd, &[]);
    for id in &early {
        lands(&world, id).await;
    }
    let small = peak(&world);
    world.kill(Role::Tsd).await;

    let planted = Instant::now();
    plant(&sender.bucket, objects);
    println!("{objects} objects planted in {:?}", planted.elapsed());
    let (deep_before, shallow_before) = lists(&world);
    world.start(Role::Tsd, &[]);
    // New ones, as the first looks go through it all; and once they have.
    let mut times = Vec::new();
    for (n, name) in ["A-second", "Diag-old-500001-between", "zz-later"].into_iter().enumerate() {
        times.push(lands(&world, &sender.put(&Cargo::results(name))).await);
        tokio::time::sleep(Duration::from_secs(2 * n as u64)).await;
    }
    // A name that is known is not looked into again before the next pass; its sender tells of it.
    let revision = sender.put(&Cargo { revision: 2, ..Cargo::results("A-first").file("more.vcf", b"more") });
    let told = format!(
        r#"{{"version":1,"at":"2026-06-12T10:00:00Z","sender":"gdx-login/1","program":"0.1.0","backlog":{{}},"sequence":{},"recent":["{revision}"]}}"#,
        sender.sequence
    );
    put(&sender.bucket.join("heartbeat/gdx-login/1"), told.as_bytes());
    let what = "the revision is known";
    world.until(what, |w| w.state(Role::Tsd, &revision.to_string()) == Some(State::Quarantined)).await;

    let (deep, shallow) = lists(&world);
    let large = peak(&world);
    println!(
        "{objects} objects: {} requests for the passes, {} for the glances; landed after {times:?}; peak {small} KiB with few objects, {large} KiB now",
        deep - deep_before,
        shallow - shallow_before
    );
    // One pass, and one list of the heartbeats for each look.
    let looks = shallow - shallow_before;
    assert!(deep - deep_before <= objects / 1000 + 10 + looks, "one pass through all of it");
    assert!(large < small + 64 * 1024, "memory does not grow with the bucket");
    world.stop().await;
}
