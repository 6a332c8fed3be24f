//! Cursors and the loss ledger that is made of them.

use super::record::{Log, QueueSeq};

/// A consumer's durable position in one log, with its books of what became of the records before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// All records before this one are settled.
    pub next: QueueSeq,
    /// Records that the sink confirmed.
    pub delivered: u64,
    /// Records kept aside because this consumer cannot use them, reason counted.
    pub quarantined: u64,
    /// Records recognised as repeats and not sent again.
    pub duplicate: u64,
}

impl Cursor {
    /// Records that the consumer has booked.
    pub(super) fn settled(&self) -> u64 {
        self.delivered + self.quarantined + self.duplicate
    }
}

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
/// `accepted = delivered + queued + expired + dropped + quarantined + duplicate + lost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    pub consumer: String,
    pub log: Log,
    /// Records taken in since this consumer was first registered.
    pub accepted: u64,
    /// Records in the store at and after the cursor, counted in the store, not computed from the others.
    pub queued: u64,
    /// These three are counted by the queue: a consumer whose `read` skips a hole moves its cursor and books nothing
    /// for it.
    pub dropped: u64,
    pub expired: u64,
    pub lost: u64,
    pub cursor: Cursor,
}

impl LedgerRow {
    pub fn balances(&self) -> bool {
        self.accepted == self.cursor.settled() + self.queued + self.dropped + self.expired + self.lost
    }
}

/// What the queue keeps of one consumer in one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Where the consumer started when it was first registered.
    pub(super) start: QueueSeq,
    /// Records that it did not get, indexed by `Fate`; they may lie ahead of its cursor.
    pub(super) gone: [u64; 3],
    pub(super) cursor: Cursor,
}

impl Account {
    /// For the store: start, dropped, expired, lost, next, delivered, quarantined, duplicate; u64 little endian each.
    pub(super) const BYTES: usize = 8 * 8;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let c = self.cursor;
        let [dropped, expired, lost] = self.gone;
        let fields = [self.start.0, dropped, expired, lost, c.next.0, c.delivered, c.quarantined, c.duplicate];
        let mut bytes = [0; Self::BYTES];
        for (to, field) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(fields) {
            *to = field.to_le_bytes();
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let mut fields = bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
        let mut next = || fields.next();
        Some(Self {
            start: QueueSeq(next()?),
            gone: [next()?, next()?, next()?],
            cursor: Cursor { next: QueueSeq(next()?), delivered: next()?, quarantined: next()?, duplicate: next()? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_comes_back_from_its_bytes() {
        let cursor = Cursor { next: QueueSeq(u64::MAX), delivered: 1, quarantined: 2, duplicate: 5 };
        let account = Account { start: QueueSeq(7), gone: [3, 4, 6], cursor };
        assert_eq!(Account::from_bytes(&account.to_bytes()), Some(account));
        assert_eq!(Account::from_bytes(&[0; 63]), None);
    }
}
