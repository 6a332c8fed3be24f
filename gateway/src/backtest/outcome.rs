//! What a run over one file gave.

use std::collections::BTreeMap;
use std::time::Duration;

use firmware_protocol::derived::{Anomaly, AnomalyState, Derived, Incident, Status, Window};
use firmware_protocol::measurement::{EventTime, Measurement};
use serde::Serialize;

use super::trace::{Point, Trace};
use crate::detect::Counts;

/// Bad lines that are told one by one; the rest is counted.
const TOLD_MAX: usize = 5;

/// Channels of a file that are drawn.
const TRACES_MAX: usize = 64;

/// What is known of a moment: over channels and detectors the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Above the alarm threshold; `None`: nothing was judged, most likely because it is still being learned.
    pub decades: Option<f64>,
    pub is_alarm: bool,
}

impl Score {
    pub(super) fn raise(&mut self, other: Self) {
        self.decades = match (self.decades, other.decades) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        self.is_alarm |= other.is_alarm;
    }
}

/// Lines that could not be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadLines {
    pub count: u64,
    /// The first ones: line and reason.
    pub told: Vec<(u64, String)>,
}

impl BadLines {
    pub(super) fn add(&mut self, line: u64, reason: String) {
        self.count += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push((line, reason));
        }
    }
}

/// A line of `incidents.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Of the file, below the output directory.
    pub file: String,
    #[serde(flatten)]
    pub record: Derived,
}

/// Device, channel, start.
pub(super) type WindowKey = (String, String, i64);
/// The same, and the detector; the channel is empty for a finding about the whole device.
pub(super) type AnomalyKey = (String, String, i64, String);

/// All of one file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub rows: u64,
    pub bad: BadLines,
    pub counts: Counts,
    /// By the end of windows, as known at their first close; by time, where samples are judged by themselves.
    pub scores: BTreeMap<EventTime, Score>,
    /// Of each row in the order of the file, where samples are judged by themselves.
    pub samples: Vec<(EventTime, Score)>,
    /// Where samples are judged by themselves.
    pub devices: u64,
    /// As of their last revision.
    pub windows: BTreeMap<WindowKey, Window>,
    pub anomalies: BTreeMap<AnomalyKey, Anomaly>,
    /// By their ids, as of their last revision.
    pub incidents: BTreeMap<String, Incident>,
    /// By device and channel, if they are wanted; of the first [`TRACES_MAX`] channels.
    pub traces: BTreeMap<String, BTreeMap<String, Trace>>,
    /// The same of scores, where samples are judged by themselves.
    pub score_traces: BTreeMap<String, BTreeMap<String, Trace>>,
    /// Where samples are judged by themselves though a device has several channels: windows with which those would be
    /// judged against each other.
    pub needs_windows: Option<Duration>,
}

impl Outcome {
    /// Draws what a sample of a channel (device and name) scored, 0 to 1.
    pub(super) fn draw_score(&mut self, (device, channel): (&str, &str), point: Point, spacing_ns: i64) {
        let drawn: usize = self.score_traces.values().map(BTreeMap::len).sum();
        let known = self.score_traces.get_mut(device).and_then(|channels| channels.get_mut(channel));
        match known {
            Some(trace) => trace.add(point),
            None if drawn < TRACES_MAX => {
                let mut trace = Trace::new(point.at, spacing_ns);
                trace.add(point);
                self.score_traces.entry(device.to_owned()).or_default().insert(channel.to_owned(), trace);
            }
            None => {}
        }
    }

    /// Draws the readings of a measurement; signals begin with spans as long as `spacing_ns`.
    pub(super) fn draw(&mut self, measurement: &Measurement, spacing_ns: i64) {
        let drawn: usize = self.traces.values().map(BTreeMap::len).sum();
        for reading in &measurement.readings {
            let channel = measurement.channel(reading.channel);
            let point = Point { at: reading.at, value: reading.value };
            let known = self.traces.get_mut(measurement.device()).and_then(|channels| channels.get_mut(channel));
            match known {
                Some(trace) => trace.add(point),
                None if drawn < TRACES_MAX => {
                    let mut trace = Trace::new(reading.at, spacing_ns);
                    trace.add(point);
                    let channels = self.traces.entry(measurement.device().to_owned()).or_default();
                    channels.insert(channel.to_owned(), trace);
                }
                None => {}
            }
        }
    }

    /// Takes a derived record that ends by `reach`: what lies beyond is of windows that the file does not fill. Scores are
    /// those of first results, which later revisions do not change.
    pub(super) fn take(&mut self, record: Derived, reach: EventTime) {
        let ends_by = |end_at_ms: i64| EventTime::from_millis(end_at_ms) <= reach;
        match record {
            Derived::Window(window) if ends_by(window.end_at_ms) => {
                if window.revision == 0 {
                    let score = Score { decades: window.score, is_alarm: window.status == Status::Anomalous };
                    self.raise(window.end_at_ms, score);
                }
                self.windows.insert((window.device.clone(), window.channel.clone(), window.start_at_ms), window);
            }
            Derived::Anomaly(anomaly) if ends_by(anomaly.end_at_ms) => {
                let Anomaly { device, channel, start_at_ms, detector, .. } = &anomaly;
                let key = (device.clone(), channel.clone(), *start_at_ms, detector.clone());
                match anomaly.state {
                    AnomalyState::Withdrawn => drop(self.anomalies.remove(&key)),
                    AnomalyState::Early => drop(self.anomalies.insert(key, anomaly)),
                    AnomalyState::Confirmed => {
                        if anomaly.revision == 0 {
                            let score = Score { decades: Some(anomaly.score), is_alarm: true };
                            self.raise(anomaly.end_at_ms, score);
                        }
                        self.anomalies.insert(key, anomaly);
                    }
                }
            }
            Derived::Incident(incident) if ends_by(incident.end_at_ms) => {
                self.incidents.insert(incident.id.clone(), incident);
            }
            Derived::Window(_) | Derived::Anomaly(_) | Derived::Incident(_) | Derived::Gap(_) => {}
        }
    }

    fn raise(&mut self, end_at_ms: i64, score: Score) {
        self.scores.entry(EventTime::from_millis(end_at_ms)).or_default().raise(score);
    }

    /// Incidents, and after each the anomalies that begin with it or later, in order of time.
    pub fn findings(&self, file: &str) -> Vec<Finding> {
        let incidents = self.incidents.values().map(|i| (i.start_at_ms, 0, &i.id, Derived::Incident(i.clone())));
        let anomalies = self.anomalies.values().map(|a| (a.start_at_ms, 1, &a.id, Derived::Anomaly(a.clone())));
        let mut all: Vec<_> = incidents.chain(anomalies).collect();
        all.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
        all.into_iter().map(|(.., record)| Finding { file: file.to_owned(), record }).collect()
    }
}
