//! A look at the others, with each look at the bucket: which hosts are there, and what became of the packages that they hold.
use std::collections::BTreeSet;
use std::ops::Bound;

use super::claims::elsewhere;
use super::record::{Claim, MOST_BYTES, Phase, Session, bytes, session};
use super::sight::{Found, Sight, Stand, Thought, stand};
use super::{Peer, Share, Shared, locked};
use crate::blame::Failure;
use crate::clock;
use crate::journal::{Facts, Journal, Row};
use crate::package::{PackageId, State, Window};
use crate::store::{Only, StoreError, Swapped, Tag};
use crate::supervisor::meter::Meter;

/// Hosts that are looked at; nobody has so many.
const MOST: usize = 32;
/// Claims that are looked at each time, by turns.
const AT_A_LOOK: usize = 100;

impl Share {
    /// Looks at the others. What is settled elsewhere is put on record; what a silent host has held is taken over while there is room.
    pub async fn look(
        &self,
        journal: &Journal,
        window: Window,
        by: &str,
        meter: &Meter,
    ) -> Result<(), Failure> {
        if let Some(alone) = &self.off {
            return alone.look().await;
        }
        let Some(shared) = &self.on else { return Ok(()) };
        shared.own()?.permit()?;
        let looked = shared.look_at_sessions(meter).await?;
        for row in shared.turn(journal) {
            meter.alive();
            shared.look_at_claim(journal, &row, window, by, looked).await?;
        }
        Ok(())
    }
}

impl Shared {
    /// When the look began.
    async fn look_at_sessions(&self, meter: &Meter) -> Result<std::time::Duration, Failure> {
        let (below, ours) = (self.bucket.sessions(), self.own()?.holder().seat);
        let looked = clock::since_boot();
        let mut seats = BTreeSet::new();
        let listed = self.bucket.store.sizes(&below, MOST, |_| true).await?;
        seats.extend(listed.keys().filter_map(|key| key.strip_prefix(&below)).map(str::to_owned));
        // One that was there and is not listed any more is looked at as well.
        seats.extend(locked(&self.peers).keys().cloned());
        for seat in seats.into_iter().filter(|seat| *seat != ours).take(2 * MOST) {
            meter.alive();
            let found = match self.bucket.store.get_tagged(&self.bucket.session(&seat), MOST_BYTES).await {
                Err(StoreError::TooLarge { .. }) => continue, // nobody's; its claims stay as they are
                found => found?,
            };
            let now = clock::since_boot();
            let (tag, found) = match found {
                None => (None, Found::Absent),
                Some((text, tag)) => (Some(tag), session(&text, &seat).map_or(Found::Odd, Found::Session)),
            };
            let mut peers = locked(&self.peers);
            match peers.get_mut(&seat) {
                Some(sight) => sight.look(tag, found, now),
                None => drop(peers.insert(seat, Sight::new(tag, found, now))),
            }
        }
        Ok(looked)
    }

    /// Whose turn it is.
    fn turn(&self, journal: &Journal) -> Vec<Row> {
        let view = journal.view();
        let mut last = locked(&self.last);
        let rows: std::collections::BTreeMap<&PackageId, &Row> =
            view.in_state(State::Elsewhere).map(|row| (&row.id, row)).collect();
        let behind = last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let before = last.as_ref().map(|last| rows.range::<PackageId, _>(..=last));
        let turn: Vec<Row> = rows
            .range::<PackageId, _>((behind, Bound::Unbounded))
            .chain(before.into_iter().flatten())
            .take(AT_A_LOOK)
            .map(|(_, row)| (*row).clone())
            .collect();
        *last = turn.last().map(|row| row.id.clone());
        turn
    }

    async fn look_at_claim(
        &self,
        journal: &Journal,
        row: &Row,
        window: Window,
        by: &str,
        looked: std::time::Duration,
    ) -> Result<(), Failure> {
        let id = &row.id;
        let (found, tag) = match self.read(id).await? {
            Some(Ok(found)) => found,
            Some(Err(why)) => {
                tracing::warn!(package = %id, "{}", self.odd(id, &why));
                return Ok(());
            }
            None => return self.freed(journal, row, window, by).await,
        };
        match stand(&found, &self.own()?.holder().seat) {
            Stand::Settled => {
                let facts = elsewhere(&found, Facts::default());
                let (from, to) = (Some(State::Elsewhere), State::SettledElsewhere);
                let _moved = journal.step(id, from, to, by, facts).await?;
                return Ok(());
            }
            // Taken over by an earlier life that was cut off before it was on record.
            Stand::Ours => {}
            Stand::Theirs if self.is_over(&found, looked).await? => {}
            Stand::Theirs => return Ok(()),
        }
        if !window.admits(journal.view().under_way(), 1, row.priority) {
            return Ok(());
        }
        self.take_over(journal, id, by, (found, tag)).await
    }

    /// Whether a claim's holder is silent; then its session is ended here, under the condition that it still is.
    async fn is_over(&self, of: &Claim, looked: std::time::Duration) -> Result<bool, Failure> {
        let seat = &of.holder.seat;
        let sight = {
            let mut peers = locked(&self.peers);
            let absent = || Sight::new(None, Found::Absent, clock::since_boot());
            peers.entry(seat.clone()).or_insert_with(absent).clone()
        };
        let only = match sight.thought(self.conf.lease, looked) {
            Thought::Alive => return Ok(false),
            Thought::Ended => return Ok(true),
            Thought::Silent(Some(tag)) => Only::Still(tag),
            Thought::Silent(None) => Only::New,
        };
        let before = match sight.found {
            Found::Session(session) => session,
            Found::Absent | Found::Odd => Session {
                version: 1,
                holder: of.holder.clone(),
                state_dir: String::new(),
                lease_ms: 0,
                beat: 0,
                at: clock::now(),
                ended_by: None,
            },
        };
        let me = self.host.to_string();
        let ended = Session { ended_by: Some(me), at: clock::now(), ..before };
        let key = self.bucket.session(seat);
        match self.bucket.store.put_only(&key, bytes(&ended), &only).await? {
            Swapped::Done(tag) => {
                let host = &ended.holder.host;
                tracing::warn!(
                    host,
                    seat,
                    "the other host is silent for longer than its lease; what it held is taken over"
                );
                let sight = Sight::new(Some(tag), Found::Session(ended), clock::since_boot());
                drop(locked(&self.peers).insert(seat.clone(), sight));
                Ok(true)
            }
            Swapped::Refused => Ok(false), // it lives, or another was faster: the next look tells
            Swapped::Denied(said) => Err(Failure::Outage(self.bucket.denied(&said))),
        }
    }

    /// A person has removed the claim, and so has said that nobody has the package.
    async fn freed(&self, journal: &Journal, row: &Row, window: Window, by: &str) -> Result<(), Failure> {
        let first = Claim::new(&row.id, &self.own()?.holder(), clock::now());
        let room = window.admits(journal.view().under_way(), 1, row.priority);
        if room && self.write(&first, Only::New).await? {
            let detail = Some("its claim was removed by hand".to_owned());
            let facts = Facts { holder: Some(first.holder.host), detail, ..Facts::default() };
            let _moved = journal.step(&row.id, Some(State::Elsewhere), State::Seen, by, facts).await?;
        }
        Ok(())
    }

    async fn take_over(
        &self,
        journal: &Journal,
        id: &PackageId,
        by: &str,
        (found, tag): (Claim, Tag),
    ) -> Result<(), Failure> {
        let me = self.own()?.holder();
        let Some(next) = found.handed_to(&me, clock::now()) else {
            tracing::warn!(package = %id, "{}", self.odd(id, "it was handed on too often"));
            return Ok(());
        };
        if !self.write(&next, Only::Still(tag)).await? {
            return Ok(());
        }
        fail::fail_point!("share-taken-over", |_| Ok(()));
        let (host, placing) = (&found.holder.host, next.state == Phase::Placing);
        let detail = match placing {
            true => format!("taken over from {host}, which was about to put it in place"),
            false => format!("taken over from {host}"),
        };
        let facts = Facts {
            holder: Some(me.host),
            inherited: placing.then_some(next.inherited),
            detail: Some(detail),
            ..Facts::default()
        };
        let to = if placing { State::Copied } else { State::Seen };
        let _moved = journal.step(id, Some(State::Elsewhere), to, by, facts).await?;
        Ok(())
    }

    pub(super) fn peers_now(&self) -> Vec<Peer> {
        let now = clock::since_boot();
        let peer = |(seat, sight): (&String, &Sight)| {
            let host = match &sight.found {
                Found::Session(session) => session.holder.host.clone(),
                Found::Absent | Found::Odd => format!("unknown ({seat})"),
            };
            let state = match sight.thought(self.conf.lease, now) {
                Thought::Alive => "shares",
                Thought::Silent(_) => "silent",
                Thought::Ended => "ended",
            };
            Peer { host, state: state.to_owned() }
        };
        locked(&self.peers).iter().map(peer).collect()
    }
}
