//! What a person has confirmed, on its way to the daemon and back: there is one writer of the journal, so the command puts a wish into
//! the state directory, and whoever owns that performs it and answers. Both are whole files, and the wish lies there until all of it
//! is done, so a crash in between delays it and nothing else.
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::list::{Entry, MAX_BYTES};
use crate::clock;
use crate::disk::OnDisk;
use crate::fs::{self, FsError};
use crate::package::PackageId;

/// Below the state directory.
const DIR: &str = "clean";
const WISH: &str = ".wish.json";
const ANSWER: &str = ".answer.json";
/// Answers that nobody took are kept for so long.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Who wants what cleaned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Of this format: 1.
    pub version: u32,
    /// Its own name.
    pub id: String,
    /// The person.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// Also what has no receipt, where receipts are configured.
    pub without_receipt: bool,
    /// What was read and confirmed.
    pub entries: Vec<Entry>,
}

/// What became of it, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Gone.
    pub cleaned: BTreeMap<PackageId, u64>,
    /// Not gone, and why.
    pub refused: BTreeMap<PackageId, String>,
    /// Nothing is left to be done.
    pub done: bool,
}

impl Answer {
    /// Whether it says something of this package.
    pub fn has(&self, id: &PackageId) -> bool {
        self.cleaned.contains_key(id) || self.refused.contains_key(id)
    }
}

/// Where wishes lie.
#[derive(Clone, Debug)]
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// Of a state directory.
    pub fn of(state_dir: &Path) -> Self {
        Self { dir: state_dir.join(DIR) }
    }

    /// Where a wish lies.
    pub fn wish(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}{WISH}"))
    }

    fn answer(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}{ANSWER}"))
    }

    /// Puts a wish down.
    pub fn put(&self, _: &OnDisk, wish: &Wish) -> Result<(), FsError> {
        fs::create_dir(&self.dir)?;
        fs::write_durably(&self.wish(&wish.id), &json(wish))
    }

    /// What has been answered so far; none: nothing yet.
    pub fn answered(&self, on: &OnDisk, id: &str) -> Result<Option<Answer>, FsError> {
        read(on, &self.answer(id)).map(|read| read.and_then(Result::ok))
    }

    /// Takes a finished answer away, and with it what is left of its wish.
    pub fn clear(&self, _: &OnDisk, id: &str) -> Result<(), FsError> {
        for path in [self.wish(id), self.answer(id)] {
            gone(fs::remove_file(&path))?;
        }
        Ok(())
    }

    /// The wish that has waited longest, and its answer so far. One that cannot be read is put aside, and old answers go.
    pub(super) fn next(&self, on: &OnDisk, now: Timestamp) -> Result<Option<(Wish, Answer)>, FsError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(FsError::at("list", &self.dir))?,
        };
        let mut first: Option<Wish> = None;
        for entry in entries {
            let path = entry.map_err(FsError::at("list", &self.dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            on.moved();
            if name.ends_with(ANSWER) {
                self.forget_old(on, &path, now)?;
            }
            let Some(id) = name.strip_suffix(WISH) else { continue };
            let wish = match read::<Wish>(on, &path)? {
                None => continue, // taken back in this moment
                Some(Ok(wish)) if wish.version == 1 && wish.id == id => wish,
                Some(read) => {
                    let why = read
                        .map_or_else(|e| e, |wish| format!("version {}, named {:?}", wish.version, wish.id));
                    let aside = path.with_extension("unreadable");
                    tracing::error!(file = %path.display(), why, "a wish to clean cannot be read and is put aside: ask for it again");
                    if let Err(e) = fs::publish(&path, &aside)
                        && e.source.kind() != ErrorKind::NotFound
                    {
                        return Err(e);
                    }
                    continue;
                }
            };
            if first.as_ref().is_none_or(|first| (wish.at, &wish.id) < (first.at, &first.id)) {
                first = Some(wish);
            }
        }
        let Some(wish) = first else { return Ok(None) };
        let answer = self.answered(on, &wish.id)?.unwrap_or_default();
        Ok(Some((wish, answer)))
    }

    fn forget_old(&self, _: &OnDisk, path: &Path, now: Timestamp) -> Result<(), FsError> {
        let about = match std::fs::symlink_metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            about => about.map_err(FsError::at("look at", path))?,
        };
        let written = std::os::unix::fs::MetadataExt::mtime(&about);
        let written = Timestamp::from_second(written).unwrap_or(now);
        if clock::age(written, now) > KEPT {
            return gone(fs::remove_file(path));
        }
        Ok(())
    }

    /// Writes down how far it has come; a wish of which nothing is left goes.
    pub(super) fn note(&self, _: &OnDisk, id: &str, answer: &Answer) -> Result<(), FsError> {
        fs::write_durably(&self.answer(id), &json(answer))?;
        if answer.done { gone(fs::remove_file(&self.wish(id))) } else { Ok(()) }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain fields always serialise")
}

fn gone(removed: Result<(), FsError>) -> Result<(), FsError> {
    match removed {
        Err(e) if e.source.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn read<T: for<'a> Deserialize<'a>>(_: &OnDisk, path: &Path) -> Result<Option<Result<T, String>>, FsError> {
    let file = match std::fs::File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return Ok(Some(Err(e.to_string()))),
        file => file.map_err(FsError::at("open", path))?,
    };
    let mut bytes = Vec::new();
    let _length = std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_BYTES), &mut bytes)
        .map_err(FsError::at("read", path))?;
    Ok(Some(serde_json::from_slice(&bytes).map_err(|e| e.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(id: &str, secs: i64) -> Wish {
        Wish {
            version: 1,
            id: id.into(),
            by: "anna".into(),
            at: Timestamp::from_second(1_800_000_000 + secs).unwrap(),
            reason: "disk full".into(),
            without_receipt: false,
            entries: Vec::new(),
        }
    }

    #[test]
    fn the_one_that_waited_longest_comes_first_until_it_is_done() {
        let (dir, on) = (tempfile::tempdir().unwrap(), &OnDisk::alone());
        let (shelf, now) = (Shelf::of(dir.path()), crate::clock::now());
        assert!(shelf.next(on, now).unwrap().is_none());
        for (id, secs) in [("late", 5), ("early", 1)] {
            shelf.put(on, &wish(id, secs)).unwrap();
        }
        fs::write_durably(&dir.path().join("clean/odd.wish.json"), b"{").unwrap();
        let (first, answer) = shelf.next(on, now).unwrap().unwrap();
        assert_eq!((first, answer), (wish("early", 1), Answer::default()));
        assert!(dir.path().join("clean/odd.wish.unreadable").exists(), "aside, and not lost");
        let id: PackageId = "samples/a/r1".parse().unwrap();
        let half = Answer { cleaned: [(id.clone(), 7)].into(), ..Answer::default() };
        shelf.note(on, "early", &half).unwrap();
        let (first, answer) = shelf.next(on, now).unwrap().unwrap();
        assert!(first.id == "early" && answer == half && answer.has(&id), "gone on with after a crash");
        shelf.note(on, "early", &Answer { done: true, ..half.clone() }).unwrap();
        assert_eq!(shelf.next(on, now).unwrap().unwrap().0.id, "late");
        assert!(shelf.answered(on, "early").unwrap().unwrap().done);
        shelf.clear(on, "late").unwrap();
        assert!(shelf.next(on, now + KEPT * 2).unwrap().is_none());
        assert!(shelf.answered(on, "early").unwrap().is_none(), "nobody took it for a week");
    }
}
