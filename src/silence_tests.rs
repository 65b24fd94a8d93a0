use super::*;
use crate::journal::{Event, Line};
use crate::package::Sha256Hex;
use crate::tsd::Stuck;
use proptest::prelude::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

fn limits(secs: u64) -> AlarmConf {
    let limit = Some(Duration::from_secs(secs));
    AlarmConf {
        polled: limit,
        committed: limit,
        listed: limit,
        seen: limit,
        whole: limit,
        heartbeat: limit,
        backlog: limit,
        ready: limit,
    }
}

fn fact(what: What, last: Option<i64>, need: Need) -> Fact {
    Fact { what, last: last.map(at), need, fair: at(0) }
}

fn waiting(count: usize, oldest: i64) -> Need {
    Need::Packages { count, oldest: (count > 0).then(|| at(oldest)) }
}

fn fold(events: Vec<(i64, &str, State)>) -> Fold {
    let mut fold = Fold::default();
    for (seq, (secs, name, to)) in events.into_iter().enumerate() {
        let package = format!("samples/{name}/r1").parse().unwrap();
        let event = Event::Moved { package, from: None, to, by: "t".into(), facts: Box::default() };
        fold.apply(&Line { v: 1, seq: seq as u64, at: at(secs), prev: Sha256Hex::zero(), event });
    }
    fold
}

fn witness(done: &[(&str, Option<i64>)]) -> Witness {
    let done = done.iter().map(|(actor, secs)| ((*actor).to_owned(), secs.map(at))).collect();
    Witness { started: at(0), done, senders: Vec::new() }
}

#[test]
fn a_silence_begins_once_and_ends_when_it_is_heard_again() {
    let polled = |last| [fact(What::Polled, last, Need::Always)];
    let none = BTreeMap::new();
    assert_eq!(changes(at(10), &limits(10), &polled(None), &none), [], "the whole limit is grace");
    let begun = changes(at(11), &limits(10), &polled(None), &none);
    let [Change::Silent { what: What::Polled, why, last }] = &begun[..] else { panic!("{begun:?}") };
    assert_eq!(*last, at(0), "it never happened, so since the start");
    assert!(why.contains("the LIMS queue was not read through for 11s"), "{why}");
    let open: BTreeMap<String, Timestamp> = [("polled".to_owned(), at(0))].into();
    assert_eq!(changes(at(500), &limits(10), &polled(None), &open), [], "once, not each second");
    let over = changes(at(501), &limits(10), &polled(Some(500)), &open);
    assert_eq!(over, [Change::Heard { what: "polled".into(), after: Duration::from_secs(500) }]);
}

#[test]
fn a_restart_neither_ends_a_silence_nor_raises_it_again() {
    let open: BTreeMap<String, Timestamp> = [("committed".to_owned(), at(-5000))].into();
    let mut committed = fact(What::Committed, Some(-5000), waiting(1, -4000));
    committed.fair = at(0);
    assert_eq!(changes(at(1), &limits(60), &[committed.clone()], &open), []);
    // The same facts without an alarm on record: the daemon was away and gets its limit.
    assert_eq!(changes(at(60), &limits(60), &[committed.clone()], &BTreeMap::new()), []);
    assert_eq!(changes(at(61), &limits(60), &[committed], &BTreeMap::new()).len(), 1);
}

#[test]
fn nothing_need_be_committed_while_nothing_waits() {
    let none = BTreeMap::new();
    let quiet = fact(What::Committed, Some(10), waiting(0, 0));
    assert_eq!(changes(at(90_000), &limits(60), std::slice::from_ref(&quiet), &none), []);
    // One that came a moment ago does not make the quiet days before it an alarm.
    let fresh = fact(What::Committed, Some(10), waiting(1, 89_990));
    assert_eq!(changes(at(90_000), &limits(60), &[fresh], &none), []);
    let stuck = fact(What::Committed, Some(10), waiting(2, 89_900));
    let begun = changes(at(90_000), &limits(60), &[stuck], &none);
    assert!(
        matches!(&begun[..], [Change::Silent { why, .. }] if why.starts_with("2 package(s) wait")),
        "{begun:?}"
    );
    // Taken away by a person: nothing is left to wait for.
    let open = [("committed".to_owned(), at(10))].into();
    assert!(matches!(&changes(at(90_000), &limits(60), &[quiet], &open)[..], [Change::Heard { .. }]));
}

#[test]
fn an_alarm_that_is_switched_off_or_nobodys_is_over() {
    let open: BTreeMap<String, Timestamp> = [("polled".to_owned(), at(0))].into();
    let polled = [fact(What::Polled, None, Need::Always)];
    assert_eq!(changes(at(100), &AlarmConf::default(), &polled, &open).len(), 1, "switched off");
    assert_eq!(changes(at(100), &limits(200), &polled, &open).len(), 1, "the limit was raised");
    assert_eq!(changes(at(100), &limits(10), &[], &open).len(), 1, "no such actor here");
}

#[test]
fn facts_come_from_the_journal_and_from_the_actors() {
    let fold = fold(vec![
        (10, "a", State::Packed),
        (11, "a", State::Uploading),
        (20, "a", State::Committed),
        (21, "a", State::Transferred),
        (30, "b", State::Packed),
        (40, "b", State::Uploading),
        (50, "c", State::Packed),
        (60, "d", State::Packed),
        (61, "d", State::Quarantined),
        (62, "e", State::Packed),
        (63, "e", State::Held),
    ]);
    let nsc = witness(&[("poller", Some(70)), ("packager", None), ("uploader", None)]);
    let facts = facts(&nsc, &fold, at(100));
    let need = Need::Packages { count: 2, oldest: Some(at(30)) };
    let of = |what: What, last, need| Fact { what, last: Some(at(last)), need, fair: at(0) };
    assert_eq!(facts, [of(What::Polled, 70, Need::Always), of(What::Committed, 20, need)]);
}

#[test]
fn on_tsd_a_bad_package_is_news_too_and_a_look_is_enough_to_know_that_none_came() {
    let fold = fold(vec![(-90, "a", State::Seen), (-50, "b", State::Quarantined)]);
    let all = |looked, beat: Option<i64>| {
        let senders = beat.map(|secs| standing("a/1", Some(secs), 0, None)).into_iter().collect();
        let witness = Witness { senders, ..witness(&[("watcher", looked), ("verifier", None)]) };
        facts(&witness, &fold, at(100))
    };
    let seen = |facts: Vec<Fact>| facts.into_iter().find(|f| f.what == What::Seen).unwrap();
    assert_eq!(seen(all(None, None)), Fact { fair: at(0), ..fact(What::Seen, Some(-50), Need::Always) });
    assert_eq!(seen(all(Some(5), None)), Fact { fair: at(-50), ..fact(What::Seen, Some(-50), Need::Always) });
    assert_eq!(seen(all(Some(5), Some(7))).last, Some(at(7)), "a sender's sign of life is enough");
    let begun = changes(at(6), &limits(50), &all(Some(5), None), &BTreeMap::new());
    assert!(matches!(&begun[..], [Change::Silent { what: What::Seen, .. }]), "{begun:?}");
    assert_eq!(all(None, None).last().unwrap().need, waiting(1, -90), "ready");
}

fn standing(sender: &str, beat: Option<i64>, missing: u64, since: Option<i64>) -> Standing {
    let sender: crate::package::Sender = sender.parse().unwrap();
    let told = |secs| crate::package::Heartbeat {
        version: 1,
        at: at(secs),
        sender: sender.clone(),
        program: "0".into(),
        backlog: BTreeMap::new(),
        recent: Vec::new(),
        sequence: 0,
    };
    Standing {
        beat: beat.map(told),
        beat_found: beat.map(at),
        last: 0,
        missing,
        gaps: Vec::new(),
        missing_since: since.map(at),
        stuck: None,
        remark: None,
        sender,
    }
}

#[test]
fn what_senders_miss_is_an_alarm_of_its_own_and_so_is_a_host_that_went_still() {
    let of = |senders: &[Standing], what: What, now: i64| {
        let done = witness(&[("watcher", Some(now)), ("verifier", None)]);
        let facts = facts(&Witness { senders: senders.to_vec(), ..done }, &Fold::default(), at(now));
        let begun = changes(at(now), &limits(60), &facts, &BTreeMap::new());
        begun.into_iter().find_map(|change| match change {
            Change::Silent { what: found, why, .. } if found == what => Some(why),
            _ => None,
        })
    };
    let missing = [standing("a/1", Some(95), 2, Some(30)), standing("b/1", Some(95), 0, None)];
    assert_eq!(of(&missing, What::Whole, 90), None, "it may still come");
    let why = of(&missing, What::Whole, 91).unwrap();
    assert!(why.starts_with("2 package(s) that were sent have not been seen here for 1m 1s"), "{why}");
    assert_eq!(of(&missing[1..], What::Whole, 1000), None);
    // Each host counts for itself, and of a host its newest chain alone.
    let hosts = [
        standing("a/1", Some(10), 0, None),
        standing("a/9", Some(100), 0, None),
        standing("b/1", Some(70), 0, None),
    ];
    assert_eq!(of(&hosts, What::Beating, 130), None);
    let why = of(&hosts, What::Beating, 131).unwrap();
    assert!(why.contains("gave no sign of life for 1m 1s"), "{why}");
    assert_eq!(of(&hosts[..2], What::Beating, 131), None);
    assert_eq!(of(&hosts, What::Beating, 20 * 86_400), None, "taken out of service");
    assert_eq!(of(&[], What::Beating, 1000), None, "nobody was ever heard");
}

#[test]
fn a_backlog_of_which_nothing_comes_is_an_alarm_until_something_does() {
    let stuck = |since: i64, looked: i64, seen_to_begin: bool| {
        Some(Stuck { waiting: 7, since: at(since), seen_to_begin, looked: at(looked) })
    };
    let one = |name: &str, stuck| Standing { stuck, ..standing(name, Some(10), 0, None) };
    let now_open = |senders: &[Standing], looked: Option<i64>, now: i64, open: &[&str]| {
        let done = witness(&[("watcher", looked)]);
        let facts = facts(&Witness { senders: senders.to_vec(), ..done }, &Fold::default(), at(now));
        let facts: Vec<Fact> = facts.into_iter().filter(|fact| fact.what == What::Backlog).collect();
        let open = open.iter().map(|what| ((*what).to_owned(), at(20))).collect();
        changes(at(now), &limits(60), &facts, &open)
    };
    let a = |since, looked| one("a/1", stuck(since, looked, true));
    assert_eq!(now_open(&[a(20, 80)], Some(80), 80, &[]), [], "it may be on its way");
    let begun = now_open(&[a(20, 81), one("b/1", None)], Some(81), 81, &[]);
    let [Change::Silent { what: What::Backlog, why, last }] = &begun[..] else { panic!("{begun:?}") };
    assert!(
        why.starts_with("7 package(s) wait at a sender") && why.contains("none of them came for 1m 1s"),
        "{why}"
    );
    assert_eq!(*last, at(20));
    assert_eq!(now_open(&[a(20, 30)], Some(30), 500, &[]), [], "we did not look since, so we cannot tell");
    assert_eq!(
        now_open(&[one("a/1", stuck(20, 81, true)), one("a/2", None)], Some(81), 81, &[]),
        [],
        "an old chain"
    );
    // Open, it stays so while nothing comes, over a restart too, and ends with a commit or with the backlog.
    assert_eq!(now_open(&[a(20, 200)], Some(200), 200, &["backlog"]), []);
    assert_eq!(now_open(&[], None, 200, &["backlog"]), [], "nobody has looked yet");
    assert_eq!(
        now_open(&[one("a/1", stuck(200, 210, false))], Some(210), 210, &["backlog"]),
        [],
        "as far as is known"
    );
    for ended in [a(205, 210), one("a/1", None)] {
        let ended = now_open(&[ended], Some(210), 210, &["backlog"]);
        assert!(matches!(&ended[..], [Change::Heard { what, .. }] if what == "backlog"), "{ended:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u16),
    Happens,
    Waits(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u16..40).prop_map(Step::Pass),
        2 => Just(Step::Happens),
        2 => (0u8..3).prop_map(Step::Waits),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Over any history: alarms alternate, begin only after the limit and while needed, end as soon as it happens, and
    /// asking twice changes nothing.
    #[test]
    fn over_any_history_alarms_are_true(steps in proptest::collection::vec(step(), 1..80), limit in 5u64..60) {
        let (limits, mut now, mut started) = (limits(limit), 1, 0);
        let (mut last, mut count, mut oldest) = (None, 0usize, 0);
        let mut open = BTreeMap::new();
        for step in steps {
            match step {
                Step::Pass(secs) => now += i64::from(secs),
                Step::Happens => last = Some(now),
                Step::Waits(n) => {
                    if count == 0 { oldest = now }
                    count = usize::from(n);
                }
                Step::Restart => started = now,
            }
            let facts = [
                Fact { fair: at(started), ..fact(What::Polled, last, Need::Always) },
                Fact { fair: at(started), ..fact(What::Ready, last, waiting(count, oldest)) },
            ];
            for change in changes(at(now), &limits, &facts, &open) {
                match change {
                    Change::Silent { what, last: since, .. } => {
                        prop_assert!(now - last.unwrap_or(started) > limit as i64);
                        prop_assert!(now - started > limit as i64, "grace");
                        prop_assert!(what == What::Polled || (count > 0 && now - oldest > limit as i64));
                        prop_assert!(open.insert(what.as_str().to_owned(), since).is_none(), "raised twice");
                    }
                    Change::Heard { what, after } => {
                        let since = open.remove(&what);
                        prop_assert!(since.is_some(), "ended twice");
                        prop_assert!(after <= Duration::from_secs(now as u64 + 1));
                        prop_assert!(what == "ready" && count == 0 || now - last.unwrap_or(i64::MIN / 2) <= limit as i64);
                    }
                }
            }
            prop_assert_eq!(changes(at(now), &limits, &facts, &open), [], "asked twice");
            if last == Some(now) {
                prop_assert!(open.is_empty(), "it has just happened");
            }
        }
    }
}
