//! Pauses between attempts: exponential, with full jitter, from a seeded generator.

use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// Grows with each failure in a row, up to a limit.
#[derive(Debug)]
pub(super) struct Backoff {
    random: Xoshiro256PlusPlus,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// The first pause is drawn from nothing to this: a sink that restarts is back at once.
    const FIRST_MAX: Duration = Duration::from_millis(250);
    /// A sink's own word about when to come back is followed up to here: a typo of theirs must not stop us for a day.
    const AFTER_MAX: Duration = Duration::from_secs(300);

    pub(super) fn new(max: Duration, seed: u64) -> Self {
        Self { random: Xoshiro256PlusPlus::seed_from_u64(seed), max, failures: 0 }
    }

    /// The pause after one more failure; `after` is the sink's own word, a lower bound.
    pub(super) fn next(&mut self, after: Option<Duration>) -> Duration {
        let ceiling =
            Self::FIRST_MAX.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        // The upper 53 bits are a fraction that is the same on every machine.
        let fraction = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        ceiling.mul_f64(fraction).max(after.unwrap_or_default().min(Self::AFTER_MAX))
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(30);

    #[test]
    fn backoff_is_jittered_and_bounded() {
        let mut backoff = Backoff::new(MAX, 7);
        let pauses: Vec<Duration> = (0..1_000).map(|_| backoff.next(None)).collect();
        assert!(pauses[0] <= Backoff::FIRST_MAX);
        assert!(pauses.iter().all(|p| *p <= MAX));
        let late = &pauses[10..];
        assert!(late.iter().any(|p| *p < MAX / 10) && late.iter().any(|p| *p > MAX * 9 / 10), "spread over all of it");
        let mean = late.iter().sum::<Duration>() / late.len() as u32;
        assert!(mean > MAX * 4 / 10 && mean < MAX * 6 / 10, "mean {mean:?}");
    }

    #[test]
    fn one_seed_gives_one_series_of_pauses() {
        let series = |seed| {
            let mut backoff = Backoff::new(MAX, seed);
            (0..20).map(|_| backoff.next(None)).collect::<Vec<_>>()
        };
        assert_eq!(series(1), series(1));
        assert_ne!(series(1), series(2));
    }

    #[test]
    fn the_word_of_the_sink_about_when_is_respected_within_reason() {
        let mut backoff = Backoff::new(MAX, 7);
        assert!(backoff.next(Some(Duration::from_secs(60))) >= Duration::from_secs(60));
        assert_eq!(backoff.next(Some(Duration::from_secs(86_400))), Backoff::AFTER_MAX);
    }

    #[test]
    fn success_starts_from_the_first_pause_again() {
        let mut backoff = Backoff::new(MAX, 7);
        assert!((0..20).any(|_| backoff.next(None) > Backoff::FIRST_MAX));
        backoff.reset();
        assert!(backoff.next(None) <= Backoff::FIRST_MAX);
    }
}
