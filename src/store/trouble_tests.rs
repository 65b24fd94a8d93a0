//! What stands before the store, what stands still, and what comes late must cost time and nothing else.
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use super::receiving::{Bench, KEY, STEP, bytes};
use super::*;
use crate::demo::store::{FaultKind, FaultRule, Portal};
use crate::disk::Disks;
use crate::package::Sha256Hex;
use crate::store::progress::Demand;
use crate::store::slots::Ask;
use crate::supervisor::meter::Board;

const FOR_EVER: FaultKind = FaultKind::Delay(Duration::from_secs(600));

#[tokio::test]
async fn a_page_from_before_the_store_is_nobodys_object_and_teaches_nothing() {
    let bench = Bench::new("store.attempts = 3").await;
    for size in [0, 1, STEP, 4 * STEP] {
        let bytes = bytes(size, size);
        bench.put(&bytes).await;
        for page in Portal::ALL {
            bench.fault(FaultKind::Portal(page), 2);
            bench.comes(&bytes).await;
            bench.fault(FaultKind::Portal(page), 10_000);
            let lasts = bench.fetch(size, None).await.unwrap_err();
            assert!(lasts.is_outage() && lasts.to_string().contains(KEY), "{page:?} of {size}: {lasts}");
            bench.site.store.mend();
            // In the middle of a range: what came before is not lost, and what comes is not mixed with it.
            if size >= STEP {
                bench.fault(FaultKind::CutBody(10_000), 1);
                bench.fault(FaultKind::Portal(page), 1);
                bench.comes(&bytes).await;
                bench.site.store.mend();
            }
            assert!(!bench.store.ranges_are_ignored(), "{page:?} of {size}");
        }
    }
}

#[tokio::test]
async fn a_page_from_before_the_store_is_no_small_object_and_no_listing() {
    let bench = Bench::new("store.attempts = 2").await;
    bench.put(b"what was committed").await;
    // Some JSON with an ETag cannot be told from a document; whoever reads it looks again.
    for page in Portal::ALL.into_iter().filter(|page| *page != Portal::Json) {
        bench.fault(FaultKind::Portal(page), 1);
        assert_eq!(bench.store.get_small(KEY, 100).await.unwrap(), "what was committed", "{page:?}");
        bench.fault(FaultKind::Portal(page), 2);
        let lasts = bench.store.get_small(KEY, 100).await.unwrap_err();
        assert!(lasts.is_outage() && lasts.to_string().contains("before the store"), "{page:?}: {lasts}");
    }
    for page in Portal::ALL {
        bench.fault(FaultKind::Portal(page), 1);
        let sizes = bench.store.sizes("tsd-import/", 10, |_| true).await.unwrap();
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [(KEY.to_owned(), 18)], "{page:?}");
        bench.fault(FaultKind::Portal(page), 2);
        let lasts = bench.store.sizes("tsd-import/", 10, |_| true).await.unwrap_err();
        assert!(lasts.is_outage(), "{page:?}: {lasts}");
    }
}

#[tokio::test]
async fn a_part_that_is_begun_anew_loses_its_note_before_its_bytes() {
    let bench = Bench::new("store.attempts = 1\nstore.parts_in_flight = 1").await;
    let bytes = bytes(8 * STEP, 11);
    bench.put(&bytes).await;
    // As an earlier round has left it: bytes, and a note that speaks of them.
    let on = OnDisk::alone();
    crate::fs::write_durably(&bench.part, &bytes).unwrap();
    let mut state = HashState::new(false);
    state.update(&bytes[..4 * STEP]);
    Received::new(KEY, "\"e\"", bytes.len() as u64, state).keep(&on, &bench.part).unwrap();
    assert!(Received::find(&on, &bench.part, KEY).unwrap().is_some());
    // Anew, and cut off before it has a note of its own.
    bench.fault(FaultKind::Delay(Duration::ZERO), 2);
    bench.fault(FOR_EVER, 100);
    let cut = async {
        let begun = |now: Vec<u8>| now.get(4 * STEP..).is_some_and(|end| end.iter().all(|byte| *byte == 0));
        while !begun(std::fs::read(&bench.part).unwrap()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        done = bench.fetch(bytes.len(), None) => panic!("{done:?}"),
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it was not begun"),
        () = cut => {}
    }
    assert_eq!(std::fs::metadata(&bench.part).unwrap().len(), bytes.len() as u64, "it is as long");
    assert!(Received::find(&on, &bench.part, KEY).unwrap().is_none(), "and nobody takes it for received");
}

#[tokio::test]
async fn a_stream_that_does_not_answer_is_asked_for_as_often_as_any_request() {
    let bench = Bench::new("store.attempts = 3\nstore.attempt_timeout = \"1 s\"").await;
    let bytes = bytes(8 * STEP, 12);
    bench.put(&bytes).await;
    bench.fault(FaultKind::IgnoreRange, 1000);
    bench.comes(&bytes).await;
    assert!(bench.store.ranges_are_ignored());
    bench.site.store.mend();
    bench.fault(FOR_EVER, 1000);
    let board = Board::default();
    let meter = board.begin("copier", "t".into());
    let hold = bench.disks.hold("t").await.unwrap();
    let (path, size, room) = (bench.part.clone(), bytes.len() as u64, &bench.room);
    let (hold, disk) = (&hold, &bench.disk);
    let target = Target { hold, disk, path, size, begun: None, room, urgency: 0, flow: 0, lead: None };
    let (begun, before) = (Instant::now(), meter.ticks());
    let given_up = bench.store.fetch_file(KEY, target, &meter, |_, _| Ok(())).await.unwrap_err();
    assert!(given_up.is_outage(), "{given_up}");
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(6), "three attempts: {took:?}");
    assert!(meter.ticks() - before >= 3, "each gave a sign of life");
}

#[tokio::test]
async fn a_stream_that_trickles_is_cut_off_and_one_that_waits_for_a_slot_is_not() {
    let mut bench = Bench::new("store.attempts = 2\nstore.parts_in_flight = 1").await;
    let window = Duration::from_millis(600);
    bench.store.demand = Demand { min_rate: 256 << 10, window, ..bench.store.demand };
    let bytes = bytes(8 * STEP, 13);
    bench.put(&bytes).await;
    bench.fault(FaultKind::IgnoreRange, 1000);
    bench.comes(&bytes).await;
    bench.site.store.mend();
    let before = bench.asked().len();
    bench.fault(FaultKind::Trickle(Duration::from_millis(400)), 1000);
    let slow = bench.fetch(bytes.len(), None).await.unwrap_err();
    assert!(slow.is_outage() && slow.to_string().contains("store.min_rate"), "{slow}");
    assert_eq!(bench.asked().len() - before, 2);
    bench.site.store.mend();
    bench.comes(&bytes).await;
    // Somebody else has the only slot for several windows.
    let all = crate::store::slots::Ask { urgency: 0, flow: 1, bytes: 1 };
    let slot = bench.store.slots.take(all).await;
    let frees = async {
        tokio::time::sleep(4 * window).await;
        drop(slot);
    };
    let before = bench.asked().len();
    let (found, ()) = tokio::join!(bench.fetch(bytes.len(), None), frees);
    assert_eq!(found.unwrap().sha256, Sha256Hex::of(&bytes));
    assert_eq!(bench.asked().len() - before, 1);
}

#[tokio::test]
async fn small_files_before_a_disk_that_hangs_give_their_slots_back() {
    let bench = Bench::new("store.parts_in_flight = 12").await;
    let bytes = bytes(STEP, 14);
    bench.put(&bytes).await;
    let patience = Duration::from_millis(1500);
    let disks = Disks::new(2, patience, Arc::new(|_, _, _| {}));
    let hung = disks.at("hung", bench.part.parent().unwrap()).unwrap();
    // Each of them hangs in its `open`, as on a mount whose server is gone, and so do the threads that take the place of the first.
    let paths: Vec<_> = (0..64).map(|n| bench.part.with_file_name(format!("small-{n}"))).collect();
    assert!(std::process::Command::new("mkfifo").args(&paths).status().unwrap().success());
    let (lead, hold) = (Lead::of_small_files(), disks.hold("slow").await.unwrap());
    // The disk did well until now, so that nobody had to wait before it.
    for _ in 0..1000 {
        let mut turn = lead.ask().await;
        turn.arrived();
        turn.taken();
        turn.written();
    }
    let small = |path: PathBuf| {
        let (bench, hung, lead, hold) = (&bench, &hung, &lead, &hold);
        async move {
            let meter = Board::default().begin("copier", "slow".into());
            let (size, room, lead) = (STEP as u64, &bench.room, Some(lead.clone()));
            let target =
                Target { hold, disk: hung, path, size, begun: None, room, urgency: 0, flow: 1, lead };
            bench.store.fetch_file(KEY, target, &meter, |_, _| Ok(())).await.unwrap_err()
        }
    };
    // Others have most of the slots when it begins to hang. What they give back is for those who still get on.
    let ask = Ask { urgency: 0, flow: 2, bytes: 1 };
    let mut theirs = Vec::new();
    for _ in 0..8 {
        theirs.push(bench.store.slots.take(ask).await);
    }
    let many = futures_util::future::join_all(paths.iter().cloned().map(small));
    let other = async {
        tokio::time::sleep(patience / 6).await;
        drop(theirs);
        tokio::time::sleep(patience / 6).await;
        let held = bench.store.slots.snapshot().in_flight;
        assert!((1..12).contains(&held), "{held} of 12 slots lie before the disk that hangs");
        let through = tokio::time::timeout(Duration::from_secs(20), bench.fetch(bytes.len(), None)).await;
        assert_eq!(through.expect("it need not wait").unwrap().sha256, Sha256Hex::of(&bytes));
    };
    let (failed, ()) = tokio::join!(many, other);
    assert!(failed.iter().all(StoreError::is_outage), "{failed:?}");
    let free = bench.store.slots.snapshot();
    assert_eq!((free.in_flight, free.memory), (0, 0), "the disk hangs on, and nothing is held for it");
    // The calls come back, and with them the unit.
    let readers = paths.iter().map(|path| rustix::fs::open(path, OFlags::RDWR, Mode::empty()).unwrap());
    let readers: Vec<_> = readers.collect();
    drop(hold);
    drop(disks.hold("slow").await.unwrap());
    drop(readers);
}

/// The number falls when the store asks for fewer, and does not stay there when it no longer does.
#[tokio::test]
async fn streams_count_like_ranges_for_how_many_slots_there_should_be() {
    let bench = Bench::new("store.attempts = 3\nstore.parts_in_flight = 16").await;
    let bytes = bytes(64 * STEP, 14);
    bench.put(&bytes).await;
    bench.fault(FaultKind::IgnoreRange, 1000);
    bench.comes(&bytes).await;
    assert!(bench.store.ranges_are_ignored());
    bench.site.store.mend();
    bench.store.slots.were(8);
    let others: Vec<_> = (0..5).map(|_| bench.store.slots.begins()).collect();
    bench.fault(FaultKind::SlowDown, 1);
    let (fallen, ()) = tokio::join!(
        async {
            for _ in 0..10_000 {
                if bench.store.slots.snapshot().limit != 8 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            bench.store.slots.snapshot().limit
        },
        bench.comes(&bytes),
    );
    assert_eq!(fallen, 3, "half of the six that were under way");
    drop(others);
    // Several at a time, so that the number binds.
    let risen = async {
        while bench.store.slots.snapshot().limit <= fallen {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ask = Ask { urgency: 0, flow: 1, bytes: 1 };
    let busy = async {
        loop {
            let _others = (bench.store.slots.take(ask).await, bench.store.slots.take(ask).await);
            assert_eq!(bench.fetch(bytes.len(), None).await.unwrap().sha256, Sha256Hex::of(&bytes));
        }
    };
    tokio::select! {
        () = risen => {}
        () = busy => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{:?}", bench.store.slots.snapshot()),
    }
}

/// The stream waits for the slot of the small one, and that one for room on the wire.
#[tokio::test]
async fn a_stream_between_two_pieces_is_not_in_the_way_of_another_attempt() {
    let bench = Bench::new("store.parts_in_flight = 1").await;
    let (large, tiny) = (bytes(64 * STEP, 17), bytes(1000, 18));
    bench.put(&large).await;
    bench.fault(FaultKind::IgnoreRange, 1000);
    bench.comes(&large).await;
    assert!(bench.store.ranges_are_ignored());
    bench.site.store.mend();
    let key = format!("{KEY}-small");
    bench.sender.put(&key, Bytes::from(tiny.clone())).await.unwrap();
    let drops = FaultRule { key_contains: Some(key.clone()), ..FaultRule::next(FaultKind::Drop) };
    bench.site.store.fault(drops);
    let small = async {
        let meter = Board::default().begin("copier", "small".into());
        let hold = bench.disks.hold("small").await.unwrap();
        let (path, size) = (bench.part.with_file_name("small"), tiny.len() as u64);
        let (hold, disk, room) = (&hold, &bench.disk, &bench.room);
        let target = Target { hold, disk, path, size, begun: None, room, urgency: 0, flow: 1, lead: None };
        bench.store.fetch_file(&key, target, &meter, |_, _| Ok(())).await.unwrap()
    };
    let both = async { tokio::join!(bench.fetch(large.len(), None), small) };
    let (stream, small) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("both stand");
    assert_eq!(stream.unwrap().sha256, Sha256Hex::of(&large));
    assert_eq!(small.sha256, Sha256Hex::of(&tiny));
}

/// The part is a pipe, so that the write of the first piece hangs in its `open` until somebody reads.
#[tokio::test]
async fn nobody_hears_of_a_failed_stream_while_a_write_before_it_is_under_way() {
    let bench = Bench::new("store.attempts = 2").await;
    let (old, new) = (bytes(8 * STEP, 15), bytes(8 * STEP, 16));
    bench.put(&old).await;
    bench.fault(FaultKind::IgnoreRange, 1000);
    bench.comes(&old).await;
    bench.site.store.mend();
    crate::fs::remove_file(&bench.part).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&bench.part).status().unwrap().success());
    bench.fault(FaultKind::CutBody(3 * STEP as u64 + 100), 1);
    let before = bench.asked().len();
    let mut state = HashState::new(false);
    state.update(&old[..STEP]);
    let mut all = HashState::new(true);
    all.update(&old);
    let etag = format!("\"{}\"", all.finish().md5.unwrap().as_str()); // as this store makes it
    let begun = Received::new(KEY, &etag, old.len() as u64, state);
    // On threads of its own: the tokens of the requests are read on the others.
    let (own, meter) = (
        bench.disks.at("own", bench.part.parent().unwrap()).unwrap(),
        Board::default().begin("copier", "t".into()),
    );
    let hold = bench.disks.hold("t").await.unwrap();
    let (path, size, room) = (bench.part.clone(), old.len() as u64, &bench.room);
    let (hold, disk, begun) = (&hold, &own, Some(begun));
    let target = Target { hold, disk, path, size, begun, room, urgency: 0, flow: 0, lead: None };
    let mut fetch = std::pin::pin!(bench.store.fetch_file(KEY, target, &meter, |_, _| Ok(())));
    let replaced = async {
        while bench.asked().len() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bench.put(&new).await;
        while bench.asked().len() < before + 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await; // its answer is here by now
    };
    tokio::select! {
        done = &mut fetch => panic!("its first write hangs, and it says {done:?}"),
        () = replaced => {}
    }
    // The call comes back: only now it may be said what became of the file.
    let path = bench.part.clone();
    let reader = std::thread::spawn(move || std::fs::read(path).unwrap().len());
    let failed = tokio::time::timeout(Duration::from_secs(10), fetch).await.unwrap().unwrap_err();
    assert!(matches!(&failed, StoreError::Fs(_)), "no room can be taken in a pipe: {failed}");
    assert_eq!(reader.join().unwrap(), 0);
}
