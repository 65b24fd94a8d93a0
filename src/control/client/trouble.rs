//! Why there is no answer, in words that say what to do.
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, User};
use tokio::net::UnixStream;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody listens there.
    #[error("no daemon answers at {socket}: none runs, or it is of a version without a control socket")]
    NoDaemon {
        /// Where.
        socket: PathBuf,
    },
    /// It is another user's.
    #[error(
        "the control socket {socket} is not yours: it belongs to {owner}. Run this as that user: sudo -u {owner} tsd-import ..."
    )]
    Denied {
        /// Where.
        socket: PathBuf,
        /// Whose.
        owner: String,
    },
    /// Somebody put a socket there who is not who owns the place.
    #[error(
        "the socket {socket} is listened on by uid {peer}, and belongs to {owner}: nothing was asked; find out who that is"
    )]
    Stranger {
        /// Where.
        socket: PathBuf,
        /// Who listens.
        peer: u32,
        /// Whose file it is.
        owner: String,
    },
    /// No answer in time.
    #[error("the daemon does not answer at {socket} within {after:?}: it hangs, or its disk does")]
    Hangs {
        /// Where.
        socket: PathBuf,
        /// How long was waited.
        after: Duration,
    },
    /// It closed the connection, or was ended.
    #[error("the daemon went away in the middle of its answer ({why})")]
    CutOff {
        /// In words.
        why: String,
    },
    /// It speaks otherwise.
    #[error(
        "the daemon is {theirs} and this is {ours}, and they do not understand each other: restart the daemon, or use its own program"
    )]
    Version {
        /// The daemon.
        theirs: String,
        /// This program.
        ours: &'static str,
    },
    /// It said no.
    #[error("the daemon does not answer {path}: {detail} ({status})")]
    Refused {
        /// What was asked for.
        path: String,
        /// Its code.
        status: u16,
        /// In its words.
        detail: String,
    },
    /// What came is not what was asked for.
    #[error("{path} brought what nobody understands: {why}")]
    Odd {
        /// What was asked for.
        path: String,
        /// In words.
        why: String,
    },
}

impl Trouble {
    pub(super) fn of_connecting(socket: &Path, error: std::io::Error) -> Self {
        let socket = socket.to_owned();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Self::NoDaemon { socket },
            ErrorKind::PermissionDenied => Self::Denied { owner: owner(&socket), socket },
            _ => Self::CutOff { why: format!("{}: {error}", socket.display()) },
        }
    }
}

/// Whose it is; of a directory above if it cannot be looked at itself.
fn owner(path: &Path) -> String {
    let seen = path.ancestors().find_map(|path| std::fs::symlink_metadata(path).ok());
    seen.map_or("somebody else".to_owned(), |found| name(found.uid()))
}

fn name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid));
    user.ok().flatten().map_or(format!("#{uid}"), |user| user.name)
}

/// Who listens must be root or who owns the file, or what it says could be anybody's words.
pub(super) fn is_ours(socket: &Path, stream: &UnixStream) -> Result<(), Trouble> {
    let odd = |e: std::io::Error| Trouble::CutOff { why: format!("{}: {e}", socket.display()) };
    let (peer, file) =
        (stream.peer_cred().map_err(odd)?.uid(), std::fs::symlink_metadata(socket).map_err(odd)?.uid());
    if peer == file || peer == 0 {
        return Ok(());
    }
    Err(Trouble::Stranger { socket: socket.to_owned(), peer, owner: name(file) })
}
