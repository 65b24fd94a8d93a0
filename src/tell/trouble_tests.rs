use super::*;
use crate::journal::{Event, Facts, Line};
use crate::package::{Reason, Sha256Hex};
use crate::supervisor::{ChildStatus, Report};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

/// A fold of these events, a second apart.
pub(in crate::tell) fn fold(events: Vec<Event>) -> Fold {
    let mut fold = Fold::default();
    for (n, event) in events.into_iter().enumerate() {
        let seq = n as u64 + 1;
        fold.apply(&Line { v: 1, seq, at: at(n as i64), prev: Sha256Hex::of(b""), event });
    }
    fold
}

pub(in crate::tell) fn moved(id: &str, from: Option<State>, to: State, reason: Option<Reason>) -> Event {
    let facts = Facts { reason, bytes: Some(1000), ..Facts::default() };
    Event::Moved { package: id.parse().unwrap(), from, to, by: "x".into(), facts: Box::new(facts) }
}

fn actor(name: &str, degraded: Option<(&str, u64)>, state: &str) -> ChildStatus {
    let report = Report {
        degraded: degraded.map(|(why, _)| why.to_owned()),
        degraded_secs: degraded.map(|(_, secs)| secs),
        ..Report::default()
    };
    ChildStatus { actor: name.into(), up: true, state: state.into(), report, ..ChildStatus::default() }
}

fn keys(seen: &Snapshot, fold: &Fold, now: Timestamp) -> Vec<(String, bool)> {
    let present = present(seen, fold, Duration::from_secs(600), now);
    present.troubles.into_iter().map(|(key, trouble)| (key, trouble.ripe)).collect()
}

#[test]
fn each_thing_that_is_out_of_order_is_a_trouble() {
    let id = "samples/Diag-1-HG12345677/r1";
    let begin = || Event::Started { role: "tsd".into(), host: "h".into(), pid: 1, version: "0".into() };
    let events = vec![
        begin(),
        begin(),
        moved(id, None, State::Seen, None),
        moved(id, Some(State::Seen), State::Quarantined, Some(Reason::ALL[0])),
        Event::Silent { what: "ready".into(), why: "none was put in place".into(), last: at(0) },
    ];
    let fold = fold(events);
    let mut seen = Snapshot::empty(at(20));
    seen.actors = vec![
        actor("watcher", Some(("the store answers 503", 599)), "up"),
        actor("copier", Some(("the disk of x has 3 bytes free: make room", 1)), "up"),
        actor("verifier", None, "given up"),
    ];
    let said = keys(&seen, &fold, at(21));
    let wanted = [
        ("degraded:watcher", false),
        ("full:copier", true),
        ("given-up:verifier", true),
        ("silent:ready", true),
        ("stopped:samples/Diag-1-HG12345677/r1", true),
    ];
    assert_eq!(said, wanted.map(|(key, ripe)| (key.to_owned(), ripe)));
    seen.actors = vec![actor("watcher", Some(("the store answers 503", 600)), "up")];
    assert!(keys(&seen, &fold, at(21)).contains(&("degraded:watcher".into(), true)));
    assert!(keys(&seen, &fold, at(51)).contains(&("supervisor".into(), true)), "its last word is old");
    let present = present(&seen, &fold, Duration::from_secs(1), at(21));
    assert_eq!(present.crashed, Some(None), "two starts without an end between them");
    assert!(present.troubles["silent:ready"].what.contains("none was put in place"));
}

#[test]
fn what_was_released_is_no_trouble_any_more() {
    let id = "samples/a/r1";
    let fold = fold(vec![
        moved(id, None, State::Seen, None),
        moved(id, Some(State::Seen), State::Quarantined, None),
        moved(id, Some(State::Quarantined), State::Seen, None),
    ]);
    assert_eq!(keys(&Snapshot::empty(at(5)), &fold, at(6)), []);
}

#[test]
fn a_text_is_cut_between_words_so_that_no_half_name_is_left() {
    assert_eq!(shortened("one two", 7), "one two");
    assert_eq!(shortened("one samples/HG12345677/r1 more", 15), "one …");
    assert_eq!(shortened("HG12345677", 5), " …");
    assert_eq!(shortened("a\nb", 9), "a b");
}
