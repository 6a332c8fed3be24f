//! Keys and values in a generation's store.
//!
//! # Format (big endian, so that keys sort)
//!
//! | key | value |
//! |---|---|
//! | `0` or `1` (log), first sequence u64, part u16, parts u16, records u16 | part of a block, see [`Part`] |
//! | `a`, log u8, consumer | account |
//! | `e`, log u8 | u64: where this generation begins |
//! | `g`, generation u32, log u8, first u64 | u64: end of a run held by that older generation |
//! | `l`, log u8, first u64 | u64: end of a run that was lost |
//! | `m`, generation u32, log u8 | bytes of its blocks u64, stamp of its newest record: boot u64, ns u64 |
//! | `s`, name, 0, part u16 | part of a stage's state; part 0 begins with length and CRC-32, u32 each |
//!
//! # Part of a block
//! Says itself what it is, so that it can be found again in the file of a store that cannot be opened any more.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic `GWQP` |
//! | 4 | 4 | CRC-32 (IEEE) of all that follows |
//! | 8 | 15 | its key |
//! | 23 | 2 | length of the rest |
//! | 25 | … | bytes of the block |

use crate::clock::{ClockBoot, Stamp};
use crate::queue::record::{Log, QueueSeq};
use crate::queue::runs::Run;
use crate::queue::store::VALUE_BYTES_MAX;

pub(in crate::queue) const ACCOUNT: u8 = b'a';
pub(in crate::queue) const BEGIN: u8 = b'e';
pub(in crate::queue) const OLDER_RUN: u8 = b'g';
pub(in crate::queue) const LOST: u8 = b'l';
pub(in crate::queue) const OLDER_META: u8 = b'm';
pub(in crate::queue) const STATE: u8 = b's';

/// Whether keys like this come in ascending order and are never changed: an engine may store them accordingly.
pub(in crate::queue) fn grows(key: &[u8]) -> bool {
    key.first().is_some_and(|tag| Log::ALL.into_iter().any(|log| log_tag(log) == *tag))
}

/// Whether two keys that grow do so in one sequence.
pub(in crate::queue) fn grow_together(a: &[u8], b: &[u8]) -> bool {
    a.first() == b.first()
}

pub(in crate::queue) fn log_tag(log: Log) -> u8 {
    b'0' + log as u8
}

fn be_u64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Key of one part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) struct BlockKey {
    pub(in crate::queue) log: Log,
    pub(in crate::queue) first: QueueSeq,
    pub(in crate::queue) part: u16,
    pub(in crate::queue) parts: u16,
    pub(in crate::queue) records: u16,
}

impl BlockKey {
    const BYTES: usize = 1 + 8 + 2 + 2 + 2;

    pub(in crate::queue) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut key = [0; Self::BYTES];
        key[..9].copy_from_slice(&self.prefix());
        key[9..11].copy_from_slice(&self.part.to_be_bytes());
        key[11..13].copy_from_slice(&self.parts.to_be_bytes());
        key[13..].copy_from_slice(&self.records.to_be_bytes());
        key
    }

    pub(in crate::queue) fn parse(key: &[u8]) -> Option<Self> {
        let key: &[u8; Self::BYTES] = key.try_into().ok()?;
        let half = |at: usize| u16::from_be_bytes([key[at], key[at + 1]]);
        Some(Self {
            log: Log::ALL.into_iter().find(|l| log_tag(*l) == key[0])?,
            first: QueueSeq(be_u64(&key[1..9])?),
            part: half(9),
            parts: half(11),
            records: half(13),
        })
    }

    pub(in crate::queue) fn run(self) -> Run {
        Run::new(self.first, self.first.plus(self.records.into()))
    }

    /// Of all parts of the block.
    pub(in crate::queue) fn prefix(self) -> [u8; 9] {
        let mut key = [log_tag(self.log); 9];
        key[1..].copy_from_slice(&self.first.0.to_be_bytes());
        key
    }

    /// Sorts after all parts of a block that begins at `first`, and before all later ones.
    pub(in crate::queue) fn last(log: Log, first: QueueSeq) -> [u8; Self::BYTES] {
        Self { log, first, part: u16::MAX, parts: u16::MAX, records: u16::MAX }.to_bytes()
    }
}

/// Part of a block, with all that is needed to tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Part<'a> {
    pub(in crate::queue) key: BlockKey,
    pub(in crate::queue) bytes: &'a [u8],
}

impl<'a> Part<'a> {
    pub(in crate::queue) const MAGIC: [u8; 4] = *b"GWQP";
    pub(in crate::queue) const HEAD_BYTES: usize = 4 + 4 + BlockKey::BYTES + 2;
    const BYTES_MAX: usize = VALUE_BYTES_MAX - Self::HEAD_BYTES;

    /// A block cut into parts.
    pub(in crate::queue) fn cut(log: Log, run: Run, block: &'a [u8]) -> impl Iterator<Item = Self> {
        let parts = u16::try_from(block.len().div_ceil(Self::BYTES_MAX)).expect("the longest block has some 80 parts");
        let records = u16::try_from(run.count()).expect("a block has at most 256 records");
        let key = move |part| BlockKey { log, first: run.first, part, parts, records };
        (0..parts).zip(block.chunks(Self::BYTES_MAX)).map(move |(part, bytes)| Self { key: key(part), bytes })
    }

    pub(in crate::queue) fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::HEAD_BYTES + self.bytes.len());
        out.extend_from_slice(&Self::MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.key.to_bytes());
        out.extend_from_slice(&(self.bytes.len() as u16).to_be_bytes());
        out.extend_from_slice(self.bytes);
        let crc = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// The part at the beginning of `bytes`, if it is one and whole.
    pub(in crate::queue) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(Self::HEAD_BYTES)?;
        let len = usize::from(u16::from_be_bytes([head[23], head[24]]));
        let crc = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let covered = bytes.get(8..Self::HEAD_BYTES + len)?;
        if head[..4] != Self::MAGIC || crc32fast::hash(covered) != crc {
            return None;
        }
        Some(Self { key: BlockKey::parse(&head[8..23])?, bytes: &rest[..len] })
    }

    /// What a value holds of its block, vouched for or not: the block's own CRC decides.
    pub(in crate::queue) fn unchecked_bytes(value: &'a [u8]) -> &'a [u8] {
        Self::parse(value).map_or_else(|| value.get(Self::HEAD_BYTES..).unwrap_or_default(), |part| part.bytes)
    }
}

pub(in crate::queue) fn account(name: &str, log: Log) -> Vec<u8> {
    [&[ACCOUNT, log as u8], name.as_bytes()].concat()
}

pub(in crate::queue) fn parse_account(key: &[u8]) -> Option<(&str, Log)> {
    Some((std::str::from_utf8(key.get(2..)?).ok()?, Log::from_byte(key[1])?))
}

pub(in crate::queue) fn begin(log: Log) -> [u8; 2] {
    [BEGIN, log as u8]
}

pub(in crate::queue) fn parse_begin(key: &[u8], value: &[u8]) -> Option<(Log, QueueSeq)> {
    Some((Log::from_byte(*key.get(1)?)?, QueueSeq(be_u64(value)?)))
}

pub(in crate::queue) fn lost(log: Log, first: QueueSeq) -> Vec<u8> {
    [&[LOST, log as u8], first.0.to_be_bytes().as_slice()].concat()
}

pub(in crate::queue) fn parse_lost(key: &[u8], value: &[u8]) -> Option<(Log, Run)> {
    Some((Log::from_byte(*key.get(1)?)?, Run::new(QueueSeq(be_u64(&key[2..])?), QueueSeq(be_u64(value)?))))
}

pub(in crate::queue) fn older_run(generation: u32, log: Log, first: QueueSeq) -> Vec<u8> {
    [&[OLDER_RUN], generation.to_be_bytes().as_slice(), &[log as u8], &first.0.to_be_bytes()].concat()
}

pub(in crate::queue) fn parse_older_run(key: &[u8], value: &[u8]) -> Option<(u32, Log, Run)> {
    let run = Run::new(QueueSeq(be_u64(key.get(6..)?)?), QueueSeq(be_u64(value)?));
    Some((u32::from_be_bytes(key[1..5].try_into().ok()?), Log::from_byte(key[5])?, run))
}

pub(in crate::queue) fn older_meta(generation: u32, log: Log) -> Vec<u8> {
    [&[OLDER_META], generation.to_be_bytes().as_slice(), &[log as u8]].concat()
}

pub(in crate::queue) fn meta_value(bytes: u64, newest: Stamp) -> Vec<u8> {
    [bytes, newest.boot.0, newest.since_boot_ns].map(u64::to_be_bytes).concat()
}

/// Generation, log, bytes of its blocks, stamp of its newest record.
pub(in crate::queue) fn parse_older_meta(key: &[u8], value: &[u8]) -> Option<(u32, Log, u64, Stamp)> {
    let generation = u32::from_be_bytes(key.get(1..5)?.try_into().ok()?);
    let word = |at: usize| be_u64(value.get(at..at + 8)?);
    let newest = Stamp { boot: ClockBoot(word(8)?), since_boot_ns: word(16)? };
    Some((generation, Log::from_byte(*key.get(5)?)?, word(0)?, newest))
}

/// Names hold no zero byte: the queue refuses them.
pub(in crate::queue) fn state_prefix(name: &str) -> Vec<u8> {
    [&[STATE], name.as_bytes(), &[0]].concat()
}

/// The name in the key of a part of state.
pub(in crate::queue) fn parse_state(key: &[u8]) -> Option<&str> {
    let (name, part) = key.get(1..)?.split_last_chunk::<3>()?;
    std::str::from_utf8(name).ok().filter(|_| part[0] == 0)
}

pub(in crate::queue) fn state_part(name: &str, part: u16) -> Vec<u8> {
    [state_prefix(name).as_slice(), &part.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_whole_or_not_at_all() {
        let block: Vec<u8> = (0..40_000u32).map(|i| i as u8).collect();
        let run = Run::new(QueueSeq(7), QueueSeq(100));
        let parts: Vec<_> = Part::cut(Log::Derived, run, &block).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts.iter().flat_map(|p| p.bytes).copied().collect::<Vec<_>>(), block);
        for part in parts {
            let mut bytes = part.to_bytes();
            assert!(bytes.len() <= VALUE_BYTES_MAX);
            assert_eq!(part.key.run(), run);
            bytes.push(0);
            assert_eq!(Part::parse(&bytes), Some(part), "what follows does not matter");
            assert_eq!(Part::parse(&bytes[..bytes.len() - 2]), None);
            for at in [0, 4, 9, 24, 60] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                assert_eq!(Part::parse(&damaged), None, "byte {at}");
            }
        }
    }
}
