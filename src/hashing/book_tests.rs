//! A book without threads.
use sha2::Digest;

use super::*;

fn feed(book: &mut Book, bytes: &'static [u8]) -> (oneshot::Receiver<HashState>, Calls) {
    let (done, later) = oneshot::channel();
    let calls = book.feed(Bytes::from_static(bytes), done);
    (later, calls)
}

/// One turn of SHA-256; whether there is more.
fn sha256(book: &mut Book) -> bool {
    let mut turn = book.begin_sha256().unwrap();
    turn.digest.update(&turn.bytes);
    let (more, tell) = book.sha256_is(turn.digest, turn.ends);
    tell.into_iter().for_each(|(done, state)| drop(done.send(state)));
    more
}

fn md5(book: &mut Book) -> bool {
    let mut turn = book.begin_md5().unwrap();
    turn.digest.update(&turn.bytes);
    let (more, tell) = book.md5_is(turn.digest, turn.ends);
    tell.into_iter().for_each(|(done, state)| drop(done.send(state)));
    more
}

fn of(bytes: &[u8], with_md5: bool) -> crate::package::Digests {
    let mut state = HashState::new(with_md5);
    state.update(bytes);
    state.finish()
}

#[test]
fn a_piece_is_told_when_both_digests_have_seen_it_and_in_order() {
    let mut book = Book::new(HashState::new(true));
    let (mut first, calls) = feed(&mut book, b"ab");
    assert_eq!(calls, Calls { sha256: true, md5: true });
    let (mut second, calls) = feed(&mut book, b"c");
    assert_eq!(calls, Calls::default(), "it is scheduled already");
    assert!(sha256(&mut book) && !sha256(&mut book), "SHA-256 is through");
    assert!(first.try_recv().is_err());
    assert!(md5(&mut book));
    assert_eq!(first.try_recv().unwrap().finish(), of(b"ab", true));
    assert!(second.try_recv().is_err());
    assert!(!md5(&mut book));
    assert_eq!(second.try_recv().unwrap().finish(), of(b"abc", true));
    assert_eq!(feed(&mut book, b"d").1, Calls { sha256: true, md5: true }, "and again from the beginning");
}

#[test]
fn without_md5_sha256_is_enough_and_empty_pieces_are_pieces() {
    let mut book = Book::new(HashState::new(false));
    let (mut empty, calls) = feed(&mut book, b"");
    assert_eq!(calls, Calls { sha256: true, md5: false });
    assert!(!sha256(&mut book) && book.begin_md5().is_none());
    assert_eq!(empty.try_recv().unwrap().finish(), of(b"", false));
}

#[test]
fn a_large_piece_takes_several_turns_and_only_the_last_ends_it() {
    let mut book = Book::new(HashState::new(false));
    let (done, mut later) = oneshot::channel();
    let bytes = Bytes::from(vec![7; 2 * TURN + 5]);
    let _calls = book.feed(bytes.clone(), done);
    for left in [true, true] {
        assert_eq!((sha256(&mut book), later.try_recv().is_err()), (left, true));
    }
    assert!(!sha256(&mut book));
    assert_eq!(later.try_recv().unwrap().finish(), of(&bytes, false));
    assert!(bytes.is_unique(), "the book keeps nothing of it");
}

#[test]
fn what_nobody_waits_for_is_let_go_and_what_somebody_waits_for_is_not() {
    let mut book = Book::new(HashState::new(false));
    let ((first, _), (mut second, _)) = (feed(&mut book, b"a"), feed(&mut book, b"b"));
    drop(first);
    book.leave();
    assert!(sha256(&mut book) && !sha256(&mut book));
    assert_eq!(second.try_recv().unwrap().finish(), of(b"ab", false));

    let mut book = Book::new(HashState::new(true));
    let (third, _) = feed(&mut book, b"c");
    book.leave();
    drop(third);
    assert!(book.begin_sha256().is_none() && book.begin_md5().is_none());
    assert!(book.pieces.is_empty() && book.sha256.waiting.is_empty());
}

#[test]
fn after_a_panic_nothing_is_known_for_good() {
    let mut book = Book::new(HashState::new(true));
    let (mut first, _) = feed(&mut book, b"a");
    let lost = book.begin_sha256().unwrap();
    book.end();
    drop(lost);
    assert_eq!(first.try_recv().err().unwrap(), oneshot::error::TryRecvError::Closed);
    let (mut second, calls) = feed(&mut book, b"b");
    assert_eq!(calls, Calls::default());
    assert_eq!(second.try_recv().err().unwrap(), oneshot::error::TryRecvError::Closed);
}
