//! The border: what a commit must be before a byte of its package is copied.
//!
//! It is small, says what its place in the bucket says, is signed by somebody who may, and there is a place for what it promises.
use super::watcher::Watching;
use crate::blame::Failure;
use crate::chain;
use crate::conf::LandingConf;
use crate::journal::Facts;
use crate::package::{COMMIT, COMMIT_SIG, Commit, Link, MAX_COMMIT_BYTES, PackageId, Reason};
use crate::signature;
use crate::store::StoreError;

/// A commit and its signature are journalled as they are if they have no more than this; ours have some 1,000 bytes.
const KEPT_BYTES: usize = 4 << 10;

/// A commit that is believed.
#[derive(Clone)]
pub(super) struct Believed {
    pub facts: Facts,
    pub link: Link,
    /// When its sender decided it: of two that are equally urgent the older goes first.
    pub committed_at: jiff::Timestamp,
}

/// What is thought of a commit.
pub(super) enum Verdict {
    /// There is none (yet).
    Absent,
    /// It can be taken in.
    Good(Believed),
    /// What came is not right. Whether it is what the bucket holds is not proven by one answer.
    Odd(Reason, String),
    /// The commit is right, and there is no place for its package.
    Stopped(Believed, Reason, String),
}

impl Watching {
    /// Believes a commit or says why not.
    pub(super) async fn judge(&self, id: PackageId) -> Result<Verdict, Failure> {
        let id = &id;
        let odd = |reason, detail: String| Ok(Verdict::Odd(reason, detail));
        let bytes = match self.store.get_small(&self.store.key(id, COMMIT), MAX_COMMIT_BYTES).await {
            Err(StoreError::TooLarge { size, .. }) => {
                return odd(Reason::BadCommit, format!("COMMIT has {size} bytes or more"));
            }
            Err(StoreError::NotFound(_)) => return Ok(Verdict::Absent),
            bytes => bytes?,
        };
        let commit = match Commit::parse(&bytes, id) {
            Ok(commit) => commit,
            Err(e) => return odd(Reason::BadCommit, chain(&e)),
        };
        let mut signed = None;
        if let Some(signers) = &self.signers {
            let key = self.store.key(id, COMMIT_SIG);
            let signature = match self.store.get_small(&key, signature::MAX_BYTES).await {
                Err(StoreError::NotFound(_)) => {
                    return odd(Reason::BadSignature, "there is no COMMIT.sig".into());
                }
                Err(e @ StoreError::TooLarge { .. }) => {
                    return odd(Reason::BadSignature, e.to_string());
                }
                signature => signature?,
            };
            if let Err(e) = signers.verify(commit.sender.name.as_str(), &bytes, &signature) {
                return odd(Reason::BadSignature, chain(&e));
            }
            signed = Some(signature);
        }
        let too_large = self.landing.of(&id.kind).and_then(|place| too_large(&commit, place));
        let (facts, link) = facts(&commit, &bytes, signed.as_deref());
        let believed = Believed { facts, link, committed_at: commit.committed_at };
        if self.landing.of(&id.kind).is_none() {
            let detail = format!("there is no landing for kind {}", id.kind);
            return Ok(Verdict::Stopped(believed, Reason::UnknownKind, detail));
        }
        Ok(match too_large {
            Some(detail) => Verdict::Stopped(believed, Reason::TooLarge, detail),
            None => Verdict::Good(believed),
        })
    }
}

/// What a commit promises must fit where its kind lands. A promise is checked before anything is believed to be that large; that it is
/// kept is checked while it is copied.
fn too_large(commit: &Commit, place: &LandingConf) -> Option<String> {
    let (files, bytes) = (commit.files, commit.bytes);
    let kind = &commit.kind;
    if files > place.max_files {
        let most = place.max_files;
        return Some(format!("it has {files} files, landing.{kind}.max_files is {most}"));
    }
    let most = place.max_bytes;
    (bytes > most).then(|| format!("it has {bytes} bytes, landing.{kind}.max_bytes is {most}"))
}

/// What the journal is told of a commit that is believed, and its place in its sender's chain.
pub fn facts(commit: &Commit, bytes: &[u8], signature: Option<&[u8]>) -> (Facts, Link) {
    let link = commit.link(bytes);
    let facts = Facts {
        priority: Some(commit.priority),
        files: Some(commit.files),
        bytes: Some(commit.bytes),
        manifest_sha256: Some(commit.manifest_sha256.clone()),
        commit_sha256: Some(link.digest.clone()),
        sent_as: Some(link.place.to_string()),
        previous: link.previous.clone(),
        ..kept(bytes, signature)
    };
    (facts, link)
}

/// What was believed, for who asks later when the bucket is empty. No more of it than fits into memory for many packages that wait.
fn kept(commit: &[u8], signature: Option<&[u8]>) -> Facts {
    if commit.len() + signature.map_or(0, <[u8]>::len) > KEPT_BYTES {
        return Facts::default();
    }
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    Facts { commit: text(commit), signature: signature.and_then(text), ..Facts::default() }
}
