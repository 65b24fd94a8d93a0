//! The directory as a source, on a real disk.
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::fs;
use crate::journal::{Event, Holder, Owner};
use crate::supervisor::meter::{Board, Meter};

struct Bench {
    directory: Directory,
    journal: Journal,
    disks: Disks,
    disk: Disk,
    meter: Meter,
    _owner: Owner,
    dir: tempfile::TempDir,
}

fn bench(at_once: usize) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let owner = Owner::acquire(
        &root.join("state"),
        &Holder::this("h".into(), "nsc".into()),
        Duration::from_secs(30),
        false,
    );
    let owner = owner.unwrap();
    let journal = Journal::open(&root.join("state"), &owner).unwrap();
    let disks = Disks::new(1, Duration::from_secs(5), Arc::new(|_, _, _| {}));
    for place in ["orders", "delivery/run"] {
        fs::create_dir(&root.join(place)).unwrap();
    }
    for read in ["1", "2"] {
        fs::write_durably(&root.join(format!("delivery/run/HG1_R{read}.fastq.gz")), b"reads").unwrap();
    }
    let shelves = Shelves::new(&root.join("orders"));
    shelves.prepare(&OnDisk::alone()).unwrap();
    let disk = disks.at("orders", &root.join("orders")).unwrap();
    let directory = Directory::new(shelves, root.join("delivery"), disks.clone(), disk.clone(), at_once);
    let meter = Board::default().begin("poller", "t".into());
    Bench { directory, journal, disks, disk, meter, _owner: owner, dir }
}

fn text(name: &str) -> Value {
    let file = |n: u8| {
        json!({"from": format!("run/HG1_R{n}.fastq.gz"), "to": format!("HG1_S1_R{n}_001.fastq.gz"),
        "md5": "900150983cd24fb0d6963f7d28e17f72"})
    };
    json!({"version": 1, "packages": [{"kind": "samples", "files": [file(1), file(2)], "sample": {"name": name, "sample_id": "HG1",
        "project": "Diag", "sequencer_id": "L", "flowcell_id": "F", "flowcell": "A", "lane": 1, "capturekit": "wgs",
        "taqman": null, "stats": {}}}]})
}

impl Bench {
    fn orders(&self) -> PathBuf {
        self.dir.path().join("orders")
    }

    fn put(&self, path: &str, text: &str) {
        fs::write_durably(&self.orders().join(path), text.as_bytes()).unwrap();
    }

    async fn look(&self) -> Look {
        let hold = self.disks.hold("look").await.unwrap();
        let with = Looking { journal: &self.journal, meter: &self.meter, hold: &hold, disk: &self.disk };
        self.directory.look(with).await.unwrap()
    }

    async fn one(&self) -> Order {
        let mut look = self.look().await;
        assert!(look.orders.len() == 1 && look.doubts.is_empty(), "{look:?}");
        look.orders.remove(0).order
    }

    fn files(&self, shelf: &str) -> Vec<String> {
        let files = fs::plain_files(&self.orders().join(shelf)).unwrap().into_iter();
        files.map(|p| p.display().to_string()).collect()
    }

    async fn ended(&self, id: &OrderId) {
        let event = Event::Claim {
            order: id.clone(),
            phase: Phase::Failed,
            step: None,
            technician: None,
            detail: None,
        };
        self.journal.record(event).await.unwrap();
    }
}

#[tokio::test]
async fn from_new_over_claimed_to_done_each_step_as_often_as_one_likes() {
    let b = bench(10);
    b.put("new/a.json", &text("Diag-1").to_string());
    let order = b.one().await;
    assert_eq!(b.directory.find_claim(&order, None).await.unwrap(), Found::Queued);
    let claim = b.directory.claim(&order).await.unwrap();
    assert_eq!((b.files("new").len(), b.files("claimed")), (0, vec!["a.json".to_owned()]));
    assert_eq!(b.directory.find_claim(&order, None).await.unwrap(), Found::Claimed(claim.clone()));
    assert!(matches!(b.directory.claim(&order).await, Err(Failure::Unit(_))), "asked twice it takes nothing");
    assert_eq!(b.directory.standing(&claim.id, &order).await.unwrap(), Standing::Open);
    for _ in 0..2 {
        assert_eq!(b.directory.end(&claim.id, &order, &Ending::Delivered).await.unwrap(), Ended::Completed);
        assert_eq!(b.files("done"), ["a.json"]);
    }
    assert_eq!(b.directory.standing(&claim.id, &order).await.unwrap(), Standing::Completed);
    b.put("new/a.json", &text("Diag-2").to_string());
    let look = b.look().await;
    assert_eq!(look.doubts[0].fault.reason, Reason::NameTaken, "{look:?}");
}

#[tokio::test]
async fn what_was_not_delivered_goes_to_refused_with_its_reason_and_never_back() {
    let b = bench(10);
    let fault = Fault { reason: Reason::Md5Mismatch, detail: "samples/Diag-1/r1: differs".into() };
    for n in 1..3 {
        b.put("new/a.json", &text(&format!("Diag-{n}")).to_string());
        let order = b.one().await;
        assert!(b.journal.order(order.clone(), None, 9).await.unwrap());
        assert!(b.look().await.orders.is_empty(), "it is being claimed");
        let claim = b.directory.claim(&order).await.unwrap();
        let ending = Ending::Undelivered(fault.clone());
        for _ in 0..2 {
            assert!(matches!(b.directory.end(&claim.id, &order, &ending).await.unwrap(), Ended::Failed(_)));
        }
        assert_eq!(b.directory.standing(&claim.id, &order).await.unwrap(), Standing::Gone);
        b.ended(&order.id).await;
    }
    assert_eq!(b.files("refused"), ["a#2.json", "a#2.reason.json", "a.json", "a.reason.json"]);
    assert!(b.files("new").is_empty() && b.files("claimed").is_empty());
    let reason: Value =
        serde_json::from_slice(&std::fs::read(b.orders().join("refused/a.reason.json")).unwrap()).unwrap();
    assert_eq!(reason["faults"][0]["reason"], "md5-mismatch");
    assert_eq!(reason["faults"][0]["what_to_do"], Reason::Md5Mismatch.remedy());
}

#[tokio::test]
async fn a_file_that_changed_after_it_was_read_is_not_delivered_as_what_it_was() {
    let b = bench(10);
    b.put("new/a.json", &text("Diag-1").to_string());
    let order = b.one().await;
    b.put("new/a.json", &text("Diag-2").to_string());
    assert_eq!(b.one().await.packages[0].id.name.as_str(), "Diag-2", "before it is ordered it is read anew");
    let Err(Failure::Unit(blame)) = b.directory.claim(&order).await else { panic!("must be stopped") };
    assert_eq!(blame.reason, Some(Reason::SourceChanged));
    assert!(
        matches!(b.directory.find_claim(&order, None).await.unwrap(), Found::Claimed(_)),
        "so that it can be refused"
    );
}

#[tokio::test]
async fn hostile_and_half_written_files_are_doubts_and_harm_nobody_else() {
    let b = bench(100);
    b.put("new/good.json", &text("Diag-1").to_string());
    b.put("new/.hidden.json", "x");
    b.put("new/notes.txt", "x");
    b.put("new/half.json", &text("Diag-2").to_string()[..100]);
    b.put("new/odd name.json", &text("Diag-3").to_string());
    b.put("new/huge.json", &"x".repeat(usize::try_from(text::MAX_BYTES).unwrap() + 1));
    b.put("new/unknown.json", r#"{"version":1,"packages":[],"cmd":"rm"}"#);
    std::os::unix::fs::symlink("/etc/passwd", b.orders().join("new/link.json")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        b.orders().join("new/pipe.json"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    fs::create_dir(&b.orders().join("new/dir.json")).unwrap();
    let mut away = text("Diag-4");
    std::os::unix::fs::symlink("/etc", b.dir.path().join("delivery/run/etc")).unwrap();
    away["packages"][0]["files"][0]["from"] = json!("run/etc/passwd");
    b.put("new/away.json", &away.to_string());
    let mut later = text("Diag-5");
    later["packages"][0]["files"][0]["from"] = json!("run/later.fastq.gz");
    b.put("new/later.json", &later.to_string());
    let look = b.look().await;
    let orders: Vec<&str> = look.orders.iter().map(|r| r.order.id.0.as_str()).collect();
    assert_eq!(orders, ["good"]);
    assert!(
        look.waiting["work order later"].contains("run/later.fastq.gz is not there"),
        "{:?}",
        look.waiting
    );
    let doubts: BTreeMap<&str, &Fault> =
        look.doubts.iter().map(|d| (d.artifact.as_str(), &d.fault)).collect();
    for (artifact, reason, words) in [
        ("away", Reason::UnsafeContent, "packages[0].files[0].from: "),
        ("dir", Reason::UnsafeContent, "it is no plain file"),
        ("half", Reason::BadDocument, "EOF"),
        ("huge", Reason::UnsafeContent, "at most 4194304 are read"),
        ("link", Reason::UnsafeContent, "it is no plain file"),
        ("odd name", Reason::BadDocument, "its name is no good"),
        ("pipe", Reason::UnsafeContent, "it is no plain file"),
        ("unknown", Reason::BadDocument, "unknown field `cmd`"),
    ] {
        let fault = doubts[artifact];
        assert!(fault.reason == reason && fault.detail.contains(words), "{artifact}: {fault}");
        assert!(fault.detail.starts_with(&format!("{artifact}.json: ")), "{fault}");
    }
    assert_eq!(doubts.len(), 8);
    for doubt in &look.doubts {
        for _ in 0..2 {
            let place = b.directory.refuse(&doubt.artifact, &doubt.fault, false).await.unwrap();
            assert!(place.contains("refused/") || place.contains("not in new/"), "{place}");
        }
    }
    assert_eq!(b.look().await.doubts, []);
    assert!(
        b.orders().join("refused/half.json").is_file()
            && b.orders().join("refused/half.reason.json").is_file()
    );
    assert!(b.orders().join("refused/link.json").is_symlink(), "what it points to is not touched");
}

#[tokio::test]
async fn of_many_files_each_look_reads_some_and_every_one_has_its_turn() {
    let b = bench(2);
    for n in 0..5 {
        b.put(&format!("new/bad{n}.json"), "{");
    }
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..5 {
        let look = b.look().await;
        assert_eq!((look.doubts.len(), look.unread.len()), (2, 3));
        look.doubts.into_iter().for_each(|d| *seen.entry(d.artifact).or_default() += 1);
    }
    assert_eq!(seen.into_values().collect::<Vec<_>>(), [2; 5]);
}

#[tokio::test]
async fn claims_without_a_journal_are_adopted() {
    let b = bench(10);
    b.put("claimed/a#2.json", &text("Diag-1").to_string());
    b.put("claimed/b.json", "{");
    let look = b.look().await;
    let [ready] = &look.orders[..] else { panic!("{look:?}") };
    assert_eq!((ready.order.id.0.as_str(), ready.claim.as_deref()), ("a#2", Some("a#2")));
    assert_eq!(ready.order.artifacts, ["a"]);
    assert!(look.waiting["claimed/b.json"].contains("move it away"), "{:?}", look.waiting);
    let Look { mut orders, .. } = look;
    let Ready { order, claim } = orders.remove(0);
    let id = order.id.clone();
    assert!(b.journal.order(order, claim, 9).await.unwrap());
    assert!(b.look().await.orders.is_empty(), "once");
    b.ended(&id).await;
    assert!(b.look().await.waiting["claimed/a#2.json"].contains("at its end"));
}

#[tokio::test]
async fn a_package_that_was_made_before_is_a_doubt_and_a_directory_that_is_gone_an_outage() {
    let b = bench(10);
    b.put("new/a.json", &text("Diag-1").to_string());
    let order = b.one().await;
    assert!(b.journal.order(order.clone(), None, 9).await.unwrap());
    b.ended(&order.id).await;
    let look = b.look().await;
    assert_eq!(look.doubts[0].fault.reason, Reason::NameTaken);
    assert!(look.doubts[0].fault.detail.contains("samples/Diag-1/r1 exists already"), "{look:?}");
    assert!(b.directory.preflight().await.unwrap().is_empty());
    fs::publish(&b.orders(), &b.dir.path().join("unmounted")).unwrap();
    assert!(matches!(b.directory.preflight().await, Err(Failure::Outage(_))));
    assert!(matches!(b.directory.standing("a", &order).await, Err(Failure::Outage(_))), "not: taken back");
    assert!(matches!(b.directory.find_claim(&order, None).await, Err(Failure::Outage(_))));
}
