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
        bucket: "p22-import".into(),
        path_style: true,
        proxied: false,
        checksum: Checksum::Signed,
        conditional: false,
        claims: false,
        part_size: 16 << 20,
        max_parts: 10_000,
    });
    let proven = Checked { put: Noticed::Refused, part: Noticed::Refused, echoed: true };
    facts.checks = CHECKSUMS.iter().map(|(word, _)| (*word, proven.clone())).collect();
    facts.rights = [Right::Put, Right::Multipart, Right::Abort].map(|right| (right, Answered::Yes)).into();
    facts.rights.extend([Right::List, Right::Head, Right::Get, Right::Delete].map(|r| (r, no("403"))));
    (facts.ahead, facts.most_parts, facts.largest_part) = (Some(0), Some(10_000), Some(16 << 20));
    (facts.only_new, facts.winners) = (Answered::Yes, Some(1));
    (facts.only_new_completed, facts.completed) = (Answered::Yes, Answered::Yes);
    facts
}

fn of(change: impl FnOnce(&mut Facts)) -> Report {
    let mut facts = good();
    change(&mut facts);
    facts.wire = Wire::of(&facts.configured.endpoint, facts.configured.proxied);
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
fn only_an_address_of_this_host_is_loopback() {
    for (endpoint, wire) in [
        ("https://127.example.org", Wire::Tls),
        ("http://127.0.0.1:9000", Wire::Loopback),
        ("http://127.8.9.10", Wire::Loopback),
        ("http://[::1]:9000/", Wire::Loopback),
        ("http://[::ffff:127.0.0.1]:9000", Wire::Loopback),
        ("http://localhost:9000", Wire::Loopback),
        ("HTTP://LOCALHOST", Wire::Loopback),
        ("http://127.example.org", Wire::Plain),
        ("http://127.0.0.1.example.org:9000", Wire::Plain),
        ("http://localhost.example.org", Wire::Plain),
        ("http://127.0.0.1@s3.example.org", Wire::Plain),
        ("http://[2001:db8::1]:9000", Wire::Plain),
        ("http://10.127.0.1", Wire::Plain),
        ("no address", Wire::Plain),
    ] {
        assert_eq!(Wire::of(endpoint, false), wire, "{endpoint}");
    }
    assert_eq!(Wire::of("http://127.0.0.1:9000", true), Wire::Plain, "it goes to the proxy first");
    assert_eq!(Wire::of("https://s3.example", true), Wire::Tls);
    let report = of(|f| f.configured.endpoint = "http://127.example.org".into());
    assert_eq!(report.lines[0], "checksum = \"signed\"", "no CRC where others can reach the bytes");
}

#[test]
fn what_could_not_be_examined_switches_no_signature_off() {
    let unknown = || Noticed::Unknown("changed bytes are answered 403 AccessDenied".into());
    let nothing_known = |now: Checksum, but: &[(&str, Noticed)]| {
        of(|facts| {
            facts.configured.checksum = now;
            for (word, _) in CHECKSUMS {
                check(facts, word, unknown(), unknown());
            }
            for (word, noticed) in but {
                check(facts, word, noticed.clone(), noticed.clone());
            }
        })
    };
    for now in [Checksum::Signed, Checksum::Crc32C] {
        let report = nothing_known(now, &[]);
        assert!(
            report.exit == 0 && !report.lines.iter().any(|l| l.starts_with("checksum")),
            "{:?}",
            report.lines
        );
        let (mark, mend, text) = said(&report, "bytes on the wire");
        assert!(mark == Mark::Unknown && !mend && text.contains("run doctor again"), "{text}");
        assert_eq!(said(&report, "changed bytes under signed").0, Mark::Unknown);
    }
    // Half of it is not enough, and a signature that fails is not replaced by what nobody saw.
    let half = of(|facts| {
        for (word, _) in CHECKSUMS {
            check(facts, word, Noticed::Refused, unknown());
        }
    });
    assert!(!half.lines.iter().any(|l| l.starts_with("checksum")), "{:?}", half.lines);
    let believed = nothing_known(Checksum::Signed, &[("signed", Noticed::Believed)]);
    assert!(!believed.lines.iter().any(|l| l.starts_with("checksum")) && believed.exit == 0);
    // What surely fails goes back to the signature; what was seen to be checked is taken.
    let wrong = nothing_known(Checksum::Crc32C, &[("crc32c", Noticed::Believed)]);
    assert_eq!((wrong.lines[0].as_str(), wrong.exit), ("checksum = \"signed\"", 78));
    let known = nothing_known(Checksum::Signed, &[("sha256", Noticed::Refused)]);
    assert_eq!(known.lines[0], "checksum = \"sha256\"");
}

#[test]
fn no_more_parts_are_printed_than_are_configured_and_the_largest_file_is_said() {
    let report = of(|f| f.configured.max_parts = 1_000);
    assert!(report.lines.contains(&"max_parts = 1000".into()), "{:?}", report.lines);
    let text = "numbers up to 10000 are taken; store.max_parts is 1000 and stays so";
    assert_eq!(said(&report, "parts of an upload").2, text);
    let (mark, _, text) = said(&report, "largest file");
    assert!(mark == Mark::Ok && text.starts_with("files up to 15.6 GiB: 1000 parts of 16.0 MiB"), "{text}");
    let fewer = said(&of(|f| f.most_parts = Some(100)), "largest file").2;
    assert!(fewer.starts_with("files up to 1.6 GiB: 100 parts of 16.0 MiB"), "{fewer}");
    let smaller = of(|f| (f.largest_part, f.too_large) = (Some(8 << 20), Some("413".into())));
    assert!(said(&smaller, "largest file").2.starts_with("files up to 78.1 GiB: 10000 parts of 8.0 MiB"));
    let open = of(|f| (f.most_parts, f.unclear_number) = (None, Some("a part is answered 429".into())));
    assert!(!open.lines.iter().any(|l| l.starts_with("max_parts")) && open.exit == 0, "{:?}", open.lines);
    assert!(said(&open, "parts of an upload").2.contains("answered 429"));
    let (mark, _, text) = said(&open, "largest file");
    assert!(mark == Mark::Unknown && text.contains("not all of it was examined"), "{text}");
}

#[test]
fn conditional_must_hold_for_what_was_completed_of_parts_too() {
    for (completed, words, seen) in [
        (no("it replaces the object all the same"), "not for one that was completed", "does not hold it"),
        (Answered::Unknown("503".into()), "it is not known: 503", "could not be seen"),
        (Answered::NotAsked, "it is not known: there was none", "could not be seen"),
    ] {
        let report = of(|f| {
            f.configured.conditional = true;
            f.only_new_completed = completed.clone();
        });
        assert!(report.lines.contains(&"conditional = false".into()), "{:?}", report.lines);
        assert!(said(&report, "put only if new").2.contains(words), "{completed:?}");
        let (_, mend, text) = said(&report, "store.conditional");
        assert!(mend && text.contains(seen), "{text}");
    }
}

#[test]
fn a_bucket_that_is_found_the_other_way_is_said_with_its_line() {
    for (style, words) in
        [(false, "stands before the name of its host"), (true, "stands in the path behind it")]
    {
        let report = of(|f| {
            f.trouble = Some(Trouble { why: "the name is not found".into(), passing: true });
            f.found_with_path_style = Some(style);
            (f.checks, f.only_new, f.most_parts) = (Default::default(), Answered::NotAsked, None);
            f.left = vec!["tsd-import/doctor/x/hello".into()];
        });
        assert_eq!(
            (report.exit, report.lines.as_slice()),
            (78, [format!("path_style = {style}")].as_slice())
        );
        assert!(said(&report, "store.path_style").2.contains(words));
        assert!(said(&report, "left behind").2.contains("hello"));
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
    assert!(facts.only_new_completed.is_yes(), "{:?}", facts.only_new_completed);
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
    for answer in [&empty.rights[&Right::Get], &empty.rights[&Right::Head], &empty.ranges] {
        assert!(
            matches!(answer, Answered::Unknown(why) if why.contains("not examined") && why.contains("run doctor on the nsc side")),
            "{empty:?}"
        );
    }
    let report = judge(empty);
    assert_eq!(report.exit, 0, "an empty bucket is nothing to mend: {:?}", report.findings);
    assert!(said(&report, "ranges").2.contains("there is none below tsd-import/"));
    assert_eq!(said(&report, "right to get").0, Mark::Unknown);
    let tiny = site.dir.join("store/p22-import/tsd-import/tiny");
    crate::fs::create_dir(tiny.parent().unwrap()).unwrap();
    crate::fs::write_durably(&tiny, b"1234").unwrap();
    let facts = examined(&site, Role::Tsd, 0).await;
    assert!(facts.rights[&Right::Get].is_yes(), "{facts:?}");
    let why = |f: &Facts| said(&judge(f.clone()), "ranges").2;
    assert!(why(&facts).contains("tsd-import/tiny, the largest object, has only 4 bytes"), "{facts:?}");
    let object = site.dir.join("store/p22-import/tsd-import/samples/p/r1/f");
    crate::fs::create_dir(object.parent().unwrap()).unwrap();
    crate::fs::write_durably(&object, &vec![b'x'; 3 << 20]).unwrap();
    site.store.fault(FaultRule {
        method: Some(http::Method::GET),
        key_contains: Some("/r1/f".into()),
        ..FaultRule::next(FaultKind::Denied)
    });
    let denied = examined(&site, Role::Tsd, 0).await;
    assert!(why(&denied).contains("could not be read: 403") && judge(denied).exit == 78);
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
