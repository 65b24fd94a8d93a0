//! The present for somebody who only asks: from a checkpoint and the lines behind it, or from the whole journal.
use std::path::{Path, PathBuf};

use super::checkpoint;
use super::file::{self, FILE, JournalError, Tail};
use super::fold::Fold;

/// The present of a journal that somebody else writes, kept up to date by [`Glance::refresh`].
///
/// For answers alone. Orders that are at their end, and the chains of senders, may not be in it; nothing may be done because of it.
#[derive(Debug)]
pub struct Glance {
    path: PathBuf,
    fold: Fold,
    tail: Tail,
    quick: bool,
}

impl Glance {
    /// Of the journal in this state directory. Never locks and never writes.
    pub fn of(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(FILE);
        let kept = checkpoint::open(&path)?.and_then(|journal| checkpoint::read(dir, &journal));
        if let Some((fold, tail)) = kept {
            let mut glance = Self { path: path.clone(), fold, tail, quick: true };
            // What cannot be read behind it is judged by whoever reads all of it.
            if glance.read_on().is_ok() {
                return Ok(glance);
            }
        }
        let mut glance = Self { path, fold: Fold::default(), tail: Tail::none(), quick: false };
        glance.read_on()?;
        Ok(glance)
    }

    /// Reads what was written since. If what was read before is not there any more, everything is read anew.
    pub fn refresh(&mut self) -> Result<(), JournalError> {
        let same = checkpoint::open(&self.path)?.is_some_and(|journal| self.tail.is_in(&journal));
        if same && self.read_on().is_ok() {
            return Ok(());
        }
        let dir = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        *self = Self::of(&dir)?;
        Ok(())
    }

    fn read_on(&mut self) -> Result<(), JournalError> {
        let (fold, from) = (&mut self.fold, self.tail.clone());
        self.tail = file::scan_from(&self.path, from, &mut |line| fold.apply(&line))?.0;
        Ok(())
    }

    /// The present.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Whether a checkpoint was believed.
    pub fn from_checkpoint(&self) -> bool {
        self.quick
    }
}
