//! What people did while it ran: levers that were pulled, settings that were read again.
use jiff::Timestamp;

use super::answer::Step;
use super::flow::Move;
use super::fold::Fold;
use super::happening::Happening;
use crate::conf::Role;
use crate::package::State;
use crate::role;

fn is_actor(by: &str) -> bool {
    [Role::Nsc, Role::Tsd].into_iter().any(|role| role::actors(role).contains(&by))
}

impl Fold {
    /// What a person did that moved no package.
    pub(super) fn by_hand(&mut self, at: Timestamp, what: &Happening<'_>) {
        match what {
            Happening::Reloaded { changed, needs_restart } if self.scope.covers(at) => {
                self.reloads.push((at, changed.to_string(), needs_restart.to_string()));
            }
            Happening::Acted { package, by, why, detail } => {
                let of = package.as_deref().unwrap_or_default();
                self.pulled(at, of, format!("{}, by {}: {}", &**detail, &**by, &**why));
                if !of.is_empty() && self.scope.of_package(of) {
                    self.step(at, of, || format!("{}, by {}: {}", &**detail, &**by, &**why));
                }
            }
            _ => {}
        }
    }

    /// What a person did that moved a package.
    pub(super) fn moved_by_hand(&mut self, m: &Move<'_>) {
        let lever = match m.to {
            State::Held => "held",
            State::Found | State::Packed | State::Seen | State::Committed if m.known => "taken up again",
            _ => return,
        };
        if !is_actor(m.by) {
            let why = m.detail.unwrap_or_default();
            self.pulled(m.at, m.package, format!("{lever}, by {}: {why}", m.by));
        }
    }

    fn pulled(&mut self, at: Timestamp, package: &str, what: String) {
        let wanted = self.scope.package.is_none() || (!package.is_empty() && self.scope.of_package(package));
        if wanted && self.scope.actor.is_none() && self.scope.covers(at) {
            self.levers.push(Step { at, package: package.to_owned(), what });
        }
    }
}
