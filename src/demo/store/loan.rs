//! A request body on loan: whoever answers may leave it half read, and it comes back to be read to its end.
//!
//! A server that answers and closes while the client still sends makes the client see a broken connection instead of the
//! answer: an expired token in the middle of a 200 MB part would look like an outage. So after every answer the rest of
//! the body is read and thrown away. Every wait for bytes is bounded.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep};

/// How much of an unwanted body is read.
const DRAINED: usize = 5 << 30;

/// The lender of one body.
pub(super) struct Loan {
    home: Arc<Mutex<Option<BodyDataStream>>>,
    patience: Duration,
    /// The request has no body at all.
    pub(super) empty: bool,
}

impl Loan {
    /// `patience` is how long the client may be silent in the middle of its body.
    pub(super) fn new(body: Body, patience: Duration) -> Self {
        let empty = body.size_hint().exact() == Some(0);
        Self { home: Arc::new(Mutex::new(Some(body.into_data_stream()))), patience, empty }
    }

    /// The body, until it is dropped. Empty if it is lent already.
    pub(super) fn lend(&self) -> Lent {
        let body = self.home.lock().unwrap_or_else(PoisonError::into_inner).take();
        let silence = Box::pin(sleep(self.patience));
        Lent { body, home: Arc::clone(&self.home), patience: self.patience, silence }
    }

    /// Reads what is left, as long as something comes.
    pub(super) async fn drain(self) {
        let mut rest = self.lend();
        let mut read = 0;
        while let Some(Ok(bytes)) = rest.next().await {
            read += bytes.len();
            if read > DRAINED {
                break;
            }
        }
    }
}

/// A lent body: a stream that goes home when dropped.
pub(super) struct Lent {
    body: Option<BodyDataStream>,
    home: Arc<Mutex<Option<BodyDataStream>>>,
    patience: Duration,
    silence: Pin<Box<Sleep>>,
}

impl Stream for Lent {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let patience = self.patience;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match body.poll_next_unpin(cx) {
            Poll::Ready(piece) => {
                self.silence.as_mut().reset(Instant::now() + patience);
                Poll::Ready(piece.map(|piece| piece.map_err(io::Error::other)))
            }
            Poll::Pending => {
                let silent = self.silence.as_mut().poll(cx);
                silent.map(|()| Some(Err(io::ErrorKind::TimedOut.into())))
            }
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn what_was_not_read_comes_back_and_is_drained() {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let pieces = stream::iter(["a", "b", "c"]).map(move |piece| {
            count.fetch_add(1, Ordering::Relaxed);
            io::Result::Ok(piece)
        });
        let loan = Loan::new(Body::from_stream(pieces), Duration::from_secs(5));
        let mut lent = loan.lend();
        assert_eq!(lent.next().await.unwrap().unwrap(), "a");
        assert!(loan.lend().next().await.is_none(), "lent only once");
        drop(lent);
        loan.drain().await;
        assert_eq!(sent.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn silence_ends_the_wait() {
        let loan =
            Loan::new(Body::from_stream(stream::pending::<io::Result<Bytes>>()), Duration::from_millis(20));
        let error = loan.lend().next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        tokio::time::timeout(Duration::from_secs(5), loan.drain()).await.unwrap();
    }
}
