//! Any HTTP endpoint as a sink: a POST of NDJSON or line protocol.
//!
//! # Invariants
//! - Only 2xx confirms.
//! - A repeat of a batch has the `Idempotency-Key` of the first attempt, so that a receiver that looks can tell it.
//! - What blames the address or the login never rejects a batch, so a wrong setting cannot send everything into the
//!   quarantine.
//! - Files with the token and with certificates are read again after each attempt that they may be to blame for.

mod encoder;
mod headers;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, Url};

use super::http::{HttpConfig, HttpError, answer, builder, pause, quote, transport_error};
use super::{DeliveryConfig, FileFormat, Sink, SinkError};
use crate::secret::SecretSource;
pub(super) use encoder::{Batch, WebhookEncoder};
pub use headers::{HeaderFault, Headers, TokenHeader};

/// Draft of the HTTP working group "The Idempotency-Key HTTP Header Field", section 2.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// One `[[webhook]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    pub name: String,
    pub url: String,
    pub format: FileFormat,
    pub gzip: bool,
    pub headers: Headers,
    /// What is sent with `token_header`.
    pub token: Option<SecretSource>,
    pub token_header: TokenHeader,
    pub http: HttpConfig,
    pub delivery: DeliveryConfig,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    #[error("url cannot be used: {0}, want something like https://host/path")]
    Url(String),
    #[error("{0}")]
    Token(String),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("http client cannot be built: {0}")]
    Client(String),
}

/// How connections are made.
#[derive(Clone, Debug)]
struct Recipe {
    http: HttpConfig,
    headers: HeaderMap,
    token: Option<SecretSource>,
    token_header: TokenHeader,
    timeout: Duration,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    headers: HeaderMap,
}

pub(super) struct WebhookSink {
    url: Url,
    recipe: Recipe,
    /// Nothing: the files are read anew for the next attempt.
    connection: Mutex<Option<Arc<Connection>>>,
}

impl Recipe {
    /// Reads the files, which blocks for a moment.
    fn connection(&self) -> Result<Connection, WebhookError> {
        let mut headers = self.headers.clone();
        if let Some(source) = &self.token {
            let token = source.read().map_err(|fault| WebhookError::Token(format!("token_file {fault}")))?;
            let (name, value) = self.token_header.with(&token);
            let value = value.ok_or_else(|| WebhookError::Token("the token cannot be sent in a header".to_owned()))?;
            headers.insert(name, value);
        }
        let client = builder(&self.http, self.timeout)?.build();
        let client = client.map_err(|e| WebhookError::Client(e.without_url().to_string()))?;
        Ok(Connection { client, headers })
    }

    /// Whether another attempt to make one can have another outcome.
    fn can_change(&self) -> bool {
        self.token.as_ref().is_some_and(SecretSource::is_file) || !self.http.tls.is_empty()
    }
}

impl WebhookSink {
    /// Reads the files that the settings name; connects to nothing yet.
    pub(super) fn new(config: &WebhookConfig) -> Result<Self, WebhookError> {
        let url = Url::parse(&config.url).map_err(|e| WebhookError::Url(e.to_string()))?;
        let mut headers = config.headers.to_map();
        let content_type = match config.format {
            FileFormat::Ndjson => "application/x-ndjson",
            FileFormat::LineProtocol => "text/plain; charset=utf-8",
        };
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        if config.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let recipe = Recipe {
            http: config.http.clone(),
            headers,
            token: config.token.clone(),
            token_header: config.token_header.clone(),
            timeout: config.delivery.timeout,
        };
        let connection = Mutex::new(Some(Arc::new(recipe.connection()?)));
        Ok(Self { url, recipe, connection })
    }

    async fn connection(&self) -> Result<Arc<Connection>, WebhookError> {
        if let Some(connection) = self.lock().clone() {
            return Ok(connection);
        }
        let recipe = self.recipe.clone();
        let made = tokio::task::spawn_blocking(move || recipe.connection()).await;
        let made = Arc::new(made.map_err(|e| WebhookError::Client(e.to_string()))??);
        *self.lock() = Some(made.clone());
        Ok(made)
    }

    /// The next attempt is to read the files again.
    fn give_up(&self, failed: &Arc<Connection>) {
        let mut place = self.lock();
        if self.recipe.can_change() && place.as_ref().is_some_and(|current| Arc::ptr_eq(current, failed)) {
            *place = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for WebhookSink {
    type Batch = Batch;

    fn wire_bytes(batch: &Batch) -> u64 {
        batch.body.len() as u64
    }

    async fn send(&self, batch: &Batch) -> Result<(), SinkError> {
        let misconfigured = |error: WebhookError| SinkError::Misconfigured { reason: error.to_string() };
        let connection = self.connection().await.map_err(misconfigured)?;
        let request = connection.client.post(self.url.clone()).headers(connection.headers.clone());
        let request = request.header(IDEMPOTENCY_KEY, &batch.key).body(batch.body.clone());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                // A certificate that was renewed meanwhile would mend a handshake.
                self.give_up(&connection);
                return Err(transport_error(error));
            }
        };
        let (status, after) = (response.status(), pause(response.headers()));
        let outcome = verdict(status, || answer(response), after).await;
        if let Err(SinkError::Misconfigured { .. }) = outcome {
            self.give_up(&connection);
        }
        outcome
    }
}

/// What an answer means for the batch; `text` reads what the server said beside the status.
async fn verdict<T: Future<Output = String>>(
    status: StatusCode,
    text: impl FnOnce() -> T,
    after: Option<Duration>,
) -> Result<(), SinkError> {
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("{}: {}", status.as_u16(), quote(&text().await)).trim_end_matches([':', ' ']).to_owned();
    match status.as_u16() {
        // In halves, down to the record to blame.
        400 | 413 | 422 => Err(SinkError::Reject { reason }),
        408 | 425 | 429 | 500..=599 => Err(SinkError::Retry { reason, after }),
        _ => Err(SinkError::Misconfigured { reason }),
    }
}
