//! What rests below `transferred/` leaves it when the receiver's receipt is here, or when somebody confirms a list. Nothing else makes
//! anything go, and nothing goes that is not what was sent.
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tsd_import::conf::Role;
use tsd_import::demo::site::SiteOptions;
use tsd_import::fs;
use tsd_import::journal::{Cleaned, Event};
use tsd_import::package::receipt::{file_name, signature_name};
use tsd_import::package::{PackageId, Priority, Receipt, Sha256Hex, State};
use tsd_import::signature::{RECEIPTS, Signer};

use crate::world::{World, sample_ids, text};

const KIND: &str = "analyses-results/trios";

/// The receiver writes into `out`, the sender reads `back`; between them the test is the return path.
struct Returns {
    out: PathBuf,
    back: PathBuf,
    _dir: tempfile::TempDir,
}

fn key(path: &Path) -> (Signer, String) {
    let (private, public) = Signer::generate().unwrap();
    fs::write_durably(path, private.as_bytes()).unwrap();
    fs::set_mode(path, 0o600).unwrap();
    (Signer::from_file(path).unwrap(), public)
}

async fn world(after: &str, signed: bool) -> (World, Returns, Signer) {
    let dir = tempfile::tempdir().unwrap();
    let (out, back) = (dir.path().join("out"), dir.path().join("back"));
    fs::create_dir(&out).unwrap();
    fs::create_dir(&back).unwrap();
    let (private, allowed) = (dir.path().join("key"), dir.path().join("allowed"));
    let (signer, public) = key(&private);
    fs::write_durably(&allowed, format!("p22-hpc-02 namespaces=\"{RECEIPTS}\" {public}\n").as_bytes())
        .unwrap();
    let mut nsc = format!("cleaning.receipts = {back:?}\ncleaning.after = {after:?}\n");
    let mut tsd = format!("receipts.dir = {out:?}\n");
    if signed {
        nsc += &format!("cleaning.allowed_file = {allowed:?}\n");
        tsd += &format!("receipts.key_file = {private:?}\n");
    }
    let more_of = vec![(Role::Nsc, nsc), (Role::Tsd, tsd)];
    let options = SiteOptions { token_life: Duration::from_secs(600), more_of, ..SiteOptions::default() };
    (World::with(options).await, Returns { out, back, _dir: dir }, signer)
}

impl Returns {
    fn receipt(&self, id: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        let id = id.parse().unwrap();
        let read = |name: String| std::fs::read(self.out.join(name)).ok();
        (read(file_name(&id)).unwrap(), read(signature_name(&id)))
    }

    fn hand_over(&self, id: &str, text: &[u8], signature: Option<&[u8]>) {
        let id = id.parse().unwrap();
        if let Some(signature) = signature {
            fs::write_durably(&self.back.join(signature_name(&id)), signature).unwrap();
        }
        fs::write_durably(&self.back.join(file_name(&id)), text).unwrap();
    }

    fn return_as_it_is(&self, id: &str) {
        let (text, signature) = self.receipt(id);
        self.hand_over(id, &text, signature.as_deref());
    }

    fn has(&self, id: &str) -> bool {
        self.out.join(file_name(&id.parse().unwrap())).is_file()
    }
}

fn cleaned(world: &World, id: &str) -> Option<Cleaned> {
    world.fold(Role::Nsc).package(&id.parse().unwrap()).unwrap().cleaned.clone()
}

fn rest(world: &World, id: &str) -> PathBuf {
    let id: PackageId = id.parse().unwrap();
    let priority = world.fold(Role::Nsc).package(&id).unwrap().priority;
    let production = world.site.dir.join("nsc/transfer/production");
    production.join("transferred").join(priority.as_str()).join(id.kind.as_str()).join(id.dir_name())
}

fn nothing_is_being_removed(world: &World) {
    let area = world.site.dir.join("nsc/transfer/production/.cleaning");
    let left: Vec<_> = std::fs::read_dir(area).map(|all| all.collect()).unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(world.fold(Role::Nsc).cleaning().count(), 0);
}

fn status(world: &World) -> String {
    text(&world.command(Role::Nsc, &["status"]).stdout)
}

/// Drops a package in and waits until it is READY at the other side.
async fn arrived(world: &World, name: &str) -> String {
    let files = [("data.vcf", name.as_bytes().to_vec()), ("qc/report.html", vec![b'x'; 3000])];
    drop(world.site.drop_in(KIND, name, Priority::High, &files).unwrap());
    let id = format!("{KIND}/{name}/r1");
    world.until("it is sent", |w| w.state(Role::Nsc, &id) == Some(State::Transferred)).await;
    world.until("it landed", |w| w.state(Role::Tsd, &id) == Some(State::Ready)).await;
    id
}

#[tokio::test]
async fn only_a_good_receipt_lets_a_package_go() {
    let (mut world, path, signer) = world("1 s", true).await;
    let dna = world.samples(3, 100_000);
    world.start_both();
    let ids = sample_ids(&dna);
    world.until_ready(&ids).await;
    world.until("receipts are written", |_| ids.iter().all(|id| path.has(id))).await;
    world.until("what rests is counted", |w| status(w).contains("a receipt came for 0 of them")).await;
    assert!(ids.iter().all(|id| rest(&world, id).is_dir()), "without a receipt nothing goes");

    // A good one; one by a stranger; one that is about another commit, under a good signature; one without a signature.
    let [good, foreign, other] = &ids[..] else { panic!("{ids:?}") };
    let (stranger, _) = key(&path.out.with_file_name("stranger"));
    let (told, _) = path.receipt(foreign);
    path.hand_over(foreign, &told, Some(stranger.sign_for(RECEIPTS, &told).unwrap().as_bytes()));
    let mismatching = Receipt {
        commit_sha256: Sha256Hex::of(b"another"),
        ..Receipt::parse(&path.receipt(other).0, &other.parse().unwrap()).unwrap()
    };
    let (mismatching, by) = (mismatching.to_text(), &signer);
    path.hand_over(
        other,
        mismatching.as_bytes(),
        Some(by.sign_for(RECEIPTS, mismatching.as_bytes()).unwrap().as_bytes()),
    );
    path.return_as_it_is(good);
    let inodes: Vec<u64> = world
        .site
        .delivered(&dna[0])
        .unwrap()
        .iter()
        .map(|path| std::fs::metadata(path).unwrap().nlink())
        .collect();
    assert_eq!(inodes, [2, 2], "in the delivery, and in the tree");
    world.until("the good one is gone", |w| cleaned(w, good).is_some()).await;
    assert!(!rest(&world, good).exists());
    let Cleaned { proof, by, bytes, .. } = cleaned(&world, good).unwrap();
    assert!(proof.starts_with("signed receipt of p22-hpc-02, ready at ") && by == "uploader", "{proof}");
    assert!(bytes > 200_000, "{bytes}");
    let delivered = world.site.delivered(&dna[0]).unwrap();
    assert!(
        delivered.iter().all(|path| std::fs::metadata(path).unwrap().nlink() == 1),
        "the delivery keeps its own"
    );
    let said = |w: &World, id: &str, why: &str| {
        status(w)
            .lines()
            .any(|line| line.contains(id) && line.contains("its receipt is no good") && line.contains(why))
    };
    world.until("the foreign one is named", |w| said(w, foreign, "not listed in allowed_signers")).await;
    world.until("the other one is named", |w| said(w, other, "a COMMIT with digest")).await;
    path.hand_over(other, &path.receipt(other).0, None);
    std::fs::remove_file(path.back.join(signature_name(&other.parse().unwrap()))).unwrap();
    world.until("and one without a signature", |w| said(w, other, "it is not signed")).await;
    assert!([foreign, other].iter().all(|id| rest(&world, id).is_dir() && cleaned(&world, id).is_none()));
    assert!(status(&world).contains("transferred/: 2 package(s)"), "{}", status(&world));

    for id in [foreign, other] {
        path.return_as_it_is(id);
        world.until("with its own it goes", |w| cleaned(w, id).is_some()).await;
    }
    // A lost receipt is written again by the next life, and says the same.
    let before = path.receipt(good);
    std::fs::remove_file(path.out.join(file_name(&good.parse().unwrap()))).unwrap();
    world.stop().await;
    world.start_both();
    world.until("it is written again", |_| path.has(good)).await;
    assert_eq!(path.receipt(good).0, before.0);
    world.stop().await;
    nothing_is_being_removed(&world);
    world.everything_is_right(&ids);
}

#[tokio::test]
async fn cut_off_anywhere_the_removal_is_gone_on_with() {
    let (mut world, path, _) = world("1 s", false).await;
    world.start_both();
    for (n, point) in [
        "journal-written=return(cleaned:false)",
        "cleaning=1*off->return",
        "journal-writing=return(cleaned:true)",
        "journal-written=return(cleaned:true)",
    ]
    .into_iter()
    .enumerate()
    {
        let id = arrived(&world, &format!("p{n}")).await;
        world.until("its receipt is written", |_| path.has(&id)).await;
        world.kill(Role::Nsc).await;
        world.start(Role::Nsc, &[("FAILPOINTS", point)]);
        path.return_as_it_is(&id);
        assert_eq!(world.until_ended(Role::Nsc).await, None, "{point}: it died");
        let begun = world.events(Role::Nsc).iter().any(
            |l| matches!(&l.event, Event::Cleaned { package, done: false, .. } if package.to_string() == id),
        );
        assert!(begun, "{point}: on record before anything was done");
        if point.starts_with("cleaning") {
            let half = world.site.dir.join("nsc/transfer/production/.cleaning").join(id.replace('/', "~"));
            assert!(
                half.join("SHA256SUMS").is_file() && fs::plain_files(&half).unwrap().len() == 2,
                "in the middle"
            );
        }
        world.start(Role::Nsc, &[]);
        world.until("it is removed to its end", |w| cleaned(w, &id).is_some()).await;
        assert!(!rest(&world, &id).exists(), "{point}");
        nothing_is_being_removed(&world);
        let ends = world.events(Role::Nsc);
        let ends = ends.iter().filter(
            |l| matches!(&l.event, Event::Cleaned { package, done: true, .. } if package.to_string() == id),
        );
        assert_eq!(ends.count(), 1, "{point}");
    }
    world.stop().await;
}

/// The list as it was printed, and its digest.
fn listed(world: &World, more: &[&str]) -> (PathBuf, String, String) {
    let out = world.command(Role::Nsc, &[&["clean", "--older-than", "1s"], more].concat());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    let digest = said.trim_end().rsplit_once("# digest ").unwrap().1.to_owned();
    let file = world.path().join("list");
    fs::write_durably(&file, said.as_bytes()).unwrap();
    (file, digest, said)
}

fn remove(
    world: &World,
    (file, digest, _): &(PathBuf, String, String),
    more: &[&str],
) -> (Option<i32>, String) {
    let args =
        ["clean", "--list", file.to_str().unwrap(), "--confirm", digest, "--reason", "the disk is full"];
    let out = world.command(Role::Nsc, &[&args[..], more].concat());
    (out.status.code(), text(&out.stdout) + &text(&out.stderr))
}

#[tokio::test]
async fn without_receipts_only_a_confirmed_list_removes_anything() {
    let mut world = World::new().await;
    world.start_both();
    let mut ids = Vec::new();
    for name in ["one", "two", "three", "four"] {
        ids.push(arrived(&world, name).await);
    }
    tokio::time::sleep(Duration::from_secs(8)).await; // more than a look at what may leave
    assert!(ids.iter().all(|id| rest(&world, id).is_dir()), "nothing goes by itself");
    let all = listed(&world, &[]);
    for id in &ids {
        let line = all.2.lines().find(|line| line.starts_with(id.as_str())).unwrap();
        assert!(
            line.contains("  3003  none  0  ") || line.contains("  300") && line.contains("  none  0  "),
            "{line}"
        );
    }
    assert!(all.2.contains("# 4 package(s), "), "{}", all.2);
    assert!(listed(&world, &["--kind", "samples"]).2.contains("# 0 package(s)"));

    // Another digest than that of the file, and a file that somebody has changed: nothing happens.
    fs::write_durably(&all.0, all.2.as_bytes()).unwrap();
    let (code, said) = remove(&world, &(all.0.clone(), "0".repeat(64), String::new()), &[]);
    assert!(code == Some(78) && said.contains("something else was confirmed: nothing is removed"), "{said}");
    let shorter: Vec<&str> = all.2.lines().filter(|line| !line.starts_with(ids[0].as_str())).collect();
    fs::write_durably(&all.0, shorter.join("\n").as_bytes()).unwrap();
    assert_eq!(remove(&world, &all, &[]).0, Some(78));
    assert!(ids.iter().all(|id| cleaned(&world, id).is_none()));

    // Between list and confirmation: a file more, a file that changed behind its time, a package that left already.
    fs::write_durably(&all.0, all.2.as_bytes()).unwrap();
    fs::write_durably(&rest(&world, &ids[1]).join("notes.txt"), b"mine").unwrap();
    fs::write_durably(&rest(&world, &ids[2]).join("data.vcf"), b"THREE").unwrap();
    let one = (world.path().join("one"), String::new(), String::new());
    let line: Vec<&str> = all.2.lines().filter(|line| line.starts_with(ids[3].as_str())).collect();
    fs::write_durably(&one.0, line[0].as_bytes()).unwrap();
    let (code, said) = remove(&world, &(one.0.clone(), "0".repeat(64), String::new()), &[]);
    assert_eq!(code, Some(78), "{said}");
    let digest = said.split("its digest is ").nth(1).unwrap().chars().take(64).collect();
    let (code, said) = remove(&world, &(one.0, digest, String::new()), &[]);
    assert!(code == Some(0) && said.contains("1 package(s) removed"), "{said}");
    let (code, said) = remove(&world, &all, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("1 package(s) removed") && said.contains("3 package(s) were not removed"),
        "{said}"
    );
    for (id, why) in [
        (&ids[1], "notes.txt is in it, which was not sent with it"),
        (&ids[2], "data.vcf was changed after it was sent"),
        (&ids[3], "it was cleaned at "),
    ] {
        assert!(
            said.lines().any(|line| line.contains(&format!("! not removed: {id}: {why}"))),
            "{id}: {said}"
        );
    }
    assert!(!rest(&world, &ids[0]).exists() && rest(&world, &ids[1]).join("notes.txt").exists());
    let Cleaned { proof, by, why, .. } = cleaned(&world, &ids[0]).unwrap();
    assert!(proof == "none" && why.starts_with("the disk is full (wish "), "{proof} {why}");
    assert!(!by.is_empty() && by != "uploader", "{by}");
    let left: Vec<_> = std::fs::read_dir(world.site.state(Role::Nsc).join("clean")).unwrap().collect();
    assert!(left.is_empty(), "neither wishes nor answers are left: {left:?}");

    // Nobody runs: the command does it itself, as the owner of the state directory.
    std::fs::remove_file(rest(&world, &ids[1]).join("notes.txt")).unwrap();
    world.stop().await;
    let again = listed(&world, &[]);
    let (code, said) = remove(&world, &again, &["--json"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(cleaned(&world, &ids[1]).is_some() && cleaned(&world, &ids[2]).is_none(), "{said}");
    // A stop file says that nothing may work there.
    fs::write_durably(&world.site.state(Role::Nsc).join("STOP"), b"until Monday\n").unwrap();
    let (code, said) = remove(&world, &listed(&world, &[]), &[]);
    assert!(code == Some(69) && said.contains("until Monday"), "{said}");
    std::fs::remove_file(world.site.state(Role::Nsc).join("STOP")).unwrap();
    world.start(Role::Nsc, &[]);
    world.until("it works on with that journal", |w| status(w).contains("transferred/: 1 package(s)")).await;
    world.start(Role::Tsd, &[]);
    drop(arrived(&world, "five").await);
    world.stop().await;
    nothing_is_being_removed(&world);
}

/// The daemon that a person asked is killed in the middle: the next one goes on, and the command that waits tells how it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_outlives_the_daemon_that_was_asked() {
    let mut world = World::new().await;
    world.start_both();
    let ids = [arrived(&world, "one").await, arrived(&world, "two").await];
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let (file, digest, _) = listed(&world, &[]);
    world.kill(Role::Nsc).await;
    // Behind the first package, in the middle of the second.
    world.start(Role::Nsc, &[("FAILPOINTS", "cleaning=2*off->return")]);
    let started = |w: &World| w.command(Role::Nsc, &["status"]).status.success();
    world.until("it runs", started).await;
    let mut command = tokio::process::Command::new(crate::world::PROGRAM);
    let command =
        command.args(["clean", "--reason", "room", "--list"]).arg(file).args(["--confirm", &digest]);
    let command =
        command.arg("--config").arg(world.site.conf(Role::Nsc)).stdout(std::process::Stdio::piped());
    let asking = command.kill_on_drop(true).spawn().unwrap();
    assert_eq!(world.until_ended(Role::Nsc).await, None, "it died");
    assert!(cleaned(&world, &ids[1]).is_none(), "in the middle of the second");
    world.start(Role::Nsc, &[]);
    let told =
        tokio::time::timeout(Duration::from_secs(60), asking.wait_with_output()).await.unwrap().unwrap();
    let said = text(&told.stdout);
    assert!(told.status.success() && said.contains("2 package(s) removed"), "{said}");
    for id in &ids {
        let Cleaned { why, .. } = cleaned(&world, id).unwrap();
        assert!(why.starts_with("room (wish ") && !rest(&world, id).exists(), "{why}");
    }
    world.stop().await;
    nothing_is_being_removed(&world);
}

#[tokio::test]
async fn where_receipts_come_a_list_without_them_needs_another_word() {
    let (mut world, path, _) = world("", false).await;
    world.start_both();
    let (with, without) = (arrived(&world, "with").await, arrived(&world, "without").await);
    world.until("its receipt is written", |_| path.has(&with)).await;
    path.return_as_it_is(&with);
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(cleaned(&world, &with).is_none(), "cleaning.after is empty: never by itself");
    let all = listed(&world, &[]);
    let line = |id: &str, proof: &str| all.2.lines().any(|line| line.starts_with(id) && line.contains(proof));
    assert!(line(&with, "  receipt  ") && line(&without, "  none  "), "{}", all.2);
    let (code, said) = remove(&world, &all, &[]);
    assert!(code == Some(1) && said.contains(&format!("{without}: there is no receipt of it")), "{said}");
    assert!(cleaned(&world, &with).unwrap().proof.starts_with("receipt of p22-hpc-02"));
    let (code, said) = remove(&world, &listed(&world, &[]), &["--without-receipt"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(cleaned(&world, &without).unwrap().proof, "none");
    world.stop().await;
    nothing_is_being_removed(&world);
}

/// Packages are delivered without receipts too.
#[tokio::test]
async fn where_the_directories_of_receipts_are_missing_everything_else_goes_on() {
    let (mut world, path, _) = world("1 s", false).await;
    for dir in [&path.out, &path.back] {
        std::fs::remove_dir(dir).unwrap();
    }
    for (role, key) in [(Role::Nsc, "cleaning.receipts"), (Role::Tsd, "receipts.dir")] {
        let out = world.command(role, &["config", "check"]);
        let said = text(&out.stdout) + &text(&out.stderr);
        assert!(out.status.code() == Some(78) && said.contains(key), "{said}");
    }
    world.start_both();
    let id = arrived(&world, "one").await;
    world
        .until("that is said", |w| status(w).contains("no receipts can be read, so nothing is cleaned"))
        .await;
    let there = |w: &World| text(&w.command(Role::Tsd, &["status"]).stdout).contains("waits: receipts in ");
    world.until("there, too", there).await;
    fs::create_dir(&path.out).unwrap();
    fs::create_dir(&path.back).unwrap();
    world.until("its receipt is written when it can be", |_| path.has(&id)).await;
    path.return_as_it_is(&id);
    world.until("and it goes", |w| cleaned(w, &id).is_some()).await;
    world.stop().await;
}

#[tokio::test]
async fn an_age_without_receipts_is_refused_by_the_configuration() {
    let more_of = vec![(Role::Nsc, "cleaning.after = \"30 days\"\n".to_owned())];
    let world = World::with(SiteOptions { more_of, ..SiteOptions::default() }).await;
    let out = world.command(Role::Nsc, &["config", "check"]);
    let said = text(&out.stdout) + &text(&out.stderr);
    assert_eq!(out.status.code(), Some(78));
    assert!(said.contains("cleaning.after: needs cleaning.receipts"), "{said}");
}
