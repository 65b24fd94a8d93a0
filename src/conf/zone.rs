//! What a receiver is told: where it looks, whom it believes, where what comes lands.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::types::choice;
use crate::package::Kind;

choice! {
    /// A new revision of a package that was handed over.
    Revisions {
        /// It is stopped, and a person decides.
        Ask = "ask",
        /// It lands once its consumer has taken the earlier one.
        Land = "land",
    }
}
choice! {
    /// Which samples an analysis needs before it is handed over.
    Members {
        /// None.
        Any = "any",
        /// All, landed.
        Landed = "landed",
    }
}
choice! {
    /// Whether the endpoint is asked to tell of new objects.
    Notifications {
        /// If it can.
        Auto = "auto",
        /// Not at all.
        Off = "off",
    }
}

/// The secure zone.
#[derive(Clone, Debug)]
pub struct TsdConf {
    /// Between two looks at the bucket.
    pub interval: Duration,
    /// Between two passes through all of a large bucket.
    pub whole: Duration,
    /// Who may sign; none: unsigned is accepted.
    pub allowed_signers: Option<PathBuf>,
    /// Bytes that stay free.
    pub disk_floor: u64,
    /// What is written for the sender, if anything.
    pub receipts: Option<ReceiptsConf>,
    /// Whether the bucket is listened to.
    pub notifications: Notifications,
    /// Where each kind lands.
    pub landing: BTreeMap<Kind, LandingConf>,
    /// With other hosts on one bucket.
    pub share: ShareConf,
}

/// Several hosts on one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareConf {
    /// Packages are claimed in the bucket, so that other hosts may receive from it as well.
    pub claims: bool,
    /// Nobody shares the bucket yet, and this journal knows what has landed from it.
    pub begin: bool,
    /// Below `store.prefix`.
    pub prefix: String,
    /// How long a host may be silent before another takes over what it has under way.
    pub lease: Duration,
}

/// Receipts of packages that became `READY`.
#[derive(Clone, Debug)]
pub struct ReceiptsConf {
    /// One file for each package.
    pub dir: PathBuf,
    /// Private key; none: unsigned.
    pub key_file: Option<PathBuf>,
}

/// A group of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// As configured: its name or its number.
    pub name: String,
    /// What the kernel knows it by.
    pub gid: u32,
}

impl std::str::FromStr for Group {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let of = |gid| Self { name: text.to_owned(), gid };
        if let Ok(gid) = text.parse() {
            return Ok(of(gid));
        }
        match nix::unistd::Group::from_name(text) {
            Ok(Some(group)) => Ok(of(group.gid.as_raw())),
            Ok(None) => Err("this host knows no such group (getent group)".to_owned()),
            Err(e) => Err(format!("this host's groups cannot be read: {e}")),
        }
    }
}

/// Where a kind lands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandingConf {
    /// Holds one directory per package.
    pub destination: PathBuf,
    /// Whether `READY` is written.
    pub ready: bool,
    /// Of directories; none: as the umask says.
    pub dir_mode: Option<u32>,
    /// Of files; none: as the umask says.
    pub file_mode: Option<u32>,
    /// Of both; none: as the directory above says.
    pub group: Option<Group>,
    /// Bytes of one package, at most.
    pub max_bytes: u64,
    /// Files of one package, at most.
    pub max_files: u64,
    /// Whether an analysis waits until its samples have landed.
    pub members: Members,
    /// What becomes of other bytes under a name that was handed over.
    pub revisions: Revisions,
}
