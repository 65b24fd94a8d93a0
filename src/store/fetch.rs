//! The bytes of an object off the wire, range by range; from a store that ignores ranges in one stream (`stream`).
//!
//! Each range is a request of its own, repeated by itself, and a repeat asks only for what is still missing of it. Every answer must
//! be of the object that was listed and of the version that was seen first. Versions are compared here instead of by `If-Match`:
//! Ceph refuses its own ETag there, Garage does not look at it, and the answer names its ETag before its first byte in any case.
//!
//! An answer may also be nobody's object: a page of something before the store (`face`). So the version that counts is the one of
//! the first range that came whole, and that ranges are ignored is believed only of an answer that has all of the object.
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::attempt::{Asked, Class, Failed};
use super::buffers::Buffer;
use super::lead::{Lead, Turn};
use super::ranges::{Odd, Range, Said, begins, ranges};
use super::slots::{Ask, Slot};
use super::sort::sort;
use super::{Store, StoreError, face};
use crate::disk::DiskError;
use crate::supervisor::meter::Meter;

pub(super) const WHAT: &str = "hand out an object";
/// While others have the wire, a file that waits its turn says so often that it lives.
const STILL_WAITING: Duration = Duration::from_secs(30);

/// An object on its way here.
pub(super) struct Object {
    pub key: String,
    /// As listed.
    pub size: u64,
    /// The version that counts: of what an earlier life has received, or of the first bytes that came whole.
    pub etag: OnceLock<String>,
}

/// Bytes in hand, with the slot that pays for them and the turn that they count in.
pub(super) struct Piece {
    pub range: Range,
    pub bytes: Bytes,
    pub slot: Slot,
    pub turn: Turn,
}

/// A piece that is here, or on its way.
pub(super) enum Coming {
    Here(Piece),
    Flying(Flying),
    /// Nothing comes behind it. Told in its place in the file, so that nobody hears of it while the bytes before are being written:
    /// whoever then begins the part anew would have a late write beside him.
    Failed(StoreError),
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
            Self::Failed(error) => Err(error),
            Self::Flying(mut flying) => match (&mut flying.0).await {
                Ok(done) => done,
                Err(e) => Err(DiskError::Panicked(e.to_string()).into()),
            },
        }
    }
}

/// What is here of a range. It outlives the attempts, so that each asks only for the rest.
pub(super) struct Filling {
    pub buffer: Buffer,
    pub filled: usize,
    /// Of which version it is.
    pub etag: String,
}

impl Filling {
    /// Takes what comes next; false: more than there is place for.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
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
    /// Sends the rest of the object behind `from` to `to`, in its order, or why it does not come. Slots are taken in that order too.
    pub(super) async fn pieces(
        &self,
        object: &Arc<Object>,
        from: u64,
        errand: &Errand,
        to: UnboundedSender<Coming>,
    ) {
        if object.size > self.range_size && self.ranges_are_ignored() {
            if let Err(error) = self.stream(object, from, errand, &to).await {
                drop(to.send(Coming::Failed(error))); // nobody there: who waited for it has said why
            }
            return;
        }
        for range in ranges(from, object.size, self.range_size) {
            let Some((mut turn, slot)) = self.turn(range, errand, &to).await else { break };
            let (me, object, meter) = (self.clone(), object.clone(), errand.meter.clone());
            let flies = tokio::spawn(errand.meter.on_behalf(async move {
                let bytes = me.range(&object, range, &meter).await?;
                if bytes.is_some() {
                    turn.arrived();
                }
                Ok(bytes.map(|bytes| Piece { range, bytes, slot, turn }))
            }));
            if to.send(Coming::Flying(Flying(flies))).is_err() {
                break; // who waited for it has said why
            }
        }
    }

    /// What one request needs. None: nobody waits for its bytes any more.
    ///
    /// It may be long in coming, because others are more urgent or the disk has enough to do: that is bounded by the slots and by the
    /// patience with disks, and nothing hangs. Whoever holds a slot gives it back, since each request has its deadlines and no writing
    /// waits for a slot.
    pub(super) async fn turn(
        &self,
        range: Range,
        errand: &Errand,
        to: &UnboundedSender<Coming>,
    ) -> Option<(Turn, Slot)> {
        let ask = Ask { urgency: errand.urgency, flow: errand.flow, bytes: range.len() };
        let mut both = pin!(async {
            loop {
                let turn = errand.lead.ask().await;
                let slot = self.slots.take(ask).await;
                if turn.is_wanted() {
                    break (turn, slot);
                }
            }
        });
        loop {
            tokio::select! {
                both = &mut both => return Some(both),
                () = to.closed() => return None,
                () = tokio::time::sleep(STILL_WAITING) => errand.meter.alive(),
            }
        }
    }

    /// One range. None: the store answers with the whole object instead.
    async fn range(&self, object: &Object, range: Range, meter: &Meter) -> Result<Option<Bytes>, StoreError> {
        let length = usize::try_from(range.len()).unwrap_or(usize::MAX);
        let filling = Filling { buffer: self.buffers.take(length), filled: 0, etag: String::new() };
        let filling = Mutex::new(filling);
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
        let (_at, etag) = same_object(object, missing, &answer)?;
        if part.is_some() && answer.content_range().is_none() {
            if !whole {
                return Ok(false);
            }
            filling.filled = 0;
        }
        if filling.filled == 0 {
            filling.etag = etag.to_owned();
        } else if filling.etag != etag {
            // Which of the two is the object nobody knows yet: both are forgotten.
            filling.filled = 0;
            return Err(wrong(object, "two answers in a row are of different versions"));
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
        one_version(object, &filling.etag)?;
        Ok(true)
    }

    pub(super) async fn get(&self, key: &str, range: Option<Range>) -> Result<GetObjectOutput, Failed> {
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
}

/// At which byte the answer begins and of which version it is, if it is of the object that was listed and not known to be of another
/// version than the one that counts.
pub(super) fn same_object<'a>(
    object: &Object,
    asked: Range,
    answer: &'a GetObjectOutput,
) -> Result<(u64, &'a str), Failed> {
    let etag = face::etag(&object.key, answer)?;
    let said = Said { range: answer.content_range(), length: answer.content_length() };
    let at = begins(asked, object.size, said).map_err(|odd| match odd {
        Odd::OtherSize(size) => {
            let why = format!("it has {size} bytes, it was listed with {}", object.size);
            StoreError::Replaced { key: object.key.clone(), why }.into()
        }
        Odd::Wrong(why) => wrong(object, &why),
    })?;
    match object.etag.get() {
        Some(counts) if counts != etag => Err(replaced(object, counts, etag)),
        _ => Ok((at, etag)),
    }
}

/// Bytes have come whole: their version is the one that counts from now on, or another one is.
pub(super) fn one_version(object: &Object, etag: &str) -> Result<(), Failed> {
    let counts = object.etag.get_or_init(|| etag.to_owned());
    if counts == etag { Ok(()) } else { Err(replaced(object, counts, etag)) }
}

fn replaced(object: &Object, counts: &str, etag: &str) -> Failed {
    let why = format!("its ETag was {counts} and is {etag}");
    StoreError::Replaced { key: object.key.clone(), why }.into()
}

/// An answer that contradicts itself. Proxies do that on bad days, so it is asked again.
pub(super) fn wrong(object: &Object, why: &str) -> Failed {
    Failed {
        error: StoreError::Outage {
            what: "hand out the bytes that were asked for",
            why: format!("{}: {why}; ask its operator", object.key),
        },
        class: Class::Transient,
        retry_after: None,
    }
}
