//! What a crash or a bad disk leaves behind is found at open or at read, said, and counted.

use super::*;

/// The queue of `dir` with 1000 raw records and a consumer at 100.
fn thousand(dir: &Path) {
    let queue = open(&config(dir));
    let reader = queue.reader("sink");
    for round in 0..10 {
        append(&queue, (0..100).map(|n| record(round * 100 + n)));
    }
    reader.advance(Log::Raw, delivered(100));
    queue.close().unwrap();
}

fn sled_at(dir: &Path) -> sled::Db {
    sled::Config::new().path(dir).segment_size(2 << 20).flush_every_ms(None).open().unwrap()
}

fn block_keys(db: &sled::Db) -> Vec<sled::IVec> {
    db.scan_prefix(b"0").keys().collect::<sled::Result<_>>().unwrap()
}

#[test]
fn half_made_and_dead_generations_are_purged_at_open() {
    let dir = tempfile::tempdir().unwrap();
    thousand(dir.path());
    drop(sled_at(&dir.path().join("gen-00000002")));
    std::fs::create_dir_all(dir.path().join("gen-00000000.dead/blobs")).unwrap();
    // Complete, but the newest knows nothing of it: its deletion had begun.
    std::fs::create_dir_all(dir.path().join("gen-00000000")).unwrap();
    std::fs::write(dir.path().join("gen-00000000/complete"), "").unwrap();
    let queue = open(&config(dir.path()));
    assert_eq!(generations(dir.path()), ["gen-00000001"]);
    assert_eq!(row(&queue, "sink", Log::Raw).queued, 900);
}

#[test]
fn newest_records_that_the_store_dropped_silently_are_counted_and_their_sequences_not_reused() {
    let dir = tempfile::tempdir().unwrap();
    thousand(dir.path());
    let db = sled_at(&dir.path().join("gen-00000001"));
    for key in block_keys(&db).iter().rev().take(2) {
        db.remove(key).unwrap();
    }
    drop(db);
    for _ in 0..2 {
        let queue = open(&config(dir.path()));
        let found = row(&queue, "sink", Log::Raw);
        assert_eq!((found.accepted, found.queued, found.lost, found.balances()), (1_000, 700, 200, true), "{found:?}");
        queue.close().unwrap();
    }
    let queue = open(&config(dir.path()));
    assert_eq!(append(&queue, [record(0)]).raw_first, QueueSeq(1_000));
    let reader = queue.reader("sink");
    let found = read_all(&reader, Log::Raw, QueueSeq(100));
    assert_eq!(found.len(), 701);
    assert_eq!(found[700].0, QueueSeq(1_000));
}

#[test]
fn a_block_with_a_wrong_crc_is_skipped_and_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    thousand(dir.path());
    let db = sled_at(&dir.path().join("gen-00000001"));
    let key = block_keys(&db)[3].clone();
    let mut value = db.get(&key).unwrap().unwrap().to_vec();
    value[40] ^= 1;
    db.insert(&key, value).unwrap();
    drop(db);
    let metrics = metrics::Queue::default();
    let queue = Queue::open(&config(dir.path()), metrics.clone()).unwrap();
    let (sink, other) = (queue.reader("sink"), queue.reader("other"));
    assert_eq!(read_all(&sink, Log::Raw, QueueSeq(100)).len(), 800);
    assert_eq!(read_all(&other, Log::Raw, QueueSeq(0)).len(), 900);
    assert_eq!(metrics.lost.get_or_create(&LogLabel { log: "raw" }).get(), 100);
    assert_eq!(row(&queue, "sink", Log::Raw).lost, 100);
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
    queue.close().unwrap();
    drop((sink, other));

    let queue = open(&config(dir.path()));
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
    assert_eq!(row(&queue, "sink", Log::Raw).lost, 100);
}

#[test]
fn a_truncated_watermark_costs_nothing_but_its_own_promise() {
    let dir = tempfile::tempdir().unwrap();
    thousand(dir.path());
    std::fs::write(dir.path().join("watermark"), b"GWQW").unwrap();
    let queue = open(&config(dir.path()));
    assert_eq!(append(&queue, [record(0)]).raw_first, QueueSeq(1_000));
    assert_eq!(row(&queue, "sink", Log::Raw).lost, 0);
}

#[test]
fn a_vanished_generation_is_counted_record_by_record() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { generation_max_bytes: 4 << 20, ..config(dir.path()) };
    let queue = open(&config);
    let reader = queue.reader("sink");
    for round in 0..30 {
        append(&queue, (0..100).map(|n| large_record(round * 100 + n, 4_000)));
    }
    queue.close().unwrap();
    drop(reader);
    std::fs::remove_dir_all(dir.path().join("gen-00000002")).unwrap();
    let queue = open(&config);
    let reader = queue.reader("sink");
    let found = row(&queue, "sink", Log::Raw);
    assert!(found.lost > 100 && found.balances(), "{found:?}");
    assert_eq!(read_all(&reader, Log::Raw, QueueSeq(0)).len() as u64, found.queued);
}

#[test]
fn a_destroyed_store_file_is_an_error_that_names_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    thousand(dir.path());
    let db = dir.path().join("gen-00000001/db");
    let len = std::fs::metadata(&db).unwrap().len();
    std::fs::write(dir.path().join("gen-00000001/conf"), vec![0xff; 64]).unwrap();
    std::fs::write(&db, vec![0xa5; len as usize]).unwrap();
    let error = Queue::open(&config(dir.path()), metrics::Queue::default()).err().unwrap().to_string();
    assert!(error.contains("gen-00000001"), "{error}");
}
