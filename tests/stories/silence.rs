//! Everything runs and nothing moves: the alarm is raised once, survives a restart, and ends when it is heard again.
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::journal::Event;
use tsd_import::package::State;

use crate::signals::snapshot;
use crate::world::{World, sample_ids, text};

fn heard_and_silent(world: &World, role: Role, wanted: &str) -> Vec<&'static str> {
    let events = world.events(role);
    let of = |event: &Event| match event {
        Event::Silent { what, .. } if what == wanted => Some("silent"),
        Event::Heard { what, .. } if what == wanted => Some("heard"),
        _ => None,
    };
    events.iter().filter_map(|l| of(&l.event)).collect()
}

#[tokio::test]
async fn a_store_that_answers_503_for_long_is_an_alarm_over_a_restart_until_packages_move() {
    let keys = "alarm.committed = \"2 s\"\nstore.attempts = 1\n";
    let more_of = vec![(Role::Nsc, keys.to_owned())];
    let mut world =
        World::with(SiteOptions { token_life: Duration::from_secs(600), more_of, ..SiteOptions::default() })
            .await;
    world.site.store.fault(FaultRule { times: 100_000, ..FaultRule::next(FaultKind::SlowDown) });
    let dna = world.samples(2, 200_000);
    world.start(Role::Nsc, &[]);
    let alarms = |w: &World| heard_and_silent(w, Role::Nsc, "committed");
    world.until("the alarm is raised", |w| !alarms(w).is_empty()).await;
    let told =
        |w: &World| snapshot(w, Role::Nsc).is_some_and(|s| s.silences.iter().any(|s| s.what == "committed"));
    world.until("status.json has it", told).await;
    let status = text(&world.command(Role::Nsc, &["status"]).stdout);
    let line = status
        .lines()
        .find(|l| l.starts_with("! silent: committed since "))
        .unwrap_or_else(|| panic!("{status}"));
    assert!(line.contains("package(s) wait to be sent and none was committed for"), "{line}");
    world.stop().await;

    world.start(Role::Nsc, &[]);
    world.until("it runs again", |w| told(w)).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(alarms(&world), ["silent"], "once per silence, and a restart does not end it");
    world.site.store.mend();
    world.start(Role::Tsd, &[]);
    let ids = sample_ids(&dna);
    world.until_ready(&ids).await;
    world.until("it is heard again", |w| alarms(w) == ["silent", "heard"]).await;
    let status = text(&world.command(Role::Nsc, &["status"]).stdout);
    assert!(!status.contains("! silent"), "{status}");
    world.stop().await;
    world.everything_is_right(&ids);
    assert_eq!(world.fold(Role::Nsc).tally().get(&State::Transferred), Some(&2));
}

#[tokio::test]
async fn a_backlog_that_a_sender_tells_of_and_that_does_not_come_is_an_alarm() {
    let more_of = vec![
        (Role::Tsd, "alarm.backlog = \"2 s\"\n".to_owned()),
        (Role::Nsc, "store.attempts = 1\n".to_owned()),
    ];
    let options = SiteOptions { token_life: Duration::from_secs(600), more_of, ..SiteOptions::default() };
    let mut world = World::with(options).await;
    let dna = world.samples(2, 200_000);
    // It reaches the store with its heartbeat, and with nothing else.
    let mut rule = FaultRule { times: 100_000, ..FaultRule::next(FaultKind::SlowDown) };
    rule.key_contains = Some("/samples/".into());
    world.site.store.fault(rule);
    world.start(Role::Nsc, &[]);
    let packed = |w: &World| w.fold(Role::Nsc).in_state(State::Uploading).count() == 2;
    world.until("they wait to be sent", packed).await;
    world.stop().await;
    world.start(Role::Nsc, &[]); // the first thing that it does is to give a sign of life
    world.start(Role::Tsd, &[]);
    let alarms = |w: &World| heard_and_silent(w, Role::Tsd, "backlog");
    world.until("the alarm is raised", |w| alarms(w) == ["silent"]).await;
    let status = text(&world.command(Role::Tsd, &["status"]).stdout);
    assert!(
        status.contains("! silent: backlog since ") && status.contains("2 package(s) wait at a sender"),
        "{status}"
    );
    assert!(status.contains("none of what waits there has come since"), "{status}");
    world.kill(Role::Tsd).await;
    world.start(Role::Tsd, &[]);
    world.until("it looks again", |w| snapshot(w, Role::Tsd).is_some_and(|s| !s.senders.is_empty())).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(alarms(&world), ["silent"], "a restart ends no alarm");
    world.site.store.mend();
    world.until("something came", |w| alarms(w) == ["silent", "heard"]).await;
    let ids = sample_ids(&dna);
    world.until_ready(&ids).await;
    world.stop().await;
    world.everything_is_right(&ids);
}

#[tokio::test]
async fn a_bucket_that_cannot_be_listed_is_an_alarm_and_one_without_packages_is_none() {
    let keys = "alarm.listed = \"2 s\"\nalarm.ready = \"1 s\"\nstore.attempts = 1\n";
    let more_of = vec![(Role::Tsd, keys.to_owned())];
    let mut world =
        World::with(SiteOptions { token_life: Duration::from_secs(600), more_of, ..SiteOptions::default() })
            .await;
    world.start(Role::Tsd, &[]);
    let looked =
        |w: &World| snapshot(w, Role::Tsd).is_some_and(|s| s.actors.iter().any(|a| a.report.done > 2));
    world.until("the bucket was looked through a few times", looked).await;
    assert_eq!(heard_and_silent(&world, Role::Tsd, "listed"), [""; 0]);
    let mut rule = FaultRule { times: 100_000, ..FaultRule::next(FaultKind::SlowDown) };
    rule.query_contains = Some("list-type".into());
    world.site.store.fault(rule);
    world.until("the alarm is raised", |w| heard_and_silent(w, Role::Tsd, "listed") == ["silent"]).await;
    world.site.store.mend();
    world
        .until("it is heard again", |w| heard_and_silent(w, Role::Tsd, "listed") == ["silent", "heard"])
        .await;
    assert_eq!(heard_and_silent(&world, Role::Tsd, "ready"), [""; 0], "nothing waits, so nothing is missed");
    world.stop().await;
}
