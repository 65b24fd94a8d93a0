//! A disk that is really full: no READY, no quarantine, and everything goes on by itself when there is room.
use std::process::{Command, Stdio};

use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::journal::Event;
use tsd_import::package::State;

use crate::world::{PROGRAM, World, sample_ids, text};

/// The production area on a small tmpfs, in a mount namespace of the daemon's own.
#[tokio::test]
async fn a_full_disk_pauses_the_landing_and_loses_nothing() {
    let allowed = Command::new("unshare").args(["-Urm", "true"]).output();
    if !allowed.is_ok_and(|o| o.status.success()) {
        eprintln!(
            "IGNORED: this machine does not allow mount namespaces (unshare -Urm), so no disk was filled"
        );
        return;
    }
    // The floor is tiny, so that packages side by side run into ENOSPC itself.
    let small_floor = (Role::Tsd, "disk.floor = \"1 KiB\"\nwork.outage_first = \"200 ms\"\n".to_owned());
    let more_of = vec![small_floor];
    let options =
        SiteOptions { token_life: std::time::Duration::from_secs(600), more_of, ..SiteOptions::default() };
    let mut world = World::with(options).await;
    // `disk.floor` stands twice in the file otherwise.
    let conf = world.site.conf(Role::Tsd);
    let once = std::fs::read_to_string(&conf).unwrap().replace("disk.floor = \"64 MiB\"\n", "");
    tsd_import::fs::write_durably(&conf, once.as_bytes()).unwrap();
    let dna = world.samples(4, 2 << 20);
    world.start(Role::Nsc, &[]);

    let archive = world.site.dir.join("tsd/archive");
    let script = format!(
        "mount -t tmpfs -o size=9M tmpfs {a} && mkdir {a}/samples && exec {PROGRAM} run --config {c}",
        a = archive.display(),
        c = conf.display()
    );
    let stderr = std::fs::File::create(world.path().join("conf/tsd.stderr")).unwrap();
    let mut unshare = tokio::process::Command::new("unshare");
    let unshare =
        unshare.args(["-Urm", "sh", "-c", &script]).stdin(Stdio::null()).stderr(stderr).kill_on_drop(true);
    let mut daemon = unshare.spawn().unwrap();

    let full = |w: &World| {
        let why = |l: &tsd_import::journal::Line| matches!(&l.event, Event::Degraded { why, .. } if why.contains("No space left") || why.contains("make room"));
        w.events(Role::Tsd).iter().any(why)
    };
    world.until("the disk is full", full).await;
    let (ready, stopped) = {
        let fold = world.fold(Role::Tsd);
        let count = |state| fold.packages().filter(|r| r.state == state).count();
        (count(State::Ready), count(State::Quarantined))
    };
    assert!(ready < 4, "they do not all fit");
    assert_eq!(stopped, 0, "a full disk is nobody's fault");
    let says = |w: &World| text(&w.command(Role::Tsd, &["status"]).stdout).contains("copier cannot work");
    world.until("status says so", says).await;

    let inside = |args: &[&str]| {
        let pid = daemon.id().unwrap().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-U", "-m", "--preserve-credentials"]).args(args).output().unwrap()
    };
    let grown = inside(&["mount", "-o", "remount,size=200M", archive.to_str().unwrap()]);
    assert!(grown.status.success(), "{}", text(&grown.stderr));
    let ids = sample_ids(&dna);
    world.until_ready(&ids).await;
    for id in &ids {
        let dir = archive.join("samples").join(id.split('/').nth(1).unwrap());
        let check = inside(&[
            "sh",
            "-c",
            &format!("cd {} && test -f READY && sha256sum -c --strict --quiet SHA256SUMS", dir.display()),
        ]);
        assert!(check.status.success(), "{id}: {}", text(&check.stderr));
    }
    let review = world.review(Role::Tsd);
    assert!(review.contains("0 stopped") && review.contains("outages"), "{review}");
    daemon.kill().await.unwrap();
    world.stop().await;
}
