//! Work orders on the disk: a file lies on one shelf, and a rename that never replaces puts it on the next.
//!
//! ```text
//! {root}/new/NAME.json        dropped in by the site          → claimed/
//! {root}/claimed/ID.json      under way; ID is NAME, or NAME#2 if an order of that name was before
//! {root}/done/ID.json         delivered
//! {root}/refused/ID.json      not delivered, with ID.reason.json beside it
//! ```
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::text::{MAX_BYTES, Measured};
use crate::disk::OnDisk;
use crate::fs::{self, FsError};

/// Names that are looked at on one shelf; a directory with more is said to have more.
const MAX_LISTED: usize = 10_000;
/// Other names that are tried for a refused order whose own is taken.
const MAX_NAMES: usize = 1000;

/// The four shelves.
#[derive(Clone, Debug)]
pub struct Shelves {
    root: PathBuf,
}

/// What lies on a shelf, by name without `.json`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// In the order of their names.
    pub names: Vec<String>,
    /// What is no order, and why.
    pub odd: BTreeMap<String, String>,
}

/// A file as it was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// All of it.
    Bytes(Vec<u8>),
    /// It is gone.
    Absent,
    /// It is nothing to be read; in words.
    Odd(String),
}

/// Where a claimed order lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under way.
    Claimed,
    /// Delivered.
    Done,
    /// Not delivered.
    Refused,
    /// On no shelf.
    Nowhere,
}

impl Shelves {
    /// Below this directory.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where they stand.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a file.
    pub fn at(&self, shelf: &str, name: &str) -> PathBuf {
        self.root.join(shelf).join(format!("{name}.json"))
    }

    /// Makes the shelves. The directory itself must be there: an unmounted disk looks like an empty one.
    pub fn prepare(&self, _: &OnDisk) -> Result<(), FsError> {
        fs::answers(&self.root)?;
        ["new", "claimed", "done", "refused"]
            .iter()
            .try_for_each(|shelf| fs::create_dir(&self.root.join(shelf)))
    }

    /// Whether every shelf can be reached from the others by a rename; the answer is what stands in the way.
    pub fn obstacle(&self, _: &OnDisk) -> Result<Option<String>, FsError> {
        for shelf in ["new", "claimed", "done", "refused"] {
            let path = self.root.join(shelf);
            fs::answers(&path)?;
            if !fs::same_file_system(&self.root, &path)? {
                let why = "is on another file system than the rest of orders.directory: an order cannot be renamed to it";
                return Ok(Some(format!("{} {why}", path.display())));
            }
        }
        Ok(None)
    }

    /// What lies on a shelf. Names that begin with a dot or do not end in `.json` are somebody's business, not ours.
    pub fn list(&self, on: &OnDisk, shelf: &str) -> Result<Listing, FsError> {
        let (dir, mut listing) = (self.root.join(shelf), Listing::default());
        fs::answers(&dir)?;
        for entry in std::fs::read_dir(&dir).map_err(FsError::at("list", &dir))? {
            let name = entry.map_err(FsError::at("list", &dir))?.file_name();
            on.moved();
            let shown = name.to_string_lossy();
            let Some(stem) = shown.strip_suffix(".json").filter(|stem| !stem.starts_with('.')) else {
                continue;
            };
            let said = format!("{shelf}/{shown}");
            if listing.names.len() >= MAX_LISTED {
                drop(
                    listing
                        .odd
                        .insert(format!("{shelf}/"), format!("only {MAX_LISTED} work orders are looked at")),
                );
                break;
            }
            match name.to_str() {
                Some(_) => listing.names.push(stem.to_owned()),
                None => drop(listing.odd.insert(said, "its name is no text: rename it".into())),
            }
        }
        listing.names.sort();
        Ok(listing)
    }

    /// Reads a file; one that is not plain is not even opened, because that might hang.
    pub fn read(&self, on: &OnDisk, shelf: &str, name: &str) -> Result<Found, FsError> {
        let path = self.at(shelf, name);
        match path.symlink_metadata() {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Absent),
            Err(e) => return Err(FsError::at("look at", &path)(e)),
            Ok(meta) if !meta.is_file() => return Ok(Found::Odd("it is no plain file".into())),
            Ok(meta) if meta.len() > MAX_BYTES => {
                return Ok(Found::Odd(format!("it has {} bytes; at most {MAX_BYTES} are read", meta.len())));
            }
            Ok(_) => {}
        }
        on.moved();
        let file = match File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Absent),
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                return Ok(Found::Odd("it may not be read: its mode or owner is wrong".into()));
            }
            file => file.map_err(FsError::at("open", &path))?,
        };
        let mut bytes = Vec::new();
        let _length = file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(FsError::at("read", &path))?;
        on.moved();
        if bytes.len() as u64 > MAX_BYTES {
            return Ok(Found::Odd(format!("it has more than {MAX_BYTES} bytes")));
        }
        Ok(Found::Bytes(bytes))
    }

    /// Whether a file is there. A shelf that is gone is an outage, not an empty one.
    pub fn is_at(&self, _: &OnDisk, shelf: &str, name: &str) -> Result<bool, FsError> {
        fs::answers(&self.root.join(shelf))?;
        let path = self.at(shelf, name);
        match path.symlink_metadata() {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(FsError::at("look at", &path)(e)),
        }
    }

    /// Where a claimed order lies.
    pub fn place(&self, on: &OnDisk, id: &str) -> Result<Place, FsError> {
        for (shelf, place) in
            [("claimed", Place::Claimed), ("done", Place::Done), ("refused", Place::Refused)]
        {
            if self.is_at(on, shelf, id)? {
                return Ok(place);
            }
        }
        Ok(Place::Nowhere)
    }

    /// From one shelf to another; `false`: it is not there (any more).
    pub fn put(&self, on: &OnDisk, from: (&str, &str), to: (&str, &str)) -> Result<bool, FsError> {
        if !self.is_at(on, from.0, from.1)? {
            return Ok(false);
        }
        fs::publish(&self.at(from.0, from.1), &self.at(to.0, to.1)).map(|()| true)
    }

    /// To the refused ones, with the reason beside it, which is there first. Its name there; none: it is not on `shelf` (any more).
    pub fn refuse(
        &self,
        on: &OnDisk,
        shelf: &str,
        name: &str,
        reason: &[u8],
    ) -> Result<Option<String>, FsError> {
        if !self.is_at(on, shelf, name)? {
            return Ok(None);
        }
        let mut free = name.to_owned();
        for n in 2..MAX_NAMES {
            if !self.is_at(on, "refused", &free)? {
                break;
            }
            free = format!("{name}~{n}");
            on.moved();
        }
        fs::write_durably(&self.at("refused", &format!("{free}.reason")), reason)?;
        on.moved();
        fs::publish(&self.at(shelf, name), &self.at("refused", &free))?;
        Ok(Some(free))
    }
}

/// What the disk says of a delivered file. A link is not followed out of the delivery, and none is sent.
pub fn measure(on: &OnDisk, root: &Path, path: &Path) -> Result<Measured, FsError> {
    on.moved();
    let meta = match path.symlink_metadata() {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            fs::answers(root)?;
            return Ok(Measured::Absent);
        }
        meta => meta.map_err(FsError::at("look at", path))?,
    };
    if !meta.is_file() {
        return Ok(Measured::Odd(format!("{} is no plain file", path.display())));
    }
    let real = path.canonicalize().map_err(FsError::at("find", path))?;
    let home = root.canonicalize().map_err(FsError::at("find", root))?;
    if !real.starts_with(&home) {
        return Ok(Measured::Odd(format!("{} lies outside of delivery.root", path.display())));
    }
    Ok(Measured::Bytes(meta.len()))
}
