//! Listing: page by page, each page a request of its own that is asked again if need be.
//!
//! A bucket may hold millions of objects, so whoever looks says how far: how many pages, and whether what lies deeper is wanted or
//! only that it is there (S3's delimiter). A look that ended early is gone on with by a key, not by the store's token: a token
//! belongs to one listing and is forgotten sooner or later.
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;

use super::attempt::Asked;
use super::sort::sort;
use super::{Store, StoreError};

/// A listing ends here, whatever the store says: a hundred million objects.
pub const MOST_PAGES: usize = 100_000;

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its whole key.
    pub key: String,
    /// Bytes.
    pub size: u64,
}

/// How much of the bucket is looked at.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// Keys that begin with this.
    pub below: &'a str,
    /// Only what comes behind it in the order of keys.
    pub after: Option<&'a str>,
    /// What lies behind the next `/` is not listed one by one.
    pub shallow: bool,
    /// Requests, at most.
    pub pages: usize,
}

/// What a look finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An object.
    Object(Listed),
    /// Shallow: objects whose keys begin with this, up to and with the `/`.
    Below(String),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Object(object) => &object.key,
            Self::Below(prefix) => prefix,
        }
    }

    /// Where to go on. A prefix without its `/`, so that it is found once more: stores that list directories (SeaweedFS) have
    /// `a` before `a-b`, S3's order is the other way round, and neither may lose one of the two.
    fn behind(&self) -> &str {
        let name = self.name();
        name.strip_suffix('/').unwrap_or(name)
    }
}

/// How far a look came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the end.
    All,
    /// What is left comes behind this key.
    Until(String),
}

impl Store {
    /// Hands every object below `prefix` to `each`, in key order, page by page.
    pub async fn list(&self, prefix: &str, mut each: impl FnMut(Listed)) -> Result<(), StoreError> {
        let look = Look { below: prefix, after: None, shallow: false, pages: MOST_PAGES };
        let all = |entry| {
            if let Entry::Object(object) = entry {
                each(object);
            }
            ControlFlow::Continue(())
        };
        match self.browse(look, all).await? {
            Reach::All => Ok(()),
            Reach::Until(_) => Err(endless(prefix, "it has no end")),
        }
    }

    /// The sizes of those objects below `prefix` that `wanted` takes. Ends after `most` objects: what else a hostile bucket
    /// holds there is not looked at.
    pub async fn sizes(
        &self,
        prefix: &str,
        most: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let (mut sizes, mut seen) = (BTreeMap::new(), 0);
        let some = |entry| {
            let Entry::Object(object) = entry else { return ControlFlow::Continue(()) };
            seen += 1;
            if wanted(&object.key) {
                let _once = sizes.insert(object.key, object.size);
            }
            if seen < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let look = Look { below: prefix, after: None, shallow: false, pages: MOST_PAGES };
        let _how_far = self.browse(look, some).await?;
        Ok(sizes)
    }

    /// Hands what is found to `each`, page by page, until that breaks or the pages are used up. What stands in the page in which it
    /// breaks is found again by whoever goes on.
    pub async fn browse(
        &self,
        look: Look<'_>,
        mut each: impl FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<Reach, StoreError> {
        let asked = Asked { what: "list the bucket", key: look.below, bytes: 0 };
        let (mut token, mut until): (Option<String>, Option<String>) = (None, look.after.map(str::to_owned));
        for _ in 0..look.pages.min(MOST_PAGES) {
            let list = || async {
                let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(look.below);
                let list = list.set_delimiter(look.shallow.then(|| "/".to_owned()));
                let list = list.set_start_after(look.after.map(str::to_owned));
                list.set_continuation_token(token.clone()).send().await.map_err(sort(asked.what, look.below))
            };
            let page = self.ask(asked, list).await?;
            let mut last = None;
            for entry in entries(&page).filter(|entry| entry.name().starts_with(look.below)) {
                last = last.max(Some(entry.behind().to_owned()));
                if each(entry).is_break() {
                    return Ok(Reach::Until(until.unwrap_or_default()));
                }
            }
            until = last.or(until);
            let next = page.next_continuation_token().filter(|next| !next.is_empty());
            match (page.is_truncated().unwrap_or(next.is_some()), next) {
                (false, _) => return Ok(Reach::All),
                (true, Some(next)) if token.as_deref() != Some(next) => token = Some(next.to_owned()),
                (true, _) => {
                    return Err(endless(
                        look.below,
                        "a page says that there are more, but not where they begin",
                    ));
                }
            }
        }
        match until {
            Some(until) if look.after != Some(until.as_str()) => Ok(Reach::Until(until)),
            _ => Err(endless(look.below, "it does not move on (the store does not know start-after?)")),
        }
    }
}

fn entries(page: &ListObjectsV2Output) -> impl Iterator<Item = Entry> {
    let objects = page.contents().iter().filter_map(|object| {
        let size = object.size().and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
        Some(Entry::Object(Listed { key: object.key()?.to_owned(), size }))
    });
    let prefixes = page.common_prefixes().iter().filter_map(|p| Some(Entry::Below(p.prefix()?.to_owned())));
    objects.chain(prefixes)
}

fn endless(prefix: &str, why: &str) -> StoreError {
    StoreError::Outage { what: "list the bucket", why: format!("the listing of {prefix}: {why}") }
}
