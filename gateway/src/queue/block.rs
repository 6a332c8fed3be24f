//! A block: up to 256 records of one log in a row, the unit that is stored, read and cached.
//!
//! # Format, version 2 (integers little endian; varint: LEB128; string: varint length, then bytes)
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic `GWQB` |
//! | 4 | 1 | version, 2 |
//! | 5 | 1 | log: 0 raw, 1 derived |
//! | 6 | 2 | records in the block, 1 to 256 |
//! | 8 | 8 | sequence of the first record |
//! | 16 | 8 | clock boot id of all its records |
//! | 24 | 4 | length of the body before compression |
//! | 28 | 4 | CRC-32 (IEEE) over bytes 0–27 and the compressed body |
//! | 32 | … | body, one LZ4 block |
//!
//! The body is its records one after the other, without padding:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | bits 0–3 door, 4–5 QoS, 6 retained, 7 redelivered |
//! | varint | received: zigzag difference to the record before, ns since boot (the first: to 0) |
//! | varint | topic: index into the block's table of texts; an index one past its end is followed by a string, which joins it |
//! | varint | content type, in the same table; entry 0 is the empty text |
//! | varint | what the payload's channel numbers mean, in the same table |
//! | string | payload |
//!
//! Version 1 had no channel numbers: its records go from the content type on to the payload. It is read for ever.
//!
//! # Invariants
//! - Records of different boots never share a block, hence one boot id in the header.
//! - Decoding accepts only what its CRC vouches for, and never reads or allocates beyond the stated lengths.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{Door, Flags, Log, QueueSeq, Record};
use super::varint::{self, Input};
use crate::clock::{ClockBoot, Stamp};

const MAGIC: [u8; 4] = *b"GWQB";
const VERSION: u8 = 2;
/// Records have no table of channel numbers.
const VERSION_WITHOUT_TABLE: u8 = 1;
const HEADER_BYTES: usize = 32;
const CRC_AT: usize = 28;
/// Records of this many bytes in all close a block: small ones still come to 256, and a reader's step stays small.
const CUT_BYTES: usize = 64 * 1024;
/// Longest body the decoder makes room for: a cut's worth and one record of the largest kind on top.
const BODY_BYTES_MAX: usize = CUT_BYTES + Record::PAYLOAD_MAX + 2 * Record::TOPIC_MAX + Record::TABLE_MAX + 1024;

/// Records in a row, decoded from the store or just committed. Shared between all readers.
#[derive(Clone, Debug)]
pub struct Block {
    log: Log,
    first: QueueSeq,
    records: Arc<[Record]>,
}

impl Block {
    /// Version of the format that is written.
    pub const FORMAT: u8 = VERSION;
    /// At most this many records in one block.
    pub const RECORDS_MAX: usize = 256;

    pub fn new(log: Log, first: QueueSeq, records: Vec<Record>) -> Self {
        Self { log, first, records: records.into() }
    }

    pub fn log(&self) -> Log {
        self.log
    }

    /// Sequence of the first record.
    pub fn first(&self) -> QueueSeq {
        self.first
    }

    /// Sequence after the last record.
    pub fn end(&self) -> QueueSeq {
        self.first.plus(self.records.len() as u64)
    }

    /// The records at and after `from`, each with its sequence.
    pub fn records_from(&self, from: QueueSeq) -> impl Iterator<Item = (QueueSeq, &Record)> {
        let skip = self.first.count_to(from) as usize;
        let first = self.first;
        self.records.iter().enumerate().skip(skip).map(move |(i, r)| (first.plus(i as u64), r))
    }
}

/// Why stored bytes are not the block that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("block of {0} bytes is shorter than its header")]
    Short(usize),
    #[error("block does not begin with its magic")]
    Magic,
    #[error("block has format version {0}, this program knows {VERSION_WITHOUT_TABLE} to {VERSION}")]
    Version(u8),
    #[error("block's CRC is {found:08x}, its content gives {computed:08x}")]
    Crc { found: u32, computed: u32 },
    #[error("block's records do not follow the format")]
    Body,
}

/// A block before compression: what the cache keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    version: u8,
    pub(super) log: Log,
    pub(super) first: QueueSeq,
    pub(super) records: u16,
    boot: ClockBoot,
    bytes: Bytes,
}

/// A block ready to be stored.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub(super) body: Body,
    pub(super) stored: Vec<u8>,
    /// When its last record was received.
    pub(super) newest: Stamp,
}

/// Cuts records into blocks and encodes them.
pub(super) fn encode_all(log: Log, first: QueueSeq, mut records: &[Record], out: &mut Vec<Encoded>) {
    let mut first = first;
    while !records.is_empty() {
        let (now, rest) = records.split_at(cut(records));
        out.push(encode(log, first, now));
        first = first.plus(now.len() as u64);
        records = rest;
    }
}

/// How many of `records`, at least one, make up the next block.
fn cut<'r>(records: &'r [Record]) -> usize {
    let boot = records[0].received.boot;
    let (mut bytes, mut table) = (0, &[][..]);
    let fits = |r: &'r Record| {
        let fits = bytes < CUT_BYTES && r.received.boot == boot;
        bytes += r.payload.len() + r.topic.len() + r.content_type.len();
        // Those of a device mostly have the same one, which is stored once.
        if r.table != table {
            (bytes, table) = (bytes + r.table.len(), &r.table);
        }
        fits
    };
    records.iter().take(Block::RECORDS_MAX).map(fits).take_while(|fits| *fits).count()
}

/// One record as a stored block.
pub(super) fn encode_one(log: Log, seq: QueueSeq, record: &Record) -> Vec<u8> {
    encode(log, seq, std::slice::from_ref(record)).stored
}

fn encode(log: Log, first: QueueSeq, records: &[Record]) -> Encoded {
    debug_assert!((1..=Block::RECORDS_MAX).contains(&records.len()), "{} records in a block", records.len());
    let boot = records[0].received.boot;
    let mut bytes = Vec::with_capacity(records.iter().map(|r| r.payload.len() + 24).sum());
    let mut texts = Texts::default();
    let mut before = 0;
    for r in records {
        debug_assert_eq!(r.received.boot, boot, "one boot a block");
        bytes.push(r.door as u8 | r.flags.to_byte() << 4);
        varint::put(&mut bytes, varint::zigzag(r.received.since_boot_ns.wrapping_sub(before) as i64));
        before = r.received.since_boot_ns;
        for (field, text) in [&r.topic, &r.content_type, &r.table].into_iter().enumerate() {
            let (index, is_new) = texts.index(field, text);
            varint::put(&mut bytes, index);
            if is_new {
                varint::put_bytes(&mut bytes, text);
            }
        }
        varint::put_bytes(&mut bytes, &r.payload);
    }
    let body = Body { version: VERSION, log, first, records: records.len() as u16, boot, bytes: bytes.into() };
    let stored = body.pack();
    Encoded { body, stored, newest: Stamp { boot, since_boot_ns: before } }
}

/// The block's table of texts while it is written.
#[derive(Default)]
struct Texts<'r> {
    /// Without the empty text, which is entry 0.
    indices: HashMap<&'r [u8], u64>,
    /// By field. A device's records mostly come several in a row: its topic is looked up once.
    last: [(&'r [u8], u64); 3],
}

impl<'r> Texts<'r> {
    /// Where the text is in the table, and whether it has just joined it.
    fn index(&mut self, field: usize, text: &'r [u8]) -> (u64, bool) {
        if text.is_empty() {
            return (0, false);
        }
        if text == self.last[field].0 {
            return (self.last[field].1, false);
        }
        let next = self.indices.len() as u64 + 1;
        let index = *self.indices.entry(text).or_insert(next);
        self.last[field] = (text, index);
        (index, index == next)
    }
}

impl Body {
    /// Memory that the block takes once decoded.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len() + usize::from(self.records) * size_of::<Record>()
    }

    pub(super) fn end(&self) -> QueueSeq {
        self.first.plus(self.records.into())
    }

    fn pack(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES + lz4_flex::block::get_maximum_output_size(self.bytes.len())];
        let len = lz4_flex::block::compress_into(&self.bytes, &mut out[HEADER_BYTES..])
            .expect("the buffer has the size that the compressor asks for");
        out.truncate(HEADER_BYTES + len);
        out[..4].copy_from_slice(&MAGIC);
        out[4] = self.version;
        out[5] = self.log as u8;
        out[6..8].copy_from_slice(&self.records.to_le_bytes());
        out[8..16].copy_from_slice(&self.first.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.boot.0.to_le_bytes());
        out[24..28].copy_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        let crc = crc(&out);
        out[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn unpack(stored: &[u8]) -> Result<Self, Damage> {
        if stored.len() < HEADER_BYTES {
            return Err(Damage::Short(stored.len()));
        }
        if stored[..4] != MAGIC {
            return Err(Damage::Magic);
        }
        let (found, computed) = (le_u64(&stored[CRC_AT..HEADER_BYTES]) as u32, crc(stored));
        if found != computed {
            return Err(Damage::Crc { found, computed });
        }
        let version = stored[4];
        if !(VERSION_WITHOUT_TABLE..=VERSION).contains(&version) {
            return Err(Damage::Version(version));
        }
        let log = Log::from_byte(stored[5]).ok_or(Damage::Body)?;
        let len = le_u64(&stored[24..28]) as usize;
        if len > BODY_BYTES_MAX {
            return Err(Damage::Body);
        }
        let bytes = lz4_flex::block::decompress(&stored[HEADER_BYTES..], len).map_err(|_| Damage::Body)?;
        if bytes.len() != len {
            return Err(Damage::Body);
        }
        Ok(Self {
            version,
            log,
            first: QueueSeq(le_u64(&stored[8..16])),
            records: le_u64(&stored[6..8]) as u16,
            boot: ClockBoot(le_u64(&stored[16..24])),
            bytes: bytes.into(),
        })
    }

    /// The records, whose fields are slices of this body.
    pub(super) fn decode(&self) -> Result<Block, Damage> {
        let mut input = Input::new(&self.bytes);
        let mut texts = vec![Bytes::new()];
        let mut since_boot_ns = 0;
        let records = (0..self.records).map(|_| self.record(&mut input, &mut texts, &mut since_boot_ns));
        let records = records.collect::<Option<Arc<[Record]>>>().filter(|_| input.is_empty()).ok_or(Damage::Body)?;
        Ok(Block { log: self.log, first: self.first, records })
    }

    fn record(&self, input: &mut Input<'_>, texts: &mut Vec<Bytes>, since_boot_ns: &mut u64) -> Option<Record> {
        let head = input.byte()?;
        *since_boot_ns = since_boot_ns.wrapping_add(varint::unzigzag(input.varint()?) as u64);
        Some(Record {
            door: Door::from_byte(head & 0x0f)?,
            flags: Flags::from_byte(head >> 4),
            received: Stamp { boot: self.boot, since_boot_ns: *since_boot_ns },
            topic: text(input, texts)?,
            content_type: text(input, texts)?,
            table: if self.version == VERSION_WITHOUT_TABLE { Bytes::new() } else { text(input, texts)? },
            payload: input.bytes()?,
        })
    }
}

/// Decodes what `encode` made.
pub(super) fn decode(stored: &[u8]) -> Result<Block, Damage> {
    Body::unpack(stored)?.decode()
}

/// When the last record of a stored block was received.
pub(super) fn newest(stored: &[u8]) -> Result<Stamp, Damage> {
    let block = decode(stored)?;
    Ok(block.records.last().map(|r| r.received).unwrap_or_default())
}

fn text(input: &mut Input<'_>, texts: &mut Vec<Bytes>) -> Option<Bytes> {
    let index = usize::try_from(input.varint()?).ok()?;
    if index == texts.len() {
        texts.push(input.bytes()?);
    }
    texts.get(index).cloned()
}

fn crc(stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&stored[..CRC_AT]);
    hasher.update(&stored[HEADER_BYTES..]);
    hasher.finalize()
}

/// Little endian, of up to eight bytes.
fn le_u64(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(topic: &str, payload: &[u8], boot: u64, since_boot_ns: u64) -> Record {
        Record {
            door: Door::Listen,
            flags: Flags { qos: 1, retained: false, redelivered: true },
            received: Stamp { boot: ClockBoot(boot), since_boot_ns },
            topic: topic.to_owned().into(),
            payload: payload.to_vec().into(),
            content_type: Bytes::new(),
            table: Bytes::new(),
        }
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
        (0..6u8, 0..3u8, any::<[bool; 2]>(), 0..3u64, any::<u64>(), bytes(8), bytes(600), bytes(4), bytes(6)).prop_map(
            |(door, qos, [retained, redelivered], boot, ns, topic, payload, content_type, table)| Record {
                door: Door::from_byte(door).expect("below six"),
                flags: Flags { qos, retained, redelivered },
                received: Stamp { boot: ClockBoot(boot), since_boot_ns: ns },
                topic: topic.into(),
                payload: payload.into(),
                content_type: content_type.into(),
                table: table.into(),
            },
        )
    }

    fn round_trip(records: &[Record]) -> Vec<(QueueSeq, Record)> {
        let mut blocks = Vec::new();
        encode_all(Log::Derived, QueueSeq(7), records, &mut blocks);
        let decoded = blocks.iter().map(|b| decode(&b.stored).expect("own encoding"));
        decoded.flat_map(|b| b.records_from(b.first()).map(|(s, r)| (s, r.clone())).collect::<Vec<_>>()).collect()
    }

    proptest! {
        #[test]
        fn what_is_decoded_is_what_was_encoded(records in prop::collection::vec(any_record(), 0..600)) {
            let found = round_trip(&records);
            let expected: Vec<_> = (7..).map(QueueSeq).zip(records).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_changed_byte_is_noticed(at in 0..200usize, flip in 1..=255u8) {
            let records: Vec<_> = (0..40).map(|i| record("a/b", format!("{i}").as_bytes(), 1, i)).collect();
            let mut stored = encode(Log::Raw, QueueSeq(0), &records).stored;
            let at = at % stored.len();
            stored[at] ^= flip;
            prop_assert!(decode(&stored).is_err());
        }

        #[test]
        fn any_bytes_behind_a_right_crc_are_decoded_or_refused_without_panic(
            mut stored in prop::collection::vec(any::<u8>(), HEADER_BYTES..400),
        ) {
            stored[..4].copy_from_slice(&MAGIC);
            stored[4] = VERSION - (stored[5] >> 1 & 1);
            stored[5] &= 1;
            let crc = crc(&stored);
            stored[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
            decode(&stored).ok();
        }
    }

    #[test]
    fn a_block_of_a_hundred_byte_messages_takes_less_than_a_third_of_its_payload() {
        let json = |i: u64| {
            format!(
                r#"{{"device":"press-07","temperature":{}.{:02},"vibration":0.{:04},"t":{}}}"#,
                20 + i % 7,
                i % 100,
                i * 37 % 10_000,
                1_700_000_000 + i
            )
        };
        let records: Vec<_> =
            (0..256).map(|i| record("plant/press-07/state", json(i).as_bytes(), 1, i * 1_000_000)).collect();
        let payload: usize = records.iter().map(|r| r.payload.len()).sum();
        let mut blocks = Vec::new();
        encode_all(Log::Raw, QueueSeq(0), &records, &mut blocks);
        assert_eq!(blocks.len(), 1);
        assert!(blocks[0].stored.len() * 3 < payload, "{} of {payload} bytes", blocks[0].stored.len());
    }

    #[test]
    fn a_block_ends_at_256_records_at_its_bytes_and_at_a_new_boot() {
        let small: Vec<_> = (0..300).map(|i| record("t", b"x", 1, i)).collect();
        assert_eq!(cut(&small), 256);
        let large: Vec<_> = (0..9).map(|i| record("t", &[0; 30_000], 1, i)).collect();
        assert_eq!(cut(&large), 3);
        let boots = [record("t", b"x", 1, 5), record("t", b"x", 1, 6), record("t", b"x", 2, 1)];
        assert_eq!(cut(&boots), 2);
    }

    #[test]
    fn a_body_length_beyond_the_largest_block_is_refused_before_memory_is_taken() {
        let mut stored = encode(Log::Raw, QueueSeq(0), &[record("t", b"x", 1, 1)]).stored;
        stored[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
        let crc = crc(&stored);
        stored[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&stored).err(), Some(Damage::Body));
    }

    #[test]
    fn what_the_numbers_of_many_records_mean_is_stored_once() {
        let table = Bytes::from("0\ttemperature\tdegC\n".repeat(60));
        let of = |table: &Bytes| -> Vec<_> {
            (0..200).map(|i| Record { table: table.clone(), ..record("a/b", &[i as u8], 1, i) }).collect()
        };
        assert_eq!(cut(&of(&table)), 200);
        let [with, without] = [table, Bytes::new()].map(|table| encode(Log::Raw, QueueSeq(0), &of(&table)));
        assert!(with.body.bytes.len() <= without.body.bytes.len() + 60 * 20, "{}", with.body.bytes.len());
    }

    /// Version 1 as stored on the first day: it is read for ever.
    #[test]
    fn the_first_block_ever_written_is_still_read() {
        let bytes = [
            b"GWQB\x01\x00\x01\x00".as_slice(),
            b"\x2a\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0",
            b"\x0b\0\0\0\xce\x95\x5b\xdd",
            b"\xb0\x11\x0a\x01\x03a/b\x00\x02hi",
        ]
        .concat();
        let block = decode(&bytes).expect("version 1");
        let mut expected = record("a/b", b"hi", 9, 5);
        expected.flags.redelivered = false;
        assert_eq!(block.records_from(QueueSeq(0)).collect::<Vec<_>>(), [(QueueSeq(42), &expected)]);
    }

    #[test]
    fn the_first_block_with_a_table_is_still_read() {
        let bytes = [
            b"GWQB\x02\x00\x01\x00".as_slice(),
            b"\x2a\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0",
            b"\x14\0\0\0\x83\xb7\x99\x05",
            b"\xf0\x05\x11\x0a\x01\x03a/b\x00\x02\x070\tflow\n\x02hi",
        ]
        .concat();
        let block = decode(&bytes).expect("version 2");
        let mut expected = Record { table: Bytes::from_static(b"0\tflow\n"), ..record("a/b", b"hi", 9, 5) };
        expected.flags.redelivered = false;
        assert_eq!(block.records_from(QueueSeq(0)).collect::<Vec<_>>(), [(QueueSeq(42), &expected)]);
    }
}
