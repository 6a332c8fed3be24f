//! `incident/1`: what a person is told of once: neighbouring anomalies of one device, joined.

use serde::{Deserialize, Serialize};

use super::anomaly::ChannelShare;
use super::null_is_nan;

/// Anomalies of one device that belong together in time.
///
/// A record of a later revision replaces the one before it: `id`, device and `opened_at_ms` stay as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// 16 hex digits: hash of (device, `opened_at_ms`).
    pub id: String,
    pub device: String,
    /// 0 when it opens; each change that matters makes the next.
    pub revision: u32,
    pub state: IncidentState,
    pub severity: Severity,
    /// One sentence for a person.
    pub title: String,
    /// Start of the window that it was opened with.
    pub opened_at_ms: i64,
    /// Start of its first anomalous window, start of the one with the highest score, end of its last. Late readings may
    /// move the start to before, or to after, `opened_at_ms`.
    pub start_at_ms: i64,
    pub peak_at_ms: i64,
    pub end_at_ms: i64,
    /// The highest score of its anomalies, decades above the alarm threshold.
    #[serde(deserialize_with = "null_is_nan")]
    pub score: f64,
    /// Anomalous windows, each channel's counted.
    pub windows: u32,
    /// Channels that take part and what they have of the sum of scores, the largest share first.
    pub channels: Vec<ChannelShare>,
    /// Kinds of deviation, as in [`super::Anomaly`], in the order in which they were found.
    pub kinds: Vec<String>,
    /// The anomaly with the highest score.
    pub evidence: Evidence,
}

/// How far an incident has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// It may go on.
    Open,
    /// Nothing more was found for an hour, or six windows if that is longer.
    Closed,
    /// The deviation has come to stay: the detector has learned it as the new normal. Told once.
    Adopted,
    /// All its anomalies were taken back.
    Withdrawn,
}

impl IncidentState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Adopted => "adopted",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// How bad it is, by the highest score. Bounds are in decades above the alarm threshold. With the usual tail of scores,
/// 3 decades are twice the deviation that alarms, 10 decades ten times it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Below 1 decade.
    Low,
    /// From 1 decade.
    Medium,
    /// From 3 decades.
    High,
    /// From 10 decades.
    Critical,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    pub fn of_score(decades: f64) -> Self {
        match decades {
            d if d >= 10.0 => Self::Critical,
            d if d >= 3.0 => Self::High,
            d if d >= 1.0 => Self::Medium,
            // What is no number is not severe.
            _ => Self::Low,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What shows an incident best; fields as in [`super::Anomaly`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The channel to look at first.
    pub channel: String,
    pub detector: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub model: String,
    pub kind: String,
    pub feature: String,
    #[serde(deserialize_with = "null_is_nan")]
    pub value: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub expected_low: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub expected_high: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_from_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_to_ms: Option<i64>,
    pub summary: String,
}
