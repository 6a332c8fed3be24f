//! `anomaly/1`: one detector's finding in one window, with its explanation.

use serde::{Deserialize, Serialize};

use super::null_is_nan;

/// A window beyond the detector's threshold, with its explanation.
///
/// Device, channel, detector and start stay as they are when a record of a later state or revision replaces it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Id of the window that it was found in.
    pub id: String,
    pub device: String,
    /// Empty for a finding about the device as a whole: `channels` then tells which take part.
    pub channel: String,
    pub start_at_ms: i64,
    pub end_at_ms: i64,
    pub revision: u32,
    #[serde(default)]
    pub state: AnomalyState,
    /// Id of the incident that it belongs to.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub incident: String,
    /// Decades above the alarm threshold, as in [`super::Window`].
    #[serde(deserialize_with = "null_is_nan")]
    pub score: f64,
    /// `window`, `maha`, `novel` or `rule`.
    pub detector: String,
    /// Which model it was judged by: CRC-32 of its bytes, 8 hex digits; empty for a rule.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub model: String,
    /// What kind of deviation: dropout, stuck, spike, step, noise, level, range, spectrum, joint, novel, lasting, relation;
    /// by a rule: out_of_range, rate, silent.
    pub kind: String,
    /// The feature that deviates most, its value and the band that was expected, in the channel's unit where it has one.
    pub feature: String,
    #[serde(deserialize_with = "null_is_nan")]
    pub value: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub expected_low: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub expected_high: f64,
    /// The feature's share of the score, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub share: Option<f64>,
    /// Where in the window it shows most; absent where no part stands out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_from_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_to_ms: Option<i64>,
    /// Of a finding across channels: those that take part, the largest share first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub channels: Vec<ChannelShare>,
    /// One sentence for a person.
    pub summary: String,
}

/// How sure it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnomalyState {
    /// Found in a window that is still open.
    Early,
    /// Found in the closed window.
    #[default]
    Confirmed,
    /// Told before, and taken back: the closed window, or its revision with late readings, is not anomalous.
    Withdrawn,
}

impl AnomalyState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What one channel has of a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelShare {
    pub channel: String,
    /// 0 to 1.
    #[serde(deserialize_with = "null_is_nan")]
    pub share: f64,
}
