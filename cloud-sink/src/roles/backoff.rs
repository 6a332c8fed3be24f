//! Pauses between attempts.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const MAX: Duration = Duration::from_secs(30);
/// A wrong token or a missing bucket is mended by a human: asking more often only fills logs.
pub const MISCONFIGURED: Duration = Duration::from_secs(15);

/// Full jitter: anything between zero and the doubled pause, so that many sinks do not come back at once.
pub fn pause(attempt: u32) -> Duration {
    let ceiling = FIRST.saturating_mul(1 << attempt.min(16)).min(MAX);
    let random = RandomState::new().build_hasher().finish();
    ceiling.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_attempts_is_bounded() {
        assert!((0..100).all(|attempt| pause(attempt) <= MAX));
        assert!((0..100).any(|_| pause(20) > MAX / 4), "jitter spreads over the whole range");
    }
}
