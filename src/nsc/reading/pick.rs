//! Who is read in full at this look: pure.
//!
//! Families are put together first, from what the survey knows: an incomplete one needs no reading. Then the most urgent come
//! first, then who is queued longest; those that were read in vain come last, the longest ago first, so that everybody's turn
//! comes. A part of the places is for those in doubt: what is held against somebody must not be older than need be.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::order::{self, NotYet, Relation};
use super::memory::Memory;
use crate::clarity::LimsId;
use crate::package::Priority;

/// What the survey keeps of a queued sample.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) artifact: LimsId,
    pub(super) sample: LimsId,
    pub(super) name: Option<String>,
    pub(super) priority: Priority,
    pub(super) family: Option<(String, Relation)>,
    pub(super) queued_at: Option<Timestamp>,
    /// The open claim of ours that holds it, if it is not queued.
    pub(super) claim: Option<String>,
}

impl Seen {
    /// What the laboratory calls it.
    pub(super) fn who(&self) -> String {
        order::title(self.name.as_deref(), self.artifact.as_str())
    }
}

/// What is said of a sample that is not ordered at this look.
pub(super) type Word = (Seen, NotYet);

/// The plan of a look.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Read in full: single samples, and families in the order proband, father, mother.
    pub(super) units: Vec<Vec<Seen>>,
    /// Known without reading.
    pub(super) said: Vec<Word>,
    /// Their turn comes at a later look.
    pub(super) later: Vec<Seen>,
}

/// Makes the plan: at most `limit` samples, but at least one unit, and all that a claim of ours holds.
pub(super) fn pick(seen: Vec<Seen>, memory: &Memory, limit: usize) -> Plan {
    let mut plan = Plan::default();
    let seen = two_roles(seen, &mut plan.said);
    let mut units = Vec::new();
    let mut families: BTreeMap<(Option<String>, String), Vec<Seen>> = BTreeMap::new();
    for one in seen {
        match &one.family {
            None => units.push(vec![one]),
            Some((number, _)) => families.entry((one.claim.clone(), number.clone())).or_default().push(one),
        }
    }
    for ((_, number), members) in families {
        match family(&number, members) {
            Ok(unit) => units.push(unit),
            Err(said) => plan.said.extend(said),
        }
    }
    units = whole_claims(units, memory, &mut plan.said);
    let round =
        |unit: &[Seen]| unit.iter().filter_map(|s| memory.of(s.artifact.as_str())).map(|v| v.round).max();
    let doubted = |unit: &[Seen]| {
        unit.iter()
            .any(|s| memory.of(s.artifact.as_str()).is_some_and(|v| matches!(v.said, NotYet::Wrong(_))))
    };
    let turn = |unit: &Vec<Seen>| {
        let urgent = unit.iter().map(|s| s.priority).max().unwrap_or_default();
        let queued = unit.iter().map(|s| s.queued_at.unwrap_or(Timestamp::MAX)).min();
        (
            unit.iter().all(|s| s.claim.is_none()),
            round(unit),
            Reverse(urgent),
            queued,
            unit.first().map(|s| s.artifact.clone()),
        )
    };
    units.sort_by_cached_key(turn);
    let (mut first, mut rest, mut places) = (Vec::new(), Vec::new(), limit / 4);
    for unit in units {
        let again = doubted(&unit) && unit.len() <= places;
        if again {
            places -= unit.len();
        }
        if again { first.push(unit) } else { rest.push(unit) }
    }
    let mut taken = 0;
    for unit in first.into_iter().chain(rest) {
        let ours = unit.iter().any(|s| s.claim.is_some());
        if ours || taken == 0 || taken + unit.len() <= limit {
            taken += unit.len();
            plan.units.push(unit);
        } else {
            plan.later.extend(unit);
        }
    }
    plan
}

/// A sample that has two parts in families is a mix-up, and everybody whom it concerns is named.
fn two_roles(seen: Vec<Seen>, said: &mut Vec<Word>) -> Vec<Seen> {
    let mut roles: BTreeMap<String, BTreeMap<Relation, String>> = BTreeMap::new();
    for one in &seen {
        if let (Some(name), Some((number, relation))) = (&one.name, &one.family) {
            let dna = order::dna_id(name).to_owned();
            let _first = roles.entry(dna).or_default().entry(*relation).or_insert_with(|| number.clone());
        }
    }
    roles.retain(|_, parts| parts.len() > 1);
    let (mut clean, mut bad_families) = (Vec::new(), BTreeSet::new());
    for one in seen {
        let dna = one.name.as_deref().map(order::dna_id).unwrap_or_default();
        match roles.get(dna).filter(|_| one.family.is_some()) {
            None => clean.push(one),
            Some(parts) => {
                let parts: Vec<String> =
                    parts.iter().map(|(relation, number)| format!("{relation} of family {number}")).collect();
                let what = format!("{dna} is {}: one sample cannot be both", parts.join(" and "));
                bad_families.extend(one.family.iter().map(|(number, _)| number.clone()));
                said.push((one, NotYet::contradiction(what)));
            }
        }
    }
    let bad = |one: &Seen| one.family.as_ref().is_some_and(|(number, _)| bad_families.contains(number));
    let (waits, clean): (Vec<Seen>, Vec<Seen>) = clean.into_iter().partition(bad);
    for one in waits {
        let number = one.family.as_ref().map_or("", |(number, _)| number.as_str()).to_owned();
        said.push((
            one,
            NotYet::waits(format!(
                "family {number}: a member of it has two parts, which must be mended first"
            )),
        ));
    }
    clean
}

/// The members in their order, or what is said to each.
fn family(number: &str, members: Vec<Seen>) -> Result<Vec<Seen>, Vec<Word>> {
    let relation = |one: &Seen| one.family.as_ref().map(|(_, relation)| *relation);
    let of = |wanted: Relation| members.iter().filter(move |one| relation(one) == Some(wanted));
    let names = |list: Vec<&Seen>| {
        let named = |s: &&Seen| format!("{} ({})", s.who(), relation(s).map_or("?", Relation::as_str));
        list.iter().map(named).collect::<Vec<_>>().join(" and ")
    };
    let twice: Vec<Relation> = Relation::ALL.into_iter().filter(|r| of(*r).count() > 1).collect();
    if let Some(role) = twice.first() {
        let what =
            format!("family {number} has more than one {role} in the queue: {}", names(of(*role).collect()));
        let rivals: BTreeSet<LimsId> =
            twice.iter().flat_map(|r| of(*r)).map(|one| one.artifact.clone()).collect();
        let tell = |one: Seen| {
            let fault = NotYet::contradiction(what.clone());
            if rivals.contains(&one.artifact) { (one, fault) } else { (one, NotYet::waits(what.clone())) }
        };
        return Err(members.into_iter().map(tell).collect());
    }
    let absent: Vec<&str> =
        Relation::ALL.into_iter().filter(|r| of(*r).count() == 0).map(Relation::as_str).collect();
    if !absent.is_empty() {
        let verb = if absent.len() == 1 { "is" } else { "are" };
        let (absent, here) = (absent.join(" and the "), names(members.iter().collect()));
        let wait = if members.len() == 1 { "waits" } else { "wait" };
        let why =
            format!("family {number}: the {absent} {verb} not in the queue yet; {here} {wait} for that");
        return Err(members.into_iter().map(|one| (one, NotYet::waits(why.clone()))).collect());
    }
    let mut members = members;
    members.sort_by_key(relation);
    Ok(members)
}

/// A claim of ours is ordered whole or not at all.
fn whole_claims(units: Vec<Vec<Seen>>, memory: &Memory, said: &mut Vec<Word>) -> Vec<Vec<Seen>> {
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    for claim in units.iter().filter_map(|unit| unit.first()?.claim.clone()) {
        *held.entry(claim).or_default() += 1;
    }
    // One that cannot be read is missing in its unit, and must not be left out of an order for its step.
    let inputs =
        |claim: &String| memory.orphans.iter().find(|(step, _)| step == claim).map(|(_, all)| all.len());
    let torn = |unit: &[Seen]| {
        let claim = unit.first()?.claim.as_ref()?;
        let several = held.get(claim).is_some_and(|n| *n > 1);
        (several || inputs(claim).is_some_and(|n| n != unit.len())).then(|| claim.clone())
    };
    let mut whole = Vec::new();
    for unit in units {
        match torn(&unit) {
            None => whole.push(unit),
            Some(claim) => {
                let why = format!(
                    "step {claim} is open in our name, but what can be read of it is no order: correct its samples, or complete \
                     or abort it in the LIMS"
                );
                said.extend(unit.into_iter().map(|one| (one, NotYet::waits(why.clone()))));
            }
        }
    }
    whole
}

#[cfg(test)]
#[path = "pick_tests.rs"]
mod tests;
