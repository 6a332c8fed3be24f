//! The queue's promises, one per test.

/// Makes a test of each of these promises for each engine.
macro_rules! on_each_engine {
    ($($promise:ident),+ $(,)?) => {
        mod on_sled {
            $(#[test] fn $promise() { super::$promise(crate::queue::EngineKind::Sled); })+
        }
        mod on_redb {
            $(#[test] fn $promise() { super::$promise(crate::queue::EngineKind::Redb); })+
        }
    };
}

mod admission;
mod annex;
mod budget;
mod damage;
mod every_fault;
mod faults;
mod gate;
mod log_engine;
mod model;
mod store;
mod switch;
mod workload;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::runtime::Runtime;

use super::store::VALUE_BYTES_MAX;
use super::*;
use crate::clock::{ClockBoot, Stamp};

pub(super) fn record(n: u64) -> Record {
    Record {
        door: Door::Listen,
        flags: Flags { qos: 1, retained: false, redelivered: false },
        received: Stamp { boot: ClockBoot(1), since_boot_ns: n * 1_000 },
        topic: format!("plant/device-{:02}/state", n % 40).into(),
        payload: format!(r#"{{"n":{n},"temperature":{}.{:02}}}"#, 20 + n % 7, n * 37 % 100).into(),
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

/// Numbers below the one asked for, the same for the same seed.
fn randomness(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut x = seed * 2 + 1;
    move |below| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x % below
    }
}

/// Bytes that no compression makes smaller.
fn noise(len: usize, seed: u64) -> Bytes {
    let mut next = randomness(seed);
    (0..len).map(|_| next(256) as u8).collect::<Vec<_>>().into()
}

fn large_record(n: u64, len: usize) -> Record {
    Record { payload: noise(len, n), ..record(n) }
}

fn config(dir: &Path) -> Config {
    Config { absent_grace: Duration::ZERO, ..Config::new(dir) }
}

fn config_on(engine: EngineKind, dir: &Path) -> Config {
    Config { engine, ..config(dir) }
}

fn open(config: &Config) -> Queue {
    Queue::open(config, metrics::Queue::default()).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// Commits and waits for the receipt.
fn commit(queue: &Queue, t: Transaction) -> Result<Committed, String> {
    let receipt = runtime().block_on(queue.appender().commit(t)).map_err(|e| e.to_string())?;
    receipt.blocking_recv().expect("the writer answers").map_err(|e| e.to_string())
}

fn append(queue: &Queue, records: impl IntoIterator<Item = Record>) -> Committed {
    commit(queue, Transaction { raw: records.into_iter().collect(), ..Transaction::default() }).unwrap()
}

fn read_all(reader: &Reader, log: Log, from: QueueSeq) -> Vec<(QueueSeq, Record)> {
    let (mut at, mut all) = (from, Vec::new());
    while let Some(block) = reader.read(log, at).unwrap() {
        all.extend(block.records_from(at).map(|(seq, r)| (seq, r.clone())));
        at = block.end();
    }
    all
}

fn delivered(next: u64) -> Cursor {
    Cursor { next: QueueSeq(next), delivered: next, ..Cursor::default() }
}

fn row(queue: &Queue, consumer: &str, log: Log) -> LedgerRow {
    queue.monitor().ledger().into_iter().find(|r| r.consumer == consumer && r.log == log).expect("registered")
}

fn files_in_blobs(dir: &Path) -> usize {
    let generations = files::entries(dir).unwrap().into_iter().filter(|p| p.is_dir());
    generations.map(|g| files::entries(&g.join("blobs")).unwrap().len()).sum()
}

fn generations(dir: &Path) -> Vec<String> {
    let names = files::entries(dir).unwrap().into_iter().filter(|p| p.is_dir());
    let mut names: Vec<_> = names.map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

on_each_engine! {
    records_cursors_and_state_of_a_transaction_come_back_together_after_reopening,
    a_shorter_state_replaces_a_longer_one_whole,
    of_several_states_in_one_commit_the_last_one_stays_whole,
    an_advanced_cursor_becomes_durable_without_any_other_commit,
    nothing_is_written_while_nothing_changes,
    a_new_consumer_starts_at_the_oldest_record_kept_and_is_known_after_a_crash_of_its_cursor,
    a_reader_that_saw_everything_wakes_with_the_next_commit_and_at_close,
    large_records_never_reach_the_blobs_that_sled_does_not_sync,
    what_the_queue_never_takes_is_refused_with_its_limit,
    a_second_gateway_on_the_same_directory_is_told_so,
    generations_that_everybody_has_read_give_their_disk_back,
    a_consumer_that_does_not_come_back_holds_nothing_and_what_it_missed_is_dropped_in_its_books,
    the_inbox_makes_its_givers_wait_and_takes_even_what_is_larger_than_itself,
}

fn records_cursors_and_state_of_a_transaction_come_back_together_after_reopening(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config_on(engine, dir.path()));
    let reader = queue.reader("sink");
    let t = Transaction {
        raw: (0..700).map(record).collect(),
        derived: vec![record(9)],
        cursors: vec![("sink".into(), Log::Raw, delivered(300))],
        state: vec![("model".into(), Some(vec![7; 3 * VALUE_BYTES_MAX])), ("none".into(), None)],
    };
    let committed = commit(&queue, t).unwrap();
    assert_eq!(committed, Committed { raw_first: QueueSeq(0), derived_first: QueueSeq(0) });
    queue.close().unwrap();
    drop(reader);

    let queue = open(&config_on(engine, dir.path()));
    let reader = queue.reader("sink");
    assert_eq!(reader.cursor(Log::Raw), delivered(300));
    assert_eq!(
        read_all(&reader, Log::Raw, QueueSeq(300)),
        (300..700).map(|n| (QueueSeq(n), record(n))).collect::<Vec<_>>()
    );
    assert_eq!(read_all(&reader, Log::Derived, QueueSeq(0)), [(QueueSeq(0), record(9))]);
    assert_eq!(reader.state("model").unwrap(), Some(vec![7; 3 * VALUE_BYTES_MAX]));
    assert_eq!(reader.state("none").unwrap(), None);
    assert_eq!(row(&queue, "sink", Log::Raw).queued, 400);
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances));
}

fn a_shorter_state_replaces_a_longer_one_whole(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config_on(engine, dir.path()));
    let reader = queue.reader("detect");
    for value in [Some(vec![1; 5 * VALUE_BYTES_MAX]), Some(vec![2; 10]), Some(Vec::new()), None] {
        commit(&queue, Transaction { state: vec![("s".into(), value.clone())], ..Transaction::default() }).unwrap();
        assert_eq!(reader.state("s").unwrap(), value);
    }
    assert_eq!(files_in_blobs(dir.path()), 0);
}

fn of_several_states_in_one_commit_the_last_one_stays_whole(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config_on(engine, dir.path()));
    let (runtime, appender) = (runtime(), queue.appender());
    let mut receipts = Vec::new();
    // The first commit takes long enough for the others to gather.
    for len in [1, 80_000, 10, 50_000, 20] {
        let state = vec![("s".into(), Some(vec![len as u8; len]))];
        receipts.push(runtime.block_on(appender.commit(Transaction { state, ..Transaction::default() })).unwrap());
    }
    receipts.into_iter().for_each(|r| assert!(r.blocking_recv().unwrap().is_ok()));
    assert_eq!(queue.reader("detect").state("s").unwrap(), Some(vec![20; 20]));
}

fn an_advanced_cursor_becomes_durable_without_any_other_commit(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&Config { cursor_delay: Duration::from_millis(1), ..config_on(engine, dir.path()) });
    let reader = queue.reader("sink");
    append(&queue, (0..10).map(record));
    let commits = queue.shared.metrics.commits.get();
    reader.advance(Log::Raw, delivered(4));
    assert_eq!(row(&queue, "sink", Log::Raw).queued, 6);
    while queue.shared.metrics.commits.get() == commits {
        std::thread::yield_now();
    }
    assert!(!queue.shared.books().is_dirty());
}

fn nothing_is_written_while_nothing_changes(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config_on(engine, dir.path()));
    append(&queue, [record(0)]);
    let commits = queue.shared.metrics.commits.get();
    let committed = commit(&queue, Transaction::default()).unwrap();
    assert_eq!(committed.raw_first, QueueSeq(1));
    assert_eq!(queue.shared.metrics.commits.get(), commits);
}

fn a_new_consumer_starts_at_the_oldest_record_kept_and_is_known_after_a_crash_of_its_cursor(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config_on(engine, dir.path()));
    append(&queue, (0..10).map(record));
    assert_eq!(queue.reader("late").cursor(Log::Raw).next, QueueSeq(0));
    queue.close().unwrap();
    let queue = open(&config_on(engine, dir.path()));
    assert_eq!(row(&queue, "late", Log::Raw).queued, 10);
}

fn a_reader_that_saw_everything_wakes_with_the_next_commit_and_at_close(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config_on(engine, dir.path()));
    let mut reader = queue.reader("sink");
    append(&queue, [record(0)]);
    let runtime = runtime();
    runtime.block_on(reader.changed()).unwrap();
    assert_eq!(reader.end(Log::Raw), QueueSeq(1));
    queue.close().unwrap();
    assert!(matches!(runtime.block_on(reader.changed()), Err(Error::Closed)));
}

fn large_records_never_reach_the_blobs_that_sled_does_not_sync(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config_on(engine, dir.path()));
    let reader = queue.reader("sink");
    let sizes = [Record::PAYLOAD_MAX, 20_000, 300_000, 16_384, 65_535, 1];
    let records: Vec<_> = (0..).zip(sizes).map(|(n, len)| large_record(n, len)).collect();
    append(&queue, records.clone());
    append(&queue, (0..300).map(|n| large_record(n, 3_000)));
    assert_eq!(files_in_blobs(dir.path()), 0);
    queue.close().unwrap();
    drop(reader);

    let queue = open(&config_on(engine, dir.path()));
    let reader = queue.reader("sink");
    let found = read_all(&reader, Log::Raw, QueueSeq(0));
    assert_eq!(found.len(), records.len() + 300);
    assert!(found.iter().zip(&records).all(|((_, found), record)| found == record));
    assert_eq!(files_in_blobs(dir.path()), 0);
}

fn what_the_queue_never_takes_is_refused_with_its_limit(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config_on(engine, dir.path()));
    let t = Transaction { raw: vec![large_record(0, Record::PAYLOAD_MAX + 1)], ..Transaction::default() };
    assert_eq!(commit(&queue, t).unwrap_err(), "payload of 1048577 bytes is longer than the queue's limit of 1048576");
}

fn a_second_gateway_on_the_same_directory_is_told_so(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&config_on(engine, dir.path()));
    let refused = Queue::open(&config_on(engine, dir.path()), metrics::Queue::default()).err().unwrap().to_string();
    assert!(refused.contains(dir.path().to_str().unwrap()) && refused.contains("in use"), "{refused}");
    drop(queue);
    open(&config_on(engine, dir.path()));
}

fn generations_that_everybody_has_read_give_their_disk_back(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { generation_max_bytes: 4 << 20, ..config_on(engine, dir.path()) };
    let queue = open(&config);
    let (fast, slow) = (queue.reader("fast"), queue.reader("slow"));
    let state = Transaction { state: vec![("model".into(), Some(vec![3; 40_000]))], ..Transaction::default() };
    commit(&queue, state).unwrap();
    for round in 0..40 {
        append(&queue, (0..100).map(|n| large_record(round * 100 + n, 4_000)));
    }
    assert!(generations(dir.path()).len() >= 4, "{:?}", generations(dir.path()));
    let full = queue.monitor().disk_bytes();
    assert!(full > 16 << 20, "{full}");
    fast.advance(Log::Raw, delivered(4_000));
    append(&queue, [record(4_000)]);
    assert!(queue.monitor().disk_bytes() > full - (2 << 20), "the slow one still needs them");
    assert_eq!(read_all(&slow, Log::Raw, QueueSeq(0)).len(), 4_001);
    slow.advance(Log::Raw, delivered(4_000));
    append(&queue, [record(4_001)]);
    append(&queue, [record(4_002)]);
    assert!(generations(dir.path()).len() <= 1, "{:?}", generations(dir.path()));
    assert!(queue.monitor().disk_bytes() < full / 2, "{} of {full}", queue.monitor().disk_bytes());
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
    queue.close().unwrap();
    drop((fast, slow));

    let queue = open(&config);
    let slow = queue.reader("slow");
    assert_eq!(slow.cursor(Log::Raw), delivered(4_000));
    assert_eq!(read_all(&slow, Log::Raw, QueueSeq(4_000)).len(), 3);
    assert_eq!(slow.state("model").unwrap(), Some(vec![3; 40_000]));
    assert_eq!(append(&queue, [record(4_003)]).raw_first, QueueSeq(4_003));
}

fn a_consumer_that_does_not_come_back_holds_nothing_and_what_it_missed_is_dropped_in_its_books(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { generation_max_bytes: 4 << 20, ..config_on(engine, dir.path()) };
    let queue = open(&config);
    drop((queue.reader("gone"), queue.reader("here")));
    append(&queue, (0..10).map(record));
    queue.close().unwrap();

    let queue = open(&config);
    let here = queue.reader("here");
    for round in 0..20 {
        append(&queue, (0..100).map(|n| large_record(round * 100 + n, 4_000)));
    }
    here.advance(Log::Raw, delivered(2_010));
    append(&queue, [record(0)]);
    append(&queue, [record(0)]);
    let gone = row(&queue, "gone", Log::Raw);
    assert!(gone.dropped > 1_000, "{gone:?}");
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
    queue.close().unwrap();
    let queue = open(&config);
    assert_eq!(row(&queue, "gone", Log::Raw), gone);
}

fn the_inbox_makes_its_givers_wait_and_takes_even_what_is_larger_than_itself(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&Config {
        inbox_records_max: 8,
        inbox_bytes_max: 4_096,
        commit_records_max: 4,
        ..config_on(engine, dir.path())
    });
    let runtime = runtime();
    let mut receipts = Vec::new();
    for round in 0..50 {
        let t = Transaction { raw: (0..20).map(|n| record(round * 20 + n)).collect(), ..Transaction::default() };
        receipts.push(runtime.block_on(queue.appender().commit(t)).unwrap());
    }
    let firsts: Vec<_> = receipts.into_iter().map(|r| r.blocking_recv().unwrap().unwrap().raw_first.0).collect();
    assert_eq!(firsts, (0..50).map(|round| round * 20).collect::<Vec<_>>());
}
