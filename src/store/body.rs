//! How the bytes of a request leave: never without a permit of the lease, not faster than the limit, and counted.
//!
//! An interceptor sees every attempt of every request, so that nothing new can forget it. It puts the body into two shells:
//! [`Moving`] hands it out in small pieces, each when the pace allows it, and tells the attempt's progress; around that
//! [`Guarded`] asks for a permit at the moment at which a piece leaves.
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::pace::Pace;
use super::progress::{self, Pause, Progress};
use crate::lease::{self, FRAME, Guarded};

/// Looks after the bodies of all requests.
#[derive(Debug)]
pub(super) struct Bodies(pub Pace);

impl Intercept for Bodies {
    fn name(&self) -> &'static str {
        "lease and pace"
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
            let moving = Moving::new(whole, self.0.clone(), progress::current());
            *body = SdkBody::from_body_1_x(Guarded::new(moving));
        }
        Ok(())
    }
}

/// A piece that may not leave yet.
struct Held {
    piece: Bytes,
    due: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    /// The store is not to blame for this.
    _pause: Pause,
}

/// A body that keeps to the pace and tells how far it is.
struct Moving {
    inner: SdkBody,
    /// Of the frame that `inner` gave last.
    rest: Bytes,
    held: Option<Held>,
    pace: Pace,
    progress: Progress,
}

impl Moving {
    fn new(inner: SdkBody, pace: Pace, progress: Progress) -> Self {
        Self { inner, rest: Bytes::new(), held: None, pace, progress }
    }

    /// A piece leaves.
    fn leaves(&self, piece: Bytes) -> Frame<Bytes> {
        self.progress.moved(piece.len() as u64);
        if self.is_end_stream() {
            self.progress.sent();
        }
        Frame::data(piece)
    }
}

impl Body for Moving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // An answer may come before the body is out, and the connection would go on to send it, with nobody to judge how fast.
        if self.progress.is_over() {
            return Poll::Ready(Some(Err("nobody waits for this request any more".into())));
        }
        loop {
            if let Some(held) = &mut self.held {
                ready!(held.due.as_mut().poll(context));
                if let Some(Held { piece, .. }) = self.held.take() {
                    return Poll::Ready(Some(Ok(self.leaves(piece))));
                }
            }
            if self.rest.is_empty() {
                let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)) else {
                    self.progress.sent();
                    return Poll::Ready(None);
                };
                match frame?.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                }
            }
            let length = self.pace.piece(FRAME).min(self.rest.len());
            let piece = self.rest.split_to(length);
            let bytes = piece.len() as u64;
            if !self.pace.must_wait(bytes) {
                return Poll::Ready(Some(Ok(self.leaves(piece))));
            }
            let pace = self.pace.clone();
            let due = Box::pin(async move { pace.passed(bytes).await });
            self.held = Some(Held { piece, due, _pause: self.progress.pause() });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, |held| held.piece.len());
        let (here, inner) = ((held + self.rest.len()) as u64, Body::size_hint(&self.inner));
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + here);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + here);
        }
        hint
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

#[cfg(test)]
#[path = "body_tests.rs"]
mod stalls;
