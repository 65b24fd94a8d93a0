//! Building a package on disk: hard links to the delivered files, the document, the marker; then one rename into the tree.
//! An SNP-ID result is copied: it is small, and its directory is no delivery in which nothing changes any more.
//!
//! Safe to repeat from any point: what lies half-built is discarded, and a package that is already in place is accepted only
//! if it is the very one that would be built now.
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::tree::Tree;
use crate::blame::{Blame, Failure};
use crate::disk::OnDisk;
use crate::fs::{self, Fingerprint, FsError, Mode};
use crate::package::{Content, Draft, Fastq, Md5Hex, Priority, Reason};
use crate::supervisor::meter::Meter;

/// What the name of an SNP-ID result ends with.
pub(super) const SNP_ID: &str = ".taqman";

/// What was built.
#[derive(Debug, PartialEq, Eq)]
pub struct Built {
    /// Payload files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Builds the package of a draft at its place in the tree. Late, it has built the very package that the next attempt finds and
/// accepts.
pub fn build(on: &OnDisk, tree: &Tree, draft: &Draft, meter: &Meter) -> Result<Built, Failure> {
    let (scratch, place) = (tree.packing(&draft.id), tree.waiting(&draft.id, draft.priority));
    let (document, text, files) = contents(draft);
    let bytes = files.iter().map(|f| f.size).sum::<u64>() + text.len() as u64;
    let built = Built { files: files.len() as u64 + 1, bytes };
    fs::answers(&tree.scratch())?; // an unmounted tree looks like an empty one
    // In place already, or even sent already by an uploader on another host, when we were cut off before we noted it.
    for place in [&place, &tree.transferred(&draft.id, draft.priority)] {
        if fs::dir_exists(place)? {
            return if is_ours(on, place, &document, &text, files)? {
                Ok(built)
            } else {
                Err(Blame::stop(Reason::NameTaken, format!("{} exists and is another one", place.display())))
            };
        }
    }
    fs::discard_scratch(&scratch)?;
    fs::create_dir(&scratch)?;
    for file in files {
        let to = scratch.join(file.to.as_str());
        if is_snp_id(file) {
            transcribe(on, file, &to)?
        } else {
            link(on, file, &to, meter)?
        }
        meter.alive();
        on.moved();
    }
    fs::write_durably(&scratch.join(document), text.as_bytes())?;
    on.moved();
    fs::write_durably(&scratch.join(tree.marker()), b"")?;
    on.moved();
    if let Some(parent) = place.parent() {
        fs::create_dir(parent)?;
    }
    fs::publish(&scratch, &place)?;
    Ok(built)
}

fn pretty(doc: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(doc).expect("plain fields always serialise");
    text.push('\n');
    text
}

/// Whether this is an SNP-ID result, not reads.
fn is_snp_id(file: &Fastq) -> bool {
    file.to.as_str().ends_with(SNP_ID)
}

/// An SNP-ID result into the package, if it is still the one that was ordered.
fn transcribe(_: &OnDisk, file: &Fastq, to: &Path) -> Result<(), Failure> {
    let gone = || Blame::stop(Reason::FileMissing, format!("{} is gone", file.from.display()));
    let bytes = match std::fs::read(&file.from) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            file.from.parent().map_or(Ok(()), fs::answers)?;
            return Err(gone());
        }
        bytes => bytes.map_err(FsError::at("read", &file.from))?,
    };
    if bytes.len() as u64 != file.size || file.md5.as_ref().is_some_and(|md5| *md5 != Md5Hex::of(&bytes)) {
        let what = format!("{} was written anew after it was ordered", file.from.display());
        return Err(Blame::stop(Reason::SourceChanged, what));
    }
    Ok(fs::write_durably(to, &bytes)?)
}

/// One delivered file into the package. A copy only where the file systems differ, and then it is said.
fn link(on: &OnDisk, file: &Fastq, to: &Path, meter: &Meter) -> Result<(), Failure> {
    match fs::hard_link(&file.from, to) {
        Ok(()) => {}
        Err(e) if e.source.kind() == ErrorKind::NotFound => {
            for place in [file.from.parent(), to.parent().and_then(Path::parent)].into_iter().flatten() {
                fs::answers(place)?;
            }
            return Err(Blame::stop(
                Reason::FileMissing,
                format!("{} is gone from the delivery", file.from.display()),
            ));
        }
        Err(e) if e.source.kind() == ErrorKind::CrossesDevices => {
            tracing::warn!(from = %file.from.display(), "copied, not linked: the delivery is on another file system");
            copy(on, &file.from, to, meter)?;
        }
        Err(e) => return Err(e.into()),
    }
    let size = Fingerprint::of(to)?.size;
    if size != file.size {
        let (name, then) = (file.from.display(), file.size);
        return Err(Blame::stop(
            Reason::SizeMismatch,
            format!("{name} has {size} bytes, it had {then} when it was ordered"),
        ));
    }
    Ok(())
}

/// Block by block, so that a large file shows that it moves.
fn copy(on: &OnDisk, from: &Path, to: &Path, meter: &Meter) -> Result<(), FsError> {
    let mut source = File::open(from).map_err(FsError::at("open", from))?;
    let mut target = fs::open(to, Mode::New)?;
    let mut block = vec![0; 1 << 20];
    loop {
        let n = source.read(&mut block).map_err(FsError::at("read", from))?;
        if n == 0 {
            return target.sync_all().map_err(FsError::at("fsync", to));
        }
        fs::permitted("write", to)?;
        target.write_all(block.get(..n).unwrap_or_default()).map_err(FsError::at("write", to))?;
        meter.add(n as u64);
        on.moved();
    }
}

/// The document's name and text, and the files that go with it.
fn contents(draft: &Draft) -> (String, String, &[Fastq]) {
    match &draft.content {
        Content::Sample { doc, files } => (format!("{}.sample", doc.name), pretty(doc), files.as_slice()),
        Content::Analysis { doc } => (format!("{}.analysis", doc.name), pretty(doc), &[]),
    }
}

/// Where an uploader has moved this very package, if one has.
pub fn is_transferred(on: &OnDisk, tree: &Tree, draft: &Draft) -> Result<Option<PathBuf>, FsError> {
    let (document, text, files) = contents(draft);
    // Its priority may have been changed since it was built.
    for priority in Priority::ALL {
        if fs::dir_exists(&tree.waiting(&draft.id, priority))? {
            return Ok(None);
        }
    }
    for priority in Priority::ALL {
        let rest = tree.transferred(&draft.id, priority);
        if fs::dir_exists(&rest)? {
            return Ok(is_ours(on, &rest, &document, &text, files)?.then_some(rest));
        }
    }
    Ok(None)
}

/// Whether exactly this package lies at `place`. A disk that does not answer is an error, not a "no".
fn is_ours(on: &OnDisk, place: &Path, document: &str, text: &str, files: &[Fastq]) -> Result<bool, FsError> {
    let document = place.join(document);
    match std::fs::read(&document) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(FsError::at("read", &document)(e)),
        Ok(found) if found != text.as_bytes() => return Ok(false),
        Ok(_) => {}
    }
    for file in files {
        on.moved();
        match Fingerprint::of(&place.join(file.to.as_str())) {
            Err(e) if e.source.kind() == ErrorKind::NotFound => return Ok(false),
            found if found.as_ref().is_ok_and(|f| f.size != file.size) => return Ok(false),
            found => {
                let _same_size = found?;
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::TransferConf;
    use crate::package::{PackageId, Priority};
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    fn meter() -> Meter {
        crate::supervisor::meter::Board::default().begin("packager", "t".into())
    }

    fn tree(root: &Path) -> Tree {
        let kinds = ["samples", "analyses"].map(|k| k.parse().unwrap()).to_vec();
        let conf = TransferConf {
            root: root.to_owned(),
            kinds,
            complete_marker: "COMPLETE".into(),
            settle: None,
            scan: Duration::from_secs(1),
        };
        let tree = Tree::new(&conf);
        tree.prepare(&OnDisk::alone()).unwrap();
        tree
    }

    fn sample(root: &Path) -> Draft {
        let from = root.join("delivered_R1_001.fastq.gz");
        fs::write_durably(&from, b"reads").unwrap();
        let id: PackageId = "samples/Diag-1-HG1/r1".parse().unwrap();
        let doc = serde_json::json!({"name": "Diag-1-HG1", "sample_id": "HG1", "project": "Diag-1", "sequencer_id": "L",
            "flowcell_id": "F", "flowcell": "A", "lane": 1, "capturekit": "wgs", "taqman": null, "stats": {}, "reads": []});
        let doc = Box::new(serde_json::from_value(doc).unwrap());
        let files = vec![Fastq { from, to: "HG1_S1_R1_001.fastq.gz".parse().unwrap(), md5: None, size: 5 }];
        Draft {
            id,
            priority: Priority::Urgent,
            artifact: None,
            after: vec![],
            content: Content::Sample { doc, files },
        }
    }

    #[test]
    fn a_sample_is_linked_not_copied_and_can_be_built_again() {
        let root = tempfile::tempdir().unwrap();
        let (tree, draft) = (tree(root.path()), sample(root.path()));
        let built = build(&OnDisk::alone(), &tree, &draft, &meter()).unwrap();
        assert_eq!(built.files, 2);
        let place = root.path().join("production/urgent/samples/Diag-1-HG1");
        let ino = |p: &Path| std::fs::metadata(p).unwrap().ino();
        assert_eq!(
            ino(&place.join("HG1_S1_R1_001.fastq.gz")),
            ino(&root.path().join("delivered_R1_001.fastq.gz"))
        );
        assert!(place.join("Diag-1-HG1.sample").is_file() && place.join("COMPLETE").is_file());
        assert_eq!(build(&OnDisk::alone(), &tree, &draft, &meter()).unwrap(), built);
        assert!(!tree.packing(&draft.id).exists());
    }

    #[test]
    fn what_lies_in_the_way_is_not_touched() {
        let root = tempfile::tempdir().unwrap();
        let (tree, draft) = (tree(root.path()), sample(root.path()));
        let place = tree.waiting(&draft.id, draft.priority);
        fs::create_dir(&place).unwrap();
        fs::write_durably(&place.join("Diag-1-HG1.sample"), b"{}").unwrap();
        let Err(Failure::Unit(blame)) = build(&OnDisk::alone(), &tree, &draft, &meter()) else {
            panic!("must be refused")
        };
        assert_eq!(blame.reason, Some(Reason::NameTaken));
        assert_eq!(std::fs::read(place.join("Diag-1-HG1.sample")).unwrap(), b"{}");
    }

    #[test]
    fn a_missing_or_changed_delivery_stops_the_package() {
        for (change, reason) in [(None, Reason::FileMissing), (Some(b"longer reads"), Reason::SizeMismatch)] {
            let root = tempfile::tempdir().unwrap();
            let (tree, draft) = (tree(root.path()), sample(root.path()));
            let from = root.path().join("delivered_R1_001.fastq.gz");
            match change {
                None => std::fs::remove_file(&from).unwrap(),
                Some(bytes) => fs::write_durably(&from, bytes).unwrap(),
            }
            let Err(Failure::Unit(blame)) = build(&OnDisk::alone(), &tree, &draft, &meter()) else {
                panic!("must be refused")
            };
            assert_eq!(blame.reason, Some(reason));
            assert!(!tree.waiting(&draft.id, draft.priority).exists());
        }
    }

    #[test]
    fn what_was_sent_by_another_host_is_recognised_and_not_built_again() {
        let root = tempfile::tempdir().unwrap();
        let (tree, draft) = (tree(root.path()), sample(root.path()));
        let built = build(&OnDisk::alone(), &tree, &draft, &meter()).unwrap();
        assert!(is_transferred(&OnDisk::alone(), &tree, &draft).unwrap().is_none());
        let rest = tree.transferred(&draft.id, draft.priority);
        fs::publish(&tree.waiting(&draft.id, draft.priority), &rest).unwrap();
        assert!(is_transferred(&OnDisk::alone(), &tree, &draft).unwrap().is_some());
        assert_eq!(build(&OnDisk::alone(), &tree, &draft, &meter()).unwrap(), built);
        assert!(!tree.waiting(&draft.id, draft.priority).exists());
        fs::write_durably(&rest.join("Diag-1-HG1.sample"), b"{}").unwrap();
        assert!(
            is_transferred(&OnDisk::alone(), &tree, &draft).unwrap().is_none(),
            "an old one of that name is no proof"
        );
    }

    #[test]
    fn a_revision_is_built_beside_the_one_that_was_sent() {
        let root = tempfile::tempdir().unwrap();
        let (tree, first) = (tree(root.path()), sample(root.path()));
        let mut second = first.clone();
        second.id.revision = crate::package::Revision(2);
        let built = build(&OnDisk::alone(), &tree, &first, &meter()).unwrap();
        fs::publish(&tree.waiting(&first.id, first.priority), &tree.transferred(&first.id, first.priority))
            .unwrap();
        assert_eq!(build(&OnDisk::alone(), &tree, &second, &meter()).unwrap(), built);
        let place = root.path().join("production/urgent/samples/Diag-1-HG1~r2");
        assert!(place.join("Diag-1-HG1.sample").is_file(), "its files are called as ever");
        assert!(is_transferred(&OnDisk::alone(), &tree, &first).unwrap().is_some());
        assert!(is_transferred(&OnDisk::alone(), &tree, &second).unwrap().is_none());
    }

    #[test]
    fn an_snp_id_result_is_copied_if_it_is_the_one_that_was_ordered() {
        let root = tempfile::tempdir().unwrap();
        let (tree, mut draft) = (tree(root.path()), sample(root.path()));
        let from = root.path().join("HG1-plate7.taqman");
        fs::write_durably(&from, b"AA CT\n").unwrap();
        let md5 = Some(Md5Hex::of(b"AA CT\n"));
        let snp = Fastq { from: from.clone(), to: "Diag-1-HG1.taqman".parse().unwrap(), md5, size: 6 };
        let Content::Sample { files, .. } = &mut draft.content else { panic!("a sample") };
        files.push(snp);
        fs::write_durably(&from, b"AA CC\n").unwrap();
        let Err(Failure::Unit(blame)) = build(&OnDisk::alone(), &tree, &draft, &meter()) else {
            panic!("it is another result now")
        };
        assert_eq!(blame.reason, Some(Reason::SourceChanged));
        fs::write_durably(&from, b"AA CT\n").unwrap();
        assert_eq!(build(&OnDisk::alone(), &tree, &draft, &meter()).unwrap().files, 3);
        let packed = tree.waiting(&draft.id, draft.priority).join("Diag-1-HG1.taqman");
        crate::fs::open(&from, Mode::Append).unwrap().write_all(b"more").unwrap();
        assert_eq!(std::fs::read(packed).unwrap(), b"AA CT\n");
    }

    #[test]
    fn copies_are_whole_and_show_that_they_move() {
        let root = tempfile::tempdir().unwrap();
        let (from, to, meter) = (root.path().join("a"), root.path().join("b"), meter());
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        fs::write_durably(&from, &bytes).unwrap();
        copy(&OnDisk::alone(), &from, &to, &meter).unwrap();
        assert!(std::fs::read(&to).unwrap() == bytes);
        assert_eq!(meter.ticks(), 3);
    }

    #[test]
    fn an_analysis_is_its_document() {
        let root = tempfile::tempdir().unwrap();
        let tree = tree(root.path());
        let draft = Draft::bare("analyses/a-TRIO/r1".parse().unwrap());
        assert_eq!(build(&OnDisk::alone(), &tree, &draft, &meter()).unwrap().files, 1);
        assert!(root.path().join("production/normal/analyses/a-TRIO/a-TRIO.analysis").is_file());
    }
}
