//! Extra headers on every request, those from files read afresh for each request.
//!
//! The files are read on a disk's thread before the request, not by the interceptor: that runs on a thread which everybody
//! shares and must not wait for a file system.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use http::{HeaderName, HeaderValue};

use super::StoreError;
use crate::disk::OnDisk;

/// Knows names, paths, and what the files held when they were last read; clones share that.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    fixed: Vec<(HeaderName, HeaderValue)>,
    files: Vec<(HeaderName, PathBuf)>,
    /// Marked as sensitive, so that no debug output shows them.
    read: Arc<RwLock<Vec<HeaderValue>>>,
}

impl Headers {
    pub(super) fn new(
        fixed: &BTreeMap<String, String>,
        files: &BTreeMap<String, PathBuf>,
    ) -> Result<Self, StoreError> {
        let name = |n: &str| {
            let wrong = |_| StoreError::Config(format!("{n:?} is not a header name"));
            HeaderName::from_bytes(n.as_bytes()).map_err(wrong)
        };
        let value = |n: &str, v: &str| {
            HeaderValue::from_str(v)
                .map_err(|_| StoreError::Config(format!("the value of header {n} has odd characters")))
        };
        Ok(Self {
            fixed: fixed
                .iter()
                .map(|(n, v)| Ok((name(n)?, value(n, v)?)))
                .collect::<Result<_, StoreError>>()?,
            files: files.iter().map(|(n, p)| Ok((name(n)?, p.clone()))).collect::<Result<_, StoreError>>()?,
            read: Arc::default(),
        })
    }

    /// Whether there is any file to be read.
    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Reads the files.
    pub(super) fn refresh(&self, on: &OnDisk) -> Result<(), StoreError> {
        let mut fresh = Vec::with_capacity(self.files.len());
        for (name, path) in &self.files {
            let bad = |why: String| StoreError::Outage { what: "get all its headers", why };
            let text = std::fs::read_to_string(path).map_err(|e| {
                bad(format!("could not read {} for header {name}: {e}; put the token there", path.display()))
            })?;
            on.moved();
            let mut value = HeaderValue::from_str(text.trim())
                .map_err(|_| bad(format!("{} holds no valid header value", path.display())))?;
            value.set_sensitive(true);
            fresh.push(value);
        }
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl Intercept for Headers {
    fn name(&self) -> &'static str {
        "extra headers"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        for (name, value) in &self.fixed {
            drop(headers.insert(name.clone(), value.clone()));
        }
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        for ((name, _), value) in self.files.iter().zip(read.iter()) {
            drop(headers.insert(name.clone(), value.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_file_counts_at_the_next_reading_and_no_debug_output_shows_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let on = OnDisk::alone();
        let files = [("token".to_owned(), path.clone())].into();
        let headers = Headers::new(&BTreeMap::new(), &files).unwrap();
        let missing = headers.refresh(&on).unwrap_err();
        assert!(missing.is_outage() && missing.to_string().contains("put the token there"), "{missing}");
        for token in ["eyJone", "eyJtwo"] {
            crate::fs::write_durably(&path, format!("{token}\n").as_bytes()).unwrap();
            headers.refresh(&on).unwrap();
            assert_eq!(headers.read.read().unwrap()[0], token);
            assert!(!format!("{headers:?}").contains("eyJ"), "{headers:?}");
        }
    }
}
