//! One package on its way into the bucket: files side by side, then the manifest, the signature, and `COMMIT` last.
//!
//! Each file is read once; its SHA-256 goes into the manifest, its md5 and size are compared with the `.sample` in the same
//! pass. The bytes of `COMMIT` are journalled before they are put, so a repeat after a crash puts the same bytes.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::ledger::Ledger;
use super::tree::Tree;
use crate::blame::{Blame, Failure};
use crate::chain;
use crate::clock;
use crate::disk::{Disk, Disks, Hold, OnDisk};
use crate::fs::{self, Fingerprint, FsError};
use crate::journal::{Facts, Journal};
use crate::notices::Notices;
use crate::package::{
    COMMIT, COMMIT_SIG, Commit, Digests, MANIFEST, MAX_DOCUMENT_BYTES, Manifest, PackageId, Priority, Read,
    Reason, RelPath, Sender, Sha256Hex, State, expected_reads, is_document,
};
use crate::signature::Signer;
use crate::store::{Origin, Store};
use crate::supervisor::meter::Meter;

/// All that sending needs; clones share.
#[derive(Clone)]
pub struct Sending {
    /// The truth.
    pub journal: Journal,
    /// The bucket.
    pub store: Store,
    /// The transfer tree.
    pub tree: Tree,
    /// Who works on what.
    pub disks: Disks,
    /// Of the transfer tree.
    pub tree_disk: Disk,
    /// Of the upload progress.
    pub state_disk: Disk,
    /// Upload progress lies here.
    pub state_dir: PathBuf,
    /// Files of one package at the same time.
    pub files_at_once: usize,
    /// Who we are.
    pub sender: Sender,
    /// Signs commits, if configured.
    pub signer: Option<Signer>,
    /// What lies in the tree and is not taken.
    pub refused: Notices,
}

struct Payload {
    path: RelPath,
    on_disk: PathBuf,
    source: Fingerprint,
    expected: Option<Read>,
}

/// What is in the package, and what its documents promise of it.
fn survey(on: &OnDisk, tree: &Tree, dir: &Path) -> Result<Vec<Payload>, Failure> {
    if !fs::dir_exists(dir)? {
        fs::answers(&tree.scratch())?;
        return Err(Blame::stop(
            Reason::FileMissing,
            format!("the package directory {} is gone", dir.display()),
        ));
    }
    let found = fs::plain_files(dir).map_err(|e| match e.is_outage() {
        true => Failure::Outage(chain(&e)),
        false => Blame::stop(Reason::UnsafeContent, chain(&e)),
    })?;
    let (mut payload, mut documents) = (BTreeMap::new(), BTreeMap::new());
    for path in found.into_iter().filter(|p| tree.is_payload(p)) {
        let text = path
            .to_str()
            .ok_or_else(|| Blame::stop(Reason::UnsafeContent, format!("{path:?} is not text")))?;
        let rel: RelPath = text.parse().map_err(|e| Blame::stop(Reason::UnsafeContent, e))?;
        let on_disk = dir.join(&path);
        let source = Fingerprint::of(&on_disk)?;
        on.moved();
        if is_document(&rel) && source.size <= MAX_DOCUMENT_BYTES {
            let bytes = std::fs::read(&on_disk).map_err(FsError::at("read", &on_disk))?;
            drop(documents.insert(rel.clone(), bytes));
        }
        drop(payload.insert(rel.clone(), Payload { path: rel, on_disk, source, expected: None }));
    }
    let reads = expected_reads(&documents).map_err(|e| Blame::stop(Reason::BadDocument, e))?;
    for read in reads {
        let missing = || Blame::stop(Reason::FileMissing, format!("{} is not in the package", read.path));
        let file = payload.get_mut(&read.path).ok_or_else(missing)?;
        if file.source.size != read.size {
            let (found, said) = (file.source.size, read.size);
            return Err(Blame::stop(
                Reason::SizeMismatch,
                format!("{} has {found} bytes, its .sample says {said}", read.path),
            ));
        }
        file.expected = Some(read);
    }
    if payload.is_empty() {
        return Err(Blame::stop(Reason::FileMissing, "the package holds no file"));
    }
    Ok(payload.into_values().collect())
}

/// Writes our manifest beside the payload. One that somebody else put there must say the same.
fn keep_manifest(_: &OnDisk, tree: &Tree, dir: &Path, text: &str) -> Result<(), Failure> {
    let path = dir.join(MANIFEST);
    match std::fs::read(&path) {
        Ok(present) if present == text.as_bytes() => Ok(()),
        Ok(_) => Err(Blame::stop(
            Reason::BadManifest,
            "the package brings a SHA256SUMS of its own that differs from what was read; correct or remove it",
        )),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Ok(fs::write_durably_via(&tree.scratch(), &path, text.as_bytes())?)
        }
        Err(e) => Err(FsError::at("read", &path)(e).into()),
    }
}

impl Sending {
    /// Sends everything of the package in `dir` that the store has not acknowledged yet, and commits it. What comes back is
    /// known then, for the journal.
    pub async fn send(
        &self,
        id: &PackageId,
        hold: &Hold,
        dir: &Path,
        priority: Priority,
        meter: &Meter,
    ) -> Result<Facts, Failure> {
        let (tree, at) = (self.tree.clone(), dir.to_owned());
        let payload = hold.on(&self.tree_disk, move |on| survey(on, &tree, &at)).await??;
        let bytes: u64 = payload.iter().map(|p| p.source.size).sum();
        meter.expect(bytes);
        let (state_dir, of) = (self.state_dir.clone(), id.clone());
        let ledger = hold.on(&self.state_disk, move |on| Ledger::open(on, &state_dir, &of)).await??;
        let ledger = Arc::new(ledger);
        let files = payload.len() as u64;
        let sending = stream::iter(payload)
            .map(|p| self.file(id, hold, p, &ledger, meter))
            .buffer_unordered(self.files_at_once);
        let digests: Vec<(RelPath, Digests)> = sending.try_collect().await?;
        let mut manifest = Manifest::default();
        for (path, digest) in digests {
            manifest.insert(path, digest.sha256);
        }
        let text = manifest.to_text();
        let (tree, at, kept) = (self.tree.clone(), dir.to_owned(), text.clone());
        hold.on(&self.tree_disk, move |on| keep_manifest(on, &tree, &at, &kept)).await??;
        self.store.put(&self.store.key(id, MANIFEST), Bytes::from(text.clone())).await?;
        meter.alive();
        let manifest_sha256 = Sha256Hex::of(text.as_bytes());
        let commit = self.decide(id, priority, files, bytes, manifest_sha256.clone()).await?;
        let text = Bytes::from(commit.to_text());
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&text).map_err(|e| Failure::Outage(chain(&e)))?;
            self.store.put(&self.store.key(id, COMMIT_SIG), Bytes::from(signature)).await?;
        }
        self.store.put(&self.store.key(id, COMMIT), text.clone()).await?;
        Ok(Facts {
            files: Some(files),
            bytes: Some(bytes),
            manifest_sha256: Some(manifest_sha256),
            commit_sha256: Some(Sha256Hex::of(&text)),
            sent_as: Some(format!("{}#{}", commit.sender, commit.sequence)),
            ..Facts::default()
        })
    }

    async fn file(
        &self,
        id: &PackageId,
        hold: &Hold,
        file: Payload,
        ledger: &Arc<Ledger>,
        meter: &Meter,
    ) -> Result<(RelPath, Digests), Failure> {
        if let Some(digests) = ledger.sent(&file.path, file.source) {
            meter.add(file.source.size);
            return Ok((file.path, digests.clone()));
        }
        let key = self.store.file_key(id, &file.path);
        let origin = Origin { hold, disk: &self.tree_disk, path: &file.on_disk };
        let digests = self.store.send_file(&key, origin, file.expected.is_some(), meter).await?;
        if let (Some(read), Some(found)) = (&file.expected, &digests.md5)
            && read.md5 != *found
        {
            let (path, said) = (&file.path, &read.md5);
            return Err(Blame::stop(
                Reason::Md5Mismatch,
                format!("{path} has md5 {found}, the delivery says {said}"),
            ));
        }
        let (ledger, path, source, sums) = (ledger.clone(), file.path.clone(), file.source, digests.clone());
        hold.on(&self.state_disk, move |on| ledger.note(on, &path, source, &sums)).await??;
        Ok((file.path, digests))
    }

    /// The commit of this package: as decided before a crash, or the next one of this sender.
    async fn decide(
        &self,
        id: &PackageId,
        priority: Priority,
        files: u64,
        bytes: u64,
        manifest_sha256: Sha256Hex,
    ) -> Result<Commit, Failure> {
        loop {
            let (decided, last) = {
                let view = self.journal.view();
                if let Some(row) = view.package(id).filter(|row| row.state != State::Uploading) {
                    // Stopped while its bytes were on their way: no commit, so for the receiver there is no package.
                    return Err(Blame::again(format!(
                        "it is {} and not to be committed any more",
                        row.state
                    )));
                }
                (view.committing(id).map(str::to_owned), view.sent().clone())
            };
            if let Some(text) = decided {
                let commit = Commit::parse(text.as_bytes(), id).map_err(|e| Failure::Fatal(chain(&e)))?;
                if commit.manifest_sha256 == manifest_sha256 {
                    return Ok(commit);
                }
                return Err(Blame::stop(
                    Reason::SourceChanged,
                    "the package changed after its commit was decided",
                ));
            }
            let commit = Commit {
                version: 1,
                package: id.name.clone(),
                kind: id.kind.clone(),
                revision: id.revision,
                priority,
                files,
                bytes,
                manifest_sha256: manifest_sha256.clone(),
                sender: self.sender.clone(),
                sequence: last.sequence + 1,
                previous: last.previous,
                committed_at: clock::now(),
            };
            // False: another package took the number in this moment, so the next one is tried. Bounded by the number of
            // packages in flight, each of which takes one number.
            if self.journal.decide_commit(id, commit.sequence, commit.to_text()).await? {
                return Ok(commit);
            }
        }
    }
}
