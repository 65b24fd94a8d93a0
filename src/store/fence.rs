//! No request leaves without a permit: asked before every attempt of every request, so that nothing new can forget it, and
//! again while a body is sent.
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::SdkBody;

use crate::lease::{self, Guarded};

#[derive(Debug)]
pub(super) struct Fence;

impl Intercept for Fence {
    fn name(&self) -> &'static str {
        "lease"
    }

    /// Behind the signature, which covers the bytes and not the way in which they are handed out.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        lease::check()?;
        let body = context.request_mut().body_mut();
        if body.content_length() != Some(0) {
            let whole = std::mem::replace(body, SdkBody::taken());
            *body = SdkBody::from_body_1_x(Guarded::new(whole));
        }
        Ok(())
    }
}
