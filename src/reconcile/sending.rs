//! The sender: journal, transfer tree, upload progress, and the open steps in the LIMS. Pure. Nothing is fixed here: what a sender does by
//! itself it does when it runs, and the rest is a person's, because a package must never be sent as another one.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Difference, Level};
use crate::journal::Phase;
use crate::nsc::source::Standing;
use crate::package::{PackageId, State};

/// Everything about one package.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    /// In the journal.
    pub known: Option<State>,
    /// In the transfer tree, waiting; whether it is whole.
    pub waiting: Option<(PathBuf, bool)>,
    /// In `.packing`.
    pub packing: Option<PathBuf>,
    /// Below `transferred/`.
    pub rests: Option<PathBuf>,
    /// It has upload progress.
    pub uploads: bool,
}

/// An order with an open step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub order: String,
    /// As the journal says.
    pub phase: Phase,
    /// The step.
    pub step: String,
    /// As the LIMS says; the reason if it does not.
    pub standing: Result<Standing, String>,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// A daemon works meanwhile.
    pub running: bool,
    /// By package.
    pub packages: BTreeMap<PackageId, Fact>,
    /// Orders that are not at their end.
    pub steps: Vec<Step>,
    /// What has no name of a package.
    pub strangers: BTreeSet<PathBuf>,
}

/// Everything that is different.
pub fn judge(world: &World) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut say = |code, level, package: Option<&PackageId>, what: String, todo: &str| {
        let (package, todo) = (package.cloned(), todo.to_owned());
        all.push(Difference { code, level, package, what, todo, fix: None });
    };
    for (id, fact) in &world.packages {
        let Fact { known, waiting, packing, rests, uploads } = fact;
        let lies = waiting.is_some() || rests.is_some();
        match known {
            Some(state @ (State::Packed | State::Uploading)) if !lies && !world.running => {
                let what = format!("it is {state}, and it is not in the transfer tree");
                say(
                    "tree-gone",
                    Level::Act,
                    Some(id),
                    what,
                    "the daemon will stop it (file-missing); find out who removed it",
                );
            }
            Some(state @ (State::Packed | State::Uploading)) if rests.is_some() => {
                let what =
                    format!("it is {state}, and a package of this name rests below transferred/ already");
                say(
                    "name-taken",
                    Level::Act,
                    Some(id),
                    what,
                    "it will be stopped (name-taken): decide whether it is a new revision, and call its directory NAME~r2",
                );
            }
            Some(State::Transferred) if waiting.is_some() => {
                let what = "it was sent, and a directory of its name waits in the tree again".to_owned();
                say(
                    "dropped-again",
                    Level::Act,
                    Some(id),
                    what,
                    "it is not sent: call its directory NAME~r2 if it is a new revision, else remove it",
                );
            }
            Some(State::Committed) if waiting.is_some() => {
                say(
                    "not-moved",
                    Level::Note,
                    Some(id),
                    "it is committed and not moved yet".into(),
                    "nothing: the uploader moves it",
                );
            }
            None if rests.is_some() => {
                let what = "it rests below transferred/, and the journal does not know it".to_owned();
                let todo = "nothing: it was sent by an earlier journal or another host, and what is queued again is compared with it";
                say("sent-before", Level::Note, Some(id), what, todo);
            }
            None => {
                if let Some((path, whole)) = waiting {
                    let (code, todo) = match whole {
                        true => ("new", "nothing: the uploader takes it in when there is room"),
                        false => (
                            "growing",
                            "if nobody writes to it any more, its writer forgot the file that says that it is complete",
                        ),
                    };
                    say(
                        code,
                        Level::Note,
                        Some(id),
                        format!("{} is not in the journal", path.display()),
                        todo,
                    );
                }
            }
            _ => {}
        }
        let building = matches!(known, Some(State::Found | State::Claimed));
        if let Some(path) = packing.as_ref().filter(|_| !building) {
            let what = format!("{} is half-built, and nobody goes on with it", path.display());
            say(
                "scratch",
                Level::Act,
                Some(id),
                what,
                "it holds links and documents only: remove it while the daemon is stopped",
            );
        }
        let sends = matches!(known, Some(State::Packed | State::Uploading | State::Committed | State::Held));
        if *uploads && !sends {
            let what = "it has upload progress, and is not being sent".to_owned();
            say(
                "upload-left",
                Level::Note,
                Some(id),
                what,
                "nothing: the uploader aborts what is open and removes it within a minute",
            );
        }
    }
    for Step { order, phase, step, standing } in &world.steps {
        let (level, what, todo) = match standing {
            Ok(Standing::Open) => continue,
            Ok(Standing::InReview) if *phase == Phase::Review => continue,
            Ok(Standing::InReview) => (Level::Note, "is under review", "nothing: a person was asked there"),
            Ok(Standing::Completed) => {
                (Level::Act, "was completed", "the packager notices within orders.check_every; see `status`")
            }
            Ok(Standing::Gone) => {
                (Level::Act, "is gone", "the packager notices within orders.check_every; see `status`")
            }
            Err(why) => {
                let what = format!("order {order}: step {step} could not be compared: {why}");
                say("not-compared", Level::Act, None, what, "ask again when the LIMS answers");
                continue;
            }
        };
        let what = format!("order {order} is {phase} here, and its LIMS step {step} {what}");
        say("step", level, None, what, todo);
    }
    for path in &world.strangers {
        let what = format!("{} has no name of a package", path.display());
        say("stranger", Level::Act, None, what, "it is never sent: see who put it there");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(known: Option<State>, fact: Fact) -> String {
        let id: PackageId = "samples/Diag-1/r1".parse().unwrap();
        let world = World { packages: [(id, Fact { known, ..fact })].into(), ..World::default() };
        judge(&world).iter().map(|d| d.code).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_the_journal_says_is_compared_with_the_tree() {
        let (waiting, rests) = (Some(("/w".into(), true)), Some(PathBuf::from("/r")));
        let waits = || Fact { waiting: waiting.clone(), ..Fact::default() };
        let at_rest = || Fact { rests: rests.clone(), ..Fact::default() };
        assert_eq!(of(Some(State::Packed), waits()), "");
        assert_eq!(of(Some(State::Packed), Fact::default()), "tree-gone");
        assert_eq!(of(Some(State::Uploading), at_rest()), "name-taken");
        assert_eq!(of(Some(State::Transferred), at_rest()), "");
        assert_eq!(of(Some(State::Transferred), Fact::default()), "", "it was cleaned away");
        assert_eq!(of(Some(State::Transferred), waits()), "dropped-again");
        assert_eq!(of(Some(State::Committed), waits()), "not-moved");
        assert_eq!(of(None, waits()), "new");
        assert_eq!(of(None, Fact { waiting: Some(("/w".into(), false)), ..Fact::default() }), "growing");
        assert_eq!(of(None, at_rest()), "sent-before");
        let half = Fact { packing: Some("/p".into()), ..Fact::default() };
        assert_eq!(of(Some(State::Claimed), half.clone()), "");
        assert_eq!(of(None, half), "scratch");
        let left = Fact { uploads: true, ..Fact::default() };
        assert_eq!(of(Some(State::Transferred), left.clone()), "upload-left");
        assert_eq!(of(Some(State::Uploading), Fact { waiting, ..left }), "");
    }

    #[test]
    fn steps_are_compared_with_what_the_lims_says() {
        let of = |phase, standing| {
            let step = Step { order: "A1".into(), phase, step: "24-1".into(), standing };
            judge(&World { steps: vec![step], ..World::default() })
                .iter()
                .map(|d| (d.code, d.level))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Phase::Opened, Ok(Standing::Open)), []);
        assert_eq!(of(Phase::Review, Ok(Standing::InReview)), []);
        assert_eq!(of(Phase::Opened, Ok(Standing::Gone)), [("step", Level::Act)]);
        assert_eq!(of(Phase::Opened, Err("down".into())), [("not-compared", Level::Act)]);
    }
}
