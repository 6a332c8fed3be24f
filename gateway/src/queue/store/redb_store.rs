//! redb as a store: one file, one table of bytes.
//!
//! # What it rests on
//! - A commit of `Durability::Immediate` ends with an fdatasync of the file: `WriteTransaction::commit` calls
//!   `TransactionalMemory::commit`, that `PagedCachedFile::flush`, and that `File::sync_data`.
//! - Pages are never overwritten while something points to them, so a torn commit leaves the one before.
//! - Checksums are verified when a store is opened, all of them: what was altered since is `Damaged`. A plain open would
//!   trust it, and so do reads.
//! - After a failed write it refuses all that follows, until it is opened anew.
//! - It may panic all the same: every call into it is caught and becomes an error.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use super::{Engine, Entries, Entry, Store, StoreError};

const FILE: &str = "data.redb";
const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("entries");
/// redb's page cache, half of it for what a commit has yet to write: blocks are read once and in order.
const CACHE_BYTES: usize = 2 << 20;

pub(in crate::queue) struct RedbEngine;

struct RedbStore {
    path: PathBuf,
    db: Database,
}

impl Engine for RedbEngine {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn is_at_home(&self, dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    fn create(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        let path = dir.join(FILE);
        let db = caught(&path, || Ok(builder().create(&path)?))?;
        let store = RedbStore { path, db };
        // A reader finds a table, if an empty one.
        store.commit(&Entries::default())?;
        Ok(Box::new(store))
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        let path = dir.join(FILE);
        let db = caught(&path, || Ok(builder().open(&path)?))?;
        Ok(Box::new(RedbStore { path, db }))
    }
}

fn builder() -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

impl Store for RedbStore {
    fn commit(&self, entries: &Entries) -> Result<(), StoreError> {
        caught(&self.path, || {
            let mut transaction = self.db.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            {
                let mut table = transaction.open_table(TABLE)?;
                for (key, value) in entries.iter() {
                    match value {
                        Some(value) => drop(table.insert(key, value)?),
                        None => drop(table.remove(key)?),
                    }
                }
            }
            Ok(transaction.commit()?)
        })
    }

    fn last_to(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        caught(&self.path, || Ok(self.table()?.range(..=key)?.next_back().transpose()?.map(owned)))
    }

    fn first_from(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        caught(&self.path, || Ok(self.table()?.range(key..)?.next().transpose()?.map(owned)))
    }

    fn each(&self, prefix: &[u8], f: &mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut items = caught(&self.path, || Ok(self.table()?.range(prefix..)?))?;
        while let Some((key, value)) = caught(&self.path, || Ok(items.next().transpose()?))? {
            if !key.value().starts_with(prefix) {
                break;
            }
            f(key.value(), value.value())?;
        }
        Ok(())
    }
}

impl RedbStore {
    /// The table as of the last commit; what is read from it keeps its transaction.
    fn table(&self) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, redb::Error> {
        Ok(self.db.begin_read()?.open_table(TABLE)?)
    }
}

fn caught<T>(path: &Path, f: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
    let path = || path.to_owned();
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(redb::Error::Io(source))) => Err(StoreError::Io { path: path(), source }),
        Ok(Err(redb::Error::Corrupted(reason))) => Err(StoreError::Damaged { path: path(), reason }),
        Ok(Err(error)) => Err(StoreError::Engine { path: path(), reason: error.to_string() }),
        Err(_) => Err(StoreError::Engine { path: path(), reason: "redb panicked, see its message above".into() }),
    }
}

type Guard = redb::AccessGuard<'static, &'static [u8]>;

fn owned((key, value): (Guard, Guard)) -> Entry {
    (key.value().to_vec(), value.value().to_vec())
}
