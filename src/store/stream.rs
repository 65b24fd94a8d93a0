//! A large object over one connection, from a store that ignores ranges.
//!
//! A stream is one attempt from its first byte to its last, watched like every other: it must bring `min_rate` while it is not held
//! back on this side. One that is cut off is begun again, and what is here already is passed over: such a store can only begin at
//! the first byte. Attempts are counted between two pieces, so a large object may be cut off as often as it likes while it gets on.
//! How many slots there should be is found from its pieces, as if each were a request, and from how its attempts end.
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::UnboundedSender;

use super::attempt::{Class, Failed, repeated};
use super::fetch::{Coming, Errand, Filling, Object, Piece, WHAT, one_version, same_object, wrong};
use super::progress::{Progress, Stalled, not_the_store};
use super::ranges::{Range, ranges};
use super::retry::{Tried, wait};
use super::slots::{End, OnWire, Trip};
use super::{Store, StoreError};

impl Store {
    /// Sends the pieces behind `from` to `to`.
    pub(super) async fn stream(
        &self,
        object: &Arc<Object>,
        from: u64,
        errand: &Errand,
        to: &UnboundedSender<Coming>,
    ) -> Result<(), StoreError> {
        let mut rest = ranges(from, object.size, self.range_size).peekable();
        let (mut attempt, mut reached) = (1, from);
        while rest.peek().is_some() {
            self.fresh_headers().await?;
            let mut under_way = None;
            let flow = self.flow(object, &mut rest, errand, to, &mut under_way);
            let watched = Progress::default().watch(self.demand, flow).await;
            let end = match &watched {
                Ok(Err(Failed { class: Class::Throttled, .. })) => Some(End::Throttled),
                Err(Stalled::Slow { .. }) => Some(End::Slow),
                _ => None, // its pieces have said what there is to say
            };
            if let (Some(end), Some((_on_wire, began))) = (end, &under_way) {
                self.slots.told(Trip { bytes: self.range_size, took: began.elapsed(), end });
            }
            drop(under_way);
            let ended = match watched {
                Ok(ended) => ended,
                Err(stalled) => Err(Failed {
                    error: StoreError::Outage { what: WHAT, why: format!("{}: {stalled}", object.key) },
                    class: Class::Unclear,
                    retry_after: None,
                }),
            };
            // However it ended: who waits for this file need not take it for hung.
            errand.meter.alive();
            let failed = match ended {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            if let Some(next) = rest.peek().filter(|next| next.from > reached) {
                (attempt, reached) = (1, next.from);
            }
            let tried = Tried {
                attempt,
                attempts: self.attempts,
                class: failed.class,
                advice: failed.retry_after,
                left: self.endurance.whole(0), // their number bounds it: each is cut off by itself
            };
            let (key, error) = (&object.key, &failed.error);
            let Some(pause) = wait(tried, self.dice.roll()) else { return Err(failed.error) };
            repeated();
            tracing::info!(key, attempt, %error, ?pause, "a stream was cut off and begins again after a pause");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
        Ok(())
    }

    /// One attempt: as many pieces as it brings, or as anybody wants. Each has its slot before its first byte is read; that wait is
    /// not the store's, and meanwhile the attempt is not under way: those who have slots may wait for fewer to be under way, and nobody
    /// who counts as that may wait for a slot.
    async fn flow(
        &self,
        object: &Object,
        rest: &mut Peekable<impl Iterator<Item = Range>>,
        errand: &Errand,
        to: &UnboundedSender<Coming>,
        under_way: &mut Option<(OnWire, Instant)>,
    ) -> Result<(), Failed> {
        let (mut answer, mut at, mut chunk) = (None, 0, Bytes::new());
        while let Some(range) = rest.peek().copied() {
            *under_way = None;
            let Some((mut turn, slot)) = not_the_store(self.turn(range, errand, to)).await else {
                return Ok(());
            };
            let (_on_wire, began) = under_way.insert((self.slots.begins(), Instant::now()));
            let body = match &mut answer {
                Some(body) => body,
                None => {
                    let begun = self.get(&object.key, None).await?;
                    let all = Range { from: 0, until: object.size };
                    let (begins, etag) = same_object(object, all, &begun)?;
                    // Its pieces leave before its end is seen, so it must say beforehand that it is the whole.
                    if begun.content_length().and_then(|n| u64::try_from(n).ok()) != Some(object.size) {
                        return Err(wrong(object, "it does not say that it answers with the whole object"));
                    }
                    one_version(object, etag)?;
                    at = begins;
                    answer.insert(begun.body)
                }
            };
            let length = usize::try_from(range.len()).unwrap_or(usize::MAX);
            let mut filling = Filling { buffer: self.buffers.take(length), filled: 0, etag: String::new() };
            while (filling.filled as u64) < range.len() {
                if chunk.is_empty() {
                    let next = self.received(&object.key, body).await?;
                    chunk = next.ok_or_else(|| wrong(object, "its answer ends too early"))?;
                    errand.meter.alive();
                }
                let behind = range.from.saturating_sub(at).min(chunk.len() as u64);
                let wanted = range.len() - filling.filled as u64;
                let skip = usize::try_from(behind).unwrap_or(usize::MAX);
                chunk.advance(skip);
                let take = chunk.split_to(chunk.len().min(usize::try_from(wanted).unwrap_or(usize::MAX)));
                at += behind + take.len() as u64;
                if !filling.take(&take) {
                    return Err(wrong(object, "its answer is longer than it says"));
                }
            }
            self.slots.told(Trip { bytes: range.len(), took: began.elapsed(), end: End::Arrived });
            errand.meter.add(range.len());
            turn.arrived();
            let _now_sent = rest.next();
            let piece = Piece { range, bytes: filling.buffer.freeze(), slot, turn };
            if to.send(Coming::Here(piece)).is_err() {
                return Ok(()); // who waited for it has said why
            }
        }
        Ok(())
    }
}
