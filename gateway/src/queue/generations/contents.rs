//! What passes between the queue and its generations.

use crate::queue::block::Encoded;
use crate::queue::cursor::Account;
use crate::queue::record::{Log, QueueSeq};
use crate::queue::runs::{Run, Runs};
use crate::queue::watermark::Mark;

/// Changes that become durable together.
#[derive(Clone, Debug, Default)]
pub(in crate::queue) struct Batch {
    /// New ones, in the order of their sequences, per log.
    pub(in crate::queue) blocks: Vec<Encoded>,
    /// Blocks of older generations that are to outlive them.
    pub(in crate::queue) carried: Vec<Carried>,
    pub(in crate::queue) accounts: Vec<(String, Log, Account)>,
    /// `None` deletes.
    pub(in crate::queue) state: Vec<(String, Option<Vec<u8>>)>,
    /// Records found to be lost: the finding is kept, so that each is reported and counted once.
    pub(in crate::queue) lost: Vec<(Log, Run)>,
}

impl Batch {
    pub(in crate::queue) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
            && self.carried.is_empty()
            && self.accounts.is_empty()
            && self.state.is_empty()
            && self.lost.is_empty()
    }
}

/// A block on its way from one generation to the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Carried {
    pub(in crate::queue) log: Log,
    pub(in crate::queue) block: Stored,
}

/// What the generations held when they were opened. Arrays are indexed by `Log`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::queue) struct Contents {
    /// Counted from the blocks themselves.
    pub(in crate::queue) held: [Runs; 2],
    /// Lost and known to be: the finding is in the store.
    pub(in crate::queue) lost_before: [Runs; 2],
    /// Held by older generations that are not there any more: released, or lost.
    pub(in crate::queue) vanished: [Runs; 2],
    /// Sequence after the last record ever stored, as far as the store knows.
    pub(in crate::queue) end: [QueueSeq; 2],
    pub(in crate::queue) accounts: Vec<(String, Log, Account)>,
    /// Number of the generation that says all this; 0: there was none.
    pub(in crate::queue) generation: u32,
    /// Generations set aside because they cannot be opened.
    pub(in crate::queue) quarantined: Vec<Quarantined>,
}

impl Contents {
    /// Whether accounts and state are those of an earlier moment than the watermark's, for the store has lost its newest.
    pub(in crate::queue) fn is_of_an_earlier_moment(&self, mark: Option<&Mark>) -> bool {
        let is_behind = |mark: &Mark| {
            // It may have been set aside in a run that did not get any further.
            self.generation < mark.newest_generation
                || self.end.iter().zip(mark.ends).any(|(end, durable)| *end < durable)
        };
        self.quarantined.iter().any(|q| q.was_newest) || mark.is_some_and(is_behind)
    }

    /// Records that should be there, indexed by log: what the watermark vouches for and what the store itself says it
    /// had, without what is held, known to be lost, or released.
    pub(in crate::queue) fn missing(&self, mark: Option<&Mark>) -> [Runs; 2] {
        Log::ALL.map(|log| {
            let (log, held) = (log as usize, &self.held[log as usize]);
            let mut missing = self.vanished[log].clone();
            match mark {
                Some(mark) => {
                    missing.remove(Run::new(QueueSeq(0), mark.oldest[log]));
                    missing.add(Run::new(mark.oldest[log], self.end[log].max(mark.ends[log])));
                    let known = mark.lost.iter().filter(|(of, _)| *of as usize == log);
                    known.for_each(|(_, run)| missing.remove(*run));
                }
                None => missing.add(Run::new(held.first().unwrap_or(self.end[log]), self.end[log])),
            }
            held.iter().chain(self.lost_before[log].iter()).for_each(|run| missing.remove(run));
            missing
        })
    }
}

/// A generation that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Quarantined {
    pub(in crate::queue) dir: std::path::PathBuf,
    pub(in crate::queue) was_newest: bool,
    /// What it held, as far as that is known.
    pub(in crate::queue) gone: Vec<(Log, Run)>,
}

/// A block as stored; its bytes may be damaged, its place is known all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Stored {
    pub(in crate::queue) run: Run,
    pub(in crate::queue) bytes: Vec<u8>,
}
