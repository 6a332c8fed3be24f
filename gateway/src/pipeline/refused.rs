//! Keeps the bytes of refused frames for a person to look at: NDJSON files with a bound in `DATA/quarantine/frames`.
//!
//! They are kept as far as that goes: a flood of forged frames must not hold up those that are sound. All are counted.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tracing::warn;

use crate::forward::rotating::{Layout, SharedRotatingFile};
use crate::frames::Refused;
use crate::shutdown::Stop;

/// 4 + 1 files of 1 MiB: some thousand frames, enough to see who forges them and how.
const FILE_BYTES: u64 = 1 << 20;
const FILES_MAX: usize = 4;
/// Frames of one write and its fsync.
const TOGETHER_MAX: usize = 256;
/// Between two writes: a flood costs no more than this many of them.
const WRITE_EVERY: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    reason: &'static str,
    door: &'static str,
    topic: &'a str,
    received_boot: u64,
    received_since_boot_ns: u64,
    payload_base64: String,
}

/// Opens the directory, made if missing.
///
/// # Errors
/// It cannot be made or written.
pub(super) fn open(quarantine: &Path) -> std::io::Result<SharedRotatingFile> {
    SharedRotatingFile::open(Layout {
        dir: quarantine.join("frames"),
        prefix: "refused".into(),
        extension: "ndjson",
        rotate_bytes: FILE_BYTES,
        files_max: FILES_MAX,
    })
}

/// Until the stop, and then what is left.
pub(super) async fn keep(
    file: SharedRotatingFile,
    mut refusals: Receiver<Refused>,
    mut stop: Stop,
) -> Result<(), Infallible> {
    let (mut refused, mut is_stopping) = (Vec::new(), false);
    while !is_stopping {
        tokio::select! {
            _ = refusals.recv_many(&mut refused, TOGETHER_MAX) => {}
            () = stop.requested() => is_stopping = true,
        }
        while refused.len() < TOGETHER_MAX
            && let Ok(another) = refusals.try_recv()
        {
            refused.push(another);
        }
        if !refused.is_empty()
            && let Err(error) = file.append(lines(&refused)).await
        {
            warn!(%error, frames = refused.len(), "Refused frames could not be kept in the quarantine.");
        }
        refused.clear();
        tokio::select! {
            () = tokio::time::sleep(WRITE_EVERY) => {}
            () = stop.requested() => {}
        }
    }
    Ok(())
}

fn lines(refused: &[Refused]) -> Bytes {
    let mut out = Vec::new();
    for Refused { reason, record } in refused {
        let line = Line {
            schema: "refused/1",
            reason,
            door: record.door.name(),
            topic: &String::from_utf8_lossy(&record.topic),
            received_boot: record.received.boot.0,
            received_since_boot_ns: record.received.since_boot_ns,
            payload_base64: BASE64_STANDARD.encode(&record.payload),
        };
        serde_json::to_writer(&mut out, &line).expect("plain data has a JSON form, and memory takes it");
        out.push(b'\n');
    }
    out.into()
}
