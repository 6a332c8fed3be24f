//! Which engine holds the records is the user's choice, at any time; each generation stays with the one that made it.

use super::*;
use crate::queue::store::engines;

fn switched(config: &Config) -> Config {
    let engine = match config.engine {
        EngineKind::Sled => EngineKind::Redb,
        EngineKind::Redb => EngineKind::Sled,
    };
    Config { engine, ..config.clone() }
}

fn append_rounds(queue: &Queue, rounds: std::ops::Range<u64>) {
    for round in rounds {
        append(queue, (0..100).map(|n| large_record(round * 100 + n, 4_000)));
    }
}

fn markers(dir: &Path) -> Vec<String> {
    let markers = generations(dir).into_iter().map(|name| dir.join(name).join(engines::MARKER));
    markers.map(|path| engines::marked(&std::fs::read(path).unwrap()).unwrap().to_owned()).collect()
}

/// A queue of 2000 records of 4 kB in several generations, with a consumer at 0.
fn backlog(dir: &Path, engine: EngineKind) -> Config {
    let config = Config { generation_max_bytes: 4 << 20, engine, ..config(dir) };
    let queue = open(&config);
    drop(queue.reader("sink"));
    append_rounds(&queue, 0..20);
    queue.close().unwrap();
    assert!(markers(dir).len() >= 2 && markers(dir).iter().all(|name| name == engine.name()), "{:?}", markers(dir));
    config
}

fn assert_all_there(queue: &Queue, end: u64) {
    let reader = queue.reader("sink");
    let found = read_all(&reader, Log::Raw, QueueSeq(0));
    assert_eq!(found.len() as u64, end);
    assert!((0..).zip(&found).all(|(n, (seq, record))| seq.0 == n && *record == large_record(n, 4_000)));
    assert!(queue.monitor().ledger().iter().all(|row| row.balances() && row.lost == 0));
}

#[test]
fn a_backlog_outlives_a_change_of_the_engine_and_a_change_back() {
    for engine in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let config = backlog(dir.path(), engine);
        let other = switched(&config);
        let queue = open(&other);
        assert_all_there(&queue, 2_000);
        append_rounds(&queue, 20..40);
        assert_all_there(&queue, 4_000);
        queue.close().unwrap();
        let names = markers(dir.path());
        assert!(names.first().is_some_and(|name| name == engine.name()), "{names:?}");
        assert!(names.last().is_some_and(|name| name == other.engine.name()), "{names:?}");

        let queue = open(&config);
        append_rounds(&queue, 40..60);
        assert_all_there(&queue, 6_000);
        queue.reader("sink").advance(Log::Raw, delivered(6_000));
        append(&queue, [record(0)]);
        append(&queue, [record(0)]);
        queue.close().unwrap();
        assert_eq!(markers(dir.path()), [engine.name()], "drained ones go, whoever made them");
    }
}

#[test]
fn a_marker_that_is_gone_or_says_nothing_leaves_it_to_the_files() {
    for engine in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let config = backlog(dir.path(), engine);
        let spoilt: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"sldd"), Some(&[0xff, 0])];
        for (name, spoilt) in generations(dir.path()).iter().zip(spoilt.into_iter().cycle()) {
            let marker = dir.path().join(name).join(engines::MARKER);
            match spoilt {
                None => std::fs::remove_file(marker).unwrap(),
                Some(bytes) => std::fs::write(marker, bytes).unwrap(),
            }
        }
        assert_all_there(&open(&switched(&config)), 2_000);
    }
}

#[test]
fn a_marker_that_was_cut_beside_a_store_that_is_gone_is_damage_and_no_unknown_engine() {
    for engine in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let config = backlog(dir.path(), engine);
        let generation = dir.path().join(&generations(dir.path())[0]);
        std::fs::remove_dir_all(&generation).unwrap();
        std::fs::create_dir(&generation).unwrap();
        std::fs::write(generation.join(engines::MARKER), "red").unwrap();
        let queue = open(&config);
        let mut reader = queue.reader("sink");
        let runtime = runtime();
        while reader.read(Log::Raw, QueueSeq(0)).unwrap().is_none() && row(&queue, "sink", Log::Raw).lost == 0 {
            runtime.block_on(reader.changed()).unwrap();
        }
        let found = read_all(&reader, Log::Raw, QueueSeq(0)).len() as u64;
        let row = row(&queue, "sink", Log::Raw);
        assert!(row.lost > 0 && row.lost + found == 2_000, "{found} found, {row:?}");
    }
}

#[test]
fn a_generation_of_an_unknown_engine_is_left_alone_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let generation = dir.path().join("gen-00000001");
    std::fs::create_dir(&generation).unwrap();
    engines::mark(&generation, "rocks").unwrap();
    std::fs::write(generation.join("CURRENT"), "MANIFEST-1").unwrap();
    for _ in 0..2 {
        let error = Queue::open(&config(dir.path()), metrics::Queue::default()).err().unwrap().to_string();
        assert!(error.contains("gen-00000001") && error.contains("`rocks`"), "{error}");
        assert!(error.contains("`queue.engine`"), "{error}");
        assert_eq!(generations(dir.path()), ["gen-00000001"]);
        assert_eq!(std::fs::read_to_string(generation.join("CURRENT")).unwrap(), "MANIFEST-1");
    }
}
