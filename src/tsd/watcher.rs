//! Watcher: looks through the bucket, leaves `Seen` packages whose `COMMIT` can be believed.
//!
//! Wakes by timer only. Everything in the bucket is hostile until proven: names, sizes, JSON, who signed it. A commit that
//! cannot be believed, at several looks, quarantines that package and nobody else; an unreachable bucket is an outage.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, timeout_at};

use super::doubts::Doubts;
use super::landing::Landing;
use super::senders::{self, Senders};
use crate::blame::{Blame, Failure};
use crate::chain;
use crate::clock;
use crate::conf::WorkConf;
use crate::journal::{Facts, Journal};
use crate::notices::Notices;
use crate::package::{
    COMMIT, COMMIT_SIG, Commit, Heartbeat, Link, MAX_COMMIT_BYTES, PackageId, Place, Reason, Sender, State,
};
use crate::signature::{self, AllowedSigners};
use crate::store::{Store, StoreError};
use crate::supervisor::jitter;
use crate::supervisor::meter::Meter;
use crate::supervisor::station::Work;
use crate::supervisor::timer::Timer;

/// The actor's name.
pub const NAME: &str = "watcher";

/// So many commits in a row that cannot be read, and the store itself is taken to be out of order.
const GIVE_UP: u32 = 5;
/// For all heartbeats together.
const LISTEN: Duration = Duration::from_secs(20);
/// So many new commits are read at one look, so that a flood of them does not keep the first ones waiting…
const AT_A_LOOK: usize = 500;
/// …and of so many waiting ones the priorities are kept; those beyond are read when others have gone.
const KEPT: usize = 20_000;

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
    /// Which kinds have a place here.
    pub landing: Landing,
    /// Who may sign; none: unsigned is accepted.
    pub signers: Option<AllowedSigners>,
    /// Keys that are nobody's package.
    pub refused: Notices,
    /// Packages whose commit could not be read at the last look.
    pub unread: Arc<Mutex<BTreeSet<PackageId>>>,
    /// What is noticed of those who send.
    pub senders: Senders,
}

/// What the watcher knows between two looks.
pub struct Watcher {
    watching: Watching,
    work: WorkConf,
    known: Known,
    timer: Timer,
}

/// What the watcher knows of commits in the bucket. Worth nothing but the time to read them again.
#[derive(Clone, Default)]
struct Known {
    /// They were believed and wait until there is room: with their priorities, so that the urgent ones come in first.
    judged: Arc<Mutex<BTreeMap<PackageId, Believed>>>,
    /// They did not fit and are read again.
    doubts: Arc<Mutex<Doubts>>,
}

impl Known {
    fn judged(&self) -> MutexGuard<'_, BTreeMap<PackageId, Believed>> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubts(&self) -> MutexGuard<'_, Doubts> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A commit that is believed.
#[derive(Clone)]
struct Believed {
    facts: Facts,
    link: Link,
}

/// What is thought of a commit.
enum Verdict {
    Good(Believed),
    /// What came is not right. Whether it is what the bucket holds is not proven by one answer.
    Odd(Reason, String),
    /// The commit is right, and there is no place for it.
    Stopped(Believed, Reason, String),
}

impl Watcher {
    /// A fresh one, for every incarnation.
    pub fn new(watching: Watching, work: WorkConf, interval: Duration) -> Self {
        Self { watching, work, known: Known::default(), timer: Timer::new(interval) }
    }
}

impl Work for Watcher {
    type Unit = Round;
    type Blame = Blame;

    fn waiting(&mut self) -> Vec<Round> {
        if self.timer.is_due() { vec![Round] } else { Vec::new() }
    }

    fn perform(&self, _: Round, meter: Meter) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let (watching, work, known) = (self.watching.clone(), self.work, self.known.clone());
        self.timer.round(async move { watching.look(&work, &known, &meter).await }).boxed_local()
    }

    fn accident(&self, what: String) -> Blame {
        Blame::accident(what)
    }

    fn blame(&self, _: Round, _: Blame) -> LocalBoxFuture<'static, Result<(), String>> {
        futures_util::future::ready(Ok(())).boxed_local() // logged by the station; the next look comes by timer
    }
}

/// The package that a commit's key belongs to.
fn package_of(prefix: &str, key: &str) -> Option<Result<PackageId, String>> {
    let inner = key.strip_prefix(prefix)?.strip_prefix('/')?.strip_suffix(COMMIT)?.strip_suffix('/')?;
    Some(inner.parse().map_err(|e: crate::package::IdError| e.to_string()))
}

impl Watching {
    async fn look(&self, work: &WorkConf, known: &Known, meter: &Meter) -> Result<(), Failure> {
        let (mut new, mut refused, mut beating) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        let prefix = self.store.prefix().to_owned();
        let below = format!("{prefix}/");
        let listing = self.store.list(&below, |object| {
            meter.alive();
            match package_of(&prefix, &object.key) {
                Some(Ok(id)) if self.journal.view().package(&id).is_none() => {
                    let _first = new.insert(id);
                }
                Some(Err(why)) => drop(refused.insert(object.key, why)),
                _ => {
                    let sender = senders::sender_of(&prefix, &object.key);
                    beating.extend(sender.filter(|_| beating.len() < senders::MOST));
                }
            }
        });
        listing.await?;
        known.judged().retain(|id, _| new.contains(id));
        known.doubts().keep(&new);
        let now = clock::now();
        new.retain(|id| !known.judged().contains_key(id) && !known.doubts().waits(id, now));
        let room = KEPT.saturating_sub(known.judged().len());
        let fresh_room = room.saturating_sub(known.doubts().len());
        // What could not be read at the last look, or did not fit, is read last, so that it never hides what lies behind it.
        let failed = std::mem::take(&mut *self.unread.lock().unwrap_or_else(PoisonError::into_inner));
        let (again, fresh): (Vec<PackageId>, Vec<PackageId>) =
            new.into_iter().partition(|id| failed.contains(id) || known.doubts().knows(id));
        let chosen = fresh.into_iter().take(fresh_room).chain(again).take(room.min(AT_A_LOOK));
        let trouble = self.believe(chosen, work, known, meter).await?;
        let groups = known
            .judged()
            .iter()
            .map(|(id, b)| (b.facts.priority.unwrap_or_default(), 1, id.clone()))
            .collect();
        let (window, under_way) = (work.window, self.journal.view().under_way());
        let (inside, outside) = window.let_in(under_way, groups);
        let limit = window.limit;
        let why = format!("wait in the bucket until fewer than {limit} are under way (work.under_way)");
        self.refused.crowd(outside, "package(s)", &why);
        for id in inside {
            let Some(Believed { facts, link }) = known.judged().remove(&id) else { continue };
            // Asked here and not when it was read: only this actor takes commits in, one after the other.
            let fork = self.journal.view().chains().fork(&id, &link);
            let (to, facts) = match fork {
                None => (State::Seen, facts),
                Some(fork) => (State::Quarantined, stopped(facts, Reason::CommitFork, fork)),
            };
            let _moved = self.journal.step(&id, None, to, NAME, facts).await?;
        }
        self.listen(beating, &mut refused, meter).await;
        self.refused.replace(refused);
        let waiting: BTreeSet<Place> = known.judged().values().map(|b| b.link.place.clone()).collect();
        let now = clock::now();
        {
            let view = self.journal.view();
            self.senders.look(view.chains(), &waiting, view.born().unwrap_or(now), now);
        }
        trouble.map_or(Ok(()), Err)
    }

    /// Hears the heartbeats, behind everything else. One that cannot be read is said, and keeps the next look waiting for [`LISTEN`] at most.
    async fn listen(&self, beating: BTreeSet<Sender>, refused: &mut BTreeMap<String, String>, meter: &Meter) {
        let until = Instant::now() + LISTEN;
        for sender in beating {
            meter.alive();
            let key = format!("{}/heartbeat/{sender}", self.store.prefix());
            let beat = match timeout_at(until, self.store.get_small(&key, MAX_COMMIT_BYTES)).await {
                Err(_) => Err(format!("it was not read within {LISTEN:?} with the others")),
                Ok(Err(StoreError::NotFound(_))) => continue,
                Ok(Err(error)) => Err(chain(&error)),
                Ok(Ok(bytes)) => Heartbeat::parse(&bytes, &sender),
            };
            match beat {
                Ok(beat) => self.senders.beats(beat, clock::now()),
                Err(why) => drop(refused.insert(key, why)),
            }
        }
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
        for id in new {
            meter.alive();
            let verdict = match self.judge(&id).await {
                Ok(verdict) => verdict,
                Err(fatal @ Failure::Fatal(_)) => return Err(fatal),
                // One object that cannot be read must not hide those behind it; a store that is down ends the look.
                Err(e) => {
                    tracing::warn!(package = %id, error = ?e, "its COMMIT cannot be read now");
                    let _first = self.unread.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                    in_a_row += 1;
                    trouble = trouble.or(Some(e));
                    if in_a_row == GIVE_UP {
                        break;
                    }
                    continue;
                }
            };
            in_a_row = 0;
            let (facts, reason, detail) = match verdict {
                Verdict::Good(believed) => {
                    known.doubts().settle(&id);
                    drop(known.judged().insert(id, believed));
                    continue;
                }
                Verdict::Odd(reason, detail) => {
                    let pause = |times| work.retry.delay(times, jitter());
                    let left = known.doubts().odd(&id, clock::now(), work.max_failures, pause);
                    if let Some(left) = left {
                        tracing::warn!(package = %id, %reason, detail, left, "its COMMIT does not fit; it is read again");
                        continue;
                    }
                    (Facts::default(), reason, detail)
                }
                Verdict::Stopped(believed, reason, detail) => (believed.facts, reason, detail),
            };
            let facts = stopped(facts, reason, detail);
            let _moved = self.journal.step(&id, None, State::Quarantined, NAME, facts).await?;
        }
        Ok(trouble)
    }

    /// Believes a commit or says why not.
    async fn judge(&self, id: &PackageId) -> Result<Verdict, Failure> {
        let odd = |reason, detail: String| Ok(Verdict::Odd(reason, detail));
        let bytes = match self.store.get_small(&self.store.key(id, COMMIT), MAX_COMMIT_BYTES).await {
            Err(StoreError::TooLarge { size, .. }) => {
                return odd(Reason::BadCommit, format!("COMMIT has {size} bytes or more"));
            }
            bytes => bytes?,
        };
        let commit = match Commit::parse(&bytes, id) {
            Ok(commit) => commit,
            Err(e) => return odd(Reason::BadCommit, chain(&e)),
        };
        if let Some(signers) = &self.signers {
            let key = self.store.key(id, COMMIT_SIG);
            let signature = match self.store.get_small(&key, signature::MAX_BYTES).await {
                Err(StoreError::NotFound(_)) => {
                    return odd(Reason::BadSignature, "there is no COMMIT.sig".into());
                }
                Err(e @ StoreError::TooLarge { .. }) => {
                    return odd(Reason::BadSignature, e.to_string());
                }
                signature => signature?,
            };
            if let Err(e) = signers.verify(commit.sender.name.as_str(), &bytes, &signature) {
                return odd(Reason::BadSignature, chain(&e));
            }
        }
        let link = commit.link(&bytes);
        let facts = Facts {
            priority: Some(commit.priority),
            files: Some(commit.files),
            bytes: Some(commit.bytes),
            manifest_sha256: Some(commit.manifest_sha256),
            commit_sha256: Some(link.digest.clone()),
            sent_as: Some(link.place.to_string()),
            previous: link.previous.clone(),
            ..Facts::default()
        };
        let believed = Believed { facts, link };
        if self.landing.of(&id.kind).is_none() {
            let detail = format!("there is no landing for kind {}", id.kind);
            return Ok(Verdict::Stopped(believed, Reason::UnknownKind, detail));
        }
        Ok(Verdict::Good(believed))
    }
}

fn stopped(facts: Facts, reason: Reason, detail: String) -> Facts {
    Facts { reason: Some(reason), detail: Some(detail), ..facts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_keys_are_packages() {
        let of = |key| package_of("in", key);
        assert_eq!(of("in/samples/Diag-1/r1/COMMIT").unwrap().unwrap().to_string(), "samples/Diag-1/r1");
        for other in [
            "in/samples/Diag-1/r1/SHA256SUMS",
            "in/heartbeat/gdx-login/1",
            "in/doctor/0123456789ab/raced",
            "out/samples/x/r1/COMMIT",
            "in/samples/x/r1/COMMIT.sig",
        ] {
            assert!(of(other).is_none(), "{other}");
        }
        for odd in [
            "in/samples/../r1/COMMIT",
            "in/samples/a b/r1/COMMIT",
            "in/COMMIT/COMMIT",
            "in/samples/x/COMMIT",
            "in/a/b/c/x/r1/COMMIT",
        ] {
            assert!(of(odd).unwrap().is_err(), "{odd}");
        }
    }
}
