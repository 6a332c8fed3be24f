//! The counters of one line, looked up once.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::line::Counts;
use crate::metrics::{DoorLabel, DoorReason, Ingest, LineLabel, Metrics};
use crate::queue::Door;

/// Counts this line; those of the door are shared with the other lines.
pub(super) struct Meters {
    all: Ingest,
    messages: Counter,
    payload_bytes: Counter,
    acks: Counter,
    connects: Counter,
    connections: Gauge,
    open: Gauge,
    discarded_bytes: Counter,
    acks_dropped: Counter,
}

/// A line that is open, in the gauges, for as long as this lives.
pub(super) struct Open {
    connections: Gauge,
    open: Gauge,
}

impl Meters {
    pub(super) fn new(all: &Metrics, line: &str) -> Self {
        let door = DoorLabel { door: Door::Serial.name() };
        let line = LineLabel { line: line.to_owned() };
        let (all, serial) = (all.ingest.clone(), &all.serial);
        Self {
            messages: all.messages.get_or_create_owned(&door),
            payload_bytes: all.payload_bytes.get_or_create_owned(&door),
            acks: all.acks.get_or_create_owned(&door),
            connects: all.connects.get_or_create_owned(&door),
            connections: all.connections.get_or_create_owned(&door),
            open: serial.open.get_or_create_owned(&line),
            discarded_bytes: serial.discarded_bytes.get_or_create_owned(&line),
            acks_dropped: serial.acks_dropped.get_or_create_owned(&line),
            all,
        }
    }

    pub(super) fn opened(&self) -> Open {
        self.connects.inc();
        self.connections.inc();
        self.open.set(1);
        Open { connections: self.connections.clone(), open: self.open.clone() }
    }

    pub(super) fn disconnected(&self, reason: &'static str) {
        self.all.disconnects.get_or_create(&DoorReason { door: Door::Serial.name(), reason }).inc();
    }

    pub(super) fn refused(&self, reason: &'static str, count: u64) {
        self.all.refused.get_or_create(&DoorReason { door: Door::Serial.name(), reason }).inc_by(count);
    }

    pub(super) fn stored(&self, records: usize, payload_bytes: usize) {
        self.messages.inc_by(records as u64);
        self.payload_bytes.inc_by(payload_bytes as u64);
    }

    pub(super) fn line(&self, counts: Counts) {
        self.discarded_bytes.inc_by(counts.discarded_bytes);
        self.acks.inc_by(counts.acks);
        self.acks_dropped.inc_by(counts.acks_dropped);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.dec();
        self.open.set(0);
    }
}
