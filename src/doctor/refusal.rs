//! What a refusal is about: what was asked, the very bytes, or only this moment and this key. Pure, but for the repeats.
//!
//! A status alone says little: 403 may be a token that expired a second ago, 409 a rule against replacing objects, 429 a busy
//! proxy. Whoever takes one of them for "bytes are checked" or "parts are too large" writes a wrong configuration.
use std::time::Duration;

use crate::conf::Checksum;
use crate::store::{Answer, Said};

/// Codes that say nothing about what was asked, whatever their status: they are about the moment, the key, its token or the clock.
const BESIDE: [&str; 24] = [
    "AccessDenied",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "ConditionalRequestConflict",
    "ExpiredToken",
    "InternalError",
    "InvalidAccessKeyId",
    "InvalidToken",
    "NoSuchBucket",
    "NoSuchUpload",
    "OperationAborted",
    "PreconditionFailed",
    "QuotaExceeded",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "Throttling",
    "TokenRefreshRequired",
    "TooManyRequests",
];

/// Codes by which a store says that bytes are not those that were promised.
const OTHER_BYTES: [&str; 4] =
    ["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"];

/// In the explanation of a 400 without such a code.
const OF_SUMS: [&str; 6] = ["checksum", "digest", "sha256", "sha-256", "md5", "crc"];

/// How often what is of the moment is asked again, and after which pauses.
pub(super) type Pauses = [Duration; 2];

/// A store may name a longer pause; up to this it is kept.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Whether the same request would be refused tomorrow and for another key as well.
pub(super) fn is_about_the_request(said: &Said) -> bool {
    !BESIDE.contains(&said.code.as_str())
        && matches!(said.status, Some(400 | 405 | 411 | 413 | 414 | 415 | 416 | 422 | 431 | 501))
}

/// Whether bytes are refused for being others than this kind of proof promised. The right ones must have been taken just before.
pub(super) fn is_about_the_bytes(said: &Said, kind: Checksum) -> bool {
    let code = said.code.as_str();
    if !matches!(said.status, Some(400..=499)) {
        return false;
    }
    if OTHER_BYTES.contains(&code) {
        return true;
    }
    // Where the signature does not cover the body it cannot be the body that it does not match.
    if code == "SignatureDoesNotMatch" {
        return kind == Checksum::Signed;
    }
    let words = format!("{code} {}", said.message).to_ascii_lowercase();
    !code.is_empty()
        && said.status == Some(400)
        && !BESIDE.contains(&code)
        && OF_SUMS.iter().any(|word| words.contains(word))
}

/// Whether the next answer may be another one.
fn may_change(said: &Said) -> bool {
    said.status.is_some_and(|status| status >= 300)
        && !is_about_the_request(said)
        && !matches!(said.status, Some(404 | 412))
}

/// Asks again, after pauses, while the answer may be of the moment. What has no answer at all is not repeated: it took long enough.
pub(super) async fn settled<T>(pauses: Pauses, ask: impl AsyncFn() -> Answer<T>) -> Answer<T> {
    for pause in pauses {
        match ask().await {
            Err(said) if may_change(&said) => {
                let named = said.retry_after.unwrap_or_default().min(LONGEST_PAUSE);
                tokio::time::sleep(pause.max(named)).await;
            }
            answer => return answer,
        }
    }
    ask().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: &str, message: &str) -> Said {
        Said { status: Some(status), code: code.into(), message: message.into(), ..Said::default() }
    }

    #[test]
    fn bytes_are_refused_only_in_words_about_bytes() {
        let yes = |status, code, message| is_about_the_bytes(&said(status, code, message), Checksum::Crc32C);
        for code in OTHER_BYTES {
            assert!(yes(400, code, ""), "{code}");
        }
        assert!(yes(400, "InvalidRequest", "Value for x-amz-checksum-crc32c header is invalid."));
        assert!(yes(400, "ChecksumMismatch", ""));
        for (status, code, message) in [
            (400, "InvalidRequest", "No."),
            (400, "", "checksum"), // a page of a proxy
            (400, "ExpiredToken", "The digest of the token is old."),
            (400, "RequestTimeout", ""),
            (401, "", ""),
            (403, "AccessDenied", "Objects may not be replaced; checksum of the policy."),
            (403, "", ""),
            (404, "NoSuchUpload", ""),
            (408, "RequestTimeout", ""),
            (409, "OperationAborted", ""),
            (412, "PreconditionFailed", ""),
            (429, "TooManyRequests", ""),
            (500, "BadDigest", ""),
            (503, "SlowDown", ""),
        ] {
            assert!(!yes(status, code, message), "{status} {code} {message}");
        }
        let mismatch = said(403, "SignatureDoesNotMatch", "");
        assert!(is_about_the_bytes(&mismatch, Checksum::Signed));
        assert!(!is_about_the_bytes(&mismatch, Checksum::Sha256), "the signature does not cover the body");
    }

    #[test]
    fn a_limit_is_believed_only_if_it_is_about_the_request() {
        for (status, code) in
            [(400, "InvalidArgument"), (400, "EntityTooLarge"), (413, ""), (501, "NotImplemented"), (400, "")]
        {
            let said = said(status, code, "");
            assert!(is_about_the_request(&said) && !may_change(&said), "{status} {code}");
        }
        for (status, code) in [
            (400, "ExpiredToken"),
            (400, "RequestTimeout"),
            (401, ""),
            (403, "AccessDenied"),
            (408, ""),
            (409, "OperationAborted"),
            (429, ""),
            (500, "InternalError"),
            (503, "SlowDown"),
        ] {
            let said = said(status, code, "");
            assert!(!is_about_the_request(&said) && may_change(&said), "{status} {code}");
        }
        for (status, code) in [(404, "NoSuchUpload"), (412, "PreconditionFailed"), (200, "")] {
            let said = said(status, code, "");
            assert!(!is_about_the_request(&said) && !may_change(&said), "{status} {code}");
        }
    }

    #[tokio::test]
    async fn what_is_of_the_moment_is_asked_three_times_at_most() {
        for (answers, ends, asked) in [
            (vec![429, 403, 200, 200], 200, 3),
            (vec![429, 403, 408, 200], 408, 3),
            (vec![413, 200], 413, 1),
            (vec![404, 200], 404, 1),
            (vec![200], 200, 1),
        ] {
            let (all, next) = (answers.len(), std::cell::RefCell::new(answers.clone().into_iter()));
            let ask = async || match next.borrow_mut().next() {
                Some(200) => Ok(200),
                other => Err(said(other.unwrap(), "", "")),
            };
            let end = match settled([Duration::ZERO; 2], ask).await {
                Ok(status) => status,
                Err(said) => said.status.unwrap(),
            };
            assert_eq!((end, all - next.borrow().len()), (ends, asked), "{answers:?}");
        }
    }
}
