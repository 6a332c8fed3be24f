//! Who has read how far, what is held, what was lost. Pure: told of every change, asked for the ledger.
//!
//! # Invariants
//! - `held` follows the store's blocks and never the cursors, so that a balanced ledger proves something.
//! - A registered consumer's records are kept; what an absent one missed is booked as dropped, never forgotten.

use std::collections::BTreeMap;

use super::cursor::{Account, Cursor, LedgerRow};
use super::record::{Log, QueueSeq};
use super::runs::{Run, Runs};
use super::store::{Batch, Contents};

/// Whether a consumer holds records back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// Registered in this run.
    Registered,
    /// Known from an earlier run; nobody has asked for it yet.
    Absent,
}

/// A consumer's books in one log.
#[derive(Debug)]
struct Consumer {
    presence: Presence,
    account: Account,
    /// Changed since the last commit.
    dirty: bool,
}

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
    /// `end` may lie beyond what the store holds: sequences up to it were given away.
    pub(super) fn new(contents: Contents, end: [QueueSeq; 2]) -> Self {
        let Contents { mut held, lost_before, lost, accounts, end: _ } = contents;
        for (held, lost) in held.iter_mut().zip(&lost_before) {
            // A damaged block still lies in the store.
            lost.iter().for_each(|run| held.remove(run));
        }
        let mut books = Self { held, lost: lost_before, lost_new: Vec::new(), end, consumers: BTreeMap::new() };
        for (name, log, account) in accounts {
            let consumer = books.consumer(&name, log);
            consumer.account = account;
            consumer.dirty = false;
        }
        for (log, runs) in Log::ALL.into_iter().zip(lost) {
            runs.iter().for_each(|run| books.mark_lost(log, run));
        }
        books.settle_gone();
        books
    }

    /// From now on records of the log are kept until `name` has passed them. A new consumer starts at the oldest record
    /// held.
    pub(super) fn register(&mut self, name: &str, log: Log) {
        self.consumer(name, log).presence = Presence::Registered;
    }

    fn consumer(&mut self, name: &str, log: Log) -> &mut Consumer {
        let start = self.oldest(log);
        let lost = self.lost[log as usize].count_from(start);
        self.consumers.entry((name.to_owned(), log)).or_insert_with(|| {
            let account = Account { start, lost, cursor: Cursor { next: start, ..Cursor::default() } };
            Consumer { presence: Presence::Absent, account, dirty: true }
        })
    }

    pub(super) fn cursor(&self, name: &str, log: Log) -> Cursor {
        self.consumers.get(&(name.to_owned(), log)).map(|c| c.account.cursor).unwrap_or_default()
    }

    pub(super) fn advance(&mut self, name: &str, log: Log, cursor: Cursor) {
        let consumer = self.consumer(name, log);
        consumer.account.cursor = cursor;
        consumer.dirty = true;
    }

    /// A cursor that has just become durable with its transaction.
    pub(super) fn committed(&mut self, name: &str, log: Log, cursor: Cursor) {
        self.consumer(name, log).account.cursor = cursor;
    }

    /// The account as it will be once `cursor` is committed.
    pub(super) fn account_with(&mut self, name: &str, log: Log, cursor: Cursor) -> Account {
        Account { cursor, ..self.consumer(name, log).account }
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.lost_new.is_empty() || self.consumers.values().any(|c| c.dirty)
    }

    /// Moves what changed into the batch.
    pub(super) fn take_dirty(&mut self, batch: &mut Batch) {
        batch.lost.append(&mut self.lost_new);
        for ((name, log), consumer) in &mut self.consumers {
            if std::mem::take(&mut consumer.dirty) {
                batch.accounts.push((name.clone(), *log, consumer.account));
            }
        }
    }

    /// Sequence after the last durable record.
    pub(super) fn end(&self, log: Log) -> QueueSeq {
        self.end[log as usize]
    }

    /// The oldest record held, or the end if none is.
    fn oldest(&self, log: Log) -> QueueSeq {
        self.held[log as usize].first().unwrap_or(self.end[log as usize])
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
        }
        held
    }

    fn mark_lost(&mut self, log: Log, run: Run) {
        self.lost[log as usize].add(run);
        self.lost_new.push((log, run));
        for ((_, of), consumer) in &mut self.consumers {
            if *of == log {
                let missed = Run::new(run.first.max(consumer.account.cursor.next), run.end).count();
                consumer.account.lost += missed;
                consumer.dirty |= missed > 0;
            }
        }
    }

    /// Before these sequences every consumer that counts has passed; `None` while there is none. Of a log that nobody
    /// reads nothing is kept.
    pub(super) fn keep_from(&self, count_absent: bool) -> Option<[QueueSeq; 2]> {
        let counts = |c: &Consumer| count_absent || c.presence == Presence::Registered;
        let next = |log: Log| {
            let of_log = self.consumers.iter().filter(|((_, of), c)| *of == log && counts(c));
            of_log.map(|(_, c)| c.account.cursor.next).min()
        };
        let keep = Log::ALL.map(next);
        keep.iter().any(Option::is_some).then(|| Log::ALL.map(|log| keep[log as usize].unwrap_or(self.end(log))))
    }

    pub(super) fn released(&mut self, log: Log, run: Run) {
        self.held[log as usize].remove(run);
        self.settle_gone();
    }

    /// Books what was deleted before an absent consumer read it.
    fn settle_gone(&mut self) {
        let oldest = Log::ALL.map(|log| self.oldest(log));
        for ((_, log), consumer) in &mut self.consumers {
            let cursor = &mut consumer.account.cursor;
            let gone = Run::new(cursor.next, oldest[*log as usize]);
            if gone.count() > 0 {
                cursor.dropped += gone.count() - self.lost[*log as usize].count_within(gone);
                cursor.next = gone.end;
                consumer.dirty = true;
            }
        }
    }

    pub(super) fn ledger(&self) -> Vec<LedgerRow> {
        let row = |((name, log), consumer): (&(String, Log), &Consumer)| {
            let Account { start, lost, cursor } = consumer.account;
            LedgerRow {
                consumer: name.clone(),
                log: *log,
                accepted: start.count_to(self.end(*log)),
                queued: self.held[*log as usize].count_from(cursor.next),
                lost,
                cursor,
            }
        };
        self.consumers.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, end: u64) -> Run {
        Run::new(QueueSeq(first), QueueSeq(end))
    }

    fn books(end: u64) -> Books {
        let mut books = Books::new(Contents::default(), [QueueSeq(0); 2]);
        books.appended(Log::Raw, run(0, end));
        books
    }

    fn delivered(next: u64) -> Cursor {
        Cursor { next: QueueSeq(next), delivered: next, ..Cursor::default() }
    }

    fn register(books: &mut Books, name: &str) {
        Log::ALL.into_iter().for_each(|log| books.register(name, log));
    }

    fn raw_row(books: &Books, name: &str) -> LedgerRow {
        books.ledger().into_iter().find(|r| r.consumer == name && r.log == Log::Raw).unwrap()
    }

    #[test]
    fn a_consumer_that_books_less_than_it_passed_is_found_out() {
        let mut books = books(10);
        register(&mut books, "sink");
        books.advance("sink", Log::Raw, Cursor { next: QueueSeq(6), delivered: 5, ..Cursor::default() });
        assert!(!raw_row(&books, "sink").balances());
        books.advance("sink", Log::Raw, delivered(6));
        assert!(raw_row(&books, "sink").balances());
    }

    #[test]
    fn only_those_who_had_not_passed_a_lost_record_book_it() {
        let mut books = books(10);
        ["ahead", "behind"].into_iter().for_each(|name| register(&mut books, name));
        books.advance("ahead", Log::Raw, delivered(8));
        assert_eq!(books.lose(Log::Raw, run(5, 9)), 4);
        assert_eq!(books.lose(Log::Raw, run(5, 9)), 0, "once");
        assert_eq!((raw_row(&books, "ahead").lost, raw_row(&books, "behind").lost), (1, 4));
        assert!(books.ledger().iter().all(LedgerRow::balances), "{:#?}", books.ledger());
    }

    #[test]
    fn nothing_is_given_up_before_somebody_is_registered_and_the_slowest_one_counts() {
        let mut books = books(10);
        assert_eq!(books.keep_from(false), None);
        ["fast", "slow"].into_iter().for_each(|name| register(&mut books, name));
        books.advance("fast", Log::Raw, delivered(9));
        books.advance("slow", Log::Raw, delivered(3));
        assert_eq!(books.keep_from(false), Some([QueueSeq(3), QueueSeq(0)]));
    }

    #[test]
    fn one_of_an_earlier_run_counts_only_while_it_may_still_come_back() {
        let accounts = vec![("old".to_owned(), Log::Raw, Account::default())];
        let mut books = Books::new(Contents { accounts, ..Contents::default() }, [QueueSeq(0); 2]);
        books.appended(Log::Raw, run(0, 10));
        register(&mut books, "new");
        books.advance("new", Log::Raw, delivered(7));
        assert_eq!(books.keep_from(true), Some([QueueSeq(0); 2]));
        assert_eq!(books.keep_from(false), Some([QueueSeq(7), QueueSeq(0)]));
        books.released(Log::Raw, run(0, 6));
        assert_eq!(raw_row(&books, "old").cursor.dropped, 6);
        assert!(books.ledger().iter().all(LedgerRow::balances), "{:#?}", books.ledger());
    }

    #[test]
    fn of_a_log_that_nobody_reads_nothing_is_kept() {
        let mut books = books(10);
        books.register("detect", Log::Raw);
        books.appended(Log::Derived, run(0, 5));
        assert_eq!(books.keep_from(false), Some([QueueSeq(0), QueueSeq(5)]));
        assert_eq!(books.ledger().len(), 1);
    }

    #[test]
    fn only_what_changed_goes_into_the_next_commit() {
        let mut books = books(10);
        register(&mut books, "sink");
        let take = |books: &mut Books| {
            let mut batch = Batch::default();
            books.take_dirty(&mut batch);
            batch.accounts.len()
        };
        assert_eq!((take(&mut books), take(&mut books)), (2, 0));
        books.advance("sink", Log::Raw, delivered(1));
        assert!(books.is_dirty());
        assert_eq!((take(&mut books), books.is_dirty()), (1, false));
    }
}
