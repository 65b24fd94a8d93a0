//! Listing: page by page, each page a request of its own that is asked again if need be.
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::attempt::Asked;
use super::sort::sort;
use super::{Store, StoreError};

/// A listing ends here, whatever the store says: a hundred million objects.
const MOST_PAGES: usize = 100_000;

/// An object as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its whole key.
    pub key: String,
    /// Bytes.
    pub size: u64,
}

impl Store {
    /// Hands every object below `prefix` to `each`, in key order, page by page.
    pub async fn list(&self, prefix: &str, mut each: impl FnMut(Listed)) -> Result<(), StoreError> {
        let all = |object| {
            each(object);
            ControlFlow::Continue(())
        };
        self.pages(prefix, all).await
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
        let some = |object: Listed| {
            seen += 1;
            if wanted(&object.key) {
                let _once = sizes.insert(object.key, object.size);
            }
            if seen < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        self.pages(prefix, some).await?;
        Ok(sizes)
    }

    async fn pages(
        &self,
        prefix: &str,
        mut each: impl FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let asked = Asked { what: "list the bucket", key: prefix, bytes: 0 };
        let mut token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let list = || async {
                let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
                list.set_continuation_token(token.clone()).send().await.map_err(sort(asked.what, prefix))
            };
            let page = self.ask(asked, list).await?;
            for object in page.contents() {
                let Some(key) = object.key().filter(|key| key.starts_with(prefix)) else { continue };
                let size = object.size().and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
                if each(Listed { key: key.to_owned(), size }).is_break() {
                    return Ok(());
                }
            }
            let next = page.next_continuation_token().filter(|next| !next.is_empty());
            match (page.is_truncated().unwrap_or(next.is_some()), next) {
                (false, _) => return Ok(()),
                (true, Some(next)) if token.as_deref() != Some(next) => token = Some(next.to_owned()),
                (true, _) => {
                    return Err(endless(prefix, "a page says that there are more, but not where they begin"));
                }
            }
        }
        Err(endless(prefix, "it has no end"))
    }
}

fn endless(prefix: &str, why: &str) -> StoreError {
    StoreError::Outage { what: "list the bucket", why: format!("the listing of {prefix}: {why}") }
}
