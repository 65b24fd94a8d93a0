//! The inner parts, side by side in one run: what a byte costs in digests, what an event costs in the journal, what a message
//! costs between actors. Ratios count, not the machine's own numbers: `cargo bench`.
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tsd_import::clock;
use tsd_import::journal::{Event, Facts, Fold, Holder, Journal, Owner, read};
use tsd_import::package::{HashState, Manifest, PackageId, Sha256Hex, State};

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
    let owner = Owner::acquire(dir.path(), &me, std::time::Duration::from_secs(30), false)
        .expect("nobody else is here");
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

criterion_group!(inner, digests, manifest, journal);
criterion_main!(inner);
