//! Since when the records of a log are known to be durable: to tell whether the oldest one that was not sent is late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::queue::QueueSeq;

/// Marks lie at least this far apart.
const MARK_EVERY: Duration = Duration::from_millis(50);

/// Where the log ended at some moments of the last `late_after`, and before.
#[derive(Debug)]
pub(super) struct Lag {
    late_after: Duration,
    /// At most `late_after / MARK_EVERY` and two.
    marks: VecDeque<(Instant, QueueSeq)>,
    /// Records before this one were durable longer ago than `late_after`.
    late_before: QueueSeq,
}

impl Lag {
    pub(super) fn new(late_after: Duration) -> Self {
        Self { late_after, marks: VecDeque::new(), late_before: QueueSeq(0) }
    }

    /// The log ends at `end` now.
    pub(super) fn observe(&mut self, now: Instant, end: QueueSeq) {
        while let Some((at, end)) = self.marks.front()
            && *at + self.late_after <= now
        {
            self.late_before = self.late_before.max(*end);
            self.marks.pop_front();
        }
        let is_new = match self.marks.back() {
            Some((at, known)) => *known < end && now >= *at + MARK_EVERY,
            None => self.late_before < end,
        };
        if is_new {
            self.marks.push_back((now, end));
        }
    }

    pub(super) fn is_late(&self, seq: QueueSeq) -> bool {
        seq < self.late_before
    }

    /// Records before this one were durable longer ago than `age`, which is less than what makes them late.
    pub(super) fn older_than(&self, age: Duration, now: Instant) -> QueueSeq {
        let old = self.marks.iter().filter(|(at, _)| *at + age <= now).map(|(_, end)| *end);
        old.max().unwrap_or_default().max(self.late_before)
    }

    /// When the record will be late, if it is not yet; `None` too if it was seen too lately to have a mark of its own.
    pub(super) fn late_at(&self, seq: QueueSeq) -> Option<Instant> {
        let mark = self.marks.iter().find(|(_, end)| seq < *end)?;
        Some(mark.0 + self.late_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_late_once_it_was_seen_that_long_ago() {
        let mut lag = Lag::new(Duration::from_secs(2));
        let t = |millis| Duration::from_millis(millis);
        let start = Instant::now();
        lag.observe(start, QueueSeq(10));
        lag.observe(start + t(1_000), QueueSeq(20));
        assert_eq!(lag.late_at(QueueSeq(9)), Some(start + t(2_000)));
        assert_eq!(lag.late_at(QueueSeq(10)), Some(start + t(3_000)));
        assert_eq!(lag.late_at(QueueSeq(20)), None);
        lag.observe(start + t(1_999), QueueSeq(20));
        assert!(!lag.is_late(QueueSeq(0)));
        lag.observe(start + t(2_000), QueueSeq(20));
        assert!(lag.is_late(QueueSeq(9)) && !lag.is_late(QueueSeq(10)));
    }

    #[test]
    fn marks_are_bounded_however_often_the_log_grows() {
        let mut lag = Lag::new(Duration::from_secs(2));
        let start = Instant::now();
        for n in 0..100_000 {
            lag.observe(start + Duration::from_micros(n * 100), QueueSeq(n));
        }
        assert!(lag.marks.len() <= 42, "{}", lag.marks.len());
        assert!(lag.is_late(QueueSeq(79_000)) && !lag.is_late(QueueSeq(80_000)));
    }
}
