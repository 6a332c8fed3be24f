//! What the queue asks of a storage engine: an ordered map of bytes in a directory of its own, changed in whole batches.
//!
//! # Invariants
//! - A commit is all or nothing, and durable behind a real fsync once it returns.
//! - After an error from `commit` the store is not written again: what is on disk is then unknown until it is reopened.
//! - A reader sees whole commits only.
//! - Damage is a value, never a panic.
//!
//! # Not here
//! Records, cursors, generations: engines know keys and values only.

pub(in crate::queue) mod engines;
pub(in crate::queue) mod redb_store;
mod shelves;
pub(in crate::queue) mod sled_store;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Longest key that an engine must take, bytes.
pub(in crate::queue) const KEY_BYTES_MAX: usize = 1024;
/// Longest value that an engine must take, bytes: 17 of them stay below sled's inline limit for a whole node.
pub(in crate::queue) const VALUE_BYTES_MAX: usize = 15 * 1024;

/// Opens stores of one kind.
pub(in crate::queue) trait Engine: Send + Sync {
    /// As in the settings.
    fn name(&self) -> &'static str;

    /// Whether files of this engine are in the directory.
    fn is_at_home(&self, dir: &Path) -> bool;

    /// Makes an empty store in the directory, which exists and is empty.
    fn create(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError>;

    /// Opens the store in the directory; nobody else has it open.
    fn open(&self, dir: &Path) -> Result<Box<dyn Store>, StoreError>;
}

/// An open store, for one writer and many readers at a time.
pub(in crate::queue) trait Store: Send + Sync {
    fn commit(&self, entries: &Entries) -> Result<(), StoreError>;

    /// The entry with the greatest key that is not above `key`.
    fn last_to(&self, key: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// The entry with the smallest key that is not below `key`.
    fn first_from(&self, key: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// Calls `f` for every entry under the prefix, in order, as they were at one moment.
    fn each(&self, prefix: &[u8], f: Visit<'_>) -> Result<(), StoreError>;
}

/// Called with key and value.
pub(in crate::queue) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>;

/// Key and value.
pub(in crate::queue) type Entry = (Vec<u8>, Vec<u8>);

/// Changes that become durable together; the last word about a key counts.
#[derive(Clone, Debug, Default)]
pub(in crate::queue) struct Entries {
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    bytes: usize,
}

impl Entries {
    pub(in crate::queue) fn set(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.push(key.into(), Some(value.into()));
    }

    pub(in crate::queue) fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.push(key.into(), None);
    }

    fn push(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let value_bytes = value.as_ref().map_or(0, Vec::len);
        debug_assert!(key.len() <= KEY_BYTES_MAX && value_bytes <= VALUE_BYTES_MAX, "{} and {value_bytes}", key.len());
        self.bytes += key.len() + value_bytes;
        self.changes.push((key, value));
    }

    /// In the order in which they were made; no value: remove.
    pub(in crate::queue) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Keys and values together.
    pub(in crate::queue) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[derive(Debug, thiserror::Error)]
pub(in crate::queue) enum StoreError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// The engine failed, or panicked, for a reason that it does not tell apart from damage.
    #[error("{path}: {reason}")]
    Engine { path: PathBuf, reason: String },
    #[error("{path}: {reason}; the data there is damaged")]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "{path}: made by the engine `{engine}`, which this gateway does not have; empty the queue with the gateway that \
         made it, and set `queue.engine` to `sled` or `redb`"
    )]
    Foreign { path: PathBuf, engine: String },
    #[error("store is closed")]
    Closed,
}

impl StoreError {
    pub(in crate::queue) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }

    pub(in crate::queue) fn is_full(&self) -> bool {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }

    /// Whether the data itself is the trouble, so that another try brings the same; not the machine's state.
    pub(in crate::queue) fn is_damage(&self) -> bool {
        match self {
            // What the kernel says of a bad sector has no kind of its own.
            Self::Io { source, .. } => {
                let bad = [ErrorKind::NotFound, ErrorKind::UnexpectedEof, ErrorKind::InvalidData];
                bad.contains(&source.kind()) || source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
            }
            Self::Engine { .. } | Self::Damaged { .. } => true,
            Self::Foreign { .. } | Self::Closed => false,
        }
    }
}
