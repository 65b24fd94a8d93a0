//! The bytes of an object off the wire: range by range, or in one stream from a store that ignores ranges.
//!
//! Each range is a request of its own, repeated by itself, and a repeat asks only for what is still missing of it. Every answer must
//! be of the object that was listed and of the version that was seen first. Versions are compared here instead of by `If-Match`:
//! Ceph refuses its own ETag there, Garage does not look at it, and the answer names its ETag before its first byte in any case.
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf, Bytes};
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::attempt::{Asked, Class, Failed};
use super::buffers::Buffer;
use super::lead::{Lead, Turn};
use super::ranges::{Odd, Range, Said, begins, ranges};
use super::slots::{Ask, Slot};
use super::sort::sort;
use super::{Store, StoreError};
use crate::disk::DiskError;
use crate::supervisor::meter::Meter;

const WHAT: &str = "hand out an object";
/// While others have the wire, a file that waits its turn says so often that it lives.
const STILL_WAITING: Duration = Duration::from_secs(30);
/// Before a stream that was cut off is begun again.
const PAUSE: Duration = Duration::from_millis(200);

/// An object on its way here.
pub(super) struct Object {
    pub key: String,
    /// As listed.
    pub size: u64,
    /// The version that was seen first; empty: the store names none.
    pub etag: OnceLock<String>,
}

/// Bytes in hand, with the slot that pays for them.
pub(super) struct Piece {
    pub range: Range,
    pub bytes: Bytes,
    pub slot: Slot,
}

/// A piece that is here, or on its way.
pub(super) enum Coming {
    Here(Piece),
    Flying(Flying),
}

/// A range's own task. It ends with its handle: nobody waits for its bytes then.
pub(super) struct Flying(JoinHandle<Result<Option<Piece>, StoreError>>);

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Coming {
    /// None: the store does not know ranges.
    pub(super) async fn here(self) -> Result<Option<Piece>, StoreError> {
        match self {
            Self::Here(piece) => Ok(Some(piece)),
            Self::Flying(mut flying) => match (&mut flying.0).await {
                Ok(done) => done,
                Err(e) => Err(DiskError::Panicked(e.to_string()).into()),
            },
        }
    }
}

/// What is here of a range. It outlives the attempts, so that each asks only for the rest.
struct Filling {
    buffer: Buffer,
    filled: usize,
}

impl Filling {
    /// Takes what comes next; false: more than there is place for.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let until = self.filled.saturating_add(bytes.len());
        let Some(place) = self.buffer.get_mut(self.filled..until) else { return false };
        place.copy_from_slice(bytes);
        self.filled = until;
        true
    }
}

/// For whom slots are asked, and who is told that things move.
#[derive(Clone)]
pub(super) struct Errand {
    pub urgency: u8,
    pub flow: u64,
    pub meter: Meter,
    pub lead: Lead,
}

impl Store {
    /// Sends the rest of the object behind `from` to `to`, in its order. Slots are taken in that order too.
    pub(super) async fn pieces(
        &self,
        object: &Arc<Object>,
        from: u64,
        errand: &Errand,
        to: UnboundedSender<Coming>,
    ) -> Result<(), StoreError> {
        if object.size > self.range_size && self.ranges_are_ignored() {
            return self.stream(object, from, errand, to).await;
        }
        for range in ranges(from, object.size, self.range_size) {
            let Some((turn, slot)) = self.turn(range, errand, &to).await else { break };
            let (me, object, meter) = (self.clone(), object.clone(), errand.meter.clone());
            let flies = tokio::spawn(async move {
                let bytes = me.range(&object, range, &meter).await?;
                if bytes.is_some() {
                    turn.arrived();
                }
                Ok(bytes.map(|bytes| Piece { range, bytes, slot }))
            });
            if to.send(Coming::Flying(Flying(flies))).is_err() {
                break; // who waited for it has said why
            }
        }
        Ok(())
    }

    /// What one request needs. None: nobody waits for its bytes any more.
    async fn turn(
        &self,
        range: Range,
        errand: &Errand,
        to: &UnboundedSender<Coming>,
    ) -> Option<(Turn, Slot)> {
        let both = async {
            let turn = errand.lead.ask().await;
            (turn, self.slot(range, errand).await)
        };
        tokio::select! {
            both = both => Some(both),
            () = to.closed() => None,
        }
    }

    /// Its turn may be long in coming, because others are more urgent: that is bounded by the slots, and nothing hangs. Whoever
    /// holds one gives it back, since each request has its deadlines and no writing waits for a slot.
    async fn slot(&self, range: Range, errand: &Errand) -> Slot {
        let ask = Ask { urgency: errand.urgency, flow: errand.flow, bytes: range.len() };
        let mut taking = pin!(self.slots.take(ask));
        loop {
            if let Ok(slot) = tokio::time::timeout(STILL_WAITING, taking.as_mut()).await {
                return slot;
            }
            errand.meter.alive();
        }
    }

    /// One range. None: the store answers with the whole object instead.
    async fn range(&self, object: &Object, range: Range, meter: &Meter) -> Result<Option<Bytes>, StoreError> {
        let length = usize::try_from(range.len()).unwrap_or(usize::MAX);
        let filling = Mutex::new(Filling { buffer: self.buffers.take(length), filled: 0 });
        let asked = Asked { what: WHAT, key: &object.key, bytes: range.len() };
        if !self.ask(asked, || self.fill(object, range, &filling, meter)).await? {
            return Ok(None);
        }
        meter.add(range.len());
        Ok(Some(filling.into_inner().buffer.freeze()))
    }

    /// One attempt at what is missing of a range. False: the store ignores ranges.
    async fn fill(
        &self,
        object: &Object,
        range: Range,
        filling: &Mutex<Filling>,
        meter: &Meter,
    ) -> Result<bool, Failed> {
        let mut filling = filling.lock().await;
        let missing = Range { from: range.from + filling.filled as u64, ..range };
        if missing.len() == 0 && range.len() > 0 {
            return Ok(true); // the attempt before was cut off behind the last byte
        }
        let whole = range.len() == object.size;
        let part = (missing.len() < object.size).then_some(missing);
        let answer = self.get(&object.key, part).await?;
        let _at = same_object(object, missing, &answer)?;
        if part.is_some() && answer.content_range().is_none() {
            if !whole {
                return Ok(false);
            }
            filling.filled = 0;
        }
        let mut body = answer.body;
        while let Some(chunk) = self.received(&object.key, &mut body).await? {
            meter.alive();
            if !filling.take(&chunk) {
                return Err(wrong(object, "its answer is longer than it says"));
            }
        }
        if (filling.filled as u64) < range.len() {
            return Err(wrong(object, "its answer ends too early"));
        }
        Ok(true)
    }

    async fn get(&self, key: &str, range: Option<Range>) -> Result<GetObjectOutput, Failed> {
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        let get = get.set_range(range.map(Range::header));
        get.send().await.map_err(|e| match e.raw_response().map(|r| r.status().as_u16()) {
            Some(416) => StoreError::Replaced {
                key: key.to_owned(),
                why: "it is shorter than it was listed (InvalidRange)".into(),
            }
            .into(),
            _ => sort(WHAT, key)(e),
        })
    }

    /// The next bytes of an answer, if they come within patience. Every byte that is received passes here: it keeps to the limit, and is
    /// counted for the attempt, which is cut off when too little moves.
    pub(super) async fn received(&self, key: &str, body: &mut ByteStream) -> Result<Option<Bytes>, Failed> {
        let cut = |why: String| Failed {
            error: StoreError::Outage { what: "finish an answer", why: format!("{key}: {why}") },
            class: Class::Transient,
            retry_after: None,
        };
        match tokio::time::timeout(self.patience, body.next()).await {
            Err(_) => Err(cut(format!("nothing came for {:?}", self.patience))),
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => {
                self.pace.pass(bytes.len() as u64).await;
                Ok(Some(bytes))
            }
            Ok(Some(Err(e))) => Err(cut(crate::chain(&e))),
        }
    }

    /// The whole object over one connection, for a store that knows no ranges. A stream that is cut off is begun again, and what is
    /// here of it already is passed over.
    async fn stream(
        &self,
        object: &Arc<Object>,
        from: u64,
        errand: &Errand,
        to: UnboundedSender<Coming>,
    ) -> Result<(), StoreError> {
        let mut rest = ranges(from, object.size, self.range_size).peekable();
        let (mut attempt, mut reached) = (1, from);
        while let Some(first) = rest.peek().copied() {
            if first.from > reached {
                (attempt, reached) = (1, first.from);
            }
            match self.flow(object, &mut rest, errand, &to).await {
                Ok(true) => {}
                Ok(false) => return Ok(()), // who waited for it has said why
                Err(failed) if failed.class != Class::Final && attempt < self.attempts => {
                    tracing::info!(key = object.key, attempt, error = %failed.error, "a stream was cut off and begins again");
                    tokio::time::sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                Err(failed) => return Err(failed.error),
            }
        }
        Ok(())
    }

    /// One attempt: as many pieces as it brings. False: nobody wants them any more.
    async fn flow(
        &self,
        object: &Object,
        rest: &mut std::iter::Peekable<impl Iterator<Item = Range>>,
        errand: &Errand,
        to: &UnboundedSender<Coming>,
    ) -> Result<bool, Failed> {
        let asked = Asked { what: WHAT, key: &object.key, bytes: 0 };
        let answer = self.ask(asked, || self.get(&object.key, None)).await?;
        let all = Range { from: 0, until: object.size };
        let mut at = same_object(object, all, &answer)?;
        let (mut body, mut chunk) = (answer.body, Bytes::new());
        while let Some(range) = rest.peek().copied() {
            let Some((turn, slot)) = self.turn(range, errand, to).await else { return Ok(false) };
            let length = usize::try_from(range.len()).unwrap_or(usize::MAX);
            let mut filling = Filling { buffer: self.buffers.take(length), filled: 0 };
            while (filling.filled as u64) < range.len() {
                if chunk.is_empty() {
                    let next = self.received(&object.key, &mut body).await?;
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
            if to.send(Coming::Here(Piece { range, bytes: filling.buffer.freeze(), slot })).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// At which byte the answer begins, if it is of the object that was listed and of the version that was seen first.
fn same_object(object: &Object, asked: Range, answer: &GetObjectOutput) -> Result<u64, Failed> {
    let said = Said { range: answer.content_range(), length: answer.content_length() };
    let replaced = |why| StoreError::Replaced { key: object.key.clone(), why };
    let at = begins(asked, object.size, said).map_err(|odd| match odd {
        Odd::OtherSize(size) => {
            replaced(format!("it has {size} bytes, it was listed with {}", object.size)).into()
        }
        Odd::Wrong(why) => wrong(object, &why),
    })?;
    let theirs = answer.e_tag().unwrap_or_default();
    let first = object.etag.get_or_init(|| theirs.to_owned());
    if first != theirs {
        return Err(replaced(format!("its ETag was {first} and is {theirs}")).into());
    }
    Ok(at)
}

/// An answer that contradicts itself. Proxies do that on bad days, so it is asked again.
fn wrong(object: &Object, why: &str) -> Failed {
    Failed {
        error: StoreError::Outage {
            what: "hand out the bytes that were asked for",
            why: format!("{}: {why}; ask its operator", object.key),
        },
        class: Class::Transient,
        retry_after: None,
    }
}
