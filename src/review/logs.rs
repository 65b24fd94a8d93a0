//! Reads log files line by line in the order of time, and keeps account of what could not be read.
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use memchr::memmem;
use serde::Serialize;

use super::lines::{Lines, Next};
use super::logfiles::{Group, LogFile, Trouble};
use super::logline::{self, LogLine};

/// As many damaged lines are named; the others are counted.
const NAMED: usize = 5;

/// A damaged line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// In which file.
    pub path: PathBuf,
    /// Which line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// What was read of the logs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogReport {
    /// Files.
    pub files: usize,
    /// Lines, damaged ones included.
    pub lines: u64,
    /// The time of the first line.
    pub first: Option<Timestamp>,
    /// The time of the last line.
    pub last: Option<Timestamp>,
    /// Lines that could not be understood.
    pub damaged: u64,
    /// The first few of them.
    pub damages: Vec<Damage>,
    /// Events of another version of the program.
    pub foreign: u64,
    /// The first few of them.
    pub foreigns: Vec<Damage>,
    /// The last line is not whole (yet) and was not counted.
    pub torn: bool,
    /// Files that were not read, or not to their end.
    pub troubles: Vec<Trouble>,
}

/// One group of files, read one after the other.
struct Stream {
    group: usize,
    rest: std::vec::IntoIter<LogFile>,
    path: PathBuf,
    lines: Option<Lines>,
    next: Next,
    at: Timestamp,
}

impl Stream {
    fn new(group: usize, files: Vec<LogFile>) -> Self {
        let rest = files.into_iter();
        Self { group, rest, path: PathBuf::new(), lines: None, next: Next::End, at: Timestamp::MIN }
    }

    /// Goes to the next line; false at the end of all files.
    fn advance(&mut self, report: &mut LogReport) -> bool {
        loop {
            if let Some(lines) = &mut self.lines {
                match lines.next() {
                    Ok(Next::End) => {}
                    Ok(next) => {
                        self.next = next;
                        return true;
                    }
                    Err(e) => {
                        let why = format!("it cannot be read behind line {}: {e}", lines.number());
                        report.troubles.push(Trouble { path: self.path.clone(), why });
                    }
                }
            }
            let Some(file) = self.rest.next() else {
                self.lines = None;
                return false;
            };
            self.path = file.path;
            report.files += 1;
            self.lines = match Lines::new(file.file) {
                Ok(lines) => Some(lines),
                Err(e) => {
                    report.troubles.push(Trouble { path: self.path.clone(), why: e.to_string() });
                    None
                }
            };
        }
    }
}

/// Reads all lines of all groups; between groups they come in the order of their times.
pub fn read(groups: Vec<Group>, mut each: impl FnMut(usize, &LogLine<'_>, &[u8])) -> LogReport {
    let mut report = LogReport::default();
    let mark = memmem::Finder::new(logline::EVENT_MARK);
    let several = groups.len() > 1;
    let mut streams: Vec<Stream> =
        groups.into_iter().enumerate().map(|(n, g)| Stream::new(n, g.files)).collect();
    let go = |stream: &mut Stream, report: &mut LogReport| {
        let more = stream.advance(report);
        if let (true, Some(lines)) = (several, &stream.lines) {
            // A damaged line is taken at once, with the time of the one before it.
            stream.at = logline::time(lines.line()).unwrap_or(stream.at);
        }
        more
    };
    streams.retain_mut(|stream| go(stream, &mut report));
    while let Some(n) = (0..streams.len()).min_by_key(|n| streams.get(*n).map(|s| s.at)) {
        let Some(stream) = streams.get_mut(n) else { break };
        take(stream, &mark, &mut report, &mut each);
        if !go(stream, &mut report) {
            drop(streams.remove(n));
        }
    }
    report
}

fn take(
    stream: &Stream,
    mark: &memmem::Finder<'_>,
    report: &mut LogReport,
    each: &mut dyn FnMut(usize, &LogLine<'_>, &[u8]),
) {
    let Some(lines) = &stream.lines else { return };
    report.lines += 1;
    let (raw, path, number) = (lines.line(), &stream.path, lines.number());
    let mut good = |line: &LogLine<'_>, raw: &[u8], report: &mut LogReport| {
        let _first = report.first.get_or_insert(line.at);
        report.last = report.last.max(Some(line.at));
        if let Some(why) = &line.foreign {
            report.foreign += 1;
            name(&mut report.foreigns, path, number, why);
        }
        each(stream.group, line, raw);
    };
    let why = match logline::understand(raw, mark) {
        _ if stream.next == Next::TooLong => "it is longer than any line of the log".to_owned(),
        Ok(line) => return good(&line, raw, report),
        // The very end of the newest file is being written just now.
        Err(_) if stream.next == Next::Torn && stream.rest.len() == 0 => {
            report.lines -= 1;
            report.torn = true;
            return;
        }
        Err(why) => why,
    };
    report.damaged += 1;
    name(&mut report.damages, path, number, &why);
    // What was cut off by a kill has the next start's first line glued to it, and that one tells of the kill.
    let glued = memmem::rfind(raw, logline::BEGIN).filter(|at| *at > 0);
    let behind = glued.and_then(|at| raw.get(at..)).unwrap_or_default();
    if let Ok(line) = logline::understand(behind, mark) {
        good(&line, behind, report);
    }
}

fn name(list: &mut Vec<Damage>, path: &Path, line: u64, why: &str) {
    if list.len() < NAMED {
        list.push(Damage { path: path.to_owned(), line, why: why.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::logfiles;
    use std::io::Write;

    fn line(second: u32, message: &str) -> String {
        format!(
            "{{\"timestamp\":\"2026-11-23T03:00:{second:02}.000Z\",\"level\":\"INFO\",\"message\":\"{message}\"}}\n"
        )
    }

    fn run(files: &[(&str, Vec<u8>)]) -> (Vec<String>, LogReport) {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::File::create(dir.path().join(name)).unwrap().write_all(bytes).unwrap();
        }
        let found = logfiles::find(&[dir.path().to_owned()]).unwrap();
        let mut seen = Vec::new();
        let report = read(found.groups, |_, line, _| seen.push(line.message.to_string()));
        (seen, report)
    }

    #[test]
    fn files_of_one_host_follow_each_other_and_those_of_two_are_merged() {
        let (seen, report) = run(&[
            ("a.jsonl.1", [line(1, "a1"), line(4, "a4")].concat().into()),
            ("a.jsonl", line(6, "a6").into()),
            ("b.jsonl", [line(2, "b2"), line(5, "b5"), line(7, "b7")].concat().into()),
        ]);
        assert_eq!(seen, ["a1", "b2", "a4", "b5", "a6", "b7"]);
        assert_eq!((report.files, report.lines, report.damaged), (3, 6, 0));
        assert_eq!(report.last.unwrap().to_string(), "2026-11-23T03:00:07Z");
    }

    #[test]
    fn damage_is_counted_named_and_never_fatal() {
        let whole = line(2, "two");
        let cut = &whole[..30];
        let mut text = line(1, "one").into_bytes();
        text.extend_from_slice(b"\xff\xfe\n\nnot json\n");
        text.extend_from_slice(cut.as_bytes());
        text.extend_from_slice(line(3, "glued to a cut one").as_bytes());
        text.extend_from_slice(&[0; 4096]);
        text.extend_from_slice(line(4, "behind a hole").as_bytes());
        text.extend_from_slice(&vec![b'x'; 3 << 20]);
        text.extend_from_slice(b"\n");
        text.extend_from_slice(line(5, "five").as_bytes());
        let (seen, report) = run(&[("a.jsonl", text)]);
        assert_eq!(seen, ["one", "glued to a cut one", "behind a hole", "five"]);
        assert_eq!((report.lines, report.damaged, report.damages.len()), (8, 6, 5));
        let numbers: Vec<u64> = report.damages.iter().map(|d| d.line).collect();
        assert_eq!(numbers, [2, 3, 4, 5, 6]);
        assert!(report.damages[0].path.ends_with("a.jsonl") && !report.torn);
    }

    #[test]
    fn a_line_being_written_is_no_damage_but_a_cut_one_in_an_older_file_is() {
        let half = |n| line(n, "half")[..40].to_owned();
        let (seen, report) = run(&[
            ("a.jsonl.1", [line(1, "one"), half(2)].concat().into()),
            ("a.jsonl", [line(3, "three"), half(4)].concat().into()),
        ]);
        assert_eq!(seen, ["one", "three"]);
        assert_eq!((report.damaged, report.torn, report.lines), (1, true, 3));
        let (seen, report) = run(&[("a.jsonl", line(1, "no newline yet").trim_end().into())]);
        assert_eq!((seen.len(), report.torn), (1, false));
    }

    #[test]
    fn a_cut_gzip_file_is_told_and_the_others_are_read() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        (0..60).for_each(|n| packer.write_all(line(n, &format!("packed {n}")).as_bytes()).unwrap());
        let mut packed = packer.finish().unwrap();
        packed.truncate(packed.len() - 9);
        let (seen, report) = run(&[("a.jsonl.1.gz", packed), ("b.jsonl", line(59, "plain").into())]);
        assert!(seen.contains(&"packed 0".to_owned()) && seen.contains(&"plain".to_owned()));
        assert_eq!(report.troubles.len(), 1, "{report:?}");
        assert!(report.troubles[0].why.contains("behind line"), "{:?}", report.troubles);
    }
}
