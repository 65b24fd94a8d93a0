use super::super::memory::{Open, Past};
use super::super::trouble::Level;
use super::super::trouble::tests::{fold, moved};
use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

#[test]
fn a_day_in_a_dozen_lines() {
    let mut events = Vec::new();
    for n in 0..3 {
        let id = format!("samples/s{n}/r1");
        let way = [State::Seen, State::Copying, State::Copied, State::Verified, State::Ready];
        let mut from = None;
        for to in way {
            events.push(moved(&id, from, to, None));
            from = Some(to);
        }
    }
    events.push(moved("samples/w/r1", None, State::Seen, None));
    for n in 0..12 {
        let id = format!("samples/q{n}/r1");
        events.push(moved(&id, None, State::Seen, None));
        events.push(moved(&id, Some(State::Seen), State::Quarantined, Some(Reason::ALL[0])));
    }
    let fold = fold(events);
    let mut memory = Memory::default();
    let past = |kind| Past { at: at(100), kind, what: "the store answers 503".into() };
    memory.day.extend([past(Kind::Opened), past(Kind::Cleared), past(Kind::Opened)]);
    let open = Open {
        level: Level::Alarm,
        what: "the store answers 503".into(),
        about: None,
        since: at(90),
        opened: at(100),
        gone: None,
        steps: 0,
        told: Default::default(),
    };
    drop(memory.open.insert("degraded:watcher".into(), open));
    // The first of the three became READY before the day began.
    let text = digest(Role::Tsd, &fold, &memory, at(5), at(86_400));
    for line in [
        "2 package(s) handed over, 2.0 KiB",
        "under way: 1 seen",
        &format!("stopped, {}: 12: ", Reason::ALL[0].code()),
        " and 2 more",
        "2 × began: the store answers 503",
        "1 × over: the store answers 503",
        "4s for half of them, 4s at most",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let nothing = digest(Role::Nsc, &Fold::default(), &Memory::default(), at(0), at(86_400));
    assert!(nothing.contains("0 package(s) sent") && nothing.contains("open: nothing"), "{nothing}");
}
