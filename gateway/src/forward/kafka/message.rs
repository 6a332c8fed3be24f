//! Records to Kafka messages: key, headers, and the payload untouched.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use firmware_protocol::decode::Decoder;
use firmware_protocol::envelope::{Envelope, Schema};
use firmware_protocol::frame::{Header, is_frame};
use firmware_protocol::measurement::{ClockTrust, FrameIdentity};

use crate::clock::SharedClockMap;
use crate::forward::lines::{derived, topic};
use crate::forward::{Encoder, Labels, Times, Undeliverable};
use crate::queue::{Log, QueueSeq, Record};

/// Largest message, bytes: what brokers take by default (1 048 588), less their framing.
pub(super) const MESSAGE_MAX_BYTES: usize = 1_000_000;
/// librdkafka counts this much for a message beside its key, value and headers.
const MESSAGE_OVERHEAD_BYTES: usize = 512;

/// Messages in order. Keys and headers lie in one buffer, so that a message costs no allocation of its own.
#[derive(Debug, Default)]
pub(in crate::forward) struct Batch {
    messages: Vec<Parts>,
    headers: Vec<(&'static str, Range<usize>)>,
    text: Vec<u8>,
    payload_bytes: usize,
}

#[derive(Debug)]
struct Parts {
    schema: Schema,
    key: Range<usize>,
    headers: Range<usize>,
    payload: Bytes,
}

/// One message of a batch.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    batch: &'a Batch,
    parts: &'a Parts,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.payload_bytes
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.messages.iter().map(|parts| Message { batch: self, parts })
    }

    /// An empty batch that takes as much as this one without growing: batches are alike.
    fn room_for_another(&self) -> Self {
        Self {
            messages: Vec::with_capacity(self.messages.len()),
            headers: Vec::with_capacity(self.headers.len()),
            text: Vec::with_capacity(self.text.len()),
            payload_bytes: 0,
        }
    }

    /// Adds a message, unless it is too large.
    fn push(&mut self, envelope: &Envelope<'_>, key: &str, payload: Bytes) -> Result<(), Undeliverable> {
        let (text_start, headers_start) = (self.text.len(), self.headers.len());
        let Self { headers, text, .. } = self;
        text.extend_from_slice(key.as_bytes());
        let key = text_start..text.len();
        envelope.write_headers(|name, value| {
            let start = text.len();
            text.extend_from_slice(value);
            headers.push((name, start..text.len()));
        });
        let names: usize = headers[headers_start..].iter().map(|(name, _)| name.len()).sum();
        let size = text.len() - text_start + names + payload.len() + MESSAGE_OVERHEAD_BYTES;
        if size > MESSAGE_MAX_BYTES {
            text.truncate(text_start);
            headers.truncate(headers_start);
            let detail = format!("message of {size} bytes, limit is {MESSAGE_MAX_BYTES}");
            return Err(Undeliverable { reason: "too_large", detail });
        }
        let headers = headers_start..headers.len();
        self.payload_bytes += payload.len();
        self.messages.push(Parts { schema: envelope.schema, key, headers, payload });
        Ok(())
    }
}

impl<'a> Message<'a> {
    pub(super) fn schema(self) -> Schema {
        self.parts.schema
    }

    pub(super) fn key(self) -> &'a [u8] {
        &self.batch.text[self.parts.key.clone()]
    }

    pub(super) fn payload(self) -> &'a [u8] {
        &self.parts.payload
    }

    pub(super) fn header_count(self) -> usize {
        self.parts.headers.len()
    }

    pub(super) fn headers(self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        let headers = &self.batch.headers[self.parts.headers.clone()];
        headers.iter().map(move |(name, value)| (*name, &self.batch.text[value.clone()]))
    }
}

pub(in crate::forward) struct KafkaEncoder {
    decoder: Arc<Decoder>,
    clock: SharedClockMap,
    gateway: String,
    batch: Batch,
}

impl KafkaEncoder {
    pub(in crate::forward) fn new(decoder: Arc<Decoder>, clock: SharedClockMap, labels: &Labels) -> Self {
        Self { decoder, clock, gateway: labels.gateway.clone(), batch: Batch::default() }
    }
}

impl Encoder for KafkaEncoder {
    type Batch = Batch;

    fn push(&mut self, log: Log, seq: QueueSeq, record: &Record) -> Result<Times, Undeliverable> {
        let topic = topic(record)?;
        let content_type = String::from_utf8_lossy(&record.content_type);
        let envelope = Envelope {
            schema: Schema::Raw,
            gateway: &self.gateway,
            queue_seq: seq.0,
            received: self.clock.resolve(record.received),
            topic,
            door: record.door.name(),
            retained: record.is_replay(),
            identity: None,
            content_type: &content_type,
            table: record.table(),
            decoder: None,
        };
        let is_marked = envelope.received.clock != ClockTrust::Set;
        match log {
            Log::Raw => {
                let key = self.decoder.device_of(topic, &record.payload, record.content_type());
                let decoder = self.decoder.name_for(topic);
                let envelope = Envelope { identity: identity(&record.payload), decoder, ..envelope };
                self.batch.push(&envelope, &key, record.payload.clone())?;
            }
            Log::Derived => {
                let derived = derived(record)?;
                let envelope = Envelope { schema: Schema::of(&derived), ..envelope };
                self.batch.push(&envelope, derived.device(), record.payload.clone())?;
            }
        }
        Ok(Times { is_marked, ..Times::default() })
    }

    fn pending_bytes(&self) -> usize {
        self.batch.bytes()
    }

    fn take(&mut self) -> Option<Batch> {
        let room = self.batch.room_for_another();
        (self.batch.len() > 0).then(|| std::mem::replace(&mut self.batch, room))
    }
}

fn identity(payload: &[u8]) -> Option<FrameIdentity> {
    // A damaged copy must not pass for the frame: whoever tells repeats by it would drop the sound one.
    let (header, _) = if is_frame(payload) { Header::verify(payload).ok()? } else { return None };
    Some(FrameIdentity { boot: header.boot, seq: header.seq })
}
