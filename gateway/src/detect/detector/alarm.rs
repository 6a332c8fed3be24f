//! When windows alarm, and for how long an alarm keeps them from being learned.

use serde::{Deserialize, Serialize};

use crate::detect::groups::Group;
use crate::detect::history::Standing;

/// A window this far below the threshold is trusted, decades.
const GUARD: f64 = 1.0;
/// Two windows of three that are no further below it alarm, decades. Chance alone would allow more, but what is unusual goes
/// on: clouds, loads and weather outlast a window.
const NEAR: f64 = 0.5;
const LONG_AGO: f64 = -9.0;

/// How rare a window is, decades above the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Evidence {
    /// Over all groups,
    pub(super) any: f64,
    /// and over those that need no company.
    pub(super) alone: f64,
}

impl Evidence {
    pub(super) fn of(decades: &[f64; Group::COUNT], threshold: f64) -> Self {
        let mut evidence = Self { any: f64::NEG_INFINITY, alone: f64::NEG_INFINITY };
        for (group, decades) in Group::ALL.into_iter().zip(decades) {
            evidence.any = evidence.any.max(decades - threshold);
            if !group.needs_company() {
                evidence.alone = evidence.alone.max(decades - threshold);
            }
        }
        evidence
    }

    /// Whether a second such window makes an alarm of the first.
    pub(super) fn is_near(self) -> bool {
        self.any >= -NEAR
    }

    pub(super) fn is_anomalous(self, has_company: bool) -> bool {
        self.alone >= 0.0 || (self.is_near() && has_company)
    }

    pub(super) fn is_trusted(self) -> bool {
        self.any < -GUARD
    }

    /// What is told: one that waits for company is below the threshold.
    pub(super) fn score(self, is_anomalous: bool) -> f64 {
        if is_anomalous { self.any } else { self.any.min(self.alone.max(-NEAR)) }
    }
}

/// Whether the channel is in alarm, from one score to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Alarm {
    /// Evidence of the two windows before, over all groups.
    previous: [f64; 2],
    pub(super) is_on: bool,
    quiet: u32,
    clear: u32,
}

impl Alarm {
    pub(super) fn new(clear: u32) -> Self {
        Self { previous: [LONG_AGO; 2], is_on: false, quiet: clear + 1, clear }
    }

    /// Takes a window in; says whether it is anomalous.
    pub(super) fn judge(&mut self, evidence: Evidence) -> (Standing, bool) {
        let is_anomalous = evidence.is_anomalous(self.previous.iter().any(|any| *any >= -NEAR));
        self.previous = [self.previous[1], evidence.any];
        if is_anomalous {
            self.is_on = true;
            self.quiet = 0;
        } else {
            self.quiet = self.quiet.saturating_add(1);
            if self.quiet > self.clear {
                self.is_on = false;
            }
        }
        let standing = match (self.is_on, evidence.is_trusted()) {
            (true, _) => Standing::Alarmed,
            (false, true) => Standing::Trusted,
            (false, false) => Standing::Doubtful,
        };
        (standing, is_anomalous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anomalous(evidence: &[(f64, f64)]) -> Vec<bool> {
        let mut alarm = Alarm::new(12);
        evidence.iter().map(|(any, alone)| alarm.judge(Evidence { any: *any, alone: *alone }).1).collect()
    }

    #[test]
    fn what_needs_company_alarms_with_the_second_window_of_three() {
        assert_eq!(anomalous(&[(4.0, -2.0), (-2.0, -2.0), (4.0, -2.0)]), [false, false, true]);
        assert_eq!(anomalous(&[(4.0, -2.0), (-2.0, -2.0), (-2.0, -2.0), (4.0, -2.0)]), [false; 4]);
    }

    #[test]
    fn what_needs_none_alarms_at_once_and_two_near_windows_do_together() {
        assert_eq!(anomalous(&[(0.1, 0.1), (-0.4, -0.4), (-0.6, -0.6), (-3.0, -3.0)]), [true, true, false, false]);
        assert_eq!(anomalous(&[(-0.4, -0.4), (-0.4, -0.4)]), [false, true]);
    }

    #[test]
    fn a_window_that_waits_for_company_is_told_below_the_threshold() {
        let waiting = Evidence { any: 4.0, alone: -2.0 };
        assert_eq!((waiting.score(false), waiting.score(true)), (-NEAR, 4.0));
    }
}
