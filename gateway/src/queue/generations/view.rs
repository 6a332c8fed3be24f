//! The reading half of the generations, for many threads, also while a commit is under way.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use super::SEALED_OPEN_MAX;
use super::contents::Stored;
use super::generation::{Generation, Held};
use super::keys;
use crate::queue::files;
use crate::queue::record::{Log, QueueSeq};
use crate::queue::store::{Engine, StoreError};

const STATE_HEAD_BYTES: usize = 8;

/// What the writing and the reading half share.
pub(in crate::queue) struct Shared {
    pub(in crate::queue) dir: PathBuf,
    pub(in crate::queue) engine: Arc<dyn Engine>,
    /// Oldest first; the last one is written. None while the writer looks at the directory anew.
    generations: RwLock<Vec<Arc<Generation>>>,
    sealed_open: Mutex<VecDeque<Arc<Generation>>>,
    closed: AtomicBool,
}

impl Shared {
    pub(in crate::queue) fn new(dir: &Path, engine: Arc<dyn Engine>) -> Self {
        Self {
            dir: dir.to_owned(),
            engine,
            generations: RwLock::default(),
            sealed_open: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    pub(in crate::queue) fn all(&self) -> Vec<Arc<Generation>> {
        self.generations.read().expect("no panic under the lock").clone()
    }

    pub(in crate::queue) fn numbers(&self) -> Vec<u32> {
        self.all().iter().map(|g| g.number()).collect()
    }

    /// The oldest sequences held.
    pub(in crate::queue) fn oldest(&self) -> [Option<QueueSeq>; 2] {
        Log::ALL.map(|log| self.all().iter().filter_map(|g| g.next_held(log, QueueSeq(0))).min())
    }

    pub(in crate::queue) fn newest(&self) -> Result<Arc<Generation>, StoreError> {
        self.generations.read().expect("no panic under the lock").last().cloned().ok_or(StoreError::Closed)
    }

    pub(in crate::queue) fn sealed(&self) -> Vec<Arc<Generation>> {
        let mut all = self.all();
        all.pop();
        all
    }

    pub(in crate::queue) fn push(&self, generation: Arc<Generation>) {
        self.generations.write().expect("no panic under the lock").push(generation);
    }

    /// Takes these in place of those that were there, which are closed for good.
    pub(in crate::queue) fn replace(&self, generations: Vec<Arc<Generation>>) {
        let before = std::mem::replace(&mut *self.generations.write().expect("no panic under the lock"), generations);
        self.sealed_open.lock().expect("no panic under the lock").clear();
        before.iter().for_each(|g| g.close_for_good());
    }

    pub(in crate::queue) fn take_oldest(&self, count: usize) -> Vec<Arc<Generation>> {
        let taken: Vec<_> = self.generations.write().expect("no panic under the lock").drain(..count).collect();
        taken.iter().for_each(|g| self.forget_open(g.number()));
        taken
    }

    pub(in crate::queue) fn take(&self, number: u32) -> Option<Arc<Generation>> {
        let mut generations = self.generations.write().expect("no panic under the lock");
        let at = generations.iter().position(|g| g.number() == number)?;
        self.forget_open(number);
        Some(generations.remove(at))
    }

    fn forget_open(&self, number: u32) {
        self.sealed_open.lock().expect("no panic under the lock").retain(|g| g.number() != number);
    }

    pub(in crate::queue) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.replace(Vec::new());
    }

    /// Notes that an older generation was opened, and closes the one that has been open longest.
    fn keep_open(&self, generation: Arc<Generation>) {
        let mut open = self.sealed_open.lock().expect("no panic under the lock");
        open.push_back(generation);
        let surplus = open.len().saturating_sub(SEALED_OPEN_MAX);
        let surplus: Vec<_> = open.drain(..surplus).collect();
        drop(open);
        surplus.iter().for_each(|g| g.close());
    }

    /// The generation that holds `from` or the first record after it, and whether it is an older one.
    fn generation_for(&self, log: Log, from: QueueSeq) -> Option<(Arc<Generation>, bool)> {
        let generations = self.generations.read().expect("no panic under the lock");
        let next = |g: &Arc<Generation>| g.next_held(log, from);
        let (at, _) =
            generations.iter().enumerate().filter_map(|(i, g)| Some((i, next(g)?))).min_by_key(|(_, n)| *n)?;
        Some((generations[at].clone(), at + 1 < generations.len()))
    }
}

/// Cheap to clone. Refuses once the writing half is dropped.
#[derive(Clone)]
pub(in crate::queue) struct View {
    shared: Arc<Shared>,
}

/// What is known of an older generation without opening it.
#[derive(Clone, Debug)]
pub(in crate::queue) struct Sealed {
    pub(in crate::queue) number: u32,
    /// Indexed by `Log`.
    pub(in crate::queue) held: [Held; 2],
}

/// What a look at one place gave.
#[derive(Debug)]
pub(in crate::queue) enum Seen {
    Block(Stored),
    /// The queue holds nothing at or after the place, or is just looking at its directory anew.
    Nothing,
    /// That generation cannot be read; the writer has to set it aside.
    Unreadable {
        generation: u32,
        error: StoreError,
    },
}

impl View {
    pub(in crate::queue) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The block that holds `from`, or the first one after it.
    pub(in crate::queue) fn read(&self, log: Log, from: QueueSeq) -> Result<Seen, StoreError> {
        let mut at = from;
        while let Some((generation, is_sealed)) = self.shared.generation_for(log, at) {
            match self.read_in(&generation, is_sealed, log, at) {
                Ok(Some(stored)) => return Ok(Seen::Block(stored)),
                // It does not hold what it should: the caller sees the hole, what follows is in the next one.
                Ok(None) => at = generation.end(log).unwrap_or(at).max(at.plus(1)),
                // Deleted or set aside since: the next look finds another one, or none.
                Err(StoreError::Closed) if !self.shared.closed.load(Ordering::Acquire) => {
                    let still = self.shared.generation_for(log, at);
                    if still.is_some_and(|(now, _)| Arc::ptr_eq(&now, &generation)) {
                        return Ok(Seen::Nothing);
                    }
                }
                Err(error) if error.is_damage() => {
                    return Ok(Seen::Unreadable { generation: generation.number(), error });
                }
                Err(error) => return Err(error),
            }
        }
        if self.shared.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(Seen::Nothing) }
    }

    fn read_in(
        &self,
        generation: &Arc<Generation>,
        is_sealed: bool,
        log: Log,
        from: QueueSeq,
    ) -> Result<Option<Stored>, StoreError> {
        if generation.open()? && is_sealed {
            self.shared.keep_open(generation.clone());
        }
        generation.read(log, from)
    }

    /// The older generations, oldest first.
    pub(in crate::queue) fn sealed(&self) -> Vec<Sealed> {
        self.shared.sealed().iter().map(|g| Sealed { number: g.number(), held: g.held() }).collect()
    }

    pub(in crate::queue) fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        state(&*self.shared.newest()?, name)
    }

    /// Those whose name begins with `prefix`.
    pub(in crate::queue) fn states(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let newest = self.shared.newest()?;
        let mut names: Vec<String> = Vec::new();
        newest.each(&[&[keys::STATE], prefix.as_bytes()].concat(), &mut |key, _| {
            if let Some(name) = keys::parse_state(key)
                && names.last().is_none_or(|last| last != name)
            {
                names.push(name.to_owned());
            }
            Ok(())
        })?;
        let mut states = Vec::with_capacity(names.len());
        for name in names {
            // It may have been deleted since.
            if let Some(value) = state(&newest, &name)? {
                states.push((name, value));
            }
        }
        Ok(states)
    }

    /// Measured on disk.
    pub(in crate::queue) fn disk_bytes(&self) -> Result<u64, StoreError> {
        files::disk_bytes(&self.shared.dir)
    }
}

/// Named state in the newest generation.
pub(in crate::queue) fn state(newest: &Generation, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut bytes = Vec::new();
    newest.each(&keys::state_prefix(name), &mut |_, part| {
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

pub(in crate::queue) fn state_head(value: &[u8]) -> [u8; STATE_HEAD_BYTES] {
    let mut head = [0; STATE_HEAD_BYTES];
    head[..4].copy_from_slice(&(value.len() as u32).to_be_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(value).to_be_bytes());
    head
}
