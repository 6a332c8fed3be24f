//! Files as a sink: line protocol, or NDJSON with the payloads as they came.
//!
//! # Invariants
//! - A batch is confirmed once it is on disk behind an fsync.
//! - After a crash the batch that was under way is written again: some of its lines may be in twice, none is torn.

use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use firmware_protocol::measurement::{ClockTrust, Received};
use serde::Serialize;
use tracing::info;

use super::lines::{Lines, topic};
use super::rotating::{Layout, SharedRotatingFile};
use super::{Encoder, FileConfig, FileFormat, Sink, SinkError, Times, Undeliverable};
use crate::clock::SharedClockMap;
use crate::queue::{Log, QueueSeq, Record};

/// Encodes for the file format.
pub(super) enum FileEncoder {
    LineProtocol(Box<Lines>),
    Ndjson { clock: SharedClockMap, out: Vec<u8> },
}

impl FileEncoder {
    pub(super) fn new(format: FileFormat, lines: Lines, clock: SharedClockMap) -> Self {
        match format {
            FileFormat::LineProtocol => Self::LineProtocol(Box::new(lines)),
            FileFormat::Ndjson => Self::Ndjson { clock, out: Vec::new() },
        }
    }
}

impl Encoder for FileEncoder {
    type Batch = Bytes;

    fn push(&mut self, log: Log, seq: QueueSeq, record: &Record) -> Result<Times, Undeliverable> {
        match self {
            Self::LineProtocol(lines) => lines.push(log, seq, record),
            Self::Ndjson { clock, out } => match log {
                Log::Raw => push_raw(out, seq, record, clock.resolve(record.received)),
                Log::Derived => push_derived(out, record),
            },
        }
    }

    fn pending_bytes(&self) -> usize {
        match self {
            Self::LineProtocol(lines) => lines.bytes().len(),
            Self::Ndjson { out, .. } => out.len(),
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let bytes = match self {
            Self::LineProtocol(lines) => {
                let bytes = Bytes::copy_from_slice(lines.bytes());
                lines.clear();
                bytes
            }
            Self::Ndjson { out, .. } => {
                let bytes = Bytes::copy_from_slice(out);
                out.clear();
                bytes
            }
        };
        (!bytes.is_empty()).then_some(bytes)
    }
}

/// A raw record as one line of NDJSON.
#[derive(Serialize)]
struct RawLine<'a> {
    schema: &'static str,
    seq: u64,
    door: &'static str,
    topic: &'a str,
    received_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    content_type: &'a str,
    /// What the channel numbers of the payload mean.
    #[serde(skip_serializing_if = "str::is_empty")]
    table: &'a str,
    /// The payload as it came, if it is text ...
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    /// ... else in this.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

fn push_raw(out: &mut Vec<u8>, seq: QueueSeq, record: &Record, received: Received) -> Result<Times, Undeliverable> {
    let text = std::str::from_utf8(&record.payload).ok();
    let line = RawLine {
        schema: "raw/1",
        seq: seq.0,
        door: record.door.name(),
        topic: topic(record)?,
        received_at_ms: received.at.as_millis(),
        clock: received.clock.mark(),
        content_type: &String::from_utf8_lossy(&record.content_type),
        table: record.table(),
        payload: text,
        payload_base64: text.is_none().then(|| BASE64_STANDARD.encode(&record.payload)),
    };
    serde_json::to_writer(&mut *out, &line).expect("plain data has a JSON form, and memory takes it");
    out.push(b'\n');
    Ok(Times { is_marked: received.clock != ClockTrust::Set, ..Times::default() })
}

/// Derived records are JSON already; what is not would break the lines.
fn push_derived(out: &mut Vec<u8>, record: &Record) -> Result<Times, Undeliverable> {
    super::lines::derived(record)?;
    out.extend(record.payload.iter().map(|b| if *b == b'\n' { b' ' } else { *b }));
    out.push(b'\n');
    Ok(Times::default())
}

/// Appends batches to `{dir}/{name}-{number}.{lp|ndjson}.part`, renamed once complete.
pub(super) struct FileSink {
    name: String,
    file: SharedRotatingFile,
}

impl FileSink {
    pub(super) fn open(config: &FileConfig) -> io::Result<Self> {
        let layout = Layout {
            dir: config.dir.clone(),
            prefix: config.name.clone(),
            extension: match config.format {
                FileFormat::LineProtocol => "lp",
                FileFormat::Ndjson => "ndjson",
            },
            rotate_bytes: config.rotate_bytes,
            files_max: config.files_max,
        };
        Ok(Self { name: config.name.clone(), file: SharedRotatingFile::open(layout)? })
    }
}

impl Sink for FileSink {
    type Batch = Bytes;

    fn wire_bytes(batch: &Bytes) -> u64 {
        batch.len() as u64
    }

    async fn send(&self, batch: &Bytes) -> Result<(), SinkError> {
        // A dropped send goes on in the background, but holds the file until it is done: nothing overtakes.
        let deleted = self
            .file
            .append(batch.clone())
            .await
            .map_err(|e| SinkError::Retry { reason: format!("file cannot be written: {e}"), after: None })?;
        for file in deleted {
            info!(sink = self.name, path = %file.path.display(), lines = file.lines, "Oldest file deleted.");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::forward::DeliveryConfig;
    use crate::forward::testing::{decoder, gap, labels, record};

    fn config(dir: &Path, format: FileFormat) -> FileConfig {
        let delivery = DeliveryConfig::default();
        FileConfig { name: "archive".into(), dir: dir.into(), format, rotate_bytes: 150, files_max: 10, delivery }
    }

    fn encoder(format: FileFormat) -> FileEncoder {
        let clock = SharedClockMap::default();
        FileEncoder::new(format, Lines::new(decoder(), clock.clone(), Duration::from_secs(3_600), &labels()), clock)
    }

    fn batch(format: FileFormat, seqs: std::ops::Range<u64>) -> Bytes {
        let mut encoder = encoder(format);
        for seq in seqs {
            encoder.push(Log::Raw, QueueSeq(seq), &record("sensors/a", br#"{"x":1}"#)).unwrap();
        }
        encoder.take().unwrap()
    }

    #[tokio::test]
    async fn confirmed_batches_survive_a_torn_tail_whole_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), FileFormat::LineProtocol);
        let (first, second) = (batch(config.format, 0..2), batch(config.format, 2..4));
        FileSink::open(&config).unwrap().send(&first).await.unwrap();
        let part = dir.path().join("archive-00000001.lp.part");
        fs::OpenOptions::new().append(true).open(&part).unwrap().write_all(&second[..10]).unwrap();
        let sink = FileSink::open(&config).unwrap();
        sink.send(&second).await.unwrap();
        let complete = dir.path().join("archive-00000001.lp");
        assert_eq!(fs::read(complete).unwrap(), [first, second].concat());
        assert!(!part.exists());
    }

    #[test]
    fn ndjson_keeps_payloads_as_they_came() {
        let mut encoder = encoder(FileFormat::Ndjson);
        encoder.push(Log::Raw, QueueSeq(7), &record("sensors/a", b"{\"x\":\n1}")).unwrap();
        encoder.push(Log::Raw, QueueSeq(8), &record("sensors/a", b"\xff")).unwrap();
        encoder.push(Log::Derived, QueueSeq(0), &gap("a")).unwrap();
        let bytes = encoder.take().unwrap();
        let lines: Vec<serde_json::Value> =
            bytes.split_inclusive(|b| *b == b'\n').map(|l| serde_json::from_slice(l).unwrap()).collect();
        assert_eq!((lines[0]["payload"].as_str(), lines[0]["seq"].as_u64()), (Some("{\"x\":\n1}"), Some(7)));
        assert_eq!(lines[1]["payload_base64"].as_str(), Some("/w=="));
        assert_eq!(lines[0]["clock"].as_str(), Some("estimated"), "its boot is not known");
        assert_eq!(lines[2]["schema"].as_str(), Some("gap/1"));
        assert!(encoder.take().is_none(), "a batch is taken once");
    }
}
