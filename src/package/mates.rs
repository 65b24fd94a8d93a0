//! Which read files are the two ends of the same fragments, by their names alone, as the automation system sees it:
//! `…_R1_001…` and `…_R2_001…` that differ in nothing else, so each lane has a pair of its own.
//!
//! A run with one read pass delivers R1 alone, and that is right if it is so for all files of the sample. Both sides ask
//! here: the sender before anything is sent, the receiver before `READY`.
use std::collections::BTreeMap;

use super::{Read, RelPath};

/// Why the read files of a sample are not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("R1 and R2 do not come in pairs: {0}")]
pub struct Unpaired(String);

const ENDS: [&str; 2] = ["_R1_", "_R2_"];

/// Which end a file is (0 or 1), and what the file of the other end is called. Only what stands last counts, as a sample's own
/// name may hold anything.
fn end(path: &RelPath) -> Option<(usize, String)> {
    let (folder, name) = path.as_str().rsplit_once('/').map_or(("", path.as_str()), |(f, n)| (f, n));
    let (_, n) = ENDS.iter().zip(0..).filter_map(|(end, n)| Some((name.rfind(end)?, n))).max()?;
    let (before, after) = name.rsplit_once(*ENDS.get(n)?)?;
    let slash = if folder.is_empty() { "" } else { "/" };
    Some((n, format!("{folder}{slash}{before}{}{after}", ENDS.get(1 - n)?)))
}

/// The pairs, R1 first; none if the sample has one end only. `exists` says whether a file lies in the package: a mate that lies
/// there and is not named was forgotten.
pub fn mates(
    reads: &[Read],
    exists: impl Fn(&RelPath) -> bool,
) -> Result<Vec<(&RelPath, &RelPath)>, Unpaired> {
    let refuse = |why: String| Err(Unpaired(why));
    if reads.is_empty() {
        return refuse("no reads are named".into());
    }
    let (mut named, mut singles, mut pairs) = (BTreeMap::new(), Vec::new(), Vec::new());
    for path in reads.iter().map(|read| &read.path) {
        if named.insert(path.as_str(), path).is_some() {
            return refuse(format!("{path} is named twice"));
        }
    }
    for path in reads.iter().map(|read| &read.path) {
        let Some((n, mate)) = end(path) else {
            return refuse(format!("{path} has neither _R1_ nor _R2_ in its name"));
        };
        match (n, named.get(mate.as_str())) {
            (0, Some(other)) => pairs.push((path, *other)),
            (_, Some(_)) => {}
            (0, None) => singles.push((path, mate)),
            (_, None) => return refuse(format!("{path} is there, but there is no {mate}")),
        }
    }
    for (path, mate) in &singles {
        if !pairs.is_empty() {
            return refuse(format!("{path} is there, but there is no {mate}"));
        }
        if mate.parse().is_ok_and(|mate| exists(&mate)) {
            return refuse(format!("{mate} lies in the package, but only {path} is named"));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(paths: &[&str]) -> Vec<Read> {
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        let read = |p: &&str| Read { path: p.parse().unwrap(), md5: md5.parse().unwrap(), size: 3 };
        paths.iter().map(read).collect()
    }

    fn asked(paths: &[&str], also: &str) -> Result<Vec<(String, String)>, String> {
        let reads = reads(paths);
        let found = mates(&reads, |p| p.as_str() == also).map_err(|e| e.to_string())?;
        Ok(found.into_iter().map(|(a, b)| (a.to_string(), b.to_string())).collect())
    }

    #[test]
    fn each_lane_has_its_pair_in_whatever_order_files_are_named() {
        let names = [
            "b_L002_R2_001.fastq.gz",
            "b_L001_R1_001.fastq.gz",
            "b_L002_R1_001.fastq.gz",
            "b_L001_R2_001.fastq.gz",
        ];
        let pair = |a: usize, b: usize| (names[a].to_owned(), names[b].to_owned());
        assert_eq!(asked(&names, "").unwrap(), [pair(1, 3), pair(2, 0)]);
        // A name that holds the word twice: the last one counts. Folders are no part of it.
        let odd = ["x_R2_/a_R2_b_R1_001.fastq.ora", "x_R2_/a_R2_b_R2_001.fastq.ora"];
        assert_eq!(asked(&odd, "").unwrap(), [(odd[0].into(), odd[1].into())]);
    }

    #[test]
    fn one_end_alone_is_right_only_for_all_files_and_when_the_other_is_nowhere() {
        let single = ["a_L001_R1_001.fastq.gz", "a_L002_R1_001.fastq.gz"];
        assert_eq!(asked(&single, "").unwrap(), []);
        for (paths, also, why) in [
            (&single[..], "a_L002_R2_001.fastq.gz", "a_L002_R2_001.fastq.gz lies in the package, but only"),
            (&["a_R2_001.fastq.gz"], "", "a_R2_001.fastq.gz is there, but there is no a_R1_001.fastq.gz"),
            (&["a_R1_001.fastq.gz", "a_R2_001.fastq.gz", "b_R1_001.fastq.gz"], "", "there is no b_R2_001"),
            (&["a_R1_001.fastq.gz", "a_R2_001.fastq.ora"], "", "there is no a_R1_001.fastq.ora"),
            (&["a_R1_001.fastq.gz", "b_R2_001.fastq.gz"], "", "there is no b_R1_001"),
            (&["a_R3_001.fastq.gz"], "", "neither _R1_ nor _R2_"),
            (&["a_R1_001.fastq.gz", "a_R1_001.fastq.gz"], "", "named twice"),
            (&[], "", "no reads"),
        ] {
            let said = asked(paths, also).unwrap_err();
            assert!(said.contains(why), "{said} should say {why}");
        }
    }
}
