//! From decades above the threshold to a score between 0 and 1, and the CSV that holds it.

use std::io::{self, Write};

use firmware_protocol::measurement::EventTime;

use super::outcome::{Outcome, Score};
use crate::text::utc;

/// Of a window that is not judged.
const UNJUDGED: f64 = 0.0;

/// 0.5 at the alarm threshold, 0.91 two decades above it, 0.09 two below: one map for all files and detectors, so that
/// scores of different files compare. `decades` is −log10 of the tail probability above the threshold.
pub fn anomaly_score(decades: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-decades * std::f64::consts::LN_10 / 2.0))
}

impl Score {
    /// What stands in the column `anomaly_score`. An alarm may lie a little below the threshold (the second of two
    /// suspicious windows in a row): it counts as at it.
    pub fn value(&self) -> f64 {
        let floor = if self.is_alarm { 0.0 } else { f64::NEG_INFINITY };
        self.decades
            .filter(|decades| !decades.is_nan())
            .map_or(if self.is_alarm { anomaly_score(0.0) } else { UNJUDGED }, |decades| {
                anomaly_score(decades.max(floor))
            })
    }
}

/// One row for each time, by which its score was known; or for each row of the file, in its order.
///
/// # Errors
/// Of `out`.
pub fn write_scores(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "timestamp,anomaly_score,alarm")?;
    let mut row = |at: EventTime, score: &Score| {
        writeln!(out, "{},{},{}", short_utc(at), score.value(), u8::from(score.is_alarm))
    };
    if outcome.samples.is_empty() {
        outcome.scores.iter().try_for_each(|(at, score)| row(*at, score))
    } else {
        outcome.samples.iter().try_for_each(|(at, score)| row(*at, score))
    }
}

/// RFC 3339 with as many decimals as it takes.
pub(super) fn short_utc(at: EventTime) -> String {
    let text = utc(at);
    let digits = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{digits}Z")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_score_is_a_half_exactly_at_the_threshold_and_rises_with_the_distance() {
        assert_eq!(anomaly_score(0.0), 0.5);
        let scores: Vec<f64> = (-80..80).map(|d| anomaly_score(f64::from(d) / 4.0)).collect();
        assert!(scores.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
        assert!([1e9, -1e9].map(anomaly_score).iter().all(|score| (0.0..=1.0).contains(score)));
    }

    #[test]
    fn an_alarm_is_never_below_a_half_and_what_is_not_judged_is_nothing() {
        let score = |decades, is_alarm| Score { decades, is_alarm }.value();
        assert_eq!(score(Some(-0.4), true), 0.5);
        assert_eq!(score(None, true), 0.5);
        assert_eq!(score(None, false), 0.0);
        assert_eq!(score(Some(f64::NAN), false), 0.0);
        assert!(score(Some(-0.4), false) < 0.5);
    }

    #[test]
    fn rows_are_in_order_of_time_with_no_more_decimals_than_it_takes() {
        let alarm = Score { decades: Some(0.0), is_alarm: true };
        let scores = BTreeMap::from([
            (EventTime::from_millis(1_583_748_900_000), alarm),
            (EventTime::from_millis(1_583_748_885_250), Score { decades: None, is_alarm: false }),
        ]);
        let mut out = Vec::new();
        let outcome = Outcome { scores, ..Outcome::default() };
        write_scores(&outcome, &mut out).unwrap();
        let expected = "timestamp,anomaly_score,alarm\n2020-03-09T10:14:45.25Z,0,0\n2020-03-09T10:15:00Z,0.5,1\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
