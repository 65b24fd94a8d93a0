use super::super::families::FAMILIES;
use super::super::text;
use super::*;
use crate::clock;
use crate::package::State;
use crate::store::Wire;
use crate::supervisor::{ChildStatus, Report};
use crate::tsd::Standing;

fn full() -> (Snapshot, Census) {
    let now = clock::now();
    let report = Report {
        in_hand: vec!["samples/Diag-wgs1-HG12345677/r1".into()],
        last_error: Some("no answer about HG12345677".into()),
        degraded: Some("HG12345677 hangs".into()),
        degraded_secs: Some(0),
        done: 7,
        last_done_ms: Some(1500),
        ..Report::default()
    };
    let mut snapshot = Snapshot::empty(now);
    snapshot.actors = vec![ChildStatus {
        actor: "copier".into(),
        up: true,
        state: "up".into(),
        restarts: 2,
        report,
        ..ChildStatus::default()
    }];
    snapshot.wire = Some(Wire {
        in_flight: 3,
        limit: 8,
        waiting: [(2, 5)].into(),
        bytes_per_second: 9,
        at_most: Some(10),
    });
    snapshot.not_taken = [("HG12345677".to_owned(), "waits".to_owned())].into();
    snapshot.senders = Vec::<Standing>::new();
    let census = Census {
        packages: [((State::Ready, "samples".parse().unwrap(), Priority::Urgent), 4)].into(),
        quarantined: [("md5", 1)].into(),
        failing: 2,
        oldest: [(Priority::Normal, now - jiff::SignedDuration::from_secs(60))].into(),
        orders: 1,
        for_a_person: 1,
        doubts: [("x", 1)].into(),
        alarms: vec!["ready".into(), "HG12345677".into()],
        lines: 99,
    };
    (snapshot, census)
}

fn seen<'a>(snapshot: Option<&'a Snapshot>, census: &'a Census) -> Seen<'a> {
    Seen {
        role: Role::Tsd,
        now: clock::now(),
        snapshot,
        silence: Duration::from_millis(250),
        ready: false,
        census,
        writing: Writing { lines: 3, syncs: 2, spent: Duration::from_millis(5) },
        moved: [("copier", 1 << 40)].into(),
        repeats: 6,
        areas: [
            ("state".to_owned(), Some(Free { device: 1, bytes: 1000, inodes: Some(10) })),
            ("log".to_owned(), None),
        ]
        .into(),
        process: super::super::process::now(),
        requests: 11,
        connections: 1,
    }
}

fn value(samples: &[Sample], name: &str, label: Option<&str>) -> f64 {
    let fits = |s: &&Sample| s.name == name && label.is_none_or(|l| s.labels.iter().any(|(_, v)| v == l));
    samples.iter().find(fits).unwrap_or_else(|| panic!("{name} {label:?}")).value
}

#[test]
fn every_family_is_filled_and_no_name_of_a_sample_is_in_it() {
    let (snapshot, census) = full();
    let samples = read(&seen(Some(&snapshot), &census));
    for family in FAMILIES {
        let there = samples.iter().any(|s| s.name == family.name);
        let may_be_absent = family.name == "tsd_import_process_max_fds";
        assert!(there || may_be_absent, "{} is never written", family.name);
    }
    for (name, label, expected) in [
        ("tsd_import_actor_done_total", Some("copier"), 7.0),
        ("tsd_import_actor_degraded_seconds", Some("copier"), 1.0),
        ("tsd_import_actor_last_done_seconds", Some("copier"), 1.5),
        ("tsd_import_packages", Some("urgent"), 4.0),
        ("tsd_import_wire_waiting", Some("urgent"), 5.0),
        ("tsd_import_wire_waiting", Some("normal"), 0.0),
        ("tsd_import_alarm", Some("ready"), 1.0),
        ("tsd_import_alarm", Some("seen"), 0.0),
        ("tsd_import_alarms_open", None, 2.0),
        ("tsd_import_area_answers", Some("log"), 0.0),
        ("tsd_import_area_free_bytes", Some("state"), 1000.0),
        ("tsd_import_moved_bytes_total", Some("copier"), (1u64 << 40) as f64),
        ("tsd_import_journal_sync_seconds_total", None, 0.005),
        ("tsd_import_oldest_open_package_seconds", Some("urgent"), 0.0),
    ] {
        assert_eq!(value(&samples, name, label), expected, "{name} {label:?}");
    }
    assert!(value(&samples, "tsd_import_oldest_open_package_seconds", Some("normal")) >= 60.0);
    let text = text::openmetrics(&samples).unwrap();
    assert!(!text.contains("HG1"), "{text}");
}

#[test]
fn before_the_first_word_of_the_supervisor_there_are_numbers_too() {
    let census = Census::default();
    let samples = read(&seen(None, &census));
    assert_eq!(value(&samples, "tsd_import_ready", None), 0.0);
    assert!(!samples.iter().any(|s| s.name == "tsd_import_actor_up"));
}

#[test]
fn the_text_is_that_of_the_format() {
    let (snapshot, census) = full();
    let open = text::openmetrics(&read(&seen(Some(&snapshot), &census))).unwrap();
    assert!(open.ends_with("# EOF\n"), "{open}");
    for line in [
        "# TYPE tsd_import_actor_done counter",
        "tsd_import_actor_done_total{role=\"tsd\",actor=\"copier\"} 7.0",
        "tsd_import_packages{role=\"tsd\",state=\"ready\",kind=\"samples\",priority=\"urgent\"} 4.0",
    ] {
        assert!(open.lines().any(|l| l == line), "{line} in {open}");
    }
    let classic = text::classic(&open);
    assert!(!classic.contains("# EOF") && !classic.contains("# UNIT"));
    for line in ["# TYPE tsd_import_actor_done_total counter", "# TYPE tsd_import_actor_up gauge"] {
        assert!(classic.lines().any(|l| l == line), "{line} in {classic}");
    }
    assert!(classic.contains("# HELP tsd_import_actor_done_total Units finished"), "{classic}");
}

#[test]
fn a_number_that_is_in_no_table_is_an_error() {
    let odd = Sample { name: "tsd_import_odd", labels: vec![("role", "tsd".into())], value: 1.0 };
    assert!(text::openmetrics(&[odd]).unwrap_err().contains("tsd_import_odd is not in the table"));
    let labels = vec![("role", "tsd".to_owned()), ("sample", "x".to_owned())];
    let odd = Sample { name: "tsd_import_actor_up", labels, value: 1.0 };
    assert!(text::openmetrics(&[odd]).unwrap_err().contains("other labels"));
}
