//! What waits for the writer, in two lanes: doors, which can be held up, and stages, which make room by reading on and
//! so must never wait for room. Each is bounded in records and in bytes; whoever has more to hand over waits.
//!
//! # Invariants
//! - Room is given back only once a transaction is durable: the bound covers what is being written, too.
//! - Transactions of one lane leave in the order in which they came.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
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
                ("table", r.table.len(), Record::TABLE_MAX),
            ];
            for (what, len, max) in limits {
                check(what, len, max)?;
            }
            bytes += r.payload.len() + r.topic.len() + r.content_type.len() + r.table.len() + RECORD_BYTES;
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

/// Who hands over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Brings new records in.
    Door,
    /// Works on records that are in.
    Stage,
}

/// A transaction on its way.
#[derive(Debug)]
pub(super) struct Pending {
    lane: Lane,
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
    doors: VecDeque<Pending>,
    stages: VecDeque<Pending>,
    doors_held_up: bool,
    /// When changed books are to be committed even if nothing else is.
    books_due_at: Option<Instant>,
    closed: bool,
}

/// Room of one lane.
#[derive(Debug)]
struct Room {
    records: Semaphore,
    units: Semaphore,
    records_max: u32,
    units_max: u32,
}

#[derive(Debug)]
pub(super) struct Inbox {
    doors: Room,
    stages: Room,
    state: Mutex<State>,
    work: Condvar,
}

impl Room {
    fn new(records_max: usize, bytes_max: usize) -> Self {
        let clamp = |n: usize| n.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let (records_max, units_max) = (clamp(records_max), clamp(bytes_max / UNIT_BYTES));
        Self {
            records: Semaphore::new(records_max),
            units: Semaphore::new(units_max),
            records_max: records_max as u32,
            units_max: units_max as u32,
        }
    }

    /// One transaction larger than the whole room takes all of it.
    fn clamp(&self, cost: Cost) -> Cost {
        Cost { records: cost.records.min(self.records_max), units: cost.units.min(self.units_max) }
    }
}

impl Inbox {
    pub(super) fn new(records_max: usize, bytes_max: usize) -> Self {
        Self {
            doors: Room::new(records_max, bytes_max),
            stages: Room::new(records_max, bytes_max),
            state: Mutex::default(),
            work: Condvar::new(),
        }
    }

    fn room(&self, lane: Lane) -> &Room {
        match lane {
            Lane::Door => &self.doors,
            Lane::Stage => &self.stages,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under the lock")
    }

    /// Waits for room, then queues the transaction.
    pub(super) async fn push(&self, lane: Lane, transaction: Transaction) -> Result<Receipt, Error> {
        let room = self.room(lane);
        let cost = room.clamp(Cost::of(&transaction)?);
        let records = room.records.acquire_many(cost.records).await.map_err(|_| Error::Closed)?;
        let units = room.units.acquire_many(cost.units).await.map_err(|_| Error::Closed)?;
        let (tx, rx) = oneshot::channel();
        let mut state = self.state();
        if state.closed {
            return Err(Error::Closed);
        }
        records.forget();
        units.forget();
        let pending = Pending { lane, transaction, receipt: tx, arrived_at: Instant::now(), cost };
        match lane {
            Lane::Door => state.doors.push_back(pending),
            Lane::Stage => state.stages.push_back(pending),
        }
        if state.doors.len() + state.stages.len() == 1 {
            self.work.notify_one();
        }
        Ok(rx)
    }

    /// Whether transactions of doors stay in the inbox.
    pub(super) fn hold_up_doors(&self, held_up: bool) {
        self.state().doors_held_up = held_up;
    }

    /// The books changed: they are to be committed by then at the latest.
    pub(super) fn books_due_at(&self, at: Instant) {
        let mut state = self.state();
        if state.books_due_at.is_none_or(|due| at < due) {
            state.books_due_at = Some(at);
            self.work.notify_one();
        }
    }

    /// Waits for work; a group holds at most `records_max` records, or one transaction. It waits for company until its
    /// first transaction is `interval` old.
    pub(super) fn take(&self, records_max: usize, interval: Duration) -> Work {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let first_at = state.waiting().map(|p| p.arrived_at).min();
            let group_due = first_at.map(|at| at + interval);
            let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
            if is_due(group_due) || (first_at.is_some() && (state.closed || state.is_full_group(records_max))) {
                state.books_due_at = None;
                return Work::Group(state.take_group(records_max));
            }
            if state.closed {
                return Work::Closed;
            }
            if is_due(state.books_due_at) {
                state.books_due_at = None;
                return Work::Books;
            }
            let due = [group_due, state.books_due_at].into_iter().flatten().min();
            state = match due {
                Some(due) => self.work.wait_timeout(state, due - now).expect("no panic under the lock").0,
                None => self.work.wait(state).expect("no panic under the lock"),
            };
        }
    }

    /// Waits until `deadline`, or until the inbox is closed; says whether it is.
    pub(super) fn closed_by(&self, deadline: Instant) -> bool {
        let mut state = self.state();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return state.closed;
            }
            state = self.work.wait_timeout(state, left).expect("no panic under the lock").0;
        }
    }

    /// Gives back the room of transactions that are settled.
    pub(super) fn settled(&self, costs: impl IntoIterator<Item = (Lane, Cost)>) {
        for (lane, cost) in costs {
            let room = self.room(lane);
            room.records.add_permits(cost.records as usize);
            room.units.add_permits(cost.units as usize);
        }
    }

    /// Nothing is taken in any more; what is in is still handed out.
    pub(super) fn close(&self) {
        self.state().closed = true;
        for room in [&self.doors, &self.stages] {
            room.records.close();
            room.units.close();
        }
        self.work.notify_all();
    }

    /// Takes what is left, for the writer that cannot write any more.
    pub(super) fn drain(&self) -> Vec<Pending> {
        let mut state = self.state();
        let State { doors, stages, .. } = &mut *state;
        stages.drain(..).chain(doors.drain(..)).collect()
    }
}

impl State {
    /// What may be handed out.
    fn waiting(&self) -> impl Iterator<Item = &Pending> {
        let doors = if self.doors_held_up { None } else { Some(&self.doors) };
        self.stages.iter().chain(doors.into_iter().flatten())
    }

    fn is_full_group(&self, records_max: usize) -> bool {
        let (mut records, mut bytes) = (0, 0);
        self.waiting().any(|p| {
            records += p.records();
            bytes += p.bytes();
            records >= records_max || bytes >= GROUP_BYTES_MAX
        })
    }

    fn take_group(&mut self, records_max: usize) -> Vec<Pending> {
        let (mut records, mut bytes) = (0, 0);
        let mut fits = |p: &&Pending| {
            records += p.records();
            bytes += p.bytes();
            records <= records_max && bytes <= GROUP_BYTES_MAX
        };
        let stages = self.stages.iter().take_while(&mut fits).count();
        let doors = if self.doors_held_up || stages < self.stages.len() {
            0
        } else {
            self.doors.iter().take_while(&mut fits).count()
        };
        // One that is larger than a group goes alone.
        let (stages, doors) = match (stages, doors) {
            (0, 0) if !self.stages.is_empty() => (1, 0),
            (0, 0) => (0, 1),
            some => some,
        };
        self.stages.drain(..stages).chain(self.doors.drain(..doors)).collect()
    }
}

impl Pending {
    pub(super) fn cost(&self) -> (Lane, Cost) {
        (self.lane, self.cost)
    }

    fn records(&self) -> usize {
        self.transaction.raw.len() + self.transaction.derived.len()
    }

    fn bytes(&self) -> usize {
        self.cost.units as usize * UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::record;

    fn push(inbox: &Inbox, lane: Lane, records: u64) -> Receipt {
        let t = Transaction { raw: (0..records).map(record).collect(), ..Transaction::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(inbox.push(lane, t)).unwrap()
    }

    fn taken(inbox: &Inbox, records_max: usize) -> Vec<(Lane, usize)> {
        match inbox.take(records_max, Duration::ZERO) {
            Work::Group(group) => group.iter().map(|p| (p.lane, p.records())).collect(),
            Work::Books | Work::Closed => panic!("nothing to commit"),
        }
    }

    #[test]
    fn a_group_takes_stages_first_and_one_that_is_too_large_alone() {
        let inbox = Inbox::new(100, 1 << 20);
        let _receipts = [(Lane::Door, 3), (Lane::Door, 90), (Lane::Stage, 2)].map(|(l, n)| push(&inbox, l, n));
        assert_eq!(taken(&inbox, 10), [(Lane::Stage, 2), (Lane::Door, 3)]);
        assert_eq!(taken(&inbox, 10), [(Lane::Door, 90)]);
    }

    #[test]
    fn doors_that_are_held_up_do_not_hold_up_stages() {
        let inbox = Inbox::new(4, 1 << 20);
        let _door = push(&inbox, Lane::Door, 4);
        inbox.hold_up_doors(true);
        let _stage = push(&inbox, Lane::Stage, 4);
        assert_eq!(taken(&inbox, 10), [(Lane::Stage, 4)]);
        inbox.books_due_at(Instant::now());
        assert!(matches!(inbox.take(10, Duration::ZERO), Work::Books));
        inbox.hold_up_doors(false);
        assert_eq!(taken(&inbox, 10), [(Lane::Door, 4)]);
    }

    #[test]
    fn a_full_group_or_the_end_does_not_wait_for_company() {
        let inbox = Inbox::new(100, 1 << 20);
        let hour = Duration::from_secs(3_600);
        let _full = push(&inbox, Lane::Door, 10);
        assert!(matches!(inbox.take(10, hour), Work::Group(_)));
        let _one = push(&inbox, Lane::Door, 1);
        inbox.books_due_at(Instant::now());
        assert!(matches!(inbox.take(10, hour), Work::Books), "the group waits on");
        inbox.close();
        assert!(matches!(inbox.take(10, hour), Work::Group(_)));
        assert!(matches!(inbox.take(10, hour), Work::Closed));
    }
}
