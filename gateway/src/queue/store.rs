//! What the queue asks of a storage engine. Thin and synchronous; engines know neither consumers' rules nor formats.
//!
//! # Invariants
//! - A commit is all or nothing, and durable behind a real fsync once it returns.
//! - After an error from `commit` or `release` the engine is not used again: what is on disk is then unknown.
//! - Damage is a value, never a panic.

use std::path::PathBuf;
use std::sync::Arc;

use super::block::Encoded;
use super::cursor::Account;
use super::record::{Log, QueueSeq};
use super::runs::{Run, Runs};

/// Changes that become durable together.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    /// In the order of their sequences, per log.
    pub(super) blocks: Vec<Encoded>,
    pub(super) accounts: Vec<(String, Log, Account)>,
    /// `None` deletes.
    pub(super) state: Vec<(String, Option<Vec<u8>>)>,
    /// Records found to be lost: the finding is kept, so that each is reported and counted once.
    pub(super) lost: Vec<(Log, Run)>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.accounts.is_empty() && self.state.is_empty() && self.lost.is_empty()
    }
}

/// What a store held when it was opened. Arrays are indexed by `Log`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Counted from the blocks themselves.
    pub(super) held: [Runs; 2],
    /// Records that should be there and are not; those of `lost_before` were known.
    pub(super) lost: [Runs; 2],
    pub(super) lost_before: [Runs; 2],
    /// Sequence after the last record ever stored, as far as the store knows.
    pub(super) end: [QueueSeq; 2],
    pub(super) accounts: Vec<(String, Log, Account)>,
}

/// A block as stored; its bytes may be damaged, its place is known all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) run: Run,
    pub(super) bytes: Vec<u8>,
}

/// The writing half; the writer thread owns it.
pub(super) trait Store: Send {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// Deletes what lies before these sequences (indexed by `Log`) where that is cheap; says what is gone.
    fn release(&mut self, keep_from: [QueueSeq; 2]) -> Result<Vec<(Log, Run)>, StoreError>;

    fn view(&self) -> Arc<dyn View>;
}

/// The reading half, for many threads, also while a commit is under way. Refuses once the store is dropped.
pub(super) trait View: Send + Sync {
    /// The block that holds `from`, or the first one after it.
    fn read(&self, log: Log, from: QueueSeq) -> Result<Option<Stored>, StoreError>;

    fn state(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Measured on disk.
    fn disk_bytes(&self) -> Result<u64, StoreError>;
}

#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path}: {reason}")]
    Engine { path: PathBuf, reason: String },
    #[error("{path}: {reason}; the data under this key is damaged")]
    Damaged { path: PathBuf, reason: String },
    #[error("store is closed")]
    Closed,
}

impl StoreError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }
}
