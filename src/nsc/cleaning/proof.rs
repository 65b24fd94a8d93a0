//! Receipts as they arrive here: read, compared with the journal, their signature checked where signers are named.
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::chain;
use crate::conf::CleaningConf;
use crate::disk::OnDisk;
use crate::fs::FsError;
use crate::journal::Row;
use crate::package::receipt::{MAX_BYTES, file_name, package_of, signature_name};
use crate::package::{PackageId, Receipt, Sha256Hex};
use crate::signature::{self, AllowedSigners, SignatureError};

/// So many names are read of the directory; nobody has so many receipts.
const MOST: usize = 2_000_000;

/// Where receipts arrive.
#[derive(Clone, Debug)]
pub struct Receipts {
    /// One file for each package.
    pub dir: PathBuf,
    /// Who may sign them; none: unsigned ones are believed.
    pub signers: Option<AllowedSigners>,
}

/// What is thought of a package's receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// There is none.
    Missing,
    /// It proves that the package arrived; in words, for the journal.
    Good(String),
    /// There is one that proves nothing; why.
    Bad(String),
}

impl Receipts {
    /// As configured; none: no receipts come here.
    pub fn configured(conf: &CleaningConf) -> Result<Option<Self>, SignatureError> {
        let Some(dir) = conf.receipts.clone() else { return Ok(None) };
        let signers = conf.allowed_signers.as_deref();
        let signers =
            signers.map(|path| AllowedSigners::from_file_for(signature::RECEIPTS, path)).transpose()?;
        Ok(Some(Self { dir, signers }))
    }

    /// The packages for which something lies there that is called like a receipt.
    pub(super) fn arrived(&self, on: &OnDisk) -> Result<BTreeSet<PackageId>, FsError> {
        let mut arrived = BTreeSet::new();
        for entry in std::fs::read_dir(&self.dir).map_err(FsError::at("list", &self.dir))?.take(MOST) {
            let name = entry.map_err(FsError::at("list", &self.dir))?.file_name();
            arrived.extend(name.to_str().and_then(package_of));
            on.moved();
        }
        Ok(arrived)
    }

    /// Looks at the receipt of a package.
    pub fn judge(&self, on: &OnDisk, row: &Row) -> Result<Judged, FsError> {
        let (manifest, commit) = match (&row.facts.manifest_sha256, &row.facts.commit_sha256) {
            (Some(manifest), Some(commit)) => (manifest, commit),
            _ => return Ok(Judged::Bad("the journal has no digests of the package to compare with".into())),
        };
        let path = self.dir.join(file_name(&row.id));
        let bytes = match small(on, &path, MAX_BYTES)? {
            Small::Missing => return Ok(Judged::Missing),
            Small::Odd(why) => return Ok(Judged::Bad(format!("{}: {why}", path.display()))),
            Small::Bytes(bytes) => bytes,
        };
        let bad = |why: String| Ok(Judged::Bad(format!("{}: {why}", path.display())));
        let receipt = match Receipt::parse(&bytes, &row.id) {
            Ok(receipt) => receipt,
            Err(why) => return bad(why),
        };
        if let Err(why) = receipt.proves(manifest, commit) {
            return bad(why);
        }
        if let Some(signers) = &self.signers {
            let beside = self.dir.join(signature_name(&row.id));
            let signature = match small(on, &beside, signature::MAX_BYTES)? {
                Small::Bytes(signature) => signature,
                Small::Missing => return bad("it is not signed, and cleaning.allowed_file wants that".into()),
                Small::Odd(why) => return bad(format!("its signature: {why}")),
            };
            if let Err(e) = signers.verify(receipt.host.as_str(), &bytes, &signature) {
                return bad(chain(&e));
            }
        }
        let (host, at, digest) = (&receipt.host, receipt.ready_at, Sha256Hex::of(&bytes));
        let signed = if self.signers.is_some() { "signed " } else { "" };
        Ok(Judged::Good(format!("{signed}receipt of {host}, ready at {at}, sha256 {digest}")))
    }
}

enum Small {
    Missing,
    Odd(&'static str),
    Bytes(Vec<u8>),
}

/// A small plain file. What comes from outside may be anything, also something that never ends or never begins.
fn small(on: &OnDisk, path: &Path, max: u64) -> Result<Small, FsError> {
    let about = match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Small::Missing),
        about => about.map_err(FsError::at("look at", path))?,
    };
    on.moved();
    if !about.is_file() {
        return Ok(Small::Odd("it is no plain file"));
    }
    let file = match std::fs::File::open(path) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return Ok(Small::Odd("this user may not read it"));
        }
        file => file.map_err(FsError::at("open", path))?,
    };
    let mut bytes = Vec::new();
    let length = file.take(max + 1).read_to_end(&mut bytes).map_err(FsError::at("read", path))? as u64;
    on.moved();
    Ok(if length > max { Small::Odd("it is too large") } else { Small::Bytes(bytes) })
}
