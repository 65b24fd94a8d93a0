//! Our own session: renewed all the time, asked for a permit before what cannot be done twice.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::record::{Holder, Session, bytes};
use super::sight::permitted;
use super::{Bucket, record};
use crate::blame::Failure;
use crate::chain;
use crate::clock;
use crate::store::{Only, Swapped, Tag};

/// Why nothing may be put in place now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPermit {
    /// The last renewal is too long ago; there may be another.
    #[error(
        "the session of this host in the bucket could not be renewed for {} s ({why}), half of share.lease: nothing is put in place \
         until it is, because another host may take over what is under way here; look at the store", .silent.as_secs()
    )]
    Late {
        /// Since the last one began.
        silent: Duration,
        /// What the store said.
        why: String,
    },
    /// Another host has ended the session.
    #[error(
        "{by}: it takes over what was under way here. This process puts nothing in place any more and ends; started again it goes on \
         with what is left"
    )]
    Over {
        /// Who and how.
        by: String,
    },
}

impl From<NoPermit> for Failure {
    fn from(none: NoPermit) -> Self {
        match none {
            NoPermit::Late { .. } => Self::Outage(none.to_string()),
            NoPermit::Over { .. } => Self::Fatal(none.to_string()),
        }
    }
}

/// A session that is not as expected more often than this while it is renewed is no accident.
const ROUNDS: usize = 3;

/// The session of this process. Clones share it.
#[derive(Clone)]
pub(super) struct Own(Arc<Inner>);

struct Inner {
    bucket: Bucket,
    lease: Duration,
    state: Mutex<State>,
}

struct State {
    /// What was put last.
    session: Session,
    tag: Tag,
    /// When the last renewal that succeeded began.
    renewed: Duration,
    trouble: Option<String>,
    over: Option<String>,
}

/// What became of a renewal.
enum Renewed {
    Good(Tag),
    /// Not now.
    Trouble(String),
    Over(String),
}

impl Own {
    /// Of a session that was put under `tag`, in a request that began at `began`.
    pub(super) fn new(bucket: Bucket, lease: Duration, session: Session, tag: Tag, began: Duration) -> Self {
        let state = State { session, tag, renewed: began, trouble: None, over: None };
        Self(Arc::new(Inner { bucket, lease, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who we are.
    pub(super) fn holder(&self) -> Holder {
        self.state().session.holder.clone()
    }

    /// How long ago the last renewal began.
    pub(super) fn silent(&self) -> Duration {
        clock::since_boot().saturating_sub(self.state().renewed)
    }

    /// Whether something that follows at once may be done. Reads a clock and waits for nothing.
    pub(super) fn permit(&self) -> Result<(), NoPermit> {
        let state = self.state();
        if let Some(by) = &state.over {
            return Err(NoPermit::Over { by: by.clone() });
        }
        let silent = clock::since_boot().saturating_sub(state.renewed);
        match permitted(self.0.lease, silent) {
            true => Ok(()),
            false => {
                let suspended = || "this process did not run".to_owned();
                Err(NoPermit::Late { silent, why: state.trouble.clone().unwrap_or_else(suspended) })
            }
        }
    }

    /// Renews until it is over.
    pub(super) async fn keep(self) {
        loop {
            tokio::time::sleep(self.0.lease / 6).await;
            fail::fail_point!("share-renew", |_| ());
            let (next, tag) = {
                let state = self.state();
                let next =
                    Session { beat: state.session.beat + 1, at: clock::now(), ..state.session.clone() };
                (next, state.tag.clone())
            };
            let began = clock::since_boot();
            // A request that takes longer is of no use any more; whether it was done is found out by the next one.
            let limit = self.0.lease / 3;
            let renewed = match timeout(limit, self.renew(&next, &tag)).await {
                Ok(renewed) => renewed,
                Err(_) => Renewed::Trouble(format!("no answer within {limit:?}")),
            };
            let mut state = self.state();
            match renewed {
                Renewed::Good(tag) => {
                    if let Some(trouble) = state.trouble.take() {
                        tracing::info!(trouble, "the session in the bucket is renewed again");
                    }
                    (state.session, state.tag, state.renewed) = (next, tag, began);
                }
                Renewed::Trouble(why) => {
                    if state.trouble.as_ref() != Some(&why) {
                        tracing::warn!(why, "the session in the bucket was not renewed; it is tried again");
                    }
                    // The one that was not answered may have been done. A body is never put twice under one number.
                    (state.session.beat, state.trouble) = (next.beat, Some(why));
                }
                Renewed::Over(by) => {
                    tracing::error!(by, "the session in the bucket was ended by another");
                    state.over = Some(by);
                    return;
                }
            }
        }
    }

    async fn renew(&self, next: &Session, tag: &Tag) -> Renewed {
        let bucket = &self.0.bucket;
        let key = bucket.session(&next.holder.seat);
        let trouble = |e| Renewed::Trouble(chain(&e));
        let mut tag = tag.clone();
        for _ in 0..ROUNDS {
            match bucket.store.put_only(&key, bytes(next), &Only::Still(tag)).await {
                Err(e) => return trouble(e),
                Ok(Swapped::Done(tag)) => return Renewed::Good(tag),
                Ok(Swapped::Denied(said)) => return Renewed::Trouble(bucket.denied(&said)),
                Ok(Swapped::Refused) => {}
            }
            let found = match bucket.store.get_tagged(&key, record::MOST_BYTES).await {
                Err(e) => return trouble(e),
                Ok(None) => return Renewed::Over(format!("{key} was removed from the bucket")),
                Ok(Some(found)) => found,
            };
            let session = match record::session(&found.0, &next.holder.seat) {
                Err(why) => return Renewed::Over(format!("{key} was replaced in the bucket: {why}")),
                Ok(session) => session,
            };
            match is_ours(&session, next) {
                // The put was done, and only its answer was lost.
                Ok(true) => return Renewed::Good(found.1),
                // An earlier one was done without an answer. That it is still there proves nothing about now: whoever watches has
                // perhaps seen it for long. So it is replaced.
                Ok(false) => tag = found.1,
                Err(by) => return Renewed::Over(by),
            }
        }
        Renewed::Trouble(format!("{key} changes while it is renewed"))
    }
}

/// What was found where `next` was to be put: that very one, or an earlier one of this process. In words, whose it is otherwise.
fn is_ours(found: &Session, next: &Session) -> Result<bool, String> {
    match &found.ended_by {
        Some(by) => {
            Err(format!("this host was silent for longer than its lease, and {by} has ended its session"))
        }
        None if found.holder == next.holder => Ok(found.beat == next.beat),
        None => {
            let Holder { host, life, .. } = &found.holder;
            Err(format!(
                "another process ({host}, {life}) uses the journal of this one: was the state directory copied?"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_put_is_a_renewal() {
        let holder = |life: &str| Holder { seat: "a".into(), life: life.into(), host: "h".into() };
        let session = |life: &str, beat, ended_by| Session {
            version: 1,
            holder: holder(life),
            state_dir: "/s".into(),
            lease_ms: 30_000,
            beat,
            at: clock::now(),
            ended_by,
        };
        let next = session("1", 7, None);
        assert_eq!(is_ours(&session("1", 7, None), &next), Ok(true));
        assert_eq!(
            is_ours(&session("1", 6, None), &next),
            Ok(false),
            "others may have watched that one for long"
        );
        assert!(
            is_ours(&session("1", 7, Some("p22-hpc-03".into())), &next)
                .unwrap_err()
                .contains("p22-hpc-03 has ended")
        );
        assert!(is_ours(&session("2", 7, None), &next).unwrap_err().contains("copied"));
    }
}
