//! The transfer tree: where packages wait for their upload, and where they rest afterwards.
//!
//! ```text
//! {root}/production/{urgent,high,normal}/<kind>/<package>               waiting
//! {root}/production/transferred/{urgent,high,normal}/<kind>/<package>   committed
//! {root}/production/.packing/<kind>/<package>                           being built; never taken
//! {root}/production/.cleaning/<kind~package~revision>                   being removed
//! ```
//! The directory of a package that is exported again is `NAME~r2`, `NAME~r3`…; the files in it are called as ever.
//! Packages may be put here by others. One is whole when the marker file is in it (our own packager writes it too), or, only
//! if configured, when nothing in it has changed for the settle time.
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::conf::TransferConf;
use crate::disk::OnDisk;
use crate::fs::{self, Fingerprint, FsError};
use crate::package::{Kind, MANIFEST, PackageId, Priority};

/// The tree of one site.
#[derive(Clone, Debug)]
pub struct Tree {
    production: PathBuf,
    kinds: Vec<Kind>,
    marker: String,
    settle: Option<Duration>,
}

/// What one look at the tree found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Whole packages.
    pub whole: Vec<(PackageId, Priority, PathBuf)>,
    /// Not whole yet.
    pub growing: usize,
    /// Directories whose name is not a package name, with the reason.
    pub odd: Vec<(PathBuf, String)>,
}

impl Tree {
    /// As configured.
    pub fn new(conf: &TransferConf) -> Self {
        Self {
            production: conf.root.join("production"),
            kinds: conf.kinds.clone(),
            marker: conf.complete_marker.clone(),
            settle: conf.settle,
        }
    }

    /// Creates the directories, so that others can drop packages from the first minute.
    pub fn prepare(&self, _: &OnDisk) -> Result<(), FsError> {
        for priority in Priority::ALL {
            for kind in &self.kinds {
                fs::create_dir(&self.production.join(priority.as_str()).join(kind.as_str()))?;
                fs::create_dir(
                    &self.production.join("transferred").join(priority.as_str()).join(kind.as_str()),
                )?;
            }
        }
        fs::create_dir(&self.production.join(".packing"))
    }

    /// Where a package waits.
    pub fn waiting(&self, id: &PackageId, priority: Priority) -> PathBuf {
        self.production.join(priority.as_str()).join(id.kind.as_str()).join(id.dir_name())
    }

    /// Where it rests.
    pub fn transferred(&self, id: &PackageId, priority: Priority) -> PathBuf {
        self.production.join("transferred").join(priority.as_str()).join(id.kind.as_str()).join(id.dir_name())
    }

    /// Where it is built.
    pub fn packing(&self, id: &PackageId) -> PathBuf {
        self.production.join(".packing").join(id.kind.as_str()).join(id.dir_name())
    }

    /// Where packages go to be removed, on the tree's file system.
    pub fn cleaning(&self) -> PathBuf {
        self.production.join(".cleaning")
    }

    /// For temporary files that must never be seen in a package; on the tree's file system.
    pub fn scratch(&self) -> PathBuf {
        self.production.join(".packing")
    }

    /// The file that says that a package is whole.
    pub fn marker(&self) -> &str {
        &self.marker
    }

    /// Payload files of a package: everything but the marker and our manifest.
    pub fn is_payload(&self, path: &Path) -> bool {
        path != Path::new(&self.marker) && path != Path::new(MANIFEST)
    }

    /// Looks for packages, the most urgent first.
    pub fn scan(&self, on: &OnDisk, now: Timestamp) -> Result<Scan, FsError> {
        let mut scan = Scan::default();
        for priority in Priority::ALL {
            for kind in &self.kinds {
                let dir = self.production.join(priority.as_str()).join(kind.as_str());
                let entries = match std::fs::read_dir(&dir) {
                    Err(e) if e.kind() == ErrorKind::NotFound => continue,
                    entries => entries.map_err(FsError::at("list", &dir))?,
                };
                for entry in entries {
                    let path = entry.map_err(FsError::at("list", &dir))?.path();
                    on.moved();
                    // `analyses-results` holds the directories of its own kinds; files are nobody's package.
                    if path.is_dir() && !self.is_kind(kind, &path) {
                        self.judge(on, kind, priority, path, now, &mut scan)?;
                    }
                }
            }
        }
        self.strangers(on, &mut scan)?;
        scan.whole.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
        Ok(scan)
    }

    /// Directories that are no kind of ours: whoever put something there would wait for ever without a word.
    fn strangers(&self, on: &OnDisk, scan: &mut Scan) -> Result<(), FsError> {
        for priority in Priority::ALL {
            let dir = self.production.join(priority.as_str());
            for entry in std::fs::read_dir(&dir).map_err(FsError::at("list", &dir))? {
                let path = entry.map_err(FsError::at("list", &dir))?.path();
                on.moved();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let known = |k: &Kind| k.as_str().split('/').next() == Some(name.as_str());
                if path.is_dir() && !name.starts_with('.') && !self.kinds.iter().any(known) {
                    let kinds: Vec<&str> = self.kinds.iter().map(Kind::as_str).collect();
                    scan.odd.push((path, format!("{name:?} is no kind that is sent ({})", kinds.join(", "))));
                }
            }
        }
        Ok(())
    }

    /// Everything of a kind that has been sent and still rests here; what is no package of ours is left out.
    pub fn rests(&self, on: &OnDisk, kind: &Kind) -> Result<Vec<(PackageId, PathBuf)>, FsError> {
        let mut rests = Vec::new();
        for priority in Priority::ALL {
            let dir = self.production.join("transferred").join(priority.as_str()).join(kind.as_str());
            let entries = match std::fs::read_dir(&dir) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                entries => entries.map_err(FsError::at("list", &dir))?,
            };
            for entry in entries {
                let entry = entry.map_err(FsError::at("list", &dir))?;
                on.moved();
                if let Ok(id) = PackageId::of_dir(kind.clone(), &entry.file_name().to_string_lossy()) {
                    rests.push((id, entry.path()));
                }
            }
        }
        Ok(rests)
    }

    fn is_kind(&self, kind: &Kind, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.kinds.iter().any(|k| k.as_str() == format!("{kind}/{name}"))
    }

    fn judge(
        &self,
        on: &OnDisk,
        kind: &Kind,
        priority: Priority,
        path: PathBuf,
        now: Timestamp,
        scan: &mut Scan,
    ) -> Result<(), FsError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match PackageId::of_dir(kind.clone(), &name) {
            Err(e) => scan.odd.push((path.clone(), e.to_string())),
            Ok(id) => match self.is_whole(on, &path, now) {
                Ok(true) => scan.whole.push((id, priority, path.clone())),
                Ok(false) => scan.growing += 1,
                Err(e) if e.is_outage() => return Err(e),
                Err(e) => scan.odd.push((path.clone(), crate::chain(&e))), // one odd package holds up nobody else
            },
        }
        Ok(())
    }

    fn is_whole(&self, on: &OnDisk, dir: &Path, now: Timestamp) -> Result<bool, FsError> {
        if dir.join(&self.marker).is_file() {
            return Ok(true);
        }
        let Some(settle) = self.settle else { return Ok(false) };
        let (files, mut youngest) = (fs::plain_files(dir)?, i128::MIN);
        for file in &files {
            on.moved();
            youngest = youngest.max(Fingerprint::of(&dir.join(file))?.mtime_ns);
        }
        let age = now.as_nanosecond().saturating_sub(youngest);
        Ok(!files.is_empty() && age >= i128::try_from(settle.as_nanos()).unwrap_or(i128::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(root: &Path, settle: Option<Duration>) -> Tree {
        Tree::new(&TransferConf {
            root: root.to_owned(),
            kinds: ["samples", "analyses-results/trios"].map(|k| k.parse().unwrap()).to_vec(),
            complete_marker: "COMPLETE".into(),
            settle,
            scan: Duration::from_secs(1),
        })
    }

    fn drop_in(root: &Path, place: &str, files: &[&str]) {
        let dir = root.join("production").join(place);
        fs::create_dir(&dir).unwrap();
        for file in files {
            fs::write_durably(&dir.join(file), b"x").unwrap();
        }
    }

    #[test]
    fn whole_packages_are_found_most_urgent_first_and_growing_ones_wait() {
        let root = tempfile::tempdir().unwrap();
        let tree = tree(root.path(), None);
        tree.prepare(&OnDisk::alone()).unwrap();
        drop_in(root.path(), "normal/samples/b", &["f", "COMPLETE"]);
        drop_in(root.path(), "normal/samples/a", &["f", "COMPLETE"]);
        drop_in(root.path(), "urgent/analyses-results/trios/t", &["COMPLETE"]);
        drop_in(root.path(), "high/samples/growing", &["f"]);
        drop_in(root.path(), "high/samples/od d", &["f", "COMPLETE"]);
        drop_in(root.path(), "urgent/weird/p", &["f", "COMPLETE"]);
        let scan = tree.scan(&OnDisk::alone(), crate::clock::now()).unwrap();
        let names: Vec<String> = scan.whole.iter().map(|(id, p, _)| format!("{p} {id}")).collect();
        assert_eq!(
            names,
            ["urgent analyses-results/trios/t/r1", "normal samples/a/r1", "normal samples/b/r1"]
        );
        assert_eq!(scan.growing, 1);
        assert_eq!(scan.odd.len(), 2);
        assert!(scan.odd[0].0.ends_with("high/samples/od d"));
        assert!(scan.odd[1].0.ends_with("urgent/weird") && scan.odd[1].1.contains("no kind that is sent"));
    }

    #[test]
    fn a_revision_waits_and_rests_beside_the_one_before() {
        let root = tempfile::tempdir().unwrap();
        let tree = tree(root.path(), None);
        tree.prepare(&OnDisk::alone()).unwrap();
        drop_in(root.path(), "normal/samples/a~r2", &["f", "COMPLETE"]);
        drop_in(root.path(), "normal/samples/a~r1", &["f", "COMPLETE"]);
        drop_in(root.path(), "transferred/high/samples/a", &["f"]);
        drop_in(root.path(), "transferred/normal/samples/od d", &["f"]);
        let scan = tree.scan(&OnDisk::alone(), crate::clock::now()).unwrap();
        let [(id, priority, path)] = &scan.whole[..] else { panic!("{scan:?}") };
        assert_eq!((id.to_string().as_str(), path), ("samples/a/r2", &tree.waiting(id, *priority)));
        assert_eq!(scan.odd.len(), 1, "there is no directory of a first revision with its number");
        let rests = tree.rests(&OnDisk::alone(), &"samples".parse().unwrap()).unwrap();
        let first: PackageId = "samples/a/r1".parse().unwrap();
        assert_eq!(rests, [(first.clone(), tree.transferred(&first, Priority::High))]);
        assert_ne!(tree.transferred(id, Priority::High), tree.transferred(&first, Priority::High));
        assert_ne!(tree.packing(id), tree.packing(&first));
    }

    #[test]
    fn a_settle_time_counts_from_the_last_change() {
        let root = tempfile::tempdir().unwrap();
        let tree = tree(root.path(), Some(Duration::from_secs(60)));
        tree.prepare(&OnDisk::alone()).unwrap();
        drop_in(root.path(), "normal/samples/a", &["f"]);
        drop_in(root.path(), "normal/samples/empty", &[]);
        let now = crate::clock::now();
        assert_eq!(tree.scan(&OnDisk::alone(), now).unwrap().whole.len(), 0);
        let later = tree.scan(&OnDisk::alone(), now + Duration::from_secs(62)).unwrap();
        assert_eq!((later.whole.len(), later.growing), (1, 1));
    }
}
