//! One generation: a sled database in a directory of its own, and the guards that make sled safe to rely on.
//!
//! # Guards for sled 0.34.7
//! - Its `flush` calls `sync_file_range`, which a power cut undoes: `commit` adds an fdatasync of the same file.
//! - Values above its inline limit go to `blobs/`, which it never syncs: values are cut into parts of [`PART_BYTES`],
//!   segments are large, and a commit that finds a file in `blobs/` fails.
//! - It may panic on damaged files: every call into it is caught and becomes an error.
//! - Its timed flush and its compression are off: the queue flushes, and blocks are compressed already.
//!
//! # Keys (big endian, so that they sort)
//!
//! | key | value |
//! |---|---|
//! | `0` or `1` (log), first sequence u64, part u16, parts u16, records u16 | part of a block |
//! | `a`, log u8, consumer | account |
//! | `e`, log u8 | u64: where this generation begins |
//! | `g`, generation u32, log u8, first u64 | u64: end of a run held by that older generation |
//! | `l`, log u8, first u64 | u64: end of a run that was lost |
//! | `s`, name, 0, part u16 | part of a stage's state; part 0 begins with length and CRC-32, u32 each |
//!
//! # Invariants
//! - A directory without the file `complete` was never used and holds nothing.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, RwLock};

use super::files;
use super::record::{Log, QueueSeq};
use super::runs::{Run, Runs};
use super::store::{StoreError, Stored};

/// Longest value: far below sled's inline limit (a quarter of a segment for a whole node of 16 values).
pub(super) const PART_BYTES: usize = 16 * 1024;
/// A whole node of 17 values of [`PART_BYTES`] fits a quarter of it.
const SEGMENT_BYTES: usize = 2 << 20;
/// sled's page cache: blocks are read once and in order. What sled really uses grows with the directory, hence
/// generations.
const CACHE_BYTES: u64 = 1 << 20;
const MARKER: &str = "complete";
/// sled lets go of its lock shortly after the handle is dropped, from a thread of its own: wait this long in all.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

#[derive(Debug)]
struct Handle {
    db: sled::Db,
    /// Our own descriptor of sled's file, to sync and to measure.
    file: File,
}

#[derive(Debug)]
enum State {
    Open(Handle),
    /// Can be opened again.
    Closed,
    /// Deleted, or the store is closed.
    Gone,
}

#[derive(Debug)]
pub(super) struct Generation {
    number: u32,
    dir: PathBuf,
    state: RwLock<State>,
    /// Held while a batch is applied, so that a value of several parts is not read half old, half new.
    applying: RwLock<()>,
    /// What it holds, indexed by `Log`.
    runs: Mutex<[Runs; 2]>,
}

impl Generation {
    pub(super) fn dir_name(number: u32) -> String {
        format!("gen-{number:08}")
    }

    /// The number in a directory's name.
    pub(super) fn number_of(name: &str) -> Option<u32> {
        let number = name.strip_prefix("gen-")?.parse().ok()?;
        (Self::dir_name(number) == name).then_some(number)
    }

    pub(super) fn is_complete(dir: &Path) -> bool {
        dir.join(MARKER).exists()
    }

    /// Makes an empty one; it counts once [`Generation::complete`] has returned.
    pub(super) fn create(parent: &Path, number: u32) -> Result<Self, StoreError> {
        let dir = parent.join(Self::dir_name(number));
        fs::create_dir(&dir).map_err(StoreError::io(&dir))?;
        let generation = Self::new(dir, number, Default::default());
        generation.open()?;
        Ok(generation)
    }

    /// Makes the directory's files and names durable, then the marker.
    pub(super) fn complete(&self) -> Result<(), StoreError> {
        files::sync_tree(&self.dir)?;
        let marker = self.dir.join(MARKER);
        File::create(&marker).and_then(|f| f.sync_all()).map_err(StoreError::io(&marker))?;
        files::sync_dir(&self.dir)?;
        files::sync_dir(self.dir.parent().unwrap_or(&self.dir))
    }

    /// An older one, opened when it is first read.
    pub(super) fn sealed(parent: &Path, number: u32, runs: [Runs; 2]) -> Self {
        Self::new(parent.join(Self::dir_name(number)), number, runs)
    }

    fn new(dir: PathBuf, number: u32, runs: [Runs; 2]) -> Self {
        Self { number, dir, state: RwLock::new(State::Closed), applying: RwLock::default(), runs: Mutex::new(runs) }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn runs(&self) -> [Runs; 2] {
        self.runs.lock().expect("no panic under the lock").clone()
    }

    pub(super) fn end(&self, log: Log) -> Option<QueueSeq> {
        self.runs.lock().expect("no panic under the lock")[log as usize].end()
    }

    pub(super) fn add_run(&self, log: Log, run: Run) {
        self.runs.lock().expect("no panic under the lock")[log as usize].add(run);
    }

    /// Counts what is held from the keys of the blocks themselves.
    pub(super) fn scan(&self) -> Result<(), StoreError> {
        for log in Log::ALL {
            let mut runs = Runs::default();
            // A block counts once all its parts were seen.
            let mut parts_seen = 0;
            self.each([log_tag(log)].as_slice(), |key, _| {
                let key =
                    BlockKey::parse(key).ok_or_else(|| self.damaged("a block's key does not follow the format"))?;
                parts_seen = if key.part == 0 { 1 } else { parts_seen + 1 };
                if parts_seen == key.parts && key.part + 1 == key.parts {
                    runs.add(key.run());
                }
                Ok(())
            })?;
            self.runs.lock().expect("no panic under the lock")[log as usize] = runs;
        }
        Ok(())
    }

    /// Whether this call opened it.
    pub(super) fn open(&self) -> Result<bool, StoreError> {
        if matches!(*self.state.read().expect("no panic under the lock"), State::Open(_)) {
            return Ok(false);
        }
        let mut state = self.state.write().expect("no panic under the lock");
        match &*state {
            State::Open(_) => Ok(false),
            State::Gone => Err(StoreError::Closed),
            State::Closed => {
                let db = self.open_sled()?;
                let path = self.db_file();
                let file = File::options().read(true).write(true).open(&path).map_err(StoreError::io(path))?;
                *state = State::Open(Handle { db, file });
                Ok(true)
            }
        }
    }

    fn open_sled(&self) -> Result<sled::Db, StoreError> {
        let config = sled::Config::new()
            .path(&self.dir)
            .flush_every_ms(None)
            .use_compression(false)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES);
        for _ in 1..LOCK_ATTEMPTS {
            match self.caught(|| config.open()) {
                Err(StoreError::Engine { reason, .. }) if reason.contains("could not acquire lock") => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                other => return other,
            }
        }
        self.caught(|| config.open())
    }

    pub(super) fn close(&self) {
        let mut state = self.state.write().expect("no panic under the lock");
        if matches!(*state, State::Open(_)) {
            *state = State::Closed;
        }
    }

    /// Closes it for good; later calls get `Closed`.
    pub(super) fn close_for_good(&self) {
        *self.state.write().expect("no panic under the lock") = State::Gone;
    }

    /// Deletes it. The rename comes first, so that a crash leaves a directory that says what it is.
    pub(super) fn delete(&self) -> Result<(), StoreError> {
        self.close_for_good();
        files::delete_dir(&self.dir)
    }

    /// Size of sled's file.
    pub(super) fn size_bytes(&self) -> Result<u64, StoreError> {
        self.with(|h| h.file.metadata().map(|m| m.len()).map_err(StoreError::io(self.db_file())))
    }

    /// Applies the batch at once and makes it durable.
    pub(super) fn commit(&self, batch: sled::Batch) -> Result<(), StoreError> {
        self.with(|h| {
            {
                let _applying = self.applying.write().expect("no panic under the lock");
                self.caught(|| h.db.apply_batch(batch))?;
            }
            self.caught(|| h.db.flush())?;
            h.file.sync_data().map_err(StoreError::io(self.db_file()))?;
            self.check_blobs()
        })
    }

    fn check_blobs(&self) -> Result<(), StoreError> {
        let dir = self.dir.join("blobs");
        match fs::read_dir(&dir).map_err(StoreError::io(&dir))?.next() {
            None => Ok(()),
            Some(_) => Err(StoreError::Engine {
                path: dir,
                reason: "sled put a value into a blob, which it never syncs".into(),
            }),
        }
    }

    /// The block that holds `from`, or the first one after it.
    pub(super) fn read(&self, log: Log, from: QueueSeq) -> Result<Option<Stored>, StoreError> {
        self.with(|h| {
            let before = self.caught(|| h.db.range(..=BlockKey::last(log, from)).next_back().transpose())?;
            let before = before.and_then(|(key, value)| Some((BlockKey::parse_in(log, &key)?, value)));
            let found = match before.filter(|(key, _)| key.run().end > from) {
                Some(found) => Some(found),
                None => {
                    let after = self.caught(|| h.db.range(BlockKey::last(log, from)..).next().transpose())?;
                    after.and_then(|(key, value)| Some((BlockKey::parse_in(log, &key)?, value)))
                }
            };
            let Some((key, value)) = found else { return Ok(None) };
            if key.parts == 1 {
                return Ok(Some(Stored { run: key.run(), bytes: value.to_vec() }));
            }
            let parts = h.db.scan_prefix(key.prefix()).map(|item| item.map(|(_, value)| value));
            let parts = self.caught(|| parts.collect::<sled::Result<Vec<_>>>())?;
            Ok(Some(Stored { run: key.run(), bytes: parts.concat() }))
        })
    }

    /// Calls `f` for every entry under the prefix, in order.
    pub(super) fn each(
        &self,
        prefix: &[u8],
        mut f: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.with(|h| {
            let mut items = h.db.scan_prefix(prefix);
            while let Some((key, value)) = self.caught(|| items.next().transpose())? {
                f(&key, &value)?;
            }
            Ok(())
        })
    }

    /// As `each`, but no batch is applied meanwhile.
    pub(super) fn each_at_rest(
        &self,
        prefix: &[u8],
        f: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _at_rest = self.applying.read().expect("no panic under the lock");
        self.each(prefix, f)
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.dir.clone(), reason: reason.into() }
    }

    fn with<T>(&self, f: impl FnOnce(&Handle) -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            if let State::Open(handle) = &*self.state.read().expect("no panic under the lock") {
                return f(handle);
            }
            // May be closed again before it is locked, if others were opened meanwhile: hence the loop.
            self.open()?;
        }
    }

    fn caught<T>(&self, f: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        let engine = |reason| StoreError::Engine { path: self.dir.clone(), reason };
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(result) => result.map_err(|e| engine(e.to_string())),
            Err(_) => Err(engine("sled panicked, see its message above; the directory is damaged".into())),
        }
    }

    fn db_file(&self) -> PathBuf {
        self.dir.join("db")
    }
}

pub(super) fn log_tag(log: Log) -> u8 {
    b'0' + log as u8
}

/// Key of one part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockKey {
    pub(super) log: Log,
    pub(super) first: QueueSeq,
    pub(super) part: u16,
    pub(super) parts: u16,
    pub(super) records: u16,
}

impl BlockKey {
    const BYTES: usize = 1 + 8 + 2 + 2 + 2;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut key = [0; Self::BYTES];
        key[..9].copy_from_slice(&self.prefix());
        key[9..11].copy_from_slice(&self.part.to_be_bytes());
        key[11..13].copy_from_slice(&self.parts.to_be_bytes());
        key[13..].copy_from_slice(&self.records.to_be_bytes());
        key
    }

    fn parse(key: &[u8]) -> Option<Self> {
        let key: &[u8; Self::BYTES] = key.try_into().ok()?;
        let half = |at: usize| u16::from_be_bytes([key[at], key[at + 1]]);
        Some(Self {
            log: Log::ALL.into_iter().find(|l| log_tag(*l) == key[0])?,
            first: QueueSeq(u64::from_be_bytes(key[1..9].try_into().ok()?)),
            part: half(9),
            parts: half(11),
            records: half(13),
        })
    }

    fn parse_in(log: Log, key: &[u8]) -> Option<Self> {
        Self::parse(key).filter(|key| key.log == log)
    }

    fn run(self) -> Run {
        Run::new(self.first, self.first.plus(self.records.into()))
    }

    /// Of all parts of the block.
    fn prefix(self) -> [u8; 9] {
        let mut key = [log_tag(self.log); 9];
        key[1..].copy_from_slice(&self.first.0.to_be_bytes());
        key
    }

    /// Sorts after all parts of a block that begins at `first`.
    fn last(log: Log, first: QueueSeq) -> [u8; Self::BYTES] {
        Self { log, first, part: u16::MAX, parts: u16::MAX, records: u16::MAX }.to_bytes()
    }
}
