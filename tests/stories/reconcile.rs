//! A receiver's journal is lost: nothing lands a second time, what lies in place is proven and journalled, the rest is a person's.
use std::path::PathBuf;

use tsd_import::conf::Role;
use tsd_import::fs;
use tsd_import::journal::Event;
use tsd_import::package::{Priority, Reason, State};

use crate::world::{World, tail, text};

/// A kind with `READY`, whose packages no document describes.
const KIND: &str = "ella-incoming";

fn id(name: &str) -> String {
    format!("{KIND}/{name}/r1")
}

fn drop_in(world: &World, name: &str) {
    let files = [("data.vcf", name.repeat(10_000).into_bytes()), ("more/a.txt", b"a".to_vec())];
    drop(world.site.drop_in(KIND, name, Priority::Normal, &files).unwrap());
}

async fn sent(world: &World, name: &str) {
    let id = id(name);
    world.until(&format!("{name} is sent"), |w| w.state(Role::Nsc, &id) == Some(State::Transferred)).await;
}

async fn landed(world: &World, name: &str) {
    let id = id(name);
    world.until(&format!("{name} landed"), |w| w.state(Role::Tsd, &id) == Some(State::Ready)).await;
}

fn at(world: &World, name: &str) -> PathBuf {
    world.site.landing(KIND).join(name)
}

fn run(world: &World, role: Role, args: &[&str]) -> (Option<i32>, String) {
    let done = world.command(role, &[&["reconcile"], args].concat());
    (done.status.code(), text(&done.stdout) + &text(&done.stderr))
}

/// What is said of a package: the code before its name.
fn code_of<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    let of = format!(": {}: ", id(name));
    said.lines()
        .find_map(|line| line.split_once(of.as_str()))
        .map(|(code, _)| code.trim_start_matches(['!', ' ']))
}

async fn until_refused(world: &mut World) -> String {
    world.start(Role::Tsd, &[]);
    assert_eq!(world.until_ended(Role::Tsd).await, Some(78), "{}", tail(&world.stderr(Role::Tsd)));
    tail(&world.stderr(Role::Tsd))
}

fn lose_the_journal(world: &World) -> PathBuf {
    let state = world.site.state(Role::Tsd);
    let lost = world.path().join("lost-state");
    fs::publish(&state, &lost).unwrap();
    lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)] // the store answers while a command is waited for
async fn a_lost_journal_is_rebuilt_and_nothing_lands_twice() {
    let mut world = World::new().await;
    let (kept, taken, damaged, half, new) = (["one", "two", "three"], "taken", "damaged", "half", "later");
    for name in kept.iter().chain([&taken, &damaged]) {
        drop_in(&world, name);
    }
    world.start_both();
    for name in kept.iter().chain([&taken, &damaged]) {
        sent(&world, name).await;
        landed(&world, name).await;
    }
    // Nothing to do, while it runs and behind it.
    let (code, said) = run(&world, Role::Tsd, &[]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&world, Role::Tsd, &["--fix"]);
    assert!(code == Some(75) && said.contains("stop it first"), "{said}");
    world.stop().await;
    // One is cut off while it is copied.
    drop_in(&world, half);
    world.start(Role::Nsc, &[]);
    sent(&world, half).await;
    world.start(Role::Tsd, &[("FAILPOINTS", "journal-written=return(moved:copied)")]);
    assert_eq!(world.until_ended(Role::Tsd).await, None, "a signal ended it");
    drop_in(&world, new);
    sent(&world, new).await;
    world.stop().await;
    // The consumer takes one away, a disk damages another, and the state directory is lost.
    fs::publish(&at(&world, taken), &world.path().join("imported")).unwrap();
    let file = at(&world, damaged).join("data.vcf");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[7] ^= 1;
    fs::write_durably(&file, &bytes).unwrap();
    let lost = lose_the_journal(&world);
    let said = until_refused(&mut world).await;
    assert!(
        said.contains("is empty, although a receiver has worked here") && said.contains("reconcile --fix"),
        "{said}"
    );
    // It only tells, and changes nothing.
    let (code, said) = run(&world, Role::Tsd, &[]);
    assert_eq!(code, Some(1), "{said}");
    for name in kept.iter().chain([&damaged]) {
        assert_eq!(code_of(&said, name), Some("landed-unknown"), "{said}");
    }
    for (name, code) in [(taken, "landed-before"), (half, "new"), (new, "landed-before")] {
        assert_eq!(code_of(&said, name), Some(code), "{said}");
    }
    assert!(said.contains("the journal is lost"), "{said}");
    assert!(world.events(Role::Tsd).is_empty(), "nothing was journalled");
    // Somebody knows that one is new.
    let (code, said) = run(&world, Role::Tsd, &["--fix", "--new", &id(new)]);
    assert_eq!(code, Some(1), "one is wrong, and that needs somebody: {said}");
    assert!(
        said.contains(&format!("! not done: {}", id(damaged))) && said.contains("the journal is rebuilt"),
        "{said}"
    );
    for name in kept {
        assert_eq!(world.state(Role::Tsd, &id(name)), Some(State::Ready), "{name}: {said}");
    }
    for name in [taken, damaged] {
        let fold = world.fold(Role::Tsd);
        let row = fold.package(&id(name).parse().unwrap()).unwrap();
        assert_eq!((row.state, row.facts.reason), (State::Quarantined, Some(Reason::LandedBefore)), "{name}");
    }
    let (code, said) = run(&world, Role::Tsd, &[]);
    assert_eq!(code, Some(0), "what is stopped is said by `status`: {said}");
    // The daemon lands what is left, and nothing else.
    world.start(Role::Tsd, &[]);
    landed(&world, half).await;
    landed(&world, new).await;
    world.stop().await;
    assert!(!at(&world, taken).exists(), "its consumer has it already");
    let ready = |w: &World| w.fold(Role::Tsd).packages().filter(|row| row.state == State::Ready).count();
    assert_eq!(ready(&world), 5);
    for name in kept.iter().chain([&half, &new]) {
        let mut sums = std::process::Command::new("sha256sum");
        let sums = sums.args(["-c", "--strict", "--quiet", "SHA256SUMS"]).current_dir(at(&world, name));
        assert!(sums.status().unwrap().success(), "{name}");
        assert!(at(&world, name).join("READY").is_file(), "{name}");
    }
    // The chain of the sender is known again, the journal is a journal, and custody tells what was found.
    assert_eq!(world.command(Role::Tsd, &["journal", "verify"]).status.code(), Some(0));
    let told = text(&world.command(Role::Tsd, &["custody", &id(kept[0])]).stdout);
    assert!(
        told.contains("reconcile")
            && told.contains("bytes read back")
            && told.contains("COMMIT is signed by SHA256:"),
        "{told}"
    );
    assert!(world.fold(Role::Tsd).chains().gaps(&Default::default(), jiff::Timestamp::MIN).is_empty());
    // The other one was new after all, says somebody: it lands.
    let (code, said) = run(&world, Role::Tsd, &["--new", &id(taken)]);
    assert!(code == Some(1) && said.contains("--fix: has it land"), "{said}");
    let (code, said) = run(&world, Role::Tsd, &["--fix", "--new", &id(taken)]);
    assert!(code == Some(0) && said.contains("is taken up again"), "{said}");
    world.start(Role::Tsd, &[]);
    landed(&world, taken).await;
    world.stop().await;
    drop(lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuilding_that_was_cut_off_is_gone_on_with_before_a_daemon_starts() {
    let mut world = World::new().await;
    for name in ["one", "two"] {
        drop_in(&world, name);
    }
    world.start_both();
    for name in ["one", "two"] {
        sent(&world, name).await;
        landed(&world, name).await;
    }
    world.stop().await;
    fs::publish(&at(&world, "two"), &world.path().join("imported")).unwrap();
    let _lost = lose_the_journal(&world);
    let done = std::process::Command::new(crate::world::PROGRAM)
        .args(["reconcile", "--fix", "--config"])
        .arg(world.site.conf(Role::Tsd))
        .env("FAILPOINTS", "journal-written=return(placed)")
        .output()
        .unwrap();
    assert_eq!(done.status.code(), None, "a signal ended it: {}", text(&done.stdout));
    assert!(!world.events(Role::Tsd).is_empty(), "it had begun");
    let said = until_refused(&mut world).await;
    assert!(said.contains("was being rebuilt, and that was cut off"), "{said}");
    let (code, said) = run(&world, Role::Tsd, &["--fix"]);
    assert_eq!(code, Some(0), "{said}");
    world.start(Role::Tsd, &[]);
    landed(&world, "one").await;
    assert_eq!(world.state(Role::Tsd, &id("two")), Some(State::Quarantined));
    world.stop().await;
    assert!(!at(&world, "two").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_receiver_with_a_full_bucket_starts_and_differences_are_told() {
    let mut world = World::new().await;
    drop_in(&world, "one");
    world.start(Role::Nsc, &[]);
    sent(&world, "one").await;
    let (code, said) = run(&world, Role::Tsd, &[]);
    assert_eq!((code, code_of(&said, "one")), (Some(0), Some("new")), "{said}");
    world.start(Role::Tsd, &[]);
    landed(&world, "one").await;
    world.stop().await;
    // Scratch of nobody, and a READY that somebody took away.
    let area = world.site.landing(KIND).parent().unwrap().to_owned();
    let scratch = area.join(".incoming").join(format!("{KIND}~gone~r1"));
    fs::create_dir(&scratch).unwrap();
    fs::write_durably(&scratch.join("x"), b"x").unwrap();
    std::fs::remove_file(at(&world, "one").join("READY")).unwrap();
    let (code, said) = run(&world, Role::Tsd, &[]);
    assert_eq!(
        (code, code_of(&said, "one"), code_of(&said, "gone")),
        (Some(1), Some("ready-missing"), Some("scratch")),
        "{said}"
    );
    let (code, said) = run(&world, Role::Tsd, &["--fix"]);
    assert_eq!(code, Some(1), "READY is not written a second time: {said}");
    assert!(
        !scratch.exists()
            && area.join(".quarantine").join(format!("{KIND}~gone~r1.left-behind.1/x")).is_file(),
        "{said}"
    );
    assert!(!at(&world, "one").join("READY").exists());
    let told = |line: &tsd_import::journal::Line| matches!(&line.event, Event::Stopped { why, .. } if why.contains("reconcile --fix"));
    assert!(world.events(Role::Tsd).iter().any(told), "who fixed something stands in the journal");
    // As an older release left it: nothing but what lies in place shows that a receiver has worked here.
    drop(fs::open(&at(&world, "one").join("READY"), fs::Mode::New).unwrap());
    let _lost = lose_the_journal(&world);
    for mark in walkdir::WalkDir::new(world.site.dir.join("tsd")).into_iter().map(Result::unwrap) {
        if mark.file_name() == ".receiver-p22-hpc-02" {
            std::fs::remove_file(mark.path()).unwrap();
        }
    }
    let said = until_refused(&mut world).await;
    assert!(said.contains("has READY and SHA256SUMS"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_sending_side_it_compares_and_changes_nothing() {
    let mut world = World::new().await;
    drop_in(&world, "one");
    let dna = world.samples(1, 10_000);
    world.start_both();
    sent(&world, "one").await;
    world.until_ready(&crate::world::sample_ids(&dna)).await;
    world.stop().await;
    let (code, said) = run(&world, Role::Nsc, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("not compared: the bucket") && said.contains("0 difference(s)"), "{said}");
    drop_in(&world, "one");
    let (code, said) = run(&world, Role::Nsc, &[]);
    assert_eq!((code, code_of(&said, "one")), (Some(1), Some("dropped-again")), "{said}");
    assert_eq!(run(&world, Role::Nsc, &["--fix"]).0, Some(78));
}
