//! The stop file: `STOP` in the state directory. While it lies there the daemon finishes what is in hand and ends, and none
//! starts. For hosts where signals are awkward: another login node, a container, a service user without the right to kill.
//!
//! `tsd-import drain` writes it and says who, where, when and why; an empty one made with `touch` counts as well.
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::fs::{self, FsError};

/// Its name in the state directory.
pub const FILE: &str = "STOP";

/// A stop file is one short line; more than this is not read.
const MAX_BYTES: u64 = 4096;

/// Who wants it stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The person, as far as the system knows.
    pub by: String,
    /// On which host it was written.
    pub host: String,
    /// When.
    pub at: Timestamp,
    /// Why, if it was said.
    #[serde(default)]
    pub reason: String,
}

impl Stop {
    /// In our name, now.
    pub fn by_us(reason: &str) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { by: person(), host, at: clock::now(), reason: reason.to_owned() }
    }

    /// Where it lies.
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE)
    }

    /// Puts it down. One that lies there already is somebody else's wish and stays: that is an `AlreadyExists` error.
    pub fn write(&self, state_dir: &Path) -> Result<(), FsError> {
        let scratch = state_dir.join(format!(".{FILE}-{}-{}", self.host, std::process::id()));
        fs::write_durably(&scratch, format!("{}\n", self.to_json()).as_bytes())?;
        let published = fs::publish(&scratch, &Self::path(state_dir));
        if published.is_err() {
            std::fs::remove_file(&scratch).map_err(FsError::at("remove", &scratch))?;
        }
        published
    }

    /// The one that lies there, if any.
    pub fn look(state_dir: &Path) -> Result<Option<Self>, FsError> {
        let path = Self::path(state_dir);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            // It is there, and nobody writes a file that we may not read to keep us running.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => return Ok(Some(Self::of_somebody(&path)?)),
            Err(e) => return Err(FsError::at("look for", &path)(e)),
        };
        let mut text = Vec::new();
        match file.take(MAX_BYTES).read_to_end(&mut text) {
            Err(e) if e.kind() == ErrorKind::IsADirectory => {}
            read => drop(read.map_err(FsError::at("read", &path))?),
        }
        match serde_json::from_slice(&text) {
            Ok(stop) => Ok(Some(stop)),
            Err(_) => Ok(Some(Self { reason: first_line(&text), ..Self::of_somebody(&path)? })),
        }
    }

    /// Takes it away, if it is still this one.
    pub fn remove(&self, state_dir: &Path) -> Result<bool, FsError> {
        let path = Self::path(state_dir);
        if Self::look(state_dir)?.as_ref() != Some(self) {
            return Ok(false);
        }
        std::fs::remove_file(&path).map_err(FsError::at("remove", &path))?;
        fs::sync_dir(state_dir)?;
        Ok(true)
    }

    /// Not written by us: what the file itself tells.
    fn of_somebody(path: &Path) -> Result<Self, FsError> {
        let about = std::fs::symlink_metadata(path).map_err(FsError::at("look at", path))?;
        let at = Timestamp::from_second(about.mtime()).unwrap_or_else(|_| clock::now());
        Ok(Self { by: format!("uid {}", about.uid()), host: String::new(), at, reason: String::new() })
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain fields always serialise")
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.by)?;
        if !self.host.is_empty() {
            write!(f, " on {}", self.host)?;
        }
        write!(f, " at {}", self.at.strftime("%Y-%m-%d %H:%M:%SZ"))?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Who uses this program, as far as the system knows.
pub fn person() -> String {
    user(|name| std::env::var(name).ok())
}

/// The person behind a service account is in `SUDO_USER`.
fn user(env: impl Fn(&str) -> Option<String>) -> String {
    let set = |name| env(name).filter(|v: &String| !v.is_empty());
    let account = set("USER").or_else(|| set("LOGNAME"));
    let account = account.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    match set("SUDO_USER") {
        Some(person) if person != account => format!("{person} (as {account})"),
        _ => account,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_wants_it_and_only_the_same_one_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Stop::look(dir.path()).unwrap(), None);
        let mine = Stop::by_us("new disk");
        mine.write(dir.path()).unwrap();
        assert_eq!(Stop::look(dir.path()).unwrap().as_ref(), Some(&mine));
        assert!(mine.to_string().ends_with(": new disk"), "{mine}");
        let other = Stop { by: "somebody else".into(), ..Stop::by_us("") };
        let refused = other.write(dir.path()).unwrap_err();
        assert_eq!(refused.source.kind(), ErrorKind::AlreadyExists);
        assert!(!other.remove(dir.path()).unwrap(), "not ours");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "and no scrap is left");
        assert!(mine.remove(dir.path()).unwrap());
        assert_eq!(Stop::look(dir.path()).unwrap(), None);
    }

    #[test]
    fn one_made_by_hand_counts_as_well() {
        let dir = tempfile::tempdir().unwrap();
        for (text, reason) in
            [("", ""), ("until Monday\nAnna", "until Monday"), ("{\"by\": 3}", "{\"by\": 3}")]
        {
            fs::write_durably(&Stop::path(dir.path()), text.as_bytes()).unwrap();
            let stop = Stop::look(dir.path()).unwrap().unwrap();
            assert_eq!(stop.by, format!("uid {}", rustix::process::getuid().as_raw()));
            assert_eq!(stop.reason, reason);
        }
        std::fs::remove_file(Stop::path(dir.path())).unwrap();
        std::fs::create_dir(Stop::path(dir.path())).unwrap();
        assert!(Stop::look(dir.path()).unwrap().is_some(), "a directory of that name, too");
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_no_permission_to_go_on() {
        let dir = tempfile::tempdir().unwrap();
        fs::write_durably(&dir.path().join("plain"), b"").unwrap();
        let said = Stop::look(&dir.path().join("plain")).unwrap_err().to_string();
        assert!(said.contains("look for") && said.ends_with("plain/STOP"), "{said}");
    }

    #[test]
    fn the_person_behind_the_account_is_named() {
        let user = |set: &[(&str, &str)]| {
            let set = set.to_vec();
            user(move |name| set.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned()))
        };
        assert_eq!(user(&[("USER", "svc"), ("SUDO_USER", "anna")]), "anna (as svc)");
        assert_eq!(user(&[("USER", ""), ("LOGNAME", "anna")]), "anna");
        assert!(user(&[]).starts_with("uid "));
    }
}
