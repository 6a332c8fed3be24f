//! What both roles share: the books, the buffer to the peer, and how a PUBLISH becomes a record.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use super::in_flight::{Batch, Epoch, InFlight};
use super::{Action, BATCH_RECORDS_MAX, Close, IN_FLIGHT_MAX_BYTES, OUTPUT_MAX_BYTES, OUTPUT_STALL_MAX, State};
use crate::clock::Stamp;
use crate::ingest::MqttVersion;
use crate::ingest::wire::Publish;
use crate::queue::{Door, Flags, Record};

/// What both roles share.
pub(super) struct Core {
    pub(super) door: Door,
    pub(super) version: MqttVersion,
    pub(super) packet_max_bytes: usize,
    pub(super) state: State,
    pub(super) in_flight: InFlight,
    pub(super) in_flight_max_bytes: usize,
    /// The next transaction; handed out by `poll` once the queue has taken the one before.
    pub(super) batch: Batch,
    /// The queue has not taken the last batch yet.
    pub(super) appending: bool,
    /// At most the answers to CONNECT and SUBSCRIBE.
    pub(super) news: VecDeque<Action>,
    pub(super) out: BytesMut,
    /// When the peer last took bytes, or `out` was last empty.
    pub(super) out_moved_at: Instant,
    pub(super) sent_at: Instant,
    /// When the peer was last heard, or reading was last resumed.
    pub(super) heard_at: Instant,
}

impl Core {
    pub(super) fn new(
        door: Door,
        version: MqttVersion,
        packet_max_bytes: usize,
        epoch: Epoch,
        open_until: Instant,
        now: Instant,
    ) -> Self {
        Self {
            door,
            version,
            packet_max_bytes,
            state: State::Opening { until: open_until },
            in_flight: InFlight::new(epoch),
            in_flight_max_bytes: IN_FLIGHT_MAX_BYTES,
            batch: Batch::default(),
            appending: false,
            news: VecDeque::new(),
            out: BytesMut::new(),
            out_moved_at: now,
            sent_at: now,
            heard_at: now,
        }
    }

    pub(super) fn is_reading(&self) -> bool {
        matches!(self.state, State::Opening { .. } | State::Open)
    }

    /// Reading goes on while the queue is full, up to the bounds: behind the messages lie pings that want an answer.
    pub(super) fn takes_bytes(&self) -> bool {
        self.is_reading()
            && self.batch.len() < BATCH_RECORDS_MAX
            && self.in_flight_bytes() < self.in_flight_max_bytes
            && self.out.len() < OUTPUT_MAX_BYTES
    }

    /// Read and not yet durable.
    pub(super) fn in_flight_bytes(&self) -> usize {
        self.in_flight.bytes() + self.batch.bytes()
    }

    /// Makes a change after which reading may go on: the peer could not be heard before, so its silence counts from now.
    pub(super) fn resuming<T>(&mut self, now: Instant, change: impl FnOnce(&mut Self) -> T) -> T {
        let was_reading = self.takes_bytes();
        let had_output = !self.out.is_empty();
        let result = change(self);
        if !was_reading && self.takes_bytes() {
            self.heard_at = now;
        }
        if !had_output {
            self.out_moved_at = now;
        }
        result
    }

    pub(super) fn stall_at(&self) -> Option<Instant> {
        (!self.out.is_empty() && self.is_reading()).then(|| self.out_moved_at + OUTPUT_STALL_MAX)
    }

    /// The buffer, to write to at `now`.
    pub(super) fn speak(&mut self, now: Instant) -> &mut BytesMut {
        if self.out.is_empty() {
            self.out_moved_at = now;
        }
        self.sent_at = now;
        &mut self.out
    }

    pub(super) fn on_publish(&mut self, publish: Publish, received: Stamp) -> Result<(), Close> {
        if publish.qos == 2 {
            return Err(Close::Qos2);
        }
        if publish.topic.is_empty() {
            return Err(match self.version {
                MqttVersion::V311 => Close::TopicInvalid,
                MqttVersion::V5 => Close::TopicAlias,
            });
        }
        if publish.topic.iter().any(|byte| matches!(byte, b'#' | b'+' | 0)) {
            return Err(Close::TopicInvalid);
        }
        let flags = Flags { qos: publish.qos, retained: publish.retained, redelivered: publish.redelivered };
        let ack = (publish.qos == 1).then_some(publish.packet_id);
        let record = Record {
            door: self.door,
            flags,
            received,
            topic: publish.topic,
            payload: publish.payload,
            content_type: publish.content_type,
        };
        self.batch.push(record, ack);
        Ok(())
    }
}

/// The first `end` bytes. A well filled buffer is handed on as it is; of a roomy one the records would hold the whole
/// allocation until they are stored, so they get their own.
pub(super) fn take_chunk(buffer: &mut BytesMut, end: usize) -> Bytes {
    if 2 * end >= buffer.capacity() {
        return buffer.split_to(end).freeze();
    }
    let chunk = Bytes::copy_from_slice(&buffer[..end]);
    buffer.advance(end);
    chunk
}
