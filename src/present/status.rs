//! `status`: what is going on, on one screen.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Health, Present};
use crate::acts::levers;
use crate::clock;
use crate::journal::{Doubt, Holder, OrderRow, Phase, Row, Silence};
use crate::nsc::cleaning::list;
use crate::package::{OrderId, PackageId, Priority, Reason, State};
use crate::snapshot::Snapshot;
use crate::supervisor::meter::Motion;

/// The first ones of a list, and how many more there are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Few<T> {
    /// The first ones.
    pub shown: Vec<T>,
    /// So many more.
    pub more: usize,
}

impl<T> Few<T> {
    pub(super) fn of<S>(all: impl Iterator<Item = S>, most: usize, make: impl Fn(S) -> T) -> Self {
        let (mut shown, mut more) = (Vec::new(), 0);
        for one in all {
            if shown.len() < most {
                shown.push(make(one));
            } else {
                more += 1;
            }
        }
        Self { shown, more }
    }
}

/// What is going on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// When it was asked.
    pub at: Timestamp,
    /// `nsc` or `tsd`.
    pub role: String,
    /// Where.
    pub host: String,
    /// Whether the daemon lives.
    pub health: Health,
    /// Who holds the state directory.
    pub running: Option<Holder>,
    /// What the daemon said last, if it lives.
    pub daemon: Option<Snapshot>,
    /// Seconds since it last said anything, if it hangs.
    pub silent_secs: Option<u64>,
    /// A stop file that lies there.
    pub stop_file: Option<StopFile>,
    /// What people have paused, limited or asked for, and how that is undone.
    #[serde(default)]
    pub levers: Vec<String>,
    /// How many packages are in each state.
    pub states: BTreeMap<State, usize>,
    /// Those under way, by state and priority.
    pub under_way: Vec<Tally>,
    /// What moves.
    pub moving: Vec<Moving>,
    /// Packages whose last attempt failed.
    pub failing: Few<Failing>,
    /// Packages that wait for a person.
    pub stopped: Few<Stopped>,
    /// Orders that wait for a person.
    pub orders: Few<OrderTrouble>,
    /// Queued samples that cannot be exported as they are.
    pub doubts: Few<Doubted>,
    /// Open alarms about something that does not happen.
    pub silences: Vec<Silence>,
    /// What rests below `transferred/` (nsc).
    pub resting: Option<Rests>,
    /// Packages whose removal was begun and not ended.
    pub cleaning: Few<(PackageId, Timestamp)>,
}

/// A stop file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StopFile {
    /// Where it lies.
    pub file: String,
    /// Who wants it, in words.
    pub by: String,
}

/// Packages in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Which.
    pub state: State,
    /// How many of each priority.
    pub count: BTreeMap<Priority, usize>,
}

/// A unit of work in motion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moving {
    /// Who works on it.
    pub actor: String,
    /// On what.
    pub unit: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes a second over the last minute.
    pub per_second: u64,
    /// Seconds left at that rate; none: it stands still.
    pub left_secs: Option<u64>,
}

/// A package whose last attempt failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failing {
    /// Which.
    pub package: PackageId,
    /// Where it is.
    pub state: State,
    /// How often in a row.
    pub failures: u32,
    /// The last time.
    pub error: String,
    /// The next attempt is not before.
    pub retry_at: Option<Timestamp>,
}

/// A package that waits for a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stopped {
    /// Which.
    pub package: PackageId,
    /// Held or quarantined.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Why, as a code; none: a person holds it.
    pub reason: Option<Reason>,
    /// In words.
    pub detail: Option<String>,
}

/// An order that waits for a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OrderTrouble {
    /// Which.
    pub order: OrderId,
    /// Where it is.
    pub phase: Phase,
    /// Its LIMS step.
    pub step: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// In words.
    pub detail: Option<String>,
}

/// A queued sample that cannot be exported as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Doubted {
    /// What is queued.
    pub artifact: String,
    /// What is known of it.
    #[serde(flatten)]
    pub doubt: Doubt,
}

/// What rests at a sender.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rests {
    /// How many packages.
    pub packages: u64,
    /// Their payload.
    pub bytes: u64,
    /// For how many of them a receipt came, if there are receipts.
    pub receipts: Option<u64>,
}

impl Moving {
    pub(super) fn of(motion: &Motion) -> Self {
        let since_it_began = || (motion.done as f64 / motion.secs.max(0.1)) as u64;
        let per_second = motion.last_minute.unwrap_or_else(since_it_began);
        let left = motion.total.saturating_sub(motion.done);
        let left_secs = left.div_ceil(per_second.max(1));
        Self {
            actor: motion.actor.clone(),
            unit: motion.unit.clone(),
            done: motion.done,
            total: motion.total,
            per_second,
            left_secs: (per_second > 0 || left == 0).then_some(left_secs),
        }
    }

    pub(crate) fn per_cent(&self) -> u64 {
        u64::try_from(100 * u128::from(self.done.min(self.total)) / u128::from(self.total.max(1)))
            .unwrap_or(100)
    }
}

pub(super) fn is_stopped(state: State) -> bool {
    matches!(state, State::Quarantined | State::Held)
}

fn stopped(row: &Row) -> Stopped {
    let (reason, detail) = (row.facts.reason, row.facts.detail.clone());
    Stopped { package: row.id.clone(), state: row.state, since: row.since, reason, detail }
}

fn failing(row: &Row) -> Failing {
    Failing {
        package: row.id.clone(),
        state: row.state,
        failures: row.failures,
        error: row.last_error.clone().unwrap_or_default(),
        retry_at: row.retry_at,
    }
}

fn trouble(row: &OrderRow) -> OrderTrouble {
    let OrderRow { order, phase, since, step, detail, .. } = row;
    let (step, detail) = (step.clone(), detail.clone());
    OrderTrouble { order: order.id.clone(), phase: *phase, step, since: *since, detail }
}

impl Present<'_> {
    /// What is going on; of long lists the first `most`.
    pub fn status(&self, most: usize) -> StatusAnswer {
        let (fold, seen, health) = (self.fold, self.snapshot(), self.health());
        let unsettled = || State::ALL.into_iter().filter(|state| !state.is_settled());
        let fails = unsettled().flat_map(|s| fold.in_state(s)).filter(|row| row.failures > 0);
        // The newest stand first: they are the news.
        let mut waiting: Vec<&Row> =
            [State::Held, State::Quarantined].into_iter().flat_map(|s| fold.in_state(s)).collect();
        waiting.sort_by(|a, b| (b.since, &a.id).cmp(&(a.since, &b.id)));
        let motions = seen.iter().flat_map(|seen| &seen.moving).filter(|m| m.total > 0);
        let silent = || self.seen.map_or(0, |seen| clock::age(seen.at, self.now).as_secs());
        StatusAnswer {
            at: self.now,
            role: self.role.to_owned(),
            host: self.host.to_owned(),
            health,
            running: self.holder.cloned(),
            daemon: seen.cloned(),
            silent_secs: (health == Health::Hangs).then(silent),
            stop_file: self.stop.map(|(stop, file)| StopFile { file: file.to_owned(), by: stop.to_string() }),
            states: fold.tally(),
            under_way: unsettled().filter_map(|state| self.tally(state)).collect(),
            moving: motions.map(Moving::of).collect(),
            failing: Few::of(fails, most, failing),
            stopped: Few::of(waiting.into_iter(), most, stopped),
            orders: Few::of(fold.orders().filter(|o| o.wants_a_person(self.now)), most, trouble),
            doubts: Few::of(fold.doubts().iter(), most, |(artifact, doubt)| Doubted {
                artifact: artifact.clone(),
                doubt: doubt.clone(),
            }),
            silences: fold.silences().cloned().collect(),
            levers: levers::lines(fold, self.now),
            resting: self.resting(),
            cleaning: Few::of(fold.cleaning(), most, |(id, cleaned)| (id.clone(), cleaned.at)),
        }
    }

    fn tally(&self, state: State) -> Option<Tally> {
        let mut count: BTreeMap<Priority, usize> = BTreeMap::new();
        self.fold.in_state(state).for_each(|row| *count.entry(row.priority).or_default() += 1);
        (!count.is_empty()).then_some(Tally { state, count })
    }

    fn resting(&self) -> Option<Rests> {
        if self.role != "nsc" {
            return None;
        }
        let mut rests = Rests { packages: 0, bytes: 0, receipts: None };
        for row in list::resting(self.fold) {
            rests.packages += 1;
            rests.bytes = rests.bytes.saturating_add(row.facts.bytes.unwrap_or(0));
        }
        rests.receipts = self.snapshot().and_then(|seen| seen.resting).and_then(|resting| resting.receipts);
        (rests.packages > 0).then_some(rests)
    }
}
