//! Who may do what: the sender only puts, the receiver only looks and fetches.
//!
//! In TSD listing counts as export, so a sending client can neither list nor ask what it has put. Everything that is not
//! on a list here is refused, including what the store does not know: a client must not learn from a simulator that it
//! may do more than in the real place.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3Result, s3_error};

/// What the sender's key opens.
const SENDER: [&str; 5] =
    ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload"];
/// What the receiver's key opens.
const RECEIVER: [&str; 5] = ["ListObjectsV2", "ListObjects", "GetObject", "HeadObject", "HeadBucket"];

/// The access keys to which the lists apply.
pub(super) struct Rights {
    pub(super) sender: String,
    pub(super) receiver: String,
    /// The sender may ask what an object is, as at other endpoints than TSD's.
    pub(super) sender_looks: Arc<AtomicBool>,
    /// The receiver may put below a directory `claims`, so that several of them can share the bucket.
    pub(super) receiver_claims: Arc<AtomicBool>,
}

impl Rights {
    fn allow(&self, access_key: Option<&str>, operation: &str, key: &str) -> bool {
        match access_key {
            Some(key) if key == self.sender => {
                SENDER.contains(&operation) || operation == "HeadObject" && self.sender_looks.load(Relaxed)
            }
            Some(access) if access == self.receiver => {
                let claims = operation == "PutObject" && key.contains("/claims/");
                RECEIVER.contains(&operation) || claims && self.receiver_claims.load(Relaxed)
            }
            _ => false,
        }
    }
}

// The signature that `async_trait` would write. s3s asks here after it verified the request's signature.
impl S3Access for Rights {
    fn check<'a, 'b, 'c, 'd>(
        &'a self,
        context: &'b mut S3AccessContext<'c>,
    ) -> Pin<Box<dyn Future<Output = S3Result<()>> + Send + 'd>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        let access_key = context.credentials().map(|credentials| credentials.access_key.as_str());
        let key = context.s3_path().get_object_key().unwrap_or_default();
        let allowed = self.allow(access_key, context.s3_op().name(), key);
        Box::pin(async move { if allowed { Ok(()) } else { Err(s3_error!(AccessDenied, "Access Denied.")) } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_do_not_overlap_and_nobody_else_may_anything() {
        let rights = Rights {
            sender: "s".into(),
            receiver: "r".into(),
            sender_looks: Arc::default(),
            receiver_claims: Arc::default(),
        };
        for operation in SENDER {
            assert!(
                rights.allow(Some("s"), operation, "p/k") && !rights.allow(Some("r"), operation, "p/k"),
                "{operation}"
            );
        }
        for operation in RECEIVER {
            assert!(
                rights.allow(Some("r"), operation, "p/k") && !rights.allow(Some("s"), operation, "p/k"),
                "{operation}"
            );
        }
        for operation in
            ["DeleteObject", "ListParts", "CopyObject", "UploadPartCopy", "DeleteBucket", "PostObject"]
        {
            assert!(
                !rights.allow(Some("s"), operation, "p/k") && !rights.allow(Some("r"), operation, "p/k"),
                "{operation}"
            );
        }
        let put = |key| rights.allow(Some("r"), "PutObject", key);
        assert!(!put("p/claims/x"));
        rights.receiver_claims.store(true, Relaxed);
        assert!(
            put("p/claims/x")
                && !put("p/samples/x")
                && !rights.allow(Some("r"), "DeleteObject", "p/claims/x")
        );
        assert!(!rights.allow(None, "PutObject", "p/k") && !rights.allow(Some("x"), "GetObject", "p/k"));
    }
}
