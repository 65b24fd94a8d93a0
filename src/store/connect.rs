//! The SDK's client: its settings, without which third-party stores misbehave (see the notes at each).
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};

use super::StoreError;
use super::body::Bodies;
use super::carrier::Carrier;
use super::headers::Headers;
use super::pace::Pace;
use crate::conf::StoreConf;
use crate::secret::Secret;

/// Prepares a client; nothing is sent yet. It makes one attempt of each request: the next one is decided in `attempt.rs`.
pub(super) fn client(conf: &StoreConf, headers: Headers, pace: Pace) -> Result<Client, StoreError> {
    let secret = Secret::from_file(&conf.secret_key_file).map_err(|e| StoreError::Config(e.to_string()))?;
    let keys = Credentials::new(&conf.access_key, secret.expose(), None, None, "secret_key_file");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(Carrier::new(conf)?)
        .endpoint_url(&conf.endpoint)
        .region(Region::new(conf.region.clone()))
        .credentials_provider(keys)
        .force_path_style(conf.path_style)
        // By default a body that is a stream is sent in chunks with a trailer, which some stores keep as data.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::disabled())
        // Deadlines are set where attempts are made and where bodies are read.
        .timeout_config(TimeoutConfig::disabled())
        .interceptor(headers)
        .interceptor(Bodies(pace))
        .build();
    Ok(Client::from_conf(config))
}
