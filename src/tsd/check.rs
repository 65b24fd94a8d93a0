//! Is this package whole and right? Reading back, comparing, and the type that proves it.
//!
//! [`Verified`] can only be had from [`conclude`], and only it can be put in place: an unverified package cannot become
//! `READY` by any path through this program.
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::landing::adopt_file;
use super::reading::read_back_alone;
use super::share::{NoPermit, Permit};
use crate::conf::LandingConf;
use crate::disk::OnDisk;
use crate::fs::{self, FsError, Mode};
use crate::package::{
    self, Digests, MANIFEST, MAX_DOCUMENT_BYTES, MAX_MANIFEST_BYTES, Manifest, Name, PackageId, READY,
    Reason, RelPath, Sha256Hex, check_structure, expected_reads, is_document,
};

/// What is wrong with a package.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The disk said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Another host may have it by now.
    #[error(transparent)]
    NoPermit(#[from] NoPermit),
    /// It is not what it should be.
    #[error("{detail}")]
    Wrong {
        /// Which rule.
        reason: Reason,
        /// The file and both values.
        detail: String,
    },
}

fn wrong(reason: Reason, detail: impl std::fmt::Display) -> Fault {
    Fault::Wrong { reason, detail: detail.to_string() }
}

/// Reads `SHA256SUMS` back from the disk and makes sure that it is the one that was committed.
pub fn manifest_is(on: &OnDisk, dir: &Path, committed: Option<&Sha256Hex>) -> Result<(), Fault> {
    let found = read_back_alone(on, &dir.join(MANIFEST), false, |_| {})?.sha256;
    if committed == Some(&found) {
        return Ok(());
    }
    let committed = committed.map_or("none", |d| d.as_str());
    Err(wrong(
        Reason::BadManifest,
        format!("SHA256SUMS was read back with digest {found}, COMMIT says {committed}"),
    ))
}

/// What must be true of a package's files, as its manifest and its documents say.
#[derive(Debug)]
pub struct Survey {
    /// `SHA256SUMS`.
    pub manifest: Manifest,
    /// `.sample` and `.analysis` files.
    pub documents: BTreeMap<RelPath, Vec<u8>>,
    /// Size and md5 that the documents promise.
    pub promised: BTreeMap<RelPath, crate::package::Read>,
}

/// Looks at a package without hashing: the manifest is readable, exactly its files are there, the documents fit the kind.
pub fn survey(on: &OnDisk, dir: &Path, id: Option<&PackageId>) -> Result<Survey, Fault> {
    let manifest = manifest(on, dir)?;
    let own = [Path::new(MANIFEST), Path::new(READY)];
    let found: BTreeSet<PathBuf> =
        fs::plain_files(dir)?.into_iter().filter(|p| !own.contains(&p.as_path())).collect();
    let listed: BTreeSet<PathBuf> = manifest.iter().map(|(path, _)| PathBuf::from(path.as_str())).collect();
    if let Some(missing) = listed.difference(&found).next() {
        return Err(wrong(
            Reason::FileMissing,
            format!("{} is in SHA256SUMS but not on the disk", missing.display()),
        ));
    }
    if let Some(extra) = found.difference(&listed).next() {
        return Err(wrong(
            Reason::UnsafeContent,
            format!("{} is on the disk but not in SHA256SUMS", extra.display()),
        ));
    }
    let documents = documents(on, dir, &manifest)?;
    if let Some(id) = id {
        check_structure(&id.kind, &id.name, &documents, |file| manifest.get(file).is_some())
            .map_err(|e| wrong(Reason::BadDocument, e))?;
    }
    let reads = expected_reads(&documents).map_err(|e| wrong(Reason::BadDocument, e))?;
    let promised = reads.into_iter().map(|r| (r.path.clone(), r)).collect();
    Ok(Survey { manifest, documents, promised })
}

fn manifest(_: &OnDisk, dir: &Path) -> Result<Manifest, Fault> {
    let path = dir.join(MANIFEST);
    let size = fs::Fingerprint::of(&path)?.size;
    if size > MAX_MANIFEST_BYTES as u64 {
        return Err(wrong(Reason::BadManifest, format!("SHA256SUMS has {size} bytes")));
    }
    let bytes = std::fs::read(&path).map_err(FsError::at("read", &path))?;
    Manifest::parse(&bytes).map_err(|e| wrong(Reason::BadManifest, e))
}

/// Reads the documents that the manifest names.
fn documents(on: &OnDisk, dir: &Path, manifest: &Manifest) -> Result<BTreeMap<RelPath, Vec<u8>>, Fault> {
    let mut documents = BTreeMap::new();
    for (path, _) in manifest.iter().filter(|(path, _)| is_document(path)) {
        let on_disk = dir.join(path.as_str());
        if fs::Fingerprint::of(&on_disk)?.size > MAX_DOCUMENT_BYTES {
            return Err(wrong(Reason::BadDocument, format!("{path} is too large for a document")));
        }
        drop(documents.insert(path.clone(), std::fs::read(&on_disk).map_err(FsError::at("read", &on_disk))?));
        on.moved();
    }
    Ok(documents)
}

/// The samples that the analysis in a package needs. Nothing is believed of it yet: what is wrong with it is found when it is verified.
pub(super) fn needed(on: &OnDisk, dir: &Path) -> Result<Vec<Name>, Fault> {
    let manifest = manifest(on, dir)?;
    Ok(package::needed(&documents(on, dir, &manifest)?))
}

impl Survey {
    /// Compares what was read back of one file with everything that is promised of it.
    pub fn compare(&self, path: &RelPath, found: &Digests) -> Result<(), Fault> {
        let listed = self.manifest.get(path).map_or("nothing", |d| d.as_str());
        if listed != found.sha256.as_str() {
            let detail =
                format!("{path} was read back with SHA-256 {}, SHA256SUMS says {listed}", found.sha256);
            return Err(wrong(Reason::ReadBackDiffers, detail));
        }
        let Some(read) = self.promised.get(path) else { return Ok(()) };
        if read.size != found.size {
            return Err(wrong(
                Reason::SizeMismatch,
                format!("{path} has {} bytes, its .sample says {}", found.size, read.size),
            ));
        }
        match &found.md5 {
            Some(md5) if *md5 == read.md5 => Ok(()),
            md5 => {
                let md5 = md5.as_ref().map_or("none", |m| m.as_str());
                Err(wrong(
                    Reason::Md5Mismatch,
                    format!("{path} has md5 {md5}, its .sample says {}", read.md5),
                ))
            }
        }
    }
}

/// A package whose every byte was read back and compared.
#[must_use]
#[derive(Debug)]
pub struct Verified {
    dir: PathBuf,
}

/// Turns a full set of comparisons into the proof. A file of the manifest that was not read back is a fault.
pub fn conclude(dir: &Path, survey: &Survey, found: &BTreeMap<RelPath, Digests>) -> Result<Verified, Fault> {
    if survey.manifest.is_empty() {
        return Err(wrong(Reason::BadManifest, "SHA256SUMS lists nothing"));
    }
    for (path, _) in survey.manifest.iter() {
        let digests =
            found.get(path).ok_or_else(|| wrong(Reason::FileMissing, format!("{path} was not read back")))?;
        survey.compare(path, digests)?;
    }
    Ok(Verified { dir: dir.to_owned() })
}

/// Reads back a whole package, one file after the other: for commands and tests. The verifier reads several side by side.
pub fn verify(
    on: &OnDisk,
    dir: &Path,
    id: Option<&PackageId>,
    mut seen: impl FnMut(u64),
) -> Result<Verified, Fault> {
    let survey = survey(on, dir, id)?;
    let mut found = BTreeMap::new();
    for (path, _) in survey.manifest.iter() {
        let digests =
            read_back_alone(on, &dir.join(path.as_str()), survey.promised.contains_key(path), &mut seen)?;
        drop(found.insert(path.clone(), digests));
    }
    conclude(dir, &survey, &found)
}

/// A package that lies at its destination, verified, without `READY`.
#[must_use]
#[derive(Debug)]
pub struct InPlace {
    dir: PathBuf,
}

impl Verified {
    /// Renames it to its destination; whatever exists there is not touched. Late, it is what the next attempt then finds at
    /// the destination and verifies there.
    pub fn put_in_place(self, on: &OnDisk, destination: &Path, permit: &Permit) -> Result<InPlace, Fault> {
        fail::fail_point!("put-in-place");
        permit.ask()?;
        match fs::publish(&self.dir, destination) {
            Err(e) if e.source.kind() == ErrorKind::AlreadyExists => {
                Err(wrong(Reason::DestinationExists, format!("{} exists", destination.display())))
            }
            Err(e) => Err(e.into()),
            Ok(()) => {
                on.moved();
                Ok(InPlace { dir: destination.to_owned() })
            }
        }
    }

    /// It was verified at its destination, where an earlier life of the program had put it.
    pub fn is_in_place(self) -> InPlace {
        InPlace { dir: self.dir }
    }
}

impl InPlace {
    /// Hands it over: creates `READY`, durable, if its kind wants one. This is the last act.
    /// Late, `READY` says no less: the bytes were read back before, and nobody moves the package meanwhile but its consumer.
    pub fn hand_over(self, on: &OnDisk, place: &LandingConf, permit: &Permit) -> Result<(), Fault> {
        // Once more, for the case that an earlier life was cut off between the rename and its fsync.
        self.dir.parent().map_or(Ok(()), fs::sync_dir)?;
        on.moved();
        if !place.ready {
            return Ok(());
        }
        let ready = self.dir.join(READY);
        fail::fail_point!("hand-over");
        permit.ask()?;
        let file = fs::open(&ready, Mode::Append)?;
        adopt_file(on, &ready, place)?;
        fail::fail_point!("ready-fsync", |e| Err(
            FsError::at("fsync", &ready)(fs::injected(e.as_deref())).into()
        ));
        file.sync_all().map_err(FsError::at("fsync", &ready))?;
        Ok(fs::sync_dir(&self.dir)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(dir: &Path) -> PathBuf {
        let package = dir.join("p");
        fs::create_dir(&package.join("sub")).unwrap();
        let mut manifest = Manifest::default();
        for (path, bytes) in [("a.vcf", &b"variants"[..]), ("sub/b.bam", b"reads"), ("empty", b"")] {
            fs::write_durably(&package.join(path), bytes).unwrap();
            manifest.insert(path.parse().unwrap(), Sha256Hex::of(bytes));
        }
        fs::write_durably(&package.join(MANIFEST), manifest.to_text().as_bytes()).unwrap();
        package
    }

    fn landing(ready: bool) -> LandingConf {
        LandingConf {
            destination: PathBuf::new(),
            ready,
            dir_mode: None,
            file_mode: Some(0o640),
            group: None,
            max_bytes: 1 << 40,
            max_files: 100,
            members: crate::conf::Members::Any,
            revisions: crate::conf::Revisions::Ask,
        }
    }

    #[test]
    fn a_right_package_is_put_in_place_and_marked_last() {
        let dir = tempfile::tempdir().unwrap();
        let package = package(dir.path());
        let mut bytes = 0;
        let verified = verify(&OnDisk::alone(), &package, None, |n| bytes += n).unwrap();
        assert_eq!(bytes, 13);
        let destination = dir.path().join("landed");
        let in_place = verified.put_in_place(&OnDisk::alone(), &destination, &Permit::default()).unwrap();
        assert!(
            destination.join("a.vcf").is_file() && !destination.join(READY).exists() && !package.exists()
        );
        in_place.hand_over(&OnDisk::alone(), &landing(true), &Permit::default()).unwrap();
        assert_eq!(std::fs::metadata(destination.join(READY)).unwrap().len(), 0);
    }

    #[test]
    fn each_damage_has_its_reason() {
        type Damage = fn(&Path);
        let cases: [(Damage, Reason); 5] = [
            (|p| fs::write_durably(&p.join("a.vcf"), b"Variants").unwrap(), Reason::ReadBackDiffers),
            (|p| std::fs::remove_file(p.join("empty")).unwrap(), Reason::FileMissing),
            (|p| fs::write_durably(&p.join("sub/more"), b"").unwrap(), Reason::UnsafeContent),
            (|p| fs::write_durably(&p.join(MANIFEST), b"").unwrap(), Reason::UnsafeContent),
            (|p| fs::write_durably(&p.join(MANIFEST), b"x").unwrap(), Reason::BadManifest),
        ];
        for (n, (damage, expected)) in cases.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let package = package(dir.path());
            damage(&package);
            match verify(&OnDisk::alone(), &package, None, |_| {}) {
                Err(Fault::Wrong { reason, .. }) => assert_eq!(reason, expected, "case {n}"),
                other => panic!("case {n}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_file_that_was_not_read_back_is_no_proof() {
        let dir = tempfile::tempdir().unwrap();
        let package = package(dir.path());
        let survey = survey(&OnDisk::alone(), &package, None).unwrap();
        let refused = conclude(&package, &survey, &BTreeMap::new()).unwrap_err();
        assert!(refused.to_string().contains("was not read back"), "{refused}");
    }

    #[test]
    fn only_the_committed_manifest_counts() {
        let dir = tempfile::tempdir().unwrap();
        let package = package(dir.path());
        let text = std::fs::read(package.join(MANIFEST)).unwrap();
        manifest_is(&OnDisk::alone(), &package, Some(&Sha256Hex::of(&text))).unwrap();
        for other in [None, Some(Sha256Hex::of(b"another"))] {
            let refused = manifest_is(&OnDisk::alone(), &package, other.as_ref()).unwrap_err();
            assert!(matches!(refused, Fault::Wrong { reason: Reason::BadManifest, .. }), "{refused}");
        }
    }

    #[test]
    fn a_destination_that_exists_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let package = package(dir.path());
        let destination = dir.path().join("landed");
        fs::create_dir(&destination).unwrap();
        let refused = verify(&OnDisk::alone(), &package, None, |_| {})
            .unwrap()
            .put_in_place(&OnDisk::alone(), &destination, &Permit::default())
            .unwrap_err();
        assert!(matches!(refused, Fault::Wrong { reason: Reason::DestinationExists, .. }));
        assert!(package.join("a.vcf").is_file());
        assert_eq!(std::fs::read_dir(&destination).unwrap().count(), 0);
    }
}
