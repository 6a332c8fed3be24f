//! What all sinks have in common that speak HTTP: how a client is made, and what failures and answers say.
//!
//! # Invariants
//! - Redirects are not followed: a POST that becomes a GET would be answered 200 and lost.
//! - No more of an answer is read than a person wants to see.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, Identity, Proxy, Response, Url};

use super::SinkError;
use super::tls::{PemError, TlsFiles, read, read_certificates};
use crate::retry_after;
use crate::text::cut;

/// A server that does not even take the connection by then is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Read of an answer; the rest is not of interest.
const ANSWER_MAX_BYTES: usize = 16 * 1024;
/// An answer is quoted in logs and quarantine up to here, bytes: servers repeat all that they did not like.
const QUOTE_MAX_BYTES: usize = 300;

/// By which way a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` tell.
    #[default]
    Environment,
    /// Whatever the environment says.
    Direct,
    Proxy(Url),
}

/// How a sink speaks HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConfig {
    pub tls: TlsFiles,
    pub via: Via,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("tls_cert_file and tls_key_file cannot be used: {0}")]
    Identity(String),
    #[error("http client cannot be built: {0}")]
    Client(String),
}

/// A client's settings; its files are read, which blocks for a moment.
///
/// # Errors
/// A file cannot be used.
pub(super) fn builder(config: &HttpConfig, timeout: Duration) -> Result<ClientBuilder, HttpError> {
    let client = |error: reqwest::Error| HttpError::Client(error.without_url().to_string());
    let mut builder = ClientBuilder::new().connect_timeout(CONNECT_TIMEOUT).timeout(timeout).redirect(Policy::none());
    if let Some(path) = &config.tls.ca_file {
        let pem = read_certificates("tls_ca_file", path)?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(client)?);
    }
    if let Some(files) = &config.tls.certificate {
        let mut pem = read("tls_key_file", &files.key_file)?;
        pem.push(b'\n');
        pem.extend(read_certificates("tls_cert_file", &files.cert_file)?);
        builder = builder.identity(Identity::from_pem(&pem).map_err(|e| HttpError::Identity(e.to_string()))?);
    }
    Ok(match &config.via {
        Via::Environment => builder,
        Via::Direct => builder.no_proxy(),
        Via::Proxy(url) => builder.proxy(Proxy::all(url.clone()).map_err(client)?),
    })
}

/// The beginning of what the server said. That it did not finish saying it changes nothing.
pub(super) async fn answer(mut response: Response) -> String {
    let mut answer = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await
        && answer.len() < ANSWER_MAX_BYTES
    {
        answer.extend_from_slice(&chunk);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The pause that an answer asks for.
pub(super) fn pause(headers: &HeaderMap) -> Option<Duration> {
    retry_after::of(headers, SystemTime::now())
}

/// As far as it is worth repeating.
pub(super) fn quote(text: &str) -> &str {
    cut(text.trim(), QUOTE_MAX_BYTES)
}

/// A request that got no answer.
pub(super) fn transport_error(error: reqwest::Error) -> SinkError {
    let settings_are_wrong = error.is_builder();
    // The causes are in the text already; the URL says nothing that the sink's name does not.
    let reason = error.without_url().to_string();
    if settings_are_wrong { SinkError::Misconfigured { reason } } else { SinkError::Retry { reason, after: None } }
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
