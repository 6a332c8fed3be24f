//! How long, how many, how rare: all that a detector counts in windows, from the configured length of one.

use crate::detect::Config;
use crate::detect::calendar::Calendar;
use crate::detect::tail::threshold;

/// Spans in windows, all from the configured length of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::detect) struct Horizon {
    pub(super) calendar: Calendar,
    pub(super) threshold: f64,
    pub(super) learn: usize,
    /// Trusted rows that a model is learned from.
    pub(super) history: usize,
    pub(super) refit: i64,
    /// Alarmed windows that far back may become a new regime,
    pub(super) recent: i64,
    /// if they span this long
    pub(super) adopt: i64,
    /// and are this many.
    pub(super) chronic: usize,
    /// An alarm is over after this many quiet windows.
    pub(super) clear: u32,
}

/// Most trusted rows: two weeks of ten minutes; shorter windows reach less far back, so that memory stays the same.
const HISTORY_ROWS_MAX: usize = 2016;
/// Two folds must be able to learn a model each.
const LEARN_ROWS_MIN: usize = 96;
impl Horizon {
    pub(in crate::detect) fn new(config: &Config) -> Self {
        let calendar = Calendar::hopping(config.window, config.hop);
        let history = (14 * calendar.day as usize).clamp(2 * LEARN_ROWS_MIN, HISTORY_ROWS_MAX);
        let learn = (config.learn.as_secs_f64() / calendar.hop_s()) as usize;
        let day = calendar.day.min(HISTORY_ROWS_MAX as i64 / 7).max(24);
        Self {
            calendar,
            threshold: threshold(config.false_alarms_per_month, calendar.day),
            learn: learn.clamp(LEARN_ROWS_MIN, history),
            history,
            refit: 2 * day,
            recent: 3 * day,
            adopt: day,
            chronic: day as usize / 3,
            clear: (day / 12) as u32,
        }
    }

    pub(in crate::detect) fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Rows that a history must keep.
    pub(in crate::detect) fn rows(&self) -> usize {
        self.history + self.recent as usize
    }
}
