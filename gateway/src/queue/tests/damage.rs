//! What a crash or a bad disk leaves behind is found at open or at read, said, and counted.

use super::*;
use crate::metrics::LogLabel;
use crate::queue::generations::keys::{BlockKey, Part};

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

/// Raw records of 1200 in generations 2 and 3, with a consumer at 0 and noted state.
fn three_generations(dir: &Path) -> Config {
    let config = Config { generation_max_bytes: 4 << 20, ..config(dir) };
    let queue = open(&config);
    drop(queue.reader("sink"));
    let state = vec![("model".into(), Some(vec![3; 40_000]))];
    commit(&queue, Transaction { state, ..Transaction::default() }).unwrap();
    for round in 0..30 {
        append(&queue, (0..100).map(|n| large_record(round * 100 + n, 4_000)));
    }
    queue.close().unwrap();
    assert!(generations(dir).len() >= 3, "{:?}", generations(dir));
    config
}

fn newest(dir: &Path) -> PathBuf {
    dir.join(generations(dir).last().unwrap())
}

fn sled_at(dir: &Path) -> sled::Db {
    sled::Config::new().path(dir).segment_size(1 << 20).flush_every_ms(None).open().unwrap()
}

/// The raw blocks, each with the tree that it is in, in the order of their keys.
fn blocks(db: &sled::Db) -> Vec<(sled::Tree, sled::IVec)> {
    let trees = db.tree_names().into_iter().map(|name| db.open_tree(name).unwrap());
    let keys = |tree: sled::Tree| tree.scan_prefix(b"0").keys().map(move |key| (tree.clone(), key.unwrap()));
    let mut blocks: Vec<_> = trees.flat_map(|tree| keys(tree).collect::<Vec<_>>()).collect();
    blocks.sort_by(|a, b| a.1.cmp(&b.1));
    blocks
}

/// Overwrites every copy of the blocks that begin at one of `firsts`.
fn wipe(file: &Path, firsts: &[u64]) {
    let mut bytes = std::fs::read(file).unwrap();
    for at in 0..bytes.len() - Part::HEAD_BYTES {
        let key = bytes[at..].starts_with(&Part::MAGIC).then(|| BlockKey::parse(&bytes[at + 8..at + 23])).flatten();
        if key.is_some_and(|key| firsts.contains(&key.first.0)) {
            bytes[at + Part::HEAD_BYTES..at + Part::HEAD_BYTES + 40].fill(0x5a);
        }
    }
    std::fs::write(file, bytes).unwrap();
}

/// Opens until the damage is dealt with, and checks what must hold in any case.
fn opened(config: &Config) -> (Queue, Reader, Vec<(QueueSeq, Record)>) {
    let queue = open(config);
    let reader = queue.reader("sink");
    let found = read_all(&reader, Log::Raw, reader.cursor(Log::Raw).next);
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
    (queue, reader, found)
}

#[test]
fn half_made_and_dead_generations_are_purged_at_open_and_unknown_ones_are_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    thousand(dir.path());
    drop(sled_at(&dir.path().join("gen-00000002")));
    std::fs::create_dir_all(dir.path().join("gen-00000000.dead/blobs")).unwrap();
    std::fs::create_dir_all(dir.path().join("gen-00000000")).unwrap();
    std::fs::write(dir.path().join("gen-00000000/complete"), "").unwrap();
    let queue = open(&config(dir.path()));
    assert_eq!(generations(dir.path()), ["gen-00000001", "quarantine"]);
    assert_eq!(row(&queue, "sink", Log::Raw).queued, 900);
}

#[test]
fn blocks_that_the_store_has_forgotten_are_salvaged_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    thousand(dir.path());
    let db = sled_at(&dir.path().join("gen-00000001"));
    for (tree, key) in blocks(&db).into_iter().rev().take(2) {
        tree.remove(key).unwrap();
    }
    drop(db);
    let (queue, _reader, found) = opened(&config(dir.path()));
    assert_eq!(found, (100..1_000).map(|n| (QueueSeq(n), record(n))).collect::<Vec<_>>());
    assert_eq!(row(&queue, "sink", Log::Raw).lost, 0);
}

#[test]
fn newest_records_that_are_nowhere_any_more_are_counted_and_their_sequences_not_reused() {
    let dir = tempfile::tempdir().unwrap();
    thousand(dir.path());
    let db = sled_at(&dir.path().join("gen-00000001"));
    for (tree, key) in blocks(&db).into_iter().rev().take(2) {
        tree.remove(key).unwrap();
    }
    drop(db);
    wipe(&dir.path().join("gen-00000001/db"), &[800, 900]);
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
    let (tree, key) = blocks(&db).remove(3);
    let mut value = tree.get(&key).unwrap().unwrap().to_vec();
    value[80] ^= 1;
    tree.insert(&key, value).unwrap();
    drop((tree, db));
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
    let config = three_generations(dir.path());
    std::fs::remove_dir_all(dir.path().join("gen-00000002")).unwrap();
    let (queue, _reader, all) = opened(&config);
    let found = row(&queue, "sink", Log::Raw);
    assert!(found.lost > 100, "{found:?}");
    assert_eq!(all.len() as u64, found.queued);
    assert_eq!(found.lost + found.queued, 3_000);
}

#[test]
fn a_generation_that_lost_its_marker_counts_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let config = three_generations(dir.path());
    for generation in generations(dir.path()) {
        std::fs::remove_file(dir.path().join(generation).join("complete")).unwrap();
    }
    let (_queue, _reader, found) = opened(&config);
    assert_eq!(found.len(), 3_000);
}

#[test]
fn an_older_generation_that_cannot_be_read_is_set_aside_while_the_queue_runs_and_what_is_sound_is_salvaged() {
    let dir = tempfile::tempdir().unwrap();
    let config = three_generations(dir.path());
    let db = dir.path().join("gen-00000001/db");
    wipe(&db, &[0]);
    for file in files::entries(&dir.path().join("gen-00000001")).unwrap() {
        if file.file_name().unwrap().to_str().unwrap().starts_with("conf") {
            std::fs::write(file, [0xff; 64]).unwrap();
        }
    }
    let queue = open(&config);
    let mut reader = queue.reader("sink");
    assert_eq!(reader.read(Log::Raw, QueueSeq(0)).unwrap().map(|b| b.first()), None, "not yet");
    let runtime = runtime();
    while row(&queue, "sink", Log::Raw).lost == 0 {
        runtime.block_on(reader.changed()).unwrap();
    }
    let found = read_all(&reader, Log::Raw, QueueSeq(0));
    let lost = row(&queue, "sink", Log::Raw).lost;
    assert!((1..=100).contains(&lost), "one block of {lost} records");
    assert_eq!(found.len() as u64, 3_000 - lost);
    assert!(found.iter().all(|(seq, record)| *record == large_record(seq.0, 4_000)));
    assert!(generations(dir.path()).contains(&"quarantine".to_owned()));
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
}

#[test]
fn a_newest_generation_that_cannot_be_opened_is_set_aside_and_costs_only_the_blocks_that_are_hit() {
    let dir = tempfile::tempdir().unwrap();
    let config = three_generations(dir.path());
    let newest = newest(dir.path());
    std::fs::write(newest.join("conf"), vec![0xff; 64]).unwrap();
    let (queue, reader, found) = opened(&config);
    assert_eq!(found.len(), 3_000);
    assert_eq!(row(&queue, "sink", Log::Raw).lost, 0);
    assert_eq!(reader.state("model").unwrap(), Some(vec![3; 40_000]));
    assert_eq!(append(&queue, [record(0)]).raw_first, QueueSeq(3_000));
    drop(reader);
    queue.close().unwrap();
    let (_queue, _reader, found) = opened(&config);
    assert_eq!(found.len(), 3_001);
}

#[test]
fn a_destroyed_newest_generation_costs_its_records_and_no_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let config = three_generations(dir.path());
    let queue = open(&config);
    let reader = queue.reader("sink");
    reader.advance(Log::Raw, delivered(2_999));
    append(&queue, [record(3_000)]);
    drop(reader);
    queue.close().unwrap();
    for file in ["db", "conf"] {
        std::fs::write(newest(dir.path()).join(file), vec![0xa5; 3 << 20]).unwrap();
    }
    let (queue, reader, found) = opened(&config);
    assert!(found.len() <= 1, "only what the generation before held");
    let sink = row(&queue, "sink", Log::Raw);
    assert_eq!((sink.cursor.delivered, sink.lost), (2_999, 2 - found.len() as u64), "{sink:?}");
    assert_eq!(append(&queue, [record(0)]).raw_first, QueueSeq(3_001));
    assert_eq!(read_all(&reader, Log::Raw, QueueSeq(3_001)).len(), 1);
}

#[test]
fn a_queue_of_which_nothing_can_be_opened_starts_empty_and_counts_all_as_lost() {
    let dir = tempfile::tempdir().unwrap();
    thousand(dir.path());
    for file in ["db", "conf"] {
        std::fs::write(dir.path().join("gen-00000001").join(file), vec![0xa5; 3 << 20]).unwrap();
    }
    let (queue, _reader, found) = opened(&config(dir.path()));
    assert_eq!(found, []);
    let sink = row(&queue, "sink", Log::Raw);
    assert_eq!((sink.accepted, sink.cursor.delivered, sink.lost), (1_000, 100, 900), "{sink:?}");
    assert_eq!(append(&queue, [record(0)]).raw_first, QueueSeq(1_000));
}

#[test]
fn what_is_salvaged_beyond_the_known_end_fills_several_generations_and_tells_its_age() {
    let dir = tempfile::tempdir().unwrap();
    let config = three_generations(dir.path());
    std::fs::remove_file(dir.path().join("watermark")).unwrap();
    for generation in generations(dir.path()) {
        std::fs::write(dir.path().join(generation).join("conf"), vec![0xff; 64]).unwrap();
    }
    let (queue, reader, found) = opened(&config);
    assert_eq!(found.len(), 3_000);
    let sealed = queue.shared.view.sealed();
    assert!(sealed.len() >= 2, "{sealed:?}");
    for generation in sealed {
        let held = &generation.held[Log::Raw as usize];
        let newest = held.runs.end().map(|end| large_record(end.0 - 1, 1).received);
        assert_eq!(newest, Some(held.newest), "{held:?}");
    }
    drop(reader);
    queue.close().unwrap();
    let (_queue, _reader, found) = opened(&config);
    assert_eq!(found.len(), 3_000);
}
