//! A disk that is really full: no READY, no quarantine, and everything goes on by itself when there is room.
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::journal::Event;
use tsd_import::package::State;

use crate::world::{PROGRAM, World, sample_ids, text};

pub fn this_machine_lets_us_mount() -> bool {
    let allowed = Command::new("unshare").args(["-Urm", "true"]).output();
    let allowed = allowed.is_ok_and(|o| o.status.success());
    if !allowed {
        eprintln!(
            "IGNORED: this machine does not allow mount namespaces (unshare -Urm), so no disk was filled"
        );
    }
    allowed
}

/// A world whose receiver has a tiny floor, so that a full disk is one that is really full.
pub async fn world() -> World {
    let small_floor = (Role::Tsd, "disk.floor = \"1 KiB\"\nwork.outage_first = \"200 ms\"\n".to_owned());
    let more_of = vec![small_floor];
    let options =
        SiteOptions { token_life: std::time::Duration::from_secs(600), more_of, ..SiteOptions::default() };
    let world = World::with(options).await;
    // `disk.floor` stands twice in the file otherwise.
    let conf = world.site.conf(Role::Tsd);
    let once = std::fs::read_to_string(&conf).unwrap().replace("disk.floor = \"64 MiB\"\n", "");
    tsd_import::fs::write_durably(&conf, once.as_bytes()).unwrap();
    world
}

/// The receiver with its production area on a tmpfs of this size, in a mount namespace of its own.
pub fn receiver(world: &World, size: &str, failpoints: &str) -> tokio::process::Child {
    let script = format!(
        "mount -t tmpfs -o size={size} tmpfs {a} && mkdir {a}/samples && exec {PROGRAM} run --config {c}",
        a = archive(world).display(),
        c = world.site.conf(Role::Tsd).display()
    );
    let stderr = std::fs::File::create(world.path().join("conf/tsd.stderr")).unwrap();
    let mut unshare = tokio::process::Command::new("unshare");
    let unshare = unshare.args(["-Urm", "sh", "-c", &script]).env("FAILPOINTS", failpoints);
    unshare.stdin(Stdio::null()).stderr(stderr).kill_on_drop(true).spawn().unwrap()
}

pub fn archive(world: &World) -> PathBuf {
    world.site.dir.join("tsd/archive")
}

/// A command where the receiver lives.
pub fn inside(daemon: &tokio::process::Child, args: &[&str]) -> Output {
    let pid = daemon.id().unwrap().to_string();
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid, "-U", "-m", "--preserve-credentials"]).args(args).output().unwrap()
}

pub fn landed_right(world: &World, daemon: &tokio::process::Child, id: &str) {
    let dir = archive(world).join("samples").join(id.split('/').nth(1).unwrap());
    let script = format!("cd {} && test -f READY && sha256sum -c --strict --quiet SHA256SUMS", dir.display());
    let check = inside(daemon, &["sh", "-c", &script]);
    assert!(check.status.success(), "{id}: {}", text(&check.stderr));
}

pub fn degraded(w: &World, word: &str) -> bool {
    w.events(Role::Tsd).iter().any(|l| matches!(&l.event, Event::Degraded { why, .. } if why.contains(word)))
}

#[tokio::test]
async fn a_full_disk_pauses_the_landing_and_loses_nothing() {
    if !this_machine_lets_us_mount() {
        return;
    }
    let mut world = world().await;
    let dna = world.samples(4, 2 << 20);
    world.start(Role::Nsc, &[]);
    let mut daemon = receiver(&world, "9M", "");

    world.until("the disk is full", |w| degraded(w, "No space left") || degraded(w, "make room")).await;
    let (ready, stopped) = {
        let fold = world.fold(Role::Tsd);
        let count = |state| fold.packages().filter(|r| r.state == state).count();
        (count(State::Ready), count(State::Quarantined))
    };
    assert!(ready < 4, "they do not all fit");
    assert_eq!(stopped, 0, "a full disk is nobody's fault");
    let says = |w: &World| text(&w.command(Role::Tsd, &["status"]).stdout).contains("copier cannot work");
    world.until("status says so", says).await;

    let grown = inside(&daemon, &["mount", "-o", "remount,size=200M", archive(&world).to_str().unwrap()]);
    assert!(grown.status.success(), "{}", text(&grown.stderr));
    let ids = sample_ids(&dna);
    world.until_ready(&ids).await;
    ids.iter().for_each(|id| landed_right(&world, &daemon, id));
    let review = world.review(Role::Tsd);
    assert!(review.contains("0 stopped") && review.contains("outages"), "{review}");
    daemon.kill().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn two_packages_that_fit_only_one_after_the_other_never_meet_in_a_full_disk() {
    if !this_machine_lets_us_mount() {
        return;
    }
    let mut world = world().await;
    let ids = sample_ids(&world.samples(2, 8 << 20));
    world.start(Role::Nsc, &[]);
    let both = |w: &World| w.fold(Role::Nsc).tally().get(&State::Transferred) == Some(&2);
    world.until("both are in the bucket", both).await;
    let size = world.fold(Role::Nsc).package(&ids[0].parse().unwrap()).unwrap().facts.bytes.unwrap();
    // Each call takes its time, so that there is something to be seen while one of them is being copied.
    let mut daemon = receiver(&world, &(size * 3 / 2).to_string(), "disk=sleep(250)");

    let ready = |w: &World| ids.iter().position(|id| w.state(Role::Tsd, id) == Some(State::Ready));
    let waits = |w: &World| {
        text(&w.command(Role::Tsd, &["status"]).stdout).contains("waits until others are copied: it needs")
    };
    world.until("the second waits, and says for what", |w| waits(w) || ready(w).is_some()).await;
    assert!(ready(&world).is_none(), "that it waits must be seen before the first is through");
    assert!(
        !world.events(Role::Tsd).iter().any(|l| matches!(l.event, Event::Degraded { .. })),
        "nothing is out of order"
    );
    let status = text(&world.command(Role::Tsd, &["status"]).stdout);
    assert!(!status.contains("DEGRADED"), "{status}");

    world.until("the first is READY", |w| ready(w).is_some()).await;
    world.until("now somebody must make room", |w| degraded(w, "make room")).await;
    let first = &ids[ready(&world).unwrap()];
    landed_right(&world, &daemon, first);
    let second = ids.iter().find(|id| *id != first).unwrap();
    assert_ne!(world.state(Role::Tsd, second), Some(State::Quarantined));
    // Its consumer takes the first away.
    let taken = archive(&world).join("samples").join(first.split('/').nth(1).unwrap());
    let taken = inside(&daemon, &["rm", "-r", taken.to_str().unwrap()]);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    world.until_ready(&ids).await;
    landed_right(&world, &daemon, second);
    assert!(!degraded(&world, "No space left"), "nobody has met a full disk");
    let blamed = world
        .events(Role::Tsd)
        .into_iter()
        .any(|l| matches!(l.event, Event::Failed { .. } | Event::Incident(_)));
    assert!(!blamed, "and nobody is blamed");
    daemon.kill().await.unwrap();
    world.stop().await;
}
