//! The ballast: a file that takes up space, to be thrown overboard when the disk is full. The space that comes free is
//! enough to open the store again and to commit what waits.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::files;
use super::store::StoreError;

const NAME: &str = "ballast";
/// Taken aboard only where as much again stays free: it must not be what fills the disk.
const FREE_FACTOR: u64 = 2;

#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    /// `bytes` 0: none is wanted.
    pub(super) fn new(dir: &Path, bytes: u64) -> Self {
        Self { path: dir.join(NAME), bytes }
    }

    /// Whether all is as it should be.
    pub(super) fn is_aboard(&self) -> bool {
        self.bytes == 0 || fs::metadata(&self.path).is_ok_and(|m| m.len() == self.bytes)
    }

    /// Takes it aboard if there is room; says whether it is there.
    pub(super) fn take_aboard(&self) -> Result<bool, StoreError> {
        if self.is_aboard() {
            return Ok(true);
        }
        let dir = self.path.parent().unwrap_or(&self.path);
        if files::free_bytes(dir)? < self.bytes * FREE_FACTOR {
            return Ok(false);
        }
        match self.reserve() {
            Ok(()) => Ok(true),
            Err(error) if error.is_full() => {
                self.throw_overboard()?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Blocks of its own, not a hole; file systems that cannot reserve get zeros written.
    fn reserve(&self) -> Result<(), StoreError> {
        let file = File::create(&self.path).map_err(StoreError::io(&self.path))?;
        let reserved = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, self.bytes);
        match reserved.map_err(|e| StoreError::io(&self.path)(e.into())) {
            Err(error) if !error.is_full() => self.write_out(file),
            reserved => reserved,
        }
    }

    fn write_out(&self, mut file: File) -> Result<(), StoreError> {
        std::io::copy(&mut std::io::Read::take(std::io::repeat(0), self.bytes), &mut file)
            .and_then(|_| file.sync_data())
            .map_err(StoreError::io(&self.path))
    }

    /// Makes its space free; says whether it was there.
    pub(super) fn throw_overboard(&self) -> Result<bool, StoreError> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(StoreError::io(&self.path)(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_real_space_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::new(dir.path(), 1 << 20);
        assert!(!ballast.is_aboard());
        assert!(ballast.take_aboard().unwrap());
        assert!(ballast.is_aboard());
        assert!(files::disk_bytes(dir.path()).unwrap() >= 1 << 20);
        assert!(ballast.throw_overboard().unwrap());
        assert!(!ballast.throw_overboard().unwrap());
        assert_eq!(files::disk_bytes(dir.path()).unwrap(), 0);
    }

    #[test]
    fn none_is_always_aboard() {
        let dir = tempfile::tempdir().unwrap();
        let none = Ballast::new(dir.path(), 0);
        assert!(none.is_aboard() && none.take_aboard().unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
