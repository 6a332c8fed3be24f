//! CSV files, read as `ingest::csv::Archive` reads them.

use std::io::{self, Read};

use firmware_protocol::measurement::{EventTime, Measurement};

use super::{Counted, Item, received_with};
use crate::ingest::csv::{Archive, ArchiveItem, Refusal};

/// Read at a time.
const PIECE_BYTES: usize = 128 << 10;

pub(super) struct CsvRows {
    archive: Archive,
    rest: Counted,
    piece: Vec<u8>,
    device: String,
}

impl CsvRows {
    /// # Errors
    /// The header cannot be used.
    pub(super) fn new(head: &[u8], rest: Counted, device: String, ignore: &[String]) -> Result<Self, Refusal> {
        Ok(Self { archive: Archive::new(head, ignore)?, rest, piece: vec![0; PIECE_BYTES], device })
    }

    pub(super) fn next(&mut self, newest_at: &mut EventTime, out: &mut Measurement) -> io::Result<Item> {
        loop {
            match self.archive.next(&self.device, out) {
                ArchiveItem::Row { at, .. } => {
                    return Ok(Item::Row { at, received: received_with(newest_at, at), seq: None });
                }
                ArchiveItem::Bad(error) => return Ok(Item::Bad { line: error.line, reason: error.reason, seq: None }),
                ArchiveItem::End => return Ok(Item::End),
                ArchiveItem::NeedInput => match self.rest.read(&mut self.piece) {
                    Ok(0) => self.archive.finish(),
                    Ok(read) => self.archive.push(self.piece.get(..read).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

impl std::fmt::Debug for CsvRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsvRows").field("columns", self.archive.columns()).finish_non_exhaustive()
    }
}
