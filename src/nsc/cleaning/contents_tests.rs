use std::collections::BTreeMap;

use super::*;

const SENT: [(&str, &[u8]); 3] = [("a.vcf", b"abc"), ("qc/report.html", b"page"), ("qc/deep/.log", b"")];

fn package(root: &Path) -> (PathBuf, Expected) {
    let dir = root.join("p");
    let mut manifest = Manifest::default();
    for (path, bytes) in SENT {
        fs::create_dir(dir.join(path).parent().unwrap()).unwrap();
        fs::write_durably(&dir.join(path), bytes).unwrap();
        manifest.insert(path.parse().unwrap(), Sha256Hex::of(bytes));
    }
    fs::write_durably(&dir.join("COMPLETE"), b"").unwrap();
    fs::write_durably(&dir.join(MANIFEST), manifest.to_text().as_bytes()).unwrap();
    let (manifest, since) = (Sha256Hex::of(manifest.to_text().as_bytes()), crate::clock::now());
    (dir, Expected { manifest, files: 3, bytes: 7, since, marker: "COMPLETE".into() })
}

fn why(looked: Result<Contents, Unfit>) -> String {
    match looked {
        Err(Unfit::Odd(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn whole(dir: &Path, expected: &Expected) -> Result<Contents, Unfit> {
    look(&OnDisk::alone(), dir, expected, Extent::Whole)
}

#[test]
fn what_was_sent_goes_and_nothing_of_it_stays() {
    let root = tempfile::tempdir().unwrap();
    let (dir, expected) = package(root.path());
    let delivered = root.path().join("delivered");
    fs::hard_link(&dir.join("a.vcf"), &delivered).unwrap();
    let contents = whole(&dir, &expected).unwrap();
    remove(&OnDisk::alone(), &dir, &contents).unwrap();
    assert!(!dir.exists());
    assert_eq!(std::fs::read(delivered).unwrap(), b"abc", "the delivery keeps its own name of it");
}

/// A kill -9 may cut it off behind each removal; whatever is left is known, and goes the next time.
#[test]
fn wherever_the_removal_is_cut_off_it_can_be_gone_on_with() {
    for steps in 0..8 {
        let root = tempfile::tempdir().unwrap();
        let (dir, expected) = package(root.path());
        let Contents { payload, dirs, last } = whole(&dir, &expected).unwrap();
        let dirs = dirs.into_iter().filter(|below| *below != dir);
        let order: BTreeMap<usize, PathBuf> =
            payload.into_iter().chain(dirs).chain(last).enumerate().collect();
        assert_eq!(order.len(), 7);
        for path in order.values().take(steps) {
            if path.is_dir() { fs::remove_dir(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        if (1..7).contains(&steps) {
            drop(why(whole(&dir, &expected)));
        }
        let rest = look(&OnDisk::alone(), &dir, &expected, Extent::Rest).unwrap();
        remove(&OnDisk::alone(), &dir, &rest).unwrap();
        assert!(!dir.exists(), "cut off behind {steps}");
    }
}

#[test]
fn what_is_not_as_it_was_sent_stays() {
    type Change = fn(&Path);
    let cases: [(&str, Change); 8] = [
        ("notes.txt is in it", |dir| fs::write_durably(&dir.join("notes.txt"), b"mine").unwrap()),
        ("qc/more is in it", |dir| fs::create_dir(&dir.join("qc/more")).unwrap()),
        ("link is in it", |dir| std::os::unix::fs::symlink("/etc/passwd", dir.join("link")).unwrap()),
        ("a.vcf is in it", |dir| {
            fs::remove_file(&dir.join("a.vcf")).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", dir.join("a.vcf")).unwrap();
        }),
        ("2 file(s) of 4 bytes", |dir| fs::remove_file(&dir.join("a.vcf")).unwrap()),
        ("3 file(s) of 8 bytes", |dir| {
            use std::io::Write;
            let mut file = fs::open(&dir.join("a.vcf"), fs::Mode::Append).unwrap();
            file.write_all(b"d").unwrap();
            let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
            file.set_modified(long_ago).unwrap();
        }),
        ("is not the one that was sent", |dir| fs::write_durably(&dir.join(MANIFEST), b"").unwrap()),
        ("its SHA256SUMS is missing", |dir| fs::remove_file(&dir.join(MANIFEST)).unwrap()),
    ];
    for (said, change) in cases {
        let root = tempfile::tempdir().unwrap();
        let (dir, expected) = package(root.path());
        change(&dir);
        let why = why(whole(&dir, &expected));
        assert!(why.contains(said), "{said}: {why}");
    }
}

#[test]
fn a_file_of_the_same_size_that_was_written_later_stays() {
    let root = tempfile::tempdir().unwrap();
    let (dir, expected) = package(root.path());
    let later = std::time::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
    let file = fs::open(&dir.join("a.vcf"), fs::Mode::Append).unwrap();
    file.set_modified(later).unwrap();
    assert_eq!(why(whole(&dir, &expected)), "a.vcf was changed after it was sent");
}

#[test]
fn a_link_in_the_place_of_the_package_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let (dir, expected) = package(root.path());
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    assert_eq!(why(whole(&link, &expected)), "it is no directory");
}
