//! Whether the sink answers. One that is away is asked with one batch at a time, after pauses with full jitter; the pauses
//! are the sink's and the batch's: a batch that a sound sink does not take holds nobody else up.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// The first pause is drawn from nothing to this: a sink that restarts is sent to at once.
pub(super) const RETRY_FIRST_MAX: Duration = Duration::from_millis(250);
/// Pause while a person has to mend something: soon enough after the mending, not enough to fill the logs.
pub(super) const MISCONFIGURED_PAUSE: Duration = Duration::from_secs(30);
/// A sink that asks for a longer pause is asked again after this all the same: it may have meant seconds, or be wrong.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

#[derive(Debug)]
enum State {
    Up,
    /// The last attempt failed.
    Away {
        /// No attempt before.
        until: Instant,
        /// The batch that is under way to see whether the sink is back.
        probe: Option<usize>,
    },
}

#[derive(Debug)]
pub(super) struct Link {
    state: State,
    /// Probes in a row that failed.
    failures: u32,
    pauses: Backoff,
}

impl Link {
    pub(super) fn new(retry_max: Duration, seed: u64) -> Self {
        Self { state: State::Up, failures: 0, pauses: Backoff::new(RETRY_FIRST_MAX, retry_max, seed) }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// Whether a batch may go now.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        match self.state {
            State::Up => true,
            State::Away { until, probe } => probe.is_none() && until <= now,
        }
    }

    /// When the next attempt is due, if that is known and none is under way.
    pub(super) fn free_at(&self) -> Option<Instant> {
        match self.state {
            State::Up | State::Away { probe: Some(_), .. } => None,
            State::Away { until, probe: None } => Some(until),
        }
    }

    pub(super) fn on_sent(&mut self, batch: usize) {
        if let State::Away { probe, .. } = &mut self.state {
            *probe = Some(batch);
        }
    }

    /// The sink answered, be it to refuse.
    pub(super) fn on_answer(&mut self) {
        self.state = State::Up;
        self.failures = 0;
    }

    /// The sink did not take the batch, which failed `failures` times in a row by now, and may have named a pause.
    /// Returns the pause of the batch.
    pub(super) fn on_failure(
        &mut self,
        batch: usize,
        failures: u32,
        after: Option<Duration>,
        now: Instant,
    ) -> Duration {
        let after = after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let is_news = match self.state {
            State::Up => true,
            State::Away { probe, .. } => probe == Some(batch),
        };
        let [mut pause, of_batch] = self.pauses.draw([self.failures, failures.saturating_sub(1)]);
        if is_news {
            self.failures = self.failures.saturating_add(1);
            self.state = State::Away { until: now, probe: None };
        } else {
            pause = Duration::ZERO;
        }
        self.hold(now + pause.max(after));
        of_batch.max(after)
    }

    /// Only a person can help.
    pub(super) fn on_misconfigured(&mut self, now: Instant) {
        self.state = State::Away { until: now, probe: None };
        self.hold(now + MISCONFIGURED_PAUSE);
    }

    fn hold(&mut self, at_least: Instant) {
        if let State::Away { until, .. } = &mut self.state {
            *until = at_least.max(*until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_is_away_gets_one_probe_at_a_time() {
        let (now, mut link) = (Instant::now(), Link::new(Duration::from_secs(30), 1));
        (0..8).for_each(|batch| link.on_sent(batch));
        (0..8).for_each(|batch| assert!(link.on_failure(batch, 1, None, now) <= RETRY_FIRST_MAX));
        assert_eq!(link.failures, 1, "one outage, not eight");
        let until = link.free_at().unwrap();
        assert!(until <= now + RETRY_FIRST_MAX);
        assert!(link.is_free(until));
        link.on_sent(3);
        assert!(!link.is_free(until + Duration::from_secs(60)));
        link.on_failure(3, 2, None, until);
        assert_eq!(link.failures, 2);
        link.on_sent(4);
        link.on_answer();
        assert!(link.is_up());
    }

    #[test]
    fn a_pause_that_the_sink_asks_for_is_kept_within_reason() {
        let (now, mut link) = (Instant::now(), Link::new(Duration::from_secs(30), 1));
        let minute = Duration::from_secs(60);
        assert_eq!(link.on_failure(0, 1, Some(minute), now), minute);
        assert_eq!(link.free_at(), Some(now + minute));
        link.on_answer();
        assert_eq!(link.on_failure(0, 1, Some(100 * minute), now), RETRY_AFTER_MAX);
    }

    #[test]
    fn a_batch_that_a_sound_sink_does_not_take_slows_down_itself_alone() {
        let (now, mut link) = (Instant::now(), Link::new(Duration::from_secs(30), 1));
        let mut longest = Duration::ZERO;
        for failures in 1..50 {
            link.on_sent(0);
            longest = longest.max(link.on_failure(0, failures, None, now));
            assert!(link.free_at().unwrap() <= now + RETRY_FIRST_MAX);
            link.on_answer();
        }
        assert!(longest > Duration::from_secs(10));
    }
}
