//! Which files hold the log, and in which order: daily files, rotated ones, gzipped ones, named one by one or as directories.
//!
//! Names are believed only as far as needed: what counts is the time in a file's first line. Files are opened when they are
//! listed, so a rotation while we read renames them under our hands without harm; one that went away between listing and
//! opening makes us list again.
use std::fs::File;
use std::io::Seek;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::lines::{Lines, Next};
use super::logline;
use crate::fs::FsError;

/// As many files are open at once; below the usual limit of 1024 for a process.
const MOST: usize = 800;
/// Lines looked at to find out when a file begins.
const HEAD: usize = 50;

/// An open log file.
#[derive(Debug)]
pub struct LogFile {
    /// Its name.
    pub path: PathBuf,
    /// Itself, at its beginning.
    pub file: File,
    /// The time of its first good line; when it was written last if it has none.
    pub begins: Timestamp,
    /// When it was written last.
    pub ends: Timestamp,
    inode: (u64, u64),
}

/// Files that follow each other: those of one directory whose names begin alike.
#[derive(Debug)]
pub struct Group {
    /// Directory and beginning of the names.
    pub name: String,
    /// In the order of time.
    pub files: Vec<LogFile>,
}

/// Something that was not read, or not to its end: the answer lacks it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// What there is to read.
#[derive(Debug, Default)]
pub struct Found {
    /// Groups of files.
    pub groups: Vec<Group>,
    /// Files that could not be opened or are no logs.
    pub troubles: Vec<Trouble>,
}

/// Whether this is the name of a log file in a directory: `x.jsonl`, then perhaps a number or a date, then perhaps a packing.
fn is_log_name(name: &str) -> bool {
    let Some((stem, rest)) = name.split_once(".jsonl") else { return false };
    let packed = [".gz", ".zst", ".xz", ".bz2"].iter().find_map(|p| rest.strip_suffix(p)).unwrap_or(rest);
    let number = packed.chars().all(|c| c.is_ascii_digit() || ".-_".contains(c));
    !stem.is_empty() && !stem.starts_with('.') && stem != "journal" && number
}

/// Finds the log files among these files and directories.
pub fn find(places: &[PathBuf]) -> Result<Found, FsError> {
    let mut found = Found::default();
    for place in places {
        let meta = std::fs::metadata(place).map_err(FsError::at("find the log", place))?;
        if meta.is_dir() {
            directory(place, &mut found)?;
        } else {
            match open(place) {
                Ok(file) => found.add(file, place),
                Err(e) => found.trouble(place, &crate::chain(&e)),
            }
        }
    }
    for group in &mut found.groups {
        group.files.sort_by(|a, b| (a.begins, a.ends, &a.path).cmp(&(b.begins, b.ends, &b.path)));
    }
    let count: usize = found.groups.iter().map(|g| g.files.len()).sum();
    if count > MOST {
        let why = format!(
            "{count} log files are more than {MOST} at once; name those of the time in question, such as tsd-import.2026-11-*"
        );
        return Err(FsError::at("read all of", places.first().map_or(Path::new("."), |p| p))(
            std::io::Error::other(why),
        ));
    }
    Ok(found)
}

fn directory(dir: &Path, found: &mut Found) -> Result<(), FsError> {
    const TRIES: usize = 5;
    for again in (0..TRIES).rev() {
        let names = list(dir)?;
        let mut gone = false;
        for name in &names {
            let path = dir.join(name);
            // Packed beside unpacked: the packing is not finished, or the original was kept.
            if name.strip_suffix(".gz").is_some_and(|plain| names.iter().any(|n| n == plain)) {
                continue;
            }
            match open(&path) {
                Ok(file) => found.add(file, &path),
                Err(e) if e.source.kind() == std::io::ErrorKind::NotFound && again > 0 => gone = true,
                Err(e) => found.trouble(&path, &crate::chain(&e)),
            }
        }
        if !gone {
            return Ok(());
        }
    }
    Ok(())
}

fn list(dir: &Path) -> Result<Vec<String>, FsError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(FsError::at("list", dir))? {
        let entry = entry.map_err(FsError::at("list", dir))?;
        names.extend(entry.file_name().into_string().ok().filter(|n| is_log_name(n)));
    }
    names.sort();
    Ok(names)
}

fn open(path: &Path) -> Result<LogFile, FsError> {
    let file = File::open(path).map_err(FsError::at("open", path))?;
    let meta = file.metadata().map_err(FsError::at("look at", path))?;
    let ends = Timestamp::new(meta.mtime(), 0).unwrap_or(Timestamp::MIN);
    Ok(LogFile { path: path.to_owned(), file, begins: ends, ends, inode: (meta.dev(), meta.ino()) })
}

impl LogFile {
    /// Finds out when it begins, or why it is no log.
    fn look(&mut self) -> Result<(), String> {
        let error = |e: std::io::Error| e.to_string();
        let mut lines = Lines::new(self.file.try_clone().map_err(error)?).map_err(error)?;
        for n in 0..HEAD {
            if matches!(lines.next().map_err(error)?, Next::End) {
                break;
            }
            if n == 0 && lines.line().starts_with(b"{\"v\":") {
                return Err(
                    "this is a journal, not a log: review it with --config FILE, whose state.dir holds it"
                        .into(),
                );
            }
            if let Some(at) = logline::time(lines.line()) {
                self.begins = at;
                break;
            }
        }
        self.file.rewind().map_err(error)
    }
}

impl Found {
    fn trouble(&mut self, path: &Path, why: &str) {
        let trouble = Trouble { path: path.to_owned(), why: why.to_owned() };
        if !self.troubles.contains(&trouble) {
            self.troubles.push(trouble);
        }
    }

    /// Takes a file, once.
    fn add(&mut self, mut file: LogFile, path: &Path) {
        if self.groups.iter().flat_map(|g| &g.files).any(|f| f.inode == file.inode) {
            return;
        }
        if let Err(why) = file.look() {
            return self.trouble(path, &why);
        }
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let name = format!("{}/{}", dir.display(), name.split('.').next().unwrap_or_default());
        match self.groups.iter_mut().find(|g| g.name == name) {
            Some(group) => group.files.push(file),
            None => self.groups.push(Group { name, files: vec![file] }),
        }
    }

    /// Leaves out files that end before `since`.
    pub fn only_since(&mut self, since: Timestamp) {
        for group in &mut self.groups {
            let begins: Vec<Timestamp> = group.files.iter().map(|f| f.begins).collect();
            let mut n = 0;
            group.files.retain(|f| {
                n += 1;
                f.ends >= since && begins.get(n).is_none_or(|next| *next >= since)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn log(dir: &Path, name: &str, first: &str) {
        let mut file = File::create(dir.join(name)).unwrap();
        if !first.is_empty() {
            writeln!(file, "{{\"timestamp\":\"{first}\",\"level\":\"INFO\",\"message\":\"m\"}}").unwrap();
        }
    }

    fn names(found: &Found) -> Vec<Vec<String>> {
        let name = |f: &LogFile| f.path.file_name().unwrap().to_string_lossy().into_owned();
        found.groups.iter().map(|g| g.files.iter().map(name).collect()).collect()
    }

    #[test]
    fn names_of_logs() {
        for good in [
            "tsd-import.2026-11-22.jsonl",
            "tsd-import.2026-11-22.jsonl.gz",
            "a.jsonl.1",
            "a.jsonl.10.gz",
            "a.jsonl-20261122.gz",
            "a.jsonl.zst",
        ] {
            assert!(is_log_name(good), "{good}");
        }
        for bad in [
            "journal.jsonl",
            "a.jsonl.swp",
            "a.jsonl~",
            ".tmp.jsonl",
            "a.log",
            ".jsonl",
            "journal.jsonl.torn-at-7",
        ] {
            assert!(!is_log_name(bad), "{bad}");
        }
    }

    #[test]
    fn the_order_is_that_of_time_whatever_the_names_say() {
        let dir = tempfile::tempdir().unwrap();
        for (name, first) in [
            ("x.jsonl", "2026-11-23T03:00:00.000Z"),
            ("x.jsonl.1", "2026-11-22T03:00:00.000Z"),
            ("x.jsonl.2", "2026-11-21T03:00:00.000Z"),
            ("x.jsonl.10", "2026-11-13T03:00:00.000Z"),
            ("y.2026-11-22.jsonl", "2026-11-22T03:00:00.000Z"),
            ("notes.txt", ""),
        ] {
            log(dir.path(), name, first);
        }
        std::fs::copy(dir.path().join("x.jsonl.2"), dir.path().join("x.jsonl.2.gz")).unwrap();
        let mut found = find(&[dir.path().to_owned(), dir.path().join("x.jsonl")]).unwrap();
        found.groups.sort_by(|a, b| a.name.cmp(&b.name));
        let (x, y) = (
            ["x.jsonl.10", "x.jsonl.2", "x.jsonl.1", "x.jsonl"].map(String::from).to_vec(),
            vec!["y.2026-11-22.jsonl".to_owned()],
        );
        assert_eq!(
            (names(&found), found.troubles.len()),
            (vec![x, y], 0),
            "each once, the packed copy not at all"
        );
        found.only_since("2026-11-22T12:00:00Z".parse().unwrap());
        assert_eq!(names(&found)[0], ["x.jsonl.1", "x.jsonl"]);
    }

    #[test]
    fn a_journal_is_no_log_and_what_cannot_be_opened_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.jsonl");
        File::create(&path).unwrap().write_all(b"{\"v\":1,\"seq\":1}\n").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("b.jsonl")).unwrap();
        let found = find(&[dir.path().to_owned()]).unwrap();
        assert!(found.groups.is_empty());
        assert_eq!(found.troubles.len(), 2, "{:?}", found.troubles);
        assert!(found.troubles.iter().any(|t| t.why.contains("--config")));
        assert!(find(&[dir.path().join("none")]).unwrap_err().to_string().contains("find the log"));
    }
}
