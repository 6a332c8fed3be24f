//! How long the backlog will last: by what was settled and what came in during the last minute.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const SAMPLE_EVERY: Duration = Duration::from_secs(5);
const SAMPLES_MAX: usize = 13;
/// What is said where nothing gets less: ten years.
const ENDLESS: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// Records waiting at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    waiting: u64,
}

#[derive(Debug, Default)]
pub(super) struct Drain {
    samples: VecDeque<Sample>,
}

impl Drain {
    pub(super) fn observe(&mut self, now: Instant, waiting: u64) {
        if self.samples.back().is_some_and(|last| now < last.at + SAMPLE_EVERY) {
            return;
        }
        // After a long silence what was before says nothing.
        let oldest = SAMPLE_EVERY * SAMPLES_MAX as u32;
        self.samples.retain(|sample| now < sample.at + oldest);
        self.samples.push_back(Sample { at: now, waiting });
    }

    /// Until nothing waits, if it goes on as in the last minute: what waits gets less by what was settled, and more by
    /// what came in.
    pub(super) fn remaining(&self, now: Instant, waiting: u64) -> Duration {
        if waiting == 0 {
            return Duration::ZERO;
        }
        let Some(first) = self.samples.front().filter(|first| first.at < now) else { return ENDLESS };
        let less = first.waiting as f64 - waiting as f64;
        if less <= 0.0 {
            return ENDLESS;
        }
        let seconds = waiting as f64 * (now - first.at).as_secs_f64() / less;
        Duration::from_secs_f64(seconds.min(ENDLESS.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_the_last_minute_says() {
        let (start, mut drain) = (Instant::now(), Drain::default());
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            drain.observe(now, 200_000 - 1_000 * second);
            assert!(drain.samples.len() <= SAMPLES_MAX);
        }
        let now = start + Duration::from_secs(100);
        assert_eq!(drain.remaining(now, 100_000).as_secs(), 100);
        assert_eq!(drain.remaining(now, 0), Duration::ZERO);
        assert_eq!(drain.remaining(now, 300_000), ENDLESS, "it grows");
    }
}
