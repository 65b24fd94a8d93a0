//! A package before and behind the sending of its files: what lies there, what its documents promise of it, and whether it is
//! still so when the last file is through.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::tree::Tree;
use crate::blame::{Blame, Failure};
use crate::chain;
use crate::disk::OnDisk;
use crate::fs::{self, Fingerprint, FsError};
use crate::package::{
    MANIFEST, MAX_DOCUMENT_BYTES, Read, Reason, RelPath, alike, expected_reads, is_document, mates,
};

/// A file to be sent.
pub(super) struct Payload {
    pub path: RelPath,
    pub on_disk: PathBuf,
    /// As it was when it was looked at; it is sent as that or not at all.
    pub source: Fingerprint,
    /// What the delivery says of it.
    pub expected: Option<Read>,
}

/// What is to be sent.
pub(super) struct Survey {
    pub payload: Vec<Payload>,
    /// R1 and R2 of each pair.
    pub pairs: Vec<(RelPath, RelPath)>,
}

/// What is in the package, and what its documents promise of it.
pub(super) fn survey(on: &OnDisk, tree: &Tree, dir: &Path) -> Result<Survey, Failure> {
    if !fs::dir_exists(dir)? {
        fs::answers(&tree.scratch())?;
        return Err(Blame::stop(
            Reason::FileMissing,
            format!("the package directory {} is gone", dir.display()),
        ));
    }
    let found = fs::plain_files(dir).map_err(|e| match e.is_outage() {
        true => Failure::Outage(chain(&e)),
        false => Blame::stop(Reason::UnsafeContent, chain(&e)),
    })?;
    let (mut payload, mut documents) = (BTreeMap::new(), BTreeMap::new());
    for path in found.into_iter().filter(|p| tree.is_payload(p)) {
        let text = path
            .to_str()
            .ok_or_else(|| Blame::stop(Reason::UnsafeContent, format!("{path:?} is not text")))?;
        let rel: RelPath = text.parse().map_err(|e| Blame::stop(Reason::UnsafeContent, e))?;
        let on_disk = dir.join(&path);
        let source = Fingerprint::of(&on_disk)?;
        on.moved();
        if is_document(&rel) && source.size <= MAX_DOCUMENT_BYTES {
            let bytes = std::fs::read(&on_disk).map_err(FsError::at("read", &on_disk))?;
            drop(documents.insert(rel.clone(), bytes));
        }
        drop(payload.insert(rel.clone(), Payload { path: rel, on_disk, source, expected: None }));
    }
    if let Some((one, other)) = alike(payload.keys()) {
        let detail = format!("not every file system can tell {one} and {other} from each other; rename one");
        return Err(Blame::stop(Reason::UnsafeContent, detail));
    }
    let reads = expected_reads(&documents).map_err(|e| Blame::stop(Reason::BadDocument, e))?;
    let pairs = match reads.is_empty() {
        true => Vec::new(),
        false => mates(&reads, |path| payload.contains_key(path))
            .map_err(|e| Blame::stop(Reason::PairMismatch, e))?
            .into_iter()
            .map(|(r1, r2)| (r1.clone(), r2.clone()))
            .collect(),
    };
    for read in reads {
        let missing = || Blame::stop(Reason::FileMissing, format!("{} is not in the package", read.path));
        let file = payload.get_mut(&read.path).ok_or_else(missing)?;
        if file.source.size != read.size {
            let (found, said) = (file.source.size, read.size);
            return Err(Blame::stop(
                Reason::SizeMismatch,
                format!("{} has {found} bytes, its .sample says {said}", read.path),
            ));
        }
        file.expected = Some(read);
    }
    if payload.is_empty() {
        return Err(Blame::stop(Reason::FileMissing, "the package holds no file"));
    }
    Ok(Survey { payload: payload.into_values().collect(), pairs })
}

/// Whether all files still are what was surveyed, those too that an earlier attempt had sent already.
pub(super) fn unchanged(on: &OnDisk, files: &[(PathBuf, Fingerprint)]) -> Result<(), Failure> {
    for (path, then) in files {
        if Fingerprint::of(path)? != *then {
            let detail = format!("{} changed while the package was being sent", path.display());
            return Err(Blame::stop(Reason::SourceChanged, detail));
        }
        on.moved();
    }
    Ok(())
}

/// Writes our manifest beside the payload. One that somebody else put there must say the same.
pub(super) fn keep_manifest(_: &OnDisk, tree: &Tree, dir: &Path, text: &str) -> Result<(), Failure> {
    let path = dir.join(MANIFEST);
    match std::fs::read(&path) {
        Ok(present) if present == text.as_bytes() => Ok(()),
        Ok(_) => Err(Blame::stop(
            Reason::BadManifest,
            "the package brings a SHA256SUMS of its own that differs from what was read; correct or remove it",
        )),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Ok(fs::write_durably_via(&tree.scratch(), &path, text.as_bytes())?)
        }
        Err(e) => Err(FsError::at("read", &path)(e).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::TransferConf;

    fn tree(root: &Path) -> Tree {
        let tree = Tree::new(&TransferConf {
            root: root.to_owned(),
            kinds: vec!["samples".parse().unwrap()],
            complete_marker: "COMPLETE".into(),
            settle: None,
            scan: std::time::Duration::from_secs(1),
        });
        tree.prepare(&OnDisk::alone()).unwrap();
        tree
    }

    /// A package whose `.sample` names some of what lies there.
    fn package(root: &Path, lie: &[&str], named: &[&str]) -> PathBuf {
        let dir = root.join("a");
        fs::create_dir(&dir).unwrap();
        let reads: Vec<_> = named
            .iter()
            .map(|p| serde_json::json!({"path": p, "md5": "900150983cd24fb0d6963f7d28e17f72", "size": 3}))
            .collect();
        let doc = serde_json::json!({"name": "a", "sample_id": "HG1", "project": "p", "sequencer_id": "s",
            "flowcell_id": "f", "flowcell": "A", "lane": 1, "capturekit": "wgs", "taqman": null, "stats": {},
            "reads": reads});
        fs::write_durably(&dir.join("a.sample"), doc.to_string().as_bytes()).unwrap();
        lie.iter().for_each(|file| fs::write_durably(&dir.join(file), b"abc").unwrap());
        dir
    }

    fn look(lie: &[&str], named: &[&str]) -> Result<Survey, Failure> {
        let root = tempfile::tempdir().unwrap();
        let tree = tree(root.path());
        survey(&OnDisk::alone(), &tree, &package(root.path(), lie, named))
    }

    #[test]
    fn a_mate_that_is_missing_stops_the_package_before_anything_is_sent() {
        let (one, two) = ("x_L001_R1_001.fastq.gz", "x_L001_R2_001.fastq.gz");
        let survey = look(&[two, one], &[two, one]).unwrap();
        assert_eq!(survey.pairs, [(one.parse().unwrap(), two.parse().unwrap())]);
        assert_eq!(survey.payload.len(), 3);
        assert!(look(&[one], &[one]).unwrap().pairs.is_empty(), "a run of one pass");
        for (lie, named, why) in [
            (&[one, two][..], &[one][..], "lies in the package, but only"),
            (&[one, two], &[two], "there is no x_L001_R1_001.fastq.gz"),
            (&[one, two], &[one, two, "y_L001_R1_001.fastq.gz"], "there is no y_L001_R2_001.fastq.gz"),
        ] {
            let Err(Failure::Unit(blame)) = look(lie, named) else { panic!("{named:?} was accepted") };
            assert_eq!(blame.reason, Some(Reason::PairMismatch));
            assert!(blame.detail.contains(why), "{}", blame.detail);
        }
    }

    #[test]
    fn what_changed_between_survey_and_commit_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let tree = tree(root.path());
        let dir = package(root.path(), &["x"], &[]);
        let found = survey(&OnDisk::alone(), &tree, &dir).unwrap().payload;
        let found: Vec<_> = found.iter().map(|p| (p.on_disk.clone(), p.source)).collect();
        unchanged(&OnDisk::alone(), &found).unwrap();
        fs::write_durably(&dir.join("x"), b"xyz").unwrap();
        let Err(Failure::Unit(blame)) = unchanged(&OnDisk::alone(), &found) else {
            panic!("it was not seen")
        };
        assert_eq!(blame.reason, Some(Reason::SourceChanged));
    }
}
