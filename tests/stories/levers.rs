//! People's levers on real daemons: honoured between steps, over kill -9 and restart, with and without a daemon, and never a short cut to READY.
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tsd_import::conf::Role;
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::journal::{Event, Lever};
use tsd_import::package::{Priority, Reason, State};

use crate::world::{World, text};

const KIND: &str = "analyses-results/singles";
const SCAN: [(&str, &str); 1] = [("TSD_IMPORT__TRANSFER__SCAN", "100 ms")];

fn place(world: &World, name: &str, bytes: usize) -> String {
    let files = [
        ("calls.vcf", (0..bytes).map(|n| (n * 31) as u8).collect::<Vec<u8>>()),
        ("report.html", b"<p>".to_vec()),
    ];
    world.site.drop_in(KIND, name, Priority::Normal, &files).unwrap();
    format!("{KIND}/{name}/r1")
}

fn said(done: &Output) -> String {
    text(&done.stdout) + &text(&done.stderr)
}

/// A lever that is pulled.
fn pull(world: &World, role: Role, args: &[&str]) -> String {
    let done = world.command(role, &[args, &["--reason", "the laboratory asked"]].concat());
    assert!(done.status.success(), "{args:?}: {}", said(&done));
    said(&done)
}

/// One that is refused, with a word of the reason.
fn refused(world: &World, role: Role, args: &[&str], word: &str) {
    let done = world.command(role, &[args, &["--reason", "the laboratory asked"]].concat());
    let said = said(&done);
    assert!(
        done.status.code() == Some(1) && said.contains("refused:") && said.contains(word),
        "{args:?}: {said}"
    );
}

fn slow_puts(world: &World, part_of_key: &str, pause: Duration) {
    let rule = FaultRule::next(FaultKind::Delay(pause));
    let key_contains = Some(part_of_key.to_owned());
    world.site.store.fault(FaultRule {
        method: Some(http::Method::PUT),
        key_contains,
        times: 10_000,
        ..rule
    });
}

fn journal(world: &World, role: Role) -> u64 {
    world.fold(role).lines
}

#[tokio::test]
async fn held_while_it_is_sent_it_waits_over_kill_minus_nine_and_goes_on_when_released() {
    let mut world = World::new().await;
    slow_puts(&world, "slow-one", Duration::from_millis(700));
    let (slow, other) = (place(&world, "slow-one", 30 << 20), place(&world, "other", 1000));
    world.start(Role::Nsc, &[&SCAN[..], &[("TSD_IMPORT__STORE__PART_SIZE", "5 MiB")]].concat());
    world.until("it is being sent", |w| w.state(Role::Nsc, &slow) == Some(State::Uploading)).await;
    // Without a reason nothing; a dry run says what would be and writes nothing.
    let silent = world.command(Role::Nsc, &["hold", &slow]);
    assert!(
        silent.status.code() == Some(1) && said(&silent).contains("no reason was given"),
        "{}",
        said(&silent)
    );
    let foreseen = said(&world.command(Role::Nsc, &["hold", "slow-one", "--dry-run"]));
    assert!(
        foreseen.starts_with("would be held") && foreseen.contains("undo: tsd-import release"),
        "{foreseen}"
    );
    assert_eq!(world.state(Role::Nsc, &slow), Some(State::Uploading));
    let done = pull(&world, Role::Nsc, &["hold", "slow-one"]);
    assert_eq!(foreseen, format!("would be {done}"));
    assert_eq!(world.state(Role::Nsc, &slow), Some(State::Held));
    assert!(
        pull(&world, Role::Nsc, &["hold", "slow-one"]).contains("is held already by"),
        "once more is no fault"
    );
    refused(&world, Role::Nsc, &["hold", "nobody"], "knows no package");
    world.until("the other goes on", |w| w.state(Role::Nsc, &other) == Some(State::Transferred)).await;

    world.kill(Role::Nsc).await;
    world.site.store.mend();
    world.start_both();
    let why = |w: &World| said(&w.command(Role::Nsc, &["why", "slow-one"]));
    world.until("why tells who and for what", |w| why(w).contains("the laboratory asked")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.state(Role::Nsc, &slow), Some(State::Held), "also after the restart");
    let commit = world.site.dir.join("store/p22-import/tsd-import").join(&slow).join("COMMIT");
    assert!(!commit.exists(), "nobody committed what is held");
    let done = pull(&world, Role::Nsc, &["release", &slow]);
    assert!(done.contains("is packed") && done.contains("compared with the delivery"), "{done}");
    world.until_ready(&[slow.clone(), other]).await;
    refused(&world, Role::Nsc, &["hold", &slow], "too late");
    refused(&world, Role::Tsd, &["release", &slow], "neither held nor stopped");
    let review = world.review(Role::Nsc);
    assert!(review.contains("the laboratory asked"), "{review}");
    world.stop().await;
    let landed = world.site.landing(KIND).join("slow-one/calls.vcf");
    assert_eq!(std::fs::metadata(landed).unwrap().len(), 30 << 20);
}

#[tokio::test]
async fn pauses_and_limits_outlive_the_daemon_and_end_as_they_were_told() {
    let mut world = World::new().await;
    // No daemon runs: the command is the journal's one writer.
    let done = pull(&world, Role::Nsc, &["pause", "uploads"]);
    assert!(done.contains("heartbeats go on") && done.contains("undo: tsd-import resume uploads"), "{done}");
    refused(&world, Role::Nsc, &["pause", "copier"], "has no actor");
    let id = place(&world, "waits", 5000);
    world.start(Role::Nsc, &SCAN);
    world.until("it is taken in", |w| w.state(Role::Nsc, &id) == Some(State::Packed)).await;
    let status = |w: &World| said(&w.command(Role::Nsc, &["status"]));
    world.until("status names the pause", |w| status(w).contains("paused: uploads by")).await;
    let why = said(&world.command(Role::Nsc, &["why", &id]));
    assert!(why.contains("who has paused the uploads (the laboratory asked)"), "{why}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.state(Role::Nsc, &id), Some(State::Packed));
    world.kill(Role::Nsc).await;

    world.start(Role::Nsc, &SCAN);
    let limited = pull(&world, Role::Nsc, &["bandwidth", "100KB/s", "--until", "6s"]);
    assert!(limited.contains("ends by itself"), "{limited}");
    let large = place(&world, "large", 2_000_000);
    let resumed = pull(&world, Role::Nsc, &["resume", "uploads"]);
    assert!(resumed.contains("which") && resumed.contains("paused"), "{resumed}");
    world.until("the limit is shown", |w| status(w).contains("bandwidth: 97.7 KiB/s until")).await;
    let sent = |w: &World| w.state(Role::Nsc, &large) == Some(State::Transferred);
    assert!(!sent(&world), "two megabytes take twenty seconds at that limit");
    world.until("it ends by itself, also for what is on its way", sent).await;
    let lines = world.events(Role::Nsc);
    let moment = |wanted: &dyn Fn(&Event) -> bool| lines.iter().find(|l| wanted(&l.event)).unwrap().at;
    let paced = moment(&|e| matches!(e, Event::Acted(a) if matches!(a.act, Lever::Paced { .. })));
    let end = moment(
        &|e| matches!(e, Event::Moved { package, to: State::Transferred, .. } if package.to_string() == large),
    );
    let took = tsd_import::clock::age(paced, end);
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(19), "{took:?}");
    assert!(!status(&world).contains("bandwidth:"), "{}", status(&world));
    world.stop().await;
}

#[tokio::test]
async fn what_was_mended_is_released_and_verified_as_ever_and_what_was_sent_is_sent_again() {
    let mut world = World::new().await;
    let (mended, forged) = (place(&world, "mended", 5000), place(&world, "forged", 5000));
    world.start(Role::Nsc, &SCAN);
    let sent =
        |w: &World| [&mended, &forged].iter().all(|id| w.state(Role::Nsc, id) == Some(State::Transferred));
    world.until("both are sent", sent).await;
    let bucket = world.site.dir.join("store/p22-import/tsd-import");
    let (object, signature) =
        (bucket.join(&mended).join("calls.vcf"), bucket.join(&forged).join("COMMIT.sig"));
    let right = std::fs::read(&object).unwrap();
    let wrong: Vec<u8> = right.iter().map(|byte| byte ^ 1).collect();
    tsd_import::fs::write_durably(&object, &wrong).unwrap();
    tsd_import::fs::write_durably(&signature, b"-----BEGIN SSH SIGNATURE-----\n").unwrap();
    world.start(Role::Tsd, &[]);
    let stopped =
        |w: &World| [&mended, &forged].iter().all(|id| w.state(Role::Tsd, id) == Some(State::Quarantined));
    world.until("both are stopped", stopped).await;

    // Released unmended it is stopped again; a forged one is never released.
    refused(&world, Role::Tsd, &["release", &forged], Reason::BadSignature.remedy());
    let lines = journal(&world, Role::Tsd);
    let dry = said(&world.command(Role::Tsd, &["retry", "mended", "--dry-run", "--json"]));
    let dry: Value = serde_json::from_str(&dry).unwrap();
    assert_eq!(
        (dry["dry_run"].as_bool(), dry["outcomes"][0]["done"]["package"].as_str()),
        (Some(true), Some(mended.as_str()))
    );
    assert_eq!(journal(&world, Role::Tsd), lines, "a dry run writes nothing");
    let _done = pull(&world, Role::Tsd, &["retry", "mended"]);
    let twice = |w: &World| {
        let row = w.fold(Role::Tsd).package(&mended.parse().unwrap()).cloned().unwrap();
        row.way.iter().filter(|(state, _)| *state == State::Quarantined).count() == 2
    };
    world.until("it is stopped once more", twice).await;
    tsd_import::fs::write_durably(&object, &right).unwrap();
    let done = pull(&world, Role::Tsd, &["release", "mended"]);
    assert!(done.contains("every byte is verified before READY"), "{done}");
    world.until("it lands", |w| w.state(Role::Tsd, &mended) == Some(State::Ready)).await;
    let landed = world.site.landing(KIND).join("mended/calls.vcf");
    assert_eq!(std::fs::read(landed).unwrap(), right);

    // Sent once more: a new revision, checked as ever; the same bytes are not handed over twice.
    refused(&world, Role::Tsd, &["reexport", "mended"], "only the sending side");
    let again = pull(&world, Role::Nsc, &["reexport", "mended"]);
    let revised = mended.replace("/r1", "/r2");
    assert!(again.contains(&revised), "{again}");
    world.until("it is sent", |w| w.state(Role::Nsc, &revised) == Some(State::Transferred)).await;
    world.until("it is known for the same", |w| w.state(Role::Tsd, &revised) == Some(State::Duplicate)).await;
    // The other one, too: its new commit is good.
    let _again = pull(&world, Role::Nsc, &["reexport", "forged"]);
    let revised = forged.replace("/r1", "/r2");
    world.until("the new one lands", |w| w.state(Role::Tsd, &revised) == Some(State::Ready)).await;
    world.stop().await;
}

#[tokio::test]
async fn a_stop_file_is_taken_back_and_urgent_goes_first() {
    let mut world = World::new().await;
    let _paused = pull(&world, Role::Nsc, &["pause", "uploads"]);
    let ids: Vec<String> = (0..6).map(|n| place(&world, &format!("n{n}"), 2000)).collect();
    world.start(Role::Nsc, &[&SCAN[..], &[("TSD_IMPORT__WORK__PACKAGES_AT_ONCE", "1")]].concat());
    let packed = |w: &World| ids.iter().all(|id| w.state(Role::Nsc, id) == Some(State::Packed));
    world.until("all wait", packed).await;
    let done = pull(&world, Role::Nsc, &["priority", "n5", "n4", "urgent"]);
    assert!(done.contains("undo: tsd-import priority") && done.contains(" normal --reason"), "{done}");
    let _resumed = pull(&world, Role::Nsc, &["resume", "uploads"]);
    let sent = |w: &World| ids.iter().all(|id| w.state(Role::Nsc, id) == Some(State::Transferred));
    world.until("all are sent", sent).await;
    let order: Vec<String> = world
        .events(Role::Nsc)
        .into_iter()
        .filter_map(|line| match line.event {
            Event::Moved { package, to: State::Uploading, .. } => Some(package.name.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(
        {
            let mut two = order[..2].to_vec();
            two.sort();
            two
        },
        ["n4", "n5"],
        "{order:?}"
    );
    let commit = world.site.dir.join("store/p22-import/tsd-import").join(&ids[5]).join("COMMIT");
    let commit: Value = serde_json::from_slice(&std::fs::read(commit).unwrap()).unwrap();
    assert_eq!(commit["priority"], "urgent", "the receiver is told");
    world.stop().await;

    let kept = world.command(Role::Nsc, &["drain", "--keep", "--reason", "a new disk"]);
    assert!(kept.status.success(), "{}", said(&kept));
    world.start(Role::Nsc, &[]);
    assert_eq!(world.until_ended(Role::Nsc).await, Some(69), "a stop file forbids it");
    let done = pull(&world, Role::Nsc, &["undrain"]);
    assert!(done.contains("a daemon may start"), "{done}");
    assert!(said(&world.command(Role::Nsc, &["undrain", "--reason", "x"])).contains("nothing to take away"));
    world.start(Role::Nsc, &[]);
    world.until("it runs", |w| w.command(Role::Nsc, &["status"]).status.success()).await;
    world.stop().await;
}
