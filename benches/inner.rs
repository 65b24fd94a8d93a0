//! The inner parts, side by side in one run: what a byte costs in digests, what an event costs in the journal, what a message
//! costs between actors. Ratios count, not the machine's own numbers: `cargo bench`.
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use md5_lanes::Lane;
use tsd_import::clock;
use tsd_import::disk::Disks;
use tsd_import::hashing::Hashing;
use tsd_import::journal::{Event, Facts, Fold, Holder, Journal, Owner, read};
use tsd_import::package::{HashState, Manifest, Md5Hex, PackageId, Sha256Hex, State};
use tsd_import::supervisor::meter::Board;
use tsd_import::tsd::reading::{Back, read_back_alone};

fn digests(c: &mut Criterion) {
    let block = vec![0xa5u8; 1 << 20];
    let mut group = c.benchmark_group("digest of 1 MiB");
    let _sized = group.throughput(Throughput::Bytes(1 << 20));
    for (name, md5) in [("sha256", false), ("sha256 and md5", true)] {
        let _bench = group.bench_function(name, |b| {
            b.iter(|| {
                let mut state = HashState::new(md5);
                state.update(&block);
                state.finish()
            });
        });
    }
    group.finish();
}

/// md5 of several messages in lockstep, a MiB of each; beside it what one after the other costs. Throughput is of all together.
fn lanes(c: &mut Criterion) {
    let data: Vec<Vec<u8>> = (0..8u8)
        .map(|n| (0..1 << 20).map(|i: u32| (i.wrapping_mul(0x9e37_79b1) >> 13) as u8 ^ n).collect())
        .collect();
    let mut group = c.benchmark_group("md5");
    let _sized = group.throughput(Throughput::Bytes(1 << 20));
    let _bench = group.bench_function("md-5 alone", |b| b.iter(|| Md5Hex::of(&data[0])));
    for messages in [1, 2, 3, 4, 5, 6, 8] {
        let _sized = group.throughput(Throughput::Bytes(messages << 20));
        let _bench = group.bench_function(BenchmarkId::new("in lockstep", messages), |b| {
            b.iter(|| {
                let one = data.iter().take(messages as usize);
                let mut lanes: Vec<Lane<'_>> =
                    one.map(|bytes| Lane { state: [1, 2, 3, 4], blocks: bytes.as_chunks().0 }).collect();
                md5_lanes::advance(&mut lanes);
                lanes[0].state
            });
        });
    }
    group.finish();
}

/// Reading files back, with md5: each hashed by the disk's thread that reads it, and by the threads for digests beside it.
fn reading_back(c: &mut Criterion) {
    const FILES: usize = 4;
    const SIZE: usize = 256 << 20;
    let dir = tempfile::tempdir().expect("a scratch directory");
    let paths: Vec<_> = (0..FILES).map(|n| dir.path().join(n.to_string())).collect();
    for (n, path) in paths.iter().enumerate() {
        let bytes: Vec<u8> =
            (0..SIZE as u32).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 13) as u8 ^ n as u8).collect();
        tsd_import::fs::write_durably(path, &bytes).expect("there is room");
    }
    let disks = Disks::new(4, Duration::from_secs(600), Arc::new(|_, _, _| {}));
    let disk = disks.at("bench", dir.path()).expect("threads");
    let hashing = Hashing::start(0).expect("threads");
    let meter = Board::default().begin("bench", "files".into());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let hold = runtime.block_on(disks.hold("bench")).expect("it is free");
    let back = Back { hold: &hold, disk: &disk, hashing: &hashing, meter: &meter };
    let mut group = c.benchmark_group("read back 4 x 256 MiB with md5");
    let _sized = group.throughput(Throughput::Bytes((FILES * SIZE) as u64));
    let _few = group.sample_size(10);
    let _bench = group.bench_function("hashed by the disk's threads", |b| {
        b.iter(|| {
            let jobs = paths.iter().map(|path| {
                let path = path.clone();
                hold.on(&disk, move |on| read_back_alone(on, &path, true, |_| on.moved()))
            });
            runtime.block_on(futures_util::future::join_all(jobs))
        });
    });
    let _bench = group.bench_function("hashed beside them", |b| {
        b.iter(|| {
            runtime.block_on(futures_util::future::join_all(paths.iter().map(|path| back.read(path, true))))
        });
    });
    group.finish();
}

fn manifest(c: &mut Criterion) {
    let mut manifest = Manifest::default();
    for n in 0..2_000 {
        let path = format!("work/{n:04}/result.vcf.gz").parse().expect("a plain path");
        manifest.insert(path, Sha256Hex::of(&[n as u8]));
    }
    let text = manifest.to_text();
    let _bench =
        c.bench_function("read SHA256SUMS of 2,000 files", |b| b.iter(|| Manifest::parse(text.as_bytes())));
}

fn id(n: usize) -> PackageId {
    format!("samples/Diag-{n}/r1").parse().expect("a plain name")
}

fn journal(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let me = Holder { host: "h".into(), pid: 1, boot: "b".into(), role: "nsc".into(), since: clock::now() };
    let owner = Owner::acquire(dir.path(), &me, Duration::from_secs(30), false).expect("nobody else is here");
    let journal = Journal::open(dir.path(), &owner).expect("an empty journal opens");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("journal");
    let mut next = 0;
    for writers in [1, 16] {
        let _sized = group.throughput(Throughput::Elements(writers));
        let _bench =
            group.bench_function(BenchmarkId::new("moves, fsynced, writers at once", writers), |b| {
                b.iter(|| {
                    let moves = (0..writers).map(|_| {
                        next += 1;
                        let (journal, id) = (journal.clone(), id(next));
                        async move { journal.step(&id, None, State::Seen, "bench", Facts::default()).await }
                    });
                    let moves: Vec<_> = moves.collect();
                    runtime.block_on(futures_util::future::join_all(moves))
                });
            });
    }
    let note = || Event::Recovered { actor: "x".into(), after_ms: 1 };
    let _bench =
        group.bench_function("record, fsynced", |b| b.iter(|| runtime.block_on(journal.record(note()))));
    let _bench = group.bench_function("read and fold all of it", |b| {
        b.iter(|| {
            let mut fold = Fold::default();
            let _report = read(dir.path(), |line| fold.apply(&line));
            fold.packages().count()
        });
    });
    group.finish();
}

criterion_group!(inner, digests, lanes, reading_back, manifest, journal);
criterion_main!(inner);
