//! Digests as types: a SHA-256 cannot be mistaken for an md5, and neither for any other text.
use std::fmt;
use std::str::FromStr;

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256};

/// A digest that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what} digest of {digits} hexadecimal digits")]
pub struct DigestError {
    what: &'static str,
    digits: usize,
    text: String,
}

macro_rules! hex_digest {
    ($(#[$doc:meta])* $name:ident, $what:literal, $digits:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Lower-case hexadecimal digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = DigestError;
            fn from_str(text: &str) -> Result<Self, DigestError> {
                let lower = text.to_ascii_lowercase();
                if lower.len() == $digits && lower.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Ok(Self(lower));
                }
                Err(DigestError { what: $what, digits: $digits, text: text.chars().take(80).collect() })
            }
        }
        impl TryFrom<String> for $name {
            type Error = DigestError;
            fn try_from(text: String) -> Result<Self, DigestError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(digest: $name) -> Self {
                digest.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

hex_digest! {
    /// A SHA-256, 64 lower-case hexadecimal digits.
    Sha256Hex, "SHA-256", 64
}
hex_digest! {
    /// An md5, 32 lower-case hexadecimal digits: only ever compared with what the delivery states.
    Md5Hex, "md5", 32
}

impl Sha256Hex {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// What a chain starts from: the digest of nothing that ever was.
    pub fn zero() -> Self {
        Self("0".repeat(64))
    }
}

impl Md5Hex {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Md5::digest(bytes)))
    }
}

/// What one read of a file yields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Of all bytes.
    pub sha256: Sha256Hex,
    /// Of all bytes, where the delivery states one to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<Md5Hex>,
    /// How many bytes there were.
    pub size: u64,
}

/// Digests in the making; fed in file order. Serialised, they can be gone on with after a crash.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Frozen", into = "Frozen")]
pub struct HashState {
    sha256: Sha256,
    md5: Option<Md5>,
    size: u64,
}

/// As [`HashState`] is written down: the inner states in hexadecimal digits.
#[derive(Serialize, Deserialize)]
struct Frozen {
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
    size: u64,
}

/// A written state that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the inner state of a digest")]
pub struct NotAState;

fn thawed<D: SerializableState>(text: &str) -> Result<D, NotAState> {
    let mut bytes = SerializedState::<D>::default();
    hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAState)?;
    D::deserialize(&bytes).map_err(|_| NotAState)
}

impl From<HashState> for Frozen {
    fn from(state: HashState) -> Self {
        Self {
            sha256: hex::encode(state.sha256.serialize()),
            md5: state.md5.map(|m| hex::encode(m.serialize())),
            size: state.size,
        }
    }
}

impl TryFrom<Frozen> for HashState {
    type Error = NotAState;

    fn try_from(frozen: Frozen) -> Result<Self, NotAState> {
        let md5 = frozen.md5.as_deref().map(thawed).transpose()?;
        Ok(Self { sha256: thawed(&frozen.sha256)?, md5, size: frozen.size })
    }
}

impl HashState {
    /// md5 costs three times SHA-256, so it is computed only where there is one to compare with.
    pub fn new(with_md5: bool) -> Self {
        Self { sha256: Sha256::new(), md5: with_md5.then(Md5::new), size: 0 }
    }

    /// The next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        self.size += bytes.len() as u64;
    }

    /// Taken apart, so that each digest can be computed by itself; [`HashState::joined`] is the way back.
    pub(crate) fn apart(self) -> (Sha256, Option<Md5>, u64) {
        (self.sha256, self.md5, self.size)
    }

    /// Both digests of the same `size` bytes.
    pub(crate) fn joined(sha256: Sha256, md5: Option<Md5>, size: u64) -> Self {
        Self { sha256, md5, size }
    }

    /// Whether an md5 is computed, too.
    pub fn has_md5(&self) -> bool {
        self.md5.is_some()
    }

    /// How many bytes were fed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All bytes were fed.
    pub fn finish(self) -> Digests {
        Digests {
            sha256: Sha256Hex(hex::encode(self.sha256.finalize())),
            md5: self.md5.map(|m| Md5Hex(hex::encode(m.finalize()))),
            size: self.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        let mut state = HashState::new(true);
        state.update(b"a");
        state.update(b"bc");
        let d = state.finish();
        assert_eq!(d.sha256.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(d.md5.unwrap().as_str(), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(d.size, 3);
        assert_eq!(Sha256Hex::of(b"abc"), d.sha256);
        assert_eq!(HashState::new(false).finish().md5, None);
    }

    #[test]
    fn a_state_is_gone_on_with_after_it_was_written_down() {
        for md5 in [false, true] {
            for cut in [0, 1, 63, 64, 65, 1000] {
                let bytes = vec![0x5a; 1000];
                let mut state = HashState::new(md5);
                state.update(&bytes[..cut]);
                let text = serde_json::to_string(&state).unwrap();
                let mut thawed: HashState = serde_json::from_str(&text).unwrap();
                thawed.update(&bytes[cut..]);
                state.update(&bytes[cut..]);
                assert_eq!(thawed.finish(), state.finish(), "{md5} {cut}");
                for odd in [text.replacen('6', "x", 4), text.replace("\"sha256\":\"", "\"sha256\":\"00")] {
                    assert!(serde_json::from_str::<HashState>(&odd).is_err(), "{odd}");
                }
            }
        }
    }

    #[test]
    fn only_digests_are_digests() {
        assert!("900150983CD24FB0D6963F7D28E17F72".parse::<Md5Hex>().is_ok());
        assert!("900150983cd24fb0d6963f7d28e17f7".parse::<Md5Hex>().is_err());
        assert!("900150983cd24fb0d6963f7d28e17f7g".parse::<Md5Hex>().is_err());
        assert!("900150983cd24fb0d6963f7d28e17f72".parse::<Sha256Hex>().is_err());
    }
}
