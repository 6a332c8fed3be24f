//! Pauses between attempts: exponential, with full jitter, from a seeded generator. A pause lies anywhere between nothing
//! and a bound that doubles, so that many gateways do not come back in step.

use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// Grows with each failure in a row, up to a limit.
#[derive(Debug)]
pub(crate) struct Backoff {
    random: Xoshiro256PlusPlus,
    first_max: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// A connection that held this long was a good one; one that is closed right after it opened is a failure too.
    const STABLE_MIN: Duration = Duration::from_secs(10);

    /// `first_max` bounds the first pause, `max` all of them.
    pub(crate) fn new(first_max: Duration, max: Duration, seed: u64) -> Self {
        Self { random: Xoshiro256PlusPlus::seed_from_u64(seed), first_max, max, failures: 0 }
    }

    /// The pause after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let [pause] = self.draw([self.failures]);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Pauses after so many failures before the last one, which whoever asks counts, all of one draw.
    pub(crate) fn draw<const N: usize>(&mut self, failures: [u32; N]) -> [Duration; N] {
        // The upper 53 bits are a fraction that is the same on every machine.
        let fraction = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        failures.map(|failures| {
            let doubled = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
            self.first_max.saturating_mul(doubled).min(self.max).mul_f64(fraction)
        })
    }

    /// The pause after a connection that held for so long, zero if it never came about.
    pub(crate) fn next_after(&mut self, held_for: Duration) -> Duration {
        if held_for >= Self::STABLE_MIN {
            self.reset();
        }
        self.next()
    }

    /// In a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST_MAX: Duration = Duration::from_millis(250);
    const MAX: Duration = Duration::from_secs(30);

    #[test]
    fn backoff_is_jittered_and_bounded() {
        let mut backoff = Backoff::new(FIRST_MAX, MAX, 7);
        let pauses: Vec<Duration> = (0..1_000).map(|_| backoff.next()).collect();
        for (failures, pause) in pauses.iter().enumerate().take(7) {
            assert!(*pause <= FIRST_MAX * (1 << failures), "{failures}: {pause:?}");
        }
        assert!(pauses.iter().all(|p| *p <= MAX));
        let late = &pauses[10..];
        assert!(late.iter().any(|p| *p < MAX / 10) && late.iter().any(|p| *p > MAX * 9 / 10), "spread over all of it");
        let mean = late.iter().sum::<Duration>() / late.len() as u32;
        assert!(mean > MAX * 4 / 10 && mean < MAX * 6 / 10, "mean {mean:?}");
    }

    #[test]
    fn one_seed_gives_one_series_of_pauses() {
        let series = |seed| {
            let mut backoff = Backoff::new(FIRST_MAX, MAX, seed);
            (0..20).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        assert_eq!(series(1), series(1));
        assert_ne!(series(1), series(2));
    }

    #[test]
    fn success_starts_from_the_first_pause_again() {
        let mut backoff = Backoff::new(FIRST_MAX, MAX, 7);
        assert!((0..20).any(|_| backoff.next() > FIRST_MAX));
        backoff.reset();
        assert!(backoff.next() <= FIRST_MAX);
    }

    #[test]
    fn a_connection_that_is_kicked_soon_does_not_reset_the_backoff() {
        let mut backoff = Backoff::new(FIRST_MAX, MAX, 7);
        for failures in 1..=5 {
            backoff.next_after(Duration::from_secs(9));
            assert_eq!(backoff.failures(), failures);
        }
        assert!(backoff.next_after(Duration::from_secs(10)) <= FIRST_MAX);
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn a_maximum_below_the_first_bound_holds() {
        let mut backoff = Backoff::new(FIRST_MAX, Duration::from_millis(20), 7);
        assert!((0..100).all(|_| backoff.next() <= Duration::from_millis(20)));
    }
}
