//! Takes one request body in: to a scratch file, through every digest the client claimed, and only then to the caller.
//!
//! Nothing of a body is visible anywhere until all claims about it held. What is verified: the signed payload digest (in
//! s3s, as the bytes pass; measured to be so for PutObject and UploadPart, and named here), `Content-MD5`, every
//! `x-amz-checksum-…` in headers or trailers. A claimed algorithm without a value is refused too, as AWS does.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result, StdError, TrailingHeaders, s3_error};
use tempfile::{NamedTempFile, TempPath};
use tokio::io::{AsyncWriteExt, BufWriter};

use super::sums::{self, Summer, Sums};

/// The most one PutObject or UploadPart may carry: 5 GiB.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const MAX_BODY: u64 = 5 << 30;
/// Bodies arrive in small pieces; the disk is written in larger ones.
const WRITE_BUFFER: usize = 256 << 10;

/// A body that is complete, verified and still unseen. Dropped, its file is gone.
pub(super) struct Taken {
    pub(super) file: TempPath,
    pub(super) size: u64,
    pub(super) md5: [u8; 16],
    pub(super) sums: Sums,
}

/// What the client says about its body.
pub(super) struct Claims {
    content_md5: Option<String>,
    sums: Sums,
    /// Algorithms named without a value so far.
    promised: Vec<String>,
    trailers: Option<TrailingHeaders>,
}

impl Claims {
    pub(super) fn read(headers: &HeaderMap, trailers: Option<TrailingHeaders>) -> S3Result<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut promised = Vec::new();
        if let Some(name) = text("x-amz-sdk-checksum-algorithm") {
            promised.push(name.to_ascii_lowercase());
        }
        promised.extend(
            text("x-amz-trailer")
                .unwrap_or("")
                .split(',')
                .filter_map(sums::of_header_name)
                .map(str::to_owned),
        );
        if let Some(unknown) = promised.iter().find(|name| !sums::is_known(name)) {
            return Err(s3_error!(InvalidRequest, "The checksum algorithm {unknown} is not supported."));
        }
        Ok(Self {
            content_md5: text("content-md5").map(str::to_owned),
            sums: Sums::of_headers(headers),
            promised,
            trailers,
        })
    }

    fn settle(mut self, md5: [u8; 16], computed: &Sums) -> S3Result<()> {
        if let Some(claimed) = &self.content_md5 {
            match STANDARD.decode(claimed) {
                Ok(claimed) if claimed == md5 => {}
                Ok(claimed) if claimed.len() == md5.len() => {
                    return Err(s3_error!(
                        BadDigest,
                        "The Content-MD5 you specified did not match what we received."
                    ));
                }
                _ => return Err(s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid.")),
            }
        }
        if let Some(trailers) = self.trailers.take().and_then(|trailers| trailers.take()) {
            self.sums.extend(Sums::of_headers(&trailers));
        }
        if let Some(name) = self.promised.iter().find(|name| !self.sums.names().any(|given| given == **name))
        {
            return Err(s3_error!(InvalidRequest, "x-amz-checksum-{name} was announced, but did not come."));
        }
        match self.sums.contradicted_by(computed) {
            None => Ok(()),
            Some(name) => {
                Err(s3_error!(BadDigest, "The {name} you specified did not match what we received."))
            }
        }
    }
}

/// Reads `body` to its end into a file in `scratch` and checks it against `claims`.
///
/// # Errors
/// `XAmzContentSHA256Mismatch`, `BadDigest`, `InvalidDigest`, `SignatureDoesNotMatch`, `IncompleteBody`,
/// `EntityTooLarge`; `InternalError` if the disk fails. Then the file is gone.
pub(super) async fn take_in(mut body: StreamingBlob, scratch: &Path, claims: Claims) -> S3Result<Taken> {
    let (file, path) = NamedTempFile::new_in(scratch).map_err(S3Error::internal_error)?.into_parts();
    let mut writer = BufWriter::with_capacity(WRITE_BUFFER, tokio::fs::File::from_std(file));
    let mut md5 = Md5::new();
    let mut summer = Summer::new(claims.sums.names().chain(claims.promised.iter().map(String::as_str)));
    let mut size = 0_u64;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(name_the_failure)?;
        size += piece.len() as u64;
        if size > MAX_BODY {
            return Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size."));
        }
        md5.update(&piece);
        summer.update(&piece);
        writer.write_all(&piece).await.map_err(S3Error::internal_error)?;
    }
    writer.flush().await.map_err(S3Error::internal_error)?;
    let (md5, sums) = (md5.finalize(), summer.finish());
    claims.settle(md5, &sums)?;
    Ok(Taken { file: path, size, md5, sums })
}

/// s3s reports a body that breaks its promises as an opaque stream error; its types are private, its words are not.
fn name_the_failure(error: StdError) -> S3Error {
    let words = error.to_string();
    if words.contains("Sha256Mismatch") {
        let mut refusal = S3Error::with_message(
            S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
        refusal.set_status_code(StatusCode::BAD_REQUEST);
        return refusal;
    }
    if words.contains("SignatureMismatch") {
        return s3_error!(
            error_source(error),
            SignatureDoesNotMatch,
            "A chunk is not signed by its own bytes."
        );
    }
    s3_error!(error_source(error), IncompleteBody, "You did not provide the number of bytes you announced.")
}

fn error_source(error: StdError) -> std::io::Error {
    std::io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::stream;

    async fn take(
        pieces: Vec<Result<&'static str, &'static str>>,
        headers: &[(&'static str, &str)],
    ) -> S3Result<Taken> {
        let scratch = tempfile::tempdir().unwrap();
        let pieces = pieces.into_iter().map(|piece| piece.map(Bytes::from).map_err(std::io::Error::other));
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let claims = Claims::read(&headers, None)?;
        let outcome =
            take_in(StreamingBlob::wrap(stream::iter(pieces.collect::<Vec<_>>())), scratch.path(), claims)
                .await;
        let left = std::fs::read_dir(scratch.path()).unwrap().count();
        assert_eq!(left, usize::from(outcome.is_ok()), "only a good body leaves a file");
        outcome
    }

    fn code(outcome: S3Result<Taken>) -> String {
        outcome.err().map_or_else(|| "ok".to_owned(), |error| error.code().as_str().to_owned())
    }

    #[tokio::test]
    async fn a_good_body_is_taken_whole() {
        let taken =
            take(vec![Ok("hel"), Ok("lo")], &[("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")]).await.unwrap();
        assert_eq!((taken.size, hex::encode(taken.md5)), (5, "5d41402abc4b2a76b9719d911017c592".to_owned()));
        assert!(taken.sums.is_empty());
    }

    #[tokio::test]
    async fn every_broken_claim_is_refused() {
        let refused = |headers: &'static [(&'static str, &'static str)]| async {
            code(take(vec![Ok("hello")], headers).await)
        };
        assert_eq!(refused(&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")]).await, "BadDigest");
        assert_eq!(refused(&[("content-md5", "nonsense")]).await, "InvalidDigest");
        assert_eq!(refused(&[("x-amz-checksum-sha256", "nonsense")]).await, "BadDigest");
        assert_eq!(refused(&[("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")]).await, "BadDigest");
        assert_eq!(refused(&[("x-amz-sdk-checksum-algorithm", "SHA256")]).await, "InvalidRequest");
        assert_eq!(refused(&[("x-amz-sdk-checksum-algorithm", "BLAKE3")]).await, "InvalidRequest");
        assert_eq!(refused(&[("x-amz-trailer", "x-amz-checksum-crc32")]).await, "InvalidRequest");
        assert_eq!(
            refused(&[("x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")]).await,
            "ok"
        );
    }

    #[tokio::test]
    async fn a_broken_stream_is_named() {
        assert_eq!(
            code(take(vec![Ok("x"), Err("UploadStreamError: Sha256Mismatch")], &[]).await),
            "XAmzContentSHA256Mismatch"
        );
        assert_eq!(
            code(take(vec![Err("AwsChunkedStreamError: SignatureMismatch")], &[]).await),
            "SignatureDoesNotMatch"
        );
        assert_eq!(code(take(vec![Ok("x"), Err("connection closed")], &[]).await), "IncompleteBody");
    }
}
