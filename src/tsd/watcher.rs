//! Watcher: looks through the bucket, leaves `Seen` packages whose `COMMIT` can be believed.
//!
//! Wakes by timer, and by a doorbell where the endpoint has one. Everything in the bucket is hostile until proven: names, sizes, JSON, who signed it. A commit that
//! cannot be believed, at several looks, quarantines that package and nobody else; an unreachable bucket is an outage.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::border::{Believed, Verdict};
use super::doorbell::Bell;
use super::known::Known;
use super::landing::Landing;
use super::revisions::{self, Standing};
use super::scan::Wanted;
use super::senders::{self, Senders};
use super::share::{Entered, Held, Phase, Share};
use crate::blame::{Blame, Failure};
use crate::chain;
use crate::clock;
use crate::conf::WorkConf;
use crate::journal::{Facts, Journal};
use crate::notices::Notices;
use crate::package::{Heartbeat, MAX_COMMIT_BYTES, PackageId, Place, Reason, Sender, State};
use crate::signature::AllowedSigners;
use crate::store::{Store, StoreError};
use crate::supervisor::jitter;
use crate::supervisor::meter::Meter;
use crate::supervisor::station::Work;
use crate::supervisor::timer::Timer;

/// The actor's name.
pub const NAME: &str = "watcher";

/// Commits that are read at the same time.
const AT_ONCE: usize = 8;
/// Packages that are taken in at one look, those that turn out to be another host's included.
const AT_A_LOOK: usize = 500;
/// So many commits in a row that cannot be read, and the store itself is taken to be out of order.
const GIVE_UP: u32 = 5;
/// For all heartbeats together.
const LISTEN: Duration = Duration::from_secs(20);
/// Heartbeats that are listed; what else lies there is not looked at.
const BEATS: usize = 1000;

/// One look at the bucket.
#[derive(Clone, Debug)]
pub struct Round;

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("look at the bucket")
    }
}

/// All that watching needs; clones share.
#[derive(Clone)]
pub struct Watching {
    /// The truth.
    pub journal: Journal,
    /// The bucket.
    pub store: Store,
    /// Whose the packages are, where several hosts share the bucket.
    pub share: Share,
    /// Which kinds have a place here.
    pub landing: Landing,
    /// Who may sign; none: unsigned is accepted.
    pub signers: Option<AllowedSigners>,
    /// Keys that are nobody's package.
    pub refused: Notices,
    /// What is noticed of those who send.
    pub senders: Senders,
    /// How many analyses wait for their samples.
    pub held: Arc<AtomicUsize>,
    /// Between two looks.
    pub interval: Duration,
    /// Between two passes through all of a large bucket.
    pub whole: Duration,
    /// Rung when there may be something new.
    pub bell: Bell,
}

/// What the watcher knows between two looks.
pub struct Watcher {
    watching: Watching,
    work: WorkConf,
    known: Known,
    timer: Timer,
}

impl Watcher {
    /// A fresh one, for every incarnation.
    pub fn new(watching: Watching, work: WorkConf) -> Self {
        let timer = Timer::new(watching.interval);
        Self { watching, work, known: Known::default(), timer }
    }
}

impl Work for Watcher {
    type Unit = Round;
    type Blame = Blame;

    fn waiting(&mut self) -> Vec<Round> {
        if self.timer.is_due() || self.watching.bell.is_due() { vec![Round] } else { Vec::new() }
    }

    fn perform(&self, _: Round, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let (watching, work, known) = (self.watching.clone(), self.work, self.known.clone());
        let told = watching.bell.looks();
        self.timer.round(async move { watching.look(told, &work, &known, &meter).await }).boxed_local()
    }

    fn accident(&self, what: String) -> Blame {
        Blame::accident(what)
    }

    fn blame(&self, _: Round, _: Blame) -> LocalBoxFuture<'static, Result<(), String>> {
        futures_util::future::ready(Ok(())).boxed_local() // logged by the station; the next look comes by timer
    }
}

impl Watching {
    async fn look(
        &self,
        told: BTreeSet<PackageId>,
        work: &WorkConf,
        known: &Known,
        meter: &Meter,
    ) -> Result<(), Failure> {
        // What is odd about another host must not keep the bucket from being looked at.
        let peers = match self.share.look(&self.journal, work.window, NAME, meter).await {
            Err(fatal @ Failure::Fatal(_)) => return Err(fatal),
            looked => looked.err(),
        };
        let room = known.books().room();
        let (mut new, mut refused) = self.find(known, room, meter).await?;
        new.extend(told.into_iter().filter(|id| self.is_new(known, id)));
        let mut again = known.books().again(clock::now());
        again.retain(|id| !new.contains(id));
        let trouble = self.believe(new.into_iter().chain(again), work, known, meter).await?;
        self.take_in(work, known, meter).await?;
        let told = self.listen(&mut refused, meter).await?;
        // What a sender names is looked at, not believed: whoever cannot wait for a look that finds it is found at once.
        let told = told.into_iter().filter(|id| self.is_new(known, id)).take(AT_A_LOOK);
        let told: Vec<PackageId> = told.collect();
        let late = self.believe(told.into_iter(), work, known, meter).await?;
        refused.extend(self.take_in(work, known, meter).await?);
        self.refused.replace(refused);
        let waiting: BTreeSet<Place> = known.books().waiting();
        let now = clock::now();
        {
            let view = self.journal.view();
            self.senders.look(view.chains(), &waiting, view.born().unwrap_or(now), now);
        }
        trouble.or(late).or(peers).map_or(Ok(()), Err)
    }

    /// Whether a commit of this one would be news.
    fn is_new(&self, known: &Known, id: &PackageId) -> bool {
        self.journal.view().package(id).is_none() && !known.books().has_read(id)
    }

    /// Finds what may be new, and what is nobody's.
    async fn find(
        &self,
        known: &Known,
        room: usize,
        meter: &Meter,
    ) -> Result<(BTreeSet<PackageId>, BTreeMap<String, String>), Failure> {
        let mut scan = known.take_scan();
        let wanted = Wanted {
            prefix: self.store.prefix(),
            name: &|kind, name| {
                self.journal.view().revisions(kind, name).next().is_none()
                    && !known.books().knows_name(kind, name)
            },
            package: &|id| self.is_new(known, id) && !known.books().awaits(id),
            commit: &|id| self.is_new(known, id),
            room,
            meter,
        };
        let found = scan.look(&self.store, self.landing.kinds().cloned(), self.whole, &wanted).await;
        known.put_scan(scan);
        let found = found?;
        Ok(known.books().find(found))
    }

    /// Takes in what is believed, as far as there is room: the most urgent first, then the oldest. Those that another host has take up
    /// none. Gives back what waits for something else than room.
    async fn take_in(
        &self,
        work: &WorkConf,
        known: &Known,
        meter: &Meter,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let (mut waits, mut groups, mut tried) = (BTreeMap::new(), known.books().groups(), 0);
        groups.retain(|(_, _, id)| {
            let Some(Believed { facts, .. }) = known.books().judged(id) else { return false };
            let Standing::Waits(other) = self.standing(id, &facts) else { return true };
            drop(waits.insert(id.to_string(), format!("waits until {other} has come to its end")));
            false
        });
        let window = work.window;
        let outside = loop {
            // Analyses that wait for their samples must not keep them out.
            let held = self.held.load(Relaxed).min(window.limit);
            let under_way = self.journal.view().under_way().saturating_sub(held);
            let (inside, outside) = window.let_in(under_way, groups.clone());
            if inside.is_empty() || tried >= AT_A_LOOK {
                break outside + inside.len();
            }
            groups.retain(|(_, _, id)| !inside.contains(id));
            tried += inside.len();
            for id in inside {
                meter.alive();
                let Some(believed) = known.books().judged(&id) else { continue };
                match self.fate(&id, believed).await? {
                    Entered::As(to, facts) => {
                        known.books().leave(&id);
                        let _moved = self.journal.step(&id, None, to, NAME, *facts).await?;
                    }
                    Entered::Not(why) => drop(waits.insert(id.to_string(), why)),
                }
            }
        };
        let why =
            format!("wait in the bucket until fewer than {} are under way (work.under_way)", window.limit);
        self.refused.crowd(outside, "package(s)", &why);
        Ok(waits)
    }

    /// What becomes of a package whose commit is believed and for which there is room.
    async fn fate(&self, id: &PackageId, believed: Believed) -> Result<Entered, Failure> {
        let Believed { facts, link, .. } = believed;
        // Asked here and not when it was read: only this actor takes commits in, one after the other.
        if let Some(fork) = self.journal.view().chains().fork(id, &link) {
            let facts = stopped(facts, Reason::CommitFork, fork);
            return Ok(Entered::As(State::Quarantined, facts.into()));
        }
        let standing = self.standing(id, &facts);
        if let Standing::Waits(other) = &standing {
            // Another of its name was taken in just now.
            return Ok(Entered::Not(format!("waits until {other} has come to its end")));
        }
        // Claimed whatever becomes of it: another host may know less of its other revisions.
        let facts = match self.share.enter(id, facts).await? {
            Entered::As(State::Seen, facts) => *facts,
            elsewhere => return Ok(elsewhere),
        };
        let (to, facts) = match standing {
            Standing::Welcome | Standing::Waits(_) => (State::Seen, facts),
            Standing::Follows(other) => (State::Seen, remark(facts, format!("follows {other}"))),
            Standing::Asks(why) => (State::Quarantined, stopped(facts, Reason::Supersedes, why)),
            Standing::Same(other) => {
                let held = self.share.reach(&self.journal, id, NAME, Phase::Landed).await?;
                if !matches!(held, Held::Ours(_)) {
                    return Ok(Entered::Not("another host has taken it over just now".into()));
                }
                let detail = format!("the same bytes as {other}, which was handed over");
                (State::Duplicate, remark(facts, detail))
            }
        };
        Ok(Entered::As(to, facts.into()))
    }

    fn standing(&self, id: &PackageId, facts: &Facts) -> Standing {
        revisions::in_journal(&self.journal.view(), &self.landing, id, facts.manifest_sha256.as_ref())
    }

    /// Hears the heartbeats, behind everything else, and gives back which packages they name. One that cannot be read is said, and keeps
    /// the next look waiting for [`LISTEN`] at most.
    async fn listen(
        &self,
        refused: &mut BTreeMap<String, String>,
        meter: &Meter,
    ) -> Result<BTreeSet<PackageId>, Failure> {
        let mut told = BTreeSet::new();
        let (prefix, until) = (self.store.prefix(), Instant::now() + LISTEN);
        let keys = self.store.sizes(&format!("{prefix}/heartbeat/"), BEATS, |_| true).await?;
        let beating: BTreeSet<Sender> =
            keys.keys().filter_map(|key| senders::sender_of(prefix, key)).collect();
        for sender in beating.into_iter().take(senders::MOST) {
            meter.alive();
            let key = format!("{prefix}/heartbeat/{sender}");
            let beat = match timeout_at(until, self.store.get_small(&key, MAX_COMMIT_BYTES)).await {
                Err(_) => Err(format!("it was not read within {LISTEN:?} with the others")),
                Ok(Err(StoreError::NotFound(_))) => continue,
                Ok(Err(error)) => Err(chain(&error)),
                Ok(Ok(bytes)) => Heartbeat::parse(&bytes, &sender),
            };
            match beat {
                Ok(beat) => {
                    told.extend(beat.recent.iter().cloned());
                    self.senders.beats(beat, clock::now());
                }
                Err(why) => drop(refused.insert(key, why)),
            }
        }
        Ok(told)
    }

    /// Reads new commits: those that can be believed wait for room, the others are stopped at the border. What cannot be read
    /// now is given back as trouble.
    async fn believe(
        &self,
        new: impl Iterator<Item = PackageId>,
        work: &WorkConf,
        known: &Known,
        meter: &Meter,
    ) -> Result<Option<Failure>, Failure> {
        let (mut trouble, mut in_a_row) = (None, 0);
        let mut ids: VecDeque<PackageId> = new.collect();
        let jobs: Vec<_> = ids.iter().map(|id| self.judge(id.clone())).collect();
        let mut verdicts = stream::iter(jobs).buffered(AT_ONCE);
        while let Some((verdict, id)) = verdicts.next().await.zip(ids.pop_front()) {
            meter.alive();
            let verdict = match verdict {
                Ok(verdict) => verdict,
                Err(fatal @ Failure::Fatal(_)) => return Err(fatal),
                // One object that cannot be read must not hide those behind it; a store that is down ends the look.
                Err(e) => {
                    tracing::warn!(package = %id, error = ?e, "its COMMIT cannot be read now");
                    known.books().unread(id, true);
                    in_a_row += 1;
                    trouble = trouble.or(Some(e));
                    if in_a_row == GIVE_UP {
                        ids.drain(..).for_each(|id| known.books().unread(id, false));
                        break;
                    }
                    continue;
                }
            };
            in_a_row = 0;
            let (facts, reason, detail) = match verdict {
                Verdict::Absent => {
                    known.books().absent(&id, clock::now(), self.interval);
                    continue;
                }
                Verdict::Good(believed) => {
                    known.books().believe(id, believed);
                    continue;
                }
                Verdict::Odd(reason, detail) => {
                    let pause = |times| work.retry.delay(times, jitter());
                    let left = known.books().odd(&id, clock::now(), work.max_failures, pause);
                    if let Some(left) = left {
                        tracing::warn!(package = %id, %reason, detail, left, "its COMMIT does not fit; it is read again");
                        continue;
                    }
                    (Facts::default(), reason, detail)
                }
                Verdict::Stopped(believed, reason, detail) => (believed.facts, reason, detail),
            };
            known.books().leave(&id);
            let facts = stopped(facts, reason, detail);
            let _moved = self.journal.step(&id, None, State::Quarantined, NAME, facts).await?;
        }
        Ok(trouble)
    }
}

fn stopped(facts: Facts, reason: Reason, detail: String) -> Facts {
    Facts { reason: Some(reason), detail: Some(detail), ..facts }
}

fn remark(facts: Facts, detail: String) -> Facts {
    Facts { detail: Some(detail), ..facts }
}
