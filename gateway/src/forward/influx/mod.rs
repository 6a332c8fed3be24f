//! InfluxDB 2 as a sink: gzipped line protocol over HTTP, through the influxdb2 client.
//!
//! # Invariants
//! - Only 204 and 200 confirm. Redirects are not followed: a POST that becomes a GET would be answered 200 and lost.
//! - An answer that blames the points rejects the batch; one that blames us or the settings never does, so a wrong
//!   setting cannot send everything into the quarantine.
//!
//! # Not here
//! `Retry-After`: the client does not hand out headers, so pauses are our own.

use std::time::Duration;

use bytes::Bytes;
use influxdb2::{Client, ClientBuilder, RequestError};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};

use super::gzip::Gzip;
use super::lines::Lines;
use super::{Encoder, InfluxConfig, Sink, SinkError, Times, Undeliverable};
use crate::queue::{Log, QueueSeq, Record};
use crate::text::cut;

/// A server that does not even take the connection by then is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer is quoted in logs and quarantine up to here, bytes: InfluxDB repeats all the lines it did not like.
const QUOTE_MAX_BYTES: usize = 300;

/// Lines, then gzip.
pub(super) struct InfluxEncoder {
    lines: Lines,
    gzip: Gzip,
}

impl InfluxEncoder {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines, gzip: Gzip::new() }
    }
}

impl Encoder for InfluxEncoder {
    type Batch = Bytes;

    fn push(&mut self, log: Log, seq: QueueSeq, record: &Record) -> Result<Times, Undeliverable> {
        self.lines.push(log, seq, record)
    }

    fn pending_bytes(&self) -> usize {
        self.lines.bytes().len()
    }

    fn take(&mut self) -> Option<Bytes> {
        if self.lines.bytes().is_empty() {
            return None;
        }
        let batch = self.gzip.compress(self.lines.bytes());
        self.lines.clear();
        Some(batch)
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InfluxError {
    #[error("url {url:?} cannot be used: {reason}, want something like http://127.0.0.1:8086")]
    Url { url: String, reason: String },
    #[error("token holds a character that cannot be sent in an HTTP header, such as a line break")]
    Token,
    #[error("http client cannot be built: {0}")]
    Client(String),
}

pub(super) struct InfluxSink {
    client: Client,
    org: String,
    bucket: String,
}

impl InfluxSink {
    pub(super) fn new(config: &InfluxConfig) -> Result<Self, InfluxError> {
        // The client panics on a URL that does not parse, and drops a path: both are said here instead.
        check_url(&config.url)?;
        HeaderValue::from_str(config.token.expose()).map_err(|_| InfluxError::Token)?;
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(config.delivery.timeout)
            .redirect(Policy::none());
        let client = ClientBuilder::with_builder(http, &config.url, &config.org, config.token.expose())
            .build()
            .map_err(|e| InfluxError::Client(e.to_string()))?;
        Ok(Self { client, org: config.org.clone(), bucket: config.bucket.clone() })
    }
}

impl Sink for InfluxSink {
    type Batch = Bytes;

    fn wire_bytes(batch: &Bytes) -> u64 {
        batch.len() as u64
    }

    async fn send(&self, batch: &Bytes) -> Result<(), SinkError> {
        match self.client.write_line_protocol(&self.org, &self.bucket, batch.clone()).await {
            Ok(()) => Ok(()),
            Err(RequestError::Http { status, text }) => verdict(status, &text),
            Err(RequestError::ReqwestProcessing { source }) => Err(transport_error(source)),
            Err(error @ (RequestError::Serializing { .. } | RequestError::Deserializing { .. })) => {
                Err(SinkError::Retry { reason: error.to_string(), after: None })
            }
        }
    }
}

fn check_url(text: &str) -> Result<(), InfluxError> {
    let fault = |reason: String| Err(InfluxError::Url { url: text.to_owned(), reason });
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(e) => return fault(e.to_string()),
    };
    match url.scheme() {
        "http" | "https" if !matches!(url.path(), "" | "/") => fault(format!("it has the path {}", url.path())),
        "http" | "https" if url.query().is_some() => fault("it has a query".into()),
        "http" | "https" => Ok(()),
        other => fault(format!("its scheme is {other}")),
    }
}

/// What an answer other than 204 means.
fn verdict(status: StatusCode, text: &str) -> Result<(), SinkError> {
    let reason = format!("{}: {}", status.as_u16(), quote(text));
    match status.as_u16() {
        200 => Ok(()),
        // Too large: halves may pass.
        413 | 422 => Err(SinkError::Reject { reason }),
        400 if blames_the_points(text) => Err(SinkError::Reject { reason }),
        408 | 425 | 429 | 500..=599 => Err(SinkError::Retry { reason, after: None }),
        _ => Err(SinkError::Misconfigured { reason }),
    }
}

/// InfluxDB answers 400 to bad lines, but also to a bad organisation id or header.
fn blames_the_points(text: &str) -> bool {
    ["unable to parse", "partial write", "line protocol", "field type conflict"]
        .iter()
        .any(|words| text.contains(words))
}

fn transport_error(error: reqwest::Error) -> SinkError {
    let settings_are_wrong = error.is_builder();
    // The causes are in the text already; the URL says nothing that the sink's name does not.
    let reason = error.without_url().to_string();
    if settings_are_wrong { SinkError::Misconfigured { reason } } else { SinkError::Retry { reason, after: None } }
}

fn quote(text: &str) -> &str {
    cut(text.trim(), QUOTE_MAX_BYTES)
}

#[cfg(test)]
mod tests;
