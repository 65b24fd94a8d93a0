//! The additional checksums of S3 (`x-amz-checksum-…`), as they stand in headers, trailers and part lists.
//!
//! Values are base64 text, compared as text. SHA-1 and SHA-256 of a multipart object are composite: the digest of the
//! parts' digests, with `-<parts>` behind it; the CRCs are over the whole object.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::CompletedPart;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "x-amz-checksum-";
const NAMES: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

/// Checksums by algorithm, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sums(BTreeMap<String, String>);

impl Sums {
    /// Those given in headers or in trailers.
    pub(super) fn of_headers(headers: &HeaderMap) -> Self {
        let value = |name: &str| headers.get(format!("{PREFIX}{name}"))?.to_str().ok().map(str::to_owned);
        Self(NAMES.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect())
    }

    /// Those a client lists for one part when it completes an upload.
    pub(super) fn of_part(part: &CompletedPart) -> Self {
        let values = [
            &part.checksum_crc32,
            &part.checksum_crc32c,
            &part.checksum_crc64nvme,
            &part.checksum_sha1,
            &part.checksum_sha256,
        ];
        let given = NAMES.iter().zip(values);
        Self(given.filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?))).collect())
    }

    /// The algorithms for which there is a value.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first algorithm whose value here is not the one in `computed`.
    pub(super) fn contradicted_by(&self, computed: &Self) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, value)| computed.0.get(*name) != Some(value))
            .map(|(name, _)| name.as_str())
    }

    /// Adds what `other` has.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// As headers of an answer.
    pub(super) fn to_headers(&self) -> HeaderMap {
        let header = |(name, value): (&String, &String)| {
            let name = HeaderName::try_from(format!("{PREFIX}{name}")).ok()?;
            Some((name, HeaderValue::try_from(value).ok()?))
        };
        self.0.iter().filter_map(header).collect()
    }

    /// Splits into what is over the whole object and what is composite, for a multipart object.
    pub(super) fn whole_and_composite(self) -> (Self, Self) {
        let (composite, whole) = self.0.into_iter().partition(|(name, _)| name.starts_with("sha"));
        (Self(whole), Self(composite))
    }

    /// The composite checksum `name` (`sha1` or `sha256`) of `parts`; `None` if a part has none of its own.
    pub(super) fn composite(name: &str, parts: &[&Self]) -> Option<String> {
        let mut digests = Vec::new();
        for part in parts {
            digests.extend(STANDARD.decode(part.0.get(name)?).ok()?);
        }
        let digest = match name {
            "sha1" => STANDARD.encode(Sha1::checksum(&digests)),
            "sha256" => STANDARD.encode(Sha256::checksum(&digests)),
            _ => return None,
        };
        Some(format!("{digest}-{}", parts.len()))
    }

    /// Compares composites; the `-<parts>` at the end may be left out by the client.
    pub(super) fn composite_contradicted_by(&self, parts: &[&Self]) -> Option<&str> {
        let agrees = |name: &str, value: &str| {
            Self::composite(name, parts)
                .is_some_and(|own| own == value || own.split('-').next() == Some(value))
        };
        self.0.iter().find(|(name, value)| !agrees(name, value)).map(|(name, _)| name.as_str())
    }
}

/// Computes the checksums of the given names in one pass.
pub(super) struct Summer(ChecksumHasher);

impl Summer {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut hasher = ChecksumHasher::default();
        for name in names {
            match name {
                "crc32" => hasher.crc32 = Some(Crc32::new()),
                "crc32c" => hasher.crc32c = Some(Crc32c::new()),
                "crc64nvme" => hasher.crc64nvme = Some(Crc64Nvme::new()),
                "sha1" => hasher.sha1 = Some(Sha1::new()),
                "sha256" => hasher.sha256 = Some(Sha256::new()),
                _ => {}
            }
        }
        Self(hasher)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Sums {
        let sums = self.0.finalize();
        let values = [
            sums.checksum_crc32,
            sums.checksum_crc32c,
            sums.checksum_crc64nvme,
            sums.checksum_sha1,
            sums.checksum_sha256,
        ];
        Sums(
            NAMES.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?))).collect(),
        )
    }
}

/// Whether `name` is a checksum algorithm this store can verify.
pub(super) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The algorithm a trailer's name (`x-amz-checksum-crc32`) stands for.
pub(super) fn of_header_name(name: &str) -> Option<&'static str> {
    let name = name.trim().strip_prefix(PREFIX)?;
    NAMES.into_iter().find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summed(bytes: &[u8]) -> Sums {
        let mut summer = Summer::new(NAMES.into_iter());
        summer.update(bytes);
        summer.finish()
    }

    #[test]
    fn the_check_values_of_the_algorithms() {
        // CRC catalogue: the "check" values over "123456789".
        let sums = summed(b"123456789");
        assert_eq!(sums.0["crc32"], STANDARD.encode([0xcb, 0xf4, 0x39, 0x26]));
        assert_eq!(sums.0["crc32c"], STANDARD.encode([0xe3, 0x06, 0x92, 0x83]));
        assert_eq!(sums.0["crc64nvme"], STANDARD.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes()));
        assert_eq!(sums.0["sha256"], "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=");
    }

    #[test]
    fn headers_there_and_back() {
        let sums = summed(b"x");
        assert_eq!(Sums::of_headers(&sums.to_headers()), sums);
        assert_eq!(of_header_name(" x-amz-checksum-crc64nvme"), Some("crc64nvme"));
        assert_eq!(of_header_name("x-amz-checksum-type"), None);
    }

    #[test]
    fn a_contradiction_is_named() {
        let mut declared = Summer::new(["sha256"].into_iter()).finish();
        assert_eq!(declared.contradicted_by(&summed(b"")), None);
        assert_eq!(declared.contradicted_by(&summed(b"x")), Some("sha256"));
        declared.extend(Summer::new(["crc32"].into_iter()).finish());
        assert_eq!(declared.contradicted_by(&summed(b"x")), Some("crc32"));
    }

    #[test]
    fn a_composite_is_the_digest_of_digests() {
        let (a, b) = (summed(b"a"), summed(b"b"));
        let raw =
            [STANDARD.decode(&a.0["sha256"]).unwrap(), STANDARD.decode(&b.0["sha256"]).unwrap()].concat();
        let own = format!("{}-2", STANDARD.encode(Sha256::checksum(&raw)));
        assert_eq!(Sums::composite("sha256", &[&a, &b]), Some(own.clone()));
        let (whole, composite) = Sums([("sha256".to_owned(), own)].into()).whole_and_composite();
        assert!(whole.is_empty());
        assert_eq!(composite.composite_contradicted_by(&[&a, &b]), None);
        assert_eq!(composite.composite_contradicted_by(&[&b, &a]), Some("sha256"));
        assert_eq!(composite.composite_contradicted_by(&[&a, &Sums::default()]), Some("sha256"));
    }
}
