//! Cursors and the loss ledger that is made of them.

use super::record::{Log, QueueSeq};

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
    /// Records that damage to the disk took before this consumer had passed them. The queue counts them: a consumer
    /// whose `read` skips such a hole moves its cursor and books nothing for it.
    pub lost: u64,
    pub cursor: Cursor,
}

impl LedgerRow {
    pub fn balances(&self) -> bool {
        let c = &self.cursor;
        self.accepted == c.delivered + self.queued + c.expired + c.dropped + c.quarantined + c.duplicate + self.lost
    }
}

/// What the queue keeps of one consumer in one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Where the consumer started when it was first registered.
    pub(super) start: QueueSeq,
    /// Records at and after the cursor that were found lost.
    pub(super) lost: u64,
    pub(super) cursor: Cursor,
}

impl Account {
    /// For the store: start, lost, next, delivered, quarantined, dropped, expired, duplicate; u64 little endian each.
    pub(super) const BYTES: usize = 8 * 8;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let c = self.cursor;
        let fields = [self.start.0, self.lost, c.next.0, c.delivered, c.quarantined, c.dropped, c.expired, c.duplicate];
        fields.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::BYTES] = bytes.try_into().ok()?;
        let mut fields = bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b));
        let mut next = || fields.next();
        Some(Self {
            start: QueueSeq(next()?),
            lost: next()?,
            cursor: Cursor {
                next: QueueSeq(next()?),
                delivered: next()?,
                quarantined: next()?,
                dropped: next()?,
                expired: next()?,
                duplicate: next()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_comes_back_from_its_bytes() {
        let cursor =
            Cursor { next: QueueSeq(u64::MAX), delivered: 1, quarantined: 2, dropped: 3, expired: 4, duplicate: 5 };
        let account = Account { start: QueueSeq(7), lost: 6, cursor };
        assert_eq!(Account::from_bytes(&account.to_bytes()), Some(account));
        assert_eq!(Account::from_bytes(&[0; 63]), None);
    }
}
