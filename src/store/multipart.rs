//! Files of several parts: each part is read once, then hashed and sent at the same time, and what the store has acknowledged is
//! written down, so that the next attempt goes on from there.
//!
//! A part has its slot before its bytes are read and keeps it until they are acknowledged, hashed and let go by the listener: memory
//! is what the slots give out, whatever is slow. The file is read by one job at a time; it is the wire that is many.
//!
//! A fingerprint does not prove that two readings of a file are of the same bytes, so what an earlier attempt has read is not mixed with
//! what this one reads: a part that is sent is hashed from the same reading, and one that was acknowledged before and is read again
//! (for the digests behind a gap, or for a listener) must have the sum that it had then.
//!
//! A failed attempt keeps its upload for the next one. It is aborted only when nobody may go on with it: the source has changed, the
//! listener objects, its parts are lost, or (the uploader's sweep) its package has come to an end.
use std::fs::File;
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::attempt::Asked;
use super::buffers::Buffer;
use super::checksum::{Proof, algorithm};
use super::complete::{Aborted, MARK};
use super::resume::{Begun, Landed, Limits, Note, Notes, Todo, Unfinished};
use super::sort::sort;
use super::up::{is_still, joined, open, part};
use super::{Listener, Origin, Sent, Store, StoreError};
use crate::disk::{DiskError, OnDisk, Parked};
use crate::hashing::Later;
use crate::package::HashState;
use crate::supervisor::meter::Meter;

const MIB: u64 = 1 << 20;

/// A file on its way.
pub(super) struct Flight<'a> {
    pub store: &'a Store,
    pub key: &'a str,
    pub from: Origin<'a>,
    pub notes: Notes,
    with_md5: bool,
    meter: &'a Meter,
    file: Arc<Parked<File>>,
}

/// What came of a part: acknowledged, and the digests behind it.
type Done = (Option<Landed>, Option<HashState>);

impl Store {
    pub(super) async fn send_large(
        &self,
        key: &str,
        from: Origin<'_>,
        with_md5: bool,
        listener: Option<Listener>,
        meter: &Meter,
    ) -> Result<Sent, StoreError> {
        let (at, lane) = (from.path.to_owned(), from.disk.clone());
        let (now, file) = from.hold.on(from.disk, move |on| open(on, &lane, &at)).await??;
        if now != from.expected {
            return Err(StoreError::Changed(from.path.to_owned()));
        }
        let (file, notes) = (Arc::new(file), Notes::new(from.hold, from.kept));
        let flight = Flight { store: self, key, from, notes, with_md5, meter, file };
        let upload = flight.upload().await?;
        let sent = flight.fly(&upload, listener).await;
        flight.wind_up(&upload.begun, sent).await
    }

    async fn put_part(
        &self,
        begun: &Begun,
        number: i32,
        bytes: Bytes,
        proof: &Proof,
    ) -> Result<Landed, StoreError> {
        let key = begun.key.as_str();
        let asked = Asked { what: "accept a part", key, bytes: bytes.len() as u64 };
        let put = || async {
            let put = self.client.upload_part().bucket(&self.bucket).key(key).upload_id(&begun.upload);
            let put = put.part_number(number).body(ByteStream::from(bytes.clone()));
            let answer = put.customize().interceptor(proof.dress()).send().await;
            proof.accept(asked.what, key, answer.map_err(sort(asked.what, key))?)
        };
        let answer = self.ask(asked, put).await?;
        Ok(Landed { number, etag: answer.e_tag().map(str::to_owned), sum: proof.text() })
    }
}

impl Flight<'_> {
    /// The upload that an earlier attempt left, or a new one. What cannot be gone on with is aborted.
    async fn upload(&self) -> Result<Unfinished, StoreError> {
        let before = self.from.kept.map(|k| k.before.as_slice()).unwrap_or_default();
        let checksum = self.store.checksum.to_string();
        let limits = Limits { part_length: self.part_length(), parts: self.store.max_parts };
        let (mut found, mut odd): (Option<&Unfinished>, Vec<_>) = (None, Vec::new());
        for old in before {
            match old.fits(self.key, self.from.expected, &checksum, limits) {
                Ok(()) => odd.extend(found.replace(old).map(|older| (older, "there is a later one"))),
                Err(why) => odd.push((old, why)),
            }
        }
        for (old, why) in odd {
            let (key, upload) = (&old.begun.key, &old.begun.upload);
            tracing::warn!(
                key,
                upload,
                why,
                "an upload is not gone on with; the file is sent from its beginning"
            );
            self.store.leave(old, &self.notes).await?;
        }
        let Some(old) = found else { return self.begin(checksum).await };
        let (parts, hashed) = (old.parts.len(), old.digests(self.with_md5).size());
        tracing::info!(key = self.key, upload = old.begun.upload, parts, hashed, "an upload is gone on with");
        Ok(old.once_more())
    }

    fn part_length(&self) -> u64 {
        part_length(self.from.expected.size, self.store.part_size, self.store.max_parts)
    }

    async fn begin(&self, checksum: String) -> Result<Unfinished, StoreError> {
        let key = self.key;
        let mark = uuid::Uuid::new_v4().to_string();
        let asked = Asked { what: "begin an upload", key, bytes: 0 };
        let create = || async {
            let create = self.store.client.create_multipart_upload().bucket(&self.store.bucket).key(key);
            let create = create
                .set_checksum_algorithm(algorithm(self.store.checksum))
                .set_metadata(Some([(MARK.to_owned(), mark.clone())].into()));
            create.send().await.map_err(sort(asked.what, key))
        };
        let created = self.store.ask(asked, create).await?;
        let none = || StoreError::Outage { what: asked.what, why: "its answer has no upload id".into() };
        let begun = Begun {
            upload: created.upload_id().ok_or_else(none)?.to_owned(),
            key: key.to_owned(),
            source: self.from.expected,
            part_length: self.part_length(),
            checksum,
            place: self.store.place.clone(),
            mark,
        };
        if let Err(unknown) = self.notes.write(Note::Begun(begun.clone())).await {
            self.store.give_up(&begun).await; // nobody will know of it
            return Err(unknown);
        }
        Ok(Unfinished::new(begun))
    }

    /// Reads part after part; each flies on its own while the next is read. Behind a listener's objection nothing flies any more,
    /// but the rest is hashed: whether the md5 is as delivered tells who must look after it.
    async fn fly(&self, upload: &Unfinished, mut listener: Option<Listener>) -> Result<Sent, StoreError> {
        let (size, length) = (self.from.expected.size, upload.begun.part_length);
        let mut state = upload.digests(self.with_md5);
        let hashed = state.size();
        let mut stream = self.store.hashing.stream(state.clone());
        let begun = Arc::new(upload.begun.clone());
        let mut landed = upload.parts.clone();
        let (mut flying, mut stored): (JoinSet<Result<Done, StoreError>>, _) = (JoinSet::new(), true);
        let mut learn = |(part, behind): Done| {
            landed.extend(part.map(|p| (p.number, p)));
            state = behind.filter(|b| b.size() > state.size()).unwrap_or_else(|| state.clone());
        };
        let mut failed = Ok(());
        for (number, offset) in (1..).zip((0..size).step_by(usize::try_from(length).unwrap_or(usize::MAX))) {
            let len = length.min(size - offset);
            let before = upload.parts.get(&number);
            let todo = Todo::of(offset, hashed, before.is_some() || !stored, listener.is_some() && stored);
            if todo.is_nothing() {
                self.meter.add(len);
                continue;
            }
            let room = self.store.slots.take(self.from.ask(len)).await;
            // The room stays here meanwhile: if the disk hangs it is free when that is noticed, not when the call comes back.
            let (bytes, proof) = match self.read(offset, len, before, todo.send).await {
                Ok((buffer, proof)) => (buffer.freeze_in(room), proof),
                Err(e) => {
                    failed = Err(e);
                    break;
                }
            };
            let later = todo.hash.then(|| stream.feed(bytes.clone()));
            let before = before.filter(|_| todo.hash).cloned();
            let task =
                self.part((number, upload.attempt), bytes.clone(), (proof, before), later, begun.clone());
            drop(flying.spawn(self.meter.on_behalf(task)));
            if let Some(ear) = listener.as_mut().filter(|_| stored)
                && !ear.hear(bytes).await
            {
                stored = false;
            }
            while let Some(done) = flying.try_join_next().filter(|_| failed.is_ok()) {
                failed = joined(done).map(&mut learn);
            }
            if failed.is_err() {
                break;
            }
        }
        if let Some(listener) = listener.filter(|_| stored && failed.is_ok()) {
            listener.end().await;
        }
        // Also behind a failure: what is on its way may arrive, and need not be sent again.
        while let Some(done) = flying.join_next().await {
            let done = joined(done).map(&mut learn);
            failed = failed.and(done);
        }
        failed?;
        if stored && !upload.done {
            self.is_unchanged().await?;
            self.complete(upload, landed.into_values()).await?;
        }
        Ok(Sent { digests: state.finish(), stored })
    }

    /// Reads a part, with its proof if it is to be sent. One that was acknowledged `before` must be what it was then.
    async fn read(
        &self,
        offset: u64,
        len: u64,
        before: Option<&Landed>,
        send: bool,
    ) -> Result<(Buffer, Option<Proof>), StoreError> {
        let (file, path) = (self.file.clone(), self.from.path.to_owned());
        let buffer = self.store.buffers.take(usize::try_from(len).unwrap_or(usize::MAX));
        let kind = (send || before.is_some()).then_some(self.store.checksum);
        let read = move |on: &OnDisk| part(on, &file, &path, offset, buffer, kind);
        let (buffer, proof) = self.from.hold.on(self.from.disk, read).await??;
        if let (Some(then), Some(now)) = (before, &proof)
            && then.sum != now.text()
        {
            let (key, number) = (self.key, then.number);
            tracing::warn!(key, number, "a part of the file has other bytes now than when it was sent");
            return Err(StoreError::Changed(self.from.path.to_owned()));
        }
        Ok((buffer, proof.filter(|_| send)))
    }

    /// A part on the wire and in the digests at once; written down when both are through. One that is not sent may have been
    /// acknowledged `before`, and is written down with its new digests.
    fn part(
        &self,
        (number, attempt): (i32, u32),
        bytes: Bytes,
        (proof, before): (Option<Proof>, Option<Landed>),
        later: Option<Later>,
        begun: Arc<Begun>,
    ) -> impl Future<Output = Result<Done, StoreError>> + Send + 'static {
        let (store, notes, meter) = (self.store.clone(), self.notes.clone(), self.meter.clone());
        async move {
            let len = bytes.len() as u64;
            let wire = async {
                let Some(proof) = proof else { return Ok(before) };
                store.put_part(&begun, number, bytes.clone(), &proof).await.map(Some)
            };
            let digests = async {
                let Some(later) = later else { return Ok(None) };
                later.state().await.map(Some).map_err(|e| DiskError::Panicked(e.to_string()).into())
            };
            let (landed, state): (Result<_, StoreError>, Result<_, StoreError>) = tokio::join!(wire, digests);
            drop(bytes); // and with them the slot, when the listener and the wire have let go of them too
            let (landed, state) = (landed?, state?);
            if let Some(part) = landed.clone() {
                let upload = begun.upload.clone();
                notes.write(Note::Part { upload, part, state: state.clone(), attempt }).await?;
            }
            meter.add(len);
            Ok((landed, state))
        }
    }

    async fn is_unchanged(&self) -> Result<(), StoreError> {
        let (file, path, expected) = (self.file.clone(), self.from.path.to_owned(), self.from.expected);
        let still = move |on: &OnDisk| is_still(on, &file, &path, expected);
        match self.from.hold.on(self.from.disk, still).await?? {
            true => Ok(()),
            false => Err(StoreError::Changed(self.from.path.to_owned())),
        }
    }

    /// What becomes of the upload, by what came of the attempt.
    async fn wind_up(&self, begun: &Begun, sent: Result<Sent, StoreError>) -> Result<Sent, StoreError> {
        let sent = match sent {
            // A file that is being written fails in many ways, and `Changed` is the word for all of them.
            Err(e) if !e.is_outage() && !e.is_fenced() => self.is_unchanged().await.and(Err(e)),
            sent => sent,
        };
        match &sent {
            Ok(Sent { stored: true, .. }) => {}
            Err(e) if e.is_fenced() => {}
            Ok(_) | Err(StoreError::Changed(_) | StoreError::Lost { .. }) => self.give_up(begun).await?,
            Err(StoreError::NoUpload(_)) => {
                self.notes.write(Note::Over { upload: begun.upload.clone() }).await?
            }
            Err(_) if !self.notes.are_kept() => self.give_up(begun).await?,
            Err(_) => {}
        }
        sent
    }

    /// Aborts an upload. One that could not be aborted now stays in the notes, and the sweep tries again.
    pub(super) async fn give_up(&self, begun: &Begun) -> Result<(), StoreError> {
        if self.store.give_up(begun).await {
            self.notes.write(Note::Over { upload: begun.upload.clone() }).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Goes on without an upload of an earlier attempt. Of one that was completed nothing is left to be aborted.
    pub(super) async fn leave(&self, old: &Unfinished, notes: &Notes) -> Result<(), StoreError> {
        if old.done || self.give_up(&old.begun).await {
            notes.write(Note::Over { upload: old.begun.upload.clone() }).await?;
        }
        Ok(())
    }

    /// Whether no more is to be done about it.
    async fn give_up(&self, begun: &Begun) -> bool {
        let (key, upload) = (&begun.key, &begun.upload);
        match self.abort_upload(key, upload).await {
            Ok(Aborted::Gone) => true,
            Ok(Aborted::Refused(why)) => {
                tracing::warn!(
                    key,
                    upload,
                    why,
                    "the store does not let us abort an upload: it stays behind there"
                );
                true
            }
            Err(error) => {
                tracing::warn!(key, upload, %error, "an upload could not be aborted now");
                false
            }
        }
    }
}

/// A part's length: as configured, or as much longer (in whole MiB) as the limit of parts demands.
fn part_length(size: u64, wished: u64, max_parts: u64) -> u64 {
    let least = size.div_ceil(max_parts.max(1));
    if least <= wished { wished } else { least.div_ceil(MIB) * MIB }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_only_when_there_would_be_too_many() {
        assert_eq!(part_length(100 * MIB, 16 * MIB, 10_000), 16 * MIB);
        let huge = part_length(200 << 30, 16 * MIB, 10_000);
        assert_eq!(huge, 21 * MIB);
        assert!((200u64 << 30).div_ceil(huge) <= 10_000);
        assert_eq!(part_length(50 * MIB, 5 * MIB, 10), 5 * MIB);
        assert_eq!(part_length(50 * MIB + 1, 5 * MIB, 10), 6 * MIB);
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod resuming;
