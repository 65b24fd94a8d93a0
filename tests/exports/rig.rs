//! A site with a sending daemon that looks often, and a trap in its LIMS that kills it at a chosen request.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tsd_import::conf::Role;
use tsd_import::demo::lims::{Settings, StepState, StepView, Udf, When};
use tsd_import::demo::site::{Order, PROJECT, Reads, SiteOptions};
use tsd_import::journal::{Event, Phase};
use tsd_import::package::{Priority, State};

use crate::world::{World, tail};

/// Everything soon, so that a run takes about a second.
const SOON: [(&str, &str); 10] = [
    ("TSD_IMPORT__LIMS__INTERVAL", "150 ms"),
    ("TSD_IMPORT__LIMS__ATTEMPTS", "2"),
    ("TSD_IMPORT__LIMS__DEADLINE", "2 s"),
    ("TSD_IMPORT__LIMS__STEP_DEADLINE", "5 s"),
    ("TSD_IMPORT__ORDERS__CHECK_EVERY", "500 ms"),
    ("TSD_IMPORT__WORK__RHYTHM", "50 ms"),
    ("TSD_IMPORT__WORK__RETRY_FIRST", "150 ms"),
    ("TSD_IMPORT__WORK__OUTAGE_FIRST", "100 ms"),
    ("TSD_IMPORT__WORK__OUTAGE_MAX", "400 ms"),
    ("TSD_IMPORT__TRANSFER__SCAN", "300 ms"),
];
/// Longest time that one export may take, whatever happened to it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request without what differs from export to export: `POST steps/*/advance`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape(pub String);

impl Shape {
    pub fn of(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.strip_prefix("/api/v2/").unwrap_or(path);
        let word =
            |s: &str| if s.bytes().any(|b| b.is_ascii_digit()) { "*".to_owned() } else { s.to_owned() };
        let path: Vec<String> = path.split('/').map(word).collect();
        let mut names: Vec<&str> =
            query.split('&').filter_map(|pair| pair.split('=').next()).filter(|n| !n.is_empty()).collect();
        names.dedup();
        let query = if names.is_empty() { String::new() } else { format!("?{}", names.join("&")) };
        Self(format!("{method} {}{query}", path.join("/")))
    }

    /// Whether it changes something in the LIMS.
    pub fn changes(&self) -> bool {
        !self.0.starts_with("GET") && !self.0.ends_with("batch/retrieve")
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Kills the daemon at the `left`-th request of a shape.
struct Trap {
    shape: Shape,
    left: u32,
    pid: Pid,
}

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A sample.
    Single,
    /// A family with its analysis.
    Trio,
    /// A sample whose reads are not what the delivery says.
    Damaged,
    /// A sample of which the LIMS says something that cannot be.
    Invalid,
}

/// What the site does with what it cannot deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Delete,
    FailedStep,
    Route,
    Review,
    /// What is invalid leaves the queue after two looks.
    PutOut,
}

const ONWARD: u32 = 1603;
const FAILED: u32 = 1602;
/// The simulator's stages have numbers of their own.
const FAILED_STAGE: &str = "751/6602";

impl Policy {
    /// A server that has what it needs, and the settings that ask for it.
    fn apply(self, lims: &mut Settings) -> Vec<(&'static str, &'static str)> {
        if self != Self::Delete {
            lims.failed_step = Some(FAILED);
            lims.failed_step_linked = self == Self::FailedStep;
            lims.next_step = lims.failed_step_linked.then_some(ONWARD);
        }
        let how = |how: &'static str| ("TSD_IMPORT__ORDERS__ON_FAILURE", how);
        let field = ("TSD_IMPORT__LIMS__FAILURE_FIELD", "Export failed description");
        match self {
            Self::Delete => vec![how("delete")],
            Self::FailedStep => vec![how("failed-step"), ("TSD_IMPORT__LIMS__FAILED_STEP", "1602"), field],
            Self::Route => vec![how("failed-step"), ("TSD_IMPORT__LIMS__FAILED_STAGE", FAILED_STAGE), field],
            Self::PutOut => vec![
                ("TSD_IMPORT__ORDERS__ON_INVALID", "route"),
                ("TSD_IMPORT__ORDERS__DOUBTS", "2"),
                ("TSD_IMPORT__LIMS__FAILED_STAGE", FAILED_STAGE),
                field,
            ],
            Self::Review => vec![how("review"), ("TSD_IMPORT__LIMS__REVIEWER", "3"), field],
        }
    }
}

pub struct Rig {
    pub world: World,
    policy: Policy,
    env: Vec<(String, String)>,
    trap: Arc<Mutex<Option<Trap>>>,
    made: u32,
}

impl Rig {
    pub async fn new(policy: Policy) -> Self {
        Self::with(policy, |_| {}).await
    }

    pub async fn with(policy: Policy, odd: impl FnOnce(&mut Settings)) -> Self {
        let mut options = SiteOptions { token_life: Duration::from_secs(3600), ..SiteOptions::default() };
        let env = policy.apply(&mut options.lims);
        odd(&mut options.lims);
        let world = World::with(options).await;
        let trap: Arc<Mutex<Option<Trap>>> = Arc::default();
        let set = trap.clone();
        world.site.lims.on_request(move |request, now| {
            // Only after the work and before the answer: dead before a request's work is the same as dead after the one
            // before it.
            let mut set = set.lock().unwrap();
            let Some(trap) = set.as_mut().filter(|_| now == When::After) else { return };
            if trap.shape == Shape::of(&request.method, &request.path) {
                trap.left -= 1;
                if trap.left == 0 {
                    kill_process(trap.pid, Signal::KILL).unwrap();
                    *set = None;
                }
            }
        });
        let env = SOON.iter().chain(&env).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { world, policy, env, trap, made: 0 }
    }

    pub fn start(&mut self, more: &[(&str, &str)]) {
        let env: Vec<(&str, &str)> =
            self.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).chain(more.iter().copied()).collect();
        self.world.start(Role::Nsc, &env);
    }

    /// Sequences and queues; returns what was queued.
    pub fn order(&mut self, what: What) -> Vec<String> {
        let number = self.made;
        let members = match what {
            What::Trio => vec![Some("proband"), Some("father"), Some("mother")],
            _ => vec![None],
        };
        let mut queued = Vec::new();
        for relation in members {
            self.made += 1;
            let dna = format!("HG{:08}", 40_000_000 + self.made);
            let order = Order {
                dna: dna.clone(),
                priority: Priority::Normal,
                family: relation.map(|r| (format!("F{number}"), r)),
                reads: Reads::Made(3_000),
            };
            let sample = self.world.site.sequence(&order).unwrap();
            queued.push(sample.root_artifact);
            if what == What::Invalid {
                let soonish = |udfs: &mut Vec<Udf>| {
                    udfs.retain(|udf| udf.name != "Priority Diag");
                    udfs.push(Udf::string("Priority Diag", "soonish"));
                };
                self.world.site.lims.edit_udfs(&sample.limsid, soonish).unwrap();
            }
            if what == What::Damaged {
                self.world.site.sums().unwrap();
                self.world.site.damage(&dna).unwrap();
            }
        }
        if what != What::Damaged {
            self.world.site.sums().unwrap();
        }
        queued.iter().for_each(|artifact| self.world.site.lims.enqueue(artifact).unwrap());
        queued
    }

    /// Sets the trap for the daemon that runs.
    pub fn trap(&self, shape: &Shape, nth: u32) {
        let pid = self.world.daemons[0].1.pid().unwrap();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        *self.trap.lock().unwrap() = Some(Trap { shape: shape.clone(), left: nth, pid });
    }

    /// Takes the trap away; whether it had sprung.
    pub fn disarm(&self) -> bool {
        self.trap.lock().unwrap().take().is_none()
    }

    pub fn has_ended(&mut self) -> bool {
        self.world.daemons.first_mut().is_none_or(|(_, daemon)| daemon.ended().is_some())
    }

    /// Waits until the order of these artifacts is at its end or with a person, starting the daemon again whenever it was
    /// killed.
    pub async fn until_over(&mut self, artifacts: &[String], why: &str) {
        let begun = Instant::now();
        while !self.is_over(artifacts) {
            if self.has_ended() {
                self.world.daemons.clear();
                self.start(&[]);
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{why}: not over within {PATIENCE:?}: {:?}\n{}",
                self.ends_of(artifacts),
                tail(&self.world.stderr(Role::Nsc))
            );
            tokio::time::sleep(Duration::from_millis(80)).await; // each look reads the journal
        }
    }

    /// Waits until nothing changes any more for two seconds; starts the daemon again whenever it was killed.
    pub async fn settles(&mut self, artifacts: &[String], why: &str) {
        let (begun, mut last, mut since) = (Instant::now(), String::new(), Instant::now());
        loop {
            if self.has_ended() {
                self.world.daemons.clear();
                self.start(&[]);
                since = Instant::now();
            }
            let now = format!("{:?} {}", self.ends_of(artifacts), self.world.events(Role::Nsc).len());
            if now != last {
                (last, since) = (now, Instant::now());
            }
            let moving = self.ends_of(artifacts).values().any(|end| matches!(end, End::Underway(_)));
            if since.elapsed() > Duration::from_secs(2) && !moving {
                return;
            }
            let log = || tail(&self.world.stderr(Role::Nsc));
            assert!(begun.elapsed() < PATIENCE, "{why}: not settled within {PATIENCE:?}: {last}\n{}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the daemon has read the queue twice.
    pub async fn until_it_looks(&self) {
        let looked = |w: &World| {
            let looks = w.site.lims.requests();
            looks.iter().filter(|r| r.path.contains("/queues/") && r.status == 200).count() > 1
        };
        self.world.until("it looks at the queue", looked).await;
    }

    fn is_over(&self, artifacts: &[String]) -> bool {
        let fold = self.world.fold(Role::Nsc);
        let refused = |a: &String| fold.doubts().get(a).is_none_or(|doubt| doubt.refused == Some(true));
        let put_out = |a: &String| self.world.site.lims.artifact(a).unwrap().at_failed_step && refused(a);
        let doubted = match self.policy {
            Policy::PutOut => artifacts.iter().all(put_out),
            _ => artifacts.iter().any(|a| fold.doubts().contains_key(a)),
        };
        let end = |phase: Phase| phase.is_end() || phase == Phase::Review;
        let of =
            |row: &&tsd_import::journal::OrderRow| row.order.artifacts.iter().any(|a| artifacts.contains(a));
        let mut rows = fold.orders().filter(of).peekable();
        doubted || (rows.peek().is_some() && rows.all(|row| end(row.phase)))
    }

    /// What became of each artifact. Panics where something happened that must never happen.
    pub fn ends_of(&self, artifacts: &[String]) -> BTreeMap<String, End> {
        let steps = self.world.site.lims.steps();
        let queued = self.world.site.lims.queued();
        let fold = self.world.fold(Role::Nsc);
        let mut ends = BTreeMap::new();
        for artifact in artifacts {
            let mine: Vec<&StepView> = steps.iter().filter(|s| s.inputs.contains(artifact)).collect();
            let exported = self.world.site.lims.artifact(artifact).unwrap().exported;
            assert!(exported <= 1, "{artifact} was exported {exported} times: {mine:?}");
            let at_failed_step = self.world.site.lims.artifact(artifact).unwrap().at_failed_step;
            let order = fold.orders().find(|row| row.order.artifacts.contains(artifact));
            let doubt = fold.doubts().get(artifact).map(|d| format!("{}: {}", d.reason, d.detail));
            let open = mine.iter().filter(|s| s.state != StepState::Completed).count();
            let end = match order.map(|row| (row.phase, row.detail.clone().unwrap_or_default())) {
                _ if exported == 1 => End::Exported,
                Some((Phase::Failed, why)) => {
                    assert!(
                        at_failed_step,
                        "{artifact} is called failed and is not where failed ones go: {why}"
                    );
                    End::Failed(why)
                }
                Some((Phase::Review, why)) => End::Person(why),
                None if self.policy == Policy::PutOut && at_failed_step => {
                    assert!(!queued.contains(artifact), "{artifact} is queued and where failed ones go");
                    End::Failed(doubt.unwrap_or_default())
                }
                _ if doubt.is_some() => End::Person(doubt.unwrap_or_default()),
                _ if queued.contains(artifact) && open == 0 => End::Queued,
                _ if open == 0 => End::Gone,
                _ => End::Underway(open),
            };
            drop(ends.insert(artifact.clone(), end));
        }
        ends
    }

    /// One step was ever made with each, so nobody claimed twice; none with what was put out of the queue.
    pub fn claimed_once(&self, artifacts: &[String], why: &str) {
        let steps = u32::from(self.policy != Policy::PutOut);
        for artifact in artifacts {
            let made = self.world.site.lims.steps_made(artifact);
            assert_eq!(u32::try_from(made).unwrap(), steps, "{why}: steps made with {artifact}");
        }
    }

    /// Nothing is open that nobody knows of; nothing was sent twice; whatever is called exported was committed first.
    pub fn is_sound(&self, why: &str) {
        let fold = self.world.fold(Role::Nsc);
        for step in self.world.site.lims.steps().iter().filter(|s| s.state != StepState::Completed) {
            let known = fold.orders().any(|row| row.step.as_deref() == Some(&step.id) && !row.phase.is_end());
            assert!(known, "{why}: step {} of {:?} is left open by nobody", step.id, step.inputs);
        }
        let mut commits: BTreeMap<String, u32> = BTreeMap::new();
        for line in self.world.events(Role::Nsc) {
            if let Event::Moved { package, to: State::Committed, .. } = &line.event {
                *commits.entry(package.to_string()).or_default() += 1;
            }
        }
        assert!(commits.values().all(|n| *n == 1), "{why}: {commits:?}");
        for row in fold.orders().filter(|row| row.phase == Phase::Completed) {
            for draft in &row.order.packages {
                let (name, kind) = (&draft.id.name, &draft.id.kind);
                let commit =
                    self.world.site.dir.join(format!("store/p22-import/tsd-import/{kind}/{name}/r1/COMMIT"));
                assert!(
                    commit.is_file(),
                    "{why}: {} is called exported without {}",
                    draft.id,
                    commit.display()
                );
            }
        }
    }

    /// Requests of the LIMS so far, by shape.
    pub fn shapes(&self) -> Vec<Shape> {
        self.world.site.lims.requests().iter().map(|r| Shape::of(&r.method, &r.path)).collect()
    }
}

/// What became of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Exported, once.
    Exported,
    /// In the queue, in nobody's step.
    Queued,
    /// Where the site wants failed ones.
    Failed(String),
    /// With a person who is told why.
    Person(String),
    /// Neither queued nor in a step of ours: a person has it.
    Gone,
    /// In so many open steps.
    Underway(usize),
}

/// The package that a sample becomes.
#[allow(dead_code)]
pub fn package_of(dna: &str) -> String {
    format!("samples/{PROJECT}-{dna}/r1")
}
