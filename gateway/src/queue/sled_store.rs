//! The store on sled: generations one after the other, the newest written, the older ones read and then deleted.
//!
//! # Invariants
//! - All of a commit goes into the newest generation as one batch on one tree: sled makes that atomic.
//! - The newest generation knows everything that is not a block: accounts, state, losses, and which runs the older
//!   generations hold. So only it is read at open, and a vanished older one is noticed.
//! - Generations are deleted from the oldest on, after the note of it in the newest is durable.
//! - At most [`SEALED_OPEN_MAX`] older ones are open at a time: sled's memory grows with what is open.
//!
//! # Flow
//! ```text
//! commit ─▶ newest ≥ limit? ─yes─▶ make the next one: copy the rest, sync, mark complete ─▶ one batch, flush, fdatasync
//! ```

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use super::cursor::Account;
use super::files;
use super::generation::{BlockKey, Generation, PART_BYTES};
use super::record::{Log, QueueSeq};
use super::runs::{Run, Runs};
use super::store::{Batch, Contents, Store, StoreError, Stored, View};

/// Older generations open for reading at a time.
const SEALED_OPEN_MAX: usize = 2;
/// A new generation is filled in steps of this, so that a large state does not have to fit into memory twice.
const COPY_BYTES_MAX: usize = 1 << 20;
/// Tags of the entries that a new generation takes over.
const CARRIED: [u8; 4] = [b'a', b'g', b'l', b's'];

pub(super) struct SledStore {
    generation_max_bytes: u64,
    /// Where the next records go.
    end: [QueueSeq; 2],
    shared: Arc<Shared>,
}

/// What the writing and the reading half share.
struct Shared {
    dir: PathBuf,
    /// Oldest first; the last one is written, and there always is one.
    generations: RwLock<Vec<Arc<Generation>>>,
    sealed_open: Mutex<VecDeque<Arc<Generation>>>,
}

impl SledStore {
    /// Opens what is in `dir`, which exists and is locked; deletes leftovers.
    pub(super) fn open(dir: &Path, generation_max_bytes: u64) -> Result<(Self, Contents), StoreError> {
        let numbers = purge_leftovers(dir)?;
        let newest = match numbers.last() {
            Some(number) => {
                let newest = Generation::sealed(dir, *number, Default::default());
                newest.scan()?;
                newest
            }
            None => {
                let first = Generation::create(dir, 1)?;
                first.commit(note_ends([QueueSeq(0); 2]))?;
                first.complete()?;
                first
            }
        };
        let (contents, older) = contents(&newest, &numbers)?;
        let mut generations = Vec::new();
        for number in numbers.iter().copied().filter(|n| *n != newest.number()) {
            let sealed = |runs: &[Runs; 2]| Arc::new(Generation::sealed(dir, number, runs.clone()));
            match older.iter().find(|(n, _)| *n == number) {
                Some((_, runs)) => generations.push(sealed(runs)),
                // Its end was noted, its deletion was not finished.
                None => files::delete_dir(&dir.join(Generation::dir_name(number)))?,
            }
        }
        generations.push(Arc::new(newest));
        let shared =
            Shared { dir: dir.to_owned(), generations: RwLock::new(generations), sealed_open: Mutex::default() };
        Ok((Self { generation_max_bytes, end: contents.end, shared: Arc::new(shared) }, contents))
    }

    fn newest(&self) -> Arc<Generation> {
        let generations = self.shared.generations.read().expect("no panic under the lock");
        generations.last().cloned().expect("there always is a newest generation")
    }

    /// Begins a generation that knows all that the one before knew.
    fn roll(&mut self) -> Result<Arc<Generation>, StoreError> {
        let before = self.newest();
        let next = Generation::create(&self.shared.dir, before.number() + 1)?;
        let (mut batch, mut bytes) = (note_ends(self.end), 0);
        for tag in CARRIED {
            before.each(&[tag], |key, value| {
                batch.insert(key, value);
                bytes += key.len() + value.len();
                if bytes >= COPY_BYTES_MAX {
                    bytes = 0;
                    next.commit(std::mem::take(&mut batch))?;
                }
                Ok(())
            })?;
        }
        for (log, runs) in Log::ALL.into_iter().zip(before.runs()) {
            for run in runs.iter() {
                batch.insert(run_key(before.number(), log, run.first), run.end.0.to_be_bytes().to_vec());
            }
        }
        next.commit(batch)?;
        next.complete()?;
        let next = Arc::new(next);
        self.shared.generations.write().expect("no panic under the lock").push(next.clone());
        // Readers who keep up live on the cache; one who lags opens it again.
        before.close();
        tracing::debug!(generation = next.number(), "Queue began a new generation.");
        Ok(next)
    }
}

impl Store for SledStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut newest = self.newest();
        if newest.size_bytes()? >= self.generation_max_bytes {
            newest = self.roll()?;
        }
        let mut entries = sled::Batch::default();
        for block in &batch.blocks {
            insert_block(&mut entries, block.body.log, block.body.first, block.body.records, &block.stored);
        }
        for (name, log, account) in &batch.accounts {
            entries.insert([&[b'a', *log as u8], name.as_bytes()].concat(), account.to_bytes());
        }
        for (log, run) in &batch.lost {
            entries.insert(lost_key(*log, run.first), run.end.0.to_be_bytes().to_vec());
        }
        for (name, value) in &batch.state {
            replace_state(&newest, &mut entries, name, value.as_deref())?;
        }
        newest.commit(entries)?;
        for block in &batch.blocks {
            let (log, end) = (block.body.log, block.body.end());
            newest.add_run(log, Run::new(block.body.first, end));
            self.end[log as usize] = end;
        }
        Ok(())
    }

    fn release(&mut self, keep_from: [QueueSeq; 2]) -> Result<Vec<(Log, Run)>, StoreError> {
        let generations = self.shared.generations.read().expect("no panic under the lock").clone();
        let drained = |g: &&Arc<Generation>| Log::ALL.iter().all(|log| g.end(*log) <= Some(keep_from[*log as usize]));
        let (newest, older) = generations.split_last().expect("there always is a newest generation");
        let drained: Vec<_> = older.iter().take_while(drained).cloned().collect();
        if drained.is_empty() {
            return Ok(Vec::new());
        }
        let mut note = sled::Batch::default();
        let mut released = Vec::new();
        for generation in &drained {
            for (log, runs) in Log::ALL.into_iter().zip(generation.runs()) {
                for run in runs.iter() {
                    note.remove(run_key(generation.number(), log, run.first).as_slice());
                    released.push((log, run));
                }
            }
        }
        newest.commit(note)?;
        self.shared.generations.write().expect("no panic under the lock").drain(..drained.len());
        self.shared
            .sealed_open
            .lock()
            .expect("no panic under the lock")
            .retain(|g| g.number() > drained[drained.len() - 1].number());
        for generation in drained {
            generation.delete()?;
            tracing::debug!(generation = generation.number(), "Queue deleted a drained generation.");
        }
        Ok(released)
    }

    fn view(&self) -> Arc<dyn View> {
        self.shared.clone()
    }
}

impl Drop for SledStore {
    /// Readers may outlive the store; the directory is free all the same.
    fn drop(&mut self) {
        for generation in self.shared.generations.read().expect("no panic under the lock").iter() {
            generation.close_for_good();
        }
    }
}

impl Shared {
    /// Opens an older generation and closes the one that has been open longest.
    fn keep_open(&self, generation: Arc<Generation>) {
        let mut open = self.sealed_open.lock().expect("no panic under the lock");
        open.push_back(generation);
        let surplus = open.len().saturating_sub(SEALED_OPEN_MAX);
        let surplus: Vec<_> = open.drain(..surplus).collect();
        drop(open);
        surplus.iter().for_each(|g| g.close());
    }

    fn generation_for(&self, log: Log, from: QueueSeq) -> Option<Arc<Generation>> {
        let generations = self.generations.read().expect("no panic under the lock");
        generations.iter().find(|g| g.end(log) > Some(from)).cloned()
    }
}

impl View for Shared {
    fn read(&self, log: Log, from: QueueSeq) -> Result<Option<Stored>, StoreError> {
        let mut at = from;
        while let Some(generation) = self.generation_for(log, at) {
            if generation.open()? {
                self.keep_open(generation.clone());
            }
            if let Some(stored) = generation.read(log, at)? {
                return Ok(Some(stored));
            }
            // It does not hold what it should: the caller sees the hole, what follows is in the next one.
            at = generation.end(log).unwrap_or(at).max(at.plus(1));
        }
        Ok(None)
    }

    fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let newest = self.generations.read().expect("no panic under the lock").last().cloned();
        let newest = newest.ok_or(StoreError::Closed)?;
        let mut bytes = Vec::new();
        newest.each_at_rest(&state_prefix(name), |_, part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let damaged = || newest.damaged(format!("state `{name}` is not as it was written"));
        let (head, value) = bytes.split_at_checked(STATE_HEAD_BYTES).ok_or_else(damaged)?;
        if head != state_head(value) {
            return Err(damaged());
        }
        Ok(Some(value.to_vec()))
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        files::disk_bytes(&self.dir)
    }
}

/// Deletes dead and half-made directories; gives the numbers of the complete generations, ascending.
fn purge_leftovers(dir: &Path) -> Result<Vec<u32>, StoreError> {
    let name = |path: &Path| path.file_name().and_then(|n| n.to_str()).map(str::to_owned).unwrap_or_default();
    let (dead, alive): (Vec<_>, Vec<_>) =
        files::entries(dir)?.into_iter().partition(|path| name(path).ends_with(files::DEAD_SUFFIX));
    // First, for the half-made ones may need their names.
    for path in dead {
        std::fs::remove_dir_all(&path).map_err(StoreError::io(path))?;
    }
    let mut numbers = Vec::new();
    for path in alive {
        let Some(number) = Generation::number_of(&name(&path)) else { continue };
        if Generation::is_complete(&path) {
            numbers.push(number);
        } else {
            files::delete_dir(&path)?;
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

type OlderRuns = Vec<(u32, [Runs; 2])>;

/// What the newest generation says about all, and the runs of the older ones that are there.
fn contents(newest: &Generation, present: &[u32]) -> Result<(Contents, OlderRuns), StoreError> {
    let bad_key = || newest.damaged("a key does not follow the format");
    let mut contents = Contents { held: newest.runs(), ..Contents::default() };
    let (mut older, mut vanished) = (OlderRuns::new(), <[Runs; 2]>::default());
    newest.each(b"g", |key, value| {
        let (number, log, run) = parse_run_key(key, value).ok_or_else(bad_key)?;
        if !present.contains(&number) {
            vanished[log as usize].add(run);
            return Ok(());
        }
        contents.held[log as usize].add(run);
        if older.last().is_none_or(|(n, _)| *n != number) {
            older.push((number, Default::default()));
        }
        if let Some((_, runs)) = older.last_mut() {
            runs[log as usize].add(run);
        }
        Ok(())
    })?;
    newest.each(b"l", |key, value| {
        let (log, run) = parse_lost_key(key, value).ok_or_else(bad_key)?;
        contents.lost_before[log as usize].add(run);
        Ok(())
    })?;
    newest.each(b"a", |key, value| {
        let log = key.get(1).and_then(|b| log_of(*b)).ok_or_else(bad_key)?;
        let name = std::str::from_utf8(&key[2..]).map_err(|_| bad_key())?;
        let account = Account::from_bytes(value).ok_or_else(|| newest.damaged("an account has the wrong length"))?;
        contents.accounts.push((name.to_owned(), log, account));
        Ok(())
    })?;
    newest.each(b"e", |key, value| {
        let log = key.get(1).and_then(|b| log_of(*b)).ok_or_else(bad_key)?;
        contents.end[log as usize] = be_u64(value).map(QueueSeq).ok_or_else(bad_key)?;
        Ok(())
    })?;
    for log in Log::ALL.map(|l| l as usize) {
        let begin = contents.end[log];
        contents.end[log] = begin.max(contents.held[log].end().unwrap_or_default());
        // From the oldest held to the end, what is neither held nor known to be lost is lost; so is a vanished generation.
        let mut missing = std::mem::take(&mut vanished[log]);
        missing.add(Run::new(contents.held[log].first().unwrap_or(begin), contents.end[log]));
        contents.held[log].iter().chain(contents.lost_before[log].iter()).for_each(|run| missing.remove(run));
        contents.lost[log] = missing;
    }
    Ok((contents, older))
}

fn note_ends(end: [QueueSeq; 2]) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for log in Log::ALL {
        batch.insert(&[b'e', log as u8], &end[log as usize].0.to_be_bytes());
    }
    batch
}

fn insert_block(batch: &mut sled::Batch, log: Log, first: QueueSeq, records: u16, bytes: &[u8]) {
    let parts = bytes.len().div_ceil(PART_BYTES);
    let parts = u16::try_from(parts).expect("the longest block has some 80 parts");
    for (part, bytes) in (0..parts).zip(bytes.chunks(PART_BYTES)) {
        batch.insert(&BlockKey { log, first, part, parts, records }.to_bytes(), bytes);
    }
}

const STATE_HEAD_BYTES: usize = 8;

fn state_head(value: &[u8]) -> [u8; STATE_HEAD_BYTES] {
    let mut head = [0; STATE_HEAD_BYTES];
    head[..4].copy_from_slice(&(value.len() as u32).to_be_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(value).to_be_bytes());
    head
}

/// Names hold no zero byte: the queue refuses them.
fn state_prefix(name: &str) -> Vec<u8> {
    [b"s", name.as_bytes(), &[0]].concat()
}

fn replace_state(
    newest: &Generation,
    batch: &mut sled::Batch,
    name: &str,
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    let prefix = state_prefix(name);
    newest.each(&prefix, |key, _| {
        batch.remove(key);
        Ok(())
    })?;
    let Some(value) = value else { return Ok(()) };
    let bytes = [&state_head(value), value].concat();
    for (part, bytes) in (0u16..).zip(bytes.chunks(PART_BYTES)) {
        batch.insert([&prefix, part.to_be_bytes().as_slice()].concat(), bytes);
    }
    Ok(())
}

fn lost_key(log: Log, first: QueueSeq) -> Vec<u8> {
    [&[b'l', log as u8], first.0.to_be_bytes().as_slice()].concat()
}

fn parse_lost_key(key: &[u8], value: &[u8]) -> Option<(Log, Run)> {
    Some((log_of(*key.get(1)?)?, Run::new(QueueSeq(be_u64(&key[2..])?), QueueSeq(be_u64(value)?))))
}

fn run_key(generation: u32, log: Log, first: QueueSeq) -> Vec<u8> {
    [b"g", generation.to_be_bytes().as_slice(), &[log as u8], &first.0.to_be_bytes()].concat()
}

fn parse_run_key(key: &[u8], value: &[u8]) -> Option<(u32, Log, Run)> {
    let number = u32::from_be_bytes(key.get(1..5)?.try_into().ok()?);
    let run = Run::new(QueueSeq(be_u64(key.get(6..)?)?), QueueSeq(be_u64(value)?));
    Some((number, log_of(*key.get(5)?)?, run))
}

fn log_of(byte: u8) -> Option<Log> {
    Log::ALL.into_iter().find(|l| *l as u8 == byte)
}

fn be_u64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}
