//! The durable queue between the doors and everything else: two logs, named cursors, one writer.
//!
//! # Invariants
//! - A receipt is given only after the transaction is on disk behind an fsync that the kernel really did.
//! - A transaction is all or nothing: appended records, cursors and state become durable together.
//! - `QueueSeq` counts each log and is never reused; a hole means records that were lost, and is in the books.
//!
//! # Flow
//! ```text
//! Appender ─Transaction─▶ inbox ─▶ writer thread (group commit) ─▶ Store ─fsync─▶ watermark ─fsync─▶ Receipt
//!                                                                                    │
//! Reader ◀─ cache of the newest blocks, else Store ◀──────── books (cursors, ledger) ◀┘ and Readers wake
//! ```
//!
//! # Not here
//! Decoding of payloads, networks, wall-clock time.

mod block;
mod books;
mod cache;
mod config;
mod cursor;
mod files;
mod generation;
mod inbox;
mod monitor;
mod reader;
mod record;
mod runs;
mod sled_store;
mod store;
mod varint;
mod watermark;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::metrics;
use crate::metrics::LogLabel;

pub use block::Block;
pub use config::Config;
pub use cursor::{Cursor, LedgerRow};
pub use monitor::Monitor;
pub use reader::Reader;
pub use record::{Door, Flags, Log, QueueSeq, Record};

use books::Books;
use cache::Cache;
use files::DirLock;
use inbox::Inbox;
use runs::Run;
use sled_store::SledStore;
use store::{Contents, Store, StoreError, View};
use watermark::{Found, Watermark};
use writer::Writer;

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
            StoreError::Io { .. } | StoreError::Engine { .. } | StoreError::Damaged { .. } => {
                Self::Storage(error.to_string())
            }
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
    /// Sequence of its first raw record (meaningless if it had none).
    pub raw_first: QueueSeq,
    pub derived_first: QueueSeq,
}

/// Resolves once the transaction is durable. An error means that it is not known to be.
pub type Receipt = oneshot::Receiver<Result<Committed, Arc<Error>>>;

/// What the handles and the writer share.
struct Shared {
    inbox: Inbox,
    books: Mutex<Books>,
    /// Indexed by `Log`.
    caches: [Mutex<Cache>; 2],
    view: Arc<dyn View>,
    changed: watch::Sender<Changes>,
    cursor_delay: Duration,
    metrics: metrics::Queue,
}

#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    commits: u64,
    closed: bool,
}

impl Shared {
    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().expect("no panic under the lock")
    }

    /// Sees to it that the books are committed within `delay`.
    fn books_changed(&self, delay: Duration) {
        self.inbox.books_due_at(Instant::now() + delay);
    }

    /// Books records that cannot be read as lost, loudly; a second reader of the same hole finds it in the books.
    fn lose(&self, log: Log, run: Run, reason: &dyn std::fmt::Display) {
        let records = self.books().lose(log, run);
        if records > 0 {
            report_lost(&self.metrics, log, records, run, reason);
            self.books_changed(Duration::ZERO);
        }
    }
}

fn report_lost(metrics: &metrics::Queue, log: Log, records: u64, run: Run, reason: &dyn std::fmt::Display) {
    let (log, first, end) = (log.name(), run.first.0, run.end.0);
    metrics.lost.get_or_create(&LogLabel { log }).inc_by(records);
    tracing::error!(log, records, first, end, %reason, "Queue lost records; they are in the ledger as lost.");
}

/// The open queue. Closing or dropping it releases the directory.
pub struct Queue {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<Result<(), Arc<Error>>>>,
}

impl Queue {
    /// Opens or makes the queue in `config.dir`. Records that the disk no longer holds are logged and booked as lost.
    ///
    /// # Errors
    /// The directory cannot be made, written or locked (another gateway runs on it).
    pub fn open(config: &Config, metrics: metrics::Queue) -> Result<Self, Error> {
        let dir = &config.dir;
        files::create_dir(dir)?;
        let lock = DirLock::take(dir)?.ok_or_else(|| Error::InUse { dir: dir.clone() })?;
        let (store, contents) = SledStore::open(dir, config.generation_max_bytes)?;
        Self::start(config, metrics, Box::new(store), contents, lock)
    }

    /// Begins to work on an open store.
    fn start(
        config: &Config,
        metrics: metrics::Queue,
        store: Box<dyn Store>,
        mut contents: Contents,
        lock: DirLock,
    ) -> Result<Self, Error> {
        let (mut watermark, found) = Watermark::open(&config.dir)?;
        let next = ends(&mut contents, found);
        watermark.write(next)?;
        for log in Log::ALL {
            for run in contents.lost[log as usize].iter() {
                report_lost(&metrics, log, run.count(), run, &"the store no longer holds what was once durable in it");
            }
        }
        let shared = Arc::new(Shared {
            inbox: Inbox::new(config.inbox_records_max, config.inbox_bytes_max),
            books: Mutex::new(Books::new(contents, next)),
            caches: Log::ALL.map(|_| Mutex::new(Cache::new(config.cache_bytes))),
            view: store.view(),
            changed: watch::Sender::default(),
            cursor_delay: config.cursor_delay,
            metrics: metrics.clone(),
        });
        if shared.books().is_dirty() {
            shared.books_changed(Duration::ZERO);
        }
        let writer = Writer {
            store,
            watermark,
            shared: shared.clone(),
            config: config.clone(),
            metrics,
            next,
            opened_at: Instant::now(),
            measured_at: None,
        };
        let run = move || {
            let result = writer.run();
            drop(lock);
            result
        };
        let writer = std::thread::Builder::new().name("queue-writer".into()).spawn(run);
        let writer = writer.map_err(|e| Error::Storage(format!("no thread for the writer: {e}")))?;
        Ok(Self { shared, writer: Some(writer) })
    }

    pub fn appender(&self) -> Appender {
        Appender { shared: self.shared.clone() }
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

/// Where the logs go on: after all that was ever durable. What lies between the store's end and that is lost.
fn ends(contents: &mut Contents, found: Found) -> [QueueSeq; 2] {
    let durable = match found {
        Found::Ends(ends) => ends,
        Found::Missing if contents.end == [QueueSeq(0); 2] => contents.end,
        Found::Missing | Found::Unreadable => {
            tracing::error!("Queue has no readable watermark: whether its newest records were lost cannot be told.");
            contents.end
        }
    };
    Log::ALL.map(|log| {
        let (log, stored) = (log as usize, contents.end[log as usize]);
        // Found by an earlier open already, if the store ends there since.
        let mut missing = runs::Runs::default();
        missing.add(Run::new(stored, durable[log]));
        contents.lost_before[log].iter().for_each(|run| missing.remove(run));
        missing.iter().for_each(|run| contents.lost[log].add(run));
        stored.max(durable[log])
    })
}

/// The writing side, for doors and detect. Cheap to clone.
#[derive(Clone)]
pub struct Appender {
    shared: Arc<Shared>,
}

impl Appender {
    /// Hands a transaction to the writer; waits while the writer's bounded inbox is full (backpressure).
    /// Transactions of one appender commit in the order of these calls.
    ///
    /// # Errors
    /// `Closed` once the queue is closed or a flush has failed; `TooLarge` if the queue never takes such a record.
    pub async fn commit(&self, t: Transaction) -> Result<Receipt, Error> {
        self.shared.inbox.push(t).await
    }
}
