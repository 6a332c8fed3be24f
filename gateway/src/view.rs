//! What a person looks at: the latest readings, windows, anomalies and incidents, in bounded memory.
//!
//! Written by detect's task, read by `http`. Losing it loses nothing: it is a view, never a source.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::RwLock;

use tokio::sync::broadcast;

use firmware_protocol::derived::{Anomaly, Incident, IncidentState, Window};
use firmware_protocol::measurement::EventTime;

/// Bounds of a view; the worst case is `series_max` × `points_max` × 16 bytes, and windows, anomalies and incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub series_max: usize,
    pub points_max: usize,
    pub windows_max: usize,
    pub anomalies_max: usize,
    pub incidents_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series_max: 256, points_max: 600, windows_max: 2_000, anomalies_max: 500, incidents_max: 200 }
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
    /// By start, device and channel: a revision takes the place of the one before it. Beyond the limit the oldest by
    /// event time go, so that a device that tells its past late does not lose it to the others.
    pub windows: BTreeMap<(i64, String, String), Window>,
    /// By start, device, channel and detector: what becomes of an anomaly takes its place. The oldest go first.
    pub anomalies: BTreeMap<(i64, String, String, String), Anomaly>,
    /// By the start of the window that opened it, and device: a revision takes the place of the one before it. Beyond
    /// the limit the oldest go, those that are over before those that are not.
    pub incidents: BTreeMap<(i64, String), Incident>,
    /// Series that did not fit under `series_max`: detect offers a bounded number of them.
    pub left_out: BTreeSet<(String, String)>,
}

/// What detection has found.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    Window(Window),
    Anomaly(Anomaly),
    Incident(Incident),
}

/// Findings that whoever follows may lag behind: those of some hundred channels at the end of a window.
const LAG_MAX: usize = 1_024;

/// Shared between its writer and its readers.
#[derive(Debug)]
pub struct View {
    limits: Limits,
    state: RwLock<State>,
    findings: broadcast::Sender<Finding>,
}

impl Default for View {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl View {
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: RwLock::default(), findings: broadcast::Sender::new(LAG_MAX) }
    }

    /// Findings from now on.
    pub fn follow(&self) -> broadcast::Receiver<Finding> {
        self.findings.subscribe()
    }

    fn tell(&self, finding: impl FnOnce() -> Finding) {
        if self.findings.receiver_count() > 0 {
            // Whoever followed may have gone since.
            self.findings.send(finding()).map(drop).unwrap_or_default();
        }
    }

    /// Adds points of one series, oldest first.
    pub fn add_points(&self, device: &str, channel: &str, points: &[Point]) {
        let mut state = self.write();
        let key = (device.to_owned(), channel.to_owned());
        if !state.series.contains_key(&key) && state.series.len() >= self.limits.series_max {
            state.left_out.insert(key);
            return;
        }
        let series = state.series.entry(key).or_default();
        series.extend(points);
        let surplus = series.len().saturating_sub(self.limits.points_max);
        series.drain(..surplus);
    }

    pub fn add_window(&self, window: Window) {
        self.tell(|| Finding::Window(window.clone()));
        let mut state = self.write();
        state.windows.insert((window.start_at_ms, window.device.clone(), window.channel.clone()), window);
        while state.windows.len() > self.limits.windows_max {
            state.windows.pop_first();
        }
    }

    pub fn add_anomaly(&self, anomaly: Anomaly) {
        self.tell(|| Finding::Anomaly(anomaly.clone()));
        let mut state = self.write();
        let (device, channel, detector) = (anomaly.device.clone(), anomaly.channel.clone(), anomaly.detector.clone());
        state.anomalies.insert((anomaly.start_at_ms, device, channel, detector), anomaly);
        while state.anomalies.len() > self.limits.anomalies_max {
            state.anomalies.pop_first();
        }
    }

    pub fn add_incident(&self, incident: Incident) {
        self.tell(|| Finding::Incident(incident.clone()));
        self.remember_incident(incident);
    }

    /// Shows an incident that those who follow were told of before.
    pub fn remember_incident(&self, incident: Incident) {
        let mut state = self.write();
        state.incidents.insert((incident.opened_at_ms, incident.device.clone()), incident);
        while state.incidents.len() > self.limits.incidents_max {
            let is_over = |(_, incident): &(&(i64, String), &Incident)| incident.state != IncidentState::Open;
            let oldest = state.incidents.iter().find(is_over).or_else(|| state.incidents.first_key_value());
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            state.incidents.remove(&key);
        }
    }

    /// Reads under the lock: keep `f` short.
    pub fn with<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Records for the tests of those who show them.
#[cfg(test)]
pub(crate) mod testing {
    use firmware_protocol::derived::{ChannelShare, Evidence, Incident, IncidentState, Severity};

    pub(crate) fn incident(device: &str, opened_at_ms: i64) -> Incident {
        Incident {
            id: format!("{opened_at_ms:016x}"),
            device: device.into(),
            revision: 0,
            state: IncidentState::Open,
            severity: Severity::High,
            title: format!("{device}: an unusual level in current"),
            opened_at_ms,
            start_at_ms: opened_at_ms,
            peak_at_ms: opened_at_ms,
            end_at_ms: opened_at_ms + 600_000,
            score: 3.5,
            windows: 1,
            channels: vec![ChannelShare { channel: "current".into(), share: 1.0 }],
            kinds: vec!["level".into()],
            evidence: Evidence {
                channel: "current".into(),
                detector: "window".into(),
                model: "0badcafe".into(),
                kind: "level".into(),
                feature: "mean".into(),
                value: 9.0,
                expected_low: 1.0,
                expected_high: 3.0,
                share: Some(0.75),
                peak_from_ms: Some(opened_at_ms + 60_000),
                peak_to_ms: Some(opened_at_ms + 90_000),
                summary: "mean 9 instead of 1 to 3".into(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_does_not_fit_is_counted_once_however_often_it_comes() {
        let view = View::new(Limits { series_max: 1, ..Limits::default() });
        let point = [Point { at: EventTime(1), value: 1.0 }];
        for channel in ["a", "b", "b", "c", "b", "a"] {
            view.add_points("d", channel, &point);
        }
        view.with(|state| assert_eq!((state.series.len(), state.left_out.len()), (1, 2)));
    }

    fn window(device: &str, start_at_ms: i64, revision: u32) -> Window {
        Window {
            id: String::new(),
            device: device.to_owned(),
            channel: "c".to_owned(),
            start_at_ms,
            end_at_ms: start_at_ms + 600_000,
            revision,
            count: 1,
            gap_s: 1.0,
            stats: None,
            status: firmware_protocol::derived::Status::Learning,
            score: None,
        }
    }

    #[test]
    fn incidents_that_are_over_go_before_those_that_are_not_and_a_revision_takes_its_place() {
        let view = View::new(Limits { incidents_max: 2, ..Limits::default() });
        view.add_incident(testing::incident("a", 1));
        view.add_incident(Incident { state: IncidentState::Closed, ..testing::incident("b", 2) });
        view.add_incident(Incident { revision: 1, ..testing::incident("a", 1) });
        view.add_incident(testing::incident("c", 3));
        view.with(|state| {
            let kept: Vec<_> = state.incidents.values().map(|i| (i.device.as_str(), i.revision)).collect();
            assert_eq!(kept, [("a", 1), ("c", 0)]);
        });
    }

    #[test]
    fn the_oldest_windows_by_event_time_go_first_whichever_came_first() {
        let view = View::new(Limits { windows_max: 4, ..Limits::default() });
        for start in [2, 3] {
            view.add_window(window("early-to-tell", start, 0));
        }
        for start in [1, 2, 3] {
            view.add_window(window("late-to-tell", start, 0));
        }
        view.add_window(window("late-to-tell", 3, 1));
        view.with(|state| {
            let starts: Vec<i64> = state.windows.values().map(|w| w.start_at_ms).collect();
            assert_eq!(starts, [2, 2, 3, 3]);
            assert_eq!(state.windows.values().next_back().map(|w| w.revision), Some(1), "a revision takes the place");
        });
    }
}
