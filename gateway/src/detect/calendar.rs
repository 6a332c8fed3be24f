//! Where a window lies in the day and the week. All in UTC: a baseline by time of day needs a day, not a time zone.

use std::time::Duration;

use firmware_protocol::measurement::EventTime;

/// Number of a window since 1970: `start = index × hop`. The first hop of a window, its pane, has the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct WindowIndex(pub(super) i64);

/// Length and distance of windows, and what follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    window_ns: i64,
    /// From one start to the next.
    hop_ns: i64,
    /// Hops in a window, 1 for windows side by side.
    pub(super) hops: i64,
    /// Windows that start in a day, at least 1.
    pub(super) day: i64,
    /// Slots of the baseline in a day: a baseline entry covers one or more windows.
    pub(super) slots: i64,
}

/// Half an hour each: fine enough for shift edges, coarse enough for three samples of a slot in a day.
const SLOTS_PER_DAY_MAX: i64 = 48;
const DAY_NS: i64 = 86_400_000_000_000;
/// 1970-01-01 was a Thursday: day 0 is the fourth of its week.
const EPOCH_WEEKDAY: i64 = 3;

impl Calendar {
    /// Windows side by side.
    #[cfg(test)]
    pub(super) fn new(window: Duration) -> Self {
        Self::hopping(window, Duration::ZERO)
    }

    /// Windows that start each `hop`, which divides them; zero: side by side.
    pub(super) fn hopping(window: Duration, hop: Duration) -> Self {
        let ns = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(DAY_NS).clamp(1_000_000, DAY_NS);
        let hop_ns = if hop.is_zero() { ns(window) } else { ns(hop) };
        let hops = (ns(window) / hop_ns).max(1);
        let day = (DAY_NS / hop_ns).max(1);
        Self { window_ns: hops * hop_ns, hop_ns, hops, day, slots: day.min(SLOTS_PER_DAY_MAX) }
    }

    pub(super) fn window_ns(&self) -> i64 {
        self.window_ns
    }

    pub(super) fn window_s(&self) -> f64 {
        self.window_ns as f64 / 1e9
    }

    pub(super) fn hop_ns(&self) -> i64 {
        self.hop_ns
    }

    pub(super) fn hop_s(&self) -> f64 {
        self.hop_ns as f64 / 1e9
    }

    /// The newest window that contains the time; the ones before it that do so, too, start up to a window earlier.
    pub(super) fn index_of(&self, at: EventTime) -> WindowIndex {
        WindowIndex(at.0.div_euclid(self.hop_ns))
    }

    /// The oldest window that has not ended at that time.
    pub(super) fn open_at(&self, at: EventTime) -> WindowIndex {
        WindowIndex(self.index_of(at).0 - (self.hops - 1))
    }

    pub(super) fn start_of(&self, window: WindowIndex) -> EventTime {
        EventTime(window.0.saturating_mul(self.hop_ns))
    }

    /// Start and end.
    pub(super) fn span_of(&self, window: WindowIndex) -> (EventTime, EventTime) {
        let start = self.start_of(window);
        (start, EventTime(start.0.saturating_add(self.window_ns)))
    }

    pub(super) fn day_of(&self, window: WindowIndex) -> i64 {
        window.0.div_euclid(self.day)
    }

    pub(super) fn slot_of(&self, window: WindowIndex) -> usize {
        (window.0.rem_euclid(self.day) * self.slots / self.day) as usize
    }

    /// Saturday or Sunday.
    pub(super) fn is_weekend(&self, window: WindowIndex) -> bool {
        (self.day_of(window) + EPOCH_WEEKDAY).rem_euclid(7) >= 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_weekend_of_1970_was_its_third_and_fourth_day() {
        let calendar = Calendar::new(Duration::from_secs(600));
        let weekend: Vec<_> = (0..7).map(|d| calendar.is_weekend(WindowIndex(d * 144 + 5))).collect();
        assert_eq!(weekend, [false, false, true, true, false, false, false]);
    }

    #[test]
    fn of_hopping_windows_the_oldest_open_one_still_contains_the_time() {
        let calendar = Calendar::hopping(Duration::from_secs(600), Duration::from_secs(200));
        let at = EventTime::from_millis(1_000_000);
        let (newest, oldest) = (calendar.index_of(at), calendar.open_at(at));
        assert_eq!((newest, oldest), (WindowIndex(5), WindowIndex(3)));
        assert_eq!(calendar.span_of(oldest).1, EventTime::from_millis(1_200_000));
        assert_eq!(calendar.open_at(EventTime::from_millis(1_200_000)), WindowIndex(4));
    }

    #[test]
    fn windows_before_1970_have_slots_too() {
        let calendar = Calendar::new(Duration::from_secs(600));
        assert_eq!(calendar.slot_of(WindowIndex(-1)), 47);
        assert_eq!(calendar.index_of(EventTime(-1)), WindowIndex(-1));
        assert_eq!(calendar.start_of(WindowIndex(-1)), EventTime(-600_000_000_000));
    }
}
