//! Parts of the learning time that are left out in turn, so that a row is judged by a relation it had no part in.

use super::super::calendar::Calendar;
use super::row::DeviceRow;

/// From this many days on, days are left out: neighbouring windows are too alike to be left out alone.
const DAYS_MIN: i64 = 4;
/// Otherwise, at most this many equal parts.
const PARTS_MAX: usize = 32;

/// How rows are parted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folds {
    /// Of each row.
    pub(super) of: Vec<usize>,
    pub(super) count: usize,
    /// Whether each part is a day.
    pub(super) are_days: bool,
}

impl Folds {
    /// `rows` in order of time, at least one.
    pub(super) fn new(rows: &[&DeviceRow], calendar: &Calendar) -> Self {
        let day = |row: &DeviceRow| calendar.day_of(row.window);
        let days = match (rows.first(), rows.last()) {
            (Some(first), Some(last)) => day(last) - day(first) + 1,
            _ => 0,
        };
        if days >= DAYS_MIN {
            let mut of = Vec::with_capacity(rows.len());
            let (mut part, mut today) = (0, None);
            for row in rows {
                let its = day(row);
                if today.is_some_and(|t| t != its) {
                    part += 1;
                }
                today = Some(its);
                of.push(part);
            }
            return Self { of, count: part + 1, are_days: true };
        }
        let count = rows.len().clamp(1, PARTS_MAX);
        let of = (0..rows.len()).map(|i| i * count / rows.len()).collect();
        Self { of, count, are_days: false }
    }
}
