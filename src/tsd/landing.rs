//! Where a kind lands: the destination that others watch, and two areas beside it that nobody watches.
//!
//! `.incoming` and `.quarantine` lie in the destination's parent directory, not in the destination itself (ELLA lists every
//! directory that it finds there), and on the same file system, so that putting a package in place is one rename.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::blame::{Blame, Failure};
use crate::conf::LandingConf;
use crate::disk::{Disk, Disks, OnDisk};
use crate::fs::{self, FsError};
use crate::package::{Kind, PackageId, Priority};
use crate::store::Lead;
use crate::tsd::share::Seat;

/// How far the requests for small files run ahead of a place's disk, for each urgency: the urgent do not wait behind the others.
type Leads = [Lead; Priority::ALL.len()];

/// The landing places of all kinds.
#[derive(Clone, Debug)]
pub struct Landing {
    places: BTreeMap<Kind, (LandingConf, Disk, Leads)>,
    /// Whoever shares the bucket with other hosts has incoming directories of its own: two that copy into one would ruin each other's
    /// work, even after it was verified.
    seat: Seat,
}

impl Landing {
    /// As configured. Kinds that land in the same directory share a lane, and what leads it.
    pub fn new(places: BTreeMap<Kind, LandingConf>, disks: &Disks, seat: Seat) -> Result<Self, String> {
        let mut leads = BTreeMap::<PathBuf, Leads>::new();
        let with_disk = |(kind, place): (Kind, LandingConf)| {
            let above = place.destination.parent().unwrap_or(&place.destination);
            let disk = disks.at("landing", above)?;
            let leads =
                leads.entry(above.to_owned()).or_insert_with(|| [(); _].map(|()| Lead::of_small_files()));
            let leads = leads.clone();
            Ok((kind, (place, disk, leads)))
        };
        Ok(Self { places: places.into_iter().map(with_disk).collect::<Result<_, String>>()?, seat })
    }

    /// How a kind lands; none for an unknown one.
    pub fn of(&self, kind: &Kind) -> Option<&LandingConf> {
        self.places.get(kind).map(|(place, ..)| place)
    }

    /// All kinds that land here.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.places.keys()
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

    /// A failure on a disk that is not there any more is that of the disk: what lay on it cannot be found, and no package is at fault.
    pub async fn unless_it_vanished(
        &self,
        disks: &Disks,
        id: &PackageId,
        done: Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Err(Failure::Unit(Blame { reason: None, .. })) = &done else { return done };
        let Some((place, disk, _)) = self.places.get(&id.kind) else { return done };
        let areas = [place.destination.clone(), beside(&place.destination, ".incoming")];
        match disks.hold(&id.to_string()).await?.on(disk, move |on| all_answer(on, &areas)).await? {
            Err(e) if e.is_outage() => Err(e.into()),
            _ => done,
        }
    }

    /// Where a package is copied to and verified.
    pub fn incoming(&self, id: &PackageId) -> Option<PathBuf> {
        Some(self.area(id)?.join(self.own(id)))
    }

    fn area(&self, id: &PackageId) -> Option<PathBuf> {
        Some(beside(&self.of(&id.kind)?.destination, ".incoming"))
    }

    fn own(&self, id: &PackageId) -> String {
        self.seat.get().map_or_else(|| flat(id), |seat| of_seat(id, seat))
    }

    /// Where a package is verified that was taken over from others in the middle of being put in place. Not where this host copies: what
    /// it may have copied itself at another time tells nothing about what the others did.
    pub fn heir(&self, id: &PackageId) -> Option<PathBuf> {
        Some(self.area(id)?.join(heir_of(id, self.seat.get()?)))
    }

    /// The directories from which these seats were about to put a package in place, the last one first. The first of them had copied it,
    /// perhaps before the bucket was shared; each other had taken it over.
    pub fn bequeathed(&self, id: &PackageId, seats: &[String]) -> Vec<PathBuf> {
        let (first, heirs) = seats.split_first().map_or((None, seats), |(first, heirs)| (Some(first), heirs));
        let names = heirs.iter().rev().map(|seat| heir_of(id, seat));
        let names = names.chain(first.map(|seat| of_seat(id, seat))).chain([flat(id)]);
        self.area(id).map(|area| names.map(|name| area.join(name)).collect()).unwrap_or_default()
    }

    /// Whether this is an incoming directory of the package, as it is configured now; of which seat does not matter.
    pub fn is_incoming(&self, id: &PackageId, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ours = name.strip_prefix(&flat(id)).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'));
        ours && path.parent() == self.area(id).as_deref()
    }

    /// Where files lie until they are whole.
    pub fn parts(&self, id: &PackageId) -> Option<PathBuf> {
        Some(self.area(id)?.join(format!("{}.parts", self.own(id))))
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

fn all_answer(_: &OnDisk, areas: &[PathBuf]) -> Result<(), FsError> {
    areas.iter().try_for_each(|area| fs::answers(area))
}

fn beside(destination: &Path, area: &str) -> PathBuf {
    destination.parent().unwrap_or(destination).join(area)
}

/// `analyses-results~trios~NAME~r1`: kinds that share a parent must not collide.
fn flat(id: &PackageId) -> String {
    id.to_string().replace('/', "~")
}

/// Gives a directory the group and the mode that are configured.
pub fn adopt_dir(on: &OnDisk, path: &Path, place: &LandingConf) -> Result<(), FsError> {
    adopt(on, path, place, place.dir_mode)
}

/// The same for a file.
pub fn adopt_file(on: &OnDisk, path: &Path, place: &LandingConf) -> Result<(), FsError> {
    adopt(on, path, place, place.file_mode)
}

/// The group first: changing it takes bits of the mode away.
fn adopt(_: &OnDisk, path: &Path, place: &LandingConf, mode: Option<u32>) -> Result<(), FsError> {
    if let Some(group) = &place.group {
        fs::set_group(path, group.gid)?;
    }
    mode.map_or(Ok(()), |mode| fs::set_mode(path, mode))
}

/// The same of one of several hosts. A seat holds no `~`, and nothing else ends in a revision and `@`.
fn of_seat(id: &PackageId, seat: &str) -> String {
    format!("{}@{seat}", flat(id))
}

fn heir_of(id: &PackageId, seat: &str) -> String {
    format!("{}~heir", of_seat(id, seat))
}

/// Whose directory in `.incoming` this is: the package, and the seat if several hosts share the bucket. None: it has no name of ours.
pub fn of_incoming(name: &str) -> Option<(PackageId, Option<&str>)> {
    let id = |flat: &str| flat.replace('~', "/").parse().ok();
    let name = name.strip_suffix(".parts").unwrap_or(name);
    let shared = name.strip_suffix("~heir").unwrap_or(name).rsplit_once('@');
    let shared = shared.filter(|(_, seat)| !seat.contains('~'));
    let shared = shared.and_then(|(flat, seat)| Some((id(flat)?, Some(seat))));
    shared.or_else(|| Some((id(name)?, None)))
}

/// Creates the areas beside each destination and makes sure that they lie on its file system.
pub fn prepare(_: &OnDisk, places: &BTreeMap<Kind, LandingConf>) -> Result<(), String> {
    for (kind, place) in places {
        // Before anything is created: beneath an unmounted disk it would only be in the way.
        fs::answers(&place.destination).map_err(|e| format!("landing.{kind}: {}", crate::chain(&e)))?;
        for area in [".incoming", ".quarantine"] {
            let dir = beside(&place.destination, area);
            fs::create_dir(&dir).map_err(|e| crate::chain(&e))?;
            if let Some(group) = &place.group {
                fs::set_group(&dir, group.gid).map_err(|e| {
                    let (why, name) = (crate::chain(&e), &group.name);
                    format!("landing.{kind}.group: {why}; is the service user a member of {name} (id)?")
                })?;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_incoming_tell_whose_they_are() {
        for text in ["samples/Diag-1/r1", "samples/Diag-x@r2/r1", "analyses-results/trios/Diag-x=a@b/r12"] {
            let id: PackageId = text.parse().unwrap();
            for (name, seat) in [
                (flat(&id), None),
                (of_seat(&id, "3f7a"), Some("3f7a")),
                (heir_of(&id, "3f7a"), Some("3f7a")),
            ] {
                for name in [name.clone(), format!("{name}.parts")] {
                    assert_eq!(of_incoming(&name), Some((id.clone(), seat)), "{name}");
                }
            }
        }
        for name in ["", ".tmp-x", "@3f7a", "samples", "samples~Diag-1@3f7a", "samples~Diag-1~r1~heir"] {
            assert_eq!(of_incoming(name), None, "{name}");
        }
    }
}
