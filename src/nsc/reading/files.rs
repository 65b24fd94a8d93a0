//! What lies on disks, read once per look: deliveries, SNP-ID results, and packages that were sent.
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::super::order::{self, Delivery, NotYet, Sent, Snp, SnpEntry};
use super::super::source::Looking;
use super::super::tree::Tree;
use crate::blame::Failure;
use crate::clock;
use crate::disk::{Disk, OnDisk};
use crate::fs::{self, FsError};
use crate::package::{Analysis, Kind, MAX_DOCUMENT_BYTES, Md5Hex, PackageId, SampleDoc};

/// An SNP-ID result is some lines; a larger file is something else.
const MAX_SNP: u64 = 1 << 20;

/// Of a `md5sum.txt`: a hundred thousand lines.
const MAX_SUMS: u64 = 16 << 20;

/// Deliveries and SNP-ID results.
pub(super) struct Files<'a> {
    with: Looking<'a>,
    snp: Option<&'a (PathBuf, Disk)>,
    pub(super) deliveries: BTreeMap<PathBuf, Delivery>,
    /// Those that could not be read, and why.
    unreadable: BTreeMap<PathBuf, String>,
    results: Option<Vec<SnpEntry>>,
}

impl<'a> Files<'a> {
    pub(super) fn new(with: Looking<'a>, snp: Option<&'a (PathBuf, Disk)>) -> Self {
        Self { with, snp, deliveries: BTreeMap::new(), unreadable: BTreeMap::new(), results: None }
    }

    /// Reads a delivery directory, unless it has been. One that cannot be read holds up its own samples only; a disk that
    /// does not answer, all of them.
    pub(super) async fn delivery(&mut self, dir: PathBuf) -> Result<Result<(), NotYet>, Failure> {
        if let Some(why) = self.unreadable.get(&dir) {
            return Ok(Err(NotYet::waits(why.clone())));
        }
        if let Entry::Vacant(new) = self.deliveries.entry(dir) {
            let dir = new.key().clone();
            match ours_alone(self.with.hold.on(self.with.disk, move |on| read_delivery(on, &dir)).await?)? {
                Ok(delivery) => {
                    let _kept = new.insert(delivery);
                }
                Err(why) => {
                    drop(self.unreadable.insert(new.into_key(), why.clone()));
                    return Ok(Err(NotYet::waits(why)));
                }
            }
        }
        Ok(Ok(()))
    }

    /// The newest SNP-ID result of a sample; none if it has none, or none are sent.
    pub(super) async fn snp(&mut self, dna: &str) -> Result<Result<Option<Snp>, NotYet>, Failure> {
        let Some((dir, disk)) = self.snp else { return Ok(Ok(None)) };
        if self.results.is_none() {
            let dir = dir.clone();
            match ours_alone(self.with.hold.on(disk, move |on| list_results(on, &dir)).await?)? {
                Ok(results) => self.results = Some(results),
                Err(why) => return Ok(Err(NotYet::waits(why))),
            }
        }
        let newest = match SnpEntry::newest(self.results.as_deref().unwrap_or_default(), dna, clock::now()) {
            Ok(Some(file)) => dir.join(&file.name),
            Ok(None) => return Ok(Ok(None)),
            Err(said) => return Ok(Err(said)),
        };
        let path = newest.clone();
        let bytes = self.with.hold.on(disk, move |on| read_at_most(on, &path, MAX_SNP)).await?;
        let bytes = match ours_alone(bytes)? {
            Ok(bytes) => bytes,
            Err(why) => return Ok(Err(NotYet::waits(why))),
        };
        Ok(match bytes {
            None => Err(NotYet::waits(format!("its SNP-ID result {} is gone", newest.display()))),
            Some(bytes) if bytes.is_empty() => {
                Err(NotYet::waits(format!("its SNP-ID result {} is empty", newest.display())))
            }
            Some(bytes) if bytes.len() as u64 > MAX_SNP => {
                Err(NotYet::waits(format!("{} is too large to be an SNP-ID result", newest.display())))
            }
            Some(bytes) => Ok(Some(Snp { path: newest, size: bytes.len() as u64, md5: Md5Hex::of(&bytes) })),
        })
    }
}

/// A disk that is out of order concerns everybody; anything else (rights, a directory in place of a file) the sample alone.
pub(super) fn ours_alone<T>(read: Result<T, FsError>) -> Result<Result<T, String>, Failure> {
    match read {
        Err(e) if e.is_outage() || e.fenced().is_some() => Err(e.into()),
        Err(e) => Ok(Err(crate::chain(&e))),
        Ok(value) => Ok(Ok(value)),
    }
}

/// The bytes of a file and one more than allowed if there are too many; none if it is not there.
fn read_at_most(_: &OnDisk, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
    let mut bytes = Vec::new();
    match std::fs::File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FsError::at("open", path)(e)),
        Ok(file) => {
            let _count = file.take(limit + 1).read_to_end(&mut bytes).map_err(FsError::at("read", path))?;
            Ok(Some(bytes))
        }
    }
}

/// SNP-ID results by name and time.
fn list_results(on: &OnDisk, dir: &Path) -> Result<Vec<SnpEntry>, FsError> {
    fs::answers(dir)?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(FsError::at("list", dir))? {
        let entry = entry.map_err(FsError::at("list", dir))?;
        on.moved();
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".taqman") {
            continue;
        }
        let meta = match entry.metadata() {
            Err(e) if e.kind() == ErrorKind::NotFound => continue, // gone since it was listed
            meta => meta.map_err(FsError::at("look at", &entry.path()))?,
        };
        let written = meta.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
        if let (true, Some(written)) = (meta.is_file(), written) {
            files.push(SnpEntry { name, written });
        }
    }
    Ok(files)
}

/// What lies in a delivery directory; one that is not there (yet) is empty.
fn read_delivery(on: &OnDisk, dir: &Path) -> Result<Delivery, FsError> {
    let mut delivery = Delivery::default();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(delivery),
        entries => entries.map_err(FsError::at("list", dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(FsError::at("list", dir))?;
        on.moved();
        let meta = match entry.metadata() {
            Err(e) if e.kind() == ErrorKind::NotFound => continue, // gone since it was listed
            meta => meta.map_err(FsError::at("look at", &entry.path()))?,
        };
        if meta.is_file() {
            let _none_before =
                delivery.sizes.insert(entry.file_name().to_string_lossy().into_owned(), meta.len());
        }
    }
    on.moved();
    let sums = dir.join("md5sum.txt");
    // Names that are no UTF-8 are none of ours; the lines of the others count all the same.
    if let Some(bytes) = read_at_most(on, &sums, MAX_SUMS)? {
        if bytes.len() as u64 > MAX_SUMS {
            let what = std::io::Error::other(format!("it is larger than {MAX_SUMS} bytes"));
            return Err(FsError::at("read", &sums)(what));
        }
        delivery.md5 = order::parse_md5sums(&String::from_utf8_lossy(&bytes));
    }
    Ok(delivery)
}

/// What rests below `transferred/`, of the kinds that orders make.
pub(super) fn resting(on: &OnDisk, tree: &Tree) -> Result<Vec<(PackageId, PathBuf)>, FsError> {
    let mut all = Vec::new();
    for kind in ["samples", "analyses"] {
        let kind: Kind = kind.parse().expect("a kind of the program's own is well-formed");
        all.extend(tree.rests(on, &kind)?);
    }
    fs::answers(&tree.scratch())?; // an unmounted tree looks as if nothing had ever been sent
    Ok(all)
}

/// What a package that rests held, as far as its own files tell.
pub(super) fn sent(on: &OnDisk, id: &PackageId, place: &Path) -> Result<Option<Sent>, FsError> {
    let name = crate::package::without_uuid(id.name.as_str());
    let document =
        |ending: &str| read_at_most(on, &place.join(format!("{name}.{ending}")), MAX_DOCUMENT_BYTES);
    on.moved();
    if id.kind.as_str() == "analyses" {
        let doc = document("analysis")?.and_then(|bytes| serde_json::from_slice::<Analysis>(&bytes).ok());
        return Ok(doc.map(|doc| Sent::Analysis(Box::new(doc))));
    }
    let Some(doc) = document("sample")?.and_then(|bytes| SampleDoc::parse(&bytes).ok()) else {
        return Ok(None);
    };
    let taqman = match &doc.taqman {
        Some(file) if file.parse::<crate::package::RelPath>().is_ok() => {
            read_at_most(on, &place.join(file), MAX_SNP)?
        }
        _ => None,
    };
    on.moved();
    Ok(Some(Sent::Sample { doc: Box::new(doc), taqman: taqman.map(|bytes| Md5Hex::of(&bytes)) }))
}
