//! The documents tell the truth: vectors hold, tables are complete, commands exist.
use tsd_import::package::{Commit, Manifest, Reason, Sha256Hex};

fn doc(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .expect("the document is there")
}

/// The fenced block that begins with this word.
fn block<'a>(text: &'a str, begins: &str) -> &'a str {
    let fence =
        text.split("```").find(|b| b.split_once('\n').is_some_and(|(_, rest)| rest.starts_with(begins)));
    fence.and_then(|b| b.split_once('\n')).map(|(_, rest)| rest).expect("the block is there")
}

#[test]
fn the_vectors_of_the_format_hold() {
    let text = doc("docs/format.md");
    let sums = block(&text, "ba7816bf");
    let manifest = Manifest::parse(sums.as_bytes()).unwrap();
    assert_eq!((manifest.len(), sums.len()), (2, 146));
    assert_eq!(manifest.to_text(), sums);
    assert!(text.contains(&format!("{} bytes", sums.len())));
    let place = "analyses-results/singles/Diag-1/r1".parse().unwrap();
    let commit = Commit::parse(block(&text, "{\n  \"version\"").as_bytes(), &place).unwrap();
    assert_eq!(commit.manifest_sha256, Sha256Hex::of(sums.as_bytes()));
    assert_eq!(commit.to_text(), block(&text, "{\n  \"version\""));
}

#[test]
fn every_reason_is_in_the_operators_table_with_its_remedy() {
    let text = doc("docs/operations.md");
    for reason in Reason::ALL {
        let row = text.lines().find(|l| l.starts_with(&format!("| `{}` |", reason.code())));
        let row = row.unwrap_or_else(|| panic!("{reason} is not in docs/operations.md"));
        assert!(row.contains(reason.remedy()), "{reason}: another remedy in the document");
    }
}

#[test]
fn the_commands_of_the_readme_exist() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_tsd-import")).arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let readme = doc("README.md");
    for command in [
        "run",
        "drain",
        "demo",
        "status",
        "review",
        "clean",
        "verify",
        "doctor",
        "custody",
        "reconcile",
        "supersede",
        "pseudonym",
        "tell",
        "support-bundle",
        "journal",
        "config",
        "version",
    ] {
        assert!(help.lines().any(|l| l.trim_start().starts_with(command)), "{command} in {help}");
    }
    for line in readme.lines().filter(|l| l.contains("tsd-import run ")) {
        assert!(line.contains("--role") && line.contains("--config"), "{line}");
    }
    for file in [
        "docs/format.md",
        "docs/operations.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "conf/default.toml",
        "scripts/check",
    ] {
        assert!(readme.contains(file) && !doc(file).is_empty(), "{file}");
    }
}

/// The example is a work order that would be taken: the program's own reader judges it.
#[test]
fn the_example_of_a_work_order_is_one() {
    let text = doc("docs/work-orders.md");
    let example = block(&text, "{\n  \"version\"");
    let root = std::path::Path::new("/delivery");
    let packages = tsd_import::nsc::directory::judge(example.as_bytes(), root, 7).unwrap();
    assert_eq!(packages, ["samples/Diag-wgs1-HG12345677/r1", "analyses/Diag-wgs1-HG12345677-SINGLE/r1"]);
}
