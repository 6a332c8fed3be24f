//! From a score to an alarm, by the one knob.

use serde::{Deserialize, Serialize};

/// The score that alarms at [`PER_MONTH`] false alarms: the middle of the plateau on which NAB's scorer has its optimum.
/// Windows of stationary noise (Gaussian, Laplace, counts, rounded values, with and without a daily round) then give some
/// three alarms a channel in the month after the first week, one at a knob of 1 and a third at 0.3; later months give half.
const SCORE: f64 = 0.88;
const PER_MONTH: f64 = 3.0;
/// A score higher by this much is ten times rarer, on that noise and on NAB's files outside of their labelled windows.
const SCORE_PER_DECADE: f64 = 1.0;
/// What the knob may be: below, the tail is not known; above, next to every record would alarm.
const PER_MONTH_MIN: f64 = 0.01;
const PER_MONTH_MAX: f64 = 10.0;

/// Which scores alarm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Threshold(f64);

impl Threshold {
    /// The score that noise reaches so often.
    pub(crate) fn new(false_alarms_per_month: f64) -> Self {
        let knob = false_alarms_per_month.clamp(PER_MONTH_MIN, PER_MONTH_MAX);
        Self(SCORE + SCORE_PER_DECADE * libm::log10(PER_MONTH / knob))
    }

    /// By how many decades `raw` is rarer than what the knob allows; 0 at the threshold, negative below.
    pub(crate) fn decades_above(self, raw: f64) -> f64 {
        (raw - self.0) / SCORE_PER_DECADE
    }

    pub(crate) fn is_alarm(self, raw: f64) -> bool {
        raw >= self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_at_the_threshold_alarms_and_is_no_decade_above_it() {
        for knob in [0.01, 0.3, 1.0, 3.0, 10.0] {
            let threshold = Threshold::new(knob);
            assert_eq!(threshold.decades_above(threshold.0), 0.0);
            assert!(threshold.is_alarm(threshold.0) && !threshold.is_alarm(threshold.0 - 1e-9));
        }
    }

    #[test]
    fn ten_times_fewer_false_alarms_take_a_decade() {
        let (one, tenth) = (Threshold::new(1.0), Threshold::new(0.1));
        assert!((one.decades_above(tenth.0) - 1.0).abs() < 1e-12);
        assert!(tenth.decades_above(one.0) < 0.0);
    }

    #[test]
    fn a_knob_out_of_its_range_is_the_end_of_the_range() {
        assert_eq!(Threshold::new(0.0), Threshold::new(0.01));
        assert_eq!(Threshold::new(1e9), Threshold::new(10.0));
    }
}
