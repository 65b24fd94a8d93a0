//! Single requests, as `tsd-import doctor` makes them: one attempt each, and what was said is handed out as it is.
//!
//! Whether a store notices changed bytes is found by changing them: the request is signed and gets its checksum over the right
//! bytes, and others travel, as they would through a faulty memory.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use md5::{Digest, Md5};
use sha2::Sha256;

use super::sort::{Said, ahead, judge};
use super::{Listening, NoBell, NoRace, Seen, Store, StoreError};
use crate::clock;
use crate::conf::{Checksum, StoreConf};
use crate::disk::Disk;
use crate::hashing::Hashing;
use crate::package::COMMIT;

/// What came of a request.
pub(crate) type Answer<T> = Result<T, Said>;

/// Bytes to be sent, and how they are proven.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Over which signature and checksum are made.
    pub bytes: Bytes,
    /// None: neither signature nor checksum.
    pub proof: Option<Checksum>,
    /// Others of the same length, which travel instead.
    pub travels: Option<Bytes>,
    /// Only if there is no such object.
    pub only_new: bool,
}

impl Load {
    /// Signed bytes.
    pub(crate) fn signed(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), proof: Some(Checksum::Signed), travels: None, only_new: false }
    }
}

/// A part that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Landed {
    pub number: i32,
    pub etag: Option<String>,
    /// The checksum as the store says it back.
    pub echoed: Option<String>,
}

/// The value of a checksum as it stands in its header; none for the signature, which has none.
fn value(kind: Checksum, bytes: &[u8]) -> Option<String> {
    let crc = |algorithm, width: usize| {
        let sum = crc_fast::checksum(algorithm, bytes).to_be_bytes();
        Some(BASE64.encode(sum.get(8 - width..).unwrap_or_default()))
    };
    match kind {
        Checksum::Signed => None,
        Checksum::Sha256 => Some(BASE64.encode(Sha256::digest(bytes))),
        Checksum::Md5 => Some(BASE64.encode(Md5::digest(bytes))),
        Checksum::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme, 8),
        Checksum::Crc32C => crc(CrcAlgorithm::Crc32Iscsi, 4),
        Checksum::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc, 4),
    }
}

/// The kind as the SDK names it.
fn algorithm(kind: Option<Checksum>) -> Option<ChecksumAlgorithm> {
    match kind? {
        Checksum::Signed | Checksum::Md5 => None,
        Checksum::Sha256 => Some(ChecksumAlgorithm::Sha256),
        Checksum::Crc64Nvme => Some(ChecksumAlgorithm::Crc64Nvme),
        Checksum::Crc32C => Some(ChecksumAlgorithm::Crc32C),
        Checksum::Crc32 => Some(ChecksumAlgorithm::Crc32),
    }
}

/// What answers tell beside what was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aside {
    /// The store's clock against ours in seconds, as the last answer said.
    pub ahead: Option<i64>,
    /// How the server names itself.
    pub server: Option<String>,
}

/// Listens to answers, and sends other bytes than were signed if it has any.
#[derive(Clone, Debug)]
struct Hand {
    aside: Arc<Mutex<Aside>>,
    travels: Option<Bytes>,
}

impl Intercept for Hand {
    fn name(&self) -> &'static str {
        "doctor"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(other) = &self.travels {
            *context.request_mut().body_mut() = SdkBody::from(other.clone());
        }
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = context.response();
        if let Some(seconds) = answer.headers().get("date").and_then(|date| ahead(date, clock::now())) {
            aside.ahead = Some(seconds);
        }
        if let Some(server) = answer.headers().get("server") {
            aside.server = Some(server.chars().take(60).filter(|c| !c.is_control()).collect());
        }
        Ok(())
    }
}

/// Makes single requests.
#[derive(Clone)]
pub(crate) struct Probe {
    store: Store,
    aside: Arc<Mutex<Aside>>,
    patience: Duration,
}

impl Probe {
    /// Each request has this much time, and what its bytes take at the least rate that is configured.
    pub(crate) fn new(conf: &StoreConf, secrets: Disk, patience: Duration) -> Result<Self, StoreError> {
        let no_threads = |e| StoreError::Config(format!("could not start the threads for digests: {e}"));
        let hashing = Hashing::start(conf.hash_threads).map_err(no_threads)?;
        Ok(Self { store: Store::new(conf, secrets, hashing)?, aside: Arc::default(), patience })
    }

    /// What answers told beside what was asked.
    pub(crate) fn aside(&self) -> Aside {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who must act on an answer, in the words of the daemon; whether it may be otherwise later.
    pub(crate) fn verdict(what: &'static str, key: &str, said: &Said) -> (StoreError, bool) {
        let failed = judge(what, key, said);
        (failed.error, failed.class != super::attempt::Class::Final)
    }

    /// Listens for commits below a prefix, with a sign of life each second.
    pub(crate) async fn listen(&self, prefix: &str) -> Result<Listening, NoBell> {
        self.store.listen(prefix, COMMIT, 1).await
    }

    /// Whether the store holds the conditions of a put, as claims rely on it.
    pub(crate) async fn race(&self, key: &str) -> Result<Seen, NoRace> {
        self.store.race(key).await
    }

    fn hand(&self, travels: Option<Bytes>) -> Hand {
        Hand { aside: self.aside.clone(), travels }
    }

    async fn once<T, E>(&self, bytes: usize, send: impl Future<Output = Result<T, SdkError<E>>>) -> Answer<T>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let own = |message: String| Said { message, ..Said::default() };
        self.store.fresh_headers().await.map_err(|e| own(e.to_string()))?;
        let deadline = self.patience + Duration::from_secs(bytes as u64 / self.store.demand.min_rate.max(1));
        match tokio::time::timeout(deadline, send).await {
            Err(_) => Err(own(format!("no answer within {deadline:?}"))),
            Ok(answer) => answer.map_err(|e| Said::of(&e, clock::now())),
        }
    }

    /// Puts an object; the checksum as the store says it back.
    pub(crate) async fn put(&self, key: &str, load: &Load) -> Answer<Option<String>> {
        let mut put = self.store.client.put_object().bucket(&self.store.bucket).key(key);
        let sum = load.proof.and_then(|kind| value(kind, &load.bytes));
        put = match load.proof {
            None | Some(Checksum::Signed) => put,
            Some(Checksum::Sha256) => put.set_checksum_sha256(sum),
            Some(Checksum::Crc64Nvme) => put.set_checksum_crc64_nvme(sum),
            Some(Checksum::Crc32C) => put.set_checksum_crc32_c(sum),
            Some(Checksum::Crc32) => put.set_checksum_crc32(sum),
            Some(Checksum::Md5) => put.set_content_md5(sum),
        };
        if load.only_new {
            put = put.if_none_match("*");
        }
        let put = put.body(ByteStream::from(load.bytes.clone())).customize();
        let put = if load.proof == Some(Checksum::Signed) { put } else { put.disable_payload_signing() };
        let put = put.interceptor(self.hand(load.travels.clone()));
        let done = self.once(load.bytes.len(), put.send()).await?;
        let echoed = [
            done.checksum_sha256(),
            done.checksum_crc64_nvme(),
            done.checksum_crc32_c(),
            done.checksum_crc32(),
        ];
        Ok(echoed.into_iter().flatten().next().map(str::to_owned))
    }

    /// Begins an upload for parts with this kind of checksum.
    pub(crate) async fn begin(&self, key: &str, kind: Option<Checksum>) -> Answer<String> {
        let begin = self.store.client.create_multipart_upload().bucket(&self.store.bucket).key(key);
        let whole = (kind == Some(Checksum::Crc64Nvme)).then_some(ChecksumType::FullObject);
        let begin = begin.set_checksum_algorithm(algorithm(kind)).set_checksum_type(whole);
        let begun = self.once(0, begin.customize().interceptor(self.hand(None)).send()).await?;
        let none = || Said { status: Some(200), message: "there is no upload id".into(), ..Said::default() };
        begun.upload_id().map(str::to_owned).ok_or_else(none)
    }

    /// Sends a part.
    pub(crate) async fn part(&self, key: &str, upload: &str, number: i32, load: &Load) -> Answer<Landed> {
        let part = self.store.client.upload_part().bucket(&self.store.bucket).key(key);
        let mut part = part.upload_id(upload).part_number(number);
        let sum = load.proof.and_then(|kind| value(kind, &load.bytes));
        part = match load.proof {
            None | Some(Checksum::Signed) => part,
            Some(Checksum::Sha256) => part.set_checksum_sha256(sum),
            Some(Checksum::Crc64Nvme) => part.set_checksum_crc64_nvme(sum),
            Some(Checksum::Crc32C) => part.set_checksum_crc32_c(sum),
            Some(Checksum::Crc32) => part.set_checksum_crc32(sum),
            Some(Checksum::Md5) => part.set_content_md5(sum),
        };
        let part = part.body(ByteStream::from(load.bytes.clone())).customize();
        let part = if load.proof == Some(Checksum::Signed) { part } else { part.disable_payload_signing() };
        let part = part.interceptor(self.hand(load.travels.clone()));
        let done = self.once(load.bytes.len(), part.send()).await?;
        let echoed = [
            done.checksum_sha256(),
            done.checksum_crc64_nvme(),
            done.checksum_crc32_c(),
            done.checksum_crc32(),
        ];
        let echoed = echoed.into_iter().flatten().next().map(str::to_owned);
        Ok(Landed { number, etag: done.e_tag().map(str::to_owned), echoed })
    }

    /// Completes an upload.
    pub(crate) async fn complete(&self, key: &str, upload: &str, parts: &[Landed]) -> Answer<()> {
        let named = |part: &Landed| {
            CompletedPart::builder().part_number(part.number).set_e_tag(part.etag.clone()).build()
        };
        let parts = parts.iter().map(named).collect();
        let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.store.client.complete_multipart_upload().bucket(&self.store.bucket).key(key);
        let complete = complete.upload_id(upload).multipart_upload(whole).customize();
        self.once(0, complete.interceptor(self.hand(None)).send()).await.map(drop)
    }

    /// Aborts an upload.
    pub(crate) async fn abort(&self, key: &str, upload: &str) -> Answer<()> {
        let abort = self.store.client.abort_multipart_upload().bucket(&self.store.bucket).key(key);
        let abort = abort.upload_id(upload).customize();
        self.once(0, abort.interceptor(self.hand(None)).send()).await.map(drop)
    }

    /// The parts of an upload, as the store knows them.
    pub(crate) async fn list_parts(&self, key: &str, upload: &str) -> Answer<usize> {
        let list = self.store.client.list_parts().bucket(&self.store.bucket).key(key).upload_id(upload);
        let list = self.once(0, list.customize().interceptor(self.hand(None)).send()).await?;
        Ok(list.parts().len())
    }

    /// The first thousand objects below a prefix, with their sizes.
    pub(crate) async fn list(&self, prefix: &str) -> Answer<Vec<(String, u64)>> {
        let list =
            self.store.client.list_objects_v2().bucket(&self.store.bucket).prefix(prefix).max_keys(1000);
        let page = self.once(0, list.customize().interceptor(self.hand(None)).send()).await?;
        let size = |size: Option<i64>| size.and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
        let objects = page.contents().iter();
        Ok(objects.filter_map(|o| Some((o.key()?.to_owned(), size(o.size())))).collect())
    }

    /// The size of an object.
    pub(crate) async fn head(&self, key: &str) -> Answer<u64> {
        let head = self.store.client.head_object().bucket(&self.store.bucket).key(key);
        let head = self.once(0, head.customize().interceptor(self.hand(None)).send()).await?;
        Ok(head.content_length().and_then(|s| u64::try_from(s).ok()).unwrap_or(0))
    }

    /// At most `most` bytes of an object, of a range of it if one is given, and whether the answer is a partial one.
    pub(crate) async fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
        most: u64,
    ) -> Answer<(bool, Vec<u8>)> {
        let get = self.store.client.get_object().bucket(&self.store.bucket).key(key);
        let get = get.set_range(range.map(|(from, to)| format!("bytes={from}-{to}"))).customize();
        let got = self.once(0, get.interceptor(self.hand(None)).send()).await?;
        let partial = got.content_range().is_some();
        let (mut body, mut bytes) = (got.body, Vec::new());
        let own = |message: String| Said { status: Some(200), message, ..Said::default() };
        loop {
            match tokio::time::timeout(self.patience, body.next()).await {
                Err(_) => return Err(own(format!("nothing came for {:?}", self.patience))),
                Ok(None) => return Ok((partial, bytes)),
                Ok(Some(chunk)) => {
                    bytes.extend_from_slice(&chunk.map_err(|e| own(format!("it broke off: {e}")))?);
                }
            }
            if bytes.len() as u64 > most {
                return Ok((partial, bytes)); // more than was asked for: the caller sees it by the length
            }
        }
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, key: &str) -> Answer<()> {
        let delete = self.store.client.delete_object().bucket(&self.store.bucket).key(key);
        self.once(0, delete.customize().interceptor(self.hand(None)).send()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CRC catalogue's check values, over "123456789".
    #[test]
    fn checksums_stand_in_their_headers_as_s3_wants_them() {
        let of = |kind| value(kind, b"123456789");
        assert_eq!(of(Checksum::Crc32), Some(BASE64.encode([0xcb, 0xf4, 0x39, 0x26])));
        assert_eq!(of(Checksum::Crc32C), Some(BASE64.encode([0xe3, 0x06, 0x92, 0x83])));
        assert_eq!(of(Checksum::Crc64Nvme), Some(BASE64.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes())));
        assert_eq!(of(Checksum::Sha256).as_deref(), Some("FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="));
        assert_eq!(of(Checksum::Md5).as_deref(), Some("JfnnlDI7RTiF9RgfG2JNCw=="));
        assert_eq!(of(Checksum::Signed), None);
    }
}
