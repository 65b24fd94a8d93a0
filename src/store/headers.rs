//! Extra headers on every request, those from files read afresh for each attempt.
use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use http::{HeaderName, HeaderValue};

use super::StoreError;

/// Knows names and paths, never a token itself.
#[derive(Debug)]
pub(super) struct Headers {
    fixed: Vec<(HeaderName, HeaderValue)>,
    files: Vec<(HeaderName, PathBuf)>,
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
        })
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
        for (name, path) in &self.files {
            let text = std::fs::read_to_string(path).map_err(|e| {
                format!("could not read {} for header {name}: {e}; put the token there", path.display())
            })?;
            let value = HeaderValue::from_str(text.trim())
                .map_err(|_| format!("{} holds no valid header value", path.display()))?;
            drop(headers.insert(name.clone(), value));
        }
        Ok(())
    }
}
