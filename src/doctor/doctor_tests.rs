//! Judging by a table of facts; probing against the demonstration's store.
use std::path::Path;
use std::time::Duration;

use super::facts::{Answered, Checked, Configured, Facts, Noticed, Right, Trouble, Wire};
use super::judge::{Mark, Report, judge};
use crate::conf::{CHECKSUMS, Checksum, Conf, Role};
use crate::demo::site::{Site, SiteOptions};
use crate::demo::store::{FaultKind, FaultRule};
use crate::disk::Disks;

fn no(said: &str) -> Answered {
    Answered::No(said.into())
}

/// A sender's store that can do everything.
fn good() -> Facts {
    let mut facts = Facts::of(Configured {
        role: Role::Nsc,
        endpoint: "https://s3.example".into(),
        checksum: Checksum::Signed,
        conditional: false,
        part_size: 16 << 20,
        max_parts: 10_000,
    });
    let proven = Checked { put: Noticed::Refused, part: Noticed::Refused, echoed: true };
    facts.checks = CHECKSUMS.iter().map(|(word, _)| (*word, proven.clone())).collect();
    facts.rights = [Right::Put, Right::Multipart, Right::Abort].map(|right| (right, Answered::Yes)).into();
    facts.rights.extend([Right::List, Right::Head, Right::Get, Right::Delete].map(|r| (r, no("403"))));
    (facts.ahead, facts.most_parts, facts.largest_part) = (Some(0), Some(10_000), Some(16 << 20));
    (facts.only_new, facts.winners) = (Answered::Yes, Some(1));
    facts
}

fn of(change: impl FnOnce(&mut Facts)) -> Report {
    let mut facts = good();
    change(&mut facts);
    facts.wire = Wire::of(&facts.configured.endpoint);
    judge(facts)
}

fn check(facts: &mut Facts, word: &str, put: Noticed, part: Noticed) {
    facts.checks.get_mut(word).unwrap().clone_from(&Checked { put, part, echoed: false });
}

fn said(report: &Report, what: &str) -> (Mark, bool, String) {
    let finding = report.findings.iter().find(|f| f.what == what);
    let finding = finding.unwrap_or_else(|| panic!("{what} in {:?}", report.findings));
    (finding.mark, finding.mend, finding.text.clone())
}

#[test]
fn a_good_store_is_good_and_gets_the_cheapest_proof() {
    let report = of(|_| {});
    assert_eq!(report.exit, 0, "{:?}", report.findings);
    assert_eq!(report.lines, ["checksum = \"crc64nvme\"", "conditional = true", "max_parts = 10000"]);
}

#[test]
fn the_proof_is_the_cheapest_that_is_checked_on_objects_and_on_parts() {
    type Change = fn(&mut Facts);
    let table: [(Change, &str); 6] = [
        (|f| check(f, "crc64nvme", Noticed::Refused, Noticed::Believed), "crc32c"),
        (
            |f| {
                for word in ["crc64nvme", "crc32c", "crc32"] {
                    check(f, word, Noticed::NotTaken("501 NotImplemented".into()), Noticed::Refused);
                }
            },
            "signed",
        ),
        (|f| check(f, "crc64nvme", Noticed::Unknown("late".into()), Noticed::Refused), "crc32c"),
        // On a way that others can reach only what the signature covers.
        (|f| f.configured.endpoint = "http://s3.example:9000".into(), "signed"),
        (
            |f| {
                f.configured.endpoint = "http://s3.example".into();
                check(f, "signed", Noticed::Believed, Noticed::Refused);
            },
            "sha256",
        ),
        (|f| f.configured.endpoint = "http://127.0.0.1:9000".into(), "crc64nvme"),
    ];
    for (change, word) in table {
        let report = of(change);
        assert_eq!(report.lines.first().unwrap(), &format!("checksum = \"{word}\""));
    }
}

#[test]
fn a_store_that_checks_nothing_is_told_of_and_can_be_used() {
    let report = of(|facts| {
        for (word, _) in CHECKSUMS {
            check(facts, word, Noticed::Believed, Noticed::Believed);
        }
    });
    assert_eq!((report.exit, report.lines.first().unwrap().as_str()), (0, "checksum = \"signed\""));
    let (mark, _, text) = said(&report, "bytes on the wire");
    assert!(mark == Mark::No && text.contains("noticed only by our own digests"), "{text}");
    assert_eq!(
        said(&report, "changed bytes under md5").2,
        "stored without a word, of whole objects and of parts"
    );
}

#[test]
fn what_is_configured_and_does_not_hold_must_be_mended() {
    type Change = fn(&mut Facts);
    let table: [(Change, &str, &str); 9] = [
        (
            |f| {
                f.configured.checksum = Checksum::Crc32C;
                check(f, "crc32c", Noticed::Believed, Noticed::Believed);
            },
            "store.checksum",
            "\"crc32c\" is configured, and this store does not check it",
        ),
        (
            |f| {
                f.configured.conditional = true;
                f.winners = Some(5);
            },
            "store.conditional",
            "does not hold it",
        ),
        (|f| f.most_parts = Some(1_000), "store.max_parts", "the highest number taken is 1000"),
        (
            |f| {
                f.largest_part = Some(8 << 20);
                f.too_large = Some("413".into());
            },
            "store.part_size",
            "8.0 MiB is taken",
        ),
        (|f| f.ahead = Some(-1_000), "clock", "17 min ahead of"),
        (
            |f| drop(f.rights.insert(Right::Multipart, no("403 AccessDenied"))),
            "right to multipart upload",
            "have this key granted it",
        ),
        (
            |f| f.odd_key = no("it was put and reads differently"),
            "keys with odd characters",
            "cannot be sent here",
        ),
        (|f| f.completed = no("200"), "completion of an upload", "files larger than store.part_size"),
        (
            |f| {
                f.configured.role = Role::Tsd;
                f.ranges = no("400");
            },
            "ranges",
            "not honoured",
        ),
    ];
    let long = of(|f| f.long_key = no("400 KeyTooLongError"));
    assert!(long.exit == 0 && said(&long, "keys of 500 bytes").2.contains("so long cannot be sent here"));
    for (change, what, words) in table {
        let report = of(change);
        let (mark, mend, text) = said(&report, what);
        assert!(mark == Mark::No && mend && text.contains(words), "{what}: {text}");
        assert_eq!(report.exit, 78, "{what}");
    }
}

#[test]
fn lines_follow_what_was_found() {
    let lines = of(|f| {
        (f.winners, f.most_parts) = (Some(8), Some(1_000));
        (f.largest_part, f.too_large) = (Some(8 << 20), Some("413".into()));
    })
    .lines;
    assert_eq!(lines[1..], ["conditional = false", "max_parts = 1000", "part_size = \"8 MiB\""]);
    assert!(
        of(|f| f.only_new = no("it replaces the object all the same"))
            .lines
            .contains(&"conditional = false".into())
    );
}

#[test]
fn rights_are_judged_by_the_side() {
    let report = of(|f| drop(f.rights.insert(Right::Delete, Answered::Yes)));
    assert!(said(&report, "right to delete").2.contains("more than this side needs"));
    assert!(said(&report, "right to list").2.contains("not needed here"));
    let stays = of(|f| drop(f.rights.insert(Right::Abort, no("403"))));
    assert_eq!(stays.exit, 0);
    assert!(said(&stays, "right to abort").2.contains("unfinished uploads stay"));
    let tsd = of(|f| f.configured.role = Role::Tsd);
    assert_eq!(tsd.exit, 78, "list and get are refused");
    assert!(said(&tsd, "right to put").2.contains("more than this side needs"));
}

#[test]
fn trouble_is_all_that_is_said() {
    for (passing, exit) in [(true, 75), (false, 78)] {
        let report = of(|f| f.trouble = Some(Trouble { why: "it is away".into(), passing }));
        assert_eq!((report.exit, report.findings.len()), (exit, 1));
    }
    let skewed = of(|f| {
        f.trouble = Some(Trouble { why: "refused".into(), passing: false });
        f.ahead = Some(1_020);
    });
    assert!(said(&skewed, "clock").2.contains("17 min behind"));
}

#[test]
fn speed_names_how_many_are_enough() {
    let report = of(|f| f.up = vec![(1, 40 << 20), (4, 98 << 20), (16, 100 << 20)]);
    assert!(said(&report, "sending").2.ends_with("16 in flight 100.0 MiB/s; 4 in flight are enough"));
}

async fn site(dir: &Path) -> Site {
    let options = SiteOptions { token_life: Duration::from_secs(600), ..SiteOptions::default() };
    Site::open(dir, &options).await.unwrap()
}

async fn examined(site: &Site, role: Role, seconds: u64) -> Facts {
    examined_with(site, role, seconds, |_| {}).await
}

async fn examined_with(site: &Site, role: Role, seconds: u64, change: fn(&mut Conf)) -> Facts {
    let mut conf = Conf::load_with(Some(&site.conf(role)), None, []).unwrap();
    change(&mut conf);
    let disks = Disks::new(1, Duration::from_secs(60), std::sync::Arc::new(|_, _, _| {}));
    super::examine(&conf, disks.at("t", &site.dir).unwrap(), seconds).await.unwrap()
}

#[tokio::test]
async fn the_demonstration_s_store_is_as_strict_as_it_says_from_the_sender_s_side() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path()).await;
    let facts = examined(&site, Role::Nsc, 1).await;
    assert_eq!(facts.trouble, None);
    for (word, check) in &facts.checks {
        assert!(check.proves(), "{word}: {check:?}");
        assert_eq!(check.echoed, !matches!(*word, "signed" | "md5"), "{word}");
    }
    assert_eq!(facts.checks.len(), CHECKSUMS.len());
    let may = |right| facts.rights[&right].is_yes();
    assert!(may(Right::Put) && may(Right::Multipart) && may(Right::Abort), "{:?}", facts.rights);
    for right in [Right::List, Right::Head, Right::Get, Right::Delete] {
        assert!(matches!(&facts.rights[&right], Answered::No(said) if said.contains("403")), "{right:?}");
    }
    assert_eq!((facts.most_parts, facts.winners), (Some(10_000), Some(1)));
    assert!(facts.only_new.is_yes() && facts.long_key.is_yes() && facts.odd_key.is_yes());
    assert!(matches!(&facts.small_parts, Answered::No(said) if said.contains("EntityTooSmall")));
    assert!(facts.completed.is_yes(), "{:?}", facts.completed);
    assert!(matches!(&facts.completed_again, Answered::No(said) if said.contains("NoSuchUpload")));
    assert_eq!((facts.too_large.clone(), facts.ahead.is_some_and(|a| a.abs() < 5)), (None, true));
    assert!(facts.up.len() == 3 && facts.up.iter().all(|(_, rate)| *rate > 0), "{:?}", facts.up);
    assert!(facts.left.iter().all(|key| key.starts_with("tsd-import/doctor/")) && !facts.left.is_empty());
    let uploads = std::fs::read_dir(site.dir.join("store/.uploads")).unwrap().count();
    assert_eq!(uploads, 0, "every upload was ended");
    assert_eq!(judge(facts).exit, 0);
}

#[tokio::test]
async fn a_receiver_s_key_reads_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path()).await;
    let empty = examined(&site, Role::Tsd, 0).await;
    assert!(empty.rights[&Right::Get].is_yes() && matches!(empty.ranges, Answered::Unknown(_)), "{empty:?}");
    let object = site.dir.join("store/p22-import/tsd-import/samples/p/r1/f");
    crate::fs::create_dir(object.parent().unwrap()).unwrap();
    crate::fs::write_durably(&object, &vec![b'x'; 3 << 20]).unwrap();
    let facts = examined(&site, Role::Tsd, 1).await;
    let yes: Vec<Right> = facts.rights.iter().filter(|(_, a)| a.is_yes()).map(|(right, _)| *right).collect();
    assert_eq!(yes, [Right::List, Right::Head, Right::Get]);
    assert!(facts.ranges.is_yes() && facts.down.len() == 3, "{facts:?}");
    assert!(facts.left.is_empty(), "{:?}", facts.left);
    assert_eq!(judge(facts).exit, 0);
}

#[tokio::test]
async fn a_limit_of_a_thousand_parts_and_smaller_requests_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path()).await;
    let refuse = |query: &str, key: &str, code| FaultRule {
        query_contains: Some(query.into()),
        key_contains: Some(key.into()),
        ..FaultRule::next(FaultKind::Refuse(code))
    };
    for number in ["partNumber=10000", "partNumber=1001"] {
        site.store.fault(refuse(number, "many", "InvalidArgument"));
    }
    site.store.fault(refuse("partNumber=1&", "large", "EntityTooLarge"));
    let facts = examined_with(&site, Role::Nsc, 0, |conf| conf.store.part_size = 8 << 20).await;
    let report = judge(facts);
    assert_eq!(report.facts.most_parts, Some(1_000));
    assert_eq!(report.facts.largest_part, Some(5 << 20));
    assert!(report.lines.contains(&"part_size = \"5 MiB\"".into()), "{:?}", report.lines);
    assert!(report.exit == 78 && report.lines.contains(&"max_parts = 1000".into()), "{:?}", report.lines);
}
