//! Somebody who hears a file's bytes in the pass that sends them, so that nothing is read twice.
//!
//! The bytes come as the parts that are sent: not copied, over a channel of one place, and a part's room (see `buffers.rs`) is given
//! back only when the listener has let go of it too, so memory stays `part_size × parts_in_flight`. It is the sender's task that waits
//! for a slow listener, never a disk's thread. Traps: a listener that goes before the end objects, and then nothing becomes
//! visible in the store; a file whose end was not announced was not read to its end (failed, cancelled), whatever was heard.
use bytes::Bytes;
use tokio::sync::mpsc;

/// Parts that wait for the listener, beside the one it has in hand.
const WAITING: usize = 1;

enum Said {
    Part(Bytes),
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
    pub async fn hear(&mut self, part: Bytes) -> bool {
        self.to.send(Said::Part(part)).await.is_ok()
    }

    /// All was read.
    pub async fn end(self) {
        drop(self.to.send(Said::End).await); // one that has gone needs no end
    }
}

impl Heard {
    /// The next bytes, none at the end. Waits: for a thread of its own, never for one of the runtime's.
    pub fn wait(&mut self) -> Result<Option<Bytes>, Cut> {
        match self.from.blocking_recv() {
            Some(Said::Part(part)) => Ok(Some(part)),
            Some(Said::End) => Ok(None),
            None => Err(Cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_is_an_end_only_when_it_was_announced() {
        for announced in [true, false] {
            let (mut listener, mut heard) = listening();
            let hears = tokio::task::spawn_blocking(move || (heard.wait(), heard.wait()));
            assert!(listener.hear(Bytes::from_static(b"a")).await);
            if announced {
                listener.end().await
            } else {
                drop(listener)
            }
            let (first, then) = hears.await.unwrap();
            assert_eq!(first.unwrap().unwrap(), "a");
            assert_eq!(then.map(|p| p.is_none()), if announced { Ok(true) } else { Err(Cut) });
        }
    }

    #[tokio::test]
    async fn one_that_left_objects() {
        let (mut listener, heard) = listening();
        assert!(listener.hear(Bytes::from_static(b"x")).await);
        drop(heard);
        assert!(!listener.hear(Bytes::from_static(b"y")).await);
    }
}
