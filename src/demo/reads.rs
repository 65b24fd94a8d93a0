//! Pairs of FASTQ files as a sequencer's demultiplexing leaves them, made up but well-formed, and their `md5sum.txt`.
//!
//! Reads are cut from a made-up genome at fragments of plausible length: R1 from one end, R2 the reverse complement of the
//! other, with the binned qualities of a NovaSeq X. The same arguments give the same bytes. Files are written as a stream
//! of a few MiB of memory, whatever their size, with gzip level 1.
//!
//! Traps: the genome and the qualities are longer than gzip's window (32 KiB), otherwise their repetition would compress
//! away. Nothing is overwritten: delivered files are hard-linked into packages, and truncating one would change those.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest, Md5};
use tempfile::NamedTempFile;
use walkdir::WalkDir;

const READ_LENGTH: usize = 151;
/// Bases of the made-up genome, and of the pool qualities are taken from.
const POOL: usize = 1 << 18;
/// How long the pieces are that are read from both ends.
const SHORTEST_FRAGMENT: usize = 250;
const LONGEST_FRAGMENT: usize = 550;
const SUMS: &str = "md5sum.txt";

/// The two files of one sample on one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub r1: PathBuf,
    pub r2: PathBuf,
}

/// Why files could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} {}; check space and rights there", .path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("could not walk through {}; check rights there", .path.display())]
    Walk { path: PathBuf, source: walkdir::Error },
    #[error("{} has a name that {SUMS} cannot hold (not UTF-8, or a line break or backslash in it); rename it", .0.display())]
    Name(PathBuf),
}

/// Writes `<stem>_R1_001.fastq.gz` and `<stem>_R2_001.fastq.gz` of about `bytes` bytes each into `dir`, which exists.
/// Both have the same number of reads, at least one, with the same names.
///
/// # Errors
/// If a file exists already, or cannot be written; what was begun is left lying.
pub fn write_pair(
    dir: &Path,
    stem: &str,
    flowcell: &str,
    lane: u32,
    bytes: u64,
    seed: u64,
) -> Result<Pair, Error> {
    let pair = Pair {
        r1: dir.join(format!("{stem}_R1_001.fastq.gz")),
        r2: dir.join(format!("{stem}_R2_001.fastq.gz")),
    };
    let mut dice = Dice::new(seed);
    let genome = Genome::new(&mut dice);
    let qualities = qualities(&mut dice);
    let flowcell = format!("@LH00534:123:{flowcell}:{lane}:");
    let index = format!(":N:0:{}+{}\n", dice.bases(8), dice.bases(8));
    let mut r1 = Gz::create(&pair.r1)?;
    let mut r2 = Gz::create(&pair.r2)?;
    let mut name = String::new();
    let mut record = Vec::with_capacity(2 * READ_LENGTH + 128);
    let mut cluster = Cluster::first();
    while r1.size() < bytes || cluster.count == 0 {
        let fragment = dice.between(SHORTEST_FRAGMENT, LONGEST_FRAGMENT);
        let at = dice.between(0, POOL - LONGEST_FRAGMENT);
        let other_end = POOL - at - fragment;
        name.clear();
        name.push_str(&flowcell);
        cluster.write_to(&mut name);
        for (number, gz, read) in [
            (" 1", &mut r1, &genome.forward[at..at + READ_LENGTH]),
            (" 2", &mut r2, &genome.reverse[other_end..other_end + READ_LENGTH]),
        ] {
            let quality = dice.between(0, POOL - READ_LENGTH);
            record.clear();
            record.extend_from_slice(name.as_bytes());
            record.extend_from_slice(number.as_bytes());
            record.extend_from_slice(index.as_bytes());
            record.extend_from_slice(read);
            record.extend_from_slice(b"\n+\n");
            record.extend_from_slice(&qualities[quality..quality + READ_LENGTH]);
            record.push(b'\n');
            gz.write(&record)?;
        }
        cluster.next(&mut dice);
    }
    r1.finish()?;
    r2.finish()?;
    Ok(pair)
}

/// Writes `md5sum.txt` for all files in `dir` and below, as `md5sum` would: names relative to `dir`, sorted bytewise.
/// It appears whole, in place of an older one; `md5sum -c md5sum.txt` in `dir` checks it.
///
/// # Errors
/// If a file cannot be read, or has a name that the format cannot hold.
pub fn write_md5sums(dir: &Path) -> Result<(), Error> {
    let mut names = Vec::new();
    for entry in WalkDir::new(dir) {
        let entry = entry.map_err(|source| Error::Walk { path: dir.to_owned(), source })?;
        if !entry.file_type().is_file() {
            continue;
        }
        let name = entry.path().strip_prefix(dir).ok().and_then(Path::to_str);
        match name {
            Some(SUMS) => {}
            Some(name) if !name.contains(['\\', '\n', '\r']) => names.push(name.to_owned()),
            _ => return Err(Error::Name(entry.into_path())),
        }
    }
    names.sort_unstable();
    let target = dir.join(SUMS);
    let mut sums = NamedTempFile::new_in(dir).map_err(failed("make a file in", dir))?;
    for name in names {
        let path = dir.join(&name);
        let md5 = md5_of(&path).map_err(failed("read", &path))?;
        writeln!(sums, "{md5}  {name}").map_err(failed("write", &target))?;
    }
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(sums.path(), readable).map_err(failed("set the mode of", &target))?;
    sums.persist(&target).map_err(|error| failed("put in place", &target)(error.error))?;
    Ok(())
}

fn md5_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut md5 = Md5::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(md5.finalize())),
            read => md5.update(&buffer[..read]),
        }
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

/// A place on the flowcell; clusters are named in the order in which the sequencer reads them.
struct Cluster {
    count: u64,
    tile: u64,
    x: u64,
    y: u64,
}

impl Cluster {
    fn first() -> Self {
        Self { count: 0, tile: 1101, x: 1000, y: 1000 }
    }

    fn write_to(&self, name: &mut String) {
        // Writing to a String cannot fail.
        let _cannot_fail = write!(name, "{}:{}:{}", self.tile, self.x, self.y);
    }

    fn next(&mut self, dice: &mut Dice) {
        self.count += 1;
        self.x += 1 + dice.below(37);
        if self.x > 32_000 {
            (self.x, self.y) = (1000, self.y + 7);
        }
        if self.y > 50_000 {
            (self.tile, self.y) = (self.tile + 1, 1000);
        }
    }
}

/// A gzip file in the making that knows about how large it is.
struct Gz {
    path: PathBuf,
    encoder: GzEncoder<Counted>,
    text: u64,
}

impl Gz {
    fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create_new(path).map_err(failed("create", path))?;
        let file = Counted { file: BufWriter::with_capacity(256 << 10, file), bytes: 0 };
        Ok(Self { path: path.to_owned(), encoder: GzEncoder::new(file, Compression::fast()), text: 0 })
    }

    fn write(&mut self, record: &[u8]) -> Result<(), Error> {
        self.text += record.len() as u64;
        self.encoder.write_all(record).map_err(failed("write", &self.path))
    }

    /// What was written; before the encoder gave anything out, what the text will come to.
    fn size(&self) -> u64 {
        self.encoder.get_ref().bytes.max(if self.text < 256 << 10 { self.text * 3 / 10 } else { 0 })
    }

    fn finish(self) -> Result<(), Error> {
        let finished = self.encoder.finish().and_then(|mut counted| counted.file.flush());
        finished.map_err(failed("finish", &self.path))
    }
}

struct Counted {
    file: BufWriter<File>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

struct Genome {
    forward: Vec<u8>,
    /// Its reverse complement: position `p` of the one is position `POOL - 1 - p` of the other.
    reverse: Vec<u8>,
}

impl Genome {
    fn new(dice: &mut Dice) -> Self {
        let forward = dice.bases(POOL).into_bytes();
        let complement = |base: &u8| match base {
            b'A' => b'T',
            b'C' => b'G',
            b'G' => b'C',
            _ => b'A',
        };
        let reverse = forward.iter().rev().map(complement).collect();
        Self { forward, reverse }
    }
}

/// Qualities in the bins of a NovaSeq X (Q2, Q12, Q24, Q40), mostly the best, in runs.
fn qualities(dice: &mut Dice) -> Vec<u8> {
    let mut pool = Vec::with_capacity(POOL + 32);
    while pool.len() < POOL {
        let roll = dice.below(1024);
        let (bin, run) = match roll & 31 {
            0 => (b'#', 1),
            1 | 2 => (b'-', 1 + (roll >> 5) % 3),
            3..=7 => (b'9', 1 + (roll >> 5) % 4),
            _ => (b'I', 2 + (roll >> 5) % 12),
        };
        pool.resize(pool.len() + run as usize, bin);
    }
    pool.truncate(POOL);
    pool
}

/// xorshift64*: small, fast, the same everywhere. <https://doi.org/10.1145/2845077>
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        // The state must not be zero, and near seeds must not give near sequences.
        let mut dice = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        if dice.0 == 0 {
            dice.0 = 1;
        }
        for _ in 0..8 {
            dice.roll();
        }
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; the bias is of no account here.
    fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 16) % end
    }

    /// A number from `start` up, below `end`.
    fn between(&mut self, start: usize, end: usize) -> usize {
        start + self.below((end - start) as u64) as usize
    }

    fn bases(&mut self, count: usize) -> String {
        let mut bases = String::with_capacity(count + 16);
        while bases.len() < count {
            let roll = self.roll() >> 32;
            for at in 0..16 {
                bases.push(['A', 'C', 'G', 'T'][(roll >> (2 * at) & 3) as usize]);
            }
        }
        bases.truncate(count);
        bases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;
    use std::process::Command;
    use std::time::Instant;

    fn gunzip(path: &Path) -> String {
        let mut text = String::new();
        MultiGzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    fn records(text: &str) -> Vec<Vec<&str>> {
        assert!(text.ends_with('\n'));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len() % 4, 0);
        lines.chunks(4).map(<[&str]>::to_vec).collect()
    }

    #[test]
    fn both_ends_of_every_fragment_are_there_in_the_same_order() {
        let dir = tempfile::tempdir().unwrap();
        let pair = write_pair(dir.path(), "wgs1_HG12345678_S11_L001", "A22ABCDLT4", 3, 200_000, 7).unwrap();
        assert_eq!(pair.r1.file_name().unwrap(), "wgs1_HG12345678_S11_L001_R1_001.fastq.gz");
        assert_eq!(pair.r2.file_name().unwrap(), "wgs1_HG12345678_S11_L001_R2_001.fastq.gz");
        let (r1, r2) = (gunzip(&pair.r1), gunzip(&pair.r2));
        let (r1, r2) = (records(&r1), records(&r2));
        assert_eq!(r1.len(), r2.len());
        let mut names = std::collections::HashSet::new();
        for (one, two) in r1.iter().zip(&r2) {
            let (name, rest) = one[0].split_once(' ').unwrap();
            let (other, other_rest) = two[0].split_once(' ').unwrap();
            assert_eq!(name, other);
            assert!(names.insert(name), "{name} twice");
            let fields: Vec<&str> = name.split(':').collect();
            assert_eq!(fields[..4], ["@LH00534", "123", "A22ABCDLT4", "3"]);
            assert!(
                fields[4..].iter().all(|number| number.parse::<u32>().is_ok()) && fields.len() == 7,
                "{name}"
            );
            assert_eq!(rest.replacen('1', "2", 1), other_rest);
            let index = rest.strip_prefix("1:N:0:").unwrap();
            assert!(
                index.len() == 17
                    && index.split('+').all(|half| half.bytes().all(|base| b"ACGT".contains(&base)))
            );
            for read in [one, two] {
                assert_eq!((read[1].len(), read[2], read[3].len()), (READ_LENGTH, "+", READ_LENGTH));
                assert!(read[1].bytes().all(|base| b"ACGT".contains(&base)));
                assert!(read[3].bytes().all(|quality| b"#-9I".contains(&quality)));
            }
        }
    }

    #[test]
    fn sizes_are_about_as_asked_and_bytes_depend_on_the_seed_alone() {
        let dir = tempfile::tempdir().unwrap();
        for (n, asked) in [1_u64, 40_000, 300_000, 3_000_000].into_iter().enumerate() {
            let pair = write_pair(dir.path(), &format!("s{n}"), "A22ABCDLT4", 1, asked, 5).unwrap();
            for path in [&pair.r1, &pair.r2] {
                let size = fs::metadata(path).unwrap().len();
                let most = asked + asked / 10 + 60_000;
                assert!(size >= asked * 7 / 10 && size <= most, "asked {asked}, got {size}");
            }
        }
        let bytes = |stem: &str, seed| {
            let pair = write_pair(dir.path(), stem, "A22ABCDLT4", 1, 50_000, seed).unwrap();
            (fs::read(pair.r1).unwrap(), fs::read(pair.r2).unwrap())
        };
        let first = bytes("a", 1);
        assert_eq!(first, bytes("b", 1));
        assert_ne!(first.0, bytes("c", 2).0);
        assert_ne!(first.0, first.1);
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let pair = write_pair(dir.path(), "s", "A22ABCDLT4", 1, 1, 1).unwrap();
        let before = fs::read(&pair.r1).unwrap();
        let error = write_pair(dir.path(), "s", "A22ABCDLT4", 1, 1, 2).unwrap_err();
        assert!(error.to_string().starts_with("could not create "), "{error}");
        assert_eq!(fs::read(&pair.r1).unwrap(), before);
    }

    #[test]
    fn coreutils_agree_with_the_sums() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        write_pair(dir.path(), "b", "A22ABCDLT4", 1, 1000, 1).unwrap();
        write_pair(&dir.path().join("sub"), "a", "A22ABCDLT4", 1, 1000, 2).unwrap();
        write_md5sums(dir.path()).unwrap();
        // A second time it does not sum itself.
        write_md5sums(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join("md5sum.txt")).unwrap();
        let names: Vec<&str> = text.lines().map(|line| line.split_once("  ").unwrap().1).collect();
        let expected =
            ["b_R1_001.fastq.gz", "b_R2_001.fastq.gz", "sub/a_R1_001.fastq.gz", "sub/a_R2_001.fastq.gz"];
        assert_eq!(names, expected);
        let check = |dir: &Path| {
            let output = Command::new("md5sum")
                .args(["-c", "--strict", "md5sum.txt"])
                .current_dir(dir)
                .output()
                .unwrap();
            output.status.success()
        };
        assert!(check(dir.path()));
        let mut file = File::options().append(true).open(dir.path().join("b_R1_001.fastq.gz")).unwrap();
        file.write_all(b"x").unwrap();
        assert!(!check(dir.path()));
        File::create(dir.path().join("a\nb")).unwrap();
        assert!(matches!(write_md5sums(dir.path()), Err(Error::Name(_))));
    }

    #[test]
    fn a_delivery_of_24_files_takes_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let start = Instant::now();
        for sample in 0..12 {
            write_pair(dir.path(), &format!("s{sample}"), "A22ABCDLT4", 1, 2 << 20, sample).unwrap();
        }
        write_md5sums(dir.path()).unwrap();
        // About 2 s alone; the margin is for a machine that does other things at the same time.
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
}
