//! Which files are in, and how far those are that are not: named state of the queue. Pure.
//!
//! # What
//! - `csv.done.NN`: a page of identities of files that were imported completely. 64 pages of 64 make a ring, so that the
//!   end of a file writes 2 KB and not all of it.
//! - `csv.progress.NN`: how far an import is. There are as many as imports under way, and a few that were given up.
//!
//! # Invariants
//! - What is written goes into the transaction that holds the rows: both become durable, or neither.
//! - Bounded: the newest 4 033 to 4 096 identities, and [`PROGRESS_MAX`] imports that have not ended.
//! - Value that cannot be read counts as absent and is told: its files would be imported again.

use std::collections::{BTreeMap, HashSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::convert::Progress;

/// What makes a file the same file: its bytes, and what the mapping makes of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Identity(pub(super) [u8; 32]);

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A change of named state, for a transaction.
pub(super) type StateChange = (String, Option<Vec<u8>>);

const PAGES: u64 = 64;
const PAGE_ENTRIES: usize = 64;
/// Imports that have begun and not ended; beyond it the one that was idle longest is forgotten.
const PROGRESS_MAX: usize = 64;
const VERSION: u8 = 1;

/// One page of the ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    /// Pages begun before it.
    number: u64,
    done: Vec<Identity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    identity: Identity,
    /// Grows with each write: the least one was idle longest.
    touched: u64,
    progress: Progress,
}

#[derive(Debug, Default)]
pub(super) struct Register {
    /// By their place in the ring.
    pages: BTreeMap<u64, Page>,
    newest: u64,
    done: HashSet<Identity>,
    /// By slot.
    progress: BTreeMap<usize, Entry>,
    touched: u64,
}

impl Register {
    /// Reads the register from the store; second: what of it cannot be read.
    ///
    /// # Errors
    /// Those of `state`.
    pub(super) fn load<E>(state: impl Fn(&str) -> Result<Option<Vec<u8>>, E>) -> Result<(Self, Vec<String>), E> {
        let (mut register, mut damaged) = (Self::default(), Vec::new());
        for place in 0..PAGES {
            let name = page_name(place);
            let Some(bytes) = state(&name)? else { continue };
            match decode::<Page>(&bytes).filter(|page| page.number % PAGES == place) {
                Some(page) => {
                    register.newest = register.newest.max(page.number);
                    register.done.extend(&page.done);
                    register.pages.insert(place, page);
                }
                None => damaged.push(name),
            }
        }
        for slot in 0..PROGRESS_MAX {
            let name = progress_name(slot);
            let Some(bytes) = state(&name)? else { continue };
            match decode::<Entry>(&bytes) {
                Some(entry) => {
                    register.touched = register.touched.max(entry.touched);
                    register.progress.insert(slot, entry);
                }
                None => damaged.push(name),
            }
        }
        Ok((register, damaged))
    }

    pub(super) fn is_done(&self, identity: &Identity) -> bool {
        self.done.contains(identity)
    }

    pub(super) fn progress(&self, identity: &Identity) -> Option<&Progress> {
        self.progress.values().find(|entry| entry.identity == *identity).map(|entry| &entry.progress)
    }

    /// The import is that far with the transaction at hand.
    pub(super) fn advance(&mut self, identity: Identity, progress: Progress) -> StateChange {
        let known = self.slot_of(&identity);
        let free = || (0..PROGRESS_MAX).find(|slot| !self.progress.contains_key(slot));
        let idle = || self.progress.iter().min_by_key(|(_, entry)| entry.touched).map(|(slot, _)| *slot);
        let slot = known.or_else(free).or_else(idle).unwrap_or_default();
        self.touched += 1;
        let entry = Entry { identity, touched: self.touched, progress };
        let change = (progress_name(slot), Some(encode(&entry)));
        self.progress.insert(slot, entry);
        change
    }

    /// The import ends with the transaction at hand.
    pub(super) fn finish(&mut self, identity: Identity) -> Vec<StateChange> {
        let mut changes = Vec::with_capacity(2);
        if let Some(slot) = self.slot_of(&identity) {
            self.progress.remove(&slot);
            changes.push((progress_name(slot), None));
        }
        if self.done.insert(identity) {
            let is_full = self.pages.get(&(self.newest % PAGES)).is_some_and(|page| page.done.len() >= PAGE_ENTRIES);
            if is_full {
                self.newest += 1;
                let begun = Page { number: self.newest, done: Vec::new() };
                let replaced = self.pages.insert(self.newest % PAGES, begun);
                for old in replaced.into_iter().flat_map(|page| page.done) {
                    self.done.remove(&old);
                }
            }
            let (place, number) = (self.newest % PAGES, self.newest);
            let page = self.pages.entry(place).or_insert_with(|| Page { number, done: Vec::new() });
            page.done.push(identity);
            changes.push((page_name(place), Some(encode(page))));
        }
        changes
    }

    fn slot_of(&self, identity: &Identity) -> Option<usize> {
        self.progress.iter().find(|(_, entry)| entry.identity == *identity).map(|(slot, _)| *slot)
    }
}

fn page_name(place: u64) -> String {
    format!("csv.done.{place:02}")
}

fn progress_name(slot: usize) -> String {
    format!("csv.progress.{slot:02}")
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("plain data always encodes into a growing buffer")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes.strip_prefix(&[VERSION])?).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use super::*;

    /// Named state as the queue keeps it.
    #[derive(Default)]
    struct Store(HashMap<String, Vec<u8>>);

    impl Store {
        fn write(&mut self, changes: impl IntoIterator<Item = StateChange>) {
            for (name, value) in changes {
                match value {
                    Some(value) => self.0.insert(name, value),
                    None => self.0.remove(&name),
                };
            }
        }

        fn load(&self) -> (Register, Vec<String>) {
            Register::load(|name| Ok::<_, Infallible>(self.0.get(name).cloned())).unwrap()
        }
    }

    fn identity(n: u64) -> Identity {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Identity(bytes)
    }

    fn progress(offset: u64) -> Progress {
        Progress { offset, ..Progress::default() }
    }

    #[test]
    fn what_was_written_is_known_after_a_restart() {
        let (mut store, mut register) = (Store::default(), Register::default());
        store.write([register.advance(identity(1), progress(10))]);
        store.write([register.advance(identity(2), progress(20))]);
        store.write([register.advance(identity(1), progress(11))]);
        store.write(register.finish(identity(2)));
        let (again, damaged) = store.load();
        assert_eq!(damaged, Vec::<String>::new());
        assert_eq!(again.progress(&identity(1)), Some(&progress(11)));
        assert_eq!(again.progress(&identity(2)), None);
        assert!(again.is_done(&identity(2)) && !again.is_done(&identity(1)));
        assert_eq!(store.0.len(), 2);
    }

    #[test]
    fn the_newest_files_are_remembered_and_the_oldest_forgotten() {
        let (mut store, mut register) = (Store::default(), Register::default());
        let files = 3 * PAGES * PAGE_ENTRIES as u64 / 2 + 7;
        for n in 0..files {
            store.write(register.finish(identity(n)));
            if n % 1_000 == 0 {
                register = store.load().0;
            }
        }
        for register in [&register, &store.load().0] {
            let known = (0..files).filter(|n| register.is_done(&identity(*n))).count() as u64;
            let newest = (files - 4_033..files).all(|n| register.is_done(&identity(n)));
            assert!(newest && known <= 4_096, "{known}");
        }
        assert_eq!(store.0.len(), PAGES as usize);
        assert!(store.0.values().all(|page| page.len() < 2_200));
    }

    #[test]
    fn a_file_that_ends_twice_is_noted_once() {
        let mut register = Register::default();
        assert_eq!(register.finish(identity(1)).len(), 1);
        assert_eq!(register.finish(identity(1)), []);
    }

    #[test]
    fn of_imports_that_never_end_the_one_idle_longest_is_forgotten() {
        let (mut store, mut register) = (Store::default(), Register::default());
        for n in 0..PROGRESS_MAX as u64 {
            store.write([register.advance(identity(n), progress(n))]);
        }
        store.write([register.advance(identity(0), progress(100))]);
        store.write([register.advance(identity(1_000), progress(1))]);
        let (again, _) = store.load();
        assert_eq!(again.progress(&identity(1)), None);
        assert_eq!(again.progress(&identity(0)), Some(&progress(100)));
        assert_eq!(store.0.len(), PROGRESS_MAX);
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_is_there() {
        let (mut store, mut register) = (Store::default(), Register::default());
        store.write(register.finish(identity(1)));
        store.write([register.advance(identity(2), progress(2)), ("csv.progress.05".into(), Some(vec![9, 9]))]);
        store.write([("csv.done.03".into(), Some(vec![]))]);
        let (again, damaged) = store.load();
        assert_eq!(damaged, ["csv.done.03", "csv.progress.05"]);
        assert!(again.is_done(&identity(1)) && again.progress(&identity(2)).is_some());
    }
}
