use std::io::Write;

use super::super::{Event, FILE as JOURNAL, Facts, Glance, Holder, Journal, Owner};
use super::*;
use crate::package::{PackageId, State};

/// A journal of many packages, written by its owner, with its checkpoint.
async fn written(packages: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let me = Holder::this("h".into(), "tsd".into());
    let owner = Owner::acquire(dir.path(), &me, Duration::from_secs(30), false).unwrap();
    let journal = Journal::open(dir.path(), &owner).unwrap();
    let one = |n: u32| {
        let (journal, id) = (journal.clone(), format!("samples/Diag-wgs1-HG{n}/r1").parse::<PackageId>());
        async move {
            let id = id.unwrap();
            assert!(journal.step(&id, None, State::Seen, "watcher", Facts::default()).await.unwrap());
            let facts = Facts { bytes: Some(u64::from(n)), ..Facts::default() };
            assert!(journal.step(&id, Some(State::Seen), State::Copying, "copier", facts).await.unwrap());
        }
    };
    let _done = futures_util::future::join_all((0..packages).map(one)).await;
    journal.leave_checkpoint().await;
    dir
}

fn whole(dir: &Path) -> String {
    let mut fold = Fold::default();
    let _report = super::super::read(dir, |line| fold.apply(&line)).unwrap();
    String::from_utf8(fold.bytes()).unwrap()
}

fn asked(dir: &Path) -> (bool, String) {
    let glance = Glance::of(dir).unwrap();
    (glance.from_checkpoint(), String::from_utf8(glance.fold().bytes()).unwrap())
}

fn put(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

/// A line behind all others, as the owner would write it.
fn one_more(dir: &Path, n: u32) {
    let mut appender = super::super::file::Appender::open(dir, |_| {}).unwrap();
    let event = Event::Heard { what: format!("w{n}"), after_ms: 1 };
    drop(appender.append(vec![(crate::clock::now(), event)]).unwrap());
}

#[tokio::test]
async fn the_checkpoint_and_what_came_behind_it_is_all_there_is() {
    let dir = written(600).await;
    let at = dir.path();
    assert_eq!(asked(at), (true, whole(at)));
    one_more(at, 1);
    let mut glance = Glance::of(at).unwrap();
    assert!(glance.from_checkpoint());
    assert_eq!(glance.fold().lines, 1201);
    one_more(at, 2);
    glance.refresh().unwrap();
    assert_eq!(String::from_utf8(glance.fold().bytes()).unwrap(), whole(at));
    // A journal that is another one now is read anew.
    let text = std::fs::read(at.join(JOURNAL)).unwrap();
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').take(10).collect();
    put(&at.join(JOURNAL), &lines.concat());
    glance.refresh().unwrap();
    assert!(!glance.from_checkpoint() && glance.fold().lines == 10);
    std::fs::remove_file(at.join(JOURNAL)).unwrap();
    glance.refresh().unwrap();
    assert_eq!(glance.fold().lines, 0);
}

#[tokio::test]
async fn whatever_does_not_fit_is_not_believed_and_the_answer_is_right() {
    let dir = written(600).await;
    let (at, file) = (dir.path(), dir.path().join(FILE));
    let (right, good) = (whole(at), std::fs::read(&file).unwrap());
    // Any byte of it, cut off anywhere, something behind it, nothing at all.
    let mut bad: Vec<Vec<u8>> = (0..40).map(|n| good.len() * n / 40).map(|n| good[..n].to_vec()).collect();
    for n in (0..40).map(|n| good.len() * n / 40).chain([64, 65, 66, good.len() - 1]) {
        let mut one = good.clone();
        one[n] ^= 1;
        bad.push(one);
    }
    bad.push([good.clone(), b" ".to_vec()].concat());
    // Whole, with a right digest, and of another form, program, line or place.
    let text = String::from_utf8(good.clone()).unwrap();
    let rest = text.split_once('\n').unwrap().1;
    let end: u64 = std::fs::metadata(at.join(JOURNAL)).unwrap().len();
    let forged = |from: String, to: String| {
        let changed = rest.replacen(&from, &to, 1);
        assert_ne!(changed, rest, "{from}");
        format!("{}\n{changed}", Sha256Hex::of(changed.as_bytes())).into_bytes()
    };
    bad.push(forged(format!("\"form\":{FORM}"), format!("\"form\":{}", FORM + 1)));
    bad.push(forged(
        format!("\"program\":\"{}\"", env!("CARGO_PKG_VERSION")),
        "\"program\":\"0.0.9\"".into(),
    ));
    bad.push(forged("\"seq\":1200".into(), "\"seq\":1199".into()));
    bad.push(forged(format!("\"end\":{end}"), format!("\"end\":{}", end + 1)));
    bad.push(forged(format!("\"end\":{end}"), "\"end\":1".into()));
    bad.push(forged(format!("\"end\":{end}"), format!("\"end\":{}", u64::MAX)));
    bad.push(forged("\"line\":\"".into(), "\"line\":\"0".into()));
    bad.push(forged("\"lines\":1200".into(), "\"lines\":1100".into()));
    for (n, bytes) in bad.iter().enumerate() {
        put(&file, bytes);
        assert_eq!(asked(at), (false, right.clone()), "damage {n}");
    }
    put(&file, &good);
    assert!(asked(at).0);
    // Another journal: of the same length, and with the same last line but one.
    let other = written(600).await;
    put(&other.path().join(FILE), &good);
    assert_eq!(asked(other.path()), (false, whole(other.path())));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(asked(at), (false, right));
}

#[tokio::test]
async fn a_short_journal_has_none_and_a_damaged_line_behind_one_is_named() {
    let dir = written(40).await;
    assert!(!dir.path().join(FILE).exists(), "not worth it");
    let dir = written(600).await;
    one_more(dir.path(), 1);
    one_more(dir.path(), 2);
    let journal = dir.path().join(JOURNAL);
    let text = std::fs::read_to_string(&journal).unwrap();
    put(&journal, text.replacen("\"what\":\"w1\"", "\"what\":\"x1\"", 1).as_bytes());
    let refused = Glance::of(dir.path()).unwrap_err().to_string();
    assert!(refused.contains("line 1202"), "{refused}");
}

#[tokio::test]
async fn the_lines_of_one_package_are_found_among_all() {
    let dir = written(600).await;
    let id: PackageId = "samples/Diag-wgs1-HG59/r1".parse().unwrap();
    let found = super::super::about(dir.path(), &id, None).unwrap();
    assert_eq!((found.lines.len(), found.left_out), (2, 0), "and none of HG590 to HG599");
    assert!(
        found.lines.iter().all(|line| matches!(&line.event, Event::Moved { package, .. } if *package == id))
    );
    let nothing = super::super::about(&dir.path().join("nowhere"), &id, None).unwrap();
    assert!(nothing.lines.is_empty());
}
