//! A text that must not be seen: a password, a token.
//!
//! [`Secret`] prints as `***` under `Debug` and has no `Display`, so that it cannot reach a log, an error or a support
//! bundle by accident; the one way to the text is [`Secret::expose`], which is easy to find by searching. A secret
//! lives in a file of its own that only the service user may read: [`Secret::from_file`] refuses any other, since a
//! password that the whole group can read is no password.
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Larger files are surely not a password: the path points at something else.
const MAX_BYTES: u64 = 64 * 1024;

/// A secret text. Not empty if it came [from a file](Secret::from_file).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why a secret file was not accepted. The text names the file and the cure, never the content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Missing, no rights, a failing disk.
    #[error("could not read the secret file {path}; check that it exists and belongs to the service user")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Group or others have rights on it.
    #[error("the secret file {path} has mode {mode:04o}, so others can reach it; run: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, a pipe, a device.
    #[error(
        "the secret file {path} is not a regular file; put the secret, one line, into a file and name that"
    )]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Nothing in it, or a blank line.
    #[error("the secret file {path} is empty; write the secret into it, on one line")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Too long, not UTF-8, or more than one line.
    #[error("the secret file {path} does not hold one line of text; write the secret into it, on one line")]
    NotOneLine {
        /// The file.
        path: PathBuf,
    },
}

impl Secret {
    /// Wraps a text that is in memory already.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads the file's one line; a newline at its end is not part of the secret, spaces are.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let not_one_line = || SecretError::NotOneLine { path: path.to_owned() };
        let text = read_private(path)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() {
            return Err(SecretError::Empty { path: path.to_owned() });
        }
        if line.contains(['\n', '\r', '\0']) {
            return Err(not_one_line());
        }
        Ok(Self(line.to_owned()))
    }

    /// Reads a secret of several lines, such as a private key.
    pub fn pem_from_file(path: &Path) -> Result<Self, SecretError> {
        let text = read_private(path)?;
        if text.trim().is_empty() {
            return Err(SecretError::Empty { path: path.to_owned() });
        }
        Ok(Self(text))
    }

    /// The text itself. For the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The text of a regular file that only its owner can reach.
fn read_private(path: &Path) -> Result<String, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    // Before opening, because opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(SecretError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let not_text = || SecretError::NotOneLine { path: path.to_owned() };
    if read as u64 > MAX_BYTES {
        return Err(not_text());
    }
    String::from_utf8(bytes).map_err(|_| not_text())
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(bytes: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file.as_file().set_permissions(Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn one_trailing_newline_goes_and_spaces_stay() {
        for (bytes, want) in [
            (&b"hemmelig\n"[..], "hemmelig"),
            (b"hemmelig", "hemmelig"),
            (b"hemmelig\r\n", "hemmelig"),
            (b" a b \n", " a b "),
            ("blåbær\n".as_bytes(), "blåbær"),
        ] {
            assert_eq!(Secret::from_file(file(bytes, 0o600).path()).unwrap().expose(), want);
        }
        assert_eq!(Secret::from_file(file(b"x", 0o400).path()).unwrap(), Secret::new("x"));
    }

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new("hemmelig");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(***)");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_cure() {
        for mode in [0o640, 0o604, 0o660, 0o644, 0o610] {
            let file = file(b"hemmelig\n", mode);
            let text = Secret::from_file(file.path()).unwrap_err().to_string();
            let path = file.path().display();
            assert_eq!(
                text,
                format!(
                    "the secret file {path} has mode {mode:04o}, so others can reach it; run: chmod 600 {path}"
                )
            );
        }
    }

    #[test]
    fn empty_long_many_lined_and_missing_files_are_refused() {
        let kind = |bytes: &[u8]| Secret::from_file(file(bytes, 0o600).path()).unwrap_err();
        assert!(matches!(kind(b""), SecretError::Empty { .. }));
        assert!(matches!(kind(b"\n"), SecretError::Empty { .. }));
        assert!(matches!(kind(b"  \n"), SecretError::Empty { .. }));
        assert!(matches!(kind(b"a\nb\n"), SecretError::NotOneLine { .. }));
        assert!(matches!(kind(b"a\n\n"), SecretError::NotOneLine { .. }));
        assert!(matches!(kind(b"\xff"), SecretError::NotOneLine { .. }));
        assert!(matches!(kind(&vec![b'a'; MAX_BYTES as usize + 1]), SecretError::NotOneLine { .. }));
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Secret::from_file(dir.path()).unwrap_err(), SecretError::NotAFile { .. }));
        let missing = Secret::from_file(&dir.path().join("none")).unwrap_err();
        assert!(matches!(missing, SecretError::Unreadable { .. }));
    }
}
