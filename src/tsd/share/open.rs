//! The beginning of a session: the store is proven, and whoever had the journal before is gone.
use std::time::Duration;

use super::proof::prove;
use super::record::{Holder, MOST_BYTES, Session, bytes, session};
use super::session::Own;
use super::sight::{Found, Sight, Thought};
use super::{Bucket, Refusal};
use crate::chain;
use crate::clock;
use crate::store::{Only, Swapped};

/// Others may write the session's key while we look; more often than this is no accident.
const ROUNDS: usize = 5;

/// Who wants a session.
pub(super) struct Wish {
    pub holder: Holder,
    pub state_dir: String,
    pub lease: Duration,
}

/// Whether an old session of this journal is proven over by our owning the state directory; otherwise it is watched.
fn is_proven_over(old: &Session, wish: &Wish) -> bool {
    old.ended_by.is_some() || (old.state_dir == wish.state_dir && old.holder.host == wish.holder.host)
}

/// Begins the session of this process. May take a lease and a third if the journal was used elsewhere before.
pub(super) async fn begin(bucket: &Bucket, wish: &Wish) -> Result<Own, Refusal> {
    prove(bucket, &wish.holder.seat).await?;
    let key = bucket.session(&wish.holder.seat);
    for _ in 0..ROUNDS {
        let found = bucket.store.get_tagged(&key, MOST_BYTES).await.map_err(|e| Refusal::Later(chain(&e)))?;
        let only = match found {
            None => Only::New,
            Some((text, tag)) => {
                let old = session(&text, &wish.holder.seat);
                match old {
                    Ok(old) if is_proven_over(&old, wish) => {}
                    old => watch(bucket, &key, wish, old.ok()).await?,
                }
                Only::Still(tag)
            }
        };
        let first = Session {
            version: 1,
            holder: wish.holder.clone(),
            state_dir: wish.state_dir.clone(),
            lease_ms: u64::try_from(wish.lease.as_millis()).unwrap_or(u64::MAX),
            beat: 1,
            at: clock::now(),
            ended_by: None,
        };
        let began = clock::since_boot();
        match bucket
            .store
            .put_only(&key, bytes(&first), &only)
            .await
            .map_err(|e| Refusal::Later(chain(&e)))?
        {
            Swapped::Done(tag) => return Ok(Own::new(bucket.clone(), wish.lease, first, tag, began)),
            Swapped::Denied(said) => return Err(Refusal::Config(bucket.denied(&said))),
            Swapped::Refused => {} // or it was done without an answer: then it is ours, and replaced by the next round
        }
    }
    Err(Refusal::Later(format!("{key} changes all the time: does another process use this journal?")))
}

/// Comes back when it has stood still for long enough.
async fn watch(bucket: &Bucket, key: &str, wish: &Wish, old: Option<Session>) -> Result<(), Refusal> {
    let of =
        old.as_ref().map_or("somebody".to_owned(), |old| format!("{} ({})", old.holder.host, old.state_dir));
    tracing::warn!(
        of,
        "this journal has a session in the bucket that was begun elsewhere; watching whether it is still renewed"
    );
    let mut sight: Option<Sight> = None;
    loop {
        let looked = clock::since_boot();
        let found = bucket.store.get_tagged(key, MOST_BYTES).await.map_err(|e| Refusal::Later(chain(&e)))?;
        let now = clock::since_boot();
        let (tag, what) = match found {
            None => return Ok(()),
            Some((text, tag)) => {
                (Some(tag), session(&text, &wish.holder.seat).map_or(Found::Odd, Found::Session))
            }
        };
        let before = sight.get_or_insert_with(|| Sight::new(tag.clone(), what.clone(), now));
        if !before.is(&tag) {
            return Err(Refusal::Config(format!(
                "the journal of {} is in use by {of}, which renewed its session in the bucket while we watched: the state directory was \
                 copied, or is used from two hosts. Let one of them alone go on, and give the other a state directory of its own",
                wish.state_dir
            )));
        }
        if before.thought(wish.lease, looked) != Thought::Alive {
            return Ok(());
        }
        tokio::time::sleep(wish.lease / 10).await;
    }
}
