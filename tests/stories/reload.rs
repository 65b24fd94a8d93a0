//! SIGHUP: what may change changes, the rest is named, a faulty file changes nothing, and no SIGHUP is lost.
use rustix::process::Signal;
use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::journal::Event;
use tsd_import::package::State;

use crate::signals::{signal, up};
use crate::world::{World, sample_ids, text};

fn reloads(world: &World) -> Vec<(Vec<String>, Vec<String>)> {
    let events = world.events(Role::Tsd).into_iter();
    let of = |l: tsd_import::journal::Line| match l.event {
        Event::Reloaded { changed, needs_restart } => Some((changed, needs_restart)),
        _ => None,
    };
    events.filter_map(of).collect()
}

/// All the lines of the log file.
fn log(world: &World) -> String {
    let dir = world.site.dir.join("tsd/log");
    let files = std::fs::read_dir(dir).unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap());
    files.map(|bytes| text(&bytes)).collect()
}

struct File<'a>(&'a World, String);

impl File<'_> {
    fn write(&self, replace: &[(&str, &str)], more: &str) {
        let changed = replace.iter().fold(self.1.clone(), |text, (from, to)| {
            assert!(text.contains(from), "{from} in {text}");
            text.replace(from, to)
        });
        tsd_import::fs::write_durably(&self.0.site.conf(Role::Tsd), (changed + more).as_bytes()).unwrap();
    }
}

async fn quiet_world(env: &[(&str, &str)]) -> (World, String) {
    let more_of = vec![(Role::Tsd, "log.level = \"warn\"\n".to_owned())];
    let mut world = World::with(SiteOptions { more_of, ..SiteOptions::default() }).await;
    world.start(Role::Tsd, env);
    up(&world, Role::Tsd).await;
    let text = std::fs::read_to_string(world.site.conf(Role::Tsd)).unwrap();
    (world, text)
}

#[tokio::test]
async fn live_keys_change_the_others_are_named_and_a_faulty_file_changes_nothing() {
    let (mut world, text) = quiet_world(&[]).await;
    let file = File(&world, text);
    assert!(!log(&world).contains("tsd-import starts"), "at level warn");

    file.write(&[("log.level = \"warn\"", "log.level = \"info\"")], "work.max_failures = 0\nroel = 1\n");
    signal(&world, Role::Tsd, Signal::HUP);
    let refused = |w: &World| log(w).contains("the old one stays");
    world.until("the faults are in the log", refused).await;
    let line = log(&world).lines().find(|l| l.contains("the old one stays")).unwrap().to_owned();
    for fault in ["it has 2 fault(s): ", "work.max_failures", "roel: unknown key", "\"level\":\"ERROR\""] {
        assert!(line.contains(fault), "{fault} in {line}");
    }
    assert_eq!(reloads(&world), []);

    let changes =
        [("log.level = \"warn\"", "log.level = \"info\""), ("bucket = \"p22-import\"", "bucket = \"other\"")];
    file.write(&changes, "work.max_failures = 5\n");
    signal(&world, Role::Tsd, Signal::HUP);
    world.until("the configuration is read again", |w| reloads(w).len() == 1).await;
    let changed = vec!["log.level".to_owned(), "work.max_failures".to_owned()];
    assert_eq!(reloads(&world), [(changed, vec!["store.bucket".to_owned()])]);
    world.until("it is told at the new level", |w| log(w).contains("configuration read again")).await;
    assert!(log(&world).contains("\"needs_restart\":\"store.bucket\""));

    signal(&world, Role::Tsd, Signal::HUP);
    world.until("it is read once more", |w| reloads(w).len() == 2).await;
    assert_eq!(reloads(&world)[1], (vec![], vec!["store.bucket".to_owned()]), "what waits is named again");
    world.stop().await;
}

#[tokio::test]
async fn a_second_sighup_during_a_reload_is_not_lost() {
    let (mut world, text) = quiet_world(&[("FAILPOINTS", "reload=1*sleep(1500)->off")]).await;
    signal(&world, Role::Tsd, Signal::HUP);
    // The old file has been read and is being thought about; now there is a new one.
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert_eq!(reloads(&world), []);
    File(&world, text).write(&[], "work.max_failures = 5\n");
    signal(&world, Role::Tsd, Signal::HUP);
    world.until("both are through", |w| reloads(w).len() == 2).await;
    assert_eq!(reloads(&world), [(vec![], vec![]), (vec!["work.max_failures".to_owned()], vec![])]);
    world.stop().await;
}

/// What was waited for by the old rhythm and would have landed by the old route.
#[tokio::test]
async fn a_new_rhythm_and_a_new_route_count_at_once() {
    let mut world = World::new().await;
    let dna = world.samples(2, 200_000);
    let text = std::fs::read_to_string(world.site.conf(Role::Tsd)).unwrap();
    let rhythm = "watch.interval = \"1 s\"";
    File(&world, text.clone()).write(&[(rhythm, "watch.interval = \"1 h\"")], "");
    world.start(Role::Tsd, &[]);
    up(&world, Role::Tsd).await;
    world.start(Role::Nsc, &[]);
    let sent = |w: &World| w.fold(Role::Nsc).tally().get(&State::Transferred) == Some(&2);
    world.until("both are in the bucket", sent).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(world.fold(Role::Tsd).packages().count(), 0, "the next look is in an hour");

    let (old, new) =
        (world.site.landing("samples"), world.site.landing("samples").with_file_name("new-samples"));
    tsd_import::fs::create_dir(&new).unwrap();
    let route = |place: &std::path::Path| format!("\"{}\"", place.display());
    File(&world, text).write(&[(&route(&old), &route(&new))], "");
    signal(&world, Role::Tsd, Signal::HUP);
    world.until_ready(&sample_ids(&dna)).await;
    let changed = vec!["landing.samples.destination".to_owned(), "watch.interval".to_owned()];
    assert_eq!(reloads(&world), [(changed, vec![])]);
    for dna in &dna {
        assert!(new.join(format!("Diag-wgs1-{dna}")).join("READY").is_file());
        assert!(!old.join(format!("Diag-wgs1-{dna}")).exists());
    }
    world.stop().await;
}

/// A package that was copied for the old route is neither lost nor taken for delivered when the route changes.
#[tokio::test]
async fn what_was_copied_for_an_old_route_is_named_and_waits_for_it() {
    let mut world = World::new().await;
    let dna = world.samples(1, 200_000);
    let text = std::fs::read_to_string(world.site.conf(Role::Tsd)).unwrap();
    world.start(Role::Tsd, &[("FAILPOINTS", "verifier.unit=5*return(its disk is sick)->off")]);
    world.start(Role::Nsc, &[]);
    let ids = sample_ids(&dna);
    world.until("it is copied", |w| w.state(Role::Tsd, &ids[0]) == Some(State::Copied)).await;
    let old = world.site.landing("samples");
    let new = world.site.dir.join("tsd/other-disk/samples");
    tsd_import::fs::create_dir(&new).unwrap();
    let route = |place: &std::path::Path| format!("\"{}\"", place.display());
    let file = File(&world, text.clone());
    file.write(&[(&route(&old), &route(&new))], "");
    signal(&world, Role::Tsd, Signal::HUP);
    let named = |w: &World| {
        let said = String::from_utf8(w.command(Role::Tsd, &["status"]).stdout).unwrap();
        said.contains("was copied to")
            && said.contains("landing.samples.destination was changed: set that back")
    };
    world.until("it is named, with what to do", named).await;
    assert_eq!(world.state(Role::Tsd, &ids[0]), Some(State::Copied), "neither delivered nor blamed");
    file.write(&[], "");
    signal(&world, Role::Tsd, Signal::HUP);
    world.see_it_through(&ids).await;
}
