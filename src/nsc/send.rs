//! One package on its way into the bucket: files side by side, then the manifest, the signature, and `COMMIT` last.
//!
//! Each file is read once; its SHA-256 goes into the manifest, its md5 and size are compared with the `.sample` and, for
//! FASTQ, what stands in it is checked ([`super::fastq`]) in the same pass. When all are through R1 is compared with R2. The bytes of
//! `COMMIT` are journalled before they are put, so a repeat after a crash puts the same bytes. Few large files go side by side, and
//! many small ones beside them: the median file of a project has 9 KiB, and its cost is a request.
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::fastq::{self, Found, Verdict};
use super::ledger::{Known, Ledger, Page, Want};
use super::survey::{Payload, Survey, keep_manifest, survey, unchanged};
use super::tree::Tree;
use crate::blame::{Blame, Failure};
use crate::chain;
use crate::clock;
use crate::conf::ReadsCheck;
use crate::disk::{Disk, Disks, Hold};
use crate::journal::{Facts, Journal, Row};
use crate::notices::Notices;
use crate::package::{
    COMMIT, COMMIT_SIG, Commit, Digests, MANIFEST, Manifest, Name, PackageId, Priority, Reason, RelPath,
    Sha256Hex, State,
};
use crate::signature::Signer;
use crate::store::{Kept, Origin, Sent, Store, StoreError};
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
    /// Large files of one package at the same time.
    pub files_at_once: usize,
    /// Where we are.
    pub host: Name,
    /// Signs commits, if configured.
    pub signer: Option<Signer>,
    /// What lies in the tree and is not taken.
    pub refused: Notices,
    /// How much is asked of FASTQ.
    pub reads: ReadsCheck,
}

/// Small files of one package at the same time, at most; how many are on the wire the store's slots decide.
const SMALL_AT_ONCE: usize = 256;

/// A package on its way.
struct Way<'a> {
    id: &'a PackageId,
    hold: &'a Hold,
    priority: Priority,
    /// What shares the turns of the wire.
    flow: u64,
    /// It was never sent before, as far as the journal knows.
    first: bool,
    ledger: Arc<Ledger>,
    meter: &'a Meter,
}

/// What must be known of a file before it counts as sent.
fn wanted(file: &Payload, reads: ReadsCheck) -> Want {
    let named = file.expected.is_some();
    Want {
        md5: named,
        found: named && reads == ReadsCheck::Full && file.path.as_str().ends_with(".fastq.gz"),
    }
}

/// The same number for all files of a package.
fn flow(id: &PackageId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// Whether a file that a `.sample` names has the md5 of the delivery.
fn as_delivered(file: &Payload, digests: &Digests) -> Result<(), Failure> {
    let (path, Some(read)) = (&file.path, &file.expected) else { return Ok(()) };
    let said = &read.md5;
    match &digests.md5 {
        Some(found) if found == said => Ok(()),
        Some(found) => {
            Err(Blame::stop(Reason::Md5Mismatch, format!("{path} has md5 {found}, the delivery says {said}")))
        }
        None => Err(Blame::again(format!(
            "{path}: no md5 was computed to be compared with the delivery's, {said}"
        ))),
    }
}

/// What was found in a file whose bytes are as delivered.
fn good(path: &RelPath, verdict: Verdict) -> Result<Found, Failure> {
    match verdict {
        Verdict::Good(found) => Ok(found),
        Verdict::Bad(fault) => {
            let detail = format!("{path} {fault} (its md5 is the delivery's, so it was delivered like this)");
            Err(Blame::stop(Reason::BadReads, detail))
        }
        Verdict::Unknown(why) => Err(Blame::again(format!("{path}: {why}"))),
    }
}

/// Whether two files that are a pair by their names are one by what stands in them.
fn ends_of_one(sent: &BTreeMap<RelPath, Known>, r1: &RelPath, r2: &RelPath) -> Result<(), Failure> {
    let (Some(one), Some(two)) = (sent.get(r1), sent.get(r2)) else {
        return Err(Blame::stop(Reason::FileMissing, format!("{r1} or {r2} is not in the package")));
    };
    let no_pair = |why: &str| Err(Blame::stop(Reason::PairMismatch, format!("{r1} and {r2}: {why}")));
    if one.digests.sha256 == two.digests.sha256 {
        return no_pair("they are the same file");
    }
    match (&one.found, &two.found) {
        (Some(one), Some(two)) => fastq::belong(one, two).or_else(|why| no_pair(&why)),
        _ => Ok(()), // compressed in a way that is not read here
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
        let Survey { payload, pairs } = hold.on(&self.tree_disk, move |on| survey(on, &tree, &at)).await??;
        let surveyed: Vec<_> = payload.iter().map(|p| (p.on_disk.clone(), p.source)).collect();
        let bytes: u64 = payload.iter().map(|p| p.source.size).sum();
        meter.expect(bytes);
        let ledger = self.ledger(id, hold).await?;
        let lines = ledger.elsewhere();
        if lines > 0 {
            tracing::warn!(
                package = %id,
                lines,
                "upload progress is about another store.endpoint, store.bucket or store.prefix: what was sent there is sent again here"
            );
        }
        let (files, first, flow) = (payload.len() as u64, self.is_first(id), flow(id));
        let way = &Way { id, hold, priority, flow, first, ledger, meter };
        let (small, large): (Vec<_>, Vec<_>) =
            payload.into_iter().partition(|p| self.store.is_small(p.source.size));
        self.will_put(way, &small).await?;
        let side_by_side =
            |files: Vec<Payload>, n| stream::iter(files).map(move |p| self.file(way, p)).buffer_unordered(n);
        let sending = stream::select(
            side_by_side(large, self.files_at_once).boxed_local(),
            side_by_side(small, SMALL_AT_ONCE).boxed_local(),
        );
        let sent: BTreeMap<RelPath, Known> = sending.try_collect().await?;
        if self.reads == ReadsCheck::Full {
            pairs.iter().try_for_each(|(r1, r2)| ends_of_one(&sent, r1, r2))?;
        }
        hold.on(&self.tree_disk, move |on| unchanged(on, &surveyed)).await??;
        let mut manifest = Manifest::default();
        for (path, known) in sent {
            manifest.insert(path, known.digests.sha256);
        }
        let text = manifest.to_text();
        let (tree, at, kept) = (self.tree.clone(), dir.to_owned(), text.clone());
        hold.on(&self.tree_disk, move |on| keep_manifest(on, &tree, &at, &kept)).await??;
        self.store.put(&self.store.key(id, MANIFEST), Bytes::from(text.clone())).await?;
        meter.alive();
        let manifest_sha256 = Sha256Hex::of(text.as_bytes());
        let commit = self.decide(id, priority, files, bytes, manifest_sha256.clone()).await?;
        let text = Bytes::from(commit.to_text());
        let mut signature = None;
        if let Some(signer) = &self.signer {
            let signed = signer.sign(&text).map_err(|e| Failure::Outage(chain(&e)))?;
            self.store.put(&self.store.key(id, COMMIT_SIG), Bytes::from(signed.clone())).await?;
            signature = Some(signed);
        }
        self.store.put(&self.store.key(id, COMMIT), text.clone()).await?;
        Ok(Facts {
            files: Some(files),
            bytes: Some(bytes),
            manifest_sha256: Some(manifest_sha256),
            commit_sha256: Some(Sha256Hex::of(&text)),
            sent_as: Some(commit.link(&text).place.to_string()),
            previous: commit.previous,
            signature,
            ..Facts::default()
        })
    }

    /// Whether no earlier life of the package, before it was stopped and released, can have put anything.
    fn is_first(&self, id: &PackageId) -> bool {
        let view = self.journal.view();
        let sendings = |row: &Row| row.way.iter().filter(|(state, _)| *state == State::Uploading).count();
        view.package(id).is_some_and(|row| sendings(row) <= 1)
    }

    /// Writes down which small files are put now: one fsync for all of them, where large ones have one each.
    async fn will_put(&self, way: &Way<'_>, small: &[Payload]) -> Result<(), Failure> {
        let unsent = |p: &&Payload| way.ledger.sent(&p.path, p.source, wanted(p, self.reads)).is_none();
        let files: Vec<RelPath> = small.iter().filter(unsent).map(|p| p.path.clone()).collect();
        let ledger = way.ledger.clone();
        Ok(way.hold.on(&self.state_disk, move |on| ledger.note_putting(on, files)).await??)
    }

    async fn file(&self, way: &Way<'_>, file: Payload) -> Result<(RelPath, Known), Failure> {
        let want = wanted(&file, self.reads);
        if let Some(known) = way.ledger.sent(&file.path, file.source, want) {
            as_delivered(&file, &known.digests)?;
            way.meter.add(file.source.size);
            return Ok((file.path, known));
        }
        let known = match self.once(way, &file, want).await? {
            Some(known) => known,
            // The store has forgotten the upload, which is nobody's fault: it expires. Once more from the beginning.
            None => self.once(way, &file, want).await?.ok_or_else(|| {
                Blame::again(format!("the store forgot two uploads of {} while they were sent", file.path))
            })?,
        };
        let (ledger, path, source, line) =
            (way.ledger.clone(), file.path.clone(), file.source, known.clone());
        way.hold.on(&self.state_disk, move |on| ledger.note(on, &path, source, &line)).await??;
        Ok((file.path, known))
    }

    /// Sends a file, or goes on sending it; none: its upload is gone, and nothing was wrong with the file.
    async fn once(&self, way: &Way<'_>, file: &Payload, want: Want) -> Result<Option<Known>, Failure> {
        let (listener, check) = match want.found {
            true => fastq::begin(way.meter).map(|(listener, check)| (Some(listener), Some(check))),
            false => Ok((None, None)),
        }
        .map_err(|e| Failure::Outage(format!("could not start a thread to check {}: {e}", file.path)))?;
        let key = self.store.file_key(way.id, &file.path);
        let (before, may_exist) = way.ledger.uploads(&file.path);
        let book = Arc::new(Page { ledger: way.ledger.clone(), file: file.path.clone() });
        let kept = Kept { disk: self.state_disk.clone(), book, before, alone: way.first && !may_exist };
        let origin = Origin {
            hold: way.hold,
            disk: &self.tree_disk,
            path: &file.on_disk,
            expected: file.source,
            urgency: way.priority as u8,
            flow: way.flow,
            kept: Some(&kept),
        };
        let Sent { digests, stored } =
            match self.store.send_file(&key, origin, want.md5, listener, way.meter).await {
                Err(StoreError::NoUpload(_)) => return Ok(None),
                sent => sent?,
            };
        as_delivered(file, &digests)?;
        let found = match check {
            Some(check) => Some(good(&file.path, check.verdict().await)?),
            None => None,
        };
        if !stored {
            return Err(Blame::again(format!("{} was not sent to its end", file.path)));
        }
        Ok(Some(Known { digests, found }))
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
            let (decided, sender, last, priority) = {
                let view = self.journal.view();
                // As soon as it is by now.
                let priority = view.package(id).map_or(priority, |row| row.priority);
                if let Some(row) = view.package(id).filter(|row| row.state != State::Uploading) {
                    // Stopped while its bytes were on their way: no commit, so for the receiver there is no package.
                    return Err(Blame::again(format!(
                        "it is {} and not to be committed any more",
                        row.state
                    )));
                }
                let sender = view.sender(&self.host);
                let last = view.sent(&sender);
                (view.committing(id).map(str::to_owned), sender, last, priority)
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
                sender,
                sequence: last.sequence + 1,
                previous: last.previous,
                committed_at: clock::now(),
            };
            // False: another package took the number in this moment, so the next one is tried. Bounded by the number of
            // packages in flight, each of which takes one number.
            let text = commit.to_text();
            if self.journal.decide_commit(id, &commit.link(text.as_bytes()).place, text).await? {
                return Ok(commit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Fingerprint;
    use crate::package::{HashState, Md5Hex, Read};

    #[test]
    fn a_file_is_as_delivered_only_if_that_was_looked_at() {
        let path: RelPath = "d/x".parse().unwrap();
        let source = Fingerprint { size: 0, mtime_ns: 1, inode: 2 };
        let file = |md5: Option<&[u8]>| {
            let expected = md5.map(|of| Read { path: path.clone(), md5: Md5Hex::of(of), size: 0 });
            Payload { path: path.clone(), on_disk: "/d/x".into(), source, expected }
        };
        let digests = |md5| HashState::new(md5).finish();
        assert!(as_delivered(&file(None), &digests(false)).is_ok(), "nothing was said of it");
        assert!(as_delivered(&file(Some(b"")), &digests(true)).is_ok());
        let Err(Failure::Unit(other)) = as_delivered(&file(Some(b"other")), &digests(true)) else {
            panic!("another md5 than the delivery's");
        };
        assert_eq!(other.reason, Some(Reason::Md5Mismatch));
        let Err(Failure::Unit(unknown)) = as_delivered(&file(Some(b"")), &digests(false)) else {
            panic!("it was not compared");
        };
        assert!(unknown.reason.is_none() && unknown.detail.contains("no md5 was computed"), "{unknown}");
    }
}
