//! How much one client may send: a bucket of one second's worth. A client beyond it is read later, nothing is refused.

use std::time::{Duration, Instant};

/// Tokens flow in at a steady rate; what is taken beyond the level is a debt that delays the next reading.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_second: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(per_second: f64, now: Instant) -> Self {
        Self { per_second, level: per_second, at: now }
    }

    fn take(&mut self, amount: f64, now: Instant) {
        let flowed = now.duration_since(self.at).as_secs_f64() * self.per_second;
        self.level = (self.level + flowed).min(self.per_second) - amount;
        self.at = now;
    }

    /// When the debt is paid.
    fn ready_at(&self) -> Option<Instant> {
        (self.level < 0.0).then(|| self.at + Duration::from_secs_f64(-self.level / self.per_second))
    }
}

/// The limits of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Rate {
    /// 0: no limit.
    pub(super) fn new(messages_per_second: u32, bytes_per_second: u64, now: Instant) -> Self {
        let bucket = |per_second: f64| (per_second > 0.0).then(|| Bucket::new(per_second, now));
        Self { messages: bucket(f64::from(messages_per_second)), bytes: bucket(bytes_per_second as f64) }
    }

    pub(super) fn take(&mut self, messages: usize, bytes: usize, now: Instant) {
        for (bucket, amount) in [(&mut self.messages, messages), (&mut self.bytes, bytes)] {
            if let Some(bucket) = bucket {
                bucket.take(amount as f64, now);
            }
        }
    }

    /// `None`: reading may go on.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        [&self.messages, &self.bytes].into_iter().flatten().filter_map(Bucket::ready_at).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_is_free_and_the_rest_is_waited_for() {
        let start = Instant::now();
        let mut rate = Rate::new(100, 0, start);
        rate.take(100, 1_000_000, start);
        assert_eq!(rate.ready_at(), None);
        rate.take(50, 0, start);
        assert_eq!(rate.ready_at(), Some(start + Duration::from_millis(500)));
        rate.take(0, 0, start + Duration::from_millis(500));
        assert_eq!(rate.ready_at(), None);
    }

    #[test]
    fn the_stricter_of_two_limits_counts_and_none_is_none() {
        let start = Instant::now();
        let mut rate = Rate::new(100, 1_000, start);
        rate.take(1, 3_000, start);
        assert_eq!(rate.ready_at(), Some(start + Duration::from_secs(2)));
        let mut free = Rate::new(0, 0, start);
        free.take(1_000_000, 1_000_000, start);
        assert_eq!(free.ready_at(), None);
    }
}
