//! Multipart uploads: parts kept beside each other until a completion names them all.
//!
//! A completion is checked in full before anything is touched (order, presence, ETag, checksums, sizes), so a refused one
//! can be repeated, and a granted one is over at once: a repeat finds `NoSuchUpload`, as with MinIO and AWS. An upload id
//! is bound to its key. Parts that a completion does not name are dropped with the upload.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use s3s::{S3Error, S3Result, s3_error};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::intake::Taken;
use super::shelf::{Attributes, Condition, Facts, Shelf, read_json};
use super::sums::{Summer, Sums};

/// Every part but the last: 5 MiB at least. Part numbers: 1 to 10,000.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const SMALLEST_PART: u64 = 5 << 20;
const MOST_PARTS: i32 = 10_000;
const COPY_BUFFER: usize = 256 << 10;

/// An upload in progress, as it stands in its directory.
#[derive(Serialize, Deserialize)]
struct Upload {
    key: String,
    attributes: Attributes,
}

/// One part's facts.
#[derive(Serialize, Deserialize)]
struct Part {
    md5: [u8; 16],
    size: u64,
    sums: Sums,
}

/// One line of a completion.
pub(super) struct Named {
    pub(super) number: i32,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) sums: Sums,
}

/// All a completion says.
pub(super) struct Completion {
    pub(super) parts: Vec<Named>,
    pub(super) sums: Sums,
    pub(super) size: Option<u64>,
    pub(super) condition: Condition,
}

impl Shelf {
    /// Begins an upload to `key` and returns its id.
    pub(super) fn begin_upload(&self, key: &str, attributes: Attributes) -> S3Result<String> {
        self.path_of(key)?;
        let id = uuid::Uuid::new_v4().to_string();
        let dir = self.uploads.join(&id);
        fs::create_dir(&dir).map_err(S3Error::internal_error)?;
        self.write_json(&dir.join("upload.json"), &Upload { key: key.to_owned(), attributes })?;
        Ok(id)
    }

    /// Whether the upload is there and the number allowed: asked before a body is read.
    pub(super) fn expect_part(&self, key: &str, id: &str, number: i32) -> S3Result<()> {
        if !(1..=MOST_PARTS).contains(&number) {
            return Err(s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and 10000, inclusive"
            ));
        }
        self.upload(key, id).map(drop)
    }

    /// Keeps a part, in place of an earlier one with this number. Returns its ETag.
    pub(super) fn keep_part(&self, key: &str, id: &str, number: i32, taken: Taken) -> S3Result<String> {
        let _alone = self.alone(key);
        let (dir, _) = self.upload(key, id)?;
        let (bytes, facts) = part_paths(&dir, number);
        taken.file.persist(bytes).map_err(|error| S3Error::internal_error(error.error))?;
        self.write_json(&facts, &Part { md5: taken.md5, size: taken.size, sums: taken.sums })?;
        Ok(hex::encode(taken.md5))
    }

    /// Ends an upload and forgets its parts.
    pub(super) fn abort_upload(&self, key: &str, id: &str) -> S3Result<()> {
        let _alone = self.alone(key);
        let (dir, _) = self.upload(key, id)?;
        forget(&dir)
    }

    /// Makes the object out of the named parts. Returns its facts.
    pub(super) fn complete_upload(&self, key: &str, id: &str, completion: &Completion) -> S3Result<Facts> {
        let _alone = self.alone(key);
        let (dir, upload) = self.upload(key, id)?;
        let parts = check(&dir, completion)?;
        let part_sums: Vec<&Sums> = parts.iter().map(|part| &part.sums).collect();
        let (whole, composite) = completion.sums.clone().whole_and_composite();
        if let Some(name) = composite.composite_contradicted_by(&part_sums) {
            return Err(s3_error!(BadDigest, "The {name} you specified did not match the calculated one."));
        }

        let mut object = NamedTempFile::new_in(&self.scratch).map_err(S3Error::internal_error)?;
        for named in &completion.parts {
            let mut bytes = File::open(part_paths(&dir, named.number).0).map_err(S3Error::internal_error)?;
            io::copy(&mut bytes, object.as_file_mut()).map_err(S3Error::internal_error)?;
        }
        if !whole.is_empty() {
            let computed = summed(object.as_file_mut(), &whole).map_err(S3Error::internal_error)?;
            if let Some(name) = whole.contradicted_by(&computed) {
                return Err(s3_error!(
                    BadDigest,
                    "The {name} you specified did not match the calculated one."
                ));
            }
        }
        object.flush().map_err(S3Error::internal_error)?;

        let mut md5 = Md5::new();
        parts.iter().for_each(|part| md5.update(part.md5));
        let etag = format!("{}-{}", hex::encode(md5.finalize()), parts.len());
        let facts = Facts { etag, attributes: upload.attributes, sums: completion.sums.clone() };
        self.publish_locked(key, object.into_temp_path(), &facts, &completion.condition)?;
        forget(&dir)?;
        Ok(facts)
    }

    fn upload(&self, key: &str, id: &str) -> S3Result<(PathBuf, Upload)> {
        let unknown = || s3_error!(NoSuchUpload, "The specified multipart upload does not exist.");
        // The id comes from outside and becomes a path: only the form that we give out is looked at.
        let id = uuid::Uuid::parse_str(id).map_err(|_| unknown())?;
        let dir = self.uploads.join(id.to_string());
        let upload: Upload = read_json(&dir.join("upload.json"))?.ok_or_else(unknown)?;
        if upload.key == key { Ok((dir, upload)) } else { Err(unknown()) }
    }
}

/// The parts a completion names, if they are all there and as it says.
fn check(dir: &Path, completion: &Completion) -> S3Result<Vec<Part>> {
    if completion.parts.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part."));
    }
    if !completion.parts.is_sorted_by(|a, b| a.number < b.number) {
        return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
    }
    let mut parts = Vec::with_capacity(completion.parts.len());
    for named in &completion.parts {
        let part: Option<Part> = read_json(&part_paths(dir, named.number).1)?;
        let good = |part: &Part| {
            hex::encode(part.md5) == named.etag && named.sums.contradicted_by(&part.sums).is_none()
        };
        parts.push(part.filter(good).ok_or_else(|| {
            s3_error!(InvalidPart, "Part {} was not found, or is not what you specified.", named.number)
        })?);
    }
    if parts.iter().rev().skip(1).any(|part| part.size < SMALLEST_PART) {
        return Err(s3_error!(EntityTooSmall, "A part other than the last is smaller than 5 MiB."));
    }
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if completion.size.is_some_and(|claimed| claimed != size) {
        return Err(s3_error!(
            InvalidRequest,
            "The parts are {size} bytes together, not what you specified."
        ));
    }
    Ok(parts)
}

fn summed(object: &mut File, whole: &Sums) -> io::Result<Sums> {
    let mut summer = Summer::new(whole.names());
    let mut buffer = vec![0; COPY_BUFFER];
    object.rewind()?;
    loop {
        match object.read(&mut buffer)? {
            0 => return Ok(summer.finish()),
            read => summer.update(&buffer[..read]),
        }
    }
}

fn part_paths(dir: &Path, number: i32) -> (PathBuf, PathBuf) {
    (dir.join(format!("part-{number}")), dir.join(format!("part-{number}.json")))
}

#[allow(clippy::disallowed_methods)] // an upload's own directory, named by an id that was just checked
fn forget(dir: &Path) -> S3Result<()> {
    fs::remove_dir_all(dir).map_err(S3Error::internal_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3s::crypto::Checksum as _;

    const KEY: &str = "p/x";

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open_or_create(dir.path(), "import").unwrap();
        (dir, shelf)
    }

    fn part(shelf: &Shelf, id: &str, number: i32, bytes: &[u8]) -> Result<String, String> {
        let mut file = NamedTempFile::new_in(&shelf.scratch).unwrap();
        file.write_all(bytes).unwrap();
        let mut summer = Summer::new(["sha256"].into_iter());
        summer.update(bytes);
        let taken = Taken {
            file: file.into_temp_path(),
            size: bytes.len() as u64,
            md5: Md5::digest(bytes).into(),
            sums: summer.finish(),
        };
        shelf.keep_part(KEY, id, number, taken).map_err(|error| error.code().as_str().to_owned())
    }

    fn complete(shelf: &Shelf, id: &str, parts: &[(i32, &str)], sums: Sums) -> Result<String, String> {
        let named =
            |&(number, etag): &(i32, &str)| Named { number, etag: etag.to_owned(), sums: Sums::default() };
        let completion = Completion {
            parts: parts.iter().map(named).collect(),
            sums,
            size: None,
            condition: Condition::default(),
        };
        let outcome = shelf.complete_upload(KEY, id, &completion);
        outcome.map(|facts| facts.etag).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn a_refused_completion_can_be_repeated_and_a_granted_one_not() {
        let (dir, shelf) = shelf();
        let id = shelf.begin_upload(KEY, Attributes::default()).unwrap();
        let big = vec![b'x'; 5 << 20];
        let a = part(&shelf, &id, 1, &big).unwrap();
        let b = part(&shelf, &id, 2, b"tail").unwrap();
        let c = part(&shelf, &id, 9, b"end").unwrap();
        let refused = |parts: &[(i32, &str)]| complete(&shelf, &id, parts, Sums::default()).unwrap_err();
        assert_eq!(refused(&[]), "MalformedXML");
        assert_eq!(refused(&[(2, &b), (1, &a)]), "InvalidPartOrder");
        assert_eq!(refused(&[(1, &a), (1, &a)]), "InvalidPartOrder");
        assert_eq!(refused(&[(1, &a), (3, &b)]), "InvalidPart");
        assert_eq!(refused(&[(1, &b), (2, &b)]), "InvalidPart");
        assert_eq!(refused(&[(1, &a), (2, &b), (9, &c)]), "EntityTooSmall");
        assert!(!dir.path().join("import/p/x").exists());
        let raw = [Md5::digest(&big), Md5::digest(b"end")].concat();
        let etag = complete(&shelf, &id, &[(1, &a), (9, &c)], Sums::default()).unwrap();
        assert_eq!(etag, format!("{}-2", hex::encode(Md5::digest(raw))));
        assert_eq!(fs::read(dir.path().join("import/p/x")).unwrap(), [&big[..], b"end"].concat());
        assert_eq!(complete(&shelf, &id, &[(1, &a)], Sums::default()).unwrap_err(), "NoSuchUpload");
        assert_eq!(fs::read_dir(&shelf.uploads).unwrap().count(), 0);
    }

    #[test]
    fn checksums_of_the_whole_are_verified() {
        let (_dir, shelf) = shelf();
        let id = shelf.begin_upload(KEY, Attributes::default()).unwrap();
        let a = part(&shelf, &id, 1, b"123456789").unwrap();
        let sums = |name: &str, bytes: &[u8]| {
            let mut summer = Summer::new([name].into_iter());
            summer.update(bytes);
            summer.finish()
        };
        assert_eq!(
            complete(&shelf, &id, &[(1, &a)], sums("crc64nvme", b"12345678")).unwrap_err(),
            "BadDigest"
        );
        // A composite is the digest of digests, not the digest of the object.
        assert_eq!(complete(&shelf, &id, &[(1, &a)], sums("sha256", b"123456789")).unwrap_err(), "BadDigest");
        let mut both = sums("sha256", &s3s::crypto::Sha256::checksum(b"123456789"));
        both.extend(sums("crc64nvme", b"123456789"));
        complete(&shelf, &id, &[(1, &a)], both).unwrap();
    }

    #[test]
    fn an_upload_belongs_to_its_key_and_ends_once() {
        let (_dir, shelf) = shelf();
        let id = shelf.begin_upload(KEY, Attributes::default()).unwrap();
        let code = |outcome: S3Result<()>| outcome.unwrap_err().code().as_str().to_owned();
        assert_eq!(code(shelf.expect_part("other", &id, 1)), "NoSuchUpload");
        assert_eq!(code(shelf.expect_part(KEY, "../..", 1)), "NoSuchUpload");
        assert_eq!(code(shelf.expect_part(KEY, &id, 0)), "InvalidArgument");
        assert_eq!(code(shelf.expect_part(KEY, &id, 10_001)), "InvalidArgument");
        shelf.expect_part(KEY, &id, 10_000).unwrap();
        shelf.abort_upload(KEY, &id).unwrap();
        assert_eq!(code(shelf.abort_upload(KEY, &id)), "NoSuchUpload");
        assert_eq!(part(&shelf, &id, 1, b"late"), Err("NoSuchUpload".into()));
        assert_eq!(fs::read_dir(&shelf.scratch).unwrap().count(), 0);
    }
}
