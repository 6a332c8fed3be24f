//! Bodies of requests, each with a key that is the same whenever the body is.

use bytes::Bytes;
use firmware_protocol::crc::crc32;

use crate::forward::file::FileEncoder;
use crate::forward::gzip::Gzip;
use crate::forward::{Encoder, Times, Undeliverable};
use crate::queue::{Log, QueueSeq, Record};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::forward) struct Batch {
    pub(super) body: Bytes,
    pub(super) key: String,
}

pub(in crate::forward) struct WebhookEncoder {
    encoder: FileEncoder,
    gzip: Option<Gzip>,
    /// Gateway and sink: a receiver may have many of both.
    sender: String,
    /// Log, first and last record of the batch under construction.
    records: Option<(Log, QueueSeq, QueueSeq)>,
}

impl WebhookEncoder {
    pub(in crate::forward) fn new(encoder: FileEncoder, gzip: bool, gateway: &str, sink: &str) -> Self {
        // What a name holds that no header can is of no use in a key.
        let visible = |c: char| if c.is_ascii_graphic() { c } else { '_' };
        let sender = format!("{gateway}/{sink}").chars().map(visible).collect();
        Self { encoder, gzip: gzip.then(Gzip::new), sender, records: None }
    }
}

impl Encoder for WebhookEncoder {
    type Batch = Batch;

    fn push(&mut self, log: Log, seq: QueueSeq, record: &Record) -> Result<Times, Undeliverable> {
        let times = self.encoder.push(log, seq, record)?;
        let (_, _, last) = self.records.get_or_insert((log, seq, seq));
        *last = seq;
        Ok(times)
    }

    fn pending_bytes(&self) -> usize {
        self.encoder.pending_bytes()
    }

    fn take(&mut self) -> Option<Batch> {
        let records = self.records.take();
        let body = self.encoder.take()?;
        let (log, first, last) = records?;
        let key = format!("{}/{}-{}-{}-{:08x}", self.sender, log.name(), first.0, last.0, crc32(&body));
        let body = match &mut self.gzip {
            Some(gzip) => gzip.compress(&body),
            None => body,
        };
        Some(Batch { body, key })
    }
}
