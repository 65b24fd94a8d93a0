//! What is "in" the store: names and sizes of everything, bytes of almost nothing.
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Objects up to this size are kept, if they cannot be read from a file.
pub const KEPT: usize = 1 << 20;
/// Handed out in one go.
const CHUNK: u64 = 256 << 10;

/// Where an object's bytes come from.
#[derive(Clone)]
pub enum Content {
    /// They were kept.
    Kept(Bytes),
    /// They lie in this file. It is opened for each answer: clients put more objects than a process may have open files.
    InFile(PathBuf),
    /// Nowhere: they can be listed, not fetched.
    Discarded,
}

/// An object.
#[derive(Clone)]
pub struct Object {
    /// Bytes.
    pub size: u64,
    /// Its bytes.
    pub content: Content,
}

/// All of them, and what is on its way.
pub struct Objects {
    data: PathBuf,
    whole: Mutex<BTreeMap<String, Object>>,
    /// Upload id → part number → bytes.
    uploads: Mutex<BTreeMap<String, BTreeMap<u32, u64>>>,
    uploads_begun: AtomicU64,
    requests: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Objects {
    /// Empty; `data` holds the files that can be fetched once they were put.
    pub fn new(data: PathBuf) -> Result<Self, String> {
        let data = data.canonicalize().map_err(|e| format!("could not find {}: {e}", data.display()))?;
        Ok(Self {
            data,
            whole: Mutex::default(),
            uploads: Mutex::default(),
            uploads_begun: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        })
    }

    /// `requests N received BYTES sent BYTES` since it was last asked.
    pub fn counts(&self) -> String {
        let take = |n: &AtomicU64| n.swap(0, Ordering::Relaxed);
        format!(
            "requests {} received {} sent {}",
            take(&self.requests),
            take(&self.received),
            take(&self.sent)
        )
    }

    /// A request came with a body of this length.
    pub fn count(&self, received: u64) {
        let _before = self.requests.fetch_add(1, Ordering::Relaxed);
        let _before = self.received.fetch_add(received, Ordering::Relaxed);
    }

    /// The file with the bytes of this key: the longest end of the key that is one, with `r1` left out.
    fn file(&self, key: &str, size: u64) -> Option<PathBuf> {
        let parts: Vec<&str> = key.split('/').filter(|p| !matches!(*p, "" | "." | ".." | "r1")).collect();
        // At least set and file, or a manifest would be taken for that of another set.
        let ends = (0..parts.len().saturating_sub(1)).map(|n| parts[n..].join("/"));
        let file = ends.map(|end| self.data.join(end)).find(|path| path.is_file())?;
        (file.metadata().ok()?.len() == size).then_some(file)
    }

    /// An object is whole. `kept`: its bytes, if it was small.
    pub fn put(&self, key: String, size: u64, kept: Option<Bytes>) {
        let content = match (self.file(&key, size), kept) {
            (Some(file), _) => Content::InFile(file),
            (None, Some(bytes)) => Content::Kept(bytes),
            (None, None) => Content::Discarded,
        };
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        drop(whole.insert(key, Object { size, content }));
    }

    /// The object.
    pub fn get(&self, key: &str) -> Option<Object> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// It is not there any more.
    pub fn delete(&self, key: &str) {
        drop(self.whole.lock().unwrap_or_else(PoisonError::into_inner).remove(key));
    }

    /// So many keys below `prefix` behind `after`, with sizes; and whether there are more.
    pub fn list(&self, prefix: &str, after: &str, most: usize) -> (Vec<(String, u64)>, bool) {
        let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let below = whole.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let mut found = below.filter(|(key, _)| key.as_str() > after).map(|(key, o)| (key.clone(), o.size));
        let page: Vec<_> = found.by_ref().take(most).collect();
        (page, found.next().is_some())
    }

    /// A new upload's id.
    pub fn begin(&self) -> String {
        let id = format!("u{}", self.uploads_begun.fetch_add(1, Ordering::Relaxed));
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        drop(uploads.insert(id.clone(), BTreeMap::new()));
        id
    }

    /// A part of it came; false if there is no such upload.
    pub fn part(&self, upload: &str, number: u32, size: u64) -> bool {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.get_mut(upload).map(|parts| parts.insert(number, size)).is_some()
    }

    /// Ends an upload; its bytes, if there was one.
    pub fn end(&self, upload: &str) -> Option<u64> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.remove(upload).map(|parts| parts.values().sum())
    }

    /// Hands out bytes `from..to` of an object; none if they were discarded.
    pub fn hand_out(&self, object: &Object, from: u64, to: u64) -> Option<Outgoing> {
        let _before = self.sent.fetch_add(to - from, Ordering::Relaxed);
        match &object.content {
            Content::Kept(bytes) => {
                let piece = usize::try_from(from).ok()?..usize::try_from(to).ok()?;
                Some(Outgoing::Kept(Some(bytes.slice(piece))))
            }
            Content::InFile(path) => {
                Some(Outgoing::InFile { file: File::open(path).ok()?, at: from, end: to })
            }
            Content::Discarded => None,
        }
    }
}

/// The body of an answer.
pub enum Outgoing {
    /// From memory.
    Kept(Option<Bytes>),
    /// From a file. It is read where the connection is served: from the page cache that does not block.
    InFile {
        /// The file.
        file: File,
        /// The next byte.
        at: u64,
        /// Behind the last.
        end: u64,
    },
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(match &mut *self {
            Self::Kept(bytes) => bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b))),
            Self::InFile { at, end, .. } if at == end => None,
            Self::InFile { file, at, end } => {
                let mut chunk = vec![0; usize::try_from(CHUNK.min(*end - *at)).unwrap_or(usize::MAX)];
                Some(file.read_exact_at(&mut chunk, *at).map(|()| {
                    *at += chunk.len() as u64;
                    Frame::data(Bytes::from(chunk))
                }))
            }
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Kept(bytes) => bytes.as_ref().map_or(0, |b| b.len() as u64),
            Self::InFile { at, end, .. } => end - at,
        })
    }
}
