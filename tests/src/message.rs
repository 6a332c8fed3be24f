//! One test message: everything in it follows from seed, device and counter, so that the oracle needs no copy of it.

/// 2020-09-13: event times must be in the past, and are the same in every run.
const START_AT_MS: i64 = 1_600_000_000_000;
/// Between two messages of a device: distinct event times, so that each message is a point of its own in InfluxDB.
const STEP_MS: i64 = 10;

/// What a device sends, and what its messages contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    name: String,
    seed: u64,
    /// Characters of noise in each message, for scenarios about space.
    padding: usize,
}

impl Device {
    pub fn new(name: String, seed: u64) -> Self {
        Self { name, seed, padding: 0 }
    }

    pub fn padded(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn topic(&self) -> String {
        format!("sensors/{}/telemetry", self.name)
    }

    pub fn payload(&self, n: u64) -> String {
        let (at_ms, temperature) = (sent_at_ms(n), self.temperature(n));
        if self.padding == 0 {
            return format!(r#"{{"ts":{at_ms},"n":{n},"temperature":{temperature}}}"#);
        }
        format!(r#"{{"ts":{at_ms},"n":{n},"temperature":{temperature},"noise":"{}"}}"#, self.noise(n))
    }

    /// Text that compresses to no less than its size.
    fn noise(&self, n: u64) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut random = Random::new(self.seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 1);
        (0..self.padding).map(|_| char::from(ALPHABET[random.below(64) as usize])).collect()
    }

    /// Tenths of a degree from 15.0 to 24.9: exact in text and on the way back.
    pub fn temperature(&self, n: u64) -> f64 {
        let tenths = Random::new(self.seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).below(100);
        (150 + tenths) as f64 / 10.0
    }
}

fn sent_at_ms(n: u64) -> i64 {
    START_AT_MS + n as i64 * STEP_MS
}

/// The counter of the message with this event time; `None` if no message has it.
///
/// Fractions of a step are let through downwards: a sink may tell points of equal time apart by some nanoseconds.
pub fn counter_at(at_ns: i64) -> Option<u64> {
    let since_ms = at_ns.div_euclid(1_000_000) - START_AT_MS;
    (since_ms >= 0 && since_ms % STEP_MS == 0).then_some((since_ms / STEP_MS) as u64)
}

/// SplitMix64: the same numbers everywhere, for ever.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number in `0..end`; the bias of the remainder does not matter here.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_its_counter_by_its_event_time() {
        for n in [0, 1, 77, 199_999] {
            assert_eq!(counter_at(sent_at_ms(n) * 1_000_000), Some(n));
            assert_eq!(counter_at(sent_at_ms(n) * 1_000_000 + 5), Some(n), "some nanoseconds apart");
        }
        assert_eq!(counter_at((START_AT_MS - STEP_MS) * 1_000_000), None, "before the first");
        assert_eq!(counter_at((START_AT_MS + 1) * 1_000_000), None, "between two");
    }

    #[test]
    fn payloads_follow_from_seed_device_and_counter() {
        let device = Device::new("d1".into(), 7);
        assert_eq!(device.payload(3), Device::new("d1".into(), 7).payload(3));
        let temperatures: Vec<f64> = (0..50).map(|n| device.temperature(n)).collect();
        assert!(temperatures.iter().all(|t| (15.0..25.0).contains(t)));
        assert!(temperatures.iter().any(|t| *t != temperatures[0]), "they vary");
    }
}
