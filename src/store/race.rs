//! Whether a store holds the conditions of a put, found by racing against ourselves with the very requests that claims are made of.
//!
//! Stores that do not know conditions answer a conditional put with 200 and overwrite; some hold them one after the other and not at
//! once. The key may be there from an earlier race: nothing need be deleted, and the bucket does not fill with proofs.
use bytes::Bytes;
use futures_util::future::join_all;

use super::{Only, Store, Swapped, Tag};
use crate::chain;

/// What is put is small.
const MOST_BYTES: u64 = 1 << 10;

/// At once.
const RACERS: usize = 8;

/// What the store did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether there was an object before the race for creating it.
    pub existed: bool,
    /// How many were told that they had created it.
    pub created: usize,
    /// How many were told that they had replaced one and the same version of it.
    pub replaced: usize,
    /// Whether a put over a version that was gone was done.
    pub stale_was_done: bool,
    /// Whether a put over the present version was refused, without anybody else writing.
    pub present_was_refused: bool,
}

/// Why nothing was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRace {
    /// The key may not put there, or the store does not know such puts; in its words.
    Denied(String),
    /// It may be found out later.
    Unclear(String),
}

impl Seen {
    /// What is wrong with such a store; pure. None: it can be trusted with claims.
    pub fn fault(&self) -> Option<String> {
        let Self { existed, created, replaced, stale_was_done, present_was_refused } = *self;
        let most = usize::from(!existed);
        match () {
            () if created > most && existed => Some(format!(
                "it told {created} of {RACERS} writers that they had created an object that was there (If-None-Match)"
            )),
            () if created > most => Some(format!(
                "it told {created} of {RACERS} writers that each of them had created the same object (If-None-Match)"
            )),
            () if replaced > 1 => Some(format!(
                "it told {replaced} of {RACERS} writers that each of them had replaced the same version of an object (If-Match)"
            )),
            () if stale_was_done => {
                Some("it replaced an object although it was another version than asked for (If-Match)".into())
            }
            () if present_was_refused => {
                Some("it refuses to replace an object although it is the version asked for (If-Match)".into())
            }
            () => None,
        }
    }
}

impl Store {
    /// Races on this key, which nobody else writes.
    pub async fn race(&self, key: &str) -> Result<Seen, NoRace> {
        let unclear = |e| NoRace::Unclear(chain(&e));
        let now = async || self.get_tagged(key, MOST_BYTES).await.map_err(unclear);
        let put = async |text: String, only: &Only| match self.put_only(key, Bytes::from(text), only).await {
            Ok(Swapped::Done(tag)) => Ok(Some(tag)),
            Ok(Swapped::Refused) => Ok(None),
            Ok(Swapped::Denied(said)) => Err(NoRace::Denied(said)),
            Err(e) => Err(unclear(e)),
        };
        let life = uuid::Uuid::new_v4().simple().to_string();
        let all = async |what: &str, only: &Only| -> Result<Vec<Tag>, NoRace> {
            let racers = (0..RACERS).map(|n| put(format!("{what} {life} {n}"), only));
            let done: Vec<Option<Tag>> = join_all(racers).await.into_iter().collect::<Result<_, _>>()?;
            Ok(done.into_iter().flatten().collect())
        };
        let vanished = || NoRace::Unclear(format!("{key} was put and is not there"));
        let existed = now().await?.is_some();
        let created = all("new", &Only::New).await?.len();
        let (_, first) = now().await?.ok_or_else(vanished)?;
        let first = Only::Still(first);
        let replaced = all("next", &first).await?.len();
        let (there, second) = now().await?.ok_or_else(vanished)?;
        let stale_was_done = put(format!("stale {life}"), &first).await?.is_some();
        // A lost answer makes a writer that has won look like one that has lost: then what is there tells.
        let nobody = replaced == 0 && !there.starts_with(format!("next {life}").as_bytes());
        let last = format!("last {life}");
        let done = put(last.clone(), &Only::Still(second)).await?.is_some();
        let refused =
            !stale_was_done && !done && now().await?.is_none_or(|(bytes, _)| bytes != last.as_bytes());
        Ok(Seen { existed, created, replaced, stale_was_done, present_was_refused: nobody || refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_winner_each_time_and_the_stale_one_loses() {
        let good = Seen { created: 1, replaced: 1, ..Seen::default() };
        assert_eq!(good.fault(), None);
        assert_eq!(Seen { existed: true, created: 0, ..good.clone() }.fault(), None);
        assert_eq!(
            Seen { created: 0, replaced: 0, ..good.clone() }.fault(),
            None,
            "the winner's answer was lost"
        );
        for (bad, word) in [
            (Seen { created: 2, ..good.clone() }, "created the same object"),
            (Seen { existed: true, ..good.clone() }, "that was there"),
            (Seen { replaced: 2, ..good.clone() }, "replaced the same version"),
            (Seen { stale_was_done: true, ..good.clone() }, "another version than asked for"),
            (Seen { present_was_refused: true, ..good.clone() }, "although it is the version"),
        ] {
            assert!(bad.fault().unwrap().contains(word), "{bad:?}");
        }
    }
}
