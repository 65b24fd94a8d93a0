//! A large object over one connection, from a store that ignores ranges.
//!
//! A stream is one attempt from its first byte to its last, watched like every other: it must bring `min_rate` while it is not held
//! back on this side. One that is cut off is begun again, and what is here already is passed over: such a store can only begin at
//! the first byte. Attempts are counted between two pieces, so a large object may be cut off as often as it likes while it gets on.
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::UnboundedSender;

use super::attempt::{Class, Failed};
use super::fetch::{Coming, Errand, Filling, Object, Piece, WHAT, one_version, same_object, wrong};
use super::progress::{Progress, not_the_store};
use super::ranges::{Range, ranges};
use super::retry::{Tried, wait};
use super::slots::{End, Trip};
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
            let flow = self.flow(object, &mut rest, errand, to);
            let ended = match Progress::default().watch(self.demand, flow).await {
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
            tracing::info!(key, attempt, %error, ?pause, "a stream was cut off and begins again after a pause");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
        Ok(())
    }

    /// One attempt: as many pieces as it brings, or as anybody wants. Each has its slot before its first byte is read; that wait is
    /// not the store's.
    async fn flow(
        &self,
        object: &Object,
        rest: &mut Peekable<impl Iterator<Item = Range>>,
        errand: &Errand,
        to: &UnboundedSender<Coming>,
    ) -> Result<(), Failed> {
        let (mut answer, mut at, mut chunk) = (None, 0, Bytes::new());
        let mut on_wire = None;
        while let Some(range) = rest.peek().copied() {
            let Some((mut turn, slot)) = not_the_store(self.turn(range, errand, to)).await else {
                return Ok(());
            };
            let body = match &mut answer {
                Some(body) => body,
                None => {
                    let asked = Instant::now();
                    let _under_way = on_wire.insert(self.slots.begins());
                    let begun = self.get(&object.key, None).await.inspect_err(|failed| {
                        // While it counts as under way; what else ends without bytes says nothing about how many there should be.
                        if failed.class == Class::Throttled {
                            let trip =
                                Trip { bytes: object.size, took: asked.elapsed(), end: End::Throttled };
                            self.slots.told(trip);
                        }
                    })?;
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
