//! Cursors and the loss ledger that is made of them.

use bytes::Bytes;

use super::record::{Log, QueueSeq};
use super::runs::{Run, Runs};
use super::varint::{self, Input};

/// A consumer's durable position in one log, with its books of what became of the records that it has settled: those
/// before it, and those in the runs ahead of it, if there are any (see [`Reader::settle`](super::Reader::settle)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// All records before this one are settled.
    pub next: QueueSeq,
    /// Records that the sink confirmed.
    pub delivered: u64,
    /// Records that the sink is not to get, by its filters.
    pub filtered: u64,
    /// Records kept aside because this consumer cannot use them, reason counted.
    pub quarantined: u64,
    /// Records recognised as repeats and not sent again.
    pub duplicate: u64,
}

impl Cursor {
    /// Records that the consumer has booked.
    pub(super) fn settled(&self) -> u64 {
        self.delivered + self.filtered + self.quarantined + self.duplicate
    }
}

/// Most runs that a consumer may have settled ahead of its cursor: each outage and each lag costs one while its backlog
/// drains.
pub const AHEAD_MAX: usize = 32;

/// How the queue itself settles a record that a consumer had not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Thrown away by policy: the disk budget, or a consumer that did not come back.
    Dropped,
    /// Outlived its time to live.
    Expired,
    /// Taken by damage to the disk.
    Lost,
}

impl Fate {
    pub const ALL: [Self; 3] = [Self::Dropped, Self::Expired, Self::Lost];

    pub fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Expired => "expired",
            Self::Lost => "lost",
        }
    }
}

/// One row of the loss ledger:
/// `accepted = delivered + filtered + queued + expired + dropped + quarantined + duplicate + lost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    pub consumer: String,
    pub log: Log,
    /// Records taken in since this consumer was first registered.
    pub accepted: u64,
    /// Records in the store at and after the cursor that are in none of the runs ahead of it; counted in the store, not
    /// computed from the others.
    pub queued: u64,
    /// These three are counted by the queue: a consumer whose `read` skips a hole moves its cursor and books nothing
    /// for it.
    pub dropped: u64,
    pub expired: u64,
    pub lost: u64,
    pub cursor: Cursor,
    /// Settled beyond the cursor: what came after an outage, or after a lag, and went first.
    pub ahead: Vec<Run>,
}

impl LedgerRow {
    pub fn balances(&self) -> bool {
        self.accepted == self.cursor.settled() + self.queued + self.dropped + self.expired + self.lost
    }
}

/// What the queue keeps of one consumer in one log.
///
/// # Format, version 2
/// The number 2; u64, little endian: start, dropped, expired, lost, next, delivered, filtered, quarantined, duplicate;
/// then for each run ahead two varints: records between it and what lies before it, and its own. Version 1 was eight of
/// the u64 alone, without `filtered`; it is read for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Where the consumer started when it was first registered.
    pub(super) start: QueueSeq,
    /// Records that it did not get, indexed by `Fate`; they may lie ahead of its cursor.
    pub(super) gone: [u64; 3],
    pub(super) cursor: Cursor,
    /// Settled beyond the cursor, and in its counts; neither reaches back to it nor has more than [`AHEAD_MAX`] runs.
    pub(super) ahead: Runs,
}

const VERSION: u8 = 2;
const FIELDS: usize = 9;
const BYTES_OF_VERSION_1: usize = 8 * 8;

impl Account {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let c = self.cursor;
        let [dropped, expired, lost] = self.gone;
        let fields =
            [self.start.0, dropped, expired, lost, c.next.0, c.delivered, c.filtered, c.quarantined, c.duplicate];
        let mut bytes = vec![VERSION];
        bytes.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
        let mut before = c.next;
        for run in self.ahead.iter() {
            varint::put(&mut bytes, before.count_to(run.first));
            varint::put(&mut bytes, run.count());
            before = run.end;
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() == BYTES_OF_VERSION_1 {
            return Self::from_version_1(bytes);
        }
        let (fixed, runs) = bytes.strip_prefix(&[VERSION])?.split_at_checked(8 * FIELDS)?;
        let mut fields = fixed.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
        let mut next = || fields.next();
        let mut account = Self {
            start: QueueSeq(next()?),
            gone: [next()?, next()?, next()?],
            cursor: Cursor {
                next: QueueSeq(next()?),
                delivered: next()?,
                filtered: next()?,
                quarantined: next()?,
                duplicate: next()?,
            },
            ahead: Runs::default(),
        };
        let runs = Bytes::copy_from_slice(runs);
        let (mut input, mut before) = (Input::new(&runs), account.cursor.next.0);
        for _ in 0..AHEAD_MAX {
            if input.is_empty() {
                break;
            }
            let first = before.checked_add(input.varint()?)?;
            before = first.checked_add(input.varint()?)?;
            account.ahead.add(Run::new(QueueSeq(first), QueueSeq(before)));
        }
        input.is_empty().then_some(account)
    }

    fn from_version_1(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
        let mut next = || fields.next();
        Some(Self {
            start: QueueSeq(next()?),
            gone: [next()?, next()?, next()?],
            cursor: Cursor {
                next: QueueSeq(next()?),
                delivered: next()?,
                filtered: 0,
                quarantined: next()?,
                duplicate: next()?,
            },
            ahead: Runs::default(),
        })
    }

    /// What of the run the consumer has not settled.
    pub(super) fn unsettled(&self, run: Run) -> Runs {
        let mut open = Runs::default();
        open.add(Run::new(run.first.max(self.cursor.next), run.end));
        self.ahead.iter().for_each(|settled| open.remove(settled));
        open
    }

    /// The same with the cursor at `next` or after it: nothing before that is left to settle, and runs that it reaches are
    /// passed too.
    pub(super) fn moved_on_to(mut self, next: QueueSeq) -> Self {
        let mut next = next.max(self.cursor.next);
        for run in self.ahead.iter() {
            if run.first <= next {
                next = next.max(run.end);
            }
        }
        self.ahead.remove(Run::new(QueueSeq(0), next));
        self.cursor.next = next;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, end: u64) -> Run {
        Run::new(QueueSeq(first), QueueSeq(end))
    }

    #[test]
    fn an_account_comes_back_from_its_bytes() {
        let cursor = Cursor { next: QueueSeq(1 << 40), delivered: 1, filtered: 9, quarantined: 2, duplicate: 5 };
        let mut account = Account { start: QueueSeq(7), gone: [3, 4, 6], cursor, ahead: Runs::default() };
        assert_eq!(Account::from_bytes(&account.to_bytes()), Some(account.clone()));
        for n in 0..AHEAD_MAX as u64 {
            account.ahead.add(run((1 << 40) + 10 * n + 1, (1 << 40) + 10 * n + 5));
        }
        let bytes = account.to_bytes();
        assert_eq!(Account::from_bytes(&bytes), Some(account));
        assert_eq!(Account::from_bytes(&bytes[..bytes.len() - 1]), None, "cut short");
        assert_eq!(Account::from_bytes(&[bytes, vec![1, 1]].concat()), None, "too many runs");
        assert_eq!(Account::from_bytes(&[0; 63]), None);
    }

    #[test]
    fn an_account_of_version_1_is_read() {
        let fields: [u64; 8] = [7, 3, 4, 6, 100, 80, 2, 5];
        let bytes: Vec<u8> = fields.iter().flat_map(|f| f.to_le_bytes()).collect();
        let cursor = Cursor { next: QueueSeq(100), delivered: 80, filtered: 0, quarantined: 2, duplicate: 5 };
        let account = Account { start: QueueSeq(7), gone: [3, 4, 6], cursor, ahead: Runs::default() };
        assert_eq!(Account::from_bytes(&bytes), Some(account));
    }

    #[test]
    fn a_cursor_that_reaches_a_run_ahead_passes_it() {
        let mut account = Account::default();
        [run(5, 8), run(10, 12), run(20, 30)].into_iter().for_each(|run| account.ahead.add(run));
        let at = |next: u64| {
            let then = account.clone().moved_on_to(QueueSeq(next));
            (then.cursor.next.0, then.ahead.iter().collect::<Vec<_>>())
        };
        assert_eq!(at(4), (4, vec![run(5, 8), run(10, 12), run(20, 30)]));
        assert_eq!(at(5), (8, vec![run(10, 12), run(20, 30)]));
        assert_eq!(at(11), (12, vec![run(20, 30)]));
        assert_eq!(at(40), (40, vec![]));
    }
}
