//! From a message's topic and payload to a [`Measurement`]: the routes that an operator configures.
//!
//! # Invariants
//! - Pure: the same message and routes give the same measurement, on the gateway, in cloud-sink, years later.
//! - The first route whose topic pattern matches decides; a message that no route matches is undecodable.

use serde::{Deserialize, Serialize};

use crate::measurement::{EventTime, Measurement};

/// One `[[decode]]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Topic pattern: MQTT wildcards `+` and `#`, and `{device}` or `{channel}` for a level that names one.
    pub topic: String,
    pub format: Format,
    /// JSON field that names the device, where the topic does not.
    pub device_field: Option<String>,
    /// JSON field with the event time; absent or missing: the received time.
    pub time_field: Option<String>,
    pub time_unit: TimeUnit,
    /// Channel name of a bare scalar, where the topic has no `{channel}`.
    pub channel: String,
    /// InfluxDB measurement that the readings go to.
    pub measurement: String,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            topic: "#".into(),
            format: Format::Auto,
            device_field: None,
            time_field: Some("ts".into()),
            time_unit: TimeUnit::Auto,
            channel: "value".into(),
            measurement: "sensor".into(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A frame if it starts with the frame magic, an object if it starts with `{`, else a scalar.
    #[default]
    Auto,
    Frame,
    Json,
    Scalar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// RFC 3339 text, or a number whose size tells s, ms, µs or ns (true for 1973 to 5138).
    #[default]
    Auto,
    S,
    Ms,
    Us,
    Ns,
    Rfc3339,
}

/// A message as it was received.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub received_at: EventTime,
}

/// Why a message could not be decoded. Poison is data: the caller counts it by `reason` and quarantines the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    NoRoute,
    NoDevice,
    Frame(crate::FrameError),
    /// What is wrong and where in the payload.
    Json(String),
    NotANumber,
    NotUtf8,
    BadTime(String),
    TooLarge {
        what: &'static str,
        limit: usize,
    },
    /// Nothing numeric in it.
    NoReadings,
}

/// The configured routes, ready to decode.
#[derive(Clone, Debug)]
pub struct Decoder {
    routes: Vec<Route>,
}

impl Decoder {
    /// # Errors
    /// A text that names the pattern and what is wrong with it.
    pub fn new(routes: Vec<Route>) -> Result<Self, String> {
        Ok(Self { routes })
    }

    /// Decodes into `out`, which is cleared first. Returns the route that decided.
    ///
    /// # Errors
    /// See [`DecodeError`]; `out` is then empty or partly filled and must not be used.
    pub fn decode(&self, _message: Incoming<'_>, _out: &mut Measurement) -> Result<&Route, DecodeError> {
        self.routes.first().ok_or(DecodeError::NoRoute)
    }
}
