//! What people ask at night, asked of the real program: where is it, why, what is going on; with and without a daemon.
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tsd_import::conf::Role;
use tsd_import::demo::site::PROJECT;
use tsd_import::journal::{self, CHECKPOINT, Facts, Holder, Journal, Owner};
use tsd_import::package::{PackageId, Priority, Reason, State};

use crate::world::{PROGRAM, World, sample_ids, text};

/// Without anything that tells about a terminal.
fn ask(world: &World, role: Role, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    let command = command.args(args).arg("--config").arg(world.site.conf(role)).env_remove("COLUMNS");
    let done = command.output().unwrap();
    assert!(!text(&done.stderr).contains("panicked"), "{}", text(&done.stderr));
    (done.status.code(), text(&done.stdout) + &text(&done.stderr))
}

/// Plain lines that fit a screen.
fn fits(said: &str) {
    assert!(!said.contains('\x1b'), "{said:?}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
}

/// Packages in a journal, as a receiver writes it: most are `Ready`, every 97th was stopped.
async fn receiver_with(dir: &Path, packages: u32) {
    let owner =
        Owner::acquire(dir, &Holder::this("p22-hpc-02".into(), "tsd".into()), Duration::from_secs(30), false);
    let owner = owner.unwrap();
    let journal = Journal::open(dir, &owner).unwrap();
    let way = [State::Seen, State::Copying, State::Copied, State::Verified, State::Ready];
    let one = |n: u32| {
        let journal = journal.clone();
        async move {
            let id: PackageId =
                format!("samples/Diag-wgs{}-HG{:08}/r1", n % 40, 40_000_000 + n).parse().unwrap();
            let mut from = None;
            for to in way {
                let stopped = n % 97 == 5 && to == State::Copied;
                let to = if stopped { State::Quarantined } else { to };
                let digest = tsd_import::package::Sha256Hex::of(&n.to_le_bytes());
                let facts = match to {
                    State::Seen => Facts {
                        priority: Some(Priority::ALL[(n % 3) as usize]),
                        files: Some(3),
                        bytes: Some(60 << 30),
                        manifest_sha256: Some(digest.clone()),
                        commit_sha256: Some(digest.clone()),
                        previous: Some(digest.clone()),
                        sent_as: Some(format!("gdx-login/1#{}", n + 1)),
                        ..Facts::default()
                    },
                    State::Quarantined => Facts {
                        reason: Some(Reason::BytesDiffer),
                        detail: Some("R2 has another digest".into()),
                        ..Facts::default()
                    },
                    State::Copied | State::Ready => {
                        Facts { place: Some(format!("/ess/p22/samples/{}", id.name)), ..Facts::default() }
                    }
                    _ => Facts::default(),
                };
                assert!(journal.step(&id, from, to, "verifier", facts).await.unwrap());
                from = Some(to);
                if stopped {
                    break;
                }
            }
        }
    };
    for first in (0..packages).step_by(500) {
        let some = (first..packages.min(first + 500)).map(one);
        let _done = futures_util::future::join_all(some).await;
    }
    journal.leave_checkpoint().await;
    drop(journal);
    drop(owner);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_is_it_and_why() {
    let mut world = World::new().await;
    let dna = world.samples(3, 20_000);
    let ids = sample_ids(&dna);
    let (code, said) = ask(&world, Role::Nsc, &["why", &dna[0]]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not known here") && said.contains("NOT looked at"), "{said}");
    world.start_both();
    world.until_ready(&ids).await;
    let (code, said) = ask(&world, Role::Nsc, &["status"]);
    assert_eq!(code, Some(0), "{said}");
    fits(&said);
    assert!(said.contains("3 transferred") && said.contains("uploader  "), "{said}");
    world.stop().await;
    let (code, said) = ask(&world, Role::Nsc, &["status"]);
    assert!(code == Some(1) && said.contains("NOT RUNNING"), "{said}");
    fits(&said);
    // A sample's number is enough; the whole way is told, with who did it and how long it took.
    for (role, words) in [
        (Role::Nsc, &["was completed", "[uploader]", "the bytes of COMMIT were decided", "transferred"][..]),
        (Role::Tsd, &["ready", "handed over", "[verifier]", "size", "sent as"][..]),
    ] {
        let (code, said) = ask(&world, role, &["why", &dna[0]]);
        assert_eq!(code, Some(0), "{said}");
        fits(&said);
        assert!(said.starts_with("! The daemon does not run") && said.contains(&ids[0]), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} in {said}");
    }
    let (code, said) = ask(&world, Role::Tsd, &["why", PROJECT]);
    assert!(code == Some(2) && ids.iter().all(|id| said.contains(id.as_str())), "{said}");
    let (code, said) = ask(&world, Role::Tsd, &["why", "HG99999999"]);
    assert!(code == Some(1) && said.contains("no COMMIT of it was ever found"), "{said}");
    assert_eq!(ask(&world, Role::Tsd, &["why", ""]).0, Some(2), "nothing is no question");
    let (code, said) = ask(&world, Role::Tsd, &["why", &ids[1], "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &json["found"]["package"]["state"]), (Some(0), &serde_json::json!("ready")));
    let (code, said) = ask(&world, Role::Tsd, &["list", "--state", "ready", "--name", &dna[2]]);
    fits(&said);
    assert!(code == Some(0) && said.contains(&ids[2]) && !said.contains(&ids[0]), "{said}");
    let (_, said) = ask(&world, Role::Tsd, &["list", "--json", "--limit", "2"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((json["fit"].as_u64(), json["packages"].as_array().unwrap().len()), (Some(3), 2));
    let (code, said) = ask(&world, Role::Tsd, &["list", "--state", "lost"]);
    assert!(code == Some(2) && said.contains("there is no state") && said.contains("quarantined"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_is_taken_only_if_it_fits_and_the_answer_is_always_right() {
    let world = World::new().await;
    let state = world.site.state(Role::Tsd);
    receiver_with(&state, 400).await;
    let (file, journal) = (state.join(CHECKPOINT), state.join(journal::FILE));
    let good = std::fs::read(&file).unwrap();
    let questions: [&[&str]; 3] =
        [&["why", "HG40000005"], &["list", "--stopped", "--json"], &["status", "--json"]];
    let answers = || -> Vec<serde_json::Value> {
        let ask = |args: &&[&str]| {
            let said = ask(&world, Role::Tsd, args).1;
            let lines = said.lines().filter(|line| {
                !line.contains(" ago)") && !line.contains("\"at\"") && !line.contains("so far")
            });
            serde_json::json!(lines.map(|l| l.split("quarantined: ").last().unwrap_or(l)).collect::<Vec<_>>())
        };
        questions.iter().map(ask).collect()
    };
    let with = answers();
    assert!(
        with[0].to_string().contains("bytes-differ") && with[1].to_string().contains("HG40000005"),
        "{with:?}"
    );
    std::fs::remove_file(&file).unwrap();
    assert_eq!(answers(), with, "the same without it");
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    // Damaged, cut off, somebody else's, empty.
    for bad in [&flipped[..], &good[..good.len() / 2], b"{\"form\":1}\n{}", b""] {
        std::fs::File::create(&file).unwrap().write_all(bad).unwrap();
        assert_eq!(answers(), with);
    }
    // An old one: the journal went on, and was cut to a shorter one.
    std::fs::File::create(&file).unwrap().write_all(&good).unwrap();
    let lines = std::fs::read_to_string(&journal).unwrap();
    let few: String = lines.split_inclusive('\n').take(300).collect();
    std::fs::File::create(&journal).unwrap().write_all(few.as_bytes()).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&ask(&world, Role::Tsd, &["list", "--json"]).1).unwrap();
    assert!(json["known"].as_u64().unwrap() < 400, "what the checkpoint knows is not in this journal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_any_more_and_nobody_looks() {
    let world = World::new().await;
    receiver_with(&world.site.state(Role::Tsd), 300).await;
    let shell = |line: &str| {
        let script = format!("set -o pipefail; {PROGRAM} {line}");
        let mut command = Command::new("bash");
        let command = command.args(["-c", &script]).env("TSD_IMPORT_CONFIG", world.site.conf(Role::Tsd));
        let done = command.env("NO_COLOR", "1").env_remove("COLUMNS").output().unwrap();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    for line in ["list --limit 0 | head -1", "list --limit 0 --json | head -1", "why HG40000005 | head -1"] {
        let (code, said, odd) = shell(line);
        assert!(
            code == Some(0) && said.lines().count() == 1 && odd.is_empty(),
            "{line}: {code:?} {said} {odd}"
        );
    }
    let (code, said, odd) = shell("status | head -1");
    assert!(code == Some(1) && said.contains("NOT RUNNING") && odd.is_empty(), "{code:?} {said} {odd}");
    let (code, said, odd) = shell("status --watch --interval 200ms | head -3");
    assert!(code == Some(0) && said.lines().count() == 3 && odd.is_empty(), "{code:?} {said} {odd}");
    // On a terminal there are colours, unless somebody does not want them.
    let terminal = |before: &str| {
        let line = format!("{before} {PROGRAM} status");
        let mut command = Command::new("script");
        let command = command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm-256color");
        let command = command.env("TSD_IMPORT_CONFIG", world.site.conf(Role::Tsd)).env_remove("NO_COLOR");
        text(&command.stdin(Stdio::null()).output().unwrap().stdout)
    };
    assert!(terminal("").contains("\x1b[31m"), "{:?}", terminal(""));
    assert!(!terminal("NO_COLOR=1").contains("\x1b["), "{:?}", terminal("NO_COLOR=1"));
    // Without a terminal each look is a block of its own; Ctrl-C is an end in order.
    let mut command = Command::new(PROGRAM);
    let command = command
        .args(["status", "--watch", "--interval", "200ms", "--config"])
        .arg(world.site.conf(Role::Tsd));
    let mut watching = command.stdout(Stdio::piped()).spawn().unwrap();
    let blocks = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    let heads = blocks.filter(|line| line.contains("NOT RUNNING")).take(3).count();
    assert_eq!(heads, 3);
    let pid = watching.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let begun = Instant::now();
    let ended = loop {
        if let Some(status) = watching.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "it runs on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(ended.code(), Some(0));
}

/// For `scripts/ask-many`, which says where.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "builds a journal of ten thousand packages where ASK_MANY says"]
async fn a_journal_of_ten_thousand_packages() {
    let dir = std::path::PathBuf::from(std::env::var("ASK_MANY").expect("a directory in ASK_MANY"));
    receiver_with(&dir, 10_000).await;
}
