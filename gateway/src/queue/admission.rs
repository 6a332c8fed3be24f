//! Who says which raw records are new and whether they are complete: the one place where all doors meet, in the order of
//! the log.

use std::time::Duration;

use super::record::Record;

/// What goes into a commit beside the records that were admitted.
#[derive(Debug, Default)]
pub struct Aside {
    /// Records for the derived log about what was admitted.
    pub derived: Vec<Record>,
    /// Records that wait from now on, by number, and numbers that do not wait any more.
    pub waiting: Vec<(u64, Option<Record>)>,
}

/// Decides on raw records before they are stored. Called by the writer, once for each record.
///
/// What becomes of a record is one of four: it goes to the log; it is left out, for the log has it already or must not
/// have it; or it *waits*, because it cannot be read without another record that has not come. Each is acknowledged with
/// the commit it came for. What waits is durable in the same commit, under its number, and is given back after a restart.
///
/// What else it knows has to follow from the stored records alone, in their order: after a crash it gets its last
/// snapshot and, to `learn`, the records that were stored since. So a repeat, a record that waits, and the time, must
/// change nothing in it.
pub trait Admission: Send {
    /// Called once, before anything else, with what `snapshot` gave last.
    ///
    /// # Errors
    /// Why it is of no use; all records that are still held are learned instead.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;

    /// A record that was stored in an earlier run; whatever came of it is stored as well.
    fn learn(&mut self, record: &Record);

    /// A record that waited at the end of an earlier run. Called after all that is to be learned, by rising numbers.
    fn recall(&mut self, number: u64, record: Record);

    /// Appends to `log` what is to be stored now: the record or not, and those whose waiting it ends.
    fn admit(&mut self, record: Record, log: &mut Vec<Record>);

    /// Appends to `log` what has waited long enough. Called before each commit.
    fn release(&mut self, log: &mut Vec<Record>);

    /// How soon `release` will have something, if nothing comes; `None` while nothing waits.
    fn release_in(&self) -> Option<Duration>;

    /// What came of all that was admitted since the last call; it goes into the same commit.
    fn take(&mut self) -> Aside;

    /// All that it knows, but for what waits.
    fn snapshot(&self) -> Vec<u8>;
}
