//! Numbered files in a directory, of which the newest is appended to: `name-00000007.ndjson.part` until it is full.
//!
//! # Invariants
//! - What [`RotatingFile::append`] confirmed is whole and on disk behind an fsync.
//! - A line that a crash tore is cut off at the next open; a write that failed is cut off before the next one.
//! - Files without `.part` are complete and never change.
//! - A part that somebody took away, renamed or not, is theirs: the next append begins a new one.
//! - Where others work on the files too, all changes are made under the directory's lock, and a file that is locked
//!   itself is not deleted.
//!
//! # Not here
//! What the lines mean. Lines end in a newline and hold no other.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tracing::warn;

use super::lock::DirLock;

/// Where the files are and how large they get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    /// Files are `{prefix}-{number}.{extension}`.
    pub(crate) prefix: String,
    pub(crate) extension: &'static str,
    /// A file is completed once it has this many bytes.
    pub(crate) rotate_bytes: u64,
    /// Complete files kept; the oldest go.
    pub(crate) files_max: usize,
}

const PART: &str = "part";

impl Layout {
    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{}-{number:08}.{}", self.prefix, self.extension))
    }

    pub(super) fn part_path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{}-{number:08}.{}.{PART}", self.prefix, self.extension))
    }

    /// The number in a file's name, if it is one of ours, and whether the file is complete.
    fn parse(&self, name: &str) -> Option<(u64, bool)> {
        let rest = name.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        let (number, extension) = rest.split_once('.')?;
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let complete = extension == self.extension;
        let part = extension.strip_suffix(PART).and_then(|e| e.strip_suffix('.')) == Some(self.extension);
        (complete || part).then(|| number.parse().ok().map(|n| (n, complete)))?
    }

    /// Our files, oldest first, each with whether it is complete.
    pub(super) fn list(&self) -> io::Result<Vec<(u64, bool)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            found.extend(entry?.file_name().to_str().and_then(|name| self.parse(name)));
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// A file that was deleted to keep to the bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deleted {
    pub(crate) path: PathBuf,
    pub(crate) lines: u64,
}

#[derive(Debug)]
pub(super) struct RotatingFile {
    layout: Layout,
    number: u64,
    /// `None` after a failure, until the part is opened again.
    file: Option<File>,
    /// Length of the part that is on disk for certain.
    confirmed: u64,
}

impl RotatingFile {
    /// Makes the directory, and continues the part that is there.
    pub(super) fn open(layout: Layout) -> io::Result<Self> {
        fs::create_dir_all(&layout.dir)?;
        let files = layout.list()?;
        let number = match files.last() {
            Some((number, false)) => *number,
            Some((number, true)) => number + 1,
            None => 1,
        };
        let confirmed = cut_torn_line(&layout.part_path(number))?;
        let mut file = Self { layout, number, file: None, confirmed };
        file.part()?;
        Ok(file)
    }

    /// Appends whole lines, and returns once they are on disk. Tells which old files had to go.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<Vec<Deleted>> {
        self.leave_what_was_taken()?;
        let mut deleted = if self.is_full() { self.rotate()? } else { Vec::new() };
        let written = self.part().and_then(|mut file| {
            file.write_all(lines)?;
            file.sync_data()
        });
        if let Err(error) = written {
            // After a failed fsync nobody knows what is on disk: the part is opened and cut anew before the next write.
            self.file = None;
            return Err(error);
        }
        self.confirmed += lines.len() as u64;
        if self.is_full() {
            // The lines are on disk: an error here would have them written again, and again. The next call tries anew.
            match self.rotate() {
                Ok(gone) => deleted.extend(gone),
                Err(error) => warn!(dir = %self.layout.dir.display(), %error, "Full file cannot be put away yet."),
            }
        }
        Ok(deleted)
    }

    fn leave_what_was_taken(&mut self) -> io::Result<()> {
        if !self.layout.part_path(self.number).try_exists()? {
            let newest = self.layout.list()?.last().map_or(0, |(number, _)| *number);
            (self.number, self.file, self.confirmed) = (self.number.max(newest) + 1, None, 0);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.confirmed >= self.layout.rotate_bytes
    }

    /// The part, open and exactly as long as what was confirmed.
    fn part(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            let path = self.layout.part_path(self.number);
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            file.set_len(self.confirmed)?;
            file.seek(SeekFrom::End(0))?;
            file.sync_all()?;
            sync_dir(&self.layout.dir)?;
            self.file = Some(file);
        }
        self.file.as_ref().ok_or_else(|| io::Error::other("the part was just opened"))
    }

    fn rotate(&mut self) -> io::Result<Vec<Deleted>> {
        fs::rename(self.layout.part_path(self.number), self.layout.path(self.number))?;
        self.file = None;
        self.number += 1;
        self.confirmed = 0;
        self.part()?;
        self.delete_oldest()
    }

    fn delete_oldest(&self) -> io::Result<Vec<Deleted>> {
        let complete: Vec<u64> = self.layout.list()?.into_iter().filter(|(_, done)| *done).map(|(n, _)| n).collect();
        let surplus = complete.len().saturating_sub(self.layout.files_max);
        let mut deleted = Vec::with_capacity(surplus);
        for number in &complete[..surplus] {
            let path = self.layout.path(*number);
            let mut file = File::open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                // Somebody works on it; when it is put back, the next round decides.
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let lines = count_lines(&mut file)?;
            fs::remove_file(&path)?;
            deleted.push(Deleted { path, lines });
        }
        Ok(deleted)
    }
}

/// A [`RotatingFile`] for async tasks: the disk is waited for on a thread where waiting is allowed.
#[derive(Clone, Debug)]
pub(crate) struct SharedRotatingFile {
    file: Arc<Mutex<RotatingFile>>,
    /// Where other processes change the files, too.
    lock: Option<DirLock>,
}

impl SharedRotatingFile {
    pub(crate) fn open(layout: Layout) -> io::Result<Self> {
        Ok(Self { file: Arc::new(Mutex::new(RotatingFile::open(layout)?)), lock: None })
    }

    /// In a directory where other processes change the files, too, each under the directory's lock.
    pub(super) fn open_shared(layout: Layout) -> io::Result<Self> {
        fs::create_dir_all(&layout.dir)?;
        let lock = DirLock::new(&layout.dir);
        let _locked = lock.take()?;
        Ok(Self { lock: Some(lock.clone()), ..Self::open(layout)? })
    }

    pub(crate) async fn append(&self, lines: Bytes) -> io::Result<Vec<Deleted>> {
        let Self { file, lock } = self.clone();
        let append = move || {
            let _locked = lock.map(|lock| lock.take()).transpose()?;
            file.lock().unwrap_or_else(PoisonError::into_inner).append(&lines)
        };
        tokio::task::spawn_blocking(append).await.map_err(io::Error::other)?
    }
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Bytes up to and with the last newline: what follows it was torn by a crash. 0 for a file that is not there.
pub(super) fn cut_torn_line(path: &Path) -> io::Result<u64> {
    /// Read from the end in steps of this many bytes.
    const STEP: u64 = 64 * 1024;
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    let mut end = file.metadata()?.len();
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        (&file).take(end - start).read_to_end(&mut buffer)?;
        if let Some(at) = buffer.iter().rposition(|b| *b == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn count_lines(file: &mut File) -> io::Result<u64> {
    let (mut buffer, mut lines) = (vec![0; 64 * 1024], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(lines),
            n => lines += buffer[..n].iter().filter(|b| **b == b'\n').count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(dir: &Path) -> Layout {
        let (rotate_bytes, files_max) = (100, 3);
        Layout { dir: dir.into(), prefix: "out".into(), extension: "lp", rotate_bytes, files_max }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_renamed_and_the_next_begun() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::open(layout(dir.path())).unwrap();
        assert_eq!(names(dir.path()), ["out-00000001.lp.part"]);
        file.append(&[b'x'; 99]).unwrap();
        assert_eq!(names(dir.path()), ["out-00000001.lp.part"]);
        file.append(b"\n").unwrap();
        assert_eq!(names(dir.path()), ["out-00000001.lp", "out-00000002.lp.part"]);
    }

    #[test]
    fn the_oldest_files_go_and_their_lines_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::open(layout(dir.path())).unwrap();
        let deleted: Vec<Deleted> =
            (0..5).flat_map(|_| file.append("0123456789\n".repeat(10).as_bytes()).unwrap()).collect();
        assert_eq!(deleted.iter().map(|d| d.lines).collect::<Vec<_>>(), [10, 10]);
        assert_eq!(
            names(dir.path()),
            ["out-00000003.lp", "out-00000004.lp", "out-00000005.lp", "out-00000006.lp.part"]
        );
    }

    #[test]
    fn a_torn_tail_is_cut_off_and_confirmed_lines_stay() {
        let dir = tempfile::tempdir().unwrap();
        RotatingFile::open(layout(dir.path())).unwrap().append(b"one\ntwo\n").unwrap();
        let part = dir.path().join("out-00000001.lp.part");
        let long_torn_line = vec![b'x'; 200_000];
        OpenOptions::new().append(true).open(&part).unwrap().write_all(&long_torn_line).unwrap();
        RotatingFile::open(layout(dir.path())).unwrap().append(b"three\n").unwrap();
        assert_eq!(fs::read(&part).unwrap(), b"one\ntwo\nthree\n");
    }

    #[test]
    fn a_file_that_is_nothing_but_torn_starts_empty() {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("out-00000001.lp.part");
        fs::write(&part, b"torn").unwrap();
        RotatingFile::open(layout(dir.path())).unwrap().append(b"one\n").unwrap();
        assert_eq!(fs::read(&part).unwrap(), b"one\n");
    }

    #[test]
    fn what_a_failed_write_left_is_cut_off_before_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::open(layout(dir.path())).unwrap();
        file.append(b"one\n").unwrap();
        let part = dir.path().join("out-00000001.lp.part");
        // A descriptor that cannot be written stands in for a full disk.
        OpenOptions::new().append(true).open(&part).unwrap().write_all(b"half a li").unwrap();
        file.file = Some(File::open(&part).unwrap());
        file.append(b"two\n").unwrap_err();
        file.append(b"two\n").unwrap();
        assert_eq!(fs::read(&part).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn lines_are_confirmed_once_though_the_full_file_cannot_be_put_away() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::open(layout(dir.path())).unwrap();
        let lines = "0123456789\n".repeat(10);
        // A directory of that name with something in it cannot be replaced.
        let in_the_way = dir.path().join("out-00000001.lp");
        fs::create_dir_all(in_the_way.join("x")).unwrap();
        file.append(lines.as_bytes()).unwrap();
        file.append(lines.as_bytes()).unwrap_err();
        assert_eq!(fs::read(dir.path().join("out-00000001.lp.part")).unwrap(), lines.as_bytes());
        fs::remove_dir_all(&in_the_way).unwrap();
        file.append(b"more\n").unwrap();
        assert_eq!(fs::read(in_the_way).unwrap(), lines.as_bytes());
        assert_eq!(fs::read(dir.path().join("out-00000002.lp.part")).unwrap(), b"more\n");
    }

    #[test]
    fn numbers_go_on_after_a_restart_and_foreign_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for foreign in ["out-1-00000009.lp", "out-x.lp", "out-00000009.lpx", "other-00000009.lp"] {
            fs::write(dir.path().join(foreign), b"").unwrap();
        }
        for _ in 0..5 {
            RotatingFile::open(layout(dir.path())).unwrap().append("0123456789\n".repeat(10).as_bytes()).unwrap();
        }
        let names = names(dir.path());
        assert!(
            names.contains(&"out-00000005.lp".into()) && names.contains(&"out-00000006.lp.part".into()),
            "{names:?}"
        );
        assert_eq!(names.iter().filter(|n| n.contains("00000009")).count(), 3);
    }
}
