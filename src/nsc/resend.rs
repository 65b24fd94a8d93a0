//! Sending once more, because a person asked for it: what rests below `transferred/` is linked into the tree as a new revision.
//!
//! Nothing of it is believed for having been right before: it is surveyed, read, compared with its `.sample` and hashed like any other
//! package. The LIMS is not asked: the sample is exported already. Safe to repeat from any point: half a directory is discarded, and
//! one that is in place is the scan's as well as ours, and whoever comes first takes it in.
use std::path::{Path, PathBuf};

use super::tree::Tree;
use super::uploader::{NAME, Sending};
use crate::blame::{Blame, Failure};
use crate::disk::OnDisk;
use crate::fs::{self, Fingerprint, FsError};
use crate::journal::Facts;
use crate::package::{PackageId, State, Window};
use crate::supervisor::meter::Meter;

/// What was linked: files and bytes. None: what was sent is not there any more.
type Linked = Option<(u64, u64)>;

fn link(on: &OnDisk, tree: &Tree, (from, to): (&Path, &Path), scratch: &Path) -> Result<Linked, FsError> {
    fs::answers(&tree.scratch())?; // an unmounted tree looks like an empty one
    let source = if fs::dir_exists(to)? { to } else { from };
    if !fs::dir_exists(source)? {
        return Ok(None);
    }
    let (mut files, mut bytes) = (0, 0u64);
    fs::discard_scratch(scratch)?;
    for path in fs::plain_files(source)?.into_iter().filter(|path| tree.is_payload(path)) {
        on.moved();
        let old = source.join(&path);
        files += 1;
        bytes = bytes.saturating_add(Fingerprint::of(&old)?.size);
        if source == from {
            let new = scratch.join(&path);
            fs::create_dir(new.parent().unwrap_or(scratch))?;
            fs::hard_link(&old, &new)?;
        }
    }
    if source == from {
        fs::create_dir(scratch)?;
        fs::write_durably(&scratch.join(tree.marker()), b"")?;
        on.moved();
        if let Some(parent) = to.parent() {
            fs::create_dir(parent)?;
        }
        fs::publish(scratch, to)?;
    }
    Ok(Some((files, bytes)))
}

impl Sending {
    /// What is asked for and was not begun.
    pub(super) fn asked_again(&self) -> Vec<PackageId> {
        let view = self.journal.view();
        let rests = |id: &PackageId| view.package(id).is_some_and(|row| row.state == State::Transferred);
        let asked = view.levers().again().filter(|(_, again)| rests(&again.sent));
        asked.map(|(revised, _)| revised.clone()).collect()
    }

    /// Brings a revision that was asked for into the tree.
    pub(super) async fn send_again(
        &self,
        revised: &PackageId,
        window: Window,
        meter: &Meter,
    ) -> Result<(), Failure> {
        let hold = self.disks.hold(&revised.to_string()).await?;
        let Some((again, row)) = ({
            let view = self.journal.view();
            let again = view.levers().wants(revised).cloned();
            again.and_then(|again| view.package(&again.sent).cloned().map(|row| (again, row)))
        }) else {
            return Ok(());
        };
        let place = row.facts.place.as_ref().map(PathBuf::from);
        let from = place.unwrap_or_else(|| self.tree.transferred(&again.sent, row.priority));
        let (to, scratch) = (self.tree.waiting(revised, row.priority), self.tree.packing(revised));
        let (tree, waits, gone) = (self.tree.clone(), to.clone(), from.display().to_string());
        let linked = hold.on(&self.tree_disk, move |on| link(on, &tree, (&from, &waits), &scratch)).await??;
        meter.alive();
        let word = &again.word;
        let Some((files, bytes)) = linked else {
            return Err(Blame::again(format!(
                "asked for by {}, but {gone} is not there any more: put it back, or have the sample exported by the LIMS",
                word.by
            )));
        };
        let facts = Facts {
            priority: Some(row.priority),
            files: Some(files),
            bytes: Some(bytes),
            place: Some(to.display().to_string()),
            detail: Some(format!("{} once more, for {}: {}", again.sent, word.by, word.why)),
            ..Facts::default()
        };
        // False: there is no credit yet, or the scan was faster.
        let credit = window.credit(row.priority);
        let _entered = self.journal.enter(revised, State::Packed, NAME, facts, credit).await?;
        Ok(())
    }
}
