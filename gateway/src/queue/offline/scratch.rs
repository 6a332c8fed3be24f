//! Where copies of generations are opened: engines write into what they open, the original stays as it is.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Error;
use crate::queue::EngineKind;
use crate::queue::files;
use crate::queue::generations::generation::Generation;
use crate::queue::store::{Engine, Store, StoreError};

/// Payloads are nobody else's business.
const MODE: u32 = 0o700;
/// Tries to find a free name.
const NAMES_MAX: u32 = 1_000;

/// A directory of its own, removed with all that is in it.
pub(super) struct Scratch {
    dir: PathBuf,
    engine: Arc<dyn Engine>,
    copies: AtomicU32,
}

impl Scratch {
    pub(super) fn new() -> Result<Self, Error> {
        let parent = std::env::temp_dir();
        let mut names = (0..NAMES_MAX).map(|n| parent.join(format!("gateway-queue-{}-{n}", std::process::id())));
        let mut builder = fs::DirBuilder::new();
        builder.mode(MODE);
        let made = names.find_map(|dir| match builder.create(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => None,
            other => Some(other.map(|()| dir)),
        });
        let made = made.unwrap_or_else(|| Err(std::io::ErrorKind::AlreadyExists.into()));
        let dir = made.map_err(StoreError::io(&parent))?;
        Ok(Self { dir, engine: crate::queue::engine(EngineKind::default()), copies: AtomicU32::new(0) })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Copies a generation; it is opened when it is first read.
    pub(super) fn copy(&self, original: &Path, number: u32) -> Result<Copy, Error> {
        // A name of its own each time: an engine may let go of the copy before a little late.
        let parent = self.dir.join(self.copies.fetch_add(1, Ordering::Relaxed).to_string());
        let dir = parent.join(Generation::dir_name(number));
        fs::create_dir_all(&dir).map_err(StoreError::io(&dir))?;
        let copy = Copy { generation: Generation::existing(&self.engine, &parent, number, Default::default()), parent };
        copy_dir(original, &dir)?;
        Ok(copy)
    }

    /// Copies and opens a store that is no generation.
    pub(super) fn open_copy(&self, original: &Path) -> Result<Box<dyn Store>, Error> {
        let dir = self.dir.join(self.copies.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&dir).map_err(StoreError::io(&dir))?;
        copy_dir(original, &dir)?;
        Ok(self.engine.open(&dir)?)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

/// A copy of a generation, removed when it is not needed any more.
pub(super) struct Copy {
    generation: Generation,
    parent: PathBuf,
}

impl Deref for Copy {
    type Target = Generation;

    fn deref(&self) -> &Generation {
        &self.generation
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.generation.close_for_good();
        remove(&self.parent);
    }
}

pub(super) fn copy_dir(from: &Path, to: &Path) -> Result<(), StoreError> {
    for path in files::entries(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            fs::create_dir(&target).map_err(StoreError::io(&target))?;
            copy_dir(&path, &target)?;
        } else {
            copy_file(&path, &target)?;
        }
    }
    Ok(())
}

/// Without its rights: the engine has to write into it.
fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = fs::File::open(from).map_err(StoreError::io(from))?;
    let mut target = fs::File::create_new(to).map_err(StoreError::io(to))?;
    let copied = std::io::copy(&mut source, &mut target).map(drop).map_err(StoreError::io(from));
    copied.map_err(|e| if e.is_full() { StoreError::io(to)(std::io::ErrorKind::StorageFull.into()) } else { e })
}

fn remove(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(dir = %dir.display(), %error, "A copy made for reading could not be removed."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_and_its_copies_vanish_with_their_owners() {
        let original = tempfile::tempdir().unwrap();
        fs::create_dir(original.path().join("blobs")).unwrap();
        fs::write(original.path().join("blobs/db"), "x").unwrap();
        let scratch = Scratch::new().unwrap();
        let copy = scratch.copy(original.path(), 7).unwrap();
        assert_eq!(fs::read_to_string(copy.dir().join("blobs/db")).unwrap(), "x");
        let (dir, parent) = (scratch.dir.clone(), copy.parent.clone());
        drop(copy);
        assert!(!parent.exists() && dir.exists());
        drop(scratch);
        assert!(!dir.exists());
    }
}
