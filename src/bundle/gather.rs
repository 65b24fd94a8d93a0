//! What goes into a bundle, the most telling first: the room is bounded.
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::archive::{Archive, Spool};
use super::clean::Cleaner;
use super::{BundleError, LINE, Site, Wish, host};
use crate::fs::FsError;
use crate::review::{self, Scope, Source};
use crate::tell::memory;
use crate::{journal, log, snapshot};

/// Of the room, for the journal: the rest is for logs.
const JOURNAL: u64 = 40;

/// Everything, one after the other.
pub(super) fn all(
    site: &Site<'_>,
    wish: &Wish,
    now: Timestamp,
    cleaner: &Cleaner,
    archive: &mut Archive,
) -> Result<(), BundleError> {
    let since =
        now.checked_sub(SignedDuration::from_hours(24 * i64::from(wish.days))).unwrap_or(Timestamp::MIN);
    let conf = site.conf;
    let pretty = |value: Value| serde_json::to_string_pretty(&cleaner.value(value)).unwrap_or_default();
    archive.text(
        "config.json",
        "settings that count, without secrets",
        &pretty(json!(site.settings.shown())),
    )?;
    archive.text("checks.json", "what is wrong with files that the settings name", &pretty(checks(site)))?;
    archive.text("host.json", "facts of the host", &pretty(host::facts(&conf.state_dir, &conf.log.dir)))?;
    for (file, what) in
        [(snapshot::FILE, "the daemon's last word"), (memory::FILE, "what was told, what waits")]
    {
        match std::fs::read(conf.state_dir.join(file)) {
            Ok(bytes) => archive.text(file, what, &cleaner.line(&String::from_utf8_lossy(&bytes)))?,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                archive.left_out.push(format!("{file}: there is none"))
            }
            Err(e) => archive.left_out.push(format!("{file}: could not be read: {e}")),
        }
    }
    let scope = Scope { since: Some(since), ..Scope::default() };
    let source = Source::Site { state: conf.state_dir.clone(), log: conf.log.dir.clone() };
    match review::review(&source, &scope, now) {
        Ok(review) => archive.text("review.txt", "what happened", &cleaner.text(&review.to_text()))?,
        Err(e) => archive.left_out.push(format!("review.txt: {}", crate::chain(&e))),
    }
    let room = wish.bytes / 100 * JOURNAL;
    let journal = conf.state_dir.join(journal::FILE);
    lines(&journal, journal::FILE, "the journal", room.min(archive.room()), Some(since), cleaner, archive)?;
    for path in logs(&conf.log.dir, since, archive)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = format!("logs/{}", name.trim_end_matches(".gz"));
        let room = archive.room();
        lines(&path, &name, "a log", room, None, cleaner, archive)?;
    }
    Ok(())
}

fn checks(site: &Site<'_>) -> Value {
    let said = |checked: Result<(), crate::conf::Complaints>| checked.err().map(|complaints| complaints.0);
    json!({"files": said(site.conf.check_files()), "channels": said(site.conf.tell.check_files())})
}

/// Log files that were written within the time, the newest first.
fn logs(dir: &Path, since: Timestamp, archive: &mut Archive) -> Result<Vec<PathBuf>, BundleError> {
    let listing = match std::fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(e) => {
            archive.left_out.push(format!("logs: {} could not be read: {e}", dir.display()));
            return Ok(Vec::new());
        }
    };
    let (mut found, mut old) = (Vec::new(), 0);
    for entry in listing {
        let entry = entry.map_err(FsError::at("list", dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(log::PREFIX) || !name.contains(&format!(".{}", log::SUFFIX)) {
            continue;
        }
        let meta = entry.metadata().map_err(FsError::at("look at", &entry.path()))?;
        let written =
            meta.modified().ok().and_then(|at| Timestamp::try_from(at).ok()).unwrap_or(Timestamp::MIN);
        if !meta.is_file() || written < since {
            old += 1;
        } else {
            found.push((written, entry.path()));
        }
    }
    if old > 0 {
        archive.left_out.push(format!("logs: {old} file(s) that are older (--days)"));
    }
    found.sort();
    Ok(found.into_iter().rev().map(|(_, path)| path).collect())
}

#[derive(Deserialize)]
struct Dated {
    at: Timestamp,
}

/// The lines of a file, or as many of its last ones as there is room for.
fn lines(
    path: &Path,
    name: &str,
    what: &str,
    room: u64,
    since: Option<Timestamp>,
    cleaner: &Cleaner,
    archive: &mut Archive,
) -> Result<(), BundleError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) => {
            archive.left_out.push(format!("{name}: could not be read: {e}"));
            return Ok(());
        }
    };
    let size = file.metadata().map_err(FsError::at("look at", path))?.len();
    let packed = path.extension().is_some_and(|ending| ending == "gz");
    // A cleaned line may be somewhat longer than it was.
    let wanted = room / 10 * 9;
    let skipped = if packed { 0 } else { size.saturating_sub(wanted) };
    let mut left_out = Vec::new();
    if skipped > 0 {
        let _at = file.seek(SeekFrom::Start(skipped)).map_err(FsError::at("read", path))?;
        left_out.push(format!("{name}: its first {skipped} bytes of {size}: there was no room (--max-mb)"));
    }
    let text: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut text = BufReader::new(text);
    let fill = |spool: &mut Spool| {
        let (mut line, mut first, mut old) = (Vec::new(), skipped > 0, 0u64);
        loop {
            line.clear();
            let read = text.by_ref().take(LINE as u64).read_until(b'\n', &mut line);
            match read.map_err(FsError::at("read", path)) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) => {
                    left_out.push(format!("{name}: the rest could not be read: {}", crate::chain(&e)));
                    break;
                }
            }
            let whole = line.ends_with(b"\n");
            if !whole && line.len() >= LINE {
                left_out.push(format!("{name}: a line of more than {LINE} bytes"));
                skip_line(&mut text, path)?;
                continue;
            }
            if std::mem::take(&mut first) {
                continue; // its beginning is missing
            }
            let said = String::from_utf8_lossy(&line);
            let said = said.trim_end_matches('\n');
            let at = since.and_then(|_| serde_json::from_str::<Dated>(said).ok()).map(|dated| dated.at);
            if at.zip(since).is_some_and(|(at, since)| at < since) {
                old += 1;
                continue;
            }
            let cleaned = cleaner.line(said);
            if spool.bytes + cleaned.len() as u64 + 1 > room {
                left_out.push(format!(
                    "{name}: what follows its first {} bytes: there was no room (--max-mb)",
                    spool.bytes
                ));
                break;
            }
            spool.line(&cleaned)?;
        }
        if old > 0 {
            left_out.push(format!("{name}: {old} line(s) that are older (--days)"));
        }
        Ok(())
    };
    archive.spooled(&cleaner.text(name), what, fill)?;
    archive.left_out.append(&mut left_out);
    Ok(())
}

fn skip_line(text: &mut impl BufRead, path: &Path) -> Result<(), BundleError> {
    loop {
        let piece = text.fill_buf().map_err(FsError::at("read", path))?;
        let (used, end) = match memchr::memchr(b'\n', piece) {
            Some(at) => (at + 1, true),
            None => (piece.len(), piece.is_empty()),
        };
        text.consume(used);
        if end {
            return Ok(());
        }
    }
}
