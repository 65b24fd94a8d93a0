//! What lies on a receiver's disks.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::landing::{Fact, Half, Lies, Stopped, World};
use crate::conf::LandingConf;
use crate::disk::OnDisk;
use crate::fs::{self, FsError};
use crate::package::{Kind, MANIFEST, PackageId, READY, Reason};
use crate::tsd::landing::of_incoming;
use crate::tsd::reading::read_back_alone;

/// More than this of anything is not listed: no site has so many, and memory is bounded.
pub const MOST: usize = 1_000_000;

/// Where a package lies when it has landed.
pub fn destination(place: &LandingConf, id: &PackageId) -> PathBuf {
    place.destination.join(id.name.as_str())
}

/// An area beside a destination.
pub fn beside(place: &LandingConf, area: &str) -> PathBuf {
    place.destination.parent().unwrap_or(&place.destination).join(area)
}

/// `samples~NAME~r1` → the package.
fn of_flat(name: &str) -> Option<PackageId> {
    name.replace('~', "/").parse().ok()
}

fn names(dir: &Path) -> Result<Vec<String>, FsError> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(FsError::at("list", dir))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FsError::at("list", dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
        if names.len() > MOST {
            let many = std::io::Error::other(format!("it has more than {MOST} entries"));
            return Err(FsError::at("list", dir)(many));
        }
    }
    names.sort();
    Ok(names)
}

/// Adds what lies at the destinations, in `.incoming` and in `.quarantine`.
pub fn disks(on: &OnDisk, landing: &BTreeMap<Kind, LandingConf>, world: &mut World) -> Result<(), FsError> {
    let kind_there =
        |name: &str| landing.keys().any(|kind| kind.as_str().split('/').any(|word| word == name));
    for (kind, place) in landing {
        fs::answers(&place.destination)?; // an unmounted disk looks like one from which everything was taken away
        for name in names(&place.destination)? {
            let path = place.destination.join(&name);
            if name.starts_with('.') || !fs::dir_exists(&path)? {
                continue;
            }
            match PackageId::of_dir(kind.clone(), &name) {
                Ok(id) => {
                    let lies = lies(on, path, place.ready)?;
                    world.packages.entry(id).or_default().place = Some(lies);
                }
                Err(_) if kind_there(&name) => {}
                Err(_) => world.strangers.push(path),
            }
        }
    }
    let mut areas: Vec<(PathBuf, bool)> = Vec::new();
    for place in landing.values() {
        for (area, incoming) in [(".incoming", true), (".quarantine", false)] {
            let dir = beside(place, area);
            if !areas.contains(&(dir.clone(), incoming)) {
                areas.push((dir, incoming));
            }
        }
    }
    for (dir, incoming) in areas {
        for name in names(&dir)? {
            area(&dir, &name, incoming, world)?;
        }
    }
    Ok(())
}

fn lies(on: &OnDisk, path: PathBuf, wants_ready: bool) -> Result<Lies, FsError> {
    let manifest = path.join(MANIFEST);
    let there = |path: &Path| match path.symlink_metadata() {
        Ok(found) => Ok(found.is_file()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(FsError::at("look at", path)(e)),
    };
    let manifest = match there(&manifest)? {
        true => Some(read_back_alone(on, &manifest, false, |_| {})?.sha256),
        false => None,
    };
    let ready = there(&path.join(READY))?;
    Ok(Lies { path, ready, wants_ready, manifest })
}

fn area(dir: &Path, name: &str, incoming: bool, world: &mut World) -> Result<(), FsError> {
    let path = dir.join(name);
    if incoming {
        match of_incoming(name) {
            Some((id, seat)) => {
                let half = Half { path, seat: seat.map(str::to_owned) };
                world.packages.entry(id).or_default().incoming.push(half);
            }
            None => world.strangers.push(path),
        }
        return Ok(());
    }
    if let Some(id) = name.strip_suffix(".reason.json").and_then(of_flat) {
        let before: &mut Fact = world.packages.entry(id).or_default();
        before.stopped = Some(why(&path)?);
    } else if let Some(id) = of_flat(name) {
        let _kept = world.packages.entry(id).or_default().stopped.get_or_insert_with(Stopped::default);
    }
    Ok(())
}

fn why(path: &Path) -> Result<Stopped, FsError> {
    #[derive(Deserialize)]
    struct Note {
        reason: Option<Reason>,
        detail: Option<String>,
    }
    let bytes = std::fs::read(path).map_err(FsError::at("read", path))?;
    let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
    Ok(match serde_json::from_slice::<Note>(&bytes) {
        Ok(note) => Stopped { reason: note.reason, detail: note.detail.unwrap_or_default() },
        Err(e) => Stopped { reason: None, detail: format!("{name} cannot be read: {e}") },
    })
}
