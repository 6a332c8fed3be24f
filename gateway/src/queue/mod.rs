//! The durable queue between the doors and everything else: two logs, named cursors, one writer.
//!
//! # Invariants
//! - A receipt is given only after the transaction is on disk behind an fsync that the kernel really did.
//! - A transaction is all or nothing: appended records, cursors and state become durable together.
//! - `QueueSeq` counts each log and is never reused; a hole means records that were lost, and is in the books.
//! - A record that [`Admission`] knows already is acknowledged once the first one is durable, and not stored again. One
//!   that waits is durable before its acknowledgement, and enters the log in one commit with the end of its waiting.
//! - A record that a consumer does not get is in its ledger with a reason. What damage took is noticed, for each block
//!   has its own CRC, sequences have no holes, and the watermark says how far they go.
//! - The directory stays within its budget as measured on disk; memory does not grow with the backlog.
//! - It always opens: what cannot be read is set aside, searched for sound blocks, and counted.
//!
//! # Flow
//! ```text
//! Appender ─Transaction─▶ inbox ─▶ writer thread (group commit) ─▶ newest generation ─fsync─▶ watermark ─fsync─▶ Receipt
//! (doors can be held up,                │ between commits: budget,          │
//!  stages never)                        │ times to live, ballast            ▼ full: the next one begins
//!                                       ▼                              older generations, deleted once all have passed
//! Reader ◀─ cache of the newest blocks, else a generation ◀── books (cursors, ledger)
//! ```
//!
//! # Not here
//! Decoding of payloads, networks, wall-clock time.

mod admission;
mod annex;
mod ballast;
mod block;
mod books;
mod cache;
mod config;
mod cursor;
mod files;
mod gaps;
mod gate;
mod generations;
mod inbox;
mod monitor;
mod opening;
pub mod offline;
mod reader;
mod record;
mod retention;
mod runs;
mod shared;
mod store;
mod varint;
mod watermark;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::metrics;

pub use admission::{Admission, Aside};
pub use annex::{Annex, AnnexChange};
pub use block::Block;
pub use config::{Config, EngineKind, WhenFull};
pub use cursor::{AHEAD_MAX, Cursor, Fate, LedgerRow};
pub use gaps::{Gaps, NoGaps};
pub use gate::Gate;
pub use monitor::Monitor;
pub use reader::Reader;
pub use record::{Door, Flags, Log, QueueSeq, Record};
pub use retention::Sweeper;
pub use runs::Run;

use files::DirLock;
use inbox::Lane;
use shared::Shared;
use store::engines::Engines;
use store::{Engine, StoreError};
use writer::Patience;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("queue is closed")]
    Closed,
    #[error("queue storage: {0}")]
    Storage(String),
    #[error("queue directory {} is in use by another process; stop that one, or give this one a data directory of its own", dir.display())]
    InUse { dir: PathBuf },
    #[error("{what} of {bytes} bytes is longer than the queue's limit of {max}")]
    TooLarge { what: &'static str, bytes: usize, max: usize },
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::Closed,
            StoreError::Io { .. }
            | StoreError::Engine { .. }
            | StoreError::Damaged { .. }
            | StoreError::Foreign { .. } => Self::Storage(error.to_string()),
        }
    }
}

/// Changes that become durable together, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    pub raw: Vec<Record>,
    pub derived: Vec<Record>,
    pub cursors: Vec<(String, Log, Cursor)>,
    /// Named state of a stage: `None` deletes.
    pub state: Vec<(String, Option<Vec<u8>>)>,
}

impl Transaction {
    /// Largest state under one name, bytes: it passes through memory whole.
    pub const STATE_BYTES_MAX: usize = 64 << 20;
}

/// Where a transaction's records landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Sequence of its first raw record that was stored (meaningless if none was).
    pub raw_first: QueueSeq,
    pub derived_first: QueueSeq,
}

/// Resolves once the transaction is durable. An error means that it is not known to be.
pub type Receipt = oneshot::Receiver<Result<Committed, Arc<Error>>>;

/// Why doors are held up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pressure {
    /// They are not.
    #[default]
    None,
    /// The directory has used up its budget.
    OverBudget,
    /// The file system has no space left, or too little to be safe.
    DiskFull,
}

/// What the queue asks others, who know what is in a record.
struct Seams {
    gaps: Box<dyn Gaps>,
    /// `None`: every record is new.
    admission: Option<Box<dyn Admission>>,
}

/// The open queue. Closing or dropping it releases the directory.
pub struct Queue {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<Result<(), Arc<Error>>>>,
}

impl Queue {
    /// Opens or makes the queue in `config.dir`. What of it cannot be read is set aside and booked as lost.
    ///
    /// # Errors
    /// The directory cannot be made, written or locked (another gateway runs on it).
    pub fn open(config: &Config, metrics: metrics::Queue) -> Result<Self, Error> {
        Self::open_with(config, metrics, Box::new(NoGaps), None)
    }

    /// As [`Self::open`]; `gaps` names what is lost, `admission` tells what is new. Without one all is.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(
        config: &Config,
        metrics: metrics::Queue,
        gaps: Box<dyn Gaps>,
        admission: Option<Box<dyn Admission>>,
    ) -> Result<Self, Error> {
        files::create_dir(&config.dir)?;
        let lock = DirLock::take(&config.dir)?.ok_or_else(|| Error::InUse { dir: config.dir.clone() })?;
        let engine = engine(config.engine);
        let seams = Seams { gaps, admission };
        Self::start(config, metrics, seams, engine, lock, Patience::default())
    }

    /// For doors: held up while the queue has no room.
    pub fn appender(&self) -> Appender {
        Appender { lane: Lane::Door, shared: self.shared.clone() }
    }

    /// For stages that work on what is in the queue: they make room by going on, so they are never held up for room.
    pub fn stage_appender(&self) -> Appender {
        Appender { lane: Lane::Stage, shared: self.shared.clone() }
    }

    pub fn sweeper(&self) -> Sweeper {
        Sweeper { shared: self.shared.clone() }
    }

    /// Registers the consumer `name` of both logs: from now on records are kept until it has passed them.
    /// A new consumer starts at the oldest record still kept.
    ///
    /// The registration becomes durable with a commit of its own at once. Nothing can slip away before: records are
    /// deleted only after a commit, and each commit takes all new registrations along.
    pub fn reader(&self, name: &str) -> Reader {
        self.reader_of(name, &Log::ALL)
    }

    /// As [`Self::reader`], for a consumer of some of the logs: what it does not read is not kept for it.
    pub fn reader_of(&self, name: &str, logs: &[Log]) -> Reader {
        logs.iter().for_each(|log| self.shared.books().register(name, *log));
        self.shared.books_changed(Duration::ZERO);
        Reader::new(name, self.shared.clone())
    }

    /// As [`Self::reader_of`], for a stage that keeps what it has read in memory and moves its cursor late. While there
    /// is no room, what it has read is deleted all the same: doors must not wait for a window to close. Should it be
    /// started again before its cursor has passed them, those records are booked as dropped for it.
    pub fn stage_reader(&self, name: &str, log: Log) -> Reader {
        self.reader_of(name, &[log]).of_a_stage()
    }

    /// The store of that name beside the generations, for one owner.
    pub fn annex(&self, name: &str) -> Annex {
        let Config { dir, quarantine_max_bytes, .. } = &self.shared.config;
        Annex::new(dir, name, engine(annex::ENGINE), *quarantine_max_bytes)
    }

    /// To hold raw records back from their readers.
    pub fn gate(&self) -> Gate {
        Gate::new(self.shared.clone())
    }

    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.shared.clone())
    }

    /// Finishes the commits under way, makes cursors durable and stops the writer.
    ///
    /// # Errors
    /// The last flush failed.
    pub fn close(mut self) -> Result<(), Error> {
        self.stop()
    }

    fn stop(&mut self) -> Result<(), Error> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        self.shared.inbox.close();
        match writer.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::Storage(error.to_string())),
            Err(_) => Err(Error::Storage("the writer thread panicked, see its message above".into())),
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "Queue was not closed cleanly.");
        }
    }
}

fn engine(kind: EngineKind) -> Arc<dyn Engine> {
    Arc::new(Engines { kind })
}

/// The writing side, for doors and detect. Cheap to clone.
#[derive(Clone)]
pub struct Appender {
    lane: Lane,
    shared: Arc<Shared>,
}

impl Appender {
    /// Hands a transaction to the writer; waits while the writer's bounded inbox is full (backpressure).
    /// Transactions of one appender commit in the order of these calls.
    ///
    /// # Errors
    /// `Closed` once the queue is closed or a flush has failed; `TooLarge` if the queue never takes such a record.
    pub async fn commit(&self, t: Transaction) -> Result<Receipt, Error> {
        self.shared.inbox.push(self.lane, t).await
    }
}
