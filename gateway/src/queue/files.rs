//! The few file operations that decide over durability: syncing directories, deleting them, measuring, locking.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::store::StoreError;

/// Bytes in a unit of `st_blocks`, on every Linux.
const STAT_BLOCK_BYTES: u64 = 512;
/// A directory on its way out; left over after a crash it is deleted at the next open.
pub(super) const DEAD_SUFFIX: &str = ".dead";

/// File whose lock stands for the whole directory.
const LOCK: &str = "lock";

/// Makes the directory and those above it that are missing; their names are durable once it returns.
pub(super) fn create_dir(dir: &Path) -> Result<(), StoreError> {
    let missing: Vec<_> = dir.ancestors().take_while(|d| !d.exists()).collect();
    fs::create_dir_all(dir).map_err(StoreError::io(dir))?;
    // The parent of a relative path of one name is the empty path: the working directory.
    let parents = missing.iter().filter_map(|d| d.parent());
    parents.map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p }).try_for_each(sync_dir)
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(StoreError::io(dir))
}

/// Makes everything under `dir` durable, names too, and `dir`'s own name in its parent.
pub(super) fn sync_tree(dir: &Path) -> Result<(), StoreError> {
    for entry in entries(dir)? {
        if entry.is_dir() {
            sync_tree(&entry)?;
        } else {
            File::open(&entry).and_then(|f| f.sync_all()).map_err(StoreError::io(entry))?;
        }
    }
    sync_dir(dir)?;
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Renames first, so that what a crash leaves is known to be dead.
pub(super) fn delete_dir(dir: &Path) -> Result<(), StoreError> {
    let mut dead = dir.as_os_str().to_owned();
    dead.push(DEAD_SUFFIX);
    let dead = PathBuf::from(dead);
    fs::rename(dir, &dead).map_err(StoreError::io(dir))?;
    dir.parent().map_or(Ok(()), sync_dir)?;
    fs::remove_dir_all(&dead).map_err(StoreError::io(dead))
}

/// What the files under `dir` take on disk; what vanishes meanwhile counts as nothing.
pub(super) fn disk_bytes(dir: &Path) -> Result<u64, StoreError> {
    let mut sum = 0;
    for entry in entries(dir)? {
        match fs::symlink_metadata(&entry) {
            Ok(meta) if meta.is_dir() => sum += disk_bytes(&entry)?,
            Ok(meta) => sum += meta.blocks() * STAT_BLOCK_BYTES,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::io(entry)(e)),
        }
    }
    Ok(sum)
}

/// Paths in a directory, none if it has gone.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>().map_err(StoreError::io(dir)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(StoreError::io(dir)(e)),
    }
}

/// Free space of the file system, as far as this process may use it.
pub(super) fn free_bytes(dir: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| StoreError::io(dir)(e.into()))?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// Holds a directory for this process; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct DirLock {
    file: File,
}

impl DirLock {
    /// `None` if another process has it.
    pub(super) fn take(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(LOCK);
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(StoreError::io(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(StoreError::io(path)(e.into())),
        }
    }

    /// For those who only look: several may at a time, but none beside who has taken it. Writes nothing.
    pub(super) fn share(dir: &Path) -> Result<Share, StoreError> {
        let path = dir.join(LOCK);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Share::NeverTaken),
            Err(e) => return Err(StoreError::io(path)(e)),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Share::Held(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Share::Taken),
            Err(e) => Err(StoreError::io(path)(e.into())),
        }
    }
}

/// What came of asking for a share of a directory's lock.
#[derive(Debug)]
pub(super) enum Share {
    /// Nobody takes the directory while this is kept.
    Held(DirLock),
    /// Another process works on the directory.
    Taken,
    /// There is no lock: a copy without it, or nobody has ever worked on it.
    NeverTaken,
}

impl Drop for DirLock {
    /// Closing alone is not enough: a child process that is just being started holds a copy of the descriptor.
    fn drop(&mut self) {
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::warn!(%error, "Queue directory stays locked until this process ends.");
        }
    }
}
