//! Which scores are records of the recent past: an event is told once, and again only if it grows.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// Of the scores within the span only those are kept that no later one exceeds; 8 suffice on NAB.
const KEPT_MAX: usize = 16;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Records(Vec<(u64, f64)>);

impl Records {
    /// Whether the score of sample `index` exceeds all of the `span` samples before it.
    pub(super) fn is_record(&mut self, index: u64, score: f64, span: NonZeroU32) -> bool {
        let begins = index.saturating_sub(u64::from(span.get()));
        self.0.retain(|(at, _)| *at >= begins);
        let is_record = self.0.first().is_none_or(|(_, highest)| score > *highest);
        while self.0.last().is_some_and(|(_, last)| *last <= score) {
            self.0.pop();
        }
        // A full list has higher and younger ones all along: what is not kept is the lowest.
        if self.0.len() < KEPT_MAX {
            self.0.push((index, score));
        }
        is_record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(scores: &[f64], span: u32) -> Vec<bool> {
        let (mut records, span) = (Records::default(), NonZeroU32::new(span).expect("not zero"));
        scores.iter().zip(0..).map(|(s, i)| records.is_record(i, *s, span)).collect()
    }

    #[test]
    fn an_event_is_told_once_and_again_when_it_grows() {
        assert_eq!(records(&[0.1, 0.9, 0.9, 0.5, 1.2, 0.9], 10), [true, true, false, false, true, false]);
    }

    #[test]
    fn what_lies_longer_ago_than_the_span_does_not_hide_a_score() {
        assert_eq!(records(&[0.9, 0.0, 0.0, 0.5], 3), [true, false, false, false]);
        assert_eq!(records(&[0.9, 0.0, 0.0, 0.5], 2), [true, false, false, true]);
    }

    #[test]
    fn a_long_fall_is_kept_in_bounded_memory() {
        let mut records = Records::default();
        for i in 0..1_000_u32 {
            records.is_record(u64::from(i), 1.0 / f64::from(i + 1), NonZeroU32::MAX);
        }
        assert_eq!(records.0.len(), KEPT_MAX);
    }
}
