//! Uploads on their way from the network to the importer, as files: `ID.part` while one comes in, then `ID.csv` with
//! `ID.json` beside it, which says what its columns mean.
//!
//! # Invariants
//! - A `.csv` is whole and on disk behind an fsync, and so is its `.json`: what a crash leaves is taken up again.
//! - What comes in stops before the disk is full: [`FREE_BYTES_MIN`] are left to the queue.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::warn;

use super::board::ImportId;
use super::mapping::Mapping;

/// Left free on the file system: the queue must not run out of space because of uploads.
pub(super) const FREE_BYTES_MIN: u64 = 128 << 20;
/// The free space is looked at again after this many bytes.
const CHECK_EVERY_BYTES: u64 = 8 << 20;

/// What an upload is, as long as it is not imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) file: String,
    pub(super) mapping: Mapping,
}

/// An upload that an earlier run did not import to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOver {
    pub(super) id: ImportId,
    pub(super) note: Note,
    pub(super) bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    #[error("{free} bytes are free on the disk, {FREE_BYTES_MIN} have to stay free")]
    Full { free: u64 },
    #[error("the upload was cut off")]
    CutOff,
    #[error("the upload cannot be kept on disk: {0}")]
    Io(#[from] io::Error),
}

/// The directory of spooled uploads.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    dir: PathBuf,
}

impl Spool {
    /// Makes the directory; deletes what was cut off by a crash.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let spool = Self { dir };
        for entry in fs::read_dir(&spool.dir)? {
            let path = entry?.path();
            let is_part = has_ending(&path, "part");
            // The note is written first, so it may stand alone; nobody was told of such an upload.
            let is_alone = has_ending(&path, "json") && !path.with_extension("csv").exists();
            if is_part || is_alone {
                fs::remove_file(&path)?;
            }
        }
        sync_dir(&spool.dir)?;
        Ok(spool)
    }

    /// Uploads of an earlier run. What cannot be understood is told, and stays.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(super) fn left_over(&self) -> io::Result<Vec<LeftOver>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let Some(id) = path.file_stem().and_then(|s| s.to_str()).and_then(ImportId::parse) else { continue };
            if has_ending(&path, "csv") {
                let note = fs::read(self.note_path(id)).and_then(|json| Ok(serde_json::from_slice::<Note>(&json)?));
                match note.and_then(|note| Ok(LeftOver { id, note, bytes: fs::metadata(&path)?.len() })) {
                    Ok(left_over) => found.push(left_over),
                    Err(error) => {
                        warn!(path = %path.display(), %error, "An upload of an earlier run cannot be understood; it stays there.");
                    }
                }
            }
        }
        Ok(found)
    }

    pub(super) fn path(&self, id: ImportId) -> PathBuf {
        self.dir.join(format!("{id}.csv"))
    }

    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    /// Writes what comes until `None`, which says that the upload is whole; gives its size. Without that word nothing
    /// stays. Blocks.
    pub(super) fn receive(
        &self,
        id: ImportId,
        note: &Note,
        body: &mut mpsc::Receiver<Option<Bytes>>,
    ) -> Result<u64, SpoolError> {
        let part = Part(self.dir.join(format!("{id}.part")));
        let mut file = File::create_new(&part.0)?;
        let (mut written, mut checked) = (0, None);
        loop {
            if checked.is_none_or(|at| written >= at + CHECK_EVERY_BYTES) {
                self.check_free(CHECK_EVERY_BYTES)?;
                checked = Some(written);
            }
            match body.blocking_recv() {
                Some(Some(bytes)) => {
                    file.write_all(&bytes)?;
                    written += bytes.len() as u64;
                }
                Some(None) => break,
                None => return Err(SpoolError::CutOff),
            }
        }
        file.sync_all()?;
        let mut beside = File::create_new(self.note_path(id))?;
        serde_json::to_writer(&mut beside, note).map_err(io::Error::from)?;
        beside.sync_all()?;
        fs::rename(&part.0, self.path(id))?;
        sync_dir(&self.dir)?;
        Ok(written)
    }

    /// # Errors
    /// So many bytes more would leave too little.
    pub(super) fn check_free(&self, bytes: u64) -> Result<(), SpoolError> {
        let free = self.free_bytes()?;
        if free < FREE_BYTES_MIN.saturating_add(bytes) { Err(SpoolError::Full { free }) } else { Ok(()) }
    }

    /// The upload is not needed any more. Should a crash bring it back, the register knows it.
    pub(super) fn remove(&self, id: ImportId) -> io::Result<()> {
        fs::remove_file(self.path(id))?;
        fs::remove_file(self.note_path(id))
    }

    fn note_path(&self, id: ImportId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }
}

/// A file that goes away with its upload, unless it was renamed.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %self.0.display(), %error, "Part of an upload cannot be deleted.");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|e| e == ending)
}

/// Makes names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> Note {
        Note { file: "a.csv".into(), mapping: Mapping { device: "m".into(), ..Mapping::default() } }
    }

    fn receive(spool: &Spool, id: ImportId, pieces: &[Option<&'static str>]) -> Result<u64, SpoolError> {
        let (tx, mut rx) = mpsc::channel(8);
        pieces.iter().for_each(|piece| tx.try_send(piece.map(Bytes::from)).unwrap());
        drop(tx);
        spool.receive(id, &note(), &mut rx)
    }

    #[test]
    fn an_upload_that_was_taken_is_found_again_and_one_that_was_cut_off_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path().join("import")).unwrap();
        let (whole, cut) = (ImportId::random(), ImportId::random());
        assert_eq!(receive(&spool, whole, &[Some("ts,a\n"), Some("1,2\n"), None]).unwrap(), 9);
        assert!(matches!(receive(&spool, cut, &[Some("ts,a\n")]), Err(SpoolError::CutOff)));
        let again = Spool::open(dir.path().join("import")).unwrap();
        assert_eq!(again.left_over().unwrap(), [LeftOver { id: whole, note: note(), bytes: 9 }]);
        assert_eq!(fs::read_to_string(again.path(whole)).unwrap(), "ts,a\n1,2\n");
        again.remove(whole).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("import")).unwrap().count(), 0);
    }

    #[test]
    fn what_a_crash_left_half_way_is_deleted_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["0123456789abcdef.part", "0123456789abcdef.json"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        Spool::open(dir.path().to_owned()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_upload_without_a_note_is_passed_over_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("0123456789abcdef.csv"), "ts,a\n").unwrap();
        let spool = Spool::open(dir.path().to_owned()).unwrap();
        assert_eq!(spool.left_over().unwrap(), []);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_would_fill_the_disk_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path().to_owned()).unwrap();
        assert!(matches!(spool.check_free(u64::MAX), Err(SpoolError::Full { .. })));
    }
}
