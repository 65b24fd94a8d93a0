use std::collections::BTreeMap;

use super::*;
use crate::journal::{Event, Facts, Line, Phase};
use crate::package::{Draft, Order, OrderId, PackageId, Priority, Reason, Sha256Hex, State};
use crate::supervisor::meter::Motion;
use crate::supervisor::{ChildStatus, Report};

const PLAIN: Look = Look { width: 80, colour: false };

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

fn id(text: &str) -> PackageId {
    text.parse().unwrap()
}

fn fold(events: Vec<(i64, Event)>) -> Fold {
    let mut fold = Fold::default();
    for (seq, (secs, event)) in (1..).zip(events) {
        fold.apply(&Line { v: 1, seq, at: at(secs), prev: Sha256Hex::zero(), event });
    }
    fold
}

fn moved(package: &str, from: Option<State>, to: State, facts: Facts) -> Event {
    Event::Moved { package: id(package), from, to, by: "uploader".into(), facts: Box::new(facts) }
}

fn packed(package: &str, priority: Priority) -> Event {
    moved(
        package,
        None,
        State::Packed,
        Facts { priority: Some(priority), bytes: Some(1 << 30), ..Facts::default() },
    )
}

fn stop(package: &str) -> Event {
    let (reason, detail) = (Some(Reason::BadReads), Some("R1.fastq.gz is cut off".to_owned()));
    moved(package, Some(State::Packed), State::Quarantined, Facts { reason, detail, ..Facts::default() })
}

fn actor(name: &str, report: Report) -> ChildStatus {
    ChildStatus {
        actor: name.into(),
        up: true,
        state: "up".into(),
        since_secs: 3700,
        report,
        ..ChildStatus::default()
    }
}

fn snapshot(now: Timestamp, actors: Vec<ChildStatus>) -> Snapshot {
    Snapshot { actors, ..Snapshot::empty(now) }
}

fn present<'a>(
    fold: &'a Fold,
    seen: Option<&'a Snapshot>,
    holder: Option<&'a Holder>,
    secs: i64,
) -> Present<'a> {
    Present { role: "nsc", host: "gdx-login", fold, seen, holder, stop: None, now: at(secs) }
}

fn holder() -> Holder {
    Holder { host: "gdx-login".into(), pid: 4242, boot: String::new(), role: "nsc".into(), since: at(0) }
}

/// Everything fits the width, and what is sent and read again says the same.
fn told<A: Serialize + serde::de::DeserializeOwned>(answer: &A, text: impl Fn(&A, Look) -> String) -> String {
    let again: A = serde_json::from_str(&serde_json::to_string(answer).unwrap()).unwrap();
    let said = text(answer, PLAIN);
    assert_eq!(text(&again, PLAIN), said, "made of the answer alone");
    for width in [40, 60, 80, 110] {
        let wide = text(answer, Look { width, colour: false });
        assert!(wide.lines().all(|line| line.chars().count() <= width), "{width}\n{wide}");
    }
    assert!(!said.contains('\x1b') && said.ends_with('\n') && !said.ends_with("\n\n"), "{said}");
    said
}

fn status(present: &Present<'_>) -> String {
    told(&present.status(10), StatusAnswer::to_text)
}

fn why(present: &Present<'_>, query: &str) -> (u8, String) {
    let answer = present.why(query);
    (answer.exit_code(), told(&answer, WhyAnswer::to_text))
}

#[test]
fn the_screen_says_who_does_what_what_moves_and_what_waits_for_a_person() {
    let mut events: Vec<(i64, Event)> = (0..30)
        .flat_map(|n| {
            let name = format!("samples/Diag-wgs1-HG{n:08}/r1");
            [(n, packed(&name, Priority::Normal)), (n, stop(&name))]
        })
        .collect();
    events.push((40, packed("samples/Diag-wgs1-HG90000001/r1", Priority::Urgent)));
    events.push((41, packed("samples/Diag-wgs1-HG90000002/r1", Priority::Normal)));
    let fold = fold(events);
    let report = Report {
        in_hand: vec!["samples/Diag-wgs1-HG90000001/r1".into()],
        queue: 1,
        errors: 3,
        consecutive: 1,
        last_error: Some("samples/x/r1: the store said 503".into()),
        last_error_ms: Some(65_000),
        ..Report::default()
    };
    let motion = Motion {
        actor: "uploader".into(),
        unit: "samples/Diag-wgs1-HG90000001/r1".into(),
        done: 25 << 30,
        total: 100 << 30,
        secs: 1000.0,
        last_minute: Some(100 << 20),
    };
    let seen = Snapshot {
        moving: vec![motion],
        not_taken: (0..30).map(|n| (format!("thing {n:02}"), "why".to_owned())).collect::<BTreeMap<_, _>>(),
        ..snapshot(at(100), vec![actor("poller", Report::default()), actor("uploader", report)])
    };
    let who = holder();
    let said = status(&present(&fold, Some(&seen), Some(&who), 100));
    for expected in [
        "nsc on gdx-login: running since",
        "uploader  busy      1 h 1 min",
        "last error of uploader 1 min 5 s ago: samples/x/r1: the store said 503",
        "packages: 2 packed, 30 quarantined",
        "packed      1 urgent, 1 normal",
        "25 % of 100.0 GiB  100.0 MiB/s  12 min 48 s left",
        "30 stopped packages wait for a person:",
        "! stopped: samples/Diag-wgs1-HG00000029/r1",
        "what to do: have the file named in the detail delivered again",
        "… and 20 more are stopped: `list --state quarantined`",
        "… and 10 more wait: `status --json`",
    ] {
        assert!(said.contains(expected), "{expected} in\n{said}");
    }
    assert!(!said.contains("all is well") && said.lines().count() < 80, "{said}");
    let colour =
        present(&fold, Some(&seen), Some(&who), 100).status(10).to_text(Look { width: 80, colour: true });
    assert!(colour.contains("\x1b[31m"));
}

#[test]
fn nobody_hanging_and_quiet() {
    let (fold, who) = (fold(vec![(0, packed("samples/a/r1", Priority::Normal))]), holder());
    let said = status(&present(&fold, None, None, 10));
    assert!(said.contains("NOT RUNNING; this is what the journal says"), "{said}");
    let seen = snapshot(at(0), vec![actor("uploader", Report::default())]);
    let old = present(&fold, Some(&seen), Some(&who), 60);
    assert_eq!(old.health(), Health::Hangs);
    assert!(status(&old).contains("NOT REPORTED for 60 s"), "{}", status(&old));
    assert!(why(&old, "a").1.contains("the daemon, which hangs"));
    let fine = present(&fold, Some(&seen), Some(&who), 5);
    assert!(status(&fine).contains("all is well: nothing waits for a person"), "{}", status(&fine));
    let left = present(&fold, Some(&seen), None, 5);
    assert_eq!(left.health(), Health::Down, "whoever wrote that snapshot has gone");
}

#[test]
fn why_says_what_is_waited_for_and_who_goes_first() {
    let (a, b, c) = ("samples/P-HG1/r1", "samples/P-HG12/r1", "samples/P-HG3/r1");
    let error = || "the store said 503".to_owned();
    let fold = fold(vec![
        (0, packed(a, Priority::Normal)),
        (1, packed(b, Priority::Urgent)),
        (2, packed(c, Priority::Normal)),
        (
            3,
            Event::Failed {
                package: id(c),
                by: "uploader".into(),
                failures: 2,
                error: error(),
                retry_at: at(90),
            },
        ),
    ]);
    let (code, said) = why(&present(&fold, None, None, 60), a);
    assert_eq!(code, 0);
    assert!(
        said.contains("! The daemon does not run") && said.contains("what to do   start the daemon"),
        "{said}"
    );
    let who = holder();
    let told = |report: Report, query: &str| {
        let seen = snapshot(at(60), vec![actor("uploader", report)]);
        why(&present(&fold, Some(&seen), Some(&who), 60), query).1
    };
    let turn = told(Report::default(), "HG1");
    assert!(turn.contains("its turn at the uploader, to be sent; one goes before it"), "{turn}");
    assert!(turn.contains("its way (1 min so far):") && turn.contains("1 min  packed"), "{turn}");
    let next = told(Report::default(), "HG3");
    assert!(next.contains("next attempt 2027-01-15 08:01:30Z (in 30 s)"), "{next}");
    assert!(next.contains("2 failed: the store said"), "{next}");
    let sick = Report {
        degraded: Some("the store did not answer".into()),
        degraded_secs: Some(7),
        ..Report::default()
    };
    assert!(told(sick, "HG12").contains("able to work for 7 s:"));
    let busy = Report { in_hand: vec![b.into()], ..Report::default() };
    assert!(told(busy, "HG12").contains("the uploader, which works on it now"));
    let elsewhere = snapshot(at(60), vec![]);
    assert!(
        why(&present(&fold, Some(&elsewhere), Some(&who), 60), "HG1")
            .1
            .contains("does not run in this daemon")
    );
}

#[test]
fn a_stopped_one_says_who_why_and_what_to_do_and_each_step_how_long() {
    let package = "samples/P-HG1/r1";
    let lines: Vec<Line> = [(0, packed(package, Priority::High)), (90, stop(package))]
        .into_iter()
        .zip(1..)
        .map(|((secs, event), seq)| Line { v: 1, seq, at: at(secs), prev: Sha256Hex::zero(), event })
        .collect();
    let mut fold = Fold::default();
    lines.iter().for_each(|line| fold.apply(line));
    let answer = present(&fold, None, None, 3690).why("p-hg1");
    let (wanted, order) = answer.wants().unwrap();
    assert_eq!((wanted, order), (&id(package), None));
    let answer = answer.with(&crate::journal::About { lines, left_out: 0 });
    let said = told(&answer, WhyAnswer::to_text);
    for expected in [
        "samples/P-HG1/r1: quarantined",
        "stopped as   bad-reads (by uploader)",
        "detail       R1.fastq.gz is cut off",
        "waits for    a person: it was stopped",
        "what to do   have the file named in the detail delivered again",
        "1 min 30 s  packed",
        "1 h  quarantined: bad-reads (R1.fastq.gz is cut",
    ] {
        assert!(said.contains(expected), "{expected} in\n{said}");
    }
}

#[test]
fn several_none_the_newest_revision_and_what_is_no_package_yet() {
    let mut events: Vec<(i64, Event)> =
        (0..40).map(|n| (n, packed(&format!("samples/Diag-wgs1-HG1{n:02}/r1"), Priority::Normal))).collect();
    events.push((50, packed("samples/Diag-wgs1-HG100/r2", Priority::Normal)));
    let doubt = Event::Doubted {
        artifact: "2-77".into(),
        who: "Diag-wgs2-HG777".into(),
        reason: Reason::LimsInvalid,
        detail: "the field Kit is empty".into(),
        times: 3,
    };
    events.push((60, doubt));
    let draft = Draft { artifact: Some("2-88".into()), ..Draft::bare(id("samples/Diag-wgs2-HG888/r1")) };
    let order = Order {
        id: OrderId("2-88".into()),
        artifacts: vec!["2-88".into()],
        packages: vec![draft],
        note: None,
    };
    events.push((61, Event::Ordered { order: Box::new(order) }));
    let claim = Event::Claim {
        order: OrderId("2-88".into()),
        phase: Phase::Review,
        step: Some("24-9".into()),
        technician: None,
        detail: Some("it was closed by somebody".into()),
    };
    events.push((62, claim));
    let fold = fold(events);
    let (who, mut seen) = (holder(), snapshot(at(70), vec![actor("packager", Report::default())]));
    seen.not_taken = [("singles/Diag-wgs9-HG999".to_owned(), "no marker lies in it yet".to_owned())].into();
    let now = present(&fold, Some(&seen), Some(&who), 70);
    let (code, said) = why(&now, "HG1");
    assert_eq!(code, 2);
    assert!(
        said.contains("may be each of these 40") && said.contains("… and 25 more: `list --name 'HG1'`"),
        "{said}"
    );
    let (code, said) = why(&now, "HG100");
    assert!(code == 0 && said.contains("samples/Diag-wgs1-HG100/r2: packed"), "{said}");
    assert!(said.contains("also         samples/Diag-wgs1-HG100/r1: packed"), "{said}");
    assert!(why(&now, "samples/Diag-wgs1-HG100/r1").1.contains("samples/Diag-wgs1-HG100/r1: packed"));
    for query in ["2-77", "HG777"] {
        let (code, said) = why(&now, query);
        assert!(
            code == 0 && said.contains("the field Kit is empty") && said.contains("lims-invalid"),
            "{said}"
        );
    }
    let (code, said) = why(&now, "HG999");
    assert!(
        code == 0 && said.contains("not a package yet") && said.contains("no marker lies in it yet"),
        "{said}"
    );
    for query in ["2-88", "HG888"] {
        let (code, said) = why(&now, query);
        assert!(code == 0 && said.contains("it was closed by somebody") && said.contains("24-9"), "{said}");
    }
    let (code, said) = why(&now, "HG5");
    assert_eq!(code, 1);
    for expected in [
        "is not known here (nsc on gdx-login)",
        "the journal of this side (42 packages)",
        "under way (1)",
        "doubted (1)",
        "does not take (1)",
    ] {
        assert!(said.contains(expected), "{expected} in\n{said}");
    }
    assert!(why(&present(&fold, None, None, 70), "HG5").1.contains("NOT looked at"));
    assert_eq!(why(&now, "  ").0, 1, "nothing is not everything");
}

#[test]
fn lists_are_filtered_sorted_and_cut() {
    let mut events: Vec<(i64, Event)> =
        (0..5).map(|n| (n, packed(&format!("samples/Diag-wgs1-HG{n}/r1"), Priority::Normal))).collect();
    events.push((5, packed("analyses/Diag-wgs1-HG1-SINGLE/r1", Priority::Urgent)));
    events.push((6, stop("samples/Diag-wgs1-HG2/r1")));
    let long = format!("analyses-results/trios/{}/r1", "x".repeat(150));
    events.push((7, packed(&long, Priority::High)));
    let fold = fold(events);
    let now = present(&fold, None, None, 100);
    let names = |filter: Filter| {
        let answer = now.list(&filter);
        let _fits = told(&answer, ListAnswer::to_text);
        answer.packages.iter().map(|row| row.package.to_string()).collect::<Vec<_>>()
    };
    let all = names(Filter::default());
    assert_eq!(
        (all.len(), &all[0], all[1].as_str()),
        (7, &long, "samples/Diag-wgs1-HG2/r1"),
        "the newest first"
    );
    let hg2 = ["samples/Diag-wgs1-HG2/r1"];
    assert_eq!(names(Filter { stopped: true, ..Filter::default() }), hg2);
    assert_eq!(names(Filter { states: vec![State::Quarantined], ..Filter::default() }), hg2);
    assert_eq!(names(Filter { moving: true, ..Filter::default() }).len(), 6);
    assert_eq!(names(Filter { kinds: vec!["analyses".parse().unwrap()], ..Filter::default() }).len(), 1);
    assert_eq!(names(Filter { priorities: vec![Priority::Urgent], ..Filter::default() }).len(), 1);
    assert_eq!(names(Filter { since: Some(at(5)), until: Some(at(6)), ..Filter::default() }).len(), 2);
    assert_eq!(names(Filter { name: Some("HG1".into()), ..Filter::default() }).len(), 2);
    assert_eq!(names(Filter { name: Some("*-HG?".into()), ..Filter::default() }).len(), 5);
    let cut = now.list(&Filter { limit: Some(2), ..Filter::default() });
    assert_eq!((cut.known, cut.fit, cut.packages.len()), (7, 7, 2));
    assert!(cut.to_text(PLAIN).contains("… and 5 more of 7 that fit (7 known): --limit 7"));
    let none = now.list(&Filter { name: Some("nobody".into()), ..Filter::default() });
    assert!(told(&none, ListAnswer::to_text).contains("no package fits; 7 are known"));
}
