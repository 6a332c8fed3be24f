//! What the gateway derives from readings: windows, anomalies, incidents and gaps, as JSON with a schema id.
//!
//! The same bytes are stored in the gateway's derived log, sent to Kafka and decoded by cloud-sink.
//! Times are milliseconds since 1970 (UTC). Numbers that are not finite are `null` in JSON, and come back as NaN.
//! Fields that a schema got later have a default, so that what was written before still reads.

use serde::{Deserialize, Deserializer, Serialize};

mod anomaly;
mod incident;
#[cfg(test)]
mod tests;

pub use anomaly::{Anomaly, AnomalyState, ChannelShare};
pub use incident::{Evidence, Incident, IncidentState, Severity};

/// One derived record; `schema` in the JSON tells which (`window/1`, `anomaly/1`, `incident/1`, `gap/1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "schema")]
pub enum Derived {
    #[serde(rename = "window/1")]
    Window(Window),
    #[serde(rename = "anomaly/1")]
    Anomaly(Anomaly),
    #[serde(rename = "incident/1")]
    Incident(Incident),
    #[serde(rename = "gap/1")]
    Gap(Gap),
}

/// A closed event-time window of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// 16 hex digits: hash of (device, channel, start, revision).
    pub id: String,
    pub device: String,
    pub channel: String,
    pub start_at_ms: i64,
    pub end_at_ms: i64,
    /// 0 for the first result; late data makes the next.
    pub revision: u32,
    /// Readings in the window.
    pub count: u32,
    /// Longest time without a reading, seconds.
    #[serde(deserialize_with = "null_is_nan")]
    pub gap_s: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stats: Option<Stats>,
    pub status: Status,
    /// Decades (−log10 of the tail probability) above the alarm threshold; absent while learning. An anomaly's may lie a
    /// little below it: the second of two suspicious windows in a row counts from one decade below.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub score: Option<f64>,
}

/// Figures of the readings of a window, in the channel's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    #[serde(deserialize_with = "null_is_nan")]
    pub mean: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub min: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub max: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub std: f64,
    /// 5 %, 50 % and 95 % quantile.
    #[serde(deserialize_with = "null_is_nan")]
    pub p05: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub p50: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub p95: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The detector has not seen enough of the channel yet.
    Learning,
    Normal,
    Anomalous,
}

/// Records that are known to be missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    pub device: String,
    pub from_at_ms: i64,
    pub to_at_ms: i64,
    /// Records missing; a lower bound if `at_least`.
    pub count: u64,
    pub at_least: bool,
    /// One of few words: it becomes a tag.
    pub reason: String,
}

impl Derived {
    pub fn device(&self) -> &str {
        match self {
            Self::Window(w) => &w.device,
            Self::Anomaly(a) => &a.device,
            Self::Incident(i) => &i.device,
            Self::Gap(g) => &g.device,
        }
    }

    /// # Panics
    /// Never: these types always have a JSON form (non-finite numbers become null).
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("derived records are plain data")
    }

    /// # Errors
    /// What is wrong and where.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

fn null_is_nan<'de, D: Deserializer<'de>>(json: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(json)?.unwrap_or(f64::NAN))
}
