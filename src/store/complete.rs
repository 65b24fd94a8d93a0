//! The end of an upload: completed, perhaps completed, aborted.
//!
//! A completion that got no clear answer (504, cut off, an error in a 200) is asked for again. What has come to its end answers
//! `NoSuchUpload` then: with an unclear attempt before it, that may mean done. Who may look, looks: size, and the random mark that
//! the upload was begun with. Who may only put can still find out where the store refuses to replace an object when it is asked to: an
//! empty put that may only create is refused because the object exists. That proves something only if no other upload of this key can
//! have made it. Otherwise nothing is known, and the file is sent again, as a failure of its package, which is counted.
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::CompletedMultipartUpload;

use super::attempt::{Asked, Class, Failed};
use super::checksum::{Proof, completed, of_the_store};
use super::multipart::Flight;
use super::resume::{Begun, Landed, Note, Notes, Unfinished};
use super::sort::{Said, sort};
use super::{Store, StoreError};
use crate::clock;

/// Name of the metadata by which an upload's object is known again.
pub(super) const MARK: &str = "tsd-import-upload";

/// What came of aborting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aborted {
    /// There is no such upload any more.
    Gone,
    /// We may not, and asking again would not help.
    Refused(String),
}

/// What was found out about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    Ours,
    /// None, or not ours.
    NotOurs,
    /// We may not look, or it does not say.
    Unknown,
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|r| r.status().as_u16())
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> &str {
    error.as_service_error().and_then(|e| e.code()).unwrap_or_default()
}

/// Whether it is said that we may not, or that this store cannot, by the store itself: asking again would not help. Another 403 is a
/// wrong clock, a replaced key or a proxy, which people mend.
fn is_for_ever<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(code(error), "AccessDenied" | "AllAccessDisabled") || matches!(status(error), Some(405 | 501))
}

/// More answers to a completion that no repeat will change: the parts are not what was acknowledged, or what we know of them makes
/// no request that the store understands. Only another upload helps.
fn lost<E>(key: &str, error: SdkError<E>) -> Failed
where
    E: ProvideErrorMetadata + std::error::Error + Debug + 'static,
{
    let code = code(&error).to_owned();
    match code.as_str() {
        "BadDigest" | "InvalidPart" | "InvalidPartOrder" | "InvalidArgument" | "InvalidRequest"
        | "MalformedXML" => {
            let said = Said::of(&error, clock::now()).in_short();
            let why = format!("the store refuses to complete its upload: {said}");
            StoreError::Lost { key: key.to_owned(), why }.into()
        }
        _ => sort("complete an upload", key)(error),
    }
}

impl Flight<'_> {
    /// Makes the object out of its parts.
    pub(super) async fn complete(
        &self,
        upload: &Unfinished,
        parts: impl Iterator<Item = Landed>,
    ) -> Result<(), StoreError> {
        let (store, key) = (self.store, self.key);
        let id = || upload.begun.upload.clone();
        self.notes.write(Note::Completing { upload: id() }).await?;
        let parts = parts.map(|p| completed(store.checksum, p.number, p.etag, &p.sum)).collect();
        let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let (tries, too_small) = (AtomicU32::new(u32::from(upload.completing)), AtomicBool::new(false));
        let asked = Asked { what: "complete an upload", key, bytes: 0 };
        let complete = || async {
            let _before = tries.fetch_add(1, Relaxed);
            let complete = store.client.complete_multipart_upload().bucket(&store.bucket).key(key);
            let complete = complete.upload_id(id()).multipart_upload(whole.clone());
            complete.send().await.map_err(|e| {
                too_small.fetch_or(code(&e) == "EntityTooSmall", Relaxed);
                lost(key, e)
            })
        };
        match store.ask(asked, complete).await.map_err(StoreError::from) {
            Ok(_) => {}
            Err(StoreError::NoUpload(_)) if tries.load(Relaxed) > 1 => {
                store.find_out(&upload.begun, self.is_alone(upload), &self.notes).await?
            }
            Err(e) => {
                // A setting is wrong, not the package. With a larger one parts are cut in another way, so these are of no more use.
                if too_small.load(Relaxed) {
                    self.give_up(&upload.begun).await?;
                }
                return Err(e);
            }
        }
        self.notes.write(Note::Done { upload: id() }).await
    }

    /// Whether no other upload can have made an object of this key.
    fn is_alone(&self, upload: &Unfinished) -> bool {
        let other = |o: &Unfinished| o.begun.upload != upload.begun.upload;
        let alone =
            |k: &super::Kept| k.alone && !k.before.iter().any(|o| other(o) && (o.completing || o.done));
        !upload.proving && self.from.kept.is_some_and(alone)
    }
}

impl Store {
    /// The upload is gone and may have been completed. `Ok` only if the object is surely there.
    async fn find_out(&self, begun: &Begun, alone: bool, notes: &Notes) -> Result<(), StoreError> {
        let key = begun.key.as_str();
        let looked = match self.look(begun).await? {
            Looked::Unknown if alone && self.conditional => {
                // First, for what is made by a request without an answer would be taken for the upload's next time.
                notes.write(Note::Proving { upload: begun.upload.clone() }).await?;
                self.prove(key).await?
            }
            looked => looked,
        };
        let why = match looked {
            Looked::Ours => {
                tracing::info!(
                    key,
                    upload = begun.upload,
                    "an upload was completed by a request without an answer"
                );
                return Ok(());
            }
            Looked::NotOurs => "there is no object that it made",
            Looked::Unknown => "we may not look whether it made the object",
        };
        let why = format!("its upload is gone after a completion without a clear answer, and {why}");
        Err(StoreError::Lost { key: key.to_owned(), why })
    }

    /// Asks for the object's size and mark.
    async fn look(&self, begun: &Begun) -> Result<Looked, StoreError> {
        let key = begun.key.as_str();
        let asked = Asked { what: "describe an object", key, bytes: 0 };
        let head = || async {
            let answer = self.client.head_object().bucket(&self.bucket).key(key).send().await;
            let found = match answer {
                Ok(found) => found,
                Err(e) if status(&e) == Some(404) => return Ok(Looked::NotOurs),
                // An answer to HEAD has no body, so a 403 rarely says why. By far the most likely is that we have no right to look:
                // the completion before it was understood under the same key.
                Err(e) if is_for_ever(&e) => return Ok(Looked::Unknown),
                Err(e) if status(&e) == Some(403) && matches!(code(&e), "" | "Forbidden") => {
                    return Ok(Looked::Unknown);
                }
                Err(e) => return Err(sort(asked.what, key)(e)),
            };
            let size = found.content_length().and_then(|s| u64::try_from(s).ok());
            Ok(match found.metadata.as_ref().and_then(|all| all.get(MARK)) {
                Some(mark) if *mark == begun.mark && size == Some(begun.source.size) => Looked::Ours,
                Some(_) => Looked::NotOurs,
                None if size.is_some_and(|s| s != begun.source.size) => Looked::NotOurs,
                None => Looked::Unknown, // a store that keeps no metadata
            })
        };
        Ok(self.ask(asked, head).await?)
    }

    /// Tries to create the object, empty; refused if it exists. If it is not refused, the file is sent over it.
    async fn prove(&self, key: &str) -> Result<Looked, StoreError> {
        let asked = Asked { what: "refuse to replace an object", key, bytes: 0 };
        let (proof, tries) = (Proof::of(self.checksum, b""), AtomicU32::new(0));
        let put = || async {
            let first = tries.fetch_add(1, Relaxed) == 0;
            let put = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
            match put.customize().interceptor(proof.dress()).send().await {
                Ok(made) => of_the_store(asked.what, key, made).map(|_| Looked::NotOurs),
                Err(e) if status(&e) == Some(412) && first => Ok(Looked::Ours),
                // By now it may be what we made ourselves.
                Err(e) if status(&e) == Some(412) => Ok(Looked::Unknown),
                Err(e) if status(&e) == Some(409) => {
                    // Somebody else is at work on this key in this moment: perhaps our own completion.
                    Err(Failed { class: Class::Transient, ..sort(asked.what, key)(e) })
                }
                Err(e) => Err(sort(asked.what, key)(e)),
            }
        };
        Ok(self.ask(asked, put).await?)
    }

    /// Aborts an upload of ours; one that is gone already is as good.
    pub async fn abort_upload(&self, key: &str, upload: &str) -> Result<Aborted, StoreError> {
        let asked = Asked { what: "abort an upload", key, bytes: 0 };
        let abort = || async {
            let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
            match abort.send().await {
                Ok(_) => Ok(Aborted::Gone),
                Err(e) if is_for_ever(&e) => {
                    let why = StoreError::from(sort(asked.what, key)(e)).to_string();
                    Ok(Aborted::Refused(why))
                }
                Err(e) => Err(sort(asked.what, key)(e)),
            }
        };
        match self.ask(asked, abort).await.map_err(StoreError::from) {
            Err(StoreError::NoUpload(_) | StoreError::NotFound(_)) => Ok(Aborted::Gone),
            done => done,
        }
    }
}
