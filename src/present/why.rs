//! `why`: where is this package or sample, what does it wait for, what is to be done.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seek::Outside;
use super::status::{Few, Moving};
use super::timeline::{self, Step};
use super::{Health, Present};
use crate::journal::{About, Phase, Row};
use crate::package::{OrderId, PackageId, Priority, Reason, State};

/// So many are shown where several are meant.
const SHOWN: usize = 15;

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WhyAnswer {
    /// When it was asked.
    pub at: Timestamp,
    /// What was asked for.
    pub query: String,
    /// `nsc` or `tsd`.
    pub role: String,
    /// Where.
    pub host: String,
    /// Whether the daemon lives.
    pub health: Health,
    /// What was found.
    pub found: Found,
}

/// What was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// The package.
    Package(Box<PackageAnswer>),
    /// It is not a package yet: it waits outside.
    Waiting(WaitingAnswer),
    /// Several may be meant.
    Several(Few<Match>),
    /// Nothing of that name is known here; where it was looked for.
    Nothing(Vec<Looked>),
}

/// A package.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PackageAnswer {
    /// Which.
    pub package: PackageId,
    /// Where it is.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// When it was first known here.
    pub first_seen: Timestamp,
    /// How soon.
    pub priority: Priority,
    /// What it waits for, in words.
    pub waits_for: String,
    /// The next attempt is not before.
    pub next_attempt: Option<Timestamp>,
    /// What a person can do; none: nothing.
    pub to_do: Option<String>,
    /// How far it is, if it moves now.
    pub moving: Option<Moving>,
    /// Why it was stopped, as a code.
    pub reason: Option<Reason>,
    /// In words.
    pub detail: Option<String>,
    /// Who stopped it, person or actor, if the journal's lines were read.
    pub stopped_by: Option<String>,
    /// Failures since the last progress.
    pub failures: u32,
    /// The last failure.
    pub last_error: Option<String>,
    /// Its order, with the order's LIMS step and where that is; none of the latter: it is at its end.
    pub order: Option<(OrderId, Option<String>, Option<Phase>)>,
    /// Which host has it in hand, where that is another one.
    pub holder: Option<String>,
    /// Payload files and their bytes.
    pub size: Option<(u64, u64)>,
    /// Where it lies.
    pub place: Option<String>,
    /// Its place in its sender's chain.
    pub sent_as: Option<String>,
    /// Other revisions of it, and where those are.
    pub others: Vec<(PackageId, State)>,
    /// Its way.
    pub timeline: Vec<Step>,
    /// Steps in the middle of a very long way that are not shown.
    pub left_out: usize,
}

/// Something that is not a package yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WaitingAnswer {
    /// What it is called there.
    pub who: String,
    /// Where it is, in words.
    pub whereabouts: String,
    /// Since when, if that is known.
    pub since: Option<Timestamp>,
    /// Why it is not taken, as a code.
    pub reason: Option<Reason>,
    /// In words.
    pub detail: String,
    /// What a person can do.
    pub to_do: String,
}

/// One of several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Match {
    /// What to ask for to mean exactly this one.
    pub ask: String,
    /// Where it is.
    pub state: String,
}

/// A place where nothing was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Looked {
    /// Where.
    pub place: String,
    /// What that means.
    pub means: String,
}

impl WhyAnswer {
    /// The package and order whose lines [`crate::journal::about`] finds, if the answer is about one.
    pub fn wants(&self) -> Option<(&PackageId, Option<&OrderId>)> {
        match &self.found {
            Found::Package(one) => Some((&one.package, one.order.as_ref().map(|(order, ..)| order))),
            _ => None,
        }
    }

    /// The same with what the package's own lines tell: every step, by whom, and what failed.
    #[must_use]
    pub fn with(mut self, about: &About) -> Self {
        if let Found::Package(one) = &mut self.found
            && !about.lines.is_empty()
        {
            one.timeline = timeline::from_lines(&about.lines, self.at);
            one.left_out = about.left_out;
            if matches!(one.state, State::Held | State::Quarantined) {
                let stop = one.timeline.iter().rev().find(|step| step.state == Some(one.state));
                one.stopped_by = stop.and_then(|step| step.by.clone());
            }
        }
        self
    }

    /// 0: told. 1: nothing is known of it. 2: several may be meant.
    pub fn exit_code(&self) -> u8 {
        match &self.found {
            Found::Package(_) | Found::Waiting(_) => 0,
            Found::Nothing(_) => 1,
            Found::Several(_) => 2,
        }
    }

    /// For a program.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("an answer is plain data and always serialises")
    }
}

impl Present<'_> {
    /// Where it is and why. Its timeline has states and times; [`WhyAnswer::with`] adds the rest.
    pub fn why(&self, query: &str) -> WhyAnswer {
        let sought = self.seek(query.trim());
        let found = match (&sought.packages[..], &sought.outside[..]) {
            ([], []) => Found::Nothing(self.looked()),
            ([row], []) => Found::Package(Box::new(self.package(row))),
            ([], [one]) => Found::Waiting(self.waiting(one)),
            (packages, outside) => Found::Several(several(packages, outside)),
        };
        WhyAnswer {
            at: self.now,
            query: query.to_owned(),
            role: self.role.to_owned(),
            host: self.host.to_owned(),
            health: self.health(),
            found,
        }
    }

    fn package(&self, row: &Row) -> PackageAnswer {
        let waits = self.waits(row);
        let facts = &row.facts;
        let order = row.order.as_ref().map(|id| {
            let known =
                self.fold.order(id).filter(|order| !order.phase.is_end() || order.phase == Phase::Flagged);
            (id.clone(), known.and_then(|order| order.step.clone()), known.map(|order| order.phase))
        });
        let others = self.fold.revisions(&row.id.kind, &row.id.name).filter(|other| other.id != row.id);
        PackageAnswer {
            package: row.id.clone(),
            state: row.state,
            since: row.since,
            first_seen: row.first_seen,
            priority: row.priority,
            waits_for: waits.waits_for,
            next_attempt: waits.next_attempt,
            to_do: waits.to_do,
            moving: waits.moving,
            reason: facts.reason,
            detail: facts.detail.clone(),
            stopped_by: None,
            failures: row.failures,
            last_error: row.last_error.clone().filter(|_| row.failures > 0),
            order,
            holder: facts.holder.clone(),
            size: facts.files.zip(facts.bytes),
            place: facts.place.clone(),
            sent_as: facts.sent_as.clone(),
            others: others.map(|other| (other.id.clone(), other.state)).collect(),
            timeline: timeline::from_row(row, self.now),
            left_out: 0,
        }
    }

    fn waiting(&self, one: &Outside) -> WaitingAnswer {
        let doubt = match one {
            Outside::Doubt(artifact) => self.fold.doubts().get(artifact).map(|doubt| (artifact, doubt)),
            Outside::NotTaken(..) => None,
        };
        match (one, doubt) {
            (_, Some((artifact, doubt))) => WaitingAnswer {
                who: doubt.who.clone(),
                whereabouts: match doubt.refused {
                    Some(true) => format!("it was put out of the LIMS queue (artifact {artifact})"),
                    Some(false) => format!("it is being put out of the LIMS queue (artifact {artifact})"),
                    None => format!(
                        "in the LIMS queue (artifact {artifact}); doubted at {} look(s), so it is not exported as it is",
                        doubt.times
                    ),
                },
                since: Some(doubt.since),
                reason: Some(doubt.reason),
                detail: doubt.detail.clone(),
                to_do: doubt.reason.remedy().to_owned(),
            },
            (Outside::NotTaken(who, why), _) => WaitingAnswer {
                who: who.clone(),
                whereabouts: match self.role {
                    "nsc" => {
                        "outside: seen in the LIMS queue or the transfer tree, and not taken in yet".into()
                    }
                    _ => "outside: seen in the bucket, and not taken in yet".into(),
                },
                since: None,
                reason: None,
                detail: why.clone(),
                to_do: "mend what is named, or wait for it; it is looked at again by itself".into(),
            },
            (Outside::Doubt(artifact), None) => WaitingAnswer {
                who: artifact.clone(),
                whereabouts: "in the LIMS queue".into(),
                since: None,
                reason: None,
                detail: "it is not doubted any more".into(),
                to_do: "nothing".into(),
            },
        }
    }

    /// Where it was looked for, in vain, and what that means.
    fn looked(&self) -> Vec<Looked> {
        let (fold, nsc) = (self.fold, self.role == "nsc");
        let look = |place: String, means: &str| Looked { place, means: means.to_owned() };
        let packages = fold.packages().count();
        let mut looked = vec![look(
            format!("the journal of this side ({packages} packages)"),
            if nsc {
                "it was never taken in here: no order of it was read, and nothing of this name lay in the transfer tree"
            } else {
                "no COMMIT of it was ever found in the bucket: ask the sending side, where `why` tells how far it is"
            },
        )];
        if nsc {
            looked.push(look(
                format!("the LIMS orders under way ({})", fold.open_orders().len()),
                "no order that is under way has such an artifact",
            ));
            looked.push(look(
                format!("samples of the LIMS queue that are doubted ({})", fold.doubts().len()),
                "the queue has no sample of this name that cannot be exported; is it queued at all?",
            ));
        }
        match self.snapshot() {
            Some(seen) => looked.push(look(
                format!("what the daemon sees outside and does not take ({})", seen.not_taken.len()),
                "nothing of this name waits outside, as of its last look (at most a hundred are listed)",
            )),
            None => looked.push(look(
                "what lies outside: NOT looked at".into(),
                "the daemon does not run or hangs, so nobody has looked at the queue, the transfer tree or the bucket",
            )),
        }
        looked
    }
}

fn several(packages: &[&Row], outside: &[Outside]) -> Few<Match> {
    let packages = packages.iter().map(|row| Match { ask: row.id.to_string(), state: row.state.to_string() });
    let outside = outside.iter().map(|one| match one {
        Outside::Doubt(artifact) => {
            Match { ask: artifact.clone(), state: "doubted in the LIMS queue".into() }
        }
        Outside::NotTaken(who, _) => Match { ask: who.clone(), state: "not taken yet".into() },
    });
    Few::of(packages.chain(outside), SHOWN, |one| one)
}
