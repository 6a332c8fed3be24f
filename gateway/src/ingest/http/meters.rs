//! The door's own counters, looked up once.

use prometheus_client::metrics::counter::Counter;

use crate::metrics::{DoorLabel, DoorReason, Ingest};
use crate::queue::Door;

#[derive(Clone)]
pub(super) struct Meters {
    all: Ingest,
    messages: Counter,
    payload_bytes: Counter,
    acks: Counter,
}

impl Meters {
    pub(super) fn new(all: Ingest) -> Self {
        let label = DoorLabel { door: Door::Http.name() };
        Self {
            messages: all.messages.get_or_create_owned(&label),
            payload_bytes: all.payload_bytes.get_or_create_owned(&label),
            acks: all.acks.get_or_create_owned(&label),
            all,
        }
    }

    /// These are durable.
    pub(super) fn stored(&self, records: u64, payload_bytes: u64) {
        self.messages.inc_by(records);
        self.payload_bytes.inc_by(payload_bytes);
    }

    pub(super) fn acknowledged(&self) {
        self.acks.inc();
    }

    pub(super) fn refused(&self, reason: &'static str, count: u64) {
        self.all.refused.get_or_create(&DoorReason { door: Door::Http.name(), reason }).inc_by(count);
    }
}
