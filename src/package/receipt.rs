//! A receipt: the receiver's word that a package became `READY`, for the sender, who may then let its copy go.
//!
//! It names the package by what was sent, the digests of `SHA256SUMS` and of `COMMIT`, so it proves nothing about any other package, and
//! nothing at all to a sender whose journal says otherwise. How it travels is the site's affair.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Kind, Name, PackageId, Revision, Sha256Hex};

/// The largest receipt that is read, in bytes.
pub const MAX_BYTES: u64 = 16 << 10;

/// Described in `docs/format.md`. Unknown fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Of this format: 1.
    pub version: u32,
    /// The package's name.
    pub package: Name,
    /// What sort of package.
    pub kind: Kind,
    /// Which export of it.
    pub revision: Revision,
    /// Digest of the `SHA256SUMS` that every file was compared with.
    pub manifest_sha256: Sha256Hex,
    /// Digest of the `COMMIT` that it came with.
    pub commit_sha256: Sha256Hex,
    /// When all bytes had been read back from the receiver's disk.
    pub verified_at: Timestamp,
    /// When it was put in place.
    pub ready_at: Timestamp,
    /// Where; who signs the receipt, if it is signed.
    pub host: Name,
}

/// What its file is called: `samples~NAME~r1.json`. Neither kinds nor names have a `~`.
pub fn file_name(id: &PackageId) -> String {
    format!("{}.json", id.to_string().replace('/', "~"))
}

/// What the file with its signature is called.
pub fn signature_name(id: &PackageId) -> String {
    format!("{}.sig", file_name(id))
}

/// The package that a file of this name is about.
pub fn package_of(file_name: &str) -> Option<PackageId> {
    file_name.strip_suffix(".json")?.replace('~', "/").parse().ok()
}

impl Receipt {
    /// The bytes that are written, and signed.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain fields always serialise");
        text.push('\n');
        text
    }

    /// Reads one that was found under the name of `id`; in words why not.
    pub fn parse(bytes: &[u8], id: &PackageId) -> Result<Self, String> {
        let receipt: Self = serde_json::from_slice(bytes).map_err(|e| format!("it is no receipt: {e}"))?;
        if receipt.version != 1 {
            return Err(format!("it has version {}; this program knows version 1", receipt.version));
        }
        let Self { kind, package, revision, .. } = &receipt;
        if (kind, package, *revision) != (&id.kind, &id.name, id.revision) {
            return Err(format!("it is about {kind}/{package}/{revision}"));
        }
        Ok(receipt)
    }

    /// Whether it is about what was sent; in words why not.
    pub fn proves(&self, manifest: &Sha256Hex, commit: &Sha256Hex) -> Result<(), String> {
        for (what, theirs, ours) in
            [("SHA256SUMS", &self.manifest_sha256, manifest), ("COMMIT", &self.commit_sha256, commit)]
        {
            if theirs != ours {
                return Err(format!("it is about a {what} with digest {theirs}, and {ours} was sent"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            version: 1,
            package: "Diag-1".parse().unwrap(),
            kind: "analyses-results/trios".parse().unwrap(),
            revision: Revision(2),
            manifest_sha256: Sha256Hex::of(b"sums"),
            commit_sha256: Sha256Hex::of(b"commit"),
            verified_at: "2026-06-12T10:00:00Z".parse().unwrap(),
            ready_at: "2026-06-12T10:00:01Z".parse().unwrap(),
            host: "p22-hpc-02".parse().unwrap(),
        }
    }

    #[test]
    fn there_and_back_under_its_own_name_alone() {
        let id: PackageId = "analyses-results/trios/Diag-1/r2".parse().unwrap();
        assert_eq!(file_name(&id), "analyses-results~trios~Diag-1~r2.json");
        assert_eq!(signature_name(&id), "analyses-results~trios~Diag-1~r2.json.sig");
        assert_eq!(package_of(&file_name(&id)), Some(id.clone()));
        for other in ["x.json", "a~b~r1", "analyses-results~trios~Diag-1~r2.json.sig", ".tmp-1"] {
            assert_eq!(package_of(other), None, "{other}");
        }
        let text = receipt().to_text();
        assert_eq!(Receipt::parse(text.as_bytes(), &id).unwrap(), receipt());
        let first: PackageId = "analyses-results/trios/Diag-1/r1".parse().unwrap();
        let said = Receipt::parse(text.as_bytes(), &first).unwrap_err();
        assert_eq!(said, "it is about analyses-results/trios/Diag-1/r2");
        let newer = text.replace("\"version\": 1", "\"version\": 2");
        assert!(Receipt::parse(newer.as_bytes(), &id).unwrap_err().contains("version 2"));
        for odd in ["", "{}", "null", "[]", &text[..text.len() - 3]] {
            assert!(Receipt::parse(odd.as_bytes(), &id).unwrap_err().contains("no receipt"), "{odd}");
        }
    }

    #[test]
    fn it_proves_what_was_sent_and_nothing_else() {
        let (manifest, commit, other) =
            (Sha256Hex::of(b"sums"), Sha256Hex::of(b"commit"), Sha256Hex::of(b"x"));
        receipt().proves(&manifest, &commit).unwrap();
        assert!(receipt().proves(&other, &commit).unwrap_err().contains("a SHA256SUMS with digest"));
        assert!(receipt().proves(&manifest, &other).unwrap_err().contains("a COMMIT with digest"));
    }
}
