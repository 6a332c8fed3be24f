//! Firmware frames and Sparkplug messages at the door: each frame is stored once, what is missing of them is told, and
//! what numbers its channels goes to the log with the names beside it.
//!
//! A frame says who it is: `(device, boot, seq)`. It may come through two doors, from two brokers, or again after a lost
//! acknowledgement; the queue's writer, where all doors meet in order, asks here whether it is new. A frame may number
//! its channels as an earlier hello says, a Sparkplug message as an earlier birth: what the numbers mean is put beside it
//! here, so that all who read it later need no other record. One whose hello or birth has not come waits, bounded.
//!
//! # Invariants
//! - Nothing is dropped on suspicion: a repeat is a frame with a right CRC whose identity is known to be stored. A broken
//!   frame, one too far back to tell, and one with other bytes than the frame it claims to be are stored and counted.
//! - Of a device that must sign, only what it has signed is believed; all else is refused, counted and kept aside.
//! - What waits enters the log right after what it waited for, in its order; or, after a time or for want of room, as it
//!   is, and decoding tells that nobody knows its numbers.
//! - All that is known, but for what waits, follows from the stored records (see [`crate::queue::Admission`]), so a crash makes nothing
//!   come twice.
//! - A record that is neither costs a look at its first two bytes and at the front of its topic.
//!
//! # Flow
//! ```text
//! record ─▶ Keys (must it be signed?) ─▶ Tables (what its numbers mean) ─▶ Devices (is it new?) ─▶ log
//!              └▶ refused                  └▶ Waiting ─▶ after the hello      ├▶ Repeat
//!                                              └▶ Requests ─▶ doors           └▶ Missing ─▶ gap records, reason `missing`
//! ```
//!
//! # Not here
//! Messages without an identity of their own: two of them may well be equal and mean two things. Keeping what is refused:
//! that is the pipeline's.

mod admission;
mod devices;
mod edges;
mod front;
mod keys;
mod odd;
mod refused;
mod requests;
mod stamp;
mod tables;
#[cfg(test)]
mod tests;
mod waiting;
mod window;

use std::time::Duration;

use firmware_protocol::frame::{Body, FrameView, Header, HelloView, Label};
use firmware_protocol::table::Entry;

use crate::clock::{Clock, SharedClockMap, Stamp};
use crate::metrics::{self, DoorLabel, OutcomeLabel, ReasonLabel};
use crate::queue::Record;

use devices::{Arrival, Devices, Foreseen, Missing, Seen};
use edges::{Edge, Edges};
use front::{Front, Meaning};
use keys::Judged;
use odd::Odd;
use requests::Asked;
use tables::{Table, Tables};
use waiting::{Held, Identity, Sender, Waiting, Wanted};

pub use keys::{Keys, KeysError};
pub use refused::{Refusals, Refused};
pub use requests::{Asking, Request, Requests, Wish, hello_packet};

/// `reason` of the gap records.
const MISSING: &str = "missing";

/// Settings of `[frames]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Frames that have not come are told this long after one with a later sequence came.
    pub gap_after: Duration,
    /// Devices remembered; those heard longest ago are forgotten for new ones.
    pub devices_max: usize,
    /// Records whose numbers nobody knows wait so long.
    pub hello_wait: Duration,
    /// Devices that must sign.
    pub keys: Keys,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // A broker delivers again after a reconnect, whose pauses are up to 30 s each; a device itself may wait longer.
            gap_after: Duration::from_secs(300),
            devices_max: 10_000,
            // Time for twenty requests, and for a person to press a button.
            hello_wait: Duration::from_secs(600),
            keys: Keys::default(),
        }
    }
}

/// Whom [`Frames`] tells what it finds; the default ones listen to nobody.
#[derive(Clone, Debug, Default)]
pub struct Outlets {
    pub requests: Requests,
    pub refusals: Refusals,
}

/// The queue's [`crate::queue::Admission`].
pub struct Frames {
    devices: Devices,
    /// Of devices, by name.
    tables: Tables,
    edges: Edges,
    keys: Keys,
    waiting: Waiting,
    /// Recalled, and not to wait any more.
    ready: Vec<Held>,
    asked: Asked,
    outlets: Outlets,
    clock: Clock,
    clock_map: SharedClockMap,
    metrics: metrics::Frames,
    /// Since the last `take`.
    missing: Vec<Missing>,
    odd: Odd,
    /// The latest record's.
    received: Stamp,
}

impl Frames {
    /// `clock_map` gives the times of gap records, `clock` tells how long a record has waited.
    pub fn new(
        config: &Config,
        clock: Clock,
        clock_map: SharedClockMap,
        metrics: metrics::Frames,
        outlets: Outlets,
    ) -> Self {
        Self {
            devices: Devices::new(config),
            tables: Tables::default(),
            edges: Edges::default(),
            keys: config.keys.clone(),
            waiting: Waiting::new(config.hello_wait),
            ready: Vec::new(),
            asked: Asked::default(),
            outlets,
            clock,
            clock_map,
            metrics,
            missing: Vec::new(),
            odd: Odd::default(),
            received: Stamp::default(),
        }
    }

    fn admit_frame(&mut self, mut record: Record, header: &Header<'_>, crc: u32, log: &mut Vec<Record>) {
        let judged = self.keys.judge(header.device, &record.payload);
        let refusal = match judged {
            Judged::Proven if self.devices.foresee(header, crc) == Foreseen::Untellable => Some("replayed"),
            Judged::NotAsked | Judged::Proven => None,
            Judged::Missing => Some("mac_missing"),
            Judged::UnknownKey => Some("mac_key"),
            Judged::Wrong => Some("mac_wrong"),
        };
        if let Some(reason) = refusal {
            return self.refuse(record, header.device, reason);
        }
        match self.meaning_of_frame(header.device, &record.payload) {
            Meaning::None => {}
            Meaning::Known(table) => record.table = table,
            Meaning::Unknown(wanted) => {
                let identity = (header.boot.0, header.seq.0, crc);
                if self.devices.foresee(header, crc) == Foreseen::Repeat || self.waiting.has(&wanted.sender, identity) {
                    return self.count_repeat(&record);
                }
                let wish = Wish::Hello { device: header.device.to_owned() };
                self.ask(&record, wanted.sender.clone(), wish);
                return self.wait(record, wanted, Some(identity), log);
            }
        }
        self.store(record, &Front::Frame(*header, crc), log);
    }

    fn meaning_of_frame(&self, device: &str, frame: &[u8]) -> Meaning {
        if Body::of(frame) != Ok(Body::Numbered) {
            return Meaning::None;
        }
        let Ok(view) = FrameView::parse(frame) else { return Meaning::None };
        let Some(id) = view.table else { return Meaning::None };
        let number = |label| match label {
            Label::Number(number) => Some(u64::from(number)),
            Label::Name(_) => None,
        };
        match self.tables.get(device, id.0) {
            Some(table) => {
                let numbers: Vec<_> = view.channels().filter_map(|channel| number(channel.label)).collect();
                Meaning::Known(table.part(&numbers))
            }
            None => Meaning::Unknown(Wanted { sender: Sender::Device(device.to_owned()), table: id.0 }),
        }
    }

    fn meaning(&self, front: &Front<'_>, payload: &[u8]) -> Meaning {
        match front {
            Front::Frame(header, _) => self.meaning_of_frame(header.device, payload),
            Front::Edge(edge) => self.edges.meaning(edge, payload),
            Front::Other => Meaning::None,
        }
    }

    fn admit_edge(&mut self, mut record: Record, edge: &Edge<'_>, log: &mut Vec<Record>) {
        let has_gap = self.edges.follow(edge, &record.payload);
        match self.edges.meaning(edge, &record.payload) {
            Meaning::None => {}
            Meaning::Known(table) => record.table = table,
            Meaning::Unknown(wanted) => {
                self.ask(&record, edge.node(), edge.rebirth());
                return self.wait(record, wanted, None, log);
            }
        }
        if has_gap {
            self.ask(&record, edge.node(), edge.rebirth());
        }
        self.store(record, &Front::Edge(*edge), log);
    }

    /// Puts the record into the log, if it is not there; then what has waited for it.
    fn store(&mut self, record: Record, front: &Front<'_>, log: &mut Vec<Record>) {
        if !self.note_and_count(&record, front) {
            return;
        }
        let told = front.told(&record.payload);
        log.push(record);
        if let Some(Wanted { sender, table }) = told {
            let released = self.waiting.release(&sender, table);
            self.store_released(released, "released", log);
        }
    }

    /// Puts records into the log that do not wait any more, with what is known about their numbers.
    fn store_released(
        &mut self,
        released: impl IntoIterator<Item = Held>,
        outcome: &'static str,
        log: &mut Vec<Record>,
    ) {
        for Held { mut record, .. } in released {
            self.metrics.waited.get_or_create(&OutcomeLabel { outcome }).inc();
            // Cheap to clone: what is borrowed of them outlives the record's move.
            let (payload, topic) = (record.payload.clone(), record.topic.clone());
            let front = Front::of(&payload, &topic);
            if let Meaning::Known(table) = self.meaning(&front, &payload) {
                record.table = table;
            }
            if self.note_and_count(&record, &front) {
                log.push(record);
            }
        }
    }

    /// Whether the record is to be stored.
    fn note_and_count(&mut self, record: &Record, front: &Front<'_>) -> bool {
        match self.note(record, front) {
            Some(Seen::Repeat) => {
                self.count_repeat(record);
                return false;
            }
            Some(Seen::New) | None => {}
            Some(Seen::AfterAll) => drop(self.metrics.after_all.inc()),
            Some(Seen::Unknown) => drop(self.metrics.unknown.inc()),
            Some(Seen::Reused) => {
                self.metrics.reused.inc();
                self.odd.reused(front.device());
            }
        }
        true
    }

    /// All that a stored record changes. `None`: it is no frame.
    fn note(&mut self, record: &Record, front: &Front<'_>) -> Option<Seen> {
        let (payload, received) = (&record.payload, record.received);
        self.received = received;
        match front {
            Front::Frame(header, crc) => {
                let arrival = Arrival { header: *header, crc: *crc, received };
                let seen = self.devices.take(&arrival, &mut self.missing);
                if seen != Seen::Repeat {
                    self.note_body(header.device, payload);
                }
                return Some(seen);
            }
            Front::Edge(edge) => self.edges.note(edge, payload),
            Front::Other => {}
        }
        self.devices.pass(received, &mut self.missing);
        None
    }

    fn note_body(&mut self, device: &str, frame: &[u8]) {
        match Body::of(frame) {
            Ok(Body::Hello) => {
                // One that is no valid hello tells nothing; it is stored all the same.
                if let Ok(hello) = HelloView::parse(frame) {
                    self.tables.learn(device, hello.table.0, table_of(&hello));
                }
            }
            Ok(Body::Numbered) => self.tables.heard(device),
            Ok(Body::Named) | Err(_) => {}
        }
    }

    /// The record waits. What has no room any more enters the log as it is.
    fn wait(&mut self, record: Record, wanted: Wanted, identity: Option<Identity>, log: &mut Vec<Record>) {
        let since = self.waits_since(&record);
        let left = self.waiting.put(Held { record, wanted, identity, since });
        self.store_released(left, "no_room", log);
    }

    /// A record of an earlier boot of the machine waits as if it had come now.
    fn waits_since(&self, record: &Record) -> Stamp {
        let now = self.clock.stamp();
        if record.received.boot == now.boot { record.received } else { now }
    }

    /// Asks whoever can tell what the record's numbers mean, if it was not asked just now.
    fn ask(&mut self, record: &Record, of: Sender, wish: Wish) {
        if self.asked.is_due(of, self.clock.stamp()) {
            self.metrics.requests.inc();
            self.outlets.requests.make(Request { wish, door: record.door, topic: record.topic.clone() });
        }
    }

    fn refuse(&mut self, record: Record, device: &str, reason: &'static str) {
        self.metrics.refused.get_or_create(&ReasonLabel { reason }).inc();
        self.odd.refused(reason, device);
        if !self.outlets.refusals.keep(Refused { reason, record }) {
            self.metrics.refused_unkept.inc();
        }
    }

    fn count_repeat(&self, record: &Record) {
        self.metrics.repeats.get_or_create(&DoorLabel { door: record.door.name() }).inc();
    }
}

fn table_of(hello: &HelloView<'_>) -> Table {
    let entry = |(number, name, unit)| Entry { number, name, unit, kind: 0 };
    Table::new((0..).zip(hello.channels()).map(|(number, channel)| entry((number, channel.name, channel.unit))))
}
