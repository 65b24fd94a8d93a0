//! Upload progress that nobody needs any more: open uploads are aborted, so that they do not lie in the bucket for ever, unseen and paid
//! for, and the side file is removed.
//!
//! With put rights alone there is no list of open uploads: the side files are all that is known of them. An upload that was begun and
//! not written down (a crash between the two) is the endpoint's to expire.
use std::sync::Arc;

use super::ledger::{Ledger, packages};
use super::send::Sending;
use crate::blame::Failure;
use crate::disk::Hold;
use crate::package::{PackageId, State};
use crate::store::{Aborted, Note};

impl Sending {
    /// Whether nobody goes on with what a package has in its side file.
    fn is_over(&self, id: &PackageId) -> bool {
        let over = |state| matches!(state, State::Transferred | State::Quarantined);
        self.journal.view().package(id).is_none_or(|row| over(row.state))
    }

    /// Removes the side files of packages that are through, were stopped, or are unknown to the journal. Those that have left open
    /// uploads are handed back: to abort them takes the store, this does not.
    pub(super) async fn sweep(&self) -> Result<Vec<PackageId>, Failure> {
        let (dir, mut left) = (self.state_dir.clone(), Vec::new());
        for id in self.state_disk.read(move |on| packages(on, &dir)).await?? {
            if !self.is_over(&id) || !self.disks.is_free(&id.to_string()) {
                continue;
            }
            let hold = self.disks.hold(&id.to_string()).await?;
            let ledger = self.ledger(&id, &hold).await?;
            match ledger.open_uploads().is_empty() {
                true => hold.on(&self.state_disk, move |on| ledger.close(on)).await??,
                false => left.push(id),
            }
        }
        Ok(left)
    }

    /// Opens the side file of a package.
    pub(super) async fn ledger(&self, id: &PackageId, hold: &Hold) -> Result<Arc<Ledger>, Failure> {
        let (dir, of, place) = (self.state_dir.clone(), id.clone(), self.store.place().to_owned());
        Ok(Arc::new(hold.on(&self.state_disk, move |on| Ledger::open(on, &dir, &of, &place)).await??))
    }

    /// Forgets the upload progress of one package, unless somebody has begun to go on with it since it was found. If the store cannot be
    /// reached the side file stays, for the next sweep.
    pub(super) async fn forget(&self, id: &PackageId, hold: &Hold) -> Result<(), Failure> {
        if !self.is_over(id) {
            return Ok(());
        }
        let ledger = self.ledger(id, hold).await?;
        for (file, key, upload) in ledger.open_uploads() {
            match self.store.abort_upload(&key, &upload).await? {
                Aborted::Gone => {
                    tracing::info!(package = %id, key, upload, "an upload that nobody goes on with is aborted")
                }
                Aborted::Refused(why) => {
                    tracing::warn!(package = %id, key, upload, why, "the store does not let us abort an upload: it stays behind there")
                }
            }
            let ledger = ledger.clone();
            hold.on(&self.state_disk, move |on| ledger.note_upload(on, &file, &Note::Over { upload }))
                .await??;
        }
        Ok(hold.on(&self.state_disk, move |on| ledger.close(on)).await??)
    }
}
