//! Who has read how far, what is held, what was lost. Pure: told of every change, asked for the ledger.
//!
//! # Invariants
//! - `held` follows the store's blocks and never the cursors, so that a balanced ledger proves something.
//! - A registered consumer's records are kept, unless a policy gives them up; what a consumer did not get is booked with
//!   its fate, never forgotten.
//! - A record is settled once: one that the queue gave up while the consumer had it under way counts for the consumer,
//!   as soon as that books it.

mod consumer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::cursor::{Account, Cursor, Fate, LedgerRow};
use super::record::{Log, QueueSeq};
use super::runs::{Run, Runs};
use super::watermark::{Mark, MarkedAccount};
use crate::queue::generations::contents::{Batch, Contents};

use consumer::{Consumer, Presence};

#[derive(Debug)]
pub(super) struct Books {
    held: [Runs; 2],
    lost: [Runs; 2],
    /// Lost, and not yet noted in the store.
    lost_new: Vec<(Log, Run)>,
    end: [QueueSeq; 2],
    consumers: BTreeMap<(String, Log), Consumer>,
}

impl Books {
    /// What an opened store and its watermark say together; `lost` are the records that are missing since.
    pub(super) fn new(contents: &Contents, mark: Option<&Mark>, end: [QueueSeq; 2], lost: [Runs; 2]) -> Self {
        let mut held = contents.held.clone();
        for (held, lost) in held.iter_mut().zip(&contents.lost_before) {
            // A damaged block still lies in the store.
            lost.iter().for_each(|run| held.remove(run));
        }
        let lost_before = contents.lost_before.clone();
        let mut books = Self { held, lost: lost_before, lost_new: Vec::new(), end, consumers: BTreeMap::new() };
        for (name, log, account) in &contents.accounts {
            books.consumers.insert((name.clone(), *log), Consumer::new(account.clone()));
        }
        let is_earlier = contents.is_of_an_earlier_moment(mark);
        books.know_what_is_booked(&contents.lost_before);
        books.take_marked(mark, is_earlier);
        for (log, runs) in Log::ALL.into_iter().zip(lost) {
            runs.iter().for_each(|run| books.mark_lost(log, run));
        }
        books.settle_gone(if is_earlier { Fate::Lost } else { Fate::Dropped });
        books
    }

    /// Accounts hold the count alone: which records it speaks of must be known, so that none is booked again.
    fn know_what_is_booked(&mut self, lost: &[Runs; 2]) {
        for ((_, log), consumer) in &mut self.consumers {
            consumer.know_lost(lost[*log as usize].iter());
        }
    }

    /// The watermark's accounts are the newer ones where the store is of an earlier moment, or not committed since. So
    /// are the losses that they have booked: an account of the store may have yet to book them.
    fn take_marked(&mut self, mark: Option<&Mark>, is_earlier: bool) {
        let Some(mark) = mark else { return };
        let lost = self.lost.clone();
        for MarkedAccount { name, log, moves_with_state, account } in &mark.accounts {
            // A cursor goes back with the state that it belongs to: where that is gone, to the beginning.
            let follows_store = *moves_with_state && is_earlier;
            let is_new = !self.consumers.contains_key(&(name.clone(), *log)) && !follows_store;
            let consumer = self.consumer(name, *log);
            consumer.moves_with_state = *moves_with_state;
            // Cursors only move on; at the same place the books only grow: what is taken back from `gone` was settled.
            let age = |a: &Account| (a.cursor.next, a.cursor.settled() + a.gone.iter().sum::<u64>());
            if is_new || (age(account) > age(&consumer.account) && !follows_store) {
                consumer.dirty = true;
                consumer.account = account.clone();
                let of_log = mark.lost.iter().filter(|(of, _)| of == log).map(|(_, run)| *run);
                consumer.know_lost(lost[*log as usize].iter().chain(of_log));
            }
        }
        for (log, run) in &mark.lost {
            let mut unknown = Runs::default();
            unknown.add(*run);
            self.lost[*log as usize].iter().for_each(|known| unknown.remove(known));
            unknown.iter().for_each(|run| {
                self.held[*log as usize].remove(run);
                self.mark_lost(*log, run);
            });
        }
    }

    /// From now on records of the log are kept until `name` has passed them. A new consumer starts at the oldest record
    /// held.
    pub(super) fn register(&mut self, name: &str, log: Log) {
        self.consumer(name, log).presence = Presence::Registered;
    }

    /// A stage has taken all records before this one into its memory.
    pub(super) fn read_to(&mut self, name: &str, log: Log, to: QueueSeq) {
        let consumer = self.consumer(name, log);
        consumer.read_to = consumer.read_to.max(to);
    }

    fn consumer(&mut self, name: &str, log: Log) -> &mut Consumer {
        let start = self.oldest(log);
        let (lost, end) = (&self.lost[log as usize], self.end[log as usize]);
        self.consumers.entry((name.to_owned(), log)).or_insert_with(|| {
            let mut consumer = Consumer::new(Account {
                start,
                cursor: Cursor { next: start, ..Cursor::default() },
                ..Account::default()
            });
            for run in lost.iter() {
                consumer.give_up(Run::new(run.first, run.end.min(end)), Fate::Lost);
            }
            consumer.dirty = true;
            consumer
        })
    }

    /// Where the consumer is to read on.
    pub(super) fn cursor(&self, name: &str, log: Log) -> Cursor {
        let consumer = self.consumers.get(&(name.to_owned(), log));
        consumer.map(|c| Cursor { next: c.next(), ..c.account.cursor }).unwrap_or_default()
    }

    /// What the consumer has settled ahead of its cursor: to be left out when it reads on.
    pub(super) fn ahead(&self, name: &str, log: Log) -> Vec<Run> {
        let consumer = self.consumers.get(&(name.to_owned(), log));
        consumer.map(|c| c.durable().ahead.iter().collect()).unwrap_or_default()
    }

    pub(super) fn advance(&mut self, name: &str, log: Log, cursor: Cursor, ahead: &[Run]) {
        let consumer = self.consumer(name, log);
        consumer.moves_with_state = false;
        consumer.advance(cursor, ahead);
    }

    /// A cursor that has just become durable with its transaction.
    pub(super) fn committed(&mut self, name: &str, log: Log, cursor: Cursor) {
        let consumer = self.consumer(name, log);
        let dirty = consumer.dirty;
        consumer.advance(cursor, &[]);
        consumer.moves_with_state = true;
        consumer.dirty = dirty;
    }

    /// The account as it will be once `cursor` is committed.
    pub(super) fn account_with(&mut self, name: &str, log: Log, cursor: Cursor) -> Account {
        let mut then = self.consumer(name, log).clone();
        then.advance(cursor, &[]);
        then.durable()
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.lost_new.is_empty() || self.consumers.values().any(|c| c.dirty)
    }

    /// Moves what changed into the batch.
    pub(super) fn take_dirty(&mut self, batch: &mut Batch) {
        batch.lost.append(&mut self.lost_new);
        for ((name, log), consumer) in &mut self.consumers {
            if std::mem::take(&mut consumer.dirty) {
                batch.accounts.push((name.clone(), *log, consumer.durable()));
            }
        }
    }

    /// For the watermark, once `ends` are durable.
    pub(super) fn mark(&self, ends: [QueueSeq; 2], oldest: [QueueSeq; 2], newest_generation: u32) -> Mark {
        let row = |((name, log), consumer): (&(String, Log), &Consumer)| MarkedAccount {
            name: name.clone(),
            log: *log,
            moves_with_state: consumer.moves_with_state,
            account: consumer.durable(),
        };
        let lost = Log::ALL.into_iter().flat_map(|log| {
            let ahead = self.lost[log as usize].iter().filter(move |run| run.end > oldest[log as usize]);
            ahead.map(move |run| (log, run))
        });
        Mark {
            ends,
            oldest,
            newest_generation,
            lost: lost.collect(),
            accounts: self.consumers.iter().map(row).collect(),
        }
    }

    /// Sequence after the last durable record.
    pub(super) fn end(&self, log: Log) -> QueueSeq {
        self.end[log as usize]
    }

    /// The oldest record held, or the end if none is.
    pub(super) fn oldest(&self, log: Log) -> QueueSeq {
        self.held[log as usize].first().unwrap_or(self.end[log as usize])
    }

    pub(super) fn held(&self, log: Log) -> &Runs {
        &self.held[log as usize]
    }

    /// What of the run is held.
    pub(super) fn held_within(&self, log: Log, run: Run) -> Runs {
        self.held[log as usize].within(run)
    }

    pub(super) fn appended(&mut self, log: Log, run: Run) {
        self.held[log as usize].add(run);
        self.end[log as usize] = self.end[log as usize].max(run.end);
    }

    /// Records in `run` that were thought to be held; they are lost from now on.
    pub(super) fn lose(&mut self, log: Log, run: Run) -> u64 {
        let held = self.held[log as usize].count_within(run);
        if held > 0 {
            self.held[log as usize].remove(run);
            self.mark_lost(log, run);
            // The store forgets losses before the oldest record; nobody is to find a gap there later.
            self.settle_gone(Fate::Lost);
        }
        held
    }

    fn mark_lost(&mut self, log: Log, run: Run) {
        self.lost[log as usize].add(run);
        self.lost_new.push((log, run));
        for ((_, of), consumer) in &mut self.consumers {
            if *of == log {
                consumer.give_up(run, Fate::Lost);
            }
        }
    }

    /// Gives up what nobody present has passed of the log before `end`. Records that one of them had not read: of the
    /// slowest one, from which on.
    pub(super) fn give_up_before(&mut self, log: Log, end: QueueSeq, fate: Fate) {
        for ((_, of), consumer) in &mut self.consumers {
            if *of == log && consumer.next() < end {
                consumer.give_up(Run::new(consumer.account.cursor.next, end), fate);
                consumer.floor = consumer.floor.max(end);
                consumer.dirty = true;
            }
        }
    }

    /// Before these sequences every consumer that counts has passed; `None` while there is none. Of a log that nobody
    /// reads nothing is kept.
    pub(super) fn keep_from(&self, count_absent: bool) -> Option<[QueueSeq; 2]> {
        self.least(count_absent, Consumer::next)
    }

    /// The same for when there is no room: what a stage has in its memory need not be kept for a restart.
    pub(super) fn needed_from(&self, count_absent: bool) -> Option<[QueueSeq; 2]> {
        self.least(count_absent, Consumer::needs_from)
    }

    fn least(&self, count_absent: bool, from: fn(&Consumer) -> QueueSeq) -> Option<[QueueSeq; 2]> {
        let counts = |c: &Consumer| count_absent || c.presence == Presence::Registered;
        let next = |log: Log| {
            let of_log = self.consumers.iter().filter(|((_, of), c)| *of == log && counts(c));
            of_log.map(|(_, c)| from(c)).min()
        };
        let keep = Log::ALL.map(next);
        keep.iter().any(Option::is_some).then(|| Log::ALL.map(|log| keep[log as usize].unwrap_or(self.end(log))))
    }

    /// What of the run somebody has yet to read, or has under way.
    pub(super) fn needed_within(&self, log: Log, run: Run) -> Runs {
        let mut needed = Runs::default();
        for ((_, of), consumer) in &self.consumers {
            if *of == log {
                consumer.needs(run).iter().for_each(|run| needed.add(run));
            }
        }
        needed
    }

    pub(super) fn released(&mut self, log: Log, run: Run) {
        self.held[log as usize].remove(run);
        self.settle_gone(Fate::Dropped);
    }

    /// Books what is not there any more before a consumer has read it: absent ones miss what was released without them.
    fn settle_gone(&mut self, fate: Fate) {
        let oldest = Log::ALL.map(|log| self.oldest(log));
        for ((_, log), consumer) in &mut self.consumers {
            let oldest = oldest[*log as usize];
            if consumer.next() < oldest {
                consumer.give_up(Run::new(consumer.account.cursor.next, oldest), fate);
                consumer.floor = oldest;
                consumer.dirty = true;
            }
        }
    }

    pub(super) fn ledger(&self) -> Vec<LedgerRow> {
        let row = |((name, log), consumer): (&(String, Log), &Consumer)| {
            let account = consumer.durable();
            let held = &self.held[*log as usize];
            let [dropped, expired, lost] = account.gone;
            let settled_ahead: u64 = account.ahead.iter().map(|run| held.count_within(run)).sum();
            LedgerRow {
                consumer: name.clone(),
                log: *log,
                accepted: account.start.count_to(self.end(*log)),
                queued: held.count_from(account.cursor.next) - settled_ahead,
                dropped,
                expired,
                lost,
                cursor: account.cursor,
                ahead: account.ahead.iter().collect(),
            }
        };
        self.consumers.iter().map(row).collect()
    }
}
