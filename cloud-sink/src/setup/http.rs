//! One JSON call to an HTTP API: InfluxDB's and Grafana's.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::dead_letters::head;

/// One call may take this long.
const TIMEOUT: Duration = Duration::from_secs(30);
/// An answer is quoted up to here, bytes.
const QUOTE_MAX_BYTES: usize = 300;

pub(super) struct Api {
    /// Who answers, for messages.
    name: &'static str,
    base: String,
    client: Client,
}

impl Api {
    /// `authorization`: the header's value.
    ///
    /// # Errors
    /// The token cannot be in a header, or there is no HTTP client.
    pub(super) fn new(name: &'static str, base: &str, authorization: &str) -> anyhow::Result<Self> {
        let mut secret = HeaderValue::from_str(authorization)
            .with_context(|| format!("the token for {name} has control characters"))?;
        secret.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, secret)]);
        let client = Client::builder().default_headers(headers).timeout(TIMEOUT).redirect(Policy::none()).build()?;
        Ok(Self { name, base: base.trim_end_matches('/').to_owned(), client })
    }

    /// `None` if there is no such thing (404).
    ///
    /// # Errors
    /// No answer, a refusal, or what is no JSON.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Option<Value>> {
        self.call(Method::GET, path, query, None).await
    }

    /// # Errors
    /// As [`Self::get`]; also if there is no such path.
    pub(super) async fn send(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.call(method, path, &[], Some(body)).await?;
        answer.with_context(|| format!("{} knows no {path}", self.name))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Option<Value>> {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).query(query);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = request.send().await.with_context(|| format!("{} at {} does not answer", self.name, self.base))?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("{}'s answer breaks off", self.name))?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !status.is_success() {
            let hint = match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "\n  hint: the token may not do that",
                _ => "",
            };
            bail!("{} answered {status} to {path}: {}{hint}", self.name, head(text.trim(), QUOTE_MAX_BYTES));
        }
        Ok(Some(serde_json::from_str(&text).with_context(|| format!("{}'s answer to {path} is no JSON", self.name))?))
    }
}
