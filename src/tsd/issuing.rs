//! Receipts for the sender: one file for each package that became `READY`, signed if the site has a key for that.
//!
//! A file is written if it is not there, so it does not matter what an earlier life had written, and one that was lost is written
//! again after a restart. It is the receiver's journal that is told, not what lies in the destination: consumers take packages away.
//! A directory that cannot be written is said and tried again, and delivers nobody's package later.
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt;

use crate::chain;
use crate::disk::{Disk, OnDisk};
use crate::fs::{self, FsError};
use crate::journal::{Fold, Journal, Row};
use crate::notices::Notices;
use crate::package::receipt::{file_name, package_of, signature_name};
use crate::package::{Name, PackageId, Receipt, State};
use crate::signature::{self, Signer};
use crate::supervisor::panic_text;

/// Between two looks whether something became `READY`.
const EVERY: Duration = Duration::from_secs(1);
/// After something went wrong.
const PAUSE: Duration = Duration::from_secs(30);
/// So many are written at a look.
const AT_A_LOOK: usize = 100;

/// All that issuing needs.
pub struct Issuing {
    /// The truth.
    pub journal: Journal,
    /// Where receipts are put.
    pub dir: PathBuf,
    /// Its disk.
    pub disk: Disk,
    /// Signs them, if configured.
    pub signer: Option<Signer>,
    /// Where we are.
    pub host: Name,
    /// Where trouble is shown.
    pub notices: Notices,
}

/// What the journal says of a package at its end; none: too little for a receipt.
fn receipt(row: &Row, host: &Name) -> Option<Receipt> {
    let last = |wanted: State| row.way.iter().rev().find(|(state, _)| *state == wanted).map(|(_, at)| *at);
    Some(Receipt {
        version: 1,
        package: row.id.name.clone(),
        kind: row.id.kind.clone(),
        revision: row.id.revision,
        manifest_sha256: row.facts.manifest_sha256.clone()?,
        commit_sha256: row.facts.commit_sha256.clone()?,
        verified_at: last(State::Verified)?,
        ready_at: last(State::Ready)?,
        host: host.clone(),
    })
}

/// The next ones to be written: of packages that are `READY` and for which nothing is known to lie there.
fn next(fold: &Fold, there: &BTreeSet<PackageId>, host: &Name) -> Vec<(PackageId, Option<Receipt>)> {
    let ready = fold.tally().get(&State::Ready).copied().unwrap_or(0);
    if ready <= there.len() {
        return Vec::new(); // what lies there is only ever of packages that are READY
    }
    let missing = fold.in_state(State::Ready).filter(|row| !there.contains(&row.id));
    missing.take(AT_A_LOOK).map(|row| (row.id.clone(), receipt(row, host))).collect()
}

/// The packages whose receipts lie there already.
fn issued(on: &OnDisk, dir: &Path, signed: bool) -> Result<BTreeSet<PackageId>, FsError> {
    let (mut receipts, mut signatures) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(dir).map_err(FsError::at("list", dir))? {
        let name = entry.map_err(FsError::at("list", dir))?.file_name();
        on.moved();
        let Some(name) = name.to_str() else { continue };
        receipts.extend(package_of(name));
        signatures.extend(name.strip_suffix(".sig").and_then(package_of));
    }
    if signed {
        receipts.retain(|id| signatures.contains(id)); // cut off between the two
    }
    Ok(receipts)
}

/// The signature first: whoever copies the directory never takes a receipt without one.
fn put(on: &OnDisk, dir: &Path, id: &PackageId, text: &str, signature: Option<&str>) -> Result<(), FsError> {
    if let Some(signature) = signature {
        fs::write_durably(&dir.join(signature_name(id)), signature.as_bytes())?;
        on.moved();
    }
    fs::write_durably(&dir.join(file_name(id)), text.as_bytes())
}

impl Issuing {
    /// Writes receipts as long as the process lives.
    pub async fn keep(self) {
        let mut there = None;
        loop {
            let look = AssertUnwindSafe(self.look(&mut there)).catch_unwind().await;
            let trouble = match look {
                Ok(Ok(())) => None,
                Ok(Err(why)) => Some(why),
                Err(payload) => Some(format!("panic: {}", panic_text(&*payload))),
            };
            let who = format!("receipts in {}", self.dir.display());
            let pause = if trouble.is_some() { PAUSE } else { EVERY };
            if let Some(why) = &trouble {
                tracing::warn!(why, "receipts cannot be written; tried again in {PAUSE:?}");
            }
            self.notices.say(&who, trouble.as_deref());
            tokio::time::sleep(pause).await;
        }
    }

    async fn look(&self, there: &mut Option<BTreeSet<PackageId>>) -> Result<(), String> {
        let known = match there {
            Some(known) => known,
            None => {
                let (dir, signed) = (self.dir.clone(), self.signer.is_some());
                let issued = self.disk.read(move |on| issued(on, &dir, signed)).await;
                let issued = issued.map_err(|e| e.to_string())?.map_err(|e| chain(&e))?;
                let view = self.journal.view();
                let ours = |id: &PackageId| view.package(id).is_some_and(|row| row.state == State::Ready);
                there.insert(issued.into_iter().filter(ours).collect())
            }
        };
        let missing = next(&self.journal.view(), known, &self.host);
        for (id, receipt) in missing {
            match receipt {
                None => {
                    tracing::warn!(package = %id, "no receipt: the journal has no digests of it");
                }
                Some(receipt) => self.issue(&id, &receipt).await?,
            }
            let _new = known.insert(id);
        }
        Ok(())
    }

    async fn issue(&self, id: &PackageId, receipt: &Receipt) -> Result<(), String> {
        let text = receipt.to_text();
        let sign = |signer: &Signer| signer.sign_for(signature::RECEIPTS, text.as_bytes());
        let signature = self.signer.as_ref().map(sign).transpose().map_err(|e| chain(&e))?;
        let (dir, of) = (self.dir.clone(), id.clone());
        let put = self.disk.read(move |on| put(on, &dir, &of, &text, signature.as_deref())).await;
        put.map_err(|e| e.to_string())?.map_err(|e| chain(&e))?;
        tracing::info!(package = %id, "receipt written");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Event, Facts, Line};
    use crate::package::Sha256Hex;
    use jiff::Timestamp;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn fold(names: &[&str], with_digests: bool) -> Fold {
        let (mut fold, mut seq) = (Fold::default(), 0);
        for name in names {
            let package: PackageId = format!("samples/{name}/r1").parse().unwrap();
            let way = [None, Some(State::Seen), Some(State::Verified), Some(State::Ready)];
            for pair in way.windows(2) {
                let [from, Some(to)] = *pair else { panic!() };
                seq += 1;
                let digest = Some(Sha256Hex::of(name.as_bytes())).filter(|_| with_digests && from.is_none());
                let facts =
                    Facts { manifest_sha256: digest.clone(), commit_sha256: digest, ..Facts::default() };
                let event =
                    Event::Moved { package: package.clone(), from, to, by: "t".into(), facts: facts.into() };
                fold.apply(&Line { v: 1, seq, at: at(seq as i64), prev: Sha256Hex::zero(), event });
            }
        }
        fold
    }

    #[test]
    fn a_receipt_says_what_the_journal_knows() {
        let fold = fold(&["a"], true);
        let host: Name = "p22-hpc-02".parse().unwrap();
        let found = next(&fold, &BTreeSet::new(), &host);
        let [(id, Some(receipt))] = &found[..] else { panic!("{found:?}") };
        let digest = Sha256Hex::of(b"a");
        receipt.proves(&digest, &digest).unwrap();
        assert_eq!((receipt.verified_at, receipt.ready_at, &receipt.host), (at(2), at(3), &host));
        assert_eq!(next(&fold, &[id.clone()].into(), &host), []);
    }

    #[test]
    fn one_that_was_written_is_not_written_again_and_one_without_digests_gets_none() {
        let host: Name = "h".parse().unwrap();
        let many: Vec<String> = (0..150).map(|n| format!("p{n:03}")).collect();
        let names: Vec<&str> = many.iter().map(String::as_str).collect();
        let all = fold(&names, true);
        let first = next(&all, &BTreeSet::new(), &host);
        assert_eq!(first.len(), AT_A_LOOK, "bounded");
        let there = first.into_iter().map(|(id, _)| id).collect();
        assert_eq!(next(&all, &there, &host).len(), 50);
        assert_eq!(next(&fold(&["old"], false), &BTreeSet::new(), &host)[0].1, None);
    }

    #[test]
    fn a_receipt_without_its_signature_counts_as_not_written() {
        let (dir, on) = (tempfile::tempdir().unwrap(), &OnDisk::alone());
        let [a, b]: [PackageId; 2] = ["samples/a/r1", "samples/b/r2"].map(|id| id.parse().unwrap());
        put(on, dir.path(), &a, "{}", None).unwrap();
        put(on, dir.path(), &b, "{}", Some("sig")).unwrap();
        assert_eq!(issued(on, dir.path(), false).unwrap(), [a, b.clone()].into());
        assert_eq!(issued(on, dir.path(), true).unwrap(), [b].into());
    }
}
