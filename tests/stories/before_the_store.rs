//! Something before the store answers in its place, with 200: nobody's package is blamed, and all arrives when it is gone.
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::demo::store::{FaultKind, FaultRule, Portal};
use tsd_import::journal::Event;
use tsd_import::package::{Priority, State};

use crate::world::World;

const KIND: &str = "analyses-results/trios";

/// A page comes instead of what is asked for, so many times.
fn page(world: &World, page: Portal, key: &str, times: u32) {
    world.site.store.fault(FaultRule {
        method: Some(http::Method::GET),
        key_contains: Some(key.to_owned()),
        query_contains: None,
        times,
        kind: FaultKind::Portal(page),
    });
}

#[tokio::test]
async fn pages_in_place_of_objects_stop_no_package_and_all_arrives_behind_them() {
    let conf = "store.range_size = \"1 MiB\"\nstore.attempts = 2\nwork.outage_first = \"200 ms\"\nwork.max_failures = 3\n";
    let more_of = vec![(Role::Tsd, conf.to_owned())];
    let token_life = Duration::from_secs(600);
    let mut world = World::with(SiteOptions { token_life, more_of, ..SiteOptions::default() }).await;
    let files = |n: u8| [("data.vcf", vec![n; 5 << 20]), ("qc/small.txt", vec![n; 9000])];
    let names: Vec<String> = (0..5).map(|n| format!("Diag-behind-{n}")).collect();
    for (name, n) in names.iter().zip(0..) {
        drop(world.site.drop_in(KIND, name, Priority::Normal, &files(n)).unwrap());
    }
    let ids: Vec<String> = names.iter().map(|name| format!("{KIND}/{name}/r1")).collect();
    world.start(Role::Nsc, &[]);
    let sent = |w: &World| ids.iter().all(|id| w.state(Role::Nsc, id) == Some(State::Transferred));
    world.until("they are in the bucket", sent).await;

    // More often than a request is repeated, and more often than a failure of a package would be borne.
    for (kind, name) in Portal::ALL.into_iter().zip(&names) {
        let json = kind == Portal::Json;
        for object in ["COMMIT", "COMMIT.sig", "SHA256SUMS", "data.vcf", "qc/small.txt"] {
            let document = !object.contains('/') && !object.contains("vcf");
            // Some JSON with an ETag may be a document; it is looked at again as often as work.max_failures says.
            let times = if json && document { 1 } else { 7 };
            page(&world, kind, &format!("/{name}/r1/{object}"), times);
        }
    }
    world.start(Role::Tsd, &[]);
    world.see_it_through(&ids).await;
    let stopped = |event: &Event| matches!(event, Event::Moved { to: State::Quarantined, .. });
    let events = world.events(Role::Tsd);
    assert!(!events.iter().any(|line| stopped(&line.event)), "nobody was stopped, not for a moment");
    let log = world.stderr(Role::Tsd);
    assert!(log.contains("something before the store answered in its place"), "{log}");
    assert!(log.contains("its COMMIT does not fit; it is read again"), "{log}");
    assert!(!log.contains("the store ignores ranges"), "{log}");
}

#[tokio::test]
async fn a_commit_that_stays_wrong_is_stopped_after_several_looks() {
    let more_of = vec![(Role::Tsd, "work.max_failures = 3\n".to_owned())];
    let token_life = Duration::from_secs(600);
    let mut world = World::with(SiteOptions { token_life, more_of, ..SiteOptions::default() }).await;
    drop(world.site.drop_in(KIND, "Diag-wrong", Priority::Normal, &[("data.vcf", vec![1; 9000])]).unwrap());
    let id = format!("{KIND}/Diag-wrong/r1");
    world.start(Role::Nsc, &[]);
    world.until("it is sent", |w| w.state(Role::Nsc, &id) == Some(State::Transferred)).await;
    page(&world, Portal::Json, "/Diag-wrong/r1/COMMIT", 10_000);
    world.start(Role::Tsd, &[]);
    world.until("it is stopped", |w| w.state(Role::Tsd, &id) == Some(State::Quarantined)).await;
    let gets = world.site.store.requests().into_iter();
    let looks = gets.filter(|r| r.method == "GET" && r.path.ends_with("/Diag-wrong/r1/COMMIT")).count();
    assert_eq!(looks, 3);
    world.stop().await;
}
