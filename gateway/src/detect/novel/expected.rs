//! What a value is compared with: the hour of the day, and the last day or so.

use firmware_protocol::measurement::EventTime;
use serde::{Deserialize, Serialize};

const HOURS: usize = 24;
const HOUR_NS: i64 = 3_600_000_000_000;

/// Mean by hour of the day (UTC): exact over the first visits, then an exponential one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hours(Vec<Mean>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mean {
    mean: f64,
    count: u32,
}

impl Mean {
    /// The mean of the values before this one, which for the first is itself. Then learns it, as if it were no further
    /// away than `reach` (if that is over 0): a wild value must not make the normal ones after it look wrong.
    pub(super) fn before(&mut self, value: f64, memory: u32, reach: f64) -> f64 {
        let before = if self.count == 0 { value } else { self.mean };
        self.count = self.count.saturating_add(1).min(memory);
        let error = value - before;
        let error = if reach > 0.0 { error.clamp(-reach, reach) } else { error };
        self.mean = before + error / f64::from(self.count);
        before
    }
}

impl Hours {
    pub(super) fn new() -> Self {
        Self(vec![Mean::default(); HOURS])
    }

    pub(super) fn of(&mut self, at: EventTime) -> &mut Mean {
        let hour = at.0.div_euclid(HOUR_NS).rem_euclid(HOURS as i64);
        &mut self.0[hour as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_exact_first_and_follows_later() {
        let mut mean = Mean::default();
        let before: Vec<f64> = [4.0, 8.0, 6.0].into_iter().map(|v| mean.before(v, 10, 0.0)).collect();
        assert_eq!(before, [4.0, 4.0, 6.0]);
        for _ in 0..100 {
            mean.before(20.0, 10, 0.0);
        }
        assert!((mean.before(20.0, 10, 0.0) - 20.0).abs() < 0.01);
    }

    #[test]
    fn a_wild_value_moves_a_mean_no_further_than_its_reach() {
        let mut mean = Mean::default();
        for _ in 0..10 {
            mean.before(5.0, 10, 2.0);
        }
        mean.before(1e9, 10, 2.0);
        assert_eq!(mean.before(5.0, 10, 2.0), 5.2);
    }

    #[test]
    fn hours_have_means_of_their_own_before_1970_too() {
        let mut hours = Hours::new();
        let (night, noon) = (EventTime(-23 * HOUR_NS), EventTime(36 * HOUR_NS));
        hours.of(night).before(5.0, 10, 0.0);
        hours.of(noon).before(50.0, 10, 0.0);
        assert_eq!(hours.of(EventTime(HOUR_NS)).before(7.0, 10, 0.0), 5.0);
        assert_eq!(hours.of(EventTime(12 * HOUR_NS + 1)).before(7.0, 10, 0.0), 50.0);
    }
}
