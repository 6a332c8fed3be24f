//! The queue's tools on queues that a real gateway's queue wrote and that were damaged afterwards: what they say is
//! exact, and what they save is what was written.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use gateway::clock::{ClockBoot, Stamp};
use gateway::metrics;
use gateway::queue::offline::{Error, Flaw, Item, Offline, Repaired, Selection, Standing, Verdict, WatermarkView};
use gateway::queue::{
    Config, Cursor, Door, EngineKind, Flags, LedgerRow, Log, Queue, QueueSeq, Record, Run, Transaction,
};

const GENERATION_BYTES: u64 = 4 << 20;

type Records = BTreeMap<(Log, u64), Record>;

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed * 2 + 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    (0..len).map(|_| next()).collect()
}

fn record(n: u64, len: usize) -> Record {
    Record {
        door: Door::Listen,
        flags: Flags { qos: 1, retained: false, redelivered: false },
        received: Stamp { boot: ClockBoot(1), since_boot_ns: n * 1_000 },
        topic: format!("plant/device-{:02}/state", n % 40).into(),
        payload: noise(len, n).into(),
        content_type: Bytes::new(),
        table: Bytes::new(),
    }
}

fn config(dir: &Path) -> Config {
    Config { generation_max_bytes: GENERATION_BYTES, ballast_bytes: 0, ..Config::new(dir) }
}

fn open(dir: &Path) -> Queue {
    Queue::open(&config(dir), metrics::Queue::default()).unwrap()
}

fn commit(queue: &Queue, t: Transaction) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(queue.appender().commit(t)).unwrap().blocking_recv().unwrap().unwrap();
}

fn delivered(next: u64) -> Cursor {
    Cursor { next: QueueSeq(next), delivered: next, ..Cursor::default() }
}

/// Blocks of 100 raw records and one derived record each, a stage's state, and a consumer that has passed 150.
fn write(dir: &Path, rounds: u64, len: usize) {
    let queue = open(dir);
    let reader = queue.reader("sink");
    for round in 0..rounds {
        let raw = (0..100).map(|n| record(round * 100 + n, len)).collect();
        let state = vec![("model".into(), Some(vec![round as u8; 40_000]))];
        commit(&queue, Transaction { raw, derived: vec![record(round, 50)], state, ..Transaction::default() });
    }
    reader.advance(Log::Raw, delivered(150));
    queue.close().unwrap();
}

/// Several generations of about 400 records.
fn write_generations(dir: &Path) {
    write(dir, 40, 4_000);
}

/// The raw blocks in a generation's store, each with the tree that it is in, in the order of their keys.
fn blocks(generation: &Path) -> (sled::Db, Vec<(sled::Tree, sled::IVec)>) {
    let db = sled::Config::new().path(generation).segment_size(1 << 20).flush_every_ms(None).open().unwrap();
    let trees = db.tree_names().into_iter().map(|name| db.open_tree(name).unwrap());
    let keys = |tree: sled::Tree| tree.scan_prefix(b"0").keys().map(move |key| (tree.clone(), key.unwrap()));
    let mut blocks: Vec<_> = trees.flat_map(|tree| keys(tree).collect::<Vec<_>>()).collect();
    blocks.sort_by(|a, b| a.1.cmp(&b.1));
    (db, blocks)
}

/// Changes the value of the raw log's `at`-th key in a generation.
fn change_block(generation: &Path, at: usize, change: impl Fn(&mut [u8])) {
    let (db, mut blocks) = blocks(generation);
    let (tree, key) = blocks.remove(at);
    let mut value = tree.get(&key).unwrap().unwrap().to_vec();
    change(&mut value);
    tree.insert(&key, value).unwrap();
    db.flush().unwrap();
}

fn all() -> Selection {
    Selection { logs: Log::ALL.to_vec(), run: run(0, u64::MAX), consumer: None }
}

fn run(first: u64, end: u64) -> Run {
    Run::new(QueueSeq(first), QueueSeq(end))
}

/// What can be read, and the runs that cannot.
fn export(dir: &Path, selection: &Selection) -> (Records, Vec<(Log, Run)>) {
    let (mut records, mut unreadable, mut last) = (Records::new(), Vec::new(), None);
    let exported = Offline::open(dir).unwrap().export(selection, &mut |item| {
        match item {
            Item::Record { log, seq, record } => {
                assert!(last < Some((log, seq)), "{last:?} before {log:?} {seq:?}");
                last = Some((log, seq));
                records.insert((log, seq.0), record.clone());
            }
            Item::Unreadable { log, run, .. } => unreadable.push((log, run)),
        }
        ControlFlow::Continue(())
    });
    let exported = exported.unwrap();
    assert_eq!(exported.records, records.len() as u64);
    assert_eq!(exported.unreadable, unreadable.iter().map(|(_, run)| run.count()).sum::<u64>());
    (records, unreadable)
}

fn verify(dir: &Path) -> Verdict {
    Offline::open(dir).unwrap().verify(&mut |_| ControlFlow::Continue(())).unwrap()
}

fn repair(dir: &Path, out: &Path) -> Repaired {
    let offline = Offline::open(dir).unwrap();
    offline.repair(out, EngineKind::Sled, GENERATION_BYTES, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// All files with their content.
fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// A gateway's queue opens the repaired directory, loses nothing, balances, gives what export gives, and goes on.
fn goes_on(dir: &Path, repaired: &Repaired) {
    let (exported, unreadable) = export(dir, &all());
    assert_eq!(unreadable, []);
    assert!(verify(dir).is_sound(), "{:#?}", verify(dir));
    assert_eq!(Offline::open(dir).unwrap().inspect().unwrap().ledger, repaired.ledger);
    let metrics = metrics::Queue::default();
    let queue = Queue::open(&config(dir), metrics.clone()).unwrap();
    let reader = queue.reader("sink");
    assert_eq!(queue.monitor().ledger(), repaired.ledger);
    assert!(repaired.ledger.iter().all(LedgerRow::balances), "{:#?}", repaired.ledger);
    let mut read = Records::new();
    for log in Log::ALL {
        let mut at = QueueSeq(0);
        while let Some(block) = reader.read(log, at).unwrap() {
            read.extend(block.records_from(at).map(|(seq, record)| ((log, seq.0), record.clone())));
            at = block.end();
        }
    }
    assert!(read == exported, "{} records read, {} exported", read.len(), exported.len());
    let end = queue.monitor().end(Log::Raw);
    commit(&queue, Transaction { raw: vec![record(0, 10)], ..Transaction::default() });
    assert_eq!(queue.monitor().end(Log::Raw), end.plus(1));
    assert!(queue.monitor().ledger().iter().all(LedgerRow::balances), "{:#?}", queue.monitor().ledger());
    let lost: Vec<u64> =
        Log::ALL.iter().map(|log| metrics.lost.get_or_create(&metrics::LogLabel { log: log.name() }).get()).collect();
    assert_eq!(lost, [0, 0], "what repair booked is not found once more");
    drop(reader);
    queue.close().unwrap();
}

#[test]
fn a_sound_queue_is_said_to_be_sound_and_is_read_without_a_byte_being_changed() {
    let dir = tempfile::tempdir().unwrap();
    write_generations(dir.path());
    let before = files(dir.path());
    let verdict = verify(dir.path());
    assert!(verdict.is_sound() && verdict.generations.len() > 3, "{verdict:#?}");
    let read: u64 = verdict.generations.iter().map(|g| g.records[0]).sum();
    let (records, unreadable) = export(dir.path(), &all());
    assert_eq!((read, records.len(), unreadable.len()), (4_000, 4_040, 0));
    assert!(records.iter().filter(|((log, _), _)| *log == Log::Raw).all(|((_, n), r)| *r == record(*n, 4_000)));
    let inspection = Offline::open(dir.path()).unwrap().inspect().unwrap();
    assert_eq!(inspection.logs[0].run, run(0, 4_000));
    assert_eq!(inspection.generations.iter().map(|g| g.held[0].records).sum::<u64>(), 4_000);
    assert_eq!(inspection.states[0].bytes, Some(40_000));
    let rows: Vec<_> = inspection.ledger.iter().map(|r| (r.log, r.accepted, r.queued, r.balances())).collect();
    assert_eq!(rows, [(Log::Raw, 4_000, 3_850, true), (Log::Derived, 40, 40, true)]);
    assert!(files(dir.path()) == before, "a file was changed");
}

#[test]
fn a_selection_gives_its_sequences_and_what_its_consumer_has_not_passed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 5, 30);
    let raw = |from, to| Selection { logs: vec![Log::Raw], run: run(from, to), consumer: None };
    let keys = |selection: &Selection| export(dir.path(), selection).0.into_keys().map(|k| k.1).collect::<Vec<_>>();
    assert_eq!(keys(&raw(195, 203)), (195..203).collect::<Vec<_>>());
    assert_eq!(keys(&Selection { consumer: Some("sink".into()), ..raw(0, 155) }), (150..155).collect::<Vec<_>>());
    let nobody = Selection { consumer: Some("nobody".into()), ..all() };
    let refused = Offline::open(dir.path()).unwrap().export(&nobody, &mut |_| ControlFlow::Continue(()));
    assert_eq!(refused.unwrap_err().to_string(), "queue has no consumer `nobody`; it has sink");
}

#[test]
fn a_block_with_a_wrong_crc_is_named_and_leaves_a_hole_of_its_size() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 10, 30);
    let (before, _) = export(dir.path(), &all());
    change_block(&dir.path().join("gen-00000001"), 3, |value| value[60] ^= 1);
    let verdict = verify(dir.path());
    assert!(!verdict.is_sound());
    assert_eq!(verdict.missing, [vec![run(300, 400)], vec![]]);
    assert_eq!(verdict.generations[0].missing, verdict.missing);
    assert_eq!(verdict.generations[0].flaws, [(Log::Raw, run(300, 400), Flaw::Part { part: 0 })]);
    let (records, unreadable) = export(dir.path(), &all());
    assert_eq!((records.len(), unreadable), (910, vec![(Log::Raw, run(300, 400))]));
    assert!(records.iter().all(|(key, record)| before[key] == *record));
}

#[test]
fn a_damaged_part_whose_block_is_sound_costs_nothing_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 3, 30);
    let (before, _) = export(dir.path(), &all());
    // The part's own CRC.
    change_block(&dir.path().join("gen-00000001"), 1, |value| value[5] ^= 1);
    let verdict = verify(dir.path());
    assert!(!verdict.is_sound() && verdict.missing == [vec![], vec![]], "{verdict:#?}");
    assert_eq!(verdict.generations[0].flaws, [(Log::Raw, run(100, 200), Flaw::Part { part: 0 })]);
    assert!(export(dir.path(), &all()) == (before, vec![]));
}

#[test]
fn a_vanished_generation_is_missing_to_the_record_and_booked_as_lost_by_repair() {
    let dir = tempfile::tempdir().unwrap();
    write_generations(dir.path());
    let held = Offline::open(dir.path()).unwrap().inspect().unwrap().generations[1].held.clone();
    let gone = [held[0].run.unwrap(), held[1].run.unwrap()];
    let (mut expected, _) = export(dir.path(), &all());
    expected.retain(|(log, seq), _| !(gone[*log as usize].first.0..gone[*log as usize].end.0).contains(seq));
    fs::remove_dir_all(dir.path().join("gen-00000002")).unwrap();
    let verdict = verify(dir.path());
    assert_eq!(verdict.missing, gone.map(|run| vec![run]));
    assert_eq!(verdict.records_missing(), gone[0].count() + gone[1].count());
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("made/for/it");
    let repaired = repair(dir.path(), &out);
    assert_eq!(repaired.lost, verdict.missing);
    assert_eq!(repaired.corrected, []);
    assert!(export(&out, &all()).0 == expected);
    goes_on(&out, &repaired);
}

#[test]
fn a_generation_that_cannot_be_opened_is_salvaged_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, out) = (dir.path().join("queue"), dir.path().join("out"));
    write_generations(&queue);
    let (before, _) = export(&queue, &all());
    // sled's settings of an older and of the newest one; their data is whole.
    let newest = fs::read_dir(&queue).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count();
    for number in [2, newest] {
        fs::write(queue.join(format!("gen-{number:08}/conf")), [0xff; 64]).unwrap();
    }
    let damaged = files(&queue);
    let verdict = verify(&queue);
    assert!(matches!(verdict.generations[newest - 1].standing, Standing::Unopenable(_)), "{verdict:#?}");
    assert!(verdict.generations[1].broken.is_some() && verdict.records_missing() > 300, "{verdict:#?}");
    let readable = export(&queue, &all()).0;
    assert!(readable.len() < before.len());
    let repaired = repair(&queue, &out);
    assert!(repaired.salvaged[0] > 300, "{repaired:#?}");
    assert_eq!(repaired.lost, [vec![], vec![]]);
    assert!(export(&out, &all()).0 == before, "all that was written is there again");
    goes_on(&out, &repaired);
    assert!(files(&queue) == damaged, "the original was changed");
}

#[test]
fn what_the_queue_had_set_aside_and_booked_as_lost_comes_back_from_quarantine() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, out) = (dir.path().join("queue"), dir.path().join("out"));
    write_generations(&queue);
    let (before, _) = export(&queue, &all());
    let aside = dir.path().join("gen-00000003");
    fs::rename(queue.join("gen-00000003"), &aside).unwrap();
    open(&queue).close().unwrap();
    fs::create_dir_all(queue.join("quarantine")).unwrap();
    fs::rename(aside, queue.join("quarantine/gen-00000003")).unwrap();
    let inspection = Offline::open(&queue).unwrap().inspect().unwrap();
    let lost: u64 = inspection.ledger.iter().map(|row| row.lost).sum();
    assert!(lost > 300 && inspection.quarantine.len() == 1, "{inspection:#?}");
    assert!(verify(&queue).is_sound(), "it is booked: nothing is unknown");
    let repaired = repair(&queue, &out);
    assert_eq!(repaired.found_again.iter().sum::<u64>(), lost);
    assert_eq!(repaired.ledger.iter().map(|row| row.lost).sum::<u64>(), 0);
    assert!(export(&out, &all()).0 == before);
    goes_on(&out, &repaired);
}

#[test]
fn a_destroyed_store_leaves_its_sequences_as_lost_and_the_log_goes_on_after_them() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, out) = (dir.path().join("queue"), dir.path().join("out"));
    write(&queue, 10, 30);
    let db = queue.join("gen-00000001/db");
    let len = fs::metadata(&db).unwrap().len() as usize;
    fs::write(queue.join("gen-00000001/conf"), [0xff; 64]).unwrap();
    fs::write(&db, vec![0xa5; len]).unwrap();
    assert_eq!(verify(&queue).missing, [vec![run(0, 1_000)], vec![run(0, 10)]]);
    let repaired = repair(&queue, &out);
    assert_eq!((repaired.records, repaired.lost.clone()), ([0, 0], [vec![run(0, 1_000)], vec![run(0, 10)]]));
    let raw = &repaired.ledger[0];
    assert_eq!((raw.cursor.delivered, raw.lost, raw.balances()), (150, 850, true), "{raw:#?}");
    goes_on(&out, &repaired);
}

#[test]
fn without_a_watermark_all_records_are_saved_and_the_doubt_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, out) = (dir.path().join("queue"), dir.path().join("out"));
    write(&queue, 10, 30);
    let (before, _) = export(&queue, &all());
    fs::write(queue.join("watermark"), b"GWQW").unwrap();
    let verdict = verify(&queue);
    assert!(verdict.watermark == WatermarkView::Unreadable && !verdict.is_sound() && verdict.is_at_least);
    let repaired = repair(&queue, &out);
    assert!(repaired.is_at_least);
    assert!(export(&out, &all()).0 == before);
    goes_on(&out, &repaired);
}

#[test]
fn a_queue_that_is_in_use_is_refused_and_none_can_be_used_while_it_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let refused = Offline::open(dir.path()).err().unwrap();
    assert!(matches!(refused, Error::Queue(gateway::queue::Error::InUse { .. })), "{refused}");
    queue.close().unwrap();
    let (one, another) = (Offline::open(dir.path()).unwrap(), Offline::open(dir.path()).unwrap());
    assert!(Queue::open(&config(dir.path()), metrics::Queue::default()).is_err());
    drop((one, another));
    open(dir.path());
}

#[test]
fn repair_never_overwrites_and_leaves_nothing_half_made() {
    let dir = tempfile::tempdir().unwrap();
    let (queue, out) = (dir.path().join("queue"), dir.path().join("out"));
    write(&queue, 3, 30);
    let offline = Offline::open(&queue).unwrap();
    let mut go_on = |_| ControlFlow::Continue(());
    let mut into = |out: &Path| offline.repair(out, EngineKind::Sled, GENERATION_BYTES, &mut go_on);
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine"), "x").unwrap();
    assert!(into(&out).unwrap_err().to_string().contains("not empty"));
    assert!(into(&queue).unwrap_err().to_string().contains("not empty"));
    assert!(into(&queue.join("new")).unwrap_err().to_string().contains("within the queue"));
    fs::remove_file(out.join("mine")).unwrap();
    let stopped = offline.repair(&out, EngineKind::Sled, GENERATION_BYTES, &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "queue and the empty out");
    let repaired = into(&out).unwrap();
    drop(offline);
    goes_on(&out, &repaired);
}

#[test]
fn whatever_bytes_are_flipped_repair_keeps_all_that_can_be_read_and_its_books_balance() {
    for seed in 1..=6 {
        println!("seed {seed}");
        let dir = tempfile::tempdir().unwrap();
        let (queue, out) = (dir.path().join("queue"), dir.path().join("out"));
        write(&queue, 30, 2_000);
        let (before, _) = export(&queue, &all());
        let dbs: Vec<_> = files(&queue).into_keys().filter(|p| p.ends_with("db")).collect();
        let dice: Vec<u64> =
            noise(8 * 24, seed).chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect();
        for die in dice.chunks_exact(2) {
            let path = &dbs[(die[0] % dbs.len() as u64) as usize];
            let mut bytes = fs::read(path).unwrap();
            let at = (die[1] % bytes.len() as u64) as usize;
            bytes[at] ^= 0x10;
            fs::write(path, bytes).unwrap();
        }
        let (readable, unreadable) = export(&queue, &all());
        let verdict = verify(&queue);
        assert_eq!(
            unreadable.iter().map(|(_, run)| run.count()).sum::<u64>(),
            verdict.records_missing(),
            "export and verify miss the same"
        );
        assert_eq!(readable.len() as u64 + verdict.records_missing(), before.len() as u64);
        let repaired = repair(&queue, &out);
        let (saved, _) = export(&out, &all());
        assert!(readable.iter().all(|(key, record)| saved.get(key) == Some(record)));
        assert!(saved.iter().all(|(key, record)| before[key] == *record));
        let lost: u64 = repaired.lost.iter().flatten().map(|run| run.count()).sum();
        assert_eq!(saved.len() as u64 + lost, before.len() as u64);
        goes_on(&out, &repaired);
    }
}
