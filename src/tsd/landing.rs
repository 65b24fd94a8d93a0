//! Where a kind lands: the destination that others watch, and two areas beside it that nobody watches.
//!
//! `.incoming` and `.quarantine` lie in the destination's parent directory, not in the destination itself (ELLA lists every
//! directory that it finds there), and on the same file system, so that putting a package in place is one rename.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::conf::LandingConf;
use crate::disk::{Disk, Disks, OnDisk};
use crate::fs::{self, FsError};
use crate::package::{Kind, PackageId, Priority};
use crate::store::Lead;

/// How far the requests for small files run ahead of a place's disk, for each urgency: the urgent do not wait behind the others.
type Leads = [Lead; Priority::ALL.len()];

/// The landing places of all kinds.
#[derive(Clone, Debug)]
pub struct Landing {
    places: BTreeMap<Kind, (LandingConf, Disk, Leads)>,
}

impl Landing {
    /// As configured. Kinds that land in the same directory share a lane, and what leads it.
    pub fn new(places: BTreeMap<Kind, LandingConf>, disks: &Disks) -> Result<Self, String> {
        let mut leads = BTreeMap::<PathBuf, Leads>::new();
        let with_disk = |(kind, place): (Kind, LandingConf)| {
            let above = place.destination.parent().unwrap_or(&place.destination);
            let disk = disks.at("landing", above)?;
            let leads =
                leads.entry(above.to_owned()).or_insert_with(|| [(); _].map(|()| Lead::of_small_files()));
            let leads = leads.clone();
            Ok((kind, (place, disk, leads)))
        };
        Ok(Self { places: places.into_iter().map(with_disk).collect::<Result<_, String>>()? })
    }

    /// How a kind lands; none for an unknown one.
    pub fn of(&self, kind: &Kind) -> Option<&LandingConf> {
        self.places.get(kind).map(|(place, ..)| place)
    }

    /// Its disk.
    pub fn disk(&self, kind: &Kind) -> Option<&Disk> {
        self.places.get(kind).map(|(_, disk, _)| disk)
    }

    /// What its small files of this urgency share.
    pub fn lead(&self, kind: &Kind, urgency: Priority) -> Option<&Lead> {
        self.places.get(kind).and_then(|(_, _, leads)| leads.get(urgency as usize))
    }

    /// Whether work on the package can make a sign: nothing of it hangs, and its disk has a thread for it.
    pub fn is_open(&self, disks: &Disks, id: &PackageId) -> bool {
        disks.is_free(&id.to_string()) && self.disk(&id.kind).is_none_or(Disk::takes_work)
    }

    /// Where a package is copied to and verified.
    pub fn incoming(&self, id: &PackageId) -> Option<PathBuf> {
        Some(beside(&self.of(&id.kind)?.destination, ".incoming").join(flat(id)))
    }

    /// Where files lie until they are whole.
    pub fn parts(&self, id: &PackageId) -> Option<PathBuf> {
        Some(beside(&self.of(&id.kind)?.destination, ".incoming").join(format!("{}.parts", flat(id))))
    }

    /// Where a stopped package lies.
    pub fn quarantine(&self, id: &PackageId) -> Option<PathBuf> {
        Some(beside(&self.of(&id.kind)?.destination, ".quarantine").join(flat(id)))
    }

    /// Where a good package ends up.
    pub fn destination(&self, id: &PackageId) -> Option<PathBuf> {
        Some(self.of(&id.kind)?.destination.join(id.name.as_str()))
    }
}

fn beside(destination: &Path, area: &str) -> PathBuf {
    destination.parent().unwrap_or(destination).join(area)
}

/// `analyses-results~trios~NAME~r1`: kinds that share a parent must not collide.
fn flat(id: &PackageId) -> String {
    id.to_string().replace('/', "~")
}

/// Sets a mode if one is configured.
pub fn set_mode(_: &OnDisk, path: &Path, mode: Option<u32>) -> Result<(), FsError> {
    let Some(mode) = mode else { return Ok(()) };
    fs::set_mode(path, mode)
}

/// Creates the areas beside each destination and makes sure that they lie on its file system.
pub fn prepare(_: &OnDisk, places: &BTreeMap<Kind, LandingConf>) -> Result<(), String> {
    for (kind, place) in places {
        for area in [".incoming", ".quarantine"] {
            let dir = beside(&place.destination, area);
            fs::create_dir(&dir).map_err(|e| crate::chain(&e))?;
            if !fs::same_file_system(&dir, &place.destination).map_err(|e| crate::chain(&e))? {
                return Err(format!(
                    "landing.{kind}: {} and {} are on different file systems, so nothing could be put in place at once; \
                         make the destination a directory of its parent's file system",
                    dir.display(),
                    place.destination.display()
                ));
            }
        }
    }
    Ok(())
}
