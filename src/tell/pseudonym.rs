//! `P-7f3a-k2m9`: what a name is called where it may not be said.
//!
//! HMAC-SHA-256 under a key that never leaves the state directory: the same name has the same pseudonym for ever, and nobody
//! without the key can try all sample numbers until one fits. A plain digest would fall to exactly that.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::fs::{self, FsError};

/// The key's file in the state directory.
pub const FILE: &str = "pseudonym.key";
/// Bytes of a key, written as hex.
const BYTES: usize = 32;
/// So that the key can serve for nothing else by accident.
const PURPOSE: &[u8] = b"tsd-import pseudonym v1\0";
/// Nothing that is mistaken for another when read out on the telephone: no i, l, o, u.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The key under which names become pseudonyms. It shows itself to nobody.
#[derive(Clone)]
pub struct Key([u8; BYTES]);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file system that refuses.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Others can read it.
    #[error(
        "{path} has mode {mode:04o}, so others can read whom pseudonyms mean; run: chmod 600 {path}, and if they did, remove it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not 64 digits.
    #[error(
        "{0} does not hold 64 hexadecimal digits: put it back from a backup, or remove it: names then get other pseudonyms"
    )]
    Form(PathBuf),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a key of pseudonyms: {0}")]
    Dice(String),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Key {
    /// Of these bytes.
    pub fn new(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// The state directory's; made once. Whoever comes second while it is being made gets the first one's.
    pub fn of(state_dir: &Path) -> Result<Self, KeyError> {
        let path = state_dir.join(FILE);
        if let Some(key) = Self::read(&path)? {
            return Ok(key);
        }
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|e| KeyError::Dice(e.to_string()))?;
        fs::permitted("write", &path)?;
        let mut file = tempfile::Builder::new()
            .prefix(".tmp-")
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(state_dir)
            .map_err(FsError::at("create a temporary file in", state_dir))?;
        file.write_all(format!("{}\n", hex::encode(bytes)).as_bytes())
            .map_err(FsError::at("write", &path))?;
        file.as_file().sync_all().map_err(FsError::at("fsync", &path))?;
        let scrap = file.into_temp_path();
        match fs::publish(&scrap, &path) {
            Ok(()) => {}
            Err(e) if e.source.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e.into()),
        }
        Self::read(&path)?.ok_or_else(|| FsError::at("read", &path)(ErrorKind::NotFound.into()).into())
    }

    /// None if there is no such file.
    fn read(path: &Path) -> Result<Option<Self>, KeyError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FsError::at("open", path)(e).into()),
        };
        let mode = file.metadata().map_err(FsError::at("look at", path))?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        let read = file.take(1024).read_to_string(&mut text);
        let _bytes = read.map_err(FsError::at("read", path))?;
        let mut bytes = [0; BYTES];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| KeyError::Form(path.to_owned()))?;
        Ok(Some(Self(bytes)))
    }

    /// What this name is called. Names that differ in the case of letters alone are one.
    pub fn pseudonym(&self, name: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length is one");
        mac.update(PURPOSE);
        mac.update(name.to_ascii_lowercase().as_bytes());
        let digest = mac.finalize().into_bytes();
        let letter = |n: usize| {
            let byte = usize::from(digest.get(n).copied().unwrap_or(0));
            char::from(LETTERS.get(byte % 32).copied().unwrap_or(b'0'))
        };
        let half = |range: std::ops::Range<usize>| range.map(letter).collect::<String>();
        format!("P-{}-{}", half(0..4), half(4..8))
    }

    /// Which of these names are called so; several only by an accident of one in a million.
    pub fn whose<'a>(&self, pseudonym: &str, names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
        let wanted = pseudonym.trim().to_ascii_lowercase();
        names.filter(|name| self.pseudonym(name).to_ascii_lowercase() == wanted).collect()
    }

    /// The digits of the key, for who must make sure that they stand nowhere.
    pub(crate) fn digits(&self) -> String {
        hex::encode(self.0)
    }
}

/// Whether a text has the form of a pseudonym.
pub fn is_pseudonym(text: &str) -> bool {
    let mut parts = text.trim().split('-');
    let half = |part: Option<&str>| {
        part.is_some_and(|p| p.len() == 4 && p.bytes().all(|b| LETTERS.contains(&b.to_ascii_lowercase())))
    };
    parts.next().is_some_and(|p| p.eq_ignore_ascii_case("P"))
        && half(parts.next())
        && half(parts.next())
        && parts.next().is_none()
}

/// Pseudonyms that were given out, with what they stand for.
pub type Given = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_pseudonym_under_one_key_and_another_under_another() {
        let (a, b) = (Key::new([1; 32]), Key::new([2; 32]));
        let name = "Diag-wgs1-HG12345677";
        assert_eq!(a.pseudonym(name), a.pseudonym(&name.to_lowercase()));
        assert_ne!(a.pseudonym(name), b.pseudonym(name));
        assert_ne!(a.pseudonym(name), a.pseudonym("Diag-wgs1-HG12345678"));
        assert!(is_pseudonym(&a.pseudonym(name)), "{}", a.pseudonym(name));
        assert_eq!(format!("{a:?}"), "***");
        let names = [name.to_owned(), "other".to_owned()];
        assert_eq!(a.whose(&a.pseudonym(name).to_uppercase(), names.iter()), [name]);
    }

    #[test]
    fn what_has_not_the_form_is_none() {
        for odd in ["P-7f3a", "P-7f3a-k2m9-x", "Q-7f3a-k2m9", "P-7f3i-k2m9", "P-7f3a-k2mø", ""] {
            assert!(!is_pseudonym(odd), "{odd}");
        }
    }

    #[test]
    fn the_key_is_made_once_and_refused_when_others_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Key::of(dir.path()).unwrap();
        assert_eq!(first.0, Key::of(dir.path()).unwrap().0);
        let path = dir.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_mode(&path, 0o640).unwrap();
        assert!(Key::of(dir.path()).unwrap_err().to_string().contains("chmod 600"));
        fs::set_mode(&path, 0o600).unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x").unwrap();
        assert!(matches!(Key::of(dir.path()).unwrap_err(), KeyError::Form(_)));
        assert_eq!(fs::plain_files(dir.path()).unwrap().len(), 1, "no scraps");
    }

    #[test]
    fn many_that_make_it_at_once_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let made: Vec<_> = (0..8).map(|_| scope.spawn(|| Key::of(dir.path()).unwrap().0)).collect();
            made.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }
}
