//! The stable identity of a window: the same everywhere and for ever, so that a repeat upserts the same point.

use std::fmt;

use firmware_protocol::measurement::EventTime;

/// FNV-1a, 64 bits, over device, 0xff, channel, 0xff, start (ms, little endian), revision (little endian).
/// 0xff occurs in no UTF-8 text, so no two names run into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowId(pub u64);

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
const SEPARATOR: [u8; 1] = [0xff];

impl WindowId {
    pub fn new(device: &str, channel: &str, start_at: EventTime, revision: u32) -> Self {
        let parts: [&[u8]; 6] = [
            device.as_bytes(),
            &SEPARATOR,
            channel.as_bytes(),
            &SEPARATOR,
            &start_at.as_millis().to_le_bytes(),
            &revision.to_le_bytes(),
        ];
        Self(parts.iter().fold(FNV_OFFSET, |hash, part| fnv1a(hash, part)))
    }
}

impl fmt::Display for WindowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |h, b| (h ^ u64::from(*b)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_agrees_with_published_vectors_of_fnv_1a() {
        assert_eq!(fnv1a(FNV_OFFSET, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(FNV_OFFSET, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(FNV_OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn ids_tell_apart_names_that_only_differ_in_where_they_end() {
        let at = EventTime::from_millis(600_000);
        assert_ne!(WindowId::new("ab", "c", at, 0), WindowId::new("a", "bc", at, 0));
        assert_ne!(WindowId::new("a", "b", at, 0), WindowId::new("a", "b", at, 1));
        assert_eq!(WindowId::new("a", "b", at, 0).to_string().len(), 16);
    }
}
