//! Buffers for parts, used again and again: fresh ones of some MiB each would be mapped, filled with zeros page by page and
//! unmapped for every part, and the allocator's arenas would keep what other threads gave back.
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Smaller ones are left to the allocator.
const LEAST: usize = 1 << 20;

/// Buffers that rest; clones share them. How many there are at a time is bounded by the slots that their users hold.
#[derive(Clone, Default)]
pub struct Buffers {
    resting: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A buffer in use. Goes back to rest with the last of the [`Bytes`] that it became.
pub struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Buffers,
}

impl Buffers {
    /// One of exactly this many bytes; what stands in it is of no account.
    pub fn take(&self, length: usize) -> Buffer {
        let fits = |b: &Vec<u8>| b.len() >= length && b.len() / 2 <= length;
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let found = resting.iter().position(fits).filter(|_| length >= LEAST);
        let bytes = match found {
            Some(at) => resting.swap_remove(at),
            None => {
                resting.clear(); // of another size than is wanted now, or none
                drop(resting);
                vec![0; length]
            }
        };
        Buffer { bytes, length, home: self.clone() }
    }
}

impl Buffer {
    /// To be shared and sent; not to be changed any more.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
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
            self.home.resting.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_last_of_its_bytes_and_is_used_again() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(2 * LEAST);
        buffer[0] = 7;
        let place = buffer.as_ptr();
        let bytes = buffer.freeze();
        let part = bytes.slice(..1);
        drop(bytes);
        assert!(buffers.resting.lock().unwrap().is_empty());
        assert_eq!(part[0], 7);
        drop(part);
        let again = buffers.take(2 * LEAST - 5);
        assert_eq!((again.as_ptr(), again.len()), (place, 2 * LEAST - 5));
        drop(again);
        // One of another size is not kept beside those that are wanted now.
        drop(buffers.take(8 * LEAST));
        assert_eq!(buffers.resting.lock().unwrap().len(), 1);
        drop(buffers.take(10));
        assert_eq!(buffers.take(10).len(), 10);
    }
}
