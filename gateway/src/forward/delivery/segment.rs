//! A part of a log that is worked on from its front to its end: what of it is settled, under way, read, and to be read.
//!
//! # Invariants
//! - All records before `base` are settled. Of those from `base` on that are known, each has one [`Fate`].
//! - A record waits in the queue of its device's shard, in the order of the log, or is in one batch, or is settled.
//! - Memory is bounded: no more is read in than the window holds, and what is known of a record is one byte.

use std::collections::VecDeque;
use std::fmt;

use super::Limit;
use super::fair;
use crate::queue::{Block, QueueSeq, Record};

/// Payloads are cut off where they have this many times the bytes of a batch: encoded, they may be less.
const PICK_BYTES: usize = 2;

/// A record on its way, with the block that it lies in.
#[derive(Clone)]
pub(in crate::forward) struct Item {
    pub(in crate::forward) seq: QueueSeq,
    /// Of its topic.
    pub(super) device: u32,
    pub(super) bytes: u32,
    block: Block,
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seq.0)
    }
}

impl Item {
    fn new(block: &Block, seq: QueueSeq, record: &Record) -> Self {
        let device = crc32fast::hash(&record.topic);
        Self { seq, device, bytes: (record.topic.len() + record.payload.len()) as u32, block: block.clone() }
    }

    /// # Panics
    /// Never: an item is made of a record of its block.
    pub(in crate::forward) fn record(&self) -> &Record {
        let (_, record) = self.block.records_from(self.seq).next().expect("an item is made of a record of its block");
        record
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing yet: it waits to be sent, or to be read.
    Open,
    /// In a batch.
    UnderWay,
    Delivered,
    /// The sink is not to get it.
    Filtered,
    Quarantined,
    /// No longer in the queue, whose own books say why.
    Missing,
}

/// Records settled, by how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) delivered: u64,
    pub(super) filtered: u64,
    pub(super) quarantined: u64,
}

#[derive(Debug)]
pub(super) struct Segment {
    /// Its first record; all from here up to `base` are settled.
    pub(super) start: QueueSeq,
    pub(super) base: QueueSeq,
    /// Open: it goes on to the end of the log.
    pub(super) end: Option<QueueSeq>,
    /// From `base` on.
    fates: VecDeque<Fate>,
    read_to: QueueSeq,
    shards: Vec<VecDeque<Item>>,
    waiting_bytes: usize,
}

impl Segment {
    pub(super) fn new(start: QueueSeq, base: QueueSeq, end: Option<QueueSeq>, shards: usize) -> Self {
        let shards = (0..shards).map(|_| VecDeque::new()).collect();
        Self { start, base, end, fates: VecDeque::new(), read_to: base, shards, waiting_bytes: 0 }
    }

    /// Whether nothing of it was ever sent, filtered or missed.
    pub(super) fn is_untouched(&self) -> bool {
        self.base == self.start && self.fates.iter().all(|fate| *fate == Fate::Open)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| self.base >= end)
    }

    /// Ends here, and gives what lies behind to a new segment. What it had read of its own part and not sent is forgotten,
    /// and read again in its turn.
    pub(super) fn cut(&mut self, at: QueueSeq) -> Self {
        let mut behind = Self::new(at, at, self.end, self.shards.len());
        let own = (self.base.count_to(at) as usize).min(self.fates.len());
        behind.fates = self.fates.split_off(own);
        behind.read_to = behind.read_to.max(self.read_to);
        let waiting: Vec<Item> = self.shards.iter_mut().flat_map(|queue| queue.drain(..)).collect();
        waiting.into_iter().filter(|item| item.seq >= at).for_each(|item| behind.push(item));
        self.end = Some(at);
        self.waiting_bytes = 0;
        self.read_to = self.base;
        self.skip_known();
        behind
    }

    /// Where it ends while the log ends at `log_end`.
    fn end_at(&self, log_end: QueueSeq) -> QueueSeq {
        self.end.map_or(log_end, |end| end.min(log_end))
    }

    /// The next record to read, if there is one.
    pub(super) fn to_read(&self, log_end: QueueSeq) -> Option<QueueSeq> {
        Some(self.read_to).filter(|at| *at < self.end_at(log_end))
    }

    /// Whether everything of it was read; an open one never was.
    pub(super) fn is_read(&self) -> bool {
        self.end.is_some_and(|end| self.read_to >= end)
    }

    pub(super) fn has_room(&self, window: Limit) -> bool {
        self.room(window) > 0 && self.waiting_bytes < window.bytes
    }

    /// Records that may be read yet.
    fn room(&self, window: Limit) -> usize {
        window.records.saturating_sub(self.base.count_to(self.read_to) as usize)
    }

    /// Records read, and those not read yet, that are in no batch.
    pub(super) fn waiting(&self, log_end: QueueSeq) -> u64 {
        let read: usize = self.shards.iter().map(VecDeque::len).sum();
        read as u64 + self.read_to.count_to(self.end_at(log_end))
    }

    /// The oldest record in no batch.
    pub(super) fn first_waiting(&self, log_end: QueueSeq) -> Option<QueueSeq> {
        let read = self.shards.iter().filter_map(VecDeque::front).map(|item| item.seq).min();
        read.or_else(|| self.to_read(log_end))
    }

    /// Of the shards that may be used, the one whose first record is the oldest.
    pub(super) fn oldest_shard(&self, may_be_used: impl Fn(usize) -> bool) -> Option<usize> {
        let heads = self.shards.iter().enumerate().filter_map(|(shard, queue)| Some((queue.front()?.seq, shard)));
        heads.filter(|(_, shard)| may_be_used(*shard)).min().map(|(_, shard)| shard)
    }

    pub(super) fn shard_len(&self, shard: usize) -> usize {
        self.shards[shard].len()
    }

    /// Takes in the block that was found from `read_to` on: records before it are missing. Tells what it settled by that.
    pub(super) fn take_in(&mut self, block: &Block, window: Limit, takes: &dyn Fn(&Record) -> bool) -> Tally {
        let end = self.end.unwrap_or(QueueSeq(u64::MAX));
        let hole_end = block.first().min(end);
        if self.fates.is_empty() {
            // However large it is.
            self.base = self.base.max(hole_end);
            self.read_to = self.read_to.max(hole_end);
        } else {
            let hole_end = hole_end.min(self.read_to.plus(self.room(window) as u64));
            while self.read_to < hole_end {
                self.know(self.read_to, Fate::Missing);
                self.read_to = self.read_to.plus(1);
            }
        }
        if self.read_to >= block.first() {
            for (seq, record) in block.records_from(self.read_to).take_while(|(seq, _)| *seq < end) {
                let fate = if takes(record) { Fate::Open } else { Fate::Filtered };
                if self.know(seq, fate) && fate == Fate::Open {
                    self.push(Item::new(block, seq, record));
                }
                self.read_to = seq.plus(1);
            }
        }
        self.skip_known();
        self.settle_front()
    }

    fn push(&mut self, item: Item) {
        self.waiting_bytes += item.bytes as usize;
        let shard = item.device as usize % self.shards.len();
        self.shards[shard].push_back(item);
    }

    /// Whether the record was open so far.
    fn know(&mut self, seq: QueueSeq, fate: Fate) -> bool {
        let at = self.base.count_to(seq) as usize;
        match self.fates.get_mut(at) {
            Some(known) if *known != Fate::Open => false,
            Some(known) => {
                *known = fate;
                true
            }
            None => {
                self.fates.push_back(fate);
                true
            }
        }
    }

    /// What was settled, or is under way, out of turn need not be read again.
    fn skip_known(&mut self) {
        let at = self.base.count_to(self.read_to) as usize;
        let known = self.fates.iter().skip(at).take_while(|fate| **fate != Fate::Open).count();
        self.read_to = self.read_to.plus(known as u64);
    }

    /// Takes a batch out of a shard's queue; of what is more than one batch, each device gets its part if it is to be
    /// `fair`.
    pub(super) fn pick(&mut self, shard: usize, limit: Limit, fair: bool) -> Vec<Item> {
        let queue = &mut self.shards[shard];
        let places = places(queue, limit);
        let picked: Vec<Item> =
            if fair && queue.len() > places { fair::pick(queue, places) } else { queue.drain(..places).collect() };
        for item in &picked {
            self.waiting_bytes -= item.bytes as usize;
            self.set(item.seq, Fate::UnderWay);
        }
        picked
    }

    /// Records of a batch wait again.
    pub(super) fn give_back(&mut self, items: &[Item]) {
        for item in items {
            self.set(item.seq, Fate::Open);
            // What lies beyond is read again anyway.
            if item.seq < self.read_to {
                self.push(item.clone());
            }
        }
        for queue in &mut self.shards {
            queue.make_contiguous().sort_unstable_by_key(|item| item.seq);
        }
    }

    /// Records of a batch are settled; tells what is settled from the front on by that, and was not before.
    pub(super) fn settle(&mut self, settled: &[(QueueSeq, Fate)]) -> Tally {
        for (seq, fate) in settled {
            self.set(*seq, *fate);
        }
        self.settle_front()
    }

    fn set(&mut self, seq: QueueSeq, fate: Fate) {
        let at = self.base.count_to(seq) as usize;
        self.fates[at] = fate;
    }

    pub(super) fn settle_front(&mut self) -> Tally {
        let mut tally = Tally::default();
        while let Some(fate) = self.fates.front() {
            match fate {
                Fate::Open | Fate::UnderWay => break,
                Fate::Delivered => tally.delivered += 1,
                Fate::Filtered => tally.filtered += 1,
                Fate::Quarantined => tally.quarantined += 1,
                Fate::Missing => {}
            }
            self.fates.pop_front();
            self.base = self.base.plus(1);
        }
        self.read_to = self.read_to.max(self.base);
        tally
    }
}

/// How many items of the queue's front make a batch, at least one if there is any.
fn places(queue: &VecDeque<Item>, limit: Limit) -> usize {
    let mut bytes = 0;
    let fits = |item: &&Item| {
        let fits = bytes < PICK_BYTES * limit.bytes;
        bytes += item.bytes as usize;
        fits
    };
    queue.iter().take(limit.records).take_while(fits).count()
}
