//! Buffers for parts, used again and again: fresh ones of some MiB each would be mapped, filled with zeros page by page and
//! unmapped for every part, and the allocator's arenas would keep what other threads gave back.
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::disk::aligned;

/// Smaller ones are left to the allocator. Larger ones come in multiples of this, so that few sizes rest side by side.
const LEAST: usize = 1 << 20;

/// Buffers that rest; clones share them. How many are in use is bounded by the slots that their users hold; those that rest never
/// bring the sum above the memory that the slots give out.
#[derive(Clone)]
pub struct Buffers {
    rest: Arc<Mutex<Rest>>,
    most: usize,
}

#[derive(Default)]
struct Rest {
    /// Oldest first.
    resting: Vec<BytesMut>,
    /// Bytes of those and of the ones in use.
    all: usize,
}

/// A buffer in use. Goes back to rest with the last of the [`Bytes`] that it became.
pub struct Buffer {
    bytes: BytesMut,
    length: usize,
    home: Buffers,
}

impl Buffers {
    /// None rest beyond this many bytes of all together.
    pub fn new(most: u64) -> Self {
        Self { rest: Arc::default(), most: usize::try_from(most).unwrap_or(usize::MAX) }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of exactly this many bytes; what stands in it is of no account.
    pub fn take(&self, length: usize) -> Buffer {
        let whole = length.next_multiple_of(LEAST);
        if length < LEAST {
            return Buffer { bytes: aligned(length), length, home: self.clone() };
        }
        let mut rest = self.rest();
        let found = rest.resting.iter().rposition(|b| b.len() == whole); // the last one used is the hottest
        let bytes = found.map(|at| rest.resting.remove(at));
        let mut cold = Vec::new();
        if bytes.is_none() {
            rest.all += whole;
            while rest.all > self.most && !rest.resting.is_empty() {
                let one = rest.resting.remove(0);
                rest.all -= one.len();
                cold.push(one);
            }
        }
        drop(rest); // before anything is mapped or unmapped
        drop(cold);
        let bytes = bytes.unwrap_or_else(|| aligned(whole));
        Buffer { bytes, length, home: self.clone() }
    }
}

impl Buffer {
    /// To be shared; not to be changed any more.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// The same, and `room` is given back behind the last of these bytes, when the buffer rests already: whoever has that room next finds it.
    /// Given back any sooner, while the wire lets go of the last bytes, it would have a buffer mapped beside this one.
    pub fn freeze_in(self, room: impl Send + 'static) -> Bytes {
        Bytes::from_owner(Roomed { buffer: self, _room: room })
    }
}

/// Dropped in this order.
struct Roomed<R> {
    buffer: Buffer,
    _room: R,
}

impl<R> AsRef<[u8]> for Roomed<R> {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() >= LEAST {
            let bytes = std::mem::take(&mut self.bytes);
            let mut rest = self.home.rest();
            // One that is larger than all there may be is the only one, and may rest.
            if rest.all > self.home.most && rest.all != bytes.len() {
                rest.all -= bytes.len();
                drop(rest);
                drop(bytes);
            } else {
                rest.resting.push(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_last_of_its_bytes_and_is_used_again() {
        let buffers = Buffers::new(64 << 20);
        let mut buffer = buffers.take(2 * LEAST);
        buffer[0] = 7;
        let place = buffer.as_ptr();
        let bytes = buffer.freeze();
        let part = bytes.slice(..1);
        drop(bytes);
        assert!(buffers.rest().resting.is_empty());
        assert_eq!(part[0], 7);
        drop(part);
        drop(buffers.take(10)); // small ones are nobody's business
        let again = buffers.take(2 * LEAST - 5);
        assert_eq!((again.as_ptr(), again.len()), (place, 2 * LEAST - 5));
    }

    /// Room whose end tells where the next buffer would be.
    struct Room(Buffers, std::sync::mpsc::Sender<usize>);

    impl Drop for Room {
        fn drop(&mut self) {
            self.1.send(self.0.take(2 * LEAST).as_ptr() as usize).unwrap();
        }
    }

    #[test]
    fn room_is_given_back_behind_the_last_of_the_bytes_and_whoever_has_it_next_finds_the_buffer() {
        let buffers = Buffers::new(2 << 20);
        let (ends, next) = std::sync::mpsc::channel();
        let bytes = buffers.take(2 * LEAST).freeze_in(Room(buffers.clone(), ends));
        let (place, part) = (bytes.as_ptr() as usize, bytes.slice(5..7));
        drop(bytes);
        assert!(next.try_recv().is_err(), "somebody has a part of them");
        drop(part);
        assert_eq!(next.try_recv(), Ok(place));
    }

    #[test]
    fn what_rests_never_brings_the_sum_above_the_most() {
        let buffers = Buffers::new(8 << 20);
        let held = |b: &Buffers| b.rest().all;
        drop((buffers.take(4 * LEAST), buffers.take(3 * LEAST)));
        assert_eq!((held(&buffers), buffers.rest().resting.len()), (7 * LEAST, 2));
        let other = buffers.take(5 * LEAST);
        assert_eq!((held(&buffers), buffers.rest().resting.len()), (8 * LEAST, 1), "the oldest made room");
        // More than the most in use at a time is for the slots to prevent; it does not stay.
        let many = [buffers.take(5 * LEAST), buffers.take(5 * LEAST)];
        assert_eq!(held(&buffers), 15 * LEAST);
        drop(many);
        drop(other);
        assert_eq!((held(&buffers), buffers.rest().resting.len()), (5 * LEAST, 1));
    }
}
