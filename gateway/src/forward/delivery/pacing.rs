//! How large a batch may be: additive increase, multiplicative decrease, so that live records never wait long behind a
//! batch of the backlog, and a link too thin for a whole batch gets smaller ones.

use std::time::Duration;

/// Most records and most bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// While live records and a backlog share the link, those under way together are to take about this long.
const ATTEMPT: Duration = Duration::from_millis(500);
/// Batches do not become smaller than this: below it requests cost more than records.
pub(super) const RECORDS_MIN: usize = 64;
/// A batch grows by this part of the largest at most…
const STEP_MAX: f64 = 1.0 / 16.0;
/// …and by this part of itself.
const STEP: f64 = 0.25;
/// One slow batch makes the next no smaller than this part of it.
const CUT_MAX: f64 = 0.25;
/// Where the lanes part nothing is known of the link under load: it is tried with this part of the largest batch.
const FIRST: f64 = 0.25;

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It was confirmed, and those under way together took this time. A batch that was not full says nothing about larger ones.
    Took {
        time: Duration,
        was_full: bool,
    },
    TimedOut,
}

#[derive(Debug)]
pub(super) struct Pacing {
    max: Limit,
    /// Of `max`, at most 1.
    part: f64,
}

impl Pacing {
    pub(super) fn new(max: Limit) -> Self {
        Self { max, part: 1.0 }
    }

    pub(super) fn max(&self) -> Limit {
        self.max
    }

    pub(super) fn limit(&self) -> Limit {
        let of = |max: usize| (max as f64 * self.part) as usize;
        Limit { records: of(self.max.records).max(self.records_min()), bytes: of(self.max.bytes).max(1) }
    }

    fn records_min(&self) -> usize {
        RECORDS_MIN.min(self.max.records)
    }

    /// The lanes part.
    pub(super) fn on_split(&mut self) {
        self.set(self.part.min(FIRST));
    }

    /// `is_shared` tells whether both lanes wait.
    pub(super) fn on_attempt(&mut self, attempt: Attempt, is_shared: bool) {
        match attempt {
            Attempt::TimedOut => self.set(self.part / 2.0),
            Attempt::Took { time, was_full } if is_shared && time > ATTEMPT => {
                if was_full {
                    self.set(self.part * (ATTEMPT.as_secs_f64() / time.as_secs_f64()).max(CUT_MAX));
                }
            }
            Attempt::Took { was_full, .. } => {
                if was_full || !is_shared {
                    self.set(self.part + STEP_MAX.min(self.part * STEP));
                }
            }
        }
    }

    fn set(&mut self, part: f64) {
        let least = self.records_min() as f64 / self.max.records as f64;
        self.part = part.clamp(least, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Limit = Limit { records: 5_000, bytes: 1 << 20 };

    /// Batches one after the other over a link of so many records a second.
    fn after(batches: usize, records_per_second: f64, pacing: &mut Pacing) -> Duration {
        let mut time = Duration::ZERO;
        for _ in 0..batches {
            time = Duration::from_secs_f64(pacing.limit().records as f64 / records_per_second);
            pacing.on_attempt(Attempt::Took { time, was_full: true }, true);
        }
        time
    }

    #[test]
    fn an_attempt_comes_to_take_half_a_second_on_links_of_any_speed() {
        for records_per_second in [300.0, 1_000.0, 5_000.0] {
            let mut pacing = Pacing::new(MAX);
            pacing.on_split();
            after(20, records_per_second, &mut pacing);
            for _ in 0..20 {
                let time = after(1, records_per_second, &mut pacing);
                assert!((350..=700).contains(&time.as_millis()), "{time:?} at {records_per_second}");
            }
        }
    }

    #[test]
    fn a_fast_link_gets_whole_batches_and_the_slowest_the_smallest() {
        let mut pacing = Pacing::new(MAX);
        after(20, 1e6, &mut pacing);
        assert_eq!(pacing.limit(), MAX);
        after(40, 10.0, &mut pacing);
        assert_eq!(pacing.limit().records, RECORDS_MIN);
        let mut pacing = Pacing::new(Limit { records: 8, bytes: 100 });
        after(40, 0.1, &mut pacing);
        assert_eq!(pacing.limit().records, 8, "as set");
    }

    #[test]
    fn a_time_out_halves_and_one_lane_alone_grows_however_long_its_batches_take() {
        let mut pacing = Pacing::new(MAX);
        pacing.on_attempt(Attempt::TimedOut, false);
        assert_eq!(pacing.limit().records, 2_500);
        for _ in 0..8 {
            pacing.on_attempt(Attempt::Took { time: Duration::from_secs(5), was_full: true }, false);
        }
        assert_eq!(pacing.limit(), MAX);
    }

    #[test]
    fn a_small_batch_that_took_long_says_nothing_about_the_link() {
        let mut pacing = Pacing::new(MAX);
        pacing.on_attempt(Attempt::Took { time: Duration::from_secs(5), was_full: false }, true);
        assert_eq!(pacing.limit(), MAX);
    }
}
