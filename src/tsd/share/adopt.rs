//! The beginning and the end of sharing a bucket.
//!
//! What landed before has no claim, so a host that joins would land it once more. So one journal, which a person names
//! (`share.begin`), first claims all that it knows; then it puts an object that says that the bucket is shared. Without that object nobody
//! joins, and with it nobody works there without claims: what such a one landed would have no claim either.
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::record::{Claim, MOST_BYTES, Phase, bytes};
use super::{Bucket, Refusal, Shared};
use crate::blame::Failure;
use crate::chain;
use crate::clock;
use crate::journal::{Journal, Row};
use crate::package::State;
use crate::store::{Only, Swapped};

/// Claims that are put at the same time.
const AT_ONCE: usize = 16;
/// A store that does not answer does not keep a daemon from starting; its watcher asks again.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a package is that was under way or at its end before the bucket was shared; none: it is nobody's here.
pub(super) fn phase(state: State) -> Option<Phase> {
    match state {
        State::Seen | State::Copying | State::Copied => Some(Phase::Working),
        State::Verified => Some(Phase::Placing),
        State::Ready | State::Duplicate => Some(Phase::Landed),
        State::Held | State::Quarantined => Some(Phase::Stopped),
        State::Elsewhere | State::SettledElsewhere => None,
        State::Found | State::Claimed | State::Packed | State::Uploading => None,
        State::Committed | State::Transferred => None,
    }
}

impl Shared {
    /// Joins those who share the bucket, or begins with it.
    pub(super) async fn join(&self, journal: &Journal) -> Result<(), Refusal> {
        let (store, key) = (&self.bucket.store, self.bucket.mode());
        let later = |e| Refusal::Later(chain(&e));
        if store.get_tagged(&key, MOST_BYTES).await.map_err(later)?.is_some() {
            return Ok(());
        }
        if !self.conf.begin {
            return Err(Refusal::Config(format!(
                "share.claims: this bucket is not shared yet ({key} is not there), and what landed from it before has no claims: it would land \
                 once more. Set share.begin = true on the one host whose journal knows what has landed so far, and start that one first; \
                 then start the others, without it"
            )));
        }
        let count = self.adopt(journal).await?;
        let me = self.me()?;
        let text =
            json!({"version": 1, "seat": me.seat, "host": me.host, "at": clock::now(), "packages": count});
        match store.put_only(&key, text.to_string().into_bytes().into(), &Only::New).await.map_err(later)? {
            Swapped::Done(_) => {
                tracing::warn!(
                    packages = count,
                    "the bucket is shared from now on; take share.begin out of the configuration again"
                );
                Ok(())
            }
            // An attempt of ours that was not answered, or another host that began at the same moment, which adopted what it knew.
            Swapped::Refused => Ok(()),
            Swapped::Denied(said) => Err(Refusal::Config(self.bucket.denied(&said))),
        }
    }

    fn me(&self) -> Result<super::Holder, Refusal> {
        let own = self.own.get().ok_or_else(|| Refusal::Later("the session has not begun".into()))?;
        Ok(own.holder())
    }

    /// Claims all that this journal knows; how many that are. What has a claim already keeps it.
    async fn adopt(&self, journal: &Journal) -> Result<usize, Refusal> {
        let (me, now) = (self.me()?, clock::now());
        let claim = |row: &Row| Some(Claim::new(&row.id, &me, now).at(phase(row.state)?, now));
        let claims: Vec<Claim> = journal.view().packages().filter_map(claim).collect();
        let count = claims.len();
        tracing::warn!(count, "claims what this journal knows, so that no other host lands it once more");
        let put = |claim: Claim| async move {
            let key = self.bucket.claim(&claim.package);
            let put = self.bucket.store.put_only(&key, bytes(&claim), &Only::New).await;
            match put.map_err(|e| Refusal::Later(chain(&e)))? {
                Swapped::Done(_) => Ok(()),
                Swapped::Denied(said) => Err(Refusal::Config(self.bucket.denied(&said))),
                Swapped::Refused => self.may_keep(&claim).await,
            }
        };
        stream::iter(claims).map(put).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        Ok(count)
    }

    /// Another host that has begun as well must not have in hand what has landed here.
    async fn may_keep(&self, ours: &Claim) -> Result<(), Refusal> {
        let found = self.read(&ours.package).await.map_err(|e| Refusal::Later(format!("{e:?}")))?;
        match found {
            Some(Ok((found, _))) if found.holder.seat != ours.holder.seat && !found.state.is_end() => {
                Err(Refusal::Config(format!(
                    "share.begin: {} has {} in hand, which is {} here: share.begin is for one host alone. Stop the other, remove its claim \
                     and start again",
                    found.holder.host,
                    ours.package,
                    ours.state.as_str()
                )))
            }
            _ => Ok(()),
        }
    }
}

/// A process that shares with nobody.
pub(super) struct Alone {
    bucket: Bucket,
    /// It was seen that nobody shares the bucket.
    known: AtomicBool,
}

impl Alone {
    pub(super) fn new(bucket: Bucket) -> Self {
        Self { bucket, known: AtomicBool::new(false) }
    }

    fn shared(&self) -> String {
        let key = self.bucket.mode();
        format!(
            "this bucket is shared by claims ({key} is there), and what this daemon landed without them would land once more elsewhere: set \
             share.claims = true. To end the sharing for good, stop all hosts but one and remove {key}"
        )
    }

    async fn is_shared(&self) -> Result<bool, crate::store::StoreError> {
        let found = self.bucket.store.get_tagged(&self.bucket.mode(), MOST_BYTES).await?;
        self.known.store(found.is_none(), Relaxed);
        Ok(found.is_some())
    }

    /// Asks, if the store answers.
    pub(super) async fn at_start(&self) -> Result<(), Refusal> {
        match tokio::time::timeout(PATIENCE, self.is_shared()).await {
            Ok(Ok(true)) => Err(Refusal::Config(self.shared())),
            Ok(Ok(false)) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                tracing::info!("whether the bucket is shared is not known yet; nothing is taken in before");
                Ok(())
            }
        }
    }

    /// Before anything is taken in.
    pub(super) async fn look(&self) -> Result<(), Failure> {
        match self.known.load(Relaxed) || !self.is_shared().await? {
            true => Ok(()),
            false => Err(Failure::Fatal(self.shared())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_with_a_consumer_is_never_given_away_as_work() {
        for state in State::ALL {
            let phase = phase(state);
            assert_eq!(
                phase == Some(Phase::Landed),
                [State::Ready, State::Duplicate].contains(&state),
                "{state}"
            );
            assert_eq!(phase == Some(Phase::Placing), state == State::Verified, "{state}");
            let ours = is_of_tsd(state) && !matches!(state, State::Elsewhere | State::SettledElsewhere);
            assert_eq!(phase.is_some(), ours, "{state}");
        }
    }

    fn is_of_tsd(state: State) -> bool {
        state >= State::Seen
    }
}
