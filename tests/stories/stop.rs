//! Every way to stop, and what it leaves behind: signals, the stop file, `drain`, a supervisor that falls itself.
use std::process::Output;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tsd_import::conf::Role;
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::journal::Event;
use tsd_import::stop::Stop;

use crate::signals::{ended, last_end, signal, snapshot, up};
use crate::world::{PROGRAM, World, sample_ids, text};

/// As [`World::command`], but store and LIMS go on meanwhile.
async fn command(world: &World, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(PROGRAM);
    let command = command.args(args).arg("--config").arg(world.site.conf(Role::Nsc)).env("COLUMNS", "2000");
    let command = command.kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(60), command.output()).await.unwrap().unwrap()
}

/// A part takes that long, so that something is in hand.
fn slow_store(world: &World, secs: u64) {
    let kind = FaultKind::Delay(Duration::from_secs(secs));
    let mut rule = FaultRule { times: 2, ..FaultRule::next(kind) };
    rule.key_contains = Some("fastq".into());
    world.site.store.fault(rule);
}

#[tokio::test]
async fn a_second_signal_leaves_within_two_seconds_though_a_thread_is_blocked() {
    let mut world = World::new().await;
    let dna = world.samples(2, 300_000);
    world.start(Role::Nsc, &[("FAILPOINTS", "uploader=3*off->1*sleep(60000)->off")]);
    up(&world, Role::Nsc).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    signal(&world, Role::Nsc, Signal::TERM);
    let late = |w: &World| {
        let stopping = snapshot(w, Role::Nsc).and_then(|s| s.stopping);
        stopping.is_some_and(|s| s.late.len() == 1 && s.late[0].actor == "uploader" && s.left_secs <= 20)
    };
    world.until("status.json says who is late", late).await;
    let status = text(&command(&world, &["status"]).await.stdout);
    assert!(status.contains("(SIGTERM): waiting for uploader"), "{status}");
    let begun = Instant::now();
    signal(&world, Role::Nsc, Signal::INT);
    let status = ended(&mut world, Role::Nsc, Duration::from_secs(2)).await;
    println!("gone {:?} after the second signal", begun.elapsed());
    assert_eq!(status.code(), Some(75));
    let (exit, why) = last_end(&world, Role::Nsc);
    assert!(exit == 75 && why.contains("second signal (SIGINT)"), "{exit} {why}");
    assert!(!world.site.state(Role::Nsc).join("owner.lock").exists(), "the state directory was given back");
    world.start_both();
    let ids = sample_ids(&dna);
    world.see_it_through(&ids).await;
}

#[tokio::test]
async fn a_second_signal_ends_even_a_blocked_main_thread() {
    let mut world = World::new().await;
    world.start(Role::Nsc, &[("FAILPOINTS", "main-thread=20*off->1*sleep(60000)->off")]);
    up(&world, Role::Nsc).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    signal(&world, Role::Nsc, Signal::TERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    signal(&world, Role::Nsc, Signal::TERM);
    let status = ended(&mut world, Role::Nsc, Duration::from_secs(2)).await;
    println!("gone {:?} after the second signal", begun.elapsed());
    assert_eq!(status.code(), Some(75));
    let (exit, why) = last_end(&world, Role::Nsc);
    assert!(exit == 75 && why.contains("the hard way"), "{exit} {why}");
}

/// What was cut off at its deadline is no end in order, and it is resumed.
#[tokio::test]
async fn a_missed_deadline_is_told_by_the_exit_code() {
    let mut world = World::new().await;
    let dna = world.samples(1, 300_000);
    slow_store(&world, 20);
    world.start(Role::Nsc, &[("TSD_IMPORT__SUPERVISOR__DRAIN", "1 s")]);
    let busy = |w: &World| {
        snapshot(w, Role::Nsc).is_some_and(|s| s.moving.iter().any(|m| m.actor == "uploader" && m.total > 0))
    };
    world.until("something is in hand", busy).await;
    signal(&world, Role::Nsc, Signal::TERM);
    let status = ended(&mut world, Role::Nsc, Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(75));
    let (exit, why) = last_end(&world, Role::Nsc);
    assert!(exit == 75 && why.contains("uploader was cut off at its deadline"), "{exit} {why}");
    world.site.store.mend();
    world.start_both();
    let ids = sample_ids(&dna);
    world.see_it_through(&ids).await;
}

#[tokio::test]
async fn a_stop_file_made_by_hand_stops_it_and_keeps_it_from_starting() {
    let mut world = World::new().await;
    world.start(Role::Tsd, &[]);
    up(&world, Role::Tsd).await;
    let file = Stop::path(&world.site.state(Role::Tsd));
    tsd_import::fs::write_durably(&file, b"until Monday, Anna\n").unwrap();
    let status = ended(&mut world, Role::Tsd, Duration::from_secs(8)).await;
    assert_eq!(status.code(), Some(0));
    let (exit, why) = last_end(&world, Role::Tsd);
    assert!(exit == 0 && why.contains("STOP of uid ") && why.ends_with(": until Monday, Anna"), "{why}");
    let refused = world.command(Role::Tsd, &["run"]);
    assert_eq!(refused.status.code(), Some(69));
    let said = text(&refused.stderr);
    for word in ["not started", file.to_str().unwrap(), "uid ", "until Monday, Anna"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    let status = text(&world.command(Role::Tsd, &["status"]).stdout);
    assert!(
        status.contains("NOT RUNNING") && status.contains("no daemon starts until it is removed"),
        "{status}"
    );
    let starts =
        |w: &World| w.events(Role::Tsd).iter().filter(|l| matches!(l.event, Event::Started { .. })).count();
    assert_eq!(starts(&world), 1, "the refusal left no trace in the journal");
    std::fs::remove_file(&file).unwrap();
    world.start(Role::Tsd, &[]);
    world.until("it starts again", |w| starts(w) == 2).await;
    world.stop().await;
}

#[tokio::test]
async fn drain_waits_tells_who_is_late_and_tidies_up() {
    let mut world = World::new().await;
    let nothing = command(&world, &["drain"]).await;
    assert_eq!(nothing.status.code(), Some(0));
    assert!(text(&nothing.stdout).contains("nothing to drain"), "{}", text(&nothing.stdout));

    world.samples(1, 300_000);
    slow_store(&world, 7);
    world.start(Role::Nsc, &[]);
    let busy = |w: &World| {
        snapshot(w, Role::Nsc).is_some_and(|s| s.moving.iter().any(|m| m.actor == "uploader" && m.total > 0))
    };
    world.until("something is in hand", busy).await;
    let drained = command(&world, &["drain", "--reason", "new disk", "--within", "30s"]).await;
    let (said, failed) = (text(&drained.stdout), text(&drained.stderr));
    assert_eq!(drained.status.code(), Some(0), "{said}{failed}");
    let dna = &world.samples[0];
    for words in [
        "asked it to finish",
        &format!("waiting for uploader with samples/Diag-wgs1-{dna}/r1"),
        " s left",
        "it ended in order",
    ] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
    let status = ended(&mut world, Role::Nsc, Duration::from_secs(2)).await;
    assert_eq!(status.code(), Some(0));
    let (_, why) = last_end(&world, Role::Nsc);
    assert!(why.contains("STOP of ") && why.ends_with(": new disk"), "{why}");
    let file = Stop::path(&world.site.state(Role::Nsc));
    assert!(!file.exists(), "it tidied up");

    let kept = command(&world, &["drain", "--keep", "--reason", "move"]).await;
    assert!(kept.status.success() && file.is_file(), "{}", text(&kept.stdout));
    let refused = command(&world, &["run"]).await;
    assert_eq!(refused.status.code(), Some(69));
    assert!(text(&refused.stderr).contains(": move"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn drain_tells_the_truth_about_a_daemon_that_hangs_or_is_killed() {
    let mut world = World::new().await;
    world.start(Role::Nsc, &[]);
    up(&world, Role::Nsc).await;
    signal(&world, Role::Nsc, Signal::STOP);
    let late = command(&world, &["drain", "--within", "1s"]).await;
    assert_eq!(late.status.code(), Some(1), "{}", text(&late.stdout));
    let said = text(&late.stderr);
    assert!(said.contains("has not ended within 1s") && said.contains("STOP stays"), "{said}");
    let file = Stop::path(&world.site.state(Role::Nsc));
    let written = Stop::look(&world.site.state(Role::Nsc)).unwrap().unwrap();
    let (again, cont) = tokio::join!(command(&world, &["drain", "--within", "20s"]), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        signal(&world, Role::Nsc, Signal::CONT);
    });
    let () = cont;
    let said = text(&again.stdout);
    assert_eq!(again.status.code(), Some(0), "{said}{}", text(&again.stderr));
    assert!(said.contains(&format!("asked already: {} of {}", file.display(), written.by)), "{said}");
    assert!(file.is_file() && said.contains("stays"), "not ours, so it stays: {said}");
    assert_eq!(ended(&mut world, Role::Nsc, Duration::from_secs(2)).await.code(), Some(0));
    std::fs::remove_file(&file).unwrap();

    world.samples(1, 300_000);
    slow_store(&world, 20);
    world.start(Role::Nsc, &[]);
    let busy = |w: &World| {
        snapshot(w, Role::Nsc).is_some_and(|s| s.moving.iter().any(|m| m.actor == "uploader" && m.total > 0))
    };
    world.until("something is in hand", busy).await;
    let (drained, ()) = tokio::join!(command(&world, &["drain", "--within", "30s"]), async {
        world.until("it is asked", |w| snapshot(w, Role::Nsc).is_some_and(|s| s.stopping.is_some())).await;
        signal(&world, Role::Nsc, Signal::KILL);
    });
    assert_eq!(drained.status.code(), Some(75), "{}", text(&drained.stdout));
    assert!(text(&drained.stderr).contains("without a word"), "{}", text(&drained.stderr));
}

#[tokio::test]
async fn a_supervisor_that_falls_itself_ends_the_process() {
    let mut world = World::new().await;
    let points = "poller=2*off->1*panic(injected)->off;supervisor=panic(boom)";
    world.start(Role::Nsc, &[("FAILPOINTS", points)]);
    let status = ended(&mut world, Role::Nsc, Duration::from_secs(8)).await;
    assert_eq!(status.code(), Some(75));
    let events = world.events(Role::Nsc);
    let why = events.iter().find_map(|l| match &l.event {
        Event::Stopped { exit: 75, why } => Some(why.clone()),
        _ => None,
    });
    assert!(why.unwrap().starts_with("the supervisor itself ended"));
    let stderr = world.stderr(Role::Nsc);
    assert!(stderr.contains("boom") && stderr.contains("the supervisor itself ended"), "{stderr}");
}

#[tokio::test]
async fn a_part_beside_the_supervisor_that_falls_ends_the_process_in_order() {
    let mut world = World::new().await;
    world.start(Role::Nsc, &[("FAILPOINTS", "ear=1*panic(odd)->off")]);
    let status = ended(&mut world, Role::Nsc, Duration::from_secs(8)).await;
    assert_eq!(status.code(), Some(75));
    let (exit, why) = last_end(&world, Role::Nsc);
    assert!(exit == 75 && why.contains("beside the supervisor fell") && why.contains("odd"), "{exit} {why}");
}
