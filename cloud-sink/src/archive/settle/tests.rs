//! A writer that is killed at each step, and two at a time: the archive has each record once, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use firmware_protocol::decode::{Decoder, Route};
use futures_util::TryStreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tokio::time::Instant;

use super::*;
use crate::archive::layout::{INTENTS, MANIFESTS};
use crate::archive::roll::{Limits, Rolls};
use crate::archive::testing::{Fault, FaultyStore, envelope, headers, push};

/// Records of the one partition; with so few each end is tried.
const END: i64 = 12;

fn roll(first: i64, last: i64) -> Arc<Roll> {
    let mut rolls = Rolls::new(Limits { max_bytes: 1 << 30, max_age: Duration::ZERO });
    let now = Instant::now();
    (first..=last).for_each(|offset| push(&mut rolls, offset, now));
    Arc::new(rolls.due(now, 0).unwrap())
}

fn reader() -> Arc<Reader> {
    let decoder = Decoder::new(Route::defaults()).unwrap();
    Arc::new(Reader { decoder, future_max: Duration::from_secs(3_600) })
}

/// Reads from what was committed last, rolls of so many records, until all is archived or the store says no; that counts
/// as a kill, so the last commit is what remains.
async fn work(store: &Store, committed: &mut i64, length: i64) -> Result<(), SettleError> {
    let mut wanted_end = None;
    while *committed < END {
        let last = wanted_end.unwrap_or((*committed + length - 1).min(END - 1));
        match settle(store, &roll(*committed, last), &reader()).await? {
            Settled::Written(manifest) => (*committed, wanted_end) = (manifest.last_offset + 1, None),
            Settled::Before { next_offset } => (*committed, wanted_end) = (next_offset, None),
            Settled::EndsLater { last_offset } => {
                assert!(last_offset > last && last_offset < END && wanted_end.is_none());
                wanted_end = Some(last_offset);
            }
        }
    }
    Ok(())
}

/// Each record is in one file that a manifest names, all sums are right, and there is no other object.
async fn check(objects: &InMemory) {
    let all: Vec<String> = objects.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap();
    let store = Store::over(Arc::new(objects.fork()));
    let mut named = Vec::new();
    let mut payloads: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
    for path in all.iter().filter(|path| path.starts_with(MANIFESTS)) {
        let manifest: Manifest = store.get_json(path).await.unwrap().unwrap();
        named.push(path.clone());
        let mut rows = 0;
        for entry in manifest.files {
            let bytes = store.get(&entry.path).await.unwrap().expect("a file that is named is there");
            assert_eq!((bytes.len() as u64, file::sha256(&bytes)), (entry.bytes, entry.sha256), "{}", entry.path);
            for batch in file::read(bytes).unwrap() {
                let offsets = batch["kafka_offset"].as_primitive::<Int64Type>();
                let bytes = batch["payload"].as_binary::<i32>();
                for (offset, payload) in offsets.values().iter().zip(bytes) {
                    assert!((manifest.first_offset..=manifest.last_offset).contains(offset));
                    assert!(payloads.insert(*offset, payload.unwrap().to_vec()).is_none(), "{offset} is there twice");
                    rows += 1;
                }
            }
            named.push(entry.path);
        }
        assert_eq!(rows, manifest.rows);
    }
    let whole = roll(0, END - 1);
    let wanted: BTreeMap<i64, Vec<u8>> =
        (0..END as usize).map(|row| (row as i64, whole.record(row).payload.to_vec())).collect();
    assert_eq!(payloads, wanted);
    named.sort();
    let mut all = all;
    all.sort();
    assert_eq!(all, named, "nothing lies outside of the manifests");
    assert!(!all.iter().any(|path| path.starts_with(INTENTS)));
}

#[tokio::test]
async fn a_writer_killed_at_any_step_whose_successor_ends_its_rolls_elsewhere_leaves_each_record_once() {
    for (first_length, second_length) in [(5, 5), (5, 3), (3, 5), (12, 1), (1, 12), (4, 7)] {
        for is_done_before in [false, true] {
            for kill_at in 0.. {
                let objects = InMemory::new();
                let faulty = FaultyStore::new(objects.clone(), vec![Fault { at: kill_at, is_done_before }]);
                let store = Store::over(Arc::new(faulty));
                let mut committed = 0;
                if work(&store, &mut committed, first_length).await.is_ok() {
                    check(&objects).await;
                    break;
                }
                work(&store, &mut committed, second_length).await.unwrap();
                check(&objects).await;
            }
        }
    }
}

#[tokio::test]
async fn two_kills_one_after_the_other_leave_each_record_once() {
    for kills in (0..25).step_by(2).flat_map(|first| (1..12).map(move |second| [first, first + second])) {
        let objects = InMemory::new();
        let faults = kills.map(|at| Fault { at, is_done_before: at % 2 == 0 });
        let store = Store::over(Arc::new(FaultyStore::new(objects.clone(), faults.to_vec())));
        let mut committed = 0;
        for length in [5, 3, 7] {
            if work(&store, &mut committed, length).await.is_ok() {
                break;
            }
        }
        check(&objects).await;
    }
}

#[tokio::test]
async fn one_whose_commits_are_lost_finds_what_it_wrote_and_goes_on_behind_it() {
    let objects = InMemory::new();
    let store = Store::over(Arc::new(objects.clone()));
    work(&store, &mut 0, 4).await.unwrap();
    let outcome = settle(&store, &roll(0, 10), &reader()).await.unwrap();
    assert_eq!(outcome, Settled::Before { next_offset: END }, "all rolls behind it are found, too");
    check(&objects).await;
}

#[tokio::test]
async fn two_writers_that_both_take_a_partition_for_theirs_agree() {
    for seed in 0..100 {
        let objects = InMemory::new();
        let slow = |seed| Store::over(Arc::new(FaultyStore::new(objects.clone(), vec![]).with_delays(seed)));
        let (one, other) = (slow(seed), slow(seed + 1_000));
        let (mut first, mut second) = (0, 0);
        let (a, b) = tokio::join!(work(&one, &mut first, 5), work(&other, &mut second, 1 + seed as i64 % 9));
        a.and(b).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        check(&objects).await;
    }
}

#[tokio::test]
async fn what_is_no_envelope_is_archived_with_its_headers() {
    let mut rolls = Rolls::new(Limits { max_bytes: 1 << 30, max_age: Duration::ZERO });
    let now = Instant::now();
    let record = crate::archive::roll::Record { offset: 0, timestamp_ms: Some(0), key: b"", payload: b"\xff" };
    rolls.push("t", 0, record, [("schema", b"raw/2".as_slice())].into_iter(), now);
    let roll = rolls.due(now, 0).unwrap();
    let (folder, rows) = file::by_folder(&roll, 1).pop_first().unwrap();
    assert_eq!(folder.file(roll.name()), "raw/date=1970-01-01/device_bucket=00/t-0-00000000000000000000.parquet");
    let file = file::write(&folder, &roll, &rows, &reader()).unwrap();
    let batch = file::read(file.bytes).unwrap().remove(0);
    assert_eq!(batch["payload"].as_binary::<i32>().value(0), b"\xff");
    let headers = batch["headers"].as_list::<i32>().value(0);
    assert_eq!(headers.as_struct().column(1).as_binary::<i32>().value(0), b"raw/2");
    assert!(batch["decode_error"].as_string::<i32>().value(0).contains("raw/2"));
}

#[tokio::test]
async fn a_message_is_archived_with_its_readings_and_one_that_no_decoder_reads_with_the_reason() {
    let mut rolls = Rolls::new(Limits { max_bytes: 1 << 30, max_age: Duration::ZERO });
    let now = Instant::now();
    let good = br#"{"ts":1763730000000,"temperature":21.5,"flow":3}"#;
    for (offset, payload) in [(0, good.as_slice()), (1, b"{".as_slice())] {
        let record = crate::archive::roll::Record { offset, timestamp_ms: None, key: b"pump", payload };
        let headers = headers(&envelope());
        rolls.push("t", 0, record, headers.iter().map(|(name, value)| (*name, value.as_slice())), now);
    }
    let roll = rolls.due(now, 0).unwrap();
    let (folder, rows) = file::by_folder(&roll, 2).pop_first().unwrap();
    let file = file::write(&folder, &roll, &rows, &reader()).unwrap();
    let batch = file::read(file.bytes).unwrap().remove(0);
    let readings = batch["readings"].as_list::<i32>();
    let fields = readings.value(0);
    let fields = fields.as_struct();
    assert_eq!(fields.column(1).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["temperature", "flow"]);
    assert_eq!(fields.column(3).as_primitive::<arrow_array::types::Float64Type>().values().to_vec(), [21.5, 3.0]);
    let times = fields.column(2).as_primitive::<arrow_array::types::TimestampNanosecondType>();
    assert_eq!(times.value(0), 1_763_730_000_000_000_000);
    use arrow_array::Array;
    assert!(readings.is_null(1) && batch["decode_error"].is_null(0) && batch["decode_error"].is_valid(1));
    assert_eq!(batch["payload"].as_binary::<i32>().value(1), b"{");
    assert_eq!(batch["device"].as_string::<i32>().value(0), "pump");
}
