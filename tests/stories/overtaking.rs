//! Urgent goes before normal at the next part, not at the next file; and the normal one goes on meanwhile.
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::package::{Priority, State};

use crate::world::World;

const IN_FLIGHT: usize = 4;
const WIRE: [(&str, &str); 4] = [
    ("TSD_IMPORT__STORE__PARTS_IN_FLIGHT", "4"),
    ("TSD_IMPORT__STORE__PART_SIZE", "5 MiB"),
    ("TSD_IMPORT__STORE__RANGE_SIZE", "5 MiB"),
    ("TSD_IMPORT__TRANSFER__SCAN", "100 ms"),
];
const SLOW: &str = "analyses-results/singles/whole-genome/r1";
const SOON: &str = "analyses-results/singles/newborn/r1";

fn place(world: &World, priority: Priority, name: &str, files: &[(&str, usize)]) {
    let bytes = |n: usize, size: usize| (0..size).map(|i| (i * 31 + n) as u8).collect();
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().enumerate().map(|(n, (file, size))| (*file, bytes(n, *size))).collect();
    world.site.drop_in("analyses-results/singles", name, priority, &files).unwrap();
}

/// Requests so far that carry payload of this package, in the order in which they were answered.
fn carried(world: &World, operation: &str, name: &str) -> usize {
    let all = world.site.store.requests();
    all.iter()
        .filter(|r| r.operation() == operation && r.path.contains(name) && (200..300).contains(&r.status))
        .count()
}

/// Every part of the large package takes this long.
fn slow(world: &World, method: http::Method) {
    world.site.store.fault(FaultRule {
        method: Some(method),
        key_contains: Some("whole-genome".into()),
        query_contains: None,
        times: 10_000,
        kind: FaultKind::Delay(Duration::from_millis(250)),
    });
}

#[tokio::test]
async fn an_urgent_package_is_through_while_a_large_one_is_sent() {
    let mut world = World::new().await;
    slow(&world, http::Method::PUT);
    place(&world, Priority::Normal, "whole-genome", &[("genome.bam", 320 << 20)]);
    world.start(Role::Nsc, &WIRE);
    world.until("the large one is under way", |w| carried(w, "UploadPart", "whole-genome") >= 8).await;
    place(&world, Priority::Urgent, "newborn", &[("a.vcf", 300_000), ("b.bam", 12 << 20), ("c.vcf", 10)]);
    world.until("the urgent one is taken up", |w| w.state(Role::Nsc, SOON) == Some(State::Uploading)).await;
    let before = carried(&world, "UploadPart", "whole-genome");
    world
        .until("its first byte left", |w| {
            carried(w, "PutObject", "newborn") + carried(w, "UploadPart", "newborn") > 0
        })
        .await;
    let overtaken_after = carried(&world, "UploadPart", "whole-genome") - before;
    println!("{overtaken_after} parts of the large package were answered before the first of the urgent one");
    assert!(overtaken_after <= IN_FLIGHT + 1, "{overtaken_after} parts went before it");
    world.until("the urgent one is through", |w| w.state(Role::Nsc, SOON) == Some(State::Transferred)).await;
    let sent = carried(&world, "UploadPart", "whole-genome");
    assert!(sent < 50, "the large one is not half through: {sent} of 64 parts");
    assert_eq!(world.state(Role::Nsc, SLOW), Some(State::Uploading));
    world.until("and the large one goes on", |w| carried(w, "UploadPart", "whole-genome") > sent + 2).await;
    world.site.store.mend();
    world.until("and arrives", |w| w.state(Role::Nsc, SLOW) == Some(State::Transferred)).await;
    world.stop().await;
}

#[tokio::test]
async fn an_urgent_package_is_through_while_a_large_one_is_received() {
    let mut world = World::new().await;
    place(&world, Priority::Normal, "whole-genome", &[("genome.bam", 320 << 20)]);
    world.start(Role::Nsc, &WIRE);
    world.until("the large one is sent", |w| w.state(Role::Nsc, SLOW) == Some(State::Transferred)).await;
    slow(&world, http::Method::GET);
    world.start(Role::Tsd, &[&WIRE[..], &[("TSD_IMPORT__WATCH__INTERVAL", "200 ms")]].concat());
    world.until("the large one is under way", |w| carried(w, "GetObject", "whole-genome") >= 10).await;
    place(&world, Priority::Urgent, "newborn", &[("a.vcf", 300_000), ("b.bam", 12 << 20), ("c.vcf", 10)]);
    world.until("the urgent one is taken up", |w| w.state(Role::Tsd, SOON) == Some(State::Copying)).await;
    let (large, soon) =
        (carried(&world, "GetObject", "whole-genome"), carried(&world, "GetObject", "newborn/r1/a"));
    world.until("its first byte came", |w| carried(w, "GetObject", "newborn/r1/a") > soon).await;
    let overtaken_after = carried(&world, "GetObject", "whole-genome") - large;
    assert!(overtaken_after <= IN_FLIGHT + 1, "{overtaken_after} ranges went before it");
    world.until("the urgent one is READY", |w| w.state(Role::Tsd, SOON) == Some(State::Ready)).await;
    assert_eq!(world.state(Role::Tsd, SLOW), Some(State::Copying));
    world.site.store.mend();
    world.until("and the large one arrives", |w| w.state(Role::Tsd, SLOW) == Some(State::Ready)).await;
    world.stop().await;
}
