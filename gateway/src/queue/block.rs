//! A block: up to 256 records of one log in a row, the unit that is stored, read and cached.
//!
//! # Format, version 1 (integers little endian; varint as in LEB128)
//! (to be settled here by the queue's author: header, CRC, lz4, records)

use std::sync::Arc;

use super::record::{Log, QueueSeq, Record};

/// Records in a row, decoded from the store or just committed. Shared between all readers.
#[derive(Clone, Debug)]
pub struct Block {
    log: Log,
    first: QueueSeq,
    records: Arc<[Record]>,
}

impl Block {
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
