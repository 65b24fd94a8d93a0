//! What can go wrong with the store, sorted by who must act.
use std::fmt::Debug;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::attempt::{Class, Failed};
use crate::disk::DiskError;
use crate::fs::FsError;
use crate::lease::{self, Fenced};

/// The causes of an error, each once, without the inner workings of the libraries.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut said: Vec<String> = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(e) = cause {
        let text = e.to_string();
        // Some layers repeat what is below them.
        if said.last().is_none_or(|last| !last.contains(&text)) {
            said.push(text);
        }
        cause = e.source();
    }
    said.join(": ")
}

/// A request, or the file behind it, failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The settings are wrong; nothing was sent.
    #[error("the store cannot be used as configured: {0}")]
    Config(String),
    /// Not reached, overloaded, not allowed, token expired: the same for every package, so work waits.
    #[error("the store did not {what}: {why}")]
    Outage {
        /// As an infinitive.
        what: &'static str,
        /// The reason with what to do about it.
        why: String,
    },
    /// There is no such upload (any more): aborted, or completed.
    #[error("there is no upload of {0} under this id any more")]
    NoUpload(String),
    /// There is no such object.
    #[error("there is no object {0}")]
    NotFound(String),
    /// An object is larger than it may be.
    #[error("{key} has {size} bytes, more than the {max} that are accepted")]
    TooLarge {
        /// The object.
        key: String,
        /// Its size.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The store acknowledged other bytes than were sent, or sent other bytes than promised.
    #[error("{key}: the store answers with digest {theirs}, ours is {ours}: bytes were changed on the way")]
    Digest {
        /// The object.
        key: String,
        /// As we computed it.
        ours: String,
        /// As it says.
        theirs: String,
    },
    /// An object is another one than was listed, or than its first bytes came from.
    #[error("{key} was replaced in the bucket while it was being received: {why}")]
    Replaced {
        /// The object.
        key: String,
        /// What is different.
        why: String,
    },
    /// The source file changed while it was read.
    #[error("{0} changed while it was being sent")]
    Changed(std::path::PathBuf),
    /// Another may have taken over, so nothing is sent.
    #[error("the store was not asked to {what}: {fenced}")]
    Fenced {
        /// As an infinitive.
        what: &'static str,
        /// Why.
        fenced: Fenced,
    },
    /// A file on this side.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The disk's threads.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl StoreError {
    /// Whether this process must not write any more.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. }) || matches!(self, Self::Fs(e) if e.fenced().is_some())
    }

    /// Whether it is the same for every package, so that work waits instead of blaming one.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Outage { .. } | Self::Config(_) => true,
            Self::Fs(e) => e.is_outage(),
            Self::Disk(e) => e.is_outage(),
            Self::Fenced { .. } => false,
            Self::NoUpload(_)
            | Self::NotFound(_)
            | Self::TooLarge { .. }
            | Self::Digest { .. }
            | Self::Replaced { .. }
            | Self::Changed(_) => false,
        }
    }
}

/// Sorts an answer of the SDK. `what` is an infinitive: `accept a part`.
pub(super) fn sort<E>(what: &'static str, key: &str) -> impl FnOnce(SdkError<E>) -> Failed
where
    E: ProvideErrorMetadata + std::error::Error + Debug + 'static,
{
    let key = key.to_owned();
    move |error| {
        if let Some(fenced) = lease::cause(&error) {
            return StoreError::Fenced { what, fenced: fenced.clone() }.into();
        }
        let status = error.raw_response().map(|r| r.status().as_u16());
        let code = error.as_service_error().and_then(|e| e.code()).unwrap_or_default().to_owned();
        let (class, why) = match (code.as_str(), status) {
            ("NoSuchKey" | "NotFound", _) => return StoreError::NotFound(key).into(),
            ("NoSuchUpload", _) => return StoreError::NoUpload(key).into(),
            ("ExpiredToken", _) | (_, Some(401)) => (
                Class::Final,
                "the access token is expired or unknown; put a fresh one into the file of store.header_files"
                    .into(),
            ),
            ("RequestTimeTooSkewed", _) => {
                (Class::Final, "this host's clock differs from the store's; correct the clock".into())
            }
            ("AccessDenied" | "SignatureDoesNotMatch" | "InvalidAccessKeyId", _) | (_, Some(403)) => (
                Class::Final,
                format!(
                    "{code} for {key}: the key or its rights are wrong; this needs put (nsc) or list and get (tsd)"
                ),
            ),
            ("NoSuchBucket", _) => (Class::Final, "there is no such bucket; correct store.bucket".into()),
            (_, None) => (
                Class::Unclear,
                format!("no answer for {key}: {}; is it up, and the network?", reasons(&error)),
            ),
            ("SlowDown", _) | (_, Some(429 | 503)) => {
                (Class::Throttled, format!("{key}: {}", reasons(&error)))
            }
            (_, Some(504)) => (Class::Unclear, format!("{key}: {}", reasons(&error))),
            (_, Some(500..)) | ("InternalError", _) => {
                (Class::Transient, format!("{key}: {}", reasons(&error)))
            }
            _ => (Class::Final, format!("{key}: {}", reasons(&error))),
        };
        Failed { error: StoreError::Outage { what, why }, class, retry_after: None }
    }
}
