//! Opens the socket: in a directory that nobody else can write to, for its own user alone from its first moment.
//!
//! The caller owns the state directory, so a socket that lies there and that nobody answers is what a dead daemon left behind.
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::timeout;

use crate::fs::{self, FsError};
use crate::supervisor::runtime;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;
/// Whoever listens takes a connection at once.
const PROBE: Duration = Duration::from_secs(2);

/// Why it cannot be opened; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The file system said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Others could put a socket of theirs in its place.
    #[error(
        "{dir} {how}: somebody else could put a socket there; name another place with control.socket, or mend its owner and mode"
    )]
    Exposed {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        how: String,
    },
    /// It is not ours to remove.
    #[error("{path} {what}; move it away, or name another place with control.socket")]
    Taken {
        /// What lies there.
        path: PathBuf,
        /// In words.
        what: String,
    },
    /// The socket could not be made.
    #[error(
        "could not {what} the socket {path}: {source}; a file system that knows no sockets needs control.socket elsewhere"
    )]
    Socket {
        /// As an infinitive.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread for it fell.
    #[error("the disk of the socket: {0}")]
    Fell(String),
}

/// A socket that is listened on.
pub struct Door {
    /// Takes connections.
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode.
    is: (u64, u64),
}

impl Door {
    /// Opens it. Blocks on no disk: that is left to a thread of its own. `ours`: it lies in the state directory that this process owns,
    /// so whoever may still listen there, a holder before us that was suspended, does so no more.
    pub async fn open(path: &Path, me: u32, ours: bool) -> Result<Self, DoorError> {
        let at = path.to_owned();
        if beside(move || look(&at, me)).await?? {
            if !ours {
                nobody_answers(path).await?;
            }
            let at = path.to_owned();
            beside(move || fs::remove_file(&at)).await??;
        }
        let at = path.to_owned();
        beside(move || bind(at)).await?
    }

    /// Whether its file is still there: one that was swept away can be reached by nobody.
    pub async fn is_there(&self) -> bool {
        let (path, is) = (self.path.clone(), self.is);
        // A disk that does not answer says nothing about it.
        beside(move || identity(&path).is_ok_and(|now| now == is)).await.unwrap_or(true)
    }
}

async fn beside<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, DoorError> {
    runtime().spawn_blocking(job).await.map_err(|fell| DoorError::Fell(fell.to_string()))
}

fn identity(path: &Path) -> Result<(u64, u64), FsError> {
    let found = std::fs::symlink_metadata(path).map_err(FsError::at("look at", path))?;
    Ok((found.dev(), found.ino()))
}

/// Whether an old socket of ours lies there.
fn look(path: &Path, me: u32) -> Result<bool, DoorError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let found =
        std::fs::metadata(dir).map_err(FsError::at("look at the directory of the control socket", dir))?;
    let exposed = |how: String| DoorError::Exposed { dir: dir.to_owned(), how };
    if ![me, 0].contains(&found.uid()) {
        return Err(exposed(format!("belongs to uid {}, and this is uid {me}", found.uid())));
    }
    let (open, sticky) = (found.mode() & 0o002 != 0, found.mode() & 0o1000 != 0);
    if open && !sticky {
        return Err(exposed(format!("has mode {:04o}, so everybody can write to it", found.mode() & 0o7777)));
    }
    let taken = |what: String| DoorError::Taken { path: path.to_owned(), what };
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(FsError::at("look at", path)(e).into()),
        Ok(there) if !there.file_type().is_socket() => Err(taken("is there and is no socket".into())),
        Ok(there) if there.uid() != me => Err(taken(format!("belongs to uid {}", there.uid()))),
        Ok(_) => Ok(true),
    }
}

/// A dead daemon's socket refuses; one that takes a connection, or lets us wait for it, is alive.
async fn nobody_answers(path: &Path) -> Result<(), DoorError> {
    let taken = |what: &str| DoorError::Taken { path: path.to_owned(), what: what.to_owned() };
    match timeout(PROBE, UnixStream::connect(path)).await {
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(Err(source)) => Err(DoorError::Socket { what: "try", path: path.to_owned(), source }),
        Ok(Ok(_)) | Err(_) => Err(taken("is listened on by another process")),
    }
}

fn bind(path: PathBuf) -> Result<Door, DoorError> {
    fs::permitted("open the control socket", &path)?;
    let failed = |what| {
        let path = path.clone();
        move |source| DoorError::Socket { what, path, source }
    };
    let socket = UnixSocket::new_stream().map_err(failed("make"))?;
    socket.bind(&path).map_err(failed("bind"))?;
    // Before anybody is listened to, so that nobody gets in by the modes that the process's mask left.
    fs::set_mode(&path, 0o600)?;
    let listener = socket.listen(BACKLOG).map_err(failed("listen on"))?;
    let is = identity(&path)?;
    Ok(Door { listener, path, is })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn said(result: Result<Door, DoorError>) -> String {
        result.err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_stale_socket_goes_and_a_live_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let door = Door::open(&path, me(), false).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(door.is_there().await);
        assert!(said(Door::open(&path, me(), false).await).contains("is listened on by another process"));
        drop(door);
        assert!(path.exists(), "what a dead daemon leaves behind");
        let door = Door::open(&path, me(), false).await.unwrap();
        let heir = Door::open(&path, me(), true).await.unwrap();
        assert!(heir.is_there().await && !door.is_there().await, "in its own directory it is the owner's");
        fs::remove_file(&path).unwrap();
        assert!(!heir.is_there().await);
    }

    #[tokio::test]
    async fn what_is_not_ours_is_left_alone_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        fs::write_durably(&path, b"a file").unwrap();
        assert!(
            said(Door::open(&path, me(), false).await).contains("is there and is no socket; move it away")
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
        fs::remove_file(&path).unwrap();
        for (mode, fits) in [(0o777, false), (0o1777, true), (0o2770, true)] {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let opened = Door::open(&path, me(), false).await;
            assert_eq!(opened.is_ok(), fits, "{mode:o}: {}", said(opened));
        }
        // As root its own directories count as everybody's, so another user is asked for.
        let told = said(Door::open(Path::new("/proc/self/control.sock"), me() + 1, false).await);
        assert!(told.contains("could") || told.contains("belongs to uid"), "{told}");
        let missing = said(Door::open(&dir.path().join("none/control.sock"), me(), false).await);
        assert!(missing.contains("could not look at the directory of the control socket"), "{missing}");
    }
}
