//! Disks that really hang: a named outage, nobody else waits, nothing is restarted, and all goes on when they answer.
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::journal::Event;
use tsd_import::package::{Priority, State};

use crate::world::{PROGRAM, World, sample_ids, text};

async fn world(role: Role) -> World {
    world_with(role, "").await
}

async fn world_with(role: Role, more: &str) -> World {
    let conf = format!("disk.patience = \"1500 ms\"\nwork.outage_first = \"200 ms\"\n{more}");
    let more_of = vec![(role, conf)];
    World::with(SiteOptions { token_life: Duration::from_secs(600), more_of, ..SiteOptions::default() }).await
}

fn degraded(w: &World, role: Role, who: &str, of: &Path) -> bool {
    let words = format!("the disk of {} does not answer since 20", of.display());
    w.events(role).iter().any(|l| {
        matches!(&l.event, Event::Degraded { actor, why } if actor == who && why.contains(&words) && why.contains("mount alive"))
    })
}

fn recovered(w: &World, role: Role, who: &str) -> bool {
    w.events(role).iter().any(|l| matches!(&l.event, Event::Recovered { actor, .. } if actor == who))
}

/// Nobody fell, nobody is blamed, and there was one life of the process.
fn nobody_is_blamed(w: &World, role: Role) {
    let events = w.events(role);
    let blamed: Vec<_> =
        events.iter().filter(|l| matches!(l.event, Event::Incident(_) | Event::Failed { .. })).collect();
    assert!(blamed.is_empty(), "{blamed:?}");
    assert_eq!(events.iter().filter(|l| matches!(l.event, Event::Started { .. })).count(), 1);
    let fold = w.fold(role);
    let stopped: Vec<_> = fold.packages().filter(|r| r.state == State::Quarantined).collect();
    assert!(stopped.is_empty(), "{stopped:?}");
}

fn drop_results(world: &World, name: &str) -> String {
    let files = [("result.vcf", b"variants".to_vec()), ("qc/report.html", vec![b'x'; 100_000])];
    world.site.drop_in("analyses-results/singles", name, Priority::Normal, &files).unwrap();
    format!("analyses-results/singles/{name}/r1")
}

/// `md5sum.txt` is a pipe that nobody writes to: `open(2)` blocks, as on a mount whose server is gone.
#[tokio::test]
async fn a_delivery_that_hangs_holds_up_neither_the_uploader_nor_the_process() {
    let mut world = world(Role::Nsc).await;
    let dna = world.samples(2, 200_000);
    let sums = world.site.delivered(&dna[0]).unwrap()[0].with_file_name("md5sum.txt");
    let good = sums.with_file_name("good");
    tsd_import::fs::publish(&sums, &good).unwrap();
    assert!(Command::new("mkfifo").arg(&sums).status().unwrap().success());
    world.start_both();

    let delivery = world.site.dir.join("nsc/delivery");
    let disk = format!("disk of {}", delivery.display());
    world.until("the poller names the disk", |w| degraded(w, Role::Nsc, "poller", &delivery)).await;
    assert!(degraded(&world, Role::Nsc, &disk, &delivery), "the disk has its own beginning on record");
    let dropped = [drop_results(&world, "while-it-hangs")];
    world.until_ready(&dropped).await;
    let status = text(&world.command(Role::Nsc, &["status"]).stdout);
    assert!(
        status.contains("! poller cannot work for ")
            && status.contains(": the disk of")
            && status.contains(&disk),
        "{status}"
    );
    assert!(!recovered(&world, Role::Nsc, "poller") && !recovered(&world, Role::Nsc, &disk));
    nobody_is_blamed(&world, Role::Nsc);

    // The late call gets its answer; whoever comes later finds the plain file.
    let old = sums.with_file_name("old");
    std::fs::hard_link(&sums, &old).unwrap();
    std::fs::remove_file(&sums).unwrap();
    tsd_import::fs::publish(&good, &sums).unwrap();
    let bytes = std::fs::read(&sums).unwrap();
    std::fs::File::options().write(true).open(&old).unwrap().write_all(&bytes).unwrap();
    std::fs::remove_file(&old).unwrap();
    let mut ids = sample_ids(&dna);
    world.until_ready(&ids).await;
    world
        .until("it is on record", |w| recovered(w, Role::Nsc, "poller") && recovered(w, Role::Nsc, &disk))
        .await;
    nobody_is_blamed(&world, Role::Nsc);
    world.stop().await;
    ids.extend(dropped);
    world.everything_is_right(&ids);
}

/// A file system whose server never answers, mounted over a directory in the namespace of a daemon.
struct Hung {
    holder: Child,
    inside: Inside,
    over: PathBuf,
}

/// Runs commands where a daemon lives.
#[derive(Clone, Copy)]
struct Inside(u32);

impl Inside {
    fn command(self, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.0.to_string(), "-U", "-m", "--preserve-credentials"]).args(args);
        command
    }
}

impl Hung {
    fn over(inside: Inside, over: &Path) -> Self {
        let mount = "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hung \"$0\" && echo hangs && cat";
        let over = over.to_owned();
        let mut holder = inside.command(&["sh", "-c", mount, over.to_str().unwrap()]);
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let _bytes = BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "hangs\n");
        Self { holder, inside, over }
    }

    /// The mount is taken away: what hangs comes back with an error, and the directory below is there again.
    fn mend(mut self) {
        self.holder.kill().unwrap();
        let _status = self.holder.wait().unwrap();
        let gone = self.inside.command(&["umount", "-l", self.over.to_str().unwrap()]).output().unwrap();
        assert!(gone.status.success(), "{}", text(&gone.stderr));
    }
}

fn this_machine_lets_us_mount() -> bool {
    let test = "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hung /mnt";
    let allowed = Command::new("unshare").args(["-Urm", "sh", "-c", test]).output();
    let allowed = allowed.is_ok_and(|o| o.status.success());
    if !allowed {
        eprintln!("IGNORED: this machine does not allow FUSE in namespaces (unshare -Urm), so nothing hung");
    }
    allowed
}

#[tokio::test]
async fn a_landing_that_hangs_holds_up_no_other_landing_and_goes_on_by_itself() {
    if !this_machine_lets_us_mount() {
        return;
    }
    let mut world = world(Role::Tsd).await;
    let mut ids = sample_ids(&world.samples(2, 200_000));
    world.start(Role::Nsc, &[]);
    let stderr = std::fs::File::create(world.path().join("conf/tsd.stderr")).unwrap();
    let mut daemon = tokio::process::Command::new("unshare");
    let daemon = daemon.args(["-Urm", PROGRAM, "run", "--config"]).arg(world.site.conf(Role::Tsd));
    let mut daemon = daemon.stdin(Stdio::null()).stderr(stderr).kill_on_drop(true).spawn().unwrap();
    world.until_ready(&ids).await;

    let archive = world.site.dir.join("tsd/archive");
    let disk = format!("disk of {}", archive.display());
    let hung = Hung::over(Inside(daemon.id().unwrap()), &archive);
    let held_up = sample_ids(&world.samples(6, 200_000));
    world.until("the disk is named", |w| degraded(w, Role::Tsd, &disk, &archive)).await;
    world.until("so does the copier", |w| degraded(w, Role::Tsd, "copier", &archive)).await;
    let dropped: Vec<String> = (0..3).map(|n| drop_results(&world, &format!("while-it-hangs-{n}"))).collect();
    world.until_ready(&dropped).await;
    // Several times patience: every thread that may hang does by now, and still nothing else does.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let later = drop_results(&world, "still");
    world.until_ready(std::slice::from_ref(&later)).await;
    assert!(daemon.try_wait().unwrap().is_none(), "the process lives");
    nobody_is_blamed(&world, Role::Tsd);
    let status = text(&world.command(Role::Tsd, &["status"]).stdout);
    assert!(status.contains(&disk) && !status.contains("NOT REPORTED"), "{status}");
    assert!(!recovered(&world, Role::Tsd, &disk));
    let told = world
        .events(Role::Tsd)
        .iter()
        .filter(|l| matches!(&l.event, Event::Degraded { actor, .. } if *actor == disk))
        .count();
    assert_eq!(told, 1, "one silence, said once");

    hung.mend();
    ids.extend(held_up);
    ids.extend(dropped);
    ids.push(later);
    world.until_ready(&ids).await;
    world
        .until("it is on record", |w| recovered(w, Role::Tsd, &disk) && recovered(w, Role::Tsd, "copier"))
        .await;
    nobody_is_blamed(&world, Role::Tsd);
    let review = world.review(Role::Tsd);
    assert!(review.contains(&disk), "{review}");
    daemon.kill().await.unwrap();
    world.stop().await;
    world.everything_is_right(&ids);
}

/// Their landing falls silent between the request and the write: what came for it lies before it, and slots must not.
#[tokio::test]
async fn small_files_on_their_way_to_a_landing_that_hangs_do_not_sit_on_the_slots_of_the_others() {
    if !this_machine_lets_us_mount() {
        return;
    }
    let mut world = world_with(Role::Tsd, "store.parts_in_flight = 4\n").await;
    let names: Vec<String> = (0..100).map(|n| format!("f-{n:03}.txt")).collect();
    let files: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (name.as_str(), vec![b'x'; 5000])).collect();
    world.site.drop_in("analyses-results/singles", "many", Priority::Normal, &files).unwrap();
    let many = "analyses-results/singles/many/r1".to_owned();
    world.start(Role::Nsc, &[]);
    world.until("it is in the bucket", |w| w.state(Role::Nsc, &many) == Some(State::Transferred)).await;
    world.site.store.fault(FaultRule {
        method: Some(http::Method::GET),
        key_contains: Some("/many/r1/f-".into()),
        times: 10_000,
        ..FaultRule::next(FaultKind::Delay(Duration::from_secs(5)))
    });
    let stderr = std::fs::File::create(world.path().join("conf/tsd.stderr")).unwrap();
    let mut daemon = tokio::process::Command::new("unshare");
    let daemon = daemon.args(["-Urm", PROGRAM, "run", "--config"]).arg(world.site.conf(Role::Tsd));
    let mut daemon = daemon.stdin(Stdio::null()).stderr(stderr).kill_on_drop(true).spawn().unwrap();
    let results = world.site.dir.join("tsd/production/data/analyses-results");
    let parts = results.join(".incoming/analyses-results~singles~many~r1.parts");
    world.until("its files are asked for", |_| parts.is_dir()).await;
    let hung = Hung::over(Inside(daemon.id().unwrap()), &results);
    world.until("the disk is named", |w| degraded(w, Role::Tsd, "copier", &results)).await;
    let samples = sample_ids(&world.samples(2, 200_000));
    world.until_ready(&samples).await;
    assert_ne!(world.state(Role::Tsd, &many), Some(State::Ready));
    assert!(daemon.try_wait().unwrap().is_none(), "the process lives");
    nobody_is_blamed(&world, Role::Tsd);
    world.site.store.mend();
    hung.mend();
    let mut ids = vec![many];
    ids.extend(samples);
    world.until_ready(&ids).await;
    nobody_is_blamed(&world, Role::Tsd);
    daemon.kill().await.unwrap();
    world.stop().await;
    world.everything_is_right(&ids);
}
