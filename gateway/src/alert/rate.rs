//! How many messages a channel takes: a bound for any hour, half of it at once, the rest spread over the hour.
//!
//! Half at once, so that a few incidents are told one by one; the rest spread, so that in a storm the next summary comes
//! after minutes and not after an hour.

use firmware_protocol::measurement::EventTime;
use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;

/// When the last messages went out, milliseconds since 1970, ascending; durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent(Vec<i64>);

impl Sent {
    pub(super) fn add(&mut self, now: EventTime) {
        let now = now.as_millis();
        // After a step back of the clock, what lies ahead would count for ever.
        self.0.retain(|at| (now - HOUR_MS + 1..=now).contains(at));
        self.0.push(now);
    }

    /// Whether one more may go out, with at most `rate_max` within an hour.
    pub(super) fn allows(&self, rate_max: u32, now: EventTime) -> bool {
        let now = now.as_millis();
        let within = self.0.iter().filter(|at| (now - HOUR_MS + 1..=now).contains(*at));
        let (count, last) = within.fold((0, i64::MIN), |(count, last), at| (count + 1, last.max(*at)));
        let at_once = rate_max.div_ceil(2);
        let spacing_ms = HOUR_MS / i64::from(rate_max - at_once + 1);
        count < rate_max && (count < at_once || now.saturating_sub(last) >= spacing_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minute: i64) -> EventTime {
        EventTime(minute * 60_000_000_000)
    }

    #[test]
    fn no_hour_has_more_than_the_rate_and_a_storm_is_heard_of_again_within_minutes() {
        for rate_max in [1, 2, 3, 20] {
            let (mut sent, mut went) = (Sent::default(), Vec::new());
            for now in 0..300 {
                while sent.allows(rate_max, minute(now)) {
                    sent.add(minute(now));
                    went.push(now);
                }
            }
            for from in 0..240 {
                let within = went.iter().filter(|at| (from..from + 60).contains(*at)).count();
                assert!(within <= rate_max as usize, "{within} in the hour from minute {from}, {rate_max} are allowed");
            }
            let longest = went.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(longest <= 60, "{rate_max}: {longest} minutes without a word");
            if rate_max == 20 {
                assert_eq!(went[9..12], [0, 6, 12], "half of the rate at once, the rest over the hour");
            }
        }
    }

    #[test]
    fn a_clock_that_steps_back_does_not_silence_a_channel() {
        let mut sent = Sent::default();
        sent.add(minute(1_000_000));
        assert!(sent.allows(1, minute(10)), "what lies ahead does not count");
        sent.add(minute(10));
        assert!(!sent.allows(1, minute(11)));
        assert_eq!(sent.0.len(), 1);
    }
}
