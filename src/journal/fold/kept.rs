//! The fold as it is kept in a checkpoint: what answers to people's questions need, and nothing that decides work.
//!
//! Both directions name every field of [`Fold`], so a new one is a compile error until somebody has said whether it is kept. The
//! shape of what is written has a number, [`FORM`]; a test holds a digest of the shape and fails when it changed and the number did not.
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Fold;
use crate::journal::event::{Cleaned, Facts, Phase};
use crate::journal::levers::Levers;
use crate::journal::lives::Lives;
use crate::journal::rows::{Doubt, OrderRow, Row, SentChain, Silence};
use crate::package::{Chains, Name, Order, OrderId, PackageId, Priority, Sender, State};

/// The number of the shape. To be raised with every change of it; what has another number is not read.
pub(in crate::journal) const FORM: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    packages: Vec<KeptRow<'a>>,
    orders: Vec<KeptOrder<'a>>,
    committing: Cow<'a, BTreeMap<PackageId, String>>,
    cleaning: Cow<'a, BTreeMap<PackageId, Cleaned>>,
    sent: Cow<'a, BTreeMap<Sender, SentChain>>,
    epochs: Cow<'a, BTreeMap<Name, u32>>,
    born: Option<Timestamp>,
    seat: Cow<'a, Option<String>>,
    silences: Cow<'a, BTreeMap<String, Silence>>,
    doubts: Cow<'a, BTreeMap<String, Doubt>>,
    entered: Cow<'a, BTreeMap<State, Timestamp>>,
    levers: Cow<'a, Levers>,
    lives: Cow<'a, Lives>,
    newest: Option<Timestamp>,
    technician: Cow<'a, Option<String>>,
    lines: u64,
    started: Option<Timestamp>,
}

/// There are many of these, so their names are short.
#[derive(Serialize, Deserialize)]
struct KeptRow<'a> {
    i: Cow<'a, PackageId>,
    s: State,
    at: Timestamp,
    first: Timestamp,
    p: Priority,
    #[serde(default, skip_serializing_if = "is_none")]
    n: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    error: Cow<'a, Option<String>>,
    #[serde(default, skip_serializing_if = "is_nothing")]
    order: Cow<'a, Option<OrderId>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    placed: bool,
    #[serde(default, skip_serializing_if = "is_nothing")]
    cleaned: Cow<'a, Option<Cleaned>>,
    f: Cow<'a, Facts>,
    w: Cow<'a, [(State, Timestamp)]>,
}

#[derive(Serialize, Deserialize)]
struct KeptOrder<'a> {
    order: Cow<'a, Order>,
    phase: Phase,
    since: Timestamp,
    step: Cow<'a, Option<String>>,
    detail: Cow<'a, Option<String>>,
    failures: u32,
    retry_at: Option<Timestamp>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so
fn is_none(n: &u32) -> bool {
    *n == 0
}

#[allow(clippy::ptr_arg)] // serde wants it so
fn is_nothing<T: Clone>(value: &Cow<'_, Option<T>>) -> bool {
    value.is_none()
}

impl<'a> KeptRow<'a> {
    fn of(row: &'a Row) -> Self {
        let Row {
            id,
            state,
            since,
            first_seen,
            priority,
            failures,
            retry_at,
            last_error,
            order,
            placed,
            cleaned,
            facts,
            way,
        } = row;
        Self {
            i: Cow::Borrowed(id),
            s: *state,
            at: *since,
            first: *first_seen,
            p: *priority,
            n: *failures,
            retry: *retry_at,
            error: Cow::Borrowed(last_error),
            order: Cow::Borrowed(order),
            placed: *placed,
            cleaned: Cow::Borrowed(cleaned),
            f: Cow::Borrowed(facts),
            w: Cow::Borrowed(way),
        }
    }

    fn row(self) -> Row {
        Row {
            id: self.i.into_owned(),
            state: self.s,
            since: self.at,
            first_seen: self.first,
            priority: self.p,
            failures: self.n,
            retry_at: self.retry,
            last_error: self.error.into_owned(),
            order: self.order.into_owned(),
            placed: self.placed,
            cleaned: self.cleaned.into_owned(),
            facts: self.f.into_owned(),
            way: self.w.into_owned(),
        }
    }
}

impl<'a> KeptOrder<'a> {
    fn of(row: &'a OrderRow) -> Self {
        let OrderRow { order, phase, since, step, detail, failures, retry_at } = row;
        let (order, step, detail) = (Cow::Borrowed(order), Cow::Borrowed(step), Cow::Borrowed(detail));
        Self { order, phase: *phase, since: *since, step, detail, failures: *failures, retry_at: *retry_at }
    }

    fn row(self) -> OrderRow {
        let Self { order, phase, since, step, detail, failures, retry_at } = self;
        let (order, step, detail) = (order.into_owned(), step.into_owned(), detail.into_owned());
        OrderRow { order, phase, since, step, detail, failures, retry_at }
    }
}

/// An order at its end holds all documents of its packages and is asked for by nobody. One that a person has to see to is.
fn is_kept(row: &OrderRow) -> bool {
    !row.phase.is_end() || row.phase == Phase::Flagged
}

impl Fold {
    /// What a checkpoint keeps of it, as JSON.
    pub(in crate::journal) fn bytes(&self) -> Vec<u8> {
        let Self {
            packages,
            by_state: _,    // follows from the packages
            open_orders: _, // follows from the orders
            orders,
            committing,
            cleaning,
            sent,
            epochs,
            chains: _, // only what decides work asks for them
            born,
            seat,
            silences,
            doubts,
            entered,
            levers,
            lives,
            newest,
            technician,
            lines,
            started,
        } = self;
        let kept = Kept {
            packages: packages.values().map(KeptRow::of).collect(),
            orders: orders.values().filter(|row| is_kept(row)).map(KeptOrder::of).collect(),
            committing: Cow::Borrowed(committing),
            cleaning: Cow::Borrowed(cleaning),
            sent: Cow::Borrowed(sent),
            epochs: Cow::Borrowed(epochs),
            born: *born,
            seat: Cow::Borrowed(seat),
            silences: Cow::Borrowed(silences),
            doubts: Cow::Borrowed(doubts),
            entered: Cow::Borrowed(entered),
            levers: Cow::Borrowed(levers),
            lives: Cow::Borrowed(lives),
            newest: *newest,
            technician: Cow::Borrowed(technician),
            lines: *lines,
            started: *started,
        };
        serde_json::to_vec(&kept).expect("a fold is plain data and always serialises")
    }

    /// A fold for answers alone: orders at their end and the chains of others are not in it. None: these bytes are not of this form.
    pub(in crate::journal) fn restored(bytes: &[u8]) -> Option<Self> {
        let kept: Kept<'_> = serde_json::from_slice(bytes).ok()?;
        let mut by_state: BTreeMap<State, BTreeSet<PackageId>> = BTreeMap::new();
        let mut packages = BTreeMap::new();
        for row in kept.packages {
            let row = row.row();
            let _new = by_state.entry(row.state).or_default().insert(row.id.clone());
            let _before = packages.insert(row.id.clone(), row);
        }
        let orders: BTreeMap<_, _> =
            kept.orders.into_iter().map(KeptOrder::row).map(|row| (row.order.id.clone(), row)).collect();
        let open = orders.values().filter(|row| !row.phase.is_end());
        Some(Self {
            open_orders: open.map(|row| row.order.id.clone()).collect(),
            packages,
            by_state,
            orders,
            committing: kept.committing.into_owned(),
            cleaning: kept.cleaning.into_owned(),
            sent: kept.sent.into_owned(),
            epochs: kept.epochs.into_owned(),
            chains: Chains::default(),
            born: kept.born,
            seat: kept.seat.into_owned(),
            silences: kept.silences.into_owned(),
            doubts: kept.doubts.into_owned(),
            entered: kept.entered.into_owned(),
            levers: kept.levers.into_owned(),
            lives: kept.lives.into_owned(),
            newest: kept.newest,
            technician: kept.technician.into_owned(),
            lines: kept.lines,
            started: kept.started,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::acted::{Acted, Lever};
    use crate::journal::event::{Event, Line};
    use crate::package::{Draft, Md5Hex, Reason, Sha256Hex};

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    /// With something in every field.
    fn full() -> Fold {
        let mut fold = Fold::default();
        let id = |name: &str| -> PackageId { format!("samples/{name}/r1").parse().unwrap() };
        let (a, b, c) = (id("a"), id("b"), id("c"));
        let order = |order: &str, id: &PackageId| Event::Ordered {
            order: Box::new(Order {
                id: OrderId(order.into()),
                artifacts: vec![format!("2-{order}")],
                packages: vec![Draft::bare(id.clone())],
                note: Some("again".into()),
            }),
        };
        let claim = |order: &str, phase| Event::Claim {
            order: OrderId(order.into()),
            phase,
            step: Some("24-1".into()),
            technician: Some("T".into()),
            detail: Some("d".into()),
        };
        let digest = Some(Sha256Hex::of(b"x"));
        let md5 = |of: &str| of.repeat(16).parse::<Md5Hex>().unwrap();
        let facts = Facts {
            priority: Some(Priority::High),
            files: Some(3),
            bytes: Some(4),
            manifest_sha256: digest.clone(),
            commit_sha256: digest.clone(),
            sent_as: Some("n/1#1".into()),
            previous: digest,
            commit: Some("in no row".into()),
            signature: Some("in no row".into()),
            place: Some("/p".into()),
            reason: Some(Reason::BadReads),
            detail: Some("æ".into()),
            holder: Some("h".into()),
            inherited: Some(vec!["s".into()]),
            md5: Some((md5("ab"), md5("cd"))),
        };
        let moved = |id: &PackageId, from, to, facts: &Facts| Event::Moved {
            package: id.clone(),
            from,
            to,
            by: "uploader".into(),
            facts: Box::new(facts.clone()),
        };
        let cleaned = |id: &PackageId, done| Event::Cleaned {
            package: id.clone(),
            done,
            bytes: 4,
            proof: "none".into(),
            by: "anna".into(),
            why: "room".into(),
        };
        let doubted = |artifact: &str| Event::Doubted {
            artifact: artifact.into(),
            who: "HG1".into(),
            reason: Reason::LimsInvalid,
            detail: "d".into(),
            times: 1,
        };
        let error = || "e".to_owned();
        let acted = |act| Event::Acted(Acted { act, by: "anna".into(), why: "w".into() });
        let events = [
            Event::Started { role: "nsc".into(), host: "h".into(), pid: 1, version: "0".into() },
            order("A", &a),
            claim("A", Phase::Completed),
            order("B", &b),
            claim("B", Phase::Opened),
            Event::OrderFailed { order: OrderId("B".into()), failures: 2, error: error(), retry_at: at(900) },
            order("C", &c),
            claim("C", Phase::Flagged),
            moved(&a, Some(State::Found), State::Transferred, &facts),
            Event::Placed { package: a.clone(), place: "/q".into() },
            cleaned(&a, true),
            Event::Committing {
                package: b.clone(),
                sender: Some("n/1".parse().unwrap()),
                sequence: 1,
                commit: "{}".into(),
            },
            Event::Failed {
                package: b.clone(),
                by: "u".into(),
                failures: 2,
                error: error(),
                retry_at: at(901),
            },
            cleaned(&b, false),
            moved(&id("d"), None, State::Packed, &Facts::default()),
            doubted("2-9"),
            doubted("2-8"),
            Event::Refused { artifact: "2-8".into(), done: false, detail: "d".into() },
            Event::Silent { what: "polled".into(), why: "w".into(), last: at(1) },
            acted(Lever::Ranked { package: b.clone(), priority: Priority::Urgent }),
            acted(Lever::Again { package: a.clone(), revised: "samples/a/r2".parse().unwrap() }),
            acted(Lever::Paused { what: "uploads".into() }),
            acted(Lever::Paced { limit: Some(5), until: Some(at(902)) }),
            moved(&id("d"), Some(State::Packed), State::Held, &Facts::default()),
        ];
        for (n, event) in events.into_iter().enumerate() {
            let n = n as i64;
            fold.apply(&Line { v: 1, seq: n as u64 + 1, at: at(n), prev: Sha256Hex::zero(), event });
        }
        fold
    }

    #[test]
    fn what_is_restored_is_what_was_kept_but_for_what_is_named() {
        let fold = full();
        let bytes = fold.bytes();
        let back = Fold::restored(&bytes).unwrap();
        assert_eq!(back.bytes(), bytes);
        let mut expected = fold.clone();
        let gone = expected.orders.remove(&OrderId("A".into())).unwrap();
        assert!(gone.phase.is_end(), "the only one that is left out");
        expected.chains = Chains::default();
        expected.by_state.retain(|_, ids| !ids.is_empty());
        assert_eq!(format!("{back:?}"), format!("{expected:?}"));
        assert_eq!((back.orders.len(), back.open_orders.len(), back.under_way()), (2, 1, fold.under_way()));
        assert!(Fold::restored(b"{}").is_none() && Fold::restored(&bytes[1..]).is_none());
    }

    /// If this fails, the shape has changed: raise `FORM`, and put the new digest here.
    #[test]
    fn another_shape_has_another_number() {
        let shape = Sha256Hex::of(&full().bytes());
        assert_eq!(
            (FORM, shape.as_str()),
            (2, "053da759bfbfa8488a6b00b8aa98455a83bc84367354312d6ff143479fea9d5b")
        );
    }
}
