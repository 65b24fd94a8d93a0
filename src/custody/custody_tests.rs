//! What is picked, what fits, and what is said not to be known.
use super::*;
use crate::journal::Line;
use crate::package::{Commit, Priority, Revision};

fn id(text: &str) -> PackageId {
    text.parse().unwrap()
}

fn commit(manifest: &[u8]) -> String {
    let commit = Commit {
        version: 1,
        package: "Diag-1".parse().unwrap(),
        kind: "samples".parse().unwrap(),
        revision: Revision::FIRST,
        priority: Priority::High,
        files: 2,
        bytes: 7,
        manifest_sha256: Sha256Hex::of(manifest),
        sender: "gdx-login/1".parse().unwrap(),
        sequence: 1,
        previous: None,
        committed_at: "2026-06-12T10:00:00Z".parse().unwrap(),
    };
    commit.to_text()
}

fn record(side: &str) -> Record {
    let text = commit(b"m");
    let head = Head { line: 9, sha256: Sha256Hex::zero() };
    Record {
        side: side.into(),
        journal: Ledger { path: "/state/journal.jsonl".into(), head, faults: Vec::new(), exported: false },
        state: if side == "nsc" { State::Transferred } else { State::Ready },
        events: Vec::new(),
        order: None,
        delivered: Vec::new(),
        files: Some(2),
        bytes: Some(7),
        manifest_sha256: Some(Sha256Hex::of(b"m")),
        commit_sha256: Some(Sha256Hex::of(text.as_bytes())),
        sent_as: Some("gdx-login/1#1".into()),
        previous: None,
        commit: Some(text),
        signature: None,
        place: Some("/production/Diag-1".into()),
        lines: vec![r#"{"v":1,"seq":4,"at":"2026-06-12T10:00:00Z"}"#.into()],
    }
}

fn said(custody: &Custody, mark: Mark) -> String {
    custody.findings.iter().filter(|f| f.mark == mark).map(|f| format!("{}\n", f.text)).collect()
}

#[test]
fn a_whole_name_is_never_taken_for_the_beginning_of_a_longer_one() {
    let known =
        ["samples/Diag-1/r1", "samples/Diag-1/r2", "analyses/Diag-1/r1", "samples/Diag-12/r1"].map(id).into();
    let picked = |wanted: &str| pick(wanted, &known).into_iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(picked("samples/Diag-1/r2"), ["samples/Diag-1/r2"]);
    assert_eq!(picked("samples/Diag-1"), ["samples/Diag-1/r1", "samples/Diag-1/r2"]);
    assert_eq!(picked("Diag-1"), ["analyses/Diag-1/r1", "samples/Diag-1/r1", "samples/Diag-1/r2"]);
    assert_eq!(picked("Diag-12"), ["samples/Diag-12/r1"]);
    assert_eq!(picked("Diag").len(), 4);
    assert_eq!(picked("g-12"), ["samples/Diag-12/r1"]);
    assert_eq!(picked("nobody"), Vec::<String>::new());
}

#[test]
fn what_both_sides_say_fits_or_contradicts() {
    let of = |nsc: Record, tsd: Record| judge(&id("samples/Diag-1/r1"), vec![nsc, tsd], &Found::default());
    let good = of(record("nsc"), record("tsd"));
    assert!(!good.contradicts(), "{}", said(&good, Mark::Contradicts));
    assert!(said(&good, Mark::Fits).contains("COMMIT: nsc and tsd say "), "{}", said(&good, Mark::Fits));
    type Change = fn(&mut Record);
    let changes: [(Change, &str); 5] = [
        (|r| r.commit_sha256 = Some(Sha256Hex::zero()), "COMMIT: nsc says"),
        (|r| r.manifest_sha256 = Some(Sha256Hex::zero()), "SHA256SUMS: nsc says"),
        (|r| r.sent_as = Some("gdx-login/1#2".into()), "place in the sender's chain: nsc says"),
        (|r| r.state = State::Quarantined, "it was not handed over: it is quarantined"),
        (|r| r.journal.faults.push("line 3: changed".into()), "its journal is damaged"),
    ];
    for (change, expected) in changes {
        let mut tsd = record("tsd");
        change(&mut tsd);
        let custody = of(record("nsc"), tsd);
        assert!(
            custody.contradicts() && said(&custody, Mark::Contradicts).contains(expected),
            "{expected}: {custody:?}"
        );
    }
    let mut forged = record("nsc");
    forged.commit = Some(commit(b"other"));
    let custody = of(forged, record("tsd"));
    let odd = said(&custody, Mark::Contradicts);
    assert!(odd.contains("the bytes of COMMIT") && odd.contains("the SHA256SUMS that it promises"), "{odd}");
}

#[test]
fn what_no_record_says_is_said_to_be_unknown() {
    let mut alone = record("tsd");
    (alone.commit, alone.manifest_sha256, alone.commit_sha256) = (None, None, None);
    let custody = judge(&id("samples/Diag-1/r1"), vec![alone], &Found::default());
    let unknown = said(&custody, Mark::Unknown);
    for expected in [
        "where it came from is not known here",
        "no COMMIT is on record",
        "no digest of SHA256SUMS",
        "taken away by its consumer",
    ] {
        assert!(unknown.contains(expected), "{expected}: {unknown}");
    }
    let mut told = record("nsc");
    told.journal.exported = true;
    let custody = judge(&id("samples/Diag-1/r1"), vec![told, record("tsd")], &Found::default());
    let unknown = said(&custody, Mark::Unknown);
    assert!(
        unknown.contains("told by an export")
            && unknown.contains("put into the transfer tree by somebody else"),
        "{unknown}"
    );
    assert!(unknown.contains("no signature of COMMIT is on record"), "{unknown}");
}

#[test]
fn bytes_that_are_not_those_on_record_are_no_evidence() {
    let names = |found: &Found| {
        let custody = judge(&id("samples/Diag-1/r1"), vec![record("tsd")], found);
        files(&custody, found).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let with =
        |manifest: &[u8]| Found { manifest: Some((manifest.to_vec(), "there".into())), ..Found::default() };
    assert_eq!(
        names(&with(b"m")),
        ["COMMIT", "SHA256SUMS", "DIGESTS", "journal-tsd.jsonl", "custody.json", "README.md"]
    );
    assert_eq!(names(&with(b"n")), ["COMMIT", "DIGESTS", "journal-tsd.jsonl", "custody.json", "README.md"]);
}

#[test]
fn a_place_with_a_quote_cannot_break_a_command() {
    let found = Found { place: Some("/p/it's; rm -rf x".into()), ..Found::default() };
    let all = checks(&[record("tsd")], &found);
    let command = &all.iter().find(|check| check.command.starts_with("cd ")).unwrap().command;
    assert_eq!(command, r"cd '/p/it'\''s; rm -rf x' && sha256sum -c --strict SHA256SUMS");
}

#[test]
fn a_host_is_that_of_the_last_start() {
    let lines = [
        r#"{"v":1,"seq":1,"at":"2026-06-12T10:00:00Z","prev":"P","event":"started","role":"tsd","host":"one","pid":1,"version":"1"}"#,
        r#"{"v":1,"seq":2,"at":"2026-06-12T10:00:01Z","prev":"P","event":"moved","package":"samples/Diag-1/r1","from":null,"to":"seen","by":"watcher"}"#,
        r#"{"v":1,"seq":3,"at":"2026-06-12T10:00:02Z","prev":"P","event":"started","role":"tsd","host":"two","pid":1,"version":"1"}"#,
        r#"{"v":1,"seq":4,"at":"2026-06-12T10:00:03Z","prev":"P","event":"started","role":"tsd","host":"three","pid":1,"version":"1"}"#,
        r#"{"v":1,"seq":5,"at":"2026-06-12T10:00:04Z","prev":"P","event":"moved","package":"samples/Diag-1/r1","from":"seen","to":"copying","by":"copier"}"#,
    ];
    let mut told = Told::new(&id("samples/Diag-1/r1"));
    for text in lines.map(|line| line.replace("\"P\"", &format!("\"{}\"", "0".repeat(64)))) {
        told.take(&serde_json::from_str::<Line>(&text).unwrap(), &text);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    crate::fs::write_durably(&path, b"").unwrap();
    let record = told.record(&path, &crate::journal::prove(&path, &[], |_, _| {}).unwrap()).unwrap();
    let hosts: Vec<&str> = record.events.iter().map(|e| e.host.as_str()).collect();
    assert_eq!((hosts, record.lines.len(), record.state), (vec!["one", "three"], 4, State::Copying));
}
