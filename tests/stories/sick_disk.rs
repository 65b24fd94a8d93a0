//! Disks that fail in the middle of a landing: room taken by others, no inode for READY, read-only, vanished, broken. Each is a named outage
//! that ends by itself when the disk is mended: nothing becomes READY before, nobody is blamed, nothing restarts, the other landings go on.
//!
//! What `full_disk` (too full before the first byte) and `hung_disk` (no answer at all) show is not repeated here. The file systems are real,
//! but for errors that no small one gives at will: EIO and EDQUOT are put in place of the answer of the very call (this kernel's tmpfs has no
//! quota).
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Child;
use tsd_import::conf::Role;
use tsd_import::journal::Event;
use tsd_import::package::State;

use crate::cargo::{Cargo, Sender};
use crate::full_disk::{
    archive, degraded, inside, landed_right, receiver, this_machine_lets_us_mount, world,
};
use crate::world::{PROGRAM, World, text};

/// A sample with so many files that it takes a while on a slow disk.
fn sample(name: &str) -> Cargo {
    (0..40).fold(Cargo::sample(name), |cargo, n| cargo.file(&format!("qc/{n}.txt"), &vec![b'q'; 9_000 + n]))
}

fn shell(daemon: &Child, script: &str) -> bool {
    inside(daemon, &["sh", "-c", script]).status.success()
}

async fn until_inside(world: &World, daemon: &Child, what: &str, script: &str) {
    world.until(what, |_| shell(daemon, script)).await;
}

/// The disk of the samples is out of order; the results have another one, and arrive.
async fn the_others_go_on(world: &World, sender: &mut Sender, name: &str) {
    let other = sender.put(&Cargo::results(name)).to_string();
    world.until("the other landing goes on", |w| w.state(Role::Tsd, &other) == Some(State::Ready)).await;
}

/// Nobody fell, nobody is blamed, there was one life of the process, and outages that began are over.
fn an_outage_and_nothing_else(world: &World) {
    let events = world.events(Role::Tsd);
    let fell: Vec<_> = events.iter().filter(|l| matches!(l.event, Event::Incident(_))).collect();
    assert!(fell.is_empty(), "{fell:?}");
    let blamed: Vec<_> = events.iter().filter(|l| matches!(l.event, Event::Failed { .. })).collect();
    assert!(blamed.is_empty(), "{blamed:?}");
    assert_eq!(world.fold(Role::Tsd).in_state(State::Quarantined).count(), 0);
    assert_eq!(events.iter().filter(|l| matches!(l.event, Event::Started { .. })).count(), 1);
    let (mut began, mut over) = (Vec::new(), Vec::new());
    for line in &events {
        match &line.event {
            Event::Degraded { actor, .. } => began.push(actor),
            Event::Recovered { actor, .. } => over.push(actor),
            _ => {}
        }
    }
    began.sort();
    over.sort();
    assert!(!began.is_empty() && began == over, "{began:?} {over:?}");
    // A probe now and then, not a loop: some seconds of an outage are some dozens of attempts at most.
    let attempts = world.stderr(Role::Tsd).matches("cannot work").count();
    assert!(attempts < 60, "{attempts}");
}

/// Everything lands after all, and right.
async fn mended(world: &mut World, daemon: &mut Child, ids: &[String]) {
    let all = |w: &World| ids.iter().all(|id| w.state(Role::Tsd, id) == Some(State::Ready));
    world.until("all have landed", all).await;
    ids.iter().for_each(|id| landed_right(world, daemon, id));
    let recovered = |w: &World| {
        let count = |of: fn(&Event) -> bool| w.events(Role::Tsd).iter().filter(|l| of(&l.event)).count();
        count(|e| matches!(e, Event::Degraded { .. })) == count(|e| matches!(e, Event::Recovered { .. }))
    };
    world.until("its end is on record", recovered).await;
    an_outage_and_nothing_else(world);
    daemon.kill().await.unwrap();
}

/// Somebody else takes what was free when the copier looked.
async fn taken_in_the_middle(options: &str, take: &str) {
    if !this_machine_lets_us_mount() {
        return;
    }
    let mut world = world().await;
    let mut sender = Sender::of(&world);
    let ids: Vec<String> = ["one", "two"].map(|name| sender.put(&sample(name)).to_string()).into();
    let mut daemon = receiver(&world, options, "disk=sleep(25)");
    let a = archive(&world).display().to_string();
    until_inside(&world, &daemon, "files arrive", &format!("ls {a}/.incoming/*r1/qc/*")).await;
    assert!(shell(&daemon, &take.replace("AREA", &a)));
    world.until("the disk is full", |w| degraded(w, "No space left") || degraded(w, "make room")).await;
    the_others_go_on(&world, &mut sender, "meanwhile").await;
    assert!(!shell(&daemon, &format!("ls {a}/samples/*/READY")), "nothing is READY");
    assert!(shell(&daemon, &format!("rm -r {a}/hog")));
    mended(&mut world, &mut daemon, &ids).await;
}

#[tokio::test]
async fn bytes_that_others_take_in_the_middle_are_waited_for() {
    taken_in_the_middle("20M", "mkdir AREA/hog && ! dd if=/dev/zero of=AREA/hog/x bs=4k 2>/dev/null").await;
}

#[tokio::test]
async fn inodes_that_others_take_in_the_middle_are_waited_for() {
    let take =
        "mkdir AREA/hog && n=0 && while touch AREA/hog/$n 2>/dev/null; do n=$((n+1)); done; [ $n -gt 9 ]";
    taken_in_the_middle("40M,nr_inodes=300", take).await;
}

#[tokio::test]
async fn a_package_for_whose_ready_there_is_no_inode_is_not_ready() {
    if !this_machine_lets_us_mount() {
        return;
    }
    let mut world = world().await;
    let mut sender = Sender::of(&world);
    let ids = vec![sender.put(&sample("one")).to_string()];
    // Just before READY is created there is time to take the last inodes.
    let mut daemon = receiver(&world, "40M,nr_inodes=300", "hand-over=1*sleep(5000)->off");
    let a = archive(&world).display().to_string();
    until_inside(&world, &daemon, "it is in place", &format!("ls {a}/samples/one/SHA256SUMS")).await;
    let take =
        format!("mkdir {a}/hog; n=0; while touch {a}/hog/$n 2>/dev/null; do n=$((n+1)); done; ! touch {a}/x");
    assert!(shell(&daemon, &take));
    assert!(!shell(&daemon, &format!("ls {a}/samples/one/READY")), "it was taken before READY");
    world.until("there is no room", |w| degraded(w, "READY: No space left")).await;
    the_others_go_on(&world, &mut sender, "meanwhile").await;
    assert!(!shell(&daemon, &format!("ls {a}/samples/one/READY")), "nothing is READY");
    assert_eq!(world.state(Role::Tsd, &ids[0]), Some(State::Verified));
    assert!(shell(&daemon, &format!("rm -r {a}/hog")));
    mended(&mut world, &mut daemon, &ids).await;
}

#[tokio::test]
async fn a_disk_that_becomes_read_only_is_waited_for() {
    if !this_machine_lets_us_mount() {
        return;
    }
    let mut world = world().await;
    let mut sender = Sender::of(&world);
    let ids: Vec<String> = ["one", "two"].map(|name| sender.put(&sample(name)).to_string()).into();
    let mut daemon = receiver(&world, "40M", "disk=sleep(25)");
    let a = archive(&world).display().to_string();
    until_inside(&world, &daemon, "files arrive", &format!("ls {a}/.incoming/*r1/qc/*")).await;
    // Refused while a file is open for writing.
    until_inside(&world, &daemon, "it is read-only", &format!("mount -o remount,ro {a}")).await;
    world.until("that is named", |w| degraded(w, "Read-only file system")).await;
    the_others_go_on(&world, &mut sender, "meanwhile").await;
    assert!(!shell(&daemon, &format!("ls {a}/samples/*/READY")), "nothing is READY");
    assert!(shell(&daemon, &format!("mount -o remount,rw {a}")));
    mended(&mut world, &mut daemon, &ids).await;
}

/// Nothing may be written into the empty directory that is left of a mount, at whatever step it vanishes.
async fn vanishes(failpoints: &str, when: &str, pause: Duration) {
    if !this_machine_lets_us_mount() {
        return;
    }
    let mut world = world().await;
    let mut sender = Sender::of(&world);
    let ids: Vec<String> = ["one", "two", "three"].map(|name| sender.put(&sample(name)).to_string()).into();
    let a = archive(&world).display().to_string();
    std::fs::remove_dir(format!("{a}/samples")).unwrap();
    let disk = world.path().join("disk").display().to_string();
    std::fs::create_dir(&disk).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=40M tmpfs {disk} && mkdir {disk}/samples && mount --bind {disk} {a} && exec {PROGRAM} run --config {}",
        world.site.conf(Role::Tsd).display()
    );
    let stderr = std::fs::File::create(world.path().join("conf/tsd.stderr")).unwrap();
    let mut unshare = tokio::process::Command::new("unshare");
    let unshare = unshare.args(["-Urm", "sh", "-c", &script]).env("FAILPOINTS", failpoints);
    let mut daemon = unshare.stdin(Stdio::null()).stderr(stderr).kill_on_drop(true).spawn().unwrap();
    let copying = |w: &World| ids.iter().any(|id| w.state(Role::Tsd, id).is_some_and(|s| s != State::Seen));
    world.until("its copying has begun", copying).await;
    until_inside(&world, &daemon, "its moment has come", &when.replace("AREA", &a)).await;
    tokio::time::sleep(pause).await;
    assert!(shell(&daemon, &format!("umount -l {a}")));
    world.until("that is named", |w| degraded(w, "is its disk mounted?")).await;
    the_others_go_on(&world, &mut sender, "meanwhile").await;
    tokio::time::sleep(Duration::from_secs(2)).await; // some probes
    let beneath: Vec<_> =
        walkdir::WalkDir::new(&a).min_depth(1).into_iter().map(|e| e.unwrap().into_path()).collect();
    assert!(beneath.is_empty(), "{beneath:?}");
    assert!(!shell(&daemon, &format!("ls {disk}/samples/*/READY")), "nothing is READY");
    assert!(shell(&daemon, &format!("mount --bind {disk} {a}")));
    mended(&mut world, &mut daemon, &ids).await;
    assert!(Path::new(&a).read_dir().unwrap().next().is_none(), "nor later");
}

#[tokio::test]
async fn a_disk_that_vanishes_while_files_arrive_is_waited_for() {
    vanishes("disk=sleep(25)", "ls AREA/.incoming/*r1/qc/*", Duration::ZERO).await;
}

#[tokio::test]
async fn a_disk_that_vanishes_before_the_first_file_is_waited_for() {
    // Between the look at what is there and the creation of the first directory.
    vanishes("disk=sleep(300)", "true", Duration::from_millis(450)).await;
}

#[tokio::test]
async fn a_disk_that_vanishes_before_ready_is_waited_for() {
    // All three of them wait there: READY of any before the disk vanishes would be right, and prove nothing.
    vanishes("hand-over=3*sleep(5000)->off", "ls AREA/samples/*/SHA256SUMS", Duration::ZERO).await;
}

#[tokio::test]
async fn nothing_is_created_beneath_a_disk_that_is_not_there_at_the_start() {
    let mut world = world().await;
    let samples = archive(&world).join("samples");
    std::fs::remove_dir(&samples).unwrap();
    world.start(Role::Tsd, &[]);
    assert_eq!(world.until_ended(Role::Tsd).await, Some(78));
    let said = world.stderr(Role::Tsd);
    assert!(said.contains("landing.samples.destination"), "{said}");
    assert_eq!(archive(&world).read_dir().unwrap().count(), 0);
    std::fs::create_dir(&samples).unwrap();
    world.start(Role::Tsd, &[]);
    let id = Sender::of(&world).put(&sample("one")).to_string();
    world.until("it works", |w| w.state(Role::Tsd, &id) == Some(State::Ready)).await;
    world.stop().await;
}

/// A call that brings bytes to the disk or back fails some times with this error, in whichever package.
async fn broken(point: &str, errno: &str, actor: &str, words: &str) {
    let mut world = world().await;
    let mut sender = Sender::of(&world);
    let ids: Vec<String> = ["one", "two"].map(|name| sender.put(&sample(name)).to_string()).into();
    world.start(Role::Tsd, &[("FAILPOINTS", &format!("{point}=3*return({errno})->off"))]);
    let all = |w: &World| ids.iter().all(|id| w.state(Role::Tsd, id) == Some(State::Ready));
    world.until("all have landed", all).await;
    world.stop().await;
    an_outage_and_nothing_else(&world);
    let events = world.events(Role::Tsd);
    let at = |of: &dyn Fn(&Event) -> bool| events.iter().position(|l| of(&l.event));
    let began = at(&|e| matches!(e, Event::Degraded { actor: a, why } if a == actor && why.contains(words)));
    assert!(began.is_some(), "{point}: {words}\n{}", world.stderr(Role::Tsd));
    let over = at(&|e| matches!(e, Event::Recovered { actor: a, .. } if a == actor));
    assert!(began < over, "{point}");
    for id in &ids {
        let dir = world.site.landing("samples").join(id.split('/').nth(1).unwrap());
        let script = "test -f READY && sha256sum -c --strict --quiet SHA256SUMS";
        let check = std::process::Command::new("sh").args(["-c", script]).current_dir(&dir).output().unwrap();
        assert!(check.status.success(), "{id}: {}", text(&check.stderr));
    }
    world.nothing_is_left_incoming();
}

#[tokio::test]
async fn a_disk_with_errors_is_waited_for() {
    for (point, actor, what) in [
        ("part-write", "copier", "could not write "),
        ("part-fsync", "copier", "could not fsync "),
        ("conclude", "copier", "could not fsync the directory "),
        ("read-back", "verifier", "could not read back "),
        ("ready-fsync", "verifier", "could not fsync "),
    ] {
        broken(point, "EIO", actor, what).await;
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_waited_for() {
    for (point, actor) in [("part-write", "copier"), ("part-fsync", "copier"), ("ready-fsync", "verifier")] {
        broken(point, "EDQUOT", actor, "quota exceeded").await;
    }
}
