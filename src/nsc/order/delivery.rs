//! What the sequencing centre delivers: where, under which names, with which checksums; and SNP-ID results.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::NotYet;
use crate::package::Md5Hex;

/// A younger SNP-ID result may still be being written.
const SETTLED: Duration = Duration::from_secs(60);

/// The parts of a run id `20260612_LH00534_0123_A22ABCDLT4`.
#[derive(Debug, PartialEq, Eq)]
pub struct RunId {
    /// `2026-06-12`.
    pub date: String,
    /// `260612`.
    pub short_date: String,
    /// `LH00534`.
    pub serial: String,
    /// `A`.
    pub side: String,
    /// `22ABCDLT4`.
    pub flowcell: String,
}

impl RunId {
    /// Takes a run id apart.
    pub fn parse(text: &str) -> Result<Self, NotYet> {
        let wrong = || {
            NotYet::invalid(format!(
                "run id {text:?} is not YYYYMMDD_SERIAL_NUMBER_SIDEFLOWCELL: correct it in the LIMS"
            ))
        };
        let parts: Vec<&str> = text.split('_').collect();
        let [date, serial, _, last] = parts[..] else { return Err(wrong()) };
        let digits = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
        let plain = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let (side, flowcell) = last.split_at_checked(1).ok_or_else(wrong)?;
        if !digits || !["A", "B"].contains(&side) || !plain(flowcell) || !plain(serial) {
            return Err(wrong());
        }
        let (year, rest) = date.split_at_checked(4).ok_or_else(wrong)?;
        let (month, day) = rest.split_at_checked(2).ok_or_else(wrong)?;
        Ok(Self {
            date: format!("{year}-{month}-{day}"),
            short_date: date.get(2..).ok_or_else(wrong)?.to_owned(),
            serial: serial.to_owned(),
            side: side.to_owned(),
            flowcell: flowcell.to_owned(),
        })
    }

    /// Where the run's FASTQ of a project is delivered.
    pub fn delivery(&self, root: &Path, project: &str) -> PathBuf {
        root.join(format!("{}_{}.{}.Project_{project}", self.short_date, self.serial, self.side))
            .join("fastq")
    }
}

/// What the delivery says of its files.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// md5 of each file in `md5sum.txt`.
    pub md5: BTreeMap<String, Md5Hex>,
    /// Bytes of each file that is there.
    pub sizes: BTreeMap<String, u64>,
}

impl Delivery {
    /// The FASTQ files whose names begin with this sample sheet id and a position.
    pub fn reads_of(&self, sheet_id: &str) -> Vec<&str> {
        let from = format!("{sheet_id}_S");
        let after = self.sizes.range(from.clone()..).map(|(name, _)| name.as_str());
        let numbered = |name: &&str| {
            name.strip_prefix(&from).is_some_and(|p| p.starts_with(|c: char| c.is_ascii_digit()))
        };
        let reads = |name: &&str| name.ends_with(".fastq.gz") || name.ends_with(".fastq.ora");
        after.take_while(|name| name.starts_with(&from)).filter(numbered).filter(reads).collect()
    }
}

/// Reads `md5sum.txt` as md5sum writes it; names are relative, with or without `./` and `*`. A file that is listed twice with
/// two sums has none.
pub fn parse_md5sums(text: &str) -> BTreeMap<String, Md5Hex> {
    let entry = |line: &str| {
        let (digest, name) = line.split_once(char::is_whitespace)?;
        let name = name.trim_start().trim_start_matches('*').trim_start_matches("./");
        Some((name.to_owned(), digest.parse::<Md5Hex>().ok()?))
    };
    let mut sums: BTreeMap<String, Option<Md5Hex>> = BTreeMap::new();
    for (name, sum) in text.lines().filter_map(entry) {
        let known = sums.entry(name).or_insert_with(|| Some(sum.clone()));
        if known.as_ref() != Some(&sum) {
            *known = None;
        }
    }
    sums.into_iter().filter_map(|(name, sum)| Some((name, sum?))).collect()
}

/// A file in the directory of SNP-ID results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpEntry {
    /// Its name.
    pub name: String,
    /// When it was last written.
    pub written: Timestamp,
}

/// An SNP-ID result of a sample, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snp {
    /// Where it lies.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Of its bytes.
    pub md5: Md5Hex,
}

impl SnpEntry {
    /// The newest of a sample; none if it has none. The DNA id must end where it ends: `HG1234` has no part in `HG12345.taqman`.
    pub fn newest<'a>(files: &'a [Self], dna: &str, now: Timestamp) -> Result<Option<&'a Self>, NotYet> {
        let of = |file: &&Self| {
            let rest = file.name.strip_prefix(dna);
            !dna.is_empty()
                && rest
                    .is_some_and(|r| r.ends_with(".taqman") && !r.starts_with(|c: char| c.is_ascii_digit()))
        };
        let newest = files.iter().filter(of).max_by(|a, b| (a.written, &a.name).cmp(&(b.written, &b.name)));
        match newest {
            Some(file) if now.duration_since(file.written).unsigned_abs() < SETTLED => {
                Err(NotYet::waits(format!("its SNP-ID result {} was written just now", file.name)))
            }
            newest => Ok(newest),
        }
    }
}
