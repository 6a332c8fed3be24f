//! What the gateway derives from readings: windows, anomalies and gaps, as JSON with a schema id.
//!
//! The same bytes are stored in the gateway's derived log, sent to Kafka and decoded by cloud-sink.
//! Times are milliseconds since 1970 (UTC).

use serde::{Deserialize, Serialize};

/// One derived record; `schema` in the JSON tells which (`window/1`, `anomaly/1`, `gap/1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "schema")]
pub enum Derived {
    #[serde(rename = "window/1")]
    Window(Window),
    #[serde(rename = "anomaly/1")]
    Anomaly(Anomaly),
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
    pub gap_s: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stats: Option<Stats>,
    pub status: Status,
    /// Decades (−log10 of the tail probability) above the alarm threshold; absent while learning.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub score: Option<f64>,
}

/// Figures of the readings of a window, in the channel's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub mean: f64,
    pub min: f64,
    pub max: f64,
    pub std: f64,
    /// 5 %, 50 % and 95 % quantile.
    pub p05: f64,
    pub p50: f64,
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

/// A window beyond the detector's threshold, with its explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Id of the window that it was found in.
    pub id: String,
    pub device: String,
    pub channel: String,
    pub start_at_ms: i64,
    pub end_at_ms: i64,
    pub revision: u32,
    /// Decades above the alarm threshold.
    pub score: f64,
    pub detector: String,
    /// What kind of deviation: dropout, stuck, spike, step, noise, level, range, spectrum, joint, novel.
    pub kind: String,
    /// The feature that deviates most, its value and the band that was expected, in the channel's unit where it has one.
    pub feature: String,
    pub value: f64,
    pub expected_low: f64,
    pub expected_high: f64,
    /// One sentence for a person.
    pub summary: String,
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
    pub reason: String,
}

impl Derived {
    pub fn device(&self) -> &str {
        match self {
            Self::Window(w) => &w.device,
            Self::Anomaly(a) => &a.device,
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
