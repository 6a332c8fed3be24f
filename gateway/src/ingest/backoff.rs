//! Full jitter: the pause before the next attempt lies anywhere between nothing and a bound that doubles, so that many
//! gateways do not come back in step. Only a connection that held for a while sets the bound back: one that is
//! closed right after CONNACK is a failure too.

use std::time::Duration;

/// Bound of the first pause.
const FIRST_MAX: Duration = Duration::from_millis(500);
/// A connection that held this long was a good one.
const STABLE_MIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Backoff {
    max: Duration,
    bound: Duration,
}

impl Backoff {
    pub(super) fn new(max: Duration) -> Self {
        Self { max, bound: FIRST_MAX.min(max) }
    }

    /// A connection has ended or an attempt has failed (`held_for` zero): how long to wait. `random` is any number.
    pub(super) fn pause(&mut self, held_for: Duration, random: u64) -> Duration {
        if held_for >= STABLE_MIN {
            self.bound = FIRST_MAX.min(self.max);
        }
        let share = random as f64 / u64::MAX as f64;
        let pause = self.bound.mul_f64(share);
        self.bound = (self.bound * 2).min(self.max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(30);

    #[test]
    fn the_bound_doubles_up_to_the_maximum() {
        let mut backoff = Backoff::new(MAX);
        let pauses: Vec<u64> = (0..9).map(|_| backoff.pause(Duration::ZERO, u64::MAX).as_millis() as u64).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn a_pause_lies_between_nothing_and_the_bound() {
        let mut backoff = Backoff::new(MAX);
        assert_eq!(backoff.pause(Duration::ZERO, 0), Duration::ZERO);
        assert_eq!(backoff.pause(Duration::ZERO, u64::MAX / 2).as_millis(), 500);
    }

    #[test]
    fn a_good_connack_followed_by_a_kick_does_not_reset_the_backoff() {
        let mut backoff = Backoff::new(MAX);
        for _ in 0..5 {
            backoff.pause(Duration::from_secs(1), u64::MAX);
        }
        assert_eq!(backoff.pause(Duration::from_secs(9), u64::MAX), Duration::from_secs(16));
        assert_eq!(backoff.pause(Duration::from_secs(10), u64::MAX), FIRST_MAX);
    }

    #[test]
    fn a_maximum_below_the_first_bound_holds() {
        let mut backoff = Backoff::new(Duration::from_millis(20));
        assert_eq!(backoff.pause(Duration::ZERO, u64::MAX), Duration::from_millis(20));
        assert_eq!(backoff.pause(Duration::ZERO, u64::MAX), Duration::from_millis(20));
    }
}
