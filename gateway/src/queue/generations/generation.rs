//! One generation: a store in a directory of its own, and what of it counts.
//!
//! # Invariants
//! - A directory without the file `complete` was never used and holds nothing.
//! - Blocks outside `held` do not count: they are of a commit that failed, or were carried to a newer generation.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Instant;

use super::contents::Stored;
use super::keys::{self, BlockKey, Part};
use crate::clock::Stamp;
use crate::queue::block;
use crate::queue::files;
use crate::queue::record::{Log, QueueSeq};
use crate::queue::runs::{Run, Runs};
use crate::queue::store::engines::{self, MARKER};
use crate::queue::store::{Engine, Entries, Store, StoreError, Visit};

/// Whether the path's name is that of a generation.
pub(in crate::queue) fn is_one(path: &Path) -> bool {
    number(path).is_some()
}

/// The number in the name of a generation's directory.
pub(in crate::queue) fn number(path: &Path) -> Option<u32> {
    path.file_name().and_then(|n| n.to_str()).and_then(Generation::number_of)
}

enum State {
    Open(Box<dyn Store>),
    /// Can be opened again.
    Closed,
    /// Deleted, set aside, or replaced by a new look at the same directory.
    Gone,
}

/// What a generation holds of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::queue) struct Held {
    pub(in crate::queue) runs: Runs,
    /// Of its blocks as stored.
    pub(in crate::queue) bytes: u64,
    /// When its newest record was received.
    pub(in crate::queue) newest: Stamp,
}

pub(in crate::queue) struct Generation {
    number: u32,
    dir: PathBuf,
    engine: Arc<dyn Engine>,
    state: RwLock<State>,
    /// Indexed by `Log`.
    held: Mutex<[Held; 2]>,
    opened_at: Instant,
}

impl Generation {
    pub(in crate::queue) fn dir_name(number: u32) -> String {
        format!("gen-{number:08}")
    }

    /// The number in a directory's name.
    pub(in crate::queue) fn number_of(name: &str) -> Option<u32> {
        let number = name.strip_prefix("gen-")?.parse().ok()?;
        (Self::dir_name(number) == name).then_some(number)
    }

    fn is_complete(dir: &Path) -> bool {
        dir.join(MARKER).exists()
    }

    /// Whether what is in the directory counts: a marker may be lost, too.
    pub(in crate::queue) fn counts(dir: &Path, number: u32, newest_in_use: u32) -> bool {
        number <= newest_in_use || Self::is_complete(dir)
    }

    /// Makes an empty one; it counts once [`Generation::complete`] has returned.
    pub(in crate::queue) fn create(engine: &Arc<dyn Engine>, parent: &Path, number: u32) -> Result<Self, StoreError> {
        let generation = Self::new(engine, parent, number, Default::default());
        // What an attempt that failed left behind.
        if generation.dir.exists() {
            files::delete_dir(&generation.dir)?;
        }
        fs::create_dir(&generation.dir).map_err(StoreError::io(&generation.dir))?;
        let store = engine.create(&generation.dir)?;
        *generation.state.write().expect("no panic under the lock") = State::Open(store);
        Ok(generation)
    }

    /// Makes the directory's files and names durable, then the marker, which names the engine.
    pub(in crate::queue) fn complete(&self) -> Result<(), StoreError> {
        files::sync_tree(&self.dir)?;
        engines::mark(&self.dir, self.engine.name()).map_err(StoreError::io(self.dir.join(MARKER)))?;
        files::sync_dir(&self.dir)?;
        files::sync_dir(self.dir.parent().unwrap_or(&self.dir))
    }

    /// One that is there, opened when it is first read.
    pub(in crate::queue) fn existing(engine: &Arc<dyn Engine>, parent: &Path, number: u32, held: [Held; 2]) -> Self {
        Self::new(engine, parent, number, held)
    }

    fn new(engine: &Arc<dyn Engine>, parent: &Path, number: u32, held: [Held; 2]) -> Self {
        Self {
            number,
            dir: parent.join(Self::dir_name(number)),
            engine: engine.clone(),
            state: RwLock::new(State::Closed),
            held: Mutex::new(held),
            opened_at: Instant::now(),
        }
    }

    pub(in crate::queue) fn number(&self) -> u32 {
        self.number
    }

    pub(in crate::queue) fn dir(&self) -> &Path {
        &self.dir
    }

    /// When this process made or found it.
    pub(in crate::queue) fn opened_at(&self) -> Instant {
        self.opened_at
    }

    pub(in crate::queue) fn held(&self) -> [Held; 2] {
        self.lock_held().clone()
    }

    fn lock_held(&self) -> MutexGuard<'_, [Held; 2]> {
        self.held.lock().expect("no panic under the lock")
    }

    pub(in crate::queue) fn end(&self, log: Log) -> Option<QueueSeq> {
        self.lock_held()[log as usize].runs.end()
    }

    /// The first sequence at or after `from` that it holds.
    pub(in crate::queue) fn next_held(&self, log: Log, from: QueueSeq) -> Option<QueueSeq> {
        let held = self.lock_held();
        held[log as usize].runs.iter().find(|r| r.end > from).map(|r| r.first.max(from))
    }

    pub(in crate::queue) fn add(&self, log: Log, run: Run, bytes: usize, newest: Stamp) {
        let held = &mut self.lock_held()[log as usize];
        held.runs.add(run);
        held.bytes += bytes as u64;
        held.newest = newest;
    }

    /// Of older records: they tell its newest one only if it holds no later ones.
    pub(in crate::queue) fn add_carried(&self, log: Log, run: Run, bytes: usize, newest: impl FnOnce() -> Stamp) {
        let held = &mut self.lock_held()[log as usize];
        if held.runs.end().is_none_or(|end| end < run.end) {
            held.newest = newest();
        }
        held.runs.add(run);
        held.bytes += bytes as u64;
    }

    /// From now on this run of it does not count.
    pub(in crate::queue) fn disown(&self, log: Log, run: Run) {
        self.lock_held()[log as usize].runs.remove(run);
    }

    /// Counts what is held from the keys of the blocks themselves.
    pub(in crate::queue) fn scan(&self) -> Result<(), StoreError> {
        for log in Log::ALL {
            let mut held = Held::default();
            // A block counts once all its parts were seen.
            let (mut parts_seen, mut bytes, mut last) = (0, 0, None);
            self.each(&[keys::log_tag(log)], &mut |key, value| {
                let key =
                    BlockKey::parse(key).ok_or_else(|| self.damaged("a block's key does not follow the format"))?;
                (parts_seen, bytes) =
                    if key.part == 0 { (1, value.len()) } else { (parts_seen + 1, bytes + value.len()) };
                if parts_seen == key.parts && key.part + 1 == key.parts {
                    held.runs.add(key.run());
                    held.bytes += bytes as u64;
                    last = Some(key.first);
                }
                Ok(())
            })?;
            if let Some(stored) = last.map(|first| self.read_any(log, first)).transpose()?.flatten() {
                held.newest = block::newest(&stored.bytes).unwrap_or_default();
            }
            self.lock_held()[log as usize] = held;
        }
        Ok(())
    }

    /// Whether this call opened it.
    pub(in crate::queue) fn open(&self) -> Result<bool, StoreError> {
        if matches!(*self.state.read().expect("no panic under the lock"), State::Open(_)) {
            return Ok(false);
        }
        let mut state = self.state.write().expect("no panic under the lock");
        match &*state {
            State::Open(_) => Ok(false),
            State::Gone => Err(StoreError::Closed),
            State::Closed => {
                *state = State::Open(self.engine.open(&self.dir)?);
                Ok(true)
            }
        }
    }

    pub(in crate::queue) fn close(&self) {
        let mut state = self.state.write().expect("no panic under the lock");
        if matches!(*state, State::Open(_)) {
            *state = State::Closed;
        }
    }

    /// Closes it for good; later calls get `Closed`.
    pub(in crate::queue) fn close_for_good(&self) {
        *self.state.write().expect("no panic under the lock") = State::Gone;
    }

    /// Deletes it. The rename comes first, so that a crash leaves a directory that says what it is.
    pub(in crate::queue) fn delete(&self) -> Result<(), StoreError> {
        self.close_for_good();
        files::delete_dir(&self.dir)
    }

    /// Applies the changes at once and makes them durable.
    pub(in crate::queue) fn commit(&self, entries: &Entries) -> Result<(), StoreError> {
        self.with(|store| store.commit(entries))
    }

    /// The block that holds `from`, or the first one after it, of those that count.
    pub(in crate::queue) fn read(&self, log: Log, from: QueueSeq) -> Result<Option<Stored>, StoreError> {
        let Some(from) = self.next_held(log, from) else { return Ok(None) };
        let found = self.read_any(log, from)?;
        Ok(found.filter(|s| self.lock_held()[log as usize].runs.count_within(s.run) > 0))
    }

    fn read_any(&self, log: Log, from: QueueSeq) -> Result<Option<Stored>, StoreError> {
        self.with(|store| {
            let of_log =
                |(key, value): (Vec<u8>, Vec<u8>)| Some((BlockKey::parse(&key).filter(|k| k.log == log)?, value));
            let before = store.last_to(&BlockKey::last(log, from))?.and_then(of_log);
            let found = match before.filter(|(key, _)| key.run().end > from) {
                Some(found) => Some(found),
                None => store.first_from(&BlockKey::last(log, from))?.and_then(of_log),
            };
            let Some((key, value)) = found else { return Ok(None) };
            let mut bytes = Vec::new();
            if key.parts == 1 {
                bytes.extend_from_slice(Part::unchecked_bytes(&value));
            } else {
                store.each(&key.prefix(), &mut |_, value| {
                    bytes.extend_from_slice(Part::unchecked_bytes(value));
                    Ok(())
                })?;
            }
            Ok(Some(Stored { run: key.run(), bytes }))
        })
    }

    /// Calls `f` for every entry under the prefix, in order, as they were at one moment.
    pub(in crate::queue) fn each(&self, prefix: &[u8], f: Visit<'_>) -> Result<(), StoreError> {
        self.with(|store| store.each(prefix, f))
    }

    pub(in crate::queue) fn damaged(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.dir.clone(), reason: reason.into() }
    }

    fn with<T>(&self, mut f: impl FnMut(&dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            if let State::Open(store) = &*self.state.read().expect("no panic under the lock") {
                return f(store.as_ref());
            }
            // May be closed again before it is locked, if others were opened meanwhile: hence the loop.
            self.open()?;
        }
    }
}
