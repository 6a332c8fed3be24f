//! The reading side of the queue.

use std::sync::Arc;

use tokio::sync::watch;

use super::block;
use super::cursor::AHEAD_MAX;
use super::generations::Seen;
use super::runs::Run;
use super::shared::{Changes, Shared};
use super::{Block, Cursor, Error, Log, QueueSeq};

/// The reading side of one named consumer. Clones are the same consumer.
#[derive(Clone)]
pub struct Reader {
    name: String,
    shared: Arc<Shared>,
    changed: watch::Receiver<Changes>,
    is_of_a_stage: bool,
}

impl Reader {
    pub(super) fn new(name: &str, shared: Arc<Shared>) -> Self {
        let changed = shared.changed.subscribe();
        Self { name: name.to_owned(), shared, changed, is_of_a_stage: false }
    }

    pub(super) fn of_a_stage(self) -> Self {
        Self { is_of_a_stage: true, ..self }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// This consumer's durable position (as of the last commit or [`Reader::advance`]).
    pub fn cursor(&self, log: Log) -> Cursor {
        self.shared.books().cursor(&self.name, log)
    }

    /// Sequence after the last durable record of the log that is not held back.
    pub fn end(&self, log: Log) -> QueueSeq {
        let end = self.shared.books().end(log);
        match log {
            Log::Raw => self.shared.held_from.get().map_or(end, |held_from| end.min(held_from)),
            Log::Derived => end,
        }
    }

    /// Whether raw records are held back at the moment: that there are none to read means nothing then.
    pub fn is_held(&self) -> bool {
        self.shared.held_from.get().is_some()
    }

    /// Whether `read` finds the record in memory, and does not touch the disk.
    pub fn is_cached(&self, log: Log, from: QueueSeq) -> bool {
        self.shared.caches[log as usize].lock().expect("no panic under the lock").get(from).is_some()
    }

    /// The block that holds the durable record `from`, or the first after it (records between were lost to damage or
    /// policy and are in the books); `None` if there is none, or while the writer mends the store: `changed` tells. May
    /// block on the disk for some milliseconds.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(&self, log: Log, from: QueueSeq) -> Result<Option<Block>, Error> {
        if self.is_of_a_stage {
            self.shared.books().read_to(&self.name, log, from);
        }
        let end = self.end(log);
        if from >= end {
            return Ok(None);
        }
        let cached = self.shared.caches[log as usize].lock().expect("no panic under the lock").get(from);
        if let Some(cached) = cached {
            return cached.block().map(Some).map_err(|damage| Error::Storage(damage.to_string()));
        }
        let mut at = from;
        while at < end {
            let Some(moves) = self.shared.settled_moves() else { return Ok(None) };
            let stored = match self.shared.view.read(log, at) {
                Ok(Seen::Block(stored)) if stored.run.first < end => Some(stored),
                Ok(Seen::Block(_) | Seen::Nothing) => None,
                // The writer sets it aside and counts what is lost; then there is a change.
                Ok(Seen::Unreadable { generation, error }) => {
                    self.shared.suspect(generation, error);
                    return Ok(None);
                }
                Err(error) if error.is_full() => {
                    self.shared.starve();
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            let run = stored.as_ref().map_or(Run::new(end, end), |s| s.run);
            // Below the cursor a generation may just be on its way out.
            let due = at.max(self.cursor(log).next);
            if run.first > due && self.shared.settled_moves() != Some(moves) {
                return Ok(None);
            }
            self.shared.lose(log, Run::new(due, run.first.min(end)), &"the store has a hole here");
            let Some(stored) = stored else { return Ok(None) };
            match block::decode(&stored.bytes) {
                Ok(block) if (block.log(), block.first(), block.end()) == (log, run.first, run.end) => {
                    return Ok(Some(block));
                }
                Ok(_) => self.shared.lose(log, run, &"the block belongs to another place"),
                Err(damage) => self.shared.lose(log, run, &damage),
            }
            at = run.end;
        }
        Ok(None)
    }

    /// Waits for a commit that this reader has not seen, or for the end of a hold. What was there before is not told again.
    ///
    /// # Errors
    /// `Closed` once the queue is closed.
    pub async fn changed(&mut self) -> Result<(), Error> {
        // A reader made after the end would wait for ever otherwise.
        if self.changed.borrow().closed {
            return Err(Error::Closed);
        }
        self.changed.changed().await.map_err(|_| Error::Closed)?;
        if self.changed.borrow_and_update().closed { Err(Error::Closed) } else { Ok(()) }
    }

    /// Runs that this consumer has settled ahead of its cursor, ascending: to be left out when it reads on.
    pub fn ahead(&self, log: Log) -> Vec<Run> {
        self.shared.books().ahead(&self.name, log)
    }

    /// Moves the cursor: seen at once by `cursor`, the ledger and retention of records, durable with the next commit, or
    /// within a second if nothing else is committed. After a crash records after the last durable cursor come again.
    pub fn advance(&self, log: Log, cursor: Cursor) {
        self.settle(log, cursor, &[]);
    }

    /// As [`Self::advance`], for a consumer that does not take all records in order: the runs `ahead` of the cursor, at
    /// most [`AHEAD_MAX`], are settled too, and the cursor's counts are of both. What is settled once stays so.
    ///
    /// # Panics
    /// With more runs than that.
    pub fn settle(&self, log: Log, cursor: Cursor, ahead: &[Run]) {
        assert!(ahead.len() <= AHEAD_MAX, "{} runs ahead of a cursor, the limit is {AHEAD_MAX}", ahead.len());
        self.shared.books().advance(&self.name, log, cursor, ahead);
        self.shared.books_changed(self.shared.config.cursor_delay);
    }

    /// Named state as of the last commit.
    ///
    /// # Errors
    /// The store cannot be read, or what it holds is not what was written.
    pub fn state(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.shared.view.state(key)?)
    }
}
