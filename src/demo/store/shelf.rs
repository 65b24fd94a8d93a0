//! The objects of one bucket as plain files, and what S3 has to know about each beside its bytes.
//!
//! ```text
//! <root>/<bucket>/<key>            the object, byte for byte: may be looked at, damaged or planted by a test
//! <root>/.facts/<sha256 of key>    JSON: ETag, attributes, checksums
//! <root>/.uploads/<upload id>/     multipart uploads that are not complete
//! <root>/.scratch/                 bodies on their way in; emptied at start
//! ```
//! Promises: an object appears, whole, by one rename; object and facts are read as a pair; of many conditional writers
//! one wins. Each key has a lock (one of [`STRIPES`]) that publishing takes alone and reading shares. All calls block.
//!
//! Not promised: durability. Nothing is fsynced, for the store of a demonstration lives as long as the demonstration.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use http::StatusCode;
use md5::{Digest, Md5};
use s3s::dto::{ETag, ETagCondition};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tempfile::{NamedTempFile, TempPath};

use super::sums::Sums;

const STRIPES: usize = 64;
/// Of planted objects.
const LARGE: u64 = 8 << 20;

/// What a client said of an object when it put it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attributes {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) metadata: Option<HashMap<String, String>>,
}

/// What the store knows of an object beside its bytes. The ETag stands without quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) etag: String,
    pub(super) attributes: Attributes,
    pub(super) sums: Sums,
}

/// An object opened for reading; a later overwrite does not touch it.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    pub(super) facts: Facts,
}

/// The condition of a write: `If-Match` and `If-None-Match`.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

/// The bucket on disk.
pub(super) struct Shelf {
    objects: PathBuf,
    facts: PathBuf,
    pub(super) uploads: PathBuf,
    pub(super) scratch: PathBuf,
    locks: Vec<RwLock<()>>,
}

impl Shelf {
    /// Creates what is missing, and empties the scratch area of what an earlier run left.
    pub(super) fn open_or_create(root: &Path, bucket: &str) -> io::Result<Self> {
        let shelf = Self {
            objects: root.join(bucket),
            facts: root.join(".facts"),
            uploads: root.join(".uploads"),
            scratch: root.join(".scratch"),
            locks: (0..STRIPES).map(|_| RwLock::new(())).collect(),
        };
        for directory in [&shelf.objects, &shelf.facts, &shelf.uploads, &shelf.scratch] {
            fs::create_dir_all(directory)?;
        }
        for left in fs::read_dir(&shelf.scratch)? {
            fs::remove_file(left?.path())?;
        }
        Ok(shelf)
    }

    pub(super) fn objects(&self) -> &Path {
        &self.objects
    }

    /// Makes the object `key` of `bytes`, if `condition` holds.
    pub(super) fn publish(
        &self,
        key: &str,
        bytes: TempPath,
        facts: &Facts,
        condition: &Condition,
    ) -> S3Result<()> {
        let _alone = self.alone(key);
        self.publish_locked(key, bytes, facts, condition)
    }

    /// As [`Shelf::publish`], for a caller that holds the key's lock.
    pub(super) fn publish_locked(
        &self,
        key: &str,
        bytes: TempPath,
        facts: &Facts,
        condition: &Condition,
    ) -> S3Result<()> {
        let path = self.path_of(key)?;
        self.admits(key, &path, condition)?;
        let parent = path.parent().unwrap_or(&self.objects);
        fs::create_dir_all(parent).map_err(|error| match error.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => refusal(
                StatusCode::BAD_REQUEST,
                "XMinioParentIsObject",
                "A prefix of this key is an object already.",
            ),
            _ => S3Error::internal_error(error),
        })?;
        if path.is_dir() {
            let text = "Keys with this one as their prefix exist already.";
            return Err(refusal(StatusCode::CONFLICT, "XMinioObjectExistsAsDirectory", text));
        }
        self.write_json(&self.facts_of(key), facts)?;
        bytes.persist(path).map_err(|error| S3Error::internal_error(error.error))
    }

    /// Opens the object `key`.
    pub(super) fn open(&self, key: &str) -> S3Result<Opened> {
        let _shared = self.shared(key);
        let path = self.path_of(key).map_err(|_| no_such_key())?;
        let file = File::open(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => no_such_key(),
            _ => S3Error::internal_error(error),
        })?;
        let about = file.metadata().map_err(S3Error::internal_error)?;
        if !about.is_file() {
            return Err(no_such_key());
        }
        let modified = about.modified().map_err(S3Error::internal_error)?;
        Ok(Opened { file, size: about.len(), modified, facts: self.facts(key, &path)? })
    }

    /// The ETag of an object that a listing found; `None` if it is gone.
    pub(super) fn etag(&self, key: &str) -> S3Result<Option<String>> {
        let path = self.objects.join(key);
        if path.is_file() { self.facts(key, &path).map(|facts| Some(facts.etag)) } else { Ok(None) }
    }

    pub(super) fn alone(&self, key: &str) -> RwLockWriteGuard<'_, ()> {
        self.lock_of(key).write().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self, key: &str) -> RwLockReadGuard<'_, ()> {
        self.lock_of(key).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_of(&self, key: &str) -> &RwLock<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(key);
        &self.locks[usize::try_from(hash % STRIPES as u64).unwrap_or(0)]
    }

    /// Where `key` lies. Refuses what MinIO refuses: path steps, empty steps, steps longer than a file name may be.
    pub(super) fn path_of(&self, key: &str) -> S3Result<PathBuf> {
        let bad =
            |step: &str| matches!(step, "" | "." | "..") || step.len() > 255 || step.contains(['\\', '\0']);
        if key.split('/').any(bad) {
            let text = "Object name contains unsupported characters.";
            return Err(refusal(StatusCode::BAD_REQUEST, "XMinioInvalidObjectName", text));
        }
        Ok(self.objects.join(key))
    }

    /// Keys are up to 1024 bytes, file names up to 255: facts are filed under the key's digest.
    fn facts_of(&self, key: &str) -> PathBuf {
        self.facts.join(hex::encode(Sha256::digest(key)))
    }

    /// Planted objects have no facts. The ETag of a small one is computed, as for any object put in one piece; a large one has
    /// that of an object put in parts, which is no digest of its bytes: reading all of it for every range would cost far more
    /// than the range.
    fn facts(&self, key: &str, path: &Path) -> S3Result<Facts> {
        if let Some(facts) = read_json(&self.facts_of(key))? {
            return Ok(facts);
        }
        let mut md5 = Md5::new();
        let mut file = File::open(path).map_err(S3Error::internal_error)?;
        let found = file.metadata().map_err(S3Error::internal_error)?;
        if found.len() >= LARGE {
            md5.update(format!("{} {} {:?}", found.ino(), found.len(), found.modified()));
            return Ok(Facts { etag: format!("{}-1", hex::encode(md5.finalize())), ..Facts::default() });
        }
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer).map_err(S3Error::internal_error)? {
                0 => break,
                read => md5.update(&buffer[..read]),
            }
        }
        Ok(Facts { etag: hex::encode(md5.finalize()), ..Facts::default() })
    }

    fn admits(&self, key: &str, path: &Path, condition: &Condition) -> S3Result<()> {
        let held = |condition: &ETagCondition| -> S3Result<bool> {
            if !path.is_file() {
                return Ok(false);
            }
            Ok(match condition {
                ETagCondition::Any => true,
                ETagCondition::ETag(etag) => etag.strong_cmp(&ETag::Strong(self.facts(key, path)?.etag)),
            })
        };
        let failed = "At least one of the pre-conditions you specified did not hold.";
        if let Some(condition) = &condition.if_match
            && !held(condition)?
        {
            // As AWS answers it.
            if !path.is_file() {
                return Err(no_such_key());
            }
            return Err(s3_error!(PreconditionFailed, "{failed}"));
        }
        if let Some(condition) = &condition.if_none_match
            && held(condition)?
        {
            return Err(s3_error!(PreconditionFailed, "{failed}"));
        }
        Ok(())
    }

    /// Writes `value` to `path` by way of the scratch area, so that nobody reads half of it.
    pub(super) fn write_json(&self, path: &Path, value: &impl Serialize) -> S3Result<()> {
        let mut file = NamedTempFile::new_in(&self.scratch).map_err(S3Error::internal_error)?;
        let text = serde_json::to_vec(value).map_err(S3Error::internal_error)?;
        file.write_all(&text).map_err(S3Error::internal_error)?;
        file.persist(path).map(drop).map_err(|error| S3Error::internal_error(error.error))
    }
}

/// Reads JSON; `None` if there is no such file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> S3Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(S3Error::internal_error),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(S3Error::internal_error(error)),
    }
}

fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

/// An error whose code S3 itself does not have.
fn refusal(status: StatusCode, code: &'static str, text: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), text);
    error.set_status_code(status);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open_or_create(dir.path(), "import").unwrap();
        (dir, shelf)
    }

    fn put(shelf: &Shelf, key: &str, bytes: &str, condition: &Condition) -> Result<(), String> {
        let mut file = NamedTempFile::new_in(&shelf.scratch).unwrap();
        file.write_all(bytes.as_bytes()).unwrap();
        let facts = Facts { etag: hex::encode(Md5::digest(bytes)), ..Facts::default() };
        let outcome = shelf.publish(key, file.into_temp_path(), &facts, condition);
        outcome.map_err(|error| error.code().as_str().to_owned())
    }

    fn get(shelf: &Shelf, key: &str) -> Result<String, String> {
        let mut opened = shelf.open(key).map_err(|error| error.code().as_str().to_owned())?;
        let mut text = String::new();
        opened.file.read_to_string(&mut text).unwrap();
        assert_eq!(opened.facts.etag, hex::encode(Md5::digest(&text)));
        Ok(text)
    }

    #[test]
    fn keys_that_would_leave_the_bucket_are_refused() {
        let (_dir, shelf) = shelf();
        let long = "x".repeat(256);
        for key in ["../x", "a/../../x", "/x", "a//b", "a/", ".", "a/./b", "a\\b", &long] {
            assert_eq!(
                put(&shelf, key, "x", &Condition::default()),
                Err("XMinioInvalidObjectName".into()),
                "{key}"
            );
            assert_eq!(get(&shelf, key), Err("NoSuchKey".into()), "{key}");
        }
        // As long as S3 allows, and far longer than one file name.
        let key = format!("{}/COMMIT", vec!["x".repeat(250); 4].join("/"));
        assert_eq!(put(&shelf, &key, "long", &Condition::default()), Ok(()));
        assert_eq!(get(&shelf, &key), Ok("long".into()));
    }

    #[test]
    fn an_object_and_a_prefix_do_not_share_a_name() {
        let (_dir, shelf) = shelf();
        assert_eq!(put(&shelf, "a/b", "x", &Condition::default()), Ok(()));
        assert_eq!(put(&shelf, "a", "x", &Condition::default()), Err("XMinioObjectExistsAsDirectory".into()));
        assert_eq!(put(&shelf, "a/b/c", "x", &Condition::default()), Err("XMinioParentIsObject".into()));
        assert_eq!(get(&shelf, "a"), Err("NoSuchKey".into()));
        assert_eq!(get(&shelf, "a/b/c"), Err("NoSuchKey".into()));
    }

    #[test]
    fn planted_objects_are_served() {
        let (dir, shelf) = shelf();
        File::create(dir.path().join("import/planted")).unwrap().write_all(b"by hand").unwrap();
        assert_eq!(get(&shelf, "planted"), Ok("by hand".into()));
        assert_eq!(shelf.etag("planted").unwrap(), Some(hex::encode(Md5::digest("by hand"))));
        assert_eq!(shelf.etag("nothing").unwrap(), None);
    }

    #[test]
    fn the_etag_of_a_large_planted_object_costs_no_reading_and_changes_with_it() {
        let (dir, shelf) = shelf();
        let path = dir.path().join("import/large");
        let sparse = |gigabytes: u64| File::create(&path).unwrap().set_len(gigabytes << 30).unwrap();
        sparse(1);
        let etag = shelf.etag("large").unwrap().unwrap();
        assert!(etag.ends_with("-1") && shelf.etag("large").unwrap().as_deref() == Some(&etag), "{etag}");
        sparse(2);
        assert_ne!(shelf.etag("large").unwrap(), Some(etag));
    }

    #[test]
    fn of_sixteen_conditional_writers_one_wins() {
        let (_dir, shelf) = shelf();
        let only_new = Condition { if_none_match: Some(ETagCondition::Any), ..Condition::default() };
        let won = std::thread::scope(|scope| {
            let (shelf, only_new) = (&shelf, &only_new);
            let write = |n: usize| scope.spawn(move || put(shelf, "lock", &n.to_string(), only_new));
            let writers: Vec<_> = (0..16).map(write).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).filter(Result::is_ok).count()
        });
        assert_eq!(won, 1);
        let wrong = Condition {
            if_match: Some(ETagCondition::ETag(ETag::Strong("0".into()))),
            ..Condition::default()
        };
        assert_eq!(put(&shelf, "lock", "x", &wrong), Err("PreconditionFailed".into()));
        assert_eq!(put(&shelf, "none", "x", &wrong), Err("NoSuchKey".into()));
    }

    #[test]
    fn a_restart_keeps_objects_and_clears_scratch() {
        let (dir, shelf) = shelf();
        put(&shelf, "a", "x", &Condition::default()).unwrap();
        File::create(shelf.scratch.join("left")).unwrap();
        let again = Shelf::open_or_create(dir.path(), "import").unwrap();
        assert_eq!(get(&again, "a"), Ok("x".into()));
        assert_eq!(fs::read_dir(&again.scratch).unwrap().count(), 0);
    }
}
