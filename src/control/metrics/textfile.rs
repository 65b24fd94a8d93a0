//! The numbers as a file for node_exporter's textfile collector, for sites that scrape nothing else. It is replaced whole, so a
//! reader never sees half of it; a file that cannot be written is a notice and nothing more.
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::{render, text};
use crate::control::Known;
use crate::fs;
use crate::notices::Notices;
use crate::supervisor::runtime;

const EVERY: Duration = Duration::from_secs(15);
/// A disk that has not answered for this long is worth a notice.
const PATIENCE: Duration = Duration::from_secs(10);
/// In the notices.
const WHO: &str = "metrics.textfile";

/// Writes until aborted.
pub(crate) async fn keep(path: PathBuf, known: Known, notices: Notices) {
    loop {
        let written = write(&path, &known, &notices).await;
        notices.say(WHO, written.err().as_deref());
        tokio::time::sleep(EVERY).await;
    }
}

async fn write(path: &Path, known: &Known, notices: &Notices) -> Result<(), String> {
    let numbers = text::classic(&render(known).await?);
    let there = path.to_owned();
    // For everybody's eyes: node_exporter runs as a user of its own, and nothing in there names a sample.
    let mut job = runtime().spawn_blocking(move || fs::write_volatile_for_all(&there, numbers.as_bytes()));
    let done = match timeout(PATIENCE, &mut job).await {
        Ok(done) => done,
        Err(_) => {
            let why = format!("{} is not written: its disk does not answer. Packages go on", path.display());
            notices.say(WHO, Some(&why));
            job.await // one call at a time
        }
    };
    let done = done.map_err(|fell| fell.to_string())?;
    // Without the names of temporary files, or it would be news in the log every time.
    let why = |e: fs::FsError| match e.fenced() {
        Some(fenced) => fenced.to_string(),
        None => e.source.kind().to_string(),
    };
    done.map_err(|e| {
        format!("could not write {}: {}; the numbers there are old. Packages go on", path.display(), why(e))
    })
}
