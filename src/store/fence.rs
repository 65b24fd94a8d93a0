//! No request leaves without a permit: asked before every attempt of every request, so that nothing new can forget it, and
//! again while a body is sent.
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;

use crate::lease::{self, Guarded};

#[derive(Debug)]
pub(super) struct Fence;

impl Intercept for Fence {
    fn name(&self) -> &'static str {
        "lease"
    }

    /// Behind the signature, which covers the bytes and not the way in which they are handed out.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        lease::check()?;
        let body = context.request_mut().body_mut();
        if body.content_length() != Some(0) {
            let whole = std::mem::replace(body, SdkBody::taken());
            *body = SdkBody::from_body_1_x(Guarded::new(whole));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Store;
    use crate::conf::{Conf, Role};
    use crate::demo::site::{Site, SiteOptions};
    use crate::demo::store::{FaultKind, FaultRule};
    use crate::disk::Disks;
    use crate::hashing::Hashing;
    use crate::store::Origin;
    use crate::supervisor::meter::Board;

    /// The guarded body is made anew for each attempt, from bytes that are still whole, and under the same signature.
    #[tokio::test]
    async fn a_guarded_body_arrives_whole_also_at_the_second_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let options = SiteOptions { token_life: Duration::from_secs(600), ..SiteOptions::default() };
        let site = Site::open(dir.path(), &options).await.unwrap();
        let conf = Conf::load_with(Some(&site.conf(Role::Nsc)), None, []).unwrap();
        let disks = Disks::new(1, Duration::from_secs(60), std::sync::Arc::new(|_, _, _| {}));
        let disk = disks.at("t", dir.path()).unwrap();
        let store = Store::new(&conf.store, disk.clone(), Hashing::start(1).unwrap()).unwrap();
        let bytes: Vec<u8> = (0..(12 << 20) + 5).map(|n: u32| (n % 253) as u8).collect();
        let source = dir.path().join("source");
        crate::fs::write_durably(&source, &bytes).unwrap();
        for (part, kind) in [(1, FaultKind::SlowDown), (2, FaultKind::Drop), (3, FaultKind::GatewayTimeout)] {
            let query_contains = Some(format!("partNumber={part}"));
            site.store.fault(FaultRule { query_contains, ..FaultRule::next(kind) });
        }
        let meter = Board::default().begin("uploader", "t".into());
        let key = "tsd-import/samples/p/r1/f";
        let hold = disks.hold("t").await.unwrap();
        let expected = crate::fs::Fingerprint::of(&source).unwrap();
        let (hold, disk, path) = (&hold, &disk, source.as_path());
        let from = Origin { hold, disk, path, expected, urgency: 0, flow: 0, kept: None };
        assert!(store.send_file(key, from, false, None, &meter).await.unwrap().stored);
        assert!(std::fs::read(site.dir.join("store/p22-import").join(key)).unwrap() == bytes);
        let parts = site.store.requests().iter().filter(|r| r.operation() == "UploadPart").count();
        assert_eq!(parts, 6, "each part was sent twice");
    }
}
