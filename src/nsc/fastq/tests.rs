//! Good files, every way of being cut or bent, and hostile ones: what is found, what is said, and what it may cost.
use std::io::{BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::store::listening;
use crate::supervisor::meter::Board;

fn gz(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Reads that differ in bases by `salt`.
fn reads(count: u64, end: &str, salt: u64) -> String {
    let base = |n: u64| ["A", "C", "G", "T", "N", "."][(n % 6) as usize];
    let bases = |n: u64| (0..7).map(|p| base((n + salt) * (p + 3) + p)).collect::<String>();
    (0..count).map(|n| format!("@LH00534:1:A22:1:1101:{n}:7{end}\n{}\n+\nIIII#-9\n", bases(n))).collect()
}

fn checked(bytes: &[u8]) -> Result<Found, Fault> {
    check(bytes, || true)
}

fn said(text: &str) -> String {
    checked(&gz(text.as_bytes())).unwrap_err().to_string()
}

#[test]
fn a_good_file_tells_what_its_mate_is_compared_with() {
    let one = checked(&gz(reads(100, " 1:N:0:ACGT+TTTT", 0).as_bytes())).unwrap();
    assert_eq!((one.reads, one.bases, one.end), (100, 700, Some(1)));
    assert_eq!(one.first, "LH00534:1:A22:1:1101:0:7");
    assert_eq!(one.last, "LH00534:1:A22:1:1101:99:7");
    let two = checked(&gz(reads(100, " 2:N:0:ACGT+TTTT", 1).as_bytes())).unwrap();
    belong(&one, &two).unwrap();
    // The same names in the older manner, in several members as bgzip writes them, the last one empty.
    let text = reads(100, "/2", 1);
    let (a, b) = text.split_at(text.len() / 3);
    let members = [gz(a.as_bytes()), gz(b.as_bytes()), gz(b"")].concat();
    let two = checked(&members).unwrap();
    assert_eq!((two.end, two.names.clone()), (Some(2), one.names.clone()));
    belong(&one, &two).unwrap();
    let plain = checked(&gz(reads(100, "", 0).as_bytes())).unwrap();
    assert_eq!((plain.end, &plain.names, &plain.beginning), (None, &one.names, &one.beginning));
    assert!(belong(&plain, &plain).unwrap_err().contains("one end twice"));
}

#[test]
fn any_change_of_names_or_order_is_seen() {
    let good = reads(50, " 1:N:0:A", 0);
    let found = |text: &str| checked(&gz(text.as_bytes())).unwrap().names;
    let names = found(&good);
    let mut lines: Vec<&str> = good.lines().collect();
    (lines[40], lines[44]) = (lines[44], lines[40]);
    assert_ne!(found(&(lines.join("\n") + "\n")), names, "two reads have changed places");
    assert_ne!(found(&good.replace(":30:7 ", ":30:8 ")), names);
    assert_ne!(found(&reads(49, " 1:N:0:A", 0)), names);
}

#[test]
fn what_is_no_fastq_is_said_with_the_read() {
    let good = reads(3, "", 0);
    let odd = |from: &str, to: &str| said(&good.replacen(from, to, 1));
    assert_eq!(said(""), "holds no read");
    assert_eq!(said("@a\n\n+\n\n"), "holds 1 read(s) and not a single base");
    for (said, why) in [
        (odd("@LH00534:1:A22:1:1101:1:7", "LH:1:7"), "at read 2: its first line begins with no @"),
        (odd(":1101:2:7\n", ":1101:2:7\n\n"), "at read 3: its third line begins with no +"),
        (odd("\n+\nIIII#-9\n", "\n+\nIIII#-\n"), "at read 1: it has 7 bases and 6 qualities"),
        (said("@a\nACgT\n+\nIIII\n"), "at read 1: it has bases other than A, C, G, T and N"),
        (odd("IIII#-9", "III \u{7f}#9"), "at read 1: it has qualities outside"),
        (odd("@LH00534:1:A22:1:1101:1:7", "@"), "at read 2: its name has 0 characters"),
        (odd("@LH00534:1:A22:1:1101:1:7", "@\u{e6}"), "at read 2: its name holds a character"),
        (
            odd("1101:1:7\n", "1101:1:7 2:N:0:A\n"),
            "at read 2: it says it is end 2, those before it say no end",
        ),
        (said(&format!("@{}\nA\n+\nI\n", "n".repeat(MOST_NAME + 1))), "its name has 513 characters"),
        (said(&good.replace('\n', "\r\n")), "at read 1: a line ends with a carriage return"),
        (said(&format!("{good}\n")), "at read 4: its first line begins with no @"),
        (said(&(good.clone() + "@x\nACGT\n")), "at read 4: it ends in the middle"),
        (said(&(good.clone() + "@x\nACGT\n+\n")), "at read 4: it has 4 bases and 0 qualities"),
        (said(&(good.clone() + "@x")), "at read 4: it ends in the middle"),
        (
            said(&format!("@x\n{}", "A".repeat(LONGEST_LINE as usize + 10))),
            "at read 1: a line is longer than",
        ),
    ] {
        assert!(said.starts_with("is no FASTQ ") && said.contains(why), "{said} should say {why}");
    }
}

#[test]
fn what_is_no_whole_gzip_is_said_in_its_own_words() {
    let file = gz(reads(2000, " 1:N:0:A", 0).as_bytes());
    assert_eq!(checked(b"").unwrap_err(), Fault::Empty);
    assert_eq!(checked(reads(9, "", 0).as_bytes()).unwrap_err(), Fault::NotGzip);
    assert!(matches!(checked(&file[..file.len() - 1]).unwrap_err(), Fault::CutOff(2000)));
    assert!(matches!(checked(&file[..file.len() / 2]).unwrap_err(), Fault::CutOff(n) if n > 100 && n < 2000));
    for more in [&b"trailing garbage"[..], &[0; 512]] {
        assert_eq!(checked(&[&file, more].concat()).unwrap_err(), Fault::Garbage(2000));
    }
    let mut wrong_sum = file.clone();
    let at = file.len() - 6;
    wrong_sum[at] ^= 1;
    assert!(matches!(checked(&wrong_sum).unwrap_err(), Fault::Damaged(2000, _)));
    let mut wrong_length = file.clone();
    let at = file.len() - 2;
    wrong_length[at] ^= 1;
    assert!(matches!(checked(&wrong_length).unwrap_err(), Fault::Damaged(2000, _)));
    let second_bad = [file.clone(), wrong_sum].concat();
    assert!(matches!(checked(&second_bad).unwrap_err(), Fault::Damaged(4000, _)));
}

/// `noodles` takes an unexpected end at the beginning of a record for the end of the file.
#[test]
fn cut_anywhere_a_file_is_refused() {
    let file = [gz(reads(30, " 1:N:0:A", 0).as_bytes()), gz(reads(30, " 1:N:0:A", 3).as_bytes())].concat();
    let member = gz(reads(30, " 1:N:0:A", 0).as_bytes()).len();
    checked(&file).unwrap();
    for end in (0..file.len()).filter(|end| *end != member) {
        let refused = checked(&file[..end]).unwrap_err();
        assert!(matches!(refused, Fault::Empty | Fault::CutOff(_)), "{end}: {refused}");
    }
    // Between two members it cannot be seen in the file: the mate's count tells, and the md5.
    assert_eq!(checked(&file[..member]).unwrap().reads, 30);
}

#[test]
fn a_flipped_bit_is_seen_wherever_gzip_says_anything_of_the_text() {
    let file = gz(reads(30, " 1:N:0:A", 0).as_bytes());
    let text = |file: &[u8]| {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut text).unwrap();
        text
    };
    let mut harmless = 0;
    for at in 10..file.len() {
        for bit in 0..8 {
            let mut bent = file.clone();
            bent[at] ^= 1 << bit;
            if checked(&bent).is_ok() {
                // Bits that fill up the last byte, and other ways to say the same: md5 sees them, nobody else needs to.
                assert_eq!(text(&bent), text(&file), "byte {at}, bit {bit}");
                harmless += 1;
            }
        }
    }
    assert!(harmless < 12, "{harmless} of {}", 8 * file.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn nothing_makes_it_panic_or_hang(bytes: Vec<u8>, text in "[@+ACGTN\n\r !-~]{0,200}", buffer in 1usize..9) {
        let _any = checked(&bytes);
        let _any = check(BufReader::with_capacity(buffer, &gz(text.as_bytes())[..]), || true);
        let _any = checked(&[gz(text.as_bytes()), bytes].concat());
    }

    /// However the bytes come, what is found is the same.
    #[test]
    fn pieces_make_no_difference(count in 1u64..300, buffer in 1usize..400) {
        let file = gz(reads(count, " 1:N:0:A", 0).as_bytes());
        let whole = checked(&file).unwrap();
        prop_assert_eq!(whole.reads, count);
        prop_assert_eq!(check(BufReader::with_capacity(buffer, &file[..]), || true).unwrap(), whole);
    }
}

/// Little in, much out: it costs time and no memory, the meter moves, and giving up ends it.
#[test]
fn a_bomb_moves_the_meter_and_is_left_at_once_when_told_so() {
    let record = format!("@r\n{0}\n+\n{1}\n", "A".repeat(60_000), "I".repeat(60_000));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..2_000 {
        encoder.write_all(record.as_bytes()).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() * 400 < 240_000_000, "{} bytes", bomb.len());
    let asked = AtomicU64::new(0);
    let found = check(&bomb[..], || asked.fetch_add(1, Relaxed) < u64::MAX).unwrap();
    assert_eq!(found.bases, 120_000_000);
    assert!(asked.load(Relaxed) > 900, "asked {} times", asked.load(Relaxed));
    let refused = check(&bomb[..], || asked.fetch_sub(1, Relaxed) > 890).unwrap_err();
    assert_eq!(refused, Fault::Cut);
    // Without line ends it is refused as soon as a line is too long.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(b"@").unwrap();
    for _ in 0..200 {
        encoder.write_all(&[b'A'; 1 << 20]).unwrap();
    }
    let asked = AtomicU64::new(0);
    let bomb = encoder.finish().unwrap();
    let refused = check(&bomb[..], || asked.fetch_add(1, Relaxed) < u64::MAX).unwrap_err();
    assert!(matches!(refused, Fault::Record(1, _)) && asked.load(Relaxed) < 20, "{refused}, {asked:?}");
}

#[tokio::test]
async fn a_thread_says_what_it_finds_and_objects_early() {
    let board = Board::default();
    let meter = board.begin("uploader", "t".into());
    let file = Bytes::from(gz(reads(5000, " 1:N:0:A", 0).as_bytes()));
    let (mut listener, check) = begin(&meter).unwrap();
    let before = meter.ticks();
    for at in (0..file.len()).step_by(100) {
        assert!(listener.hear(file.slice(at..file.len().min(at + 100))).await);
    }
    listener.end().await;
    assert!(matches!(check.verdict().await, Verdict::Good(found) if found.reads == 5000));
    assert!(meter.ticks() > before);

    let (mut listener, check) = begin(&meter).unwrap();
    let text = Bytes::from(reads(100, "", 0));
    while listener.hear(text.clone()).await {}
    assert_eq!(check.verdict().await, Verdict::Bad(Fault::NotGzip));

    let (mut listener, check) = begin(&meter).unwrap();
    assert!(listener.hear(file.slice(..100)).await);
    drop(listener);
    assert!(matches!(check.verdict().await, Verdict::Unknown(why) if why.contains("not read to its end")));
}

/// A check that is given up ends by itself, in the middle of a bomb as well as while it waits.
#[tokio::test]
async fn a_check_that_nobody_waits_for_leaves_neither_thread_nor_meter() {
    let board = Board::default();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let record = format!("@r\n{0}\n+\n{1}\n", "A".repeat(60_000), "I".repeat(60_000));
    for _ in 0..2_000 {
        encoder.write_all(record.as_bytes()).unwrap();
    }
    let bomb = Bytes::from(encoder.finish().unwrap());
    for bytes in [bomb, Bytes::new()] {
        let meter = board.begin("uploader", "t".into());
        let (mut listener, check) = begin(&meter).unwrap();
        for _ in 0..2 {
            assert!(listener.hear(bytes.clone()).await);
        }
        drop((listener, check, meter));
        let begun = Instant::now();
        while !board.motions().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the thread goes on and holds the meter");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What is being checked keeps its room, so parts in memory stay bounded.
#[tokio::test]
async fn the_pipe_holds_one_part_at_a_time() {
    let (mut listener, heard) = listening();
    let parts: Vec<Arc<[u8]>> = (0..4).map(|n| vec![n; 10].into()).collect();
    let reading = tokio::task::spawn_blocking(move || {
        let mut pipe = Pipe::new(heard);
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut pipe, &mut all).map(|_| all)
    });
    for part in &parts {
        assert!(listener.hear(Bytes::from_owner(part.clone())).await);
    }
    listener.end().await;
    assert_eq!(reading.await.unwrap().unwrap(), parts.concat());
    assert!(parts.iter().all(|part| Arc::strong_count(part) == 1), "all were let go");
}
