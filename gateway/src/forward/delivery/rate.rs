//! Bytes a second that a sink may send: a token bucket with a burst of one second.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Rate {
    /// `None`: any amount.
    bytes_per_second: Option<f64>,
    /// Bytes that may be sent at `at`; below zero after a batch that was larger than the burst.
    level: f64,
    at: Option<Instant>,
}

impl Rate {
    /// 0: any amount.
    pub(super) fn new(bytes_per_second: u64) -> Self {
        let bytes_per_second = (bytes_per_second > 0).then_some(bytes_per_second as f64);
        Self { bytes_per_second, level: bytes_per_second.unwrap_or(0.0), at: None }
    }

    /// When the next batch may go, if not now.
    pub(super) fn free_at(&self, now: Instant) -> Option<Instant> {
        let (rate, at) = (self.bytes_per_second?, self.at?);
        let debt = -(self.level + (now - at).as_secs_f64() * rate);
        (debt > 0.0).then(|| now + Duration::from_secs_f64(debt / rate))
    }

    pub(super) fn on_sent(&mut self, bytes: u64, now: Instant) {
        let Some(rate) = self.bytes_per_second else { return };
        let since = self.at.map_or(0.0, |at| (now - at).as_secs_f64());
        self.level = (self.level + since * rate).min(rate) - bytes as f64;
        self.at = Some(now);
    }

    /// How long the bytes keep the link busy at this rate.
    pub(super) fn time_of(&self, bytes: u64) -> Duration {
        self.bytes_per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 / rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_of_a_second_bytes_go_out_at_the_rate() {
        let (start, mut rate) = (Instant::now(), Rate::new(1_000));
        let (mut now, mut sent) = (start, 0);
        while now < start + Duration::from_secs(100) {
            if let Some(at) = rate.free_at(now) {
                assert!(at > now);
                now = at;
            }
            rate.on_sent(300, now);
            sent += 300;
        }
        assert!((100_000..=101_600).contains(&sent), "{sent}");
    }

    #[test]
    fn a_batch_larger_than_the_burst_goes_out_and_is_waited_for() {
        let (now, mut rate) = (Instant::now(), Rate::new(1_000));
        assert_eq!(rate.free_at(now), None);
        rate.on_sent(5_000, now);
        assert_eq!(rate.free_at(now), Some(now + Duration::from_secs(4)));
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let (now, mut rate) = (Instant::now(), Rate::new(0));
        rate.on_sent(1 << 40, now);
        assert_eq!((rate.free_at(now), rate.time_of(1 << 40)), (None, Duration::ZERO));
    }
}
