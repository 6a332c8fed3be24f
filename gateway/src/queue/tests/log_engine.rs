//! An engine for tests: what was committed, one frame after the other, in a file; all of it in memory, too. It is as
//! good as its file, fast, and knows no damage but a torn last frame.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Bound;
use std::sync::RwLock;

use super::*;
use crate::queue::store::{Entries, Entry, Store};

#[derive(Clone, Copy)]
pub(super) struct LogEngine;

pub(super) struct LogStore {
    path: PathBuf,
    map: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Engine for LogEngine {
    fn name(&self) -> &'static str {
        "log"
    }

    fn is_at_home(&self, dir: &Path) -> bool {
        log_file(dir).exists()
    }

    fn create(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        let path = log_file(dir);
        std::fs::File::create(&path).map_err(StoreError::io(&path))?;
        self.open(dir)
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        let path = log_file(dir);
        let bytes = std::fs::read(&path).map_err(StoreError::io(&path))?;
        let (mut map, mut rest) = (BTreeMap::new(), bytes.as_slice());
        while let Some((changes, after)) = parse_frame(rest) {
            apply(&mut map, changes);
            rest = after;
        }
        let sound = (bytes.len() - rest.len()) as u64;
        let cut = |file: std::fs::File| file.set_len(sound);
        std::fs::File::options().write(true).open(&path).and_then(cut).map_err(StoreError::io(&path))?;
        Ok(Box::new(LogStore { path, map: RwLock::new(map) }))
    }
}

impl Store for LogStore {
    fn commit(&self, entries: &Entries) -> Result<(), StoreError> {
        append(&self.path, &frame(entries))?;
        let changes = entries.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
        apply(&mut self.map.write().unwrap(), changes);
        Ok(())
    }

    fn last_to(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let map = self.map.read().unwrap();
        let found = map.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        Ok(found.map(|(key, value)| (key.clone(), value.clone())))
    }

    fn first_from(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let map = self.map.read().unwrap();
        let found = map.range::<[u8], _>((Bound::Included(key), Bound::Unbounded)).next();
        Ok(found.map(|(key, value)| (key.clone(), value.clone())))
    }

    fn each(&self, prefix: &[u8], f: &mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let map = self.map.read().unwrap();
        let mut all = map.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        all.by_ref().take_while(|(key, _)| key.starts_with(prefix)).try_for_each(|(key, value)| f(key, value))
    }
}

pub(super) fn log_file(dir: &Path) -> PathBuf {
    dir.join("log")
}

pub(super) fn append(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = |mut file: std::fs::File| file.write_all(bytes);
    std::fs::File::options().append(true).open(path).and_then(write).map_err(StoreError::io(path))
}

type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn apply(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert(key, value)),
            None => drop(map.remove(&key)),
        }
    }
}

/// CRC-32, length, changes: key length u32, key, 1 or 0, value length u32, value.
pub(super) fn frame(entries: &Entries) -> Vec<u8> {
    let mut body = Vec::new();
    let mut put = |bytes: &[u8]| {
        body.extend((bytes.len() as u32).to_le_bytes());
        body.extend(bytes);
    };
    for (key, value) in entries.iter() {
        put(key);
        put(&[u8::from(value.is_some())]);
        put(value.unwrap_or_default());
    }
    let head = [crc32fast::hash(&body), body.len() as u32].map(u32::to_le_bytes).concat();
    [head, body].concat()
}

fn parse_frame(bytes: &[u8]) -> Option<(Changes, &[u8])> {
    let word = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?));
    let (crc, len) = (word(bytes)?, word(bytes.get(4..)?)? as usize);
    let (body, after) = bytes.get(8..)?.split_at_checked(len)?;
    if crc32fast::hash(body) != crc {
        return None;
    }
    let (mut changes, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let mut take = || {
            let (bytes, after) = rest[4..].split_at_checked(word(rest)? as usize)?;
            rest = after;
            Some(bytes.to_vec())
        };
        let (key, is_set, value) = (take()?, take()?, take()?);
        changes.push((key, (is_set == [1]).then_some(value)));
    }
    Some((changes, after))
}
