//! What needs no learning: readings outside the sensor's range, too few of them, a device that says nothing.
//!
//! # Invariants
//! - A channel without a promise (its hello tells no range, no interval) breaks none.
//! - Scores are those of a rule, not of a model: fixed by how far it is broken, so that they sort with the others.
//!
//! # Not here
//! A rate that was never promised but used to be higher: that is a detector's dropout.

mod silence;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use firmware_protocol::measurement::{ChannelLimits, EventTime};

use super::finding::{DetectorName, Finding, ModelId};

pub(super) use silence::{Absence, Rhythm, finding as silence_finding};

/// Bounds are told in single precision, and perhaps converted: readings at a bound may lie this share of it beyond.
const BOUND_ROUNDING: f64 = 1e-6;
/// A window that should have fewer readings than this is not judged by its rate: one that is late would be a quarter.
const PROMISED_MIN: f64 = 4.0;
/// Rate below which the promise is broken, as a share of it.
const RATE_MIN: f64 = 0.5;
/// Scores, decades: any broken rule is `medium`. All readings outside is `critical`; no reading at all in a window is
/// `high`.
const BROKEN: f64 = 1.0;
const ALL_OUTSIDE: f64 = 10.0;
const NO_READINGS: f64 = 5.0;
/// Of a window that breaks no rule: as far below as the worst lies above. A rule is kept or not, there is no nearly.
pub(super) const KEPT: f64 = -ALL_OUTSIDE;

/// What a device's hello promises of a channel, as it is saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Limits {
    range: Option<(f64, f64)>,
    /// From one reading to the next, nanoseconds; 0 if that varies or is not known.
    interval_ns: i64,
}

impl From<ChannelLimits> for Limits {
    fn from(told: ChannelLimits) -> Self {
        Self { range: told.range, interval_ns: i64::from(told.interval_micros) * 1_000 }
    }
}

/// Readings next to each other of which only the extremes are known; a reading on its own is both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) from: EventTime,
    pub(super) to: EventTime,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) count: u32,
}

/// One closed window of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen<'a> {
    pub(super) channel: &'a str,
    /// The part of the window in which the device was there: from its first reading ever, if that lies within.
    pub(super) from: EventTime,
    pub(super) to: EventTime,
    pub(super) count: u32,
}

impl Limits {
    pub(super) fn interval_ns(&self) -> i64 {
        self.interval_ns
    }

    /// The rule that the window breaks worst. `parts` are looked at only if the least or the largest reading, `extremes`,
    /// is out of range.
    pub(super) fn check(
        &self,
        seen: Seen<'_>,
        extremes: Option<(f64, f64)>,
        parts: impl Iterator<Item = Part>,
    ) -> Option<Finding> {
        let range = self.range.map(widened);
        let is_out = |(low, high): (f64, f64)| extremes.is_some_and(|(min, max)| min < low || max > high);
        let outside = range.filter(|range| is_out(*range)).and_then(|range| self.outside(seen, range, parts));
        let rate = self.rate(seen);
        match (outside, rate) {
            (Some(outside), Some(rate)) if rate.score > outside.score => Some(rate),
            (outside, rate) => outside.or(rate),
        }
    }

    fn outside(&self, seen: Seen<'_>, (low, high): (f64, f64), parts: impl Iterator<Item = Part>) -> Option<Finding> {
        let beyond = |value: f64| (low - value).max(value - high);
        let (mut count, mut furthest): (u32, Option<(f64, Part)>) = (0, None);
        for part in parts {
            let value = if beyond(part.min) > beyond(part.max) { part.min } else { part.max };
            if beyond(value) <= 0.0 {
                continue;
            }
            // Of readings known by their extremes at least one is outside; all are if both extremes are, on one side.
            let all = part.max < low || part.min > high;
            count = count.saturating_add(if all { part.count } else { 1 });
            if furthest.is_none_or(|(known, _)| beyond(value) > beyond(known)) {
                furthest = Some((value, part));
            }
        }
        let (value, part) = furthest?;
        let share = f64::from(count) / f64::from(seen.count.max(1));
        let (expected_low, expected_high) = self.range?;
        let summary = format!(
            "{}: {count} of {} readings are outside what the sensor can measure: {value}, expected {expected_low} to \
             {expected_high}",
            seen.channel, seen.count,
        );
        let score = BROKEN + (ALL_OUTSIDE - BROKEN) * share.min(1.0).sqrt();
        let peak = Some((part.from, part.to));
        Some(Finding {
            peak,
            ..broken("out_of_range", "furthest", value, (expected_low, expected_high), score, summary)
        })
    }

    fn rate(&self, seen: Seen<'_>) -> Option<Finding> {
        let promised = (seen.to.0 - seen.from.0) as f64 / self.interval_ns as f64;
        let count = f64::from(seen.count);
        if self.interval_ns == 0 || promised < PROMISED_MIN || count >= RATE_MIN * promised {
            return None;
        }
        let missing = 1.0 - count / (RATE_MIN * promised);
        let promised = promised.round();
        let summary = format!("{}: {count} readings came, the device promised {promised}", seen.channel);
        let score = BROKEN + (NO_READINGS - BROKEN) * missing;
        let band = ((RATE_MIN * promised).ceil(), promised);
        Some(broken("rate", "count", count, band, score, summary))
    }
}

fn widened((low, high): (f64, f64)) -> (f64, f64) {
    let rounding = BOUND_ROUNDING * low.abs().max(high.abs());
    (low - rounding, high + rounding)
}

fn broken(
    kind: &'static str,
    feature: &'static str,
    value: f64,
    (expected_low, expected_high): (f64, f64),
    score: f64,
    summary: String,
) -> Finding {
    Finding {
        detector: DetectorName::Rule,
        kind,
        feature,
        value,
        expected_low,
        expected_high,
        share: 1.0,
        score,
        model: ModelId::NONE,
        peak: None,
        channels: Vec::new(),
        summary,
    }
}
