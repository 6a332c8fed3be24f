//! What the configuration says about time, as the operator needs it.

use std::time::Duration;

use firmware_protocol::measurement::EventTime;

use super::super::Config;
use super::super::calendar::{Calendar, WindowIndex};
use super::room::Room;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Timing {
    pub(super) calendar: Calendar,
    pub(super) out_of_order: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) future_max: Duration,
    /// Allowed lateness in hops, rounded up.
    lateness: i64,
    /// Length of a slice; `None`: no slices.
    pub(super) early_ns: Option<i64>,
    /// What is kept of a pane.
    pub(super) room: Room,
}

impl Timing {
    pub(super) fn new(config: &Config) -> Self {
        let calendar = Calendar::hopping(config.window, config.hop);
        let ns = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        let lateness_ns = ns(config.allowed_lateness);
        let lateness = lateness_ns / calendar.hop_ns() + i64::from(lateness_ns % calendar.hop_ns() > 0);
        Self {
            calendar,
            out_of_order: config.out_of_order,
            idle_timeout: config.idle_timeout,
            future_max: config.future_max,
            lateness,
            room: Room::new(config.samples_max, calendar.window_ns(), calendar.hops, config.out_of_order),
            early_ns: (!config.early_every.is_zero()).then(|| ns(config.early_every)),
        }
    }

    /// When all windows before `closed_until` are closed, those before this one take no readings any more.
    pub(super) fn expired_before(&self, closed_until: WindowIndex) -> WindowIndex {
        WindowIndex(closed_until.0.saturating_sub(self.lateness))
    }

    /// The oldest window that contains the pane.
    pub(super) fn oldest_with(&self, pane: WindowIndex) -> WindowIndex {
        WindowIndex(pane.0.saturating_sub(self.calendar.hops - 1))
    }

    /// End of the slice that begins at `from`: slices divide panes, the last one of a pane may be shorter.
    pub(super) fn slice_end(&self, from: EventTime, early_ns: i64) -> EventTime {
        let pane = self.calendar.index_of(from);
        let (start, end) = (self.calendar.start_of(pane), self.calendar.start_of(WindowIndex(pane.0 + 1)));
        let passed = (from.0 - start.0) / early_ns;
        EventTime(start.0.saturating_add((passed + 1).saturating_mul(early_ns))).min(end)
    }
}
