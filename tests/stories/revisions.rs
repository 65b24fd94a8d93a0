//! A name that comes again: the same bytes are nobody's work, other bytes never land unasked, and nothing is overwritten.
use std::path::PathBuf;

use std::os::unix::fs::MetadataExt;

use tsd_import::conf::Role;
use tsd_import::journal::Event;
use tsd_import::package::{PackageId, Reason, State};

use crate::cargo::{Cargo, Sender};
use crate::world::{World, text};

const SOON: [(&str, &str); 2] =
    [("TSD_IMPORT__WORK__RETRY_FIRST", "50 ms"), ("TSD_IMPORT__WORK__RETRY_MAX", "100 ms")];

fn revised(name: &str, revision: u32, more: &str) -> Cargo {
    let cargo = Cargo::sample(name).document(|sample| sample["index"] = more.into());
    Cargo { revision, ..cargo }
}

async fn comes_to(world: &World, id: &PackageId, state: State) {
    let said = format!("{id} is {state}");
    world.until(&said, |w| w.state(Role::Tsd, &id.to_string()) == Some(state)).await;
}

fn reason(world: &World, id: &PackageId) -> (Option<Reason>, String) {
    let fold = world.fold(Role::Tsd);
    let facts = &fold.package(id).unwrap().facts;
    (facts.reason, facts.detail.clone().unwrap_or_default())
}

/// What lies at a package's place, and the inode of its `.sample`.
fn lies(world: &World, name: &str) -> (PathBuf, u64, Vec<u8>) {
    let dir = world.site.landing("samples").join(name);
    let document = dir.join(format!("{name}.sample"));
    (dir, std::fs::metadata(&document).unwrap().ino(), std::fs::read(document).unwrap())
}

fn names_in(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.site.landing("samples")).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_same_bytes_are_no_work_and_other_bytes_wait_for_a_person() {
    let mut world = World::new().await;
    let mut sender = Sender::of(&world);
    let first = sender.put(&revised("Diag-a", 1, "ACGT"));
    world.start(Role::Tsd, &SOON);
    comes_to(&world, &first, State::Ready).await;
    let before = lies(&world, "Diag-a");

    let same = sender.put(&revised("Diag-a", 2, "ACGT"));
    comes_to(&world, &same, State::Duplicate).await;
    assert!(reason(&world, &same).1.contains("the same bytes as samples/Diag-a/r1"));
    let other = sender.put(&revised("Diag-a", 3, "TTTT"));
    comes_to(&world, &other, State::Quarantined).await;
    let (code, detail) = reason(&world, &other);
    assert_eq!(code, Some(Reason::Supersedes), "{detail}");
    assert!(detail.contains("samples/Diag-a/r1 was handed over with other content"), "{detail}");

    // Two of a name at once: the first lands, the second is asked about.
    let pair = [sender.put(&revised("Diag-b", 1, "AA")), sender.put(&revised("Diag-b", 2, "CC"))];
    comes_to(&world, &pair[0], State::Ready).await;
    comes_to(&world, &pair[1], State::Quarantined).await;
    assert_eq!(reason(&world, &pair[1]).0, Some(Reason::Supersedes));
    // A revision alone is as good as a first one.
    let alone = sender.put(&revised("Diag-c", 4, "GG"));
    comes_to(&world, &alone, State::Ready).await;
    let late = sender.put(&revised("Diag-c", 2, "GA"));
    comes_to(&world, &late, State::Quarantined).await;
    assert!(reason(&world, &late).1.contains("samples/Diag-c/r4, which is newer"));

    assert_eq!(lies(&world, "Diag-a"), before, "nothing was touched");
    assert_eq!(names_in(&world), ["Diag-a", "Diag-b", "Diag-c"]);
    let gets = world.site.store.requests().into_iter().filter(|r| r.path.contains("/Diag-a/r2/"));
    let files: Vec<String> = gets.map(|r| r.path).filter(|path| !path.contains("COMMIT")).collect();
    assert_eq!(files, [] as [&str; 0], "of the same bytes nothing is fetched");

    // A person decides; not beside a daemon, not about something else, not over what lies there, and not without a trace.
    let supersede = |w: &World, id: &PackageId, more: &[&str]| {
        let id = id.to_string();
        let out = w.command(Role::Tsd, &[&["supersede", &id, "--reason", "sent by mistake"], more].concat());
        (out.status.code(), format!("{}{}", text(&out.stdout), text(&out.stderr)))
    };
    let (code, said) = supersede(&world, &other, &[]);
    assert_eq!(code, Some(75), "{said}");
    world.stop().await;
    for (id, more, words) in [
        (&first, &["--set-aside"][..], "samples/Diag-a/r1 is ready: only what is stopped as supersedes"),
        (&other, &[], "samples/Diag-a/r1 still lies at"),
    ] {
        let (code, said) = supersede(&world, id, more);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(lies(&world, "Diag-a"), before);
    let (code, said) = supersede(&world, &other, &["--set-aside"]);
    assert_eq!(code, Some(0), "{said}");
    let aside =
        world.site.landing("samples").with_file_name(".quarantine").join("samples~Diag-a~r1~superseded.1");
    assert!(aside.join("READY").is_file() && said.contains(&aside.display().to_string()), "{said}");
    world.start(Role::Tsd, &SOON);
    comes_to(&world, &other, State::Ready).await;
    let document = String::from_utf8(lies(&world, "Diag-a").2).unwrap();
    assert!(document.contains("TTTT"));
    let released = world.events(Role::Tsd).into_iter().find_map(|line| match line.event {
        Event::Moved { package, from: Some(State::Quarantined), by, facts, .. } if package == other => {
            Some((by, facts.detail.unwrap_or_default()))
        }
        _ => None,
    });
    let (by, detail) = released.unwrap();
    assert!(by != "watcher" && detail.contains("supersedes samples/Diag-a/r1"), "{by}: {detail}");
    assert!(detail.contains("sent by mistake"), "{detail}");
    world.stop().await;
}

#[tokio::test]
async fn where_the_site_wants_it_a_revision_follows_one_that_was_taken() {
    let mut world = World::new().await;
    let mut sender = Sender::of(&world);
    let firsts = ["Diag-a", "Diag-b"].map(|name| sender.put(&revised(name, 1, "ACGT")));
    let land = [("TSD_IMPORT__LANDING__SAMPLES__REVISIONS", "land")];
    world.start(Role::Tsd, &[&SOON[..], &land].concat());
    for first in &firsts {
        comes_to(&world, first, State::Ready).await;
    }
    // Its consumer takes one of them.
    let taken = world.path().join("imported");
    let (place, ..) = lies(&world, "Diag-a");
    tsd_import::fs::publish(&place, &taken).unwrap();
    let before = lies(&world, "Diag-b");

    let [follows, lies_there] = ["Diag-a", "Diag-b"].map(|name| sender.put(&revised(name, 2, "TTTT")));
    comes_to(&world, &follows, State::Ready).await;
    comes_to(&world, &lies_there, State::Quarantined).await;
    assert_eq!(reason(&world, &lies_there).0, Some(Reason::DestinationExists));
    assert_eq!(lies(&world, "Diag-b"), before, "nothing is overwritten");
    let (dir, _, document) = lies(&world, "Diag-a");
    assert!(dir.join("READY").is_file() && String::from_utf8(document).unwrap().contains("TTTT"));
    assert!(std::fs::read_to_string(taken.join("Diag-a.sample")).unwrap().contains("ACGT"));
    world.stop().await;
}

#[tokio::test]
async fn what_lands_has_its_group_and_its_modes_and_is_not_larger_than_allowed() {
    let mut world = World::new().await;
    // Root may give a file to any group, others to those of which they are members.
    let of_us = std::process::Command::new("id").arg("-G").output().unwrap();
    let of_us = String::from_utf8(of_us.stdout).unwrap();
    let mine = rustix::process::getegid().as_raw();
    let other = of_us.split_whitespace().map(|gid| gid.parse::<u32>().unwrap()).find(|gid| *gid != mine);
    let root = rustix::process::geteuid().is_root();
    let Some(gid) = other.or(root.then_some(1)) else {
        eprintln!("IGNORED: this user is a member of one group alone, so none could be changed");
        return;
    };
    let mut sender = Sender::of(&world);
    let good = sender.put(&Cargo::sample("Diag-a").file("sub/dir/more.txt", b"more"));
    let many = (0..10).fold(Cargo::sample("Diag-many"), |cargo, n| cargo.file(&format!("f{n}"), b"x"));
    let many = sender.put(&many);
    let large = sender.put(&Cargo::sample("Diag-large").file("large", &[0; 20_000]));
    let gid_text = gid.to_string();
    let limits = [
        ("TSD_IMPORT__LANDING__SAMPLES__GROUP", gid_text.as_str()),
        ("TSD_IMPORT__LANDING__SAMPLES__MAX_FILES", "9"),
        ("TSD_IMPORT__LANDING__SAMPLES__MAX_BYTES", "10 KiB"),
    ];
    world.start(Role::Tsd, &[&SOON[..], &limits].concat());
    comes_to(&world, &good, State::Ready).await;
    for (id, key) in [(&many, "max_files is 9"), (&large, "max_bytes is 10240")] {
        comes_to(&world, id, State::Quarantined).await;
        let (code, detail) = reason(&world, id);
        assert_eq!(code, Some(Reason::TooLarge), "{detail}");
        assert!(detail.contains(key), "{detail}");
    }
    assert_eq!(names_in(&world), ["Diag-a"]);
    let dir = world.site.landing("samples").join("Diag-a");
    let (mut dirs, mut files) = (0, 0);
    for entry in walkdir::WalkDir::new(&dir) {
        let about = entry.unwrap().metadata().unwrap();
        assert_eq!(about.gid(), gid);
        if about.is_dir() {
            dirs += 1;
            assert_eq!(about.mode() & 0o7777, 0o2770);
        } else {
            files += 1;
            assert_eq!(about.mode() & 0o7777, 0o660);
        }
    }
    assert_eq!((dirs, files), (3, 6), "READY and SHA256SUMS too");
    world.stop().await;
}
