//! The receiver: journal, bucket, production area, `.incoming`, `.quarantine`. Pure.
//!
//! With the journal goes the knowledge of what has landed, and consumers take away what did. So where a journal is lost, a commit in the
//! bucket of which nothing lies here may be a new package or one that was reported on long ago: it is stopped until a person says which.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Difference, Fix, Level};
use crate::journal::Facts;
use crate::package::{PackageId, Reason, Sha256Hex, State};

/// What the bucket promises.
#[derive(Clone, Debug)]
pub enum Promise {
    /// There is a commit; it was not read, because the journal knows the package.
    There,
    /// It can be believed.
    Good {
        /// As the watcher would journal them.
        facts: Box<Facts>,
        /// By the sender's clock.
        committed_at: Timestamp,
    },
    /// It cannot.
    Odd(Reason, String),
}

/// What lies at the destination.
#[derive(Clone, Debug)]
pub struct Lies {
    /// Where.
    pub path: PathBuf,
    /// Whether `READY` is in it.
    pub ready: bool,
    /// Whether its kind wants one.
    pub wants_ready: bool,
    /// Digest of its `SHA256SUMS`; none: it has none.
    pub manifest: Option<Sha256Hex>,
}

/// What the journal says.
#[derive(Clone, Debug)]
pub struct Known {
    /// Where it is.
    pub state: State,
    /// Whether it was put in place.
    pub placed: bool,
    /// Why it was stopped.
    pub reason: Option<Reason>,
    /// Whether its commit was believed, so that it could land.
    pub promised: bool,
    /// Digest of `SHA256SUMS`.
    pub manifest: Option<Sha256Hex>,
}

/// What is in the quarantine area.
#[derive(Clone, Debug, Default)]
pub struct Stopped {
    /// Why it was stopped, if that can be read.
    pub reason: Option<Reason>,
    /// In words.
    pub detail: String,
}

/// Lies in `.incoming`.
#[derive(Clone, Debug)]
pub struct Half {
    /// Where.
    pub path: PathBuf,
    /// Which of several hosts that share the bucket wrote it, if it is one of several.
    pub seat: Option<String>,
}

/// Everything about one package.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    /// In the journal.
    pub known: Option<Known>,
    /// In the bucket.
    pub promise: Option<Promise>,
    /// At its destination.
    pub place: Option<Lies>,
    /// In `.incoming`: the directories.
    pub incoming: Vec<Half>,
    /// In `.quarantine`.
    pub stopped: Option<Stopped>,
}

/// Everything about all of them.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The journal is gone: nothing in it, and a receiver has worked here; or a rebuilding was cut off.
    pub lost: bool,
    /// Names the journal, where it has begun: what another one's host left in `.incoming` is not this one's to judge.
    pub seat: Option<String>,
    /// A daemon works meanwhile, so what is under way may look different a moment later.
    pub running: bool,
    /// By package.
    pub packages: BTreeMap<PackageId, Fact>,
    /// What lies beside our own and has no name of ours.
    pub strangers: Vec<PathBuf>,
}

impl World {
    /// Whether this host wrote it.
    fn is_ours(&self, half: &Half) -> bool {
        half.seat.is_none() || half.seat == self.seat
    }

    /// A later revision lies under the same name as the first one: what is there is that one whose manifest it has.
    pub fn attribute(&mut self) {
        let lying = self.packages.iter().filter_map(|(id, fact)| {
            let manifest = fact.place.as_ref()?.manifest.as_ref()?;
            (fact.manifest() != Some(manifest)).then(|| (id.clone(), manifest.clone()))
        });
        for (id, manifest) in lying.collect::<Vec<_>>() {
            let is_it = |other: &PackageId, fact: &Fact| {
                (&other.kind, &other.name) == (&id.kind, &id.name)
                    && fact.place.is_none()
                    && fact.manifest() == Some(&manifest)
            };
            let it = self.packages.iter().rev().find(|(other, fact)| is_it(other, fact));
            let Some(it) = it.map(|(other, _)| other.clone()) else { continue };
            let lies = self.packages.get_mut(&id).and_then(|fact| fact.place.take());
            self.packages.entry(it).or_default().place = lies;
        }
    }
}

impl Fact {
    /// That its commit promises, as far as it is believed.
    fn manifest(&self) -> Option<&Sha256Hex> {
        let promised = match &self.promise {
            Some(Promise::Good { facts, .. }) => facts.manifest_sha256.as_ref(),
            _ => None,
        };
        self.known.as_ref().map_or(promised, |known| known.manifest.as_ref())
    }
}

/// What a person has said about commits after a loss.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// These have certainly not landed.
    pub new: BTreeSet<PackageId>,
    /// What was committed after this has certainly not landed: no receiver has run since.
    pub lost_at: Option<Timestamp>,
}

/// Everything that is different.
pub fn judge(world: &World, said: &Said) -> Vec<Difference> {
    let mut all: Vec<Difference> =
        world.packages.iter().flat_map(|(id, fact)| package(world, said, id, fact)).collect();
    all.extend(world.strangers.iter().map(|path| Difference {
        code: "stranger",
        level: Level::Note,
        package: None,
        what: format!("{} has no name of a package of ours", path.display()),
        todo: "see who put it there; it is not touched".into(),
        fix: None,
    }));
    all
}

fn package(world: &World, said: &Said, id: &PackageId, fact: &Fact) -> Vec<Difference> {
    let difference = |code, level, what: String, todo: &str, fix| Difference {
        code,
        level,
        package: Some(id.clone()),
        what,
        todo: todo.to_owned(),
        fix,
    };
    let (ours, others): (Vec<&Half>, Vec<&Half>) = fact.incoming.iter().partition(|half| world.is_ours(half));
    let ours: Vec<&Path> = ours.iter().map(|half| half.path.as_path()).collect();
    let mut all = match &fact.known {
        Some(known) => of_known(world, fact, known, &ours, said.new.contains(id), difference),
        None => of_unknown(world, said, id, fact, &ours, difference),
    };
    all.extend(others.iter().map(|half| {
        let what = format!("{} is of another host or of an earlier journal", half.path.display());
        let todo =
            "nothing from here: that host works on it or tidies it up; if none does any more, it is scratch";
        difference("of-another-host", Level::Note, what, todo, None)
    }));
    all
}

fn of_known(
    world: &World,
    fact: &Fact,
    known: &Known,
    ours: &[&Path],
    new: bool,
    difference: impl Fn(&'static str, Level, String, &str, Option<Fix>) -> Difference,
) -> Vec<Difference> {
    let mut all = Vec::new();
    let state = known.state;
    if new {
        let may = state == State::Quarantined && known.reason == Some(Reason::LandedBefore);
        let what = format!("it was said to be new (--new), and it is {state}");
        all.push(match may && known.promised && fact.promise.is_some() && fact.place.is_none() {
            true => difference("released", Level::Act, what, "--fix has it land", Some(Fix::Release)),
            false => {
                let todo = "only what is stopped as landed-before, has a commit that can be believed and lies nowhere can be taken up like this";
                difference("not-released", Level::Act, what, todo, None)
            }
        });
    }
    if let Some(lies) = &fact.place {
        let path = lies.path.display();
        if state == State::Ready && lies.wants_ready && !lies.ready {
            let what = format!("it was handed over, and there is no READY in {path}");
            let todo = "somebody removed it; ask the consumer. It is not written a second time";
            all.push(difference("ready-missing", Level::Act, what, todo, None));
        }
        if state == State::Ready && lies.manifest.is_some() && lies.manifest != known.manifest {
            let what = format!("SHA256SUMS in {path} is not the one that was committed");
            let todo =
                "somebody changed it or put another package there: `custody` tells what was handed over";
            all.push(difference("manifest-changed", Level::Act, what, todo, None));
        }
        let coming = matches!(state, State::Seen | State::Copying | State::Copied);
        if coming && !known.placed {
            let what = format!("it is {state}, and something lies at {path} already");
            let todo = "nothing is overwritten: it will be stopped (destination-exists). Find out who put that there";
            all.push(difference("in-the-way", Level::Act, what, todo, None));
        }
    }
    if state == State::Ready {
        for from in ours.iter().map(|path| path.to_path_buf()) {
            let what = format!("it was handed over, and {} was left behind", from.display());
            let todo = "nothing; with --fix it is moved aside";
            all.push(difference("scratch", Level::Act, what, todo, Some(Fix::Aside { from })));
        }
    }
    if !world.running && state == State::Copied && ours.is_empty() && !known.placed {
        let what = "it is copied, and nothing of it is in .incoming".to_owned();
        let todo = "the daemon will stop it (file-missing) when it runs; find out who removed it";
        all.push(difference("copy-gone", Level::Act, what, todo, None));
    }
    if matches!(state, State::Seen | State::Copying) && fact.promise.is_none() {
        let what = format!("it is {state}, and the bucket has no COMMIT of it any more");
        let todo = "ask the sending side who removed it; it cannot be copied to its end";
        all.push(difference("commit-gone", Level::Act, what, todo, None));
    }
    all
}

fn of_unknown(
    world: &World,
    said: &Said,
    id: &PackageId,
    fact: &Fact,
    ours: &[&Path],
    difference: impl Fn(&'static str, Level, String, &str, Option<Fix>) -> Difference,
) -> Vec<Difference> {
    let by_hand = "find out whether the consumer has it already (`custody` at the sending side, the consumer itself). If it has, nothing: it \
                   stays stopped. If it certainly has not: `reconcile --fix --new PACKAGE`, now or later";
    let stop = |reason, detail: String, facts: Facts| Fix::Stop { reason, detail, facts: Box::new(facts) };
    let facts = match &fact.promise {
        Some(Promise::Good { facts, .. }) => (**facts).clone(),
        _ => Facts::default(),
    };
    let Some(promise) = &fact.promise else {
        return without_commit(world, fact, ours, difference);
    };
    if let (Some(lies), Promise::Good { facts: promised, .. }) = (&fact.place, promise)
        && lies.manifest.is_some()
        && lies.manifest == promised.manifest_sha256
        && (lies.ready || !lies.wants_ready)
    {
        let path = lies.path.display();
        let what = format!(
            "it lies at {path} with the SHA256SUMS that was committed, and the journal does not know it"
        );
        let todo =
            "--fix reads it back and journals it; without that it would be copied once more and then stopped";
        let fix = Fix::Adopt { place: lies.path.clone(), facts: promised.clone() };
        return vec![difference("landed-unknown", Level::Act, what, todo, Some(fix))];
    }
    if let Some(lies) = &fact.place {
        let path = lies.path.display();
        let why = match (&lies.manifest, promise) {
            (None, _) => "has no SHA256SUMS".to_owned(),
            (_, Promise::Odd(reason, detail)) => {
                format!("cannot be compared with its COMMIT ({reason}: {detail})")
            }
            (Some(_), _) if lies.wants_ready && !lies.ready => "has no READY".to_owned(),
            (Some(_), _) => "has another SHA256SUMS than the committed one".to_owned(),
        };
        let what = format!("{path} {why}, and the journal does not know the package");
        let detail = format!("when the journal was rebuilt, {path} {why}");
        let fix = world.lost.then(|| stop(Reason::LandedBefore, detail, facts));
        return vec![difference("in-the-way", Level::Act, what, by_hand, fix)];
    }
    if !world.lost {
        let what = "it is in the bucket, and the journal does not know it yet".to_owned();
        let todo = "nothing: the watcher takes it in when there is room, or stops it";
        return vec![difference("new", Level::Note, what, todo, None)];
    }
    if let Some(before) = &fact.stopped {
        let reason = before.reason.unwrap_or(Reason::LandedBefore);
        let what = format!("it was stopped before the journal was lost ({reason})");
        let fix = stop(reason, format!("stopped before the journal was lost: {}", before.detail), facts);
        return vec![difference("stopped-before", Level::Act, what, "--fix journals that again", Some(fix))];
    }
    // The rename into place takes the directory out of `.incoming`, so what is there has not been handed over.
    let half = ours.first();
    let told = match (half, promise) {
        (Some(path), _) => Some(format!("{} shows that it was not handed over", path.display())),
        _ if said.new.contains(id) => Some("it was said to be new (--new)".into()),
        (_, Promise::Good { committed_at, .. }) if said.lost_at.is_some_and(|at| *committed_at > at) => {
            Some(format!("it was committed at {committed_at:.0}, when no receiver ran (--lost-at)"))
        }
        _ => None,
    };
    if let Some(told) = told {
        let what = format!("the journal does not know it, and {told}");
        return vec![difference("new", Level::Note, what, "nothing: the daemon lands it", None)];
    }
    let what =
        "it is in the bucket and lies nowhere here: it is new, or its consumer has taken it away".to_owned();
    let detail = "the journal was lost, and whether this landed before is not known".to_owned();
    vec![difference(
        "landed-before",
        Level::Act,
        what,
        by_hand,
        Some(stop(Reason::LandedBefore, detail, facts)),
    )]
}

fn without_commit(
    world: &World,
    fact: &Fact,
    ours: &[&Path],
    difference: impl Fn(&'static str, Level, String, &str, Option<Fix>) -> Difference,
) -> Vec<Difference> {
    let mut all = Vec::new();
    if let Some(lies) = &fact.place {
        let what = format!("{} is known neither to the journal nor to the bucket", lies.path.display());
        let todo = "nothing, if another program put it there or the bucket was cleaned; it cannot be proven from here";
        all.push(difference("foreign", Level::Note, what, todo, None));
    }
    for from in ours.iter().map(|path| path.to_path_buf()) {
        let what = format!("{} is of a package that neither journal nor bucket knows", from.display());
        let fix = (!world.running).then_some(Fix::Aside { from });
        all.push(difference("scratch", Level::Act, what, "nothing; with --fix it is moved aside", fix));
    }
    all
}
