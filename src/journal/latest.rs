//! The last lines of a journal, without reading what comes before them.
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::checkpoint;
use super::event::Line;
use super::file::{FILE, JournalError};
use crate::fs::FsError;

/// No more is read. Most lines are shorter than a thousandth of it.
const BLOCK: u64 = 128 << 10;

/// At most so many, the oldest of them first. For showing: a line that cannot be understood is left out, and so is one that is being
/// written. Whether the journal is whole is for `journal verify` to say.
pub fn latest(dir: &Path, most: usize) -> Result<Vec<Line>, JournalError> {
    let path = dir.join(FILE);
    let Some(mut journal) = checkpoint::open(&path)? else { return Ok(Vec::new()) };
    let length = journal.metadata().map_err(FsError::at("look at", &path))?.len();
    let from = length.saturating_sub(BLOCK);
    let _at = journal.seek(SeekFrom::Start(from)).map_err(FsError::at("seek in", &path))?;
    let mut block = Vec::new();
    let read = journal.take(BLOCK).read_to_end(&mut block);
    let _bytes = read.map_err(FsError::at("read the end of", &path))?;
    let mut lines: Vec<&[u8]> = block.split(|byte| *byte == b'\n').collect();
    let _unfinished = lines.pop();
    // The first one may have begun before.
    let whole = lines.get(usize::from(from > 0)..).unwrap_or_default();
    let newest = whole.iter().rev().filter_map(|line| serde_json::from_slice(line).ok()).take(most);
    let mut newest: Vec<Line> = newest.collect();
    newest.reverse();
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: usize, why: &str) -> String {
        format!(
            "{{\"v\":1,\"seq\":{n},\"at\":\"2026-01-01T00:00:00Z\",\"prev\":\"{}\",\"event\":\"degraded\",\"actor\":\"poller\",\"why\":\"{why}\"}}\n",
            "0".repeat(64)
        )
    }

    #[test]
    fn the_last_ones_of_a_long_journal_and_of_a_short_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(latest(dir.path(), 9).unwrap().is_empty(), "there is none");
        let write = |text: &str| crate::fs::write_volatile(&dir.path().join(FILE), text.as_bytes()).unwrap();
        let seqs = |most| latest(dir.path(), most).unwrap().iter().map(|l| l.seq).collect::<Vec<_>>();
        write(&(line(1, "x") + "what is this?\n" + &line(2, "x") + "{\"v\":1,\"seq\":3"));
        assert_eq!((seqs(9), seqs(1)), (vec![1, 2], vec![2]));
        write(&(1..5000).map(|n| line(n, "x")).collect::<String>());
        assert_eq!(seqs(3), [4997, 4998, 4999]);
        assert!((300..4999).contains(&seqs(5000).len()));
        write(&line(1, &"x".repeat(300_000)));
        assert!(seqs(9).is_empty(), "a single line that is longer than what is read");
    }
}
