//! Keys that grow at their end, kept in sled trees of a few entries each, so that sled writes each entry once.
//!
//! sled splits a leaf at 17 entries and writes both halves anew; it also writes a whole leaf after ten changes to it, and
//! cleans up after both. Blocks in one tree were so written three to six times over. A tree that takes
//! [`CHANGES_MAX`] changes and then no more is never split nor rewritten.
//!
//! # Invariants
//! - A shelf holds the keys from its bound, which its tree is named after, to the bound of the next shelf.
//! - Keys that do not grow are on no shelf.

use std::collections::BTreeMap;
use std::ops::Bound;

use sled::{Db, IVec, Tree};

use crate::queue::generations::keys;

/// One below the length of the chain at which sled writes the leaf anew; the leaf's making is its first link.
const CHANGES_MAX: usize = 9;
const NAME: &[u8] = b"shelf ";

/// By bound.
#[derive(Default)]
pub(in crate::queue) struct Shelves(BTreeMap<Vec<u8>, Shelf>);

struct Shelf {
    tree: Tree,
    changes: usize,
    /// Its greatest key, also of changes that are not applied yet; `None` until somebody asks: reading it takes a leaf.
    last: Option<Vec<u8>>,
}

impl Shelves {
    pub(in crate::queue) fn open(db: &Db) -> sled::Result<Self> {
        let mut shelves = Self::default();
        for name in db.tree_names() {
            if let Some(bound) = name.strip_prefix(NAME) {
                // Nobody counted: full.
                let shelf = Shelf { tree: db.open_tree(&name)?, changes: CHANGES_MAX, last: None };
                shelves.0.insert(bound.to_vec(), shelf);
            }
        }
        Ok(shelves)
    }

    /// The tree for a change of this key, and its bound.
    pub(in crate::queue) fn place(&mut self, db: &Db, key: &[u8]) -> sled::Result<(Vec<u8>, Tree)> {
        if let Some((bound, shelf)) = self.0.range_mut::<[u8], _>(to(key)).next_back()
            && keys::grow_together(bound, key)
        {
            if shelf.last.is_none() {
                shelf.last = shelf.tree.last()?.map(|(last, _)| last.to_vec());
            }
            let is_new_last = shelf.last.as_deref().is_none_or(|last| last < key);
            if shelf.changes < CHANGES_MAX || !is_new_last {
                shelf.changes += 1;
                if is_new_last {
                    shelf.last = Some(key.to_vec());
                }
                return Ok((bound.clone(), shelf.tree.clone()));
            }
        }
        let tree = db.open_tree([NAME, key].concat())?;
        self.0.insert(key.to_vec(), Shelf { tree: tree.clone(), changes: 1, last: Some(key.to_vec()) });
        Ok((key.to_vec(), tree))
    }

    pub(in crate::queue) fn last_to(&self, key: &[u8]) -> sled::Result<Option<(IVec, IVec)>> {
        let mut before = self.0.range::<[u8], _>(to(key)).rev().map(|(_, shelf)| &shelf.tree);
        before.find_map(|tree| tree.range(..=key).next_back()).transpose()
    }

    pub(in crate::queue) fn first_from(&self, key: &[u8]) -> sled::Result<Option<(IVec, IVec)>> {
        self.from(key).find_map(|tree| tree.range(key..).next()).transpose()
    }

    /// All entries under the prefix, in order.
    pub(in crate::queue) fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> + 'a {
        let items = self.from(prefix).flat_map(move |tree| tree.range(prefix..));
        items.take_while(move |item| item.as_ref().map_or(true, |(key, _)| key.starts_with(prefix)))
    }

    /// The trees that may hold `key` and what is above it.
    fn from(&self, key: &[u8]) -> impl Iterator<Item = &Tree> {
        let first = self.0.range::<[u8], _>(to(key)).next_back().map_or(key, |(bound, _)| bound);
        self.0.range::<[u8], _>((Bound::Included(first), Bound::Unbounded)).map(|(_, shelf)| &shelf.tree)
    }
}

/// All bounds up to and with `key`.
fn to(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Unbounded, Bound::Included(key))
}
