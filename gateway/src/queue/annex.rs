//! A store beside the generations, for what a stage has much of, never changes, and can do without at the worst.
//!
//! What is named state goes into each new generation; what is here does not. It lies in the queue's directory: under its
//! lock, within its budget, and in what a person copies.
//!
//! # Invariants
//! - A change is durable behind a real fsync once [`Annex::commit`] returns; several of them are not one transaction.
//! - After a failed commit the store is opened anew before it is used again.
//! - What cannot be opened because it is damaged is set aside as a generation is, and begun anew: whoever uses it misses
//!   what it held.
//!
//! # Not here
//! What values mean, and whether they are whole: each has a checksum of its owner's.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::files;
use super::generations::quarantine;
use super::store::engines::{self, MARKER};
use super::store::{Engine, Entries, KEY_BYTES_MAX, Store, StoreError, VALUE_BYTES_MAX};
use super::{EngineKind, Error};

/// Generations only grow, and go as a whole; here entries go one by one for years. With 22 MB of chunks that come and go
/// sled takes 102 MB of disk and 23 MB of memory and writes each byte ten times, redb 28, 4 and four (decision 0028).
pub(super) const ENGINE: EngineKind = EngineKind::Redb;
/// What names of directories of annexes begin with.
pub(super) const PREFIX: &str = "annex-";
/// Begins keys, so that none looks like that of a block.
const KEY_TAG: u8 = b'k';
/// Changes are committed in steps of this.
const STEP_BYTES: usize = 1 << 20;

/// Key and value; no value: delete.
pub type AnnexChange = (Vec<u8>, Option<Vec<u8>>);

/// Made when something is first put into it. Cheap to clone.
#[derive(Clone)]
pub struct Annex {
    queue_dir: PathBuf,
    dir: PathBuf,
    engine: Arc<dyn Engine>,
    quarantine_max_bytes: u64,
    /// `None`: not opened yet, not there, or to be opened anew.
    store: Arc<Mutex<Option<Box<dyn Store>>>>,
}

/// The directory of an annex of the queue in `queue_dir`.
pub(super) fn dir_of(queue_dir: &Path, name: &str) -> PathBuf {
    queue_dir.join(format!("{PREFIX}{name}"))
}

/// The annexes of the queue in `queue_dir`, by name.
pub(super) fn list(queue_dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(PREFIX) && !name.ends_with(files::DEAD_SUFFIX)
    };
    let mut dirs: Vec<PathBuf> = files::entries(queue_dir)?.into_iter().filter(is_one).collect();
    dirs.sort();
    Ok(dirs)
}

/// The value under that key of an annex's store.
pub(super) fn get(store: &dyn Store, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let key = tagged(key);
    Ok(store.first_from(&key)?.filter(|(found, _)| *found == key).map(|(_, value)| value))
}

fn tagged(key: &[u8]) -> Vec<u8> {
    [&[KEY_TAG], key].concat()
}

impl Annex {
    pub(super) fn new(queue_dir: &Path, name: &str, engine: Arc<dyn Engine>, quarantine_max_bytes: u64) -> Self {
        let dir = dir_of(queue_dir, name);
        Self { queue_dir: queue_dir.to_owned(), dir, engine, quarantine_max_bytes, store: Arc::default() }
    }

    /// # Errors
    /// It cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut store = self.lock();
        if store.is_none() {
            *store = self.open()?;
        }
        let Some(opened) = store.as_deref() else { return Ok(None) };
        Ok(get(opened, key)?)
    }

    /// Makes the changes durable, in their order.
    ///
    /// # Errors
    /// It cannot be written: what of them is durable is not known, and all may be tried again. A key or value is too long.
    pub fn commit(&self, changes: Vec<AnnexChange>) -> Result<(), Error> {
        for (key, value) in &changes {
            let value_bytes = value.as_ref().map_or(0, Vec::len);
            for (what, bytes, max) in [("key", key.len(), KEY_BYTES_MAX - 1), ("value", value_bytes, VALUE_BYTES_MAX)] {
                if bytes > max {
                    return Err(Error::TooLarge { what, bytes, max });
                }
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let mut store = self.lock();
        if store.is_none() {
            *store = self.open()?;
        }
        if store.is_none() && changes.iter().all(|(_, value)| value.is_none()) {
            return Ok(());
        }
        let result = match store.take() {
            Some(opened) => Ok(opened),
            None => self.make(),
        };
        let result = result.and_then(|opened| write(opened.as_ref(), changes).map(|()| opened));
        *store = Some(result?);
        Ok(())
    }

    /// Deletes all that is in it.
    ///
    /// # Errors
    /// The directory cannot be deleted.
    pub fn clear(&self) -> Result<(), Error> {
        let mut store = self.lock();
        *store = None;
        if self.dir.exists() {
            files::delete_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Measured on disk.
    ///
    /// # Errors
    /// The machine refuses to tell.
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        Ok(files::disk_bytes(&self.dir)?)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn Store>>> {
        self.store.lock().expect("no panic under the lock")
    }

    /// `None`: there is none, or none any more.
    fn open(&self) -> Result<Option<Box<dyn Store>>, StoreError> {
        if !self.dir.exists() {
            return Ok(None);
        }
        let is_complete = self.dir.join(MARKER).exists();
        match self.engine.open(&self.dir) {
            Ok(store) => {
                if !is_complete {
                    self.complete()?;
                }
                Ok(Some(store))
            }
            Err(error) if error.is_damage() && !is_complete => {
                tracing::debug!(%error, "A store that was never used is deleted.");
                files::delete_dir(&self.dir)?;
                Ok(None)
            }
            Err(error) if error.is_damage() => {
                let dir = quarantine::set_aside(&self.queue_dir, &self.dir)?;
                tracing::error!(
                    %error, kept_in = %dir.display(),
                    "A store beside the queue cannot be opened: it is set aside, and begun anew."
                );
                quarantine::trim(&self.queue_dir, self.quarantine_max_bytes)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn make(&self) -> Result<Box<dyn Store>, StoreError> {
        std::fs::create_dir(&self.dir).map_err(StoreError::io(&self.dir))?;
        let store = self.engine.create(&self.dir)?;
        self.complete()?;
        Ok(store)
    }

    /// Makes the names of its files durable, and says who made it.
    fn complete(&self) -> Result<(), StoreError> {
        files::sync_tree(&self.dir)?;
        engines::mark(&self.dir, self.engine.name()).map_err(StoreError::io(self.dir.join(MARKER)))?;
        files::sync_dir(&self.dir)
    }
}

fn write(store: &dyn Store, changes: Vec<AnnexChange>) -> Result<(), StoreError> {
    let mut step = Entries::default();
    for (key, value) in changes {
        match value {
            Some(value) => step.set(tagged(&key), value),
            None => step.remove(tagged(&key)),
        }
        if step.bytes() >= STEP_BYTES {
            store.commit(&std::mem::take(&mut step))?;
        }
    }
    store.commit(&step)
}
