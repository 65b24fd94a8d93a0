//! What it costs to check FASTQ in the pass that sends it: the digests that every file gets, alone and with the full check
//! beside them, over the same made-up reads, in one run. MiB/s of compressed bytes; ratios count: `cargo bench --bench reads`.
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tsd_import::demo::reads::write_pair;
use tsd_import::nsc::fastq::{Verdict, begin};
use tsd_import::package::{HashState, Sha256Hex};
use tsd_import::supervisor::meter::Board;

/// Of each file.
const SIZE: u64 = 32 << 20;
/// As `store.part_size` and the block within it.
const PART: usize = 16 << 20;
const BLOCK: usize = 1 << 20;

/// What the disk's thread does with a part: the file's SHA-256 and md5, and the part's own SHA-256.
fn digests(state: &mut HashState, part: &Bytes) -> Sha256Hex {
    part.chunks(BLOCK).for_each(|block| state.update(block));
    Sha256Hex::of(part)
}

fn parts(file: &Bytes) -> impl Iterator<Item = Bytes> {
    (0..file.len()).step_by(PART).map(|at| file.slice(at..file.len().min(at + PART)))
}

fn alone(file: &Bytes) {
    let mut state = HashState::new(true);
    for part in parts(file) {
        let _own = std::hint::black_box(digests(&mut state, &part));
    }
    let _all = std::hint::black_box(state.finish());
}

/// As in sending: the parts go on to the checker while the next one is hashed.
fn checked(file: &Bytes) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let meter = Board::default().begin("bench", "file".into());
    runtime.block_on(async {
        let (mut listener, check) = begin(&meter).expect("a thread");
        let mut state = HashState::new(true);
        for part in parts(file) {
            let _own = std::hint::black_box(digests(&mut state, &part));
            assert!(listener.hear(part).await, "these reads are good");
        }
        listener.end().await;
        assert!(matches!(check.verdict().await, Verdict::Good(_)), "these reads are good");
        let _all = std::hint::black_box(state.finish());
    });
}

fn reads(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let pair = write_pair(dir.path(), "s_L001", "22ABCDLT4", 1, SIZE, 7).expect("made-up reads");
    let files: Vec<Bytes> =
        [pair.r1, pair.r2].iter().map(|path| std::fs::read(path).expect("just written").into()).collect();
    let mut group = c.benchmark_group("FASTQ");
    let _few = group.sample_size(10);
    type Pass = fn(&Bytes);
    let passes: [(&str, Pass); 2] = [("SHA-256 and md5", alone), ("the same and the full check", checked)];
    for at_once in [1, 2] {
        let bytes: usize = files.iter().take(at_once).map(Bytes::len).sum();
        let _sized = group.throughput(Throughput::Bytes(bytes as u64));
        for (name, pass) in passes {
            let _bench = group.bench_function(BenchmarkId::new(name, format!("{at_once} at once")), |b| {
                b.iter(|| {
                    std::thread::scope(|scope| {
                        files.iter().take(at_once).for_each(|file| drop(scope.spawn(move || pass(file))));
                    });
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, reads);
criterion_main!(benches);
