//! What is queued and cannot be exported as it is: counted look by look, and put out of the queue if the site wants that.
//!
//! The count is kept in the journal, in a bounded way: a doubt is journalled at each of its first `orders.doubts` looks, and
//! then only when its words change. It begins again at 1 when its reason changes, and is forgotten when it is gone.
use std::collections::{BTreeMap, BTreeSet};

use super::packager::Packing;
use super::source::{Doubtful, Fault, Look};
use crate::blame::Failure;
use crate::conf::{OnInvalid, OrdersConf};
use crate::journal::{Doubt, Event, Fold};

/// How far doubts go at a site.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// So many looks.
    pub looks: u32,
    /// What comes then.
    pub then: OnInvalid,
}

impl Patience {
    /// As configured.
    pub fn of(conf: &OrdersConf) -> Self {
        Self { looks: conf.doubts, then: conf.on_invalid }
    }
}

/// What a look changes about the doubts that are known.
pub(super) fn news(known: &BTreeMap<String, Doubt>, look: &Look, patience: Patience) -> Vec<Event> {
    let mut seen: BTreeMap<&str, &Doubtful> = BTreeMap::new();
    for doubtful in &look.doubts {
        let _the_first_counts = seen.entry(&doubtful.artifact).or_insert(doubtful);
    }
    let gone = known.iter().filter(|(artifact, doubt)| {
        let being_refused = doubt.refused == Some(false);
        !seen.contains_key(artifact.as_str()) && !look.unread.contains(*artifact) && !being_refused
    });
    let mut events: Vec<Event> = gone.map(|(artifact, doubt)| forgotten(artifact, doubt)).collect();
    // What this look did not read is said again and not counted again.
    let read = seen.values().filter(|doubtful| !look.unread.contains(&doubtful.artifact));
    events.extend(read.filter_map(|doubtful| counted(known.get(&doubtful.artifact), doubtful, patience)));
    events
}

fn forgotten(artifact: &str, doubt: &Doubt) -> Event {
    let (who, detail) = (doubt.who.clone(), doubt.detail.clone());
    Event::Doubted { artifact: artifact.to_owned(), who, reason: doubt.reason, detail, times: 0 }
}

fn counted(before: Option<&Doubt>, now: &Doubtful, patience: Patience) -> Option<Event> {
    let Fault { reason, detail } = now.fault.clone();
    let times = match before {
        Some(doubt) if doubt.refused == Some(false) => return None,
        // One that was refused and is still, or again, queued is a new one.
        Some(doubt) if doubt.refused.is_none() && doubt.reason == reason => {
            let times = doubt.times.saturating_add(1).min(patience.looks.max(doubt.times));
            if times == doubt.times && doubt.detail == detail {
                return None;
            }
            times
        }
        _ => 1,
    };
    Some(Event::Doubted { artifact: now.artifact.clone(), who: now.who.clone(), reason, detail, times })
}

/// What is to be put out of the queue now. What was begun is brought to its end whatever the configuration says by now.
pub(super) fn to_refuse(fold: &Fold, patience: Patience) -> BTreeSet<String> {
    let due = |doubt: &Doubt| match doubt.refused {
        Some(begun_or_done) => !begun_or_done,
        None => patience.then == OnInvalid::Route && doubt.times >= patience.looks,
    };
    fold.doubts().iter().filter(|(_, doubt)| due(doubt)).map(|(artifact, _)| artifact.clone()).collect()
}

impl Packing {
    /// Puts a doubted artifact out of the queue.
    pub(super) async fn refuse(&self, artifact: &str) -> Result<(), Failure> {
        let Some(doubt) = self.journal.view().doubts().get(artifact).cloned() else { return Ok(()) };
        let fault = Fault { reason: doubt.reason, detail: doubt.detail };
        let again = doubt.refused == Some(false);
        let why = format!("{}: {}", fault.reason, fault.detail);
        if doubt.refused == Some(true) || (!again && !self.journal.refuse(artifact, why.clone()).await?) {
            return Ok(());
        }
        fail::fail_point!("packager.refusing");
        let place = self.source.refuse(artifact, &fault, again).await?;
        let (artifact, detail) = (artifact.to_owned(), format!("{place}; {why}"));
        self.journal.record(Event::Refused { artifact: artifact.clone(), done: true, detail }).await?;
        self.refusals.say(&refusal(&artifact), None);
        Ok(())
    }
}

/// What a refusal is called in notices.
pub(super) fn refusal(artifact: &str) -> String {
    format!("refusal of {artifact}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::Reason;

    const LEAVE: Patience = Patience { looks: 3, then: OnInvalid::Leave };

    fn doubtful(artifact: &str, reason: Reason, detail: &str) -> Doubtful {
        let fault = Fault { reason, detail: detail.to_owned() };
        Doubtful { artifact: artifact.to_owned(), who: format!("who {artifact}"), fault }
    }

    /// Applies looks one after another, as the journal would; what each has journalled, as `artifact reason×times`.
    fn looks(patience: Patience, looks: &[&[&Doubtful]]) -> (Fold, Vec<Vec<String>>) {
        let (mut fold, mut said) = (Fold::default(), Vec::new());
        for doubts in looks {
            let doubts = doubts.iter().copied().cloned().collect();
            let look = Look { doubts, ..Look::default() };
            said.push(at(&mut fold, &look, patience));
        }
        (fold, said)
    }

    fn at(fold: &mut Fold, look: &Look, patience: Patience) -> Vec<String> {
        let events = news(fold.doubts(), look, patience);
        take(fold, &events)
    }

    fn take(fold: &mut Fold, events: &[Event]) -> Vec<String> {
        let mut said = Vec::new();
        for event in events {
            if let Event::Doubted { artifact, reason, times, .. } = event {
                said.push(format!("{artifact} {reason}×{times}"));
            }
            let prev = crate::package::Sha256Hex::zero();
            fold.apply(&crate::journal::Line {
                v: 1,
                seq: 1,
                at: crate::clock::now(),
                prev,
                event: event.clone(),
            });
        }
        said
    }

    #[test]
    fn a_doubt_is_counted_once_a_look_and_no_further_than_it_matters() {
        let bad = doubtful("2-1", Reason::LimsInvalid, "d");
        let twice = [&bad, &bad];
        let (fold, said) = looks(LEAVE, &[&twice, &twice, &twice, &twice, &twice]);
        assert_eq!(
            said,
            [
                vec!["2-1 lims-invalid×1"],
                vec!["2-1 lims-invalid×2"],
                vec!["2-1 lims-invalid×3"],
                vec![],
                vec![]
            ]
        );
        assert_eq!(fold.doubts()["2-1"].times, 3);
        assert!(to_refuse(&fold, LEAVE).is_empty());
        let route = Patience { then: OnInvalid::Route, ..LEAVE };
        assert_eq!(to_refuse(&fold, route).into_iter().collect::<Vec<_>>(), ["2-1"]);
        assert!(to_refuse(&fold, Patience { looks: 4, ..route }).is_empty());
    }

    #[test]
    fn another_reason_begins_anew_and_other_words_are_told() {
        let (a, b) =
            (doubtful("2-1", Reason::LimsInvalid, "d"), doubtful("2-1", Reason::LimsContradiction, "d"));
        let other = doubtful("2-1", Reason::LimsContradiction, "e");
        let (fold, said) = looks(LEAVE, &[&[&a], &[&a], &[&b], &[&other], &[&other], &[&other]]);
        let flat: Vec<String> = said.into_iter().flatten().collect();
        let contradiction = |n| format!("2-1 lims-contradiction×{n}");
        let expected = [
            "2-1 lims-invalid×1".into(),
            "2-1 lims-invalid×2".into(),
            contradiction(1),
            contradiction(2),
            contradiction(3),
        ];
        assert_eq!(flat, expected);
        assert_eq!(fold.doubts()["2-1"].detail, "e");
    }

    #[test]
    fn what_is_gone_is_forgotten_but_not_what_was_not_read() {
        let (a, b) = (doubtful("2-1", Reason::LimsInvalid, "d"), doubtful("2-2", Reason::LimsInvalid, "d"));
        let (mut fold, _) = looks(LEAVE, &[&[&a, &b]]);
        // What is said again from memory is not looked at again, so it is not counted again.
        for doubts in [vec![a.clone()], vec![a, b]] {
            let look = Look { doubts, unread: ["2-2".to_owned()].into(), ..Look::default() };
            assert!(at(&mut fold.clone(), &look, LEAVE) == ["2-1 lims-invalid×2"]);
        }
        assert_eq!(at(&mut fold, &Look::default(), LEAVE), ["2-1 lims-invalid×0", "2-2 lims-invalid×0"]);
        assert!(fold.doubts().is_empty());
    }

    #[test]
    fn what_is_being_refused_is_left_alone_and_what_was_refused_begins_anew() {
        let route = Patience { looks: 1, then: OnInvalid::Route };
        let bad = doubtful("2-1", Reason::LimsInvalid, "d");
        let (mut fold, _) = looks(route, &[&[&bad]]);
        let refused = |done| Event::Refused { artifact: "2-1".into(), done, detail: String::new() };
        let _said = take(&mut fold, &[refused(false)]);
        let look = Look { doubts: vec![bad], ..Look::default() };
        for look in [&look, &Look::default()] {
            assert!(news(fold.doubts(), look, route).is_empty());
        }
        assert_eq!(to_refuse(&fold, Patience { then: OnInvalid::Leave, ..route }).len(), 1, "begun is ended");
        let _said = take(&mut fold, &[refused(true)]);
        assert!(to_refuse(&fold, route).is_empty());
        assert_eq!(at(&mut fold.clone(), &Look::default(), route), ["2-1 lims-invalid×0"]);
        assert_eq!(at(&mut fold, &look, route), ["2-1 lims-invalid×1"], "queued again");
        assert_eq!(to_refuse(&fold, route).len(), 1);
    }
}
