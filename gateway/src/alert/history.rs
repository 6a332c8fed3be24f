//! The last windows of the channels, and what was expected in them: for the plot of an incident.
//!
//! # Invariants
//! - Memory is bounded: [`CHANNELS_MAX`] channels with [`WINDOWS_MAX`] windows each, some 4 MB; those that were silent for
//!   longest go first.
//! - It is not durable: after a restart the task reads the newest of the derived log again.

use std::collections::{HashMap, VecDeque};

use firmware_protocol::derived::{Anomaly, AnomalyState, Status, Window};

/// Sixteen hours of ten minutes.
const WINDOWS_MAX: usize = 96;
const CHANNELS_MAX: usize = 1_024;
/// An eighth of them makes room at once, so that a large fleet does not look for the oldest at each window.
const MAKE_ROOM: usize = CHANNELS_MAX / 8;
/// Features whose expected band is one of the values themselves.
const IN_THE_PLOT: [&str; 4] = ["mean", "median", "low", "high"];

/// One window as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) mean: f32,
    pub(super) min: f32,
    pub(super) max: f32,
    pub(super) is_anomalous: bool,
    /// What was expected; known where something else was found.
    pub(super) band: Option<(f32, f32)>,
}

#[derive(Debug, Default)]
struct Channel {
    windows: VecDeque<Seen>,
    /// Counts up with each record of any channel.
    touched: u64,
}

#[derive(Debug, Default)]
pub(super) struct History {
    channels: HashMap<(String, String), Channel>,
    touches: u64,
}

impl History {
    /// A later revision replaces the window.
    pub(super) fn on_window(&mut self, window: &Window) {
        let Some(stats) = &window.stats else { return };
        let seen = Seen {
            start_ms: window.start_at_ms,
            end_ms: window.end_at_ms,
            mean: stats.mean as f32,
            min: stats.min as f32,
            max: stats.max as f32,
            is_anomalous: window.status == Status::Anomalous,
            band: None,
        };
        let channel = self.channel(&window.device, &window.channel);
        let place = channel.windows.partition_point(|w| w.start_ms < seen.start_ms);
        match channel.windows.get_mut(place).filter(|w| w.start_ms == seen.start_ms) {
            Some(known) => *known = Seen { band: known.band, ..seen },
            None => channel.windows.insert(place, seen),
        }
        if channel.windows.len() > WINDOWS_MAX {
            channel.windows.pop_front();
        }
    }

    /// An anomaly tells the band of its window; it comes after the window, or before it if it was found early.
    pub(super) fn on_anomaly(&mut self, anomaly: &Anomaly) {
        if anomaly.channel.is_empty() || !IN_THE_PLOT.contains(&anomaly.feature.as_str()) {
            return;
        }
        let band = Some((anomaly.expected_low as f32, anomaly.expected_high as f32));
        let band = band.filter(|_| anomaly.state != AnomalyState::Withdrawn);
        let channel = self.channel(&anomaly.device, &anomaly.channel);
        if let Some(seen) = channel.windows.iter_mut().rev().find(|w| w.start_ms == anomaly.start_at_ms) {
            seen.band = band;
        }
    }

    /// In the order of time.
    pub(super) fn windows(&self, device: &str, channel: &str) -> impl Iterator<Item = Seen> {
        let key = (device.to_owned(), channel.to_owned());
        self.channels.get(&key).into_iter().flat_map(|channel| channel.windows.iter().copied())
    }

    fn channel(&mut self, device: &str, channel: &str) -> &mut Channel {
        let key = (device.to_owned(), channel.to_owned());
        if self.channels.len() >= CHANNELS_MAX && !self.channels.contains_key(&key) {
            let mut touched: Vec<u64> = self.channels.values().map(|channel| channel.touched).collect();
            touched.sort_unstable();
            let oldest = touched[MAKE_ROOM];
            self.channels.retain(|_, channel| channel.touched >= oldest);
        }
        self.touches += 1;
        let channel = self.channels.entry(key).or_default();
        channel.touched = self.touches;
        channel
    }
}

#[cfg(test)]
pub(super) mod testing {
    use firmware_protocol::derived::{Stats, Status, Window};

    pub(in crate::alert) fn window(channel: &str, start_at_ms: i64, mean: f64, status: Status) -> Window {
        let stats = Stats { mean, min: mean - 1.0, max: mean + 1.0, std: 0.5, p05: mean, p50: mean, p95: mean };
        Window {
            id: String::new(),
            device: "pump-7".into(),
            channel: channel.into(),
            start_at_ms,
            end_at_ms: start_at_ms + 600_000,
            revision: 0,
            count: 600,
            gap_s: 1.0,
            stats: Some(stats),
            status,
            score: Some(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::window;
    use super::*;

    #[test]
    fn a_channel_keeps_its_newest_windows_in_order_and_a_revision_replaces_one() {
        let mut history = History::default();
        for n in (0..200).rev().chain(150..160) {
            history.on_window(&window("flow", n * 600_000, if n < 155 { 1.0 } else { 2.0 }, Status::Normal));
        }
        let windows: Vec<Seen> = history.windows("pump-7", "flow").collect();
        assert_eq!(windows.len(), WINDOWS_MAX);
        assert!(windows.is_sorted_by_key(|w| w.start_ms));
        assert_eq!(windows.last().unwrap().start_ms, 199 * 600_000);
    }

    #[test]
    fn channels_are_bounded_and_the_longest_silent_go_first() {
        let mut history = History::default();
        for n in 0..CHANNELS_MAX + 1 {
            history.on_window(&window(&n.to_string(), 0, 1.0, Status::Normal));
            history.on_window(&window("0", 600_000, 1.0, Status::Normal));
        }
        assert!(history.channels.len() <= CHANNELS_MAX);
        assert_eq!(history.windows("pump-7", "0").count(), 2);
        assert_eq!(history.windows("pump-7", "1").count(), 0);
    }
}
