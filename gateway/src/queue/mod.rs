//! The durable queue between the doors and everything else: two logs, named cursors, one writer.
//!
//! # Invariants
//! - A receipt is given only after the transaction is on disk behind an fsync that the kernel really did.
//! - A transaction is all or nothing: appended records, cursors and state become durable together.
//! - `QueueSeq` counts each log and is never reused; a hole means records that were lost, and is in the books.
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

mod ballast;
mod block;
mod books;
mod cache;
mod config;
mod contents;
mod cursor;
mod engines;
mod files;
mod gaps;
mod generation;
mod generations;
mod inbox;
mod keys;
mod monitor;
pub mod offline;
mod quarantine;
mod reader;
mod record;
mod recovery;
mod redb_store;
mod retention;
mod runs;
mod salvage;
mod shelves;
mod sled_store;
mod store;
mod varint;
mod watermark;
mod writer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::clock::Stamp;
use crate::metrics;
use crate::metrics::LogLabel;

pub use block::Block;
pub use config::{Config, EngineKind, WhenFull};
pub use cursor::{Cursor, Fate, LedgerRow};
pub use gaps::{Gaps, NoGaps};
pub use monitor::Monitor;
pub use reader::Reader;
pub use record::{Door, Flags, Log, QueueSeq, Record};
pub use runs::Run;

use ballast::Ballast;
use books::Books;
use cache::Cache;
use contents::Contents;
use engines::Engines;
use files::DirLock;
use generations::{Generations, View};
use inbox::{Inbox, Lane};
use retention::Retention;
use runs::Runs;
use store::{Engine, StoreError};
use watermark::{Found, Mark, Watermark};
use writer::{Patience, Usage, Writer};

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
    /// Sequence of its first raw record (meaningless if it had none).
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

/// What the handles and the writer share.
struct Shared {
    inbox: Inbox,
    books: Mutex<Books>,
    /// Indexed by `Log`.
    caches: [Mutex<Cache>; 2],
    view: View,
    changed: watch::Sender<Changes>,
    pressure: watch::Sender<Pressure>,
    retention: Mutex<Retention>,
    /// Older generations that could not be read, for the writer.
    suspects: Mutex<Vec<(u32, StoreError)>>,
    /// Lost since the writer last looked.
    losses: Mutex<Vec<(Log, Run)>>,
    /// Odd while the writer opens the store anew, or brings blocks from one place to another.
    moves: AtomicU64,
    /// A reader could not open its generation, for the disk is full.
    is_starved: AtomicBool,
    config: Config,
    patience: Patience,
    metrics: metrics::Queue,
}

#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    commits: u64,
    closed: bool,
}

/// Generations that wait to be set aside; more are noticed again when they are read.
const SUSPECTS_MAX: usize = 16;
/// Losses that wait to be named one by one; more are only counted.
const LOSSES_MAX: usize = 1_024;

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no panic under the lock")
    }

    fn retention(&self) -> MutexGuard<'_, Retention> {
        self.retention.lock().expect("no panic under the lock")
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
            let mut losses = self.losses.lock().expect("no panic under the lock");
            if losses.len() < LOSSES_MAX {
                losses.push((log, run));
            }
            drop(losses);
            self.books_changed(Duration::ZERO);
        }
    }

    fn take_losses(&self) -> Vec<(Log, Run)> {
        std::mem::take(&mut *self.losses.lock().expect("no panic under the lock"))
    }

    /// Asks the writer to set a generation aside.
    fn suspect(&self, generation: u32, error: StoreError) {
        let mut suspects = self.suspects.lock().expect("no panic under the lock");
        if suspects.len() < SUSPECTS_MAX && suspects.iter().all(|(number, _)| *number != generation) {
            suspects.push((generation, error));
        }
        drop(suspects);
        self.books_changed(Duration::ZERO);
    }

    fn take_suspects(&self) -> Vec<(u32, StoreError)> {
        std::mem::take(&mut *self.suspects.lock().expect("no panic under the lock"))
    }

    /// From here to `settle` blocks are moved about: what cannot be found may be there, and is not taken for lost.
    fn unsettle(&self) {
        self.moves.fetch_or(1, Ordering::AcqRel);
    }

    fn settle(&self) {
        self.moves.fetch_add(1, Ordering::AcqRel);
        // Readers who found nothing meanwhile look again.
        self.changed.send_modify(|c| c.commits += 1);
    }

    /// `None` while blocks are moved about; else a number that changes when they are.
    fn settled_moves(&self) -> Option<u64> {
        Some(self.moves.load(Ordering::Acquire)).filter(|moves| moves % 2 == 0)
    }

    /// A reader needs space to go on.
    fn starve(&self) {
        self.is_starved.store(true, Ordering::Release);
        self.books_changed(self.patience.space_poll);
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
    /// Opens or makes the queue in `config.dir`. What of it cannot be read is set aside and booked as lost.
    ///
    /// # Errors
    /// The directory cannot be made, written or locked (another gateway runs on it).
    pub fn open(config: &Config, metrics: metrics::Queue) -> Result<Self, Error> {
        Self::open_with(config, metrics, Box::new(NoGaps))
    }

    /// As [`Self::open`]; `gaps` names what is lost.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(config: &Config, metrics: metrics::Queue, gaps: Box<dyn Gaps>) -> Result<Self, Error> {
        files::create_dir(&config.dir)?;
        let lock = DirLock::take(&config.dir)?.ok_or_else(|| Error::InUse { dir: config.dir.clone() })?;
        let engine = engine(config.engine);
        Self::start(config, metrics, gaps, engine, lock, Patience::default())
    }

    /// Begins to work on what the engine's generations hold.
    fn start(
        config: &Config,
        metrics: metrics::Queue,
        mut gaps: Box<dyn Gaps>,
        engine: Arc<dyn Engine>,
        lock: DirLock,
        patience: Patience,
    ) -> Result<Self, Error> {
        let ballast = Ballast::new(&config.dir, config.ballast_bytes);
        if files::free_bytes(&config.dir)? < config.ballast_bytes / 2 && ballast.throw_overboard()? {
            tracing::error!("Disk is full: the queue opens with its reserve.");
        }
        let (mut watermark, found) = Watermark::open(&config.dir)?;
        let mark = vouched(found, &config.dir)?;
        let Opened { store, contents, next, lost } = open_store(config, engine, mark.as_ref())?;
        for (log, runs) in Log::ALL.into_iter().zip(&lost) {
            for run in runs.iter() {
                report_lost(&metrics, log, run.count(), run, &"the store no longer holds what was once durable in it");
            }
        }
        let losses = Log::ALL.into_iter().zip(&lost).flat_map(|(log, runs)| runs.iter().map(move |run| (log, run)));
        let mut losses: Vec<_> = losses.take(LOSSES_MAX).collect();
        if mark.is_none() && (next != [QueueSeq(0); 2] || !contents.quarantined.is_empty()) {
            // Nobody knows how many of the newest are gone: an empty run stands for them.
            losses.extend(Log::ALL.map(|log| (log, Run::new(next[log as usize], next[log as usize]))));
        }
        let books = Books::new(&contents, mark.as_ref(), next, lost);
        watermark.write(&books.mark(next, Log::ALL.map(|log| books.oldest(log)), store.newest_number()))?;
        quarantine::trim(&config.dir, config.quarantine_max_bytes)?;
        let shared = Arc::new(Shared {
            inbox: Inbox::new(config.inbox_records_max, config.inbox_bytes_max),
            books: Mutex::new(books),
            caches: Log::ALL.map(|_| Mutex::new(Cache::new(config.cache_bytes))),
            view: store.view(),
            changed: watch::Sender::default(),
            pressure: watch::Sender::default(),
            retention: Mutex::default(),
            suspects: Mutex::default(),
            losses: Mutex::new(losses),
            moves: AtomicU64::new(0),
            is_starved: AtomicBool::new(false),
            config: config.clone(),
            patience,
            metrics: metrics.clone(),
        });
        gaps.opened(&Monitor::new(shared.clone()));
        shared.books_changed(Duration::ZERO);
        let now = Instant::now();
        let writer = Writer {
            store,
            watermark,
            ballast,
            gaps,
            shared: shared.clone(),
            config: config.clone(),
            metrics,
            next,
            opened_at: now,
            usage: Usage::new(now),
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

/// What the watermark vouches for, if it can be read.
fn vouched(found: Found, dir: &std::path::Path) -> Result<Option<Mark>, Error> {
    let is_new = found == Found::Missing && !files::entries(dir)?.iter().any(|p| generation::is_one(p));
    match found {
        Found::Mark(mark) => return Ok(Some(mark)),
        Found::Missing if is_new => {}
        Found::Missing | Found::Unreadable => {
            tracing::error!("Queue has no readable watermark: whether its newest records were lost cannot be told.");
        }
    }
    Ok(None)
}

struct Opened {
    store: Generations,
    contents: Contents,
    next: [QueueSeq; 2],
    lost: [Runs; 2],
}

/// Opens the generations, and looks for what they lack.
fn open_store(config: &Config, engine: Arc<dyn Engine>, mark: Option<&Mark>) -> Result<Opened, Error> {
    let (ends, newest) = mark.map_or_else(Default::default, |m| (m.ends, m.newest_generation));
    let (mut store, mut contents) = Generations::open(&config.dir, engine, config.generation_max_bytes, ends, newest)?;
    let mut lost = contents.missing(mark);
    if mark.is_none() && !contents.quarantined.is_empty() {
        // Nobody knows how much there was.
        for log in Log::ALL.map(|log| log as usize) {
            lost[log].add(Run::new(contents.end[log], QueueSeq(u64::MAX)));
        }
    }
    if contents.is_of_an_earlier_moment(mark) {
        store.roll_next();
    }
    let ends = |contents: &Contents| Log::ALL.map(|log| contents.end[log as usize].max(ends[log as usize]));
    store.go_on_at(ends(&contents));
    recovery::salvage(&mut store, &mut contents, &mut lost)?;
    let next = ends(&contents);
    store.go_on_at(next);
    for log in Log::ALL.map(|log| log as usize) {
        lost[log].remove(Run::new(next[log], QueueSeq(u64::MAX)));
    }
    Ok(Opened { store, contents, next, lost })
}

/// Applies times to live, for whoever knows what time it is.
#[derive(Clone)]
pub struct Sweeper {
    shared: Arc<Shared>,
}

impl Sweeper {
    /// `age_of` tells how long ago a record was received, if that is known. What has expired goes with the next commit,
    /// which is asked for.
    pub fn sweep(&self, age_of: &dyn Fn(Stamp) -> Option<Duration>) {
        *self.shared.retention() = retention::of(&self.shared.view.sealed(), &self.shared.config, age_of);
        self.shared.books_changed(Duration::ZERO);
    }
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
