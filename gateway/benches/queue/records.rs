//! The load: 100-byte messages of 1000 devices.

use std::fmt;

use gateway::clock::{ClockBoot, Stamp};
use gateway::queue::{Door, Flags, Record};

/// Made before the clock runs, for a door has its bytes from the network; then handed out again and again.
/// A block holds 256 of them, so repetition does not help compression.
const DISTINCT: u64 = 8_192;
const RANDOM_BYTES: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// What sensors send; shrinks to a quarter.
    Json,
    /// Bytes that no compression shortens: the worst case.
    Random,
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Random => "random bytes",
        })
    }
}

/// `records` of them in batches.
pub(crate) fn batches(payload: Payload, records: u64, batch: u64) -> impl Iterator<Item = Vec<Record>> {
    let some: Vec<Record> = (0..DISTINCT).map(|n| record(payload, n)).collect();
    (0..records.div_ceil(batch)).map(move |i| {
        let (first, end) = (i * batch, records.min((i + 1) * batch));
        (first..end).map(|n| some[(n % DISTINCT) as usize].clone()).collect()
    })
}

pub(crate) fn record(payload: Payload, n: u64) -> Record {
    let device = n % 1_000;
    Record {
        door: Door::Listen,
        flags: Flags { qos: 1, ..Flags::default() },
        received: Stamp { boot: ClockBoot(1), since_boot_ns: n * 3_017 },
        topic: format!("plant/press-{device:04}/state").into(),
        payload: match payload {
            Payload::Json => json(device, n).into(),
            Payload::Random => random(n).into(),
        },
        content_type: bytes::Bytes::new(),
        table: bytes::Bytes::new(),
    }
}

fn json(device: u64, n: u64) -> String {
    let t = 1_700_000_000_000 + n * 3;
    let (a, b, c) = (n * 7_919 % 1_000, n * 104_729 % 10_000, n * 31 % 977);
    format!(
        r#"{{"device":"press-{device:04}","time":{t},"temperature":{}.{a:03},"vibration":0.{b:04},"current":{c}.5}}"#,
        20 + n % 5
    )
}

/// xorshift64, seeded by `n`: the same in every run.
fn random(n: u64) -> Vec<u8> {
    let mut state = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(RANDOM_BYTES + 8);
    while bytes.len() < RANDOM_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(RANDOM_BYTES);
    bytes
}
