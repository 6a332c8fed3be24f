//! The lock of a directory that more than one process changes: a gateway and a re-drive take turns.
//!
//! # Invariants
//! - It is held for as long as a few files are written or renamed, never while a sink is waited for.
//! - The kernel lets go of it when a process ends, however it ends.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

const NAME: &str = "lock";

/// Where the lock is.
#[derive(Clone, Debug)]
pub(super) struct DirLock(PathBuf);

/// Until it is dropped, no other process changes the directory's files.
#[derive(Debug)]
pub(super) struct Locked(File);

impl DirLock {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.join(NAME))
    }

    /// Waits for it.
    pub(super) fn take(&self) -> io::Result<Locked> {
        let file = File::options().create(true).truncate(false).write(true).open(&self.0)?;
        file.lock()?;
        Ok(Locked(file))
    }
}

impl Drop for Locked {
    /// Closing alone is not enough: a child process that is just being started holds a copy of the descriptor.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "Directory stays locked until this process ends.");
        }
    }
}
