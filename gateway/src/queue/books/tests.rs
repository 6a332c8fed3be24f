use super::*;

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
    books.advance("fast", Log::Raw, delivered(9));
    books.advance("slow", Log::Raw, delivered(3));
    assert_eq!(books.keep_from(false), Some([QueueSeq(3), QueueSeq(0)]));
}

#[test]
fn one_of_an_earlier_run_counts_only_while_it_may_still_come_back() {
    let accounts = vec![("old".to_owned(), Log::Raw, Account::default())];
    let contents = Contents { accounts, ..Contents::default() };
    let mut books = Books::new(&contents, None, [QueueSeq(0); 2], Default::default());
    books.appended(Log::Raw, run(0, 10));
    register(&mut books, "new");
    books.advance("new", Log::Raw, delivered(7));
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
    books.advance("sink", Log::Raw, delivered(1));
    assert!(books.is_dirty());
    assert_eq!((take(&mut books), books.is_dirty()), (1, false));
}

#[test]
fn a_loss_that_only_the_watermark_knows_of_is_booked_once() {
    let mut books = books(10);
    register(&mut books, "sink");
    books.advance("sink", Log::Raw, delivered(2));
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
