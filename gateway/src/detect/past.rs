//! Where rows of the past lie: beside the queue, which copies what its transactions hold into each new generation.
//!
//! # Invariants
//! - A chunk is sealed once no late reading can touch it. Sealed it never changes, and no other chunk gets its name.
//! - It is durable in the past before the transaction that takes it out of named state. Interrupted between the two it lies
//!   in both with the same bytes, and named state counts.
//! - A chunk leaves the past in the transaction after the one that gave it up: what the stored state needs is there.
//! - All of it can be lost: whoever learns then sees fewer days.
//!
//! # Not here
//! Which chunks are sealed: `rows` decides. Disks: whoever drives the engine has them.

use std::collections::BTreeMap;

use super::state::StateSource;

/// Some rows of one channel: places of device and channel in the named state, and the number of the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkName {
    pub device: u32,
    pub channel: u32,
    pub chunk: u32,
}

/// Chunks of one channel from `from` to before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    pub device: u32,
    pub channel: u32,
    pub from: u32,
    pub until: u32,
}

impl ChunkRange {
    pub fn names(self) -> impl Iterator<Item = ChunkName> {
        let Self { device, channel, from, until } = self;
        (from..until).map(move |chunk| ChunkName { device, channel, chunk })
    }
}

/// Where sealed chunks are read from.
pub trait Past {
    /// `None`: it is not there any more, or not as it was written.
    fn chunk(&self, name: ChunkName) -> Option<Vec<u8>>;
}

/// What is to be durable in the past before the transaction that it comes with, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastChanges {
    /// All that was there goes.
    pub is_cleared: bool,
    /// Nobody needs these any more; some of them may never have been there.
    pub dropped: Vec<ChunkRange>,
    pub sealed: BTreeMap<ChunkName, Vec<u8>>,
}

impl PastChanges {
    pub fn is_empty(&self) -> bool {
        !self.is_cleared && self.dropped.is_empty() && self.sealed.is_empty()
    }
}

/// State and past of whoever has no disk: of archives that are judged, of benchmarks and tests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InMemory {
    pub(super) state: BTreeMap<String, Vec<u8>>,
    pub(super) past: BTreeMap<ChunkName, Vec<u8>>,
}

impl InMemory {
    /// State that was taken from elsewhere, without its past.
    pub fn of_state(state: BTreeMap<String, Vec<u8>>) -> Self {
        Self { state, past: BTreeMap::new() }
    }

    pub fn state(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.state
    }

    pub fn past(&self) -> &BTreeMap<ChunkName, Vec<u8>> {
        &self.past
    }

    /// Takes over what belongs to a transaction.
    pub fn commit(&mut self, state: Vec<(String, Option<Vec<u8>>)>, past: PastChanges) {
        self.keep(past);
        for (key, value) in state {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
    }

    /// What comes before the transaction.
    pub(super) fn keep(&mut self, changes: PastChanges) {
        if changes.is_cleared {
            self.past.clear();
        }
        for name in changes.dropped.into_iter().flat_map(ChunkRange::names) {
            self.past.remove(&name);
        }
        self.past.extend(changes.sealed);
    }
}

impl StateSource for InMemory {
    fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.state.get(key).cloned()
    }
}

impl Past for InMemory {
    fn chunk(&self, name: ChunkName) -> Option<Vec<u8>> {
        self.past.get(&name).cloned()
    }
}
