//! SSH signatures (SSHSIG, namespace `tsd-import`) over the bytes of `COMMIT`.
//!
//! Made with an ordinary SSH key of the service user; anybody can repeat the check with
//! `ssh-keygen -Y verify -f allowed_signers -I NAME -n tsd-import -s COMMIT.sig < COMMIT`. The signer must be listed for the
//! name that the commit gives as its sender.
use std::path::{Path, PathBuf};

use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use crate::secret::Secret;

/// What the signature is for; a signature made for another purpose does not count.
pub const NAMESPACE: &str = "tsd-import";

/// The same for receipts: a key that may sign commits says nothing about what was received.
pub const RECEIPTS: &str = "tsd-import-receipt";

/// The largest signature that is read, in bytes.
pub const MAX_BYTES: u64 = 16 << 10;

/// A key or a signature that is no good.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The key file cannot be used.
    #[error("could not use {path}: {why}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why, and what would help.
        why: String,
    },
    /// The text is not a signature, or does not fit.
    #[error("the signature of {0} does not hold: {1}")]
    Wrong(String, String),
    /// Not the text that `ssh-keygen` would have written for it. It may read it differently, or not at all.
    #[error("the signature of COMMIT is not written as ssh-keygen writes it (altered on its way?)")]
    Armour,
    /// A good signature of somebody who may not sign for this sender.
    #[error("signed by {fingerprint}, who is not listed in allowed_signers for {sender}")]
    Stranger {
        /// Of the key.
        fingerprint: String,
        /// For whom.
        sender: String,
    },
}

/// What is signed under a namespace.
fn signed(namespace: &str) -> &'static str {
    if namespace == RECEIPTS { "a receipt" } else { "COMMIT" }
}

/// The fingerprint of the key that made a signature, as `ssh-keygen -l` shows it. Whose key that is the signature does not tell.
pub fn fingerprint(signature: &[u8]) -> Option<String> {
    let sig = SshSig::from_pem(signature).ok()?;
    Some(sig.public_key().fingerprint(HashAlg::Sha256).to_string())
}

/// Signs commits, and receipts.
#[derive(Clone)]
pub struct Signer(PrivateKey);

impl Signer {
    /// Reads an OpenSSH private key without passphrase that nobody else can read.
    pub fn from_file(path: &Path) -> Result<Self, SignatureError> {
        let wrong = |why: String| SignatureError::Key { path: path.to_owned(), why };
        let text = Secret::pem_from_file(path).map_err(|e| wrong(e.to_string()))?;
        let key = PrivateKey::from_openssh(text.expose()).map_err(|e| wrong(e.to_string()))?;
        if key.is_encrypted() {
            return Err(wrong("it has a passphrase; nobody is there to type it. Make one without".into()));
        }
        Ok(Self(key))
    }

    /// A fresh key, its private part as OpenSSH text and its public part as one line; for demonstrations and tests.
    pub fn generate() -> Result<(String, String), SignatureError> {
        let wrong = |e: ssh_key::Error| SignatureError::Key { path: "a new key".into(), why: e.to_string() };
        let key =
            PrivateKey::random(&mut ssh_key::rand_core::OsRng, ssh_key::Algorithm::Ed25519).map_err(wrong)?;
        let private = key.to_openssh(LineEnding::LF).map_err(wrong)?.to_string();
        Ok((private, key.public_key().to_openssh().map_err(wrong)?))
    }

    /// The line that lists this key in an `allowed_signers` file.
    pub fn allowed_line(&self, name: &str) -> Result<String, SignatureError> {
        let wrong = |e: ssh_key::Error| SignatureError::Wrong(name.to_owned(), e.to_string());
        let public = self.0.public_key().to_openssh().map_err(wrong)?;
        Ok(format!("{name} namespaces=\"{NAMESPACE}\" {public}"))
    }

    /// The armoured signature of these bytes.
    pub fn sign(&self, bytes: &[u8]) -> Result<String, SignatureError> {
        self.sign_for(NAMESPACE, bytes)
    }

    /// The armoured signature of these bytes for a purpose.
    pub fn sign_for(&self, namespace: &'static str, bytes: &[u8]) -> Result<String, SignatureError> {
        let wrong = |e: ssh_key::Error| SignatureError::Wrong(signed(namespace).into(), e.to_string());
        let sig = self.0.sign(namespace, HashAlg::Sha512, bytes).map_err(wrong)?;
        sig.to_pem(LineEnding::LF).map_err(wrong)
    }
}

/// Who may sign for which sender.
#[derive(Clone, Debug)]
pub struct AllowedSigners {
    namespace: &'static str,
    entries: Vec<(Vec<String>, PublicKey)>,
}

impl AllowedSigners {
    /// Reads `PRINCIPALS [namespaces="…"] KEYTYPE BASE64 [COMMENT]` lines. Other options (`cert-authority`, validity times)
    /// are refused rather than ignored: ignoring one would allow more than was written.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SignatureError> {
        Self::parse_for(NAMESPACE, text, path)
    }

    fn parse_for(namespace: &'static str, text: &str, path: &Path) -> Result<Self, SignatureError> {
        let mut entries = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: String| SignatureError::Key {
                path: path.to_owned(),
                why: format!("line {}: {why}", n + 1),
            };
            let (principals, rest) =
                line.split_once(char::is_whitespace).ok_or_else(|| wrong("no key".into()))?;
            let rest = rest.trim_start();
            let key = match rest.strip_prefix("namespaces=\"") {
                Some(rest) => {
                    let (spaces, key) =
                        rest.split_once('"').ok_or_else(|| wrong("a quote is missing".into()))?;
                    if !spaces.split(',').any(|s| s == namespace) {
                        continue;
                    }
                    key.trim_start()
                }
                None => rest,
            };
            if !key.starts_with("ssh-") && !key.starts_with("sk-") && !key.starts_with("ecdsa-") {
                return Err(wrong("options other than namespaces are not supported".into()));
            }
            let key = PublicKey::from_openssh(key).map_err(|e| wrong(e.to_string()))?;
            entries.push((principals.split(',').map(str::to_owned).collect(), key));
        }
        if entries.is_empty() {
            return Err(SignatureError::Key { path: path.to_owned(), why: "nobody is listed in it".into() });
        }
        Ok(Self { namespace, entries })
    }

    /// The lines of such a file that list the key of this signature for `sender`, as they stand there.
    pub fn lines<'a>(text: &'a str, path: &Path, sender: &str, signature: &[u8]) -> Vec<&'a str> {
        let Ok(sig) = SshSig::from_pem(signature) else { return Vec::new() };
        let lists = |line: &&str| {
            Self::parse(line, path).is_ok_and(|one| {
                let mut entries = one.entries.iter();
                entries.any(|(names, key)| {
                    names.iter().any(|n| n == sender) && key.key_data() == sig.public_key()
                })
            })
        };
        text.lines().filter(lists).collect()
    }

    /// Reads the file.
    pub fn from_file(path: &Path) -> Result<Self, SignatureError> {
        Self::from_file_for(NAMESPACE, path)
    }

    /// The same for another purpose.
    pub fn from_file_for(namespace: &'static str, path: &Path) -> Result<Self, SignatureError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| SignatureError::Key { path: path.to_owned(), why: e.to_string() })?;
        Self::parse_for(namespace, &text, path)
    }

    /// Checks that `signature` is over `bytes`, for our namespace, by a key listed for `sender`.
    pub fn verify(&self, sender: &str, bytes: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let wrong = |e: ssh_key::Error| SignatureError::Wrong(signed(self.namespace).into(), e.to_string());
        let sig = SshSig::from_pem(signature).map_err(wrong)?;
        // The library reads armours that `ssh-keygen` refuses; what is believed here must be provable with the real tool.
        // Both believe a version below their own, which nothing signed vouches for.
        let as_written = sig.to_pem(LineEnding::LF).map_err(wrong)?.as_bytes() == signature;
        if !as_written || sig.version() != SshSig::VERSION {
            return Err(SignatureError::Armour);
        }
        let keys = self
            .entries
            .iter()
            .filter(|(names, key)| names.iter().any(|n| n == sender) && key.key_data() == sig.public_key());
        let Some((_, key)) = keys.into_iter().next() else {
            let fingerprint = sig.public_key().fingerprint(HashAlg::Sha256).to_string();
            return Err(SignatureError::Stranger { fingerprint, sender: sender.to_owned() });
        };
        key.verify(self.namespace, bytes, &sig).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    fn signer(dir: &Path) -> (Signer, String) {
        let (private, public) = Signer::generate().unwrap();
        let path = dir.join("key");
        crate::fs::write_durably(&path, private.as_bytes()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        (Signer::from_file(&path).unwrap(), public)
    }

    #[test]
    fn only_the_listed_key_for_the_named_sender_over_these_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, public) = signer(dir.path());
        let (stranger, _) = signer(dir.path());
        let text = format!("# who\ngdx-login,sleipnir namespaces=\"tsd-import\" {public}\n");
        let allowed = AllowedSigners::parse(&text, Path::new("a")).unwrap();
        let sig = ours.sign(b"bytes").unwrap();
        allowed.verify("gdx-login", b"bytes", sig.as_bytes()).unwrap();
        let said = |r: Result<(), SignatureError>| r.unwrap_err().to_string();
        assert!(said(allowed.verify("gdx-login", b"Bytes", sig.as_bytes())).contains("does not hold"));
        assert!(said(allowed.verify("other", b"bytes", sig.as_bytes())).contains("not listed"));
        let foreign = stranger.sign(b"bytes").unwrap();
        assert!(said(allowed.verify("gdx-login", b"bytes", foreign.as_bytes())).contains("not listed"));
        assert!(said(allowed.verify("gdx-login", b"bytes", b"rubbish")).contains("does not hold"));
    }

    #[test]
    fn whatever_byte_of_it_is_another_it_does_not_hold() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, public) = signer(dir.path());
        let allowed = AllowedSigners::parse(&format!("gdx-login {public}\n"), Path::new("a")).unwrap();
        let right = ours.sign(b"bytes").unwrap().into_bytes();
        for at in 0..right.len() {
            // `A` is zero in base64: a length, a version or a flag that would be none.
            for other in [b'A', b'Q', b'/', b'=', b'\n', right[at] ^ 1] {
                let mut wrong = right.clone();
                wrong[at] = other;
                let held = allowed.verify("gdx-login", b"bytes", &wrong).is_ok();
                assert_eq!(held, wrong == right, "byte {at} as {}", char::from(other));
            }
        }
    }

    #[test]
    fn options_that_narrow_a_key_are_never_ignored() {
        let (_, public) = Signer::generate().unwrap();
        let elsewhere = format!("gdx-login namespaces=\"git\" {public}\n");
        assert!(
            AllowedSigners::parse(&elsewhere, Path::new("a")).unwrap_err().to_string().contains("nobody")
        );
        let timed = format!("gdx-login valid-before=\"20200101\" {public}\n");
        assert!(AllowedSigners::parse(&timed, Path::new("a")).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn ssh_keygen_agrees() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, public) = signer(dir.path());
        let at = |name: &str| dir.path().join(name);
        crate::fs::write_durably(&at("allowed"), format!("gdx-login {public}\n").as_bytes()).unwrap();
        crate::fs::write_durably(&at("sig"), ours.sign(b"bytes").unwrap().as_bytes()).unwrap();
        crate::fs::write_durably(&at("good"), b"bytes").unwrap();
        crate::fs::write_durably(&at("bad"), b"bytez").unwrap();
        let check = |file: &str| {
            let stdin = Stdio::from(std::fs::File::open(at(file)).unwrap());
            let mut command = Command::new("ssh-keygen");
            let command =
                command.args(["-Y", "verify", "-I", "gdx-login", "-n", NAMESPACE, "-f"]).arg(at("allowed"));
            command.arg("-s").arg(at("sig")).stdin(stdin).output()
        };
        match check("good") {
            Err(e) => eprintln!("ignored: ssh-keygen is not installed ({e})"),
            Ok(good) => {
                assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
                assert!(!check("bad").unwrap().status.success());
                // The other way round: what it writes is believed, in the one form that it writes.
                let key = dir.path().join("key");
                let signed = Command::new("ssh-keygen")
                    .args(["-Y", "sign", "-n", NAMESPACE, "-f"])
                    .arg(key)
                    .arg(at("good"))
                    .output();
                assert!(signed.unwrap().status.success());
                let text = std::fs::read_to_string(at("good.sig")).unwrap();
                let allowed = AllowedSigners::from_file(&at("allowed")).unwrap();
                allowed.verify("gdx-login", b"bytes", text.as_bytes()).unwrap();
                for other in [text.replace('\n', "\r\n"), format!("{text}\n"), text.trim_end().to_owned()] {
                    assert!(allowed.verify("gdx-login", b"bytes", other.as_bytes()).is_err(), "{other:?}");
                }
            }
        }
    }
}
