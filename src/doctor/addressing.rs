//! Whether the bucket is found if it is addressed the other way: `BUCKET.HOST/KEY` instead of `HOST/BUCKET/KEY`, or the reverse.
use std::time::Duration;

use super::exam::Exam;
use super::refusal::is_about_the_request;
use crate::conf::StoreConf;
use crate::disk::Disk;
use crate::store::{Answer, Probe, Said, StoreError};

/// What is needed to ask once more in the other style.
pub(super) struct Elsewhere {
    pub conf: StoreConf,
    pub secrets: Disk,
    pub patience: Duration,
}

impl Elsewhere {
    fn probe(&self) -> Result<Probe, StoreError> {
        let conf = StoreConf { path_style: !self.conf.path_style, ..self.conf.clone() };
        Probe::new(&conf, self.secrets.clone(), self.patience)
    }
}

/// Whether an answer is typical of a bucket that is looked for in the wrong place: the host `BUCKET.HOST` does not exist or has no
/// certificate, or the first piece of the key is taken for the bucket.
pub(super) fn is_astray(said: &Said) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| said.message.contains(word));
    match (said.code.as_str(), said.status) {
        ("NoSuchBucket" | "InvalidBucketName" | "PermanentRedirect", _) => true,
        (_, Some(404 | 405)) => true,
        (_, Some(400)) => is_about_the_request(said),
        (_, None) => has(&["dns error", "failed to lookup", "NotValidForName", "not valid for name"]),
        _ => false,
    }
}

impl Exam {
    /// The first question failed with `said`: asks it in the other style, and if that is answered once more in the configured one, so
    /// that a store that was only away for a moment is not taken for one that is addressed wrongly.
    pub(super) async fn addressing<T>(
        &mut self,
        said: &Said,
        ask: impl AsyncFn(&mut Self) -> Answer<T>,
    ) -> Result<(), StoreError> {
        if !is_astray(said) {
            return Ok(());
        }
        let configured = std::mem::replace(&mut self.probe, self.elsewhere.probe()?);
        let found = ask(self).await.is_ok();
        let other = std::mem::replace(&mut self.probe, configured);
        if found && ask(self).await.is_err_and(|said| is_astray(&said)) {
            self.facts.found_with_path_style = Some(!self.facts.configured.path_style);
        }
        // What was put there is taken away there.
        if found {
            self.probe = other;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_wrong_address_looks_like_is_asked_again() {
        let said = |status, code: &str, message: &str| Said {
            status,
            code: code.into(),
            message: message.into(),
            ..Said::default()
        };
        for astray in [
            said(
                None,
                "",
                "error sending request: client error (Connect): dns error: failed to lookup address",
            ),
            said(None, "", "invalid peer certificate: NotValidForName"),
            said(Some(404), "NoSuchBucket", ""),
            said(Some(404), "", ""),
            said(Some(400), "InvalidBucketName", ""),
            said(Some(400), "InvalidRequest", ""),
            said(Some(400), "", ""),
            said(Some(405), "MethodNotAllowed", ""),
        ] {
            assert!(is_astray(&astray), "{astray:?}");
        }
        for other in [
            said(None, "", "tcp connect error: Connection refused"),
            said(None, "", "no answer within 30s"),
            said(Some(400), "ExpiredToken", ""),
            said(Some(401), "", ""),
            said(Some(403), "AccessDenied", ""),
            said(Some(403), "SignatureDoesNotMatch", ""),
            said(Some(503), "SlowDown", ""),
        ] {
            assert!(!is_astray(&other), "{other:?}");
        }
    }
}
