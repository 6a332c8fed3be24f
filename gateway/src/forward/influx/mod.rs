//! InfluxDB 2 as a sink: gzipped line protocol over HTTP.
//!
//! # Invariants
//! - Only 204 confirms. Redirects are not followed: a POST that becomes a GET would be answered 200 and lost.
//! - An answer that blames the points rejects the batch; one that blames us or the settings never does, so a wrong
//!   setting cannot send everything into the quarantine.
//! - Files with the token and with certificates are read again after each attempt that they may be to blame for, so what a
//!   person mends needs no restart.
//!
//! # Flow
//! ```text
//! encoder: Lines ─▶ SeriesCap ─▶ gzip ─batch─▶ connection ─▶ POST /api/v2/write ─▶ verdict
//!                                                   401, 403, 404, … ─▶ diagnosis ─▶ words for a person
//! ```

mod connection;
mod diagnosis;
mod encoder;
mod series;
mod verdict;

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Url;
use tokio::time::{Instant, timeout_at};

use super::http::{HttpError, answer, pause, transport_error};
use super::{InfluxConfig, Sink, SinkError};
use connection::{Connection, Recipe, Slot};
use diagnosis::{Diagnosis, Wanted};
pub(super) use encoder::InfluxEncoder;
pub(super) use series::SeriesCap;
use verdict::verdict;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InfluxError {
    #[error("url {url:?} cannot be used: {reason}, want something like http://127.0.0.1:8086")]
    Url { url: String, reason: String },
    #[error("{0}")]
    Token(String),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("http client cannot be built: {0}")]
    Client(String),
}

pub(super) struct InfluxSink {
    slot: Slot,
    url: Url,
    org: String,
    bucket: String,
    diagnosis: Diagnosis,
}

impl InfluxSink {
    /// Reads the files that the settings name; connects to nothing yet.
    pub(super) fn new(config: &InfluxConfig) -> Result<Self, InfluxError> {
        let url = parse(&config.url)?;
        let recipe = Recipe {
            write_url: write_url(&url, &config.org, &config.bucket),
            http: config.http.clone(),
            token: config.token.clone(),
            timeout: config.delivery.timeout,
        };
        let (org, bucket) = (config.org.clone(), config.bucket.clone());
        Ok(Self { slot: Slot::new(recipe)?, url, org, bucket, diagnosis: Diagnosis::default() })
    }

    /// What is wrong and what to do, if the server says so in time.
    async fn explained(&self, status: u16, connection: &Connection, until: Instant) -> String {
        let recipe = self.slot.recipe();
        let (url, org, bucket) = (&self.url, self.org.as_str(), self.bucket.as_str());
        let wanted = Wanted { url, org, bucket, token_is_file: recipe.token.is_file() };
        let words = self.diagnosis.of(status, wanted, recipe, &connection.token);
        timeout_at(until, words).await.unwrap_or_else(|_| "what is wrong could not be asked in time".to_owned())
    }
}

impl Sink for InfluxSink {
    type Batch = Bytes;

    fn wire_bytes(batch: &Bytes) -> u64 {
        batch.len() as u64
    }

    async fn send(&self, batch: &Bytes) -> Result<(), SinkError> {
        let until = Instant::now() + self.slot.recipe().timeout;
        let connection: Arc<Connection> =
            self.slot.get().await.map_err(|error| SinkError::Misconfigured { reason: error.to_string() })?;
        let response = match connection.write(batch.clone()).await {
            Ok(response) => response,
            Err(error) => {
                // A certificate that was renewed meanwhile would mend a handshake.
                self.slot.give_up(&connection);
                return Err(transport_error(error));
            }
        };
        let (status, after) = (response.status(), pause(response.headers()));
        match verdict(status, &answer(response).await, after) {
            Err(SinkError::Misconfigured { reason }) => {
                self.slot.give_up(&connection);
                let words = self.explained(status.as_u16(), &connection, until).await;
                Err(SinkError::Misconfigured { reason: format!("{reason}; {words}") })
            }
            Ok(()) => {
                self.diagnosis.forget().await;
                Ok(())
            }
            Err(error @ (SinkError::Retry { .. } | SinkError::Reject { .. })) => Err(error),
        }
    }
}

fn parse(text: &str) -> Result<Url, InfluxError> {
    let fault = |reason: String| InfluxError::Url { url: text.to_owned(), reason };
    let url = Url::parse(text).map_err(|e| fault(e.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.query().is_some() || url.fragment().is_some() => Err(fault("it has a query".into())),
        "http" | "https" => Ok(url),
        other => Err(fault(format!("its scheme is {other}"))),
    }
}

/// A path in `url` stays: it is that of a reverse proxy.
fn write_url(url: &Url, org: &str, bucket: &str) -> Url {
    let mut write = url.clone();
    write.set_path(&format!("{}/api/v2/write", url.path().trim_end_matches('/')));
    write.query_pairs_mut().append_pair("bucket", bucket).append_pair("org", org).append_pair("precision", "ns");
    write
}

#[cfg(test)]
mod tests;
