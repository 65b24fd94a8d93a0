use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use super::archive::Archive;
use super::clean::Cleaner;
use super::*;
use crate::tell::names::Known;
use crate::tell::pseudonym::Key;

fn cleaner() -> Cleaner {
    let known: Known = ["Diag-wgs1-HG12345677"].into_iter().collect();
    Cleaner::new(Key::new([5; 32]), &known, Secrets::new(&["s3cret-value".into()], vec![]).unwrap()).unwrap()
}

#[test]
fn json_is_cleaned_whole_and_numbers_stay() {
    let line = r#"{"package":"samples/Diag-wgs1-HG12345677/r1","HG12345677":[1,2.50,{"x":"s3cret-value"}],"bytes":12345678901}"#;
    let cleaned = cleaner().line(line);
    assert!(!cleaned.contains("HG1") && !cleaned.contains("s3cret"), "{cleaned}");
    assert!(cleaned.contains("12345678901") && cleaned.contains("\"bytes\""), "{cleaned}");
    assert_eq!(cleaner().leak(&cleaned), None);
    assert!(!cleaner().line("torn {\"a\": \"HG12345677").contains("HG1"));
}

#[test]
fn what_slipped_through_is_found_before_the_bundle_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let index = serde_json::json!({});
    for (text, what) in [
        ("all is well\nhg12345677 waits\n", Some("a name of a package, sample, file or order")),
        ("all is well\nkey s3cret-value", Some("a secret")),
        (&"05".repeat(32), Some("the key of the pseudonyms")),
        ("all is well", None),
    ] {
        let mut archive = Archive::begin(dir.path(), 1 << 20).unwrap();
        archive.text("a.txt", "a", text).unwrap();
        let written = archive.end(&index).unwrap();
        let found = check::search(&written, &cleaner());
        match (found, what) {
            (Ok(()), None) => {}
            (Err(BundleError::Leak { file, what }), Some(wanted)) => {
                assert_eq!((file.as_str(), what), ("a.txt", wanted));
            }
            (other, _) => panic!("{text}: {other:?}"),
        }
    }
    let mut archive = Archive::begin(dir.path(), 1 << 20).unwrap();
    archive.text("logs/HG12345677.jsonl", "a", "x").unwrap();
    let said = check::search(&archive.end(&index).unwrap(), &cleaner()).unwrap_err().to_string();
    assert!(!said.contains("HG1") && said.contains("was not kept"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was kept");
}

#[test]
fn an_archive_is_private_bounded_and_a_common_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = Archive::begin(dir.path(), 20).unwrap();
    archive.text("a.txt", "a", "twelve bytes").unwrap();
    archive.text("b.txt", "b", "twelve bytes").unwrap();
    assert_eq!((archive.entries.len(), archive.left_out.len()), (1, 1));
    let written = archive.end(&serde_json::json!({"version": 1})).unwrap();
    assert_eq!(std::fs::metadata(&written).unwrap().mode() & 0o777, 0o600);
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(&written).unwrap()));
    let mut names = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        let _bytes = entry.read_to_string(&mut text).unwrap();
        names.push((entry.path().unwrap().display().to_string(), text.len()));
    }
    assert_eq!(names[0], ("tsd-import-support/a.txt".to_owned(), 12));
    assert_eq!(names[1].0, "tsd-import-support/index.json");
}
