//! The last question before a bundle is kept: is anything in it that may not leave? The finished archive is read as a stranger would.
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use flate2::read::GzDecoder;

use super::clean::Cleaner;
use super::{BundleError, LINE, TOP};
use crate::fs::FsError;

/// Searches names of files and every line for every name and secret.
pub(super) fn search(archive: &Path, cleaner: &Cleaner) -> Result<(), BundleError> {
    let failed = || FsError::at("read the bundle again at", archive);
    let file = File::open(archive).map_err(failed())?;
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    for entry in tar.entries().map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let path = entry.path().map_err(failed())?.display().to_string();
        let name = path.strip_prefix(TOP).unwrap_or(&path).to_owned();
        let leak = |what| BundleError::Leak { file: cleaner.text(&name), what };
        if let Some(what) = cleaner.leak(&name) {
            return Err(leak(what));
        }
        let (mut text, mut line) = (BufReader::new(entry), Vec::new());
        loop {
            line.clear();
            // Names may make a cleaned line longer than it was.
            let read = text.by_ref().take(16 * LINE as u64).read_until(b'\n', &mut line).map_err(failed())?;
            if read == 0 {
                break;
            }
            if let Some(what) = cleaner.leak(&String::from_utf8_lossy(&line)) {
                return Err(leak(what));
            }
        }
    }
    Ok(())
}
