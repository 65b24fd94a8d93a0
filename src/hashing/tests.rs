//! Streams through real threads.
use super::*;
use crate::package::Digests;

fn bytes(file: usize, length: usize) -> Bytes {
    (0..length).map(|n| (n * 31 / 7 + file * 97) as u8).collect::<Vec<u8>>().into()
}

fn of(bytes: &[u8], with_md5: bool) -> Digests {
    let mut state = HashState::new(with_md5);
    state.update(bytes);
    state.finish()
}

#[tokio::test]
async fn pieces_are_hashed_in_order_and_each_tells_the_state_behind_it() {
    for threads in [1, 2, 3] {
        let hashing = Hashing::start(threads).unwrap();
        let mut stream = hashing.stream(HashState::new(true));
        let laters: Vec<Later> = (0..50u8).map(|n| stream.feed(Bytes::from(vec![n; 1000]))).collect();
        let mut whole = HashState::new(true);
        for (n, later) in laters.into_iter().enumerate() {
            whole.update(&[u8::try_from(n).unwrap(); 1000]);
            assert_eq!(later.state().await.unwrap().finish(), whole.clone().finish(), "{n}");
        }
    }
}

#[tokio::test]
async fn many_files_at_once_with_and_without_md5_are_each_their_own() {
    let hashing = Hashing::start(2).unwrap();
    let files = (0..40).map(|n| {
        let hashing = hashing.clone();
        tokio::spawn(async move {
            let (with_md5, whole) = (n % 3 != 0, bytes(n, 100_003 * (n % 5) + n));
            let mut stream = hashing.stream(HashState::new(with_md5));
            let mut last = stream.feed(Bytes::new());
            for at in (0..whole.len()).step_by(33_331) {
                last = stream.feed(whole.slice(at..whole.len().min(at + 33_331)));
                if n % 2 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            assert_eq!(last.state().await.unwrap().finish(), of(&whole, with_md5), "file {n}");
        })
    });
    for file in files.collect::<Vec<_>>() {
        file.await.unwrap();
    }
}

#[tokio::test]
async fn a_piece_is_let_go_before_the_state_behind_it_is_told() {
    let hashing = Hashing::start(2).unwrap();
    let mut stream = hashing.stream(HashState::new(true));
    for n in 0..20 {
        let piece = Bytes::from(vec![n; 3 << 20]);
        let _state = stream.feed(piece.clone()).state().await.unwrap();
        assert!(piece.is_unique(), "so that its memory can be used again");
    }
}

#[tokio::test]
async fn who_still_waits_gets_his_answer_after_all_else_is_dropped() {
    let hashing = Hashing::start(1).unwrap();
    let whole = bytes(1, 5 << 20);
    let mut stream = hashing.stream(HashState::new(true));
    let later = stream.feed(whole.clone());
    drop((stream, hashing));
    assert_eq!(later.state().await.unwrap().finish(), of(&whole, true));
}

#[tokio::test]
async fn a_panic_ends_its_file_alone() {
    let hashing = Hashing::start(1).unwrap();
    let (mut sick, mut sound) = (hashing.stream(HashState::new(true)), hashing.stream(HashState::new(false)));
    let _state = sick.feed(Bytes::from_static(b"a")).state().await.unwrap();
    let nothing = crew::guarded(std::slice::from_ref(&sick.queue), || panic!("a bit has fallen over"));
    assert_eq!(nothing, None::<()>);
    assert_eq!(sick.feed(Bytes::from_static(b"b")).state().await.err(), Some(Ended));
    assert!(sound.feed(Bytes::from_static(b"b")).state().await.is_ok());
}
