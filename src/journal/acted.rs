//! What a person did that moves no package from one state to another: the journal's word for it.
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::package::{PackageId, Priority};

/// A lever that somebody pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// Which.
    #[serde(flatten)]
    pub act: Lever,
    /// The person.
    pub by: String,
    /// Why.
    pub why: String,
}

/// Which lever, and where it stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum Lever {
    /// What failed is tried at once, and its failures are forgotten.
    Retried {
        /// Which.
        package: PackageId,
    },
    /// How soon, whatever its order or its commit says.
    Ranked {
        /// Which.
        package: PackageId,
        /// The new priority.
        priority: Priority,
    },
    /// What was sent is to be sent once more, as a new revision.
    Again {
        /// What was sent.
        package: PackageId,
        /// As what it is sent now.
        revised: PackageId,
    },
    /// An actor, or the uploads, take nothing new.
    Paused {
        /// Which.
        what: String,
    },
    /// They go on.
    Resumed {
        /// Which.
        what: String,
    },
    /// Another limit of bytes a second than the configured one.
    Paced {
        /// Bytes a second; none: no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
        /// Until then; none: until somebody says otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The configured limit counts again.
    Unpaced,
    /// A stop file was taken away: a daemon may start.
    Undrained,
}

impl Lever {
    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Retried { .. } => "retried",
            Self::Ranked { .. } => "ranked",
            Self::Again { .. } => "again",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::Paced { .. } => "paced",
            Self::Unpaced => "unpaced",
            Self::Undrained => "undrained",
        }
    }

    /// The package that it is about, if it is about one.
    pub fn package(&self) -> Option<&PackageId> {
        match self {
            Self::Retried { package } | Self::Ranked { package, .. } | Self::Again { package, .. } => {
                Some(package)
            }
            Self::Paused { .. } | Self::Resumed { .. } | Self::Paced { .. } => None,
            Self::Unpaced | Self::Undrained => None,
        }
    }
}

/// In words, without the package.
impl fmt::Display for Lever {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retried { .. } => f.write_str("tried again at once, its failures forgotten"),
            Self::Ranked { priority, .. } => write!(f, "priority {priority} from now on"),
            Self::Again { revised, .. } => write!(f, "to be sent once more as {revised}"),
            Self::Paused { what } => write!(f, "{what} paused: takes nothing new"),
            Self::Resumed { what } => write!(f, "{what} goes on"),
            Self::Paced { limit, until } => {
                match limit {
                    Some(limit) => write!(f, "held to {}/s", bytesize::ByteSize(*limit))?,
                    None => f.write_str("no limit of bytes a second")?,
                }
                until.map_or(Ok(()), |until| write!(f, " until {}", until.strftime("%Y-%m-%d %H:%M:%SZ")))
            }
            Self::Unpaced => f.write_str("the configured limit of bytes a second counts"),
            Self::Undrained => f.write_str("the stop file was taken away"),
        }
    }
}
