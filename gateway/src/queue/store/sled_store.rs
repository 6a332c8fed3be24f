//! sled 0.34.7 as a store, with the guards that make it safe to rely on.
//!
//! # Guards
//! - Its `flush` calls `sync_file_range`, which a power cut undoes: `commit` adds an fdatasync of the same file.
//! - Values above its inline limit go to `blobs/`, which it never syncs: values are short, segments are large, and a
//!   commit that finds a file in `blobs/` fails.
//! - It may panic on damaged files: every call into it is caught and becomes an error.
//! - Its timed flush and its compression are off: the queue flushes, and blocks are compressed already.
//! - What a full disk left of a snapshot makes its next open fail: it is removed first.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::Duration;

use sled::Transactional;
use sled::transaction::{ConflictableTransactionError, TransactionError};

use super::shelves::Shelves;
use super::{Engine, Entries, Entry, Store, StoreError, Visit};
use crate::queue::files;
use crate::queue::generations::keys;

/// A whole node of 17 of the longest values fits a quarter of it. sled has several buffers of this size.
const SEGMENT_BYTES: usize = 1 << 20;
/// sled's page cache: blocks are read once and in order. What sled really uses grows with the directory, hence
/// generations.
const CACHE_BYTES: u64 = 1 << 20;
/// sled lets go of its lock shortly after the handle is dropped, from a thread of its own: wait this long in all.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

pub(in crate::queue) struct SledEngine;

struct SledStore {
    dir: PathBuf,
    db: sled::Db,
    /// Our own descriptor of sled's file, to sync.
    file: File,
    /// Written while a batch is applied, so that a reader of several entries does not see half of it.
    shelves: RwLock<Shelves>,
}

impl Engine for SledEngine {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn is_at_home(&self, dir: &Path) -> bool {
        db_file(dir).exists() || dir.join("conf").exists()
    }

    fn create(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(SledStore::new(dir)?))
    }

    fn open(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError> {
        // sled would make an empty one.
        let path = db_file(dir);
        fs::metadata(&path).map_err(StoreError::io(path))?;
        for path in files::entries(dir)? {
            if path.extension().is_some_and(|e| e == "generating") {
                fs::remove_file(&path).map_err(StoreError::io(path))?;
            }
        }
        Ok(Box::new(SledStore::new(dir)?))
    }
}

fn open_sled(dir: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(dir)
        .flush_every_ms(None)
        .use_compression(false)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES);
    for _ in 1..LOCK_ATTEMPTS {
        match caught(dir, || config.open()) {
            Err(StoreError::Io { source, .. }) if source.to_string().contains("could not acquire lock") => {
                std::thread::sleep(LOCK_PAUSE);
            }
            other => return other,
        }
    }
    caught(dir, || config.open())
}

impl Store for SledStore {
    fn commit(&self, entries: &Entries) -> Result<(), StoreError> {
        {
            let mut shelves = self.shelves.write().expect("no panic under the lock");
            self.caught(|| self.apply(&mut shelves, entries))?;
        }
        self.caught(|| self.db.flush())?;
        self.file.sync_data().map_err(StoreError::io(db_file(&self.dir)))?;
        self.check_blobs()
    }

    fn last_to(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let shelves = self.shelves.read().expect("no panic under the lock");
        self.caught(|| {
            let (plain, shelved) = (self.db.range(..=key).next_back().transpose()?, shelves.last_to(key)?);
            Ok(plain.max(shelved).map(owned))
        })
    }

    fn first_from(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let shelves = self.shelves.read().expect("no panic under the lock");
        self.caught(|| {
            let (plain, shelved) = (self.db.range(key..).next().transpose()?, shelves.first_from(key)?);
            Ok(plain.into_iter().chain(shelved).min().map(owned))
        })
    }

    fn each(&self, prefix: &[u8], f: Visit<'_>) -> Result<(), StoreError> {
        let shelves = self.shelves.read().expect("no panic under the lock");
        let (mut plain, mut shelved) = (self.db.scan_prefix(prefix), shelves.scan(prefix));
        let mut next = (self.caught(|| plain.next().transpose())?, self.caught(|| shelved.next().transpose())?);
        loop {
            let plain_first = match &next {
                (None, None) => return Ok(()),
                (plain, None) => plain.is_some(),
                (None, Some(_)) => false,
                (Some((a, _)), Some((b, _))) => a < b,
            };
            let entry = if plain_first {
                std::mem::replace(&mut next.0, self.caught(|| plain.next().transpose())?)
            } else {
                std::mem::replace(&mut next.1, self.caught(|| shelved.next().transpose())?)
            };
            if let Some((key, value)) = entry {
                f(&key, &value)?;
            }
        }
    }
}

impl SledStore {
    fn new(dir: &Path) -> Result<Self, StoreError> {
        let db = open_sled(dir)?;
        let path = db_file(dir);
        let file = File::options().read(true).write(true).open(&path).map_err(StoreError::io(path))?;
        let shelves = RwLock::new(caught(dir, || Shelves::open(&db))?);
        Ok(Self { dir: dir.to_owned(), db, file, shelves })
    }

    /// All changes as one: each tree's batch alone is atomic already, several need a transaction.
    fn apply(&self, shelves: &mut Shelves, entries: &Entries) -> sled::Result<()> {
        let mut batches = BTreeMap::<_, (sled::Tree, sled::Batch)>::new();
        for (key, value) in entries.iter() {
            let (bound, tree) = match keys::grows(key) {
                true => shelves.place(&self.db, key).map(|(bound, tree)| (Some(bound), tree))?,
                false => (None, (*self.db).clone()),
            };
            let (_, batch) = batches.entry(bound).or_insert_with(|| (tree, sled::Batch::default()));
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        if batches.len() == 1
            && let Some((tree, batch)) = batches.pop_first().map(|(_, batch)| batch)
        {
            return tree.apply_batch(batch);
        }
        let (trees, batches): (Vec<_>, Vec<_>) = batches.into_values().unzip();
        if trees.is_empty() {
            return Ok(());
        }
        let done = trees.transaction(|views| {
            views.iter().zip(&batches).try_for_each(|(view, batch)| view.apply_batch(batch))?;
            Ok::<_, ConflictableTransactionError<std::convert::Infallible>>(())
        });
        done.map_err(|error| match error {
            TransactionError::Storage(error) => error,
            TransactionError::Abort(never) => match never {},
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

    fn caught<T>(&self, f: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        caught(&self.dir, f)
    }
}

fn caught<T>(dir: &Path, f: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    let path = || dir.to_owned();
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(source))) => Err(StoreError::Io { path: path(), source }),
        Ok(Err(error)) => Err(StoreError::Engine { path: path(), reason: error.to_string() }),
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            let reason = format!("sled panicked: {}", said.unwrap_or("it does not say why"));
            Err(StoreError::Engine { path: path(), reason })
        }
    }
}

fn owned((key, value): (sled::IVec, sled::IVec)) -> Entry {
    (key.to_vec(), value.to_vec())
}

fn db_file(dir: &Path) -> PathBuf {
    dir.join("db")
}
