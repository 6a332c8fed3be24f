//! The books of what was read and is not yet acknowledged: batches in receive order.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::ingest::wire;
use crate::queue::Record;

/// Which connection of this process: never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ingest) struct Epoch(pub(in crate::ingest) u64);

/// Names a batch: the connection it came over and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingest) struct Ticket {
    epoch: Epoch,
    number: u64,
}

/// What a receipt has settled, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ingest) struct Settled {
    pub(in crate::ingest) records: u64,
    pub(in crate::ingest) payload_bytes: u64,
    /// PUBACKs written.
    pub(in crate::ingest) acks: u64,
}

/// Records on their way into one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Vec<Record>,
    /// Of the QoS 1 ones, in receive order.
    packet_ids: Vec<u16>,
    bytes: usize,
    payload_bytes: u64,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes room for that many records.
    pub(super) fn reserve(&mut self, records: usize) {
        self.records.reserve(records);
        self.packet_ids.reserve(records);
    }

    pub(super) fn push(&mut self, record: Record, ack: Option<u16>) {
        self.bytes += size_of::<Record>() + record.topic.len() + record.payload.len() + record.content_type.len();
        self.payload_bytes += record.payload.len() as u64;
        self.records.push(record);
        self.packet_ids.extend(ack);
    }
}

struct Sent {
    packet_ids: Vec<u16>,
    bytes: usize,
    settles: Settled,
    durable: bool,
}

pub(super) struct InFlight {
    epoch: Epoch,
    /// Number of the oldest of `batches`.
    first: u64,
    batches: VecDeque<Sent>,
    bytes: usize,
}

impl InFlight {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { epoch, first: 0, batches: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn begin(&mut self, batch: Batch) -> (Ticket, Vec<Record>) {
        let ticket = Ticket { epoch: self.epoch, number: self.first + self.batches.len() as u64 };
        let settles = Settled {
            records: batch.records.len() as u64,
            payload_bytes: batch.payload_bytes,
            acks: batch.packet_ids.len() as u64,
        };
        self.bytes += batch.bytes;
        self.batches.push_back(Sent { packet_ids: batch.packet_ids, bytes: batch.bytes, settles, durable: false });
        (ticket, batch.records)
    }

    /// Notes the receipt and writes the PUBACKs of all batches up to the first one without.
    pub(super) fn settle(&mut self, ticket: Ticket, out: &mut BytesMut) -> Settled {
        let mut settled = Settled::default();
        if ticket.epoch != self.epoch {
            return settled;
        }
        let place = ticket.number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(batch) = place.and_then(|at| self.batches.get_mut(at)) else { return settled };
        batch.durable = true;
        while self.batches.front().is_some_and(|b| b.durable) {
            let Some(batch) = self.batches.pop_front() else { break };
            wire::pub_acks(&batch.packet_ids, out);
            self.first += 1;
            self.bytes -= batch.bytes;
            settled.records += batch.settles.records;
            settled.payload_bytes += batch.settles.payload_bytes;
            settled.acks += batch.settles.acks;
        }
        if self.batches.is_empty() {
            // Gives the memory back; an idle connection holds no buffers.
            self.batches = VecDeque::new();
        }
        settled
    }
}
