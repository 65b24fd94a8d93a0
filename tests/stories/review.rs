//! The review as somebody on duty meets it: the daemon running, dead, its log rotated and packed, its journal damaged, a copy on
//! another host.
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tsd_import::conf::{LogConf, Role};
use tsd_import::journal::{Event, Facts, Holder, Incident, Journal, Owner, Phase};
use tsd_import::package::{PackageId, Reason, State};
use tsd_import::{clock, log};

use crate::world::{PROGRAM, World, sample_ids, text};

fn review(args: &[&str]) -> Output {
    Command::new(PROGRAM).arg("review").args(args).env_remove("TSD_IMPORT_CONFIG").output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let out = review(&[args, &["--json"]].concat());
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&out.stderr)))
}

fn first_line(out: &Output) -> String {
    text(&out.stdout).lines().next().unwrap_or_default().to_owned()
}

/// The log files of a role, oldest first.
fn logs(world: &World, role: Role) -> Vec<PathBuf> {
    let dir = world.site.dir.join(role.as_str()).join("log");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

/// What journal and log must agree on: all but when each line was written, and what only one of them has.
fn agreed(mut review: Value) -> Value {
    fn blur(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let differs = |name: &str| {
                    name.ends_with("_secs") || name == "secs" || name.contains("_per_") || name == "buckets"
                };
                fields.retain(|name, _| !differs(name));
                fields.values_mut().for_each(blur);
            }
            Value::Array(all) => all.iter_mut().for_each(blur),
            Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => *value = "a time".into(),
            _ => {}
        }
    }
    let fields = review.as_object_mut().unwrap();
    for own in ["since", "until", "log", "sources", "verdict", "act", "slowest", "oldest_underway"] {
        assert!(fields.remove(own).is_some(), "{own}");
    }
    for daemon in fields["daemons"].as_array_mut().unwrap() {
        daemon.as_object_mut().unwrap().retain(|name, _| name != "alive" && name != "last_heard");
    }
    blur(&mut review);
    review
}

#[tokio::test]
async fn running_dead_packed_and_copied_it_is_the_same_night() {
    let mut world = World::new().await;
    let dna = world.samples(3, 1 << 20);
    world.start(Role::Nsc, &[("FAILPOINTS", "packager=1*off->1*panic(injected)->off")]);
    world.start(Role::Tsd, &[]);
    let ids = sample_ids(&dna);
    world.until_ready(&ids).await;
    let conf = world.site.conf(Role::Nsc);
    let conf = conf.to_str().unwrap();

    // While it runs.
    let out = review(&["--config", conf]);
    let said = text(&out.stdout);
    assert!(out.status.success(), "{said}{}", text(&out.stderr));
    assert!(first_line(&out) == "Nothing to do: what happened is over.", "{said}");
    assert!(said.contains("runs since ") && said.contains("packager 1 × panic"), "{said}");
    assert!(said.contains("3 delivered (6.0 MiB)"), "{said}");

    // Before there was anything.
    let out = review(&["--config", conf, "--since", "48h", "--until", "24h"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(first_line(&out).starts_with("NO ANSWER: the journal begins after"), "{}", first_line(&out));

    // Killed.
    world.kill(Role::Nsc).await;
    let out = review(&["--config", conf]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).contains("! daemon: it ended without a word"), "{}", text(&out.stdout));
    world.start(Role::Nsc, &[]);
    let starts =
        |w: &World| w.events(Role::Nsc).iter().filter(|l| matches!(l.event, Event::Started { .. })).count();
    world.until("it is up again", |w| starts(w) == 2).await;
    world.stop().await;

    // Journal and log tell the same.
    let (site, log_dir) = (json(&["--config", conf]), world.site.dir.join("nsc/log"));
    let from_log = json(&["--log", log_dir.to_str().unwrap()]);
    assert_eq!(agreed(site.clone()), agreed(from_log.clone()));
    assert_eq!(site["daemons"][0]["starts"][1]["after_crash"], true);
    assert_eq!(site["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(from_log["sources"]["log"]["damaged"], 0);

    // Rotated into pieces, packed in two members, copied elsewhere.
    let all = std::fs::read(&logs(&world, Role::Nsc)[0]).unwrap();
    let ends: Vec<usize> = all.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n + 1).collect();
    let (a, b) = (ends[ends.len() / 3], ends[2 * ends.len() / 3]);
    let elsewhere = world.path().join("elsewhere");
    tsd_import::fs::create_dir(&elsewhere).unwrap();
    let mut packed = Vec::new();
    for half in [&all[..a / 2], &all[a / 2..a]] {
        let mut packer = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
        packer.write_all(half).unwrap();
        let _all = packer.finish().unwrap();
    }
    write(&elsewhere.join("tsd-import.jsonl.2.gz"), &packed);
    write(&elsewhere.join("tsd-import.jsonl.1"), &all[a..b]);
    write(&elsewhere.join("tsd-import.jsonl"), &all[b..]);
    let copy = json(&["--log", elsewhere.to_str().unwrap()]);
    assert_eq!(agreed(copy), agreed(from_log));
    assert_eq!(review(&["--log", elsewhere.to_str().unwrap()]).status.code(), Some(0));
}

#[tokio::test]
async fn a_damaged_journal_and_a_damaged_log_are_told_and_the_rest_is_read() {
    let mut world = World::new().await;
    let dna = world.samples(2, 64 << 10);
    world.start_both();
    world.until_ready(&sample_ids(&dna)).await;
    world.stop().await;
    let conf = world.site.conf(Role::Tsd);
    let conf = conf.to_str().unwrap();
    let before = json(&["--config", conf]);

    let journal = world.site.state(Role::Tsd).join("journal.jsonl");
    let mut bytes = std::fs::read(&journal).unwrap();
    let lines: Vec<usize> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::len).collect();
    let middle: usize = lines[..lines.len() / 2].iter().sum();
    bytes[middle + 20] ^= 1;
    write(&journal, &bytes);
    let out = review(&["--config", conf]);
    let said = text(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{said}{}", text(&out.stderr));
    assert!(said.contains("! journal: line ") && said.contains("is damaged"), "{said}");
    let (head, after) = (json(&["--config", conf]), agreed(before));
    assert_eq!(agreed(head.clone()), after, "the log knows what the journal lost");
    assert!(head["sources"]["journal_lines"].as_u64().unwrap() > 3);

    let path = &logs(&world, Role::Tsd)[0];
    let mut lines: Vec<Vec<u8>> =
        std::fs::read(path).unwrap().split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    lines.insert(2, b"{\"timestamp\":\"2026-\xff\n".to_vec());
    lines.insert(4, vec![0; 100]);
    write(path, &lines.concat());
    let log = json(&["--log", path.to_str().unwrap()]);
    assert_eq!(agreed(log.clone()), after);
    assert_eq!(log["sources"]["log"]["damaged"], 2);
    let said = text(&review(&["--log", path.to_str().unwrap()]).stdout);
    assert!(said.contains("2 damaged lines skipped, the first: ") && said.contains(" line 3"), "{said}");
}

#[test]
fn without_anything_to_read_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let out = review(&["--log", dir.path().to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(78));
    assert!(text(&out.stderr).contains("no log file in"), "{}", text(&out.stderr));
    let out = review(&["--log", "/nowhere/at/all"]);
    assert_eq!(out.status.code(), Some(78));
    assert!(text(&out.stderr).contains("/nowhere/at/all"), "{}", text(&out.stderr));
    let journal = dir.path().join("journal.jsonl");
    write(&journal, b"{\"v\":1,\"seq\":1}\n");
    let out = review(&["--log", journal.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(78));
    assert!(text(&out.stderr).contains("this is a journal, not a log"), "{}", text(&out.stderr));
    let old = dir.path().join("tsd-import.2020-01-01.jsonl");
    write(&old, b"{\"timestamp\":\"2020-01-01T00:00:00.000Z\",\"level\":\"INFO\",\"message\":\"m\"}\n");
    let out = review(&["--log", old.to_str().unwrap(), "--since", "24h"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        first_line(&out).starts_with("NO ANSWER: the log has nothing of this time, it ends at 2020-01-01")
    );
}

/// One of each event, told by the real journal into the real log.
#[tokio::test]
async fn every_event_of_the_journal_is_understood_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (state, log_dir) = (dir.path().join("state"), dir.path().join("log"));
    let conf = LogConf { dir: log_dir.clone(), level: "info".into(), keep_days: 3 };
    let guard = log::start(&conf).unwrap();
    let me = Holder { host: "h".into(), pid: 7, boot: "b".into(), role: "nsc".into(), since: clock::now() };
    let owner = Owner::acquire(&state, &me, std::time::Duration::from_secs(30), false).unwrap();
    let journal = Journal::open(&state, &owner).unwrap();
    let id: PackageId = "samples/Diag-a/r1".parse().unwrap();
    let odd = "a \"quoted\" text, with a comma\nand a line, æøå".to_owned();
    let at = clock::now();
    let incident = |action: &str, delay| {
        Event::Incident(Incident {
            actor: "packager".into(),
            incarnation: 1,
            cause: "panic".into(),
            detail: odd.clone(),
            in_hand: vec!["samples/x/r1".into(), "samples/y/r1".into()],
            streak: 2,
            budget_left: 8,
            next_delay_ms: delay,
            action: action.into(),
            outcome: "words".into(),
        })
    };
    let order = tsd_import::package::OrderId("O1".into());
    let claim = |phase, step: Option<&str>| Event::Claim {
        order: order.clone(),
        phase,
        step: step.map(str::to_owned),
        technician: None,
        detail: Some(odd.clone()),
    };
    for event in [
        Event::Started { role: "nsc".into(), host: "h".into(), pid: 7, version: "0.1.0".into() },
        Event::Ordered {
            order: Box::new(tsd_import::package::Order {
                id: order.clone(),
                artifacts: vec!["A".into()],
                packages: vec![],
                note: None,
            }),
        },
        claim(Phase::Intent, None),
        Event::Doubted {
            artifact: "A".into(),
            who: odd.clone(),
            reason: Reason::LimsContradiction,
            detail: odd.clone(),
            times: 2,
        },
        Event::Refused { artifact: "A".into(), done: false, detail: odd.clone() },
        claim(Phase::Review, Some("24-7")),
        Event::OrderFailed { order: order.clone(), failures: 2, error: odd.clone(), retry_at: at },
        Event::Failed {
            package: id.clone(),
            by: "uploader".into(),
            failures: 1,
            error: odd.clone(),
            retry_at: at,
        },
        Event::Committing { package: id.clone(), sender: None, sequence: 1, commit: "{}".into() },
        Event::Cleaned {
            package: id.clone(),
            done: true,
            bytes: 7,
            proof: odd.clone(),
            by: "anna".into(),
            why: odd.clone(),
        },
        incident("restart", Some(200)),
        Event::Restarted { actor: "packager".into(), incarnation: 2, down_ms: 321 },
        Event::Degraded { actor: "uploader".into(), why: odd.clone() },
        Event::Recovered { actor: "uploader".into(), after_ms: 17 },
        Event::Degraded { actor: "poller".into(), why: "LIMS".into() },
        Event::Silent { what: "polled".into(), why: odd.clone(), last: at },
        Event::Heard { what: "polled".into(), after_ms: 99 },
        Event::Silent { what: "committed".into(), why: odd.clone(), last: at },
        Event::Reloaded {
            changed: vec!["log.level".into(), "work.rhythm".into()],
            needs_restart: vec!["host".into()],
        },
        incident("given-up", None),
    ] {
        journal.record(event).await.unwrap();
    }
    let priced = Facts {
        priority: Some(tsd_import::package::Priority::Urgent),
        bytes: Some(1 << 20),
        ..Facts::default()
    };
    let why = Facts { reason: Some(Reason::Md5Mismatch), detail: Some(odd.clone()), ..Facts::default() };
    for (from, to, facts) in [
        (None, State::Packed, priced.clone()),
        (Some(State::Packed), State::Uploading, Facts::default()),
        (Some(State::Uploading), State::Committed, priced),
        (Some(State::Committed), State::Quarantined, why),
    ] {
        assert!(journal.step(&id, from, to, "uploader", facts).await.unwrap());
    }
    journal.record(Event::Stopped { exit: 75, why: odd.clone() }).await.unwrap();
    drop((journal, owner));
    drop(guard); // writes out what is in memory

    let conf = dir.path().join("nsc.toml");
    write(&conf, site_conf(&state, &log_dir).as_bytes());
    let (site, from_log) =
        (json(&["--config", conf.to_str().unwrap()]), json(&["--log", log_dir.to_str().unwrap()]));
    assert_eq!(
        (&from_log["sources"]["log"]["foreign"], &from_log["sources"]["log"]["damaged"]),
        (&0.into(), &0.into())
    );
    assert_eq!(agreed(site.clone()), agreed(from_log.clone()));
    // Not equal because both are empty.
    for (list, length) in [
        ("incidents", 2),
        ("outages", 2),
        ("silences", 2),
        ("reloads", 1),
        ("stopped", 1),
        ("open_orders", 1),
        ("retried", 2),
    ] {
        assert_eq!(site[list].as_array().unwrap().len(), length, "{list}: {site:#}");
    }
    assert_eq!(site["incidents"][0]["in_hand"], serde_json::json!(["samples/x/r1", "samples/y/r1"]));
    assert_eq!(
        (&site["incidents"][0]["down_secs"], &site["incidents"][0]["detail"]),
        (&0.321.into(), &odd.into())
    );
    assert_eq!((&site["cleaned"], &site["cleaned_bytes"]), (&1.into(), &7.into()));
    assert_eq!(site["throughput"]["bytes"], 1 << 20);
    assert!(site["act"].as_array().unwrap().iter().any(|a| a["what"].as_str().unwrap().contains("gave up")));
}

fn site_conf(state: &Path, log: &Path) -> String {
    let shipped =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/nsc.toml")).unwrap();
    let mut text = String::new();
    let mut section = String::new();
    for line in shipped.lines() {
        if line.starts_with('[') {
            section = line.to_owned();
        }
        let (state_dir, log_dir) =
            (section == "[state]" && line.starts_with("dir"), section == "[log]" && line.starts_with("dir"));
        match (state_dir, log_dir) {
            (true, _) => text.push_str(&format!("dir = {:?}\n", state)),
            (_, true) => text.push_str(&format!("dir = {:?}\n", log)),
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    assert!(text.contains(&format!("dir = {state:?}")) && text.contains(&format!("dir = {log:?}")), "{text}");
    text
}

#[tokio::test]
async fn the_page_is_whole_and_fetches_nothing() {
    let mut world = World::new().await;
    let dna = world.samples(2, 256 << 10);
    world.start(
        Role::Nsc,
        &[("FAILPOINTS", "packager=1*off->1*panic(<script>alert(1)</script> & \"more\")->off")],
    );
    world.start(Role::Tsd, &[]);
    world.until_ready(&sample_ids(&dna)).await;
    world.stop().await;
    let page = world.path().join("review.html");
    let conf = world.site.conf(Role::Nsc);
    let out =
        review(&["--config", conf.to_str().unwrap(), "--level", "info", "--html", page.to_str().unwrap()]);
    assert!(out.status.success(), "{}{}", text(&out.stdout), text(&out.stderr));
    assert!(text(&out.stdout).contains("the same with charts: "));
    let html = std::fs::read_to_string(&page).unwrap();
    well_formed(&html);
    let bare = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", ""); // a name, not a reference
    for foreign in [
        "http:", "https:", "<script", "<link", "<img", "<iframe", "url(", "@import", "src=", "href=",
        "onload",
    ] {
        assert!(!bare.contains(foreign), "{foreign}");
    }
    assert_eq!(html.matches("<svg").count(), 3);
    assert!(html.contains("&lt;script&gt;alert(1)") && html.contains("packager 1 × panic"));
    let order =
        ["Nothing to do", "In short", "What happened when", "Throughput", "Incidents", "Lines of the log"];
    let places: Vec<usize> = order.iter().map(|t| html.find(t).unwrap_or_else(|| panic!("{t}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
}

/// Every element is closed in the right place; HTML's empty elements need no end.
fn well_formed(html: &str) {
    const EMPTY: [&str; 3] = ["meta", "br", "hr"];
    let html = html.strip_prefix("<!DOCTYPE html>").unwrap();
    let mut reader = quick_xml::Reader::from_str(html);
    reader.config_mut().check_end_names = false;
    let mut open: Vec<String> = Vec::new();
    let mut elements = 0;
    loop {
        use quick_xml::events::Event as Xml;
        match reader.read_event().unwrap() {
            Xml::Start(tag) => {
                elements += 1;
                let name = tag.name().as_ref().to_owned();
                assert!(tag.attributes().all(|a| a.is_ok() || name == "meta"), "attributes of {name}");
                if !EMPTY.contains(&name.as_str()) {
                    open.push(name);
                }
            }
            Xml::End(tag) => assert_eq!(open.pop(), Some(tag.name().as_ref().to_owned())),
            Xml::Text(text) => assert!(!text.contains('<')),
            Xml::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty() && elements > 50, "{open:?} {elements}");
}
