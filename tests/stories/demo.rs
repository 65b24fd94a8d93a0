//! The demonstration, as a newcomer runs it.
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use tsd_import::package::State;

use crate::world::{PROGRAM, text};

#[test]
fn all_good_packages_arrive_and_the_bad_one_is_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let demo = dir.path().join("demo");
    let run = Command::new(PROGRAM).args(["demo", "--size", "1MiB", "--dir"]).arg(&demo).output().unwrap();
    assert!(run.status.success(), "{}\n{}", text(&run.stdout), text(&run.stderr));
    let said = text(&run.stdout);
    // 11 samples, the analysis of the trio, two packages of another pipeline; the twelfth sample is damaged.
    assert!(said.contains("14 packages"), "{said}");
    assert!(said.contains("samples/Diag-wgs1-HG10000012/r1\n    md5-mismatch"), "{said}");

    let packages: Vec<_> = walkdir::WalkDir::new(demo.join("tsd"))
        .into_iter()
        .map(|e| e.unwrap().into_path())
        .filter(|p| p.ends_with("SHA256SUMS"))
        .collect();
    assert_eq!(packages.len(), 14);
    for sums in &packages {
        let dir = sums.parent().unwrap();
        let check = Command::new("sha256sum")
            .args(["-c", "--strict", "--quiet", "SHA256SUMS"])
            .current_dir(dir)
            .status();
        assert!(check.unwrap().success(), "{}", dir.display());
        let verify = Command::new(PROGRAM).arg("verify").arg(dir).output().unwrap();
        assert!(verify.status.success(), "{}", text(&verify.stderr));
        assert_eq!(
            dir.join("READY").exists(),
            !dir.to_string_lossy().contains("analyses-results"),
            "{}",
            dir.display()
        );
        assert!(!dir.join("COMPLETE").exists(), "the marker is not payload");
    }
    let name = "Diag-wgs1-HG10000001";
    let mode = |p: &Path| std::fs::metadata(p).unwrap().mode() & 0o7777;
    let landed = demo.join("tsd/archive/samples").join(name);
    assert_eq!(
        (mode(&landed), mode(&landed.join("READY")), mode(&landed.join("SHA256SUMS"))),
        (0o2770, 0o660, 0o660)
    );
    // FASTQ on the sending side: hard links to the delivery, also of the package that was stopped.
    let mut links = 0;
    for entry in walkdir::WalkDir::new(demo.join("nsc/transfer")) {
        let path = entry.unwrap().into_path();
        if path.to_string_lossy().ends_with(".fastq.gz") {
            assert_eq!(std::fs::metadata(&path).unwrap().nlink(), 2, "{}", path.display());
            links += 1;
        }
    }
    assert_eq!(links, 24);
    for area in walkdir::WalkDir::new(demo.join("tsd")).into_iter().map(|e| e.unwrap().into_path()) {
        if area.ends_with(".incoming") {
            assert_eq!(std::fs::read_dir(&area).unwrap().count(), 0, "{}", area.display());
        }
    }
    let conf = |role: &str| demo.join("conf").join(format!("{role}.toml"));
    let status =
        Command::new(PROGRAM).args(["status", "--json", "--config"]).arg(conf("tsd")).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["states"][State::Ready.as_str()], 14);
    let review = Command::new(PROGRAM).args(["review", "--config"]).arg(conf("nsc")).output().unwrap();
    assert_eq!(review.status.code(), Some(1), "somebody is needed");
    assert!(text(&review.stdout).contains("have the file delivered again"), "{}", text(&review.stdout));
    let review = Command::new(PROGRAM).args(["review", "--config"]).arg(conf("tsd")).output().unwrap();
    assert_eq!(review.status.code(), Some(0));
    assert!(
        text(&review.stdout).contains("Nothing to do, and nothing went wrong."),
        "{}",
        text(&review.stdout)
    );
    // Every actor's log line is JSON with a time; no token and no secret is in any log.
    let mut lines = 0;
    for entry in walkdir::WalkDir::new(&demo).into_iter().map(|e| e.unwrap().into_path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("tsd-import.") && name.ends_with(".jsonl") {
            for line in std::fs::read_to_string(&entry).unwrap().lines() {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(value["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
                assert!(!line.contains("secret-for-the-demonstration") && !line.contains("eyJ"), "{line}");
                lines += 1;
            }
        }
    }
    assert!(lines > 100, "{lines} log lines");
}

#[test]
fn it_refuses_to_write_into_somebodys_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::File::create(dir.path().join("thesis.doc")).unwrap();
    let run = Command::new(PROGRAM).args(["demo", "--dir"]).arg(dir.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(
        text(&run.stderr).contains("is not empty; name another place with --dir"),
        "{}",
        text(&run.stderr)
    );
}
