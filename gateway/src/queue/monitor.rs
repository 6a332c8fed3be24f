//! Looks at an open queue without taking part: for metrics, the page and the end of a drain.

use std::sync::Arc;

use tokio::sync::watch;

use super::block;
use super::generations::Seen;
use super::shared::Shared;
use super::{Error, LedgerRow, Log, Pressure, QueueSeq};
use crate::clock::Stamp;

/// Cheap to clone; what it shows after the queue was closed is the last state.
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<Shared>,
}

impl Monitor {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub fn ledger(&self) -> Vec<LedgerRow> {
        self.shared.books().ledger()
    }

    /// Sequence after the last durable record of the log.
    pub fn end(&self, log: Log) -> QueueSeq {
        self.shared.books().end(log)
    }

    /// When the newest raw record that is still in the queue was received.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn newest_received(&self) -> Result<Option<Stamp>, Error> {
        let end = self.end(Log::Raw);
        let last = QueueSeq(end.0.saturating_sub(1));
        let Seen::Block(stored) = self.shared.view.read(Log::Raw, last)? else { return Ok(None) };
        let block = block::decode(&stored.bytes).ok();
        Ok(block.and_then(|block| block.records_from(block.first()).last().map(|(_, record)| record.received)))
    }

    /// Bytes that raw records at and after `from` take in older generations, as stored.
    pub fn raw_bytes_from(&self, from: QueueSeq) -> u64 {
        let sealed = self.shared.view.sealed();
        let raw = sealed.iter().map(|s| &s.held[Log::Raw as usize]);
        raw.filter(|held| held.runs.end().is_some_and(|end| end > from)).map(|held| held.bytes).sum()
    }

    /// Whether doors are held up, and why.
    pub fn pressure(&self) -> watch::Receiver<Pressure> {
        self.shared.pressure.subscribe()
    }

    /// Bytes on disk, measured there.
    pub fn disk_bytes(&self) -> u64 {
        match self.shared.view.disk_bytes() {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%error, "Queue cannot measure its size.");
                0
            }
        }
    }

    /// Named state as of the last commit.
    ///
    /// # Errors
    /// The store cannot be read, or what it holds is not what was written.
    pub fn state(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.shared.view.state(key)?)
    }

    /// All named states whose name begins with `prefix`, as of the last commit.
    ///
    /// # Errors
    /// As of [`Self::state`].
    pub fn states(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        Ok(self.shared.view.states(prefix)?)
    }
}
