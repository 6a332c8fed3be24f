//! The books of what was read and is not yet acknowledged: batches in receive order.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::ingest::MqttVersion;
use crate::ingest::wire::Reply;
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
    /// PUBACKs and PUBRECs written.
    pub(in crate::ingest) acks: u64,
    /// Messages of the peer that are through.
    pub(in crate::ingest) ended: usize,
}

/// What a session leaves behind: bytes under its name, or nothing any more.
pub(in crate::ingest) type StateChange = Option<Vec<u8>>;

/// Records on their way into one transaction, and what is said once it is durable.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Vec<Record>,
    /// Goes out first.
    preface: BytesMut,
    /// In receive order.
    replies: Vec<Reply>,
    state: Option<StateChange>,
    bytes: usize,
    payload_bytes: u64,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.replies.is_empty() && self.preface.is_empty() && self.state.is_none()
    }

    /// Whether there is anything that has to become durable.
    pub(super) fn needs_queue(&self) -> bool {
        !self.records.is_empty() || self.state.is_some()
    }

    /// Packets that were read into it.
    pub(super) fn len(&self) -> usize {
        self.records.len().max(self.replies.len())
    }

    /// In memory until it is settled.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.preface.len() + self.replies.len() * size_of::<Reply>()
    }

    /// Makes room for that many records.
    pub(super) fn reserve(&mut self, records: usize) {
        self.records.reserve(records);
        self.replies.reserve(records);
    }

    pub(super) fn push(&mut self, record: Record) {
        self.bytes += size_of::<Record>() + record.topic.len() + record.payload.len() + record.content_type.len();
        self.payload_bytes += record.payload.len() as u64;
        self.records.push(record);
    }

    pub(super) fn reply(&mut self, reply: Reply) {
        self.replies.push(reply);
    }

    /// Of several changes the last one counts.
    pub(super) fn set_state(&mut self, state: StateChange) {
        self.state = Some(state);
    }

    /// What is said before the replies.
    pub(super) fn preface(&mut self) -> &mut BytesMut {
        &mut self.preface
    }

    /// What the queue is to make durable.
    fn take_for_queue(&mut self) -> (Vec<Record>, Option<StateChange>) {
        (std::mem::take(&mut self.records), self.state.take())
    }
}

/// A batch on its way.
struct Sent {
    /// Without its records.
    batch: Batch,
    records: u64,
    /// As they were booked.
    bytes: usize,
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

    pub(super) fn begin(&mut self, mut batch: Batch) -> (Ticket, Vec<Record>, Option<StateChange>) {
        let ticket = Ticket { epoch: self.epoch, number: self.first + self.batches.len() as u64 };
        let (records, state) = batch.take_for_queue();
        let bytes = batch.bytes() + size_of::<Sent>();
        self.bytes += bytes;
        self.batches.push_back(Sent { batch, records: records.len() as u64, bytes, durable: false });
        (ticket, records, state)
    }

    /// Notes the receipt and writes what is due of all batches up to the first one without.
    pub(super) fn settle(&mut self, ticket: Ticket, version: MqttVersion, out: &mut BytesMut) -> Settled {
        let mut settled = Settled::default();
        if ticket.epoch != self.epoch {
            return settled;
        }
        let place = ticket.number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(sent) = place.and_then(|at| self.batches.get_mut(at)) else { return settled };
        sent.durable = true;
        while self.batches.front().is_some_and(|b| b.durable) {
            let Some(Sent { batch, records, bytes, .. }) = self.batches.pop_front() else { break };
            out.extend_from_slice(&batch.preface);
            Reply::write_all(&batch.replies, version, out);
            self.first += 1;
            self.bytes -= bytes;
            settled.records += records;
            settled.payload_bytes += batch.payload_bytes;
            settled.acks += batch.replies.iter().filter(|reply| reply.is_receipt()).count() as u64;
            settled.ended += batch.replies.iter().filter(|reply| reply.ends_message()).count();
        }
        if self.batches.is_empty() {
            // Gives the memory back; an idle connection holds no buffers.
            self.batches = VecDeque::new();
        }
        settled
    }
}
