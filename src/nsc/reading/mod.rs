//! Reading the queue: what can be ordered now, who waits and for what, and what somebody must correct.
//!
//! Changes nothing in the LIMS. A look has three parts: the survey of everybody (`survey`), the choice of those whose turn it is
//! (`pick`, pure), and the reading of those in full (`depth`), in which things that many share are read once. What is then
//! ordered is decided by pure functions (`super::order`), given what was sent before (`history`). What is wrong with one sample
//! holds up that sample, and its family, only.
mod depth;
mod files;
mod history;
mod memory;
mod orphans;
mod pick;
mod search;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::exporter::Exporter;
use super::order::{self, NotYet, Part, Past, PastState, Queued, RunId, Subject, dna_id};
use super::source::{Look, Looking, Ready};
use super::tree::Tree;
use crate::blame::Failure;
use crate::conf::{NscConf, OrdersConf};
use crate::disk::Disk;
use crate::package::{Draft, Kind, Name, Order, PackageId, Priority, without_uuid};
use depth::Depth;
use files::Files;
use history::{History, Known, Orders};
use memory::{Memory, Vain};
use pick::{Plan, Seen};
use survey::{Entry, Survey};

/// So many of those that were read in vain before, and not at this look, are told again; the others are only said to wait.
const TOLD_AGAIN: usize = 200;

/// What reading needs besides the LIMS.
pub struct Desk {
    orders: OrdersConf,
    /// Directory of SNP-ID results and its disk.
    snp: Option<(PathBuf, Disk)>,
    tree: Tree,
    tree_disk: Disk,
    /// One look at a time; one that is cut off leaves what it has learnt.
    memory: tokio::sync::Mutex<Memory>,
}

impl Desk {
    /// As configured. The disks: of the transfer tree, and of the SNP-ID results if they are sent.
    pub fn new(nsc: &NscConf, tree_disk: Disk, snp_disk: Option<Disk>) -> Self {
        Self {
            orders: nsc.orders.clone(),
            snp: nsc.taqman.clone().zip(snp_disk),
            tree: Tree::new(&nsc.transfer),
            tree_disk,
            memory: tokio::sync::Mutex::default(),
        }
    }
}

/// Reads what is queued and new, and sorts it into orders, those that wait, and doubts.
pub async fn look(exporter: &Exporter, with: Looking<'_>) -> Result<Look, Failure> {
    let Some(desk) = &exporter.desk else {
        return Err(Failure::Fatal("the queue is read by something that was not made for it".into()));
    };
    look_with(exporter, desk, with, &mut *desk.memory.lock().await).await
}

async fn look_with(
    exporter: &Exporter,
    desk: &Desk,
    with: Looking<'_>,
    memory: &mut Memory,
) -> Result<Look, Failure> {
    let orders = Orders::of(with.journal);
    let us = with.journal.view().technician.clone();
    orphans::find(exporter, &orders, us.as_deref(), memory).await?;
    let mut entries = orphans::pending(&orders, memory);
    let queue = exporter.queue().await?;
    let held: BTreeSet<String> = entries.iter().map(|e| e.artifact.to_string()).collect();
    let new = queue
        .items
        .into_iter()
        .filter(|item| !orders.is_open(item.id.as_str()) && !held.contains(item.id.as_str()));
    entries.extend(new.map(|item| Entry { artifact: item.id, queued_at: item.queued_at, claim: None }));
    let queued: BTreeSet<String> = entries.iter().map(|e| e.artifact.to_string()).collect();
    if entries.is_empty() {
        memory.learn(&queued, &BTreeSet::new(), Vec::new());
        return Ok(Look::default());
    }
    let _as_configured = exporter.step_as_configured().await?;
    memory.round += 1;
    let mut survey = survey::survey(exporter, &entries, with.meter).await?;
    let seen = std::mem::take(&mut survey.seen);
    let Plan { units, said, later } = pick::pick(seen, memory, desk.orders.read_at_once);
    for (one, said) in said {
        survey.say(one.artifact.as_str(), one.who(), said);
    }
    let unread = later.iter().map(|one| one.artifact.to_string()).collect();
    waits_for_its_turn(later, memory, desk.orders.read_at_once, &mut survey);
    let picked: Vec<&Seen> = units.iter().flatten().collect();
    let mut depth = Depth::new(exporter, with.meter);
    let mut takes_repeats = memory.takes_repeats;
    let read = depth.read(&picked, &mut takes_repeats).await?;
    memory.takes_repeats = takes_repeats;
    drop(depth);
    let files = Files::new(with, desk.snp.as_ref());
    let mut decide =
        Decide { exporter, desk, with, orders, history: None, files, read, made: BTreeSet::new() };
    let (mut ready, mut vain) = (Vec::new(), Vec::new());
    for unit in &units {
        with.meter.alive();
        match decide.unit(unit).await? {
            Ok(order) => ready.push(Ready { order, claim: unit.first().and_then(|one| one.claim.clone()) }),
            Err(words) => {
                for (one, said) in words {
                    let of = Vain { round: memory.round, who: one.who(), said: said.clone() };
                    vain.push((one.artifact.to_string(), of));
                    survey.say(one.artifact.as_str(), one.who(), said);
                }
            }
        }
    }
    let picked = picked.into_iter().map(|one| one.artifact.to_string()).collect();
    memory.learn(&queued, &picked, vain);
    Ok(Look { orders: ready, waiting: survey.waiting, doubts: survey.doubts, unread })
}

/// Those that this look does not read in full: what was last said of them, or that their turn will come.
fn waits_for_its_turn(later: Vec<Seen>, memory: &Memory, at_once: usize, survey: &mut Survey) {
    let (mut told, mut untold) = (0, false);
    for one in later {
        match memory.of(one.artifact.as_str()) {
            Some(vain) if matches!(vain.said, NotYet::Wrong(_)) || told < TOLD_AGAIN => {
                told += 1;
                survey.say(one.artifact.as_str(), vain.who.clone(), vain.said.clone());
            }
            _ => untold = true,
        }
    }
    if untold {
        let why = format!("wait for their turn to be read in full (orders.read_at_once = {at_once})");
        drop(survey.waiting.insert("~ other queued samples".into(), why));
    }
}

/// From what was read to orders.
struct Decide<'a> {
    exporter: &'a Exporter,
    desk: &'a Desk,
    with: Looking<'a>,
    orders: Orders,
    history: Option<History>,
    files: Files<'a>,
    read: BTreeMap<crate::clarity::LimsId, Result<Queued, NotYet>>,
    /// Packages that orders of this look make.
    made: BTreeSet<(Kind, String)>,
}

type Said<'u> = Vec<(&'u Seen, NotYet)>;

impl Decide<'_> {
    /// The order of a single sample or a family, or what is said to each.
    async fn unit<'u>(&mut self, unit: &'u [Seen]) -> Result<Result<Order, Said<'u>>, Failure> {
        let mut all = Vec::new();
        for one in unit {
            match self.read.remove(&one.artifact) {
                Some(Ok(queued)) => match self.as_surveyed(one, &queued) {
                    Ok(()) => all.push(queued),
                    Err(said) => return Ok(Err(to_each(unit, one, &said))),
                },
                Some(Err(said)) => return Ok(Err(to_each(unit, one, &said))),
                None => return Ok(Err(to_each(unit, one, &NotYet::waits("it was not read")))),
            }
        }
        let mut subjects = Vec::new();
        let mut priority = Priority::default();
        for (one, queued) in unit.iter().zip(&all) {
            match self.subject(queued).await? {
                Ok((subject, its)) => {
                    priority = priority.max(its);
                    subjects.push(subject);
                }
                Err(said) => return Ok(Err(to_each(unit, one, &said))),
            }
        }
        let Some(first) = unit.first() else { return Ok(Err(Vec::new())) };
        let analysis = match self.analysis(&subjects, priority).await? {
            Ok(analysis) => analysis,
            Err(said) => return Ok(Err(to_each(unit, first, &said))),
        };
        let id = order::order_id(first.artifact.as_str(), self.orders.count(first.artifact.as_str()));
        let order = order::assemble(id, subjects, analysis, priority);
        for draft in &order.packages {
            if self.made.contains(&stem(&draft.id)) {
                let why = format!(
                    "another queued sample makes a package {} too: it waits until that one has left",
                    draft.id
                );
                return Ok(Err(to_each(unit, first, &NotYet::waits(why))));
            }
        }
        self.made.extend(order.packages.iter().map(|draft| stem(&draft.id)));
        Ok(Ok(order))
    }

    /// The family was put together from the survey; the LIMS must still say the same.
    fn as_surveyed(&self, one: &Seen, queued: &Queued) -> Result<(), NotYet> {
        let conf = &self.exporter.conf;
        let same = order::family(conf, &queued.sample)? == one.family
            && order::priority(conf, &queued.sample)? == one.priority;
        match same {
            true => Ok(()),
            false => Err(NotYet::waits(
                "the LIMS said two different things of its family or its priority within a minute; it is read again",
            )),
        }
    }

    async fn subject<'q>(
        &mut self,
        one: &'q Queued,
    ) -> Result<Result<(Subject<'q>, Priority), NotYet>, Failure> {
        let conf = &self.exporter.conf;
        let priority = match order::priority(conf, &one.sample) {
            Ok(priority) => priority,
            Err(said) => return Ok(Err(said)),
        };
        if let Some(old) = order::reanalysis(conf, &one.sample) {
            let old = old.to_owned();
            let journal = self.with.journal;
            let package = self.history().await?.earlier_sample(journal, &old);
            return Ok(package.map(|package| (Subject { one, package, part: None }, priority)));
        }
        let (draft, rule) = (self.draft(one, priority).await?, self.desk.orders.again);
        let draft = match draft {
            Ok(draft) => draft,
            Err(said) => return Ok(Err(said)),
        };
        let past = self.past(&draft.id.kind, &draft.id.name).await?;
        Ok(order::judge(draft, past, rule, false).map(|part| {
            let package = match &part {
                Part::Send { draft, .. } => draft.id.name.clone(),
                Part::Sent(id) => id.name.clone(),
            };
            (Subject { one, package, part: Some(part) }, priority)
        }))
    }

    /// The sample package as it would be sent for the first time.
    async fn draft(&mut self, one: &Queued, priority: Priority) -> Result<Result<Draft, NotYet>, Failure> {
        let (conf, root) = (&self.exporter.conf, &self.exporter.delivery_root);
        for output in &one.outputs {
            let Ok(run) = RunId::parse(&output.run_id) else { continue };
            let dir = run.delivery(root, one.project.name.as_deref().unwrap_or_default());
            if let Err(said) = self.files.delivery(dir).await? {
                return Ok(Err(said));
            }
        }
        let snp = match self.files.snp(dna_id(one.sample.name.as_deref().unwrap_or_default())).await? {
            Ok(snp) => snp,
            Err(said) => return Ok(Err(said)),
        };
        Ok(order::draft_sample(conf, one, priority, root, &self.files.deliveries, snp.as_ref()))
    }

    /// What becomes of the analysis, if there is to be one.
    async fn analysis(
        &mut self,
        subjects: &[Subject<'_>],
        priority: Priority,
    ) -> Result<Result<Option<Part>, NotYet>, Failure> {
        let alone = subjects.len() == 1 && subjects.iter().all(|s| s.part.is_some());
        if alone && !self.desk.orders.single_analysis {
            return Ok(Ok(None));
        }
        let draft = match order::draft_analysis(&self.exporter.conf, subjects, priority) {
            Ok(draft) => draft,
            Err(said) => return Ok(Err(said)),
        };
        let past = self.past(&draft.id.kind, &draft.id.name).await?;
        let anew = subjects.iter().any(|s| matches!(s.part, Some(Part::Send { .. })));
        Ok(order::judge(draft, past, self.desk.orders.again, anew).map(Some))
    }

    async fn past(&mut self, kind: &Kind, name: &Name) -> Result<Option<Past>, Failure> {
        let with = self.with;
        Ok(match self.history().await?.find(with.journal, kind, name) {
            None => None,
            Some(Known::Past(past)) => Some(past),
            Some(Known::Rests(id, place)) => {
                let of = id.clone();
                let sent =
                    with.hold.on(&self.desk.tree_disk, move |on| files::sent(on, &of, &place)).await??;
                Some(Past { id, state: PastState::Left(sent) })
            }
        })
    }

    /// Read when it is needed for the first time.
    async fn history(&mut self) -> Result<&History, Failure> {
        if self.history.is_none() {
            let desk = self.desk;
            let tree = desk.tree.clone();
            let resting = self.with.hold.on(&desk.tree_disk, move |on| files::resting(on, &tree)).await??;
            self.history = Some(History::new(self.with.journal, resting));
        }
        Ok(self.history.get_or_insert_default())
    }
}

fn stem(id: &PackageId) -> (Kind, String) {
    (id.kind.clone(), without_uuid(id.name.as_str()).to_owned())
}

/// One member's word, and to the others of its family that they wait for it.
fn to_each<'u>(unit: &'u [Seen], whose: &Seen, said: &NotYet) -> Said<'u> {
    let Some((number, relation)) = whose.family.as_ref().filter(|_| unit.len() > 1) else {
        return unit.iter().map(|one| (one, said.clone())).collect();
    };
    let (who, why) = (whose.who(), said.words());
    let word = |one: &'u Seen| match said {
        NotYet::Wrong(_) if one.artifact == whose.artifact => (one, said.clone()),
        _ => (one, NotYet::waits(format!("family {number}: the {relation}, {who}: {why}"))),
    };
    unit.iter().map(word).collect()
}
