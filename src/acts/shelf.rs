//! Acts on their way to the daemon and back, where its socket cannot be used: there is one writer of the journal, so the command puts a
//! request into the state directory, as the service user alone can, and the daemon answers beside it.
//!
//! Unlike a wish to clean, a request is not kept for later: what a person wants now must not happen tomorrow. The command takes it back
//! when it has waited long enough, and the daemon throws away what is older than [`FRESH`] when it comes to see it.
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::{Answer, Request};
use crate::clock;
use crate::fs::{self, FsError};

const DIR: &str = "acts";
const REQUEST: &str = ".request.json";
const TAKEN: &str = ".taken.json";
const ANSWER: &str = ".answer.json";
/// A request that is older is refused: nobody waits for it any more.
pub const FRESH: Duration = Duration::from_secs(120);
/// Answers that nobody took are kept for so long.
const KEPT: Duration = Duration::from_secs(3600);
/// More is not read.
const MAX_BYTES: u64 = 1 << 20;
/// So many requests are taken at a look; more than that wait for the next one.
const AT_A_LOOK: usize = 16;

/// Where requests lie.
#[derive(Clone, Debug)]
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// Of a state directory.
    pub fn of(state_dir: &Path) -> Self {
        Self { dir: state_dir.join(DIR) }
    }

    fn file(&self, id: &str, kind: &str) -> PathBuf {
        self.dir.join(format!("{id}{kind}"))
    }

    /// Puts a request down.
    pub fn put(&self, request: &Request) -> Result<(), FsError> {
        fs::create_dir(&self.dir)?;
        fs::set_mode(&self.dir, 0o700)?;
        let text = serde_json::to_vec(request).expect("plain fields always serialise");
        fs::write_durably(&self.file(&request.id, REQUEST), &text)
    }

    /// Takes a request back. False: the daemon has it in hand, and will answer.
    pub fn take_back(&self, id: &str) -> Result<bool, FsError> {
        match fs::remove_file(&self.file(id, REQUEST)) {
            Err(e) if e.source.kind() == ErrorKind::NotFound => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// The answer, which goes with that; none: not yet.
    pub fn answered(&self, id: &str) -> Result<Option<Result<Answer, String>>, FsError> {
        let path = self.file(id, ANSWER);
        let Some(text) = read(&path)? else { return Ok(None) };
        gone(fs::remove_file(&path))?;
        Ok(Some(serde_json::from_slice(&text).unwrap_or_else(|e| Err(format!("{}: {e}", path.display())))))
    }

    /// Takes what waits, the oldest first. From then on it is the taker's: after a crash it is not done again, because nobody knows
    /// whether it was; the journal tells.
    pub fn take(&self, now: Timestamp) -> Result<Vec<Request>, FsError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(FsError::at("list", &self.dir))?,
        };
        let mut requests = Vec::new();
        for entry in entries {
            let path = entry.map_err(FsError::at("list", &self.dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(id) = name.strip_suffix(REQUEST) else {
                self.forget_old(&path, now)?;
                continue;
            };
            if requests.len() >= AT_A_LOOK {
                continue;
            }
            let Some(text) = read(&path)? else { continue };
            match fs::publish(&path, &self.file(id, TAKEN)) {
                Err(e) if e.source.kind() == ErrorKind::NotFound => continue, // taken back in this moment
                taken => taken?,
            }
            let said = match serde_json::from_slice::<Request>(&text) {
                Ok(request) if request.version != 1 || request.id != id => {
                    Err(format!("it has version {} and the name {:?}", request.version, request.id))
                }
                Ok(request) if clock::age(request.at, now) > FRESH => {
                    Err(format!("it is of {}, too old to be done now: ask again", request.at))
                }
                Ok(request) => Ok(request),
                Err(e) => Err(e.to_string()),
            };
            match said {
                Ok(request) => requests.push(request),
                Err(why) => {
                    tracing::error!(file = %path.display(), why, "what somebody wants cannot be done");
                    self.answer(id, &Err(why))?;
                }
            }
        }
        requests.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(requests)
    }

    /// Answers a request that was taken.
    pub fn answer(&self, id: &str, answer: &Result<Answer, String>) -> Result<(), FsError> {
        let text = serde_json::to_vec(answer).expect("plain fields always serialise");
        fs::write_durably(&self.file(id, ANSWER), &text)?;
        gone(fs::remove_file(&self.file(id, TAKEN)))
    }

    fn forget_old(&self, path: &Path, now: Timestamp) -> Result<(), FsError> {
        let about = match std::fs::symlink_metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            about => about.map_err(FsError::at("look at", path))?,
        };
        let written = std::os::unix::fs::MetadataExt::mtime(&about);
        let written = Timestamp::from_second(written).unwrap_or(now);
        if clock::age(written, now) > KEPT { gone(fs::remove_file(path)) } else { Ok(()) }
    }
}

fn gone(removed: Result<(), FsError>) -> Result<(), FsError> {
    match removed {
        Err(e) if e.source.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, FsError> {
    let file = match std::fs::File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(FsError::at("open", path))?,
    };
    let mut text = Vec::new();
    let read = file.take(MAX_BYTES).read_to_end(&mut text);
    read.map(|_| Some(text)).map_err(FsError::at("read", path))
}
