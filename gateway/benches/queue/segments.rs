//! The yardstick: length, topic and payload into plain files, one fdatasync a batch, read back, deleted.
//! No compression, no checksum, no index, no second copy of how far it came: nothing durable is much cheaper.

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::Path;

use crate::Result;
use crate::meter::Meter;
use crate::records::{Payload, batches};

const SEGMENT_BYTES: u64 = 64 << 20;
const READ_BYTES: usize = 64 << 10;

pub(crate) fn run(dir: &Path, payload: Payload, batch: u64, records: u64) -> Result<()> {
    fs::create_dir_all(dir)?;
    let batches = batches(payload, records, batch);
    let meter = Meter::start(dir)?;
    let (mut file_bytes, mut payload_bytes, mut paths) = (0, 0, Vec::new());
    let mut segment: Option<(File, u64)> = None;
    for records in batches {
        let mut bytes = Vec::new();
        for r in records {
            for text in [&r.topic, &r.payload] {
                bytes.extend((text.len() as u32).to_le_bytes());
                bytes.extend_from_slice(text);
            }
            payload_bytes += r.payload.len() as u64;
        }
        if segment.as_ref().is_none_or(|(_, len)| *len >= SEGMENT_BYTES) {
            let path = dir.join(format!("{:08}", paths.len()));
            segment = Some((File::create(&path)?, 0));
            paths.push(path);
        }
        if let Some((file, len)) = &mut segment {
            file.write_all(&bytes)?;
            file.sync_data()?;
            *len += bytes.len() as u64;
            file_bytes += bytes.len() as u64;
        }
    }
    let mut read_bytes = 0;
    for path in paths {
        read_bytes +=
            std::io::copy(&mut BufReader::with_capacity(READ_BYTES, File::open(&path)?), &mut std::io::sink())?;
        fs::remove_file(&path)?;
    }
    if read_bytes != file_bytes {
        return Err(format!("{read_bytes} of {file_bytes} bytes came back").into());
    }
    meter.stop(records, payload_bytes)
}
