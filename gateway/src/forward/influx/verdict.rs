//! What an answer of InfluxDB means for the batch (InfluxDB OSS 2 API, POST /api/v2/write).

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::forward::SinkError;
use crate::forward::http::quote;

/// What InfluxDB says beside the status.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    message: std::borrow::Cow<'a, str>,
}

/// Only 204 confirms: a proxy that asks for a login, or a portal of a hotel, answers 200 to anything.
pub(super) fn verdict(status: StatusCode, text: &str, after: Option<Duration>) -> Result<(), SinkError> {
    let reason = format!("{}: {}", status.as_u16(), words(text)).trim_end_matches([':', ' ']).to_owned();
    match status.as_u16() {
        204 => Ok(()),
        // Too large: halves may pass.
        413 | 422 => Err(SinkError::Reject { reason }),
        400 if blames_the_points(text) => Err(SinkError::Reject { reason }),
        408 | 425 | 429 | 500..=599 => Err(SinkError::Retry { reason, after }),
        _ => Err(SinkError::Misconfigured { reason }),
    }
}

/// The server's own words, without the JSON around them.
fn words(text: &str) -> String {
    let message = serde_json::from_str::<Said<'_>>(text).map(|said| said.message.into_owned());
    quote(&message.unwrap_or_else(|_| text.to_owned())).to_owned()
}

/// InfluxDB answers 400 to bad lines, but also to a bad organisation id or header.
fn blames_the_points(text: &str) -> bool {
    ["unable to parse", "partial write", "line protocol", "field type conflict"]
        .iter()
        .any(|words| text.contains(words))
}
