//! What is lost gets a name: records of the derived log that say which devices, when and how many.

use super::Monitor;
use super::cursor::Fate;
use super::record::{Log, Record};

/// Puts lost records into words. Called by the writer; what it makes goes into the same commit as the loss.
pub trait Gaps: Send {
    /// Called once, with the store open and before anything is noted: for what it needs of the state.
    fn opened(&mut self, _monitor: &Monitor) {}

    /// Raw records that not every consumer had passed; called block by block.
    fn note(&mut self, fate: Fate, records: &mut dyn Iterator<Item = &Record>);

    /// As many records that cannot be read any more; 0: some may be gone, and nobody knows how many.
    fn note_unread(&mut self, fate: Fate, log: Log, records: u64);

    /// Records for the derived log about all that was noted since the last call.
    fn take(&mut self) -> Vec<Record>;
}

/// Losses are in the ledger only.
#[derive(Debug)]
pub struct NoGaps;

impl Gaps for NoGaps {
    fn note(&mut self, _: Fate, _: &mut dyn Iterator<Item = &Record>) {}

    fn note_unread(&mut self, _: Fate, _: Log, _: u64) {}

    fn take(&mut self) -> Vec<Record> {
        Vec::new()
    }
}
