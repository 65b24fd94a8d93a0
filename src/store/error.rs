//! What can go wrong with the store, sorted by who must act.
use crate::disk::DiskError;
use crate::fs::FsError;
use crate::lease::Fenced;

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
    /// It was to be put only if it was not there.
    #[error("there is an object {0} already")]
    Exists(String),
    /// What was uploaded is not there as it was acknowledged, or cannot be proven to be: the file is sent again.
    #[error("{key} must be sent again: {why}")]
    Lost {
        /// The object.
        key: String,
        /// What was found.
        why: String,
    },
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
            | Self::Exists(_)
            | Self::Lost { .. }
            | Self::NotFound(_)
            | Self::TooLarge { .. }
            | Self::Replaced { .. }
            | Self::Changed(_) => false,
        }
    }
}
