//! Channels with too few readings a window for its shape: their levels are judged by NOVEL, one value a window.
//!
//! # Invariants
//! - It begins with the third such window in a row that has readings: one alone is a dropout of a denser channel.
//! - Each window is learned once; a revision is not judged again.

use firmware_protocol::measurement::EventTime;

use super::super::finding::{DetectorName, Finding, ModelId};
use super::super::novel::{Novel, Spacing, Threshold};

const WINDOWS_MIN: u8 = 3;
/// With so few readings a window NOVEL has all to find, and alarms at its own threshold;
pub(super) const LONE_READINGS_MAX: u32 = 4;
/// with more, WINDOW sees dropouts, levels and ranges, and NOVEL must be a decade surer: about a third of a false alarm a
/// month instead of three and a half (see decision 0024).
const SURER_DECADES: f64 = 1.0;

#[derive(Debug, Default)]
pub(super) struct Sparse {
    /// In a row, without shape.
    pub(super) windows: u8,
    pub(super) novel: Option<Box<Novel>>,
}

/// One window of a channel.
pub(super) struct Level<'a> {
    pub(super) channel: &'a str,
    pub(super) value: f64,
    pub(super) readings: u32,
    pub(super) span: (EventTime, EventTime),
    /// Channels that share the device's false alarms.
    pub(super) channels: usize,
}

impl Sparse {
    /// A window had readings enough for its shape.
    pub(super) fn on_dense(&mut self) {
        self.windows = 0;
    }

    /// Decades above the threshold, and what was found; `None` while it learns.
    pub(super) fn observe(&mut self, level: &Level<'_>, threshold: Threshold) -> Option<(f64, Option<Finding>)> {
        self.windows = self.windows.saturating_add(1);
        if self.windows < WINDOWS_MIN && self.novel.is_none() {
            return None;
        }
        let novel = self.novel.get_or_insert_with(|| Box::new(Novel::new(Spacing::Window)));
        // Readings are finite and have a bound, so that their mean is judged.
        let score = novel.observe(level.span.1, level.value).ok()?;
        if !novel.is_warm() {
            return None;
        }
        let surer = if level.readings > LONE_READINGS_MAX { SURER_DECADES } else { 0.0 };
        let decades = threshold.decades_above(score.raw) - surer - libm::log10(level.channels.max(1) as f64);
        let (low, high) = (score.expected_low, score.expected_high);
        let finding = (decades >= 0.0).then(|| Finding {
            detector: DetectorName::Novel,
            kind: "novel",
            feature: "mean",
            value: level.value,
            expected_low: low,
            expected_high: high,
            share: 1.0,
            score: decades,
            model: ModelId::NONE,
            peak: Some(level.span),
            channels: Vec::new(),
            summary: format!(
                "{}: the mean {:.4} lies further from all seen before than its like; {low:.4} to {high:.4} would not",
                level.channel, level.value
            ),
        });
        Some((decades, finding))
    }
}
