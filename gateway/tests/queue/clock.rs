//! A clock that goes backwards: a machine without a clock battery boots in 1970, and somebody sets the time. The queue
//! knows the order of its sequences alone, so nothing changes.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use gateway::clock::{ClockBoot, Stamp};
use gateway::metrics;
use gateway::queue::{EngineKind, Log, Queue, QueueSeq, Record, Transaction};

use crate::oracle;
use crate::setting::{self, Chance};
use crate::workload::{self, SINK};

/// Transactions, each received at a moment that has nothing to do with the one before.
const ROUNDS: u64 = 60;
const RECORDS: u64 = 100;

#[test]
fn order_and_books_do_not_follow_a_clock_that_goes_backwards_on_sled() {
    does_not_follow_the_clock(EngineKind::Sled);
}

#[test]
fn order_and_books_do_not_follow_a_clock_that_goes_backwards_on_redb() {
    does_not_follow_the_clock(EngineKind::Redb);
}

fn does_not_follow_the_clock(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for opened in 0..3 {
        let queue = Queue::open(&setting::config(engine, dir.path()), metrics::Queue::default()).unwrap();
        let sink = queue.reader(SINK);
        assert_eq!(read_all(&queue), expected, "opened {opened} times before");
        for round in opened * ROUNDS..(opened + 1) * ROUNDS {
            let records: Vec<_> = (round * RECORDS..(round + 1) * RECORDS).map(record).collect();
            let t = Transaction { raw: records.clone(), ..Transaction::default() };
            assert_eq!(oracle::commit(&queue, t).unwrap().raw_first, QueueSeq(round * RECORDS));
            expected.extend(records);
        }
        assert_eq!(read_all(&queue), expected);
        sink.advance(Log::Raw, workload::delivered(opened * ROUNDS * RECORDS / 2));
        oracle::balances(&queue).unwrap();
        queue.close().unwrap();
        drop(sink);
        set_back(dir.path(), opened);
    }
}

#[test]
fn a_clock_that_is_set_back_expires_nothing_more_and_brings_nothing_back_on_sled() {
    expires_nothing_more(EngineKind::Sled);
}

#[test]
fn a_clock_that_is_set_back_expires_nothing_more_and_brings_nothing_back_on_redb() {
    expires_nothing_more(EngineKind::Redb);
}

fn expires_nothing_more(engine: EngineKind) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let dir = tempfile::tempdir().unwrap();
    let mut config = setting::config(engine, dir.path());
    config.ttl[Log::Raw as usize] = Some(HOUR);
    let queue = Queue::open(&config, metrics::Queue::default()).unwrap();
    drop(queue.reader(SINK));
    // One record a second.
    let at = |n: u64| Stamp { boot: ClockBoot(1), since_boot_ns: n * 1_000_000_000 };
    for round in 0..ROUNDS {
        let record = |n| Record { received: at(n), ..workload::record(Log::Raw, n) };
        let raw = (round * RECORDS..(round + 1) * RECORDS).map(record).collect();
        oracle::commit(&queue, Transaction { raw, ..Transaction::default() }).unwrap();
    }
    queue.close().unwrap();
    // It sweeps when all but the last thousand seconds are an hour ago, then with the clock at the boot, then with none.
    let now = ROUNDS * RECORDS + 3_600 - 1_000;
    let mut expired = Vec::new();
    for clock in [Some(now), Some(0), None] {
        let queue = Queue::open(&config, metrics::Queue::default()).unwrap();
        drop(queue.reader(SINK));
        let age = |stamp: Stamp| Some(Duration::from_secs(clock?.checked_sub(stamp.since_boot_ns / 1_000_000_000)?));
        queue.sweeper().sweep(&age);
        let monitor = queue.monitor();
        queue.close().unwrap();
        let row = oracle::row(&monitor, SINK, Log::Raw).unwrap();
        assert!(row.balances() && row.lost + row.dropped == 0, "{row:?}");
        expired.push(row.expired);
        let queue = Queue::open(&config, metrics::Queue::default()).unwrap();
        let sink = queue.reader(SINK);
        let next = sink.cursor(Log::Raw).next.0;
        let block = sink.read(Log::Raw, QueueSeq(next)).unwrap().unwrap();
        assert_eq!((next, block.first()), (row.expired, QueueSeq(next)), "it goes on after what has expired");
    }
    assert!(expired[0] > 1_000 && expired[0] <= ROUNDS * RECORDS - 1_000, "{expired:?}");
    assert!(expired.iter().all(|e| *e == expired[0]), "{expired:?}");
}

/// Boots and times since them jump about; most of them say 1970.
fn record(n: u64) -> Record {
    let mut chance = Chance::of(n / 7);
    let boot = ClockBoot(*chance.pick(&[u64::MAX, 0, 1_000 - n / 100]));
    let since_boot_ns = *chance.pick(&[u64::MAX - n, 0, 1_000_000 - n, n]);
    Record { received: Stamp { boot, since_boot_ns }, ..workload::record(Log::Raw, n) }
}

/// All files say that they were written in 1970, or a century from now.
fn set_back(dir: &Path, times: u64) {
    let century = Duration::from_secs(100 * 365 * 86_400);
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            set_back(&entry.path(), times + 1);
        } else {
            let time = if times.is_multiple_of(2) { SystemTime::UNIX_EPOCH } else { SystemTime::now() + century };
            File::options().write(true).open(entry.path()).unwrap().set_modified(time).unwrap();
        }
    }
}

/// From the first one on: one consumer holds them all.
fn read_all(queue: &Queue) -> Vec<Record> {
    let everything = queue.reader("archive");
    let (mut at, mut records) = (QueueSeq(0), Vec::new());
    while let Some(block) = everything.read(Log::Raw, at).unwrap() {
        assert_eq!(block.first(), at);
        records.extend(block.records_from(at).map(|(_, record)| record.clone()));
        at = block.end();
    }
    records
}
