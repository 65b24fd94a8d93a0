//! Compare-and-set, decided where it is written: what earlier commands of a batch lead to counts before it is on the disk.
use std::collections::{HashMap, HashSet};

use super::event::Phase;
use super::fold::Fold;
use crate::package::{OrderId, PackageId, Place, State};

/// When a command may be written.
pub(super) enum Condition {
    /// In any case.
    Always,
    /// Only if the package is in this state.
    From(PackageId, Option<State>, State),
    /// Only if the package is still in this state, which does not change.
    Still(PackageId, State),
    /// Only if this is the sender's next commit, and the package is being uploaded and has none decided yet.
    NextCommit(PackageId, Place),
    /// Only if neither the order nor any of its packages is known, none of its artifacts is in an order that is not at its end
    /// or is being refused, and there is credit for the packages.
    NewOrder(OrderId, Vec<String>, Vec<PackageId>, usize),
    /// Only if the package is new, and there is credit for it.
    Enter(PackageId, State, usize),
    /// Only if the order is in this phase, and the packages are in these states and have no commit decided.
    Withdraw(OrderId, Phase, Vec<(PackageId, State)>),
    /// Only if the artifact is doubted and neither ordered nor being refused.
    Refusal(String),
}

/// What earlier commands of a batch lead to.
#[derive(Default)]
pub(super) struct Pending {
    states: HashMap<PackageId, State>,
    committing: HashMap<PackageId, Place>,
    orders: HashSet<OrderId>,
    ended: HashSet<OrderId>,
    artifacts: HashSet<String>,
    refusing: HashSet<String>,
    entered: usize,
}

impl Pending {
    /// A group larger than all credit is let in when it is alone; what needs none needs no room.
    fn has_credit(&self, fold: &Fold, more: usize, credit: usize) -> bool {
        let under_way = fold.under_way() + self.entered;
        more == 0 || under_way == 0 || under_way + more <= credit
    }

    fn state(&self, fold: &Fold, id: &PackageId) -> Option<State> {
        self.states.get(id).copied().or_else(|| fold.package(id).map(|row| row.state))
    }

    fn is_decided(&self, fold: &Fold, id: &PackageId) -> bool {
        self.committing.contains_key(id) || fold.is_committed(id)
    }

    fn move_to(&mut self, id: &PackageId, to: State) {
        let _earlier = self.states.insert(id.clone(), to);
    }

    /// Whether the command may be written; if so, what follows in the batch sees it as written.
    pub(super) fn allows(&mut self, condition: &Condition, fold: &Fold) -> bool {
        match condition {
            Condition::Always => true,
            Condition::From(id, from, to) => {
                // What is held has not been sent: once its commit is decided it is too late.
                let late = (*from, *to) == (Some(State::Uploading), State::Held) && self.is_decided(fold, id);
                let may = self.state(fold, id) == *from && !late;
                if may {
                    self.move_to(id, *to);
                }
                may
            }
            Condition::Still(id, state) => self.state(fold, id) == Some(*state),
            Condition::Enter(id, to, credit) => {
                let new = self.state(fold, id).is_none();
                let may = new && State::may_move(None, *to) && self.has_credit(fold, 1, *credit);
                if may {
                    self.entered += 1;
                    self.move_to(id, *to);
                }
                may
            }
            Condition::NewOrder(order, artifacts, packages, credit) => {
                let busy = |a: &String| {
                    let refused = fold.doubts().get(a).is_some_and(|doubt| doubt.refused == Some(false));
                    self.artifacts.contains(a) || self.refusing.contains(a) || refused || fold.is_ordered(a)
                };
                let known = self.orders.contains(order) || fold.order(order).is_some();
                let distinct = packages.iter().collect::<HashSet<_>>().len() == packages.len();
                let taken = packages.iter().any(|id| self.state(fold, id).is_some());
                let new = !known && distinct && !taken && !artifacts.iter().any(busy);
                let new = new && self.has_credit(fold, packages.len(), *credit);
                if new {
                    self.entered += packages.len();
                    let _new = self.orders.insert(order.clone());
                    self.artifacts.extend(artifacts.iter().cloned());
                    packages.iter().for_each(|id| self.move_to(id, State::Found));
                }
                new
            }
            Condition::NextCommit(id, place) => {
                let before =
                    self.committing.values().filter(|p| p.sender == place.sender).map(|p| p.sequence);
                let last = before.max().unwrap_or(fold.sent(&place.sender).sequence);
                let free = fold.committing(id).is_none() && !self.committing.contains_key(id);
                let sends = self.state(fold, id) == Some(State::Uploading);
                let next = place.sequence == last + 1 && free && sends;
                if next {
                    let _earlier = self.committing.insert(id.clone(), place.clone());
                }
                next
            }
            Condition::Withdraw(order, from, packages) => {
                let there = fold.order(order).is_some_and(|row| row.phase == *from);
                let as_believed = |(id, state): &(PackageId, State)| {
                    self.state(fold, id) == Some(*state) && !self.is_decided(fold, id)
                };
                let may = there && packages.iter().all(as_believed) && self.ended.insert(order.clone());
                if may {
                    packages.iter().for_each(|(id, _)| self.move_to(id, State::Quarantined));
                }
                may
            }
            Condition::Refusal(artifact) => {
                let doubted = fold.doubts().get(artifact).is_some_and(|doubt| doubt.refused != Some(false));
                let ordered = self.artifacts.contains(artifact) || fold.is_ordered(artifact);
                doubted && !ordered && self.refusing.insert(artifact.clone())
            }
        }
    }
}
