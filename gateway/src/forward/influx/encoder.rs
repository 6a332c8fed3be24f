//! Records to gzipped lines, with no more series than the server is to keep.

use bytes::Bytes;

use super::series::SeriesCap;
use crate::forward::gzip::Gzip;
use crate::forward::lines::Lines;
use crate::forward::{Encoder, Times, Undeliverable};
use crate::queue::{Log, QueueSeq, Record};

/// Lines, then gzip.
pub(in crate::forward) struct InfluxEncoder {
    lines: Lines,
    series: SeriesCap,
    gzip: Gzip,
}

impl InfluxEncoder {
    pub(in crate::forward) fn new(lines: Lines, series: SeriesCap) -> Self {
        Self { lines, series, gzip: Gzip::new() }
    }
}

impl Encoder for InfluxEncoder {
    type Batch = Bytes;

    fn push(&mut self, log: Log, seq: QueueSeq, record: &Record) -> Result<Times, Undeliverable> {
        let before = self.lines.bytes().len();
        let times = self.lines.push(log, seq, record)?;
        // Only raw points have the queue's sequence in their times.
        let stamp = (log == Log::Raw).then_some(seq);
        self.series.apply(self.lines.bytes_mut(), before, stamp);
        Ok(times)
    }

    fn pending_bytes(&self) -> usize {
        self.lines.bytes().len()
    }

    fn take(&mut self) -> Option<Bytes> {
        if self.lines.bytes().is_empty() {
            return None;
        }
        let batch = self.gzip.compress(self.lines.bytes());
        self.lines.clear();
        Some(batch)
    }
}
