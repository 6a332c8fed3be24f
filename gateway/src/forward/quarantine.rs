//! Records that a sink cannot take, kept with the reason for a person to look at: NDJSON files with a bound.
//!
//! # Invariants
//! - A record is on disk behind an fsync before the sink's cursor moves past it (the task flushes first).
//! - Disk and memory are bounded: the oldest file goes when there are too many, and its records are counted.
//! - After a crash a record may be in twice, told by its log and sequence.

use std::io;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Serialize;

use super::Undeliverable;
use super::rotating::{Layout, SharedRotatingFile};
use crate::queue::{Log, QueueSeq, Record};

/// The quarantine of one sink.
#[derive(Debug)]
pub(super) struct Quarantine {
    file: SharedRotatingFile,
    pending: Vec<u8>,
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    log: &'static str,
    seq: u64,
    reason: &'static str,
    detail: &'a str,
    door: &'static str,
    topic: &'a str,
    content_type: &'a str,
    /// What the channel numbers of the payload mean.
    #[serde(skip_serializing_if = "str::is_empty")]
    table: &'a str,
    received_boot: u64,
    received_since_boot_ns: u64,
    payload_base64: String,
}

impl Quarantine {
    /// 8 + 1 files of 8 MiB: enough to see what is wrong, little beside the queue on a small disk.
    const FILE_BYTES: u64 = 8 << 20;
    const FILES_MAX: usize = 8;
    /// Encoded records kept in memory up to here; a batch ends early when it is reached.
    const PENDING_MAX_BYTES: usize = 1 << 20;

    /// Opens `{dir}/{sink}`, made if missing.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub(super) fn open(dir: &Path, sink: &str) -> io::Result<Self> {
        let layout = Layout {
            dir: dir.join(sink),
            prefix: "quarantine".into(),
            extension: "ndjson",
            rotate_bytes: Self::FILE_BYTES,
            files_max: Self::FILES_MAX,
        };
        Ok(Self { file: SharedRotatingFile::open(layout)?, pending: Vec::new() })
    }

    /// Takes a record in; on disk with the next [`Self::flush`].
    pub(super) fn keep(&mut self, log: Log, seq: QueueSeq, record: &Record, why: &Undeliverable) {
        let line = Line {
            schema: "quarantine/1",
            log: log.name(),
            seq: seq.0,
            reason: why.reason,
            detail: &why.detail,
            door: record.door.name(),
            topic: &String::from_utf8_lossy(&record.topic),
            content_type: &String::from_utf8_lossy(&record.content_type),
            table: record.table(),
            received_boot: record.received.boot.0,
            received_since_boot_ns: record.received.since_boot_ns,
            payload_base64: BASE64_STANDARD.encode(&record.payload),
        };
        serde_json::to_writer(&mut self.pending, &line).expect("plain data has a JSON form, and memory takes it");
        self.pending.push(b'\n');
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= Self::PENDING_MAX_BYTES
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
    use crate::forward::testing::record;

    fn why() -> Undeliverable {
        Undeliverable { reason: "json", detail: "expected value at column 1".into() }
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(dir.join("influx")).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }

    #[tokio::test]
    async fn a_kept_record_can_be_read_back_bit_by_bit_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let mut quarantine = Quarantine::open(dir.path(), "influx").unwrap();
        quarantine.keep(Log::Raw, QueueSeq(41), &record("sensors/press-07", b"\xff\x00{"), &why());
        assert_eq!(quarantine.flush().await.unwrap(), 0);
        let text = std::fs::read_to_string(&files(dir.path())[0]).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(BASE64_STANDARD.decode(line["payload_base64"].as_str().unwrap()).unwrap(), b"\xff\x00{");
        assert_eq!((line["seq"].as_u64(), line["log"].as_str()), (Some(41), Some("raw")));
        assert_eq!((line["reason"].as_str(), line["topic"].as_str()), (Some("json"), Some("sensors/press-07")));
    }

    #[tokio::test]
    async fn the_quarantine_is_bounded_and_counts_what_had_to_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut quarantine = Quarantine::open(dir.path(), "influx").unwrap();
        let payload = vec![7; 700_000];
        let mut evicted = 0;
        for seq in 0..120 {
            quarantine.keep(Log::Raw, QueueSeq(seq), &record("sensors/press-07", &payload), &why());
            evicted += quarantine.flush().await.unwrap();
        }
        let files = files(dir.path());
        let bytes: u64 = files.iter().map(|f| f.metadata().unwrap().len()).sum();
        let record_max = 1_000_000;
        assert!(bytes <= (Quarantine::FILE_BYTES + record_max) * (Quarantine::FILES_MAX as u64 + 1), "{bytes}");
        let lines: usize = files.iter().map(|f| std::fs::read_to_string(f).unwrap().lines().count()).sum();
        assert!(evicted > 0);
        assert_eq!(evicted + lines as u64, 120);
    }
}
