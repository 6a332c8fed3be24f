use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::queue::AHEAD_MAX;

fn run(first: u64, end: u64) -> Run {
    Run::new(QueueSeq(first), QueueSeq(end))
}

fn books(end: u64) -> Books {
    let mut books = Books::new(&Contents::default(), None, [QueueSeq(0); 2], Default::default());
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
    books.advance("sink", Log::Raw, Cursor { next: QueueSeq(6), delivered: 5, ..Cursor::default() }, &[]);
    assert!(!raw_row(&books, "sink").balances());
    books.advance("sink", Log::Raw, delivered(6), &[]);
    assert!(raw_row(&books, "sink").balances());
}

#[test]
fn only_those_who_had_not_passed_a_lost_record_book_it() {
    let mut books = books(10);
    ["ahead", "behind"].into_iter().for_each(|name| register(&mut books, name));
    books.advance("ahead", Log::Raw, delivered(8), &[]);
    assert_eq!(books.lose(Log::Raw, run(5, 9)), 4);
    assert_eq!(books.lose(Log::Raw, run(5, 9)), 0, "once");
    assert_eq!((raw_row(&books, "ahead").lost, raw_row(&books, "behind").lost), (1, 4));
    assert!(books.ledger().iter().all(LedgerRow::balances), "{:#?}", books.ledger());
}

#[test]
fn the_oldest_records_that_were_lost_are_behind_every_cursor() {
    let mut books = books(10);
    register(&mut books, "sink");
    books.lose(Log::Raw, run(0, 3));
    let mut batch = Batch::default();
    books.take_dirty(&mut batch);
    let mut contents = Contents { accounts: batch.accounts, ..Contents::default() };
    contents.held[Log::Raw as usize].add(run(3, 10));
    let reopened = Books::new(&contents, None, [QueueSeq(10), QueueSeq(0)], Default::default());
    for row in [raw_row(&books, "sink"), raw_row(&reopened, "sink")] {
        assert_eq!((row.accepted, row.queued, row.lost, row.dropped), (10, 7, 3, 0), "{row:?}");
    }
}

#[test]
fn the_oldest_records_that_were_lost_are_not_booked_as_dropped_too_when_the_queue_opens_again() {
    let account = Account { gone: [0, 0, 3], ..Account::default() };
    let mut contents = Contents { accounts: vec![("sink".to_owned(), Log::Raw, account)], ..Contents::default() };
    contents.held[Log::Raw as usize].add(run(3, 10));
    contents.lost_before[Log::Raw as usize].add(run(0, 3));
    let books = Books::new(&contents, None, [QueueSeq(10), QueueSeq(0)], Default::default());
    let row = raw_row(&books, "sink");
    assert_eq!((row.accepted, row.queued, row.lost, row.dropped), (10, 7, 3, 0), "{row:?}");
}

#[test]
fn nothing_is_given_up_before_somebody_is_registered_and_the_slowest_one_counts() {
    let mut books = books(10);
    assert_eq!(books.keep_from(false), None);
    ["fast", "slow"].into_iter().for_each(|name| register(&mut books, name));
    books.advance("fast", Log::Raw, delivered(9), &[]);
    books.advance("slow", Log::Raw, delivered(3), &[]);
    assert_eq!(books.keep_from(false), Some([QueueSeq(3), QueueSeq(0)]));
}

#[test]
fn one_of_an_earlier_run_counts_only_while_it_may_still_come_back() {
    let accounts = vec![("old".to_owned(), Log::Raw, Account::default())];
    let contents = Contents { accounts, ..Contents::default() };
    let mut books = Books::new(&contents, None, [QueueSeq(0); 2], Default::default());
    books.appended(Log::Raw, run(0, 10));
    register(&mut books, "new");
    books.advance("new", Log::Raw, delivered(7), &[]);
    assert_eq!(books.keep_from(true), Some([QueueSeq(0); 2]));
    assert_eq!(books.keep_from(false), Some([QueueSeq(7), QueueSeq(0)]));
    books.released(Log::Raw, run(0, 6));
    assert_eq!(raw_row(&books, "old").dropped, 6);
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
    books.advance("sink", Log::Raw, delivered(1), &[]);
    assert!(books.is_dirty());
    assert_eq!((take(&mut books), books.is_dirty()), (1, false));
}

#[test]
fn a_loss_that_only_the_watermark_knows_of_is_booked_once() {
    let mut books = books(10);
    register(&mut books, "sink");
    books.advance("sink", Log::Raw, delivered(2), &[]);
    let before = vec![("sink".to_owned(), Log::Raw, books.consumer("sink", Log::Raw).durable())];
    books.lose(Log::Raw, run(4, 6));
    let end = [QueueSeq(10), QueueSeq(0)];
    let mark = books.mark(end, [QueueSeq(0); 2], 1);
    for still_held in [true, false] {
        let mut contents = Contents { end, accounts: before.clone(), ..Contents::default() };
        contents.held[0].add(run(0, 10));
        if !still_held {
            contents.held[0].remove(run(4, 6));
        }
        let again = Books::new(&contents, Some(&mark), end, contents.missing(Some(&mark)));
        let row = raw_row(&again, "sink");
        assert_eq!((row.lost, row.queued, row.balances()), (2, 6, true), "{row:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    /// Settles what of the run is open, its records as far as they are held; and the cursor moves as far as that goes.
    Settle(u64, u64),
    Lose(u64, u64),
    GiveUp(u64),
    Release(u64),
    /// The process dies; the books are read again from what they had written, in the form in which they lie on disk.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..30_u64).prop_map(Step::Append),
        5 => (0..120_u64, 1..20_u64).prop_map(|(first, len)| Step::Settle(first, len)),
        2 => (0..120_u64, 1..8_u64).prop_map(|(first, len)| Step::Lose(first, len)),
        1 => (0..100_u64).prop_map(Step::GiveUp),
        1 => (0..60_u64).prop_map(Step::Release),
        2 => Just(Step::Crash),
    ]
}

/// One consumer of the raw log, as a plain set of records for each fate.
#[derive(Default)]
struct Plain {
    end: u64,
    held: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
    filtered: BTreeSet<u64>,
    /// Passed or given up.
    closed: BTreeSet<u64>,
}

impl Plain {
    fn next(&self) -> u64 {
        (0..).find(|seq| !self.closed.contains(seq)).expect("no end to the numbers")
    }

    fn ahead(&self) -> Vec<Run> {
        let mut runs = Runs::default();
        let next = self.next();
        self.closed.iter().filter(|seq| **seq > next).for_each(|seq| runs.add(run(*seq, seq + 1)));
        runs.iter().collect()
    }

    fn cursor(&self) -> Cursor {
        let count = |set: &BTreeSet<u64>| set.len() as u64;
        let (delivered, filtered) = (count(&self.delivered), count(&self.filtered));
        Cursor { next: QueueSeq(self.next()), delivered, filtered, ..Cursor::default() }
    }
}

proptest! {
    /// Whatever is settled ahead, lost, given up or released, in whatever order: each record is in one column.
    #[test]
    fn books_with_runs_ahead_are_a_plain_set(steps in prop::collection::vec(step(), 1..60)) {
        let mut books = books(0);
        books.register("sink", Log::Raw);
        let mut plain = Plain::default();
        for step in steps {
            match step {
                Step::Append(records) => {
                    books.appended(Log::Raw, run(plain.end, plain.end + records));
                    plain.held.extend(plain.end..plain.end + records);
                    plain.end += records;
                }
                Step::Settle(first, len) => {
                    if plain.ahead().len() + 1 < AHEAD_MAX {
                        for seq in (first..first + len).filter(|seq| *seq < plain.end) {
                            // What is lost or given up already was in memory, or is passed without being had.
                            let is_had = plain.held.contains(&seq) || seq % 3 == 0;
                            if plain.closed.insert(seq) && is_had {
                                (if seq % 5 == 0 { &mut plain.filtered } else { &mut plain.delivered }).insert(seq);
                            }
                        }
                        books.advance("sink", Log::Raw, plain.cursor(), &plain.ahead());
                    }
                }
                Step::Lose(first, len) => {
                    books.lose(Log::Raw, run(first, (first + len).min(plain.end).max(first)));
                    plain.held.retain(|seq| !(first..first + len).contains(seq));
                }
                Step::GiveUp(end) => books.give_up_before(Log::Raw, QueueSeq(end.min(plain.end)), Fate::Dropped),
                Step::Release(end) => {
                    books.released(Log::Raw, run(0, end.min(plain.end)));
                    plain.held.retain(|seq| *seq >= end);
                }
                Step::Crash => {
                    let accounts = books.consumers.iter().map(|((name, log), consumer)| {
                        let account = Account::from_bytes(&consumer.durable().to_bytes()).expect("its own bytes");
                        (name.clone(), *log, account)
                    });
                    let mut contents = Contents { accounts: accounts.collect(), ..Contents::default() };
                    contents.held.clone_from(&books.held);
                    contents.lost_before.clone_from(&books.lost);
                    let end = books.end;
                    books = Books::new(&contents, None, end, Default::default());
                    books.register("sink", Log::Raw);
                }
            }
            let row = raw_row(&books, "sink");
            prop_assert!(row.balances(), "{:?}", row);
            prop_assert_eq!(row.cursor.delivered, plain.delivered.len() as u64);
            // The queue may have moved the cursor on, over what it gave up.
            prop_assert!(row.cursor.next.0 >= plain.next());
            plain.closed.extend(0..row.cursor.next.0);
            prop_assert_eq!(row.ahead, plain.ahead());
            let open = |seq: &&u64| !plain.closed.contains(seq);
            prop_assert_eq!(row.queued, plain.held.iter().filter(open).count() as u64);
        }
    }
}
