//! The fold and its screen: nights of every sort, as journal events.
use jiff::{SignedDuration, Timestamp};

use super::answer::{Alive, Review, Sources, Verdict};
use super::finish::Ending;
use super::fold::Fold;
use super::happening::Happening;
use super::messages::LogCount;
use super::{Scope, words};
use crate::journal::{Event, Facts, Incident};
use crate::package::{Reason, State};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap() // 2027-01-15 08:00:00Z
}

fn scope() -> Scope {
    Scope { since: Some(at(0)), ..Scope::default() }
}

fn run(scope: Scope, alive: Alive, events: Vec<(i64, Event)>) -> Review {
    let mut fold = Fold::new(scope);
    let sources = Sources { journal_lines: events.len() as u64, ..Sources::default() };
    for (secs, event) in &events {
        fold.take(0, at(*secs), &Happening::from(event));
    }
    fold.finish(Ending { until: at(10_000), alive, sources, log: LogCount::default() })
}

fn night(events: Vec<(i64, Event)>) -> Review {
    run(scope(), Alive::Runs, events)
}

fn moved(name: &str, to: State, facts: Facts) -> Event {
    let known = !matches!(to, State::Seen | State::Packed);
    let from = known.then_some(State::Found);
    Event::Moved {
        package: format!("samples/{name}/r1").parse().unwrap(),
        from,
        to,
        by: "t".into(),
        facts: facts.into(),
    }
}

fn plain(name: &str, to: State) -> Event {
    moved(name, to, Facts::default())
}

fn sized(name: &str, to: State, bytes: u64) -> Event {
    moved(name, to, Facts { bytes: Some(bytes), ..Facts::default() })
}

fn started(pid: u32) -> Event {
    Event::Started { role: "nsc".into(), host: "h".into(), pid, version: "0".into() }
}

fn stopped(exit: i32) -> Event {
    Event::Stopped { exit, why: "because".into() }
}

fn incident(actor: &str, incarnation: u64, cause: &str) -> Event {
    Event::Incident(Incident {
        actor: actor.into(),
        incarnation,
        cause: cause.into(),
        detail: "index out of bounds (at x.rs:1)".into(),
        in_hand: vec!["samples/b/r1".into()],
        streak: 1,
        budget_left: 9,
        next_delay_ms: Some(150),
        action: "restart".into(),
        outcome: "restarted in 150 ms".into(),
    })
}

fn acted(action: &str) -> Event {
    let Event::Incident(i) = incident("copier", 3, "error") else { unreachable!() };
    Event::Incident(Incident { action: action.into(), next_delay_ms: None, ..i })
}

fn restarted(actor: &str, incarnation: u64, down_ms: u64) -> Event {
    Event::Restarted { actor: actor.into(), incarnation, down_ms }
}

fn degraded(actor: &str, why: &str) -> Event {
    Event::Degraded { actor: actor.into(), why: why.into() }
}

fn recovered(actor: &str, after_ms: u64) -> Event {
    Event::Recovered { actor: actor.into(), after_ms }
}

fn says(review: &Review, expected: &[&str]) {
    let text = review.to_text();
    for words in expected {
        assert!(text.contains(words), "missing {words:?} in\n{text}");
    }
}

#[test]
fn a_quiet_night() {
    let review = night(vec![
        (1, started(1)),
        (2, plain("a", State::Packed)),
        (3, plain("a", State::Uploading)),
        (13, sized("a", State::Committed, 1 << 30)),
        (14, plain("a", State::Transferred)),
    ]);
    assert_eq!(review.verdict, Verdict::Quiet);
    let first = review.to_text().lines().next().unwrap().to_owned();
    assert_eq!(first, "Nothing to do, and nothing went wrong.");
    says(
        &review,
        &[
            "1 delivered (1.0 GiB)",
            "102.4 MiB/s",
            "runs since 2027-01-15 08:00:01Z; up 2 h 46 min of 2 h 46 min; 1 start",
        ],
    );
    assert_eq!((review.delivered, review.delivered_bytes, review.underway), (1, 1 << 30, 0));
    assert_eq!((review.throughput.moving_secs, review.done[0].secs), (10.0, Some(12.0)));
}

#[test]
fn a_night_with_everything() {
    let why =
        Facts { reason: Some(Reason::Md5Mismatch), detail: Some("x_R1 differs".into()), ..Facts::default() };
    let silent = Event::Silent { what: "polled".into(), why: "look at the LIMS".into(), last: at(40) };
    let review = night(vec![
        (-200, started(0)),
        (-100, degraded("poller", "LIMS down")),
        (-50, recovered("poller", 50_000)),
        (-20, stopped(0)),
        (1, started(1)),
        (2, incident("copier", 1, "panic")),
        (3, restarted("copier", 2, 250)),
        (3, degraded("uploader", "token expired")),
        (9, recovered("uploader", 6_000)),
        (10, started(2)),
        (11, degraded("uploader", "503")),
        (12, moved("b", State::Quarantined, why)),
        (13, plain("c", State::Uploading)),
        (100, silent),
    ]);
    assert_eq!(review.outages.len(), 2, "the one before the window is not shown");
    assert_eq!((review.underway, review.quarantined), (1, 1));
    says(
        &review,
        &[
            "ACT: 3 things need somebody, see the lines marked with !",
            "! outage: uploader cannot work since 2027-01-15 08:00:11Z",
            "! silence: not polled since 2027-01-15 08:00:40Z (2 h 46 min)\n    → look at the LIMS",
            "! stopped: samples/b/r1 md5-mismatch since 2027-01-15 08:00:12Z: x_R1 differs\n    → have the file delivered again",
            "copier 1 × panic; all over; back after 250 ms",
            "index out of bounds (at x.rs:1) | in hand: samples/b/r1",
            "2; 1 STILL GOING ON",
            "uploader  6.0 s          token expired",
            "2 starts, 1 after a crash or kill: 2027-01-15 08:00:10Z",
        ],
    );
    let page = review.to_html(at(10_000)).unwrap();
    assert!(page.contains("x_R1 differs") && page.contains("still going on"));
}

#[test]
fn how_the_daemon_ended_decides_who_is_needed() {
    let run = |alive, events| run(scope(), alive, events);
    let died = run(Alive::Gone, vec![(1, started(1))]);
    says(&died, &["! daemon: it ended without a word", "DOES NOT RUN", "at least of"]);
    let hangs = run(Alive::Hangs(33), vec![(1, started(1))]);
    says(&hangs, &["! daemon: its process is there but has not reported for 33.0 s"]);
    let gave_up = run(Alive::Gone, vec![(1, started(1)), (5, stopped(75))]);
    says(&gave_up, &["! daemon: it gave up at 2027-01-15 08:00:05Z with exit code 75: because"]);
    let again = run(Alive::Runs, vec![(1, started(1)), (5, stopped(75)), (6, started(2))]);
    assert_eq!(again.verdict, Verdict::Over);
    let in_order = run(Alive::Gone, vec![(1, started(1)), (5, stopped(0))]);
    assert_eq!(in_order.verdict, Verdict::Quiet);
    says(&in_order, &["(But it does not run: it was stopped in order.)", "up 4.0 s of 2 h 46 min"]);
    let copied = run(Alive::Unknown, vec![(1, started(1))]);
    says(&copied, &["whether it runs now, a log cannot tell"]);
}

#[test]
fn an_incident_is_over_when_the_actor_lives_again_and_not_before() {
    let how = |events: Vec<(i64, Event)>| {
        let review = night(
            events
                .into_iter()
                .chain([(9_999, Event::Recovered { actor: "x".into(), after_ms: 1 })])
                .collect(),
        );
        (review.incidents[0].over_by, review.incidents[0].down_secs, review.act.len())
    };
    let fell = || (10, incident("copier", 1, "hang"));
    assert_eq!(how(vec![fell(), (11, restarted("copier", 2, 700))]), (Some("restarted"), Some(0.7), 0));
    assert_eq!(how(vec![fell(), (11, restarted("verifier", 2, 700))]), (None, None, 1));
    assert_eq!(how(vec![fell(), (12, started(2))]), (Some("new-start"), None, 0));
    assert_eq!(how(vec![fell(), (12, stopped(0))]), (Some("stopped"), None, 0));
    let (over, down, acts) = how(vec![fell(), (20, incident("copier", 2, "hang"))]);
    assert_eq!((over, down, acts), (Some("failed-again"), None, 1), "the second one is open");
    let went_on = Event::Moved {
        package: "samples/a/r1".parse().unwrap(),
        from: None,
        to: State::Seen,
        by: "copier".into(),
        facts: Box::default(),
    };
    assert_eq!(how(vec![fell(), (14, went_on.clone())]), (Some("went-on"), Some(4.0), 0));
    assert_eq!(
        how(vec![(10, acted("given-up")), (14, went_on)]),
        (None, None, 1),
        "a late word of a dead one"
    );
    let given_up = night(vec![(1, started(1)), (10, acted("given-up"))]);
    says(&given_up, &["! incident: copier stays down after too many restarts, the others go on"]);
    let ends =
        run(scope(), Alive::Gone, vec![(1, started(1)), (10, acted("process-ends")), (11, stopped(75))]);
    assert_eq!(ends.act.len(), 1, "one thing, told once: {:?}", ends.act);
    let fresh = night(vec![(1, started(1)), (9_990, incident("copier", 1, "error"))]);
    assert_eq!((fresh.act.len(), fresh.verdict), (0, Verdict::Over), "it is being restarted");
    says(&fresh, &["copier 1 × error; 1 NOT OVER"]);
}

#[test]
fn what_is_told_twice_counts_once() {
    let events = || {
        vec![
            (1, started(1)),
            (2, plain("a", State::Packed)),
            (3, plain("a", State::Uploading)),
            (3, degraded("uploader", "503")),
            (3, incident("copier", 1, "panic")),
            (4, recovered("uploader", 1_000)),
            (4, restarted("copier", 2, 250)),
            (4, sized("a", State::Committed, 100)),
            (4, plain("a", State::Transferred)),
        ]
    };
    let once = night(events());
    // The last second again, as when the log is read on behind a damage of the journal.
    let mut fold = Fold::new(scope());
    events().iter().for_each(|(secs, event)| fold.take(0, at(*secs), &Happening::from(event)));
    fold.goes_on_with_log(at(4));
    events().iter().skip(5).for_each(|(secs, event)| fold.take(0, at(*secs), &Happening::from(event)));
    let sources = Sources::default();
    let twice =
        fold.finish(Ending { until: at(10_000), alive: Alive::Runs, sources, log: LogCount::default() });
    for r in [&once, &twice] {
        assert_eq!((r.delivered, r.delivered_bytes, r.throughput.bytes), (1, 100, 100));
        assert_eq!((r.incidents.len(), r.outages.len(), r.daemons[0].starts.len()), (1, 1, 1));
    }
}

#[test]
fn a_package_that_was_released_is_not_stopped_any_more() {
    let review =
        night(vec![(1, started(1)), (1, plain("a", State::Quarantined)), (2, plain("a", State::Packed))]);
    assert!(review.stopped.is_empty() && !review.needs_somebody());
    assert_eq!((review.quarantined, review.verdict), (1, Verdict::Over));
}

#[test]
fn slow_is_what_takes_much_longer_than_its_kind() {
    let mut events = vec![(1, started(1))];
    for n in 0..8 {
        let took = if n == 7 { 4_000 } else { 300 };
        events.push((100, plain(&format!("p{n}"), State::Seen)));
        events.push((100 + took, plain(&format!("p{n}"), State::Ready)));
    }
    events.push((200, plain("waits", State::Seen)));
    events.sort_by_key(|(at, _)| *at);
    let review = night(events);
    let names: Vec<&str> = review.slow.iter().map(|s| s.package.as_str()).collect();
    assert_eq!(names, ["samples/waits/r1", "samples/p7/r1"], "one of them is not even there yet");
    assert_eq!(review.slow[1].median_secs, Some(300.0));
    says(
        &review,
        &["under way longest: samples/waits/r1 (seen, 2 h 43 min)", "1 h 6 min samples/p7/r1: ready"],
    );
}

#[test]
fn bytes_do_not_move_while_the_daemon_is_down_or_waits() {
    let moving = |events| night(events).throughput.moving_secs;
    let begin = || {
        vec![
            (0, started(1)),
            (0, plain("a", State::Packed)),
            (10, moved_by("uploader", "a", State::Uploading)),
        ]
    };
    let with = |more: Vec<(i64, Event)>| begin().into_iter().chain(more).collect::<Vec<_>>();
    assert_eq!(moving(with(vec![(110, sized("a", State::Committed, 9))])), 100.0);
    assert_eq!(
        moving(with(vec![
            (60, degraded("uploader", "503")),
            (100, recovered("uploader", 40_000)),
            (110, sized("a", State::Committed, 9))
        ])),
        60.0
    );
    assert_eq!(
        moving(with(vec![(60, stopped(0)), (100, started(2)), (110, sized("a", State::Committed, 9))])),
        60.0
    );
    // Killed: the last that was heard of it was at 30.
    assert_eq!(
        moving(with(vec![
            (30, plain("b", State::Packed)),
            (100, started(2)),
            (110, sized("a", State::Committed, 9))
        ])),
        30.0
    );
}

fn moved_by(by: &str, name: &str, to: State) -> Event {
    let Event::Moved { package, from, to, facts, .. } = plain(name, to) else { unreachable!() };
    Event::Moved { package, from, to, by: by.into(), facts }
}

#[test]
fn the_screen_stays_a_screen() {
    let mut events = vec![(1, started(1))];
    for n in 0..5_000 {
        let second = 2 + n;
        events.push((second, incident("copier", n as u64 + 1, "panic")));
        events.push((second, restarted("copier", n as u64 + 2, 100)));
        events.push((second, degraded("uploader", &"long ".repeat(100))));
        events.push((second, recovered("uploader", 1_000)));
        events.push((second, plain(&format!("p{n}"), State::Quarantined)));
    }
    let review = night(events.clone());
    let text = review.to_text();
    assert!(text.lines().count() <= 40, "{} lines\n{text}", text.lines().count());
    assert!(text.lines().all(|l| l.chars().count() <= 310), "{text}");
    says(
        &review,
        &[
            "ACT: one thing",
            "! stopped: 5000 packages held by a person since 2027-01-15 08:00:02Z, the newest samples/p4999/r1, samples/p4998/r1,",
            "copier 5000 × panic",
            "more: --actor NAME shows all of one",
        ],
    );
    assert!(review.to_html(at(10_000)).unwrap().len() < 3_000_000);
    let only = run(Scope { actor: Some("copier".into()), ..scope() }, Alive::Runs, events);
    assert_eq!(only.to_text().matches("index out of bounds").count(), 5_000, "on request all of them");
}

#[test]
fn a_package_that_was_asked_for_tells_its_way() {
    let events = vec![
        (1, started(1)),
        (2, plain("a", State::Packed)),
        (3, plain("b", State::Packed)),
        (
            4,
            Event::Failed {
                package: "samples/a/r1".parse().unwrap(),
                by: "uploader".into(),
                failures: 1,
                error: "503".into(),
                retry_at: at(9),
            },
        ),
        (5, plain("a", State::Uploading)),
    ];
    let review = run(Scope { package: Some("/a/".into()), ..scope() }, Alive::Runs, events);
    assert_eq!((review.known_packages, review.steps.len()), (1, 3));
    says(&review, &["samples/a/r1 failed, 1 so far (by uploader): 503", "samples/a/r1 packed (by t)"]);
    assert!(!review.to_text().contains("samples/b"));
}

#[test]
fn logs_of_another_time_are_no_answer() {
    let fold = Fold::new(scope());
    let mut sources = Sources::default();
    sources.log.last = Some(at(-5_000));
    let review =
        fold.finish(Ending { until: at(10_000), alive: Alive::Unknown, sources, log: LogCount::default() });
    assert!(review.needs_somebody());
    says(&review, &["NO ANSWER: the log has nothing of this time, it ends at 2027-01-15 06:36:40Z"]);
    assert!(!review.to_html(at(10_000)).unwrap().contains("<svg"));
}

#[test]
fn two_daemons_are_kept_apart() {
    let mut fold = Fold::new(scope());
    let two =
        |role: &str| Event::Started { role: role.into(), host: role.into(), pid: 1, version: "0".into() };
    for (stream, second, event) in [
        (0, 1, two("nsc")),
        (1, 2, two("tsd")),
        (0, 3, degraded("uploader", "503")),
        (1, 4, plain("a", State::Seen)),
        (1, 5, two("tsd")),
        (0, 6, plain("a", State::Transferred)),
        (1, 7, plain("a", State::Ready)),
    ] {
        fold.take(stream, at(second), &Happening::from(&event));
    }
    let sources = Sources::default();
    let review =
        fold.finish(Ending { until: at(100), alive: Alive::Unknown, sources, log: LogCount::default() });
    let crashes: Vec<bool> = review.daemons.iter().map(|d| d.starts.iter().any(|s| s.after_crash)).collect();
    assert_eq!(crashes, [false, true], "a start of one says nothing of the other");
    assert_eq!(review.outages.iter().filter(|o| o.secs.is_none()).count(), 1);
    says(&review, &["Review of nsc on nsc, tsd on tsd", "2 delivered (1 transferred, 1 ready)"]);
}

#[test]
fn the_same_log_twice_is_noticed() {
    let mut fold = Fold::new(scope());
    for stream in [0, 1] {
        fold.take(stream, at(1), &Happening::from(&started(7)));
    }
    let sources = Sources::default();
    let review =
        fold.finish(Ending { until: at(100), alive: Alive::Unknown, sources, log: LogCount::default() });
    says(&review, &["! not sure: the same log was given from two places"]);
}

#[test]
fn buckets_cover_the_time_without_gaps() {
    for (hours, width) in [(1, 60), (24, 900), (24 * 7, 7_200), (24 * 90, 86_400)] {
        let mut fold = Fold::new(scope());
        fold.take(0, at(1), &Happening::from(&started(1)));
        fold.take(0, at(1800), &Happening::from(&sized("a", State::Committed, 5)));
        let until = at(0) + SignedDuration::from_hours(hours);
        let review = fold.finish(Ending {
            until,
            alive: Alive::Runs,
            sources: Sources::default(),
            log: LogCount::default(),
        });
        let t = &review.throughput;
        assert_eq!((t.bucket_secs, t.bytes), (width, 5), "{hours} h");
        assert_eq!(t.buckets.iter().map(|(_, b)| b.bytes).sum::<u64>(), 5);
        assert!(t.buckets.windows(2).all(|w| crate::clock::age(w[0].0, w[1].0).as_secs() as i64 == width));
        assert!(
            t.buckets.first().unwrap().0 <= at(0) && t.buckets.len() <= 101,
            "{}",
            words::number(t.buckets.len() as u64)
        );
    }
}
