//! One `[[decode]]` table of the configuration, and what can be wrong with it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::CHANNEL_NAME_MAX_BYTES;
use crate::topic::Pattern;

/// One `[[decode]]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Names the decoder wherever its records go; empty: the topic pattern does.
    pub id: String,
    /// Of the decoder's meaning: a reader that knows an earlier one alone keeps the record aside.
    pub version: u32,
    /// Topic pattern: MQTT wildcards `+` and `#`, and `{device}` or `{channel}` for a level that names one.
    pub topic: String,
    pub format: Format,
    /// JSON field that names the device, where the topic does not. Fields of nested objects: `outer.inner`.
    pub device_field: Option<String>,
    /// JSON field with the event time; absent or missing: the received time.
    pub time_field: Option<String>,
    pub time_unit: TimeUnit,
    /// Channel name of a bare scalar, where the topic has no `{channel}`.
    /// Where it has one, JSON fields become `{channel}.field`, and a field of this name just `{channel}`.
    pub channel: String,
    /// InfluxDB measurement that the readings go to.
    pub measurement: String,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            id: String::new(),
            version: 1,
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
    /// A frame if it starts with the frame magic, JSON if it starts with `{` or `[`, else a scalar.
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

/// A field of a [`Route`] that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFault {
    /// The key in the configuration.
    pub field: &'static str,
    pub message: String,
}

impl fmt::Display for RouteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl Route {
    /// What a configuration without routes means: objects and frames on `sensors/{device}/telemetry`, one channel a
    /// topic on `sensors/{device}/{channel}`, and on any other topic a device of the topic's name.
    pub fn defaults() -> Vec<Self> {
        ["sensors/{device}/telemetry", "sensors/{device}/{channel}", "#"]
            .map(|topic| Self { topic: topic.to_owned(), ..Self::default() })
            .into()
    }

    /// What names the decoder: its id, or its topic pattern if it has none.
    pub fn decoder_id(&self) -> &str {
        if self.id.is_empty() { &self.topic } else { &self.id }
    }

    /// All that is wrong with the route; empty if a [`super::Decoder`] takes it.
    pub fn faults(&self) -> Vec<RouteFault> {
        let names = [
            ("id", Some(self.decoder_id())),
            ("device_field", self.device_field.as_deref()),
            ("time_field", self.time_field.as_deref()),
            ("channel", Some(self.channel.as_str())),
            ("measurement", Some(self.measurement.as_str())),
        ];
        let names = names
            .into_iter()
            .filter_map(|(field, name)| name_fault(name?).map(|message| RouteFault { field, message }));
        let mut faults: Vec<_> = self.pattern().err().into_iter().chain(names).collect();
        // InfluxDB keeps `_…` to itself, and takes a line that begins with `#` for a comment.
        if self.measurement.starts_with(['_', '#']) {
            let message = format!("`{}` may not begin with `_` or `#` in InfluxDB", self.measurement);
            faults.push(RouteFault { field: "measurement", message });
        }
        faults
    }

    pub(super) fn pattern(&self) -> Result<Pattern, RouteFault> {
        Pattern::new(&self.topic).map_err(|e| RouteFault { field: "topic", message: e.to_string() })
    }
}

/// What is wrong with the first route that calls itself as one before it does. A topic's second route would never be asked.
pub(super) fn repeated(routes: &[Route]) -> Option<String> {
    let first_of = |id: &str| routes.iter().position(|route| route.decoder_id() == id);
    let (i, route) = routes.iter().enumerate().find(|(i, route)| first_of(route.decoder_id()) != Some(*i))?;
    let (id, first) = (route.decoder_id(), first_of(route.decoder_id()).map_or(0, |first| first + 1));
    Some(format!("decode route {}: route {first} is called `{id}`, too: give each an `id` of its own", i + 1))
}

fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty: give a name or leave the key out".to_owned());
    }
    if name.len() > CHANNEL_NAME_MAX_BYTES {
        return Some(format!("{} bytes are beyond the limit of {CHANNEL_NAME_MAX_BYTES}", name.len()));
    }
    name.chars().any(char::is_control).then(|| format!("{name:?} has control characters"))
}
