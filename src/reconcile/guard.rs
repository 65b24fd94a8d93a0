//! A receiver whose journal was lost must not begin a new one: everything in the bucket would look new, and what its consumer has taken
//! away would land once more.
//!
//! That a receiver has worked here is written down beside each destination (`.quarantine/.receiver-HOST`) once its journal has its first
//! line, on another disk than the journal mostly. Where that is missing (an older release), what lies in place tells: `READY` and
//! `SHA256SUMS` together are ours.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::gather::{beside, disks};
use super::landing::World;
use crate::conf::LandingConf;
use crate::disk::OnDisk;
use crate::fs::{self, FsError};
use crate::package::{Kind, Name};

/// In the state directory while a journal is rebuilt.
pub const REBUILDING: &str = "rebuilding";
const MARK: &str = ".receiver-";

fn marks(landing: &BTreeMap<Kind, LandingConf>, host: &Name) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        landing.values().map(|place| beside(place, ".quarantine").join(format!("{MARK}{host}"))).collect();
    all.sort();
    all.dedup();
    all
}

/// Writes down that a receiver works here; its journal has a line by now.
pub fn leave_marks(
    _: &OnDisk,
    landing: &BTreeMap<Kind, LandingConf>,
    host: &Name,
    state_dir: &Path,
) -> Result<(), FsError> {
    for mark in marks(landing, host) {
        if !mark.try_exists().map_err(FsError::at("look at", &mark))? {
            let text = format!(
                "Packages land here by tsd-import on {host}, whose journal is in {}. Without this file a lost journal is not noticed.\n",
                state_dir.display()
            );
            fs::write_durably(&mark, text.as_bytes())?;
        }
    }
    Ok(())
}

/// What shows that a receiver of this name has worked here, or one whose name nobody wrote down; none: it is a new one.
pub fn traces(
    on: &OnDisk,
    landing: &BTreeMap<Kind, LandingConf>,
    host: &Name,
) -> Result<Option<String>, FsError> {
    for mark in marks(landing, host) {
        if mark.try_exists().map_err(FsError::at("look at", &mark))? {
            return Ok(Some(format!("{} is there", mark.display())));
        }
    }
    for place in landing.values() {
        let dir = beside(place, ".quarantine");
        if !fs::dir_exists(&dir)? {
            continue;
        }
        for entry in std::fs::read_dir(&dir).map_err(FsError::at("list", &dir))? {
            let name = entry.map_err(FsError::at("list", &dir))?.file_name();
            if name.to_string_lossy().starts_with(MARK) {
                return Ok(None); // others land here, so what lies in place may be theirs
            }
        }
    }
    let mut world = World::default();
    disks(on, landing, &mut world)?;
    let ours =
        |fact: &super::landing::Fact| fact.place.as_ref().is_some_and(|p| p.manifest.is_some() && p.ready);
    let landed = world.packages.values().find(|fact| ours(fact)).and_then(|fact| fact.place.as_ref());
    Ok(landed.map(|lies| format!("{} has READY and SHA256SUMS", lies.path.display())))
}
