//! What a sender is told: status, why, where, and when to come again.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body;
use super::split::Fault;
use super::store::Stored;
use crate::queue::Pressure;

/// While the queue is held up: sinks make room, or somebody does on the disk.
const HELD_UP_RETRY: Duration = Duration::from_secs(5);
/// While others take the places or the memory.
const BUSY_RETRY: Duration = Duration::from_secs(1);
/// While the gateway stops, most often to start again.
const STOPPING_RETRY: Duration = Duration::from_secs(10);

/// Why nothing, or nothing more, was taken in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the gateway is stopping; send again once it has started")]
    Stopping,
    #[error("no token; send one as `Authorization: Bearer TOKEN`, or as the password of Basic")]
    NoToken,
    #[error("the token is not one of `[[http.token]]`")]
    WrongToken,
    #[error("the token may not send under this topic; see `publish` of its `[[http.token]]`")]
    TopicNotAllowed,
    #[error("the request is from a page of another site")]
    AnotherSite,
    #[error("the query cannot be read: {0}")]
    Query(String),
    #[error("the topic {0}")]
    Topic(&'static str),
    #[error("precision {0:?} is not known; write ns, us, ms or s")]
    Precision(String),
    #[error(
        "content type {0:?} is not known; send application/json, application/x-ndjson, text/plain (line protocol, or a \
         bare number), application/vnd.influx.line-protocol, application/vnd.sensor-frame, application/senml+json, \
         application/senml+cbor, application/cbor or text/csv"
    )]
    ContentType(String),
    #[error("content encoding {0:?} is not known; send gzip, or none")]
    Encoding(String),
    #[error("the body{} is longer than the limit of {limit} bytes; send it in parts, or raise `http.body_max`", of_bytes(*.bytes))]
    TooLarge { bytes: Option<u64>, limit: usize },
    #[error("the body is not what its gzip header says: {0}")]
    Gzip(String),
    #[error("the body broke off: {0}")]
    BrokenOff(String),
    #[error("the body brought less than {} bytes in {} s; see `http.body_timeout`", body::PROGRESS_BYTES, .0.as_secs_f64())]
    Slow(Duration),
    #[error("the client is over its rate; see `http.client_requests_per_second` and `http.client_bytes_per_second`")]
    Rate { wait: Duration },
    #[error("too many requests are under way; see `http.requests_max`")]
    TooManyRequests,
    #[error("the client has half of all requests under way that there may be; see `http.requests_max`")]
    TooManyOfOne,
    #[error("the bodies under way take all the memory for them; see `http.memory_max`")]
    Memory,
    #[error("{}", held_up(*.0))]
    HeldUp(Pressure),
    #[error(
        "the queue has not synced the records within {} s, see `http.commit_timeout`; some may be stored all the same",
        .0.as_secs_f64()
    )]
    Late(Duration),
    #[error("the queue has failed; the gateway stops")]
    Failed,
}

fn of_bytes(bytes: Option<u64>) -> String {
    bytes.map(|bytes| format!(" of {bytes} bytes")).unwrap_or_default()
}

fn held_up(pressure: Pressure) -> &'static str {
    match pressure {
        Pressure::None => "the queue was held up",
        Pressure::OverBudget => {
            "the queue has used up its disk budget until sinks have made room; see `queue.max_size`"
        }
        Pressure::DiskFull => "the disk is full",
    }
}

impl Refusal {
    /// One of few words, for a metric's label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Stopping => "stopping",
            Self::NoToken | Self::WrongToken => "unauthorized",
            Self::TopicNotAllowed => "topic_not_allowed",
            Self::AnotherSite => "another_site",
            Self::Query(_) => "query",
            Self::Topic(_) => "topic",
            Self::Precision(_) => "precision",
            Self::ContentType(_) => "content_type",
            Self::Encoding(_) => "encoding",
            Self::TooLarge { .. } => "too_large",
            Self::Gzip(_) => "gzip",
            Self::BrokenOff(_) => "broken_off",
            Self::Slow(_) => "slow",
            Self::Rate { .. } => "rate",
            Self::TooManyRequests => "requests_max",
            Self::TooManyOfOne => "client_requests",
            Self::Memory => "memory_max",
            Self::HeldUp(_) => "held_up",
            Self::Late(_) => "late",
            Self::Failed => "failed",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Query(_) | Self::Topic(_) | Self::Precision(_) | Self::Gzip(_) | Self::BrokenOff(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::TopicNotAllowed | Self::AnotherSite => StatusCode::FORBIDDEN,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType(_) | Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Rate { .. } | Self::TooManyRequests | Self::TooManyOfOne | Self::Memory => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Stopping | Self::HeldUp(_) | Self::Late(_) | Self::Failed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Stopping | Self::Failed => Some(STOPPING_RETRY),
            Self::HeldUp(_) | Self::Late(_) => Some(HELD_UP_RETRY),
            Self::TooManyRequests | Self::TooManyOfOne | Self::Memory => Some(BUSY_RETRY),
            Self::Rate { wait } => Some(*wait),
            Self::NoToken
            | Self::WrongToken
            | Self::TopicNotAllowed
            | Self::AnotherSite
            | Self::Query(_)
            | Self::Topic(_)
            | Self::Precision(_)
            | Self::ContentType(_)
            | Self::Encoding(_)
            | Self::TooLarge { .. }
            | Self::Gzip(_)
            | Self::BrokenOff(_)
            | Self::Slow(_) => None,
        }
    }
}

#[derive(Serialize)]
struct Error {
    error: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(Error { error: self.to_string() })).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after() {
            // Whole seconds, and never at once.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil().max(1.0) as u64));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gateway\""));
        }
        response
    }
}

/// The body of a 400, and of a 200 that asks for something.
#[derive(Serialize)]
struct Told {
    stored: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    /// Devices that are to send their hello: their records cannot be read without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hello_wanted: Vec<String>,
}

impl IntoResponse for Stored {
    fn into_response(self) -> Response {
        let Stored { stored, rejected, faults: errors, hello_wanted } = self;
        let status = match (rejected, hello_wanted.is_empty()) {
            (0, true) => return StatusCode::NO_CONTENT.into_response(),
            (0, false) => StatusCode::OK,
            (_, _) => StatusCode::BAD_REQUEST,
        };
        let rejected = (rejected > 0).then_some(rejected);
        (status, Json(Told { stored, rejected, errors, hello_wanted })).into_response()
    }
}
