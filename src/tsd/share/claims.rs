//! Claims as the actors use them: taken before a package comes in, kept while it is under way, brought forward, lost.
use super::adopt::phase;
use super::record::{Claim, MOST_BYTES, Phase, bytes, claim};
use super::sight::{Stand, stand};
use super::{Mine, Share, Shared, locked};
use crate::blame::{Blame, Failure};
use crate::clock;
use crate::journal::{Facts, Journal};
use crate::package::{PackageId, Reason, State};
use crate::store::{Only, Swapped, Tag};

/// What became of a package that is new here.
pub enum Entered {
    /// As which it comes into the journal.
    As(State, Box<Facts>),
    /// It cannot come in now, and why.
    Not(String),
}

/// Whose a package is that is under way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Ours, and so far.
    Ours(Phase),
    /// Another host has taken it over while we were silent, and the journal says so now.
    Lost {
        /// Whether what was copied here is of no use to anybody. Otherwise the other host looks for it.
        clear: bool,
    },
}

impl Share {
    /// Takes a new package for this host, or says whose it is.
    pub async fn enter(&self, id: &PackageId, facts: Facts) -> Result<Entered, Failure> {
        let Some(shared) = &self.on else { return Ok(Entered::As(State::Seen, facts.into())) };
        let first = Claim::new(id, &shared.own()?.holder(), clock::now());
        if shared.write(&first, Only::New).await? {
            return Ok(Entered::As(State::Seen, facts.into()));
        }
        let (found, tag) = match shared.read(id).await? {
            Some(Ok(found)) => found,
            Some(Err(why)) => return Ok(Entered::Not(shared.odd(id, &why))),
            None => return Ok(Entered::Not(format!("{} came and went", shared.bucket.claim(id)))),
        };
        let seat = &first.holder.seat;
        // Ours, and not in the journal: an earlier life was cut off between the two.
        if stand(&found, seat) == Stand::Ours
            && found.state == Phase::Working
            && let Some(next) = found.handed_to(&first.holder, clock::now())
            && shared.write(&next, Only::Still(tag)).await?
        {
            return Ok(Entered::As(State::Seen, facts.into()));
        }
        let state = if found.state.is_end() { State::SettledElsewhere } else { State::Elsewhere };
        Ok(Entered::As(state, elsewhere(&found, facts).into()))
    }

    /// Makes sure that a package that is under way is this host's. To be asked at the beginning of each piece of work on it.
    pub async fn holds(&self, journal: &Journal, id: &PackageId, by: &str) -> Result<Held, Failure> {
        let Some(shared) = &self.on else { return Ok(Held::Ours(Phase::Working)) };
        let own = shared.own()?;
        own.permit()?;
        if let Some(mine) = locked(&shared.mine).get(id) {
            return Ok(Held::Ours(mine.claim.state));
        }
        let me = own.holder();
        let found = match shared.read(id).await? {
            // It came in when nothing was shared yet, or somebody has removed it.
            None => {
                let state =
                    journal.view().package(id).and_then(|row| phase(row.state)).unwrap_or(Phase::Working);
                let first = Claim::new(id, &me, clock::now()).at(state, clock::now());
                if shared.write(&first, Only::New).await? {
                    return Ok(Held::Ours(first.state));
                }
                return Err(Failure::Outage(format!(
                    "{} is being written by another host",
                    shared.bucket.claim(id)
                )));
            }
            Some(Err(why)) => return Err(Blame::again(shared.odd(id, &why))),
            Some(Ok((found, tag))) if stand(&found, &me.seat) == Stand::Ours => {
                let next = found.handed_to(&me, clock::now());
                let next = next.ok_or_else(|| Blame::again(shared.odd(id, "it was handed on too often")))?;
                if shared.write(&next, Only::Still(tag)).await? {
                    return Ok(Held::Ours(next.state));
                }
                shared.read(id).await?.and_then(Result::ok).map(|(found, _)| found)
            }
            Some(Ok((found, _))) => Some(found),
        };
        shared.lose(journal, id, by, found).await
    }

    /// Brings the claim forward, unless it is another host's now.
    pub async fn reach(
        &self,
        journal: &Journal,
        id: &PackageId,
        by: &str,
        phase: Phase,
    ) -> Result<Held, Failure> {
        let Some(shared) = &self.on else { return Ok(Held::Ours(phase)) };
        let Some(mine) = locked(&shared.mine).get(id).cloned() else {
            return Err(Failure::Outage(format!("{} was not looked at yet", shared.bucket.claim(id))));
        };
        may_die("share-reach", phase);
        let next = mine.claim.at(phase, clock::now());
        let ours = mine.claim.state >= phase || shared.write(&next, Only::Still(mine.tag)).await?;
        if !ours || phase.is_end() {
            drop(locked(&shared.mine).remove(id));
        }
        if ours {
            may_die("share-reached", phase);
            return Ok(Held::Ours(phase));
        }
        let found = shared.read(id).await?.and_then(Result::ok).map(|(found, _)| found);
        shared.lose(journal, id, by, found).await
    }

    /// A package was stopped here: no other host is to try it. One that was never claimed each host stops for itself.
    pub async fn stopped(&self, id: &PackageId) -> Result<(), Failure> {
        let Some(shared) = &self.on else { return Ok(()) };
        let me = shared.own()?.holder();
        let Some(Ok((found, tag))) = shared.read(id).await? else { return Ok(()) };
        if stand(&found, &me.seat) != Stand::Ours || found.state.is_end() {
            return Ok(());
        }
        if let Some(next) = found.handed_to(&me, clock::now()) {
            let _or_taken_over =
                shared.write(&next.at(Phase::Stopped, clock::now()), Only::Still(tag)).await?;
        }
        drop(locked(&shared.mine).remove(id));
        Ok(())
    }
}

/// For tests: dies at a chosen step, as kill -9 might. A release binary has no failpoints.
fn may_die(at: &'static str, phase: Phase) {
    let _alive = fail::eval(at, |wanted| {
        if wanted.as_deref() == Some(phase.as_str()) {
            std::process::abort();
        }
    });
}

/// Facts of a package that another host has.
pub(super) fn elsewhere(found: &Claim, facts: Facts) -> Facts {
    let host = &found.holder.host;
    let detail = match found.state {
        Phase::Working | Phase::Placing => format!("{host} has it in hand"),
        Phase::Landed => format!("{host} has put it in place"),
        Phase::Stopped => format!("{host} has stopped it: see there"),
    };
    let reason = (found.state == Phase::Stopped).then_some(Reason::StoppedElsewhere);
    Facts { holder: Some(host.clone()), reason, detail: Some(detail), ..facts }
}

impl Shared {
    /// In words, that a claim is no good.
    pub(super) fn odd(&self, id: &PackageId, why: &str) -> String {
        format!(
            "{} says nothing usable ({why}), so nobody knows whose the package is: find out on all hosts, then remove that object",
            self.bucket.claim(id)
        )
    }

    /// The claim of a package; `Err`: what lies there is none.
    pub(super) async fn read(&self, id: &PackageId) -> Result<Option<Result<(Claim, Tag), String>>, Failure> {
        let found = self.bucket.store.get_tagged(&self.bucket.claim(id), MOST_BYTES).await;
        let found = match found {
            Err(e @ crate::store::StoreError::TooLarge { .. }) => return Ok(Some(Err(e.to_string()))),
            found => found?,
        };
        Ok(found.map(|(text, tag)| claim(&text, id).map(|claim| (claim, tag))))
    }

    /// Writes a claim of ours and remembers it. False: it is not as expected any more.
    pub(super) async fn write(&self, next: &Claim, only: Only) -> Result<bool, Failure> {
        let key = self.bucket.claim(&next.package);
        let tag = match self.bucket.store.put_only(&key, bytes(next), &only).await? {
            Swapped::Done(tag) => Some(tag),
            Swapped::Denied(said) => return Err(Failure::Outage(self.bucket.denied(&said))),
            // Or it was done, and only the answer to an earlier attempt was lost, perhaps some time ago.
            Swapped::Refused => {
                let there = self.read(&next.package).await?.and_then(Result::ok);
                there.filter(|(there, _)| there.is_the_same_as(next)).map(|(_, tag)| tag)
            }
        };
        let Some(tag) = tag else { return Ok(false) };
        drop(locked(&self.mine).insert(next.package.clone(), Mine { claim: next.clone(), tag }));
        Ok(true)
    }

    /// Puts on record that another host has a package that was under way here.
    async fn lose(
        &self,
        journal: &Journal,
        id: &PackageId,
        by: &str,
        to: Option<Claim>,
    ) -> Result<Held, Failure> {
        let seat = self.own()?.holder().seat;
        // The other looks only for what was `placing`.
        let lost = Held::Lost { clear: to.as_ref().is_some_and(|to| !to.inherited.contains(&seat)) };
        let row =
            journal.view().package(id).map(|row| (row.state, row.facts.place.clone().filter(|_| row.placed)));
        let Some((state, placed)) = row else { return Ok(lost) };
        if !State::may_move(Some(state), State::Elsewhere) {
            return Ok(lost);
        }
        let mut facts = match to {
            Some(claim) => elsewhere(&claim, Facts::default()),
            None => Facts { detail: Some("another host was faster".into()), ..Facts::default() },
        };
        if let (Some(place), Some(detail)) = (placed, &mut facts.detail) {
            // Whoever asks what became of it finds the answer here.
            detail.push_str(&format!("; before that it was put in place by this host, at {place}"));
        }
        tracing::warn!(package = %id, holder = facts.holder, "another host has taken it over while this one was silent");
        let _moved = journal.step(id, Some(state), State::Elsewhere, by, facts).await?;
        Ok(lost)
    }
}
