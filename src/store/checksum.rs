//! What proves the bytes of one request on the wire: computed while they are hot, sent as a header, compared with the answer.
//!
//! With `signed` the SHA-256 is computed once, and the signer is given the result: left alone, the SDK would hash every body a second
//! time for its signature. With the others the body is not signed, only the header that proves it is; such a kind is right only for an
//! endpoint that refuses a body which contradicts its header (`doctor` finds out), so an answer without a checksum is allowed.
//!
//! An answer without an ETag is not: the SDK looks at nothing but the status and the headers of an answer to a put, so the page of a
//! proxy that says 200 would be taken for an object, and even for a `COMMIT`. Every store states an ETag for what it has taken.
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedPart};
use aws_sigv4::http_request::SignableBody;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::StoreError;
use super::attempt::{Class, Failed};
use super::sort::CHANGED;
use crate::conf::Checksum;
use crate::package::Digests;

/// A checksum in the making.
pub(super) struct Summer {
    kind: Checksum,
    hasher: Hasher,
}

enum Hasher {
    Sha256(Sha256),
    Md5(Md5),
    Crc(crc_fast::Digest),
}

impl Summer {
    pub(super) fn new(kind: Checksum) -> Self {
        let crc = |algorithm| Hasher::Crc(crc_fast::Digest::new(algorithm));
        let hasher = match kind {
            Checksum::Signed | Checksum::Sha256 => Hasher::Sha256(Sha256::new()),
            Checksum::Md5 => Hasher::Md5(Md5::new()),
            Checksum::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Checksum::Crc32C => crc(CrcAlgorithm::Crc32Iscsi),
            Checksum::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
        };
        Self { kind, hasher }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha256(sha256) => sha256.update(bytes),
            Hasher::Md5(md5) => md5.update(bytes),
            Hasher::Crc(crc) => crc.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Proof {
        let raw = match self.hasher {
            Hasher::Sha256(sha256) => sha256.finalize().to_vec(),
            Hasher::Md5(md5) => md5.finalize().to_vec(),
            Hasher::Crc(crc) => {
                let (all, width) = (crc.finalize().to_be_bytes(), if is_wide(self.kind) { 8 } else { 4 });
                all.iter().copied().skip(all.len() - width).collect() // S3 wants the bytes of its width, greatest first
            }
        };
        Proof { kind: self.kind, raw }
    }
}

fn is_wide(kind: Checksum) -> bool {
    kind == Checksum::Crc64Nvme
}

/// The checksum of one body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    kind: Checksum,
    raw: Vec<u8>,
}

impl Proof {
    pub(super) fn of(kind: Checksum, bytes: &[u8]) -> Self {
        let mut summer = Summer::new(kind);
        summer.update(bytes);
        summer.finish()
    }

    /// What is known anyway behind the file's own digests.
    pub(super) fn among(kind: Checksum, digests: &Digests) -> Option<Self> {
        let text = match kind {
            Checksum::Signed | Checksum::Sha256 => digests.sha256.as_str(),
            Checksum::Md5 => digests.md5.as_ref()?.as_str(),
            _ => return None,
        };
        Some(Self { kind, raw: hex::decode(text).ok()? })
    }

    /// As S3 writes it.
    pub(super) fn text(&self) -> String {
        BASE64.encode(&self.raw)
    }

    /// For `customize().interceptor(…)` of the request whose body this is about.
    pub(super) fn dress(&self) -> Dress {
        let payload = match self.kind {
            Checksum::Signed => SignableBody::Precomputed(hex::encode(&self.raw)),
            _ => SignableBody::UnsignedPayload,
        };
        Dress { header: header(self.kind), value: self.text(), payload }
    }

    /// Takes an answer for what the store says of these bytes: it is the store's, and the bytes that it took are ours.
    pub(super) fn accept<A: Answer>(&self, what: &'static str, key: &str, answer: A) -> Result<A, Failed> {
        let answer = of_the_store(what, key, answer)?;
        let ours = self.text();
        match answer.says(self.kind) {
            Some(theirs) if theirs != ours => {
                let why =
                    format!("{key}: {CHANGED} (the store answers with digest {theirs}, ours is {ours})");
                Err(Failed {
                    error: StoreError::Outage { what, why },
                    class: Class::Transient,
                    retry_after: None,
                })
            }
            _ => Ok(answer),
        }
    }
}

/// Whether an ETag is one.
pub(super) fn is_etag(etag: &str) -> bool {
    !etag.trim_matches('"').is_empty()
}

/// Takes an answer for the store's. Without an ETag nobody knows who gave it and what was done.
pub(super) fn of_the_store<A: Answer>(what: &'static str, key: &str, answer: A) -> Result<A, Failed> {
    if answer.etag().is_some_and(is_etag) {
        return Ok(answer);
    }
    let why = format!(
        "{key}: the answer has no ETag: it may come from a proxy or a login page before the store; see what answers at \
         store.endpoint (through store.proxy, if set)"
    );
    Err(Failed { error: StoreError::Outage { what, why }, class: Class::Unclear, retry_after: None })
}

fn header(kind: Checksum) -> &'static str {
    match kind {
        Checksum::Signed | Checksum::Sha256 => "x-amz-checksum-sha256",
        Checksum::Crc64Nvme => "x-amz-checksum-crc64nvme",
        Checksum::Crc32C => "x-amz-checksum-crc32c",
        Checksum::Crc32 => "x-amz-checksum-crc32",
        Checksum::Md5 => "content-md5",
    }
}

/// What an upload in parts must be told when it is begun.
pub(super) fn algorithm(kind: Checksum) -> Option<ChecksumAlgorithm> {
    match kind {
        Checksum::Signed | Checksum::Sha256 => Some(ChecksumAlgorithm::Sha256),
        Checksum::Crc64Nvme => Some(ChecksumAlgorithm::Crc64Nvme),
        Checksum::Crc32C => Some(ChecksumAlgorithm::Crc32C),
        Checksum::Crc32 => Some(ChecksumAlgorithm::Crc32),
        Checksum::Md5 => None,
    }
}

/// A part as a completion names it.
pub(super) fn completed(kind: Checksum, number: i32, etag: Option<String>, sum: &str) -> CompletedPart {
    let part = CompletedPart::builder().part_number(number).set_e_tag(etag);
    match kind {
        Checksum::Signed | Checksum::Sha256 => part.checksum_sha256(sum),
        Checksum::Crc64Nvme => part.checksum_crc64_nvme(sum),
        Checksum::Crc32C => part.checksum_crc32_c(sum),
        Checksum::Crc32 => part.checksum_crc32(sum),
        Checksum::Md5 => part,
    }
    .build()
}

/// An answer that may state a checksum of what was sent.
pub(super) trait Answer {
    fn etag(&self) -> Option<&str>;
    fn says(&self, kind: Checksum) -> Option<&str>;
}

macro_rules! answers {
    ($($answer:ty),*) => { $(
        impl Answer for $answer {
            fn etag(&self) -> Option<&str> {
                self.e_tag()
            }

            fn says(&self, kind: Checksum) -> Option<&str> {
                match kind {
                    Checksum::Signed | Checksum::Sha256 => self.checksum_sha256(),
                    Checksum::Crc64Nvme => self.checksum_crc64_nvme(),
                    Checksum::Crc32C => self.checksum_crc32_c(),
                    Checksum::Crc32 => self.checksum_crc32(),
                    Checksum::Md5 => None, // an ETag is never taken for one
                }
            }
        }
    )* };
}
answers!(PutObjectOutput, UploadPartOutput);

/// Puts the header on a request and tells the signer what of the body it covers.
#[derive(Debug)]
pub(super) struct Dress {
    header: &'static str,
    value: String,
    payload: SignableBody<'static>,
}

impl Intercept for Dress {
    fn name(&self) -> &'static str {
        "checksum"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        drop(context.request_mut().headers_mut().insert(self.header, self.value.clone()));
        let config = bag.load::<SigV4OperationSigningConfig>().cloned();
        let mut config = config.ok_or("the SDK has no settings for the signature")?;
        config.signing_options.payload_override = Some(self.payload.clone());
        let _state = bag.interceptor_state().store_put(config);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::CHECKSUMS;
    use crate::package::HashState;

    #[test]
    fn the_check_values_of_the_algorithms() {
        // The catalogues' check values, over "123456789".
        let known = [
            (Checksum::Signed, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
            (Checksum::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
            (Checksum::Crc64Nvme, "rosUhgp5mIg="),
            (Checksum::Crc32C, "4waSgw=="),
            (Checksum::Crc32, "y/Q5Jg=="),
            (Checksum::Md5, "JfnnlDI7RTiF9RgfG2JNCw=="),
        ];
        assert_eq!(known.len(), CHECKSUMS.len());
        for (kind, text) in known {
            let mut summer = Summer::new(kind);
            summer.update(b"1234");
            summer.update(b"56789");
            assert_eq!(summer.finish().text(), text, "{kind}");
            assert_eq!(Proof::of(kind, b"123456789").text(), text);
            let mut state = HashState::new(true);
            state.update(b"123456789");
            let among = Proof::among(kind, &state.finish());
            let crc = matches!(kind, Checksum::Crc64Nvme | Checksum::Crc32C | Checksum::Crc32);
            assert_eq!(among.map(|p| p.text()), (!crc).then(|| text.to_owned()), "{kind}");
        }
    }

    #[test]
    fn an_answer_without_an_etag_is_nobodys() {
        let proof = Proof::of(Checksum::Signed, b"a");
        for etag in [None, Some(""), Some("\"\"")] {
            let answer = || PutObjectOutput::builder().set_e_tag(etag.map(str::to_owned));
            // Not even if it agrees about the bytes, as an echo of the request's headers would.
            for answer in [answer().build(), answer().checksum_sha256(proof.text()).build()] {
                let failed = proof.accept("accept an object", "k", answer).unwrap_err();
                assert!(failed.class == Class::Unclear && failed.error.is_outage(), "{failed:?}");
                assert!(failed.error.to_string().contains("k: the answer has no ETag"), "{}", failed.error);
            }
        }
        assert!(is_etag("\"x\"") && is_etag("x"));
    }

    #[test]
    fn a_wrong_digest_in_the_answer_is_asked_about_again_and_silence_is_not() {
        for (_, kind) in CHECKSUMS.into_iter().filter(|(_, kind)| *kind != Checksum::Md5) {
            let answer = |sum: Option<String>| {
                let part = UploadPartOutput::builder().e_tag("\"e\"");
                match kind {
                    Checksum::Crc64Nvme => part.set_checksum_crc64_nvme(sum),
                    Checksum::Crc32C => part.set_checksum_crc32_c(sum),
                    Checksum::Crc32 => part.set_checksum_crc32(sum),
                    _ => part.set_checksum_sha256(sum),
                }
                .build()
            };
            let proof = Proof::of(kind, b"a");
            let says = |sum| proof.accept("accept a part", "k", answer(sum));
            assert!(says(None).is_ok() && says(Some(proof.text())).is_ok());
            let failed = says(Some(Proof::of(kind, b"b").text())).unwrap_err();
            assert!(failed.class == Class::Transient && failed.error.is_outage(), "{kind}: {failed:?}");
            assert!(failed.error.to_string().contains(CHANGED), "{kind}: {}", failed.error);
        }
    }
}
