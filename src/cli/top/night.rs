//! A night at a sequencing centre that is the same whenever it is looked at, for tests and for the picture in the README.
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::Timestamp;

use super::model::{Beat, Input, Model, Wish};
use crate::journal::{Event, Facts, Fold, Holder, Line};
use crate::package::{PackageId, Priority, Reason, Sha256Hex, State};
use crate::present::{Filter, Health, Present};
use crate::snapshot::Snapshot;
use crate::store::Wire;
use crate::supervisor::meter::Motion;
use crate::supervisor::{ChildStatus, Report};

pub(super) fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_796_254_200 + secs).unwrap()
}

pub(super) fn id(n: u32) -> PackageId {
    format!("samples/Diag-wgs{}-HG{:08}/r1", 200 + n % 3, 20_000_001 + n * 7919).parse().unwrap()
}

fn moved(secs: i64, n: u32, from: Option<State>, to: State, facts: Facts) -> (i64, Event) {
    let by = match to {
        State::Claimed | State::Packed => "packager",
        _ => "uploader",
    };
    (secs, Event::Moved { package: id(n), from, to, by: by.into(), facts: facts.into() })
}

fn events(packages: u32) -> Vec<Line> {
    let way = [State::Packed, State::Uploading, State::Committed, State::Transferred];
    let mut events = vec![(
        -12_000,
        Event::Started { role: "nsc".into(), host: "gdx-login".into(), pid: 4242, version: "0.1.0".into() },
    )];
    for n in 0..packages {
        let begun = -11_900 + i64::from(n) * 600;
        let (mut from, steps) = (None, if n + 5 < packages { 4 } else { 1 + (packages - n) as usize % 2 });
        for (step, to) in way.into_iter().take(steps).enumerate() {
            let priority = Some(match n {
                n if n + 1 == packages => Priority::Urgent,
                n if n % 7 == 1 => Priority::High,
                _ => Priority::Normal,
            });
            let facts = Facts { priority, bytes: Some((40 + u64::from(n)) << 30), ..Facts::default() };
            let (to, facts) = match (n, step) {
                (3, 1) => (
                    State::Quarantined,
                    Facts {
                        reason: Some(Reason::BadReads),
                        detail: Some("R1.fastq.gz is cut off".into()),
                        ..facts
                    },
                ),
                _ => (to, facts),
            };
            events.push(moved((begun + step as i64 * 290).min(-20 + i64::from(n)), n, from, to, facts));
            from = Some(to);
            if to == State::Quarantined {
                break;
            }
        }
    }
    let error = "the store said 503 Slow Down".to_owned();
    let failed = Event::Failed {
        package: id(packages - 2),
        by: "uploader".into(),
        failures: 2,
        error,
        retry_at: at(45),
    };
    events.push((-15, failed));
    events
        .push((-9, Event::Degraded { actor: "poller".into(), why: "the LIMS said 502 Bad Gateway".into() }));
    events.push((-2, Event::Recovered { actor: "poller".into(), after_ms: 7000 }));
    events.sort_by_key(|(secs, _)| *secs);
    let line = |(seq, (secs, event))| Line { v: 1, seq, at: at(secs), prev: Sha256Hex::zero(), event };
    (1..).zip(events).map(line).collect()
}

fn actor(name: &str, hand: u32, queue: usize) -> ChildStatus {
    let in_hand = (0..hand).map(|n| id(18 + n).to_string()).collect();
    let report = Report { in_hand, queue, errors: u64::from(hand), ..Report::default() };
    ChildStatus {
        actor: name.into(),
        up: true,
        state: "up".into(),
        since_secs: 12_000,
        report,
        ..ChildStatus::default()
    }
}

/// What a daemon would say at this second.
pub(super) fn snapshot(secs: i64, packages: u32) -> Snapshot {
    let unit = |n: u32, per_cent: u64| Motion {
        actor: "uploader".into(),
        unit: id(n).to_string(),
        done: per_cent << 29,
        total: 100 << 29,
        secs: 200.0,
        last_minute: Some((90 + per_cent) << 20),
    };
    // Up and down, with an outage in between.
    let wave = 300.0 + 120.0 * (secs as f64 / 37.0).sin() + 40.0 * (secs as f64 / 5.0).cos();
    let bytes = if (-130..-100).contains(&secs) { 0 } else { (wave * 1_048_576.0) as u64 };
    Snapshot {
        started: at(-12_000),
        actors: vec![actor("poller", 0, 0), actor("packager", 1, 2), actor("uploader", 2, 1)],
        moving: vec![unit(packages - 1, 63), unit(packages - 3, 7)],
        wire: Some(Wire { in_flight: 8, limit: 9, bytes_per_second: bytes, ..Wire::default() }),
        ..Snapshot::empty(at(secs))
    }
}

/// The answer at this second; `up`: the daemon's own.
pub(super) fn beat(secs: i64, packages: u32, up: bool, filter: Filter) -> Beat {
    let (mut fold, lines) = (Fold::default(), events(packages));
    lines.iter().for_each(|line| fold.apply(line));
    let holder = Holder {
        host: "gdx-login".into(),
        pid: 4242,
        boot: String::new(),
        role: "nsc".into(),
        since: at(-12_000),
    };
    let seen = snapshot(secs, packages);
    let present = Present {
        role: "nsc",
        host: "gdx-login",
        fold: &fold,
        seen: Some(&seen),
        holder: up.then_some(&holder),
        stop: None,
        now: at(secs),
    };
    let answer = (present.status(50), present.list(&filter));
    assert_eq!(answer.0.health == Health::Runs, up);
    Beat {
        asked: at(secs),
        filter,
        answer: Ok(answer),
        instead: (!up).then_some(None),
        lines: if secs == 0 { lines } else { Vec::new() },
    }
}

/// The screen of this size, five minutes after somebody began to look at it.
pub(super) fn night(size: (u16, u16), packages: u32) -> Model {
    let mut model = Model::new(size, at(-300));
    for secs in -299..=0 {
        assert_eq!(model.update(Input::Tick(at(secs))), []);
        let filter = model.filter();
        assert_eq!(model.update(Input::Beat(Box::new(beat(secs, packages, true, filter)))), []);
    }
    model
}

pub(super) fn press(model: &mut Model, code: KeyCode) -> Vec<Wish> {
    model.update(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

/// What the daemon would answer to `why`.
pub(super) fn why(model: &mut Model, packages: u32, package: PackageId) {
    let (mut fold, lines) = (Fold::default(), events(packages));
    lines.iter().for_each(|line| fold.apply(line));
    let present = Present {
        role: "nsc",
        host: "gdx-login",
        fold: &fold,
        seen: None,
        holder: None,
        stop: None,
        now: at(0),
    };
    let answer = present.why(&package.to_string());
    assert_eq!(model.update(Input::Why(package, Ok(Box::new(answer)))), []);
}
