//! What every detector and rule gives: what is odd about one window, and why a person should believe it.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use firmware_protocol::measurement::EventTime;

/// One detector's finding in one window of a channel, or of a device as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) detector: DetectorName,
    /// A word that few findings differ by; [`words`] has the ones in use.
    pub(super) kind: &'static str,
    pub(super) feature: &'static str,
    pub(super) value: f64,
    pub(super) expected_low: f64,
    pub(super) expected_high: f64,
    /// The feature's share of the score, 0 to 1.
    pub(super) share: f64,
    /// Decades above the alarm threshold; a little below 0 for the second of two suspicious windows in a row.
    pub(super) score: f64,
    pub(super) model: ModelId,
    /// Where within the window it shows most.
    pub(super) peak: Option<(EventTime, EventTime)>,
    /// Across channels: those that take part with their shares of the score, the largest first. Empty if the finding is
    /// about the channel of its window alone.
    pub(super) channels: Vec<(String, f64)>,
    /// One sentence for a person.
    pub(super) summary: String,
}

/// Who found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum DetectorName {
    /// Features of a channel's windows.
    Window,
    /// Channels of a device against each other.
    Maha,
    /// How far a value lies from all seen before.
    Novel,
    /// What needs no learning.
    Rule,
}

impl DetectorName {
    /// For the `detector` field of records.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Maha => "maha",
            Self::Novel => "novel",
            Self::Rule => "rule",
        }
    }
}

/// Which model a finding is by: CRC-32 of its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ModelId(pub(super) u32);

impl ModelId {
    /// Of a rule, which has none.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn of(bytes: &[u8]) -> Self {
        // A value ends in its own checksum: with it, the checksum of all would be the same for every model.
        Self(crc32fast::hash(bytes.split_last_chunk::<4>().map_or(bytes, |(value, _)| value)))
    }
}

/// 8 hex digits; nothing for [`ModelId::NONE`].
impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE { Ok(()) } else { write!(f, "{:08x}", self.0) }
    }
}

/// A kind of finding as part of a title.
pub(super) fn words(kind: &str) -> Cow<'_, str> {
    Cow::Borrowed(match kind {
        "dropout" => "missing readings",
        "stuck" => "a stuck value",
        "spike" => "spikes",
        "step" => "a step",
        "noise" => "unusual noise",
        "level" => "an unusual level",
        "range" => "values beyond what was seen before",
        "spectrum" => "unusual movement",
        "joint" => "an unusual pattern",
        "novel" => "a value never seen before",
        "lasting" => "a small deviation that lasts",
        "vibration" => "unusual vibration",
        "relation" => "a broken relation between channels",
        "out_of_range" => "readings outside the sensor's range",
        "rate" => "too few readings",
        "silent" => "silence",
        "regime" => "a new normal",
        other => return Cow::Owned(format!("`{other}`")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::groups::Group;

    #[test]
    fn a_model_is_named_by_eight_digits_and_a_rule_has_none() {
        assert_eq!(ModelId::of(b"123456789\0\0\0\0").to_string(), "cbf43926", "of all but the checksum at the end");
        assert_eq!(ModelId::NONE.to_string(), "");
    }

    #[test]
    fn each_group_of_the_window_detector_has_words_for_a_title() {
        for group in Group::ALL {
            assert!(!words(group.name()).contains('`'), "{}", group.name());
        }
        assert_eq!(words("wobble"), "`wobble`");
    }
}
