//! What every storage engine must do. One that keeps these promises can stand behind the queue.

use std::collections::BTreeMap;

use super::*;
use crate::queue::store::redb_store::RedbEngine;
use crate::queue::store::sled_store::SledEngine;
use crate::queue::store::{Entries, Entry, KEY_BYTES_MAX, Store};

const ENGINES: [&dyn Engine; 2] = [&SledEngine, &RedbEngine];

fn entries<const N: usize>(changes: [(&str, Option<&str>); N]) -> Entries {
    let mut entries = Entries::default();
    for (key, value) in changes {
        match value {
            Some(value) => entries.set(key, value),
            None => entries.remove(key),
        }
    }
    entries
}

fn all(store: &dyn Store, prefix: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let mut all = Vec::new();
    store.each(prefix, &mut |key, value| {
        all.push((key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    Ok(all)
}

fn entry(key: &str, value: &str) -> Entry {
    (key.into(), value.into())
}

#[test]
fn a_commit_of_many_entries_comes_back_whole_after_reopening() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let store = engine.create(dir.path()).unwrap();
        assert_eq!(all(store.as_ref(), b"").unwrap(), []);
        let mut many = Entries::default();
        let expected: Vec<Entry> =
            (0..5_000u32).map(|n| (n.to_be_bytes().into(), noise(300, n.into()).into())).collect();
        expected.iter().rev().for_each(|(key, value)| many.set(key.clone(), value.clone()));
        store.commit(&many).unwrap();
        assert_eq!(all(store.as_ref(), b"").unwrap(), expected);
        drop(store);
        let store = engine.open(dir.path()).unwrap();
        assert!(all(store.as_ref(), b"").unwrap() == expected, "{}", engine.name());
    }
}

#[test]
fn the_last_word_about_a_key_counts_within_a_commit_and_after_it() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let store = engine.create(dir.path()).unwrap();
        let first = [("a", Some("1")), ("b", None), ("b", Some("2")), ("c", Some("3")), ("c", None), ("a", Some("4"))];
        store.commit(&entries(first)).unwrap();
        assert_eq!(all(store.as_ref(), b"").unwrap(), [entry("a", "4"), entry("b", "2")], "{}", engine.name());
        store.commit(&entries([("a", None), ("b", Some("")), ("never there", None)])).unwrap();
        store.commit(&Entries::default()).unwrap();
        assert_eq!(all(store.as_ref(), b"").unwrap(), [entry("b", "")]);
        drop(store);
        let store = engine.open(dir.path()).unwrap();
        assert_eq!(all(store.as_ref(), b"").unwrap(), [entry("b", "")], "{}", engine.name());
    }
}

#[test]
fn the_neighbours_of_a_key_are_found_up_to_the_edges() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let store = engine.create(dir.path()).unwrap();
        assert_eq!((store.last_to(b"x").unwrap(), store.first_from(b"x").unwrap()), (None, None));
        store.commit(&entries([("b", Some("1")), ("d", Some("2")), ("dd", Some("3"))])).unwrap();
        let found = |key: &str| {
            let name = |entry: Option<Entry>| entry.map(|(key, _)| String::from_utf8(key).unwrap());
            let (before, after) = (store.last_to(key.as_bytes()), store.first_from(key.as_bytes()));
            (name(before.unwrap()), name(after.unwrap()))
        };
        let names = |before: &str, after: &str| {
            let name = |n: &str| (!n.is_empty()).then(|| n.to_owned());
            (name(before), name(after))
        };
        assert_eq!(found(""), names("", "b"), "{}", engine.name());
        assert_eq!(found("a"), names("", "b"));
        assert_eq!(found("b"), names("b", "b"));
        assert_eq!(found("c"), names("b", "d"));
        assert_eq!(found("d\0"), names("d", "dd"));
        assert_eq!(found("dd"), names("dd", "dd"));
        assert_eq!(found("e"), names("dd", ""));
    }
}

#[test]
fn a_prefix_is_walked_in_order_and_an_error_of_the_walker_ends_it() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let store = engine.create(dir.path()).unwrap();
        let changes = [("a", Some("0")), ("b\0", Some("1")), ("b", Some("2")), ("ba", Some("3")), ("c", Some("4"))];
        store.commit(&entries(changes)).unwrap();
        let expected = [entry("b", "2"), entry("b\0", "1"), entry("ba", "3")];
        assert_eq!(all(store.as_ref(), b"b").unwrap(), expected, "{}", engine.name());
        assert_eq!(all(store.as_ref(), &[0xff]).unwrap(), []);
        let mut seen = 0;
        let ended = store.each(b"", &mut |_, _| {
            seen += 1;
            if seen == 2 { Err(StoreError::Closed) } else { Ok(()) }
        });
        assert!(matches!(ended, Err(StoreError::Closed)) && seen == 2, "{}", engine.name());
    }
}

#[test]
fn a_walk_sees_whole_commits_only() {
    const KEYS: u8 = 40;
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let store = engine.create(dir.path()).unwrap();
        let commit_round = |round: u32| {
            let mut all = Entries::default();
            (0..KEYS).for_each(|key| all.set([key], round.to_be_bytes()));
            store.commit(&all).unwrap();
        };
        commit_round(0);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (1..60).for_each(commit_round));
            while !writer.is_finished() {
                let found = all(store.as_ref(), b"").unwrap();
                assert_eq!(found.len(), usize::from(KEYS));
                assert!(found.iter().all(|(_, value)| value == &found[0].1), "{}: {found:?}", engine.name());
            }
        });
    }
}

#[test]
fn the_longest_keys_and_values_come_back() {
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let store = engine.create(dir.path()).unwrap();
        let longest = |n: u64| (noise(KEY_BYTES_MAX, n).to_vec(), noise(VALUE_BYTES_MAX, n + 100).to_vec());
        let expected: BTreeMap<_, _> = (0..100).map(longest).chain([(vec![0], Vec::new())]).collect();
        let mut changes = Entries::default();
        expected.iter().for_each(|(key, value)| changes.set(key.clone(), value.clone()));
        store.commit(&changes).unwrap();
        drop(store);
        let store = engine.open(dir.path()).unwrap();
        assert!(all(store.as_ref(), b"").unwrap() == expected.into_iter().collect::<Vec<_>>(), "{}", engine.name());
    }
}

#[test]
fn an_engine_opens_only_what_it_made_and_leaves_the_rest_as_it_is() {
    for (engine, other) in ENGINES.into_iter().zip(ENGINES.into_iter().rev()) {
        let dir = tempfile::tempdir().unwrap();
        assert!(engine.open(dir.path()).is_err_and(|error| error.is_damage()), "{} made a store", engine.name());
        assert!(!engine.is_at_home(dir.path()));
        other.create(dir.path()).unwrap().commit(&entries([("a", Some("1"))])).unwrap();
        assert!(other.is_at_home(dir.path()) && !engine.is_at_home(dir.path()));
        assert!(engine.open(dir.path()).is_err_and(|error| error.is_damage()), "{} opened it", engine.name());
        let store = other.open(dir.path()).unwrap();
        assert_eq!(all(store.as_ref(), b"").unwrap(), [entry("a", "1")]);
    }
}

/// A file of the store is cut short, or has some bits turned over.
#[derive(Debug)]
enum Damage {
    Cut { len: u64 },
    Flip { at: u64, bit: u8 },
}

/// Cuts are near the end, as a crash leaves them, or anywhere.
fn damage_at_random(dir: &Path, random: &mut impl FnMut(u64) -> u64) -> (PathBuf, Damage) {
    let mut files: Vec<_> = files::entries(dir).unwrap().into_iter().filter(|path| path.is_file()).collect();
    files.sort();
    let path = files.swap_remove(random(files.len() as u64) as usize);
    let mut bytes = std::fs::read(&path).unwrap();
    let len = bytes.len() as u64;
    let damage = match random(3) {
        _ if len == 0 => Damage::Cut { len: 0 },
        0 => Damage::Cut { len: len - random(len.min(5_000)) },
        1 => Damage::Cut { len: random(len) },
        _ => Damage::Flip { at: random(len), bit: 1 << random(8) },
    };
    match damage {
        Damage::Cut { len } => bytes.truncate(len as usize),
        Damage::Flip { at, bit } => bytes[at as usize] ^= bit,
    }
    std::fs::write(&path, bytes).unwrap();
    (path, damage)
}

#[test]
fn damage_gives_an_error_or_content_that_was_once_committed_never_a_panic_or_foreign_bytes() {
    const ROUNDS: u64 = 60;
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let (mut refused, mut sound) = (0, 0);
    for engine in ENGINES {
        for round in 0..ROUNDS {
            let mut random = randomness(seed * 1_000 + round);
            let dir = tempfile::tempdir().unwrap();
            let store = engine.create(dir.path()).unwrap();
            // Each value says its key and when it was committed.
            let value = |key: u16, version: u8| [&key.to_be_bytes()[..], &[version], &noise(700, key.into())].concat();
            for version in 0..4 {
                let mut changes = Entries::default();
                (0..150u16).for_each(|key| changes.set(key.to_be_bytes(), value(key, version)));
                store.commit(&changes).unwrap();
            }
            drop(store);
            let damage = damage_at_random(dir.path(), &mut random);
            let look = || {
                let store = engine.open(dir.path())?;
                let found = all(store.as_ref(), b"")?;
                store.last_to(&[0xff])?;
                store.first_from(&[])?;
                Ok::<_, StoreError>(found)
            };
            match look() {
                Ok(found) => {
                    sound += 1;
                    for (key, bytes) in found {
                        let number = u16::from_be_bytes(key.as_slice().try_into().expect("a foreign key"));
                        let is_one = (0..4).any(|version| bytes == value(number, version));
                        assert!(is_one, "{}, round {round}, {damage:?}: key {number}", engine.name());
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.is_damage(), "{}, round {round}, {damage:?}: {error}", engine.name());
                }
            }
        }
    }
    assert!(refused > 0 && sound > 0, "{refused} refused, {sound} opened: the damage is of one kind only");
}
