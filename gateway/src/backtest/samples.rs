//! Each sample by itself: NOVEL per channel, without windows. A verdict rests on earlier samples alone.

use std::collections::BTreeMap;
use std::time::Duration;

use firmware_protocol::derived::{Anomaly, AnomalyState};
use firmware_protocol::measurement::{EventTime, Measurement};

use super::outcome::{Outcome, Score};
use super::run::{Learn, Settings};
use super::trace::Point;
use crate::detect::{Config, Novel, NovelThreshold, NovelView, Spacing, WindowId};

/// Windows that hold a sample each, for what needs windows.
const WINDOWS_S: [u64; 12] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600];

/// The channels of one file.
pub(super) struct Samples {
    threshold: NovelThreshold,
    learn: Learn,
    /// Whether scores are kept for a drawing.
    draw: bool,
    spacing_ns: i64,
    channels_max: usize,
    channels: usize,
    /// By device and channel.
    novel: BTreeMap<String, BTreeMap<String, Novel>>,
    rows: usize,
    first_at: Option<EventTime>,
}

impl Samples {
    pub(super) fn new(config: &Config, settings: &Settings, spacing_ns: i64) -> Self {
        Self {
            threshold: NovelThreshold::new(config.false_alarms_per_month),
            learn: settings.learn,
            draw: settings.draw,
            spacing_ns,
            channels_max: config.channels_max,
            channels: 0,
            novel: BTreeMap::new(),
            rows: 0,
            first_at: None,
        }
    }

    /// Judges a row: one score for it, the highest of its channels.
    pub(super) fn take(&mut self, at: EventTime, measurement: &Measurement, outcome: &mut Outcome) {
        let first_at = *self.first_at.get_or_insert(at);
        let is_learning = match self.learn {
            Learn::Rows(rows) => self.rows < rows,
            Learn::For(span) => i128::from(at.0) - i128::from(first_at.0) < span.as_nanos() as i128,
        };
        self.rows += 1;
        if !self.novel.contains_key(measurement.device()) {
            self.novel.insert(measurement.device().to_owned(), BTreeMap::new());
            outcome.devices += 1;
        }
        let mut row = Score::default();
        let Some(channels) = self.novel.get_mut(measurement.device()) else { return };
        for reading in &measurement.readings {
            let name = measurement.channel(reading.channel);
            if !channels.contains_key(name) && self.channels < self.channels_max {
                self.channels += 1;
                channels.insert(name.to_owned(), Novel::new(Spacing::Sample));
                if channels.len() > 1 {
                    outcome.needs_windows = Some(window_of(self.spacing_ns));
                }
            }
            let Some(novel) = channels.get_mut(name) else {
                outcome.counts.channels_max += 1;
                continue;
            };
            let Ok(score) = novel.observe(reading.at, reading.value) else {
                outcome.counts.not_finite += 1;
                continue;
            };
            outcome.counts.used += 1;
            if is_learning {
                continue;
            }
            let (decades, is_alarm) = (self.threshold.decades_above(score.raw), self.threshold.is_alarm(score.raw));
            let verdict = Score { decades: Some(decades), is_alarm };
            row.raise(verdict);
            if self.draw {
                let point = Point { at: reading.at, value: verdict.value() };
                outcome.draw_score((measurement.device(), name), point, self.spacing_ns);
            }
            if is_alarm {
                let (feature, what) = match score.view {
                    NovelView::Value => ("value", "it never had this value"),
                    NovelView::HourOfDay => ("hour_of_day", "it never was so far from what this hour of the day had"),
                    NovelView::Trend => ("trend", "it never was so far from the mean of the last day"),
                };
                let (value, low, high) = (reading.value, score.expected_low, score.expected_high);
                outcome.anomalies.insert(
                    (measurement.device().to_owned(), name.to_owned(), reading.at.as_millis(), "novel".to_owned()),
                    Anomaly {
                        id: WindowId::new(measurement.device(), name, reading.at, 0).to_string(),
                        device: measurement.device().to_owned(),
                        channel: name.to_owned(),
                        start_at_ms: reading.at.as_millis(),
                        end_at_ms: reading.at.as_millis(),
                        revision: 0,
                        state: AnomalyState::Confirmed,
                        incident: String::new(),
                        score: decades,
                        detector: "novel".to_owned(),
                        model: String::new(),
                        kind: "novel".to_owned(),
                        feature: feature.to_owned(),
                        value,
                        expected_low: low,
                        expected_high: high,
                        share: None,
                        peak_from_ms: None,
                        peak_to_ms: None,
                        channels: Vec::new(),
                        summary: format!("{name}: {what}: {value}, expected {low} to {high}"),
                    },
                );
            }
        }
        outcome.samples.push((at, row));
        outcome.scores.entry(at).or_default().raise(row);
    }
}

/// The shortest window that holds a sample, if they come so far apart; an hour at most.
fn window_of(spacing_ns: i64) -> Duration {
    let fits = |window: &Duration| window.as_nanos() >= u128::from(spacing_ns.unsigned_abs());
    WINDOWS_S.into_iter().map(Duration::from_secs).find(fits).unwrap_or(Duration::from_secs(3_600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_that_holds_one_sample_is_the_shortest_as_long_as_their_distance() {
        let seconds = |ns| window_of(ns).as_secs();
        assert_eq!([1_000_000, 1_000_000_000, 1_200_000_000].map(seconds), [1, 1, 2]);
        assert_eq!([300_000_000_000, i64::MAX].map(seconds), [300, 3_600]);
    }
}
