//! How long from `COMMIT` to `READY`? Packages are put into the embedded store, the released daemon fetches them, and its own journal says where
//! the time went. `scripts/ready-latency` builds both and runs it.
//!
//! ```text
//! ready measure --program PROGRAM --dir SCRATCH [--sizes 1MB,10GB] [--rounds 5] [--interval 30s]
//! ```
//! The store serves from the same machine, on the same cores and, here, from the same disk. Large sizes are measured once. A package takes its
//! size twice on the disk of SCRATCH, for as long as it is measured.
#![allow(clippy::unwrap_used)] // a measurement that cannot be set up must fail loudly
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use jiff::Timestamp;
use serde_json::json;
use tsd_import::conf::Role;
use tsd_import::demo::daemon::Daemon;
use tsd_import::demo::site::{Site, SiteOptions};
use tsd_import::fs::{self, Mode};
use tsd_import::journal::{self, Event};
use tsd_import::package::{Digests, HashState, Sha256Hex, State};
use tsd_import::signature::Signer;

const PIECE: usize = 1 << 20;
/// From here on one round is enough.
const LARGE: u64 = 500 << 20;
const PATIENCE: Duration = Duration::from_secs(3600);

struct Asked {
    program: PathBuf,
    dir: PathBuf,
    sizes: Vec<ByteSize>,
    rounds: usize,
    interval: String,
}

fn asked(mut words: impl Iterator<Item = String>) -> Option<Asked> {
    let (mut program, mut dir) = (None, None);
    let (mut sizes, mut rounds, mut interval) = ("1MB,10GB".to_owned(), 5, "30 s".to_owned());
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--program" => program = Some(PathBuf::from(value)),
            "--dir" => dir = Some(PathBuf::from(value)),
            "--sizes" => sizes = value,
            "--rounds" => rounds = value.parse().ok()?,
            "--interval" => interval = value,
            _ => return None,
        }
    }
    let sizes = sizes.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(Asked { program: program?, dir: dir?, sizes, rounds, interval })
}

/// A file of bytes of which no two pieces are the same, cheap to make.
fn write_file(path: &Path, bytes: u64, seed: u64) -> Digests {
    fs::create_dir(path.parent().unwrap()).unwrap();
    let mut file = fs::open(path, Mode::New).unwrap();
    let (mut state, mut digest, mut left) = (seed | 1, HashState::new(true), bytes);
    let mut piece = vec![0_u8; PIECE];
    while left > 0 {
        for word in piece.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let now = &piece[..left.min(PIECE as u64) as usize];
        file.write_all(now).unwrap();
        digest.update(now);
        left -= now.len() as u64;
    }
    file.sync_all().unwrap(); // not to be written out while something is measured
    digest.finish()
}

struct Package {
    name: String,
    place: PathBuf,
    commit: Vec<u8>,
    digest: Sha256Hex,
    bytes: u64,
}

/// A sample with two files of reads; everything is in the bucket but its `COMMIT`.
fn put(site: &Site, signer: &Signer, size: u64, sequence: u64, previous: Option<&Sha256Hex>) -> Package {
    let name = format!("Diag-wgs1-HG{:08}", 40_000_000 + sequence);
    let place = site.dir.join("store/p22-import/tsd-import/samples").join(&name).join("r1");
    let mut sums = Vec::new();
    let reads: Vec<_> = [1, 2]
        .into_iter()
        .map(|mate| {
            let path = format!("HG-KIT-wgs_S1_R{mate}_001.fastq.gz");
            let found = write_file(&place.join(&path), size / 2, sequence * 2 + mate);
            sums.push((path.clone(), found.sha256));
            json!({"path": path, "md5": found.md5.unwrap().as_str(), "size": size / 2})
        })
        .collect();
    let document = json!({"name": name, "sample_id": "HG1", "project": "Diag-wgs1", "sequencer_id": "LH00534", "flowcell_id": "22ABCDLT4",
        "flowcell": "A", "lane": 1, "capturekit": "wgs", "taqman": null, "stats": {}, "reads": reads});
    let document = document.to_string().into_bytes();
    fs::write_durably(&place.join(format!("{name}.sample")), &document).unwrap();
    sums.push((format!("{name}.sample"), Sha256Hex::of(&document)));
    sums.sort();
    let manifest: String = sums.iter().map(|(path, digest)| format!("{digest}  {path}\n")).collect();
    fs::write_durably(&place.join("SHA256SUMS"), manifest.as_bytes()).unwrap();
    let bytes = size / 2 * 2 + document.len() as u64;
    let commit = json!({"version": 1, "package": name, "kind": "samples", "revision": 1, "priority": "normal", "files": 3, "bytes": bytes,
        "manifest_sha256": Sha256Hex::of(manifest.as_bytes()).as_str(), "sender": "gdx-login/1", "sequence": sequence,
        "previous": previous.map(Sha256Hex::as_str), "committed_at": tsd_import::clock::now().to_string()});
    let commit = format!("{commit:#}\n").into_bytes();
    fs::write_durably(&place.join("COMMIT.sig"), signer.sign(&commit).unwrap().as_bytes()).unwrap();
    Package { name, place, digest: Sha256Hex::of(&commit), commit, bytes }
}

/// When the journal says that the package came to each of these states.
fn moments(site: &Site, name: &str) -> Vec<(State, Timestamp)> {
    let mut found = Vec::new();
    let of = |line: journal::Line| {
        if let Event::Moved { package, to, .. } = line.event
            && package.name.as_str() == name
        {
            found.push((to, line.at));
        }
    };
    journal::read(&site.state(Role::Tsd), of).unwrap();
    found
}

/// Puts the `COMMIT` and waits for `READY`: how long, and from which state to which.
fn measure(site: &Site, package: &Package) -> (f64, Vec<(State, f64)>) {
    let (began, at) = (Instant::now(), tsd_import::clock::now());
    fs::write_durably(&package.place.join("COMMIT"), &package.commit).unwrap();
    let landed = site.landing("samples").join(&package.name);
    while !landed.join("READY").exists() {
        assert!(began.elapsed() < PATIENCE, "{} did not become READY", package.name);
        std::thread::sleep(Duration::from_millis(2));
    }
    let whole = began.elapsed().as_secs_f64();
    while !moments(site, &package.name).iter().any(|(state, _)| *state == State::Ready) {
        assert!(began.elapsed() < PATIENCE, "the journal does not know that {} is READY", package.name);
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut before = at;
    let phases = moments(site, &package.name).into_iter().map(|(state, at)| {
        let took = (at - before).total(jiff::Unit::Second).unwrap();
        before = at;
        (state, took)
    });
    (whole, phases.collect())
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn run(asked: &Asked) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = SiteOptions { token_life: Duration::from_secs(24 * 3600), ..SiteOptions::default() };
    let site = runtime.block_on(Site::open(&asked.dir, &options)).unwrap();
    let signer = Signer::from_file(&site.dir.join("nsc/secrets/signing-key")).unwrap();
    let env = [("TSD_IMPORT__WATCH__INTERVAL", asked.interval.as_str()), ("TSD_IMPORT__WORK__RHYTHM", "1 s")];
    let conf = site.conf(Role::Tsd);
    let daemon = {
        let _in_it = runtime.enter();
        Daemon::start(&asked.program, Role::Tsd, &conf, &[], &env).unwrap()
    };
    println!("a look at the bucket every {}; each from COMMIT to READY", asked.interval);
    let (mut sequence, mut previous) = (0, None);
    for size in &asked.sizes {
        let rounds = if size.as_u64() >= LARGE { 1 } else { asked.rounds };
        let mut found = Vec::new();
        for _ in 0..rounds {
            sequence += 1;
            let package = put(&site, &signer, size.as_u64(), sequence, previous.as_ref());
            previous = Some(package.digest.clone());
            let (whole, phases) = measure(&site, &package);
            found.push((whole, phases, package.bytes));
            fs::discard_scratch(&site.landing("samples").join(&package.name)).unwrap();
            fs::discard_scratch(&package.place).unwrap();
        }
        let whole = median(found.iter().map(|(whole, ..)| *whole).collect());
        let longest = found.iter().map(|(whole, ..)| *whole).fold(0.0, f64::max);
        let phase = |state: State| {
            let of = |phases: &Vec<(State, f64)>| {
                phases.iter().find(|(s, _)| *s == state).map_or(0.0, |(_, t)| *t)
            };
            median(found.iter().map(|(_, phases, _)| of(phases)).collect())
        };
        let work =
            [State::Copying, State::Copied, State::Verified, State::Ready].map(phase).iter().sum::<f64>();
        println!(
            "{size}: {whole:.2} s (median of {rounds}, longest {longest:.2}): until it was seen {:.2}, copied {:.2}, read back and compared {:.2}, \
             put in place and READY {:.2}; {:.0} MB/s once it was seen",
            phase(State::Seen),
            phase(State::Copying) + phase(State::Copied),
            phase(State::Verified),
            phase(State::Ready),
            found[0].2 as f64 / 1e6 / work
        );
    }
    runtime.block_on(daemon.stop(Duration::from_secs(60))).unwrap();
}

fn main() {
    let mut words = std::env::args().skip(1);
    // `cargo bench` starts every bench, with words of its own.
    if words.next().as_deref() != Some("measure") {
        println!("usage: scripts/ready-latency (this is its measuring part)");
        return;
    }
    match asked(words) {
        Some(asked) => run(&asked),
        None => panic!(
            "usage: ready measure --program PROGRAM --dir SCRATCH [--sizes 1MB,10GB] [--rounds N] [--interval 30s]"
        ),
    }
}
