//! Who says which raw records are new: the one place where all doors meet, in the order of the log.

use super::record::Record;

/// What becomes of a raw record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    Store,
    /// It is in the log already. It is acknowledged with the commit it came for, and not stored again.
    Repeat,
}

/// Decides on raw records before they are stored. Called by the writer, once for each record.
///
/// What it knows has to follow from the stored records alone, in their order: after a crash it gets its last snapshot
/// and, to `learn`, the records that were stored since. So a repeat, and the time, must change nothing in it.
pub trait Admission: Send {
    /// Called once, before anything else, with what `snapshot` gave last.
    ///
    /// # Errors
    /// Why it is of no use; all records that are still held are learned instead.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;

    /// A record that was admitted in an earlier run; whatever came of it is stored as well.
    fn learn(&mut self, record: &Record);

    fn admit(&mut self, record: &Record) -> Admit;

    /// Records for the derived log about what was admitted since the last call; they go into the same commit.
    fn take(&mut self) -> Vec<Record>;

    /// All that it knows.
    fn snapshot(&self) -> Vec<u8>;
}
