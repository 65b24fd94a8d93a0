use super::super::decide::tests::{channel, rules};
use super::super::trouble::Level;
use super::*;
use crate::conf::{From, Span};

fn at(text: &str) -> Timestamp {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

fn news(kind: Kind, at: Timestamp) -> News {
    News { at, kind, level: Level::Alarm, what: "x".into(), about: None, since: at, times: 1 }
}

fn after(at: Timestamp, secs: u64) -> Timestamp {
    at.checked_add(Duration::from_secs(secs)).unwrap()
}

#[test]
fn news_of_a_minute_leave_together_and_escalations_at_once() {
    let (rules, duty, t) = (rules(vec![]), channel("duty", From::Alarm, true), at("12:00:00"));
    let mut outbox = Outbox::new(t);
    assert_eq!(outbox.due(&duty, &rules, t), None);
    for n in 0..50 {
        outbox.put(news(Kind::Opened, after(t, n)));
    }
    assert_eq!(outbox.due(&duty, &rules, after(t, 59)), None);
    assert_eq!(outbox.due(&duty, &rules, after(t, 60)), Some(50));
    outbox.put(news(Kind::Escalated, after(t, 50)));
    assert_eq!(outbox.due(&duty, &rules, after(t, 50)), Some(51));
    outbox.put(news(Kind::Opened, after(t, 60)));
    assert!(!outbox.left(51, 0, after(t, 61)));
    assert_eq!(outbox.waiting.len(), 1, "what came meanwhile stays");
}

#[test]
fn no_more_than_its_share_of_an_hour_leaves_and_the_rest_goes_in_one() {
    let (rules, mut duty, t) = (rules(vec![]), channel("duty", From::Alarm, false), at("12:00:00"));
    duty.per_hour = 3;
    let mut outbox = Outbox::new(t);
    let mut sent = Vec::new();
    for minute in 0..120 {
        let now = after(t, minute * 60);
        outbox.put(news(Kind::Opened, now));
        outbox.expire(rules.give_up, now);
        if let Some(count) = outbox.due(&duty, &rules, now) {
            let _was = outbox.left(count, 0, now);
            sent.push((minute, count));
        }
    }
    assert_eq!(sent, [(1, 2), (3, 2), (5, 2), (61, 56), (63, 2), (65, 2)]);
}

#[test]
fn a_channel_that_fails_is_tried_ever_more_rarely_and_what_is_lost_is_counted() {
    let (rules, duty, t) = (rules(vec![]), channel("duty", From::Alarm, false), at("00:00:00"));
    let (mut outbox, mut tries) = (Outbox::new(t), Vec::new());
    outbox.put(news(Kind::Opened, t));
    for secs in 0..100_000 {
        let now = after(t, secs);
        outbox.expire(rules.give_up, now);
        if outbox.due(&duty, &rules, now).is_some() {
            assert_eq!(outbox.failed("500".into(), 1.0, now), tries.is_empty(), "said once");
            tries.push(secs);
        }
    }
    assert_eq!(tries.get(..4), Some(&[60, 65, 75, 95][..]));
    assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= 900) && tries.len() < 120, "{}", tries.len());
    assert_eq!((outbox.waiting.len(), outbox.lost), (0, 1));
    let now = after(t, 200_000);
    outbox.put(news(Kind::Opened, now));
    let due = after(now, 60);
    assert_eq!(outbox.due(&duty, &rules, due), Some(1));
    assert!(outbox.left(1, 1, due), "it was out of order");
    assert_eq!((outbox.lost, outbox.failing), (0, None));
}

#[test]
fn an_outbox_is_bounded() {
    let mut outbox = Outbox::new(at("00:00:00"));
    for _ in 0..1500 {
        outbox.put(news(Kind::Opened, at("00:00:00")));
    }
    assert_eq!((outbox.waiting.len(), outbox.lost), (1000, 500));
}

#[test]
fn in_quiet_hours_only_escalations_leave() {
    let (rules, mut duty) = (rules(vec![]), channel("duty", From::Alarm, true));
    duty.quiet = Some("22:00-06:00".parse::<Span>().unwrap());
    let mut outbox = Outbox::new(at("21:00:00"));
    outbox.put(news(Kind::Opened, at("21:30:00")));
    for (time, due) in [
        ("21:59:59", true),
        ("22:00:00", false),
        ("03:00:00", false),
        ("05:59:00", false),
        ("06:00:00", true),
    ] {
        let late = if time < "12" { after(at(time), 86_400) } else { at(time) };
        assert_eq!(outbox.due(&duty, &rules, late).is_some(), due, "{time}");
    }
    outbox.put(news(Kind::Escalated, at("23:00:00")));
    assert_eq!(outbox.due(&duty, &rules, at("23:00:00")), Some(2));
}

#[test]
fn a_digest_is_due_once_a_day_and_not_half_a_day_late() {
    let seven = OfDay(420);
    let yesterday = at("07:00:10").checked_sub(SignedDuration::from_hours(24)).unwrap();
    for (last, now, due) in [
        (yesterday, "06:59:59", None),
        (yesterday, "07:00:00", Some("07:00:00")),
        (yesterday, "12:00:00", Some("07:00:00")),
        (yesterday, "19:00:00", None),
        (at("07:00:01"), "08:00:00", None),
        (at("08:00:00"), "09:00:00", None),
    ] {
        assert_eq!(digest_due(seven, last, at(now)), due.map(at), "{now}");
    }
    let long_ago = at("00:00:00").checked_sub(SignedDuration::from_hours(200)).unwrap();
    assert!(digest_due(OfDay(23 * 60), long_ago, at("02:00:00")).is_some(), "yesterday's, three hours late");
}
