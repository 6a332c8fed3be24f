//! What the first rows of a file tell: how far apart its readings are, and when learning ends. Pure.

use firmware_protocol::measurement::EventTime;

/// Rows that the usual distance is taken from: a day of readings a minute apart.
const ROWS_MIN: usize = 1_440;
/// Assumed where one row is all there is.
const SPACING_DEFAULT_NS: i64 = 1_000_000_000;

/// The times of the first rows.
#[derive(Debug)]
pub(super) struct Survey {
    wanted: usize,
    times: Vec<EventTime>,
}

impl Survey {
    /// One that can tell when `rows` rows have passed.
    pub(super) fn of_rows(rows: usize) -> Self {
        Self { wanted: rows.saturating_add(1).max(ROWS_MIN), times: Vec::new() }
    }

    /// Whether it needs no more.
    pub(super) fn add(&mut self, at: EventTime) -> bool {
        self.times.push(at);
        self.times.len() >= self.wanted
    }

    /// Median of the distances of rows that follow each other, 0 left out: rows of one time are of several devices.
    pub(super) fn spacing_ns(&self) -> i64 {
        let distance = |pair: &[EventTime]| pair[1].0.saturating_sub(pair[0].0);
        let mut distances: Vec<i64> = self.times.windows(2).map(distance).filter(|ns| *ns > 0).collect();
        let middle = distances.len() / 2;
        if distances.is_empty() { SPACING_DEFAULT_NS } else { *distances.select_nth_unstable(middle).1 }
    }

    /// Windows of this length that have ended by the time of the row after the first `rows`.
    pub(super) fn windows_in(&self, rows: usize, window_ns: i64) -> i64 {
        let Some(first) = self.times.iter().min() else { return 0 };
        let end = match self.times.get(rows) {
            Some(next) => next.0,
            None => self.times.iter().max().map_or(0, |last| last.0.saturating_add(self.spacing_ns())),
        };
        let index = |ns: i64| ns.div_euclid(window_ns.max(1));
        index(end) - index(first.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn survey(seconds: impl IntoIterator<Item = i64>) -> Survey {
        let mut survey = Survey::of_rows(400);
        for second in seconds {
            survey.add(EventTime(second * SECOND));
        }
        survey
    }

    #[test]
    fn the_distance_is_that_of_most_rows() {
        assert_eq!(survey([0, 5, 10, 10, 15, 500, 505]).spacing_ns(), 5 * SECOND);
        assert_eq!(survey([7]).spacing_ns(), SPACING_DEFAULT_NS);
    }

    #[test]
    fn learning_by_rows_ends_with_the_last_window_that_these_rows_fill() {
        // From 10:14:33 on: the first window of 15 s has 12 rows, the 27th ends with row 402.
        let start = 1_583_748_873;
        assert_eq!(survey(start..start + 1_000).windows_in(400, 15 * SECOND), 26);
        assert_eq!(survey(start..start + 1_000).windows_in(402, 15 * SECOND), 27);
        assert_eq!(survey(start..start + 100).windows_in(400, 15 * SECOND), 6, "of a file that is shorter: all");
        assert_eq!(survey([]).windows_in(400, 15 * SECOND), 0);
    }

    #[test]
    fn rows_that_stand_further_apart_fill_more_windows() {
        assert_eq!(survey((0..1_000).map(|i| i * 300)).windows_in(288, 600 * SECOND), 144);
    }
}
