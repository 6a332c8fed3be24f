//! A door's own counters, looked up once.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::session::{Close, Refused, Settled};
use crate::metrics::{DoorLabel, DoorReason, Ingest, SourceLabel};
use crate::queue::Door;

#[derive(Clone)]
pub(super) struct Meters {
    door: &'static str,
    all: Ingest,
    messages: Counter,
    payload_bytes: Counter,
    acks: Counter,
    connects: Counter,
    connections: Gauge,
}

impl Meters {
    pub(super) fn new(all: Ingest, door: Door) -> Self {
        let label = DoorLabel { door: door.name() };
        Self {
            door: door.name(),
            messages: all.messages.get_or_create_owned(&label),
            payload_bytes: all.payload_bytes.get_or_create_owned(&label),
            acks: all.acks.get_or_create_owned(&label),
            connects: all.connects.get_or_create_owned(&label),
            connections: all.connections.get_or_create_owned(&label),
            all,
        }
    }

    pub(super) fn settled(&self, settled: Settled) {
        self.messages.inc_by(settled.records);
        self.payload_bytes.inc_by(settled.payload_bytes);
        self.acks.inc_by(settled.acks);
    }

    /// Counts a connection for as long as the guard lives.
    pub(super) fn connected(&self) -> Connected {
        self.connects.inc();
        self.connections.inc();
        Connected(self.connections.clone())
    }

    pub(super) fn closed(&self, why: &Close) {
        if why.refuses_a_message() {
            self.all.refused.get_or_create(&self.reason(why.label())).inc();
        }
        self.disconnected(why.label());
    }

    pub(super) fn refused(&self, refused: &Refused) {
        let reason = match refused {
            Refused::NotAllowed { .. } => "not_allowed",
            Refused::TooLarge { .. } => "too_large",
        };
        self.all.refused.get_or_create(&self.reason(reason)).inc();
    }

    /// Results that subscribers did not take in time.
    pub(super) fn results_dropped(&self, count: u64) {
        self.all.results_dropped.inc_by(count);
    }

    /// Sessions of clients that are away.
    pub(super) fn sessions_kept(&self, count: usize) {
        self.all.sessions_kept.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether a source has sent nothing for too long.
    pub(super) fn silent(&self, source: &str, is_silent: bool) {
        let source = SourceLabel { source: source.to_owned() };
        self.all.silent.get_or_create(&source).set(i64::from(is_silent));
    }

    pub(super) fn disconnected(&self, reason: &'static str) {
        self.all.disconnects.get_or_create(&self.reason(reason)).inc();
    }

    fn reason(&self, reason: &'static str) -> DoorReason {
        DoorReason { door: self.door, reason }
    }
}

/// An open connection in the gauge.
pub(super) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}
