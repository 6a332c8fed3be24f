//! A sink's quarantine as others than its gateway see it: to look at, and to take records out, beside the running gateway.
//!
//! # Flow
//! ```text
//! complete_part ─▶ complete ─▶ hold ─▶ (lines are encoded and sent) ─▶ replace: what stays, or nothing
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{FILE_BYTES, layout};
use crate::forward::lock::DirLock;
use crate::forward::rotating::{Layout, cut_torn_line, sync_dir};

/// A file ends with the flush that fills it: pending records, and one of the largest in base64. What is longer is none.
const FILE_MAX_BYTES: u64 = FILE_BYTES + (4 << 20);

/// The files of one sink's quarantine.
#[derive(Clone, Debug)]
pub struct Shelf {
    layout: Layout,
    lock: DirLock,
}

impl Shelf {
    /// That of the sink, in the directory of all quarantines. Touches nothing.
    pub fn new(dir: &Path, sink: &str) -> Self {
        let layout = layout(dir, sink);
        Self { lock: DirLock::new(&layout.dir), layout }
    }

    /// Names of the directories of all quarantines, in alphabetical order; none if there is no such directory.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn names(dir: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    pub fn dir(&self) -> &Path {
        &self.layout.dir
    }

    /// All files, oldest first, the one that is written to last.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        Ok(self.list()?.into_iter().map(|(path, _)| path).collect())
    }

    /// Those that nobody writes to any more, oldest first.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn complete(&self) -> io::Result<Vec<PathBuf>> {
        Ok(self.list()?.into_iter().filter(|(_, is_complete)| *is_complete).map(|(path, _)| path).collect())
    }

    fn list(&self) -> io::Result<Vec<(PathBuf, bool)>> {
        let listed = match self.layout.list() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let path = |number, is_complete| match is_complete {
            true => self.layout.path(number),
            false => self.layout.part_path(number),
        };
        Ok(listed.into_iter().map(|(number, is_complete)| (path(number, is_complete), is_complete)).collect())
    }

    /// Completes the file that is written to, unless it is empty: a running gateway goes on with the next one.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn complete_part(&self) -> io::Result<()> {
        if !self.layout.dir.exists() {
            return Ok(());
        }
        let _locked = self.lock.take()?;
        for (number, is_complete) in self.layout.list()? {
            let part = self.layout.part_path(number);
            // What a crash tore was not confirmed.
            let whole = cut_torn_line(&part)?;
            if is_complete || whole == 0 {
                continue;
            }
            File::options().write(true).open(&part)?.set_len(whole)?;
            fs::rename(part, self.layout.path(number))?;
        }
        sync_dir(&self.layout.dir)
    }

    /// Takes a file in hand; `None` if it has gone meanwhile.
    ///
    /// # Errors
    /// Another process works on it (`WouldBlock`), or it cannot be read.
    pub fn hold(&self, path: &Path) -> io::Result<Option<Held>> {
        let _locked = self.lock.take()?;
        let mut file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let bytes = read(&mut file)?;
        Ok(Some(Held { path: path.to_owned(), bytes, lock: self.lock.clone(), _file: file }))
    }
}

/// The whole lines of a file, for who only looks; none if it has gone.
///
/// # Errors
/// It cannot be read.
pub fn look(path: &Path) -> io::Result<Vec<u8>> {
    match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        file => read(&mut file?),
    }
}

fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > FILE_MAX_BYTES {
        let text = format!("file of {length} bytes, the limit is {FILE_MAX_BYTES}: it is none of the quarantine's");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(FILE_MAX_BYTES).read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(whole);
    Ok(bytes)
}

/// A complete file that no other process takes in hand or deletes meanwhile.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    bytes: Vec<u8>,
    lock: DirLock,
    /// Holds the lock of the file itself.
    _file: File,
}

impl Held {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Without their newlines.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty())
    }

    /// Puts these lines in the place of all there were: all of them or none, whenever the machine goes down.
    ///
    /// # Errors
    /// The directory cannot be written; the file is then as it was.
    pub fn replace(self, lines: &[u8]) -> io::Result<()> {
        if lines == self.bytes {
            return Ok(());
        }
        let _locked = self.lock.take()?;
        if lines.is_empty() {
            fs::remove_file(&self.path)?;
        } else {
            let fresh = self.path.with_extension("new");
            let mut file = File::create(&fresh)?;
            file.write_all(lines)?;
            file.sync_all()?;
            fs::rename(fresh, &self.path)?;
        }
        self.path.parent().map_or(Ok(()), sync_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(dir: &Path) -> Shelf {
        let shelf = Shelf::new(dir, "influx");
        fs::create_dir_all(shelf.dir()).unwrap();
        shelf
    }

    #[test]
    fn the_file_that_is_written_to_is_completed_up_to_its_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = shelf(dir.path());
        let part = shelf.layout.part_path(3);
        fs::write(&part, b"one\ntwo\ntor").unwrap();
        assert_eq!(shelf.complete().unwrap(), Vec::<PathBuf>::new());
        shelf.complete_part().unwrap();
        let held = shelf.hold(&shelf.complete().unwrap()[0]).unwrap().unwrap();
        assert_eq!(held.lines().collect::<Vec<_>>(), [b"one", b"two"]);
    }

    #[test]
    fn an_empty_part_stays_and_so_does_the_absence_of_a_quarantine() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = Shelf::new(dir.path(), "nowhere");
        nowhere.complete_part().unwrap();
        assert!(nowhere.files().unwrap().is_empty() && !nowhere.dir().exists());
        let shelf = shelf(dir.path());
        fs::write(shelf.layout.part_path(1), b"").unwrap();
        shelf.complete_part().unwrap();
        assert_eq!(shelf.files().unwrap(), [shelf.layout.part_path(1)]);
    }

    #[test]
    fn a_file_in_hand_is_refused_to_others_until_it_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = shelf(dir.path());
        let path = shelf.layout.path(1);
        fs::write(&path, b"one\ntwo\n").unwrap();
        let held = shelf.hold(&path).unwrap().unwrap();
        assert_eq!(shelf.hold(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        held.replace(b"two\n").unwrap();
        let held = shelf.hold(&path).unwrap().unwrap();
        assert_eq!(held.lines().collect::<Vec<_>>(), [b"two"]);
        held.replace(b"").unwrap();
        assert!(shelf.hold(&path).unwrap().is_none() && shelf.files().unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_none_of_the_quarantines_is_not_read_into_memory() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = shelf(dir.path());
        let path = shelf.layout.path(1);
        File::create(&path).unwrap().set_len(FILE_MAX_BYTES + 1).unwrap();
        assert_eq!(shelf.hold(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(look(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
