//! Two hosts on one state directory by mistake, or after a person thought one of them dead: one writer's effects only.
//!
//! A failpoint makes locks what they are on file systems where they do not reach the other host, or do not exist.
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tsd_import::conf::Role;
use tsd_import::demo::daemon::Daemon;
use tsd_import::demo::site::SiteOptions;
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::journal::Event;
use tsd_import::package::State;

use crate::world::{PROGRAM, World, sample_ids, tail};

/// Locks do not reach the other host.
const APART: (&str, &str) = ("FAILPOINTS", "owner-lock=return");
/// There are no locks at all.
const NONE: (&str, &str) = ("FAILPOINTS", "owner-lock=return(unsupported)");

async fn world() -> World {
    let more = "state.lease = \"4 s\"\n".to_owned();
    let options = SiteOptions { token_life: Duration::from_secs(600), more, ..SiteOptions::default() };
    let world = World::with(options).await;
    // The receiver knows both hosts of the sender, who share its key.
    let signers = world.site.dir.join("tsd/secrets/allowed_signers");
    let text = std::fs::read_to_string(&signers).unwrap();
    let both = format!("{text}{}", text.replace("gdx-login", "sleipnir"));
    tsd_import::fs::write_durably(&signers, both.as_bytes()).unwrap();
    world
}

/// A daemon with a configuration of its own, and so an own file for what it says.
struct Host {
    daemon: Daemon,
}

impl Host {
    fn start(world: &World, role: Role, name: &str, args: &[&str], env: (&str, &str)) -> Self {
        let conf = world.path().join(format!("conf-of-{name}")).join(format!("{role}.toml"));
        tsd_import::fs::create_dir(conf.parent().unwrap()).unwrap();
        let text = std::fs::read(world.site.conf(role)).unwrap();
        tsd_import::fs::write_durably(&conf, &text).unwrap();
        let env = [env, ("TSD_IMPORT__HOST", name)];
        Self { daemon: Daemon::start(Path::new(PROGRAM), role, &conf, args, &env).unwrap() }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.daemon.stderr).unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.daemon.pid().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its exit code, which must come soon.
    async fn ends(&mut self, within: Duration) -> (i32, Duration) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.daemon.ended() {
                return (status.code().unwrap_or(-1), begun.elapsed());
            }
            assert!(begun.elapsed() < within, "it runs on\n{}", tail(&self.said()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Every file and directory below, with what tells that somebody touched it.
fn touched(below: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(below) {
        let entry = entry.unwrap();
        let m = entry.metadata().unwrap();
        let _new = found.insert(entry.into_path(), (m.ino(), m.ctime(), m.ctime_nsec()));
    }
    found
}

fn owner(world: &World, role: Role) -> serde_json::Value {
    let text = std::fs::read(world.site.state(role).join("owner.lock")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn count(world: &World, role: Role, state: State) -> usize {
    world.fold(role).packages().filter(|r| r.state == state).count()
}

/// What everybody can see of a role's work when all of it is done.
fn evidence(world: &World, role: Role) -> impl PartialEq + std::fmt::Debug + use<> {
    let journal = std::fs::read(world.site.state(role).join("journal.jsonl")).unwrap();
    let changes = world.site.lims.requests().into_iter().filter(|r| r.method != "GET").count();
    let tree = match role {
        Role::Nsc => touched(&world.site.dir.join("nsc/transfer")),
        Role::Tsd => {
            touched(&world.site.dir.join("tsd")).into_iter().filter(|(p, _)| !own_files(p)).collect()
        }
    };
    let mut steps = world.site.lims.steps();
    steps.sort_by(|a, b| a.id.cmp(&b.id));
    (journal, changes, tree, steps)
}

/// State and log are the daemon's own, and a living one writes there.
fn own_files(path: &Path) -> bool {
    let own = ["state", "log", ".hosts"];
    path.components().any(|c| own.iter().any(|own| c.as_os_str() == *own)) || path.ends_with("tsd")
}

/// B has done everything; A wakes up, touches nothing and ends with its words.
async fn wakes_and_ends(world: &World, role: Role, mut a: Host, b: &mut Host) {
    // The last look of the one that polls may still be under way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, requests, holder) =
        (evidence(world, role), world.site.store.requests().len(), owner(world, role));
    a.signal(Signal::CONT);
    let (code, after) = a.ends(Duration::from_secs(10)).await;
    println!("{role}: the one that was suspended ended {after:?} after it was woken");
    assert_eq!(code, 75, "{}", tail(&a.said()));
    let said = a.said();
    assert!(said.contains("this process was suspended"), "{}", tail(&said));
    assert!(said.contains("longer than its lease of 4 s; another may have taken over"), "{}", tail(&said));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(evidence(world, role) == before, "nothing was changed by the one that woke up");
    let since = world.site.store.requests().split_off(requests);
    let name = if role == Role::Nsc { "sleipnir" } else { "p22-hpc-03" };
    for request in since {
        let of_b = request.path.contains(&format!("/heartbeat/{name}"));
        // The end of a part may lie in the network's buffers already; it belongs to an upload that nobody completes.
        let read = matches!(request.operation(), "ListObjectsV2" | "GetObject" | "UploadPart");
        assert!(of_b || read || request.status >= 300 || request.status == 0, "{request:?}");
    }
    let now = owner(world, role);
    assert_eq!(now["token"], holder["token"], "the owner file of the other is left alone");
    assert_eq!(now["host"], name);
    assert!(b.daemon.ended().is_none(), "the other one lives on\n{}", tail(&b.said()));
}

#[tokio::test]
async fn a_sender_suspended_past_its_lease_changes_nothing_when_it_wakes() {
    let mut world = world().await;
    let mut dna = world.samples(2, 300_000);
    world.start(Role::Tsd, &[]);
    let a = Host::start(&world, Role::Nsc, "gdx-login", &[], APART);
    world.until_ready(&sample_ids(&dna)).await;

    let mut uninvited = Host::start(&world, Role::Nsc, "sleipnir", &[], APART);
    assert_eq!(uninvited.ends(Duration::from_secs(20)).await.0, 78);
    let said = uninvited.said();
    assert!(said.contains("on gdx-login (role nsc, since ") && said.contains("--take-over"), "{said}");
    let mut hasty = Host::start(&world, Role::Nsc, "sleipnir", &["--take-over"], APART);
    let (code, watched) = hasty.ends(Duration::from_secs(30)).await;
    let said = hasty.said();
    assert!(said.contains("--take-over does not overrule the living"), "{said}");
    assert_eq!(code, 78);
    println!("a living holder was recognised after {watched:?}");

    // Uploads hang half-way: parts wait in the store when the sender is stopped.
    let slow = FaultRule {
        query_contains: Some("partNumber".into()),
        times: 8,
        ..FaultRule::next(FaultKind::Delay(Duration::from_secs(4)))
    };
    world.site.store.fault(slow);
    dna.extend(world.samples(4, 14 << 20));
    let ids = sample_ids(&dna);
    world.until("uploads are under way", |w| count(w, Role::Nsc, State::Uploading) >= 2).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    a.signal(Signal::STOP);
    let stopped = world.events(Role::Nsc).len();
    tokio::time::sleep(Duration::from_secs(5)).await; // past its lease
    let mut b = Host::start(&world, Role::Nsc, "sleipnir", &["--take-over"], APART);
    world.until_ready(&ids).await;
    wakes_and_ends(&world, Role::Nsc, a, &mut b).await;
    assert!(b.daemon.stop(Duration::from_secs(60)).await.unwrap().success());
    world.stop().await;
    world.everything_is_right(&ids);
    let events = world.events(Role::Nsc);
    let started = |l: &tsd_import::journal::Line| match &l.event {
        Event::Started { host, .. } => Some(host.clone()),
        _ => None,
    };
    assert_eq!(events.iter().filter_map(started).collect::<Vec<_>>(), ["gdx-login", "sleipnir"]);
    assert!(started(&events[stopped]).is_some(), "nothing of the first one after it was stopped");
    assert!(!world.site.state(Role::Nsc).join("owner.lock").exists(), "given free in order");
}

/// The receiver is stopped just before an act of its own hands: `point` sleeps, and is over when it wakes.
async fn a_receiver_stopped_at(point: &str, shows: State) {
    let mut world = world().await;
    let dna = world.samples(6, 2 << 20);
    let ids = sample_ids(&dna);
    world.start(Role::Nsc, &[]);
    let points = format!("owner-lock=return;{point}=2*off->sleep(6000)");
    let a = Host::start(&world, Role::Tsd, "p22-hpc-02", &[], ("FAILPOINTS", points.as_str()));
    // Nothing moves any more while some are verified: those that hold the disk's threads sleep at the point.
    let caught = |w: &World| {
        let last = w.events(Role::Tsd).last().map(|line| line.at);
        let quiet = last.is_some_and(|at| tsd_import::clock::now() > at + Duration::from_millis(1500));
        count(w, Role::Tsd, shows) > 0 && quiet
    };
    world.until("it is caught in the act", caught).await;
    a.signal(Signal::STOP);
    tokio::time::sleep(Duration::from_secs(5)).await; // past its lease
    let mut b = Host::start(&world, Role::Tsd, "p22-hpc-03", &["--take-over"], APART);
    world.until_ready(&ids).await;
    wakes_and_ends(&world, Role::Tsd, a, &mut b).await;
    assert!(b.daemon.stop(Duration::from_secs(60)).await.unwrap().success());
    world.stop().await;
    world.everything_is_right(&ids);
}

#[tokio::test]
async fn a_receiver_suspended_before_its_rename_does_not_rename_when_it_wakes() {
    a_receiver_stopped_at("put-in-place", State::Verified).await;
}

#[tokio::test]
async fn a_receiver_suspended_before_ready_does_not_mark_when_it_wakes() {
    a_receiver_stopped_at("hand-over", State::Verified).await;
}

#[tokio::test]
async fn a_second_one_of_the_same_host_is_refused_with_and_without_locks() {
    for locks in [("UNUSED", ""), NONE] {
        let world = world().await;
        let a = Host::start(&world, Role::Tsd, "p22-hpc-02", &[], locks);
        let started = |w: &World| !w.events(Role::Tsd).is_empty();
        world.until("the first one runs", started).await;
        for args in [&[][..], &["--take-over"]] {
            let mut second = Host::start(&world, Role::Tsd, "p22-hpc-02", args, locks);
            assert_eq!(second.ends(Duration::from_secs(20)).await.0, 75);
            let said = second.said();
            let named = format!("is in use by process {} on p22-hpc-02 (role tsd", a.daemon.pid().unwrap());
            assert!(said.contains(&named), "{said}");
        }
        assert!(a.daemon.stop(Duration::from_secs(60)).await.unwrap().success());
    }
}

#[tokio::test]
async fn without_locks_a_killed_one_is_followed_after_its_silence() {
    let world = world().await;
    let a = Host::start(&world, Role::Tsd, "p22-hpc-02", &[], NONE);
    world.until("the first one runs", |w| w.events(Role::Tsd).len() == 1).await;
    a.daemon.kill().await.unwrap();
    let b = Host::start(&world, Role::Tsd, "p22-hpc-02", &[], NONE);
    world.until("the second one runs, and nobody was asked", |w| w.events(Role::Tsd).len() == 2).await;
    let said = b.said();
    assert!(said.contains("has no locks") && said.contains("watching for 5 s"), "{said}");
    assert!(b.daemon.stop(Duration::from_secs(60)).await.unwrap().success());
}
