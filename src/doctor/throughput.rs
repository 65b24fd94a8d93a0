//! How fast it goes, with one request in flight and with more.
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use futures_util::future::join_all;

use super::exam::Exam;
use super::parts::bytes_of;
use crate::conf::Checksum;
use crate::store::Load;

/// Requests in flight.
const FLIGHTS: [usize; 3] = [1, 4, 16];
/// Of an upload that nobody completes a part may be smaller than S3 allows.
const LEAST: u64 = 256 << 10;

/// Bytes a second.
pub(super) fn rate(bytes: u64, begun: Instant) -> u64 {
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
    u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(micros)).unwrap_or(u64::MAX)
}

impl Exam {
    fn flights(&self) -> impl Iterator<Item = usize> + use<> {
        let most = self.most;
        FLIGHTS.into_iter().filter(move |flight| *flight <= most)
    }

    /// Parts of an upload that is given up afterwards, so that nothing stays.
    pub(super) async fn uploads_at_speed(&mut self) {
        let Some(largest) = self.facts.largest_part.filter(|_| !self.seconds.is_zero()) else { return };
        let proven =
            |kind: Checksum| self.facts.checks.get(kind.to_string().as_str()).is_some_and(|c| c.proves());
        let proof =
            Some(self.facts.configured.checksum).filter(|kind| proven(*kind)).unwrap_or(Checksum::Signed);
        let bytes = bytes_of(largest);
        let key = self.key("speed");
        let Ok(upload) = self.probe.begin(&key, Some(proof)).await else { return };
        let most = self.facts.most_parts.unwrap_or(1_000);
        for flight in self.flights() {
            // On a slow way one large part would take far longer than it is measured for.
            let fits = self.estimate.saturating_mul(self.seconds.as_secs()) / (2 * flight as u64);
            let size = fits.clamp(LEAST.min(largest), largest);
            let part = bytes.slice(..usize::try_from(size).unwrap_or(bytes.len()));
            let load = Load { proof: Some(proof), ..Load::signed(part) };
            let (sent, number, begun) =
                (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU32::new(0)), Instant::now());
            let fly = |_| {
                let (probe, key, upload, load) =
                    (self.probe.clone(), key.clone(), upload.clone(), load.clone());
                let (sent, number, seconds) = (sent.clone(), number.clone(), self.seconds);
                async move {
                    while begun.elapsed() < seconds {
                        let next = number.fetch_add(1, Relaxed) % most + 1;
                        let next = i32::try_from(next).unwrap_or(1);
                        probe.part(&key, &upload, next, &load).await.ok()?;
                        sent.fetch_add(size, Relaxed);
                    }
                    Some(())
                }
            };
            // What broke off does not count; the others say how fast it went.
            drop(join_all((0..flight).map(fly)).await);
            self.facts.up.push((flight, rate(sent.load(Relaxed), begun)));
        }
        self.abort(&key, &upload).await;
    }

    /// Ranges of the largest object that is there.
    pub(super) async fn downloads_at_speed(&mut self, key: &str, size: u64) {
        if self.seconds.is_zero() || size < 1 << 20 {
            return;
        }
        let range = self.range_size.min(size);
        let ranges = (size / range).max(1);
        for flight in self.flights() {
            let (came, number, begun) =
                (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Instant::now());
            let fly = |_| {
                let (probe, key, came, number) =
                    (self.probe.clone(), key.to_owned(), came.clone(), number.clone());
                let seconds = self.seconds;
                async move {
                    while begun.elapsed() < seconds {
                        let from = number.fetch_add(1, Relaxed) % ranges * range;
                        let got = probe.get(&key, Some((from, from + range - 1)), range).await.ok()?;
                        came.fetch_add(got.1.len() as u64, Relaxed);
                    }
                    Some(())
                }
            };
            drop(join_all((0..flight).map(fly)).await);
            self.facts.down.push((flight, rate(came.load(Relaxed), begun)));
        }
    }
}
