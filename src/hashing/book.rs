//! What is known of one file on its way through the threads: pieces that each digest has still to see, and who waits to know
//! the state behind which piece. No threads here; a digest that is being computed is taken out and put back.
use std::collections::VecDeque;

use bytes::Bytes;
use md5::Md5;
use sha2::Sha256;
use tokio::sync::oneshot;

use crate::package::HashState;

/// At most so much of a piece at a turn; then other files have theirs.
pub(super) const TURN: usize = 1 << 20;

/// One digest of the file, with what it has not seen.
struct Line<D> {
    /// Not there while it is being computed.
    digest: Option<D>,
    waiting: VecDeque<Bytes>,
    /// Among those that are ready, or in a thread's hands.
    scheduled: bool,
}

/// A digest with the next bytes for it, outside the book.
pub(super) struct Turn<D> {
    pub(super) digest: D,
    pub(super) bytes: Bytes,
    /// Whether a piece ends with them.
    pub(super) ends: bool,
}

impl<D: Clone> Line<D> {
    fn new(digest: D) -> Self {
        Self { digest: Some(digest), waiting: VecDeque::new(), scheduled: false }
    }

    /// Whether it must be scheduled now.
    fn push(&mut self, bytes: Bytes) -> bool {
        self.waiting.push_back(bytes);
        !std::mem::replace(&mut self.scheduled, true)
    }

    fn begin(&mut self) -> Option<Turn<D>> {
        let front = self.waiting.front_mut();
        let Some((front, digest)) = front.and_then(|front| Some((front, self.digest.take()?))) else {
            self.scheduled = false;
            return None;
        };
        let bytes = front.split_to(front.len().min(TURN));
        let ends = front.is_empty();
        if ends {
            drop(self.waiting.pop_front());
        }
        Some(Turn { digest, bytes, ends })
    }

    /// Whether there is more to do for it.
    fn back(&mut self, digest: D) -> bool {
        self.digest = Some(digest);
        self.scheduled = !self.waiting.is_empty();
        self.scheduled
    }
}

/// A piece that not every digest has seen, with the states behind it as far as they are known.
struct Piece {
    sha256: Option<Sha256>,
    md5: Option<Md5>,
    /// Of the file up to its end.
    size: u64,
    done: oneshot::Sender<HashState>,
}

pub(super) struct Book {
    sha256: Line<Sha256>,
    md5: Option<Line<Md5>>,
    size: u64,
    pieces: VecDeque<Piece>,
    /// A thread panicked over it: its digests are lost.
    over: bool,
    /// Nothing more will be fed.
    left: bool,
}

/// Whom to tell what.
pub(super) type Tell = (oneshot::Sender<HashState>, HashState);

/// Which digests must be scheduled, now that something was fed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) sha256: bool,
    pub(super) md5: bool,
}

impl Book {
    pub(super) fn new(state: HashState) -> Self {
        let (sha256, md5, size) = state.apart();
        let (sha256, md5) = (Line::new(sha256), md5.map(Line::new));
        Self { sha256, md5, size, pieces: VecDeque::new(), over: false, left: false }
    }

    pub(super) fn feed(&mut self, bytes: Bytes, done: oneshot::Sender<HashState>) -> Calls {
        if self.over {
            return Calls::default(); // `done` is dropped: nothing will ever be known
        }
        self.size += bytes.len() as u64;
        self.pieces.push_back(Piece { sha256: None, md5: None, size: self.size, done });
        let md5 = self.md5.as_mut().is_some_and(|line| line.push(bytes.clone()));
        Calls { sha256: self.sha256.push(bytes), md5 }
    }

    pub(super) fn begin_sha256(&mut self) -> Option<Turn<Sha256>> {
        self.let_go();
        self.sha256.begin()
    }

    pub(super) fn begin_md5(&mut self) -> Option<Turn<Md5>> {
        self.let_go();
        self.md5.as_mut()?.begin()
    }

    /// Whether there is more to do, and whom to tell what.
    pub(super) fn sha256_is(&mut self, digest: Sha256, ends: bool) -> (bool, Option<Tell>) {
        if ends && let Some(piece) = self.pieces.iter_mut().find(|p| p.sha256.is_none()) {
            piece.sha256 = Some(digest.clone());
        }
        let more = self.sha256.back(digest);
        (more, self.told())
    }

    /// The same for md5.
    pub(super) fn md5_is(&mut self, digest: Md5, ends: bool) -> (bool, Option<Tell>) {
        if ends && let Some(piece) = self.pieces.iter_mut().find(|p| p.md5.is_none()) {
            piece.md5 = Some(digest.clone());
        }
        let more = self.md5.as_mut().is_some_and(|line| line.back(digest));
        (more, self.told())
    }

    /// The oldest piece, if every digest has seen it. One turn ends at most one piece, so there is never a second.
    fn told(&mut self) -> Option<Tell> {
        let with_md5 = self.md5.is_some();
        let seen = |p: &mut Piece| p.sha256.is_some() && (p.md5.is_some() || !with_md5);
        let piece = self.pieces.pop_front_if(seen)?;
        Some((piece.done, HashState::joined(piece.sha256?, piece.md5, piece.size)))
    }

    /// A thread panicked over it. Whoever waits learns that nothing is known.
    pub(super) fn end(&mut self) {
        self.over = true;
        self.clear();
    }

    /// Nothing more will be fed.
    pub(super) fn leave(&mut self) {
        self.left = true;
        self.let_go();
    }

    /// Nothing more will be fed and nobody waits for what was: no time is spent on it. Somebody who still waits gets his answer.
    fn let_go(&mut self) {
        if self.left && self.pieces.iter().all(|p| p.done.is_closed()) {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.pieces.clear();
        self.sha256.waiting.clear();
        if let Some(md5) = &mut self.md5 {
            md5.waiting.clear();
        }
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
