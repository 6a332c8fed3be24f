//! The directory keeps within its budget, and what that costs is told.

use std::sync::mpsc;

use super::*;

const MIB: u64 = 1 << 20;

fn budget(dir: &Path, when_full: WhenFull) -> Config {
    Config { generation_max_bytes: 4 * MIB, max_bytes: 48 * MIB, ballast_bytes: 0, when_full, ..config(dir) }
}

/// Gaps as records that say how many and why.
struct Told(mpsc::Sender<(Fate, Vec<u64>)>, Vec<u64>, Option<Fate>);

impl Gaps for Told {
    fn note(&mut self, fate: Fate, records: &mut dyn Iterator<Item = &Record>) {
        self.1.extend(records.map(|r| r.received.since_boot_ns / 1_000));
        self.2 = Some(fate);
    }

    fn note_unread(&mut self, fate: Fate, _: Log, _: u64) {
        self.2 = Some(fate);
    }

    fn take(&mut self) -> Vec<Record> {
        let Some(fate) = self.2.take() else { return Vec::new() };
        let noted = std::mem::take(&mut self.1);
        let gap = Record { door: Door::Detect, ..record(noted.len() as u64) };
        self.0.send((fate, noted)).unwrap();
        vec![gap]
    }
}

fn large(round: u64) -> Transaction {
    let raw = (0..100).map(|n| large_record(round * 100 + n, 4_000)).collect();
    Transaction { raw, ..Transaction::default() }
}

#[test]
fn doors_do_not_wait_for_a_stage_that_has_read_what_it_keeps_for_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&budget(dir.path(), WhenFull::Block));
    let (sink, stage) = (queue.reader("sink"), queue.stage_reader("stage", Log::Raw));
    let rounds = 150;
    for round in 0..rounds {
        let committed = commit(&queue, large(round)).unwrap();
        sink.advance(Log::Raw, delivered(committed.raw_first.0 + 100));
        let _all_before_are_in_its_memory = stage.read(Log::Raw, committed.raw_first).unwrap();
    }
    let row = row(&queue, "stage", Log::Raw);
    assert!(row.dropped > 0 && row.dropped < rounds * 100, "{row:?}");
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
    stage.advance(Log::Raw, delivered(rounds * 100));
    let row = self::row(&queue, "stage", Log::Raw);
    assert_eq!((row.dropped, row.cursor.delivered), (0, rounds * 100), "it had them all: {row:?}");
}

#[test]
fn doors_wait_at_the_budget_while_stages_go_on_and_go_on_themselves_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&budget(dir.path(), WhenFull::Block));
    let reader = queue.reader("sink");
    let runtime = runtime();
    let mut rounds = 0;
    let mut waiting = loop {
        assert!(rounds < 1_000, "the budget holds nobody up");
        let mut receipt = runtime.block_on(queue.appender().commit(large(rounds))).unwrap();
        rounds += 1;
        let mut pressure = queue.monitor().pressure();
        let is_held_up = runtime.block_on(async {
            tokio::select! {
                biased;
                done = &mut receipt => { done.unwrap().unwrap(); false }
                held_up = pressure.wait_for(|p| *p == Pressure::OverBudget) => held_up.is_ok(),
            }
        });
        if is_held_up {
            break receipt;
        }
    };
    let state = Transaction { state: vec![("s".into(), Some(vec![1; 100_000]))], ..Transaction::default() };
    for _ in 0..20 {
        let receipt = runtime.block_on(queue.stage_appender().commit(state.clone())).unwrap();
        receipt.blocking_recv().unwrap().unwrap();
    }
    let used = queue.monitor().disk_bytes();
    assert!(used > 24 * MIB && used < 48 * MIB, "{used}");
    assert!(waiting.try_recv().is_err(), "it is not acknowledged");
    let durable = queue.monitor().end(Log::Raw).0;
    assert_eq!(durable, (rounds - 1) * 100);
    reader.advance(Log::Raw, delivered(durable));
    assert_eq!(waiting.blocking_recv().unwrap().unwrap().raw_first, QueueSeq(durable));
    let receipt = runtime.block_on(queue.appender().commit(large(rounds))).unwrap();
    assert_eq!(receipt.blocking_recv().unwrap().unwrap().raw_first, QueueSeq(rounds * 100));
    assert_eq!(*queue.monitor().pressure().borrow(), Pressure::None);
    assert!(queue.monitor().disk_bytes() < 24 * MIB);
    assert_eq!(row(&queue, "sink", Log::Raw).dropped, 0);
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
}

#[test]
fn the_oldest_records_make_room_each_is_named_and_derived_ones_outlive_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = budget(dir.path(), WhenFull::DropOldest);
    let (tell, told) = mpsc::channel();
    let gaps = Box::new(Told(tell, Vec::new(), None));
    let queue = Queue::open_with(&config, metrics::Queue::default(), gaps, None).unwrap();
    let (sink, slow) = (queue.reader("sink"), queue.reader("slow"));
    let derived: Vec<_> = (0..5).map(|n| record(1_000_000 + n)).collect();
    commit(&queue, Transaction { derived: derived.clone(), ..Transaction::default() }).unwrap();
    sink.advance(Log::Raw, delivered(0));
    let mut used_max = 0;
    for round in 0..300 {
        commit(&queue, large(round)).unwrap();
        used_max = used_max.max(queue.monitor().disk_bytes());
    }
    assert!(used_max < 48 * MIB, "{used_max}");
    let found = read_all(&slow, Log::Derived, QueueSeq(0));
    assert_eq!(found[..5], (0..5).map(|n| (QueueSeq(n), derived[n as usize].clone())).collect::<Vec<_>>());
    assert!(found.len() > 6, "gap records follow");
    drop((sink, slow));
    let monitor = queue.monitor();
    queue.close().unwrap();
    let ledger = monitor.ledger();
    assert!(ledger.iter().all(LedgerRow::balances), "{ledger:#?}");
    let dropped = ledger.iter().find(|r| r.consumer == "sink" && r.log == Log::Raw).unwrap().dropped;
    assert!(dropped > 10_000, "{ledger:#?}");
    let told: Vec<_> = told.try_iter().collect();
    assert!(told.iter().all(|(fate, _)| *fate == Fate::Dropped));
    let named: Vec<u64> = told.into_iter().flat_map(|(_, noted)| noted).collect();
    assert_eq!(named, (0..dropped).collect::<Vec<_>>(), "each once");

    let queue = open(&config);
    let slow = queue.reader("slow");
    assert_eq!(read_all(&slow, Log::Derived, QueueSeq(0))[..found.len()], found);
    let again = row(&queue, "sink", Log::Raw);
    assert!(again.dropped >= dropped && again.accepted == 30_000, "{again:?}");
    let left = read_all(&slow, Log::Raw, again.cursor.next);
    assert!(left.iter().all(|(seq, record)| *record == large_record(seq.0, 4_000)));
    assert_eq!(left.last().map(|(seq, _)| *seq), Some(QueueSeq(29_999)));
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
}

#[test]
fn a_consumer_that_had_dropped_records_under_way_books_them_itself() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(&budget(dir.path(), WhenFull::DropOldest));
    let reader = queue.reader("sink");
    let mut rounds = 0;
    while row(&queue, "sink", Log::Raw).dropped < 2_000 {
        assert!(rounds < 1_000, "nothing is dropped");
        commit(&queue, large(rounds)).unwrap();
        rounds += 1;
    }
    let before = row(&queue, "sink", Log::Raw);
    // It was sending 500 when they were dropped, and reads on where the queue goes on.
    reader.advance(Log::Raw, delivered(500));
    let sink = row(&queue, "sink", Log::Raw);
    assert_eq!((sink.dropped + 500, sink.cursor.delivered), (sink.cursor.next.0, 500), "{sink:?}");
    assert!(sink.cursor.next >= before.cursor.next, "{sink:?} after {before:?}");
    reader.advance(Log::Raw, Cursor { next: sink.cursor.next.plus(10), ..delivered(510) });
    let then = row(&queue, "sink", Log::Raw);
    assert_eq!((then.dropped, then.cursor.delivered), (sink.dropped, 510));
    assert!(then.balances(), "{then:?}");
}

fn age_by_stamp(now: u64) -> impl Fn(Stamp) -> Option<Duration> {
    move |stamp| Some(Duration::from_secs(now.saturating_sub(stamp.since_boot_ns / 1_000)))
}

#[test]
fn records_go_when_their_time_is_over_delivered_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let ttl = [Some(Duration::from_secs(1_000)), None];
    let config = Config { ttl, max_bytes: 512 * MIB, ..budget(dir.path(), WhenFull::Block) };
    let queue = open(&config);
    let reader = queue.reader("sink");
    commit(&queue, Transaction { derived: vec![record(0)], ..Transaction::default() }).unwrap();
    for round in 0..40 {
        commit(&queue, large(round)).unwrap();
    }
    let full = queue.monitor().disk_bytes();
    queue.sweeper().sweep(&age_by_stamp(3_000));
    append(&queue, [record(4_000)]);
    append(&queue, [record(4_001)]);
    let sink = row(&queue, "sink", Log::Raw);
    assert!(sink.expired > 1_000 && sink.expired <= 2_000, "whole generations: {sink:?}");
    assert!(sink.balances());
    assert!(queue.monitor().disk_bytes() < full - 4 * MIB, "{} of {full}", queue.monitor().disk_bytes());
    let found = read_all(&reader, Log::Raw, reader.cursor(Log::Raw).next);
    assert_eq!(found[0], (QueueSeq(sink.expired), large_record(sink.expired, 4_000)));
    assert_eq!(read_all(&reader, Log::Derived, QueueSeq(0)), [(QueueSeq(0), record(0))], "has no time to live");
}

#[test]
fn delivered_records_stay_for_their_time_and_a_new_consumer_gets_them() {
    let dir = tempfile::tempdir().unwrap();
    let keep_delivered = Some(Duration::from_secs(1_000));
    let config = Config { keep_delivered, max_bytes: 512 * MIB, ..budget(dir.path(), WhenFull::Block) };
    let queue = open(&config);
    let reader = queue.reader("sink");
    for round in 0..40 {
        commit(&queue, large(round)).unwrap();
    }
    reader.advance(Log::Raw, delivered(4_000));
    append(&queue, [record(4_000)]);
    let late = queue.reader("replay");
    assert_eq!(read_all(&late, Log::Raw, late.cursor(Log::Raw).next).len(), 4_001);
    late.advance(Log::Raw, delivered(4_001));
    reader.advance(Log::Raw, delivered(4_001));
    queue.sweeper().sweep(&age_by_stamp(4_500));
    append(&queue, [record(4_001)]);
    append(&queue, [record(4_002)]);
    let later = queue.reader("later");
    let oldest = later.cursor(Log::Raw).next.0;
    assert!(oldest > 1_000 && oldest <= 3_500, "{oldest}");
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
}

#[test]
fn a_disk_that_others_have_filled_is_not_helped_by_dropping_what_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    // No disk has room for this reserve: it counts as nearly full.
    let config = Config { ballast_bytes: 1 << 60, ..budget(dir.path(), WhenFull::DropOldest) };
    let queue = open(&config);
    let mut pressure = queue.monitor().pressure();
    runtime().block_on(pressure.wait_for(|p| *p == Pressure::DiskFull)).unwrap();
    for _ in 0..3 {
        let receipt = runtime().block_on(queue.stage_appender().commit(Transaction::default())).unwrap();
        receipt.blocking_recv().unwrap().unwrap();
    }
    assert_eq!(generations(dir.path()), ["gen-00000001"], "no generation after the other is begun for nothing");
}

#[test]
fn much_state_makes_generations_larger_and_not_more_frequent() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { generation_max_bytes: MIB, ..config(dir.path()) };
    let start = || {
        let queue = open(&config);
        drop(queue.reader("sink"));
        queue
    };
    let queue = start();
    let state = (0..800).map(|n| (format!("stage/{n}"), Some(vec![n as u8; 5_000]))).collect();
    commit(&queue, Transaction { state, ..Transaction::default() }).unwrap();
    let mut queue = Some(queue);
    for round in 0..60 {
        commit(queue.as_ref().unwrap(), large(round)).unwrap();
        if round % 20 == 19 {
            // What was copied is known after a restart, too.
            drop(queue.take());
            queue = Some(start());
        }
    }
    // 24 MB of records in steps of some 12 MB, not of one.
    let newest = generations(dir.path()).iter().filter_map(|name| name.strip_prefix("gen-")?.parse().ok()).max();
    let newest: u32 = newest.unwrap();
    assert!((2..=8).contains(&newest), "{newest} generations");
    let queue = queue.unwrap();
    assert_eq!(queue.monitor().states("stage/").unwrap().len(), 800);
}
