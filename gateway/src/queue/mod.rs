//! The durable queue between the doors and everything else: two logs, named cursors, one writer.
//!
//! # Invariants
//! - A receipt is given only after the transaction is on disk behind an fsync that the kernel really did.
//! - A transaction is all or nothing: appended records, cursors and state become durable together.
//! - `QueueSeq` counts each log without holes and is never reused.
//!
//! # Flow
//! ```text
//! Appender ──Transaction──▶ writer thread (group commit) ──▶ Store ──fsync──▶ Receipt, Readers wake
//! ```
//!
//! # Not here
//! Decoding of payloads, networks, wall-clock time.

mod block;
mod record;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{oneshot, watch};

pub use block::Block;
pub use record::{Door, Flags, Log, QueueSeq, Record};

/// Settings of the queue, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Directory of its own; made if missing.
    pub dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("queue is closed")]
    Closed,
    #[error("queue storage: {0}")]
    Storage(String),
}

/// A consumer's durable position in one log, with the books of what became of the records before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// All records before this one are settled.
    pub next: QueueSeq,
    /// Records that the sink confirmed.
    pub delivered: u64,
    /// Records kept aside because this consumer cannot use them, reason counted.
    pub quarantined: u64,
    /// Records that a policy threw away before delivery, counted.
    pub dropped: u64,
    /// Records that outlived their time to live before delivery.
    pub expired: u64,
    /// Records recognised as repeats and not sent again.
    pub duplicate: u64,
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

/// Where a transaction's records landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Sequence of its first raw record (meaningless if it had none).
    pub raw_first: QueueSeq,
    pub derived_first: QueueSeq,
}

/// Resolves once the transaction is durable. An error means that it is not known to be.
pub type Receipt = oneshot::Receiver<Result<Committed, Arc<Error>>>;

/// One row of the loss ledger: `accepted = delivered + queued + expired + dropped + quarantined + duplicate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    pub consumer: String,
    pub log: Log,
    /// Records taken in since this consumer was first registered.
    pub accepted: u64,
    /// Records in the store at and after the cursor, counted in the store, not computed from the others.
    pub queued: u64,
    pub cursor: Cursor,
}

impl LedgerRow {
    pub fn balances(&self) -> bool {
        let c = &self.cursor;
        self.accepted == c.delivered + self.queued + c.expired + c.dropped + c.quarantined + c.duplicate
    }
}

// --- Stand-in that keeps all in memory, so that the other stages can be built against the final types. ---

#[derive(Default)]
struct Memory {
    logs: [Vec<Record>; 2],
    cursors: BTreeMap<(String, Log), Cursor>,
    state: BTreeMap<String, Vec<u8>>,
}

struct Shared {
    memory: Mutex<Memory>,
    changed: watch::Sender<u64>,
}

/// The open queue. Dropping it, after `close`, releases the directory.
pub struct Queue {
    shared: Arc<Shared>,
}

impl Queue {
    /// Opens or makes the queue in `config.dir`.
    ///
    /// # Errors
    /// The directory cannot be made, written or locked (another gateway runs on it).
    pub fn open(_config: &Config) -> Result<Self, Error> {
        let shared = Shared { memory: Mutex::default(), changed: watch::Sender::new(0) };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub fn appender(&self) -> Appender {
        Appender { shared: self.shared.clone() }
    }

    /// Registers the consumer `name`: from now on records are kept until it has passed them.
    /// A new consumer starts at the oldest record still kept.
    pub fn reader(&self, name: &str) -> Reader {
        Reader { name: name.to_owned(), shared: self.shared.clone(), changed: self.shared.changed.subscribe() }
    }

    pub fn ledger(&self) -> Vec<LedgerRow> {
        let m = self.shared.memory.lock().expect("no panic under the lock");
        m.cursors
            .iter()
            .map(|((name, log), c)| {
                let end = m.logs[*log as usize].len() as u64;
                LedgerRow { consumer: name.clone(), log: *log, accepted: end, queued: end - c.next.0, cursor: *c }
            })
            .collect()
    }

    /// Bytes on disk, measured there.
    pub fn disk_bytes(&self) -> u64 {
        0
    }

    /// Finishes the commits under way, makes cursors durable and stops the writer.
    ///
    /// # Errors
    /// The last flush failed.
    pub fn close(self) -> Result<(), Error> {
        Ok(())
    }
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
    /// `Closed` once the queue is closed or a flush has failed.
    pub async fn commit(&self, t: Transaction) -> Result<Receipt, Error> {
        let (tx, rx) = oneshot::channel();
        let committed = {
            let mut m = self.shared.memory.lock().expect("no panic under the lock");
            let committed = Committed {
                raw_first: QueueSeq(m.logs[0].len() as u64),
                derived_first: QueueSeq(m.logs[1].len() as u64),
            };
            m.logs[0].extend(t.raw);
            m.logs[1].extend(t.derived);
            for (name, log, c) in t.cursors {
                m.cursors.insert((name, log), c);
            }
            for (key, value) in t.state {
                match value {
                    Some(v) => m.state.insert(key, v),
                    None => m.state.remove(&key),
                };
            }
            committed
        };
        self.shared.changed.send_modify(|n| *n += 1);
        tx.send(Ok(committed)).ok();
        Ok(rx)
    }
}

/// The reading side of one named consumer.
pub struct Reader {
    name: String,
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
}

impl Reader {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This consumer's durable position (as of the last commit or [`Reader::advance`]).
    pub fn cursor(&self, log: Log) -> Cursor {
        let m = self.shared.memory.lock().expect("no panic under the lock");
        m.cursors.get(&(self.name.clone(), log)).copied().unwrap_or_default()
    }

    /// Sequence after the last durable record of the log.
    pub fn end(&self, log: Log) -> QueueSeq {
        QueueSeq(self.shared.memory.lock().expect("no panic under the lock").logs[log as usize].len() as u64)
    }

    /// The block that holds the durable record `from`, or the first after it (records between were lost to damage or
    /// policy and are in the books); `None` if there is none yet. May block on the disk for some milliseconds.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(&self, log: Log, from: QueueSeq) -> Result<Option<Block>, Error> {
        let m = self.shared.memory.lock().expect("no panic under the lock");
        let all = &m.logs[log as usize];
        let from = from.0 as usize;
        if from >= all.len() {
            return Ok(None);
        }
        let records = all[from..all.len().min(from + Block::RECORDS_MAX)].to_vec();
        Ok(Some(Block::new(log, QueueSeq(from as u64), records)))
    }

    /// Waits for a commit that this reader has not seen. Call it only after `read` gave `None` for all logs of interest.
    ///
    /// # Errors
    /// `Closed` once the queue is closed.
    pub async fn changed(&mut self) -> Result<(), Error> {
        self.changed.changed().await.map_err(|_| Error::Closed)
    }

    /// Moves the cursor: seen at once by `cursor`, the ledger and retention of records, durable with the next commit, or
    /// within a second if nothing else is committed. After a crash records after the last durable cursor come again.
    pub fn advance(&self, log: Log, cursor: Cursor) {
        let mut m = self.shared.memory.lock().expect("no panic under the lock");
        m.cursors.insert((self.name.clone(), log), cursor);
    }

    /// Named state as of the last commit.
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.memory.lock().expect("no panic under the lock").state.get(key).cloned()
    }
}
