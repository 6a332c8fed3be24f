//! `NAME.done` and `NAME.failed` beside a file of a watched folder: what became of it.
//!
//! # Invariants
//! - A marker is whole and on disk behind an fsync before it has its name.
//! - It says of which state of the file it speaks: a file that has changed since is another one.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::report::Report;
use super::spool::sync_dir;

/// Longest marker that is read, bytes: a report lists a hundred errors at most.
const MARKER_MAX: u64 = 256 << 10;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    bytes: u64,
    inode: u64,
    modified_s: i64,
    modified_ns: i64,
}

impl Fingerprint {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            inode: metadata.ino(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Done,
    Failed,
}

impl Kind {
    pub(super) const EACH: [Self; 2] = [Self::Done, Self::Failed];

    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Done => ".done",
            Self::Failed => ".failed",
        }
    }

    fn path(self, file: &Path) -> PathBuf {
        let mut path = file.as_os_str().to_owned();
        path.push(self.ending());
        path.into()
    }
}

/// What a marker says.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Verdict<'v> {
    Done(&'v Report),
    Failed { file: &'v str, error: &'v str },
}

#[derive(Serialize)]
struct Written<'v> {
    #[serde(flatten)]
    verdict: Verdict<'v>,
    source: Fingerprint,
}

/// The part of a marker that is read back.
#[derive(Deserialize)]
struct Remembered {
    source: Fingerprint,
}

/// Whether a marker speaks of this state of the file. One that cannot be read speaks of none.
pub(super) fn is_marked(file: &Path, now: &Fingerprint) -> bool {
    let speaks = |kind: Kind| {
        let mut text = String::new();
        let read = File::open(kind.path(file)).and_then(|f| f.take(MARKER_MAX).read_to_string(&mut text));
        read.is_ok() && serde_json::from_str::<Remembered>(&text).is_ok_and(|marker| marker.source == *now)
    };
    Kind::EACH.into_iter().any(speaks)
}

/// Writes the marker, and takes away one of the other kind that an earlier state of the file has left.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn write(file: &Path, source: Fingerprint, verdict: Verdict<'_>) -> io::Result<()> {
    let (kind, other) = match verdict {
        Verdict::Done(_) => (Kind::Done, Kind::Failed),
        Verdict::Failed { .. } => (Kind::Failed, Kind::Done),
    };
    let path = kind.path(file);
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("the file has no folder"));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".tmp");
    let hidden = dir.join(hidden);
    let mut text = serde_json::to_vec_pretty(&Written { verdict, source })?;
    text.push(b'\n');
    let mut marker = File::create(&hidden)?;
    marker.write_all(&text)?;
    marker.sync_all()?;
    fs::rename(&hidden, &path)?;
    match fs::remove_file(other.path(file)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_speaks_of_the_state_that_the_file_had() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.csv");
        fs::write(&file, "ts,a\n").unwrap();
        let now = Fingerprint::of(&fs::metadata(&file).unwrap());
        assert!(!is_marked(&file, &now));
        write(&file, now, Verdict::Failed { file: "a.csv", error: "no column has the time" }).unwrap();
        assert!(is_marked(&file, &now));
        let later = Fingerprint { bytes: 6, ..now };
        assert!(!is_marked(&file, &later));
        write(&file, later, Verdict::Done(&Report::repeated("a.csv", 6))).unwrap();
        assert!(is_marked(&file, &later) && !is_marked(&file, &now));
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(names.len() == 2 && names.contains(&"a.csv.done".into()), "{names:?}");
    }

    #[test]
    fn a_marker_that_is_no_marker_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.csv");
        fs::write(&file, "ts,a\n").unwrap();
        fs::write(dir.path().join("a.csv.done"), "").unwrap();
        assert!(!is_marked(&file, &Fingerprint::of(&fs::metadata(&file).unwrap())));
    }
}
