//! One consumer's books in one log.

use crate::queue::cursor::{Account, Cursor, Fate};
use crate::queue::record::QueueSeq;
use crate::queue::runs::{Run, Runs};

/// Whether a consumer holds records back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Registered in this run.
    Registered,
    /// Known from an earlier run; nobody has asked for it yet.
    Absent,
}

/// A consumer's books in one log.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) presence: Presence,
    pub(super) account: Account,
    /// Records before this one are given up, even if its own cursor is not there yet.
    pub(super) floor: QueueSeq,
    /// What is booked for it ahead of its cursor, indexed by `Fate`. Disjoint.
    pub(super) gone: [Runs; 3],
    /// Its cursor belongs to state in the store.
    pub(super) moves_with_state: bool,
    /// Records before this one are in the memory of a stage, whose cursor follows late.
    pub(super) read_to: QueueSeq,
    /// Changed since the last commit.
    pub(super) dirty: bool,
}

impl Consumer {
    pub(super) fn new(account: Account) -> Self {
        Self {
            presence: Presence::Absent,
            account,
            floor: QueueSeq::default(),
            gone: Default::default(),
            moves_with_state: false,
            read_to: QueueSeq::default(),
            dirty: false,
        }
    }

    /// What it is to read next.
    pub(super) fn next(&self) -> QueueSeq {
        self.durable().cursor.next
    }

    /// What it cannot do without, as long as the process lives.
    pub(super) fn needs_from(&self) -> QueueSeq {
        self.next().max(self.read_to)
    }

    /// What of the run it still needs: not settled, not in its memory, not given up.
    pub(super) fn needs(&self, run: Run) -> Runs {
        self.account.unsettled(Run::new(run.first.max(self.needs_from()), run.end))
    }

    /// Books what of the run it has not settled, and what is not booked yet.
    pub(super) fn give_up(&mut self, run: Run, fate: Fate) {
        let mut new = self.account.unsettled(run);
        self.gone.iter().flat_map(Runs::iter).for_each(|known| new.remove(known));
        let count = new.count_from(QueueSeq(0));
        new.iter().for_each(|run| self.gone[fate as usize].add(run));
        self.account.gone[fate as usize] += count;
        self.dirty |= count > 0;
    }

    /// Takes over what it has settled by now. Of the newly settled places that the queue had given up, it says itself
    /// which it settled after all: as many as its books grew beyond the rest.
    pub(super) fn advance(&mut self, cursor: Cursor, ahead: &[Run]) {
        let mut covered = self.account.unsettled(Run::new(QueueSeq(0), cursor.next));
        for run in ahead {
            self.account.unsettled(*run).iter().for_each(|run| covered.add(run));
        }
        let settled = cursor.settled().saturating_sub(self.account.cursor.settled());
        let skipped = covered.count_from(QueueSeq(0)).saturating_sub(settled);
        let gone: u64 = covered.iter().map(|run| self.gone_within(run)).sum();
        let mut excess = gone.saturating_sub(skipped);
        for (runs, count) in self.gone.iter_mut().zip(&mut self.account.gone) {
            let back = excess.min(covered.iter().map(|run| runs.count_within(run)).sum());
            *count -= back;
            excess -= back;
            covered.iter().for_each(|run| runs.remove(run));
        }
        self.account.cursor = cursor;
        self.account.ahead = Runs::default();
        ahead.iter().for_each(|run| self.account.ahead.add(*run));
        self.account = std::mem::take(&mut self.account).moved_on_to(cursor.next);
        self.dirty = true;
    }

    fn gone_within(&self, run: Run) -> u64 {
        self.gone.iter().map(|runs| runs.count_within(run)).sum()
    }

    /// Its account counts these already.
    pub(super) fn know_lost(&mut self, lost: impl Iterator<Item = Run>) {
        let mut known = Runs::default();
        lost.flat_map(|run| self.account.unsettled(run).iter().collect::<Vec<_>>()).for_each(|run| known.add(run));
        self.gone[Fate::Lost as usize] = known;
    }

    /// As it is to be found after a restart: there is nobody then who has records under way.
    pub(super) fn durable(&self) -> Account {
        self.account.clone().moved_on_to(self.floor)
    }
}
