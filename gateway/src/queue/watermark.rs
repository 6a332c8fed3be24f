//! The watermark: how far each log was ever durable, kept apart from the store, because sled drops its newest data
//! without a word when its file is damaged in the middle.
//!
//! # File `watermark`, 1024 bytes, written in place: two slots at 0 and 512, used in turn (little endian)
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic `GWQW` |
//! | 4 | 4 | CRC-32 of bytes 8–31 |
//! | 8 | 8 | how many writes there were; the higher slot counts |
//! | 16 | 8 | sequence after the last durable raw record |
//! | 24 | 8 | the same of the derived log |
//!
//! # Invariants
//! - Written after the store's fsync and before the receipt: never ahead of what is durable, never behind an
//!   acknowledgement.
//! - A torn write spoils one slot; the other one is at most one commit behind.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::files;
use super::record::QueueSeq;
use super::store::StoreError;

const MAGIC: [u8; 4] = *b"GWQW";
/// A disk writes a sector whole or not at all; slots never share one.
const SLOT_BYTES: usize = 512;
const RECORD_BYTES: usize = 32;

#[derive(Debug)]
pub(super) struct Watermark {
    path: PathBuf,
    file: File,
    writes: u64,
}

/// What the file said when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There was no file: a new queue, or somebody deleted it.
    Missing,
    /// Neither slot can be trusted.
    Unreadable,
    /// Sequences after the last durable records, indexed by `Log`.
    Ends([QueueSeq; 2]),
}

impl Watermark {
    pub(super) fn open(dir: &Path) -> Result<(Self, Found), StoreError> {
        let path = dir.join("watermark");
        let is_new = !path.exists();
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(StoreError::io(&path))?;
        let bytes = std::fs::read(&path).map_err(StoreError::io(&path))?;
        let slots = [0, SLOT_BYTES].map(|at| bytes.get(at..at + RECORD_BYTES).and_then(parse));
        let newest = slots.into_iter().flatten().max_by_key(|(writes, _)| *writes);
        let found = match newest {
            Some((_, ends)) => Found::Ends(ends),
            None if is_new => Found::Missing,
            None => Found::Unreadable,
        };
        if bytes.len() < 2 * SLOT_BYTES {
            // Written out, so that later writes change no metadata and fdatasync stays cheap.
            let rest = vec![0; 2 * SLOT_BYTES - bytes.len()];
            file.write_all_at(&rest, bytes.len() as u64)
                .and_then(|()| file.sync_all())
                .map_err(StoreError::io(&path))?;
            files::sync_dir(dir)?;
        }
        let writes = newest.map_or(0, |(writes, _)| writes);
        Ok((Self { path, file, writes }, found))
    }

    /// Durable once it returns.
    pub(super) fn write(&mut self, ends: [QueueSeq; 2]) -> Result<(), StoreError> {
        self.writes += 1;
        let mut record = [0; RECORD_BYTES];
        record[..4].copy_from_slice(&MAGIC);
        for (at, value) in [(8, self.writes), (16, ends[0].0), (24, ends[1].0)] {
            record[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let crc = crc32fast::hash(&record[8..]);
        record[4..8].copy_from_slice(&crc.to_le_bytes());
        let at = self.writes % 2 * SLOT_BYTES as u64;
        self.file.write_all_at(&record, at).and_then(|()| self.file.sync_data()).map_err(StoreError::io(&self.path))
    }
}

fn parse(record: &[u8]) -> Option<(u64, [QueueSeq; 2])> {
    let word = |at: usize| record[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    if record[..4] != MAGIC || record[4..8] != crc32fast::hash(&record[8..]).to_le_bytes() {
        return None;
    }
    Some((word(8)?, [QueueSeq(word(16)?), QueueSeq(word(24)?)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (mut watermark, found) = Watermark::open(dir.path()).unwrap();
        assert_eq!(found, Found::Missing);
        watermark.write([QueueSeq(1), QueueSeq(0)]).unwrap();
        watermark.write([QueueSeq(5), QueueSeq(2)]).unwrap();
        drop(watermark);
        assert_eq!(Watermark::open(dir.path()).unwrap().1, Found::Ends([QueueSeq(5), QueueSeq(2)]));

        let path = dir.path().join("watermark");
        let mut torn = std::fs::read(&path).unwrap();
        torn[20] ^= 1;
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(Watermark::open(dir.path()).unwrap().1, Found::Ends([QueueSeq(1), QueueSeq(0)]));

        std::fs::write(&path, &torn[..300]).unwrap();
        assert_eq!(Watermark::open(dir.path()).unwrap().1, Found::Unreadable);
        assert_eq!(std::fs::read(&path).unwrap().len(), 2 * SLOT_BYTES);
    }
}
