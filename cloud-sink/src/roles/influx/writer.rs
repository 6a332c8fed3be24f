//! Writes batches of line protocol to InfluxDB 2, gzipped, and tells what its answers mean.
//!
//! # Invariants
//! - Only 204 and 200 confirm. Redirects are not followed: a POST that becomes a GET would be answered 200 and lost.
//! - Only an answer that blames the points rejects them; a wrong setting never sends anything to the dead letters.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use influxdb2::{Client, ClientBuilder, RequestError};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;

use crate::config::Influx;
use crate::dead_letters::head;

/// One write may take this long.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Level 1: a sixth of the CPU time of the default for a tenth more bytes.
const GZIP_LEVEL: u32 = 1;
/// An answer is quoted in logs and dead letters up to here, bytes: InfluxDB repeats all the lines it did not like.
const QUOTE_MAX_BYTES: usize = 300;

/// What InfluxDB's answer means for the batch.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// InfluxDB is away or busy: the same batch again, later.
    #[error("{0}")]
    Retry(String),
    /// Something in the batch will never be taken, or the batch is too large: split it.
    #[error("{0}")]
    Reject(String),
    /// Nothing is taken until a human mends it (token, organisation, bucket): retried slowly.
    #[error("{0}")]
    Misconfigured(String),
}

pub struct Writer {
    client: Client,
    org: String,
    bucket: String,
}

impl Writer {
    /// The URL must have been validated: the client panics on a malformed one.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(influx: &Influx) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let http = reqwest::ClientBuilder::new()
            .default_headers(headers)
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none());
        let client = ClientBuilder::with_builder(http, &influx.url, &influx.org, influx.token()).build()?;
        Ok(Self { client, org: influx.org.clone(), bucket: influx.bucket.clone() })
    }

    /// # Errors
    /// See [`WriteError`]: InfluxDB did not confirm the batch.
    pub async fn write(&self, lines: &[u8]) -> Result<(), WriteError> {
        let body = gzip(lines).map_err(|e| WriteError::Retry(format!("gzip: {e}")))?;
        match self.client.write_line_protocol(&self.org, &self.bucket, body).await {
            Ok(()) => Ok(()),
            Err(RequestError::Http { status, text }) => classify(status, &text),
            Err(e) => Err(WriteError::Retry(chain(&e))),
        }
    }
}

fn gzip(lines: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::new(GZIP_LEVEL));
    encoder.write_all(lines)?;
    encoder.finish()
}

fn classify(status: StatusCode, text: &str) -> Result<(), WriteError> {
    let said = format!("InfluxDB answered {status}: {}", head(text.trim(), QUOTE_MAX_BYTES));
    match status {
        // The client takes 204 alone for success; a proxy may say 200.
        StatusCode::OK => Ok(()),
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => Err(WriteError::Reject(said)),
        StatusCode::BAD_REQUEST if blames_the_points(text) => Err(WriteError::Reject(said)),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(WriteError::Retry(said)),
        status if status.is_server_error() => Err(WriteError::Retry(said)),
        _ => Err(WriteError::Misconfigured(said)),
    }
}

/// InfluxDB answers 400 to bad lines, but also to a bad organisation id or header.
fn blames_the_points(text: &str) -> bool {
    ["unable to parse", "partial write", "line protocol", "field type conflict"]
        .iter()
        .any(|words| text.contains(words))
}

fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_and_a_400_that_blames_the_request_confirm_and_reject_nothing() {
        for (status, text) in [
            (StatusCode::MOVED_PERMANENTLY, ""),
            (StatusCode::FOUND, "see other"),
            (StatusCode::BAD_REQUEST, r#"{"code":"invalid","message":"invalid organization id"}"#),
        ] {
            assert!(matches!(classify(status, text), Err(WriteError::Misconfigured(_))), "{status}");
        }
    }

    #[test]
    fn a_long_answer_is_quoted_in_part_and_never_cuts_a_letter() {
        let Err(e) = classify(StatusCode::UNPROCESSABLE_ENTITY, &"ü".repeat(100_000)) else {
            panic!("422 confirms nothing");
        };
        assert!(e.to_string().len() < QUOTE_MAX_BYTES + 100);
    }

    #[test]
    fn a_bad_line_splits_the_batch_and_a_bad_token_does_not() {
        let bad_line = r#"{"code":"invalid","message":"unable to parse 'x'"}"#;
        assert!(matches!(classify(StatusCode::BAD_REQUEST, bad_line), Err(WriteError::Reject(_))));
        assert!(matches!(classify(StatusCode::UNPROCESSABLE_ENTITY, ""), Err(WriteError::Reject(_))));
        assert!(matches!(classify(StatusCode::UNAUTHORIZED, ""), Err(WriteError::Misconfigured(_))));
        assert!(matches!(classify(StatusCode::TOO_MANY_REQUESTS, ""), Err(WriteError::Retry(_))));
        assert!(matches!(classify(StatusCode::SERVICE_UNAVAILABLE, ""), Err(WriteError::Retry(_))));
        assert!(classify(StatusCode::OK, "").is_ok());
    }
}
