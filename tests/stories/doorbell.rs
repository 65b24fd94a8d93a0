//! Where the endpoint tells of new objects a package lands within seconds, however rarely the bucket is looked through. Whatever comes
//! instead of notifications does no harm.
use std::time::{Duration, Instant};

use bytes::Bytes;
use tsd_import::conf::Role;
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::package::{Priority, State};

use crate::world::{World, text};

const KIND: &str = "analyses-results/trios";
/// An hour between two looks: what lands sooner was rung for.
const RARELY: &[(&str, &str)] =
    &[("TSD_IMPORT__WATCH__INTERVAL", "1 h"), ("TSD_IMPORT__WATCH__NOTIFICATIONS", "auto")];

async fn listening(world: &World) {
    world.until("it listens", |w| w.site.store.listeners() == 1).await;
}

/// Drops a package in; how long after its commit it is READY.
async fn lands(world: &World, name: &str) -> Duration {
    drop(
        world.site.drop_in(KIND, name, Priority::Normal, &[("data.vcf", name.as_bytes().to_vec())]).unwrap(),
    );
    let id = format!("{KIND}/{name}/r1");
    world.until("it is sent", |w| w.state(Role::Nsc, &id) == Some(State::Transferred)).await;
    let sent = Instant::now();
    world.until("it landed", |w| w.state(Role::Tsd, &id) == Some(State::Ready)).await;
    sent.elapsed()
}

fn looks(world: &World) -> usize {
    world
        .site
        .store
        .requests()
        .iter()
        .filter(|request| request.query.iter().any(|part| part.starts_with("list-type")))
        .count()
}

#[tokio::test]
async fn a_package_lands_within_seconds_though_the_bucket_is_looked_through_once_an_hour() {
    let mut world = World::new().await;
    world.start(Role::Nsc, &[]);
    world.start(Role::Tsd, RARELY);
    listening(&world).await;
    for name in ["one", "two"] {
        let took = lands(&world, name).await;
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
    // A connection that is cut is made anew, and what came meanwhile is looked for.
    for name in ["three", "four"] {
        world.site.store.hang_up();
        let took = lands(&world, name).await;
        assert!(took < Duration::from_secs(30), "{took:?}");
    }
    // Whoever rings like mad gets looks at a distance, no more.
    listening(&world).await;
    let before = looks(&world);
    let mad =
        "{\"Records\":[{\"s3\":{\"object\":{\"key\":\"tsd-import/samples/x/r1/COMMIT\"}}}]}\n".repeat(2000);
    for _ in 0..20 {
        world.site.store.babble(Bytes::from(mad.clone()));
    }
    tokio::time::sleep(Duration::from_secs(7)).await;
    let more = looks(&world) - before;
    assert!((1..=8).contains(&more), "{more} requests for lists in seven seconds");
    world.stop().await;
    let said = world.stderr(Role::Tsd);
    assert_eq!(said.matches("the endpoint tells of new objects").count(), 1, "said once: {said}");
}

#[tokio::test]
async fn garbage_lines_without_end_and_endpoints_without_it_do_no_harm() {
    let mut world = World::new().await;
    world.start(Role::Nsc, &[]);
    // As MinIO behind a proxy that knows nothing of it, as another store, as a login page, as a connection that is cut at once.
    for (n, kind) in
        [FaultKind::Refuse("NotImplemented"), FaultKind::Denied, FaultKind::HtmlOk].into_iter().enumerate()
    {
        let rule = FaultRule { query_contains: Some("events=".into()), ..FaultRule::next(kind) };
        world.site.store.fault(rule);
        world.start(Role::Tsd, &[("TSD_IMPORT__WATCH__NOTIFICATIONS", "auto")]);
        let said = |w: &World| w.stderr(Role::Tsd).matches("does not tell of new objects").count() == n + 1;
        world.until("that is said", said).await;
        let took = lands(&world, &format!("poll{n}")).await;
        assert!(took < Duration::from_secs(30), "the poll stays: {took:?}");
        world.kill(Role::Tsd).await;
    }
    // Something that is no notification, and a line that has no end.
    for (n, odd) in [Bytes::from_static(b"HTTP/1.1 502 Bad Gateway\n"), Bytes::from(vec![b'{'; 1 << 20])]
        .into_iter()
        .enumerate()
    {
        world.start(Role::Tsd, &[("TSD_IMPORT__WATCH__NOTIFICATIONS", "auto")]);
        listening(&world).await;
        world.site.store.babble(odd);
        world.until("it has hung up", |w| w.site.store.listeners() == 0).await;
        world
            .until("that is said", |w| w.stderr(Role::Tsd).matches("is no notification").count() == n + 1)
            .await;
        let took = lands(&world, &format!("odd{n}")).await;
        assert!(took < Duration::from_secs(30), "the poll stays: {took:?}");
        world.kill(Role::Tsd).await;
    }
    world.start(Role::Tsd, &[]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_tells_whether_the_endpoint_has_it() {
    let world = World::new().await;
    let asked = || text(&world.command(Role::Tsd, &["doctor", "--seconds", "0"]).stdout);
    let line =
        |said: &str| said.lines().find(|line| line.contains("notifications")).unwrap_or_default().to_owned();
    let all = asked();
    let said = line(&all);
    assert!(said.starts_with('●') || said.contains("● "), "{all}");
    let rule =
        FaultRule { query_contains: Some("events=".into()), times: 9, ..FaultRule::next(FaultKind::Denied) };
    world.site.store.fault(rule);
    let said = line(&asked());
    assert!(said.contains('○') && said.contains("looked through every watch.interval"), "{said}");
}
