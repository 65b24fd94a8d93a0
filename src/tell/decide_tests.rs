use std::collections::BTreeMap;

use super::*;
use crate::conf::{Names, Via};
use crate::tell::memory::Kind::{Cleared, Escalated, Happened as Once, Opened};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

pub(in crate::tell) fn channel(name: &str, from_level: From, escalate: bool) -> ChannelConf {
    ChannelConf {
        name: name.into(),
        via: Via::Command { program: "/bin/true".into(), args: vec![] },
        from_level,
        escalate,
        digest: None,
        quiet: None,
        per_hour: 20,
        deadline: Duration::from_secs(5),
    }
}

pub(in crate::tell) fn rules(channels: Vec<ChannelConf>) -> TellConf {
    TellConf {
        names: Names::Pseudonym,
        degraded: Duration::from_secs(600),
        escalate: vec![Duration::from_secs(1800), Duration::from_secs(4 * 3600)],
        gather: Duration::from_secs(60),
        calm: Duration::from_secs(120),
        give_up: Duration::from_secs(86_400),
        channels,
    }
}

/// Three channels: everything, alarms, nothing but escalations.
fn usual() -> TellConf {
    rules(vec![
        channel("all", From::Notice, false),
        channel("duty", From::Alarm, false),
        channel("boss", From::None, true),
    ])
}

fn trouble(level: Level, since: i64, ripe: bool) -> Trouble {
    Trouble { level, what: "it is broken".into(), about: None, since: at(since), ripe }
}

fn with(troubles: &[(&str, Trouble)]) -> Present {
    let troubles = troubles.iter().map(|(key, trouble)| ((*key).to_owned(), trouble.clone())).collect();
    Present { started: Some(at(0)), troubles, crashed: None, restarts: BTreeMap::new() }
}

/// Plays presents one after the other; what was told when, and to whom.
struct Play {
    memory: Memory,
    rules: TellConf,
    told: Vec<(i64, Kind, String)>,
}

impl Play {
    fn new(rules: TellConf) -> Self {
        Self { memory: Memory::default(), rules, told: Vec::new() }
    }

    fn look(&mut self, secs: i64, present: &Present) {
        let (messages, after) = decide(&self.memory, present, &self.rules, at(secs));
        self.told.extend(messages.into_iter().map(|m| (secs, m.news.kind, m.to.join(","))));
        self.memory = after;
    }

    /// A restart: all that is left is what stands in the file.
    fn restart(&mut self) {
        let text = serde_json::to_vec(&self.memory).unwrap();
        self.memory = serde_json::from_slice(&text).unwrap();
    }

    fn told(&mut self) -> Vec<(i64, Kind, String)> {
        std::mem::take(&mut self.told)
    }
}

fn said(secs: i64, kind: Kind, to: &str) -> (i64, Kind, String) {
    (secs, kind, to.to_owned())
}

#[test]
fn a_trouble_is_told_once_when_it_begins_and_once_when_it_is_over() {
    let mut play = Play::new(usual());
    let broken = with(&[("x", trouble(Level::Alarm, 5, true))]);
    for secs in 10..20 {
        play.look(secs, &broken);
    }
    assert_eq!(play.told(), [said(10, Opened, "all,duty")]);
    for secs in [20, 21, 100, 139] {
        play.look(secs, &with(&[]));
    }
    assert_eq!(play.told(), [], "not before it was calm");
    play.look(140, &with(&[]));
    assert_eq!(play.told(), [said(140, Cleared, "all,duty")]);
    play.look(141, &with(&[]));
    assert_eq!(play.told(), []);
    let waiting: Vec<usize> = play.memory.channels.values().map(|outbox| outbox.waiting.len()).collect();
    assert_eq!(waiting, [2, 0, 2], "all, boss, duty");
}

#[test]
fn what_is_not_ripe_is_not_told_but_what_was_told_goes_on() {
    let mut play = Play::new(usual());
    play.look(1, &with(&[("x", trouble(Level::Alarm, 0, false))]));
    assert_eq!(play.told(), []);
    play.look(2, &with(&[("x", trouble(Level::Alarm, 0, true))]));
    assert_eq!(play.told().len(), 1);
    play.restart();
    for secs in [3, 500, 1000] {
        play.look(secs, &with(&[("x", trouble(Level::Alarm, 400, false))]));
    }
    assert_eq!(play.told(), [], "an outage that begins anew after a restart is no news, and not over");
}

#[test]
fn a_notice_goes_to_those_who_want_notices_and_never_escalates() {
    let mut play = Play::new(usual());
    let odd = with(&[("x", trouble(Level::Notice, 0, true))]);
    play.look(0, &odd);
    play.look(20_000, &odd);
    assert_eq!(play.told(), [said(0, Opened, "all")]);
}

#[test]
fn what_lasts_is_told_to_those_above_and_what_is_over_to_all_who_were_told() {
    let mut play = Play::new(usual());
    let broken = with(&[("x", trouble(Level::Alarm, 0, true))]);
    for secs in [0, 1799, 1800, 1801, 4 * 3600 - 1, 4 * 3600, 30_000] {
        play.look(secs, &broken);
    }
    let wanted =
        [said(0, Opened, "all,duty"), said(1800, Escalated, "boss"), said(4 * 3600, Escalated, "boss")];
    assert_eq!(play.told(), wanted);
    play.look(30_001, &with(&[]));
    play.look(30_121, &with(&[]));
    assert_eq!(play.told(), [said(30_121, Cleared, "all,boss,duty")]);
}

#[test]
fn after_a_night_without_a_process_one_escalation_is_enough() {
    let mut play = Play::new(usual());
    let broken = with(&[("x", trouble(Level::Alarm, 0, true))]);
    play.look(0, &broken);
    play.restart();
    play.look(50_000, &broken);
    assert_eq!(play.told(), [said(0, Opened, "all,duty"), said(50_000, Escalated, "boss")]);
}

#[test]
fn a_restart_tells_nothing_twice() {
    let mut play = Play::new(usual());
    let broken = with(&[("x", trouble(Level::Alarm, 0, true)), ("y", trouble(Level::Notice, 0, true))]);
    play.look(0, &broken);
    assert_eq!(play.told().len(), 2);
    for secs in 1..10 {
        play.restart();
        play.look(secs, &broken);
    }
    assert_eq!(play.told(), []);
}

#[test]
fn what_comes_and_goes_is_few_messages() {
    let mut play = Play::new(usual());
    let (broken, fine) = (with(&[("x", trouble(Level::Alarm, 0, true))]), with(&[]));
    // Every five minutes for six hours, one minute broken.
    for minute in 0..360 {
        play.look(minute * 60, if minute % 5 == 0 { &broken } else { &fine });
    }
    let told = play.told();
    let opened = told.iter().filter(|(_, kind, _)| *kind == Opened).count();
    assert!((1..=3).contains(&opened), "{told:?}");
    let again: Vec<u32> = play.memory.channels["duty"].waiting.iter().map(|news| news.times).collect();
    assert!(again.contains(&2), "it is said that it came back: {again:?}");
    for minute in 360..440 {
        play.look(minute * 60, &fine);
    }
    assert_eq!(play.told().last().map(|(_, kind, _)| *kind), Some(Cleared));
}

#[test]
fn a_crash_and_restarts_of_actors_are_told_once() {
    let mut play = Play::new(usual());
    let crashed = Present { crashed: Some(None), started: Some(at(1)), ..Present::default() };
    play.look(2, &crashed);
    play.look(3, &crashed);
    play.restart();
    play.look(4, &crashed);
    assert_eq!(play.told(), [said(2, Once, "all,duty")]);
    let mut next = Present { started: Some(at(9)), ..Present::default() };
    play.look(10, &next);
    assert_eq!(play.told(), [], "in order");
    next.restarts = [("copier".to_owned(), 2)].into();
    play.look(11, &next);
    play.look(12, &next);
    assert_eq!(play.told(), [said(11, Once, "all")]);
    assert_eq!(play.memory.channels["all"].waiting.back().map(|news| news.times), Some(2));
    let after =
        Present { started: Some(at(20)), restarts: [("copier".to_owned(), 1)].into(), ..Present::default() };
    play.look(21, &after);
    assert_eq!(play.told().len(), 1, "the count begins anew with the process");
}

#[test]
fn a_channel_that_is_gone_is_forgotten_and_a_new_one_is_not_told_the_past() {
    let mut play = Play::new(usual());
    let broken = with(&[("x", trouble(Level::Alarm, 0, true))]);
    play.look(0, &broken);
    play.rules = rules(vec![channel("new", From::Alarm, false)]);
    play.look(1, &broken);
    assert_eq!(play.memory.channels.keys().collect::<Vec<_>>(), ["new"]);
    play.look(2, &with(&[]));
    play.look(200, &with(&[]));
    assert_eq!(play.told().last(), Some(&said(200, Cleared, "")), "who was not told is told no end");
}
