//! FASTQ that is not what its name says: each stopped before its `COMMIT` with its own word, the good ones beside it go through.
//!
//! Every one of them is delivered with an `md5sum.txt` that is right for the bytes, so nothing but reading them can tell.
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tsd_import::conf::Role;
use tsd_import::demo::lims::StepState;
use tsd_import::demo::site::{Order, PROJECT, Reads, SiteOptions};
use tsd_import::demo::store::{FaultKind, FaultRule};
use tsd_import::package::{Priority, Reason, State};

use crate::world::{World, sample_ids, text};

const SIZE: u64 = 150_000;

/// What is done to R1 and R2 of a sample before they are summed.
type Spoil<'a> = &'a dyn Fn(&World, &Path, &Path);

fn put(path: &Path, bytes: &[u8]) {
    tsd_import::fs::write_durably(path, bytes).unwrap();
}

fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Delivers samples, lets `spoil` change R1 and R2 of the first ones, sums what there is then, and queues them all.
fn deliver(world: &mut World, spoil: &[Spoil], good: usize) -> Vec<String> {
    let mut roots = Vec::new();
    for n in 0..spoil.len() + good {
        let dna = format!("HG7000{n:04}");
        let (priority, reads) = (Priority::ALL[n % 3], Reads::Made(SIZE));
        let order = Order { dna: dna.clone(), priority, family: None, reads };
        roots.push(world.site.sequence(&order).unwrap().root_artifact);
        world.samples.push(dna);
    }
    for (dna, spoil) in world.samples.iter().zip(spoil) {
        let files = world.site.delivered(dna).unwrap();
        spoil(world, &files[0], &files[1]);
    }
    world.site.sums().unwrap();
    roots.iter().for_each(|r| world.site.lims.enqueue(r).unwrap());
    sample_ids(&world.samples)
}

/// The objects of a package.
fn in_store(world: &World, id: &str) -> Vec<PathBuf> {
    let place = world.site.dir.join("store/p22-import/tsd-import").join(id);
    if place.exists() { tsd_import::fs::plain_files(&place).unwrap() } else { Vec::new() }
}

fn ledger(world: &World, id: &str) -> String {
    let path = world.site.state(Role::Nsc).join("uploads").join(format!("{}.jsonl", id.replace('/', "~")));
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn every_sort_of_bad_reads_is_stopped_with_its_word_and_the_good_ones_go_through() {
    let cut_off = |_: &World, _: &Path, r2: &Path| {
        let bytes = std::fs::read(r2).unwrap();
        put(r2, &bytes[..bytes.len() * 2 / 3]);
    };
    let flipped = |_: &World, r1: &Path, _: &Path| {
        let mut bytes = std::fs::read(r1).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x20;
        put(r1, &bytes);
    };
    let of_another = |world: &World, _: &Path, r2: &Path| {
        let other = &world.site.delivered(world.samples.last().unwrap()).unwrap()[1];
        put(r2, &std::fs::read(other).unwrap());
    };
    let one_end_twice = |_: &World, r1: &Path, r2: &Path| put(r2, &std::fs::read(r1).unwrap());
    let compressed_anew = |_: &World, r1: &Path, r2: &Path| put(r2, &gzip(&gunzip(r1)));
    let empty = |_: &World, r1: &Path, _: &Path| put(r1, b"");
    let only_text = |_: &World, _: &Path, r2: &Path| put(r2, gunzip(r2).as_bytes());
    let one_read_less = |_: &World, _: &Path, r2: &Path| {
        let text = gunzip(r2);
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        put(r2, &gzip(&lines[..lines.len() - 4].concat()));
    };
    let spoil: [Spoil; 8] = [
        &cut_off,
        &flipped,
        &of_another,
        &one_end_twice,
        &compressed_anew,
        &empty,
        &only_text,
        &one_read_less,
    ];
    let words = [
        (Reason::BadReads, "_R2_001.fastq.gz is cut off"),
        (Reason::BadReads, "_R1_001.fastq.gz is "),
        (Reason::PairMismatch, "R1 begins with read LH00534:123:22ABCDLT4:3:1101:1000:1000, R2 with read "),
        (Reason::PairMismatch, "they are the same file"),
        (Reason::PairMismatch, "the reads in the R2 file say that they are end 1"),
        (Reason::BadReads, "_R1_001.fastq.gz is empty"),
        (Reason::BadReads, "_R2_001.fastq.gz is no gzip file"),
        (Reason::PairMismatch, "R1 holds "),
    ];
    let mut world = World::new().await;
    let ids = deliver(&mut world, &spoil, 2);
    // What other pipelines drop is sent as it is, whatever it calls itself: no `.sample` names it.
    let results = [("calls.bam", b"no bam".to_vec()), ("raw_R1_001.fastq.gz", b"no gzip".to_vec())];
    world.site.drop_in("analyses-results/singles", "of-others", Priority::Normal, &results).unwrap();
    world.start_both();
    let (bad, good) = ids.split_at(spoil.len());
    let stopped = |w: &World| bad.iter().all(|id| w.state(Role::Nsc, id) == Some(State::Quarantined));
    world.until("all bad ones are stopped", stopped).await;
    let given_back = |w: &World| w.site.lims.queued().len() == bad.len();
    world.until("their steps are given back", given_back).await;
    let mut arrive = good.to_vec();
    arrive.push("analyses-results/singles/of-others/r1".into());
    world.until_ready(&arrive).await;
    for (id, (reason, word)) in bad.iter().zip(words) {
        let row = world.fold(Role::Nsc).package(&id.parse().unwrap()).cloned().unwrap();
        let detail = row.facts.detail.unwrap();
        assert_eq!(row.facts.reason, Some(reason), "{id}: {detail}");
        assert!(detail.contains(word), "{detail} should say {word}");
        let mates = ["_R1_001.fastq.gz", "_R2_001.fastq.gz"].iter().filter(|end| detail.contains(*end));
        assert_eq!(mates.count(), if reason == Reason::PairMismatch { 2 } else { 1 }, "{detail}");
        let there = in_store(&world, id);
        assert!(!there.iter().any(|p| p.starts_with("r1/COMMIT") || p.ends_with("COMMIT")), "{there:?}");
        assert_eq!(world.state(Role::Tsd, id), None);
    }
    assert!(in_store(&world, &good[0]).iter().any(|p| p.ends_with("COMMIT")), "this is where it would be");
    let status = text(&world.command(Role::Nsc, &["status"]).stdout);
    assert!(status.contains("bad-reads") && status.contains("pair-mismatch"), "{status}");
    world.stop().await;
    world.everything_is_right(&arrive);
    assert!(world.site.lims.steps().iter().all(|s| s.state == StepState::Completed));
}

/// What was found in R1 is known after the crash: its mate is compared with it, and nothing is sent again.
#[tokio::test]
async fn a_pair_is_compared_although_the_sender_was_killed_between_the_two() {
    for (n, ends_well) in [false, true].into_iter().enumerate() {
        let mut world = World::new().await;
        let of_another = |world: &World, _: &Path, r2: &Path| {
            let other = &world.site.delivered(world.samples.last().unwrap()).unwrap()[1];
            put(r2, &std::fs::read(other).unwrap());
        };
        let right = |_: &World, _: &Path, _: &Path| {};
        let spoil: Spoil = if ends_well { &right } else { &of_another };
        let ids = deliver(&mut world, &[spoil], 1);
        let name = format!("{PROJECT}-{}", world.samples[0]);
        let r2 = Some("_R2_001".into());
        let kind = FaultKind::SlowDown;
        world.site.store.fault(FaultRule { key_contains: r2, times: u32::MAX, ..FaultRule::next(kind) });
        world.start(Role::Nsc, &[]);
        let known = |w: &World, which: &str| {
            ledger(w, &ids[0]).lines().any(|l| l.contains(which) && l.contains("\"reads\""))
        };
        world.until("R1 is in the ledger with its reads", |w| known(w, "_R1_")).await;
        world.kill(Role::Nsc).await;
        assert!(!known(&world, "_R2_"));
        world.site.store.mend();
        world.start_both();
        if ends_well {
            world.see_it_through(&ids).await;
        } else {
            let stopped = |w: &World| w.state(Role::Nsc, &ids[0]) == Some(State::Quarantined);
            world.until("the pair is stopped", stopped).await;
            let row = world.fold(Role::Nsc).package(&ids[0].parse().unwrap()).cloned().unwrap();
            assert_eq!(row.facts.reason, Some(Reason::PairMismatch), "{:?}", row.facts.detail);
            world.until_ready(&ids[1..]).await;
            world.stop().await;
            world.everything_is_right(&ids[1..]);
        }
        let sent = world.site.store.requests();
        let sent =
            sent.iter().filter(|r| r.path.contains(&name) && r.path.contains("_R1_") && r.method == "PUT");
        assert_eq!(sent.count(), 1, "round {n}: R1 was sent once");
    }
}

/// Reads of another sort than Illumina's must get through somehow: on the word of the site, by md5 and size alone.
#[tokio::test]
async fn with_digests_alone_nothing_is_decompressed() {
    let more_of = vec![(Role::Nsc, "orders.reads = \"digest\"\n".to_owned())];
    let mut world = World::with(SiteOptions {
        token_life: std::time::Duration::from_secs(600),
        more_of,
        ..SiteOptions::default()
    })
    .await;
    let only_text = |_: &World, _: &Path, r2: &Path| put(r2, gunzip(r2).as_bytes());
    let ids = deliver(&mut world, &[&only_text], 1);
    world.start_both();
    world.see_it_through(&ids).await;
}
