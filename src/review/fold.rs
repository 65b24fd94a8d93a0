//! One pass over what happened: starts and ends, incidents, outages, silences. Pure, and the same for journal and log.
//!
//! What is told twice counts once: behind the damage of a journal the log is read on, and it begins with what the journal said
//! last.
use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::Scope;
use super::answer::{
    Alive, Daemon, Doubt, End, IncidentAt, OpenOrder, Outage, Retried, Silence, Start, Step,
};
use super::flow::{Flow, Move};
use super::happening::{Happening, Text};
use crate::clock;
use crate::journal::{FLAGGED_FOR, Incident, Phase};

/// As many of one sort are kept, the newest; all are counted.
pub(super) const KEPT: usize = 10_000;
/// Behind a damage of the journal its log is read on from its last line; what was told again comes within this many seconds.
const TWICE: i64 = 5;
/// Without a word about the delay an actor's restart is not expected sooner.
const SOON_MS: u64 = 1000;

/// The newest of many.
pub(super) struct Newest<T> {
    kept: VecDeque<T>,
    pub count: u64,
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), count: 0 }
    }
}

impl<T> Newest<T> {
    pub(super) fn push(&mut self, one: T) {
        self.count += 1;
        if self.kept.len() == KEPT {
            drop(self.kept.pop_front());
        }
        self.kept.push_back(one);
    }

    pub fn into_vec(self) -> Vec<T> {
        self.kept.into()
    }
}

/// One daemon.
#[derive(Default)]
pub(super) struct Life {
    role: String,
    host: String,
    pid: u32,
    /// Something was heard of it and it has not said that it ends.
    pub running: bool,
    begun: Option<Timestamp>,
    since: Option<Timestamp>,
    heard: Option<Timestamp>,
    starts: Vec<Start>,
    ends: Vec<End>,
    last_end: Option<End>,
    spans: Vec<(Timestamp, Timestamp)>,
    pub flow: Flow,
    orders: BTreeMap<String, OpenOrder>,
    doubts: BTreeMap<String, Doubt>,
}

type Key = (usize, String);

/// The sum of all happenings.
#[derive(Default)]
pub struct Fold {
    pub(super) scope: Scope,
    pub(super) lives: Vec<Life>,
    pub(super) causes: BTreeMap<String, BTreeMap<String, u64>>,
    incidents: Newest<IncidentAt>,
    open_incidents: BTreeMap<Key, IncidentAt>,
    outages: Newest<Outage>,
    open_outages: BTreeMap<Key, Outage>,
    silences: Newest<Silence>,
    open_silences: BTreeMap<Key, Silence>,
    pub(super) reloads: Newest<(Timestamp, String, String)>,
    pub(super) levers: Newest<Step>,
    pub(super) retried: Newest<Retried>,
    pub(super) steps: Newest<Step>,
    /// The same start was read from two places: somebody gave the same log twice.
    pub(super) twice: bool,
    /// Until then the log may tell again what the journal told.
    again_until: Option<Timestamp>,
    /// Something was read of the time in question.
    pub(super) anything: bool,
}

fn ms(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn secs(from: Timestamp, to: Timestamp) -> f64 {
    clock::age(from, to).as_secs_f64()
}

impl Fold {
    /// Nothing yet.
    pub fn new(scope: Scope) -> Self {
        Self { scope, ..Self::default() }
    }

    pub(super) fn life(&mut self, stream: usize) -> &mut Life {
        while self.lives.len() <= stream {
            self.lives.push(Life::default());
        }
        &mut self.lives[stream] // made above
    }

    /// The journal ended here, before its time; from now on its log is read, which begins with the same.
    pub fn goes_on_with_log(&mut self, last: Timestamp) {
        self.again_until = last.checked_add(SignedDuration::from_secs(TWICE)).ok();
    }

    /// What is told now may have been told before.
    fn again(&self, at: Timestamp) -> bool {
        self.again_until.is_some_and(|until| at <= until)
    }

    /// A line was read that means nothing by itself.
    pub fn heard(&mut self, stream: usize, at: Timestamp) {
        self.anything |= self.scope.covers(at);
        let life = self.life(stream);
        life.heard = life.heard.max(Some(at));
    }

    /// One more happening; those of one stream come in order.
    pub fn take(&mut self, stream: usize, at: Timestamp, what: &Happening<'_>) {
        if self.scope.until.is_some_and(|until| at > until) {
            return;
        }
        if let Happening::Started { role, host, pid, version } = what {
            self.started(stream, at, (role, host), *pid, version);
        }
        let life = self.life(stream);
        if !life.running && life.begun.is_none() {
            (life.running, life.begun) = (true, Some(at)); // what was read begins in the middle of a life
        }
        self.heard(stream, at);
        match what {
            Happening::Started { .. } | Happening::Else => {}
            Happening::Stopped { exit, why } => self.stopped(stream, at, *exit, why),
            Happening::Found { packages, artifacts } => {
                let doubts = &mut self.life(stream).doubts;
                artifacts.iter().for_each(|artifact| drop(doubts.remove(&**artifact)));
                for package in packages {
                    if !self.scope.of_package(package) {
                        continue;
                    }
                    self.life(stream).flow.found(package, at);
                    self.step(at, package, || "found in the LIMS queue".into());
                }
            }
            Happening::Claim { order, phase, step, detail } => {
                let orders = &mut self.life(stream).orders;
                let flagged = *phase == Phase::Flagged;
                if flagged || *phase == Phase::Review {
                    let text = |t: &Option<Text<'_>>| t.as_ref().map(|t| t.to_string());
                    let (order, step, detail) = (order.to_string(), text(step), text(detail));
                    let open = OpenOrder { at, order: order.clone(), step, detail, flagged };
                    drop(orders.insert(order, open));
                } else {
                    drop(orders.remove(&**order));
                }
            }
            Happening::Doubted { artifact, times: 0, .. } => {
                drop(self.life(stream).doubts.remove(&**artifact));
            }
            Happening::Doubted { artifact, who, reason, detail, times } => {
                let doubts = &mut self.life(stream).doubts;
                let before = doubts.get(&**artifact).filter(|d| d.reason == **reason && *times > 1);
                let (since, artifact) = (before.map_or(at, |before| before.since), artifact.to_string());
                let (who, reason, detail) = (who.to_string(), reason.to_string(), detail.to_string());
                let doubt = Doubt { since, artifact, who, reason, detail, times: *times, refused: None };
                drop(doubts.insert(doubt.artifact.clone(), doubt));
            }
            Happening::Refused { artifact, done, detail } => {
                if let Some(doubt) = self.life(stream).doubts.get_mut(&**artifact) {
                    doubt.refused = done.then(|| detail.to_string());
                }
            }
            Happening::Moved { package, known, to, by, bytes, reason, detail } => {
                self.alive(stream, by, at);
                let (reason, detail) = (reason.as_deref(), detail.as_deref());
                let m = Move { at, package, known: *known, to: *to, by, bytes: *bytes, reason, detail };
                self.moved_by_hand(&m);
                self.moved(stream, &m);
            }
            Happening::Failed { package, by, failures, error } => {
                self.alive(stream, by, at);
                self.failed(at, package, by, *failures, error);
            }
            Happening::OrderFailed { order, failures, error } => {
                self.failed(at, &format!("order {}", &**order), "the LIMS step", *failures, error);
            }
            Happening::Cleaned { .. } => self.cleaned(stream, at, what),
            Happening::Incident(incident) => self.incident(stream, at, incident),
            Happening::Restarted { actor, down_ms } => {
                self.close_incident(&(stream, actor.to_string()), at, "restarted", Some(ms(*down_ms)));
            }
            Happening::Degraded { actor, why } => {
                self.alive(stream, actor, at);
                let key = (stream, actor.to_string());
                if self.scope.of_actor(actor) && !self.open_outages.contains_key(&key) {
                    let outage =
                        Outage { actor: actor.to_string(), why: why.to_string(), since: at, secs: None };
                    drop(self.open_outages.insert(key, outage));
                }
            }
            Happening::Recovered { actor, after_ms } => {
                self.alive(stream, actor, at);
                self.recovered(stream, actor, at, *after_ms);
            }
            Happening::Silent { what, why, last } => {
                let (name, why) = (what.to_string(), why.to_string());
                let silence = Silence { what: name.clone(), why, last: *last, noticed: at, secs: None };
                let _the_first_counts = self.open_silences.entry((stream, name)).or_insert(silence);
            }
            Happening::Heard { what, after_ms } => {
                self.close_silence(&(stream, what.to_string()), at, Some(ms(*after_ms)));
            }
            Happening::Reloaded { .. } | Happening::Acted { .. } => self.by_hand(at, what),
        }
        self.clock(stream, at);
    }

    fn clock(&mut self, stream: usize, at: Timestamp) {
        let outages = &self.open_outages;
        let Some(life) = self.lives.get_mut(stream) else { return };
        let waits = |actor: &String| outages.contains_key(&(stream, actor.clone()));
        let can = life.running && (outages.is_empty() || !life.flow.transporter.as_ref().is_some_and(waits));
        life.flow.clock(at, can, &self.scope);
    }

    fn started(&mut self, stream: usize, at: Timestamp, (role, host): (&str, &str), pid: u32, version: &str) {
        let same = |l: &Life| l.pid == pid && l.host == host && l.since == Some(at);
        self.twice |= self.lives.iter().enumerate().any(|(n, l)| n != stream && same(l));
        let (within, again) = (self.scope.covers(at), self.again(at));
        let scope = self.scope.clone();
        let life = self.life(stream);
        if again && life.running && life.pid == pid {
            return;
        }
        let (after_crash, last_heard) = (life.running, life.heard);
        if let (true, Some(from), Some(to)) = (life.running, life.begun, last_heard) {
            life.spans.push((from, to));
            life.flow.clock(to, false, &scope); // nothing moved while nobody was there
        }
        (life.role, life.host, life.pid) = (role.to_owned(), host.to_owned(), pid);
        (life.running, life.begun, life.since) = (true, Some(at), Some(at));
        if within {
            life.starts.push(Start { at, after_crash, last_heard, version: version.to_owned() });
        }
        self.end_all(stream, at, "new-start"); // a new process begins with a fair look
    }

    fn stopped(&mut self, stream: usize, at: Timestamp, exit: i32, why: &str) {
        let within = self.scope.covers(at);
        let life = self.life(stream);
        let end = End { at, exit, why: why.to_owned() };
        if std::mem::take(&mut life.running) {
            life.spans.extend(life.begun.map(|from| (from, at)));
            if within {
                life.ends.push(end.clone());
            }
        }
        life.last_end = Some(end);
        if exit == 0 {
            self.end_all(stream, at, "stopped");
        } else {
            self.end_waiting(stream, at);
        }
    }

    /// Nothing of the daemon's earlier life goes on.
    fn end_all(&mut self, stream: usize, at: Timestamp, how: &'static str) {
        for key in keys(&self.open_incidents, stream) {
            self.close_incident(&key, at, how, None);
        }
        self.end_waiting(stream, at);
    }

    fn end_waiting(&mut self, stream: usize, at: Timestamp) {
        for key in keys(&self.open_outages, stream) {
            self.close_outage(&key, at, None);
        }
        for key in keys(&self.open_silences, stream) {
            self.close_silence(&key, at, None);
        }
    }

    fn moved(&mut self, stream: usize, m: &Move<'_>) {
        if !self.scope.of_package(m.package) {
            return;
        }
        let scope = std::mem::take(&mut self.scope);
        let new = self.life(stream).flow.moved(m, &scope);
        self.scope = scope;
        if new {
            self.step(m.at, m.package, || {
                let why = [m.reason, m.detail].into_iter().flatten().collect::<Vec<_>>().join(": ");
                format!("{} (by {}) {why}", m.to, m.by).trim_end().to_owned()
            });
        }
    }

    fn failed(&mut self, at: Timestamp, package: &str, by: &str, failures: u32, error: &str) {
        if !self.scope.of_package(package) || !self.scope.of_actor(by) {
            return;
        }
        self.step(at, package, || format!("failed, {failures} so far (by {by}): {error}"));
        if self.scope.covers(at) {
            let (package, by, error) = (package.to_owned(), by.to_owned(), error.to_owned());
            self.retried.push(Retried { at, package, by, failures, error });
        }
    }

    /// The way of a package is kept only if packages were asked for.
    pub(super) fn step(&mut self, at: Timestamp, package: &str, what: impl FnOnce() -> String) {
        if self.scope.package.is_some() && self.scope.covers(at) {
            self.steps.push(Step { at, package: package.to_owned(), what: what() });
        }
    }

    fn incident(&mut self, stream: usize, at: Timestamp, incident: &Incident) {
        if !self.scope.of_actor(&incident.actor) {
            return;
        }
        let key = (stream, incident.actor.clone());
        if let Some(open) = self.open_incidents.get(&key) {
            let same = open.incident.incarnation == incident.incarnation;
            if same && self.again(at) {
                return;
            }
            self.close_incident(&key, at, "failed-again", None); // it lived again, or it could not have failed
        }
        if self.scope.covers(at) {
            let causes = self.causes.entry(incident.actor.clone()).or_default();
            *causes.entry(incident.cause.clone()).or_default() += 1;
        }
        let incident = incident.clone();
        let open = IncidentAt { at, incident, over_at: None, over_by: None, down_secs: None, stream };
        drop(self.open_incidents.insert(key, open));
    }

    /// The actor did something, so it is up again: journals of earlier versions do not say so in words.
    fn alive(&mut self, stream: usize, actor: &str, at: Timestamp) {
        if self.open_incidents.is_empty() {
            return;
        }
        let key = (stream, actor.to_owned());
        let Some(open) = self.open_incidents.get(&key) else { return };
        let wait = SignedDuration::from_millis_i128(open.incident.next_delay_ms.unwrap_or(SOON_MS).into());
        if open.incident.action != "given-up" && at.duration_since(open.at) >= wait {
            let down = secs(open.at, at);
            self.close_incident(&key, at, "went-on", Some(down));
        }
    }

    fn close_incident(&mut self, key: &Key, at: Timestamp, by: &'static str, down: Option<f64>) {
        let Some(mut one) = self.open_incidents.remove(key) else { return };
        (one.over_at, one.over_by, one.down_secs) = (Some(at), Some(by), down);
        if self.scope.since.is_none_or(|since| at >= since) {
            self.incidents.push(one);
        }
    }

    fn recovered(&mut self, stream: usize, actor: &str, at: Timestamp, after_ms: u64) {
        let key = (stream, actor.to_owned());
        if !self.scope.of_actor(actor) || self.close_outage(&key, at, Some(ms(after_ms))) {
            return;
        }
        if self.again(at) {
            return;
        }
        let since = at - SignedDuration::from_secs_f64(ms(after_ms));
        let why = "its beginning is not in what was read".to_owned();
        let outage = Outage { actor: actor.to_owned(), why, since, secs: Some(ms(after_ms)) };
        if self.scope.since.is_none_or(|since| at >= since) {
            self.outages.push(outage);
        }
    }

    fn close_outage(&mut self, key: &Key, at: Timestamp, after: Option<f64>) -> bool {
        let Some(mut one) = self.open_outages.remove(key) else { return false };
        one.secs = Some(after.unwrap_or_else(|| secs(one.since, at)));
        if self.scope.since.is_none_or(|since| at >= since) {
            self.outages.push(one);
        }
        true
    }

    fn close_silence(&mut self, key: &Key, at: Timestamp, after: Option<f64>) {
        let Some(mut one) = self.open_silences.remove(key) else { return };
        one.secs = Some(after.unwrap_or_else(|| secs(one.last, at)));
        if self.scope.since.is_none_or(|since| at >= since) {
            self.silences.push(one);
        }
    }

    /// All incidents, outages and silences, oldest first; the open ones are among them.
    pub(super) fn troubles(&mut self) -> (Vec<IncidentAt>, Vec<Outage>, Vec<Silence>) {
        let mut incidents = std::mem::take(&mut self.incidents).into_vec();
        incidents.extend(std::mem::take(&mut self.open_incidents).into_values());
        incidents.sort_by_key(|i| i.at);
        let mut outages = std::mem::take(&mut self.outages).into_vec();
        outages.extend(std::mem::take(&mut self.open_outages).into_values());
        outages.sort_by_key(|o| o.since);
        let mut silences = std::mem::take(&mut self.silences).into_vec();
        silences.extend(std::mem::take(&mut self.open_silences).into_values());
        silences.sort_by_key(|s| s.last);
        (incidents, outages, silences)
    }

    /// Packages that the filter lets through.
    pub fn packages(&self) -> usize {
        self.lives.iter().map(|l| l.flow.known()).sum()
    }

    /// Whether the first daemon said that it ends.
    pub fn ended(&self) -> bool {
        self.lives.first().is_some_and(|l| !l.running)
    }

    /// When the first daemon was started last.
    pub fn last_start(&self) -> Option<Timestamp> {
        self.lives.first()?.since
    }
}

fn keys<T>(open: &BTreeMap<Key, T>, stream: usize) -> Vec<Key> {
    open.keys().filter(|(s, _)| *s == stream).cloned().collect()
}

impl Life {
    /// The daemon over the time; its packages have been taken out.
    pub(super) fn finish(
        self,
        since: Timestamp,
        until: Timestamp,
        alive: Alive,
    ) -> (Daemon, Vec<OpenOrder>, Vec<Doubt>) {
        let mut spans = self.spans;
        if self.running {
            let there = matches!(alive, Alive::Runs | Alive::Hangs(_));
            let to = if there { Some(until) } else { self.heard };
            spans.extend(self.begun.zip(to));
        }
        let cut = |(from, to): (Timestamp, Timestamp)| (from.max(since), to.min(until));
        let spans: Vec<_> = spans.into_iter().map(cut).filter(|(from, to)| from < to).collect();
        let daemon = Daemon {
            role: self.role,
            host: self.host,
            starts: self.starts,
            ends: self.ends,
            up_secs: spans.iter().map(|(from, to)| secs(*from, *to)).sum(),
            running: self.running,
            since: self.since,
            last_end: self.last_end.filter(|_| !self.running),
            last_heard: self.heard,
            alive,
            spans,
        };
        let said = |o: &OpenOrder| !o.flagged || until.duration_since(o.at) < FLAGGED_FOR;
        let orders = self.orders.into_values().filter(said).collect();
        (daemon, orders, self.doubts.into_values().collect())
    }
}
