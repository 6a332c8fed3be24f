//! Files that others replace while the gateway runs: certificates, users.
//!
//! # Invariants
//! - A change is told once, and only after the files have stood still for one look: a certificate and its key are two
//!   files, and nobody can replace both at once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells one state of a file from another without reading it; `None`: it cannot be looked at.
type Print = Option<(u64, u64, i64, i64)>;

#[derive(Debug)]
pub(super) struct Watched {
    paths: Vec<PathBuf>,
    /// Of what was read last.
    read: Vec<Print>,
    /// At the last look.
    seen: Vec<Print>,
}

impl Watched {
    /// To be made before the files are read: a change in between is found at the next look.
    pub(super) fn new<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().map(Path::to_owned).collect();
        let read = prints(&paths);
        Self { paths, seen: read.clone(), read }
    }

    /// Whether the files are to be read again.
    pub(super) fn has_changed(&mut self) -> bool {
        let now = prints(&self.paths);
        let is_still = now == self.seen;
        self.seen = now;
        if is_still && self.seen != self.read {
            self.read.clone_from(&self.seen);
            return true;
        }
        false
    }
}

fn prints(paths: &[PathBuf]) -> Vec<Print> {
    let print = |m: fs::Metadata| (m.ino(), m.len(), m.mtime(), m.mtime_nsec());
    paths.iter().map(|path| fs::metadata(path).ok().map(print)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_only_when_the_files_stand_still() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        fs::write(&a, "1").expect("writable");
        let mut watched = Watched::new([a.as_path(), b.as_path()]);
        assert!(!watched.has_changed() && !watched.has_changed());
        fs::write(&a, "22").expect("writable");
        assert!(!watched.has_changed(), "the second file may follow");
        fs::write(&b, "1").expect("writable");
        assert!(!watched.has_changed());
        assert!(watched.has_changed());
        assert!(!watched.has_changed());
        fs::remove_file(&b).expect("is there");
        assert_eq!([watched.has_changed(), watched.has_changed(), watched.has_changed()], [false, true, false]);
    }

    #[test]
    fn a_file_put_in_the_place_of_another_is_a_change_even_if_it_looks_alike() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let [path, other] = ["users", "new"].map(|name| dir.path().join(name));
        fs::write(&path, "x").expect("writable");
        let mut watched = Watched::new([path.as_path()]);
        fs::write(&other, "y").expect("writable");
        let time = fs::metadata(&path).and_then(|m| m.modified()).expect("has a time");
        fs::File::options().write(true).open(&other).and_then(|f| f.set_modified(time)).expect("can be set");
        fs::rename(&other, &path).expect("same directory");
        assert_eq!([watched.has_changed(), watched.has_changed()], [false, true]);
    }
}
