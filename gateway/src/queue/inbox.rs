//! What waits for the writer: bounded in records and in bytes; whoever has more to hand over waits.
//!
//! # Invariants
//! - Room is given back only once a transaction is durable: the bound covers what is being written, too.
//! - Transactions leave in the order in which they came.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use super::record::Record;
use super::{Committed, Error, Receipt, Transaction};

/// Bytes are counted in units of this, for semaphores count in 32 bits.
const UNIT_BYTES: usize = 1024;
/// What a record costs in memory beyond its texts.
const RECORD_BYTES: usize = size_of::<Record>();
/// One commit takes at most this many bytes of transactions, or one transaction.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Room that a transaction takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    records: u32,
    units: u32,
}

impl Cost {
    /// # Errors
    /// `TooLarge`: such a record or state is never taken.
    fn of(t: &Transaction) -> Result<Self, Error> {
        let mut bytes = 0;
        for r in t.raw.iter().chain(&t.derived) {
            let limits = [
                ("payload", r.payload.len(), Record::PAYLOAD_MAX),
                ("topic", r.topic.len(), Record::TOPIC_MAX),
                ("content type", r.content_type.len(), Record::TOPIC_MAX),
            ];
            for (what, len, max) in limits {
                check(what, len, max)?;
            }
            bytes += r.payload.len() + r.topic.len() + r.content_type.len() + RECORD_BYTES;
        }
        for (name, value) in &t.state {
            let len = value.as_ref().map_or(0, Vec::len);
            check("state", len, Transaction::STATE_BYTES_MAX)?;
            bytes += name.len() + len;
        }
        let records = t.raw.len() + t.derived.len();
        Ok(Self { records: records as u32, units: bytes.div_ceil(UNIT_BYTES) as u32 })
    }
}

fn check(what: &'static str, bytes: usize, max: usize) -> Result<(), Error> {
    if bytes > max { Err(Error::TooLarge { what, bytes, max }) } else { Ok(()) }
}

/// A transaction on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) transaction: Transaction,
    pub(super) receipt: oneshot::Sender<Result<Committed, std::sync::Arc<Error>>>,
    pub(super) arrived_at: Instant,
    cost: Cost,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(super) enum Work {
    /// Commit these, with the books that changed.
    Group(Vec<Pending>),
    /// Commit the books alone: they have waited long enough.
    Books,
    /// Nothing is left and nothing will come.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<Pending>,
    /// When changed books are to be committed even if nothing else is.
    books_due_at: Option<Instant>,
    closed: bool,
}

#[derive(Debug)]
pub(super) struct Inbox {
    records: Semaphore,
    units: Semaphore,
    records_max: u32,
    units_max: u32,
    state: Mutex<State>,
    work: Condvar,
}

impl Inbox {
    pub(super) fn new(records_max: usize, bytes_max: usize) -> Self {
        let clamp = |n: usize| n.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let (records_max, units_max) = (clamp(records_max), clamp(bytes_max / UNIT_BYTES));
        Self {
            records: Semaphore::new(records_max),
            units: Semaphore::new(units_max),
            records_max: records_max as u32,
            units_max: units_max as u32,
            state: Mutex::default(),
            work: Condvar::new(),
        }
    }

    /// Waits for room, then queues the transaction.
    pub(super) async fn push(&self, transaction: Transaction) -> Result<Receipt, Error> {
        let cost = self.clamp(Cost::of(&transaction)?);
        let records = self.records.acquire_many(cost.records).await.map_err(|_| Error::Closed)?;
        let units = self.units.acquire_many(cost.units).await.map_err(|_| Error::Closed)?;
        let (tx, rx) = oneshot::channel();
        let mut state = self.state.lock().expect("no panic under the lock");
        if state.closed {
            return Err(Error::Closed);
        }
        records.forget();
        units.forget();
        state.pending.push_back(Pending { transaction, receipt: tx, arrived_at: Instant::now(), cost });
        if state.pending.len() == 1 {
            self.work.notify_one();
        }
        Ok(rx)
    }

    /// One transaction larger than the whole inbox takes all of it.
    fn clamp(&self, cost: Cost) -> Cost {
        Cost { records: cost.records.min(self.records_max), units: cost.units.min(self.units_max) }
    }

    /// The books changed: they are to be committed by then at the latest.
    pub(super) fn books_due_at(&self, at: Instant) {
        let mut state = self.state.lock().expect("no panic under the lock");
        if state.books_due_at.is_none_or(|due| at < due) {
            state.books_due_at = Some(at);
            self.work.notify_one();
        }
    }

    /// Waits for work; a group holds at most `records_max` records, or one transaction.
    pub(super) fn take(&self, records_max: usize) -> Work {
        let mut state = self.state.lock().expect("no panic under the lock");
        loop {
            if !state.pending.is_empty() {
                state.books_due_at = None;
                return Work::Group(take_group(&mut state.pending, records_max));
            }
            if state.closed {
                return Work::Closed;
            }
            let wait = state.books_due_at.map(|due| due.saturating_duration_since(Instant::now()));
            state = match wait {
                Some(Duration::ZERO) => {
                    state.books_due_at = None;
                    return Work::Books;
                }
                Some(wait) => self.work.wait_timeout(state, wait).expect("no panic under the lock").0,
                None => self.work.wait(state).expect("no panic under the lock"),
            };
        }
    }

    /// Gives back the room of transactions that are settled.
    pub(super) fn settled(&self, cost: Cost) {
        self.records.add_permits(cost.records as usize);
        self.units.add_permits(cost.units as usize);
    }

    /// Nothing is taken in any more; what is in is still handed out.
    pub(super) fn close(&self) {
        self.state.lock().expect("no panic under the lock").closed = true;
        self.records.close();
        self.units.close();
        self.work.notify_one();
    }

    /// Takes what is left, for the writer that cannot write any more.
    pub(super) fn drain(&self) -> Vec<Pending> {
        self.state.lock().expect("no panic under the lock").pending.drain(..).collect()
    }
}

impl Pending {
    pub(super) fn cost(&self) -> Cost {
        self.cost
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |a, b| Self { records: a.records + b.records, units: a.units + b.units })
    }
}

fn take_group(pending: &mut VecDeque<Pending>, records_max: usize) -> Vec<Pending> {
    let (mut records, mut bytes) = (0, 0);
    let fits = |p: &&Pending| {
        records += p.transaction.raw.len() + p.transaction.derived.len();
        bytes += p.cost.units as usize * UNIT_BYTES;
        records <= records_max && bytes <= GROUP_BYTES_MAX
    };
    let count = pending.iter().take_while(fits).count().max(1);
    pending.drain(..count).collect()
}
