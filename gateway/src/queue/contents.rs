//! What passes between the queue and its generations.

use super::block::Encoded;
use super::cursor::Account;
use super::record::{Log, QueueSeq};
use super::runs::{Run, Runs};
use super::watermark::Mark;

/// Changes that become durable together.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    /// New ones, in the order of their sequences, per log.
    pub(super) blocks: Vec<Encoded>,
    /// Blocks of older generations that are to outlive them.
    pub(super) carried: Vec<Carried>,
    pub(super) accounts: Vec<(String, Log, Account)>,
    /// `None` deletes.
    pub(super) state: Vec<(String, Option<Vec<u8>>)>,
    /// Records found to be lost: the finding is kept, so that each is reported and counted once.
    pub(super) lost: Vec<(Log, Run)>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
            && self.carried.is_empty()
            && self.accounts.is_empty()
            && self.state.is_empty()
            && self.lost.is_empty()
    }
}

/// A block on its way from one generation to the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) log: Log,
    pub(super) block: Stored,
}

/// What the generations held when they were opened. Arrays are indexed by `Log`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Counted from the blocks themselves.
    pub(super) held: [Runs; 2],
    /// Lost and known to be: the finding is in the store.
    pub(super) lost_before: [Runs; 2],
    /// Held by older generations that are not there any more: released, or lost.
    pub(super) vanished: [Runs; 2],
    /// Sequence after the last record ever stored, as far as the store knows.
    pub(super) end: [QueueSeq; 2],
    pub(super) accounts: Vec<(String, Log, Account)>,
    /// Number of the generation that says all this; 0: there was none.
    pub(super) generation: u32,
    /// Generations set aside because they cannot be opened.
    pub(super) quarantined: Vec<Quarantined>,
}

impl Contents {
    /// Whether accounts and state are those of an earlier moment than the watermark's, for the store has lost its newest.
    pub(super) fn is_of_an_earlier_moment(&self, mark: Option<&Mark>) -> bool {
        let is_behind = |mark: &Mark| {
            // It may have been set aside in a run that did not get any further.
            self.generation < mark.newest_generation
                || self.end.iter().zip(mark.ends).any(|(end, durable)| *end < durable)
        };
        self.quarantined.iter().any(|q| q.was_newest) || mark.is_some_and(is_behind)
    }

    /// Records that should be there, indexed by log: what the watermark vouches for and what the store itself says it
    /// had, without what is held, known to be lost, or released.
    pub(super) fn missing(&self, mark: Option<&Mark>) -> [Runs; 2] {
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
pub(super) struct Quarantined {
    pub(super) dir: std::path::PathBuf,
    pub(super) was_newest: bool,
    /// What it held, as far as that is known.
    pub(super) gone: Vec<(Log, Run)>,
}

/// A block as stored; its bytes may be damaged, its place is known all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) run: Run,
    pub(super) bytes: Vec<u8>,
}
