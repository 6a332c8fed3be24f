//! What a person looks at: the latest readings, windows and anomalies, in bounded memory.
//!
//! Written by detect's task, read by `http`. Losing it loses nothing: it is a view, never a source.

use std::collections::{BTreeMap, VecDeque};
use std::sync::RwLock;

use firmware_protocol::derived::{Anomaly, Window};
use firmware_protocol::measurement::EventTime;

/// Bounds of a view; the worst case is devices × channels × points × 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub series_max: usize,
    pub points_max: usize,
    pub windows_max: usize,
    pub anomalies_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series_max: 256, points_max: 600, windows_max: 2_000, anomalies_max: 500 }
    }
}

/// One charted point: event time and value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: EventTime,
    pub value: f64,
}

#[derive(Debug, Default)]
pub struct State {
    /// (device, channel) → latest points, oldest first.
    pub series: BTreeMap<(String, String), VecDeque<Point>>,
    pub windows: VecDeque<Window>,
    pub anomalies: VecDeque<Anomaly>,
    /// Series that did not fit under `series_max`.
    pub series_left_out: u64,
}

/// Shared between its writer and its readers.
#[derive(Debug, Default)]
pub struct View {
    limits: Limits,
    state: RwLock<State>,
}

impl View {
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: RwLock::default() }
    }

    /// Adds points of one series, oldest first.
    pub fn add_points(&self, device: &str, channel: &str, points: &[Point]) {
        let mut state = self.write();
        let key = (device.to_owned(), channel.to_owned());
        if !state.series.contains_key(&key) && state.series.len() >= self.limits.series_max {
            state.series_left_out += 1;
            return;
        }
        let series = state.series.entry(key).or_default();
        series.extend(points);
        let surplus = series.len().saturating_sub(self.limits.points_max);
        series.drain(..surplus);
    }

    pub fn add_window(&self, window: Window) {
        let mut state = self.write();
        state.windows.push_back(window);
        let surplus = state.windows.len().saturating_sub(self.limits.windows_max);
        state.windows.drain(..surplus);
    }

    pub fn add_anomaly(&self, anomaly: Anomaly) {
        let mut state = self.write();
        state.anomalies.push_back(anomaly);
        let surplus = state.anomalies.len().saturating_sub(self.limits.anomalies_max);
        state.anomalies.drain(..surplus);
    }

    /// Reads under the lock: keep `f` short.
    pub fn with<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
