//! The receiver cannot ask. What its senders' commits and heartbeats do not fit together with, it notices by itself.
use std::path::PathBuf;
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::journal::Event;
use tsd_import::package::{Priority, Reason, State};

use crate::world::{World, text};

const KIND: &str = "analyses-results/trios";

async fn world(keys: &str) -> World {
    let more_of = vec![(Role::Tsd, keys.to_owned())];
    World::with(SiteOptions { token_life: Duration::from_secs(600), more_of, ..SiteOptions::default() }).await
}

/// Drops a package in and waits until it is in the bucket.
async fn sent(world: &World, name: &str) -> String {
    drop(
        world.site.drop_in(KIND, name, Priority::Normal, &[("data.vcf", name.as_bytes().to_vec())]).unwrap(),
    );
    let id = format!("{KIND}/{name}/r1");
    world.until("it is sent", |w| w.state(Role::Nsc, &id) == Some(State::Transferred)).await;
    id
}

async fn landed(world: &World, id: &str) {
    world.until("it landed", |w| w.state(Role::Tsd, id) == Some(State::Ready)).await;
}

fn commit(world: &World, name: &str) -> PathBuf {
    world.site.dir.join("store/p22-import/tsd-import").join(KIND).join(name).join("r1/COMMIT")
}

fn journal(world: &World) -> PathBuf {
    world.site.dir.join("nsc/state/journal.jsonl")
}

fn status(world: &World) -> String {
    text(&world.command(Role::Tsd, &["status"]).stdout)
}

fn alarms(world: &World) -> Vec<&'static str> {
    let of = |event: &Event| match event {
        Event::Silent { what, .. } if what == "whole" => Some("silent"),
        Event::Heard { what, .. } if what == "whole" => Some("heard"),
        _ => None,
    };
    world.events(Role::Tsd).iter().filter_map(|line| of(&line.event)).collect()
}

#[tokio::test]
async fn a_commit_that_vanished_is_missed_until_it_is_back() {
    let mut world = world("alarm.whole = \"1 s\"\n").await;
    world.start(Role::Nsc, &[]);
    let mut ids = Vec::new();
    for name in ["one", "two", "three", "four"] {
        ids.push(sent(&world, name).await);
    }
    let away = world.site.dir.join("away");
    tsd_import::fs::publish(&commit(&world, "two"), &away).unwrap();
    // The last one is known from the heartbeat alone; the next one comes when the sender starts again.
    let last = world.site.dir.join("last");
    tsd_import::fs::publish(&commit(&world, "four"), &last).unwrap();
    world.stop().await;
    world.start(Role::Nsc, &[]);
    world.start(Role::Tsd, &[]);
    landed(&world, &ids[2]).await;
    world.until("they are missed", |w| status(w).contains("! 2 of its commits are not here")).await;
    world.until("that is an alarm", |w| alarms(w) == ["silent"]).await;
    let said = status(&world);
    let line = said.lines().find(|line| line.contains("of its commits are not here")).unwrap();
    assert!(line.contains("#2, gdx-login/") && line.ends_with("#4"), "{line}");
    assert!(
        said.contains("! silent: whole since") && said.contains("package(s) that were sent have not"),
        "{said}"
    );
    assert!(said.contains("heartbeat of ") && said.contains("last commit #3"), "{said}");
    tsd_import::fs::publish(&away, &commit(&world, "two")).unwrap();
    tsd_import::fs::publish(&last, &commit(&world, "four")).unwrap();
    for id in &ids {
        landed(&world, id).await;
    }
    world.until("nothing is missed any more", |w| alarms(w) == ["silent", "heard"]).await;
    assert!(!status(&world).contains("are not here"), "{}", status(&world));
    world.stop().await;
}

/// With the journal goes the knowledge of what was sent, so the numbers begin again: under another epoch, which is no fork.
#[tokio::test]
async fn a_sender_that_lost_its_journal_begins_a_new_chain_and_that_is_said() {
    let mut world = world("").await;
    world.start_both();
    landed(&world, &sent(&world, "one").await).await;
    world.stop().await;
    // As a start without a journal asks for it.
    std::fs::remove_file(journal(&world)).unwrap();
    std::fs::remove_file(journal(&world).with_file_name("status.json")).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await; // an epoch is a second
    world.start_both();
    landed(&world, &sent(&world, "two").await).await;
    let said = |w: &World| status(w).contains("! gdx-login gives out a new chain of commits");
    world.until("it is said", said).await;
    let fold = world.fold(Role::Tsd);
    let places: Vec<&str> = fold.packages().filter_map(|row| row.facts.sent_as.as_deref()).collect();
    let [one, two] = places[..] else { panic!("{places:?}") };
    assert!(one.ends_with("#1") && two.ends_with("#1") && one != two, "{places:?}");
    assert!(!world.stderr(Role::Tsd).contains("! 1 of its commits"), "nothing is missing of either");
    world.stop().await;
}

#[tokio::test]
async fn a_number_that_is_given_out_twice_stops_the_second_package() {
    let mut world = world("").await;
    world.start_both();
    let one = sent(&world, "one").await;
    landed(&world, &one).await;
    world.stop().await;
    let before = std::fs::read(journal(&world)).unwrap();
    world.start_both();
    let two = sent(&world, "two").await;
    landed(&world, &two).await;
    world.stop().await;
    // As from a snapshot of the machine: it does not know that it sent the second one.
    tsd_import::fs::write_durably(&journal(&world), &before).unwrap();
    world.start_both();
    let other = sent(&world, "other").await;
    world.until("it is stopped", |w| w.state(Role::Tsd, &other) == Some(State::Quarantined)).await;
    let fold = world.fold(Role::Tsd);
    let row = fold.package(&other.parse().unwrap()).unwrap();
    assert_eq!(row.facts.reason, Some(Reason::CommitFork));
    let detail = row.facts.detail.as_deref().unwrap();
    assert!(detail.contains(&two) && detail.contains("given out twice"), "{detail}");
    assert!(!world.site.landing(KIND).join("other").exists());
    // The next number is nobody's, but it follows the commit that was stopped.
    let next = sent(&world, "next").await;
    let known = |w: &World| w.state(Role::Tsd, &next).is_some_and(State::is_settled);
    world.until("it is decided about", known).await;
    assert_eq!(
        world.fold(Role::Tsd).package(&next.parse().unwrap()).unwrap().facts.reason,
        Some(Reason::CommitFork)
    );
    for id in [&one, &two] {
        assert_eq!(world.state(Role::Tsd, id), Some(State::Ready), "{id}");
    }
    world.stop().await;
}
