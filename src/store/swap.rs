//! Small objects that several hosts write: put only if nobody else has put in between (`If-None-Match: *`, `If-Match`).
//!
//! A store is believed to hold these conditions only after it was seen to (`tsd/share/proof.rs`): some take them and overwrite. A refusal
//! says only that the object is not as expected: a put whose answer was lost is repeated, and refused because it was done. So who is
//! refused looks at what is there, and every body must be one that nobody else can write.
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::attempt::{Asked, Failed};
use super::checksum::Proof;
use super::sort::sort;
use super::{Store, StoreError, face};

/// Which bytes an object has, in the words of the store: its ETag as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

/// When a put may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// If there is no such object.
    New,
    /// If it is still this one.
    Still(Tag),
}

/// What came of a put under a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It was done.
    Done(Tag),
    /// The object is not as expected, perhaps because an attempt of this very put was done before.
    Refused,
    /// The key may not put here, or the store does not know such puts; in its words.
    Denied(String),
}

/// What an attempt has found out, if not that it failed.
enum Tried {
    Done(Tag),
    Refused,
    Denied(String),
}

fn denied(error: &SdkError<PutObjectError>) -> Option<String> {
    let status = error.raw_response().map(|answer| answer.status().as_u16())?;
    let service = error.as_service_error();
    let (code, said) =
        (service.and_then(|e| e.code()), service.and_then(|e| e.message()).unwrap_or_default());
    let final_code =
        matches!(code, Some("AccessDenied" | "AllAccessDisabled" | "NotImplemented" | "MethodNotAllowed"));
    (final_code || matches!(status, 405 | 501))
        .then(|| format!("{status} {} ({said})", code.unwrap_or_default()))
}

impl Store {
    /// Puts a small object if the condition holds.
    pub async fn put_only(&self, key: &str, bytes: Bytes, only: &Only) -> Result<Swapped, StoreError> {
        let proof = Proof::of(self.checksum, &bytes);
        let asked = Asked { what: "take a claim", key, bytes: bytes.len() as u64 };
        let put = || async {
            let put = self.client.put_object().bucket(&self.bucket).key(key);
            let put = match only {
                Only::New => put.if_none_match("*"),
                Only::Still(Tag(etag)) => put.if_match(etag),
            };
            let put = put.body(ByteStream::from(bytes.clone())).customize().interceptor(proof.dress());
            let error = match put.send().await {
                Ok(answer) => {
                    let answer = proof.accept(asked.what, key, answer)?;
                    // `accept` has seen to it that there is one.
                    return Ok(Tried::Done(Tag(answer.e_tag().unwrap_or_default().to_owned())));
                }
                Err(error) => error,
            };
            if let Some(said) = denied(&error) {
                return Ok(Tried::Denied(said));
            }
            match sort(asked.what, key)(error) {
                // Of a key that is not there, `If-Match` is answered with 404.
                Failed { error: StoreError::Exists(_) | StoreError::NotFound(_), .. } => Ok(Tried::Refused),
                failed => Err(failed),
            }
        };
        Ok(match self.ask(asked, put).await? {
            Tried::Done(tag) => Swapped::Done(tag),
            Tried::Refused => Swapped::Refused,
            Tried::Denied(said) => Swapped::Denied(said),
        })
    }

    /// A small object with its tag, at most `max` bytes of it; none: there is no such object.
    pub async fn get_tagged(&self, key: &str, max: u64) -> Result<Option<(Bytes, Tag)>, StoreError> {
        let asked = Asked { what: "hand out a claim", key, bytes: 0 };
        let get = || async {
            let get = self.client.get_object().bucket(&self.bucket).key(key).send().await;
            let answer = match get.map_err(sort(asked.what, key)) {
                Err(Failed { error: StoreError::NotFound(_), .. }) => return Ok(None),
                answer => answer?,
            };
            let tag = Tag(face::etag(key, &answer)?.to_owned());
            Ok(Some((self.all_of_it(key, answer.body, max).await?, tag)))
        };
        Ok(self.ask(asked, get).await?)
    }
}

#[cfg(test)]
impl Tag {
    /// For tests.
    pub(crate) fn of(etag: &str) -> Self {
        Self(etag.to_owned())
    }
}

#[cfg(test)]
#[path = "swap_tests.rs"]
mod tests;
