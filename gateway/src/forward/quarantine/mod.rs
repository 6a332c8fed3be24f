//! Records that a sink cannot take, kept with the reason: NDJSON files with a bound, for a person to look at, and to be
//! encoded once more when the reason is gone.
//!
//! # Invariants
//! - A record is on disk behind an fsync before the sink's cursor moves past it (the task flushes first).
//! - Disk and memory are bounded: the oldest file goes when there are too many, and its records are counted.
//! - After a crash a record may be in twice, told by its log and sequence.
//! - Whoever adds, completes, replaces or deletes a file holds the directory's lock. A file that another process works on
//!   is locked itself, and not deleted.

mod line;
mod shelf;

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use firmware_protocol::decode::Decoder;

use super::Undeliverable;
use super::rotating::{Layout, SharedRotatingFile};
use crate::clock::SharedClockMap;
use crate::queue::{Log, QueueSeq, Record};

pub use line::{Kept, Line, LineFault};
pub(super) use shelf::Held;
pub use shelf::{Shelf, look};

/// The quarantine of one sink.
pub(super) struct Quarantine {
    file: SharedRotatingFile,
    decoder: Arc<Decoder>,
    clock: SharedClockMap,
    pending: Vec<u8>,
}

/// 8 + 1 files of 8 MiB: enough to see what is wrong, little beside the queue on a small disk.
const FILE_BYTES: u64 = 8 << 20;
const FILES_MAX: usize = 8;

fn layout(dir: &Path, sink: &str) -> Layout {
    Layout {
        dir: dir.join(sink),
        prefix: "quarantine".into(),
        extension: "ndjson",
        rotate_bytes: FILE_BYTES,
        files_max: FILES_MAX,
    }
}

impl Quarantine {
    /// Opens `{dir}/{sink}`, made if missing. `decoder` and `clock` tell what goes with each record.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub(super) fn open(dir: &Path, sink: &str, decoder: Arc<Decoder>, clock: SharedClockMap) -> io::Result<Self> {
        let file = SharedRotatingFile::open_shared(layout(dir, sink))?;
        Ok(Self { file, decoder, clock, pending: Vec::new() })
    }

    /// Takes a record in; on disk with the next [`Self::flush`].
    pub(super) fn keep(&mut self, log: Log, seq: QueueSeq, record: &Record, why: &Undeliverable) {
        let topic = std::str::from_utf8(&record.topic).ok().filter(|_| log == Log::Raw);
        let decoder = topic.and_then(|topic| self.decoder.name_for(topic));
        let received = self.clock.resolve(record.received);
        Line::new((log, seq, record), received, decoder, why).write(&mut self.pending);
    }

    /// Returns once everything kept is on disk, with the number of older records that had to go to keep to the bound.
    pub(super) async fn flush(&mut self) -> io::Result<u64> {
        if self.pending.is_empty() {
            return Ok(0);
        }
        let deleted = self.file.append(Bytes::copy_from_slice(&self.pending)).await?;
        self.pending.clear();
        Ok(deleted.iter().map(|file| file.lines).sum())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::forward::testing::{decoder, record};

    fn why() -> Undeliverable {
        Undeliverable { reason: "json", detail: "expected value at column 1".into() }
    }

    fn open(dir: &Path) -> Quarantine {
        Quarantine::open(dir, "influx", decoder(), SharedClockMap::default()).unwrap()
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let files = std::fs::read_dir(dir.join("influx")).unwrap().map(|e| e.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.to_string_lossy().contains("ndjson")).collect();
        files.sort();
        files
    }

    #[tokio::test]
    async fn a_kept_record_can_be_read_back_with_its_reason_and_its_decoder() {
        let dir = tempfile::tempdir().unwrap();
        let mut quarantine = open(dir.path());
        let record = record("sensors/press-07", b"\xff\x00{");
        quarantine.keep(Log::Raw, QueueSeq(41), &record, &why());
        assert_eq!(quarantine.flush().await.unwrap(), 0);
        let line = Line::parse(&std::fs::read(&files(dir.path())[0]).unwrap()).unwrap();
        assert_eq!((line.place().as_str(), line.reason.as_str()), ("raw/41", "json"));
        assert_eq!(line.decoder.as_deref(), Some("sensors/{device}/1"));
        assert_eq!(line.kept().unwrap().record, record);
    }

    #[tokio::test]
    async fn the_quarantine_is_bounded_and_counts_what_had_to_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut quarantine = open(dir.path());
        let payload = vec![7; 700_000];
        let mut evicted = 0;
        for seq in 0..120 {
            quarantine.keep(Log::Raw, QueueSeq(seq), &record("sensors/press-07", &payload), &why());
            evicted += quarantine.flush().await.unwrap();
        }
        let files = files(dir.path());
        let bytes: u64 = files.iter().map(|f| f.metadata().unwrap().len()).sum();
        let record_max = 1_000_000;
        assert!(bytes <= (FILE_BYTES + record_max) * (FILES_MAX as u64 + 1), "{bytes}");
        let lines: usize = files.iter().map(|f| std::fs::read_to_string(f).unwrap().lines().count()).sum();
        assert!(evicted > 0);
        assert_eq!(evicted + lines as u64, 120);
    }

    #[tokio::test]
    async fn what_is_worked_on_is_not_deleted_and_what_was_taken_away_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let mut quarantine = open(dir.path());
        let payload = vec![7; 700_000];
        let shelf = Shelf::new(dir.path(), "influx");
        let mut held = None;
        for seq in 0..120 {
            quarantine.keep(Log::Raw, QueueSeq(seq), &record("sensors/press-07", &payload), &why());
            quarantine.flush().await.unwrap();
            if seq == 0 {
                shelf.complete_part().unwrap();
                held = shelf.hold(&shelf.complete().unwrap()[0]).unwrap();
            }
        }
        let held = held.expect("nobody else works on it");
        assert_eq!(held.lines().count(), 1, "the first record alone: the next went to a file of their own");
        assert!(held.path().exists(), "though it is the oldest by far");
        held.replace(b"").unwrap();
        assert!(files(dir.path()).len() <= FILES_MAX + 1);
        let first =
            Line::parse(std::fs::read_to_string(&files(dir.path())[0]).unwrap().lines().next().unwrap().as_bytes());
        assert!(first.unwrap().seq > 0);
    }
}
