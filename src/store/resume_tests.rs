//! An attempt goes on where the last one was cut off: nothing acknowledged is sent again, nothing hashed is read again before the first
//! gap, what is read twice is compared, and what cannot be gone on with is given up.
use std::io::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use crate::demo::store::{FaultKind, FaultRule};
use crate::fs::FsError;
use crate::store::up::sending::{Bench, LARGE, hears_all};
use crate::store::wire_tests::{Canned, one_try, store};
use crate::store::{Kept, Notebook, listening};

use super::*;

/// A notebook in memory, as `nsc/ledger.rs` keeps it in a file.
#[derive(Default)]
struct Book(Mutex<Vec<Note>>);

impl Notebook for Book {
    fn write(&self, _: &OnDisk, note: &Note) -> Result<(), FsError> {
        self.0.lock().unwrap().push(note.clone());
        Ok(())
    }
}

impl Book {
    fn kept(self: &Arc<Self>, bench: &Bench) -> Kept {
        let (mut before, mut alone): (Vec<Unfinished>, bool) = (Vec::new(), true);
        for note in self.0.lock().unwrap().iter().cloned() {
            match note {
                Note::Begun(begun) => before.push(Unfinished::new(begun)),
                Note::Over { upload } => {
                    alone &= !before.iter().any(|u| u.begun.upload == upload && (u.completing || u.done));
                    before.retain(|u| u.begun.upload != upload);
                }
                Note::Part { ref upload, .. }
                | Note::Completing { ref upload }
                | Note::Proving { ref upload }
                | Note::Done { ref upload } => {
                    let of = before.iter_mut().find(|u| u.begun.upload == *upload).unwrap();
                    of.learn(note);
                }
            }
        }
        Kept { disk: bench.disk.clone(), book: self.clone(), before, alone }
    }

    async fn send(self: &Arc<Self>, bench: &Bench) -> Result<Sent, StoreError> {
        bench.send_kept(None, bench.now(), Some(&self.kept(bench))).await
    }
}

const QUICK: &str = "store.attempts = 2";

fn strike(bench: &Bench, query: &str, times: u32, kind: FaultKind) {
    let rule = FaultRule { query_contains: Some(query.into()), times, ..FaultRule::next(kind) };
    bench.site.store.fault(rule);
}

/// Two of three parts are acknowledged, the third is not.
async fn cut_off(more: &str) -> (Bench, Arc<Book>) {
    let bench = Bench::with(LARGE, more).await;
    let book = Arc::new(Book::default());
    strike(&bench, "partNumber=3", 100, FaultKind::Drop);
    let failed = book.send(&bench).await.unwrap_err();
    assert!(failed.is_outage(), "{failed}");
    bench.site.store.mend();
    let left = &book.kept(&bench).before[0];
    assert_eq!((bench.did("AbortMultipartUpload"), left.parts.len()), (0, 2));
    assert_eq!(left.begun.place, bench.store.place());
    (bench, book)
}

fn parts_sent(bench: &Bench, since: usize) -> Vec<u16> {
    let all = bench.site.store.requests();
    let mut parts: Vec<u16> =
        all[since..].iter().filter(|r| r.operation() == "UploadPart").filter_map(|r| r.part).collect();
    parts.sort_unstable();
    parts
}

/// Other bytes under the same fingerprint: whoever reads them again finds other digests.
fn spoil(bench: &Bench, at: u64) {
    use std::os::unix::fs::FileExt;
    let then = bench.now();
    let (flags, mode) = (rustix::fs::OFlags::WRONLY, rustix::fs::Mode::empty());
    let file: std::fs::File = rustix::fs::open(&bench.source, flags, mode).unwrap().into();
    file.write_all_at(b"other", at).unwrap();
    let nanos = Duration::from_nanos(u64::try_from(then.mtime_ns).unwrap());
    file.set_modified(std::time::UNIX_EPOCH + nanos).unwrap();
    assert_eq!(bench.now(), then);
}

#[tokio::test]
async fn what_was_acknowledged_is_neither_sent_nor_read_again() {
    for kind in ["signed", "crc64nvme", "md5"] {
        let (bench, book) = cut_off(&format!("{QUICK}\nstore.checksum = \"{kind}\"")).await;
        let before = bench.site.store.requests().len();
        spoil(&bench, 0);
        spoil(&bench, 6 << 20);
        let sent = book.send(&bench).await.unwrap();
        assert_eq!(
            sent,
            Sent { digests: bench.digests(), stored: true },
            "{kind}: digests of what was read then"
        );
        assert!(bench.stored().unwrap() == bench.bytes);
        assert_eq!(parts_sent(&bench, before), [3]);
        // After a crash between the completion and the file's line nothing is left to be done.
        let before = bench.site.store.requests().len();
        assert_eq!(book.send(&bench).await.unwrap(), sent);
        assert_eq!(bench.site.store.requests().len(), before);
    }
}

/// Of a sender that breaks off.
fn hears_all_there_is(mut heard: crate::store::Heard) {
    while let Ok(Some(part)) = heard.wait() {
        drop(part);
    }
}

#[tokio::test]
async fn a_listener_hears_all_of_it_again_and_nothing_is_sent_twice() {
    let (bench, book) = cut_off(QUICK).await;
    let before = bench.site.store.requests().len();
    let (listener, heard) = listening();
    let hears = tokio::task::spawn_blocking(move || hears_all(heard));
    let sent = bench.send_kept(Some(listener), bench.now(), Some(&book.kept(&bench))).await.unwrap();
    assert_eq!(sent, Sent { digests: bench.digests(), stored: true });
    assert!(hears.await.unwrap() == bench.bytes);
    assert_eq!(parts_sent(&bench, before), [3]);
}

/// The first part was hashed, and nobody knows whether it was acknowledged.
async fn with_a_gap() -> (Bench, Arc<Book>) {
    let (bench, book) = cut_off(QUICK).await;
    book.0.lock().unwrap().retain(|note| !matches!(note, Note::Part { part, .. } if part.number == 1));
    (bench, book)
}

fn digests_of(bytes: &[u8]) -> crate::package::Digests {
    let mut state = HashState::new(true);
    state.update(bytes);
    state.finish()
}

/// Whatever the fingerprint says: what is sent is what was hashed.
#[tokio::test]
async fn a_gap_below_what_is_hashed_is_closed_and_hashed_from_the_same_reading() {
    for other in [false, true] {
        let (bench, book) = with_a_gap().await;
        if other {
            spoil(&bench, 0);
        }
        let before = bench.site.store.requests().len();
        let sent = book.send(&bench).await.unwrap();
        let stored = bench.stored().unwrap();
        assert_eq!((sent.digests, sent.stored), (digests_of(&stored), true));
        assert_eq!((stored == bench.bytes, stored.starts_with(b"other")), (!other, other));
        assert_eq!(parts_sent(&bench, before), [1, 3]);
    }
}

/// A part that is acknowledged, and read again for what it adds to the digests or for a listener, has other bytes than it had.
#[tokio::test]
async fn bytes_that_differ_between_two_readings_are_a_changed_source() {
    for heard in [false, true] {
        let (bench, book) = if heard { cut_off(QUICK).await } else { with_a_gap().await };
        spoil(&bench, 6 << 20);
        let before = bench.site.store.requests().len();
        let listened = heard.then(listening);
        let (listener, hears) = listened.map_or((None, None), |(listener, heard)| {
            (Some(listener), Some(tokio::task::spawn_blocking(move || hears_all_there_is(heard))))
        });
        let refused = bench.send_kept(listener, bench.now(), Some(&book.kept(&bench))).await.unwrap_err();
        assert!(matches!(refused, StoreError::Changed(_)), "{refused}");
        if let Some(hears) = hears {
            hears.await.unwrap();
        }
        assert_eq!((bench.did("AbortMultipartUpload"), bench.stored()), (1, None));
        assert!(parts_sent(&bench, before).iter().all(|part| *part == 1), "none behind it");
        // A clean start, from one reading.
        let sent = book.send(&bench).await.unwrap();
        assert_eq!(sent.digests, digests_of(&bench.stored().unwrap()));
        assert_eq!(bench.did("CreateMultipartUpload"), 2);
    }
}

/// A second cut while a gap is being closed: digests of two attempts do not meet.
#[tokio::test]
async fn a_gap_that_is_closed_in_a_third_attempt_is_hashed_as_it_was_sent() {
    let (bench, book) = with_a_gap().await;
    spoil(&bench, 0);
    strike(&bench, "partNumber=3", 100, FaultKind::Drop);
    assert!(book.send(&bench).await.unwrap_err().is_outage());
    bench.site.store.mend();
    let before = bench.site.store.requests().len();
    let sent = book.send(&bench).await.unwrap();
    assert_eq!(sent.digests, digests_of(&bench.stored().unwrap()));
    assert_eq!(parts_sent(&bench, before), [3]);
}

/// Large, then small, then as it was at first: what is in the bucket is what was there last.
#[tokio::test]
async fn a_file_that_comes_back_as_it_was_is_sent_again() {
    for cut in [false, true] {
        let (bench, book) = match cut {
            true => cut_off(QUICK).await,
            false => (Bench::with(LARGE, QUICK).await, Arc::new(Book::default())),
        };
        let first = bench.now();
        if !cut {
            assert!(book.send(&bench).await.unwrap().stored);
        }
        let aside = bench.source.with_extension("v1");
        crate::fs::publish(&bench.source, &aside).unwrap();
        crate::fs::write_durably(&bench.source, b"small").unwrap();
        assert!(book.send(&bench).await.unwrap().stored);
        assert_eq!(bench.stored().unwrap(), b"small");
        assert!(book.kept(&bench).before.is_empty());
        assert_eq!(bench.did("AbortMultipartUpload"), usize::from(cut), "what was completed is not aborted");
        crate::fs::remove_file(&bench.source).unwrap();
        crate::fs::publish(&aside, &bench.source).unwrap();
        assert_eq!(bench.now(), first);
        let sent = book.send(&bench).await.unwrap();
        assert_eq!(sent, Sent { digests: bench.digests(), stored: true });
        assert!(bench.stored().unwrap() == bench.bytes);
    }
}

#[tokio::test]
async fn a_changed_source_begins_anew_and_its_old_upload_is_aborted() {
    let (bench, book) = cut_off(QUICK).await;
    let mut bytes = bench.bytes.clone();
    bytes.reverse();
    crate::fs::write_durably(&bench.source, &bytes).unwrap();
    let before = bench.site.store.requests().len();
    assert!(book.send(&bench).await.unwrap().stored);
    assert!(bench.stored().unwrap() == bytes);
    assert_eq!((bench.did("AbortMultipartUpload"), parts_sent(&bench, before)), (1, vec![1, 2, 3]));
    assert!(book.kept(&bench).before.iter().all(|u| u.done), "nothing is left open");
}

#[tokio::test]
async fn a_source_that_changes_on_the_way_aborts_its_upload() {
    let (bench, book) = cut_off(QUICK).await;
    let kept = book.kept(&bench);
    let (listener, mut heard) = listening();
    let source = bench.source.clone();
    let changes = tokio::task::spawn_blocking(move || {
        drop(heard.wait().unwrap().unwrap());
        let (flags, mode) =
            (rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::APPEND, rustix::fs::Mode::empty());
        let mut file: std::fs::File = rustix::fs::open(source, flags, mode).unwrap().into();
        file.write_all(b"more").unwrap();
        hears_all_there_is(heard);
    });
    let refused = bench.send_kept(Some(listener), bench.now(), Some(&kept)).await.unwrap_err();
    changes.await.unwrap();
    assert!(matches!(refused, StoreError::Changed(_)), "{refused}");
    assert_eq!((bench.stored(), bench.did("AbortMultipartUpload")), (None, 1));
    assert!(book.kept(&bench).before.is_empty());
}

/// As somebody allows no more whose store refuses so many; longer ones are no reason.
#[tokio::test]
async fn an_upload_in_more_parts_than_are_allowed_now_begins_anew() {
    for (max_parts, parts, aborted) in [(2, vec![1, 2], 1), (10_000, vec![3], 0)] {
        let (mut bench, book) = cut_off(QUICK).await;
        let before = bench.site.store.requests().len();
        (bench.store.part_size, bench.store.max_parts) = (6 << 20, max_parts);
        assert!(book.send(&bench).await.unwrap().stored);
        assert!(bench.stored().unwrap() == bench.bytes);
        assert_eq!((parts_sent(&bench, before), bench.did("AbortMultipartUpload")), (parts, aborted));
    }
}

#[tokio::test]
async fn an_upload_that_the_store_forgot_is_over_and_the_next_one_begins_anew() {
    let (bench, book) = cut_off(QUICK).await;
    strike(&bench, "partNumber=3", 1, FaultKind::NoSuchUpload);
    let gone = book.send(&bench).await.unwrap_err();
    assert!(matches!(gone, StoreError::NoUpload(_)), "{gone}");
    assert!(book.kept(&bench).before.is_empty());
    assert!(book.send(&bench).await.unwrap().stored);
    assert!(bench.stored().unwrap() == bench.bytes);
    assert_eq!(bench.did("CreateMultipartUpload"), 2);
}

#[tokio::test]
async fn without_a_notebook_a_failed_upload_is_aborted() {
    let bench = Bench::with(LARGE, QUICK).await;
    strike(&bench, "partNumber=3", 2, FaultKind::Drop);
    assert!(bench.send_kept(None, bench.now(), None).await.unwrap_err().is_outage());
    assert_eq!(bench.did("AbortMultipartUpload"), 1);
}

fn strike_completion(bench: &Bench, times: u32, kind: FaultKind) {
    let method = Some(http::Method::POST);
    let query_contains = Some("uploadId=".to_owned());
    bench.site.store.fault(FaultRule { method, query_contains, times, ..FaultRule::next(kind) });
}

#[tokio::test]
async fn a_completion_that_failed_clearly_is_asked_for_again() {
    for kind in [FaultKind::ErrorInOk, FaultKind::Drop, FaultKind::SlowDown] {
        let bench = Bench::with(LARGE, QUICK).await;
        strike_completion(&bench, 1, kind);
        assert!(Arc::new(Book::default()).send(&bench).await.unwrap().stored, "{kind:?}");
        assert!(bench.stored().unwrap() == bench.bytes);
        assert_eq!((bench.did("CompleteMultipartUpload"), bench.did("UploadPart")), (2, 3));
    }
}

#[tokio::test]
async fn a_completion_without_an_answer_is_looked_for_where_that_is_allowed() {
    for kind in [FaultKind::GatewayTimeout, FaultKind::DropAfterWork] {
        let bench = Bench::with(LARGE, QUICK).await;
        bench.site.store.let_sender_look();
        strike_completion(&bench, 1, kind);
        assert!(Arc::new(Book::default()).send(&bench).await.unwrap().stored, "{kind:?}");
        assert_eq!((bench.did("HeadObject"), bench.did("UploadPart")), (1, 3));
    }
}

#[tokio::test]
async fn who_may_not_look_proves_it_by_a_put_that_may_only_create() {
    let bench = Bench::with(LARGE, &format!("{QUICK}\nstore.conditional = true")).await;
    strike_completion(&bench, 1, FaultKind::GatewayTimeout);
    assert!(Arc::new(Book::default()).send(&bench).await.unwrap().stored);
    assert_eq!((bench.did("PutObject"), bench.did("UploadPart")), (1, 3));
    assert!(bench.stored().unwrap() == bench.bytes, "the proof was refused, as it should be");
}

/// Neither is a page of a proxy taken for a proof that the object was not there.
#[tokio::test]
async fn a_proof_without_an_answer_of_the_store_proves_nothing() {
    let bench = Bench::with(LARGE, &format!("{QUICK}\nstore.conditional = true")).await;
    strike_completion(&bench, 1, FaultKind::GatewayTimeout);
    strike(&bench, "x-id=PutObject", 1, FaultKind::HtmlOk);
    let lost = Arc::new(Book::default()).send(&bench).await.unwrap_err();
    assert!(lost.to_string().contains("we may not look whether it made the object"), "{lost}");
    assert_eq!(bench.did("PutObject"), 2);
}

#[tokio::test]
async fn parts_that_make_no_object_are_given_up_and_counted() {
    for code in ["MalformedXML", "InvalidRequest", "InvalidArgument", "InvalidPart", "BadDigest"] {
        let bench = Bench::with(LARGE, QUICK).await;
        let book = Arc::new(Book::default());
        strike_completion(&bench, 1, FaultKind::Refuse(code));
        let lost = book.send(&bench).await.unwrap_err();
        assert!(matches!(&lost, StoreError::Lost { why, .. } if why.contains(code)), "{lost}");
        assert_eq!((bench.did("AbortMultipartUpload"), book.kept(&bench).before.len()), (1, 0), "{code}");
        assert!(book.send(&bench).await.unwrap().stored);
        assert_eq!(bench.did("UploadPart"), 6, "{code}: from its beginning");
    }
}

#[tokio::test]
async fn parts_that_are_too_small_are_the_settings_fault_and_their_upload_is_aborted() {
    let bench = Bench::with(LARGE, QUICK).await;
    let book = Arc::new(Book::default());
    strike_completion(&bench, 1, FaultKind::Refuse("EntityTooSmall"));
    let failed = book.send(&bench).await.unwrap_err();
    assert!(failed.is_outage() && failed.to_string().contains("raise store.part_size"), "{failed}");
    assert_eq!((bench.did("AbortMultipartUpload"), book.kept(&bench).before.len()), (1, 0));
    assert!(book.send(&bench).await.unwrap().stored);
    assert_eq!(bench.did("CreateMultipartUpload"), 2);
}

#[tokio::test]
async fn what_cannot_be_proven_is_sent_again_and_counted() {
    // Neither looking nor conditions.
    let bench = Bench::with(LARGE, QUICK).await;
    let book = Arc::new(Book::default());
    strike_completion(&bench, 1, FaultKind::GatewayTimeout);
    let lost = book.send(&bench).await.unwrap_err();
    assert!(matches!(&lost, StoreError::Lost { .. }) && !lost.is_outage(), "{lost}");
    let kept = book.kept(&bench);
    assert!(kept.before.is_empty() && !kept.alone, "the next one cannot prove anything by its key");
    assert!(book.send(&bench).await.unwrap().stored);
    assert_eq!(bench.did("UploadPart"), 6);

    // The completion was never done, and the proof shows it: the object was not there.
    let bench = Bench::with(LARGE, &format!("{QUICK}\nstore.conditional = true")).await;
    let book = Arc::new(Book::default());
    strike_completion(&bench, 1, FaultKind::Drop);
    strike_completion(&bench, 1, FaultKind::NoSuchUpload);
    let lost = book.send(&bench).await.unwrap_err();
    assert!(matches!(&lost, StoreError::Lost { .. }), "{lost}");
    assert_eq!(bench.stored().unwrap(), b"", "the proof made it");
    // Even if its end is unclear again: the empty object is not taken for the file.
    strike_completion(&bench, 1, FaultKind::Drop);
    strike_completion(&bench, 1, FaultKind::NoSuchUpload);
    let lost = book.send(&bench).await.unwrap_err();
    assert!(matches!(&lost, StoreError::Lost { .. }), "{lost}");
    assert!(book.send(&bench).await.unwrap().stored);
    assert!(bench.stored().unwrap() == bench.bytes);
}

/// kill -9 between the completion and its answer: the next life knows that it was asked for.
#[tokio::test]
async fn a_completion_of_an_earlier_life_is_found_out_about() {
    for (looks, sends) in [(true, 3), (false, 6)] {
        let bench = Bench::with(LARGE, "store.attempts = 1").await;
        if looks {
            bench.site.store.let_sender_look();
        }
        let book = Arc::new(Book::default());
        strike_completion(&bench, 1, FaultKind::DropAfterWork);
        assert!(book.send(&bench).await.unwrap_err().is_outage());
        if !looks {
            let lost = book.send(&bench).await.unwrap_err();
            assert!(matches!(lost, StoreError::Lost { .. }), "{lost}");
        }
        let sent = book.send(&bench).await.unwrap();
        assert_eq!(sent, Sent { digests: bench.digests(), stored: true });
        assert_eq!(bench.did("UploadPart"), sends);
    }
}

#[tokio::test]
async fn an_abort_that_is_refused_is_said_and_not_repeated() {
    let (bench, book) = cut_off(QUICK).await;
    let begun = book.kept(&bench).before[0].begun.clone();
    bench
        .site
        .store
        .fault(FaultRule { method: Some(http::Method::DELETE), ..FaultRule::next(FaultKind::Denied) });
    let refused = bench.store.abort_upload(&begun.key, &begun.upload).await.unwrap();
    assert!(matches!(refused, Aborted::Refused(_)), "{refused:?}");
    for _ in 0..2 {
        assert_eq!(bench.store.abort_upload(&begun.key, &begun.upload).await.unwrap(), Aborted::Gone);
    }
}

/// Only what the store says about our rights and its own abilities is final; a wrong clock, a replaced key or a proxy is mended.
#[tokio::test]
async fn not_every_refusal_of_an_abort_is_for_ever() {
    let answer = |status: &str, code: &str| {
        let body = match code {
            "" => String::new(),
            code => format!("<Error><Code>{code}</Code><Message>No.</Message></Error>"),
        };
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    for (status, code, for_ever) in [
        ("403 Forbidden", "AccessDenied", true),
        ("403 Forbidden", "AllAccessDisabled", true),
        ("405 Method Not Allowed", "MethodNotAllowed", true),
        ("405 Method Not Allowed", "", true),
        ("501 Not Implemented", "NotImplemented", true),
        ("403 Forbidden", "SignatureDoesNotMatch", false),
        ("403 Forbidden", "InvalidAccessKeyId", false),
        ("403 Forbidden", "RequestTimeTooSkewed", false),
        ("403 Forbidden", "", false),
        ("400 Bad Request", "ExpiredToken", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let canned = Canned::serve(vec![answer(status, code)]).await;
        let store = store(dir.path(), |conf| one_try(conf, &canned.endpoint));
        match store.abort_upload("p/k", "u").await {
            Ok(Aborted::Refused(why)) => assert!(for_ever, "{status} {code}: {why}"),
            Err(error) => assert!(!for_ever && error.is_outage(), "{status} {code}: {error}"),
            Ok(Aborted::Gone) => panic!("{status} {code}"),
        }
    }
}

/// A token that is out of date says nothing about the object: it is waited for, and the upload kept.
#[tokio::test]
async fn who_cannot_ask_now_asks_later() {
    let bench = Bench::with(LARGE, QUICK).await;
    bench.site.store.let_sender_look();
    let book = Arc::new(Book::default());
    strike_completion(&bench, 1, FaultKind::GatewayTimeout);
    let (method, kind) = (Some(http::Method::HEAD), FaultKind::Refuse("ExpiredToken"));
    bench.site.store.fault(FaultRule { method, ..FaultRule::next(kind) });
    let failed = book.send(&bench).await.unwrap_err();
    assert!(failed.is_outage(), "{failed}");
    assert!(book.send(&bench).await.unwrap().stored);
    assert_eq!((bench.did("HeadObject"), bench.did("UploadPart")), (2, 3));
}
