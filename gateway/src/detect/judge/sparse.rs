//! Channels with too few readings a window for its shape: their levels are judged by NOVEL, one value a window.
//!
//! # Invariants
//! - It begins with the third such window in a row that has readings: one alone is a dropout of a denser channel.
//! - Each window is learned once. What was learned cannot be taken back, so that a revision keeps the first verdict.

use serde::{Deserialize, Serialize};

use firmware_protocol::measurement::EventTime;

use super::super::calendar::WindowIndex;
use super::super::finding::{DetectorName, Finding, ModelId};
use super::super::novel::{Novel, Spacing};
use super::Settings;

const WINDOWS_MIN: u8 = 3;
/// With so few readings a window NOVEL has all to find, and alarms at its own threshold;
pub(super) const LONE_READINGS_MAX: u32 = 4;
/// with more, WINDOW sees dropouts, levels and ranges too, and NOVEL takes a third of the channel's false alarms.
const SURER_DECADES: f64 = 0.5;
/// Verdicts that are remembered for revisions: a day of ten minutes, most of which late readings cannot reach any more.
const VERDICTS_MAX: usize = 144;

#[derive(Debug, Default)]
pub(super) struct Sparse {
    /// In a row, without shape.
    pub(super) windows: u8,
    pub(super) novel: Option<Box<SavedNovel>>,
}

/// What is stored with each window of a sparse channel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedNovel {
    novel: Novel,
    /// Decades above the threshold, of the newest windows in order of time.
    verdicts: Vec<(WindowIndex, f32)>,
}

/// One window of a channel.
pub(super) struct Level<'a> {
    pub(super) channel: &'a str,
    pub(super) window: WindowIndex,
    pub(super) value: f64,
    pub(super) readings: u32,
    pub(super) span: (EventTime, EventTime),
    /// Channels that share the device's false alarms.
    pub(super) channels: usize,
}

impl Sparse {
    pub(super) fn is_sparse(&self) -> bool {
        self.windows >= WINDOWS_MIN
    }

    /// A window had readings enough for its shape.
    pub(super) fn on_dense(&mut self) {
        self.windows = 0;
    }

    /// The verdict on a window when it first closed, decades above the threshold; `None` if there was none.
    pub(super) fn first_verdict(&self, window: WindowIndex) -> Option<f64> {
        let verdicts = &self.novel.as_ref()?.verdicts;
        verdicts.iter().rev().find(|(of, _)| *of == window).map(|(_, decades)| f64::from(*decades))
    }

    /// Decades above the threshold, and what was found; `None` while it learns.
    pub(super) fn observe(&mut self, level: &Level<'_>, settings: &Settings) -> Option<(f64, Option<Finding>)> {
        self.windows = self.windows.saturating_add(1);
        if !self.is_sparse() && self.novel.is_none() {
            return None;
        }
        let new = || Box::new(SavedNovel { novel: Novel::new(Spacing::Window), verdicts: Vec::new() });
        let SavedNovel { novel, verdicts } = self.novel.get_or_insert_with(new).as_mut();
        // Readings are finite and have a bound, so that their mean is judged.
        let score = novel.observe(level.span.1, level.value).ok()?;
        if !novel.is_warm() || novel.values() <= settings.novel_after {
            return None;
        }
        let surer = if level.readings > LONE_READINGS_MAX { SURER_DECADES } else { 0.0 };
        let decades = settings.novel.decades_above(score.raw) - surer - libm::log10(level.channels.max(1) as f64);
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.remove(0);
        }
        verdicts.push((level.window, decades as f32));
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
