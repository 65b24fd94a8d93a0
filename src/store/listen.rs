//! Somebody who hears a file's bytes in the pass that sends them, so that nothing is read twice.
//!
//! The bytes come as the parts that are sent: not copied, over a channel of one place, and a part's room (see `up.rs`) is given
//! back only when the listener has let go of it too, so memory stays `part_size × parts_in_flight`. It is the sender's task that waits
//! for a slow listener, never a disk's thread. Traps: a listener that goes before the end objects, and then nothing becomes
//! visible in the store; a file whose end was not announced was not read to its end (failed, cancelled), whatever was heard.
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::slots::Slot;

/// Parts that wait for the listener, beside the one it has in hand.
const WAITING: usize = 1;

/// The bytes of one part; as long as one of its clones lives, its room is taken.
#[derive(Clone)]
pub struct Part {
    /// The bytes.
    pub bytes: Bytes,
    _room: Option<Arc<Slot>>,
}

impl Part {
    pub(super) fn new(bytes: Bytes, room: Slot) -> Self {
        Self { bytes, _room: Some(Arc::new(room)) }
    }

    /// Of bytes that take nobody's room.
    pub fn free(bytes: Bytes) -> Self {
        Self { bytes, _room: None }
    }
}

enum Said {
    Part(Part),
    End,
}

/// Told what is read.
pub struct Listener {
    to: mpsc::Sender<Said>,
}

/// What the listener's thread hears.
pub struct Heard {
    from: mpsc::Receiver<Said>,
}

/// The file was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file was not read to its end")]
pub struct Cut;

/// The two ends.
pub fn listening() -> (Listener, Heard) {
    let (to, from) = mpsc::channel(WAITING);
    (Listener { to }, Heard { from })
}

impl Listener {
    /// The next bytes; waits until there is place for them. False: the listener has gone, it objects.
    pub async fn hear(&mut self, part: Part) -> bool {
        self.to.send(Said::Part(part)).await.is_ok()
    }

    /// All was read.
    pub async fn end(self) {
        drop(self.to.send(Said::End).await); // one that has gone needs no end
    }
}

impl Heard {
    /// The next bytes, none at the end. Waits: for a thread of its own, never for one of the runtime's.
    pub fn wait(&mut self) -> Result<Option<Part>, Cut> {
        match self.from.blocking_recv() {
            Some(Said::Part(part)) => Ok(Some(part)),
            Some(Said::End) => Ok(None),
            None => Err(Cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::slots::{Ask, Slots};
    use super::*;

    #[tokio::test]
    async fn an_end_is_an_end_only_when_it_was_announced() {
        for announced in [true, false] {
            let (mut listener, mut heard) = listening();
            let hears = tokio::task::spawn_blocking(move || (heard.wait(), heard.wait()));
            assert!(listener.hear(Part::free(Bytes::from_static(b"a"))).await);
            if announced {
                listener.end().await
            } else {
                drop(listener)
            }
            let (first, then) = hears.await.unwrap();
            assert_eq!(first.unwrap().unwrap().bytes, "a");
            assert_eq!(then.map(|p| p.is_none()), if announced { Ok(true) } else { Err(Cut) });
        }
    }

    #[tokio::test]
    async fn a_part_keeps_its_room_until_the_listener_lets_go_and_one_that_left_objects() {
        let slots = Slots::new(1, 1);
        let ask = Ask { urgency: 0, flow: 0, bytes: 1 };
        let free = || tokio::time::timeout(std::time::Duration::from_millis(20), slots.take(ask));
        let (mut listener, mut heard) = listening();
        let part = Part::new(Bytes::from_static(b"x"), slots.take(ask).await);
        assert!(listener.hear(part.clone()).await);
        drop(part);
        assert!(free().await.is_err());
        let (part, heard) =
            tokio::task::spawn_blocking(move || (heard.wait().unwrap().unwrap(), heard)).await.unwrap();
        assert!(free().await.is_err());
        drop(part);
        assert!(free().await.is_ok());
        drop(heard);
        assert!(!listener.hear(Part::free(Bytes::from_static(b"y"))).await);
    }
}
