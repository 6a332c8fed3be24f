//! The clock map as it is stored, so that times of earlier boots are known after a restart.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | `CLK2` |
//! | 8 | newest wall time believed, nanoseconds since 1970 |
//! | *a boot:* 8 | id |
//! | 8 | wall time at its zero |
//! | 1 | 0 set, 1 unsynchronised, 2 estimated |
//! | 8 | newest record, nanoseconds since boot |
//!
//! All little endian. The first version was id and wall time of each boot, and nothing else.

use firmware_protocol::measurement::{ClockTrust, EventTime};

use super::{Boot, ClockMap};
use crate::clock::ClockBoot;
use crate::clock::state::BELIEVABLE_FROM;

const MAGIC: &[u8] = b"CLK2";
const BOOT_BYTES: usize = 25;
const BOOT_BYTES_V1: usize = 16;

impl ClockMap {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [MAGIC, &self.newest.0.to_le_bytes()].concat();
        for Boot { id, at_ns, trust, until_ns } in &self.boots {
            bytes.extend(id.0.to_le_bytes());
            bytes.extend(at_ns.to_le_bytes());
            bytes.push(*trust as u8);
            bytes.extend(until_ns.to_le_bytes());
        }
        bytes
    }

    /// What cannot be read is left out.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let Some((newest, boots)) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first_chunk) else {
            return Self::from_bytes_v1(bytes);
        };
        let boots = boots.chunks_exact(BOOT_BYTES).map(|b| Boot {
            id: ClockBoot(word(b, 0)),
            at_ns: word(b, 8) as i64,
            trust: ClockTrust::ALL.into_iter().find(|t| *t as u8 == b[16]).unwrap_or(ClockTrust::Unsynchronised),
            until_ns: word(b, 17),
        });
        let mut map = Self { boots: boots.collect(), newest: EventTime(i64::from_le_bytes(*newest)) };
        map.boots.truncate(Self::BOOTS_MAX);
        map
    }

    fn from_bytes_v1(bytes: &[u8]) -> Self {
        let mut map = Self::default();
        for boot in bytes.chunks_exact(BOOT_BYTES_V1) {
            let (id, at_ns) = (ClockBoot(word(boot, 0)), word(boot, 8) as i64);
            if at_ns < BELIEVABLE_FROM.0 {
                map.note(id, at_ns);
            } else {
                map.set(id, at_ns);
                map.newest = map.newest.max(EventTime(at_ns));
            }
        }
        map.estimate();
        map
    }
}

/// The eight bytes at `at`, which the caller has cut to be there.
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}
